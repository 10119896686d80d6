"""Graded-only checks of 05_label_smoothing: against the reference solution, on secret seeds and sizes."""

from __future__ import annotations

from typing import Any

import torch

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw


@check("smooth_labels", points=1)
def targets_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any number of examples and classes, and any alpha, the targets are the reference's."""
    smooth = expect.function(student.smooth_labels, "smooth_labels")
    plan, calls = student.together(), []
    for _ in range(4):
        # The last class does not occur, and there are more examples than classes.
        examples, classes = draw.integer(41, 60), draw.integer(3, 40)
        target, alpha = draw.labels(examples, classes - 1), draw.uniform(0.02, 0.98)
        calls.append((target, classes, alpha, plan.call(smooth, target, classes, alpha)))
    for target, classes, alpha, call in calls:
        expect.close(call.get(), reference.smooth_labels(target, classes, alpha), "the targets")


@check("LabelSmoothingCrossEntropy", points=2)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Loss and gradient are the reference's, for each reduction and any alpha, number of classes and size of the logits."""
    build = expect.function(student.LabelSmoothingCrossEntropy, "LabelSmoothingCrossEntropy")
    plan, planned = student.together(), []
    for reduction in ("none", "mean", "sum"):
        for scale in (1.0, 2.0):
            examples, classes = draw.integer(31, 40), draw.integer(12, 30)
            alpha = draw.uniform(0.02, 0.98)
            logits, target = (
                draw.normal(examples, classes, scale=scale),
                draw.labels(examples, classes - 1),
            )
            target[0] = classes - 2  # the largest, for the last class does not occur
            wanted = logits.double().requires_grad_()
            right = reference.LabelSmoothingCrossEntropy(alpha, reduction)(wanted, target)
            g = draw.signed(*right.shape)
            (slope,) = torch.autograd.grad(right, wanted, g.double())
            made = plan.call(build, alpha=alpha, reduction=reduction)
            seen = plan.observe(made, logits.clone().requires_grad_(), target, cotangent=g)
            planned.append((reduction, right.detach(), slope, made, seen))
    for reduction, right, slope, made, observed in planned:
        expect.function(made.get(), "what LabelSmoothingCrossEntropy makes")
        seen = observed.get()
        what = f"the loss with reduction “{reduction}”"
        # A sum of up to 40 losses of up to 15, in float32.
        expect.close(seen.output, right, what, reduction, 1e-5, 1e-4)
        gradient = seen.gradients[0]
        expect.that(gradient is not None, "gradient:none", "no gradient reaches the logits")
        expect.close(gradient, slope, "the gradient of the logits", "gradient", 1e-4, 1e-5)
