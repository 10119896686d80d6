"""Graded-only checks of 07_dropblock: against the reference solution, on secret seeds and shapes.

Two right answers draw different masks from the same seed. So outputs are compared after each was divided by the factor that its
own zeros give, where both kept a value; and how often each pixel of a map is dropped with what the reference's gamma gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM

# 4000 maps: pixel (i, j) is dropped where one of the a_i · b_j seeds that reach it came up, with 1 - (1 - gamma)^(a_i b_j). For
# p in [0.2, 0.3] and the shapes below, an inner pixel with a rate q of about 0.31 passes for 0.05 to each side, or 6.9 standard
# deviations; with the width of the map taken for its height, or the other way round, it is off by 0.09 or more, and 12 or more
# such pixels are looked at.
MAPS = (50, 80)

# Calls and coins a call: 24 channels with four corners each. Total agreement, where a mask is shared or kept, is beyond every
# bound: 1920 of 1920 pairs, where coins agree in 0.68 at most.
CALLS, CHANNELS = 40, 24


@check("dropblock_gamma", points=1)
def gamma_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Gamma is the reference's, for small and large maps, wide and high ones, and rates from a thousandth to 1."""
    target, plan, calls = expect.function(student.dropblock_gamma), student.together(), []
    for k in (1, 3, 5, 7, 9, 11):
        height, width = draw.sizes(2, k, draw.integer(k + 2, 250))
        p = (0.001, 1.0, draw.uniform(0, 1))[draw.integer(0, 2)]
        calls.append((p, k, height, width, plan.call(target, p, k, height, width)))
    for p, k, height, width, call in calls:
        what = f"gamma for p = {p:g}, blocks of {k} and a map of {height} x {width}"
        wanted = reference.dropblock_gamma(p, k, height, width)
        expect.close(expect.scalar(call.get(), what), wanted, what, "reference", 1e-6, 1e-12)


@check("DropBlock2d", points=3)
def blocks_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Output and gradient are the reference's where both keep a value, for any shape; each pixel is dropped as often as it should."""
    target, plan, calls = expect.function(student.DropBlock2d), student.together(), []
    for k, dtype in (
        (3, torch.float32),
        (5, torch.float64),
        (7, torch.float32),
        (1, torch.float64),
    ):
        height, width = draw.sizes(2, k + 1, k + 8)
        shape, p = (draw.integer(5, 8), draw.integer(9, 12), height, width), draw.probability()
        x, g = draw.signed(*shape, dtype=dtype), draw.signed(*shape, dtype=dtype)
        seen = plan.observe(
            plan.call(target, p=p, block_size=k), x.clone().requires_grad_(), cotangent=g
        )
        calls.append((k, p, x, g, seen))
    for k, p, x, g, call in calls:
        seen = call.get()
        y = expect.tensor(seen.output, "the output", shape=x.shape)
        gradient = seen.gradients[0]
        expect.that(gradient is not None, "gradient:none", "no gradient reaches the input")
        expect.tensor(gradient, "the gradient of the input", shape=x.shape)
        wanted = x.clone().requires_grad_()
        right = reference.DropBlock2d(p, k)(wanted)
        (slope,) = torch.autograd.grad(right, wanted, g)
        right = right.detach()
        # 45 maps or more, each kept whole by both with 0.3 or more where a map has a single place: none of them with 1e-7 at
        # worst, and then nothing is compared.
        both = ((y != 0) & (right != 0)).double()
        share, of_right = (y != 0).double().mean(), (right != 0).double().mean()
        expect.close(
            y * both * share,
            right * both * of_right,
            "the output times kept / total, where it and the reference's are not zero,",
            candidates={"unscaled": x * both * share},
        )
        expect.close(
            gradient * both * share,
            slope * both * of_right,
            "the gradient times kept / total, where both outputs are not zero,",
            "gradient",
        )
    _drops_each_pixel_as_often_as_it_should(student, draw, reference)
    _tosses_new_coins(student, draw, reference)


def _drops_each_pixel_as_often_as_it_should(student: Any, draw: Draw, reference: Any) -> None:
    k, p = (3, 5)[draw.integer(0, 1)], draw.probability(0.2, 0.3)
    height, width = (k + 1, k + 5) if draw.integer(0, 1) else (k + 5, k + 1)
    x = draw.signed(*MAPS, height, width)
    layer = expect.made(student.DropBlock2d, p, k, what="DropBlock2d")
    dropped = expect.tensor(layer(x), "the output", shape=x.shape) == 0
    for d in (
        0,
        1,
    ):  # maps that share one mask are one: that they do is for another check to say
        first = dropped.narrow(d, 0, 1)
        dropped = dropped if bool((dropped != first).any()) else first
    gamma = float(reference.dropblock_gamma(p, k, height, width))
    maps, counts = dropped.flatten(0, 1).shape[0], dropped.flatten(0, 1).sum(dim=0)
    alarm = FALSE_ALARM / 3 / (height * width)
    rows, columns = (_covering(n, k) for n in (height, width))
    for i, a in enumerate(rows):
        for j, b in enumerate(columns):
            rate, count = 1 - (1 - gamma) ** (a * b), int(counts[i, j])
            expect.that(
                expect._compatible(count, maps, rate, alarm),
                "pixel",
                f"on maps of {height} x {width} with blocks of {k} and p = {p:g}, pixel ({i}, {j}) should be dropped in "
                f"{rate:.1%} of the maps, but it is in {count / maps:.1%}",
            )


def _covering(size: int, k: int) -> list[int]:
    """Return for each of `size` pixels of a line how many of its places for k pixels cover it."""
    return [min(i, size - k) - max(i - k + 1, 0) + 1 for i in range(size)]


def _tosses_new_coins(student: Any, draw: Draw, reference: Any) -> None:
    x, p = draw.signed(1, CHANNELS, 4, 5), draw.probability(0.56, 0.7)
    layer = expect.made(student.DropBlock2d, p=p, block_size=3, what="DropBlock2d")
    answers = student.repeat(layer, CALLS, x)
    corners = torch.stack(
        [_corners(expect.tensor(y, "the output", shape=x.shape)) for y in answers]
    )
    gamma = float(reference.dropblock_gamma(p, 3, 4, 5))
    expect.independent(corners, gamma, ("call", "coin"), FALSE_ALARM / 3)


def _corners(y: Tensor) -> Tensor:
    """Return which corners of the maps of one example are dropped, corner by corner: (4 C,)."""
    return torch.cat([y[0, :, i, j] == 0 for i in (0, -1) for j in (0, -1)])
