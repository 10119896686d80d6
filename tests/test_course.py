"""The course itself, every unit of it: what CI holds against each commit."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from autograder import build
from autograder.cells import Role
from autograder.checks import Status, run_checks
from autograder.course import Course, Unit
from autograder.judge import grade
from autograder.mistakes import Entry
from autograder.sandbox import Sandbox
from autograder.student import Student
from tests.conftest import ROOT, linux
from tests.test_bank import SEEDS, TRAINED, outcomes, reference

COURSE = Course.open(ROOT / "notebooks", ROOT / "solutions")
UNITS = list(COURSE.units.values())
EXERCISES = [(u, e) for u in UNITS for e in u.exercises]
BANK = [(u, e) for u in UNITS for e in u.bank]


@pytest.fixture(params=UNITS, ids=lambda u: u.stem)
def unit(request: pytest.FixtureRequest) -> Unit:
    found: Unit = request.param
    return found


def test_everything_built_is_in_step_and_nothing_leaks() -> None:
    assert [str(p) for p in build.verify(COURSE)] == []


def test_a_unit_has_one_stem_in_every_folder() -> None:
    for folder, pattern in (
        ("solutions", "*.py"), ("solutions", "*.ipynb"), ("notebooks", "*.ipynb"), ("solutions/checks", "*.py"),
        ("solutions/mistakes", "*.py"), ("notebooks/checks", "*.json"), ("solutions/checks", "*.json"),
    ):  # fmt: skip
        assert {p.stem for p in (ROOT / folder).glob(pattern)} == set(COURSE.units), folder


def test_exercise_names_are_unique_in_the_course() -> None:
    names = [e.name for _, e in EXERCISES]
    assert len(names) == len(set(names))


@linux
def test_the_solution_earns_every_point(unit: Unit, sandbox: Sandbox) -> None:
    report = grade(unit.solution_path.read_bytes(), "solution", COURSE, sandbox, "course")
    assert report.points == report.max_points > 0, [c for e in report.exercises for c in e.checks if not c.points]
    assert not report.unusual
    assert all(w.answered for w in report.written)


@linux
def test_the_unsolved_notebook_earns_none(unit: Unit, sandbox: Sandbox) -> None:
    report = grade(unit.release_path.read_bytes(), "stub", COURSE, sandbox, "course")
    assert report.points == 0
    assert {c.status for e in report.exercises for c in e.checks} == {Status.NOT_STARTED}


@linux
def test_the_stub_as_it_runs_earns_none_either(unit: Unit, sandbox: Sandbox) -> None:
    """Not only because its text is the stub's: a changed comment makes the judge run it."""
    notebook = json.loads(unit.release_path.read_text())
    for cell in notebook["cells"]:
        if cell["metadata"].get("autograder", {}).get("role") == "exercise":
            cell["source"] = [*cell["source"], "\n# my own comment"]
    report = grade(json.dumps(notebook).encode(), "stub", COURSE, sandbox, "course")
    assert report.points == 0
    assert {c.status for e in report.exercises for c in e.checks} == {Status.NOT_STARTED}


def test_learners_and_engine_never_import_what_only_instructors_have() -> None:
    for path in [*ROOT.glob("notebooks/**/*.py"), *ROOT.glob("autograder/**/*.py")]:
        assert not re.search(r"^\s*(from|import)\s+solutions", path.read_text(), re.MULTILINE), path


def test_the_engine_knows_nothing_of_this_course() -> None:
    words = re.compile("dropout|reglab|smoothing|mixup|cutmix|fashion", re.IGNORECASE)
    for path in ROOT.glob("autograder/**/*.py"):
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(), flags=re.DOTALL)
        assert not words.search(code), f"{path}: {words.search(code)}"


def test_stubs_say_what_is_promised() -> None:
    """Every stub has a docstring with Args, and what it returns; three hints each."""
    for unit, exercise in EXERCISES:
        cell = next(c for c in unit.release if c.role == "exercise" and c.name == exercise.name)
        for word in ('"""', "Args:", "Raises:" if "\nclass " in f"\n{cell.source}" else "Returns:"):
            assert word in cell.source, f"{exercise.name}: no {word}"
        if "Tensor" in cell.source:  # numbers have no shape
            assert "Shape:" in cell.source, f"{exercise.name}: no Shape:"
        assert len(exercise.hints) == 3
        assert len(set(exercise.hints)) == 3


def test_notebooks_say_what_a_unit_is(unit: Unit) -> None:
    for key in ("title", "technique", "paper", "minutes"):
        assert unit.about.get(key), f"{unit.stem}: no {key}"
    assert any(c.role == "written" for c in unit.release)
    assert any("progress()" in c.source for c in unit.release)


@linux
@pytest.mark.parametrize(("unit", "entry"), BANK, ids=lambda v: v.name if isinstance(v, Entry) else v.stem)
def test_the_notebook_and_the_judge_agree(unit: Unit, entry: Entry, sandbox: Sandbox) -> None:
    """Each entry of the bank gets the same outcome in process and across the wire, check by check."""
    there = Student(sandbox.open())
    for cell in unit.solution_cells:
        if cell.role in (Role.SETUP, Role.EXERCISE):
            there.run(cell.name, cell.source)
    there.run("bank", (ROOT / "solutions" / "mistakes" / f"{unit.stem}.py").read_text())
    there.run("name", f"{entry.exercise} = {entry.name}")
    local = outcomes(unit.stem, entry.exercise, entry.name, SEEDS[1])  # which the tests of the bank have, too
    # Where answers are trained at grading, it is enough that the solution is trained here: see above.
    short = entry.exercise in TRAINED and not entry.wrong
    checks = [c for c in unit.checks(entry.exercise) if not (short and c.graded_only)]
    remote = run_checks(checks, there, SEEDS[1], reference(unit.stem))
    there_and_here = [[(o.check.name, o.status, o.code) for o in side if o.check in checks] for side in (remote, local)]
    assert there_and_here[0] == there_and_here[1]


@pytest.mark.skipif(not os.environ.get("CI"), reason="a laptop need not have the full data set")
def test_ci_has_what_it_installs() -> None:
    assert Path("/usr/share/datasets/fashion-mnist").is_dir()
