"""Graded-only checks of 03_spatial_dropout: against the reference solution, on secret seeds and shapes.

Two right answers draw different masks from the same seed, so outputs are compared where both kept a channel, zeros by the
axes along which they vary, and coins by exact statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM

PLACES = (("NCHW", 1), ("NHWC", -1), ("NHWC", 3), ("NCHW", -3))

# Calls and coins a call. Total agreement, where a coin is shared or a mask kept, is beyond every bound: 480 of 480 pairs,
# where coins agree in two thirds at most, 320 with a standard deviation of 10. A fixed number dropped: 40 of 40 calls
# within 1 of the mean, where coins give 0.39 at most (24 coins, p = 0.2), so 34 or fewer pass.
CALLS, COINS = 40, 24

# 200 * 240 = 48 000 coins: for p in [0.13, 0.17], a rate that is off by 0.02 or more is missed with less than 1e-6.
COUNTED = (200, 240, 1, 1)


@check("channel_mask", points=1)
def mask_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any shape, layout and dtype, masks vary as the reference's do, and their coins stay independent over many calls."""
    target, plan, calls = expect.function(student.channel_mask), student.together(), []
    for (layout, dim), dtype in zip(
        PLACES, (torch.float32, torch.float64, torch.float16, torch.bfloat16), strict=True
    ):
        x, p = draw.signed(*_shape(draw, layout), dtype=dtype), draw.probability()
        again = partial(target, x, p, channel_dim=dim)
        call = expect.planned(plan.call(target, x, p, channel_dim=dim), again)
        calls.append((layout, dim, x, p, call))
    for layout, dim, x, p, call in calls:
        mask = expect.mixed(lambda x=x, call=call: expect.broadcast(call(), x))
        expect.that(
            bool(((mask == 0) | (mask == 1)).all()),
            "values:other",
            "the mask should hold only 0 and 1",
        )
        right = reference.channel_mask(x, p, channel_dim=dim).broadcast_to(x.shape)
        expect.constant_zero_pattern(mask, expect.constant_axes(right == 0, layout), layout)

    def masks(p: float, x: Tensor, times: int) -> list[Tensor]:
        return [
            expect.broadcast(mask, x)
            for mask in student.repeat(expect.function(student.channel_mask), times, x, p)
        ]

    _tosses_fair_coins(draw, masks)


@check("SpatialDropout2d", points=2)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Output and gradient are the reference's where both keep a channel, for any shape, layout and p; coins stay fair."""
    target, plan, calls = expect.function(student.SpatialDropout2d), student.together(), []
    for (layout, dim), dtype in zip(
        PLACES, (torch.float32, torch.float64, torch.float32, torch.float64), strict=True
    ):
        shape, p = _shape(draw, layout), draw.probability()
        x, g = draw.signed(*shape, dtype=dtype), draw.signed(*shape, dtype=dtype)
        layer = plan.call(target, p=p, channel_dim=dim)
        y = plan.call(layer, x)
        seen = plan.observe(layer, x.clone().requires_grad_(), cotangent=g)
        calls.append((layout, dim, x, g, p, layer, y, seen, plan.call(layer, x)))
    for layout, dim, x, g, p, layer, first, observed, another in calls:
        made = expect.function(layer.get(), "what SpatialDropout2d makes")
        expect.tensor(first.get(), "the output", shape=x.shape)
        seen = observed.get()
        y = expect.tensor(seen.output, "the output", shape=x.shape)
        gradient = seen.gradients[0]
        expect.that(gradient is not None, "gradient:none", "no gradient reaches the input")
        expect.tensor(gradient, "the gradient of the input", shape=x.shape)
        wanted = x.clone().requires_grad_()
        right = reference.SpatialDropout2d(p=p, channel_dim=dim)(wanted)
        (slope,) = torch.autograd.grad(right, wanted, g)
        right = right.detach()
        # 153 channels or more, each kept by both with probability 0.36 at least: none of them with 1e-29.
        both = ((y != 0) & (right != 0)).double()
        expect.close(
            y * both,
            right * both,
            "the output, where it and the reference's are not zero,",
            candidates={"unscaled": x * both},
        )
        both = ((gradient != 0) & (slope != 0)).double()
        expect.close(
            gradient * both,
            slope * both,
            "the gradient, where it and the reference's are not zero,",
            "gradient",
        )
        attempt = expect.planned(another, partial(made, x))
        varied = expect.mixed(
            lambda x=x, attempt=attempt: expect.tensor(attempt(), "the output", shape=x.shape)
        )
        expect.constant_zero_pattern(varied, expect.constant_axes(right == 0, layout), layout)

    def outputs(p: float, x: Tensor, times: int) -> list[Tensor]:
        layer = expect.made(student.SpatialDropout2d, p=p, what="SpatialDropout2d")
        return [
            expect.tensor(y, "the output", shape=x.shape)
            for y in student.repeat(layer, times, x)
        ]

    _tosses_fair_coins(draw, outputs)


def _shape(draw: Draw, layout: str) -> list[int]:
    """Return different sizes: 9 to 14 examples, 17 or 19 channels (153 coins or more), small maps.

    Zeros of a right answer fail to vary along the batch or the channels with (0.2^9 + 0.8^9)^17 < 1e-14 at most. Neither
    number of channels divides that of the pixels: a mix-up of the two would go unseen.
    """
    sizes = dict(
        zip("HW", draw.sizes(2, 2, 6), strict=True),
        N=draw.integer(9, 14),
        C=17 + 2 * draw.integer(0, 1),
    )
    return [sizes[letter] for letter in layout]


def _tosses_fair_coins(
    draw: Draw, answers: Callable[[float, Tensor, int], list[Tensor]]
) -> None:
    """Expect coins to be independent over many calls on one example, and a share p of very many to be dropped.

    Args:
        answers: given p, x and a number of calls, returns what each returns, such as one layer.
    """
    x, p = draw.signed(1, COINS, 2, 3), draw.probability()
    coins = torch.cat([expect.decisions(y) for y in answers(p, x, CALLS)])
    expect.independent(coins, p, ("call", "coin"), FALSE_ALARM / 3)
    p = draw.probability(0.13, 0.17)
    (y,) = answers(p, draw.signed(*COUNTED), 1)
    expect.drop_rate(y, p, FALSE_ALARM / 3, candidates={"tenths": round(p, 1)})
