"""Unit 01: the reference against torch.optim, what the checks' sizes promise, answers outside the bank, its explorer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from reglab import plots, widgets
from reglab.training import History
from torch import nn

from autograder.checks import Status, run_check
from autograder.draw import Draw
from autograder.source import library_calls
from autograder.student import local_student
from tests.test_bank import COURSE, SEEDS, expect_diagnosis, points, reference, results_of

STEM = "01_weight_decay"
UNIT = COURSE.unit(STEM)
CHECKS: dict[str, Any] = UNIT.checks("sgd_step")[0].function.__globals__


@pytest.fixture(scope="module")
def solution() -> SimpleNamespace:
    return reference(STEM)


# -- the reference and the library ---------------------------------------------------------------------------------------


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 5))
    return nn.Sequential(*layers).double()


def ten_steps(model: nn.Module, step: Callable[[int], None]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    for number in range(10):
        x = torch.randn(7, 1, 8, 8, generator=draw, dtype=torch.float64)
        y = torch.randint(0, 5, (7,), generator=draw)
        for p in model.parameters():
            p.grad = None
        nn.functional.cross_entropy(model(x), y).backward()
        if number % 3 == 1:
            next(model.parameters()).grad = None  # now and then one has none
        step(number)
    return [p.detach().clone() for p in model.parameters()]


def rate(number: int) -> float:
    return 0.05 / (1 + number)


@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.0, 0.3), (0.9, 0.0), (0.9, 0.3)])
def test_sgd_is_the_librarys(solution: SimpleNamespace, momentum: float, decay: float) -> None:
    """Over ten steps with a schedule, two groups, and gradients that are missing now and then."""
    theirs, ours = small_network(), small_network()
    groups = solution.split_weight_decay(theirs, decay)
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=momentum)

    def their_step(number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate(number)
        optimizer.step()

    own, memories = solution.split_weight_decay(ours, decay), [None, None]

    def our_step(number: int) -> None:
        for k, group in enumerate(own):
            memories[k] = solution.sgd_step(
                iter(group["params"]), rate(number), momentum, group["weight_decay"], memories[k]
            )

    for a, b in zip(ten_steps(theirs, their_step), ten_steps(ours, our_step), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("settings", [{}, {"betas": (0.7, 0.95), "eps": 0.1}])
def test_adamw_is_the_librarys(solution: SimpleNamespace, decay: float, settings: dict[str, Any]) -> None:
    theirs, ours = small_network(), small_network()
    optimizer = torch.optim.AdamW(solution.split_weight_decay(theirs, decay), lr=1.0, **settings)

    def their_step(number: int) -> None:
        for group in optimizer.param_groups:
            group["lr"] = rate(number)
        optimizer.step()

    own = solution.split_weight_decay(ours, decay)
    states: list[dict[Any, Any]] = [{}, {}]

    def our_step(number: int) -> None:
        for group, state in zip(own, states, strict=True):
            solution.adamw_step(
                iter(group["params"]), state, rate(number), weight_decay=group["weight_decay"], **settings
            )

    for a, b in zip(ten_steps(theirs, their_step), ten_steps(ours, our_step), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_adamw_has_the_librarys_defaults(solution: SimpleNamespace) -> None:
    theirs, ours = small_network(), small_network()
    optimizer = torch.optim.AdamW(theirs.parameters())
    state: dict[Any, Any] = {}
    pairs = zip(
        ten_steps(theirs, lambda _: optimizer.step() and None),
        ten_steps(ours, lambda _: solution.adamw_step(ours.parameters(), state)),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_adam_with_the_penalty_is_the_librarys_adam(solution: SimpleNamespace) -> None:
    """As section 8 uses it: without decay, on gradients of loss and penalty together."""
    theirs, ours = small_network(), small_network()
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=0.3)
    state: dict[Any, Any] = {}

    def our_step(_: int) -> None:
        with_gradient = [p for p in ours.parameters() if p.grad is not None]
        solution.l2_penalty(with_gradient, 0.3).backward()
        solution.adamw_step(ours.parameters(), state, 0.01, weight_decay=0.0)

    for a, b in zip(ten_steps(theirs, lambda _: optimizer.step() and None), ten_steps(ours, our_step), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_split_is_taken_by_the_library(solution: SimpleNamespace) -> None:
    model = small_network()
    optimizer = torch.optim.AdamW(solution.split_weight_decay(model, 0.3), lr=0.1)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert [decays[id(p)] for p in model.parameters()] == [0.3, 0.0, 0.0, 0.0, 0.3, 0.0]


# -- the arithmetic of the checks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["_SGD", "_ADAMW"])
def test_the_checks_own_arithmetic_is_the_librarys(name: str) -> None:
    """What the public checks expect is what torch.optim does, gradients that are missing included."""
    draw = Draw("arithmetic", name)
    shapes = CHECKS["SHAPES"]
    values = [draw.signed(*s, dtype=torch.float64) for s in shapes]
    if name == "_SGD":
        rounds = CHECKS["_sgd_rounds"](draw, shapes, 4, 0.8, 0.4)
    else:
        rounds = CHECKS["_adam_rounds"](draw, shapes, 4, 0.7, 0.2)
    group = CHECKS["Group"](values, CHECKS["_sparse"](rounds))
    params = [nn.Parameter(v.clone()) for v in values]
    options = {k: v for k, v in rounds[0].options.items() if k != "lr"}
    kind = torch.optim.SGD if name == "_SGD" else torch.optim.AdamW
    optimizer = kind(params, lr=1.0, **options)
    for r, wanted in zip(group.rounds, CHECKS[name](group), strict=True):
        for p, g in zip(params, r.gradients, strict=True):
            p.grad = None if g is None else g.double()
        optimizer.param_groups[0]["lr"] = r.lr
        optimizer.step()
        for p, w in zip(params, wanted, strict=True):
            torch.testing.assert_close(p.detach(), w, rtol=1e-12, atol=1e-12)


def distance(one: Any, other: Any) -> float:
    """The largest difference of two paths, relative to one more than the values."""
    return max(
        float(((a - b).abs() / (1 + b.abs())).nan_to_num(9.0).max())
        for row, targets in zip(one, other, strict=True)
        for a, b in zip(row, targets, strict=True)
    )


@pytest.mark.parametrize("exercise", ["sgd", "adamw"])
@pytest.mark.parametrize("seed", range(20))
def test_known_paths_are_far_from_the_right_one_and_from_each_other(exercise: str, seed: int) -> None:
    """Where two differ at all they differ by 1e-4 or more: a tolerance of 1e-5 and 2e-5 tells them apart.

    But for an eps of 1e-8 and none, which only gradients as small as that tell apart: the check of the defaults has some.
    """
    draw = Draw(str(seed), exercise)
    shapes, momentum, decay = CHECKS["SHAPES"], draw.uniform(0.6, 0.8), draw.uniform(0.3, 0.5)
    if exercise == "sgd":
        rounds = CHECKS["_sgd_rounds"](draw, shapes, 4, momentum, decay)
        right, wrong = CHECKS["_SGD"], CHECKS["_SGD_WRONG"]
    else:
        rounds = CHECKS["_adam_rounds"](draw, shapes, 4, decay, draw.uniform(0.3, 0.5))
        right, wrong = CHECKS["_ADAMW"], CHECKS["_ADAMW_WRONG"]
    group = CHECKS["Group"]([draw.signed(*s) for s in shapes], rounds)
    paths = {"right": right(group), **{name: f(group) for name, f in wrong.items()}}
    for (a, one), (b, other) in combinations(paths.items(), 2):
        apart = distance(one, other)
        assert apart < 1e-9 or apart > 1e-4 or {a, b} == {"no_eps", "eps_default"}, (a, b, apart)


def test_right_answers_in_float32_are_ten_times_nearer_than_they_must_be(solution: SimpleNamespace) -> None:
    for seed in range(50):
        draw = Draw(str(seed), "float32")
        for exercise, right in (("sgd_step", "_SGD"), ("adamw_step", "_ADAMW")):
            takes_state = exercise == "adamw_step"
            make = CHECKS["_adam_rounds"] if takes_state else CHECKS["_sgd_rounds"]
            settings = (0.9, 1e-8) if takes_state else (0.9, 0.9)
            rounds = make(draw, CHECKS["SHAPES"], 4, *settings)
            group = CHECKS["Group"]([draw.signed(*s) for s in CHECKS["SHAPES"]], rounds)
            student = local_student(vars(solution))
            (path,), facts = CHECKS["_run"](student, getattr(student, exercise), takes_state, [group])
            assert facts == ({"returned:none"} if takes_state else set())
            assert distance(path, CHECKS[right](group)) < 1e-6


@pytest.mark.parametrize("exercise", [e.name for e in UNIT.exercises])
def test_the_reference_passes_on_many_seeds(exercise: str, solution: SimpleNamespace) -> None:
    student = local_student(dict(vars(solution)))
    for seed in range(60):
        for check in UNIT.checks(exercise):
            outcome = run_check(check, student, f"many {seed}", solution)
            assert outcome.status is Status.PASSED, (seed, outcome)


# -- what an answer earns ------------------------------------------------------------------------------------------------


def test_defining_properties_weigh_most() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {"l2_penalty": 8, "sgd_step": 18, "adamw_step": 19, "split_weight_decay": 13}
    for exercise, total in totals.items():
        graded = sum(c.points for c in UNIT.checks(exercise) if c.graded_only)
        assert total / 8 <= graded + 0.5
        assert graded <= total / 4

    def lost(exercise: str, entry: str) -> int:
        return totals[exercise] - points(UNIT, exercise, entry)

    assert lost("l2_penalty", "penalty_without_the_half") >= 4
    assert lost("l2_penalty", "detached_penalty") >= 2
    assert lost("sgd_step", "sgd_decay_past_the_momentum") >= 5
    assert lost("sgd_step", "sgd_momentum_as_an_average") >= 8
    assert lost("adamw_step", "adamw_l2_in_the_gradient") >= 8
    assert lost("adamw_step", "adamw_without_correction") >= 10
    assert lost("split_weight_decay", "split_inverted") >= 8
    assert lost("split_weight_decay", "split_norms_decay") >= 6


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def sgd_step(params, lr, **k):\n    torch.optim.SGD(params, lr).step()\n", ["SGD"]),
        ("from torch.optim import SGD as S\ndef sgd_step(params, lr, **k):\n    S(params, lr).step()\n", ["SGD"]),
        ("from torch.optim.sgd import sgd\ndef sgd_step(params, lr, **k):\n    sgd(params)\n", ["sgd"]),
        ("def sgd(p):\n    return p\ndef sgd_step(params, lr, **k):\n    sgd(params)\n", []),
    ],
)
def test_the_librarys_optimizers_are_noticed_in_the_source(source: str, names: list[str]) -> None:
    forbids = next(e for e in UNIT.exercises if e.name == "sgd_step").forbids
    assert [use.name for use in library_calls(source, forbids, "sgd_step")] == names


# -- answers outside the bank --------------------------------------------------------------------------------------------

_SGD_SOURCE = """
def sgd_step(params, lr, momentum=0.0, weight_decay=0.0, buffers=None):
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p
            if momentum:
                buffers[p] = d = momentum * buffers.get(p, 0) + d
            p -= lr * d
    return buffers
"""

_ADAMW_SOURCE = """
def adamw_step(params, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            g = p.grad
            m, v, t = state.get(p, (0 * g, 0 * g, 0))
            t += 1
            m = betas[0] * m + (1 - betas[0]) * g
            v = betas[1] * v + (1 - betas[1]) * g * g
            state[p] = m, v, t
            u = m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t)).sqrt() + eps)
            p *= 1 - lr * weight_decay
            p -= lr * u
"""

_SPLIT_SOURCE = """
def split_weight_decay(model, weight_decay):
    yes, no = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (yes if p.dim() > 1 else no).append(p)
    return [{"params": yes, "weight_decay": weight_decay}, {"params": no, "weight_decay": 0.0}]
"""

SOURCES = {"sgd_step": _SGD_SOURCE, "adamw_step": _ADAMW_SOURCE, "split_weight_decay": _SPLIT_SOURCE}


def _penalty(body: str) -> tuple[str, str]:
    return "l2_penalty", f"def l2_penalty(params, weight_decay):\n    return {body}\n"


def _changed(exercise: str, old: str, new: str) -> tuple[str, str]:
    assert SOURCES[exercise].count(old) == 1, old
    return exercise, SOURCES[exercise].replace(old, new)


OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "right, penalty": (_penalty("weight_decay * torch.stack([(p * p / 2).sum() for p in params]).sum()"), "right"),
    "right, sgd": (("sgd_step", _SGD_SOURCE), "right"),
    "right, adamw": (("adamw_step", _ADAMW_SOURCE), "right"),
    "right, split": (("split_weight_decay", _SPLIT_SOURCE), "right"),
    "right, a list of floats": (_changed("split_weight_decay", "weight_decay}, {", "float(weight_decay)}, {"), "right"),
    "right, decay taken from the old weights": (
        _changed("adamw_step", "p *= 1 - lr * weight_decay\n            p -= lr * u", "p.sub_(lr * (u + weight_decay * p))"),
        "right",
    ),
    "right, momentum written out": (
        _changed("sgd_step", "buffers[p] = d = momentum * buffers.get(p, 0) + d",
                 "past = buffers.setdefault(p, [])\n                past.append(d)\n"
                 "                d = sum(momentum ** (len(past) - 1 - i) * x for i, x in enumerate(past))"),
        "right",
    ),
    "right, nn.functional.normalize undone": (_penalty("weight_decay * sum(p.pow(2).sum() for p in params) / 2.0"), "right"),
    "no half": (_penalty("weight_decay * sum((p ** 2).sum() for p in params)"), "penalty_without_the_half"),
    "a third": (_penalty("weight_decay * sum((p ** 2).sum() for p in params) / 3"), ""),
    "cubes": (_penalty("0.5 * weight_decay * sum((p.abs() ** 3).sum() for p in params)"), ""),
    "norms": (_penalty("weight_decay * sum(torch.linalg.vector_norm(p) for p in params)"), "norms_not_squared"),
    "means": (_penalty("0.5 * weight_decay * sum((p * p).mean() for p in params)"), "mean_for_sum"),
    "numpy": (_penalty("0.5 * weight_decay * sum((p.detach().numpy() ** 2).sum() for p in params)"), "penalty_as_a_number"),
    "detached": (_penalty("(0.5 * weight_decay * sum((p * p).sum() for p in params)).detach()"), "detached_penalty"),
    "L1": (_penalty("weight_decay * sum(torch.linalg.vector_norm(p, 1) for p in params)"), "absolute_values"),
    "adds up": (_changed("sgd_step", "p -= lr * d", "p += lr * d"), "sgd_climbs"),
    "ema": (_changed("sgd_step", "buffers.get(p, 0) + d", "buffers.get(p, 0) + (1 - momentum) * d"),
            "sgd_momentum_as_an_average"),
    "nesterov": (_changed("sgd_step", "p -= lr * d",
                          "p -= lr * (p.grad + weight_decay * p + momentum * d if momentum else d)"), "sgd_with_nesterov"),
    "decoupled": (_changed("sgd_step", "p.grad + weight_decay * p", "p.grad.clone(); p *= 1 - lr * weight_decay"),
                  "sgd_decay_past_the_momentum"),
    "first one twice": (_changed("sgd_step", "buffers.get(p, 0)", "buffers.get(p, d)"), "sgd_first_gradient_twice"),
    "first gradient twice": (_changed("sgd_step", "buffers.get(p, 0)", "buffers.get(p, p.grad)"),
                             "sgd_starts_with_the_gradient"),
    "zeros for None": (
        _changed("sgd_step", "if p.grad is None:\n                continue\n            d = p.grad",
                 "g = torch.zeros_like(p) if p.grad is None else p.grad\n            d = g"),
        "sgd_missing_gradient_as_zeros",
    ),
    "a list of buffers": (
        ("sgd_step", _SGD_SOURCE.replace("buffers = {} if", "buffers = [] if").replace("for p in", "for i, p in enumerate(")
         .replace("params:", "params):").replace("buffers[p] = d = momentum * buffers.get(p, 0) + d",
                                                 "if len(buffers) <= i:\n                    buffers.append(d)\n"
                                                 "                else:\n"
                                                 "                    buffers[i] = d = momentum * buffers[i] + d")),
        "sgd_buffers_appended",
    ),
    "momentum squared": (_changed("sgd_step", "momentum * buffers", "momentum ** 2 * buffers"), ""),
    "first is skipped": (_changed("sgd_step", "for p in params:", "for p in list(params)[1:]:"), ""),
    "half a step": (_changed("sgd_step", "p -= lr * d", "p -= 0.5 * lr * d"), ""),
    "no no_grad": (_changed("sgd_step", "torch.no_grad()", "torch.enable_grad()"), "sgd_outside_of_no_grad"),
    "detached copies": (_changed("sgd_step", "for p in params:", "for p in [q.clone() for q in params]:"), "sgd_names_rebound"),
    "L2": (_changed("adamw_step", "g = p.grad", "g = p.grad + weight_decay * p; weight_decay_ = 0"), "adamw_decay_twice"),
    "L2 alone": (("adamw_step", _ADAMW_SOURCE.replace("g = p.grad\n", "g = p.grad + weight_decay * p\n")
                  .replace("p *= 1 - lr * weight_decay", "pass")), "adamw_l2_in_the_gradient"),
    "no lr in the decay": (_changed("adamw_step", "1 - lr * weight_decay", "1 - weight_decay"), "adamw_decay_without_lr"),
    "eps inside": (_changed("adamw_step", "((v / (1 - betas[1] ** t)).sqrt() + eps)",
                            "(v / (1 - betas[1] ** t) + eps) ** 0.5"), "adamw_eps_inside_the_root"),
    "eps twice": (_changed("adamw_step", ".sqrt() + eps)", ".sqrt() + 2 * eps)"), ""),
    "no correction": (_changed("adamw_step", "m / (1 - betas[0] ** t) / ((v / (1 - betas[1] ** t))", "m / ((v)"),
                      "adamw_without_correction"),
    "1 - beta2 missing": (_changed("adamw_step", "(1 - betas[1]) * g * g", "g ** 2"), "adamw_sum_for_second_average"),
    "zeros for None, Adam": (
        _changed("adamw_step", "if p.grad is None:\n                continue\n            g = p.grad",
                 "g = p.grad if p.grad is not None else torch.zeros_like(p)"),
        "adamw_missing_gradient_as_zeros",
    ),
    "cube root": (_changed("adamw_step", ".sqrt()", " ** (1 / 3)"), ""),
    "sign": (_changed("adamw_step", "p -= lr * u", "p -= lr * u.sign()"), ""),
    "exchanged": (_changed("split_weight_decay", "yes if p.dim() > 1 else no", "no if p.dim() > 1 else yes"),
                  "split_inverted"),
    "bias in the name": (_changed("split_weight_decay", "yes if p.dim() > 1 else no", "no if 'bias' in name else yes"),
                         "split_by_bias_in_the_name"),
    "an iterator": (_changed("split_weight_decay", '"params": yes', '"params": iter(yes)'), "split_into_generators"),
    "two dimensions": (_changed("split_weight_decay", "p.dim() > 1", "p.dim() == 2"), "split_spares_convolutions"),
    "a head without decay": (_changed("split_weight_decay", "p.dim() > 1", "p.dim() > 1 and not name.startswith('8')"), ""),
    "a string": (_changed("split_weight_decay", '"weight_decay": 0.0', '"weight_decay": "0"'), ""),
    "decay doubled": (_changed("split_weight_decay", "weight_decay}, {", "2 * weight_decay}, {"), ""),
}  # fmt: skip
"""What it is called: (exercise, source), and the mistake that should be named: "" is none, "right" earns all points."""


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, source), expected = OUTSIDE[name]
    results = results_of(STEM, exercise, source, seed)
    if expected == "right":
        assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []
        return
    expect_diagnosis(STEM, exercise, results, expected)


@pytest.mark.parametrize("exercise", ["sgd_step", "adamw_step"])
def test_a_step_that_asks_the_library_earns_nothing(exercise: str) -> None:
    """Also where its source does not show it: the step itself is noticed when it is taken."""
    kind = "SGD" if exercise == "sgd_step" else "AdamW"
    source = (
        f"def {exercise}(params, state=None, lr=1e-3, momentum=0.0, weight_decay=0.0, buffers=None, **k):\n"
        f"    lr = state if isinstance(state, float) else lr\n"
        f"    vars(torch.optim)['{kind}'](list(params), lr=lr, weight_decay=weight_decay).step()\n"
    )
    namespace = dict(vars(reference(STEM)))
    exec(source, namespace)
    for check in UNIT.checks(exercise):
        outcome = run_check(check, local_student(namespace), "library", reference(STEM))
        assert outcome.status is not Status.PASSED
        if not check.graded_only and outcome.status is Status.FAILED:
            assert outcome.code == "library:optimizer"


def test_each_call_in_a_fixture_leaves_no_hook_behind(solution: SimpleNamespace) -> None:
    from torch.optim.optimizer import _global_optimizer_pre_hooks

    before = len(_global_optimizer_pre_hooks)

    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no")

    for check in UNIT.checks("sgd_step"):
        run_check(check, local_student({**vars(solution), "sgd_step": fails}), "hooks", solution)
    assert len(_global_optimizer_pre_hooks) == before


# -- reglab --------------------------------------------------------------------------------------------------------------


def some_runs() -> dict[float, list[History]]:
    def history(shift: float) -> History:
        return History([1.0, 0.5 + shift], [1.1, 0.9 + 2 * shift], [0.4, 0.6], [0.3, 0.5])

    return {0.0: [history(0.2), history(0.3)], 0.5: [history(0.0), history(0.1)]}


def test_its_figures_have_labelled_axes() -> None:
    spread = plots.spread_lines([1, 2], {"a": [[1.0, 2.0], [2.0, 3.0]], "b": [[0.0, 1.0], [1.0, 1.0]]}, "epoch", "norm")
    for figure in (spread, plots.gap_against(some_runs(), 0.5, "weight decay")):
        for axis in figure.axes:
            assert axis.get_xlabel()
            assert axis.get_ylabel()
        assert plots.png(figure).startswith(b"\x89PNG")


def test_spread_needs_two_seeds() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        plots.spread_lines([1, 2], {"a": [[1.0, 2.0]]}, "epoch", "norm")


def test_the_gap_explorer_shows_a_picture_and_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    shown: list[Any] = []
    updates: list[Any] = []

    def display(thing: Any, display_id: bool = False) -> Any:
        shown.append(thing)
        return SimpleNamespace(update=updates.append) if display_id else None

    monkeypatch.setattr(IPython.display, "display", display)
    widgets.gap_explorer(some_runs(), "weight decay", first=0.5, last=1)
    slider, picture = shown
    assert slider.value == 0.5
    assert "weight decay = 0.5" in picture.alt
    slider.value = 0.0
    assert "weight decay = 0," in updates[-1].alt


def test_the_gap_explorer_does_without_widgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import builtins

    import IPython.display

    shown: list[Any] = []
    plain = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "ipywidgets":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(IPython.display, "display", lambda thing, **_: shown.append(thing))
    monkeypatch.setattr(builtins, "__import__", without)
    widgets.gap_explorer(some_runs(), "weight decay")
    assert "without its slider" in capsys.readouterr().out
    assert len(shown) == 1
