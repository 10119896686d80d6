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
from autograder.student import Plan

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
    x, p, target = draw.signed(*FIRST), draw.probability(), expect.function(student.channel_mask)
    plan = student.together()
    seen, another = plan.observe(target, x, p), plan.call(target, x, p)
    mask = expect.broadcast(seen.get().output, x)
    values = mask[mask != 0].double()
    if bool((values != 1).any()):
        raise expect.Failure(
            f"values:{_values_seen(mask, x, p)}",
            f"the mask should hold only 0 and 1, but it holds {float(values[values != 1][0]):.4g}",
        )
    again = expect.planned(another, lambda: target(x, p))
    mask = expect.mixed(lambda: expect.broadcast(again(), x))
    expect.constant_zero_pattern(mask, over=("height", "width"))
    expect.unchanged(x, seen.get().arguments[0], "x")


@check("channel_mask", points=3)
def mask_drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the coins is 0, for a small p and a large one; none is at p = 0, and every one at p = 1."""
    x, few, alarm = draw.signed(*COUNTED), draw.signed(*FEW), FALSE_ALARM / 3
    p, large, plan = draw.probability(*SMALL), draw.probability(0.6, 0.8), student.together()
    masks = [_mask(student, plan, x, p), _mask(student, plan, x, large)]
    extreme = {repr(q): _mask(student, plan, few, q) for q in layers.EXTREMES}
    expect.drop_rate(masks[0](), p, alarm, candidates=layers.wrong_rates(p))
    expect.drop_rate(masks[1](), large, alarm, code="rate_large")
    layers.at_the_extremes(lambda _, q: extreme[repr(q)](), few, "the mask")


@check("channel_mask", points=1)
def mask_coins_are_independent(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, other, p, plan = draw.signed(*MANY), draw.signed(*MANY), draw.probability(), student.together()
    masks = [_mask(student, plan, each, p) for each in (x, x, other)]
    first, second, elsewhere = (expect.decisions(mask()) for mask in masks)
    expect.independent(first, p, ("example", "channel"), FALSE_ALARM / 3)
    expect.fresh(first, second, p, on_another=elsewhere, alarm=FALSE_ALARM / 3)
    expect.distinct(torch.cat([first, second]), p, ("example", "channel"))
    layers.does_not_seed(student, draw.student_seed, lambda: student.channel_mask(x[:2], p))


@check("channel_mask", points=1)
def mask_follows_channel_dim(student: Any, draw: Draw) -> None:
    """channel_dim says which axis holds the channels: -1 and 3 are the last one, -3 and 1 the second."""
    p, plan, last = draw.probability(), student.together(), draw.signed(*LAST)
    vary = _serves_every_axis(draw, lambda x, dim: _mask(student, plan, x, p, channel_dim=dim))
    by_position = _mask(student, plan, last, p, -1)
    vary()
    layers.takes_positions(by_position, "channel_mask(x, p, -1)")


# -- SpatialDropout2d ----------------------------------------------------------------------------------------------------


@check("SpatialDropout2d", points=8)
def drops_whole_channels(student: Any, draw: Draw) -> None:
    """In training, a channel of an example is zero at every pixel or at none."""
    x, p, plan = draw.signed(*FIRST), draw.probability(), student.together()
    y = _layer(student, plan, p=p).output(x)
    expect.constant_zero_pattern(expect.mixed(y), over=("height", "width"))


@check("SpatialDropout2d", points=2)
def drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the channels is dropped, for a small p and for a large one, and one half where p is not given."""
    x, alarm, plan = draw.signed(*COUNTED), FALSE_ALARM / 4, student.together()
    p, large = draw.probability(*SMALL), draw.probability(0.6, 0.8)
    y, y_large, y_default = (_layer(student, plan, **made).output(x) for made in ({"p": p}, {"p": large}, {}))
    expect.drop_rate(y(), p, alarm, candidates=layers.wrong_rates(p))
    expect.drop_rate(y_large(), large, alarm, code="rate_large")
    # That the others passed says which mistake it is, whatever the rate.
    try:
        expect.drop_rate(y_default(), 0.5, alarm)
    except expect.Failure as failure:
        code = "rate_by_default:another" if failure.code.startswith("rate:") else failure.code
        raise expect.Failure(code, f"made without arguments: {failure.message}", failure.evidence) from None


@check("SpatialDropout2d", points=3)
def rescales_what_is_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, for a small p and for a large one: so the mean over many draws is x."""
    x = draw.signed(*FIRST)
    rates = {"scale": draw.probability(), "scale_large": draw.probability(0.6, 0.8)}
    layers.rescales_what_is_kept(student, lambda plan, p: _layer(student, plan, p=p), x, rates)


@check("SpatialDropout2d", points=3)
def changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is the input, with its dtype and gradient, whatever p is; in training it drops again."""
    x, g, p = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability()
    # Where a single coin decides over everything, training keeps it 64 times with 0.8^64 < 1e-6.
    layers.changes_nothing_in_evaluation(student, lambda plan, p: _layer(student, plan, p=p), x, g, p)


@check("SpatialDropout2d", points=2)
def draws_coins_afresh(student: Any, draw: Draw) -> None:
    """Coins of different examples, channels and calls have nothing to do with each other."""
    x, another, p, plan = draw.signed(*MANY), draw.signed(*MANY), draw.probability(), student.together()
    layer, other = _layer(student, plan, p=p), _layer(student, plan, p=p)
    outputs = [layer.output(x)]
    smaller = layer.output(x[:5, :7])  # a layer sees batches of many sizes
    outputs += [layer.output(x), other.output(x), layer.output(another)]
    first = expect.decisions(outputs[0]())
    smaller()
    second, elsewhere = (expect.decisions(y()) for y in outputs[1:3])
    expect.independent(first, p, ("example", "channel"), FALSE_ALARM / 3)
    expect.fresh(first, second, p, elsewhere, expect.decisions(outputs[3]()), FALSE_ALARM / 3)
    expect.distinct(torch.cat([first, second]), p, ("example", "channel"))
    layers.does_not_seed(student, draw.student_seed, lambda: layer.remote()(x[:2]))


@check("SpatialDropout2d", points=2)
def serves_channels_last(student: Any, draw: Draw) -> None:
    """With channel_dim=-1, maps (batch, height, width, channels) lose whole channels; p comes first, channel_dim second."""
    x, p, plan = draw.signed(*LAST), draw.probability(), student.together()
    y, by_position = (
        each.output(x) for each in (_layer(student, plan, p=p, channel_dim=-1), _layer(student, plan, p, -1))
    )
    expect.constant_zero_pattern(expect.mixed(y), over=("height", "width"), layout="NHWC")
    layers.takes_positions(by_position, "SpatialDropout2d(p, -1)")


@check("SpatialDropout2d", points=1)
def counts_axes_from_either_end(student: Any, draw: Draw) -> None:
    """channel_dim=3 is the same axis as -1, and channel_dim=-3 the same as 1."""
    p, plan = draw.probability(), student.together()
    by_dim = {dim: _layer(student, plan, p=p, channel_dim=dim) for dim in (3, -3)}
    vary = _serves_every_axis(draw, lambda x, dim: by_dim[dim].output(x), last=(3,), first=(-3,))
    for layer in by_dim.values():
        layer.remote()
    vary()


@check("SpatialDropout2d", points=1)
def passes_gradients_on(student: Any, draw: Draw) -> None:
    """The gradient of a kept value is that of x / (1 - p), and zero where the channel was dropped."""
    x, g, p, plan = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    y, seen = layer.output(x), plan.observe(layer.made, x.clone().requires_grad_(), cotangent=g)
    y()
    expect.masked_gradient(seen.get(), x, g)


@check("SpatialDropout2d", points=1)
def leaves_no_trace(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, the input is left as it is, and no mask is kept in the module."""
    p, plan = draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    inputs = [draw.signed(6, 8, 3, 4, dtype=d) for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    calls = [(x, plan.observe(layer.made, x)) for x in inputs]
    remote = layer.remote()
    for x, call in calls:
        seen = call.get()
        expect.tensor(seen.output, f"the output for {x.dtype} input", shape=x.shape, dtype=x.dtype)
        expect.unchanged(x, seen.arguments[0])
    expect.no_state(student.module(remote))


@check("SpatialDropout2d", points=1)
def handles_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input, with its gradient; at p = 1 it is zero everywhere, and never NaN."""
    x, g, plan = draw.signed(*FEW), draw.signed(*FEW), student.together()
    extreme = {repr(p): _layer(student, plan, p=p).output(x) for p in layers.EXTREMES}
    layer = _layer(student, plan, p=0.0)
    value, passes = layer.output(x), layers.passes_through_planned(plan, layer.made, x, g, "the output at p = 0")
    layers.at_the_extremes(lambda _, p: extreme[repr(p)](), x, "the output")
    expect.eventually(lambda: expect.close(value(), x, "the output at p = 0", "p0_value"))
    remote = layer.remote()
    attempts = iter([passes, lambda: layers.passes_through(student, remote, x, g, "the output at p = 0")])
    expect.eventually(lambda: next(attempts)())


@check("SpatialDropout2d", points=1)
def refuses_what_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError when the layer is made, input without 4 dimensions one too; each shows the value."""
    build, p, plan = expect.function(student.SpatialDropout2d), draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    shapes = ((13, 17, 19), (11, 13), (11, 13, 2, 17, 3))
    calls = [(shape, plan.call(layer.made, draw.signed(*shape))) for shape in shapes]
    refused = layers.refuses_p_planned(plan, build, p, "SpatialDropout2d")
    layer.remote()
    accepted = {}
    for shape, call in calls:
        what = f"the layer, given an input of shape {shape},"
        try:
            expect.raised("ValueError", call.get, mentions=shape, what=what, code="shape_refused")
        except expect.Failure as failure:
            if failure.code != "shape_refused:nothing":
                raise
            accepted[len(shape)] = failure
    if accepted:  # of how many dimensions
        first = next(iter(accepted.values()))
        raise expect.Failure("shape_accepted:" + "".join(map(str, sorted(accepted))), first.message)
    refused()


# -- shared --------------------------------------------------------------------------------------------------------------

Attempt = Callable[[], Tensor]
"""Gives a planned answer, and from the second time on what another call returns."""


def _mask(student: Any, plan: Plan, x: Tensor, p: float, *args: Any, **options: Any) -> Attempt:
    """Plan a mask."""
    target = expect.function(student.channel_mask, "channel_mask")
    answer = expect.planned(plan.call(target, x, p, *args, **options), lambda: target(x, p, *args, **options))
    return lambda: expect.broadcast(answer(), x)


def _layer(student: Any, plan: Plan, *args: Any, **options: Any) -> layers.PlannedLayer:
    return layers.PlannedLayer(student, plan, "SpatialDropout2d", *args, **options)


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
    answer: Callable[[Tensor, int], Attempt],
    last: tuple[int, ...] = (-1, 3),
    first: tuple[int, ...] = (-3, 1),
) -> Callable[[], None]:
    """Plan answers for both layouts and each name of their channels' axis; return what expects them to vary as they should."""
    planned = []
    for layout, shape, dims in (("NHWC", LAST, last), ("NCHW", FIRST, first)):
        planned += [(layout, dim, answer(draw.signed(*shape), dim)) for dim in dims]

    def vary() -> None:
        for layout, dim, attempt in planned:
            y = expect.mixed(attempt)
            expect.constant_zero_pattern(y, over=("height", "width"), layout=layout, code=f"varies_{dim}")

    return vary
