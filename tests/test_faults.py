"""Whatever stops a grader, nothing is lost, nothing is graded twice, and the last sentence says how to go on.

Graders are processes of their own here, as users start them. A student process that is killed, hangs, or goes mad on the
wire is in test_attacks; a gradebook killed while it writes, in test_gradebook.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

import psutil
import pytest

from autograder import classroom, fleet
from autograder.collect import look
from autograder.course import Course
from autograder.gradebook import Gradebook
from autograder.report import Mark
from autograder.sandbox.launch import find_bubblewrap
from autograder.submission import Unreadable, read_file
from autograder.worker import Assignment
from tests.class_of import ROOT, Grader, current, hand_in, results
from tests.conftest import linux

COUNT = 14
pytestmark = linux


@pytest.fixture(scope="module")
def handed_in(mini: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand_in(tmp_path_factory.mktemp("class") / "submitted", mini, COUNT, slow_s=0.3)


def marks(out: Path) -> dict[str, int]:
    return {p.name.split("--")[0]: json.loads(p.read_text())["points"] for p in sorted(out.glob("*.json"))}


def complete(out: Path) -> bool:
    """Whether everybody has all points, on paper and in the gradebook, and was graded exactly once."""
    book = out / "gradebook.sqlite"
    pages = len(list((out / "feedback").glob("*.html")))
    rows = (out / "grades.csv").read_text(encoding="utf-8-sig").count("\n") - 1
    return (
        [results(book), current(book), pages, rows, *set(marks(out).values())] == [COUNT] * 4 + [6]
        and not list(out.rglob("*.part"))
    )  # fmt: skip


def test_a_killed_grader_goes_on_where_it_was(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    before = 0
    for more in (1, 4):
        grader = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2")
        enough = before + more
        grader.until(lambda enough=enough: results(book) >= enough)
        grader.signal(signal.SIGKILL)
        grader.wait()
        assert grader.left_behind() == []
        assert before < results(book) < COUNT
        before = results(book)
        assert current(book) == before
    code, told, _ = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2").wait()
    assert code == 0
    assert f"{before} of {COUNT} had not changed and were not graded again" in told
    assert complete(out)


@pytest.mark.parametrize(
    ("number", "group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False)],
    ids=["ctrl-c", "terminate"],
)
def test_a_grader_that_is_stopped_says_what_it_kept(
    mini: Course, handed_in: Path, tmp_path: Path, number: signal.Signals, group: bool
) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    grader = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2")
    grader.until(lambda: results(book) >= 3)
    grader.signal(number, group)
    code, _, err = grader.wait()
    assert code == 2
    kept = results(book)
    said = f"stopped by you; {kept} of {COUNT} are in the gradebook {book}, and the same command goes on from there"
    assert err.strip() == f"autograder: {said}"
    assert (out / "grades.csv").read_text(encoding="utf-8-sig").count("\n") == kept + 1
    assert grader.left_behind() == []
    assert Grader(mini, "grade", handed_in, "--out", out, "--workers", "2").wait()[0] == 0
    assert complete(out)


@pytest.mark.parametrize("which", ["worker", "sandbox"])
def test_a_killed_worker_or_sandbox_is_replaced(mini: Course, handed_in: Path, tmp_path: Path, which: str) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    grader = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2")
    for enough in (2, 6):
        grader.until(lambda enough=enough: results(book) >= enough and bool(grader.workers()))
        worker = grader.workers()[0]
        (worker if which == "worker" else worker.children()[0]).kill()
    code, _, err = grader.wait()
    assert (code, err) == (0, "")
    assert complete(out)


def test_a_worker_that_stands_still_is_replaced(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    setting = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s"}
    grader = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2", env={**os.environ, **setting})
    grader.until(lambda: results(book) >= 2 and len(grader.workers()) == 2)
    stopped = grader.workers()[0]
    stopped.suspend()
    code, _, err = grader.wait()
    assert (code, err) == (0, "")
    assert complete(out)
    assert psutil.wait_procs([stopped], timeout=20)[1] == []


def test_two_graders_at_once_end_with_one_result_each(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    both = [Grader(mini, "grade", handed_in, "--out", out, "--workers", "1") for _ in range(2)]
    assert [(code, err) for code, _, err in [grader.wait() for grader in both]] == [(0, "")] * 2
    assert current(book) == COUNT
    assert COUNT <= results(book) <= 2 * COUNT
    assert set(marks(out).values()) == {6}
    assert not list(out.rglob("*.part"))


class Scheduler:
    """A Dask scheduler and one worker, as somebody else would run them."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        file = folder / "scheduler.json"
        file.unlink(missing_ok=True)
        start = [sys.executable, "-m", "dask"]
        quiet = {"cwd": ROOT, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.scheduler = subprocess.Popen(
            [*start, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)],
            **quiet,
        )  # fmt: skip
        self.worker = subprocess.Popen(
            [*start, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--death-timeout", "60"],
            **quiet,
        )  # fmt: skip
        while not (file.exists() and file.read_text().endswith("}")):
            assert self.scheduler.poll() is None
        self.address: str = json.loads(file.read_text())["address"]

    def close(self) -> None:
        for process in (self.worker, self.scheduler):
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.kill()
            process.wait()
            for child in family:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def test_when_the_scheduler_goes_the_grader_says_so_and_goes_on_with_the_next(
    mini: Course, handed_in: Path, tmp_path: Path
) -> None:
    out, book = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    cluster = Scheduler(tmp_path)
    try:
        grader = Grader(mini, "grade", handed_in, "--out", out, "--scheduler", cluster.address)
        grader.until(lambda: results(book) >= 3)
        cluster.scheduler.kill()
        code, _, err = grader.wait()
    finally:
        cluster.close()
    assert code == 2
    kept = results(book)
    assert 3 <= kept < COUNT
    said = f"the Dask scheduler at {cluster.address} is gone; {kept} of {COUNT} are in the gradebook {book}"
    assert err.strip() == f"autograder: {said}, and the same command goes on from there"
    cluster = Scheduler(tmp_path)
    try:
        assert Grader(mini, "grade", handed_in, "--out", out, "--scheduler", cluster.address).wait()[0] == 0
    finally:
        cluster.close()
    assert complete(out)


def test_no_scheduler_no_workers(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    code, _, err = Grader(
        mini, "grade", handed_in, "--out", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1"
    ).wait()
    assert code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in err
    assert len(err.strip().splitlines()) == 1


def test_a_full_disk_is_said_and_made_good(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    """The out folder is a file system of 600 KB, in which a gradebook fits, and not everybody's pages."""
    out = tmp_path / "out"
    out.mkdir()
    small = [
        find_bubblewrap(), "--dev-bind", "/", "/", "--size", str(600 << 10), "--tmpfs", str(out), "--",
        "sh", "-c", '"$@" 2>"$0/../err"; code=$?; cp -r "$0/." "$0/../kept" 2>/dev/null; mkdir -p "$0/../kept"; exit $code',
    ]  # fmt: skip
    keep = tmp_path / "kept"
    keep.mkdir()
    command = [*small, str(out), sys.executable, "-m", "autograder", "grade", str(handed_in), "--out", str(out)]
    command += ["--workers", "0", "--unsandboxed", "--notebooks", str(mini.notebooks)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    err = (tmp_path / "err").read_text()
    assert done.returncode == 2, (done, err)
    assert len(err.strip().splitlines()) == 1, err
    assert "No space left" in err or "the disk is full" in err
    kept = results(keep / "gradebook.sqlite")
    assert f"{kept} of {COUNT} are in the gradebook" in err
    # With room again, the same command ends it.
    command = ["grade", handed_in, "--out", keep, "--workers", "0", "--unsandboxed"]
    assert Grader(mini, *command).wait()[0] == 0
    assert complete(keep)


def _hire(assignment: Assignment, jobs: int) -> AbstractContextManager[fleet.Fleet]:
    return fleet.in_process(assignment)


def test_a_gradebook_that_is_locked_half_way(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    out.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    with Gradebook(f"sqlite:///{path}?timeout=0.2") as book:

        def lock(done: int, total: int, what: str) -> None:
            if done == 2 and what.startswith("student") and not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")

        with pytest.raises(classroom.Stopped, match=rf"locked.*2 of {COUNT} are in the gradebook"):
            classroom.grade_class([handed_in], mini, book, _hire, out, progress=lock)
        other.rollback()
        other.close()
        assert results(path) == 2
        run = classroom.grade_class([handed_in], mini, book, _hire, out)
        assert run.graded == COUNT - 2
    assert complete(out)


def test_a_gradebook_that_is_locked_while_workers_are_at_work(mini: Course, handed_in: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "out" / "gradebook.sqlite"
    book = ("--gradebook", f"sqlite:///{path}?timeout=0.2")
    grader = Grader(mini, "grade", handed_in, "--out", out, "--workers", "2", *book)
    grader.until(lambda: results(path) >= 2 and len(grader.workers()) == 2)
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, _, err = grader.wait()
        kept = results(path)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "another program has it locked. Close what writes to it" in err
    assert 2 <= kept < COUNT
    assert f"{kept} of {COUNT} are in the gradebook {path}, and the same command goes on from there" in err
    assert grader.left_behind() == []
    assert Grader(mini, "grade", handed_in, "--out", out, "--workers", "0", *book).wait()[0] == 0
    assert complete(out)


@pytest.mark.parametrize("again", [True, False], ids=["graded again", "page written again"])
def test_a_mark_given_while_a_page_is_written_is_on_the_page(
    mini: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    folder, out, path = hand_in(tmp_path / "class", mini, 1), tmp_path / "out", tmp_path / "grades.sqlite"
    with Gradebook(path) as book, Gradebook(path) as another:
        classroom.grade_class([folder], mini, book, _hire, out)
        if not again:
            next(out.glob("*.json")).unlink()
        look, given = book.marks, list[int]()

        def marks(student: str, unit: str) -> dict[str, Mark]:
            """Read the marks; a person gives another right after that."""
            found = look(student, unit)
            if not given:
                given.append(1)
                classroom.remark(another, out, student, unit, "double", 1, "prof")
            return found

        monkeypatch.setattr(book, "marks", marks)
        classroom.grade_class([folder], mini, book, _hire, out, again=again)
        assert book.outlines()[0].points == 3
        assert json.loads(next(out.glob("*.json")).read_text())["points"] == 3


def test_a_notebook_that_changes_while_the_class_is_graded_is_graded_as_it_is_then(
    mini: Course, tmp_path: Path
) -> None:
    folder, out = hand_in(tmp_path / "class", mini, 3), tmp_path / "out"
    last = folder / "student002.ipynb"

    def edit(done: int, total: int, what: str) -> None:
        if done == 1 and what.startswith("student"):
            last.write_text(last.read_text().replace("return 4 * x", "return 5 * x"))

    with Gradebook(tmp_path / "grades.sqlite") as book:
        classroom.grade_class([folder], mini, book, _hire, out, progress=edit)
        assert marks(out) == {"student000": 6, "student001": 6, "student002": 4}
        # It was filed under what it was when it was graded, so nothing is left to do.
        assert classroom.grade_class([folder], mini, book, _hire, out).graded == 0
        assert book.outlines()[-1].digest == look("x", last, mini)[0].digest


def test_a_notebook_that_is_being_written_is_read_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text("{")
    waits: list[float] = []
    more = ["}", " ", " "]
    real = os.fstat

    def written_to_meanwhile(descriptor: int) -> os.stat_result:
        """Stat, and then let another program write some more."""
        found = real(descriptor)
        if more:
            with path.open("a") as file:
                file.write(more.pop(0))
        return found

    monkeypatch.setattr("autograder.submission.time.sleep", waits.append)
    monkeypatch.setattr("autograder.submission.os.fstat", written_to_meanwhile)
    assert read_file(path) == b"{}  "
    assert waits == [0.0, 0.1, 0.2]
    more[:] = "for ever and ever"
    with pytest.raises(Unreadable, match="changed while it was read"):
        read_file(path)
