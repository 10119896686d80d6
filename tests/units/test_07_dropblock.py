"""Unit 07: the reference against enumeration and torchvision, the checks' arithmetic, and answers outside the bank."""

from __future__ import annotations

import json
import math
from itertools import product

import pytest
import reglab
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.nn import functional

from autograder.checks import Status, load_module
from autograder.judge import grade
from autograder.sandbox import Sandbox
from autograder.statistics import FALSE_ALARM, binomial_interval, equal_probability, miss_probability
from tests.conftest import ROOT, linux
from tests.test_bank import (
    COURSE,
    SEEDS,
    expect_diagnosis,
    lost,
    lost_by_reference,
    reference,
    results_of,
    solution_but,
)

assert reglab.__doc__  # it makes torchvision importable, whatever torch is here
from torchvision.ops import drop_block2d  # noqa: E402

STEM = "07_dropblock"
UNIT = COURSE.unit(STEM)
PUBLIC = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
GRADED = load_module(ROOT / "solutions" / "checks" / f"{STEM}.py")
REFERENCE = reference(STEM)


def covering(side: int, k: int, everywhere: bool = False) -> Tensor:
    """Return how many seeds reach each pixel of a line: of the places where a block fits, or of all pixels."""
    seeds = range(side) if everywhere else range(k // 2, side - k // 2)  # by their middle pixels
    return torch.tensor([sum(abs(i - seed) <= k // 2 for seed in seeds) for i in range(side)], dtype=torch.float64)


def rate(gamma: float, side: int, k: int, everywhere: bool = False) -> float:
    line = covering(side, k, everywhere)
    return float((1 - (1 - gamma) ** (line[:, None] * line)).mean())


# -- the reference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "height", "width"), [(1, 2, 3), (3, 3, 4), (3, 4, 5), (5, 5, 7)])
def test_masks_have_the_distribution_of_all_seeds_gone_through(k: int, height: int, width: int) -> None:
    """Every mask that can occur, with its probability; torchvision's is held to the same, as an oracle."""
    p, rows, columns = 0.4, height - k + 1, width - k + 1
    gamma = REFERENCE.dropblock_gamma(p, k, height, width)
    shares: dict[tuple[bool, ...], float] = {}
    for coins in product((False, True), repeat=rows * columns):
        mask = torch.ones(height, width, dtype=torch.bool)
        for place, came_up in enumerate(coins):
            if came_up:
                i, j = divmod(place, columns)
                mask[i : i + k, j : j + k] = False
        key = tuple(mask.flatten().tolist())
        shares[key] = shares.get(key, 0) + gamma ** sum(coins) * (1 - gamma) ** (len(coins) - sum(coins))
    torch.manual_seed(0)
    ones, maps = torch.ones(100, 200, height, width), 20_000
    for y in (REFERENCE.DropBlock2d(p, k)(ones), drop_block2d(ones, p, k)):
        seen = dict.fromkeys(shares, 0)
        for mask in (y != 0).flatten(0, 1).flatten(1).tolist():
            seen[tuple(mask)] += 1  # a KeyError: a mask that cannot occur
        common = [key for key, share in shares.items() if share * maps >= 5]
        counts = [seen[key] for key in common] + [maps - sum(seen[key] for key in common)]
        expected = [shares[key] * maps for key in common]
        expected.append(maps - sum(expected))
        if expected[-1] < 1e-6:
            counts, expected = counts[:-1], expected[:-1]
        assert chisquare(counts, expected, sum_check=False).pvalue > 1e-4
        assert float(y.sum() / ones.numel()) == pytest.approx(1, abs=1e-4)
        assert len(y[y != 0].unique()) == 1


@pytest.mark.parametrize("side", [56, 28, 14, 8, 7])
def test_the_area_with_overlaps_counted_twice_is_what_was_asked_for(side: int) -> None:
    gamma = REFERENCE.dropblock_gamma(0.1, 7, side, side)
    assert isinstance(gamma, float)
    assert gamma * 49 * (side - 6) ** 2 == pytest.approx(0.1 * side**2)
    assert gamma <= 0.1 + 1e-15
    assert float(covering(side, 7).sum()) == 7 * (side - 6)
    assert 0.0925 < rate(gamma, side, 7) <= 0.1 + 1e-12
    if side == 7:
        assert gamma == pytest.approx(0.1)
        assert rate(gamma, side, 7) == pytest.approx(0.1)


def test_the_numbers_of_the_text() -> None:
    gammas = {side: REFERENCE.dropblock_gamma(0.1, 7, side, side) for side in (56, 28, 14, 8, 7)}
    timm = [rate(gamma, side, 7, everywhere=True) for side, gamma in gammas.items()]
    assert timm == pytest.approx([0.111, 0.133, 0.209, 0.618, 0.930], abs=6e-4)
    other = [rate(0.1 / 49, side, 7, everywhere=True) for side in gammas]
    assert other == pytest.approx([0.090, 0.084, 0.074, 0.060, 0.055], abs=6e-4)
    assert rate(REFERENCE.dropblock_gamma(0.5, 7, 28, 28), 28, 7) == pytest.approx(0.37, abs=5e-3)
    assert rate(REFERENCE.dropblock_gamma(0.01, 7, 7, 7), 7, 7, everywhere=True) == pytest.approx(0.24, abs=5e-3)
    assert rate(REFERENCE.dropblock_gamma(0.01, 7, 56, 56), 56, 7, everywhere=True) == pytest.approx(0.012, abs=5e-4)
    for k, said in ((3, 0.26), (5, 0.25), (7, 0.24)):
        assert rate(REFERENCE.dropblock_gamma(0.3, k, 14, 14), 14, k) == pytest.approx(said, abs=5e-3)


def test_everything_goes_at_p_one_and_nothing_is_ever_nan() -> None:
    for k, shape in ((1, (2, 3, 4, 5)), (3, (2, 3, 3, 3)), (3, (2, 3, 8, 9)), (5, (1, 1, 5, 20))):
        x = torch.ones(shape, requires_grad=True)
        y = REFERENCE.DropBlock2d(1.0, k)(x)
        assert not y.any()
        y.sum().backward()
        assert x.grad is not None
        assert not x.grad.any()
    x, layer = torch.ones(1, 1, 3, 3), REFERENCE.DropBlock2d(0.5, 3)
    assert {float(layer(x).mean()) for _ in range(50)} == {0.0, 1.0}
    assert layer.state_dict() == {}


def test_what_makes_no_sense_is_refused() -> None:
    for p, k in ((-0.1, 3), (1.1, 3), (0.1, 2), (0.1, 0), (0.1, -1), (math.nan, 3)):
        with pytest.raises(ValueError, match="but"):
            REFERENCE.DropBlock2d(p, k)
    for p in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            REFERENCE.dropblock_gamma(p, 3, 8, 8)
    for height, width in ((4, 9), (9, 4), (2, 2)):
        with pytest.raises(ValueError, match="fits"):
            REFERENCE.DropBlock2d(0.1, 5)(torch.ones(1, 1, height, width))


# -- what checks promise -------------------------------------------------------------------------------------------------


def test_corners_are_enough_coins() -> None:
    """For every p that may be drawn, known mistakes are missed with less than 1e-6."""
    k = PUBLIC["BLOCK"]
    _, _, height, width = PUBLIC["CORNERS"]
    trials = 4 * math.prod(PUBLIC["CORNERS"][:2]) * PUBLIC["CALLS"]
    factor, alarm = PUBLIC["_factor"], FALSE_ALARM / 4
    low, high = PUBLIC["RARE"]
    for p in (low + 0.001, (low + high) / 2, high - 0.001):
        gamma = REFERENCE.dropblock_gamma(p, k, height, width)
        wrong = {
            "no factor": p / k**2, "height twice": p / k**2 * factor(k, height, height), "p": p,
            "width twice": p / k**2 * factor(k, width, width), "keep": gamma * (1 - p) / p, "half": gamma / 2 / p,
            "around": 1 - (1 - gamma) ** 4, "one too few": p / k**2 * height * width / (height - k) / (width - k),
        }  # fmt: skip
        for name, other in wrong.items():
            assert miss_probability(trials, gamma, other, alarm) < 1e-6, (name, p)
        # Seeds p / k² on every pixel: at corners no rarer than it should be, but its blocks are cut.
        places, maps = (height - k + 1) * (width - k + 1), trials // 4
        assert maps // 2 not in binomial_interval(maps, (1 - gamma) ** places / 2, alarm)


def test_sizes_for_patterns() -> None:
    n, c, height, width = PUBLIC["SPARE"]
    assert height == width, "the block is as large as the map, so that p is the rate of maps"
    assert PUBLIC["MIDDLE"][1] ** (n * c) < 1e-16, "no map of which something is left"
    low, high = PUBLIC["FEW"]
    for k, (n, c, height, width) in PUBLIC["SPARSE"].items():
        places = (height - k + 1) * (width - k + 1)
        for p in (low, (low + high) / 2, high):
            gamma = REFERENCE.dropblock_gamma(p, k, height, width)
            alone = places * gamma * (1 - gamma) ** (places - 1)
            assert (1 - alone) ** (n * c) < FALSE_ALARM / 4, "no map with a single block"
            assert (1 - gamma) ** ((height * width - places) * n * c) < 1e-14, "no block that is cut"
    low, high = PUBLIC["OFTEN"]
    n, c, height, width = PUBLIC["TABLE"]
    for p in (low, high):
        gamma = REFERENCE.dropblock_gamma(p, 3, height, width)
        assert equal_probability(2 * n, 4 * c, gamma) < 1e-12
        share = gamma**2 + (1 - gamma) ** 2
        for pairs in (n // 2 * 4 * c, 2 * n * c):
            assert pairs not in binomial_interval(pairs, share, FALSE_ALARM / 12)
    for p in (0.131, 0.15, 0.169):
        pixels, maps = math.prod(PUBLIC["PIXELS"]), math.prod(PUBLIC["WHOLE"][:2])
        assert miss_probability(pixels, p, round(p, 1), FALSE_ALARM / 3) < 1e-6
        assert miss_probability(maps, p, p / 9, FALSE_ALARM / 3) < 1e-6


@pytest.mark.parametrize("k", [3, 5])
def test_each_pixel_is_looked_at_often_enough(k: int) -> None:
    """Height or width taken twice shows at single pixels, on wide maps and on high ones."""
    maps = math.prod(GRADED["MAPS"])
    factor = PUBLIC["_factor"]
    for height, width in ((k + 1, k + 5), (k + 5, k + 1)):
        alarm = FALSE_ALARM / 3 / (height * width)
        reach = torch.tensor(GRADED["_covering"](height, k))[:, None] * torch.tensor(GRADED["_covering"](width, k))
        assert torch.equal(reach.double(), covering(height, k)[:, None] * covering(width, k))
        for p in (0.201, 0.299):
            gamma = REFERENCE.dropblock_gamma(p, k, height, width)
            for side in (height, width):
                other = p / k**2 * factor(k, side, side)
                missed = 1.0
                for m in set(reach.flatten().tolist()):
                    right, wrong = 1 - (1 - gamma) ** m, 1 - (1 - min(other, 1)) ** m
                    missed = min(missed, miss_probability(maps, right, wrong, alarm))
                assert missed < 1e-6


def test_shapes_of_blocks_are_named() -> None:
    shape, coins = PUBLIC["_shape_of_blocks"], torch.Generator().manual_seed(0)
    seeds = (torch.rand(60, 1, 10, 13, generator=coins) < 0.01).float()
    valid = (torch.rand(60, 1, 8, 11, generator=coins) < 0.02).float()

    def grown(height: int, width: int, of: Tensor = seeds, around: bool = True) -> Tensor:
        pads = [width // 2, width // 2, height // 2, height // 2] if around else [width - 1] * 2 + [height - 1] * 2
        return functional.max_pool2d(functional.pad(of, pads), (height, width), stride=1) > 0

    whole = grown(3, 3, valid, around=False)
    assert shape(whole, 3)[0] == ""
    assert shape(whole, 5)[0] == "smaller"
    assert shape(grown(5, 5, valid[..., :6, :9], around=False), 3)[0] == "larger"
    assert shape(~whole, 3)[0] == "inverted"
    assert shape(grown(3, 3), 3)[0] == "cut"
    assert shape(grown(1, 3, valid, around=False), 3)[0] == "rows"
    assert shape(grown(3, 1, valid, around=False), 3)[0] == "columns"
    assert shape(seeds > 0, 3)[0] == "pixels"
    assert shape((seeds.amax((2, 3), keepdim=True) > 0).expand(seeds.shape), 3)[0] == "whole_maps"


def test_points() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {"dropblock_gamma": 8, "DropBlock2d": 28}
    for name, total in totals.items():
        assert total / 10 <= sum(c.points for c in UNIT.checks(name) if c.graded_only) <= total / 7


# -- answers outside the bank --------------------------------------------------------------------------------------------


def _gamma(body: str, before: str = "") -> tuple[str, str]:
    look = "if not 0 <= p <= 1: raise ValueError(p)"
    return (
        "dropblock_gamma",
        f"def dropblock_gamma(p, block_size, height, width):\n    {look}\n    {before}return {body}\n",
    )


_LAYER = """
import torch.nn.functional as F
class DropBlock2d(nn.Module):
    def __init__(self, p, block_size):
        super().__init__()
        if not 0 <= p <= 1: raise ValueError(p)
        if block_size % 2 == 0 or block_size < 0: raise ValueError(block_size)
        self.p, self.k = p, block_size
    def forward(self, x):
        if not self.training or self.p == 0: return x
        n, c, h, w = x.shape; k = self.k
        if k > h or k > w: raise ValueError((h, w))
        g = dropblock_gamma(self.p, k, h, w) if self.p < 1 else 1.0
        s = (torch.rand(n, c, h - k + 1, w - k + 1) < g).float()
        m = 1 - F.max_pool2d(F.pad(s, [k - 1] * 4), k, stride=1)
        m = m.to(x.dtype)
        return x * m * (m.numel() / m.sum().clamp(min=1))
"""


def _layer(*changes: str) -> tuple[str, str]:
    source = _LAYER
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source
        source = source.replace(old, new)
    return "DropBlock2d", source


_SCALE = "(m.numel() / m.sum().clamp(min=1))"
_SEEDS = "s = (torch.rand(n, c, h - k + 1, w - k + 1) < g).float()"
_EVERYWHERE = "m = 1 - F.max_pool2d(s, k, stride=1, padding=k // 2)"
_GROWN = "m = 1 - F.max_pool2d(F.pad(s, [k - 1] * 4), k, stride=1)"

OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "only p over the block": (_gamma("p / (block_size * block_size)"), "gamma_without_the_valid_places"),
    "square of the height": (
        _gamma("p * height**2 / block_size**2 / (height - block_size + 1)**2"), "gamma_with_the_height_twice",
    ),
    "keep_prob": (
        _gamma("(1 - p) / block_size**2 * height * width / ((height - block_size + 1) * (width - block_size + 1))"),
        "gamma_of_the_share_to_keep",
    ),
    "k for k squared": (
        _gamma("p / block_size * height * width / ((height - block_size + 1) * (width - block_size + 1))"),
        "gamma_with_the_block_not_squared",
    ),
    "brackets forgotten": (
        _gamma("p / block_size**2 * height * width / (height - block_size + 1) * (width - block_size + 1)"),
        "gamma_without_brackets",
    ),
    "no look at p, and only p over the block": (
        ("dropblock_gamma", "def dropblock_gamma(p, block_size, height, width): return p / block_size**2"),
        "gamma_without_the_valid_places",
    ),
    "one place too many": (
        _gamma("p / block_size**2 * height * width / ((height - block_size + 2) * (width - block_size + 2))"), "",
    ),
    "a constant": (_gamma("0.1"), ""),
    "a list": (_gamma("[p]"), ""),
    "a random number": (_gamma("torch.rand(()).item()"), ""),
    "twice": (
        _gamma("2 * p / block_size**2 * height * width / ((height - block_size + 1) * (width - block_size + 1))"), "",
    ),
    "timm's": (
        _layer(_SEEDS, "s = (torch.rand(n, 1, h, w) < g).float().expand(x.shape)", _GROWN, _EVERYWHERE), "",
    ),
    "timm's with masks for each channel": (
        _layer(_SEEDS, "s = (torch.rand(n, c, h, w) < g).float()", _GROWN, _EVERYWHERE), "SeedsOverTheWholeMap",
    ),
    "miguelvr's for each channel": (
        _layer(_SEEDS, "s = (torch.rand_like(x) < self.p / k**2).float()", _GROWN, _EVERYWHERE),
        "SeedsOverTheWholeMapAtPOverK2",
    ),
    "p over the block": (_layer("dropblock_gamma(self.p, k, h, w)", "self.p / k**2"), "GammaWithoutTheValidPlaces"),
    "p over the block, also at p = 1": (
        _layer("dropblock_gamma(self.p, k, h, w) if self.p < 1 else 1.0", "self.p / k**2"), "GammaWithoutTheValidPlaces",
    ),
    "gamma at p = 1": (_layer(" if self.p < 1 else 1.0", ""), "GammaToTheLetterAtOne"),
    "half a block of zeros": (_layer("[k - 1] * 4", "[k // 2] * 4"), "MaskOfAnotherSize"),
    "the window jumps": (_layer("k, stride=1)", "k)"), "MaskOfAnotherSize"),
    "no zeros around the seeds": (_layer("F.pad(s, [k - 1] * 4)", "s"), "SeedsNotPadded"),
    "counts what is left": (
        _layer("return x * m * " + _SCALE, "y = x * m\n        return y * (y.numel() / (y != 0).sum().clamp(min=1))"),
        "KeptCountedFromTheValues",
    ),
    "one minus p": (_layer(_SCALE, "(1 / max(1 - self.p, 1e-9))"), "RescaledByOneMinusP"),
    "mean of the mask": (_layer(_SCALE, "m.mean()"), "RescaledUpsideDown"),
    "by the map": (_layer(_SCALE, "(1 / m.mean((2, 3), keepdim=True).clamp(min=1e-6))"), "RescaledMapByMap"),
    "no guard": (_layer(".clamp(min=1)", ""), "NaNWhereNothingIsKept"),
    "one mask for the batch": (
        _layer("torch.rand(n, c,", "torch.rand(1, c,", "m = m.to(x.dtype)", "m = m.to(x.dtype).expand(x.shape)"),
        "OneMaskForTheBatch",
    ),
    "shared by the channels": (
        _layer("torch.rand(n, c,", "torch.rand(n, 1,", "m = m.to(x.dtype)", "m = m.to(x.dtype).expand(x.shape)"),
        "OneMaskForAllChannels",
    ),
    "shared and its own numel": (_layer("torch.rand(n, c,", "torch.rand(n, 1,"), "OneMaskForAllChannels"),
    "normal numbers": (_layer("torch.rand(n", "torch.randn(n"), ""),
    "one half": (_layer("dropblock_gamma(self.p,", "dropblock_gamma(0.5,"), "AlwaysOneHalf"),
    "one half, also at p = 1": (
        _layer("dropblock_gamma(self.p, k, h, w) if self.p < 1 else 1.0", "dropblock_gamma(0.5, k, h, w)"), "AlwaysOneHalf",
    ),
    "sides exchanged": (_layer("self.p, k, h, w)", "self.p, k, w, h)"), "right"),
    "height for both": (_layer("self.p, k, h, w)", "self.p, k, h, h)"), "GammaWithTheHeightTwice"),
    "kept where a seed is": (_layer("m = 1 - F", "m = F"), "MaskInverted"),
    "seeds where the number is above": (_layer(" < g)", " >= g)"), "SeedsInverted"),
    "an even block": (_layer("block_size % 2 == 0 or ", ""), ""),
    "no look at the width": (_layer("k > h or k > w", "k > h"), "LooksAtTheHeightOnly"),
    "just fits": (_layer("k > h or k > w", "k >= h or k >= w"), "RefusesBlocksThatJustFit"),
    "float64": (_layer("m = m.to(x.dtype)", "m = m.double()"), "MaskInFloat64"),
    "in place": (_layer("return x * m *", "return x.mul_(m) *"), "WritesIntoTheInput"),
    "a minus": (_layer("return x * m *", "return -x * m *"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, source), expected = OUTSIDE[name]
    outcomes = results_of(STEM, exercise, source, seed)
    if expected == "right":
        assert [o for o in outcomes if o.status is not Status.PASSED] == []
    else:
        expect_diagnosis(STEM, exercise, outcomes, expected)


RIGHT = {
    "gamma is a whole number at p = 0": _gamma(
        "0 if p == 0 else float(p * height * width / block_size**2 / (height - block_size + 1) / (width - block_size + 1))"
    ),
    "gamma as a NumPy number": _gamma(
        "numpy.float64(p) / block_size**2 * numpy.prod([s / (s - block_size + 1) for s in (height, width)])",
        "import numpy; ",
    ),
    "below or equal": _layer(" < g)", " <= g)"),
    "by bernoulli": _layer(
        "torch.rand(n, c, h - k + 1, w - k + 1) < g", "torch.bernoulli(torch.full((n, c, h - k + 1, w - k + 1), g))"
    ),
    "pooled by its minimum": _layer(_GROWN, "m = -F.max_pool2d(-F.pad(1 - s, [k - 1] * 4, value=1.0), k, stride=1)"),
    "by an average": _layer(_GROWN, "m = (F.avg_pool2d(F.pad(s, [k - 1] * 4), k, stride=1) == 0).float()"),
    "by a convolution": _layer(_GROWN, "m = (F.conv2d(F.pad(s, [k - 1] * 4).flatten(0, 1)[:, None], torch.ones(1, 1, k, k))"
                                       ".view(x.shape) < 0.5)"),
    "in double": _layer("w - k + 1) < g", "w - k + 1, dtype=torch.float64) < g"),
    "one over the mean": _layer(_SCALE, "(1 / m.double().mean().clamp(min=1e-12)).to(x.dtype)"),
    "lowest corner": _layer(_GROWN, "m = 1 - F.max_pool2d(F.pad(s.flip(2, 3), [k - 1] * 4), k, stride=1)"),
    "defaults": _layer("self, p, block_size", "self, p=0.1, block_size=7"),
    "zeros at p = 1": _layer("n, c, h, w = x.shape", "if self.p == 1: return x * 0.0\n        n, c, h, w = x.shape"),
    "with an epsilon": _layer(_SCALE, "(m.numel() / (m.sum() + 1e-6))"),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", [*SEEDS, "another"])
def test_a_right_answer_in_an_odd_style_loses_nothing(name: str, seed: str) -> None:
    assert lost(results_of(STEM, *RIGHT[name], seed)) == []


@pytest.mark.parametrize("block", range(4))
def test_the_reference_passes_on_many_seeds(block: int) -> None:
    for seed in range(10):
        assert lost_by_reference(STEM, f"{block}-{seed}") == []


@linux
def test_the_layer_does_not_pay_for_gamma(sandbox: Sandbox) -> None:
    """A wrong `dropblock_gamma` costs its own points: a right one stands in for it under a right layer."""
    old, new = " * height * width / (block_size**2 * places)", " / block_size**2"
    notebook = solution_but(STEM, {"dropblock_gamma": lambda source: source.replace(old, new)})
    report = grade(notebook, "wrong gamma", COURSE, sandbox, "units")
    gamma, layer = report.exercises
    assert gamma.points < gamma.max_points
    assert gamma.diagnosis is not None
    assert gamma.diagnosis.mistake == "gamma_without_the_valid_places"
    assert (layer.points, layer.stand_ins) == (layer.max_points, ["dropblock_gamma"])


@pytest.mark.parametrize(
    "call",
    [
        "import torchvision\n        return torchvision.ops.drop_block2d(x, self.p, self.block_size)",
        "from torchvision.ops import drop_block2d as d\n        return d(x, self.p, self.block_size)",
    ],
)
@linux
def test_torchvisions_is_noticed(call: str, sandbox: Sandbox) -> None:
    notebook = json.loads(UNIT.solution_path.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("autograder", {}).get("name") == "DropBlock2d" and "class " in "".join(cell["source"]):
            source = "".join(cell["source"])
            start = source.index("        ### BEGIN SOLUTION\n        if not self.training")
            cell["source"] = f"{source[:start]}        {call}\n"
    report = grade(json.dumps(notebook).encode(), "the library's", COURSE, sandbox, "units")
    assert report.exercises[1].points == 0
    assert "drop_block2d" in json.dumps(report.model_dump(mode="json")["exercises"][1])
