"""Every submission of the sample class gets its fair mark and a sentence that helps, and harms no other."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autograder import judge
from autograder.classbook import mistake_groups, write_csv
from autograder.course import Course
from autograder.feedback import render
from autograder.outline import Outline
from autograder.report import ExerciseReport, Report, State
from autograder.sandbox import Sandbox
from tests import sample_class
from tests.conftest import linux
from tests.reports import CONTROLS, Page
from tests.sample_class import CLASS, CONNECT, SPATIAL, Mark, Submission, __main__
from tests.sample_class.borrow import from_bank

pytestmark = linux
SEED = "a secret seed"
PERFECT = next(s for s in CLASS if s.about == "perfect" and s.unit == SPATIAL)
Grade = Callable[[Submission], Report]


@pytest.fixture(scope="module")
def grade(course: Course, sandbox: Sandbox) -> Grade:
    """Grade a submission, always anew."""
    return lambda s: judge.grade(s.text(course).encode(), s.student, course, sandbox, SEED, f"{s.unit}.ipynb")


@pytest.fixture(scope="module")
def graded(grade: Grade) -> Grade:
    """Grade a submission once."""
    reports: dict[tuple[str, str], Report] = {}

    def once(s: Submission) -> Report:
        key = (s.student, s.unit)
        if key not in reports:
            reports[key] = grade(s)
        return reports[key]

    return once


def identity(s: Submission) -> str:
    return f"{s.student}-{s.unit[:2]}"


@pytest.mark.parametrize("submission", CLASS, ids=identity)
def test_marks_are_fair_and_the_sentences_help(submission: Submission, graded: Grade) -> None:
    report = graded(submission)
    assert report.isolated
    assert report.broken == []
    assert report.student == submission.student
    if submission.unreadable:
        assert report.state is State.UNREADABLE
        assert submission.unreadable in report.sentence
        return
    assert report.state is State.GRADED
    assert report.unit == submission.unit
    assert {e.name for e in report.exercises} == set(submission.answers)
    for exercise in report.exercises:
        answer = submission.answers[exercise.name]
        assert _mark(exercise) is answer.mark, (
            f"{exercise.name}: {exercise.points} of {exercise.max_points}, {exercise.sentence}"
        )
        assert answer.says in exercise.sentence
        assert (exercise.diagnosis.mistake if exercise.diagnosis else "") == answer.mistake
        assert not submission.found or exercise.found == submission.found
    assert all(w.answered == bool(submission.written) for w in report.written)
    # What only instructors have stays out of a learner's reach, whatever the code looked at.
    assert "solutions/" not in json.dumps([e.model_dump(mode="json", exclude={"source"}) for e in report.exercises])


@pytest.mark.parametrize("submission", [s for s in CLASS if s.hostile], ids=identity)
def test_neighbours_of_hostile_code_notice_nothing(submission: Submission, grade: Grade, graded: Grade) -> None:
    before = graded(PERFECT)
    grade(submission)
    after = grade(PERFECT)
    # All but the seconds: marks, sentences, evidence and diagnoses are those of a submission graded alone.
    assert after.model_copy(update={"seconds": before.seconds}) == before


def test_pages_csv_and_json_hold_no_live_text(graded: Grade, tmp_path: Path) -> None:
    reports = [graded(s) for s in CLASS]
    for report in reports:
        html = render(report)
        Page(html)  # fails at whatever could come alive
        assert SEED not in html
        assert Report.model_validate_json(report.model_dump_json()) == report
    write_csv(map(Outline.of, reports), tmp_path / "grades.csv")
    with (tmp_path / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == len(CLASS) + 1
    assert not [cell for row in rows for cell in row if CONTROLS & set(cell) or cell.startswith(("=", "+", "-", "@"))]


def test_the_same_mistake_is_grouped(graded: Grade) -> None:
    lines = mistake_groups(Outline.of(graded(s)) for s in CLASS)
    assert any("MaskPerElement" in line and line.startswith("2 of ") for line in lines)


def test_the_class_is_written_the_same_every_time(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sample_class.write(tmp_path / "a", course)
    monkeypatch.setattr(sys, "argv", ["sample_class", str(tmp_path / "b")])
    __main__.main()
    assert len(files) == len(set(files)) == len(CLASS)
    assert len({s.student for s in CLASS}) >= 20
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_entries_of_every_bank_can_be_borrowed(course: Course) -> None:
    """Also one that is made of other classes when the bank is read."""
    for unit in course.units.values():
        for entry in unit.bank[::20]:  # each reads the whole bank
            compile(from_bank(unit, entry.name, entry.exercise), entry.name, "exec")
    namespace: dict[str, Any] = {}
    exec(from_bank(course.unit(CONNECT), "ConvOneMaskForTheBatch", "DropConnectConv2d"), namespace)
    assert namespace["DropConnectConv2d"](2, 3, 1)(torch.ones(4, 2, 5, 6)).shape == (4, 3, 5, 6)


def _mark(exercise: ExerciseReport) -> Mark:
    return Mark.ALL if exercise.points == exercise.max_points else Mark.SOME if exercise.points else Mark.NONE
