"""The gradebook: one result counts, marks of persons stay, and whatever happens to the file is said in a sentence."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from autograder import classroom, fleet
from autograder.course import Course
from autograder.gradebook import Gradebook, GradebookError
from autograder.outline import Outline
from autograder.report import Report
from tests.class_of import hand_in
from tests.conftest import linux
from tests.reports import exercise, report, unreadable

UNIT = "03_spatial_dropout"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server: AUTOGRADER_TEST_POSTGRES names one, or one is started from the programs that are installed."""
    if url := os.environ.get("AUTOGRADER_TEST_POSTGRES"):
        yield url
        return
    found = [shutil.which("initdb"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    initdb = next((Path(p) for p in reversed(found) if p), None)
    if initdb is None:
        pytest.skip("no PostgreSQL here: install its server, or name one's URL in AUTOGRADER_TEST_POSTGRES")
    folder = tmp_path_factory.mktemp("postgres")
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = "nobody"
        for parent in (folder, *folder.parents):
            if parent == Path("/tmp"):
                break
            parent.chmod(0o755)
        shutil.chown(folder, user)
    data = folder / "data"

    def run(program: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [initdb.parent / program, *arguments], check=check, user=user, cwd=folder, stdout=subprocess.DEVNULL
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "grader", "--no-sync", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
    yield f"postgresql+psycopg://grader@/postgres?host={folder}"
    run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop", check=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'grades.sqlite'}"
    server: str = request.getfixturevalue("postgres")
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        for table in ("current", "mark", "result", "setting"):
            connection.exec_driver_sql(f'DROP TABLE IF EXISTS "{table}"')
    engine.dispose()
    return server


@pytest.fixture
def book(url: str) -> Iterator[Gradebook]:
    with Gradebook(url) as opened:
        yield opened


def graded(student: str = "ada", points: int = 3, digest: str = "d1") -> Report:
    return report(student, exercise("channel_mask", points, 5), exercise("Layer", 4, 11), digest=digest, file="w.ipynb")


def test_what_was_saved_last_counts_and_what_came_before_is_kept(book: Gradebook) -> None:
    book.save("k1", graded(points=3))
    book.save("k2", graded(points=5))
    assert [(o.student, o.points) for o in book.outlines()] == [("ada", 9)]
    earlier, later = book.find("ada", UNIT, "k1"), book.find("ada", UNIT, "k2")
    assert earlier is not None
    assert later is not None
    assert (earlier.outline.points, earlier.counts_since) == (7, None)
    assert later.outline.points == 9
    assert later.counts_since is not None
    assert abs(later.counts_since - datetime.now(UTC)) < timedelta(minutes=5)
    assert book.report("ada", UNIT) == graded(points=5)
    assert book.find("ada", UNIT, "k3") is book.find("bob", UNIT, "k1") is book.report("bob", UNIT) is None


def test_a_proposal_counts_once_it_is_published(book: Gradebook) -> None:
    book.save("k1", graded(points=3))
    book.save("k2", graded(points=5), counts=False)
    assert [o.points for o in book.outlines()] == [7]
    book.publish("ada", UNIT, "k2")
    assert [o.points for o in book.outlines()] == [9]
    book.publish("ada", UNIT, "k1")  # and back, as when a change of the checks is taken back
    assert [o.points for o in book.outlines()] == [7]
    with pytest.raises(GradebookError, match="no such result for ada"):
        book.publish("ada", UNIT, "k9")


def test_an_outline_comes_back_as_it_was(book: Gradebook) -> None:
    strange = graded("\u202eé\n=1+1\\xff" * 20)
    saved = book.save("k", strange)
    assert book.outlines() == [saved] == [Outline.of(strange)]
    assert book.report(strange.student, UNIT) == strange


def test_a_mark_of_a_person_outlives_every_grading(book: Gradebook) -> None:
    book.save("k1", graded(points=3))
    marked = book.give_mark("ada", UNIT, "channel_mask", 4, "prof", "a good idea")
    assert (marked.points, marked.exercises[0].points) == (8, 4)
    mark = marked.exercises[0].mark
    assert mark is not None
    assert (mark.judged, mark.by, mark.reason, mark.digest) == (3, "prof", "a good idea", "d1")
    for key, points in (("k2", 0), ("k3", 5)):
        outline = book.save(key, graded(points=points, digest="d2"))
        assert outline.points == 8
        assert outline.outdated == ("channel_mask",)
        assert [o.points for o in book.outlines()] == [8]
    book.publish("ada", UNIT, "k2")
    book.save("k4", graded(points=0), counts=False)
    book.publish("ada", UNIT, "k4")
    assert [o.points for o in book.outlines()] == [8]
    judged = book.report("ada", UNIT)
    assert judged is not None
    assert judged.points == 4  # the judge's own words are kept as well
    assert book.marks("ada", UNIT).keys() == {"channel_mask"}
    assert book.give_mark("ada", UNIT, "channel_mask", 5, "dean").points == 9
    assert book.marks("bob", UNIT) == {}


def test_a_mark_is_in_what_is_kept_aside_as_well(book: Gradebook) -> None:
    book.save("k1", graded(points=3))
    book.save("k2", graded(points=0), counts=False)
    before = book.find("ada", UNIT, "k1")
    book.give_mark("ada", UNIT, "channel_mask", 4, "prof")
    for key in ("k1", "k2"):
        found = book.find("ada", UNIT, key)
        assert found is not None
        assert found.outline.points == 8
    after = book.find("ada", UNIT, "k1")
    assert before is not None
    assert after is not None
    assert before.counts_since is not None
    assert after.counts_since is not None
    assert after.counts_since > before.counts_since  # pages from before are old


def test_a_gradebook_that_must_be_there_is_not_made(url: str, tmp_path: Path) -> None:
    with pytest.raises(GradebookError, match="there is no gradebook"):
        Gradebook(url, create=False)
    assert list(tmp_path.iterdir()) == []
    Gradebook(url).close()
    Gradebook(url, create=False).close()


def test_a_mark_out_of_place_is_refused_in_a_sentence(book: Gradebook) -> None:
    book.save("k1", graded())
    for wrong, said in (
        (("bob", UNIT, "channel_mask", 1), "has no result for bob"),
        (("ada", "00_none", "channel_mask", 1), "has no result for ada in 00_none"),
        (("ada", UNIT, "Mask", 1), "no exercise Mask: it has channel_mask, Layer"),
        (("ada", UNIT, "channel_mask", 6), "from 0 to 5 points, not 6"),
        (("ada", UNIT, "channel_mask", -1), "from 0 to 5 points, not -1"),
    ):
        with pytest.raises(GradebookError, match=said):
            book.give_mark(*wrong, by="prof")
    assert book.marks("ada", UNIT) == {}


def test_a_file_nobody_can_read_takes_no_verdict_away_and_leaves_when_it_is_mended(book: Gradebook) -> None:
    book.save("k1", graded())
    bad = unreadable("ada").model_copy(update={"unit": UNIT, "file": "w.ipynb"})
    book.save("k2", bad)
    assert sorted((o.work, o.points) for o in book.outlines()) == [("/w.ipynb", 0), (UNIT, 7)]
    book.save("k3", graded(points=5))
    assert [(o.work, o.points) for o in book.outlines()] == [(UNIT, 9)]


@linux
def test_a_class_that_is_stopped_and_continued(book: Gradebook, mini: Course, tmp_path: Path) -> None:
    """Grading on any database, from the first submission to an unchanged class."""
    folder, out = hand_in(tmp_path / "class", mini, 4), tmp_path / "out"

    def stop(done: int, total: int, what: str) -> None:
        if done == 2 and what.startswith("student"):
            raise KeyboardInterrupt

    def grade(**settings: Any) -> classroom.Run:
        return classroom.grade_class([folder], mini, book, lambda a, jobs: fleet.in_process(a), out, **settings)

    with pytest.raises(classroom.Stopped, match="stopped by you; 2 of 4 are in the gradebook"):
        grade(progress=stop)
    assert len(book.outlines()) == 2
    assert [grade().graded, grade().graded] == [2, 0]
    assert sorted((o.student, o.points) for o in book.outlines()) == [(f"student00{i}", 6) for i in range(4)]
    assert len(list((out / "feedback").glob("*.html"))) == 4


def test_the_seed_is_made_once(url: str) -> None:
    with Gradebook(url) as one, Gradebook(url) as two:
        assert one.seed() == two.seed() == one.seed()
        assert len(one.seed()) == 32


def test_writers_at_the_same_time_lose_nothing(url: str) -> None:
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with Gradebook(url) as mine:
                for i in range(20):
                    mine.save(f"{number}-{i}", graded(points=number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with Gradebook(url) as book:
        assert len(book.outlines()) == 1
        assert all(book.find("ada", UNIT, f"{n}-{i}") for n in range(4) for i in range(20))


_WRITER = """
import sys
from autograder.gradebook import Gradebook
from tests.test_gradebook import graded
book = Gradebook(sys.argv[1])
for i in range(10_000):
    book.save(str(i), graded(f"s{i % 7}", i % 6))
    print(i, flush=True)
"""


@pytest.mark.parametrize("wait", [0, 7, 31])
def test_killed_at_any_moment_it_is_whole(tmp_path: Path, wait: int) -> None:
    path = tmp_path / "grades.sqlite"
    command = [sys.executable, "-c", _WRITER, f"sqlite:///{path}"]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    assert writer.stdout is not None
    for _ in range(wait):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told = wait + len(writer.stdout.read().split())
    writer.wait()
    writer.stdout.close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Gradebook(path) as book:
        saved = sum(book.find(f"s{i % 7}", UNIT, str(i)) is not None for i in range(told + 5))
        assert (
            told <= saved <= told + 1
        )  # what was said to be saved is there, and at most one that could not be said any more
        for student in range(min(7, saved)):
            last = max(i for i in range(saved) if i % 7 == student)
            counting = book.find(f"s{student}", UNIT, str(last))
            assert counting is not None
            assert counting.counts_since is not None


def fill(book: Gradebook) -> None:
    """Let the file of a gradebook be as large as it is now, and no larger: SQLite then says what a full disk makes it say."""

    def limit(connection: sqlite3.Connection, record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    book._engine.dispose()
    event.listen(book._engine, "connect", limit)


def save_many(book: Gradebook, count: int) -> None:
    for i in range(count):
        book.save("k", graded(f"s{i}"))


def test_a_full_disk_is_said_and_what_was_saved_stays(tmp_path: Path) -> None:
    with Gradebook(tmp_path / "grades.sqlite") as book:
        book.save("k1", graded())
        fill(book)
        with pytest.raises(GradebookError, match="the disk is full"):
            save_many(book, 200)
    with Gradebook(tmp_path / "grades.sqlite") as book:
        assert book.find("ada", UNIT, "k1") is not None


def test_a_gradebook_that_another_program_is_just_making_is_waited_for(tmp_path: Path) -> None:
    """Switching to the write-ahead log is the one statement for which SQLite does not wait itself."""
    path = tmp_path / "g.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO theirs VALUES (1)")
        release = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        release.start()
        with Gradebook(f"sqlite:///{path}?timeout=30") as book:
            assert book.seed()
        release.join()


def test_a_locked_gradebook_is_said(tmp_path: Path) -> None:
    path = tmp_path / "grades.sqlite"
    Gradebook(path).close()
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GradebookError, match=r"locked.*then run the same command again"):
        Gradebook(f"sqlite:///{path}?timeout=0.1")
    other.close()


def test_a_wait_for_another_writer_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "grades.sqlite"
    Gradebook(path).close()
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, lambda: other.commit())
    release.start()
    with Gradebook(path) as book:
        book.save("k", graded())
    release.join()
    other.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "none" / "grades.sqlite", "does its folder exist"),
        (lambda folder: folder, "cannot be written"),
        (lambda folder: _file(folder / "a.sqlite", "x" * 5000), "is not a gradebook"),
        (lambda folder: _newer(folder / "b.sqlite"), "written by another version .format 99"),
        (lambda folder: "oracle-at-delphi://x/y", "not the URL of a database"),
        (lambda folder: "http://a:b:c", "not the URL of a database"),
        (lambda folder: "mysql+mysqldb://x/y", "driver of this database is not installed"),
        (lambda folder: "postgresql+psycopg://nobody@127.0.0.1:1/none", "cannot be used"),
    ],
)
def test_what_is_no_gradebook_is_said(make: Callable[[Path], Path | str], said: str, tmp_path: Path) -> None:
    if "psycopg" in str(make(tmp_path)):
        pytest.importorskip("psycopg")
    with pytest.raises(GradebookError, match=said) as caught:
        Gradebook(make(tmp_path))
    assert "\n" not in str(caught.value)


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _newer(path: Path) -> Path:
    Gradebook(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE setting SET value = '99' WHERE name = 'schema'")
    raw.close()
    return path


def test_ten_thousand_outlines_are_read_in_one_go(tmp_path: Path) -> None:
    """No timing here: it must only not be a query a submission, which the statements counted show."""
    with Gradebook(tmp_path / "grades.sqlite") as book:
        save_many(book, 300)
        count = 0

        def counted(*arguments: object) -> None:
            nonlocal count
            count += 1

        event.listen(book._engine, "before_cursor_execute", counted)
        assert len(book.outlines()) == 300
        assert count <= 2
