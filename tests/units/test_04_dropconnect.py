"""Unit 04: what the tests of all units do not cover."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
import torch
from IPython.display import Image
from reglab import masking, memory, widgets
from torch import nn
from torch.nn import functional

from autograder import layers
from autograder.checks import Status, load_module
from autograder.course import Course
from autograder.draw import PUBLIC_SEED, Draw
from autograder.expect import Failure
from autograder.judge import grade
from autograder.mistakes import diagnose
from autograder.sandbox import Sandbox
from autograder.statistics import (
    FALSE_ALARM,
    binomial_interval,
    equal_probability,
    middle_probability,
    miss_probability,
    smallest_bias_caught,
)
from autograder.student import StudentError
from tests.conftest import linux
from tests.test_bank import known, reference, results_of, seen, solution_but

ROOT = Path(__file__).resolve().parent.parent.parent
STEM = "04_dropconnect"
COURSE = Course.open(ROOT / "notebooks", ROOT / "solutions")
PUBLIC = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
GRADED = load_module(ROOT / "solutions" / "checks" / f"{STEM}.py")


@pytest.fixture(scope="module")
def unit() -> SimpleNamespace:
    return reference(STEM)


# -- the reference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_the_layer_has_the_moments_of_the_librarys(unit: SimpleNamespace, p: float) -> None:
    """`torch.vmap` over the library's dropout of weight and bias is DropConnect: mean and variance agree, and with the box."""
    torch.manual_seed(0)
    x, inner = torch.randn(3, 6), nn.Linear(6, 4)
    weight, bias = inner.weight.detach(), inner.bias.detach()
    layer = unit.DropConnectLinear(6, 4, p)
    layer.linear.load_state_dict(inner.state_dict())
    many = x.repeat(20_000, 1)

    def single(row: torch.Tensor) -> torch.Tensor:
        return functional.linear(row, functional.dropout(weight, p), functional.dropout(bias, p))

    mean, variance = unit.drop_connect_moments(x, weight, bias, p)
    for y in (layer(many).detach(), torch.vmap(single, randomness="different")(many)):
        draws = y.view(20_000, 3, 4)
        # Standard errors are sqrt(v / 20000), and for the variance at most 2.5 % of it: five of each.
        assert bool(((draws.mean(0) - mean).abs() < 5 * (variance / 20_000).sqrt()).all())
        assert bool(((draws.var(0) / variance - 1).abs() < 0.13).all())


def test_the_convolution_is_one_for_each_example(unit: SimpleNamespace) -> None:
    """With kernels of 1 x 1 on single pixels, the convolution is the linear layer: same seed, same masks."""
    linear, conv = unit.DropConnectLinear(5, 7, 0.4), unit.DropConnectConv2d(5, 7, 1, 0.4)
    conv.conv.weight.data.copy_(linear.linear.weight.view(7, 5, 1, 1))
    conv.conv.bias.data.copy_(linear.linear.bias)
    x = torch.randn(6, 5)
    torch.manual_seed(1)
    flat = linear(x)
    torch.manual_seed(1)
    torch.testing.assert_close(conv(x.view(6, 5, 1, 1)).view(6, 7), flat)


def test_gradients_are_right(unit: SimpleNamespace) -> None:
    """Against finite differences, the masks being held fixed by the seed."""
    layer, conv = unit.DropConnectLinear(3, 2, 0.4).double(), unit.DropConnectConv2d(2, 3, 2, 0.4, 1).double()
    for module, shape in ((layer, (4, 3)), (conv, (2, 2, 3, 3))):
        names = [name for name, _ in module.named_parameters()]
        values = [p.detach().clone().requires_grad_() for p in module.parameters()]

        def seeded(x: torch.Tensor, *parameters: torch.Tensor, module: Any = module, names: Any = names) -> Any:
            torch.manual_seed(0)
            return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(seeded, (x, *values))
    zero = unit.DropConnectLinear(3, 2, 0.4)
    zero.linear.weight.data.zero_()
    zero(torch.ones(200, 3)).sum().backward()
    assert bool((zero.linear.weight.grad != 0).all()), "a weight of 0 learns like any other"


def test_it_holds_one_float_tensor_of_a_weight_for_each_example(unit: SimpleNamespace) -> None:
    n, o, i = 6, 5, 7
    layer, x = unit.DropConnectLinear(i, o, 0.3), torch.randn(n, i, requires_grad=True)
    conv, maps = unit.DropConnectConv2d(2, 3, 3, 0.3), torch.randn(4, 2, 8, 9, requires_grad=True)

    def peak(function: Any, count: int) -> int:
        with memory.LiveTensors(lambda t: int(t.is_floating_point() and t.numel() == count)) as live:
            result = function()
        del result
        return live.peak

    assert peak(lambda: layer(x), n * o * i) == 1
    assert peak(lambda: conv(maps), 4 * 3 * 2 * 9) == 1
    plain = torch.rand(n, o, i).ge(0.3)
    assert peak(lambda: torch.einsum("noi,ni->no", plain.float() * layer.linear.weight, x), n * o * i) == 2, (
        "what a plain product takes"
    )


def test_inference_agrees_with_the_closed_form(unit: SimpleNamespace) -> None:
    torch.manual_seed(0)
    x, weight, bias, p = torch.randn(5, 8), torch.randn(6, 8), torch.randn(6), 0.4
    mean, variance = unit.drop_connect_moments(x, weight, bias, p)
    normal, s = torch.distributions.Normal(0.0, 1.0), variance.sqrt()
    right = mean * normal.cdf(mean / s) + s * normal.log_prob(mean / s).exp()
    y = unit.drop_connect_inference(x, weight, bias, p, torch.relu, 20_000)
    assert bool(((y - right).abs() < 5 * s / 20_000**0.5).all())


# -- the checks' arithmetic ----------------------------------------------------------------------------------------------


def test_numbers_of_coins_suffice() -> None:
    """Every listed mistake is missed with less than 1e-6."""
    n, o, i = PUBLIC["CODED"]
    _, maps, c, k = PUBLIC["MANY"]
    for p in (0.201, 0.25, 0.3, 0.35, 0.399):
        for examples, coins in ((n, o * i), (PUBLIC["MANY"][0], maps * c * k * k), (GRADED["CALLS"], 24)):
            share = p * p + (1 - p) ** 2
            for pairs in (examples // 2 * coins, examples * (coins // 2)):
                assert pairs not in binomial_interval(pairs, share, FALSE_ALARM / 12), "one coin for a whole axis"
            _, near = middle_probability(coins, p)
            assert examples not in binomial_interval(examples, near, FALSE_ALARM / 12), "a fixed number dropped"
            if examples != GRADED["CALLS"]:
                assert equal_probability(coins, 2 * examples, p) < 1e-12, "columns that are copies"
                assert equal_probability(2 * examples, coins, p) < 1e-12, "rows that are copies"
        share = p * p + (1 - p) ** 2
        for agree in (0, 48 * 40):
            assert agree not in binomial_interval(48 * 40, share, FALSE_ALARM / 3), "the bias' coin is a weight's"
    for p in (0.131, 0.15, 0.169, 0.601, 0.799):
        count, alarm = math.prod(PUBLIC["COUNTED"]), FALSE_ALARM / 8
        assert miss_probability(count, p, 1 - p, alarm) < 1e-12
        assert miss_probability(count, p, 0.5, alarm) < 1e-12
        if p < 0.5:
            rates = layers.wrong_rates(p)
            assert miss_probability(count, p, rates["tenths"], alarm) < 1e-6
            assert smallest_bias_caught(count, p, 1e-6, alarm) <= 0.025
            several = sorted([p, 1 - p, 0.5, *rates.values()])
            assert min(b - a for a, b in pairwise(several)) > 0.029
            assert smallest_bias_caught(math.prod(GRADED["COUNTED"]), p, 1e-6, FALSE_ALARM / 3) <= 0.02


def test_patterns_of_right_answers_vary() -> None:
    """That coins of a right answer agree along a whole axis is out of the question."""
    for p in (0.201, 0.399):

        def same(rows: int, others: int, p: float = p) -> float:
            return float((p**rows + (1 - p) ** rows) ** others)

        n, o, i = PUBLIC["CODED"]
        assert max(same(n, o * i), same(o, n * i), same(i, n * o)) < FALSE_ALARM
        n, o, c, k = PUBLIC["KERNELS"]
        for rows in (n, o, c, k):
            assert same(rows, n * o * c * k * k // rows) < FALSE_ALARM
        assert max(same(48, 40), same(40, 48)) < FALSE_ALARM, "the bias"


@pytest.mark.parametrize("p", [0.351, 0.377, 0.399])
def test_shares_of_samples_tell_mistakes_apart(p: float) -> None:
    n, o, count = PUBLIC["SAMPLED"]
    right, trials = 0.30853753872598694, n * o * count
    rates = PUBLIC["wrong_shares"](p)
    for name, rate in rates.items():
        assert miss_probability(trials, right, rate, FALSE_ALARM / 2) < 1e-9, name
    ordered = sorted(rates.values())
    assert min(b - a for a, b in pairwise(ordered)) > 0.005
    for a, b in pairwise(ordered):
        assert miss_probability(trials, a, b) < 1e-6
    assert smallest_bias_caught(trials, right, 1e-9, FALSE_ALARM / 2) <= 0.03


# -- terms of a sum ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1 / 0.7, 1.0, 0.7, 1 / 0.3, 2.0])
@pytest.mark.parametrize("count", [1, 2, 12, 14])
def test_terms_are_read_off_their_sum(factor: float, count: int) -> None:
    draw = Draw("terms", str(count))
    signs = draw.signed(40, 9, count).sign()
    kept = draw.signed(40, 9, count) > -0.8
    y = (kept * signs * 2.0 ** torch.arange(count) * factor).sum(dim=-1)
    found, seen_factor = layers.kept_terms(y, signs, 0.3)
    assert bool((found == kept).all())
    assert seen_factor == pytest.approx(factor)
    with pytest.raises(Failure, match="sum of some of its terms") as raised:
        layers.kept_terms(y * 1.037, signs, 0.3)
    assert raised.value.code == "unreadable:terms"


def test_axes_that_vary() -> None:
    table = torch.zeros(2, 3, 4, dtype=torch.bool)
    assert layers.varying_axes(table, "NOI") == ""
    table[:, 1] = True
    assert layers.varying_axes(table, "NOI") == "O"
    table[0, 1, 2] = False
    assert layers.varying_axes(table, "NOI") == "NOI"


# -- what the notebook imports -------------------------------------------------------------------------------------------


def test_the_product_takes_the_masks_memory() -> None:
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(5, 3, 4).ge(0.5).double()
    assert torch.autograd.gradcheck(lambda w: masking.multiply_into(mask.clone(), w), weight)
    own = mask.clone()
    product = masking.multiply_into(own, weight)
    assert product.data_ptr() == own.data_ptr()
    assert torch.equal(product, mask * weight)
    with pytest.raises(ValueError, match="dtype"):
        masking.multiply_into(mask.float(), weight)
    with pytest.raises(ValueError, match="shape"):
        masking.multiply_into(mask.transpose(1, 2), weight)


def test_live_tensors_are_added_up() -> None:
    before = torch.ones(1000)

    def work() -> torch.Tensor:
        first = before * 2  # 4000 bytes
        second = first.view(10, 100) + 1  # 4000 more
        first.add_(1)
        del first
        return second[:5] * 1  # 2000 in the place of the first's 4000

    assert memory.peak_bytes(work) == 8000
    with memory.LiveTensors(lambda t: int(t.numel() == 1000)) as live:
        kept = [before + k for k in range(3)]
    assert live.peak == 3
    del kept


def test_the_explorer_draws_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    updates: list[Any] = []

    def display(thing: Any, **options: Any) -> Any:
        shown.append(thing)
        return SimpleNamespace(update=updates.append) if options.get("display_id") else None

    monkeypatch.setattr("IPython.display.display", display)
    widgets.connection_explorer(torch.randn(3, 4), torch.randn(3), torch.randn(4))
    assert isinstance(shown[-1], Image)
    controls, choices = shown[0].children[0], shown[0].children[1]
    kind, again = controls.children
    assert isinstance(kind, ipywidgets.Dropdown)
    for each in kind.options[1:]:
        kind.value = each
    choices.children[0].value = 2
    again.click()
    assert len(updates) == 5
    assert len({update.data for update in updates}) >= 4


# -- answers outside the bank --------------------------------------------------------------------------------------------

_LINEAR = """
class DropConnectLinear(nn.Module):
    def __init__(self, in_features, out_features, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.w = nn.Parameter(torch.randn(out_features, in_features) / 10)
        self.b = nn.Parameter(torch.zeros(out_features))
        self.p = p

    def forward(self, x):
        if not self.training or self.p == 0:
            return F.linear(x, self.w, self.b)
        if self.p == 1:
            return torch.zeros(len(x), len(self.b), dtype=x.dtype)
        mw = (torch.rand(len(x), *self.w.shape) >= self.p).to(x.dtype) / (1 - self.p)
        mb = (torch.rand(len(x), *self.b.shape) >= self.p).to(x.dtype) / (1 - self.p)
        return drop_connect_linear(x, self.w, self.b, mw, mb)
"""
_CONV = """
class DropConnectConv2d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, p=0.5, padding=0):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
        self.p = p

    def forward(self, x):
        if not self.training:
            return self.conv(x)
        n, c, h, w = x.shape
        weight, bias = self.conv.weight, self.conv.bias
        mw = torch.rand(n, *weight.shape) >= self.p
        mb = torch.rand(n, *bias.shape) >= self.p
        k = (mw * weight).reshape(-1, *weight.shape[1:])
        y = F.conv2d(x.reshape(1, n * c, h, w), k, padding=self.conv.padding, groups=n)
        y = y.reshape(n, -1, *y.shape[2:]) + (mb * bias)[..., None, None]
        return y / max(1 - self.p, 1e-9)
"""
_FUNCTIONS = {
    "drop_connect_linear": "def drop_connect_linear(x, weight, bias, weight_mask, bias_mask):\n    return BODY\n",
    "drop_connect_moments": (
        "def drop_connect_moments(x, weight, bias, p):\n    if not 0 <= p < 1:\n        raise ValueError(f'p={p}')\n"
        "    return BODY\n"
    ),
    "drop_connect_inference": (
        "def drop_connect_inference(x, weight, bias, p, activation, n_samples):\n"
        "    m, v = drop_connect_moments(x, weight, bias, p)\n    return BODY\n"
    ),
}


def _function(exercise: str, body: str) -> tuple[str, str]:
    return exercise, _FUNCTIONS[exercise].replace("BODY", body)


def _changed(source: str, old: str, new: str) -> tuple[str, str]:
    assert old in source
    return source.split("class ")[1].split("(")[0], source.replace(old, new)


_SQUARES = "F.linear(x**2, weight**2, bias**2)"
OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "unmasked": (_function("drop_connect_linear", "F.linear(x, weight) + bias_mask * bias"), "weights_not_masked"),
    "outer product": (
        _function("drop_connect_linear", "(weight_mask * weight) @ x.T + (bias_mask * bias)[..., None]"),
        "every_example_with_every_mask",
    ),
    "half": (
        _function("drop_connect_linear", "(torch.einsum('noi,oi,ni->no', weight_mask, weight, x) + bias_mask * bias) / 2"), ""
    ),
    "bias alone": (_function("drop_connect_linear", "bias_mask * bias"), ""),
    "deviation": (
        _function("drop_connect_moments", f"(F.linear(x, weight, bias), ({_SQUARES} * p / (1 - p)) ** 0.5)"),
        "deviation_for_variance",
    ),
    "paper's variance": (
        _function("drop_connect_moments", f"(F.linear(x, weight, bias), {_SQUARES} * p * (1 - p))"),
        "variance_of_masks_that_are_not_rescaled",
    ),
    "p^2": (_function("drop_connect_moments", f"(F.linear(x, weight, bias), {_SQUARES} * p * p)"), ""),
    "average first": (
        _function("drop_connect_inference", "activation((m + v.sqrt() * torch.randn(n_samples, *m.shape).to(m)).mean(0))"),
        "activation_after_averaging",
    ),
    "variance for deviation": (
        _function("drop_connect_inference", "activation(m + v * torch.randn(n_samples, *m.shape).to(m)).mean(0)"),
        "noise_times_the_variance",
    ),
    "median": (
        _function("drop_connect_inference", "activation(m + v.sqrt() * torch.randn(n_samples, *m.shape).to(m)).median(0)[0]"),
        "",
    ),
    "library's line": (
        _changed(
            _LINEAR.replace("mb = (torch.rand(len(x), *self.b.shape)", "mb = (torch.rand(1, *self.b.shape)"),
            "mw = (torch.rand(len(x), *self.w.shape)", "mw = (torch.rand(1, *self.w.shape)",
        ),
        "OneMaskForTheBatch",
    ),
    "bias whole": (
        _changed(_LINEAR, "self.w, self.b, mw, mb)", "self.w, self.b, mw, torch.ones_like(mb))"), "BiasNeverMaskedButAtOne"
    ),
    "dropout of the output": (
        _changed(_LINEAR, "return drop_connect_linear(x, self.w, self.b, mw, mb)",
                 "return F.linear(x, self.w, self.b) * mb"),
        "MasksOnActivations",
    ),
    "keeps p": (_changed(_LINEAR, ">= self.p", "< self.p"), "KeepAndDropSwappedButForZero"),
    "data": (_changed(_LINEAR, "(x, self.w, self.b, mw", "(x, self.w.data, self.b.data, mw"), "GradientCut"),
    "a type error": (_changed(_LINEAR, "raise ValueError", "raise TypeError"), ""),
    "no groups": (_changed(_CONV, ", groups=n)", ")"), "ConvGroupsLeftOut"),
    "channels of maps": (
        _changed(_CONV, "y.reshape(n, -1, *y.shape[2:])", "y.reshape(-1, n, *y.shape[2:]).transpose(0, 1)"),
        "ConvReshapedToMapsFirst",
    ),
    "maps dropped": (
        _changed(_CONV, "mw = torch.rand(n, *weight.shape) >= self.p", "mw = torch.rand(n, len(bias), 1, 1, 1) >= self.p"),
        "ConvMaskPerUnit",
    ),
    "x with the channels first": (
        _changed(_CONV, "x.reshape(1, n * c, h, w)", "x.permute(1, 0, 2, 3).reshape(1, n * c, h, w)"),
        "ConvChannelsAndExamplesMixed",
    ),
    "kernels of maps first": (
        _changed(_CONV, "(mw * weight).reshape", "(mw * weight).transpose(0, 1).reshape"), "ConvReshapedToMapsFirst"
    ),
    "maps first, bias does not fit": (
        _changed(_CONV, "y.reshape(n, -1, *y.shape[2:])", "y.reshape(-1, n, *y.shape[2:])"), "ConvDimensionsDoNotFit"
    ),
    "groups of channels": (_changed(_CONV, ", groups=n)", ", groups=c)"), "ConvGroupsOfChannels"),
    "the size of x": (
        _changed(_CONV, "y.reshape(n, -1, *y.shape[2:])", "y.reshape(n, -1, h, w)"), "ConvReshapedToTheInputsSizeSomehow"
    ),
    "bias as it is": (_changed(_CONV, "(mb * bias)[..., None, None]", "mb * bias"), "ConvBiasAlongThePixels"),
    "a bias coin for each pixel": (
        _changed(_CONV, "y = y.reshape(n, -1, *y.shape[2:]) + (mb * bias)[..., None, None]",
                 "y = y.reshape(n, -1, *y.shape[2:])\n        y = y + (torch.rand_like(y) >= self.p) * bias[:, None, None]"),
        "ConvBiasCoinPerPixel",
    ),
    "bias of a map whole": (
        _changed(_CONV, "(mb * bias)[..., None, None]", "(1 - self.p) * bias[:, None, None]"), "ConvBiasNeverMaskedButAtOne"
    ),
    "no padding": (_changed(_CONV, "padding=self.conv.padding, groups", "groups"), "ConvPaddingIgnored"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", [PUBLIC_SEED, "a secret"])
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, source), expected = OUTSIDE[name]
    results = results_of(STEM, exercise, source, seed)
    assert any(o.status is not Status.PASSED for o in results)
    observed = seen(results)
    found = diagnose(observed, known(STEM, exercise))
    assert (found.name if found else "") == expected, observed


@pytest.mark.parametrize("source", [_LINEAR, _CONV], ids=["linear", "convolution"])
def test_these_answers_are_right_before_they_are_changed(source: str) -> None:
    exercise = source.split("class ")[1].split("(")[0]
    results = results_of(STEM, exercise, source, "right")
    assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []


def test_an_output_far_too_large_is_the_learners_and_no_matter_of_the_wire() -> None:
    source = _CONV.replace("return y / max(1 - self.p, 1e-9)", "return y.new_zeros(()).expand(9000, 9000, 3)")
    messages = [o.message for o in results_of(STEM, "DropConnectConv2d", source, "large") if o.status is Status.FAILED]
    assert any("far larger than it should be: a tensor of shape (9000, 9000, 3)" in m for m in messages), messages
    assert not any("WireError" in m for m in messages)
    error = StudentError(["WireError", "Exception"], "a tensor of shape (9,) is too large to send")
    assert error.sentence() == "what your code returned could not be read: a tensor of shape (9,) is too large to send"


def test_defining_properties_weigh_most() -> None:
    checks = {e.name: COURSE.unit(STEM).checks(e.name) for e in COURSE.unit(STEM).exercises}
    for exercise, each in checks.items():
        total = sum(c.points for c in each)
        assert sum(c.points for c in each if c.graded_only) <= total / 8, exercise
        first = max(each, key=lambda c: c.points)
        assert first.points >= total / 4, exercise


@linux
def test_a_right_layer_on_a_faulty_function_loses_nothing(sandbox: Sandbox) -> None:
    """A right `drop_connect_linear` stands in for the faulty one, also for the gradients of weights and input."""
    faulty = "    return F.linear(x, weight[0] * weight_mask.mean(0), bias)\n"
    changed = {
        "drop_connect_linear": lambda source: source[: source.index("    ### BEGIN SOLUTION")] + faulty,
        "DropConnectLinear": lambda _source: _LINEAR,
    }
    report = grade(solution_but(STEM, changed), "faulty", COURSE, sandbox, "stand-in")
    found = {e.name: e for e in report.exercises}
    assert found["drop_connect_linear"].points < found["drop_connect_linear"].max_points
    layer = found["DropConnectLinear"]
    assert layer.points == layer.max_points, [c for c in layer.checks if not c.points]
    assert layer.stand_ins == ["drop_connect_linear"]
