"""Public checks of 09_mixup_cutmix.

What is computed from λ and a permutation is compared exactly: both are read off the answer itself, the permutation from the
labels, which are all different. What is drawn is counted, in calls that travel in one message. Each test of a count is exact
and spends SHARE of the alarms. With 512 calls the shares of what known mistakes draw are 0.2 or more from the right ones:

- a share near 0.5 is accepted within 6.6 * 0.5 / sqrt(512) = 0.15, and a share 0.25 away falls in there with less than 1e-6;
- α near 0.3 puts 0.48 of λ within 0.05 of 0 and 1, uniform numbers 0.1, twice the α 0.23;
- α near 3 puts 0.79 of λ within 0.25 of one half, uniform numbers 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import beta
from torch import Tensor

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM, binomial_interval
from autograder.student import StudentError, fixture

_LIBRARY = ("MixUp", "CutMix")

EXERCISES = (
    Exercise(
        "mixup",
        hints=(
            "Two things are drawn, each once a batch: a number, and an order of the examples. Which of them do the labels have "
            "to know about as well?",
            "np.random.beta(alpha, alpha) or torch.distributions.Beta draws the number, for alpha > 0; torch.randperm(len(x)) "
            "the order. Keep the order in a variable: it is used twice.",
            "The two label tensors to return are target and target[order]; the images are a weighted sum of x and x[order], "
            "with weights that add up to 1. Which of the two gets the share that the loss will call λ?",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "random_box",
        hints=(
            "The box has the share 1 - λ of the image's area, and the image's proportions. By which factor is each side "
            "shorter than the image's?",
            "Draw the centre first, a row below height and a column below width, each alike likely. The box reaches half a "
            "side to both ends of it.",
            "Where it reaches over the edge, cut it off: no end below 0, none above height or width. max and min do. Return "
            "whole numbers.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "cutmix",
        hints=(
            "As in mixup, one number, one order, and besides one box for the whole batch. What is the share of its own that an "
            "image keeps, once the box was cut off at the edge?",
            "Work on a copy: x.clone(). A slice on the left of an assignment takes rows top:bottom and columns left:right of "
            "all images and channels; on the right stands the same slice of x[order].",
            "Then count the pixels that were pasted, divide by height times width, and take that from 1: this is the λ to "
            "return, not the one that was drawn.",
        ),
        forbids=_LIBRARY,
        uses=("random_box",),
    ),
    Exercise(
        "mixed_cross_entropy",
        hints=(
            "The loss for mixed labels is a weighted sum of two losses that you know. Which label belongs to the image that "
            "has the share λ?",
            "F.cross_entropy(logits, target_a) is the mean over the batch of the loss for the first label.",
            "Multiply it by lam, and the one for target_b by what is left to 1. Add them.",
        ),
        forbids=_LIBRARY,
    ),
)

SHARE = FALSE_ALARM / 16
"""What one test of a count may spend: no check makes more than 12 of them."""

CALLS = 512
"""Calls in which what is drawn is counted."""


# -- mixup ---------------------------------------------------------------------------------------------------------------


@check("mixup", points=2)
def returns_images_labels_and_lambda(student: Any, draw: Draw) -> None:
    """Four things come back: the mixed images, the labels, the same labels in another order, and one λ in [0, 1]."""
    x, target = _batch(draw, 3, 4)
    _answer(expect.call(student.mixup, x, target, 1.0, what="mixup"), x, target, "mixup")


@check("mixup", points=5)
def mixes_each_image_with_its_partner(student: Any, draw: Draw) -> None:
    """Each image becomes λ times itself plus 1 - λ times the image whose label stands in target_b."""
    x, target = _batch(draw, 3, 4)
    answers = [
        _answer(each, x, target, "mixup")
        for each in student.repeat(expect.function(student.mixup, "mixup"), 8, x, target, 4.0)
    ]
    _is_mixed(answers, x)


@check("mixup", points=3)
def draws_lambda_from_beta(student: Any, draw: Draw) -> None:
    """λ has the distribution Beta(α, α), for a small α and for a large one."""
    seen = []
    for low, high, middle in ((0.25, 0.35, 0.45), (2.6, 3.4, 0.25)):
        alpha = round(draw.uniform(low, high), 3)
        lams = _drawn(student, draw, student.mixup, "mixup", alpha)[0]
        seen.append(_distribution(lams, alpha, middle))
    if seen != ["", ""]:
        words = "_".join(each or "right" for each in seen)
        told = {
            "upper": "is never below one half", "lower": "is never above one half", "half": "is always one half",
            "constant": "is the same at every call",
            "lopsided": "is not as often below one half as above", "uniform": "is uniform, whatever α is",
        }  # fmt: skip
        found = next(each for each in seen if each)
        raise expect.Failure(f"lam:{words}", f"λ should come from Beta(α, α), but it {told.get(found, 'does not')}")


@check("mixup", points=2)
def draws_the_partners_afresh(student: Any, draw: Draw) -> None:
    """Every call draws another order of the batch, all orders alike likely."""
    _orders(_drawn(student, draw, student.mixup, "mixup", 1.0)[1])


@check("mixup", points=1)
def mixes_nothing_at_alpha_0(student: Any, draw: Draw) -> None:
    """With α = 0 the images stay what they are, and λ is 1."""
    x, target = _batch(draw, 3, 4)
    _nothing_at_0(student.mixup, x, target, "mixup")


@check("mixup", points=1)
def refuses_a_negative_alpha(student: Any, draw: Draw) -> None:
    """A negative α is a ValueError."""
    x, target = _batch(draw, 3, 4)
    for alpha in (-draw.probability(), -1):
        expect.raises("ValueError", student.mixup, x, target, alpha, what=f"mixup with alpha = {alpha}", code="alpha")


@check("mixup", points=1)
def leaves_its_inputs_alone(student: Any, draw: Draw) -> None:
    """The images and labels that were given are the same after the call."""
    x, target = _batch(draw, 3, 4)
    _inputs_stay(student, student.mixup, x, target, "mixup")


@check("mixup", points=1)
def mixes_any_shape_and_dtype(student: Any, draw: Draw) -> None:
    """Images may be (N, ...) with any number of dimensions, and keep their dtype, float32 or float64."""
    for shape in ((6,), (6, 5), (6, 2, 3, 4), (6, 2, 2, 3, 2)):
        for dtype in (torch.float32, torch.float64):
            x, target = draw.normal(*shape).to(dtype), draw.permutation(6)
            try:
                value = expect.call(student.mixup, x, target, 1.0, what="mixup")
            except StudentError as error:
                if error.not_started:
                    raise
                said = f"images of shape {shape} should do: {error.sentence()}"
                raise expect.Failure(f"dimensions:{len(shape)}", said) from None
            mixed = _answer(value, x, target, "mixup")
            expect.tensor(mixed.x, f"the images mixed from {dtype}", dtype=dtype)
            if len(shape) > 1:
                right = mixed.lam * x.double() + (1 - mixed.lam) * x.double()[mixed.order]
                expect.close(mixed.x, right, "the mixed images", f"dimensions{len(shape)}", 1e-5, 1e-5)


# -- random_box ----------------------------------------------------------------------------------------------------------


@check("random_box", points=2)
def is_a_box_of_the_image(student: Any, draw: Draw) -> None:
    """Four whole numbers: 0 <= top <= bottom <= height, and 0 <= left <= right <= width."""
    height, width = draw.integer(3000, 3600), draw.integer(1200, 1600)
    for lam in (0.75, 0.75, 0.75, 0.3):
        boxes = _boxes(student, height, width, lam, 32)
        _in_the_image(boxes, height, width)


@check("random_box", points=4)
def has_sides_of_the_square_root(student: Any, draw: Draw) -> None:
    """Where nothing is cut off, the sides are the height and the width, each times √(1 - λ)."""
    seen = []
    for low, high in ((0.6, 0.7), (0.85, 0.92)):
        height, width, lam = draw.integer(3000, 3600), draw.integer(1200, 1600), draw.uniform(low, high)
        boxes = _boxes(student, height, width, lam, CALLS)
        seen.append(_sides(boxes, height, width, lam))
    expect.that(
        seen == ["", ""],
        "sides:" + (seen[0] if seen[0] == seen[1] else "_".join(each or "right" for each in seen)),
        "a box that nothing is cut off should have sides of height and width times √(1 - λ): its area is then the share 1 - λ",
    )


@check("random_box", points=3)
def has_its_centre_anywhere(student: Any, draw: Draw) -> None:
    """The centre is uniform over the whole image: a box of half the height is cut off at the top in a quarter of calls."""
    height, width = draw.integer(3000, 3600), draw.integer(1200, 1600)
    boxes = _boxes(student, height, width, 0.75, CALLS)
    top, bottom, left, right = boxes.unbind(1)
    expect.that(len(boxes.unique(dim=0)) > 1, "centre:constant", "each call should draw a box of its own")
    seen = [_centres(top, bottom, height, 0.5), _centres(left, right, width, 0.5)]
    if seen != ["", ""]:
        code = seen[0] or seen[1]
        raise expect.Failure(
            f"centre:{code}", "the centre should be uniform over the image, and the box cut off at its edge"
        )
    above, before = (top + bottom) / height, (left + right) / width
    same = int(((above < 1) == (before < 1)).sum())
    expect.that(
        expect._compatible(same, CALLS, 0.5, SHARE),
        "centre:diagonal",
        "row and column of the centre should be drawn independently, but one tells the other",
    )


@check("random_box", points=1)
def is_empty_at_lambda_1(student: Any, draw: Draw) -> None:
    """With λ = 1 the box is empty; with λ = 0 it has at least about half of each side."""
    for lam in (1.0, 1):
        boxes = _boxes(student, 37, 23, lam, 64)
        top, bottom, left, right = boxes.unbind(1)
        empty = (bottom - top) * (right - left) == 0
        expect.that(bool(empty.all()), "lam1:not_empty", "with λ = 1 nothing is to be pasted, but the box is not empty")
    boxes = _boxes(student, 370, 230, 0.0, 64)
    top, bottom, left, right = boxes.unbind(1)
    large = (bottom - top >= 370 / 2 - 3) & (right - left >= 230 / 2 - 3)
    expect.that(bool(large.all()), "lam0:small", "with λ = 0 the box is as large as the image before it is cut off")


@check("random_box", points=1)
def serves_small_images(student: Any, draw: Draw) -> None:
    """Images of a few pixels, high or wide, will do, and any λ; arguments may be named."""
    box = expect.function(student.random_box, "random_box")
    for height, width in ((1, 1), (1, 9), (7, 2), (5, 8)):
        for lam in (0.0, draw.uniform(0.1, 0.9), 1.0):
            _in_the_image(_boxes(student, height, width, lam, 16), height, width, "small")
    _box(box(height=9, width=5, lam=0.5))


# -- cutmix --------------------------------------------------------------------------------------------------------------


@check("cutmix", points=2)
def returns_pasted_images_labels_and_lambda(student: Any, draw: Draw) -> None:
    """Four things come back: the images, the labels, the same labels in another order, and one λ in [0, 1]."""
    x, target = _batch(draw, 2, 12, 17)
    _answer(expect.call(student.cutmix, x, target, 1.0, what="cutmix"), x, target, "cutmix")


@check("cutmix", points=5)
def pastes_one_box_of_the_partner(student: Any, draw: Draw) -> None:
    """Inside one box, the same for all, are the pixels of the image whose label is in target_b; outside, its own."""
    x, target = _batch(draw, 2, 12, 17)
    _is_pasted(_cut(student, x, target), x)


@check("cutmix", points=4)
def tells_the_share_that_was_kept(student: Any, draw: Draw) -> None:
    """λ is the share of the image that was kept, 1 - pasted / (height · width), counted after the box was cut off."""
    x, target = _batch(draw, 2, 12, 17)
    answers = _cut(student, x, target)
    pairs: list[tuple[float, float]] = []
    kept: list[float] = []
    boxes: list[Tensor] = []
    for each in answers:
        moved = each.order != torch.arange(len(x))
        if bool(moved.any()):
            pairs.append((each.lam, _share(each, x)))
            kept.append(float((each.x.to(x.dtype) == x).double().mean()))
            boxes.append((each.x != x).any(dim=1).any(dim=0))
    if all(abs(lam - (1 - pasted)) <= 1e-6 for lam, pasted in pairs):
        return
    families: dict[str, Callable[[float], float]] = {
        "pasted": lambda s: s,
        "one": lambda s: 1.0,
        "channels": lambda s: 1 - s / x.shape[1],
        "height_twice": lambda s: 1 - s * 17 / 12,
        "width_twice": lambda s: 1 - s * 12 / 17,
        "root": lambda s: math.sqrt(1 - s),
        "square": lambda s: (1 - s) ** 2,
        "sides": lambda s: 1 - math.sqrt(s),
    }
    found = next(
        (n for n, f in families.items() if all(abs(lam - f(s)) <= 1e-5 for lam, s in pairs)),
        "",
    )
    if not found:
        over = all(abs(lam - max(1 - s, s)) <= 1e-5 for lam, s in pairs)
        # An image that is its own partner keeps all of its pixels: the mean over the batch is then too large.
        compared = all(abs(lam - share) <= 1e-5 for (lam, _), share in zip(pairs, kept, strict=True))
        # Right boxes reach the columns from 12 on in half of all calls or more.
        exchanged = not any(bool(box[:, 12:].any()) for box in boxes)
        drawn = all(_may_be_drawn(lam, box) for (lam, _), box in zip(pairs, boxes, strict=True))
        named = {"larger": over, "compared": compared, "exchanged": exchanged, "drawn": drawn}
        found = next((name for name, holds in named.items() if holds), "other")
    said = {
        "pasted": "it is the share that was pasted",
        "drawn": "is it the number that was drawn, before rounding and before the box was cut off?",
        "compared": "it is the share of equal pixels over the batch, also of images that are their own partner",
        "exchanged": "and no box reaches the columns beyond the height: are height and width, or rows and columns, exchanged?",
    }
    lam, pasted = next((a, s) for a, s in pairs if abs(a - (1 - s)) > 1e-6)
    raise expect.Failure(
        f"lam:{found}", f"{pasted:.4f} of the image was pasted, so λ should be {1 - pasted:.4f}, but it is {lam:.4f}"
        + (f": {said[found]}" if found in said else ""),
    )  # fmt: skip


@check("cutmix", points=2)
def draws_the_partners_and_the_box_afresh(student: Any, draw: Draw) -> None:
    """Every call draws another order of the batch, all orders alike likely, and another box."""
    _, orders, areas = _drawn(student, draw, student.cutmix, "cutmix", 1.0)
    _orders(orders)
    expect.that(len(areas.unique()) > 3, "box:repeated", "every call should draw a box of its own, but sizes repeat")


@check("cutmix", points=2)
def sizes_the_box_by_alpha(student: Any, draw: Draw) -> None:
    """With a large α about half of the image is pasted; with a small α nearly nothing, or nearly all."""
    # Beta(40, 40): λ is below 0.85 but once in 1e11, and a box of 0.15 has a quarter of that left in a corner. With
    # sides two pixels short, (0.38 * 24 - 2)^2 / 4 = 12.7 of 576 pixels, so that a share of 0.02 is pasted in every call.
    areas = _shares(student, draw, 40.0)
    large = "small" if bool((areas < 0.02).any()) else ""
    # Beta(0.1, 0.1): a share 0.254 of λ above 0.999, so sides of 0.76 pixels, or 2.76: 1.33 % of the pixels at most. As
    # many below 0.001, and the clipped sides are then uniform in [0.5, 1], their product above 0.68 in 0.23, so in 0.058 of
    # all calls; two pixels less are 0.57.
    areas = _shares(student, draw, 0.1)
    few, most = int((areas < 0.0135).sum()), int((areas > 0.57).sum())
    enough = (
        few >= binomial_interval(len(areas), 0.254, SHARE).low,
        most >= binomial_interval(len(areas), 0.055, SHARE).low,
    )
    small = {(True, True): "", (False, True): "never_nothing", (True, False): "never_all", (False, False): "neither"}[
        enough
    ]
    if large or small:
        raise expect.Failure(
            f"alpha:{large or 'right'}_{small or 'right'}",
            "the box's size should follow λ from Beta(α, α): with α = 40 it is about half of the image, with α = 0.1 mostly "
            f"next to nothing or next to all, but among {len(areas)} boxes {few} were tiny and {most} large",
        )


@check("cutmix", points=1)
def pastes_nothing_at_alpha_0(student: Any, draw: Draw) -> None:
    """With α = 0 the images stay what they are, and λ is 1."""
    x, target = _batch(draw, 2, 12, 17)
    try:
        _nothing_at_0(student.cutmix, x, target, "cutmix")
    except expect.Failure:
        # A box for λ = 0 has sides uniform in [0.5, 1]: 32 of them with shares below 0.6 come once in three million.
        calls = student.repeat(expect.function(student.cutmix, "cutmix"), 32, x, target, 0.0)
        shares = [_share(_answer(each, x, target, "cutmix"), x) for each in calls]
        said = f"with α = 0 nothing should be pasted, but it is up to {max(shares):.2f} of the image"
        expect.that(max(shares) < 0.6, "alpha0:all", said)
        raise


@check("cutmix", points=1)
def cutmix_refuses_a_negative_alpha(student: Any, draw: Draw) -> None:
    """A negative α is a ValueError."""
    x, target = _batch(draw, 2, 12, 17)
    for alpha in (-draw.probability(), -1):
        expect.raises("ValueError", student.cutmix, x, target, alpha, what=f"cutmix with alpha = {alpha}", code="alpha")


@check("cutmix", points=2)
def pastes_into_a_copy(student: Any, draw: Draw) -> None:
    """The images and labels that were given are the same after the call."""
    x, target = _batch(draw, 2, 12, 17)
    _inputs_stay(student, student.cutmix, x, target, "cutmix")


@check("cutmix", points=1)
def keeps_the_dtype_of_images(student: Any, draw: Draw) -> None:
    """Images keep their dtype, float32 or float64, and any number of channels."""
    for dtype in (torch.float32, torch.float64):
        for channels in (1, 3):
            x, target = draw.normal(7, channels, 9, 5).to(dtype), draw.permutation(7)
            mixed = _answer(expect.call(student.cutmix, x, target, 1.0, what="cutmix"), x, target, "cutmix")
            expect.tensor(mixed.x, f"the images pasted from {dtype}", dtype=dtype)


# -- mixed_cross_entropy -------------------------------------------------------------------------------------------------


@check("mixed_cross_entropy", points=5)
def weighs_two_cross_entropies(student: Any, draw: Draw) -> None:
    """The loss is λ times the cross-entropy with target_a plus 1 - λ times that with target_b, each a mean over the batch."""
    seen, messages = [], []
    for low, high in ((0.15, 0.3), (0.6, 0.8)):
        logits, a, b = _logits(draw)
        lam = draw.probability(low, high)
        value = expect.call(student.mixed_cross_entropy, logits, a, b, lam, what="mixed_cross_entropy")
        expect.scalar(value, "the loss")
        try:
            _is_loss(value, logits, a, b, lam, "value")
            seen.append("right")
        except expect.Failure as failure:
            seen.append(failure.code.partition(":")[2] or "other")
            messages.append(failure.message)
    if messages:
        raise expect.Failure("value:" + (seen[0] if seen[0] == seen[1] else "_".join(seen)), messages[0])


@check("mixed_cross_entropy", points=2)
def passes_a_gradient_to_the_logits(student: Any, draw: Draw) -> None:
    """The gradient of each logit is its probability minus its mixed target, over the size of the batch."""
    logits, a, b = _logits(draw)
    lam = draw.probability()
    function = expect.function(student.mixed_cross_entropy, "mixed_cross_entropy")
    seen = student.observe(function, logits.clone().requires_grad_(), a, b, lam, cotangent=torch.ones(()))
    gradient = seen.gradients[0]
    expect.that(gradient is not None, "gradient:none", "no gradient reaches the logits")
    probs, rows = _softmax(logits.double()), len(logits)

    def slope(weight: float) -> Tensor:
        return (probs - weight * _one_hot(a, logits) - (1 - weight) * _one_hot(b, logits)) / rows

    right = slope(lam)
    wrong = {
        "reversed": slope(1 - lam), "first": slope(1.0), "second": slope(0.0), "half": slope(0.5), "sum": right * rows,
        "first_part": lam * slope(1.0), "second_part": (1 - lam) * slope(0.0), "both": 2 * slope(0.5), "minus": -right,
    }  # fmt: skip
    expect.close(gradient, right, "the gradient of the logits", "gradient", 1e-5, 1e-6, wrong)


@check("mixed_cross_entropy", points=2)
def takes_lambda_as_it_comes(student: Any, draw: Draw) -> None:
    """λ may be a float, also 0 or 1, or a 0-d tensor; the loss is one number, a tensor."""
    logits, a, b = _logits(draw)
    lam = draw.probability()
    for name, given in (
        ("tensor", torch.tensor(lam)), ("double", torch.tensor(lam, dtype=torch.float64)),
        ("float_one", 1.0), ("float_zero", 0.0),
    ):  # fmt: skip
        try:
            value = expect.call(student.mixed_cross_entropy, logits, a, b, given, what="mixed_cross_entropy")
        except StudentError as error:
            if error.not_started:
                raise
            raise expect.Failure(f"lam_{name}:raised", f"λ = {given!r} should do: {error.sentence()}") from None
        expect.tensor(value, "the loss")
        _is_loss(value, logits, a, b, float(given), f"lam_{name}")


@check("mixed_cross_entropy", points=1)
def serves_any_batch(student: Any, draw: Draw) -> None:
    """One example, two classes, labels that are the same in both, and logits of 1e4 will do; inputs are left as they are."""
    function = expect.function(student.mixed_cross_entropy, "mixed_cross_entropy")
    for name, examples, classes, scale in (("one", 1, 6, 1.0), ("two", 9, 2, 1.0), ("huge", 5, 4, 1e4)):
        logits, a, b = draw.normal(examples, classes, scale=scale), draw.labels(examples, classes), torch.empty(0)
        b, lam = (a + 1) % classes, draw.probability()
        seen = student.observe(function, logits, a, b, lam)
        _is_loss(seen.output, logits, a, b, lam, name, slack=0.05 if name == "huge" else 1e-5)
        for given, after in zip((logits, a, b), seen.arguments, strict=False):
            expect.unchanged(given, after, "an argument")
    logits, a, _ = _logits(draw)
    lam = draw.probability()
    _is_loss(function(logits, target_a=a, target_b=a, lam=lam), logits, a, a, lam, "same")


# -- answers -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixed:
    """What a call of mixup or cutmix returned, and the order read off its labels."""

    x: Tensor
    order: Tensor
    lam: float


def _batch(draw: Draw, *shape: int) -> tuple[Tensor, Tensor]:
    """Return 7 examples and 7 different labels, so that an order can be read off them."""
    return draw.normal(7, *shape), draw.permutation(7) + draw.integer(2, 5)


def _answer(value: Any, x: Tensor, target: Tensor, what: str) -> Mixed:
    if not isinstance(value, (tuple, list)):
        said = f"{what} should return (x, target_a, target_b, lam), got {expect._describe(value)}"
        raise expect.Failure(f"answer_{expect._type_code(value)}", said)
    expect.that(
        len(value) == 4, f"answer:{len(value)}", f"{what} should return four things, but there are {len(value)}"
    )
    images, first, second, lam = value
    mixed = _named("images", lambda: expect.tensor(images, "the first thing returned", shape=x.shape))
    a = _named("target_a", lambda: expect.tensor(first, "target_a", shape=target.shape))
    b = _named("target_b", lambda: expect.tensor(second, "target_b", shape=target.shape))
    number = _named("lam", lambda: expect.scalar(lam, "λ"))
    expect.that(-1e-6 <= number <= 1 + 1e-6, "lam:range", f"λ should be in [0, 1], but it is {number:.4g}")
    for name, labels in (("target_a", a), ("target_b", b)):
        known, once = bool((labels[:, None] == target).any(1).all()), len(labels.unique()) == len(target)
        code = f"{name}:" + ("repeated" if known else "foreign")
        expect.that(known and once, code, f"{name} should hold each label that was given once, as the batch does")
    if not bool((a == target).all()):
        exchanged = bool((b == target).all())
        raise expect.Failure(
            "target_a:" + ("exchanged" if exchanged else "permuted"), "target_a should be the labels as they were given"
        )
    return Mixed(mixed, (b[:, None] == target).to(torch.uint8).argmax(1), number)


def _named(prefix: str, attempt: Callable[[], Any]) -> Any:
    try:
        return attempt()
    except expect.Failure as failure:
        raise expect.Failure(f"{prefix}_{failure.code}", failure.message) from None


def _nothing_at_0(target_function: Any, x: Tensor, target: Tensor, what: str) -> None:
    for alpha in (0.0, 0):
        mixed = _answer(expect.call(target_function, x, target, alpha, what=what), x, target, what)
        expect.close(mixed.lam, 1.0, "with α = 0, λ", "alpha0:lam", candidates={"zero": 0.0, "half": 0.5})
        expect.that(
            bool((mixed.x == x).all()),
            "alpha0:changed",
            "with α = 0 the images should stay as they are, but they change",
        )


def _inputs_stay(student: Any, function: Any, x: Tensor, target: Tensor, what: str) -> None:
    callee = expect.function(function, what)
    for _ in range(2):
        seen = student.observe(callee, x, target, 1.0)
        expect.unchanged(x, seen.arguments[0], "x")
        expect.unchanged(target, seen.arguments[1], "target")


# -- what mixup computes -------------------------------------------------------------------------------------------------


def _is_mixed(answers: Sequence[Mixed], x: Tensor) -> None:
    wide = x.double()
    rights = [m.lam * wide + (1 - m.lam) * wide[m.order] for m in answers]
    if all(bool(((m.x - r).abs() <= 1e-5).all()) for m, r in zip(answers, rights, strict=True)):
        return
    families: dict[str, Callable[[float], tuple[float, float]]] = {
        "reversed": lambda m: (1 - m, m),
        "nothing": lambda m: (1.0, 0.0),
        "replaced": lambda m: (0.0, 1.0),
        "half": lambda m: (0.5, 0.5),
        "sum": lambda m: (1.0, 1.0),
        "partner_in_full": lambda m: (m, 1.0),
        "own_in_full": lambda m: (1.0, 1 - m),
        "lambda_twice": lambda m: (m, m),
        "read_again": lambda m: (m, m * (1 - m)),
        "own_only": lambda m: (m, 0.0),
        "roots": lambda m: (math.sqrt(m), math.sqrt(1 - m)),
        "minus": lambda m: (m, m - 1),
        "upper": lambda m: (max(m, 1 - m), min(m, 1 - m)),
        "squares": lambda m: (m * m, 1 - m * m),
    }

    def fits(weights: Callable[[float], tuple[float, float]]) -> bool:
        for m in answers:
            a, b = weights(m.lam)
            if not bool(((a * wide + b * wide[m.order] - m.x).abs() <= 1e-4).all()):
                return False
        return True

    found = next((name for name, weights in families.items() if fits(weights)), "")
    if not found:
        found = _partners(answers, wide)
    said = {
        "reversed": ": the image itself should have the share λ, and its partner the rest",
        "another_partner": ": the images are mixed with others than those whose labels are in target_b",
        "per_example": ": each example is mixed with a λ of its own",
    }
    raise expect.Failure(
        f"mix:{found}", "each image should be λ x + (1 - λ) x[order], with the order of target_b" + said.get(found, "")
    )


def _partners(answers: Sequence[Mixed], x: Tensor) -> str:
    """Say what other examples were mixed in, or with what other weights."""
    flat, elsewhere, own = x.flatten(1), True, True
    for m in answers:
        got = m.x.double().flatten(1)
        rest = got - m.lam * flat
        gaps = (rest[:, None] - (1 - m.lam) * flat).abs().amax(2)  # (N, N): of example i, if j were its partner
        elsewhere &= bool((gaps.amin(1) <= 1e-4).all())
        apart = flat[m.order] - flat
        moved = apart.abs().amax(1) > 0
        weight = ((got - flat) * apart).sum(1) / apart.square().sum(1).clamp_min(1e-12)
        own &= bool(((flat + weight[:, None] * apart - got).abs()[moved] <= 1e-4).all())
    return "another_partner" if elsewhere else "per_example" if own else "other"


@fixture
def mixed_often(
    function: Any, x: torch.Tensor, target: torch.Tensor, alpha: float, times: int
) -> dict[str, torch.Tensor]:
    """Call it many times; return every λ, target_b, and the share of places at which the images differ from x."""
    lams, labels, shares = [], [], []
    for _ in range(times):
        images, _, second, lam = function(x.clone(), target.clone(), alpha)
        lams.append(float(lam))
        labels.append(second)
        shares.append((images != x).any(0).double().mean())
    return {
        "lam": torch.tensor(lams, dtype=torch.float64),
        "target_b": torch.stack(labels),
        "share": torch.stack(shares),
    }


def _drawn(
    student: Any, draw: Draw, function: Any, what: str, alpha: float, side: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return λ, order and share of CALLS calls, on 5 tiny examples."""
    x = draw.normal(5, 1, side, side) if side else draw.normal(5, 1, 6, 7)
    target = draw.permutation(5)
    _answer(expect.call(function, x, target, alpha, what=what), x, target, what)  # says what a fixture cannot
    seen = student.fixture(mixed_often)(function, x, target, alpha, CALLS)
    seen = seen if isinstance(seen, Mapping) else {}
    lams = expect.tensor(seen.get("lam"), "λ", shape=(CALLS,))
    labels = expect.tensor(seen.get("target_b"), "target_b", shape=(CALLS, 5))
    shares = expect.tensor(seen.get("share"), "what differs", shape=(CALLS,))
    order = (labels[:, :, None] == target).to(torch.uint8)
    expect.that(
        bool((order.sum(2) == 1).all()), "target_b:repeated", "target_b should hold each label of the batch once"
    )
    return lams, order.argmax(2), shares


def _shares(student: Any, draw: Draw, alpha: float) -> Tensor:
    """Return the share that was pasted, in each call whose order is not that of the batch itself: then nothing shows."""
    _, orders, shares = _drawn(student, draw, student.cutmix, "cutmix", alpha, 24)
    shares = shares[(orders != torch.arange(5)).any(1)]
    expect.that(len(shares) > CALLS / 2, "order:identity", "images should get pixels of others, not of themselves")
    return shares


def _distribution(lams: Tensor, alpha: float, middle: float) -> str:
    """Say how λ differs from Beta(α, α) in two counts: below one half, and farther from it than `middle`."""
    if len(lams.unique()) == 1:
        return "half" if abs(float(lams[0]) - 0.5) < 1e-6 else "constant"
    below, outside = int((lams < 0.5).sum()), int(((lams - 0.5).abs() > middle).sum())

    def far(a: float) -> float:
        return float(2 * beta.cdf(0.5 - middle, a, a))

    if not expect._compatible(below, CALLS, 0.5, SHARE):
        return "upper" if below == 0 else "lower" if below == CALLS else "lopsided"
    if expect._compatible(outside, CALLS, far(alpha), SHARE):
        return ""
    rates = {"uniform": far(1.0), "twice": far(2 * alpha), "inverse": far(1 / alpha), "fixed": far(0.2)}
    fitting = [n for n, rate in rates.items() if outside in binomial_interval(CALLS, rate)]
    return min(fitting, key=lambda n: abs(rates[n] * CALLS - outside), default="other")


def _orders(orders: Tensor) -> None:
    """Expect random permutations (calls, 5): who is whose partner, and whether neighbours get neighbours."""
    if len(orders.unique(dim=0)) == 1:
        still = bool((orders[0] == torch.arange(5)).all())
        code = "identity" if still else "repeated"
        raise expect.Failure(
            f"order:{code}", "every call should draw a random order of the batch, but it is always the same"
        )
    for position in (0, 3):
        itself = int((orders[:, position] == position).sum())
        if not expect._compatible(itself, CALLS, 0.2, SHARE):
            code = "never_itself" if itself == 0 else "itself"
            raise expect.Failure(
                f"order:{code}", "an example should be its own partner in one call of five (of five examples)"
            )
    after = int(((orders[:, 1] - orders[:, 0]) % 5 == 1).sum())
    expect.that(
        expect._compatible(after, CALLS, 0.25, SHARE),
        "order:rolled",
        "all orders should be alike likely, not shifts alone",
    )


# -- what random_box draws -----------------------------------------------------------------------------------------------


@fixture
def boxed_often(function: Any, height: int, width: int, lam: float, times: int) -> torch.Tensor:
    """Return the boxes (times, 4) of many calls."""
    return torch.tensor([[int(v) for v in function(height, width, lam)] for _ in range(times)])


def _box(value: Any) -> None:
    """Expect four whole numbers."""
    if not isinstance(value, (tuple, list)):
        raise expect.Failure(
            f"box_{expect._type_code(value)}", f"the box should be four integers, got {expect._describe(value)}"
        )
    expect.that(len(value) == 4, f"box:{len(value)}", f"the box should be four integers, but there are {len(value)}")
    for each in value:
        whole = not each.is_floating_point() and not each.dim() if isinstance(each, Tensor) else type(each) is int
        if not whole:
            code = "float" if isinstance(each, Tensor) else type(each).__name__
            raise expect.Failure(f"box_entry:{code}", f"a box is four integers, but one is {expect._describe(each)}")


def _boxes(student: Any, height: int, width: int, lam: float, times: int) -> Tensor:
    function = expect.function(student.random_box, "random_box")
    _box(function(height, width, lam))
    return expect.tensor(
        student.fixture(boxed_often)(function, height, width, lam, times), "the boxes", shape=(times, 4)
    )


def _in_the_image(boxes: Tensor, height: int, width: int, family: str = "range") -> None:
    top, bottom, left, right = boxes.unbind(1)
    wrong = {
        "negative": (boxes < 0).any(),
        "too_high": (torch.maximum(top, bottom) > height).any(),
        "too_wide": (torch.maximum(left, right) > width).any(),
        "order": ((top > bottom) | (left > right)).any(),
    }
    found = [name for name, each in wrong.items() if bool(each)]
    expect.that(
        not found,
        f"{family}:" + ("_".join(found) if family == "range" else "outside"),
        f"0 <= top <= bottom <= {height} and 0 <= left <= right <= {width} should hold, in this order",
    )


def _sides(boxes: Tensor, height: int, width: int, lam: float) -> str:
    """Name how sides differ, over the boxes that nothing is cut off."""
    top, bottom, left, right = boxes.double().unbind(1)
    inside = [(top > 0) & (bottom < height), (left > 0) & (right < width)]
    lengths = [(bottom - top)[inside[0]], (right - left)[inside[1]]]
    if not all(len(each) for each in lengths):
        return "always_cut"
    root = math.sqrt(1 - lam)
    families = {
        "": (height * root, width * root), "area": (height * (1 - lam), width * (1 - lam)),
        "exchanged": (width * root, height * root), "kept": (height * math.sqrt(lam), width * math.sqrt(lam)),
        "lambda": (height * lam, width * lam), "half": (height * root / 2, width * root / 2),
        "double": (height * root * 2, width * root * 2), "square": (min(height, width) * root,) * 2,
        "square_large": (max(height, width) * root,) * 2, "one_minus_root": (height * (1 - math.sqrt(lam)), width * (1 - math.sqrt(lam))),  # noqa: E501
        "square_of_area": (math.sqrt(height * width) * root,) * 2, "power": (height * (1 - lam) ** 2, width * (1 - lam) ** 2),
    }  # fmt: skip
    for name, sides in families.items():
        if all(bool(((n - s).abs() <= 2).all()) for n, s in zip(lengths, sides, strict=True)):
            return name
    vary = any(float(n.max() - n.min()) > 4 for n in lengths)
    return "vary" if vary else "other"


def _centres(low: Tensor, high: Tensor, size: int, side: float) -> str:
    """Say how centres differ from uniform ones, from boxes of which at most one end is cut off.

    Rounding moves a centre by 2 pixels at most, a share below 0.002 of either axis: a single count in 512.
    """
    first, last = int((low <= 0).sum()), int((high >= size).sum())
    length = size * side
    few = CALLS * side / 16
    if first < few and last < few:
        return "never_cut"
    if first < few:
        return "start_never"
    if bool(((high - low - length).abs() <= 3)[low <= 0].all()):
        return "shifted"
    if not all(expect._compatible(count, CALLS, side / 2, SHARE) for count in (first, last)):
        return "off"
    centre = torch.where(low <= 0, high - length / 2, low + length / 2)
    quarter = int(((centre - size / 2).abs() < size / 8).sum())
    return "" if expect._compatible(quarter, CALLS, 0.25, SHARE) else "off"


# -- what cutmix pastes --------------------------------------------------------------------------------------------------


def _cut(student: Any, x: Tensor, target: Tensor) -> list[Mixed]:
    calls = student.repeat(expect.function(student.cutmix, "cutmix"), 24, x, target, 1.0)
    return [_answer(each, x, target, "cutmix") for each in calls]


def _share(answer: Mixed, x: Tensor) -> float:
    """Return the share of places at which some image was changed."""
    return float((answer.x != x).any(dim=1).any(dim=0).double().mean())


def _may_be_drawn(lam: float, box: Tensor) -> bool:
    """Whether a box (H, W) has the sides for λ, within 2 pixels, up to half of which the image's edge may have cut off."""
    for axis, size in enumerate(box.shape):
        places = box.any(dim=1 - axis).nonzero().flatten()
        length = len(places)
        side = size * math.sqrt(1 - lam)
        cut = length == 0 or int(places[0]) == 0 or int(places[-1]) == size - 1
        if not (side / 2 - 2 if cut else side - 2) <= length <= side + 2:
            return False
    return True


def _is_pasted(answers: Sequence[Mixed], x: Tensor) -> None:
    if any(_pasting(m, x) for m in answers):
        seen = {_pasting(m, x) for m in answers} - {""}
        ranked = ["blank", "mixed", "aliased", "another_partner", "per_example", "channels", "outside", "no_box"]
        found = next((each for each in ranked if each in seen), "other")
        said = {
            "another_partner": "the box holds pixels of an image whose label is not in target_b",
            "aliased": "some boxes hold what had been pasted into a partner before: the images were read after they were written",  # noqa: E501
            "outside": "the partner is outside of the box, and the image itself within",
            "per_example": "each example has a box of its own, but λ is one number for all",
            "blank": "the box holds no image's pixels",
        }
        raise expect.Failure(
            f"pasted:{found}", said.get(found, "inside one box should be the partner's pixels, outside its own")
        )
    changed = any(bool((m.x != x).any()) for m in answers)
    expect.that(changed, "pasted:nothing", "nothing was pasted in 24 calls")


def _pasting(m: Mixed, x: Tensor) -> str:
    """Say what is wrong with one answer."""
    partner, out = x[m.order], m.x.to(x.dtype)
    own, theirs = out == x, out == partner
    moved = m.order != torch.arange(len(x))
    if not bool((own | theirs).all()):
        anyone = (out[:, None] == x).any(1)  # (N, C, H, W): whether some image has this value at this place
        if not bool(anyone.all()):
            # Turned, or moved, it may still be a pixel of the batch.
            values = torch.isin(out, x)
            return (
                "elsewhere"
                if bool(values.all())
                else "blank"
                if bool((out[~anyone] == out[~anyone][0]).all())
                else "mixed"
            )
        mask = (~own).any(1).any(0)
        copy = x.clone()
        for i in range(len(x)):
            copy[i, :, mask] = copy[m.order[i], :, mask]
        return "aliased" if bool((copy == out).all()) else "another_partner"
    masks = (~own[moved]).any(1)
    if not len(masks) or not bool(masks.any()):
        return ""
    if not bool(((~own[moved]).all(1) == masks).all()):
        return "channels"
    if not bool((masks == masks[0]).all()):
        return "per_example"
    if _is_rectangle(masks[0]):
        return ""
    return "outside" if _is_rectangle(~masks[0]) else "no_box"


def _is_rectangle(mask: Tensor) -> bool:
    return bool((mask == mask.any(1, keepdim=True) & mask.any(0)).all())


# -- losses --------------------------------------------------------------------------------------------------------------


def _logits(draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
    """Return 9 examples of 6 classes with two labels each, whose cross-entropies are far apart."""
    while True:
        logits, a, b = draw.normal(9, 6, scale=2), draw.labels(9, 6), draw.labels(9, 6)
        if abs(_entropy(logits, a) - _entropy(logits, b)) > 0.4 and bool((a != b).any()):
            return logits, a, b


def _logarithms(z: Tensor, dim: int = 1) -> Tensor:
    return z - z.logsumexp(dim, keepdim=True)


def _softmax(z: Tensor) -> Tensor:
    return _logarithms(z).exp()


def _one_hot(target: Tensor, logits: Tensor) -> Tensor:
    return (target[:, None] == torch.arange(logits.shape[1])).double()


def _each(logits: Tensor, target: Tensor) -> Tensor:
    return -(_logarithms(logits.double()) * _one_hot(target, logits)).sum(1)


def _entropy(logits: Tensor, target: Tensor) -> float:
    return float(_each(logits, target).mean())


def _is_loss(value: Any, logits: Tensor, a: Tensor, b: Tensor, lam: float, code: str, slack: float = 1e-5) -> None:
    number = expect.scalar(value, "the loss")
    first, second = _entropy(logits, a), _entropy(logits, b)
    right = lam * first + (1 - lam) * second
    if abs(number - right) <= slack + 1e-5 * abs(right):
        return
    p, rows = _softmax(logits.double()), len(logits)
    mixed = lam * (p * _one_hot(a, logits)).sum(1) + (1 - lam) * (p * _one_hot(b, logits)).sum(1)
    soft = lam * _one_hot(a, logits) + (1 - lam) * _one_hot(b, logits)
    wrong = {
        "reversed": lam * second + (1 - lam) * first, "first": first, "second": second, "half": (first + second) / 2,
        "both": first + second, "sum": right * rows, "over_classes": right / logits.shape[1], "half_of_it": right / 2,
        "first_part": lam * first, "second_part": (1 - lam) * second, "second_in_full": lam * first + second,
        "first_in_full": first + (1 - lam) * second, "minus": -right, "difference": lam * first - (1 - lam) * second,
        "lambda_twice": lam * (first + second), "log_of_mixed": float(-mixed.log().mean()),
        "no_softmax": float(-(logits.double() * soft).sum(1).mean()), "probabilities": float(-mixed.mean()),
        "softmax_twice": float(-(_logarithms(p) * soft).sum(1).mean()),
        "over_batch": float(-(_logarithms(logits.double(), 0) * soft).sum(1).mean()),
        "hard": _entropy(logits, a if lam > 0.5 else b), "squared": float((p - soft).square().mean()),
        "larger": max(lam, 1 - lam) * first + min(lam, 1 - lam) * second,
    }  # fmt: skip
    expect.close(
        number, right, "the loss", code, 1e-5, slack, {n: v for n, v in wrong.items() if abs(v - right) > 1e-4}
    )
