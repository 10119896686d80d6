"""What changed is graded again, and nothing else; `diff` shows whose points would move; marks of persons stay."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from autograder import classroom, digests
from autograder.checks import check_names, load_module
from autograder.cli import app
from autograder.course import Course
from tests.class_of import ROOT, hand_in, results
from tests.conftest import linux

Run = Callable[..., Result]
COUNT = 4
UNIT = "00_mini"


@pytest.fixture
def own(mini: Course, tmp_path: Path) -> Course:
    """A copy of the small course, to change."""
    shutil.copytree(mini.notebooks.parent, tmp_path / "course")
    return Course.open(tmp_path / "course" / "notebooks", tmp_path / "course" / "solutions")


@pytest.fixture
def run(own: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`autograder COMMAND` on a class of four, whose first member's second exercise is wrong by a little."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    hand_in(tmp_path / "class", own, COUNT)
    first = tmp_path / "class" / "student000.ipynb"
    first.write_text(first.read_text().replace("return 4 * x", "return 4 * x + 1e-4"))

    def invoke(command: str, *arguments: str) -> Result:
        options = ["class", "--notebooks", str(own.notebooks), "--workers", "0"] if command != "mark" else []
        return CliRunner().invoke(app, [command, *options, "--out", "out", *arguments])

    return invoke


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, old
    path.write_text(text.replace(old, new))


def points(tmp_path: Path) -> list[list[int]]:
    reports = [json.loads(p.read_text()) for p in sorted((tmp_path / "out").glob("*.json"))]
    return [[e["points"] for e in report["exercises"]] for report in reports]


def keys(tmp_path: Path) -> list[list[str]]:
    reports = [json.loads(p.read_text()) for p in sorted((tmp_path / "out").glob("*.json"))]
    return [[e["key"] for e in report["exercises"]] for report in reports]


LOOSER = ("4 * x)", "4 * x, absolute=1.0)")


@linux
def test_unchanged_work_is_not_graded_again(run: Run, tmp_path: Path) -> None:
    assert run("grade").exit_code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*") if "sqlite" not in p.name}
    assert results(tmp_path / "out" / "gradebook.sqlite") == COUNT
    shutil.rmtree(tmp_path / "out" / "feedback")
    again = run("grade")
    assert again.exit_code == 0
    assert f"{COUNT} of {COUNT} had not changed" in again.stdout
    assert results(tmp_path / "out" / "gradebook.sqlite") == COUNT
    assert {p: p.read_bytes() for p in before} == before  # pages that were lost came back
    assert "had not changed" not in run("grade", "--again").stdout
    assert results(tmp_path / "out" / "gradebook.sqlite") == 2 * COUNT


@linux
def test_a_new_version_is_graded_and_the_others_are_not(run: Run, tmp_path: Path) -> None:
    run("grade")
    edit(tmp_path / "class" / "student000.ipynb", "return 4 * x + 1e-4", "return 4 * x")
    again = run("grade")
    assert f"{COUNT - 1} of {COUNT} had not changed" in again.stdout
    assert points(tmp_path) == [[4, 2]] * COUNT


@linux
def test_a_changed_check_regrades_its_own_exercise_alone(run: Run, own: Course, tmp_path: Path) -> None:
    run("grade")
    before = keys(tmp_path)
    assert points(tmp_path) == [[4, 0], *[[4, 2]] * (COUNT - 1)]
    checks = own.notebooks / "checks" / f"{UNIT}.py"
    edit(checks, *LOOSER)
    edit(checks, "x = draw.signed(3, 4)", "x = draw.signed(3, 4)  # of the other exercise")
    assert run("grade").exit_code == 0
    assert points(tmp_path) == [[4, 2]] * COUNT
    after = keys(tmp_path)
    assert [k[0] for k in after] == [k[0] for k in before]  # a comment is no change
    assert not {k[1] for k in after} & {k[1] for k in before}


@linux
def test_a_kept_verdict_is_not_computed_again(run: Run, own: Course, tmp_path: Path) -> None:
    """The stored verdict is given another sentence: if it is still there afterwards, nobody computed it anew."""
    run("grade")
    from autograder.gradebook import Gradebook

    with Gradebook(tmp_path / "out" / "gradebook.sqlite") as book:
        report = book.report("student001", UNIT)
        assert report is not None
        kept = report.exercises[0].model_copy(update={"sentence": "kept as it was"})
        book.save("edited", report.model_copy(update={"exercises": [kept, report.exercises[1]]}))
    edit(own.notebooks / "checks" / f"{UNIT}.py", *LOOSER)
    run("grade")
    told = json.loads((tmp_path / "out" / f"student001--{UNIT}.json").read_text())["exercises"]
    assert [e["sentence"] for e in told] == ["kept as it was", "solved"]


@linux
def test_diff_shows_who_would_move_and_publishes_nothing(run: Run, own: Course, tmp_path: Path) -> None:
    assert run("diff").exit_code == 2  # there is nothing to compare with
    run("grade")
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.*") if "sqlite" not in p.name}
    calm = run("diff")
    assert calm.exit_code == 0
    assert f"Points would move for 0 of {COUNT} submissions" in calm.stdout
    edit(own.notebooks / "checks" / f"{UNIT}.py", *LOOSER)
    moved = run("diff")
    assert moved.exit_code == 1
    assert f"Points would move for 1 of {COUNT} submissions" in moved.stdout
    line = next(line for line in moved.stdout.splitlines() if "student000" in line)
    assert line.split()[:5] == ["student000", UNIT, "quadruple", "0/2", "2/2"]
    assert "student001" not in moved.stdout
    assert {p: p.read_bytes() for p in before} == before
    # What diff computed is there: publishing it grades nothing.
    stored = results(tmp_path / "out" / "gradebook.sqlite")
    assert f"{COUNT} of {COUNT} had not changed" in run("grade").stdout
    assert results(tmp_path / "out" / "gradebook.sqlite") == stored
    assert points(tmp_path) == [[4, 2]] * COUNT
    # And back: what counted before the change is found again.
    edit(own.notebooks / "checks" / f"{UNIT}.py", *reversed(LOOSER))
    assert run("diff").exit_code == 1
    run("grade")
    assert results(tmp_path / "out" / "gradebook.sqlite") == stored
    assert points(tmp_path)[0] == [4, 0]


@linux
def test_a_person_s_mark_stays_whatever_is_graded(run: Run, own: Course, tmp_path: Path) -> None:
    run("grade")
    given = run("mark", "student000", UNIT, "quadruple", "1", "--by", "prof", "--reason", "right <b>idea</b>")
    assert given.exit_code == 0
    assert "5 of 6 points" in given.stdout
    edit(own.notebooks / "checks" / f"{UNIT}.py", *LOOSER)
    assert "student000" not in run("diff").stdout  # a mark does not move
    run("grade")
    edit(tmp_path / "class" / "student000.ipynb", "return 4 * x + 1e-4", "return 5 * x")
    told = run("grade", "--again")
    assert "keeps a mark that was given for an earlier version" in told.stdout
    assert points(tmp_path)[0] == [4, 1]
    page = (tmp_path / "out" / "feedback" / f"student000--{UNIT}.html").read_text()
    assert "prof" in page
    assert "right &lt;b&gt;idea" in page
    assert '"quadruple by prof"' in (tmp_path / "out" / "grades.csv").read_text()
    for wrong in (
        ("student9", UNIT, "double", "1"),
        ("student000", UNIT, "double", "5"),
        ("student000", UNIT, "x", "1"),
    ):
        refused = run("mark", *wrong)
        assert refused.exit_code == 2
        assert len(refused.stderr.strip().splitlines()) == 1
    assert points(tmp_path)[0] == [4, 1]


@linux
def test_a_file_nobody_can_read_takes_no_verdict_away(run: Run, tmp_path: Path) -> None:
    run("grade")
    file = tmp_path / "class" / "student001.ipynb"
    good = file.read_text()
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("student001*")}
    for _ in range(2):
        file.write_text(good[:100])
        assert run("grade").exit_code == 0
        rows = [r for r in _rows(tmp_path) if r["student"] == "student001"]
        assert [(r["state"], r["points"]) for r in rows] == [("unreadable", "0"), ("graded", "6")]
        assert {p: p.read_bytes() for p in before} == before
        word = tmp_path / "out" / "feedback" / "student001--student001--not-graded.html"
        assert "not valid JSON" in word.read_text()
        file.write_text(good)
        assert f"{COUNT} of {COUNT} had not changed" in run("grade").stdout
        assert [r["points"] for r in _rows(tmp_path) if r["student"] == "student001"] == ["6"]
        assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("student001*")} == before


@linux
def test_pages_in_another_folder_are_brought_up_to_date(run: Run, own: Course, tmp_path: Path) -> None:
    book = ("--gradebook", str(tmp_path / "grades.sqlite"))
    checks = own.notebooks / "checks" / f"{UNIT}.py"
    run("grade", *book)
    edit(checks, *LOOSER)
    run("grade", *book)
    assert points(tmp_path)[0] == [4, 2]
    edit(checks, *reversed(LOOSER))
    run("grade", *book, "--out", "elsewhere")
    run("grade", *book)
    assert points(tmp_path)[0] == [4, 0]
    given = run("mark", "student000", UNIT, "quadruple", "1", "--by", "prof", *book, "--out", "nowhere")
    assert given.exit_code == 0
    assert "No results are in nowhere" in given.stdout
    assert not (tmp_path / "nowhere").exists()
    run("grade", *book)
    assert points(tmp_path)[0] == [4, 1]


@linux
def test_a_csv_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out" / "grades.csv").mkdir(parents=True)
    result = run("grade")
    assert result.exit_code == 2
    assert "out/grades.csv: Is a directory; " in result.stderr
    assert f"{COUNT} of {COUNT} are in the gradebook" in result.stderr


@linux
def test_a_gradebook_among_the_notebooks_is_refused(run: Run, own: Course) -> None:
    result = run("grade", "--gradebook", str(own.notebooks / "grades.sqlite"))
    assert result.exit_code == 2
    assert "where learners' code can read it" in result.stderr


@linux
def test_what_is_said_of_the_file_is_of_this_version(run: Run, tmp_path: Path) -> None:
    run("grade")
    file = tmp_path / "class" / "student001.ipynb"
    file.write_text(file.read_text().replace("import torch", "import torch, math", 1))
    run("grade")
    told = json.loads((tmp_path / "out" / f"student001--{UNIT}.json").read_text())
    assert any("set-up cell was changed" in note for note in told["notes"])
    assert told["points"] == 6


@linux
@pytest.mark.parametrize("step", ["save", "publish", "write_report"])
def test_stopped_between_any_two_steps_pages_and_gradebook_agree_in_the_end(
    run: Run, own: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run("grade")
    edit(own.notebooks / "checks" / f"{UNIT}.py", *LOOSER)
    if step == "publish":
        run("diff")
    place = classroom if step == "write_report" else classroom.Gradebook
    real = getattr(place, step)

    def stop_before(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(place, step, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(place, step, stop_before)
    assert run("grade").exit_code == 2
    assert getattr(place, step) is real
    assert run("grade").exit_code == 0
    assert points(tmp_path) == [[4, 2]] * COUNT
    assert [r["points"] for r in _rows(tmp_path)] == ["6"] * COUNT


def _rows(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "out" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_digest_changes_with_what_matters_to_an_exercise_alone(own: Course) -> None:
    def now() -> tuple[str, str]:
        found = Course.open(own.notebooks, own.solutions).unit(UNIT).exercise_digests
        return found["double"], found["quadruple"]

    public, graded = (
        own.notebooks / "checks" / f"{UNIT}.py",
        own.notebooks.parent / "solutions" / "checks" / f"{UNIT}.py",
    )
    start = now()
    for path, old, new, moved in (
        (public, '"""Public checks of', '"""The public checks of', (False, False)),
        (public, "Twice twice.", "Two times two times.", (False, False)),  # a hint
        (public, *LOOSER, (False, True)),
        (public, "points=1", "points=3", (True, True)),  # of double, which quadruple builds on
        (graded, "30, 40", "30, 41", (True, True)),
        (public, 'uses=("double",)', "uses=()", (False, True)),
        (graded, "30, 41", "30, 42", (True, False)),
    ):
        before = now()
        edit(path, old, new)
        assert tuple(a != b for a, b in zip(before, now(), strict=True)) == moved, (old, new)
    assert now() != start
    (own.notebooks / "helper").mkdir()
    (own.notebooks / "helper" / "__init__.py").write_text("")
    before = now()
    (own.notebooks / "more.py").write_text("")  # and a module
    assert all(a != b for a, b in zip(before, now(), strict=True))
    before = now()
    (own.notebooks / "checks" / "_shared.py").write_text("")  # what checks may share
    assert all(a != b for a, b in zip(before, now(), strict=True))
    before = now()
    (own.notebooks / "checks" / "01_other.py").write_text("")  # another unit's checks
    (own.notebooks / "data").mkdir()
    (own.notebooks / "data" / "images.bin").write_bytes(b"1")  # not a package
    assert before == now()
    (own.notebooks / "helper" / "data.bin").write_bytes(b"1")  # a package that learners' code can import
    assert all(a != b for a, b in zip(before, now(), strict=True))


@pytest.mark.parametrize("declared", ['check("a")', 'check(exercise="a")', "checks.check(NAME)", "again"])
def test_a_check_counts_however_it_is_declared(tmp_path: Path, declared: str) -> None:
    path = tmp_path / "checks.py"
    text = (
        "from autograder import checks\nfrom autograder.checks import check\n\nNAME = 'a'\nSIZE = 3\nagain = check('a')\n\n"
        "def deeper():\n    return SIZE\n\ndef helper():\n    return deeper()\n\n"
        f"@{declared}\ndef of_a(student, draw):\n    'It holds.'\n    helper()\n\n"
        "@check('b')\ndef of_b(student, draw):\n    'It holds, too.'\n"
    )

    def now() -> tuple[str, str]:
        module = load_module(path)
        return (
            digests.checks_of(path, check_names(module, "a")),
            digests.checks_of(path, check_names(module, "b")),
        )

    path.write_text(text)
    before = now()
    for old, new, moved in (
        ("SIZE = 3", "SIZE = 4", (True, False)),  # helpers count for those who mention them
        ("    helper()", "    helper(), 1", (True, False)),
        ("It holds, too.", "It holds too.", (False, True)),
        ("import check\n", "import check  # a comment\n", (False, False)),
        ("import checks\n", "import checks, expect\n", (True, True)),
    ):
        text = text.replace(old, new)
        path.write_text(text)
        after = now()
        assert tuple(a != b for a, b in zip(before, after, strict=True)) == moved, (old, new)
        before = after


def test_what_no_verdict_depends_on_is_not_imported_by_the_judge() -> None:
    code = "import sys, autograder.judge; print(*[m for m in sys.modules if m.startswith('autograder.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    imported = {m.removeprefix("autograder.") for m in done.stdout.split()}
    assert "judge" in imported
    assert not imported & digests._BESIDE
