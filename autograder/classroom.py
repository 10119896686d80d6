"""Grade a class: what is new or changed goes to the workers; what comes back goes into the gradebook and the out folder."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from autograder import digests
from autograder.classbook import write_csv
from autograder.collect import CollectError, Entry, HandIn, find_submissions, look, plan
from autograder.course import Course, Unit
from autograder.feedback import render
from autograder.files import sweep, write_whole
from autograder.fleet import Fleet, FleetError
from autograder.gradebook import Gradebook, GradebookError
from autograder.judge import ungraded
from autograder.leaderboard import write_leaderboard
from autograder.outline import Outline, work_of
from autograder.report import Mark, Report, State
from autograder.sandbox import Limits, SandboxUnavailable
from autograder.sandbox.launch import readable_by_code
from autograder.worker import Assignment, Graded, Job

_CLOCK_S = 0.01
"""How far the clock of file systems, which ticks, may be behind."""

Hire = Callable[[Assignment, int], AbstractContextManager[Fleet]]
"""Gets workers for an assignment and a number of jobs."""
Progress = Callable[[int, int, str], None]
"""Told (done, total, what of): a student, or a stage of the run."""


class Stopped(Exception):
    """The run ended before its time; the message says why, what is kept, and how to go on."""


@dataclass
class Run:
    """What a run did.

    Attributes:
        handed_in: how many submissions there were.
        graded: how many of them were graded now; the others had not changed.
        works: the (student, work) pairs under which the gradebook may have them.
        leaderboard: whether one was written.
        moves: where nothing was published, the submissions whose points would change: before (None for new ones) and after.
    """

    handed_in: int
    works: set[tuple[str, str]]
    graded: int = 0
    leaderboard: bool = False
    moves: list[tuple[Outline | None, Outline]] = field(default_factory=list)


def grade_class(
    paths: Sequence[Path],
    course: Course,
    book: Gradebook,
    hire: Hire,
    out: Path,
    *,
    unit: Unit | None = None,
    seed: str | None = None,
    isolated: bool = True,
    again: bool = False,
    publish: bool = True,
    leaderboard: bool = True,
    progress: Progress = lambda done, total, what: None,
) -> Run:
    """Grade a class. What has a result already, and depends on nothing that has changed, is not graded again.

    Args:
        paths: files or folders: see `find_submissions`.
        hire: gets the workers, once there is something for them to do.
        out: the folder for out/*.json, out/feedback/*.html, out/grades.csv and the leaderboard; made if missing.
        unit: grade this unit only.
        seed: the secret from which inputs are drawn; the gradebook's own by default.
        isolated: False runs learners' code without the sandbox.
        again: grade also what has not changed.
        publish: False keeps new results aside in the gradebook and writes no file, to see first whose points move.
        leaderboard: write one where units have it; False takes away one that is there.

    Raises:
        CollectError: the submissions make no sense, see `find_submissions` and `plan`, or something lies where learners'
            code could read it. Nothing was graded.
        SandboxUnavailable: see `Sandbox`. Nothing was graded.
        Stopped: the workers, their sandbox, the gradebook or the disk failed, or Ctrl-C was pressed.
    """
    entries = find_submissions(paths, course.units)
    hidden = _out_of_sight(course, paths, entries, book, out)
    handed_in = plan(entries, course, unit, lambda done: progress(done, len(entries), "looking at the submissions"))
    works = {(h.student, w) for h in handed_in for w in (h.work, work_of("", h.file))}
    run, settled = Run(len(handed_in), works), 0
    try:
        assignment = Assignment(
            str(course.notebooks), str(course.solutions), course.digest, seed or book.seed(), isolated,
            tuple(map(str, hidden)),
        )  # fmt: skip
        desk = _Desk(course, book, out, assignment, publish, again, run)
        if publish:
            (out / "feedback").mkdir(parents=True, exist_ok=True)
            for folder in (out, out / "feedback"):
                sweep(folder)
        to_do = []
        for each in handed_in:
            if desk.settled(each):
                settled += 1
                progress(settled, len(handed_in), each.student)
            else:
                to_do.append(each)
        if to_do:
            progress(settled, len(handed_in), "starting workers")
            with hire(assignment, len(to_do)) as fleet:
                for job, graded in fleet.grade(desk.jobs(to_do), desk.gave_up):
                    with _uninterrupted():
                        desk.take(job, graded)
                    progress(settled + run.graded, len(handed_in), job.student)
        if publish:
            outlines = book.outlines()
            write_csv(outlines, out / "grades.csv")
            run.leaderboard = write_leaderboard(course, outlines, out, leaderboard)
    except BaseException as error:
        if publish:  # what there is, unless there is nothing to write it to
            with contextlib.suppress(OSError, GradebookError):
                write_csv(book.outlines(), out / "grades.csv")
        done = settled + run.graded
        kept = f"{done} of {len(handed_in)} are in the gradebook {book.name}, and the same command goes on from there"
        if isinstance(error, KeyboardInterrupt):
            raise Stopped(f"stopped by you; {kept}") from None
        if isinstance(error, FleetError | GradebookError) or (isinstance(error, SandboxUnavailable) and run.graded):
            raise Stopped(f"{error}; {kept}") from None
        if isinstance(error, OSError):
            raise Stopped(f"{error.filename or out}: {error.strerror or error}; {kept}") from None
        raise
    return run


def _out_of_sight(
    course: Course, paths: Sequence[Path], entries: Sequence[Entry], book: Gradebook, out: Path
) -> list[Path]:
    """Return what is to be hidden from learners' code: other learners' work, and results.

    Raises:
        CollectError: it is where learners' code can read it, and cannot be hidden, for a folder that this code needs is there.
    """
    roots = readable_by_code([course.notebooks])
    hidden = [p for p in (*(q.resolve() for q in paths), out.resolve()) if not any(r.is_relative_to(p) for r in roots)]

    def in_sight(path: Path) -> bool:
        return any(path.is_relative_to(r) for r in roots) and not any(path.is_relative_to(h) for h in hidden)

    if in_sight(out.resolve()):
        raise CollectError(f"results in {out} could be read by learners' code: name another folder with --out")
    for entry in entries:
        if in_sight(entry.path.resolve()):
            raise CollectError(
                f"{entry.path} could be read by the code of every learner: move the submissions to a folder of their own"
            )
    if book.file is None:
        return hidden
    if in_sight(book.file):
        raise CollectError(f"the gradebook {book.name} lies where learners' code can read it: put it elsewhere")
    # On a worker of another machine it may still be in a folder that is read there.
    return [*hidden, *(book.file.with_name(book.file.name + end) for end in ("", "-wal", "-shm"))]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until what is under way is whole."""
    if threading.current_thread() is not threading.main_thread():  # where signals do not come
        yield
        return
    came: list[int] = []
    before = {n: signal.signal(n, lambda number, frame: came.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def write_report(report: Report, page: str, folder: Path) -> None:
    """Write one report's JSON and feedback page."""
    data, html = pages_of(folder, report.student, work_of(report.unit, report.file, report.state))
    write_whole(data, report.model_dump_json(indent=1) + "\n")
    write_whole(html, page)


def _write_as_marked(report: Report, page: str, book: Gradebook, folder: Path) -> None:
    """Write the judge's report with the marks of persons, and anew where one was given meanwhile, or it would stay hidden.

    `page` shows the report without marks; "" if it is not made yet.
    """
    written: dict[str, Mark] | None = None
    while written != (marks := book.marks(report.student, report.unit)):
        shown = report.marked(marks)
        write_report(shown, page if page and shown is report else render(shown), folder)
        written = marks


def remark(
    book: Gradebook, out: Path, student: str, unit: str, exercise: str, points: int, by: str, reason: str = ""
) -> Report:
    """Give a mark, and write anew what shows it, if `out` is where results are. Returns the report with it.

    Raises:
        GradebookError, OSError: it could not be given, or not be shown; the next grading shows it then.
    """
    pages = pages_of(out, student, unit)
    report = book.give_mark(student, unit, exercise, points, by, reason, before=lambda: _take_back(pages))
    if (out / "feedback").is_dir():
        _write_as_marked(book.report(student, unit) or report, "", book, out)
        write_csv(book.outlines(), out / "grades.csv")
    return report


class _Desk:
    """Decides what must be graded, and files what was."""

    def __init__(
        self, course: Course, book: Gradebook, out: Path, assignment: Assignment, publish: bool, again: bool, run: Run
    ) -> None:
        self._course, self._book, self._out, self._assignment = course, book, out, assignment
        self._publish, self._again, self._run = publish, again, run

    def settled(self, handed_in: HandIn) -> bool:
        """Whether there is a result for this submission that still holds. It counts from now on."""
        if self._again:
            return False
        student, work, key = handed_in.student, handed_in.work, self._key(handed_in)
        stored = self._book.find(student, work, key)
        if stored is None:
            return False
        since = stored.counts_since
        if since is None:
            if self._publish:
                self._take_back(student, work, handed_in.file)
                self._book.publish(student, work, key)
            else:
                self._note_move(stored.outline)
        # Pages are missing or old where we were stopped, or where the last run or mark wrote to another folder.
        if self._publish and not (since and all(_is_newer(p, since) for p in pages_of(self._out, student, work))):
            report = self._book.report(student, work)
            if report is not None:
                _write_as_marked(report, "", self._book, self._out)
        return True

    def jobs(self, handed_in: Sequence[HandIn]) -> Iterator[Job]:
        """Read each file when its turn comes, for a class does not fit into memory. It may have changed since."""
        for before in handed_in:
            now, data = look(before.student, before.path, self._course)
            if now.work != before.work and (now.student, now.work) in self._run.works:
                problem = f"the file became a second submission in {now.stem} while the class was graded: keep one"
                now, data = replace(before, stem="", problem=problem), None
            self._run.works.add((now.student, now.work))
            previous = None if self._again else self._book.report(now.student, now.work)
            yield Job(
                now.student,
                now.stem,
                now.file,
                self._key(now),
                data,
                now.problem,
                previous.pack() if previous else None,
            )

    def take(self, job: Job, graded: Graded) -> None:
        """File a result."""
        report, page = graded.read()
        if self._publish:
            self._take_back(report.student, work_of(report.unit, report.file, report.state), report.file)
        # What failed by our own fault is tried again the next time.
        outline = self._book.save("" if report.broken else job.key, report, counts=self._publish)
        self._run.graded += 1
        if self._publish:
            _write_as_marked(report, page, self._book, self._out)
        else:
            self._note_move(outline)

    def gave_up(self, job: Job, why: str) -> Graded:
        """Report on a job that no worker could do."""
        unit = self._course.units.get(job.unit)
        sentence = f"the grader itself failed on this notebook, which is not your fault: {why}"
        report = ungraded(unit, State.FAILED, sentence, self._assignment.isolated, self._assignment.seed)
        digest = hashlib.sha256(job.data).hexdigest() if job.data is not None else ""
        return Graded.of(report.model_copy(update={"student": job.student, "file": job.file, "digest": digest}))

    def _take_back(self, student: str, work: str, file: str) -> None:
        """Take back what a new result replaces, also the word that there was none."""
        _take_back([*pages_of(self._out, student, work), *pages_of(self._out, student, work_of("", file))])

    def _key(self, handed_in: HandIn) -> str:
        """Return the digest of all that a report depends on."""
        unit = self._course.units.get(handed_in.stem)
        return digests.combine(
            unit.digest if unit else digests.engine(),
            handed_in.digest,
            handed_in.problem,
            self._assignment.seed,
            repr((self._assignment.isolated, Limits())),
        )

    def _note_move(self, after: Outline) -> None:
        before = self._book.outline(after.student, after.work)
        if before is None or [(e.name, e.points) for e in before.exercises] != [
            (e.name, e.points) for e in after.exercises
        ]:
            self._run.moves.append((before, after))


def pages_of(folder: Path, student: str, work: str) -> tuple[Path, Path]:
    """Return where the JSON and the page of a piece of work are; work without a verdict displaces none that has one."""
    stem = _file_name(f"{student}--{Path(work).stem}--not-graded" if work.startswith("/") else f"{student}--{work}")
    return folder / f"{stem}.json", folder / "feedback" / f"{stem}.html"


def _is_newer(path: Path, than: datetime) -> bool:
    try:
        return path.stat().st_mtime >= than.timestamp() - _CLOCK_S
    except FileNotFoundError:
        return False


def _take_back(pages: Iterable[Path]) -> None:
    """Remove pages before what they show is changed: should we be stopped then, they are missed, and written the next time."""
    for page in pages:
        page.unlink(missing_ok=True)


def _file_name(text: str) -> str:
    """Return `text` as a file name: nothing a path could mean, short, and never the same for two texts."""
    kept = "".join(c if c.isalnum() or c in "-_.@ " else "_" for c in text).strip(". ")
    kept = kept.encode()[:150].decode(errors="ignore")  # file systems count bytes
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
