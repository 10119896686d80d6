"""The benchmarks' own code, but for what they time: it must not rot between the runs of `make bench`."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from autograder.course import Course
from autograder.judge import grade
from autograder.sandbox import Sandbox
from tests.benchmarks import (
    RESULTS,
    ROOT,
    UNIT,
    __main__,
    dropconnect,
    in_notebook,
    otter_checks,
    ours,
    peers,
    scale,
    scaling,
    table,
    timing,
)
from tests.benchmarks import submissions as classes
from tests.conftest import linux

BLOCK = len(classes.KINDS)


@pytest.mark.parametrize("short", [True, False])
def test_no_two_submissions_are_the_same_and_each_is_always_the_same(
    course: Course, tmp_path: Path, short: bool
) -> None:
    unit = course.unit(UNIT)
    files = classes.write_class(unit, tmp_path / "a", 3 * BLOCK, short)
    assert len({path.read_bytes() for path in files}) == 3 * BLOCK
    again = classes.write_class(unit, tmp_path / "b", BLOCK, short)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files[:BLOCK]]


def test_short_notebook_is_what_is_graded_and_otters_has_no_checks(course: Course) -> None:
    notebook = classes.released(course.unit(UNIT), short=True)
    roles = [cell["metadata"]["autograder"]["role"] for cell in notebook["cells"]]
    assert roles == ["setup", "exercise", "check", "exercise", "check"]
    assert len(classes.without_checks(notebook)["cells"]) == 3


@linux
def test_a_block_gets_the_marks_that_its_kinds_should(course: Course, sandbox: Sandbox) -> None:
    unit = course.unit(UNIT)
    for seat, (first, last) in enumerate(classes.KINDS):
        data = json.dumps(classes.submission(unit, seat, short=True)).encode()
        report = grade(data, classes.student(seat), course, sandbox, "seed")
        for kind, exercise in zip((first, last), report.exercises, strict=True):
            if kind == "stub":
                assert exercise.points == 0
            else:
                assert (exercise.points < exercise.max_points) is (kind == "mistake"), (seat, exercise.sentence)


@pytest.mark.usefixtures("in_course")
def test_otters_checks_are_the_courses(mini: Course) -> None:
    unit = mini.unit("00_mini")
    exercise = unit.exercises[0].name
    checks = unit.checks(exercise)
    for check in checks:
        otter_checks.verify(vars(unit.reference), "00_mini", exercise, check.name)
    wrong = {**vars(unit.reference), exercise: lambda x: x * 0}
    with pytest.raises(AssertionError):
        otter_checks.verify(wrong, "00_mini", exercise, checks[0].name)
    source = otter_checks.otter_test(unit, exercise)
    compile(source, "test", "exec")
    assert [f"name={c.name!r}, points={c.points}" in source for c in checks] == [True] * len(checks)


def test_marks_are_read_from_what_the_peers_write(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "gradebook.db") as connection:
        connection.executescript(
            "CREATE TABLE base_cell (id, name); INSERT INTO base_cell VALUES (1, 'check-double'), (2, 'written-why');"
            "CREATE TABLE submitted_assignment (id, student_id); INSERT INTO submitted_assignment VALUES (1, 'ada');"
            "CREATE TABLE submitted_notebook (id, assignment_id); INSERT INTO submitted_notebook VALUES (1, 1);"
            "CREATE TABLE grade (cell_id, notebook_id, auto_score); INSERT INTO grade VALUES (1, 1, 3.0), (2, 1, NULL);"
        )
    assert peers.nbgrader_marks(tmp_path / "gradebook.db") == {"ada": {"double": 3}}
    tests = [{"name": "double", "score": 3.0, "max_score": 4}, {"name": "Public Tests", "output": "2/2"}]
    (tmp_path / "results.json").write_text(json.dumps({"tests": tests}))
    assert peers.otter_marks(tmp_path / "results.json") == {"double": 3}


def test_marks_are_put_beside_each_other() -> None:
    marks = {classes.student(seat): {"x": seat} for seat in range(3)}
    graded = ours.Graded(timing.Run(0, 1, 1), [1, 2, 3], [1, 1, 1], marks, {name: ["x"] for name in marks})
    others = {name: marks[name] for name in list(marks)[:2]}
    rows = peers.compare(graded, others, {**others, classes.student(1): {"x": 0}})
    assert [(row["student"], row["kind"]) for row in rows] == [(classes.student(s), classes.kind_of(s)) for s in (0, 1)]
    assert [table.differing(row, "nbgrader") for row in rows] == [set(), set()]
    assert [table.differing(row, "otter") for row in rows] == [set(), {"x"}]
    assert graded.facts()["marginal_per_second"] == 1


def test_check_is_timed_in_a_kernel(mini: Course) -> None:
    took = in_notebook.of_exercise(mini, mini.unit("00_mini"), mini.unit("00_mini").exercises[0].name, repeats=1)
    assert all(seconds > 0 for seconds in took.values())


def test_what_a_mask_for_each_example_costs(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layer's forward pass holds one floating-point tensor (N, O, I) at a time; its time is for the benchmark to say."""
    monkeypatch.setattr(dropconnect, "SIZES", ((6, 5, 7),))
    (row,) = dropconnect.measure(course, repeats=1)
    assert row["float_copies"] == 1
    assert min(row["drawn"], row["layer"], row["ratio"]) > 0


def test_functions_are_timed_in_turn() -> None:
    calls: list[str] = []
    took = dropconnect.side_by_side((lambda: calls.append("a"), lambda: calls.append("b")), repeats=3)
    assert calls == ["a", "b"] * 5
    assert len(took) == 2


@linux
def test_a_command_is_watched_and_its_failure_told(tmp_path: Path) -> None:
    samples: list[scale.Sample] = []
    program = "import time; x = bytearray(5 << 20); time.sleep(0.5)"
    run = timing.timed(
        [sys.executable, "-c", program], tmp_path, watch=lambda p: samples.append(scale.sample(p)), every=0.1
    )
    assert run.seconds > 0.5
    assert run.processor > 0
    assert samples[-1].megabytes > 5
    assert scale.sample(psutil.Process()).processes >= 1
    with pytest.raises(RuntimeError, match="no such luck"):
        timing.timed([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path)


def test_rates_and_growth() -> None:
    finished = [5 + 0.1 * i for i in range(3000)]
    assert ours.rate(finished) == pytest.approx(10)
    assert scale.rates(finished) == {
        "rate_of": 1000,
        "first_per_second": 10,
        "last_per_second": 10,
        "last_over_first": 1,
    }
    samples = [scale.Sample(2.0 * i, 400 + i, 9) for i in range(153)]
    grown = scale.growth(samples, finished)
    # Medians of the windows from submission 500 to 1000, and of the last 500: 2000 submissions, 200 s, 100 samples apart.
    assert grown["settled_after"] == 500
    assert grown["growth_megabytes"] == pytest.approx(100, abs=1)
    runs = [{"workers": w, "marginal_per_second": r} for w, r in ((1, 10.0), (2, 18.0), (1, 8.0))]
    assert scaling.speedups(runs) == {"2": 2.0}


def test_reports_are_read_from_a_folder_of_results(tmp_path: Path) -> None:
    exercise = {"name": "double", "points": 3, "stand_ins": ["one"]}
    report = {"student": "ada", "exercises": [exercise], "seconds": 0.1}
    (tmp_path / "ada--00_mini.json").write_text(json.dumps(report))
    assert ours.read(tmp_path) == ([0.1], {"ada": {"double": 3}}, {"ada": ["double"]})
    assert len(ours.finished(tmp_path, 0.0)) == 1


def test_table_says_what_was_measured(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"above\n{table.BEGIN}\nold\n{table.END}\nbelow\n")
    table.write(_results(), readme)
    text = readme.read_text()
    assert text.startswith(f"above\n{table.BEGIN}\n|")
    assert text.endswith(f"{table.END}\nbelow\n")
    assert "old" not in text
    assert "| 20.0 | 0.20 | 100 × | 0.10 | 200 × |" in text
    assert "nbgrader's are ours in 2 of 2" in text
    assert "Otter's are ours in 1 of 2 submissions; in 1, an answer builds on a faulty earlier exercise" in text
    assert "should not" not in text
    assert "3 MB of 500" in text
    assert "1.95 ×" in text
    assert "1.40 × (0.070 and 0.050 s)" in text
    assert "1.25 × (10.0 and 8.0 ms)" in text
    assert "at a time | 1 | 1 |" in text
    with pytest.raises(ValueError, match="no place"):
        table.write(_results(), _empty(tmp_path))


def test_table_owns_up_to_marks_that_differ() -> None:
    results = _results()
    results["peers"]["short"]["marks"][1]["stood_in"] = []
    assert "in 1 they differ and should not" in table.render(results)


def test_readme_has_the_stored_numbers() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, begin, rest = text.partition(table.BEGIN)
    assert begin
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert rest.partition(table.END)[0].strip() == table.render(stored).strip()


def test_circumstances_are_told(tmp_path: Path) -> None:
    at = __main__.circumstances(tmp_path)
    assert at["machine"]["cores"] >= 1
    assert {"Python", "torch"} <= at["versions"].keys()


@pytest.fixture
def in_course(mini: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRADER_NOTEBOOKS", str(mini.notebooks))
    otter_checks._unit.cache_clear()


def _empty(folder: Path) -> Path:
    path = folder / "empty.md"
    path.write_text("nothing")
    return path


def _results() -> dict[str, Any]:
    """Return results as a run leaves them, with round numbers."""
    at = {
        "date": "2026-01-02T03:04:05+00:00", "command": "", "commit": "", "load": 0.1, "seconds": 1.0,
        "machine": {"cores": 2, "processor": "a processor", "memory_gb": 8.0, "system": "Linux 6"},
        "versions": {"Python": "3.11", "torch": "2.13.0", "nbgrader": "0.9.6", "otter": "7.0.0"},
    }  # fmt: skip
    mine = {
        "submissions": 240, "seconds": 12.0, "processor_seconds": 20.0, "startup_seconds": 3.0, "marginal_per_second": 25.0,
        "judging_median_seconds": 0.04,
    }  # fmt: skip
    marks = [
        {"student": "a", "kind": "solution", "ours": {"x": 4, "y": 3}, "stood_in": []},
        {"student": "b", "kind": "mistake", "ours": {"x": 2, "y": 3}, "stood_in": ["y"]},
    ]
    for row in marks:
        row["nbgrader"], row["otter"] = dict(row["ours"]), dict(row["ours"])
    marks[1]["otter"]["y"] = 1
    return {
        "peers": {
            "circumstances": at,
            "short": {
                "cells": 5, "marks": marks, "ours": {"1": {**mine, "seconds": 24.0}, "2": mine},
                "nbgrader": {"submissions": 8, "seconds": 40.0, "processor_seconds": 40.0},
                "otter": {"submissions": 8, "seconds": 80.0, "processor_seconds": 60.0},
            },
        },
        "scaling": {"circumstances": at, "runs": [{"workers": 1, **mine}], "speedup": {"2": 1.95}},
        "scale": {
            "circumstances": at, **mine, "submissions": 10_000, "settled_after": 500, "growth_megabytes": 3.0,
            "end_megabytes": 500.0, "rate_of": 1000, "last_over_first": 0.98, "first_per_second": 25.0, "last_per_second": 24.5,
        },
        "isolation": {
            "circumstances": at, "units": [{"unit": "00", "in_process": 0.05, "judged": 0.07, "ratio": 1.4}],
        },
        "dropconnect": {
            "circumstances": at,
            "sizes": [
                {"sizes": [4, 3, 2], "drawn": 0.008, "layer": 0.008 * r, "ratio": r, "float_copies": 1} for r in (1.25, 1.1)
            ],
        },
        "notebook": {"circumstances": at, "exercises": {"double": {"median": 0.05, "cold": 0.5, "worst": 0.6}}},
    }  # fmt: skip
