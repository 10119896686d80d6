"""Public checks of 03_spatial_dropout.

Numbers of coins: every expectation raises a false alarm with probability at most 1e-9 (`autograder.statistics`), and the
arithmetic beside the sizes says why a mistake gets past them with less than 1e-6. p is in [0.2, 0.4] unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
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

# 48 * 96 = 4608 coins, to count them. Standard deviation at most 34, so counts within 6.2 * 34 = 211 of p * 4608 pass.
# Keep and drop swapped: off by at least 0.2 * 4608 = 921, 20 standard deviations beyond. Always 0.5: off by at least
# 0.1 * 4608 = 460, 7 beyond: 1e-12. One coin for a row, a column or all of them: neighbours agree in all places, not
# in the half to two thirds of 2304 pairs that coins do. A fixed number in each row: 48 of 48 rows within 1 of the mean, where
# coins give a quarter at most, and 33 or fewer of 48.
MANY = (48, 96, 2, 3)


# -- channel_mask --------------------------------------------------------------------------------------------------------


@check("channel_mask", points=1)
def mask_is_zeros_and_ones(student: Any, draw: Draw) -> None:
    """The mask holds nothing but 0 and 1, broadcasts against x, and x is left as it is."""
    x, p = draw.signed(*FIRST), draw.probability()
    seen = student.observe(expect.function(student.channel_mask), x, p)
    mask = _broadcast(seen.output, x)
    values = mask[mask != 0].double()
    if bool((values != 1).any()):
        scaled = bool(((values * (1 - p) - 1).abs() < 1e-3).all())
        applied = bool(torch.where(mask != 0, (mask - x).abs() < 1e-3, True).all())
        constant = bool((mask == mask.flatten()[0]).all())
        raise expect.Failure(
            "values:" + ("scaled" if scaled else "masked_x" if applied else "constant" if constant else "other"),
            f"the mask should hold only 0 and 1, but it holds {float(values[values != 1][0]):.4g}",
        )
    expect.unchanged(x, seen.arguments[0], "x")


@check("channel_mask", points=2)
def mask_has_one_coin_per_channel(student: Any, draw: Draw) -> None:
    """There is one coin for each example and each channel, whatever the pixel."""
    x, p = draw.signed(*FIRST), draw.probability()
    mask = expect.mixed(lambda: _mask(student, x, p))
    expect.constant_zero_pattern(mask, over=("height", "width"))


@check("channel_mask", points=1)
def mask_drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the coins is 0, for a small p and a large one; none is at p = 0, and every one at p = 1."""
    x = draw.signed(*MANY)
    for p in (draw.probability(), draw.probability(0.6, 0.8)):
        expect.drop_rate(_mask(student, x, p), p)
    small = draw.signed(3, 4, 2, 5)
    # `rand > 0` fails for one number in 2^24, so for one of 12 coins with 7e-7; in two tries of two with 5e-13.
    for p in (0, 1):
        expect.eventually(
            lambda p=p: expect.that(
                bool(((_mask(student, small, p) == 0) == bool(p)).all()),
                f"p{p}",
                f"at p = {p} the mask should be {1 - p} everywhere",
            )
        )


@check("channel_mask", points=1)
def mask_coins_are_independent(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, p = draw.signed(*MANY), draw.probability()
    first, second = (expect.decisions(_mask(student, x, p)) for _ in range(2))
    expect.independent(first, p, ("example", "channel"))
    expect.fresh(first, second, p)


@check("channel_mask", points=1)
def mask_follows_channel_dim(student: Any, draw: Draw) -> None:
    """channel_dim says which axis holds the channels: -1 and 3 are the last one, -3 and 1 the second."""
    p = draw.probability()
    _serves_every_axis(draw, lambda x, channel_dim: _mask(student, x, p, channel_dim=channel_dim))


# -- SpatialDropout2d ----------------------------------------------------------------------------------------------------


@check("SpatialDropout2d", points=3)
def drops_whole_channels(student: Any, draw: Draw) -> None:
    """In training, a channel of an example is zero at every pixel or at none."""
    x, p = draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    expect.constant_zero_pattern(expect.mixed(lambda: _output(layer, x)), over=("height", "width"))


@check("SpatialDropout2d", points=1)
def drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the channels is dropped, for a small p and for a large one."""
    x = draw.signed(*MANY)
    for p in (draw.probability(), draw.probability(0.6, 0.8)):
        expect.drop_rate(_output(_layer(student, p=p), x), p)


@check("SpatialDropout2d", points=2)
def rescales_what_is_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, so that the mean over many draws is x."""
    x, p = draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    y = _output(layer, x)
    for _ in range(64):  # one call does, but where a single coin decides over everything: 0.4^65 < 1e-25
        y = y if bool((y != 0).any()) else _output(layer, x)
    expect.scale(y, x, p)


@check("SpatialDropout2d", points=2)
def changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is the input, whatever p is; back in training mode it drops again."""
    x, p = draw.signed(*FIRST), draw.probability()
    layer = _layer(student, p=p)
    expect.mode(layer, training=False)
    _is_identity(_output(layer, x), x, p, "eval")
    certain = _layer(student, p=1.0)
    expect.mode(certain, training=False)
    _is_identity(_output(certain, x), x, p, "eval_p1")
    expect.mode(layer, training=True)
    # The first call does, but where a single coin decides over everything: 64 of them keep it with 0.8^64 < 1e-6.
    drops = any(bool((_output(layer, x) == 0).any()) for _ in range(64))
    expect.that(drops, "train_again", "back in training mode, nothing was dropped any more")


@check("SpatialDropout2d", points=2)
def draws_coins_afresh(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, p = draw.signed(*MANY), draw.probability()
    layer, other = _layer(student, p=p), _layer(student, p=p)
    first = expect.decisions(_output(layer, x))
    _output(layer, x[:5, :7])  # a layer sees batches of many sizes
    second, elsewhere = (expect.decisions(_output(each, x)) for each in (layer, other))
    expect.independent(first, p, ("example", "channel"))
    expect.fresh(first, second, p, elsewhere)


@check("SpatialDropout2d", points=2)
def serves_channels_last(student: Any, draw: Draw) -> None:
    """With channel_dim=-1, maps (batch, height, width, channels) lose whole channels."""
    x, p = draw.signed(*LAST), draw.probability()
    layer = _layer(student, p=p, channel_dim=-1)
    y = expect.mixed(lambda: _output(layer, x))
    expect.constant_zero_pattern(y, over=("height", "width"), layout="NHWC")


@check("SpatialDropout2d", points=1)
def counts_axes_from_either_end(student: Any, draw: Draw) -> None:
    """channel_dim=3 is the same axis as -1, and channel_dim=-3 the same as 1."""
    p = draw.probability()
    layers = {dim: _layer(student, p=p, channel_dim=dim) for dim in (3, -3)}
    _serves_every_axis(draw, lambda x, channel_dim: _output(layers[channel_dim], x), last=(3,), first=(-3,))


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
    """At p = 0 the output is the input; at p = 1 it is zero everywhere, and never NaN."""
    x = draw.signed(3, 4, 2, 5)
    # `rand > 0` fails for one number in 2^24, so for one of 12 coins with 7e-7; in two tries of two with 5e-13.
    for p in (0, 0.0):
        expect.eventually(lambda p=p: expect.close(_output(_layer(student, p=p), x), x, "the output at p = 0", "p0"))
    for p in (1, 1.0):
        expect.eventually(
            lambda p=p: expect.close(_output(_layer(student, p=p), x), 0 * x, "the output at p = 1", "p1")
        )


@check("SpatialDropout2d", points=1)
def refuses_what_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError when the layer is made, and input without 4 dimensions one that shows its shape."""
    build, p = expect.function(student.SpatialDropout2d), draw.probability()
    layer = _layer(student, p=p)
    for shape in ((13, 17, 19), (11, 13), (11, 13, 2, 17, 3)):
        what = f"the layer, given an input of shape {shape},"
        expect.raises("ValueError", layer, draw.signed(*shape), mentions=shape, what=what, code="shape_refused")
    for bad in (-p, -0.001, 1.001, 1 + p, 5):
        expect.raises("ValueError", build, p=bad, what=f"SpatialDropout2d(p={bad:g})", code="p_refused")


# -- shared --------------------------------------------------------------------------------------------------------------


def _broadcast(mask: Any, x: Tensor) -> Tensor:
    mask = expect.tensor(mask, "the mask")
    try:
        return mask.broadcast_to(x.shape)
    except RuntimeError:
        raise expect.Failure(
            "shape", f"the mask's shape, {tuple(mask.shape)}, does not broadcast to that of x, {tuple(x.shape)}"
        ) from None


def _mask(student: Any, x: Tensor, p: float, **options: Any) -> Tensor:
    return _broadcast(expect.call(student.channel_mask, x, p, what="channel_mask", **options), x)


def _layer(student: Any, **options: Any) -> Remote:
    return expect.made(student.SpatialDropout2d, what="SpatialDropout2d", **options)


def _output(layer: Remote, x: Tensor) -> Tensor:
    return expect.tensor(layer(x), "the output", shape=x.shape)


def _is_identity(y: Tensor, x: Tensor, p: float, code: str) -> None:
    what = "the output in evaluation mode"
    expect.that(not bool((y == 0).any()), f"{code}:drops", f"{what} should be the input, but values were dropped")
    expect.close(y, x, what, code, candidates={"1-p": x * (1 - p), "1/(1-p)": x / (1 - p)})


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
