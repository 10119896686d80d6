"""Public checks of 07_dropblock.

An output is read by where it is zero. Blocks overlap, so the number of pixels dropped is not that of coins; but some things
are coins exactly, and only those are counted:

- a corner of a map is covered by one block only, the one whose seed lies in that corner of the valid places. So the four
  corners of maps larger than the block are independent coins that come up with probability gamma;
- a map loses nothing if none of its H-k+1 times W-k+1 seeds comes up: with probability (1 - gamma)^places;
- blocks of one pixel are coins for each pixel, and a block as large as the map is one coin a map, both with probability p.

Numbers of coins: a check fails a right answer with probability at most FALSE_ALARM = 1e-9 in all. Where it tests counts more
than once, each test gets an equal share, and one share is left for all that hangs on patterns, whose probabilities are
written beside the sizes. The arithmetic there also says why a mistake gets past with less than 1e-6.
`tests/units/test_07_dropblock.py` holds the checks to this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.evidence import images
from autograder.expect import Failure
from autograder.statistics import FALSE_ALARM, binomial_interval
from autograder.student import Later, Plan, StudentError

# Dropout of pixels is not among them: zeros that it makes of ones are coins like any others.
_LIBRARY = (
    "drop_block2d", "drop_block3d", "DropBlock2d", "DropBlock3d", "DropBlock2D", "DropBlock", "drop_block_2d",
    "drop_block_fast_2d",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "dropblock_gamma",
        hints=(
            "How many seeds may fall on a map so that each block stays inside, and how many pixels does one block drop? "
            "Write down how many pixels are dropped on average, overlaps counted twice, and set it equal to what is asked for.",
            "A block of k pixels fits into H pixels in H - k + 1 places, and likewise into the width. So there are "
            "(H - k + 1)(W - k + 1) seeds, and each drops k² pixels with probability gamma. Asked for are p H W pixels.",
            "Solve gamma · k² · (H - k + 1)(W - k + 1) = p · H · W for gamma. Height and width each appear twice.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "DropBlock2d",
        hints=(
            "Three steps: toss a coin for each place where a whole block fits, let each coin that came up grow into a block, "
            "and multiply what is left so that the sum of the mask is what it would be without dropout.",
            "Coins have shape (N, C, H - k + 1, W - k + 1). A pixel is dropped if any of the k x k seeds that reach it came "
            "up: that is a maximum over a k x k window. How much padding makes H - k + 1 places into H pixels again?",
            "Pad the seeds (as floats) with k - 1 zeros on all four sides, and take F.max_pool2d with kernel k and stride 1: "
            "that gives H x W again. Kept is where it is 0; the factor is kept.numel() / kept.sum(), which needs a clamp "
            "where the sum is 0. At p = 1 take 1 for gamma, which on large maps is less.",
        ),
        forbids=_LIBRARY,
        uses=("dropblock_gamma",),
    ),
)

# Blocks of 3: 96 maps of 10 x 13, for p in [0.05, 0.1]. gamma is in [0.008, 0.017], of 88 places. A map has exactly one block
# with probability 0.34 or more, and none of 96 has with 1e-17. Blocks of 5: 96 maps of 11 x 14, 70 places, gamma in [0.0044,
# 0.0088]: exactly one with 0.22 or more, none of 96 with 5e-11. Seeds over the whole map would give the 42 places (and 84)
# where a block is cut off at an edge 33 blocks on average, and none with 4e-15.
SPARSE = {3: (8, 12, 10, 13), 5: (8, 12, 11, 14)}
FEW = (0.05, 0.1)

# 4500 maps of 4 x 9 and blocks of 3: 18 000 corners. For p in [0.2, 0.25], gamma = 0.2857 p is in [0.057, 0.072]: the standard
# deviation is at most 0.0020, so rates within 6.4 * 0.0020 = 0.0125 of gamma pass. The nearest known mistake, the width taken
# twice, is off by 0.102 p >= 0.0204. Its own deviation is 0.0016: missed with less than 1e-6.
# 900 more for p in [0.6, 0.8] tell apart mistakes that give one rate at a single p.
# (In five calls: what is larger than 2^15 numbers is computed by several threads, which is slow on a busy machine.)
CORNERS, CALLS, BLOCK = (30, 30, 4, 9), 5, 3
RARE = (0.2, 0.25)

# 48 * 24 maps of 4 x 5 and blocks of 3: 4608 corners in a table of 48 rows and 96 columns. For p in [0.56, 0.7], gamma is in
# [0.207, 0.26]. One mask for a row, a column or all of them: neighbours agree in all places, not in the 0.62 to 0.68 of 2304
# pairs that coins do. Copied rows or columns: see `expect.distinct`, 4560 * 0.68^96 < 4e-13.
TABLE = (48, 24, 4, 5)
OFTEN = (0.56, 0.7)

# Blocks of one pixel: 60 * 70 * 6 = 25 200 coins, p in [0.13, 0.17]: rates within 6.4 * 0.0024 = 0.0152 of p pass, and one that
# is off by 0.027 or more is seen with all but 1e-6, p rounded to tenths among them. A block as large as the map: 50 * 70 = 3500
# coins, rates within 0.041 pass; without the factor for the valid places the rate would be p/9.
PIXELS = (60, 70, 2, 3)
WHOLE = (50, 70, 3, 3)
SMALL = (0.13, 0.17)

# For patterns, scales and gradients: 6 * 7 maps of 8 x 11. Nothing dropped: 54 places a map, gamma >= 0.03: 1e-30.
FIRST = (6, 7, 8, 11)
MIDDLE = (0.2, 0.4)

# Maps as large as the block, half of whose pixels are 0 in the input, as behind a ReLU: which were dropped is seen by the other
# half. All 6 * 7 are dropped with 0.4^42 < 2e-17.
SPARE = (6, 7, 5, 5)


# -- dropblock_gamma -----------------------------------------------------------------------------------------------------


@check("dropblock_gamma", points=4)
def gamma_makes_up_for_blocks_and_edges(student: Any, draw: Draw) -> None:
    """Gamma is p / k² times H W / ((H - k + 1)(W - k + 1)): for several p, blocks and maps that are not square."""
    target, plan, calls = expect.function(student.dropblock_gamma), student.together(), []
    for k in (3, 5, 7):
        # Sides differ by two or more, so that no two of the wrong formulas agree on all maps.
        height, width = (k + 2 * steps for steps in draw.sizes(2, 1, 5))
        p = draw.probability(0.3, 0.45) + draw.integer(0, 1) * 0.3
        calls.append((p, k, height, width, plan.call(target, p, k, height, width)))
    numbers = [expect.scalar(call.get(), "gamma") for *_, call in calls]
    fitting = None  # the names of wrong formulas that fit everywhere
    for number, (p, k, height, width, _) in zip(numbers, calls, strict=True):
        named = {
            name
            for name, wrong in _wrong_gammas(p, k, height, width).items()
            if any(
                abs(number - value) <= 1e-9 + 1e-5 * abs(value)
                for value in ([wrong] if isinstance(wrong, float) else wrong)
            )
        }
        fitting = named if fitting is None else fitting & named
    code = ":".join(["gamma", *sorted(fitting or ())[:1]])
    for number, (p, k, height, width, _) in zip(numbers, calls, strict=True):
        right = p / k**2 * _factor(k, height, width)
        expect.that(
            abs(number - right) <= 1e-9 + 1e-6 * right,
            code,
            f"gamma for p = {p:g}, blocks of {k} and a map of {height} x {width} should be {right:.6g}, got {number:.6g}",
        )


@check("dropblock_gamma", points=1)
def gamma_is_p_where_there_is_one_place(student: Any, draw: Draw) -> None:
    """Where the block is as large as the map, and for blocks of one pixel, gamma is p itself; it is 0 at p = 0."""
    target, plan, calls, p = expect.function(student.dropblock_gamma), student.together(), [], draw.probability()
    height, width = (2 * half for half in draw.sizes(2, 4, 10))
    for q, k, h, w, kind in (
        (p, 7, 7, 7, "whole_map"), (p, 1, height, width, "pixels"), (0, 3, height, width, "p0"),
        (0.0, 5, height, width, "p0"), (1, 5, 5, 5, "p1"), (1.0, 1, height, width, "p1"),
    ):  # fmt: skip
        calls.append((q, k, h, w, kind, plan.call(target, q, k, h, w)))
    for q, k, h, w, kind, call in calls:
        what = f"gamma for p = {q:g}, blocks of {k} and a map of {h} x {w}"
        wrong = {"no_factor": q / k**2, "zero": 0.0, "1-p": 1 - q}
        expect.close(
            expect.scalar(call.get(), what), q, what, kind, 1e-6, 1e-9, {n: v for n, v in wrong.items() if v != q}
        )


@check("dropblock_gamma", points=1)
def gamma_refuses_a_p_that_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError."""
    target, plan, p = expect.function(student.dropblock_gamma), student.together(), draw.probability()
    ps = [("negative" if q < 0 else "above_1", plan.call(target, q, 3, 8, 9)) for q in (-p, -0.001, 1.001, 1 + p, 5)]
    _refused(ps, "p_accepted", "dropblock_gamma with such a p")


@check("dropblock_gamma", points=1)
def gamma_takes_names(student: Any, draw: Draw) -> None:
    """The arguments are called p, block_size, height and width."""
    target, p, k = expect.function(student.dropblock_gamma), draw.probability(), 3
    height, width = (2 * half for half in draw.sizes(2, 4, 10))
    by_name, by_position = (
        expect.scalar(value, "gamma")
        for value in (
            target(width=width, height=height, block_size=k, p=p),
            target(p, k, height, width),
        )
    )
    expect.close(by_name, by_position, "gamma by names", "names", 1e-6, 1e-9)


# -- DropBlock2d ---------------------------------------------------------------------------------------------------------


@check("DropBlock2d", points=5)
def drops_whole_blocks(student: Any, draw: Draw) -> None:
    """In training, what is dropped are blocks of block_size x block_size pixels, each of them wholly inside its map."""
    plan, answers = student.together(), []
    for k, shape in SPARSE.items():
        x = draw.signed(*shape)
        answers.append((k, x, _Layer(student, plan, draw.probability(*FEW), k).output(x)))
    found = []
    for k, x, output in answers:
        try:
            dropped = expect.mixed(output) == 0
        except Failure as failure:
            if failure.code != "drops:nothing" or bool(((output() - x).abs() < 1e-6).all()):
                raise
            raise Failure(
                "drops:otherwise", "values were changed, but none is zero: what is dropped should be"
            ) from None
        kind, said = _shape_of_blocks(dropped, k)
        for _ in range(20):  # where maps share one mask, all its blocks may overlap by chance: look at another
            if kind != "larger" or _distinct_maps(dropped).shape[:2] == dropped.shape[:2]:
                break
            dropped = expect.mixed(output) == 0
            kind, said = _shape_of_blocks(dropped, k)
        found.append((k, dropped, kind, said, _shortest(dropped)))
    same = all(kind in ("", "larger", "smaller") for _, _, kind, *_ in found) and len({size for *_, size in found}) == 1
    for k, dropped, kind, said, _ in found:
        if kind:
            raise Failure(
                f"blocks:{'one_size' if same else kind}",
                f"each block should be {k} x {k} pixels, but {said}",
                [_shown(dropped)],
            )


@check("DropBlock2d", points=4)
def drops_seeds_with_probability_gamma(student: Any, draw: Draw) -> None:
    """A block begins at each place where it fits with probability gamma: seen at corners, and in how many maps lose nothing."""
    x, plan, answers, measured = draw.signed(*CORNERS), student.together(), [], []
    for p, calls in ((draw.probability(*RARE), CALLS), (draw.probability(0.6, 0.8), 1)):
        layer = _Layer(student, plan, p, BLOCK)
        answers.append((p, [layer.output(x) for _ in range(calls)]))
    for p, outputs in answers:
        several = [expect.mixed(output) == 0 for output in outputs]
        dropped = several[0]
        # That calls, examples or channels share a mask is for another check to say: their coins are counted once.
        fresh = [dropped, *(each for each in several[1:] if not torch.equal(each, dropped))]
        maps = torch.cat([_distinct_maps(each).flatten(0, 1) for each in fresh]).unsqueeze(0)
        corners = _corners(maps)
        seen = [name for name, corner in zip(_NAMES, corners, strict=True) if bool(corner.any())]
        # A right answer drops none of 900 coins with 0.82^900 < 1e-77.
        if len(seen) < 4 and maps.shape[1] >= CORNERS[0] * CORNERS[1]:
            raise Failure(
                "places:" + ("+".join(seen) or "none"),
                "blocks should also reach the corners of a map, but of the four "
                + (f"only {' and '.join(seen)} " if seen else "none ")
                + "was ever dropped",
                [_shown(dropped)],
            )
        measured.append((p, dropped, maps, int(corners.sum()), corners.numel()))
    for p, dropped, _, count, trials in measured:
        gamma = p / BLOCK**2 * _factor(BLOCK, *CORNERS[2:])
        if not expect._compatible(count, trials, gamma, FALSE_ALARM / 4):
            kind = _shape_of_blocks(measured[0][1], BLOCK)[0]
            raise Failure(
                f"gamma:{_rate_seen(kind, [(p, count, trials) for p, _, _, count, trials in measured])}",
                f"only one block covers a corner, so for p = {p:g} a share gamma = {gamma:.4f} of the corners should be "
                f"dropped, but {count} of {trials} ({count / trials:.4f}) were",
                [_shown(dropped)],
            )
    p, dropped, maps, *_ = measured[0]
    gamma, places = p / BLOCK**2 * _factor(BLOCK, *CORNERS[2:]), (CORNERS[2] - BLOCK + 1) * (CORNERS[3] - BLOCK + 1)
    untouched = ~maps.flatten(2).any(dim=2)
    empty, share = int(untouched.sum()), (1 - gamma) ** places
    expect.that(
        expect._compatible(empty, untouched.numel(), share, FALSE_ALARM / 4),
        "untouched:" + ("none" if not empty else "few" if empty < share * untouched.numel() else "many"),
        f"each of {places} places should have a coin of its own, so that {share:.0%} of the maps lose nothing: here "
        f"{empty} of {untouched.numel()} do",
        [_shown(dropped)],
    )


@check("DropBlock2d", points=3)
def rescales_by_what_is_kept(student: Any, draw: Draw) -> None:
    """What is kept is multiplied by total / kept: all values of the batch over those not dropped, zeros among them."""
    x, plan, answers = draw.signed(*FIRST), student.together(), []
    for p, k, family in ((draw.probability(*MIDDLE), 3, "scale"), (draw.probability(0.6, 0.8), 5, "scale_large")):
        answers.append((p, k, family, _Layer(student, plan, p, k).output(x)))
    half = draw.signed(*SPARE)
    half[..., 0, 0] = half[..., 0, 0].abs()
    half = half.clamp(min=0)
    behind_relu = _Layer(student, plan, draw.probability(*MIDDLE), SPARE[-1]).output(half)
    for p, k, family, output in answers:
        y = expect.mixed(output)
        kept = (y != 0).double()
        gamma = p / k**2 * _factor(k, *FIRST[2:])
        wide, share = x.double() * kept, kept.mean()
        shares = {"map": (2, 3), "example": (1, 2, 3), "channel": (0, 2, 3)}
        parts = {n: wide / kept.mean(dim=d, keepdim=True).clamp(min=1 / kept[0, 0].numel()) for n, d in shares.items()}
        expect.close(
            y,
            wide / share,
            "what is kept (zeros aside)",
            family,
            candidates={
                "none": wide, "1/(1-p)": wide / (1 - p), "1-p": wide * (1 - p), "upside_down": wide * share,
                "1/(1-gamma)": wide / (1 - gamma), "twice": wide / share**2, "total/dropped": wide / (1 - share),
                "1/p": wide / p, "both": wide / share / (1 - p), **parts,
            },
        )  # fmt: skip
    y = behind_relu()
    whole = ((y != 0) | (half == 0)).flatten(2).all(dim=2)
    # Where blocks are not whole, zeros do not tell what was dropped; that they are not is for another check to say.
    if bool(whole.any()) and bool((whole | ~(y != 0).flatten(2).any(dim=2)).all()):
        wide = half.double() * whole[..., None, None]
        expect.close(
            y,
            wide / whole.double().mean(),
            "what is kept, where half of the input is 0,",
            "scale_zeros",
            candidates={"values": wide * y.numel() / (y != 0).sum()},
        )


@check("DropBlock2d", points=3)
def changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is the input, with its dtype and gradient, whatever p is; in training it drops again."""
    x, g, p = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability(*MIDDLE)
    # Where one mask serves all maps, that is empty with 0.14 or less (gamma >= 0.036, 54 places), and 64 times with less than
    # 1e-50.
    layers.changes_nothing_in_evaluation(student, lambda plan, p: _Layer(student, plan, p, 3), x, g, p)


@check("DropBlock2d", points=2)
def draws_seeds_afresh(student: Any, draw: Draw) -> None:
    """Blocks of different examples, channels, places and calls have nothing to do with each other."""
    x, another, p, plan = draw.signed(*TABLE), draw.signed(*TABLE), draw.probability(*OFTEN), student.together()
    layer, other = _Layer(student, plan, p, BLOCK), _Layer(student, plan, p, BLOCK)
    outputs = [layer.output(x)]
    smaller = layer.output(draw.signed(5, 7, 6, 4))  # a layer sees batches and maps of many sizes
    outputs += [layer.output(x), other.output(x), layer.output(another)]
    gamma = p / BLOCK**2 * _factor(BLOCK, *TABLE[2:])
    dropped = outputs[0]() == 0
    if _distinct_maps(dropped).shape[:2] == (1, 1):
        # Nothing was dropped, or there is one mask for everything: 64 times nothing comes up with 0.2^64 at most.
        for _ in range(64):
            dropped = dropped if bool(dropped.any()) else outputs[0]() == 0
        expect.that(
            not bool(dropped.any()) or bool(dropped.all()),
            "shared:everything",
            "each example and each channel should have blocks of its own, but one mask serves them all",
            [_shown(dropped)],
        )
    first = _corners(dropped)
    smaller()
    alive = first.flatten(1).any(dim=1)  # corners that no block reaches are for another check to say
    first, second, elsewhere, on_another = (each[alive] for each in (first, *(_corners(y() == 0) for y in outputs[1:])))
    names = ("example", "channel")
    table = _by_example(first)
    expect.independent(table, gamma, names, FALSE_ALARM / 4)
    if bool(alive.all()):
        expect.independent(first.flatten(1).T, gamma, ("map", "corner"), FALSE_ALARM / 4)
    expect.fresh(table, _by_example(second), gamma, _by_example(elsewhere), _by_example(on_another), FALSE_ALARM / 4)
    expect.distinct(torch.cat([table, _by_example(second)]), gamma, names)
    layers.does_not_seed(student, draw.student_seed, lambda: layer.remote()(x[:2]))


@check("DropBlock2d", points=2)
def serves_the_smallest_and_the_largest_block(student: Any, draw: Draw) -> None:
    """Blocks of one pixel are dropout, a coin for each pixel; a block as large as the map drops it with probability p."""
    plan, p = student.together(), draw.probability(*SMALL)
    pixels = _Layer(student, plan, p, 1).output(draw.signed(*PIXELS))
    whole = _Layer(student, plan, p, 3).output(draw.signed(*WHOLE))
    y = expect.mixed(pixels)
    one_mask = _distinct_maps(y == 0).shape[:2] == (1, 1)
    expect.that(not one_mask, "pixels_vary:one_mask", "one mask serves all maps", [_shown(y == 0)])
    expect.constant_zero_pattern(y, over=(), code="pixels_vary")
    expect.drop_rate(y, p, FALSE_ALARM / 3, "rate_of_pixels", layers.wrong_rates(p))
    y = expect.mixed(whole)
    expect.constant_zero_pattern(y, over=("height", "width"), code="map_varies")
    maps = expect.decisions(y)
    count, trials = int(maps.sum()), maps.numel()
    expect.that(
        expect._compatible(count, trials, p, FALSE_ALARM / 3),
        "rate_of_maps:"
        + ("no_factor" if count in binomial_interval(trials, p / 9) else "less" if count < p * trials else "more"),
        f"for p = {p:g} and a block as large as the map, {count} of {trials} maps ({count / trials:.3f}) were dropped",
    )


@check("DropBlock2d", points=1)
def passes_gradients_on(student: Any, draw: Draw) -> None:
    """The gradient of a kept value is multiplied by total / kept as the value is, and zero where it was dropped."""
    x, g, p, plan = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability(*MIDDLE), student.together()
    layer = _Layer(student, plan, p, 3)
    y, seen = layer.output(x), plan.observe(layer.made, x.clone().requires_grad_(), cotangent=g)
    y()
    expect.masked_gradient(seen.get(), x, g)


@check("DropBlock2d", points=1)
def leaves_no_trace(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, the input is left as it is, and no mask becomes a parameter or buffer."""
    p, plan = draw.probability(*MIDDLE), student.together()
    layer = _Layer(student, plan, p, 3)
    inputs = [draw.signed(4, 5, 6, 7, dtype=d) for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    calls = [(x, plan.observe(layer.made, x)) for x in inputs]
    remote = layer.remote()
    for x, call in calls:
        seen = call.get()
        expect.tensor(seen.output, f"the output for {x.dtype} input", shape=x.shape, dtype=x.dtype)
        expect.unchanged(x, seen.arguments[0])
    expect.no_state(student.module(remote))


@check("DropBlock2d", points=2)
def survives_when_nothing_or_everything_is_dropped(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input; where every value is dropped, as at p = 1, it is zero everywhere, and never NaN."""
    plan = student.together()
    x, g, one = draw.signed(3, 4, 5, 8), draw.signed(3, 4, 5, 8), draw.signed(1, 1, 3, 3)
    # On maps larger than the block gamma is below 1 at p = 1, here 0.247 at each of 48 corners: an answer that follows it to
    # the letter drops them all with less than 1e-28.
    certain = [(what, _Layer(student, plan, p, k).output(draw.signed(*shape))) for what, p, k, shape in (
        ("blocks of one pixel", 1, 1, (3, 4, 5, 2)), ("a block as large as the map", 1.0, 3, (4, 6, 3, 3)),
        ("blocks smaller than the map", 1.0, 3, (3, 4, 5, 8)),
    )]  # fmt: skip
    never = [_Layer(student, plan, p, 3) for p in (0, 0.0)]
    kept = [layer.output(x) for layer in never]
    passes = layers.passes_through_planned(plan, never[1].made, x, g, "the output at p = 0")
    # One coin for everything, p = 0.9: in 40 calls it comes up at least once with all but 1e-40, and everything is dropped.
    chance = _Layer(student, plan, 0.9, 3)
    several = [chance.output(one) for _ in range(40)]
    for what, output in certain:
        zero = output() == 0
        some = "all" if bool(zero.all()) else "some" if bool(zero.any()) else "none"
        expect.that(
            some == "all", f"p1:{some}", f"at p = 1, for {what}, the output should be zero everywhere, but it is not"
        )
    for output in kept:
        expect.eventually(lambda output=output: layers.is_identity(output(), x, 0.0, "p0", "the output at p = 0"))
    remote = never[1].remote()
    attempts = iter([passes, lambda: layers.passes_through(student, remote, x, g, "the output at p = 0")])
    expect.eventually(lambda: next(attempts)())
    for output in several:
        y = output()
        expect.that(
            bool((y == 0).all()) or bool(((y - one).abs() < 1e-5).all()),
            "one_place:other",
            "a single map that is as large as the block is dropped or kept as it is (total / kept = 1)",
        )


@check("DropBlock2d", points=2)
def refuses_what_makes_no_sense(student: Any, draw: Draw) -> None:
    """ValueError for p outside [0, 1], a block that is even or not positive, and a map that is smaller than the block."""
    build, p, plan = expect.function(student.DropBlock2d), draw.probability(), student.together()
    layer = _Layer(student, plan, p, 5)
    maps = (
        ("low", plan.call(layer.made, draw.signed(2, 3, 4, 9))),
        ("narrow", plan.call(layer.made, draw.signed(2, 3, 8, 3))),
        ("small", plan.call(layer.made, draw.signed(2, 3, 4, 2))),
    )
    fits = [plan.call(layer.made, draw.signed(*shape)) for shape in ((2, 3, 5, 9), (2, 3, 8, 5))]
    ps = [("negative" if q < 0 else "above_1", plan.call(build, p=q, block_size=3))
          for q in (-p, -0.001, 1.001, 1 + p, 5)]  # fmt: skip
    wrong = (("even", 2), ("even", 8), ("zero", 0), ("negative", -2), ("negative", -1), ("negative", -3))
    blocks = [(kind, plan.call(build, p=p, block_size=k)) for kind, k in wrong]
    layer.remote()
    for call in fits:
        try:
            call.get()
        except StudentError as error:
            raise Failure(
                "map_refused", f"a block as large as one side of the map fits, but {error.sentence()}"
            ) from None
    _refused(ps, "p_accepted", "DropBlock2d with such a p")
    _refused(blocks, "block_accepted", "DropBlock2d with such a block_size")
    _refused(maps, "map_accepted", "the layer, given maps smaller than its block,")


# -- shared --------------------------------------------------------------------------------------------------------------

_NAMES = ("top left", "top right", "bottom left", "bottom right")


def _factor(k: int, height: int, width: int) -> float:
    """Return how many times as many pixels a map has as places where a block fits."""
    places = (height - k + 1) * (width - k + 1)
    return height * width / places if places else math.inf


def _wrong_gammas(p: float, k: int, height: int, width: int) -> dict[str, float | Sequence[float]]:
    """Return what known mistakes take for gamma, by name."""
    factor, alone = _factor(k, height, width), p / k**2
    right = alone * factor
    return {
        "no_factor": alone, "height_twice": alone * _factor(k, height, height),
        "width_twice": alone * _factor(k, width, width), "not_squared": k * right, "1-p": (1 - p) / k**2 * factor,
        "off_by_one": alone * height * width / ((height - k) * (width - k)), "upside_down": alone / factor,
        "height_only": alone * height / (height - k + 1), "width_only": alone * width / (width - k + 1),
        "blocks_a_map": alone * height * width, "no_block": p * factor, "zero": 0.0,
        "overlap": (1 - (1 - p) ** (1 / k**2)) * factor, "percent": 100 * right, "no_p": factor / k**2, "p": p,
        "half_a_block": alone * height * width / ((height - k // 2) * (width - k // 2)),
        "whole_division": alone * int(factor), "rounded": [round(right, digits) for digits in (2, 3, 4)],
        "block_last": p / width**2 * _factor(width, k, height),
        "no_brackets": alone * height * width / (height - k + 1) * (width - k + 1),
    }  # fmt: skip


def _rate_seen(kind: str, measured: Sequence[tuple[float, int, int]]) -> str:
    """Name the known mistake whose rate at corners fits every (p, count, trials); `kind` is that of the blocks' shape."""
    _, _, height, width = CORNERS

    def rates(p: float) -> dict[str, float]:
        alone = p / BLOCK**2
        gamma = alone * _factor(BLOCK, height, width)
        around = {"around": 1 - (1 - gamma) ** 4, "around_no_factor": 1 - (1 - alone) ** 4}
        known = {"cut": around, "pixels": {"p": p}, "whole_maps": {"p": p}, "inverted": {"1-gamma": 1 - gamma}}
        return known.get(kind) or {
            "no_factor": alone, "height_twice": alone * _factor(BLOCK, height, height), "p": p,
            "width_twice": alone * _factor(BLOCK, width, width), "1-gamma": 1 - gamma, "keep": gamma * (1 - p) / p,
            "half": gamma * 0.5 / p, "off_by_one": alone * height * width / ((height - BLOCK) * (width - BLOCK)),
            "not_squared": min(1.0, gamma * BLOCK),
        }  # fmt: skip

    def misfit(name: str) -> float:
        return sum(
            abs(count / trials - rates(p)[name]) / math.sqrt(1e-9 + rates(p)[name] * (1 - rates(p)[name]) / trials)
            for p, count, trials in measured
        )

    fitting = [
        name
        for name in rates(measured[0][0])
        if all(count in binomial_interval(trials, rates(p)[name]) for p, count, trials in measured)
    ]
    return min(fitting, key=misfit, default="other")


class _Layer(layers.PlannedLayer):
    """A planned layer that must not refuse a block as large as one side of the map."""

    def __init__(self, student: Any, plan: Plan, p: float, block_size: int) -> None:
        super().__init__(student, plan, "DropBlock2d", p=p, block_size=block_size)
        self._block = block_size

    def _read(self, answer: Callable[[], Any], x: Tensor) -> Any:
        try:
            return answer()
        except StudentError as error:
            if "ValueError" not in error.types or self._block != min(x.shape[2:]):
                raise
            raise Failure(
                "refused:fits", f"a block as large as one side of the map fits, but {error.sentence()}"
            ) from None


def _corners(dropped: Tensor) -> Tensor:
    """Return which corners are dropped: (4, N, C), in the order of _NAMES."""
    return torch.stack([dropped[..., i, j] for i in (0, -1) for j in (0, -1)])


def _distinct_maps(dropped: Tensor) -> Tensor:
    """Return one example, or one channel, if all have the same mask: that they do is for another check to say."""
    for d in (0, 1):
        first = dropped.narrow(d, 0, 1)
        dropped = dropped if bool((dropped != first).any()) else first
    return dropped


def _by_example(corners: Tensor) -> Tensor:
    """Return a table of one row an example, its columns the channels at the first corner, then at the second, and so on."""
    return corners.permute(1, 0, 2).flatten(1)


def _opened(dropped: Tensor, height: int, width: int) -> Tensor:
    """Return the union of all blocks of height x width pixels that lie wholly in what is dropped."""
    whole = dropped
    for size, dim in ((height, 2), (width, 3)):  # where a block may begin: all of `size` pixels in a row are dropped
        places = whole.shape[dim] - size + 1
        whole = reduce(torch.logical_and, (whole.narrow(dim, shift, places) for shift in range(size)))
    for size, dim in ((height, 2), (width, 3)):
        before = [0, 0, size - 1, size - 1] if dim == 2 else [size - 1, size - 1]
        padded = functional.pad(whole, before)
        whole = reduce(torch.logical_or, (padded.narrow(dim, shift, dropped.shape[dim]) for shift in range(size)))
    return whole


def _shortest(dropped: Tensor) -> int:
    """Return the length of the shortest run of dropped pixels along the last axis; 0 if there is none."""
    line = functional.pad(dropped.to(torch.int8), (1, 1)).flatten()
    change = line[1:] - line[:-1]
    begins, ends = (change == 1).nonzero(), (change == -1).nonzero()
    return int((ends - begins).min()) if len(begins) else 0


def _shape_of_blocks(dropped: Tensor, k: int) -> tuple[str, str]:
    """Say what is wrong with the shape of what is dropped, in a word and a sentence; two empty strings if nothing is."""
    wide, high = _shortest(dropped), _shortest(dropped.mT)
    height, width = dropped.shape[2:]
    if bool((_opened(dropped, k, k) == dropped).all()):
        if (high, wide) == (k, k):
            return "", ""
        if (high, wide) == (height, width):
            return "whole_maps", "whole maps are dropped"
        return "larger", f"they are larger: no run of dropped pixels is shorter than {high} x {wide}"
    if bool((_opened(~dropped, k, k) == ~dropped).all()):
        return "inverted", "what is kept are blocks, and all around them is dropped"
    around = functional.pad(dropped.float(), [k - 1] * 4, value=1.0) > 0
    if bool((_opened(around, k, k)[..., k - 1 : -k + 1, k - 1 : -k + 1] == dropped).all()):
        return "cut", "some are cut off at the edges of the map: a seed is allowed only where its whole block fits"
    if bool((_opened(dropped, 1, k) == dropped).all()):
        return "rows", "pixels are dropped in single rows"
    if bool((_opened(dropped, k, 1) == dropped).all()):
        return "columns", "pixels are dropped in single columns"
    if (high, wide) == (1, 1):
        return "pixels", "single pixels are dropped"
    return "smaller", f"some are smaller: there are runs of {high} x {wide} dropped pixels"


def _shown(dropped: Tensor) -> Any:
    """Show the first maps in which something was dropped."""
    maps = dropped.flatten(0, 1)
    some = maps[maps.flatten(1).any(dim=1)][:3]
    return images("Dropped (red) and kept.", [(f"map {i}", m.float()) for i, m in enumerate(some)], "", "")


def _refused(calls: Sequence[tuple[str, Later]], code: str, what: str) -> None:
    """Expect every call to raise ValueError; which kinds were accepted, or what else was raised, goes into the code."""
    seen: dict[str, str] = {}
    for kind, call in calls:
        try:
            expect.raised("ValueError", call.get, what=what, code=code)
        except Failure as failure:
            came = failure.code.partition(":")[2]
            seen.setdefault(f"{kind}={came if came in ('nothing', 'AssertionError') else 'error'}", failure.message)
    if seen:
        raise Failure(f"{code}:" + "+".join(sorted(seen)), next(iter(seen.values())))
