"""Graded-only checks of 08_stochastic_depth: against the reference solution, on secret seeds and shapes.

Two right answers toss different coins from the same seed, so outputs are compared where both kept an example, zeros by the
axes along which they vary, and coins by exact statistics.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from autograder import expect, layers
from autograder.checks import check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import fixture

# 60 000 coins: for p in [0.13, 0.17], a rate that is off by 0.02 or more is missed with less than 1e-6.
COUNTED = (300, 200)

# 80 calls of 24 coins each. Where a coin is shared or kept, all of 40 * 24 pairs agree, and two thirds at most should.
CALLS, COINS = 80, 24

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@check("drop_path_rates", points=1)
def rates_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """The rates are the reference's, for any max_rate and any depth."""
    function = expect.function(student.drop_path_rates, "drop_path_rates")
    for depth in draw.sizes(6, 2, 30):
        rate = draw.uniform(0.01, 0.99)
        got, right = function(rate, depth), reference.drop_path_rates(rate, depth)
        got = [got] if isinstance(got, (int, float)) else got
        listed = isinstance(got, (list, tuple)) or (isinstance(got, Tensor) and got.dim() == 1)
        values = list(got) if listed else []
        expect.that(
            len(values) == depth,
            "reference_length",
            f"{depth} rates are needed, got {len(values)}",
        )
        for number, (value, wanted) in enumerate(zip(values, right, strict=True), start=1):
            expect.close(
                value, wanted, f"the rate of block {number} of {depth}", "reference", 1e-6, 1e-6
            )


@check("DropPath", points=2)
def path_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Output and gradient are the reference's where both keep an example, for any shape, dtype and p; coins stay fair."""
    target, plan, calls = expect.function(student.DropPath), student.together(), []
    for dimensions, dtype in enumerate(DTYPES, start=2):
        # 90 examples or more, each kept by both with probability 0.36 at least: none of them with 1e-17.
        shape, p = [draw.integer(90, 99), *draw.sizes(dimensions - 1, 2, 6)], draw.probability()
        x, g = draw.signed(*shape, dtype=dtype), draw.signed(*shape, dtype=dtype)
        layer = plan.call(target, p)
        first, another = plan.call(layer, x), plan.call(layer, x)
        seen = plan.observe(layer, x.clone().requires_grad_(), cotangent=g)
        calls.append((x, g, p, layer, first, another, seen))
    for x, g, p, layer, first, another, observed in calls:
        made = expect.function(layer.get(), "what DropPath makes")
        y = expect.tensor(first.get(), "the output", shape=x.shape)
        seen = observed.get()
        z = expect.tensor(seen.output, "the output", shape=x.shape)
        wanted = x.clone().requires_grad_()
        right = reference.DropPath(p)(wanted)
        (slope,) = torch.autograd.grad(right, wanted, g)
        right, near = right.detach(), expect.precision(x.dtype)
        for output in (y, z):
            both = ((output != 0) & (right != 0)).double()
            expect.close(
                output * both, right * both, "the output, where it and the reference's are not zero,", "value", near, near,
                {"unscaled": x * both},
            )  # fmt: skip
        gradient = seen.gradients[0]
        expect.that(gradient is not None, "gradient:none", "no gradient reaches the input")
        expect.tensor(gradient, "the gradient of the input", shape=x.shape)
        both = ((gradient != 0) & (slope != 0)).double()
        expect.close(
            gradient * both, slope * both, "the gradient, where it and the reference's are not zero,", "gradient",
            10 * near, 10 * near,
        )  # fmt: skip
        attempt = expect.planned(another, partial(made, x))
        varied = expect.mixed(
            lambda x=x, attempt=attempt: expect.tensor(attempt(), "the output", shape=x.shape)
        )
        expect.constant_zero_pattern(varied.flatten(1), over=("channel",), layout="NC")
    p, x = draw.probability(), draw.signed(COINS, 3)
    layer = expect.made(target, p=p, what="DropPath")
    outputs = [
        expect.tensor(y, "the output", shape=x.shape) for y in student.repeat(layer, CALLS, x)
    ]
    table = torch.stack([expect.decisions(y, "N", "NC") for y in outputs])
    expect.independent(table, p, ("call", "example"), FALSE_ALARM / 3)
    p, x = draw.probability(0.13, 0.17), draw.signed(COUNTED[1], 2)
    outputs = student.repeat(expect.made(target, p=p, what="DropPath"), COUNTED[0], x)
    kept = [
        ~expect.decisions(expect.tensor(y, "the output", shape=x.shape), "N", "NC")
        for y in outputs
    ]
    expect.drop_rate(
        torch.stack(kept).float(), p, FALSE_ALARM / 3, candidates={"tenths": round(p, 1)}
    )


@fixture
def block_as_made(build: Any, channels: int, p: float, x: torch.Tensor, training: bool) -> Any:
    """Make a block as it comes, call it, and return the parameters of its parts, found by type, as they were."""
    from torch import nn

    block = build(channels, p).to(x.dtype)
    block.train()
    with torch.no_grad():
        block(x.clone())
    block.train(training)
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    statistics = [[n.running_mean, n.running_var] for n in norms]
    statistics = [[t.clone() for t in pair if t is not None] for pair in statistics]
    y = block(x.clone())
    return {
        "y": y,
        "convolutions": [
            [c.weight, *([] if c.bias is None else [c.bias])] for c in convolutions
        ],
        "statistics": statistics,
    }


@check("ResidualBlock", points=2)
@layers.one_thread()
def block_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """A block as it comes, of any size, does what the reference does with its weights, in training and in evaluation."""
    build = expect.function(student.ResidualBlock, "ResidualBlock")
    for training, dtype in (
        (True, torch.float64),
        (False, torch.float32),
        (False, torch.float64),
    ):
        channels, height, width = draw.sizes(3, 5, 8)
        x, p = 2 * draw.signed(160, channels, height, width, dtype=dtype), draw.probability()
        seen = student.fixture(block_as_made)(build, channels, p, x, training)
        found = seen if isinstance(seen, dict) else {}
        y = expect.tensor(found.get("y"), "the output", shape=x.shape, dtype=dtype)
        parts, statistics = found.get("convolutions"), found.get("statistics")
        read = (
            isinstance(parts, list)
            and isinstance(statistics, list)
            and len(parts) == len(statistics) == 2
        )
        expect.that(
            read, "parts:other", "the block should have two convolutions and two batch norms"
        )
        matches = []
        for swap_convolutions, swap_norms in (
            (False, False),
            (True, True),
            (False, True),
            (True, False),
        ):
            block = reference.ResidualBlock(channels, 0.0).to(dtype).train(training)
            _given(
                block,
                parts[::-1] if swap_convolutions else parts,
                statistics[::-1] if swap_norms else statistics,
            )
            with torch.no_grad():
                branch = block(x) - x
            right = x + branch / (1 - p) if training else x + branch
            near = (y - right).abs() <= 1e-4 + 1e-4 * right.abs()
            matches.append(bool(((near | ((y == x) & training)).flatten(1).all(1)).all()))
        mode = "training" if training else "evaluation"
        expect.that(
            any(matches),
            f"reference:{mode}",
            f"in {mode} mode the output is not that of the reference",
        )
        # 160 examples: all keep their branch with 0.8^160 < 4e-16.
        lost = (y == x).flatten(1).all(1)
        mixed = bool(lost.any()) and not bool(lost.all())
        expect.that(
            mixed or not training,
            "reference_lost:all_alike",
            "all examples lost their branch, or none did",
        )


def _given(block: nn.Module, parts: Any, statistics: Any) -> None:
    """Give the reference's block the learner's weights and running statistics."""
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    for group in (*parts, *statistics):
        expect.that(
            isinstance(group, list) and group != [],
            "parts:other",
            "the block's parts could not be read",
        )
    with torch.no_grad():
        for i, (conv, norm) in enumerate(zip(convolutions, norms, strict=True)):
            weight, *bias = parts[i]
            conv.weight.copy_(
                expect.tensor(weight, "a convolution's weight", shape=conv.weight.shape)
            )
            if bias:
                conv.bias = nn.Parameter(
                    expect.tensor(bias[0], "a bias", shape=conv.weight.shape[:1]).clone()
                )
            for own, theirs in zip(
                (norm.running_mean, norm.running_var), statistics[i], strict=False
            ):
                own.copy_(expect.tensor(theirs, "running statistics", shape=own.shape))
