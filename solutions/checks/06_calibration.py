"""Graded-only checks of 06_calibration: against the reference solution, on secret seeds, sizes and dtypes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw

CLOSE = (1e-5, 1e-5)


@check("reliability_bins", points=2)
def bins_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Confidence, accuracy and count are the reference's, for many sizes, dtypes and numbers of bins."""
    for dtype, n_bins in (
        (torch.float32, 15),
        (torch.float64, draw.integer(7, 13)),
        (torch.float32, 1),
    ):
        probs, target = _predictions(draw, n_bins, dtype)
        parts = expect.call(student.reliability_bins, probs, target, n_bins=n_bins)
        several = isinstance(parts, (tuple, list)) or (
            isinstance(parts, Tensor) and parts.dim() > 0
        )
        expect.that(
            several and len(parts) == 3,
            "reference:not_three",
            "the result should be three tensors",
        )
        right = reference.reliability_bins(probs, target, n_bins)
        filled = right[2] > 0
        for name, got, wanted in zip(
            ("confidence", "accuracy", "count"), parts, right, strict=True
        ):
            got = expect.tensor(got, name, shape=wanted.shape, finite=name != "confidence")
            # An empty bin's confidence is free.
            kept = torch.where(filled, got.double(), 0.0) if name == "confidence" else got
            wanted = torch.where(filled, wanted.double(), 0.0)
            expect.close(kept, wanted, f"{name} in {n_bins} bins", f"reference_{name}", *CLOSE)


@check("expected_calibration_error", points=2)
def error_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """The error is the reference's, for many sizes, dtypes and numbers of bins."""
    for dtype, n_bins in (
        (torch.float32, 15),
        (torch.float64, draw.integer(7, 13)),
        (torch.float32, 1),
    ):
        probs, target = _predictions(draw, n_bins, dtype)
        wanted = float(
            reference.expected_calibration_error(probs.clone(), target.clone(), n_bins)
        )
        result = expect.call(student.expected_calibration_error, probs, target, n_bins=n_bins)
        expect.close(result, wanted, f"the error in {n_bins} bins", "reference", *CLOSE)


@check("fit_temperature", points=2)
def temperature_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """The temperature is the reference's, to 1 %, for networks too sure of themselves or not sure enough, of many classes."""
    # Labels come from the softmax of the scores, but for one in twelve, which is the least likely class. So it takes a
    # temperature between 1.3 and 1.9 times the sharpness (in 150 draws), one that no calibration error is smallest at.
    for sharpness, dtype in ((2.0, torch.float32), (0.45, torch.float64)):
        classes, examples = draw.integer(3, 30), draw.integer(300, 400)
        scores = draw.normal(examples, classes, scale=2.0)
        target = torch.multinomial(scores.softmax(1), 1, generator=_coins(draw)).squeeze(1)
        target = torch.where(torch.arange(examples) % 12 == 0, scores.argmin(1), target)
        logits = (sharpness * scores + draw.normal(examples, 1, scale=3.0)).to(dtype)
        wanted = float(reference.fit_temperature(logits.clone(), target.clone()))
        got = expect.scalar(
            expect.call(student.fit_temperature, logits, target), "the temperature"
        )
        expect.that(
            abs(got / wanted - 1) <= 0.0101,
            "reference",
            f"the temperature of {len(target)} examples of {classes} classes should be {wanted:.4g}, but it is {got:.4g}",
        )


def _predictions(draw: Draw, n_bins: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows of which no confidence is nearer than 1e-3 of a bin to an edge, some of them exactly 1."""
    classes = draw.integer(3, 30)
    logits = draw.normal(draw.integer(150, 250), classes).double() * draw.uniform(1.5, 4.0)
    probs = logits.softmax(1)
    place = probs.amax(1) * n_bins
    probs = probs[(place - place.round()).abs() > 2e-3 * n_bins]
    certain = torch.eye(classes, dtype=torch.float64)[draw.labels(draw.integer(1, 5), classes)]
    probs = torch.cat([probs, certain]).to(dtype)
    best = probs.argmax(1)
    target = torch.where(
        torch.rand(len(probs), generator=_coins(draw)) < 0.6,
        best,
        draw.labels(len(probs), classes),
    )
    target[-1] = (best[-1] + 1) % classes  # certain, and wrong
    return probs, target


def _coins(draw: Draw) -> torch.Generator:
    return torch.Generator().manual_seed(draw.integer(0, 1 << 30))
