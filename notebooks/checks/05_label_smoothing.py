"""Public checks of 05_label_smoothing.

Nothing here is a matter of chance: values are compared with sums in double precision. A right answer in float32 is off by a
few units in the last place, 1e-7 of what it adds up, so losses of ordinary logits pass within 1e-5. Logits near 1e4 are
multiples of 2^-10 = 0.001, so whoever adds such numbers up (by `logsumexp`, say) is right to a few thousandths, and passes
within HUGE_SLACK.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.student import Later, Plan, Remote, StudentError

# `F.cross_entropy` itself is fine, on targets of one's own: it is its argument that would be the answer. The other names are
# what it calls, for whoever goes there directly.
_LIBRARY = ("label_smoothing=", "cross_entropy_loss", "linear_cross_entropy")

EXERCISES = (
    Exercise(
        "smooth_labels",
        hints=(
            "The formula has two terms. Which of them is the same number for all classes and all examples, and what does the "
            "other one look like when alpha is 0?",
            "Start from the one-hot table y: N rows, num_classes columns, a single 1 in each row, in floating point. "
            "`F.one_hot(target, num_classes)` makes it, in integers. Why not let it find the number of classes by itself?",
            "Multiply the table by 1 - alpha and add alpha / num_classes to every entry, that of the true class too. "
            "Broadcasting adds a number to a whole table.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "LabelSmoothingCrossEntropy",
        hints=(
            "The loss of one example is a sum over classes, of a target times a logarithm, with a minus in front. Which of the "
            "two do you have already, and which function gives the other without a softmax on the way?",
            "Check alpha and reduction in __init__ and keep them. In forward, logits.shape[1] is the number of classes: "
            "smooth_labels makes the targets from it, logits.log_softmax(dim=1) the logarithms. Multiply, sum over dim=1.",
            "That sum, with its sign turned, is one number an example: what “none” asks for. Return its mean() or its sum() "
            "for the other two. Log-softmax subtracts the largest logit before it takes exponentials: so it stays finite.",
        ),
        forbids=_LIBRARY,
        uses=("smooth_labels",),
    ),
)

_NAME = "LabelSmoothingCrossEntropy"
REDUCTIONS = ("mean", "sum", "none")

HUGE = 1e4
HUGE_SLACK = 0.02
"""What a loss of logits near HUGE may be off by: 20 spacings of float32 numbers there."""

APART = 2e-3
"""How far any two known results of a batch are from each other, so that a wrong one is never taken for another."""


# -- smooth_labels -------------------------------------------------------------------------------------------------------


@check("smooth_labels", points=4)
def spreads_alpha_over_all_classes(student: Any, draw: Draw) -> None:
    """The true class gets 1 - alpha + alpha/K, each other class alpha/K, for a small alpha and for a large one."""
    # The large one first: with it random labels, if somebody draws such, differ from the true ones in all batches but 1e-7.
    plan, calls = student.together(), []
    for low, high in ((0.6, 0.8), (0.06, 0.2)):
        target, classes = _labels(draw), draw.integer(8, 9)
        calls.append(_smoothed(student, plan, target, classes, draw.probability(low, high), "value"))
    for are_right in calls:
        are_right()


@check("smooth_labels", points=1)
def rows_are_distributions(student: Any, draw: Draw) -> None:
    """No target is negative, and those of an example sum to 1."""
    target, classes, alpha = _labels(draw), draw.integer(8, 9), draw.probability()
    targets = _table(student, student.together(), target, classes, alpha)().double()
    expect.that(
        not bool((targets < -1e-6).any()), "sign:negative", f"targets are probabilities, but one is {targets.min():.4g}"
    )
    sums = targets.sum(1)
    if bool(((sums - 1).abs() <= 1e-6).all()):
        return
    wrong = {name: table.sum(1) for name, table in _wrong_targets(target, classes, alpha).items()}
    expect.close(sums, torch.ones(len(target)), "the sum of each row", "sum", candidates=wrong)


@check("smooth_labels", points=1)
def serves_every_alpha(student: Any, draw: Draw) -> None:
    """With alpha = 0 targets are one-hot, with alpha = 1 the same for every class; 0 and 1 may be integers."""
    plan = student.together()
    calls = [_smoothed(student, plan, _labels(draw), 8, alpha, f"alpha{alpha:g}") for alpha in (0.0, 0, 1.0, 1)]
    for are_right in calls:
        are_right()


@check("smooth_labels", points=1)
def serves_every_batch(student: Any, draw: Draw) -> None:
    """One example, two classes, or a batch in which every class occurs; called with names; and the target is left as it is."""
    smooth, classes = expect.function(student.smooth_labels, "smooth_labels"), draw.integer(5, 7)
    plan, calls = student.together(), []
    for name, target, count in (
        ("one", torch.tensor([2]), classes),
        ("two", draw.permutation(2).repeat(4), 2),
        ("all", draw.permutation(classes).repeat(2), classes),
    ):
        alpha = draw.probability()
        calls.append((name, target, count, alpha, plan.call(smooth, target=target, num_classes=count, alpha=alpha)))
    observed = _labels(draw)
    seen = plan.observe(smooth, observed, 8, 0.1)
    for name, target, count, alpha, call in calls:
        targets = _read(call.get(), target, count, alpha)
        what = f"with {len(target)} examples and {count} classes, the targets"
        expect.close(targets, _targets(target, count, alpha), what, f"batch_{name}")
    expect.unchanged(observed, seen.get().arguments[0], "target")


# -- LabelSmoothingCrossEntropy ------------------------------------------------------------------------------------------


@check("LabelSmoothingCrossEntropy", points=5)
def is_the_cross_entropy_with_smoothed_targets(student: Any, draw: Draw) -> None:
    """The loss is the mean over examples of minus the sum over classes of target times log-probability."""
    plan, calls = student.together(), []
    for low, high in ((0.06, 0.2), (0.6, 0.8)):
        logits, target, alpha, right, wrong = _telling_batch(draw, low, high)
        calls.append((right, wrong, _Loss(student, plan, alpha=alpha).value(logits, target)))
    for right, wrong, call in calls:
        _agrees(call(), right, lambda wrong=wrong: wrong, "value")


@check("LabelSmoothingCrossEntropy", points=3)
def reduces_as_asked(student: Any, draw: Draw) -> None:
    """A loss for each example is what "none" gives, (N,); "mean" gives their mean and "sum" their sum, as one number."""
    logits, target, alpha = _batch(draw)
    plan = student.together()
    calls = {
        reduction: _Loss(student, plan, alpha=alpha, reduction=reduction).value(logits, target)
        for reduction in ("none", "mean", "sum")
    }
    each = _each(calls["none"](), logits)
    mean, total = float(each.double().mean()), float(each.double().sum())
    known = {"mean": mean, "sum": total, "over_classes": mean / logits.shape[1], "first": float(each[0])}
    failures = []
    for reduction, right in (("mean", mean), ("sum", total)):
        value = calls[reduction]()
        what = f"the {reduction} of what you return for “none”"
        try:
            _agrees(value, right, lambda: known, reduction, what)
        except expect.Failure as failure:
            failures.append(failure)
    if len(failures) == 2:
        codes = "_".join(failure.code.rpartition(":")[2] for failure in failures)
        raise expect.Failure(f"both:{codes}", failures[0].message)
    if failures:
        raise failures[0]


@check("LabelSmoothingCrossEntropy", points=3)
def is_right_for_huge_logits(student: Any, draw: Draw) -> None:
    """With logits of 1e4 and -1e4 the loss and its gradient are finite, and right."""
    alpha, batches = draw.probability(), _huge(draw)
    plan = student.together()
    calls = {name: _Loss(student, plan, alpha=alpha).slope(*batch) for name, batch in batches.items()}
    seen = {name: call() for name, call in calls.items()}
    lost = [
        name
        for name, s in seen.items()
        if isinstance(s.output, Tensor) and not bool(s.output.double().isfinite().all())
    ]
    if lost:
        first = seen[lost[0]].output.flatten()[0].item()
        raise expect.Failure(
            "not_finite:" + "_".join(lost),
            f"logits of 1e4 should give a finite loss, but they give {first}: is an exponential too large, or a logarithm "
            "that of 0?",
        )
    for name, (logits, target) in batches.items():
        right, what = _mean(logits, target, alpha), f"the loss of logits near {HUGE:.0e}"

        def wrong(logits: Tensor = logits, target: Tensor = target) -> dict[str, float]:
            return _wrong_means(logits, target, alpha)

        try:
            _agrees(seen[name].output, right, wrong, name, what, slack=HUGE_SLACK)
        except expect.Failure as failure:
            if failure.code != "spread:clipped":
                raise
            # Clamped logits are all the same where all are huge.
            even = abs(expect.scalar(seen["above"].output) - math.log(logits.shape[1])) < HUGE_SLACK
            raise expect.Failure("spread:clamped" if even else failure.code, failure.message) from None
        # A log-sum-exp that is off by 20 spacings, 0.02, makes probabilities wrong by a factor exp(0.02).
        _gradient(seen[name], logits, target, alpha, f"{name}_gradient", slack=HUGE_SLACK / len(target))


@check("LabelSmoothingCrossEntropy", points=2)
def passes_a_gradient(student: Any, draw: Draw) -> None:
    """The gradient of each logit is its probability minus its target, over the size of the batch."""
    logits, target, alpha = _batch(draw)
    seen = _Loss(student, student.together(), alpha=alpha).slope(logits, target)()
    _gradient(seen, logits, target, alpha, "gradient")


@check("LabelSmoothingCrossEntropy", points=2)
def serves_every_alpha_and_batch(student: Any, draw: Draw) -> None:
    """Any alpha from 0 (plain cross-entropy) to 1 (the label does not matter) will do, and a single example, or two classes."""
    plan, calls = student.together(), []
    # As many examples as classes first: there a row's sum is taken for a column's without an error.
    for alpha, examples, classes in (
        (0, 5, 5),
        (0, 1, 6),
        (0.0, 9, 5),
        (1.0, 9, 5),
        (1, 8, 2),
        (draw.probability(), 1, 2),
    ):
        logits, target = draw.normal(examples, classes, scale=2), draw.labels(examples, classes)
        target[0] = classes - 1  # so that the largest label does tell how many classes there are
        calls.append((alpha, logits, target, _Loss(student, plan, alpha=alpha).value(logits, target)))
    for alpha, logits, target, call in calls:
        examples, classes = logits.shape
        family = f"alpha{alpha:g}" if alpha in (0, 1) else "alpha"
        what = f"with alpha = {alpha:g}, {examples} examples and {classes} classes, the loss"
        value = call()
        wrong = {
            "label_matters": _mean(logits, target, 0.0),
            "label_ignored": _mean(logits, target, 1.0),
            "zero": 0.0,
        }
        if examples == classes:
            wrong |= _without_keepdim(logits, target)
        _agrees(value, _mean(logits, target, alpha), lambda wrong=wrong: wrong, family, what)


@check("LabelSmoothingCrossEntropy", points=1)
def keeps_its_signature(student: Any, draw: Draw) -> None:
    """Made without arguments, it takes alpha = 0.1 and the mean; without names, alpha comes first, reduction second."""
    logits, target, *_ = _telling_batch(draw, 0.06, 0.2)
    plan = student.together()

    def planned(*args: Any, **options: Any) -> Callable[[], Any]:
        return _Loss(student, plan, *args, **options).value(logits, target)

    unsmoothed, summed = planned(alpha=0.0), planned(alpha=0.1, reduction="sum")
    given, mean = planned(), planned(alpha=0.1, reduction="mean")
    by_position, by_name = planned(0.3, "sum"), planned(alpha=0.3, reduction="sum")

    def own(loss: Callable[[], Any]) -> float:
        return expect.scalar(loss(), "the loss")

    known = {"alpha0": own(unsmoothed), "sum": own(summed)}
    value = given()
    right = own(mean)
    _agrees(
        value, right, lambda: known, "default", "made without arguments, what alpha = 0.1 and “mean” gave:", "alpha"
    )
    try:
        positions = by_position()
        _agrees(positions, own(by_name), dict, "positions", "the same loss, made without names,")
    except (StudentError, expect.Failure) as error:
        said = error.sentence() if isinstance(error, StudentError) else error.message
        raise expect.Failure(
            "signature:positions",
            "LabelSmoothingCrossEntropy(0.3, “sum”) should do the same as with names: is the order of the arguments kept? "
            f"{said}",
        ) from None


@check("LabelSmoothingCrossEntropy", points=1)
def refuses_alpha_outside_its_range(student: Any, draw: Draw) -> None:
    """An alpha below 0 or above 1 is a ValueError."""
    plan, accepted = student.together(), {}
    wrong = (-draw.probability(), -0.001, 1.001, 1 + draw.probability(), 5)
    calls = [(bad, _refuses(student, plan, draw, f"alpha = {bad:.4g}", "alpha", alpha=bad)) for bad in wrong]
    for bad, is_refused in calls:
        try:
            is_refused()
        except expect.Failure as failure:
            if failure.code != "alpha_refused:nothing":
                raise
            accepted["negative" if bad < 0 else "above_1"] = failure
    if accepted:
        first = next(iter(accepted.values()))
        raise expect.Failure("alpha_accepted:" + ("both" if len(accepted) > 1 else next(iter(accepted))), first.message)


@check("LabelSmoothingCrossEntropy", points=1)
def refuses_other_reductions(student: Any, draw: Draw) -> None:
    """A reduction that is none of the three is a ValueError."""
    plan, wrong = student.together(), ("average", "batchmean", "max")
    calls = [_refuses(student, plan, draw, f"reduction = “{bad}”", "reduction", reduction=bad) for bad in wrong]
    for is_refused in calls:
        is_refused()


@check("LabelSmoothingCrossEntropy", points=1)
def is_a_module_without_memory(student: Any, draw: Draw) -> None:
    """It is an nn.Module, the same in training and evaluation; a call leaves its inputs alone and nothing to the next call."""
    logits, target, alpha = _batch(draw)
    other, others_target = draw.normal(6, 5, scale=2), draw.labels(6, 5)
    plan = student.together()
    loss = _Loss(student, plan, alpha=alpha)
    observed = plan.observe(loss.made, logits, target)
    new = _Loss(student, plan, alpha=alpha).value(other, others_target)
    second, mode, evaluated = (
        loss.value(other, others_target), loss.mode(training=False), loss.value(other, others_target)
    )  # fmt: skip
    student.module(loss.remote())
    seen = observed.get()
    expect.unchanged(logits, seen.arguments[0], "logits")
    expect.unchanged(target, seen.arguments[1], "target")
    fresh = expect.scalar(new(), "the loss")
    _agrees(second(), fresh, dict, "memory", "in a second call, what a new loss gave:", "remembers")
    mode()
    _agrees(evaluated(), fresh, dict, "eval", "in evaluation mode, what training mode gave:", "differs")


# -- what is right, and what is not --------------------------------------------------------------------------------------


def _targets(target: Tensor, classes: int, alpha: float) -> Tensor:
    """The smoothed targets (N, K), in double precision."""
    is_class = torch.arange(classes) == target[:, None]
    return torch.where(is_class, 1 - alpha + alpha / classes, alpha / classes).double()


def _mean(logits: Tensor, target: Tensor, alpha: float) -> float:
    return float(_losses(logits, _targets(target, logits.shape[1], alpha)).mean())


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * _logarithms(logits.double())).sum(1)


def _logarithms(z: Tensor, dim: int = 1) -> Tensor:
    """Log-softmax in double precision. Torch's own starts threads even for a few numbers, and waits where cores are busy."""
    return z - z.logsumexp(dim, keepdim=True)


def _wrong_targets(target: Tensor, classes: int, alpha: float) -> dict[str, Tensor]:
    """What known mistakes make of the targets (N, K), by name."""
    y, share = _targets(target, classes, 0.0), alpha / classes
    others = alpha / (classes - 1)
    right = _targets(target, classes, alpha)
    first_only = y.clone()
    first_only[0] = right[0]
    return {
        "incorrect_only": y * (1 - alpha) + (1 - y) * others,
        "without_its_share": y * (1 - alpha) + (1 - y) * share,
        "rest_too_large": y * (1 - alpha + share) + (1 - y) * others,
        "one_hot": y,
        "swapped": y * alpha + (1 - alpha) / classes,
        "undivided": y * (1 - alpha) + alpha,
        "added": y + share,
        "renormalised": (y + share) / (1 + alpha),
        "shrunk": y * (1 - alpha),
        "true_only": y * (1 - alpha + share),
        "over_batch": y * (1 - alpha) + alpha / len(target),
        "subtracted": y * (1 - alpha) - share,
        "uniform": torch.full_like(y, 1 / classes),
        "inverted": (1 - y) * (1 - alpha) + share,
        "binary": y * (1 - alpha) + alpha / 2,
        "ten": y * (1 - alpha) + alpha / 10,
        "tenth": y * 0.9 + 0.1 / classes,
        "percent": y * (1 - alpha / 100) + share / 100,
        "softmax": _logarithms(right).exp(),
        "from_one": right.roll(-1, dims=1),
        "log": right.log() if alpha else y,
        "first_only": first_only,
        "per_class": right / right.sum(0),
    }


def _smoothed(student: Any, plan: Plan, target: Tensor, classes: int, alpha: float, code: str) -> Callable[[], None]:
    """Plan a call; what is returned expects the right targets."""
    table = _table(student, plan, target, classes, alpha)
    return lambda: _are_right(table(), target, classes, alpha, code)


def _are_right(got: Tensor, target: Tensor, classes: int, alpha: float, code: str) -> None:
    """Expect the right targets; name what came instead."""
    right, what = _targets(target, classes, alpha), f"with alpha = {alpha:g} and {classes} classes, the targets"
    if bool(((got.double() - right).abs() <= 1e-6).all()):
        return
    try:
        expect.close(got, right, what, code, candidates=_wrong_targets(target, classes, alpha))
    except expect.Failure as failure:
        if failure.code != code:
            raise
        hot = got.double()
        if alpha > 0 and bool(((hot == 0) | (hot == 1)).all()) and bool((hot.sum(1) == 1).all()):
            found = "other_labels"
        elif bool((got.double().gather(1, target[:, None]).std() > 1e-4).any()):
            found = "true_varies"
        else:
            rest = got.double()[torch.arange(classes) != target[:, None]]
            found = "rest_varies" if float(rest.std()) > 1e-4 else "other"
        raise expect.Failure(f"{code}:{found}", failure.message, failure.evidence) from None


def _table(student: Any, plan: Plan, target: Tensor, classes: int, alpha: float) -> Callable[[], Tensor]:
    """Plan a call of smooth_labels; what is returned expects floating-point numbers, (N, K)."""
    answer = plan.call(expect.function(student.smooth_labels, "smooth_labels"), target, classes, alpha)
    return lambda: _read(answer.get(), target, classes, alpha)


def _read(got: Any, target: Tensor, classes: int, alpha: float) -> Tensor:
    if isinstance(got, Tensor) and got.dim() == 2 and len(got) == len(target):
        columns = {int(target.max()) + 1: "largest_label", len(target.unique()): "labels_seen"}
        found = columns.get(got.shape[1]) if got.shape[1] != classes else None
        expect.that(
            found is None,
            f"shape:{found}",
            f"the targets should have {classes} columns, one a class, also where a class does not occur in the batch: "
            f"they have {got.shape[1]}",
        )
    targets = expect.tensor(got, "the targets", shape=(len(target), classes))
    kind = str(targets.dtype).removeprefix("torch.")
    expect.that(
        targets.is_floating_point(),
        "dtype:whole",
        f"the targets should be floating-point numbers: in {kind} there is no {alpha / classes:.4g}",
    )
    expect.that(
        targets.dtype in (torch.float32, torch.float64),
        "dtype:half",
        f"the targets should be float32 or float64, but they are {kind}, which holds three digits or fewer",
    )
    return targets


def _wrong_losses(logits: Tensor, target: Tensor, alpha: float) -> dict[str, Tensor]:
    """What known mistakes make of the loss of each example, (N,), by name."""
    examples, classes = logits.shape
    z, q, y = logits.double(), _targets(target, classes, alpha), _targets(target, classes, 0.0)
    log_p = _logarithms(z)
    p, right, nll, spread = log_p.exp(), -(q * log_p).sum(1), -(y * log_p).sum(1), -log_p.mean(1)
    sigmoids = z.clamp(min=0) - q * z + (1 + (-z.abs()).exp()).log()  # a yes-or-no cross-entropy for each class
    wrong = _wrong_targets(target, classes, alpha)
    same = (
        "incorrect_only",
        "without_its_share",
        "rest_too_large",
        "swapped",
        "undivided",
        "added",
        "shrunk",
        "inverted",
    )
    return {
        **{name: -(wrong[name] * log_p).sum(1) for name in same},
        "unsmoothed": nll,
        "label_ignored": spread,
        "true_only": nll * (1 - alpha + alpha / classes),
        "mixed_sum": alpha * nll + (1 - alpha) * classes * spread,
        "over_classes": right / classes,
        "softmax_twice": -(q * _logarithms(p)).sum(1),
        "over_batch": -(q * _logarithms(z, 0)).sum(1),
        "no_log": -(q * p).sum(1),
        "no_softmax": -(q * z).sum(1),
        "minus": -right,
        "base2": right / torch.tensor(2.0).log(),
        "base10": right / torch.tensor(10.0).log(),
        "divergence": right + (q * q.log()).sum(1) if alpha > 0 else right,
        "divergence_over_classes": (right + (q * q.log()).sum(1)) / classes if alpha > 0 else right,
        "reversed": -(p * q.log()).sum(1) if alpha > 0 else right,
        "squares": (p - q).square().sum(1),
        "mean_squares": (p - q).square().mean(1),
        "binary": sigmoids.sum(1),
        "binary_over_classes": sigmoids.mean(1),
        "scaled_twice": right / examples,
        "one_less": right * examples / (examples - 1),
        "zero": 0 * right,
    }


def _wrong_means(logits: Tensor, target: Tensor, alpha: float) -> dict[str, float]:
    """What known mistakes make of the mean loss, by name."""
    right = _losses(logits, _targets(target, logits.shape[1], alpha))
    means = {name: float(losses.mean()) for name, losses in _wrong_losses(logits, target, alpha).items()}
    return means | {"sum": float(right.sum()), "first": float(right[0])}


def _without_keepdim(logits: Tensor, target: Tensor) -> dict[str, float]:
    """What the plain loss of a square batch is where a number of each row, (N,), is subtracted from the columns."""
    z = logits.double()
    shifted = z - z.amax(1)
    logarithms = {
        "not_kept": z - z.logsumexp(1),
        "largest_not_kept": _logarithms(shifted),
        "neither_kept": shifted - shifted.logsumexp(1),
    }
    return {name: -float(log_p.gather(1, target[:, None]).mean()) for name, log_p in logarithms.items()}


# -- shared --------------------------------------------------------------------------------------------------------------


def _labels(draw: Draw) -> Tensor:
    """Return 23 to 29 labels for 8 or more classes: the largest is 5, and 1 does not occur, so no count of theirs is K."""
    target = draw.labels(draw.integer(23, 29), 6)
    target = torch.where(target == 1, 0, target)
    target[draw.integer(0, 9)] = 5
    return target


def _batch(draw: Draw, low: float = 0.2, high: float = 0.4) -> tuple[Tensor, Tensor, float]:
    """Return logits (N, 8), labels and an alpha."""
    target = _labels(draw)
    return draw.normal(len(target), 8, scale=2), target, draw.probability(low, high)


def _huge(draw: Draw) -> dict[str, tuple[Tensor, Tensor]]:
    """Return batches (8, 7) of logits near 1e4 or -1e4, with labels of which the largest is 6.

    spread: from -1e4 to 1e4 in each row. The true classes are above the middle on average, so that the loss shows how much
    weight each class has. above, below: all are near 1e4, or near -1e4. rows: each row is near 1e4,
    near 0 or near -1e4.
    """
    ranks, places = draw.permutations(8, 7), torch.tensor([6, 5, 6, 4, 0, 5, 1, 5])[draw.permutation(8)]
    last = (ranks[0] == places[0]).nonzero()[0, 0]
    ranks[0, [int(last), 6]] = ranks[0, [6, int(last)]]
    target = (ranks == places[:, None]).int().argmax(1)
    small, level = draw.normal(8, 7, scale=2), (torch.arange(8) % 3 - 1.0)[:, None]
    batches = {
        "spread": HUGE * (ranks / 3 - 1),
        "above": small + HUGE,
        "below": small - HUGE,
        "rows": small + HUGE * level,
    }
    return {name: (logits.float(), target) for name, logits in batches.items()}


def _telling_batch(draw: Draw, low: float, high: float) -> tuple[Tensor, Tensor, float, float, dict[str, float]]:
    """Return a batch, the right mean loss, and known wrong ones by name: no two of these numbers nearer than APART."""
    while True:
        logits, target, alpha = _batch(draw, low, high)
        right, wrong = _mean(logits, target, alpha), _wrong_means(logits, target, alpha)
        values = torch.tensor(sorted([right, *wrong.values()])).double()
        if float(values.diff().min()) > APART:
            return logits, target, alpha, right, wrong


class _Loss(layers.PlannedLayer):
    """The loss as a plan makes it, also with alpha = 0 and alpha = 1, which are allowed."""

    def __init__(self, student: Any, plan: Plan, *args: Any, **options: Any) -> None:
        super().__init__(student, plan, _NAME, *args, **options)
        self._alpha = options.get("alpha")

    def remote(self) -> Remote:
        alpha = self._alpha
        try:
            return super().remote()
        except StudentError as error:
            if alpha not in (0, 1) or not {"ValueError", "AssertionError"} & set(error.types):
                raise
            raise expect.Failure(
                f"alpha{alpha:g}:refused", f"alpha = {alpha:g} is allowed, but {error.sentence()}"
            ) from None

    def value(self, logits: Tensor, target: Tensor) -> Callable[[], Any]:
        """Plan what it gives."""
        return self._once_made(self._plan.call(self.made, logits, target))

    def slope(self, logits: Tensor, target: Tensor) -> Callable[[], Any]:
        """Plan an observation, with the gradient of the logits."""
        wanted = logits.clone().requires_grad_()
        return self._once_made(self._plan.observe(self.made, wanted, target, cotangent=torch.ones(())))

    def _once_made(self, answer: Later) -> Callable[[], Any]:
        def get() -> Any:
            self.remote()
            return answer.get()

        return get


def _each(each: Any, logits: Tensor) -> Tensor:
    """Expect a loss for each example, (N,)."""
    table = isinstance(each, Tensor) and each.shape == logits.shape
    expect.that(
        not table,
        "none:table",
        f"“none” should give one loss an example, shape ({len(logits)},), but it gives one for each example and class, "
        f"{tuple(logits.shape)}",
    )
    return expect.tensor(each, "what you return for “none”", shape=(len(logits),))


def _agrees(
    value: Any,
    right: float,
    wrong: Callable[[], Mapping[str, float]],
    code: str,
    what: str = "the loss",
    otherwise: str = "other",
    slack: float = 1e-5,
) -> None:
    """Expect one number, to within `slack`, absolutely and relatively; name the known wrong result that came instead.

    Args:
        wrong: known wrong results, asked for only where the number is not right.
        otherwise: the suffix of the code where none of them fits.
    """
    number = expect.scalar(value, what)
    if abs(number - right) <= slack + 1e-5 * abs(right):
        return
    near = {n: abs(number - v) for n, v in wrong().items() if abs(number - v) <= slack + 1e-4 * abs(v)}
    # Terms that should be in the thousands and are cut off: log(p + eps) is not below -103 for any eps that float32 knows.
    clipped = right > 2e3 and 0 < number < right / 20
    found = min(near, key=lambda n: near[n]) if near else "clipped" if clipped else otherwise
    raise expect.Failure(f"{code}:{found}", f"{what} should be {right:.6g}, got {number:.6g}")


def _gradient(seen: Any, logits: Tensor, target: Tensor, alpha: float, code: str, slack: float = 1e-6) -> None:
    gradient = seen.gradients[0]
    expect.that(
        isinstance(seen.output, Tensor),
        f"{code}:number",
        "the loss should be a tensor, through which a gradient can pass, not a number",
    )
    expect.that(
        seen.differentiable and gradient is not None,
        f"{code}:none",
        "no gradient reaches the logits: the loss should be a tensor computed from them by differentiable operations",
    )

    def slope(losses: Tensor) -> Tensor:
        return torch.autograd.grad(losses.mean(), z, retain_graph=True, allow_unused=True)[0]

    z = logits.double().requires_grad_()
    right = slope(_losses(z, _targets(target, logits.shape[1], alpha)))
    got = expect.tensor(gradient, "the gradient of the logits", shape=logits.shape)
    if bool(((got.double() - right).abs() <= slack + 1e-4 * right.abs()).all()):
        return
    known = {
        name: found
        for name, losses in _wrong_losses(z, target, alpha).items()
        if (found := slope(losses)) is not None and not bool(((found - right).abs() <= 1e-6).all())
    }
    known["sum"] = right * len(target)
    expect.close(got, right, "the gradient of the logits", code, candidates=known)


def _refuses(student: Any, plan: Plan, draw: Draw, what: str, setting: str, **options: Any) -> Callable[[], None]:
    """Plan the loss; what is returned expects a ValueError when it is made, or else when it is first used."""
    made = plan.call(expect.function(student.LabelSmoothingCrossEntropy, _NAME), **options)
    used = plan.call(made, draw.normal(6, 5), draw.labels(6, 5))

    def is_refused() -> None:
        try:
            expect.function(made.get(), f"what {_NAME} makes")
        except StudentError as error:
            if error.not_started:
                raise
            ours = "ValueError" in error.types
            expect.that(
                ours, f"{setting}_refused:{error.types[0]}", f"{what} should be a ValueError, but {error.sentence()}"
            )
            return
        expect.raised("ValueError", used.get, what=what, code=f"{setting}_refused")

    return is_refused
