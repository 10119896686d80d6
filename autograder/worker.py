"""One worker: its own course, sandbox and warm student process. Work comes as bytes and goes as bytes."""

from __future__ import annotations

import gc
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course, CourseError
from autograder.feedback import render
from autograder.judge import grade, open_sandbox
from autograder.report import Report
from autograder.submission import Unreadable


class OtherCourse(Exception):
    """A worker's copy of the course, the engine or a package is not the one it is asked to grade with."""


@dataclass(frozen=True)
class Assignment:
    """What a worker needs to know beforehand. Plain data, for it travels.

    Attributes:
        notebooks: the learners' folder. A worker that has it elsewhere finds it from its own working directory, or by
            the environment variable AUTOGRADER_NOTEBOOKS.
        solutions: the instructors' folder.
        digest: of the course, which must be the worker's own.
        seed: the secret from which inputs are drawn.
        hidden: paths that learners' code must not see, should they lie in the course's folders.
    """

    notebooks: str
    solutions: str
    digest: str
    seed: str
    isolated: bool = True
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One submission: its bytes, or the reason they could not be read. `previous` is an earlier report's JSON, compressed."""

    student: str
    unit: str
    file: str
    key: str
    data: bytes | None
    unreadable: str = ""
    previous: bytes | None = None


@dataclass(frozen=True)
class Graded:
    """What comes of a job: the report's JSON, compressed, and the feedback page."""

    report: bytes
    page: bytes

    @classmethod
    def of(cls, report: Report) -> Graded:
        return cls(report.pack(), zlib.compress(render(report).encode("utf-8", "replace"), 1))

    def read(self) -> tuple[Report, str]:
        """Return the report and its page."""
        return Report.unpack(self.report), zlib.decompress(self.page).decode()


class Worker:
    """Grades one job after the other.

    Raises:
        OtherCourse: this machine's course is another one.
        SandboxUnavailable: see `Sandbox`.
    """

    def __init__(self, assignment: Assignment) -> None:
        import torch

        torch.set_num_threads(1)  # a worker a core, and a core a worker
        self.assignment = assignment
        self._course = _course(assignment)
        if self._course.digest != assignment.digest:
            raise OtherCourse(
                f"{self._course.notebooks} has digest {self._course.digest[:12]}, not {assignment.digest[:12]}"
            )
        self._sandbox = open_sandbox(self._course, assignment.isolated, [Path(p) for p in assignment.hidden])
        gc.collect()
        gc.freeze()  # what is there by now stays, so the collector need not look at it for every submission

    def grade(self, job: Job) -> Graded:
        """Grade one submission. Never raises for anything a learner wrote."""
        data = job.data if job.data is not None else Unreadable(job.unreadable)
        previous = Report.unpack(job.previous) if job.previous else None
        return Graded.of(
            grade(data, job.student, self._course, self._sandbox, self.assignment.seed, job.file, previous)
        )

    def close(self) -> None:
        self._sandbox.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _course(assignment: Assignment) -> Course:
    try:
        if Path(assignment.notebooks).is_dir():
            return Course.open(Path(assignment.notebooks), Path(assignment.solutions))
        return Course.find()
    except CourseError as error:
        raise OtherCourse(str(error)) from None


# What a process keeps from one task to the next. The lock makes a worker with several threads one with one: submissions in
# one sandbox must not meet.
_lock = threading.RLock()
_workers: list[Worker] = []
_served: list[str] = []


def prepare_here(assignment: Assignment) -> str:
    """Make this process's own worker, if it is not there yet; return "", or "stale" where the process must start anew.

    Modules once imported stay as they are, so a process serves the course it has read first, all its life.
    """
    with _lock:
        if _served and _served[0] != assignment.digest:
            return "stale"
        if _workers and _workers[0].assignment != assignment:
            _workers.pop().close()
        if not _workers:
            _workers.append(Worker(assignment))
            _served[:] = [assignment.digest]
        return ""


def grade_here(assignment: Assignment, job: Job) -> Graded:
    """Grade a job with this process's own worker: the task that Dask runs."""
    with _lock:
        if prepare_here(assignment):
            raise OtherCourse("it has read the course before the last change")
        return _workers[0].grade(job)
