"""Unit 06: the reference against NumPy and SciPy, the checks' inputs against their promises, and answers outside the bank."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from reglab import plots, widgets
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binned_statistic
from torch import Tensor
from torch.nn import functional

from autograder.checks import load_module
from autograder.draw import Draw
from autograder.judge import grade
from autograder.sandbox import Sandbox
from autograder.student import local_student
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

STEM = "06_calibration"
UNIT = COURSE.unit(STEM)
PUBLIC = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
GRADED = load_module(ROOT / "solutions" / "checks" / f"{STEM}.py")
REFERENCE = reference(STEM)


def predictions(seed: int, examples: int = 400, classes: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    coins = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(examples, classes, generator=coins, dtype=torch.float64)
    logits[:5] *= 100  # certain
    target = torch.multinomial((logits / 2).softmax(1), 1, generator=coins).squeeze(1)
    return logits, logits.softmax(1), target


# -- the reference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [1, 2, 15, 40])
def test_bins_are_those_of_scipy(n_bins: int) -> None:
    _, probs, target = predictions(n_bins)
    sure, chosen = probs.max(dim=1)
    hit = (chosen == target).double()
    confidence, accuracy, count = REFERENCE.reliability_bins(probs, target, n_bins)
    for got, values, kind in ((confidence, sure, "mean"), (accuracy, hit, "mean"), (count, hit, "count")):
        wanted = binned_statistic(sure.numpy(), values.numpy(), kind, n_bins, (0, 1)).statistic
        assert np.allclose(got, np.nan_to_num(wanted), atol=1e-12)
    error = REFERENCE.expected_calibration_error(probs, target, n_bins)
    sums = binned_statistic(sure.numpy(), (hit - sure).numpy(), "sum", n_bins, (0, 1)).statistic
    assert error == pytest.approx(np.abs(sums).sum() / len(target), abs=1e-12)
    assert isinstance(error, float)


def test_merging_bins_never_makes_the_error_larger() -> None:
    _, probs, target = predictions(3)
    errors = [REFERENCE.expected_calibration_error(probs, target, n) for n in (1, 2, 4, 8, 16, 32)]
    assert all(fine >= coarse - 1e-12 for coarse, fine in pairwise(errors))


@pytest.mark.parametrize("scale", [0.03, 0.5, 1.0, 8.0])
def test_the_temperature_is_scipys(scale: float) -> None:
    logits, _, target = predictions(7)
    z = scale * logits[5:]

    def loss(log_t: float) -> float:
        return float(functional.cross_entropy(z / math.exp(log_t), target[5:]))

    found = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9}).x
    t = REFERENCE.fit_temperature(z, target[5:])
    assert t == pytest.approx(math.exp(found), rel=1e-4)
    assert isinstance(t, float)


def test_the_floor_of_the_text() -> None:
    """The mean error of a perfect predictor is near the formula, and below the bound."""
    coins = torch.Generator().manual_seed(0)
    examples, errors = 500, []
    for _ in range(200):
        first = 0.5 + 0.5 * torch.rand(examples, generator=coins, dtype=torch.float64)
        target = (torch.rand(examples, generator=coins, dtype=torch.float64) >= first).long()
        errors.append(REFERENCE.expected_calibration_error(torch.stack([first, 1 - first], 1), target))
    mean = sum(errors) / len(errors)
    edges = [0.5, *(b / 15 for b in range(8, 16))]
    formula = math.sqrt(2 / (math.pi * examples)) * sum(
        math.sqrt(2 * (b - a) * (a + b) / 2 * (1 - (a + b) / 2)) for a, b in pairwise(edges)
    )
    assert mean == pytest.approx(formula, rel=0.06)
    assert mean < math.sqrt(15 / (2 * math.pi * examples))


# -- what checks promise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [8, 11, 15, 20])
def test_confidences_stay_clear_of_edges_and_in_their_bins(n_bins: int) -> None:
    for seed in range(20):
        draw = Draw(str(seed), "batch")
        batch = PUBLIC["_batch"](draw, [*PUBLIC["_plan"](draw, n_bins), (n_bins - 1, 3, 1, True)], n_bins)
        assert torch.allclose(batch.probs.sum(1), torch.ones(len(batch.probs)), atol=1e-5)
        assert float(batch.probs.min()) >= 0
        top = batch.probs.topk(2, dim=1)
        assert float((top.values[:, 0] - top.values[:, 1]).min()) > 1e-4, "no ties"
        assert torch.equal((top.indices[:, 0] == batch.target).double(), batch.hit)
        assert torch.equal((batch.confidence * n_bins).long().clamp(max=n_bins - 1), batch.place)
        away = (batch.confidence - (batch.confidence * n_bins).round() / n_bins).abs()
        assert float(away[batch.confidence < 1].min()) > 1e-3
        if n_bins == 15:
            assert bool((batch.count > 0).all()), "every bin is filled"
            for n in (1, 2, 3, 5, 10, 15):
                assert PUBLIC["_error_in_coarse_bins"](batch, n) == pytest.approx(
                    REFERENCE.expected_calibration_error(batch.probs.double(), batch.target, n), abs=1e-9
                )


def test_graded_confidences_stay_clear_of_edges_too() -> None:
    for seed in range(30):
        for n_bins in (1, 7, 13, 15):
            probs, target = GRADED["_predictions"](Draw(str(seed), "graded"), n_bins, torch.float32)
            confidence = probs.double().amax(1)
            away = (confidence - (confidence * n_bins).round() / n_bins).abs()
            assert float(away[confidence < 1].min()) > 1e-4
            assert bool((confidence == 1).any())
            assert len(target) > 30


@pytest.mark.parametrize("best", [0.0635, 0.33, 0.43, 1.745, 2.955, 14.2, 17.3])
def test_the_best_temperature_is_the_best_and_calibrates_nothing(best: float) -> None:
    for seed in range(10):
        problem = PUBLIC["_problem"](Draw(str(seed), "problem"), best)
        z, y = problem.logits.double(), problem.target
        true = z.gather(1, y[:, None]).mean()

        def slope(t: float, z: Tensor = z, true: Tensor = true) -> float:
            return float(((z / t).softmax(1) * z).sum(1).mean() - true)

        assert brentq(slope, best / 4, best * 4) == pytest.approx(best, rel=5e-4)
        errors = {t: REFERENCE.expected_calibration_error((z / t).softmax(1), y) for t in (problem.calibrating, best)}
        assert errors[problem.calibrating] < 1e-3
        assert errors[best] > 0.03, "tuning the calibration error leads elsewhere"


def test_graded_temperatures_are_in_range_and_not_where_the_error_is_smallest() -> None:
    grid = torch.logspace(-0.5, 1, 120, dtype=torch.float64).tolist()
    for seed in range(10):
        draw = Draw(str(seed), "graded")
        calls: list[tuple[Tensor, Tensor]] = []

        def noted(logits: Tensor, target: Tensor, calls: list[tuple[Tensor, Tensor]] = calls) -> float:
            calls.append((logits, target))
            return float(REFERENCE.fit_temperature(logits, target))

        student = local_student({"fit_temperature": noted})
        GRADED["temperature_agrees_with_the_reference"](student, draw, REFERENCE)
        first, second = (REFERENCE.fit_temperature(*call) for call in calls)
        assert 2.2 < first < 4.5
        assert 0.5 < second < 1
        for logits, target in calls:
            best = REFERENCE.fit_temperature(logits, target)
            smallest = min(
                grid, key=lambda t: REFERENCE.expected_calibration_error((logits.double() / t).softmax(1), target)
            )
            assert abs(smallest / best - 1) > 0.02


def test_points() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {"reliability_bins": 19, "expected_calibration_error": 17, "fit_temperature": 17}
    for name, total in totals.items():
        assert total / 10 <= sum(c.points for c in UNIT.checks(name) if c.graded_only) <= total / 8


# -- answers outside the bank --------------------------------------------------------------------------------------------


def _bins(body: str) -> tuple[str, str]:
    return "reliability_bins", (
        "def reliability_bins(probs, target, n_bins=15):\n"
        "    c, k = probs.max(1)\n    h = (k == target).to(c.dtype)\n"
        "    i = (c * n_bins).long().clamp(max=n_bins - 1)\n"
        "    def s(w): return torch.bincount(i, w, minlength=n_bins)\n"
        f"    n = s(torch.ones_like(h)); m = n.clamp(min=1)\n    {body}\n"
    )


def _error(body: str) -> tuple[str, str]:
    return "expected_calibration_error", (
        "def expected_calibration_error(probs, target, n_bins=15):\n"
        f"    c, a, n = reliability_bins(probs, target, n_bins)\n    {body}\n"
    )


def _fit(body: str, loss: str = "F.cross_entropy(z / t, y)") -> tuple[str, str]:
    return "fit_temperature", (
        "import torch.nn.functional as F\nfrom scipy.optimize import minimize_scalar\n"
        "def fit_temperature(logits, target):\n    z, y = logits.detach().double(), target\n"
        f"    def loss(s):\n        t = math.exp(s)\n        return float({loss})\n"
        "    best = math.exp(minimize_scalar(loss, bounds=(-6, 6), method='bounded').x)\n"
        f"    {body}\n"
    )


OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "plus one everywhere": (_bins("return s(c) / (n + 1), s(h) / (n + 1), n"), "divided_by_one_more"),
    "count as a share of the largest": (_bins("return s(c) / m, s(h) / m, n / n.max()"), ""),
    "percent": (_bins("return s(c) / m, 100 * s(h) / m, n"), ""),
    "NaN from dividing": (_bins("return s(c) / n, s(h) / n, n"), "empty_bins_are_nan"),
    "upper edges": (_bins("return torch.arange(1, n_bins + 1) / n_bins, s(h) / m, n"), ""),
    "centres": (_bins("return (torch.arange(n_bins) + 0.5) / n_bins, s(h) / m, n"), "centre_for_confidence"),
    "accuracy of all": (_bins("return s(c) / m, h.mean().expand(n_bins), n"), ""),
    "hits only": (_bins("return s(c) / m, s(h) / m, s(h)"), "only_the_right_are_counted"),
    "two of three": (_bins("return s(c) / m, s(h) / m"), ""),
    "a dictionary": (_bins("return {'confidence': s(c) / m, 'accuracy': s(h) / m, 'count': n}"), ""),
    "twenty by default": (
        (
            "reliability_bins",
            _bins("return s(c) / m, s(h) / m, n")[1].replace("n_bins=15", "n_bins=20"),
        ),
        "another_default",
    ),
    "bins closed at both ends": (
        _bins(
            "e = torch.linspace(0, 1, n_bins + 1); z = torch.zeros(3, n_bins)\n"
            "    for b in range(n_bins):\n"
            "        g = (c >= e[b]) & (c <= e[b + 1])\n"
            "        if g.any():\n            z[:, b] = torch.stack([c[g].mean(), h[g].mean(), g.sum()]).float()\n"
            "    return z[0], z[1], z[2]"
        ),
        "edges_belong_to_both",
    ),
    "sums": (_bins("return s(c), s(h), n"), "sums_for_means"),
    "over N": (_bins("return s(c) / len(c), s(h) / len(c), n"), "sums_over_all_examples"),
    "no minlength": (
        (
            "reliability_bins",
            _bins("return s(c) / m, s(h) / m, n")[1].replace(", minlength=n_bins", ""),
        ),
        "bins_end_with_the_last_filled",
    ),
    "gaps of hits and sums": (_error("return (n * a - n * c).abs().sum()"), "weighted_by_counts"),
    "twice": (_error("return 2 * float((n * (a - c).abs()).sum() / n.sum())"), ""),
    "mean of the filled": (_error("return (a - c).abs()[n > 0].mean()"), "mean_over_filled_bins"),
    "largest": (_error("return float((a - c).abs()[n > 0].max())"), "largest_gap"),
    "root of squares": (_error("return math.sqrt(float((n * (a - c) ** 2).sum() / n.sum()))"), "root_mean_square_gap"),
    "too modest only": (_error("return (n * (a - c).clamp(min=0)).sum() / n.sum()"), ""),
    "three digits": (_error("return round(float((n * (a - c).abs()).sum() / n.sum()), 3)"), "error_rounded"),
    "a constant error": (_error("return 0.1"), ""),
    "log loss": (_error("return -probs.gather(1, target[:, None]).log().mean()"), ""),
    "exactly inverse": (_fit("return 1 / best"), "inverse_temperature"),
    "squared": (_fit("return best**2"), ""),
    "two percent off": (_fit("return 1.02 * best"), ""),
    "two percent short": (_fit("return 0.98 * best"), ""),
    "softmax first": (_fit("return best", "F.cross_entropy((z / t).softmax(1), y)"), "runs_to_the_smallest"),
    "log-probabilities taken for granted": (_fit("return best", "F.nll_loss(z / t, y)"), "runs_to_the_smallest"),
    "softmax of columns": (_fit("return best", "F.nll_loss((z / t).log_softmax(0), y)"), "softmax_over_the_batch"),
    "uphill": (_fit("return best", "-F.cross_entropy(z / t, y)"), "runs_the_wrong_way"),
    "halves the wrong way": (
        _fit(
            "low, high = 0.05, 20\n"
            "    for _ in range(40):\n"
            "        t = (low + high) / 2\n"
            "        more = ((z / t).softmax(1) * z).sum(1).mean() > z[torch.arange(len(y)), y].mean()\n"
            "        low, high = (low, t) if more else (t, high)\n"
            "    return t"
        ),
        "runs_the_wrong_way_from_the_middle",
    ),
    "a parameter": (_fit("return torch.nn.Parameter(torch.tensor(best))"), "temperature_with_a_graph"),
    "a constant temperature": (_fit("return 1.5"), ""),
    "an array": (_fit("return torch.tensor(best).numpy().reshape(1)"), ""),
    "backward through the logits": (
        _fit("(F.cross_entropy(logits / best, target).backward() if logits.requires_grad else 0); return best"),
        "gradient_left_in_the_logits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, source), expected = OUTSIDE[name]
    expect_diagnosis(STEM, exercise, results_of(STEM, exercise, source, seed), expected)


RIGHT = {
    "a stacked tensor": _bins("return torch.stack([s(c) / m, s(h) / m, n])"),
    "a list, integers, NaN for the confidence of nothing": _bins("return [s(c) / n, s(h) / m, n.int()]"),
    "a named tuple": _bins(
        "import collections; return collections.namedtuple('B', 'c a n')(s(c) / m, s(h) / m, n.long())"
    ),
    "float64 for all": _bins("return (s(c) / m).double(), (s(h) / m).double(), n.double()"),
    "an array's number": _error("return (n * (a - c).abs()).sum().numpy() / n.sum().numpy()"),
    "a tensor": _error("return ((n / n.sum()) * (c - a).abs()).sum()"),
    "half a percent off": _fit("return 1.005 * best"),
    "a detached tensor": _fit("return torch.tensor(best)"),
    "a NumPy number": _fit("import numpy; return numpy.float32(best)"),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", [*SEEDS, "another"])
def test_a_right_answer_in_an_odd_style_loses_nothing(name: str, seed: str) -> None:
    assert lost(results_of(STEM, *RIGHT[name], seed)) == []


@pytest.mark.parametrize("block", range(4))
def test_the_reference_passes_on_many_seeds(block: int) -> None:
    for seed in range(10):
        assert lost_by_reference(STEM, f"{block}-{seed}") == []


@linux
def test_the_error_does_not_pay_for_the_bins(sandbox: Sandbox) -> None:
    """A wrong `reliability_bins` costs its own points: a right one stands in for it under a right error."""
    notebook = solution_but(STEM, {"reliability_bins": lambda s: s.replace(".clamp(max=n_bins - 1)", " % n_bins")})
    report = grade(notebook, "wrong bins", COURSE, sandbox, "units")
    bins, error, fit = report.exercises
    assert bins.points < bins.max_points
    assert bins.diagnosis is not None
    assert bins.diagnosis.mistake == "one_wraps_to_the_first_bin"
    assert (error.points, error.stand_ins) == (error.max_points, ["reliability_bins"])
    assert fit.points == fit.max_points


# -- pictures ------------------------------------------------------------------------------------------------------------


def test_diagrams_have_a_panel_a_name_and_mind_empty_bins() -> None:
    _, probs, target = predictions(1)
    bins = REFERENCE.reliability_bins(probs, target)
    one = REFERENCE.reliability_bins(probs[:1], target[:1])
    figure = plots.reliability_diagrams({"many": bins, "one": one}, {"many": 0.1234, "one": 0.5})
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 4
    assert figure.axes[0].get_title() == "many\nECE 0.123"
    assert plots.png(figure).startswith(b"\x89PNG")


def test_the_temperature_explorer_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import ipywidgets

    shown: list[Any] = []
    updates: list[object] = []
    picture = SimpleNamespace(update=updates.append)

    def display(thing: object, display_id: bool = False) -> Any:
        shown.append(thing)
        return picture if display_id else None

    titles: list[str] = []
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(widgets.plots, "png", lambda figure: titles.append(figure.get_suptitle()) or b"")
    logits, _, target = predictions(2)
    networks = {"first": (logits, target), "second": (logits / 2, target)}
    widgets.temperature_explorer(networks, REFERENCE.reliability_bins, REFERENCE.expected_calibration_error)
    assert isinstance(shown[0], ipywidgets.HBox)
    slider, choice = shown[0].children
    slider.value = 2.0
    choice.value = "second"
    assert len(updates) == 2
    accuracy = f"accuracy {float((logits.argmax(1) == target).double().mean()):.3f}"
    assert all(accuracy in title for title in titles), "no temperature changes an answer"
    assert titles[1].startswith("first, T = 2.00")
    assert titles[2].startswith("second, T = 2.00")
