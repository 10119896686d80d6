"""Unit 10: the reference against formula and library, the checks' networks against their promises, answers outside the bank."""

from __future__ import annotations

import json
from copy import deepcopy
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from reglab import interactions, plots, widgets
from reglab.data import load
from reglab.training import History, differs
from scipy.stats import ttest_1samp
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from autograder.checks import Status, load_module, run_checks
from autograder.draw import Draw
from autograder.judge import grade
from autograder.sandbox import Sandbox
from autograder.student import local_student
from tests.conftest import ROOT, linux
from tests.test_bank import COURSE, SEEDS, expect_diagnosis, lost, lost_by_reference, reference, results_of

STEM = "10_interactions"
UNIT = COURSE.unit(STEM)
PUBLIC = load_module(ROOT / "notebooks" / "checks" / f"{STEM}.py")
REFERENCE = reference(STEM)

Batches = list[tuple[Tensor, Tensor]]


def batches(*sizes: int, features: int = 3, seed: int = 0) -> Batches:
    coins = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, features, generator=coins) + 0.5, torch.zeros(n, dtype=torch.int64)) for n in sizes]


# -- the reference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("weight", [(1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, -1.0, 2.0)])
def test_the_boxed_ratio_is_exact_and_measured(p: float, weight: tuple[float, ...]) -> None:
    """Over every mask, and by `variance_shift` with 40 000 examples of real coins: good to 3 %, six standard errors or more."""
    x = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 1.0], [0.0, 2.0, 3.0], [2.0, 3.0, 0.0]], dtype=torch.float64)
    w = torch.tensor(weight, dtype=torch.float64)
    still = float((x @ w).var(correction=0))
    formula = 1 + p / (1 - p) * float((w.square() * x.square().mean(0)).sum()) / still
    masks = torch.tensor(list(product([0.0, 1.0], repeat=3)), dtype=torch.float64)
    chance = ((1 - p) ** masks.sum(1) * p ** (3 - masks.sum(1)))[:, None] / len(x)
    y = (masks[:, None, :] * x / (1 - p)) @ w
    mean = float((chance * y).sum())
    assert float((chance * (y - mean) ** 2).sum()) / still == pytest.approx(formula, rel=1e-12)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(p), nn.Linear(3, 1, bias=False), nn.BatchNorm1d(1))
    model[1].weight.data = w.float().unsqueeze(0)
    many = x.float().repeat(10_000, 1)
    (ratio,) = REFERENCE.variance_shift(model, [(part, None) for part in many.split(1000)]).values()
    assert float(ratio) == pytest.approx(formula, rel=0.03)


def test_right_before_batch_norm_the_ratio_is_at_least_one_over_keep() -> None:
    torch.manual_seed(0)
    for p in (0.2, 0.5, 0.8):
        model = nn.Sequential(nn.Dropout(p), nn.BatchNorm1d(2))
        x = torch.randn(40_000, 2) * torch.tensor([1.0, 2.0]) + torch.tensor([0.0, 4.0])
        (ratio,) = REFERENCE.variance_shift(model, [(part, None) for part in x.split(2000)]).values()
        wanted = 1 + p / (1 - p) * (1 + torch.tensor([0.0, 4.0]))
        assert torch.allclose(ratio, wanted, rtol=0.06), (p, ratio, wanted)


def small_network(p: float) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(3, 5), nn.Dropout(p), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4), nn.BatchNorm1d(4, momentum=0.3)
    )


@pytest.mark.parametrize("training", [True, False])
def test_recalibration_is_the_librarys_where_nothing_is_dropped(training: bool) -> None:
    mine, theirs = small_network(0.0).train(training), small_network(0.0).train(training)
    loader = batches(8, 8, 5)
    REFERENCE.recalibrate_batchnorm(mine, loader)
    update_bn(loader, theirs)
    for (name, a), (_, b) in zip(mine.named_buffers(), theirs.named_buffers(), strict=True):
        assert torch.allclose(a, b), name
    assert [m.training for m in mine.modules()] == [m.training for m in theirs.modules()]


def test_the_librarys_version_leaves_dropout_on() -> None:
    """What the text says of `update_bn`, and its remedy."""
    mine, theirs, mended = (small_network(0.6) for _ in range(3))
    loader = batches(64, 64, 40)
    REFERENCE.recalibrate_batchnorm(mine, loader)
    update_bn(loader, theirs)
    mended[1].p = 0.0
    update_bn(loader, mended)
    ratio = theirs[2].running_var / mine[2].running_var
    assert float(ratio.min()) > 1.5
    assert torch.allclose(mended[2].running_var, mine[2].running_var)


def test_after_recalibration_outputs_have_variance_one_again() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3))
    loader = batches(*[500] * 12)
    with torch.no_grad():
        for x, _ in loader * 4:
            model.train()(x)
        x = torch.cat([x for x, _ in loader])
        before = model.eval()(x).var(0)
        REFERENCE.recalibrate_batchnorm(model, loader)
        after = model(x).var(0)
    assert float(before.max()) < 0.55
    assert torch.allclose(after, torch.ones(3), atol=0.02)


# -- what checks promise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["flat", "maps", "nested"])
def test_known_wrong_values_are_far_from_right_ones_and_from_one_another(kind: str) -> None:
    """Right answers pass within 1e-3; a known wrong value that can show on a network is off by more than 5e-3 somewhere."""
    same = {
        # Of vectors there are no positions; without library dropout, or without layers after batch norm, these cannot show.
        "flat": {"positions_averaged", "library_inactive", "library_dropout_on"},
        "maps": set(), "nested": set(),
    }[kind]  # fmt: skip
    for seed in range(12):
        network = PUBLIC["Network"](Draw(str(seed), kind), kind)
        for right, known in (
            (PUBLIC["_right_shifts"](network), PUBLIC["_wrong_shifts"](network)),
            (PUBLIC["_right_statistics"](network), PUBLIC["_wrong_statistics"](network)),
        ):
            for name, value in known.items():
                off = float(((value - right).abs() / (right.abs() + 1e-2)).max())
                assert off > 5e-3 or name in same, (seed, name, off)


def test_the_judges_network_is_the_learners() -> None:
    """The fixture's network in float32 and the judge's in float64 give the reference's ratios alike."""
    student = local_student(dict(vars(REFERENCE)))
    for seed in range(10):
        for kind in ("flat", "maps", "nested"):
            network = PUBLIC["Network"](Draw(str(seed), kind), kind)
            later = PUBLIC["_work"](student.together(), student, "variance_shift", network, [True, False, False])
            got = PUBLIC["_values"](PUBLIC["_answer"](later), network)
            assert torch.allclose(got, PUBLIC["_right_shifts"](network), rtol=1e-4, atol=1e-6)


def test_a_hook_for_all_modules_that_is_left_behind_is_noticed_and_taken_away() -> None:
    code = (
        "def variance_shift(model, loader):\n"
        "    nn.modules.module.register_module_forward_hook(lambda *a: None)\n"
        "    return _right(model, loader)\n"
    )
    before = len(nn.modules.module._global_forward_hooks)
    namespace = {**vars(REFERENCE), "_right": REFERENCE.variance_shift}
    exec(code, namespace)
    outcomes = run_checks(UNIT.checks("variance_shift"), local_student(namespace), "hooks", REFERENCE)
    codes = {o.check.name: o.code for o in outcomes if o.status is not Status.PASSED}
    for key in list(nn.modules.module._global_forward_hooks)[before:]:
        del nn.modules.module._global_forward_hooks[key]  # the graded check's network does not look for them
    assert codes == {"leaves_nothing_behind": "hooks:left"}


def test_points() -> None:
    totals = {e.name: sum(c.points for c in UNIT.checks(e.name)) for e in UNIT.exercises}
    assert totals == {"variance_shift": 26, "recalibrate_batchnorm": 21, "run_ablation": 14}
    for name, total in totals.items():
        assert total / 9 <= sum(c.points for c in UNIT.checks(name) if c.graded_only) <= total / 7


# -- answers outside the bank --------------------------------------------------------------------------------------------

_SHIFT = """
def variance_shift(model, loader):
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    modes = [m.training for m in model.modules()]
    state = deepcopy(model.state_dict())
    found = {}
    for training in (False, True):
        kept = {n: [] for n in norms}
        handles = [m.register_forward_hook(lambda m, i, o, n=n: kept[n].append(INPUT)) for n, m in norms.items()]
        model.train(training)
        with torch.no_grad():
            for x, y in loader:
                model(x)
        for h in handles:
            h.remove()
        found[training] = {n: VARIANCE for n, v in kept.items()}
    model.load_state_dict(state)
    for m, mode in zip(model.modules(), modes):
        m.training = mode
    return {n: RATIO for n, t, e in ((n, found[True][n], found[False][n]) for n in norms)}
"""

_RECALIBRATE = """
def recalibrate_batchnorm(model, loader):
    modes = {m: m.training for m in model.modules()}
    norms = [m for m in modes if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [m.momentum for m in norms]
    model.eval()
    for m in norms:
        m.train()
        m.reset_running_stats()
        m.momentum = None
    with torch.no_grad():
        for x, _ in loader:
            model(x)
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum
    for m, mode in modes.items():
        m.training = mode
"""

_ABLATION = """
def run_ablation(build, configurations, seeds):
    if len(seeds) < 2:
        raise ValueError("too few")
    table = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        table[name] = {m: PAIR for m, v in ((m, [r[m] for r in runs]) for m in runs[0])}
    return table
"""


def _shift(old: str = "", new: str = "", **parts: str) -> tuple[str, str]:
    defaults = {
        "INPUT": "i[0].clone()",
        "VARIANCE": "torch.cat([a.transpose(0, 1).flatten(1) for a in v], 1).var(1)",
        "RATIO": "t / e",
    }
    source = _SHIFT
    for key, value in {**defaults, **parts}.items():
        source = source.replace(key, value)
    assert old in source
    return "variance_shift", source.replace(old, new) if old else source


def _recalibrate(old: str, new: str) -> tuple[str, str]:
    assert old in _RECALIBRATE
    return "recalibrate_batchnorm", _RECALIBRATE.replace(old, new)


def _ablation(pair: str = "(statistics.mean(v), statistics.stdev(v))", old: str = "", new: str = "") -> tuple[str, str]:
    source = _ABLATION.replace("PAIR", pair)
    assert old in source
    return "run_ablation", source.replace(old, new) if old else source


OUTSIDE: dict[str, tuple[tuple[str, str], str]] = {
    "the paper's ratio": (_shift(RATIO="1 / (t / e)"), "ratio_inverted"),
    "the root": (_shift(RATIO="t.sqrt() / e.sqrt()"), "ratio_of_standard_deviations"),
    "a percentage": (_shift(RATIO="100 * t / e"), ""),
    "training first, buffers restored at the end": (
        _shift("for training in (False, True)", "for training in (True, False)"),
        "statistics_of_the_training_pass",
    ),
    "output": (_shift(INPUT="o.clone()"), "outputs_for_inputs"),
    "median": (_shift(VARIANCE="torch.stack([a.transpose(0, 1).flatten(1).var(1) for a in v]).median(0).values"), ""),
    "float": (_shift(RATIO="float((t / e).mean())"), ""),
    "a text": (_shift(RATIO="str(t / e)"), ""),
    "NaN": (_shift(RATIO="(t - t) / (e - e)"), ""),
    "handles kept, so that the second pass is noted twice": (_shift("            h.remove()", "            pass"), ""),
    "state not loaded": (_shift("    model.load_state_dict(state)\n", ""), "running_statistics_left_changed"),
    "modes not put back": (_shift("        m.training = mode", "        pass"), "left_in_training_mode"),
    "2d by name": (_shift("isinstance(m, nn.modules.batchnorm._BatchNorm)", "'2d' in str(m)[:12]"), ""),
    "constant": (_shift(RATIO="torch.full_like(t, 2.0)"), ""),
    "ones": (_shift(RATIO="torch.ones_like(t)"), "both_passes_in_one_mode"),
    "all in training mode": (_recalibrate("    model.eval()\n", "    model.train()\n"), "dropout_left_on"),
    "no reset": (_recalibrate("        m.reset_running_stats()\n", ""), "old_statistics_counted"),
    "momentum kept": (_recalibrate("        m.momentum = None\n", ""), "moving_average_from_the_start"),
    "momentum of one": (_recalibrate("m.momentum = None", "m.momentum = 1.0"), "momentum_of_one"),
    "momentum of a half": (_recalibrate("m.momentum = None", "m.momentum = 0.5"), ""),
    "only the first layer": (_recalibrate("_BatchNorm)]", "_BatchNorm)][:1]"), ""),
    "twice over the loader is the same, but modes are lost": (
        _recalibrate("        m.training = mode", "        m.eval()"),
        "recalibrated_and_left_in_evaluation_mode",
    ),
    "weights forgotten": (_recalibrate("m.reset_running_stats()", "m.reset_parameters()"), "weights_reset_too"),
    "backwards": (_recalibrate("            model(x)", "            model(x.flip(1))"), ""),
    "population": (_ablation("(statistics.fmean(v), statistics.pstdev(v))"), "population_deviation"),
    "three numbers": (_ablation("(statistics.fmean(v), statistics.stdev(v), len(v))"), ""),
    "minus": (_ablation("(-statistics.fmean(v), statistics.stdev(v))"), ""),
    "percent": (_ablation("(100 * statistics.fmean(v), 100 * statistics.stdev(v))"), ""),
    "four digits": (_ablation("(round(statistics.fmean(v), 4), round(statistics.stdev(v), 4))"), ""),
    "zero spread allowed": (
        _ablation(old='raise ValueError("too few")', new="seeds = list(seeds) * 2 or [0, 1]"),
        "single_seed_accepted",
    ),
    "range of seeds": (_ablation(old="for seed in seeds", new="for seed in range(len(seeds))"), "seeds_counted"),
    "names": (_ablation(old="build(configuration, seed)", new="build(name, seed)"), "names_for_configurations"),
    "reversed": (_ablation(old="configurations.items()", new="reversed(list(configurations.items()))"), ""),
    "keyed by numbers": (_ablation(old="table[name]", new="table[len(table)]"), ""),
    "seeds counted after all is built": (
        (
            "run_ablation",
        "def run_ablation(build, configurations, seeds):\n"
        "    runs = {(n, s): build(c, s) for s in sorted(seeds) for n, c in configurations.items()}\n"
        "    out = {n: {} for n in configurations}\n"
        "    if len(seeds) <= 1:\n        raise ValueError()\n"
        "    for n in out:\n        for m in runs[n, seeds[0]]:\n"
        "            v = [runs[n, s][m] for s in seeds]\n"
        "            out[n][m] = (sum(v) / len(v), statistics.stdev(v))\n"
        "    return out\n",
        ),
        "built_before_refusing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", SEEDS)
def test_an_answer_outside_the_bank_gets_the_right_diagnosis_or_none(name: str, seed: str) -> None:
    (exercise, source), expected = OUTSIDE[name]
    expect_diagnosis(STEM, exercise, results_of(STEM, exercise, source, seed), expected)


RIGHT = {
    "as it is": _shift(),
    "population variances": _shift(VARIANCE="torch.cat([a.movedim(1, -1).flatten(0, -2) for a in v]).var(0, correction=0)"),
    "float64": _shift(INPUT="i[0].double()"),
    "with a graph": _shift("with torch.no_grad()", "with torch.enable_grad()", INPUT="i[0]"),
    "parameters": _shift(RATIO="nn.Parameter(t / e)"),
    "an ordered dictionary": _shift(
        "    return {n: t / e", "    from collections import OrderedDict\n    return OrderedDict() | {n: t / e"
    ),
    "recalibrated twice": _recalibrate("        for x, _ in loader:", "        for x, _ in [b for b in loader] * 2:"),
    "with the model returned": _recalibrate("        m.training = mode", "        m.training = mode\n    return model"),
    "counts put back": _recalibrate(
        "    for m, mode in modes.items():",
        "    [m.num_batches_tracked.fill_(0) for m in norms]\n    for m, mode in modes.items():",
    ),
    "NumPy": _ablation("(__import__('numpy').mean(v), __import__('numpy').std(v, ddof=1))"),
    "a list": _ablation("list((statistics.mean(v), statistics.variance(v) ** 0.5))"),
    "a tuple of one's own": _ablation("type('P', (tuple,), {})((statistics.mean(v), statistics.stdev(v)))"),
    "keywords": _ablation(old="build(configuration, seed)", new="build(seed=seed, configuration=configuration)"),
    "copies of configurations": _ablation(old="build(configuration, seed)", new="build(deepcopy(configuration), seed)"),
    "seeds outside": (
        "run_ablation",
        "def run_ablation(build, configurations, seeds):\n"
        "    if len(seeds) <= 1:\n        raise ValueError()\n"
        "    runs = {(n, s): build(c, s) for s in sorted(seeds) for n, c in configurations.items()}\n"
        "    out = {n: {} for n in configurations}\n"
        "    for n in out:\n        for m in runs[n, seeds[0]]:\n"
        "            v = [runs[n, s][m] for s in seeds]\n"
        "            out[n][m] = (sum(v) / len(v), statistics.stdev(v))\n"
        "    return out\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", [*SEEDS, "another"])
def test_a_right_answer_in_an_odd_style_loses_nothing(name: str, seed: str) -> None:
    assert lost(results_of(STEM, *RIGHT[name], seed)) == []


@pytest.mark.parametrize("block", range(4))
def test_the_reference_passes_on_many_seeds(block: int) -> None:
    for seed in range(6):
        assert lost_by_reference(STEM, f"{block}-{seed}") == []


@linux
def test_the_librarys_function_earns_nothing(sandbox: Sandbox) -> None:
    notebook = json.loads(UNIT.solution_path.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("autograder", {}).get("name") == "recalibrate_batchnorm" and "def " in str(
            cell["source"]
        ):
            cell["source"] = (
                "from torch.optim import swa_utils\n"
                "def recalibrate_batchnorm(model, loader):\n    swa_utils.update_bn(loader, model)\n"
            )
    report = grade(json.dumps(notebook).encode(), "the library's", COURSE, sandbox, "units")
    shift, recalibrate, ablation = report.exercises
    assert recalibrate.points == 0
    assert recalibrate.library == ["update_bn (line 3)"]
    assert (shift.points, ablation.points) == (shift.max_points, ablation.max_points)


# -- the sweep and its table ---------------------------------------------------------------------------------------------


def test_the_table_that_comes_with_the_course_is_complete_and_of_this_sweep() -> None:
    wanted = interactions.configurations()
    found = {(r.configuration, r.seed): r.settings for r in interactions.stored()}
    assert set(found) == {(name, seed) for name in wanted for seed in interactions.SEEDS}
    assert all(found[name, seed] == settings for name, settings in wanted.items() for seed in interactions.SEEDS)
    assert interactions.TABLE.read_text().startswith(f"# {interactions.COMMAND}\n")
    assert interactions.TABLE.stat().st_size < 64_000


def test_names_are_those_of_the_techniques_in_them() -> None:
    assert interactions.name_of(()) == "none"
    assert interactions.name_of(("weight decay", "smoothing")) == "weight decay + smoothing"
    assert interactions.name_of(tuple(interactions.TECHNIQUES)) == "all"
    assert "all but smoothing" in interactions.combined()
    assert len(interactions.combined()) == 1 + 5 + 10 + 1 + 5
    recipes = [interactions.Recipe(**s) for s in interactions.configurations().values()]
    assert len(set(recipes)) == len(recipes) == 41, "no configuration is trained twice"


def test_a_run_repeats_and_differs_from_others() -> None:
    data = load().with_train(60)
    full = {**interactions.combined()["all"], "epochs": 1, "width": 4}
    (model, first), (_, again), (_, other) = (interactions.fit(full, seed, data) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    kinds = [type(m).__name__ for m in model.modules()]
    assert (kinds.count("Dropout"), kinds.count("Dropout2d")) == (1, 3)


def test_the_summary_counts_epochs_from_one() -> None:
    history = History([3.0, 1.0, 0.5, 0.4], [2.0, 1.0, 1.5, 2.0], [0.1, 0.5, 0.9, 1.0], [0.2, 0.5, 0.7, 0.6])
    summary = interactions.summary(history)
    assert (summary["best_loss_epoch"], summary["best_accuracy_epoch"]) == (2, 3)
    assert summary["validation_loss"] == pytest.approx(1.5)


def test_the_script_fills_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interactions, "measure", lambda settings, seed: {"loss": float(seed)})
    interactions.main(["--table", str(tmp_path / "runs.csv"), "--seeds", "3", "4"])
    assert "82 runs of 41 configurations" in capsys.readouterr().out


# -- pictures ------------------------------------------------------------------------------------------------------------


def test_the_heat_map_writes_cells_and_leaves_empty_ones() -> None:
    figure = plots.heat_map(
        [[(0.10, 0.11, 0.09), None], [(-0.5, 0.4, -0.5), (0.1, -0.1, 0.0)]], ["a", "b"], ["c", "d e"], "loss (nats)"
    )
    assert isinstance(figure, Figure)
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert texts == ["+0.100\n± 0.006", "−0.200\n± 0.300", "+0.000\n± 0.058"]
    assert [t.get_weight() for t in figure.axes[0].texts] == ["bold", "normal", "normal"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["c\n", "d\ne"]
    assert plots.png(figure).startswith(b"\x89PNG")


def test_a_difference_is_told_from_chance_as_a_t_test_tells_it() -> None:
    coins = torch.Generator().manual_seed(0)
    for count in (2, 3, 5, 8):
        rows = (torch.randn(400, count, generator=coins, dtype=torch.float64) + 0.5).tolist()
        assert [differs(row) for row in rows] == [bool(ttest_1samp(row, 0).pvalue < 0.05) for row in rows]


def test_the_combination_explorer_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display
    import ipywidgets

    shown: list[Any] = []
    picture = SimpleNamespace(update=lambda image: None)

    def display(thing: object, display_id: bool = False) -> Any:
        shown.append(thing)
        return picture if display_id else None

    titles: list[str] = []
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(widgets.plots, "png", lambda figure: titles.append(figure.get_suptitle()) or b"")
    names = ["x", "y", "z"]
    values = {"none": [1.0, 2.0], "x": [1.5, 2.7], "y": [1.0, 1.0], "z": [3.0, 2.0], "x + y": [0.0, 1.0]}
    widgets.combination_explorer(names, lambda n: " + ".join(n) or "none", {"loss (nats)": values}, first=("x",))
    boxes = shown[0].children
    assert all(isinstance(box, ipywidgets.Checkbox) for box in boxes)
    assert titles == ["x minus none, by seed (± standard error): loss +0.600 ± 0.100"]
    boxes[1].value = True
    assert titles[-1].startswith("x + y minus none")
    assert "−1.000 ± 0.000" in titles[-1]
    boxes[2].value = True
    assert titles[-1].startswith("x + y + z was not trained")
    for box in boxes:
        box.value = False
    assert titles[-1].startswith("nothing chosen")


def test_deepcopy_of_the_reference_leaves_the_model_alone() -> None:
    model = small_network(0.5)
    before = deepcopy(model.state_dict())
    REFERENCE.variance_shift(model, batches(8, 4))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
