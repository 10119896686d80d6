"""Unit 02: the library as oracle, the arithmetic of its samples, answers outside the bank, and what its text promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import jupytext
import pytest
import torch
from reglab import widgets
from torch import nn

from autograder.build import FINGERPRINT_SEED
from autograder.checks import Status, fingerprint, load_module, run_checks
from autograder.course import Course
from autograder.draw import PUBLIC_SEED, Draw
from autograder.expect import Failure
from autograder.judge import grade
from autograder.layers import wrong_rates
from autograder.mistakes import KnownMistake, diagnose
from autograder.probes import random_state_kept
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
from tests.test_bank import solution_but

COURSE = Course.open(ROOT / "notebooks", ROOT / "solutions")
UNIT = COURSE.unit("02_dropout")
PUBLIC = load_module(ROOT / "notebooks" / "checks" / "02_dropout.py")
GRADED = load_module(ROOT / "solutions" / "checks" / "02_dropout.py")
SEEDS = (PUBLIC_SEED, "a secret")


@cache
def reference() -> SimpleNamespace:
    """The solution, from its source."""
    namespace: dict[str, Any] = {"__name__": "_reference_02_dropout"}
    for cell in jupytext.read(UNIT.source_path).cells:
        if {"setup", "exercise"} & cell.metadata.keys():
            exec(compile(cell.source, "<02_dropout>", "exec"), namespace)
    return SimpleNamespace(**namespace)


def observed(exercise: str, namespace: dict[str, Any], seed: str, public: bool = False) -> dict[str, str]:
    """What the checks of an exercise see that is wrong."""
    checks = [c for c in UNIT.checks(exercise) if not (public and c.graded_only)]
    with random_state_kept():
        results = run_checks(checks, local_student(namespace), seed, reference())
    assert {o.status for o in results} <= {Status.PASSED, Status.FAILED, Status.RAISED}, results
    return fingerprint(results)


@cache
def known(exercise: str, public: bool) -> tuple[KnownMistake, ...]:
    return tuple(
        KnownMistake(
            name=e.name,
            exercise=exercise,
            explanation=e.explanation,
            fingerprint=observed(exercise, {**vars(reference()), exercise: e.implementation}, FINGERPRINT_SEED, public),
        )
        for e in UNIT.bank
        if e.wrong and e.exercise == exercise
    )


# -- the library as oracle -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "library"), [("dropout", nn.functional.dropout), ("Dropout", nn.Dropout)], ids=["function", "layer"]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_librarys_version_passes_every_check(exercise: str, library: Callable[..., Any], seed: str) -> None:
    assert observed(exercise, {**vars(reference()), exercise: library}, seed) == {}


@pytest.mark.parametrize("answer", [reference().dropout, nn.functional.dropout], ids=["reference", "library"])
def test_mean_and_variance_are_those_of_the_formulas(answer: Callable[..., torch.Tensor]) -> None:
    """Over 40 000 masks, against E = x and Var = x² p/(1-p), within six standard errors."""
    p, times = 0.3, 40_000
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    with random_state_kept():
        torch.manual_seed(0)
        y = answer(x.expand(times, 3), p)
    variance = x.square() * p / (1 - p)
    assert bool(((y.mean(0) - x).abs() <= 6 * (variance / times).sqrt()).all())
    # A kept value is x/(1-p), so the fourth central moment is known, and with it the error of a sample variance.
    fourth = x**4 * (p + (p / (1 - p)) ** 4 * (1 - p))
    assert bool(((y.var(0) - variance).abs() <= 6 * ((fourth - variance**2) / times).sqrt()).all())


def test_error_over_all_masks_is_the_penalty() -> None:
    """The boxed formula of section 2, for weights and inputs of both signs."""
    cells = [c.source for c in jupytext.read(UNIT.source_path).cells if "def over_all_masks" in c.source]
    namespace: dict[str, Any] = {"product": __import__("itertools").product}
    exec(cells[0].split("\n\n\nfor ")[0], namespace)
    p, x, w, y = 0.3, [1.5, -2.0, 0.5, 1.0], [0.7, 0.1, -1.2, 2.0], 0.4
    mean, error = namespace["over_all_masks"](p, x, w, y)
    z = sum(a * b for a, b in zip(x, w, strict=True))
    assert mean == pytest.approx(z)
    assert error == pytest.approx((y - z) ** 2 + p / (1 - p) * sum((a * b) ** 2 for a, b in zip(x, w, strict=True)))


# -- the arithmetic of the samples ---------------------------------------------------------------------------------------


def test_numbers_of_coins_suffice() -> None:
    """Every listed mistake is missed with probability below 1e-6, at each test's share of the alarm."""
    examples, values, alarm = PUBLIC["MANY"][0], math.prod(PUBLIC["MANY"][1:]), FALSE_ALARM / 4
    tables = [(examples, values, alarm), (PUBLIC["CALLS"], math.prod(PUBLIC["FEW_VALUES"]), alarm)]
    tables.append((GRADED["CALLS"], GRADED["COINS"], FALSE_ALARM / 3))
    for p in (0.201, 0.25, 0.3, 0.35, 0.399):
        share = p * p + (1 - p) ** 2
        for rows, columns, spent in tables:
            for pairs in (rows // 2 * columns, rows * (columns // 2)):
                assert pairs not in binomial_interval(pairs, share, spent / 3), "one coin for a whole axis"
            _, near = middle_probability(columns, p)
            assert rows not in binomial_interval(rows, near, spent / 3), "a fixed number dropped"
        assert 2 * equal_probability(2 * examples, values, p) < 1e-12, "copied rows or columns"
        for k in PUBLIC["MAPS"]:
            total = math.prod(PUBLIC["MAPS"])
            assert (p**k + (1 - p) ** k) ** (total / k) < 1e-60, "a right answer's zeros the same along an axis"
    for p in (0.131, 0.15, 0.169, 0.601, 0.799):
        count = math.prod(PUBLIC["COUNTED"])
        assert miss_probability(count, p, 1 - p, alarm) < 1e-12, "keep and drop swapped"
        assert miss_probability(count, p, 0.5, alarm) < 1e-12, "always one half"
        if p < 0.5:
            assert miss_probability(count, p, wrong_rates(p)["tenths"], alarm) < 1e-6, "p rounded to tenths"
            assert smallest_bias_caught(count, p, 1e-6, alarm) <= 0.025
            graded = math.prod(GRADED["COUNTED"])
            assert smallest_bias_caught(graded, p, 1e-6, FALSE_ALARM / 3) <= 0.02


def test_samples_of_a_prediction_suffice() -> None:
    examples, samples = PUBLIC["SAMPLED"], PUBLIC["SAMPLES"]
    for p in (0.201, 0.3, 0.399):
        shares = [math.comb(samples, k) * (1 - p) ** k * p ** (samples - k) for k in range(samples + 1)]
        assert max(shares) ** examples < 1e-27, "two calls of a right answer keep equally many everywhere"
        assert (p**samples + (1 - p) ** samples) ** examples < 1e-96, "a right answer looks like one sample repeated"
        for few in (1, 2):  # that a right answer's mean of few samples is a mean of one more or one less
            assert len({k / few for k in range(few + 1)}) == few + 1


def test_means_are_read_for_what_they_are() -> None:
    """The judge finds how many samples kept the unit from their mean alone, and takes no wrong mean for a right one."""
    for seed in range(40):
        network = PUBLIC["Network"](Draw(str(seed), "read"), 12)
        samples = 14 + seed % 5
        kept = torch.randint(0, samples + 1, (12,), generator=torch.Generator().manual_seed(seed))
        share = (kept.double() / samples).unsqueeze(1)
        a, b = network.ends()
        p, q = a.softmax(1), b.softmax(1)
        mean = (1 - share) * p + share * q
        assert bool((network.kept(mean.float(), samples) == kept).all())
        spread = (share * (1 - share)).sqrt() * (p - q).abs()
        for right in (spread, spread * (samples / (samples - 1)) ** 0.5):
            network.has_spread(right.float(), samples)
        wrong = {
            "mean:logits_averaged": ((1 - share) * a + share * b).softmax(1),
            "mean:sum": samples * mean,
            "mean:geometric": ((1 - share) * p.log() + share * q.log()).exp(),
            "mean:softmax_of_mean": mean.softmax(1),
            "samples:fewer": (1 - kept.clamp(max=samples - 1) / (samples - 1)).unsqueeze(1) * p
            + (kept.clamp(max=samples - 1) / (samples - 1)).unsqueeze(1) * q,
        }
        for code, values in wrong.items():
            with pytest.raises(Failure) as failed:
                network.kept(values.float(), samples)
            assert failed.value.code == code, (seed, code)
        with pytest.raises(Failure, match="variance"):
            network.has_spread(spread.square().float(), samples)


# -- answers outside the bank --------------------------------------------------------------------------------------------

_FUNCTION = """
def dropout(x, p=0.5, training=True):
    if not 0 <= p <= 1:
        raise ValueError(f"p={p}")
    if not training or p == 0:
        return x
    if p == 1:
        return torch.zeros_like(x)
    keep = torch.rand(x.shape) >= p
    return x * keep / (1 - p)
"""

_LAYER = """
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.p = p

    def forward(self, x):
        return dropout(x, self.p, self.training)
"""

_MC = """
@torch.no_grad()
def mc_dropout_predict(model, x, n_samples):
    modes = {m: m.training for m in model.modules()}
    for m in modes:
        m.training = not isinstance(m, nn.modules.batchnorm._BatchNorm)
    probs = torch.stack([model(x).softmax(1) for _ in range(n_samples)])
    for m, mode in modes.items():
        m.training = mode
    return probs.mean(0), probs.std(0, correction=0)
"""

_TRAINS = "not isinstance(m, nn.modules.batchnorm._BatchNorm)"
SOURCES = {"dropout": _FUNCTION, "Dropout": _LAYER, "mc_dropout_predict": _MC}

OUTSIDE: dict[str, tuple[str, str, str, str]] = {
    "one mask": ("dropout", "x.shape)", "x.shape[1:] if x.dim() > 1 else x.shape)", "dropout_of_one_mask_for_the_batch"),
    "per channel": (
        "dropout",
        "torch.rand(x.shape)",
        "torch.rand(x.shape[:2] + (1,) * (x.dim() - 2))",
        "dropout_of_whole_channels",
    ),
    "randn": ("dropout", "torch.rand(", "torch.randn(", "dropout_by_normal_numbers"),
    "rounded": ("dropout", ">= p", ">= round(p, 1)", "dropout_with_p_rounded"),
    "square root": ("dropout", ">= p", ">= p**0.5", ""),
    "1.001 - p": ("dropout", "(1 - p)", "(1.001 - p)", ""),
    "minus": ("dropout", "return x * keep", "return -x * keep", ""),
    "data": ("dropout", "return x * keep", "return x.data * keep", "dropout_with_the_gradient_cut"),
    "the square": ("dropout", "return x * keep", "return x * x * keep", ""),
    "double": ("dropout", "x * keep / (1 - p)", "x * (keep.double() / (1 - p))", "dropout_in_float64"),
    "p looked at late": (
        "dropout",
        """    if not 0 <= p <= 1:
        raise ValueError(f"p={p}")
    if not training or p == 0:
        return x
""",
        """    if not training or p == 0:
        return x
    if not 0 <= p <= 1:
        raise ValueError(f"p={p}")
""",
        "dropout_looking_at_p_in_training_only",
    ),
    "numpy coins": (
        "dropout",
        "torch.rand(x.shape) >= p",
        "torch.from_numpy(__import__('numpy').random.random_sample(tuple(x.shape))) >= p",
        "dropout_by_coins_of_numpy",
    ),
    "a generator of one's own": (
        "dropout",
        "torch.rand(x.shape)",
        "torch.rand(x.shape, generator=globals().setdefault('G', torch.Generator()))",
        "dropout_by_coins_of_numpy",
    ),
    "a type error": ("dropout", "raise ValueError", "raise TypeError", ""),
    "mode forgotten": ("Dropout", "self.p, self.training", "self.p", "IgnoresTraining"),
    "p forgotten": ("Dropout", "x, self.p, self.training", "x, training=self.training", "AlwaysOneHalf"),
    "not the mode": ("Dropout", "self.training)", "not self.training)", "DropsInEvaluationOnly"),
    "arguments exchanged": ("Dropout", "self.p, self.training", "self.training, self.p", "HandsOnInTheWrongOrder"),
    "mask as a buffer, float": (
        "Dropout",
        "        return dropout(x, self.p, self.training)",
        """        if not self.training or self.p == 0:
            return x
        if self.p == 1:
            return torch.zeros_like(x)
        self.register_buffer("mask", (torch.rand(x.shape) >= self.p).to(x.dtype) / (1 - self.p))
        return x * self.mask""",
        "KeepsMaskAsBuffer",
    ),
    "detached": ("Dropout", "dropout(x,", "dropout(x.detach(),", "GradientCut"),
    "twice": ("Dropout", "self.training)", "self.training) / (1 - self.p)", ""),
    "another attribute": ("Dropout", "self.p, self.training", "self.rate, self.training", "ReadsWhatWasNeverSet"),
    "logits": ("mc_dropout_predict", "model(x).softmax(1)", "model(x)", "mc_without_softmax"),
    "dimension 0": ("mc_dropout_predict", "softmax(1)", "softmax(0)", "mc_with_softmax_over_the_batch"),
    "sigmoid": ("mc_dropout_predict", "softmax(1)", "sigmoid()", "mc_with_sigmoid"),
    "tanh": ("mc_dropout_predict", "softmax(1)", "tanh()", ""),
    "variance": ("mc_dropout_predict", "std(0, correction=0)", "var(0)", "mc_returning_the_variance"),
    "range from 1": (
        "mc_dropout_predict",
        "range(n_samples)",
        "range(1, max(n_samples, 2))",
        "mc_with_one_sample_less",
    ),
    "the median": ("mc_dropout_predict", "probs.mean(0)", "probs.median(0).values", ""),
    "all train": ("mc_dropout_predict", _TRAINS, "True", "mc_in_training_mode"),
    "none trains": ("mc_dropout_predict", _TRAINS, "False", "mc_in_evaluation_mode"),
    "only nn.Dropout": (
        "mc_dropout_predict",
        _TRAINS,
        "type(m) is nn.Dropout",
        "mc_for_plain_dropout",
    ),
    "drop in the name": ("mc_dropout_predict", _TRAINS, '"drop" in type(m).__name__.lower()', "mc_by_drop_in_the_name"),
    "has p": ("mc_dropout_predict", _TRAINS, 'hasattr(m, "p")', "mc_by_an_attribute"),
    "nn.Dropout or as it was": (
        "mc_dropout_predict",
        _TRAINS,
        "m.training or isinstance(m, nn.Dropout)",
        "mc_for_plain_dropout_in_the_mode_it_finds",
    ),
    "modes of the root": (
        "mc_dropout_predict",
        "m.training = mode\n",
        "m.training = modes[model]\n",
        "mc_putting_one_mode_back",
    ),
    "a dictionary": (
        "mc_dropout_predict",
        "return probs.mean(0), probs.std(0, correction=0)",
        "return {'mean': probs.mean(0)}",
        "",
    ),
}  # fmt: skip


def answer(exercise: str, old: str, new: str) -> dict[str, Any]:
    source = SOURCES[exercise]
    assert old in source
    namespace = dict(vars(reference()))
    exec(compile(source.replace(old, new), f"<{exercise}>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("exercise", SOURCES)
def test_what_the_answers_are_made_of_is_right(exercise: str) -> None:
    for seed in SEEDS:
        assert observed(exercise, answer(exercise, "p", "p"), seed) == {}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    exercise, old, new, expected = OUTSIDE[name]
    namespace = answer(exercise, old, new)
    for public in (False, True):
        found = observed(exercise, namespace, seed, public)
        assert found
        guess = diagnose(found, known(exercise, public))
        assert (guess.name if guess else "") == expected, found


def test_right_answers_in_odd_styles_pass() -> None:
    """What the bank does not hold: coins by uniform_, deep copies, state dictionaries of modes."""
    sources = {
        "dropout": """
def dropout(x, p=0.5, training=True):
    if p < 0. or p > 1.:
        raise ValueError("got " + str(p))
    if training:
        coins = torch.empty_like(x, dtype=torch.float64).uniform_()
        x = x.where(coins > p, x.new_zeros(())).div(1 - p if p != 1 else 1)
    return x
""",
        "Dropout": """
class Dropout(nn.Module):
    def __init__(self, p=0.5):
        nn.Module.__init__(self)
        self.p = torch.as_tensor(p).item()
        if not (self.p >= 0 and self.p <= 1):
            raise ValueError(f"p is {self.p:.3g}")

    def forward(self, *inputs):
        (x,) = inputs
        return [x, dropout(x, training=True, p=self.p)][self.training]
""",
        "mc_dropout_predict": """
import copy

def mc_dropout_predict(model, x, n_samples):
    twin = copy.deepcopy(model).train()
    twin.apply(lambda m: m.eval() if "BatchNorm" in type(m).__name__ else None)
    outputs = torch.empty(0)
    for _ in range(n_samples):
        outputs = torch.cat([outputs, twin(x).detach().softmax(-1)[None]])
    mean = outputs.sum(0) / n_samples
    return mean, ((outputs - mean) ** 2).mean(0) ** 0.5
""",
    }
    for exercise, source in sources.items():
        namespace = dict(vars(reference()))
        exec(source, namespace)
        for seed in (*SEEDS, "x", "y", "z"):
            assert observed(exercise, namespace, seed) == {}, exercise


# -- what the unit promises ----------------------------------------------------------------------------------------------


def test_modes_are_put_back_also_if_the_model_raises() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    model.eval()
    model[0].train()
    with pytest.raises(RuntimeError):
        reference().mc_dropout_predict(model, torch.ones(4, 5), 3)
    assert [m.training for m in model.modules()] == [False, True, False]


FAULTY = {
    "swapped": (">= p", "< p"),
    "no gradient": ("return x * keep", "return x.detach() * keep"),
    "no rescaling": (" * scale", ""),
    "ignores training": ("if not training or p == 0", "if p == 0"),
    "raises": ("keep = ", "keep = undefined or "),
}


@linux
@pytest.mark.parametrize("fault", FAULTY)
def test_a_right_layer_on_a_faulty_function_loses_nothing(fault: str, sandbox: Sandbox) -> None:
    """A right `dropout` stands in for the faulty one, also for the gradient."""
    old, new = FAULTY[fault]
    notebook = solution_but(UNIT.stem, {"dropout": lambda source: source.replace(old, new)})
    report = grade(notebook, "faulty", COURSE, sandbox, "stand-in")
    function, layer, prediction = report.exercises
    assert function.points < function.max_points
    assert layer.points == layer.max_points, [c for c in layer.checks if not c.points]
    assert prediction.points == prediction.max_points


def test_a_layer_that_cuts_the_gradient_itself_is_not_excused() -> None:
    """Neither on a right function nor on one that passes no gradient either."""
    for body in ("dropout(x.detach(), self.p, self.training)", "dropout(x, self.p, self.training).detach()"):
        namespace = answer("Dropout", "dropout(x, self.p, self.training)", body)
        assert observed("Dropout", namespace, "cut") == {"layer_passes_gradients_on": "gradient:none"}
        exec(_FUNCTION.replace("return x * keep", "return x.detach() * keep"), namespace)
        assert observed("Dropout", namespace, "cut") == {"layer_passes_gradients_on": "gradient:none"}
        assert callable(namespace["dropout"]), "the function is the learner's own again"


def test_the_explorer_of_units_redraws_on_every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import ipywidgets

    shown: list[object] = []
    updates: list[object] = []

    class Picture:
        def update(self, image: object) -> None:
            updates.append(image)

    def display(thing: object, display_id: bool = False) -> Picture | None:
        shown.append(thing)
        return Picture() if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    titles: list[str] = []
    monkeypatch.setattr(widgets.plots, "png", lambda figure: titles.append(figure.get_suptitle()) or b"")
    units = torch.tensor([0.0, 3.0, 1.0, 0.0, 2.0, 0.5, 0.0])
    before = torch.get_rng_state()
    readout = nn.Linear(7, 3)
    state = torch.get_rng_state()
    widgets.unit_explorer(units, nn.functional.dropout, readout, ["a", "b", "c"], p=0.0)
    controls = shown[0]
    assert isinstance(controls, ipywidgets.HBox)
    rate, off, button = controls.children
    assert "0 of 4 active units off" in titles[0]
    off.value = 2
    assert "2 of 4 active units off" in titles[-1]
    rate.value = 1.0
    assert "p = 1.00: 4 of 4 active units off" in titles[-1]
    button.click()
    assert len(updates) == 3
    assert off.max == 4
    assert bool((units == torch.tensor([0.0, 3.0, 1.0, 0.0, 2.0, 0.5, 0.0])).all())
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(before, state), "making the linear layer drew numbers; the explorer none"
