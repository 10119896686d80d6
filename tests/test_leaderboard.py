"""Scores that checks publish, and the leaderboard made of them."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from typer.testing import CliRunner

from autograder import build
from autograder.checks import Status, collect_checks, run_check
from autograder.checks import check as declare
from autograder.cli import app
from autograder.course import Course, CourseError
from autograder.feedback import render
from autograder.leaderboard import Board, boards, write_leaderboard
from autograder.outline import Outline
from autograder.report import Report, State
from autograder.student import local_student
from tests import reports
from tests.conftest import ROOT, linux
from tests.reports import CONTROLS, HOSTILE

ANSWER = "def double(x):\n    return 2 * x + {}"


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The small course, in which whoever doubles is scored by how far off they are, and how large their numbers get."""
    folder = tmp_path_factory.mktemp("ranked")
    shutil.copytree(ROOT / "tests" / "mini", folder, dirs_exist_ok=True)
    source = folder / "solutions" / "00_mini.py"
    source.write_text(
        source.read_text().replace(
            "minutes: 1}", "minutes: 1, leaderboard: [lowest gap, highest beam], leaderboard_note: Below <1 is noise.}"
        )
    )
    checks = folder / "solutions" / "checks" / "00_mini.py"
    checks.write_text(checks.read_text() + CHECK)
    course = Course.open(folder / "notebooks", folder / "solutions")
    build.build(course.unit("00_mini"))
    return Course.open(folder / "notebooks", folder / "solutions")


CHECK = '''

@check("double", points=1)
def is_measured(student: Any, draw: Draw) -> dict[str, float]:
    """It is measured how far off it is."""
    x = torch.ones(3)
    y = expect.tensor(expect.call(student.double, x), shape=(3,))
    return {"gap": float((y - 2 * x).abs().max()), "beam": float(y.max()), "lines": 3.0}


import torch
'''


def outline(student: str, scores: dict[str, float] | None = None, **fields: Any) -> Outline:
    made = Outline.of(reports.report(student, unit="00_mini", **fields))
    return dataclasses.replace(made, scores=tuple((scores or {}).items()))


def only(course: Course, *outlines: Outline) -> Board:
    (board,) = boards(course, outlines)
    return board


def scored(off: float, beam: float = 1.0) -> dict[str, float]:
    return {"gap": off, "beam": beam}


# -- scores --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "status", "scores"),
    [
        ({"error": 0.25, "cost": 2}, Status.PASSED, (("error", 0.25), ("cost", 2.0))),
        (None, Status.PASSED, ()),
        ({"error": float("nan")}, Status.BROKEN, ()),
        ({"error": "low"}, Status.BROKEN, ()),
    ],
)
def test_a_check_that_passes_may_publish_scores(returned: Any, status: Status, scores: Any) -> None:
    @declare("thing")
    def measures(student: Any, draw: Any) -> Any:
        """It is measured."""
        return returned

    (check,) = collect_checks({"measures": measures})
    outcome = run_check(check, local_student({}), "seed")
    assert (outcome.status, outcome.scores) == (status, scores)


def test_reports_and_outlines_keep_scores() -> None:
    check = reports.check(scores={"error": 0.125})
    report = reports.report("ada", reports.exercise(checks=[check, reports.check()]))
    assert Report.unpack(report.pack()) == report
    assert Outline.from_json(Outline.of(report).to_json()).scores == (("error", 0.125),)
    page = reports.Page(render(report))
    assert "error 0.1250" in page
    assert Outline.from_json('{"student":"a","unit":"u","file":"f","state":"graded","points":1,"max_points":1,'
                             '"sentence":"","isolated":true}').scores == ()  # of an older gradebook  # fmt: skip


# -- ranks ---------------------------------------------------------------------------------------------------------------


def test_equal_scores_share_a_rank_and_the_second_score_decides(ranked: Course) -> None:
    board = only(
        ranked,
        outline("eve", scored(0.5, 2.0)), outline("bo", scored(0.1, 2.0)), outline("Ada", scored(0.1, 3.0)),
        outline("cy", scored(0.1, 2.0)), outline("dan", scored(0.3, 9.0)),
    )  # fmt: skip
    assert [(p.rank, p.student) for p in board.places] == [(1, "Ada"), (2, "bo"), (2, "cy"), (4, "dan"), (5, "eve")]
    assert board.by == {"gap": True, "beam": False}


def test_who_has_no_score_has_no_place(ranked: Course) -> None:
    board = only(
        ranked,
        outline("ada", scored(0.1)),
        outline("bo"),
        outline("cy", {"gap": 0.2}),
        outline("dan", scored(0.0), state=State.UNREADABLE),
        dataclasses.replace(outline("eve", scored(0.0)), unit="01_other"),
    )
    assert [p.student for p in board.places] == ["ada"]
    assert board.missing == 2


def test_a_unit_that_asks_for_none_has_none(mini: Course, tmp_path: Path) -> None:
    assert boards(mini, [outline("ada", scored(0.1))]) == []
    assert not write_leaderboard(mini, [outline("ada", scored(0.1))], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("declared", [["error"], {"error": "lowest"}, "error", ["low error"], [3]])
def test_a_header_that_says_something_else_gets_a_sentence(ranked: Course, declared: Any) -> None:
    unit = dataclasses.replace(ranked.unit("00_mini"))
    vars(unit)["about"] = {"leaderboard": declared}
    with pytest.raises(CourseError, match="leaderboard"):
        _ = unit.ranked_by


# -- files ---------------------------------------------------------------------------------------------------------------


class _Board(HTMLParser):
    """Reads the page; nothing on it may come alive."""

    ELEMENTS = frozenset(
        "html head meta title style body main section h1 h2 p div table thead tbody tr th td bdi".split()
    )

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        assert not CONTROLS & set(html)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.ELEMENTS, tag
        assert not {name for name, _ in attrs} & {"src", "href", "style"}
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")


def test_names_of_learners_are_only_names(ranked: Course, tmp_path: Path) -> None:
    names = (*HOSTILE, "=cmd|' !A0", "+1", "@x", "＝1", "a;b", "é" * 300)
    assert write_leaderboard(ranked, [outline(name, scored(i / 10)) for i, name in enumerate(names)], tmp_path)
    text = (tmp_path / "leaderboard.html").read_text(encoding="utf-8")
    assert "Below &lt;1 is noise." in text
    page = _Board(text)
    assert [row[0] for row in page.rows[1:]] == [str(i + 1) for i in range(len(names))]
    with (tmp_path / "leaderboard.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["unit", "rank", "student", "gap", "beam"]
    assert len(rows) == len(names) + 1
    for cell in (c for row in rows for c in row):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "＝"))
        assert not CONTROLS & set(cell)


def test_a_run_without_the_sandbox_is_told(ranked: Course, tmp_path: Path) -> None:
    for isolated in (True, False):
        write_leaderboard(ranked, [outline("ada", scored(0.1), isolated=isolated)], tmp_path)
        assert ("without the sandbox" in (tmp_path / "leaderboard.html").read_text()) is not isolated


def test_it_holds_nothing_but_ranks_names_and_scores(ranked: Course, tmp_path: Path) -> None:
    write_leaderboard(ranked, [outline("ada", scored(0.125)), outline("bo")], tmp_path)
    for name in ("leaderboard.html", "leaderboard.csv"):
        text = (tmp_path / name).read_text(encoding="utf-8-sig")
        assert "ada" in text
        assert "0.125" in text
        for secret in ("SECRET-SEED", "UNUSUAL-USE", "bo<", '"bo"', "points"):
            assert secret not in text, secret


@linux
def test_grading_writes_it_and_can_leave_it_out(
    ranked: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result that counts is the one that is ranked; whoever hands in again moves; an instructor can switch it off."""
    monkeypatch.setenv("COLUMNS", "200")
    out, handed_in = tmp_path / "results", tmp_path / "in"
    handed_in.mkdir()

    def hand_in(student: str, code: str) -> None:
        notebook = nbformat.read(ranked.unit("00_mini").release_path, as_version=4)
        for cell in notebook.cells:
            about = cell.metadata.get("autograder", {})
            if about.get("role") == "exercise" and about["name"] == "double":
                cell.source = code
        nbformat.write(notebook, handed_in / f"{student}.ipynb")

    def grade(*options: str) -> str:
        arguments = ["grade", str(handed_in), "--out", str(out), "--workers", "0", *options]
        done = CliRunner().invoke(app, [*arguments, "--notebooks", str(ranked.notebooks)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def ranks() -> list[tuple[str, str]]:
        with (out / "leaderboard.csv").open(encoding="utf-8-sig", newline="") as file:
            return [(row["rank"], row["student"]) for row in csv.DictReader(file)]

    hand_in("ada", ANSWER.format(0.5))
    hand_in("bo", ANSWER.format(0.25))
    hand_in("cy", "def double(x):\n    raise ValueError")
    assert "leaderboard.html" in grade()
    assert ranks() == [("1", "bo"), ("2", "ada")]
    document = json.loads((out / "ada--00_mini.json").read_text())
    scores = [c["scores"] for e in document["exercises"] for c in e["checks"] if c["scores"]]
    assert scores == [{"gap": 0.5, "beam": 2.5, "lines": 3.0}]
    hand_in("ada", ANSWER.format(0.0))
    grade()
    assert ranks() == [("1", "ada"), ("2", "bo")]
    assert "leaderboard" not in grade("--no-leaderboard")
    assert not (out / "leaderboard.csv").exists()
    assert not (out / "leaderboard.html").exists()
    grade()  # nothing has changed, and it is back
    assert ranks() == [("1", "ada"), ("2", "bo")]
