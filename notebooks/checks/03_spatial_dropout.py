"""Public checks of 03_spatial_dropout.

Numbers of coins: a check fails a right answer with probability at most FALSE_ALARM = 1e-9 in all. Where it tests counts more
than once, each test gets an equal share, and one share is left for all that hangs on patterns, whose probabilities are
written beside the sizes. The arithmetic there also says why a mistake gets past with less than 1e-6. p is in [0.2, 0.4]
unless said otherwise. `tests/test_statistics.py` holds the checks to this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import Remote

_LIBRARY = (
    "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_dropout_",
    "alpha_dropout", "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout",
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
    "stochastic_depth", "StochasticDepth", "drop_block2d", "drop_block3d", "DropBlock2d", "DropBlock3d",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "channel_mask",
        hints=(
            "How many coins are tossed in all? One for each channel of each example, and none for a pixel. What shape has "
            "a tensor with exactly that many entries that still broadcasts against x?",
            "Start from a list of ones with x.dim() entries. Put the batch size in place 0 and the number of channels in "
            "place channel_dim: a Python list understands a negative index just as a tensor does.",
            "Draw uniform numbers of that shape with torch.rand. Each is below p with probability p, and that is a channel "
            "to drop: the mask is 1 where the number is not below p.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "SpatialDropout2d",
        hints=(
            "Three questions decide everything: is the layer in training mode, is p one of the two extremes, and what must "
            "what is kept be multiplied by so that the mean stays the same?",
            "Check p once, in __init__, and keep p and channel_dim. In forward check the number of dimensions, return x as "
            "it is outside of training (self.training says so), and else multiply x by your channel_mask.",
            "Kept values are divided by 1 - p. At p = 1 that is a division by zero, so treat this case on its own and "
            "return zeros. A bool or integer mask may need mask.to(x.dtype), so that the output has x's dtype.",
        ),
        forbids=_LIBRARY,
        uses=("channel_mask",),
    ),
)

# 16 * 24 coins, to look at their pattern. Whether a right answer's zeros vary along the batch: all 16 examples agree in one
# channel with probability p^16 + (1-p)^16 <= 0.029, in all 24 with 1e-37; along the channels less. Nothing dropped: 1e-37.
FIRST = (16, 24, 5, 7)
LAST = (16, 5, 7, 24)

# 48 * 96 = 4608 coins, to see whether they are independent. One coin for a row, a column or all of them: neighbours agree
# in all places, not in the half to two thirds of 2304 pairs that coins do. A fixed number in each row: 48 of 48 rows within 1
# of the mean, where coins give a quarter at most, and 33 or fewer of 48. Rows or columns that are copies of others: two calls
# one above the other are 96 * 96 coins, in which any two rows or columns are equal with 9120 * 0.68^96 < 8e-13.
MANY = (48, 96, 2, 3)

# 150 * 200 = 30 000 coins of single pixels, to count them. For p in [0.13, 0.17] the standard deviation is at most 0.0022, so
# rates within 6.4 * 0.0022 = 0.0141 of p pass, and one that is off by 0.025 or more is seen with all but 1e-6. So it is when
# p is rounded to a tenth, which is off by 0.03 to 0.05. Such p also tell apart 1 - p, one half, p², the square root of p and
# what a normal number exceeds.
COUNTED = (150, 200, 1, 1)
SMALL = (0.13, 0.17)

# 6 * 8 = 48 coins, at p = 0 and p = 1. `rand > 0` fails for one number in 2^24, so for one of them with 3e-6; in two tries of
# two with 9e-12.
FEW = (6, 8, 2, 5)


# -- channel_mask --------------------------------------------------------------------------------------------------------


@check("channel_mask", points=2)
def mask_has_one_coin_per_channel(student: Any, draw: Draw) -> None:
    """The mask holds only 0 and 1, one coin for each example and each channel, whatever the pixel; and x is left as it is."""
    x, p = draw.signed(*FIRST), draw.probability()
    seen = student.observe(expect.function(student.channel_mask), x, p)
    mask = expect.broadcast(seen.output, x)
    values = mask[mask != 0].double()
    if bool((values != 1).any()):
        raise expect.Failure(
            f"values:{_values_seen(mask, x, p)}",
            f"the mask should hold only 0 and 1, but it holds {float(values[values != 1][0]):.4g}",
        )
    mask = expect.mixed(lambda: _mask(student, x, p))
    expect.constant_zero_pattern(mask, over=("height", "width"))
    expect.unchanged(x, seen.arguments[0], "x")


@check("channel_mask", points=3)
def mask_drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the coins is 0, for a small p and a large one; none is at p = 0, and every one at p = 1."""
    x, alarm = draw.signed(*COUNTED), FALSE_ALARM / 3
    p, large = draw.probability(*SMALL), draw.probability(0.6, 0.8)
    expect.drop_rate(_mask(student, x, p), p, alarm, candidates=layers.wrong_rates(p))
    expect.drop_rate(_mask(student, x, large), large, alarm, code="rate_large")
    layers.at_the_extremes(lambda x, p: _mask(student, x, p), draw.signed(*FEW), "the mask")


@check("channel_mask", points=1)
def mask_coins_are_independent(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, other, p = draw.signed(*MANY), draw.signed(*MANY), draw.probability()
    first, second, elsewhere = (expect.decisions(_mask(student, each, p)) for each in (x, x, other))
    expect.independent(first, p, ("example", "channel"), FALSE_ALARM / 3)
    expect.fresh(first, second, p, on_another=elsewhere, alarm=FALSE_ALARM / 3)
    expect.distinct(torch.cat([first, second]), p, ("example", "channel"))
    layers.does_not_seed(student, draw.student_seed, lambda: _mask(student, x, p))


@check("channel_mask", points=1)
def mask_follows_channel_dim(student: Any, draw: Draw) -> None:
    """channel_dim says which axis holds the channels: -1 and 3 are the last one, -3 and 1 the second."""
    p = draw.probability()
    _serves_every_axis(draw, lambda x, channel_dim: _mask(student, x, p, channel_dim=channel_dim))
    layers.takes_positions(lambda: _mask(student, draw.signed(*LAST), p, -1), "channel_mask(x, p, -1)")


# -- SpatialDropout2d ----------------------------------------------------------------------------------------------------


@check("SpatialDropout2d", points=8)
def drops_whole_channels(student: Any, draw: Draw) -> None:
    """In training, a channel of an example is zero at every pixel or at none."""
    x, p = draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    expect.constant_zero_pattern(expect.mixed(lambda: _output(layer, x)), over=("height", "width"))


@check("SpatialDropout2d", points=2)
def drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the channels is dropped, for a small p and for a large one, and one half where p is not given."""
    x, alarm = draw.signed(*COUNTED), FALSE_ALARM / 4
    p, large = draw.probability(*SMALL), draw.probability(0.6, 0.8)
    expect.drop_rate(_output(_layer(student, p=p), x), p, alarm, candidates=layers.wrong_rates(p))
    expect.drop_rate(_output(_layer(student, p=large), x), large, alarm, code="rate_large")
    # That the others passed says which mistake it is, whatever the rate.
    try:
        expect.drop_rate(_output(_layer(student), x), 0.5, alarm)
    except expect.Failure as failure:
        code = "rate_by_default:another" if failure.code.startswith("rate:") else failure.code
        raise expect.Failure(code, f"made without arguments: {failure.message}", failure.evidence) from None


@check("SpatialDropout2d", points=3)
def rescales_what_is_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, for a small p and for a large one: so the mean over many draws is x."""
    x = draw.signed(*FIRST)
    for p, family in ((draw.probability(), "scale"), (draw.probability(0.6, 0.8), "scale_large")):
        layer = _layer(student, p=p)
        y = _output(layer, x)
        for _ in range(64):  # one call does, but where a single coin decides over everything: 0.8^65 < 1e-6
            y = y if bool((y != 0).any()) else _output(layer, x)
        expect.scale(y, x, p, family)


@check("SpatialDropout2d", points=3)
def changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is the input, with its dtype and gradient, whatever p is; in training it drops again."""
    x, p = draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    expect.mode(layer, training=False)
    layers.is_identity(_output(layer, x), x, p, "eval")
    certain = _layer(student, p=1.0)
    expect.mode(certain, training=False)
    layers.is_identity(_output(certain, x), x, p, "eval_p1")
    layers.passes_through(student, layer, x, draw.signed(*FIRST), "the output in evaluation mode")
    expect.mode(layer, training=True)
    # The first call does, but where a single coin decides over everything: 64 of them keep it with 0.8^64 < 1e-6.
    drops = any(bool((_output(layer, x) == 0).any()) for _ in range(64))
    expect.that(drops, "train_again:keeps", "back in training mode, nothing was dropped any more")


@check("SpatialDropout2d", points=2)
def draws_coins_afresh(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, another, p = draw.signed(*MANY), draw.signed(*MANY), draw.probability()
    layer, other = _layer(student, p=p), _layer(student, p=p)
    first = expect.decisions(_output(layer, x))
    _output(layer, x[:5, :7])  # a layer sees batches of many sizes
    second, elsewhere = (expect.decisions(_output(each, x)) for each in (layer, other))
    expect.independent(first, p, ("example", "channel"), FALSE_ALARM / 3)
    on_another = expect.decisions(_output(layer, another))
    expect.fresh(first, second, p, elsewhere, on_another, FALSE_ALARM / 3)
    expect.distinct(torch.cat([first, second]), p, ("example", "channel"))
    layers.does_not_seed(student, draw.student_seed, lambda: _output(layer, x))


@check("SpatialDropout2d", points=2)
def serves_channels_last(student: Any, draw: Draw) -> None:
    """With channel_dim=-1, maps (batch, height, width, channels) lose whole channels; p comes first, channel_dim second."""
    x, p = draw.signed(*LAST), draw.probability()
    layer = _layer(student, p=p, channel_dim=-1)
    y = expect.mixed(lambda: _output(layer, x))
    expect.constant_zero_pattern(y, over=("height", "width"), layout="NHWC")
    layers.takes_positions(lambda: _output(_layer(student, p, -1), x), "SpatialDropout2d(p, -1)")


@check("SpatialDropout2d", points=1)
def counts_axes_from_either_end(student: Any, draw: Draw) -> None:
    """channel_dim=3 is the same axis as -1, and channel_dim=-3 the same as 1."""
    p = draw.probability()
    by_dim = {dim: _layer(student, p=p, channel_dim=dim) for dim in (3, -3)}
    _serves_every_axis(draw, lambda x, channel_dim: _output(by_dim[channel_dim], x), last=(3,), first=(-3,))


@check("SpatialDropout2d", points=1)
def passes_gradients_on(student: Any, draw: Draw) -> None:
    """The gradient of a kept value is that of x / (1 - p), and zero where the channel was dropped."""
    x, g, p = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    _output(layer, x)
    expect.masked_gradient(student.observe(layer, x.clone().requires_grad_(), cotangent=g), x, g)


@check("SpatialDropout2d", points=1)
def leaves_no_trace(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, the input is left as it is, and no mask is kept in the module."""
    p = draw.probability()
    layer = _layer(student, p=p)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        x = draw.signed(6, 8, 3, 4, dtype=dtype)
        seen = student.observe(layer, x)
        expect.tensor(seen.output, f"the output for {dtype} input", shape=x.shape, dtype=dtype)
        expect.unchanged(x, seen.arguments[0])
    expect.no_state(student.module(layer))


@check("SpatialDropout2d", points=1)
def handles_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input, with its gradient; at p = 1 it is zero everywhere, and never NaN."""
    x = draw.signed(*FEW)
    layers.at_the_extremes(lambda x, p: _output(_layer(student, p=p), x), x, "the output")
    expect.eventually(lambda: expect.close(_output(_layer(student, p=0.0), x), x, "the output at p = 0", "p0_value"))
    layer, g = _layer(student, p=0.0), draw.signed(*FEW)
    expect.eventually(lambda: layers.passes_through(student, layer, x, g, "the output at p = 0"))


@check("SpatialDropout2d", points=1)
def refuses_what_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError when the layer is made, input without 4 dimensions one too; each shows the value."""
    build, p = expect.function(student.SpatialDropout2d), draw.probability()
    layer = _layer(student, p=p)
    accepted = {}
    for shape in ((13, 17, 19), (11, 13), (11, 13, 2, 17, 3)):
        what = f"the layer, given an input of shape {shape},"
        try:
            expect.raises("ValueError", layer, draw.signed(*shape), mentions=shape, what=what, code="shape_refused")
        except expect.Failure as failure:
            if failure.code != "shape_refused:nothing":
                raise
            accepted[len(shape)] = failure
    if accepted:  # of how many dimensions
        first = next(iter(accepted.values()))
        raise expect.Failure("shape_accepted:" + "".join(map(str, sorted(accepted))), first.message)
    layers.refuses_p(build, p, "SpatialDropout2d")


# -- shared --------------------------------------------------------------------------------------------------------------


def _mask(student: Any, x: Tensor, p: float, *args: Any, **options: Any) -> Tensor:
    return expect.broadcast(expect.call(student.channel_mask, x, p, *args, what="channel_mask", **options), x)


def _layer(student: Any, *args: Any, **options: Any) -> Remote:
    return layers.made(student.SpatialDropout2d, *args, what="SpatialDropout2d", **options)


def _output(layer: Remote, x: Tensor) -> Tensor:
    return expect.tensor(layer(x), "the output", shape=x.shape)


def _values_seen(mask: Tensor, x: Tensor, p: float) -> str:
    """Say in a word what a mask holds that is not 0 and 1."""
    values = mask[mask != 0].double()
    if bool(((values * (1 - p) - 1).abs() < 1e-3).all()):
        return "scaled"
    if bool(torch.where(mask != 0, (mask - x).abs() < 1e-3, True).all()):
        return "masked_x"
    if bool((values == values[0]).all()):
        return "constant" if values.numel() == mask.numel() else "other"
    if bool((values.abs() == 1).all()):
        return "signs"
    return "fractions" if bool(((values > 0) & (values < 1)).all()) else "other"


def _serves_every_axis(
    draw: Draw,
    answer: Callable[[Tensor, int], Tensor],
    last: tuple[int, ...] = (-1, 3),
    first: tuple[int, ...] = (-3, 1),
) -> None:
    for layout, shape, dims in (("NHWC", LAST, last), ("NCHW", FIRST, first)):
        for dim in dims:
            x = draw.signed(*shape)
            y = expect.mixed(lambda x=x, dim=dim: answer(x, dim))
            expect.constant_zero_pattern(y, over=("height", "width"), layout=layout, code=f"varies_{dim}")
