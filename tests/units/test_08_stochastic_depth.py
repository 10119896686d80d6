"""Unit 08: the library's layer as an oracle, the arithmetic of its samples, answers outside its bank."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
import torch
from reglab import widgets  # makes torchvision importable
from torch import nn
from torchvision.ops import StochasticDepth

from autograder import layers, source
from autograder.checks import Status, load_module, run_checks
from autograder.draw import Draw
from autograder.judge import grade
from autograder.sandbox import Sandbox
from autograder.statistics import (
    FALSE_ALARM,
    binomial_interval,
    equal_probability,
    middle_probability,
    miss_probability,
    smallest_bias_caught,
)
from autograder.student import local_student
from tests.conftest import ROOT, linux
from tests.test_bank import COURSE, SEEDS, expect_diagnosis, outcomes, reference, results_of, solution_but

STEM = "08_stochastic_depth"
UNIT = COURSE.unit(STEM)
PUBLIC = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
GRADED = load_module(ROOT / "solutions" / "checks" / f"{STEM}.py")


@pytest.fixture
def unit() -> SimpleNamespace:
    return reference(STEM)


# -- the reference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.1, 0.37, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(4000, 3), (4000, 2, 1, 2)])
def test_the_layer_drops_and_scales_as_the_librarys(unit: SimpleNamespace, p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape).sign()
    mine, theirs = unit.DropPath(p)(x), StochasticDepth(p, mode="row")(x)
    for y in (mine, theirs):
        whole = (y == 0).flatten(1)
        assert bool((whole.all(1) | ~whole.any(1)).all())
        assert int(whole.all(1).sum()) in binomial_interval(4000, p, 1e-9)
    if p < 1:
        assert float(mine.abs().max()) == pytest.approx(float(theirs.abs().max())) == pytest.approx(1 / (1 - p))
    assert unit.DropPath(p).eval()(x) is x


def test_the_rates_are_those_of_the_paper(unit: SimpleNamespace) -> None:
    rates = unit.drop_path_rates(0.5, 54)
    assert sum(1 - p for p in rates) == pytest.approx(40.25)
    assert unit.drop_path_rates(0.3, 1) == pytest.approx([0.3])
    assert unit.drop_path_rates(0.2, 4) == pytest.approx([0.05, 0.1, 0.15, 0.2])


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_the_identity_survives_to_the_last_bit(unit: SimpleNamespace, scale: float) -> None:
    torch.manual_seed(0)
    x, block = scale * torch.randn(64, 3, 4, 5), unit.ResidualBlock(3, 0.5)
    y = block(x)
    same = (y == x).flatten(1).all(1)
    assert 10 < int(same.sum()) < 54
    branch = block.branch(x)
    torch.testing.assert_close(y[~same], (x + 2 * branch)[~same])
    torch.testing.assert_close(block.eval()(x), x + block.branch(x))


def test_the_branch_has_the_order_of_identity_mappings(unit: SimpleNamespace) -> None:
    block = unit.ResidualBlock(3, 0.1)
    kinds = [type(m) for m in block.modules() if not list(m.children())]
    assert kinds == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d] * 2 + [unit.DropPath]


def test_the_mean_over_all_coins_is_the_output_in_evaluation() -> None:
    """Section 1's table, for linear branches: exact, whatever the rates."""
    branches, rates = (0.5, 1.0, -0.4), (0.1, 0.2, 0.3)
    mean = 0.0
    for coins in itertools.product((1, 0), repeat=3):
        chance = math.prod(1 - p if b else p for b, p in zip(coins, rates, strict=True))
        mean += chance * math.prod(1 + b / (1 - p) * a for b, p, a in zip(coins, rates, branches, strict=True))
    assert mean == pytest.approx(math.prod(1 + a for a in branches))


# -- the checks' arithmetic ----------------------------------------------------------------------------------------------


def test_numbers_of_coins_suffice() -> None:
    """Every listed mistake is missed with less than 1e-6, and what hangs on patterns happens with less than 1e-9."""
    calls, coins = PUBLIC["CALLS"], PUBLIC["COINS"]
    examples = PUBLIC["BLOCK"][0]
    for p in (0.201, 0.25, 0.3, 0.35, 0.399):
        share = p * p + (1 - p) ** 2
        tables = [(calls, coins, 9), (GRADED["CALLS"], GRADED["COINS"], 9), (PUBLIC["BLOCK_CALLS"][0],) * 2 + (12,)]
        for rows, columns, parts in tables:
            for pairs in (rows // 2 * columns, rows * (columns // 2)):
                assert pairs not in binomial_interval(pairs, share, FALSE_ALARM / parts), "one coin for a whole axis"
            _, near = middle_probability(columns, p)
            assert rows not in binomial_interval(rows, near, FALSE_ALARM / parts), "a fixed number dropped"
        assert equal_probability(calls, coins, p) < 1e-12, "rows or columns that are copies"
        assert calls == coins
        assert p**examples + (1 - p) ** examples < 1e-15, "a block that drops none or all"
    assert 0.4**examples + 0.8**examples < 1e-15
    for p in (0.131, 0.15, 0.169, 0.601, 0.799):
        count, alarm = math.prod(PUBLIC["COUNTED"]), FALSE_ALARM / 3
        block = PUBLIC["BLOCK_COUNTED"][0]
        for trials, each in ((count, alarm), (block, FALSE_ALARM / 4)):
            assert miss_probability(trials, p, 1 - p, each) < 1e-12
        assert smallest_bias_caught(block, p, 1e-6, FALSE_ALARM / 4) <= 0.1
        assert miss_probability(count, p, 0.5, alarm) < 1e-12
        if p < 0.5:
            rates = layers.wrong_rates(p)
            assert miss_probability(count, p, rates["tenths"], alarm) < 1e-6
            assert smallest_bias_caught(count, p, 1e-6, alarm) <= 0.025
            assert smallest_bias_caught(math.prod(GRADED["COUNTED"]), p, 1e-6, alarm) <= 0.02


@pytest.mark.parametrize("seed", range(30))
def test_wrong_rates_are_told_apart(seed: int) -> None:
    draw = Draw(str(seed), "rates")
    rate = draw.probability(0.6, 0.9)
    for depth in draw.sizes(2, 5, 12):
        right = torch.arange(1, depth + 1, dtype=torch.float64) / depth * rate
        wrong = PUBLIC["_wrong_rates"](rate, depth)
        for name, values in wrong.items():
            assert values.shape != right.shape or float((values - right).abs().max()) > 1e-4, name


@pytest.mark.parametrize("seed", range(30))
def test_no_branch_of_the_counted_examples_is_next_to_nothing(seed: int) -> None:
    """Else an example that kept its branch would pass for one that lost it."""
    for shape in (PUBLIC["BLOCK_COUNTED"], PUBLIC["BLOCK_CALLS"]):
        draw = Draw(str(seed), str(shape))
        x, values = draw.signed(*shape), PUBLIC["_Values"].drawn(draw, shape[1], positive=True)
        assert float(values.branch(x, True).abs().flatten(1).amax(1).min()) > 1e-5
    x, values = draw.signed(*PUBLIC["BLOCK"]), PUBLIC["_Values"].drawn(draw, PUBLIC["BLOCK"][1])
    assert float(values.branch(x, True).abs().flatten(1).amax(1).min()) > 1e-2


@pytest.mark.parametrize("seed", range(10))
def test_wrong_sums_are_far_from_the_right_one(seed: int) -> None:
    draw = Draw(str(seed), "sums")
    x, values = draw.signed(*PUBLIC["BLOCK"]), PUBLIC["_Values"].drawn(draw, PUBLIC["BLOCK"][1])
    for training in (True, False):
        b = values.branch(x, training)
        for name, wrong in PUBLIC["_wrong_sums"](values, x, b, training).items():
            assert float((wrong - x - b).abs().max()) > 100 * PUBLIC["TOLERANCE"], name


@pytest.mark.parametrize("seed", range(20))
def test_right_answers_pass_whatever_the_seed(seed: int) -> None:
    with layers.one_thread():
        for entry in UNIT.bank:
            if not entry.wrong:
                results = outcomes.__wrapped__(STEM, entry.exercise, entry.name, f"right {seed}")
                assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == [], entry.name


def test_the_number_of_threads_is_put_back() -> None:
    before = torch.get_num_threads()
    with layers.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_defining_properties_weigh_most() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {"drop_path_rates": 8, "DropPath": 24, "ResidualBlock": 25}
    for name, total in totals.items():
        assert sum(c.points for c in UNIT.checks(name) if c.graded_only) <= total / 8

    def lost(exercise: str, entry: str) -> int:
        return totals[exercise] - sum(o.points for o in outcomes(STEM, exercise, entry, SEEDS[1]))

    assert lost("drop_path_rates", "all_rates_equal") >= 4
    assert lost("DropPath", "MaskPerElement") >= 8
    assert lost("DropPath", "OneCoinForTheBatch") >= 8
    assert lost("DropPath", "NoRescaling") >= 3
    assert lost("ResidualBlock", "SumDropped") >= 6
    assert lost("ResidualBlock", "ReluAfterTheSum") >= 10
    assert lost("ResidualBlock", "SubtractedAgain") >= 6


# -- answers outside the bank --------------------------------------------------------------------------------------------

_PATH = """
class DropPath(nn.Module):
    def __init__(self, p):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return torch.zeros_like(x)
        keep = (torch.rand((x.size(0),) + (1,) * (x.ndim - 1)) >= self.p).to(x.dtype)
        return x * keep / (1 - self.p)
"""
_BLOCK = """
class ResidualBlock(nn.Module):
    def __init__(self, channels, p):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop = DropPath(p)

    def forward(self, x):
        out = self.conv1(torch.relu(self.bn1(x)))
        out = self.conv2(torch.relu(self.bn2(out)))
        return x + self.drop(out)
"""


def _rates(body: str) -> tuple[str, str]:
    return "drop_path_rates", f"def drop_path_rates(max_rate, depth):\n    return {body}\n"


def _changed(text: str, old: str, new: str) -> tuple[str, str]:
    assert old in text
    return text.split("class ")[1].split("(")[0], text.replace(old, new)


_FULL = "return x + self.drop(out)"

OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "the same for all": (_rates("[max_rate for _ in range(depth)]"), "all_rates_equal"),
    "timm's": (_rates("[t.item() for t in torch.linspace(0, max_rate, depth)]"), "rates_from_zero_to_max"),
    "from zero": (_rates("[l / depth * max_rate for l in range(depth)]"), "rates_from_zero"),
    "root": (_rates("[max_rate * (l / depth) ** 0.5 for l in range(1, depth + 1)]"), ""),
    "one coin": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "()"), "OneCoinForTheBatch"),
    "every value": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "x.shape"), "MaskPerElement"),
    "two axes": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "(x.size(0), x.size(1)) + (1,) * (x.ndim - 2)"),
                 "CoinForEachChannel"),
    "kept with p": (_changed(_PATH, ">= self.p", "< self.p"), "KeepAndDropSwappedButForZero"),
    "not divided": (_changed(_PATH, "x * keep / (1 - self.p)", "x * keep"), "NoRescaling"),
    "a type error": (_changed(_PATH, "raise ValueError", "raise TypeError"), ""),
    "images": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "(x.shape[0], 1, 1, 1)"), "ImagesOnlyButForZero"),
    "one axis": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "len(x)"), "MaskOfOneAxisButForZero"),
    "tables": (_changed(_PATH, "(x.size(0),) + (1,) * (x.ndim - 1)", "(len(x), 1)"), "TablesOnly"),
    "mean": (_changed(_PATH, "/ (1 - self.p)", "/ keep.mean().clamp(min=1e-6)"), "RescaledByTheObservedShare"),
    "dropped with the sum": (_changed(_BLOCK, _FULL, "return self.drop(out + x)"), "SumDropped"),
    "dropped before the branch": (
        (
            "ResidualBlock",
            _BLOCK.replace("self.bn1(x)", "self.bn1(self.drop(x))").replace(_FULL, "return x + out"),
        ),
        "DroppedBetweenTheHalves",
    ),
    "relu at the end": (_changed(_BLOCK, _FULL, "return torch.relu(x + self.drop(out))"), "ReluAfterTheSum"),
    "the first block": (
        (
            "ResidualBlock",
            _BLOCK.replace("self.conv1(torch.relu(self.bn1(x)))", "torch.relu(self.bn1(self.conv1(x)))")
            .replace("self.conv2(torch.relu(self.bn2(out)))", "self.bn2(self.conv2(out))")
            .replace(_FULL, "return torch.relu(x + self.drop(out))"),
        ),
        "FirstResidualBlock",
    ),
    "the name used again": (
        ("ResidualBlock", _BLOCK.replace("out = self.conv1(torch.relu(self.bn1(x)))",
                                         "x = torch.relu(self.bn1(x))\n        out = self.conv1(x)")),
        "PreactivatedShortcut",
    ),
    "in place": (_changed(_BLOCK, _FULL, "out = self.drop(out)\n        x += out\n        return x"), ""),
    "a shortcut that is dropped": (_changed(_BLOCK, _FULL, "return self.drop(x) + out"), "IdentityDropped"),
    "p left out": (_changed(_BLOCK, "DropPath(p)", "DropPath(p) if False else DropPath(0.0)"), "NeverDrops"),
    "no identity": (_changed(_BLOCK, _FULL, "return self.drop(out)"), "IdentityMissing"),
    "gelu": (("ResidualBlock", _BLOCK.replace("torch.relu", "torch.nn.functional.gelu")), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, text), expected = OUTSIDE[name]
    with layers.one_thread():
        results = results_of(STEM, exercise, text, seed)
        assert all(o.status is not Status.BROKEN for o in results)
        expect_diagnosis(STEM, exercise, results, expected)


@pytest.mark.parametrize("change", ["torch.relu(x + self.drop(out))", "self.drop(x + out)"])
def test_where_the_identity_is_gone_no_one_is_told_that_nothing_was_dropped(change: str) -> None:
    with layers.one_thread():
        results = results_of(STEM, *_changed(_BLOCK, _FULL, f"return {change}"), SEEDS[1])
    (said,) = (o.message for o in results if o.check.name == "block_tosses_coins_for_examples")
    assert said == "no example came out as x, so no dropped branch can be seen"


ALSO_RIGHT: dict[str, tuple[str, str]] = {
    "layer": ("DropPath", _PATH),
    "block": ("ResidualBlock", _BLOCK),
    "a default": ("DropPath", _PATH.replace("def __init__(self, p)", "def __init__(self, p=0.1)")),
    "inplace relu": ("ResidualBlock", _BLOCK.replace("torch.relu(", "nn.functional.relu_(")),
    "branch first": ("ResidualBlock", _BLOCK.replace(_FULL, "return self.drop(out).add(x)")),
    "two cases": ("ResidualBlock", _BLOCK.replace(_FULL, "return x + (self.drop(out) if self.training else out)")),
    "bias-free": ("ResidualBlock", _BLOCK.replace("padding=1)", "padding=1, bias=False)")),
    "p only in the layer": ("ResidualBlock", _BLOCK.replace("DropPath(p)", "DropPath(p=p)")),
    "identity at zero": (
        "ResidualBlock", _BLOCK.replace("self.drop = DropPath(p)", "self.drop = DropPath(p) if p else nn.Identity()")
    ),
    "squeezed rand": ("DropPath", _PATH.replace("torch.rand((x.size(0),) + (1,) * (x.ndim - 1))",
                                                "torch.rand_like(x.flatten(1)[:, 0]).reshape(-1, *[1] * (x.dim() - 1))")
                      .replace("rand_like(x.", "rand_like(x.float().")),
    "rates by accumulate": _rates("list(__import__('itertools').accumulate([max_rate / depth] * depth))"),
    "rates by numpy": _rates("__import__('numpy').linspace(max_rate / depth, max_rate, depth).tolist()"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALSO_RIGHT)
@pytest.mark.parametrize("seed", [*SEEDS, "a third"])
def test_other_right_answers_lose_nothing(name: str, seed: str) -> None:
    exercise, text = ALSO_RIGHT[name]
    namespace = dict(vars(reference(STEM)))
    exec(compile(text, f"<{exercise}>", "exec"), namespace)
    with layers.one_thread():
        results = run_checks(UNIT.checks(exercise), local_student(namespace), seed, reference(STEM))
    assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("torchvision.ops.StochasticDepth(p, 'row')", ["StochasticDepth"]),
        ("from torchvision.ops import stochastic_depth as f\nf(x, p, 'row')", ["stochastic_depth"]),
        ("F.dropout(torch.ones(len(x), 1, 1, 1), p)", ["dropout"]),
        ("nn.Dropout(p)", ["Dropout"]),
        ("DropPath(p)", []),
        ("self.dropout(x)", []),
        ("torch.bernoulli(keep)", []),
    ],
)
def test_the_librarys_versions_are_seen_in_the_source(code: str, expected: list[str]) -> None:
    context = ["import torch\nimport torchvision\nfrom torch import nn\nfrom torch.nn import functional as F"]
    for exercise in ("DropPath", "ResidualBlock"):
        forbidden = UNIT.exercise(exercise).forbids
        assert [use.name for use in source.library_calls(code, forbidden, context=context)] == expected


# -- what the notebook imports -------------------------------------------------------------------------------------------


def test_the_explorer_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    updates: list[Any] = []

    def display(thing: Any, **options: Any) -> Any:
        shown.append(thing)
        return SimpleNamespace(update=updates.append) if options.get("display_id") else None

    monkeypatch.setattr("IPython.display.display", display)

    def distribution(rates: list[float]) -> list[float]:
        return [0.0] * len(rates) + [1.0]

    rules = {"rising": reference(STEM).drop_path_rates, "equal": lambda rate, depth: [rate] * depth}
    widgets.depth_explorer(rules, distribution, max_rate=0.4, depth=6)
    rate, depth, rule = shown[0].children
    assert isinstance(rule, ipywidgets.Dropdown)
    rate.value = 0.0
    depth.value = 1
    rule.value = "equal"
    assert len({update.data for update in updates}) == 3
    assert "expected depth" in shown[-1].alt


FAULTY = {
    "one coin for the batch": ("len(x)", "1"),
    "ignores training": ("self.training", "True"),
    "cuts the gradient": ("return x", "return x.detach()"),
}


@linux
@pytest.mark.parametrize("fault", FAULTY)
def test_a_right_block_on_a_faulty_drop_path_loses_nothing(fault: str, sandbox: Sandbox) -> None:
    """A right `DropPath`, a layer, stands in for the faulty one: its modes and gradients too."""
    old, new = FAULTY[fault]
    notebook = solution_but(UNIT.stem, {"DropPath": lambda source: source.replace(old, new)})
    report = grade(notebook, "faulty", COURSE, sandbox, "stand-in")
    rates, path, block = report.exercises
    assert rates.points == rates.max_points
    assert path.points < path.max_points
    assert block.points == block.max_points, [c for c in block.checks if not c.points]
    assert block.stand_ins == ["DropPath"]
