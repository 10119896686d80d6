"""Graded-only checks of 00_start_here: against the reference solution, on secret seeds."""

from __future__ import annotations

from typing import Any

import torch

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw


@check("accuracy", points=1)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """It agrees with the reference solution on batches of many sizes, dtypes and magnitudes."""
    answer, plan, calls = expect.function(student.accuracy, "accuracy"), student.together(), []
    # Spacings at which the probabilities of a row differ too, for whoever looks at those.
    for dtype, scale in (
        (torch.float32, 1.0),
        (torch.float32, 1e-3),
        (torch.float64, 1e4),
        (torch.float16, 10.0),
    ):
        # A prime number of examples: no share of them is one half or has two decimals. And never as many classes.
        examples = (7, 11, 13, 17, 19, 23, 29, 31)[draw.integer(0, 7)]
        classes = draw.integer(4, 40)
        classes += classes == examples
        # Permutations of distinct numbers, exact in every dtype: no ties.
        ranks = draw.permutations(examples, classes)
        logits = ((ranks - draw.integer(0, classes)) * scale).to(dtype)
        # Half the answers or so are right, which few random ones would be, and one names the runner-up.
        order = draw.permutation(examples)
        target = torch.where(order % 2 == 0, ranks.argmax(1), draw.labels(examples, classes))
        target[order == 1] = (ranks == classes - 2).float().argmax(1)[order == 1]
        expected = float(reference.accuracy(logits.clone(), target.clone()))
        what = f"the accuracy of {examples} examples and {classes} classes in {dtype}"
        calls.append((expected, what, plan.call(answer, logits, target)))
    for expected, what, call in calls:
        expect.close(call.get(), expected, what)
