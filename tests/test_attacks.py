"""Submissions that attack the grader: no point that was not earned, no secret, no neighbour changed, bounded time.

The corpus is `attacks.toml`; sources too long to keep are made here. What the sandbox refuses is in `test_sandbox.py`.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from autograder.course import Course
from autograder.judge import grade
from autograder.report import ExerciseReport, Report, State
from autograder.sandbox import Sandbox
from tests.conftest import ROOT, linux

pytestmark = linux

CORPUS: list[dict[str, Any]] = tomllib.loads((ROOT / "tests" / "attacks.toml").read_text(encoding="utf-8"))["attack"]
ACCURACY = "\ndef accuracy(logits, target):\n    return (logits.argmax(1) == target).float().mean()\n"
LONG = {
    "2000 cell magics": "%%time\n" * 2000 + ACCURACY,
    "600 line magics": "%pip x\n" * 600 + ACCURACY,
    "a help request of 8000 dots": "%x\n" + "a." * 4000 + " ?" + ACCURACY,
    "an attribute chain of 400": "x = 1\nx" + ".b" * 400 + " = 1" + ACCURACY,
    "an integer of 6000 digits in a target": f"torch[0x{'f' * 6000}].x = 1" + ACCURACY,
    "10000 unary minuses": "x = " + "-" * 10_000 + "1" + ACCURACY,
    "nested parentheses": "x = " + "(" * 10_000 + ACCURACY,
    "nested subscripts": "x = a" + "[0]" * 10_000 + ACCURACY,
    "nested calls": "x = a" + "()" * 10_000 + ACCURACY,
    "nested lambdas": "x = " + "lambda: " * 4_000 + "1" + ACCURACY,
    "a long ternary": "x = " + "1 if 0 else " * 8_000 + "1" + ACCURACY,
    "a long power": "x = " + "2 ** " * 12_000 + "1" + ACCURACY,
    "200 KB of statements": "a.b=1\n" * 35_000 + ACCURACY,
    "a NUL": "x = '\0'" + ACCURACY,
    "a lone surrogate": "x = '\ud800'" + ACCURACY,
    "a byte order mark": "\ufeff" + ACCURACY,
    "an endless string": "%time 1\nx = '''" + ACCURACY,
}  # fmt: skip


def submit(course: Course, sandbox: Sandbox, exercise: str, code: str, **metadata: Any) -> Report:
    """Grade the solution with one exercise's cell replaced."""
    unit = course.unit_of(exercise)
    notebook = json.loads(unit.solution_path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        ours = cell["metadata"].get("autograder", {})
        if ours.get("role") == "exercise" and ours["name"] == exercise:
            cell["source"] = code
            cell["metadata"].update(metadata)
    data = json.dumps(notebook).encode()
    return grade(data, "mallory", course, sandbox, "attack", f"{unit.stem}.ipynb")


def attacked(report: Report, exercise: str) -> ExerciseReport:
    return next(e for e in report.exercises if e.name == exercise)


def neighbour(course: Course, sandbox: Sandbox) -> None:
    """The next student, who did everything right, gets everything."""
    unit = course.unit("00_start_here")
    report = grade(unit.solution_path.read_bytes(), "ada", course, sandbox, "attack", "00_start_here.ipynb")
    assert report.points == report.max_points


@pytest.mark.parametrize("attack", CORPUS, ids=lambda a: a["name"])
def test_attack(course: Course, sandbox: Sandbox, attack: dict[str, Any]) -> None:
    report = submit(course, sandbox, attack["exercise"], attack["code"])
    assert report.state is State.GRADED, report.sentence
    assert report.broken == []
    result = attacked(report, attack["exercise"])
    earned = "nothing" if not result.points else "all" if result.points == result.max_points else "some"
    assert ("nothing", "some", "all").index(earned) <= ("nothing", "some", "all").index(attack["earns"]), (
        result.sentence
    )
    assert bool(report.unusual) or not attack.get("unusual")
    assert result.sentence
    assert len(report.model_dump_json()) < 1_000_000
    # What an answer built on the attacked exercise is worth is not the attacker's to change.
    for other in report.exercises:
        assert other.name == attack["exercise"] or other.points <= other.max_points
    neighbour(course, sandbox)


@pytest.mark.parametrize("name", LONG)
def test_source_that_is_hard_to_read(course: Course, sandbox: Sandbox, name: str) -> None:
    report = submit(course, sandbox, "accuracy", LONG[name])
    assert report.state is not State.FAILED, report.sentence
    assert report.broken == []
    neighbour(course, sandbox)


@pytest.mark.parametrize(
    "metadata",
    [
        {"autograder": {"role": []}},
        {"autograder": {"role": "exercise", "name": {"a": 1}}},
        {"autograder": 7},
        {"autograder": {"role": "setup"}},
        {"nbgrader": {"points": 10**400}},
        {"tags": "x" * 100_000},
    ],
    ids=str,
)
def test_metadata_of_odd_types(course: Course, sandbox: Sandbox, metadata: dict[str, Any]) -> None:
    report = submit(course, sandbox, "accuracy", ACCURACY, **metadata)
    assert report.state is State.GRADED, report.sentence
    assert attacked(report, "accuracy").points == attacked(report, "accuracy").max_points
    neighbour(course, sandbox)


def test_scratch_space_made_unwritable_is_repaired(course: Course, sandbox: Sandbox) -> None:
    spoil = "import os, tempfile\nos.chmod(tempfile.gettempdir(), 0o555)" + ACCURACY
    assert submit(course, sandbox, "accuracy", spoil).points
    use = "import tempfile\ntempfile.TemporaryFile().close()" + ACCURACY
    report = submit(course, sandbox, "accuracy", use)
    assert attacked(report, "accuracy").points == attacked(report, "accuracy").max_points
