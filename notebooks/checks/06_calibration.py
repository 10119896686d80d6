"""Public checks of 06_calibration. Nothing here is left to chance: no coin decides over a verdict, so there are no alarms.

Batches are made so that it is known beforehand which bin a row belongs to, and at which temperature the cross-entropy is
smallest: the checks sort nothing into bins and minimise nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.student import fixture

# Neither torch nor torchvision can bin confidences, give a calibration error or fit a temperature. (torchmetrics has the
# error, but is not part of the course.) So there is nothing of theirs to forbid.
EXERCISES = (
    Exercise(
        "reliability_bins",
        hints=(
            "Three numbers describe a prediction here: how sure it is (the largest probability of its row), whether it is "
            "right (is the class of that probability the target?), and the bin it falls into. Everything else is a sum "
            "over the rows of a bin.",
            "Bin b holds the confidences between b / n_bins and (b + 1) / n_bins, so a confidence times n_bins, rounded "
            "down, is the number of its bin. For which one confidence is that one too many? `clamp` mends it.",
            "`torch.bincount(bins, weights=w, minlength=n_bins)` adds up w in each bin: ones give the count, confidences "
            "and hits their sums. Divide the sums by the count, and by 1 where the count is 0: `count.clamp(min=1)`.",
        ),
    ),
    Exercise(
        "expected_calibration_error",
        hints=(
            "In each bin there are two numbers to compare, and a third that says how much the comparison counts. How much "
            "should a bin without a single example count?",
            "Take the absolute difference of accuracy and confidence in each bin before you add anything up: else a bin "
            "that is too sure of itself makes up for another that is not sure enough.",
            "With the three tensors of your `reliability_bins`: multiply each absolute difference by count / count.sum(), "
            "then sum. (If you left NaN in the confidence of empty bins: 0 times NaN is NaN.)",
        ),
        uses=("reliability_bins",),
    ),
    Exercise(
        "fit_temperature",
        hints=(
            "There is one unknown, and as a function of 1/T the loss is convex: it has one valley. What must hold at its "
            "bottom? Section 5 derives a quantity whose sign tells on which side of it you are.",
            "Search in log T, which may be any number while T stays positive. Either halve an interval by the sign of the "
            "derivative, or let an optimizer such as `torch.optim.LBFGS` minimise F.cross_entropy(logits / T, target) "
            "(with `line_search_fn=\"strong_wolfe\"`, until it no longer changes).",
            "By halves: z = logits.detach().double(). At the best T the mean of z at the true classes is the mean over rows of "
            "(softmax(z / T) * z).sum(1). If the latter is larger, the network is too sure at this T, so T must grow. "
            "Fifty halvings of log T between log 0.01 and log 100 are plenty.",
        ),
    ),
)  # fmt: skip

BINS, CLASSES = 15, 23
"""1/23 < 1/15: with so many classes even the first bin, [0, 1/15), can hold a confidence."""


@dataclass(frozen=True)
class Batch:
    """Predictions, and what is known of each row: its confidence, whether it is right, its bin."""

    probs: Tensor
    target: Tensor
    confidence: Tensor
    hit: Tensor
    place: Tensor
    n_bins: int

    def per_bin(self, values: Tensor, place: Tensor | None = None) -> Tensor:
        """Return the sum of a number per row in each bin, float64 (n_bins,); of other bins, if others are given."""
        return functional.one_hot(self.place if place is None else place, self.n_bins).double().T @ values

    @property
    def count(self) -> Tensor:
        return self.per_bin(torch.ones_like(self.hit))

    @property
    def mean_confidence(self) -> Tensor:
        return self.per_bin(self.confidence) / self.count.clamp(min=1)

    @property
    def accuracy(self) -> Tensor:
        return self.per_bin(self.hit) / self.count.clamp(min=1)

    @property
    def gaps(self) -> Tensor:
        """Accuracy minus confidence in each bin."""
        return self.accuracy - self.mean_confidence

    @property
    def ece(self) -> float:
        return float((self.per_bin(self.hit) - self.per_bin(self.confidence)).abs().sum()) / len(self.hit)


# -- reliability_bins ----------------------------------------------------------------------------------------------------


@check("reliability_bins", points=3)
def counts_the_examples_of_each_bin(student: Any, draw: Draw) -> None:
    """Bins are equal intervals of [0, 1] for the largest probability of a row, and each example is counted in one of them."""
    batch = _batch(draw, _plan(draw))
    _, _, count = _three(student, batch, n_bins=BINS)
    got, known = count.double(), _wrong_counts(batch)
    equal = bool((got.max() - got.min()) <= 1) and float(got.sum()) == len(batch.hit)
    expect.that(
        not equal,
        "count:equal",
        "all bins hold equally many examples: bins should be equally wide, however many examples fall into them",
    )
    expect.close(count, batch.count, "count", "count", candidates=known)


@check("reliability_bins", points=3)
def averages_the_confidence(student: Any, draw: Draw) -> None:
    """The confidence of a bin is the mean of the largest probabilities of the examples in it."""
    batch = _batch(draw, _plan(draw))
    confidence, _, _ = _three(student, batch, n_bins=BINS)
    edges = torch.arange(BINS + 1).double() / BINS
    true = batch.probs.gather(1, batch.target[:, None]).squeeze(1).double()
    known = {
        "centre": (edges[1:] + edges[:-1]) / 2,
        "lower_edge": edges[:-1],
        "upper_edge": edges[1:],
        "sum": batch.per_bin(batch.confidence),
        "over_all": batch.per_bin(batch.confidence) / len(batch.hit),
        "of_the_true_class": batch.per_bin(true) / batch.count,
        "accuracy": batch.accuracy,
        "count": batch.count,
        "of_the_right": batch.per_bin(batch.confidence * batch.hit) / batch.per_bin(batch.hit).clamp(min=1),
        "plus_one": batch.per_bin(batch.confidence) / (batch.count + 1),
        "median": torch.stack([batch.confidence[batch.place == b].median() for b in range(BINS)]),
    }
    _near(confidence, batch.mean_confidence, "confidence", known)


@check("reliability_bins", points=3)
def averages_the_hits(student: Any, draw: Draw) -> None:
    """The accuracy of a bin is the fraction of its examples whose most probable class is the target."""
    batch = _batch(draw, _plan(draw))
    _, accuracy, _ = _three(student, batch, n_bins=BINS)
    hits = batch.per_bin(batch.hit)
    known = {
        "error": 1 - batch.accuracy,
        "hits": hits,
        "over_all": hits / len(batch.hit),
        "over_hits": hits / hits.sum(),
        "plus_one": hits / (batch.count + 1),
        "confidence": batch.mean_confidence,
        "count": batch.count,
        "over_one_half": batch.per_bin(batch.hit * (batch.confidence > 0.5)) / batch.count,
    }
    _near(accuracy, batch.accuracy, "accuracy", known)


@check("reliability_bins", points=2)
def keeps_certain_predictions(student: Any, draw: Draw) -> None:
    """A confidence of exactly 1 belongs to the last bin."""
    batch = _batch(draw, [*_plan(draw), (BINS - 1, 7, 4, True)])
    confidence, accuracy, count = _three(student, batch, code="certain", n_bins=BINS)
    lost, first, last = batch.count.clone(), batch.count.clone(), batch.count.clone()
    lost[-1] -= 7
    first[-1], first[0] = first[-1] - 7, first[0] + 7
    last[-1] = 0
    known = {"lost": lost, "in_the_first": first, "no_last_bin": last}
    expect.close(count, batch.count, "count", "certain", candidates=known)
    _near(confidence, batch.mean_confidence, "confidence", code="certain_confidence")
    _near(accuracy, batch.accuracy, "accuracy", code="certain_accuracy")


@check("reliability_bins", points=1)
def counts_an_example_on_an_edge_once(student: Any, draw: Draw) -> None:
    """An example whose confidence is exactly the edge between two bins is in one of them, whichever, and not in both."""
    probs, target, _ = _on_edges(draw, *(b / EIGHTHS for b in (3, 4, 5, 6)))
    _, _, count = _parts(
        expect.call(student.reliability_bins, probs, target, n_bins=EIGHTHS, what="reliability_bins"), "edge"
    )
    counted = float(count.double().sum())
    found = {2 * len(probs): "twice", 0: "never"}.get(round(counted), "other")
    expect.that(
        abs(counted - len(probs)) < 0.5,
        f"edge:{found}",
        f"{len(probs)} examples have confidences on the edges between two of {EIGHTHS} bins, and each belongs to one bin, but "
        f"the counts add up to {counted:g}",
    )


@check("reliability_bins", points=2)
def says_zero_for_empty_bins(student: Any, draw: Draw) -> None:
    """In an empty bin accuracy and count are 0, not NaN; a single example is a batch too."""
    chosen = _some_bins(draw)
    for name, plan in (
        ("empty", [(b, draw.integer(3, 8), 2, False) for b in chosen]),
        ("single", [(chosen[0], 1, 1, False)]),
    ):
        batch = _batch(draw, plan)
        confidence, accuracy, count = _three(student, batch, code=name, n_bins=BINS)
        filled = batch.count > 0
        expect.that(
            bool((count[~filled] == 0).all()),
            f"{name}:{'counted_as_1' if bool((count[~filled] == 1).all()) else 'counted'}",
            "the count of a bin without any example should be 0",
        )
        nothing = accuracy[~filled].double()
        unlike = "nan" if bool(nothing.isnan().any()) else "accuracy"
        expect.that(
            bool((nothing == 0).all()),
            f"{name}:{unlike}",
            f"the accuracy of a bin without any example should be 0, but it is {float(nothing[0]):.4g}",
        )
        expect.close(count, batch.count, "count", f"{name}_count")
        _near(confidence[filled], batch.mean_confidence[filled], "confidence", code=f"{name}_confidence")
        _near(accuracy, batch.accuracy, "accuracy", code=f"{name}_accuracy")


@check("reliability_bins", points=2)
def has_as_many_bins_as_asked(student: Any, draw: Draw) -> None:
    """There are n_bins bins, 15 if nothing is said, and n_bins is the third argument."""
    few, many = draw.integer(8, 11), draw.integer(18, 20)
    _three(student, _batch(draw, _plan(draw, many), many), code="n_bins", n_bins=many)
    batch = _batch(draw, _plan(draw, few), few)
    confidence, accuracy, count = _three(student, batch, few, code="n_bins")
    expect.close(count, batch.count, "count", "n_bins_count")
    _near(confidence, batch.mean_confidence, "confidence", code="n_bins_confidence")
    _near(accuracy, batch.accuracy, "accuracy", code="n_bins_accuracy")
    _three(student, _batch(draw, _plan(draw)), code="default")


@check("reliability_bins", points=1)
def leaves_predictions_alone(student: Any, draw: Draw) -> None:
    """Probabilities and targets are left as they are, in float32 and in float64."""
    for dtype in (torch.float32, torch.float64):
        batch = _batch(draw, _plan(draw), dtype=dtype)
        seen = student.observe(expect.function(student.reliability_bins), batch.probs, batch.target, n_bins=BINS)
        expect.unchanged(batch.probs, seen.arguments[0], "probs")
        expect.unchanged(batch.target, seen.arguments[1], "target")
        _, _, count = _parts(seen.output, "dtype")
        expect.close(count, batch.count, "count", "dtype_count")


# -- expected_calibration_error ------------------------------------------------------------------------------------------


@check("expected_calibration_error", points=4)
def weighs_the_gaps(student: Any, draw: Draw) -> None:
    """The error is the mean over examples of |accuracy - confidence| of their bin, a fraction."""
    batch = _apart(draw, under=True)
    expect.close(_ece(student, batch, n_bins=BINS), batch.ece, _ERROR, "value", *_CLOSE, _wrong_errors(batch))


@check("expected_calibration_error", points=2)
def does_not_let_gaps_cancel(student: Any, draw: Draw) -> None:
    """A bin that is too sure of itself does not make up for one that is not sure enough."""
    batch = _apart(draw, under=False)
    expect.close(_ece(student, batch, n_bins=BINS), batch.ece, _ERROR, "value", *_CLOSE, _wrong_errors(batch))
    # Two bins with gaps of +g and -g: what cancels is 0.
    plan = [(b, 10, hits, False) for b, hits in ((6, 9), (12, 5))]
    batch = _batch(draw, plan)
    known = {"total": [float(batch.gaps.mul(batch.count).sum()) / 20 * s for s in (1, -1)]}
    expect.close(_ece(student, batch, n_bins=BINS), batch.ece, _ERROR, "cancels", *_CLOSE, known)


@check("expected_calibration_error", points=2)
def counts_certain_predictions(student: Any, draw: Draw) -> None:
    """Predictions with a confidence of exactly 1 count like all others."""
    batch = _batch(draw, [*_plan(draw), (BINS - 1, 9, 3, True)])
    rest, certain = batch.per_bin(batch.hit - batch.confidence), batch.confidence == 1
    kept = rest.clone()
    kept[-1] -= (batch.hit - batch.confidence)[certain].sum()
    first = kept.clone()
    first[0] += rest[-1] - kept[-1]
    known = {
        "lost": [float(kept.abs().sum()) / n for n in (len(batch.hit), len(batch.hit) - 9)],
        "in_the_first": float(first.abs().sum()) / len(batch.hit),
        "no_last_bin": float(rest[:-1].abs().sum()) / len(batch.hit),
    }
    expect.close(_ece(student, batch, n_bins=BINS), batch.ece, _ERROR, "certain", *_CLOSE, known)
    # All certain, a third of them wrong.
    batch = _batch(draw, [(BINS - 1, 9, 6, True)])
    result = _ece(student, batch, n_bins=BINS)
    expect.close(result, 1 / 3, "the error of nine certain predictions, six of them right,", "all_certain", *_CLOSE,
                 {"zero": 0.0, "accuracy": 2 / 3})  # fmt: skip


@check("expected_calibration_error", points=1)
def weighs_an_example_on_an_edge_once(student: Any, draw: Draw) -> None:
    """An example whose confidence is exactly the edge between two bins adds to one of them, whichever, and not to both."""
    # All have the same confidence, so that both ways of deciding give the same error.
    probs, target, hits = _on_edges(draw, 4 / EIGHTHS)
    right = hits / len(probs) - 4 / EIGHTHS
    value = expect.call(student.expected_calibration_error, probs, target, n_bins=EIGHTHS, what=_NAME)
    expect.close(value, right, f"{_ERROR} of {len(probs)} examples with a confidence of 1/2, {hits} of them right,", "edge",
                 *_CLOSE, {"twice": 2 * right, "never": 0.0})  # fmt: skip


@check("expected_calibration_error", points=2)
def ignores_empty_bins(student: Any, draw: Draw) -> None:
    """Empty bins add nothing, and never NaN; one example is enough."""
    # All but one right in the lower two of four bins, one right in the upper two: gaps to both sides, and of different weights.
    chosen, sizes = _some_bins(draw), draw.sizes(4, 3, 9)
    batch = _batch(
        draw, [(b, n, n - 1 if i < 2 else 1, False) for i, (b, n) in enumerate(zip(chosen, sizes, strict=True))]
    )
    gaps = batch.gaps.abs()
    known = {"mean_over_all_bins": float(gaps.mean()), "mean_over_filled_bins": float(gaps[batch.count > 0].mean())}
    expect.close(_ece(student, batch, n_bins=BINS), batch.ece, _ERROR, "empty", *_CLOSE, known)
    for hits in (1, 0):
        batch = _batch(draw, [(chosen[-1], 1, hits, False)])
        what = f"the error of one example, which is {'right' if hits else 'wrong'},"
        confidence = float(batch.confidence)
        known = {"mean_over_all_bins": batch.ece / BINS, "0": 0.0, "other_way": 1 - batch.ece, "confidence": confidence}
        expect.close(_ece(student, batch, n_bins=BINS), batch.ece, what, f"single_{hits}", *_CLOSE, known)


@check("expected_calibration_error", points=2)
def takes_the_number_of_bins(student: Any, draw: Draw) -> None:
    """n_bins says how many bins there are, 15 if nothing is said, and is the third argument."""
    few = draw.integer(2, 3)
    while True:
        batch = _batch(draw, _plan(draw))
        errors = {n: _error_in_coarse_bins(batch, n) for n in (1, 2, 3, 5, 10, BINS)}
        if all(b - a > 1e-3 for a, b in pairwise(sorted(errors.values()))):
            break
    known: dict[str, Any] = {f"always_{n}": error for n, error in errors.items()}
    expect.close(_ece(student, batch, n_bins=BINS), errors[BINS], f"{_ERROR} with 15 bins", "fine", *_CLOSE)
    for code, arguments, options in (("few", (), {"n_bins": few}), ("positional", (few,), {})):
        others = {name: error for name, error in known.items() if name != f"always_{few}"}
        result = _ece(student, batch, *arguments, **options)
        expect.close(result, errors[few], f"{_ERROR} with {few} bins", code, *_CLOSE, others)
    expect.close(_ece(student, batch), errors[BINS], f"{_ERROR} with the default bins", "default", *_CLOSE, known)


@check("expected_calibration_error", points=1)
def looks_at_the_first_choice_only(student: Any, draw: Draw) -> None:
    """How the rest is spread over the other classes makes no difference, nor does the order of the examples."""
    batch = _batch(draw, _plan(draw))
    first = expect.scalar(_ece(student, batch, n_bins=BINS), _ERROR)
    # All probabilities but the largest move on by one class, past the largest.
    moved = batch.probs.clone()
    others = torch.arange(CLASSES) != batch.probs.argmax(1, keepdim=True)
    moved[others] = batch.probs[others].view(len(moved), CLASSES - 1).roll(1, dims=1).flatten()
    order = draw.permutation(len(moved))
    for code, probs, target in (
        ("rest", moved, batch.target),
        ("order", batch.probs[order], batch.target[order]),
    ):
        what = {"rest": "the error after the other classes changed places", "order": "the error in another order"}[code]
        again = expect.call(student.expected_calibration_error, probs, target, n_bins=BINS, what=_NAME)
        expect.close(again, first, what, f"{code}:matters", *_CLOSE)


@check("expected_calibration_error", points=1)
def measures_without_touching(student: Any, draw: Draw) -> None:
    """Probabilities and targets are left as they are, in float32 and in float64."""
    for dtype in (torch.float32, torch.float64):
        batch = _batch(draw, _plan(draw), dtype=dtype)
        seen = student.observe(expect.function(student.expected_calibration_error), batch.probs, batch.target, BINS)
        expect.unchanged(batch.probs, seen.arguments[0], "probs")
        expect.unchanged(batch.target, seen.arguments[1], "target")
        expect.close(seen.output, batch.ece, _ERROR, "dtype", *_CLOSE)


# -- fit_temperature -----------------------------------------------------------------------------------------------------


@check("fit_temperature", points=4)
def softens_a_network_that_is_too_sure(student: Any, draw: Draw) -> None:
    """Where the network is too sure of itself, the best temperature, above 1, is found to 1 %."""
    problem = _problem(draw, draw.integer(17, 29) / 10 + draw.uniform(0.045, 0.055))
    _expect_best(_temperature(student, problem), problem, "soft")


@check("fit_temperature", points=4)
def sharpens_a_network_that_is_not_sure_enough(student: Any, draw: Draw) -> None:
    """Where the network is not sure enough, the best temperature, below 1, is found to 1 %."""
    problem = _problem(draw, (0.32, 0.33, 0.37, 0.38, 0.42, 0.43)[draw.integer(0, 5)] + draw.uniform(-0.0015, 0.0015))
    _expect_best(_temperature(student, problem), problem, "sharp")


@check("fit_temperature", points=3)
def finds_temperatures_far_from_one(student: Any, draw: Draw) -> None:
    """It is found wherever between 0.05 and 20 it lies."""
    small = (0.065, 0.075, 0.085)[draw.integer(0, 2)] + draw.uniform(-0.0015, 0.0015)
    large = draw.integer(14, 17) + draw.uniform(0.2, 0.3)
    said, wrong = [], []
    for name, best in (("small", small), ("large", large)):
        try:
            _expect_best(_temperature(student, problem := _problem(draw, best)), problem, name)
        except expect.Failure as failure:
            said.append(failure.code.replace(":", "_"))
            wrong.append(failure.message)
    # Which of the two is wrong, and how, tells apart where a search begins, ends and stops.
    expect.that(not said, f"far:{'+'.join(said)}", "; ".join(wrong))


@check("fit_temperature", points=2)
def does_not_mind_an_offset(student: Any, draw: Draw) -> None:
    """Adding a number to all logits of a row changes no probability, and so not the temperature either."""
    problem = _problem(draw, draw.integer(17, 29) / 10 + draw.uniform(0.045, 0.055))
    offset = draw.signed(len(problem.target), 1) * 600 + 300  # to both sides, and positive on average
    moved = replace(problem, logits=problem.logits + offset)
    _expect_best(_temperature(student, moved), moved, "offset")


@check("fit_temperature", points=2)
def leaves_logits_and_gradients_alone(student: Any, draw: Draw) -> None:
    """Logits, targets and the logits' gradient end as they were, and the result is a number without a graph."""
    problem = _problem(draw, draw.integer(17, 29) / 10 + draw.uniform(0.045, 0.055))
    seen = expect.call(
        student.fixture(fitted_beside_gradients),
        expect.function(student.fit_temperature, "fit_temperature"),
        problem.logits,
        problem.target,
    )
    after = seen if isinstance(seen, dict) else {}
    for key, code, message in (
        (
            "values",
            "input:changed",
            "the logits were changed by the call: compute new tensors instead of writing into them",
        ),
        ("target", "input:target", "the targets were changed by the call"),
        ("wants", "gradient:switched_off", "the logits wanted a gradient before the call, and no longer do"),
        ("gradient", "gradient:left", "the call left a gradient in the logits: work on logits.detach()"),
        ("plain", "gradient:graph", "the temperature carries a graph: return a plain number, such as t.item()"),
    ):
        expect.that(after.get(key) is True, code, message)


@fixture
def fitted_beside_gradients(fit: Any, logits: torch.Tensor, target: torch.Tensor) -> dict[str, bool]:
    """Call it on logits that want a gradient and have one from elsewhere, as parameters would."""
    z, y = logits.clone().requires_grad_(), target.clone()
    z.grad = torch.ones_like(z)
    t = fit(z, y)
    return {
        "values": bool((z == logits).all()),
        "target": bool((y == target).all()),
        "wants": z.requires_grad,
        "gradient": z.grad is not None and bool((z.grad == 1).all()),
        "plain": not (isinstance(t, torch.Tensor) and t.requires_grad),
    }


# -- shared: bins --------------------------------------------------------------------------------------------------------

_NAME = "expected_calibration_error"
_ERROR = "the calibration error"
_CLOSE = (1e-5, 1e-5)
"""Relative and absolute: sums of a hundred float32 numbers, in whatever order, are nearer than that."""

Plan = list[tuple[int, int, int, bool]]
"""For each bin: its number, examples, right ones, and whether their confidence is exactly 1."""


def _plan(draw: Draw, n_bins: int = BINS) -> Plan:
    """Fill every bin, with numbers that differ, and gaps of 0.1 at least to both sides."""
    plan: Plan = []
    for b in range(n_bins):
        members, middle = (3, 4, 5, 7, 9, 10)[(b + draw.integer(0, 1)) % 6], (b + 0.5) / n_bins
        far = [h for h in range(members + 1) if abs(h / members - middle) > 0.5 / n_bins + 0.1]
        above, below = [h for h in far if h / members > middle], [h for h in far if h / members < middle]
        # The nearest few to either side, by turns.
        side = (above[:3] or below[-3:]) if b % 2 else (below[-3:] or above[:3])
        plan.append((b, members, side[draw.integer(0, len(side) - 1)], False))
    return plan


def _some_bins(draw: Draw) -> list[int]:
    """Return four bins that do not touch, the last two not among them."""
    first = draw.integer(2, 3)
    return [first, first + 3, first + 6, first + 9]


def _batch(draw: Draw, plan: Plan, n_bins: int = BINS, dtype: torch.dtype = torch.float32) -> Batch:
    """Return rows of CLASSES probabilities as planned, in random order.

    Confidences are in the lower part of every other bin and in the upper part of the rest, nowhere near an edge or the middle,
    so that no mean of them is the centre.
    """
    each = [(b, i < hits, certain) for b, members, hits, certain in plan for i in range(members)]
    each = [each[k] for k in draw.permutation(len(each)).tolist()]
    place, right, certain = (torch.tensor(column) for column in zip(*each, strict=True))
    width, n = 1 / n_bins, len(each)
    low = torch.where(place % 2 == 1, 0.12, 0.6)
    least = ((place + low) * width).clamp(min=1 / CLASSES + 0.02 * width)
    most = torch.maximum((place + low + 0.28) * width, least + 0.02 * width)
    confidence = torch.where(certain, 1.0, least + (most - least) * _uniform(draw, n)).double().unsqueeze(1)
    # The others are smaller, and as different as that lets them be.
    others = _uniform(draw, n, CLASSES - 1) - 0.5
    others -= others.mean(1, keepdim=True)
    even = (1 - confidence) / (CLASSES - 1)
    room = 0.9 * (confidence - even) / (even * others.amax(1, keepdim=True)).clamp(min=1e-9)
    others = even * (1 + others * room.clamp(max=1.0))
    order = draw.permutations(n, CLASSES)
    probs = torch.empty(n, CLASSES, dtype=torch.float64).scatter(1, order, torch.cat([confidence, others], 1)).to(dtype)
    target = torch.where(right, order[:, 0], order.gather(1, 1 + draw.labels(n, CLASSES - 1)[:, None]).squeeze(1))
    return Batch(probs, target, probs.amax(1).double(), right.double(), place, n_bins)


EIGHTHS = 8
"""Edges of eight bins are exact numbers, however they are computed."""


def _on_edges(draw: Draw, *edges: float) -> tuple[Tensor, Tensor, int]:
    """Return probabilities of 12 rows for each edge, whose confidence it is, with labels, and how many of them are right."""
    confidence = torch.tensor(edges).repeat(12)
    n, order = len(confidence), draw.permutations(12 * len(edges), CLASSES)
    others = ((1 - confidence) / (CLASSES - 1)).unsqueeze(1).expand(n, CLASSES - 1)
    probs = torch.empty(n, CLASSES).scatter(1, order, torch.cat([confidence.unsqueeze(1), others], 1))
    right = torch.arange(n) < 3 * n // 4
    return probs, torch.where(right, order[:, 0], order[:, 1]), int(right.sum())


def _uniform(draw: Draw, *shape: int) -> Tensor:
    """Return float64 numbers between 0 and 1."""
    return draw.signed(*shape, dtype=torch.float64).abs() - 0.5


def _three(student: Any, batch: Batch, *args: Any, code: str = "bins", **options: Any) -> list[Tensor]:
    parts = _parts(
        expect.call(student.reliability_bins, batch.probs, batch.target, *args, what="reliability_bins", **options),
        code,
    )
    for name, part in zip(("confidence", "accuracy", "count"), parts, strict=True):
        _length(part, batch, name, code)
    return parts


def _parts(value: Any, code: str) -> list[Tensor]:
    """Expect three tensors, in a tuple, in a list or stacked; return them."""
    if isinstance(value, Tensor) and value.dim() == 2 and len(value) == 3:
        value = list(value)
    if not isinstance(value, (tuple, list)):
        expect.tensor(value, "the result")  # what it is instead
        raise expect.Failure(f"{code}:one_tensor", "the result should be three tensors: confidence, accuracy, count")
    expect.that(
        len(value) == 3,
        f"{code}:not_three",
        f"the result should be three tensors, confidence, accuracy and count, got {len(value)} values",
    )
    names = ("confidence", "accuracy", "count")
    return [expect.tensor(part, name, finite=False) for part, name in zip(value, names, strict=True)]


def _length(part: Tensor, batch: Batch, name: str, code: str) -> None:
    n, shape = batch.n_bins, tuple(part.shape)
    if shape == (n,):
        return
    filled, last = len(batch.place.unique()), int(batch.place.max())
    seen = {
        (n + 1,): "one_more", (n - 1,): "one_less", (BINS,): "always_15", (last + 1,): "cut_off", (filled,): "filled_only",
    }.get(shape, "shape")  # fmt: skip
    seen = "numbers" if not shape else "per_example" if shape == (len(batch.hit),) else seen
    raise expect.Failure(f"{code}:{seen}", f"{name} should have shape ({n},), one number for each bin, got {shape}")


def _near(
    actual: Tensor, expected: Tensor, what: str, known: Mapping[str, Tensor] | None = None, code: str | None = None
) -> None:
    expect.close(actual, expected, what, code or what, *_CLOSE, candidates=known)


def _wrong_counts(batch: Batch) -> dict[str, Tensor]:
    """Return what known mistakes count."""
    n, count = batch.n_bins, batch.count

    def counted(values: Tensor, **options: Any) -> Tensor:
        return torch.from_numpy(np.histogram(values.double().numpy(), n, **options)[0]).double()

    first, last = count.clone(), count.clone()
    first[0] = last[-1] = 0
    certain = batch.probs.double().softmax(1).amax(1)
    return {
        "fraction": count / len(batch.hit),
        "of_the_true_class": counted(batch.probs.gather(1, batch.target[:, None]), range=(0, 1)),
        "of_all_classes": counted(batch.probs, range=(0, 1)),
        "from_least_to_most": counted(batch.confidence),
        "from_chance": counted(batch.confidence, range=(1 / CLASSES, 1)),
        "from_one_half": counted(batch.confidence, range=(0.5, 1)),
        "softmax_again": counted(certain, range=(0, 1)),
        "least_probable": counted(batch.probs.amin(1), range=(0, 1)),
        "to_the_nearest": batch.per_bin(
            torch.ones_like(batch.hit), (batch.place + 1 - batch.place % 2).clamp(max=n - 1)
        ),
        "cumulative": count.flip(0).cumsum(0).flip(0),
        "cumulative_up": count.cumsum(0),
        "first_lost": first,
        "last_lost": last,
        "moved_down": count.roll(-1),
        "moved_up": count.roll(1),
        "reversed": count.flip(0),
        "only_right": batch.per_bin(batch.hit),
        "only_wrong": batch.per_bin(1 - batch.hit),
        "confidence": batch.mean_confidence,
        "accuracy": batch.accuracy,
        "at_least_1": count.clamp(min=1),
    }


def _ece(student: Any, batch: Batch, *args: Any, **options: Any) -> Any:
    return expect.call(student.expected_calibration_error, batch.probs, batch.target, *args, what=_NAME, **options)


def _wrong_errors(batch: Batch) -> dict[str, Any]:
    """Return what known mistakes give: a number, or several."""
    n, count, gaps = len(batch.hit), batch.count, batch.gaps
    weights, sizes = count / n, gaps.abs()
    total = float((weights * gaps).sum())
    centre = (torch.arange(batch.n_bins).double() + 0.5) / batch.n_bins
    one_hot = functional.one_hot(batch.target, CLASSES).double()
    by_confidence = batch.confidence.argsort()
    off = (batch.hit - batch.confidence)[by_confidence]
    equal = np.array_split(off.numpy(), batch.n_bins)
    ece = batch.ece
    return {
        "total": total,
        "minus_total": -total,
        "mean_over_bins": float(sizes.mean()),
        "sum_of_gaps": float(sizes.sum()),
        "largest": float(sizes.max()),
        "squared": float((weights * gaps**2).sum()),
        "root": math.sqrt(float((weights * gaps**2).sum())),
        "percent": 100 * ece,
        "counts": n * ece,
        "over_bins": ece / batch.n_bins,
        "one_minus": 1 - ece,
        "minus": -ece,
        "centre": float((weights * (batch.accuracy - centre).abs()).sum()),
        "each_example": float(off.abs().mean()),
        "brier": [float((batch.probs.double() - one_hot).square().sum(1).mean()) / k for k in (1, CLASSES)],
        "error": float((weights * (1 - batch.accuracy - batch.mean_confidence).abs()).sum()),
        "equal_mass": sum(abs(float(part.sum())) for part in equal) / n,
        "only_too_sure": float((weights * (-gaps).clamp(min=0)).sum()),
        "only_too_shy": float((weights * gaps.clamp(min=0)).sum()),
        "accuracy": float(batch.hit.mean()),
        "confidence": float(batch.confidence.mean()),
        "rounded": [round(ece, digits) for digits in (1, 2, 3)],
        "nll": float(-batch.probs.double().gather(1, batch.target[:, None]).log().mean()),
        "one_less": ece * n / (n - 1),
        "softmax_again": float((batch.hit - batch.probs.double().softmax(1).amax(1)).mean().abs()),
    }


def _apart(draw: Draw, under: bool) -> Batch:
    """Return a batch, on the whole not sure enough or too sure, for which no two of the wrong values are alike."""
    while True:
        batch = _batch(draw, _plan(draw))
        known = _wrong_errors(batch)
        if (known["total"] > 0) is not under:
            continue
        single = [batch.ece, *(v for name, v in known.items() if name not in ("rounded", "brier"))]
        apart = all(b - a > 1e-4 for a, b in pairwise(sorted([*single, *known["brier"]])))
        if apart and all(abs(a - b) > 1e-4 for a in known["rounded"] for b in single):
            return batch


def _error_in_coarse_bins(batch: Batch, n: int) -> float:
    """Return the error of a batch of 15 bins in n, a divisor of 30: confidences stay clear of the middles of bins too."""
    halves = 2 * batch.place + (batch.place % 2 == 0).long()
    return replace(batch, place=halves // (30 // n), n_bins=n).ece


# -- shared: temperature -------------------------------------------------------------------------------------------------

RIGHT_OF_40 = (21, 27, 33, 37)
"""How many of 40 rows of the same confidence are right: 52.5, 67.5, 82.5 and 92.5 %, at no edge of 10, 15 or 20 bins."""
REST = (0.5, 0.25, 0.15, 0.07, 0.03)
"""How what is left is spread over the other classes."""
STRETCH = 1.2
"""How many times the temperature that calibrates the first choice the best one is: the two cannot be confused."""


@dataclass(frozen=True)
class Problem:
    """Logits and targets, and the temperatures at which the cross-entropy and the calibration error are smallest."""

    logits: Tensor
    target: Tensor
    best: float
    calibrating: float


def _problem(draw: Draw, best: float) -> Problem:
    """Make logits whose best temperature is known without looking for it.

    The derivative of the cross-entropy is 0 where the true classes' logits add up to what the softmax expects of them. So
    rows come first, then the labels: first choices are right as often as makes them calibrated at `best / STRETCH`, and where
    they are not, the other labels are chosen such that the sum comes out at `best`, to less than 5e-4 of the temperature.
    """
    calibrating = best / STRETCH
    first = torch.tensor(RIGHT_OF_40, dtype=torch.float64).repeat_interleave(40).unsqueeze(1) / 40
    hits = [i < right for right in RIGHT_OF_40 for i in range(40)]
    spread = torch.tensor(REST, dtype=torch.float64) * (0.9 + 0.2 * _uniform(draw, len(hits), len(REST)))
    z = calibrating * torch.cat([first, (1 - first) * spread / spread.sum(1, keepdim=True)], 1).log()
    due = float(((z / best).softmax(1) * z).sum() - z[torch.tensor(hits), 0].sum())
    logits_of = z.tolist()
    wrong = [i for i in draw.permutation(len(hits)).tolist() if not hits[i]]
    labels = [0] * len(hits)
    while len(wrong) > 4:  # the label nearest to what is due on average
        i, mean = wrong.pop(), due / (len(wrong) + 1)
        labels[i] = min(range(1, 1 + len(REST)), key=lambda k: abs(logits_of[i][k] - mean))
        due -= logits_of[i][labels[i]]
    ends = product(range(1, len(REST) + 1), repeat=4)
    end = min(ends, key=lambda ks: abs(due - sum(logits_of[i][k] for i, k in zip(wrong, ks, strict=True))))
    for i, k in zip(wrong, end, strict=True):
        labels[i] = k
    # Classes change places in each row, rows in the batch, and each row has its mean at 0: logits are not log-probabilities.
    z = z - z.mean(1, keepdim=True)
    places = draw.permutations(*z.shape)
    target = places.gather(1, torch.tensor(labels)[:, None]).squeeze(1)
    order = draw.permutation(len(hits))
    logits = torch.empty_like(z).scatter(1, places, z)
    return Problem(logits[order].float(), target[order], best, calibrating)


def _temperature(student: Any, problem: Problem) -> float:
    value = expect.call(student.fit_temperature, problem.logits, problem.target, what="fit_temperature")
    return expect.scalar(value, "the temperature")


def _expect_best(t: float, problem: Problem, code: str) -> None:
    """Expect the best temperature, to 1 % and the 5e-4 to which it is known."""
    best = problem.best
    if abs(t / best - 1) <= 0.0105:
        return
    loss = float(functional.cross_entropy(problem.logits.double() / best, problem.target))
    named = {
        "loss": (loss, 1e-4), "one": (1.0, 1e-6), "inverse": (1 / best, 0.015), "log": (math.log(best), 0.015),
        "minus_log": (-math.log(best), 0.015), "minus": (-best, 0.015), "squared": (best**2, 0.015),
        "root": (math.sqrt(best), 0.015), "calibrating": (problem.calibrating, 0.015), "percent": (100 * best, 0.015),
    }  # fmt: skip
    grids = (step for step in (0.5, 0.25, 0.1, 0.05, 0.01) if abs(t / step - round(t / step)) < 1e-4 and t != 1)
    seen = next((f"grid_of_{step:g}" for step in grids if abs(t - best) <= 0.6 * step), None)
    seen = seen or _objective_met(t, problem)
    seen = seen or next((n for n, (v, near) in named.items() if abs(t - v) <= near * abs(v)), None)
    seen = seen or _side(t, best)
    raise expect.Failure(f"{code}:{seen}", f"the temperature should be {best:.4g}, to 1 %, but it is {t:.4g}")


def _objective_met(t: float, problem: Problem) -> str | None:
    """Say whether a softmax over the wrong axis gives less at t than a little to either side, and than at the best T."""
    z, y = problem.logits.double(), problem.target
    if t <= 0:
        return None
    one_hot = functional.one_hot(y, z.shape[1]).double() / len(y)
    here, *around = (-float(((z / s).log_softmax(0) * one_hot).sum()) for s in (t, t / 1.001, t * 1.001, problem.best))
    return "over_the_batch" if here < min(around) else None


def _side(t: float, best: float) -> str:
    """Say where t lies, seen from 1: not as far as the best temperature, beyond it, or on the other side."""
    if t <= 0:
        return "not_positive"
    way = math.log(t) / math.log(best)
    return "wrong_way" if way < 0 else "short" if way < 1 else "beyond"
