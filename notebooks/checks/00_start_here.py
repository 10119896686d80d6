"""Public checks of 00_start_here."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw

EXERCISES = (
    Exercise(
        "accuracy",
        hints=(
            "A row of logits holds one score for each class. Which class does the network choose for that row, and what "
            "would make that choice right?",
            "`logits.argmax(dim=1)` gives the chosen class of every example, a tensor of shape (N,). Comparing it with "
            "`target` gives N answers, each True or False.",
            "The mean of N zeros and ones is the fraction of ones. Booleans have no mean in PyTorch: turn them into "
            "floating-point numbers first.",
        ),
    ),
)

EXAMPLES, CLASSES = 61, 7
RIGHT = (35, 37, 38, 39)  # not 36: 36 / 60, of whoever divides by one less, is also 36 / 61 rounded

# Of whoever averages over batches. None divides EXAMPLES: the last one is smaller.
BATCHES = (4, 5, 8, 10, 16)


@check("accuracy", points=2)
def is_the_fraction_correct(student: Any, draw: Draw) -> None:
    """The result is the fraction of examples whose largest logit is that of their class."""
    # Two batches with different results: no number is right for both.
    first, second = (RIGHT[i] for i in draw.permutation(len(RIGHT))[:2].tolist())
    answer, plan, calls = expect.function(student.accuracy, "accuracy"), student.together(), []
    for right in (first, second):
        logits, target, wrong = _batch(draw, right)
        calls.append((right, wrong, plan.call(answer, logits, target)))
    for right, wrong, call in calls:
        expect.close(call.get(), right / EXAMPLES, "the accuracy", candidates=wrong)


@check("accuracy", points=1)
def works_for_any_batch(student: Any, draw: Draw) -> None:
    """It holds for a single example too, and when all or none of the answers are right."""
    answer, plan, calls = expect.function(student.accuracy, "accuracy"), student.together(), []
    for name, examples, right in (("all", 9, 9), ("none", 9, 0), ("one", 1, 1), ("one_wrong", 1, 0)):
        logits, target, _ = _logits(draw, examples, right)
        logits[0] += 10  # as in _batch
        calls.append((name, examples, right, plan.call(answer, logits, target)))
    logits, target, _ = _logits(draw, 6, 2)
    observed = plan.observe(answer, logits, target)
    for name, examples, right, call in calls:
        what = f"the accuracy of {right} right of {examples}"
        expect.close(call.get(), right / examples, what, code=f"value_{name}", candidates={"0": 0.0, "1": 1.0})
    seen = observed.get()
    expect.unchanged(logits, seen.arguments[0], "logits")
    expect.unchanged(target, seen.arguments[1], "target")


def _logits(draw: Draw, examples: int, right: int, classes: int = CLASSES) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, targets of which exactly `right` agree, and the class of the largest logit of each row.

    Rows are permutations of distinct numbers: no ties.
    """
    ranks = draw.permutations(examples, classes)
    # Around zero, each row a little off it: the logit of the largest magnitude is the highest in some and the lowest in others.
    logits = (ranks - classes / 2 + 0.5) * draw.uniform(0.3, 0.5) + draw.normal(examples, 1, scale=0.5)
    best, second = ranks.argmax(1), (ranks == classes - 2).float().argmax(1)
    others = draw.permutations(examples, classes)
    wrong = torch.where(others[:, 0] == best, others[:, 1], others[:, 0])
    # One wrong answer in two names the runner-up.
    wrong = torch.where(torch.arange(examples) % 2 == 0, second, wrong)
    hit = draw.permutation(examples) < right
    return logits, torch.where(hit, best, wrong), best


def _batch(draw: Draw, right: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return EXAMPLES rows of which `right` are right, and what wrong ways give, no two of which give the same number."""
    while True:
        logits, target, best = _logits(draw, EXAMPLES, right)
        # Half the rows are sure of themselves.
        sure = (torch.arange(EXAMPLES) % 2 == 0).float().unsqueeze(1)
        logits = logits * (1 + 3 * sure)
        # The largest logit of all is in the first row, so that its place in the batch names a class.
        logits[0] += 10
        known = _wrong_values(logits, target, best, right / EXAMPLES)
        wrong = dict(known)
        rounded, batches = wrong.pop("rounded"), wrong.pop("batches")
        single = [right / EXAMPLES, *wrong.values()]
        apart = all(b - a > 1e-4 for a, b in pairwise(sorted(single)))
        # Numbers of one mistake may be alike, and a rounded one is near the right one.
        apart = apart and all(abs(a - b) > 1e-4 for a in batches for b in single)
        if apart and all(abs(a - b) > 1e-4 for a in rounded for b in [*single[1:], *batches]):
            return logits, target, known


def _wrong_values(logits: Tensor, target: Tensor, best: Tensor, right: float) -> dict[str, Any]:
    """Return what known mistakes give, by name: a number, or those that it may give."""
    examples, classes = logits.shape
    hit = 1.0 - torch.sign((best - target).abs()).double()
    present = target.unique()
    return {
        "count": float(hit.sum()),
        "percent": 100 * right,
        "zero": 0.0,
        "error": 1 - right,
        "over_classes": float(hit.sum()) / classes,
        "over_batch_of_32": float(hit.sum()) / 32,
        "per_class": float(torch.stack([hit[target == k].mean() for k in present]).mean()),
        "lowest": float((logits.argmin(1) == target).double().mean()),
        "magnitude": float((logits.abs().argmax(1) == target).double().mean()),
        "pairs": float((best[:, None] == target).double().mean()),
        "confident": float((hit * (logits.softmax(1).amax(1) > 0.5)).mean()),
        "top2": float((logits.topk(2, dim=1).indices == target[:, None]).double().sum() / examples),
        "entries": 1 - 2 * (1 - right) / classes,
        "rounded": [round(right, digits) for digits in (1, 2, 3, 4)],
        "batches": [float(torch.stack([part.mean() for part in hit.split(size)]).mean()) for size in BATCHES],
        "one_less": float(hit.sum()) / (examples - 1),
        "from_one": float((best + 1 == target).double().mean()),
        "mean_logit": float(logits.gather(1, target[:, None]).mean()),
        "mean_probability": float(logits.softmax(1).gather(1, target[:, None]).mean()),
        "first_only": float(hit[0]),
        "flat": float((logits.argmax() == target).double().mean()),
    }
