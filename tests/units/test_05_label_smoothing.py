"""Unit 05: the library's loss as an oracle, the inputs of its checks, answers outside its bank, and the library noticed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from reglab import plots, widgets
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import source
from autograder.checks import Status, load_module, run_checks
from autograder.course import Course
from autograder.draw import Draw
from autograder.judge import grade
from autograder.probes import ProbeServer
from autograder.report import ExerciseReport
from autograder.sandbox import Sandbox
from autograder.student import LocalTransport, Student, local_student
from tests.conftest import ROOT, linux
from tests.test_bank import COURSE, SEEDS, expect_diagnosis, outcomes, reference, results_of, seen

STEM = "05_label_smoothing"
UNIT = COURSE.unit(STEM)
CHECKS = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
TARGETS, LOSS = "smooth_labels", "LabelSmoothingCrossEntropy"


# -- the reference -------------------------------------------------------------------------------------------------------


def test_the_example_by_hand() -> None:
    (row,) = reference(STEM).smooth_labels(torch.tensor([2]), 5, 0.1).tolist()
    assert row == pytest.approx([0.02, 0.02, 0.92, 0.02, 0.02])


@pytest.mark.parametrize(("reduction", "alpha"), list(product(("mean", "sum", "none"), (0.0, 0.1, 0.37, 1.0))))
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_the_loss_is_the_librarys(reduction: str, alpha: float, scale: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = (torch.randn(31, 7, generator=generator) * scale).requires_grad_()
    target = torch.randint(7, (31,), generator=generator)
    mine = reference(STEM).LabelSmoothingCrossEntropy(alpha, reduction)(logits, target)
    theirs = F.cross_entropy(logits, target, reduction=reduction, label_smoothing=alpha)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    slopes = [torch.autograd.grad(loss.sum(), logits)[0] for loss in (mine, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("classes", "alpha"), [(5, 0.1), (10, 0.1), (2, 0.3), (1000, 0.05)])
def test_the_gap_that_the_unit_derives_is_where_the_gradient_is_zero(classes: int, alpha: float) -> None:
    logits = torch.zeros(1, classes, dtype=torch.float64)
    logits[0, 0] = math.log(1 + classes * (1 - alpha) / alpha)
    logits.requires_grad_()
    loss = F.cross_entropy(logits, torch.tensor([0]), label_smoothing=alpha)
    (slope,) = torch.autograd.grad(loss, logits)
    assert float(slope.abs().max()) < 1e-12
    q = torch.full((classes,), alpha / classes, dtype=torch.float64)
    q[0] += 1 - alpha
    assert loss.item() == pytest.approx(float(torch.special.entr(q).sum())), "the floor"


@pytest.mark.parametrize(("classes", "alpha"), [(5, 0.1), (2, 0.2), (10, 0.5)])
def test_the_two_conventions_are_one_with_another_alpha(classes: int, alpha: float) -> None:
    wrong = CHECKS["_wrong_targets"]
    target, other = torch.tensor([1, 0]), alpha * (classes - 1) / classes
    by_words = wrong(target, classes, other)["incorrect_only"]
    torch.testing.assert_close(by_words, CHECKS["_targets"](target, classes, alpha))


# -- the inputs of the checks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_no_count_of_labels_passes_for_the_number_of_classes(seed: int) -> None:
    target = CHECKS["_labels"](Draw(str(seed), "x"))
    assert int(target.max()) + 1 == 6
    assert len(target.unique()) < 6
    assert len(target) not in (6, 8, 9)


@pytest.mark.parametrize("seed", range(20))
def test_wrong_results_are_far_from_each_other(seed: int) -> None:
    """No wrong result is within what a right answer may be off by, and each is named by the nearest."""
    for low, high in ((0.06, 0.2), (0.6, 0.8)):
        *_, right, wrong = CHECKS["_telling_batch"](Draw(str(seed), "x"), low, high)
        values = sorted([right, *wrong.values()])
        assert min(b - a for a, b in pairwise(values)) > CHECKS["APART"]
        assert CHECKS["APART"] > 10 * 1e-5 * (1 + abs(right))


@pytest.mark.parametrize("seed", range(20))
def test_huge_logits_forgive_rounding_and_nothing_else(seed: int) -> None:
    """Of the ways to be right the log-sum-exp in float32 is worst: HUGE_SLACK is over twice what it is off by."""
    batches = CHECKS["_huge"](Draw(str(seed), "x"))
    for name, (logits, target) in batches.items():
        assert int(target.max()) == 6, "so that whoever counts labels has the number of classes right here"
        assert not bool((logits.softmax(1).log().isfinite()).all()) or name != "spread"
        for alpha in (0.2, 0.4):
            true = logits.gather(1, target[:, None])[:, 0]
            added = torch.logsumexp(logits, 1) - (1 - alpha) * true - alpha * logits.mean(1)
            right = CHECKS["_mean"](logits, target, alpha)
            assert abs(float(added.mean()) - right) < CHECKS["HUGE_SLACK"] / 2 + 1e-5 * abs(right)
    logits, target = batches["spread"]
    right = CHECKS["_mean"](logits, target, 0.3)
    wrong = CHECKS["_wrong_means"](logits, target, 0.3)
    for name in (
        "unsmoothed",
        "incorrect_only",
        "without_its_share",
        "swapped",
        "undivided",
        "shrunk",
        "label_ignored",
    ):
        assert abs(wrong[name] - right) > 100 * CHECKS["HUGE_SLACK"], name


def test_defining_properties_weigh_most() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {TARGETS: 8, LOSS: 21}
    for name, total in totals.items():
        assert sum(c.points for c in UNIT.checks(name) if c.graded_only) <= total / 8

    def lost(exercise: str, entry: str) -> int:
        return totals[exercise] - sum(o.points for o in outcomes(STEM, exercise, entry, SEEDS[1]))

    for entry in ("spread_over_the_incorrect_classes", "not_smoothed", "true_class_without_its_share"):
        assert lost(TARGETS, entry) >= 5, entry
    for entry in ("IgnoresAlpha", "SpreadsOverTheIncorrectClasses", "SoftmaxTwice", "SoftmaxOverTheBatch"):
        assert lost(LOSS, entry) >= 10, entry
    for entry in ("LogOfSoftmax", "IgnoresReduction", "SumForMean"):
        assert lost(LOSS, entry) >= 3, entry
    assert lost(LOSS, "AcceptsAnyReduction") == 1


@pytest.mark.parametrize("seed", range(8))
def test_right_answers_pass_whatever_the_seed(seed: int) -> None:
    for entry in UNIT.bank:
        if not entry.wrong:
            results = outcomes.__wrapped__(STEM, entry.exercise, entry.name, f"right {seed}")
            assert seen(results) == {}, entry.name


# -- answers outside the bank --------------------------------------------------------------------------------------------

_LOSS = """
class LabelSmoothingCrossEntropy(nn.Module):
    def __init__(self, alpha=0.1, reduction="mean"):
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction={reduction}")
        self.alpha, self.reduction = alpha, reduction

    def forward(self, logits, target):
        q = smooth_labels(target, logits.shape[1], self.alpha)
        loss = -(q * F.log_softmax(logits, dim=1)).sum(dim=1)
        if self.reduction == "mean":
            return loss.mean()
        if self.reduction == "sum":
            return loss.sum()
        return loss
"""


def _targets(body: str) -> tuple[str, str]:
    return TARGETS, f"def smooth_labels(target, num_classes, alpha):\n    {body}\n"


def _loss(old: str, new: str) -> tuple[str, str]:
    assert old in _LOSS
    return LOSS, _LOSS.replace(old, new, 1)


_Y = "F.one_hot(target, num_classes)"

OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "clipped to alpha/(K-1)": (
        _targets(f"return torch.where({_Y} == 1, 1 - alpha, alpha / (num_classes - 1))"), "spread_over_the_incorrect_classes"
    ),
    "one_hot without the number": (_targets("return F.one_hot(target) * (1 - alpha) + alpha / num_classes"),
                                   "classes_from_the_largest_label"),
    "cut off to integers": (_targets(f"return ({_Y} * (1 - alpha) + alpha / num_classes).long()"), "whole_numbers"),
    "bfloat16": (_targets(f"return ({_Y} * (1 - alpha) + alpha / num_classes).bfloat16()"), "half_precision"),
    "one-hot integers": (_targets(f"return {_Y}"), "whole_numbers"),
    "lerp the wrong way": (
        _targets(f"return torch.lerp(torch.full((1, num_classes), 1 / num_classes), {_Y}.float(), float(alpha))"),
        "alpha_and_rest_swapped",
    ),
    "K + 1": (_targets(f"return {_Y} * (1 - alpha) + alpha / (num_classes + 1)"), ""),
    "twice alpha": (_targets(f"return {_Y} * (1 - 2 * alpha) + 2 * alpha / num_classes"), ""),
    "square of alpha": (_targets(f"return {_Y} * (1 - alpha**2) + alpha**2 / num_classes"), ""),
    "plus noise": (_targets(f"return {_Y} * (1 - alpha) + alpha / num_classes + 0.01 * torch.randn(len(target), num_classes)"),
                   ""),
    "an error": (_targets("return target.no_such_method()"), ""),
    "a tuple": (_targets(f"q = {_Y} * (1 - alpha) + alpha / num_classes\n    return q, alpha"), ""),
    "three axes": (_targets(f"return ({_Y} * (1 - alpha) + alpha / num_classes)[None]"), ""),
    "cross_entropy of hard labels": (
        _loss("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)", 'F.cross_entropy(logits, target, reduction="none")'),
        "IgnoresAlpha",
    ),
    "cross_entropy of probabilities": (
        _loss("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)",
              'F.cross_entropy(logits.softmax(1), q, reduction="none")'), "SoftmaxTwice",
    ),
    "softmax without dim": (_loss("F.log_softmax(logits, dim=1)", "F.log_softmax(logits, dim=0)"), "SoftmaxOverTheBatch"),
    "an epsilon of 1e-10": (_loss("F.log_softmax(logits, dim=1)", "(logits.softmax(1) + 1e-10).log()"),
                            "LogOfSoftmaxPlusEpsilon"),
    "clamped probabilities": (_loss("F.log_softmax(logits, dim=1)", "logits.softmax(1).clamp(min=1e-12).log()"),
                              "LogOfSoftmaxPlusEpsilon"),
    "log of softmax in double": (_loss("F.log_softmax(logits, dim=1)", "logits.double().softmax(1).log()"), "LogOfSoftmax"),
    "nan_to_num": (_loss("F.log_softmax(logits, dim=1)", "logits.softmax(1).log().nan_to_num(neginf=-100.0)"),
                   "LogOfSoftmaxPlusEpsilon"),
    "mean over everything": (_loss(".sum(dim=1)", ".mean(dim=1)"), "MeanOverTheClassesToo"),
    "batchmean missing": (_loss("loss.mean()", "loss.sum() / logits.numel()"), "MeanOfTheTable"),
    "the minus in the wrong place": (_loss("-(q *", "(q *"), "MinusForgotten"),
    "no gradient": (_loss("return loss.mean()", "return loss.detach().mean()"), "Detached"),
    "as a number": (_loss("return loss.mean()", "return float(loss.mean())"), "ReturnsAPythonNumber"),
    "alpha twice": (_loss("self.alpha)", "2 * self.alpha)"), ""),
    "reductions exchanged": (
        (LOSS, _LOSS.replace('== "mean"', '== "m"').replace('== "sum"', '== "mean"').replace('== "m"', '== "sum"')),
        "MeanAndSumExchanged",
    ),
    "exclusive at both ends": (_loss("0 <= alpha <= 1", "0 < alpha < 1"), "RefusesNoSmoothing"),
    "a type error": (_loss("raise ValueError(f\"alpha", "raise TypeError(f\"alpha"), ""),
    "alpha of another default": (_loss("alpha=0.1", "alpha=0.3"), "AnotherDefaultAlpha"),
    "logsumexp not kept": (_loss("F.log_softmax(logits, dim=1)", "(logits - logits.logsumexp(1))"), "RowsSumNotKept"),
    "sum not kept": (_loss("F.log_softmax(logits, dim=1)", "(logits.exp() / logits.exp().sum(1)).log()"), "RowsSumNotKept"),
    "largest not kept": (
        _loss("F.log_softmax(logits, dim=1)", "F.log_softmax(logits - logits.max(dim=1).values, dim=1)"), "RowsLargestNotKept"
    ),
    "classes from the labels": (_loss("logits.shape[1]", "target.max().item() + 1"), "ClassesFromTheLabels"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, text), expected = OUTSIDE[name]
    results = results_of(STEM, exercise, text, seed)
    assert all(o.status is not Status.BROKEN for o in results)
    expect_diagnosis(STEM, exercise, results, expected)


ALSO_RIGHT = {
    "refused on first use": (
        LOSS,
        _LOSS.replace("            raise", "            pass  # raise").replace(
            "        q =", "        if not 0 <= self.alpha <= 1 or self.reduction not in ('mean', 'sum', 'none'):\n"
            "            raise ValueError('no')\n        q =",
        ),
    ),
    "a subclass of ValueError": (LOSS, "class Bad(ValueError): pass\n" + _LOSS.replace("ValueError(f", "Bad(f")),
    "alpha as a tensor": (LOSS, _LOSS.replace("self.reduction = alpha,", "self.reduction = torch.tensor(float(alpha)),")),
    "log_softmax in double": (LOSS, _LOSS.replace("F.log_softmax(logits, dim=1)", "logits.double().log_softmax(-1)")),
    "cross_entropy does it": (
        LOSS,
        _LOSS.replace("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)", "nn.CrossEntropyLoss(reduction='none')(logits, q)"),
    ),
    "einsum": (LOSS, _LOSS.replace("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)",
                                   "-torch.einsum('nk,nk->n', q, F.log_softmax(logits, 1))")),
    "a diagonal": (LOSS, _LOSS.replace("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)",
                                       "-(q @ F.log_softmax(logits, dim=1).T).diagonal()")),
    "targets one by one": _targets("return torch.stack([torch.full((num_classes,), alpha / num_classes)"
                                   ".index_fill(0, t, 1 - alpha + alpha / num_classes) for t in target])"),
    "targets from a list": _targets("return torch.tensor([[alpha / num_classes + (1 - alpha) * (k == t)"
                                    " for k in range(num_classes)] for t in target.tolist()], dtype=torch.float64)"),
    "targets by scatter": _targets("return torch.zeros(len(target), num_classes).scatter(1, target[:, None], 1 - alpha)"
                                   " + alpha / num_classes"),
    "targets by softmax": _targets("z = (F.one_hot(target, num_classes) * 1e9).float()\n"
                                   "    return z.softmax(1) * (1 - alpha) + alpha / num_classes"),
    "targets as an expanded sum": _targets("y = torch.eye(num_classes).index_select(0, target)\n"
                                           "    return torch.add(y - alpha * y, alpha / num_classes)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALSO_RIGHT)
@pytest.mark.parametrize("seed", [*SEEDS, "a third", "a fourth"])
def test_other_right_answers_lose_nothing(name: str, seed: str) -> None:
    exercise, text = ALSO_RIGHT[name]
    namespace = dict(vars(reference(STEM)))
    exec(compile(text, f"<{exercise}>", "exec"), namespace)
    results = run_checks(UNIT.checks(exercise), local_student(namespace), seed, reference(STEM))
    assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []


# -- the library's version is noticed --------------------------------------------------------------------------------------

FORBIDDEN = UNIT.exercise(LOSS).forbids


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("F.cross_entropy(z, t, label_smoothing=0.1)", ["label_smoothing="]),
        ("F.cross_entropy(z, t, label_smoothing=self.alpha)", ["label_smoothing="]),
        ("torch.nn.functional.cross_entropy(z, t, label_smoothing=a)", ["label_smoothing="]),
        ("nn.CrossEntropyLoss(label_smoothing=0.1)(z, t)", ["label_smoothing="]),
        ("from torch.nn import CrossEntropyLoss as C\nC(label_smoothing=a)", ["label_smoothing="]),
        ("getattr(F, 'cross_entropy')(z, t, label_smoothing=a)", ["label_smoothing="]),
        ("torch._C._nn.cross_entropy_loss(z, t, None, 1, -100, 0.1)", ["cross_entropy_loss"]),
        ("F.cross_entropy(z, q)", []),
        ("F.cross_entropy(z, q, label_smoothing=0.0)", []),
        ("F.cross_entropy(z, q, label_smoothing=0)", []),
        ("nn.CrossEntropyLoss(reduction='none')(z, q)", []),
        ("smooth(z, label_smoothing=0.1)", []),
        ("def cross_entropy(z, t, label_smoothing): return z\ncross_entropy(z, t, label_smoothing=0.1)", []),
        ("self.criterion(z, t, label_smoothing=0.1)", []),
        ("# F.cross_entropy(z, t, label_smoothing=0.1)", []),
    ],
)
def test_the_argument_is_seen_in_the_source(code: str, expected: list[str]) -> None:
    context = ["import torch\nfrom torch import nn\nfrom torch.nn import functional as F"]
    assert [use.name for use in source.library_calls(code, FORBIDDEN, context=context)] == expected


def test_an_argument_is_forbidden_by_its_own_name_only() -> None:
    code = "import torch\ntorch.sum(x, dim=0, keepdim=True)\ntorch.sum(x, dim=0, keepdim=False)\ntorch.sum(x, keepdim=None)"
    assert [(u.name, u.line) for u in source.library_calls(code, ("keepdim=",))] == [("keepdim=", 2)]
    assert source.library_calls(code, ("keepdim", "dim=")) == [], "a function of that name, and an argument that is 0"


RUNS: dict[str, tuple[Callable[[Tensor, Tensor], Any], list[str]]] = {
    "by name": (lambda z, t: F.cross_entropy(z, t, label_smoothing=0.1), ["label_smoothing="]),
    "by position": (lambda z, t: F.cross_entropy(z, t, None, None, -100, None, "mean", 0.1), ["label_smoothing="]),
    "module": (lambda z, t: nn.CrossEntropyLoss(label_smoothing=0.1)(z, t), ["label_smoothing="]),
    "module by position": (
        lambda z, t: nn.CrossEntropyLoss(None, None, -100, None, "mean", 0.1)(z, t),
        ["label_smoothing="],
    ),
    "by two stars": (lambda z, t: F.cross_entropy(z, t, **{"label_" + "smoothing": 0.1}), ["label_smoothing="]),
    "a float of another type": (
        lambda z, t: F.cross_entropy(z, t, label_smoothing=type("F", (float,), {"__eq__": lambda *_: True})(0.1)),
        ["label_smoothing="],
    ),
    "what it calls": (lambda z, t: torch._C._nn.cross_entropy_loss(z, t, None, 1, -100, 0.1), ["cross_entropy_loss"]),
    "the operator": (lambda z, t: torch.ops.aten.cross_entropy_loss(z, t, None, 1, -100, 0.1), ["cross_entropy_loss"]),
    "zero": (lambda z, t: F.cross_entropy(z, t, label_smoothing=0.0), []),
    "none at all": (lambda z, t: F.cross_entropy(z, t), []),
    "own targets": (lambda z, t: F.cross_entropy(z, F.one_hot(t, 5) * 0.9 + 0.02), []),
    "module without": (lambda z, t: nn.CrossEntropyLoss(reduction="sum")(z, t), []),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("gradient", [False, True])
def test_the_argument_is_seen_when_it_runs(name: str, gradient: bool) -> None:
    function, expected = RUNS[name]
    student = Student(LocalTransport(ProbeServer({"function": function})), watch=FORBIDDEN)
    student.function(torch.randn(4, 5, requires_grad=gradient), torch.tensor([0, 1, 2, 4]))
    assert sorted(student.library) == expected


def submitted(course: Course, **answers: str) -> bytes:
    """Return the released notebook with these cells filled in."""
    notebook = json.loads(course.unit(STEM).release_path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        about = cell["metadata"].get("autograder", {})
        if about.get("role") == "exercise" and about.get("name") in answers:
            cell["source"] = answers[about["name"]]
    return json.dumps(notebook).encode()


def graded(course: Course, sandbox: Sandbox, **answers: str) -> dict[str, ExerciseReport]:
    report = grade(submitted(course, **answers), "ada", course, sandbox, "a secret of this test")
    return {e.name: e for e in report.exercises}


OWN_TARGETS = """
def smooth_labels(target, num_classes, alpha):
    return F.one_hot(target, num_classes) * (1 - alpha) + alpha / num_classes
""".strip()


@linux
@pytest.mark.parametrize(
    ("old", "new", "library"),
    [
        ("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)", "F.cross_entropy(logits, q, reduction='none')", []),
        ("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)",
         "F.cross_entropy(logits, target, reduction='none', label_smoothing=self.alpha)", ["label_smoothing= (line 12)"]),
        ("-(q * F.log_softmax(logits, dim=1)).sum(dim=1)",
         "F.cross_entropy(logits, target, reduction='none', **{'label_smoothing': self.alpha})", ["label_smoothing="]),
    ],
)  # fmt: skip
def test_the_judge_takes_own_targets_and_not_the_librarys(
    old: str, new: str, library: list[str], course: Course, sandbox: Sandbox
) -> None:
    answers = {TARGETS: OWN_TARGETS, LOSS: _loss(old, new)[1].strip()}
    report = graded(course, sandbox, **answers)
    assert report[TARGETS].points == report[TARGETS].max_points
    loss = report[LOSS]
    assert loss.library == library
    assert loss.points == (0 if library else loss.max_points), [c for c in loss.checks if not c.points]


@linux
def test_the_loss_is_not_marked_down_for_wrong_targets(course: Course, sandbox: Sandbox) -> None:
    """Right targets stand in where the learner's own fail, for whoever builds on them."""
    wrong = OWN_TARGETS.replace("alpha / num_classes", "alpha / (num_classes - 1)")
    report = graded(course, sandbox, **{TARGETS: wrong, LOSS: _LOSS.strip()})
    assert report[TARGETS].points < report[TARGETS].max_points
    assert report[LOSS].points == report[LOSS].max_points, [c for c in report[LOSS].checks if not c.points]
    assert report[LOSS].stand_ins == [TARGETS]


# -- pictures ------------------------------------------------------------------------------------------------------------


def test_pictures_have_labelled_axes_and_a_common_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    values = {name: torch.randn(50, generator=generator) * k for k, name in enumerate(("a", "b"), start=1)}
    histograms = plots.overlaid_histograms({"one": values, "two": values}, "x (unit)", {"here": 0.5}, bins=7)
    points = {name: torch.randn(9, 2, generator=generator) for name in ("a", "b", "c")}
    scattered = plots.clusters(dict.fromkeys(("p", "q", "r"), points), 2, "first", "second")
    for figure, used in ((histograms, 2), (scattered, 3)):
        for axis in figure.axes[:used]:
            assert axis.get_xlabel()
            assert axis.get_ylabel()
            assert axis.get_title()
        assert plots.png(figure).startswith(b"\x89PNG")
    assert len({axis.get_xlim() for axis in histograms.axes}) == 1


def test_the_explorer_redraws_on_every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import ipywidgets

    shown: list[object] = []
    alts: list[str] = []

    class Picture:
        updates = 0

        def update(self, _image: object) -> None:
            Picture.updates += 1

    def display(thing: object, display_id: bool = False) -> Picture | None:
        shown.append(thing)
        return Picture() if display_id else None

    def image(data: bytes, alt: str) -> str:
        alts.append(alt)
        return alt

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(IPython.display, "Image", image)
    mine = reference(STEM)
    widgets.smoothing_explorer(
        lambda alpha, classes: mine.smooth_labels(torch.tensor([0]), classes, alpha)[0],
        lambda logits, alpha: mine.LabelSmoothingCrossEntropy(alpha, "none")(logits, torch.zeros(len(logits)).long()),
    )
    controls = shown[0]
    assert isinstance(controls, ipywidgets.HBox)
    alpha, classes = controls.children
    classes.value = 10
    alpha.value = 0.0
    assert Picture.updates == 2
    assert "0.920 for the true one" in alts[0]
    assert "at a gap of 3.83" in alts[0]
    assert "at a gap of 4.51" in alts[1]
    assert "falling throughout" in alts[2]
