"""Workers: the same marks on any path, a job that kills its worker, a worker with another course."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from autograder import fleet, worker
from autograder.course import Course
from autograder.judge import ungraded
from autograder.report import Report, State
from autograder.worker import Assignment, Graded, Job, OtherCourse, grade_here, prepare_here
from tests.class_of import ROOT, hand_in
from tests.conftest import linux

pytestmark = linux


@pytest.fixture(scope="module")
def assignment(mini: Course) -> Assignment:
    return Assignment(str(mini.notebooks), str(mini.solutions), mini.digest, "seed")


@pytest.fixture(scope="module")
def jobs(mini: Course, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """Six submissions, one of which cannot be read."""
    folder = hand_in(tmp_path_factory.mktemp("class") / "submitted", mini, 5)
    made = [Job(p.stem, "00_mini", p.name, "", p.read_bytes()) for p in sorted(folder.iterdir())]
    return [*made, Job("zoe", "", "zoe.ipynb", "", None, "the file could not be read: Permission denied")]


@pytest.fixture
def forget() -> Iterator[None]:
    """Let this process be one that has served nobody yet, as a worker's is, before and after."""
    yield
    while worker._workers:
        worker._workers.pop().close()
    worker._served.clear()


def gave_up(job: Job, why: str) -> Graded:
    report = ungraded(None, State.FAILED, why, True, "seed")
    return Graded.of(report.model_copy(update={"student": job.student}))


def reports(workers: fleet.Fleet, jobs: list[Job]) -> dict[str, Report]:
    found = {}
    for job, graded in workers.grade(jobs, gave_up):
        report, page = graded.read()
        assert job.student == report.student
        assert job.student not in found
        assert job.student in page
        found[job.student] = report.model_copy(update={"seconds": 0.0})
    return found


def test_the_same_reports_in_this_process_and_on_workers(assignment: Assignment, jobs: list[Job]) -> None:
    with fleet.in_process(assignment) as alone:
        expected = reports(alone, jobs)
    assert [r.points for r in expected.values()] == [6] * 5 + [0]
    assert "Permission denied" in expected["zoe"].sentence
    with fleet.on_dask(assignment, workers=2) as many:
        assert reports(many, jobs) == expected
        assert reports(many, []) == {}
        # A second class on the same workers; what is known of it already is not computed again.
        kept = [Job(**{**vars(job), "previous": _renamed(expected[job.student]).pack()}) for job in jobs[:2]]
        assert {e.sentence for r in reports(many, kept).values() for e in r.exercises} == {"as it was"}


def _renamed(report: Report) -> Report:
    exercises = [e.model_copy(update={"sentence": "as it was"}) for e in report.exercises]
    return report.model_copy(update={"exercises": exercises})


def grade_or_die(assignment: Assignment, job: Job) -> Graded:
    """Stands for a job that takes its worker with it: for want of memory, or by a fault in a library."""
    if job.student == "student002":
        os.kill(os.getpid(), signal.SIGKILL)
    return grade_here(assignment, job)


def grade_or_raise(assignment: Assignment, job: Job) -> Graded:
    if job.student == "student002":
        raise ZeroDivisionError("a fault of ours")
    return grade_here(assignment, job)


def test_a_job_that_kills_its_worker_is_given_up_and_costs_nobody_else(
    assignment: Assignment, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "grade_here", grade_or_die)
    with fleet.on_dask(assignment, workers=2) as many:
        found = reports(many, jobs)
    given_up = found.pop("student002")
    assert given_up.state is State.FAILED
    assert "was killed, time and again" in given_up.sentence
    assert [r.points for _, r in sorted(found.items())] == [6] * 4 + [0]


def test_a_job_that_fails_by_our_own_fault_is_given_up(
    assignment: Assignment, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "grade_here", grade_or_raise)
    with fleet.on_dask(assignment, workers=1) as one:
        found = reports(one, jobs)
    assert found["student002"].state is State.FAILED
    assert "ZeroDivisionError: a fault of ours" in found["student002"].sentence
    assert sum(r.points for r in found.values()) == 24


def test_a_worker_with_another_course_gets_no_work(assignment: Assignment) -> None:
    other = Assignment(**{**vars(assignment), "digest": "0" * 64})
    with (
        pytest.raises(
            fleet.FleetError, match=r"has another course, engine or package .*give it the same folder"
        ) as said,
        fleet.on_dask(other, workers=1),
    ):
        raise AssertionError("it got work")
    assert "\n" not in str(said.value)


@contextmanager
def started(scheduler: str, course: Course) -> Iterator[None]:
    """A worker as somebody else would start it, with its own copy of the course."""
    command = [sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    env = {**os.environ, "AUTOGRADER_NOTEBOOKS": str(course.notebooks)}
    process = subprocess.Popen([*command, "--death-timeout", "60"], cwd=ROOT, env=env, **quiet)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_workers_that_join_half_way_get_work_when_they_have_the_course(
    assignment: Assignment, mini: Course, jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second to come has another course and gets none, nor does it end the run; the third takes over from the first."""
    monkeypatch.setattr(fleet, "_COUNT_EVERY_S", 0.2)
    shutil.copytree(mini.notebooks.parent, tmp_path / "other")
    checks = tmp_path / "other" / "notebooks" / "checks" / "00_mini.py"
    checks.write_text(checks.read_text().replace("2 * x", "3 * x"))
    other = Course.open(checks.parent.parent, tmp_path / "other" / "solutions")
    elsewhere = Assignment(**{**vars(assignment), "notebooks": "/none/notebooks", "solutions": "/none/solutions"})
    found: dict[str, Report] = {}

    def more(theirs: fleet.Fleet, name: str) -> None:
        for job, graded in theirs.grade([Job(**{**vars(j), "student": f"{name} {j.student}"}) for j in jobs], gave_up):
            found[job.student] = graded.read()[0]

    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
        ExitStack() as there,
    ):
        first = there.enter_context(ExitStack())
        first.enter_context(started(cluster.scheduler_address, mini))
        with fleet.on_dask(elsewhere, scheduler=cluster.scheduler_address) as theirs:
            more(theirs, "first")
            there.enter_context(started(cluster.scheduler_address, other))
            client.wait_for_workers(2, timeout=60)
            time.sleep(fleet._COUNT_EVERY_S)
            for _ in range(3):
                more(theirs, "second")
            there.enter_context(started(cluster.scheduler_address, mini))
            client.wait_for_workers(3, timeout=60)
            first.close()
            more(theirs, "third")
    assert len(found) == 3 * len(jobs)
    assert [r.points for r in found.values()] == [6, 6, 6, 6, 6, 0] * 3


def test_a_worker_finds_its_course_elsewhere(
    assignment: Assignment, mini: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None
) -> None:
    elsewhere = Assignment(**{**vars(assignment), "notebooks": "/none/notebooks", "solutions": "/none/solutions"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OtherCourse, match="no course was found"):
        prepare_here(elsewhere)
    monkeypatch.setenv("AUTOGRADER_NOTEBOOKS", str(mini.notebooks))
    assert prepare_here(elsewhere) == ""


def test_a_process_serves_the_course_that_it_read_first(assignment: Assignment, jobs: list[Job], forget: None) -> None:
    assert prepare_here(assignment) == ""
    first = worker._workers[0]
    assert prepare_here(assignment) == ""
    assert worker._workers[0] is first
    assert Report.unpack(grade_here(assignment, jobs[0]).report).points == 6
    changed = Assignment(**{**vars(assignment), "digest": "0" * 64})
    assert prepare_here(changed) == "stale"
    with pytest.raises(OtherCourse, match="before the last change"):
        grade_here(changed, jobs[0])
    # Another seed is no other course.
    again = Assignment(**{**vars(assignment), "seed": "another"})
    assert Report.unpack(grade_here(again, jobs[0]).report).seed == "another"


def test_a_worker_with_several_threads_grades_one_at_a_time(
    assignment: Assignment, jobs: list[Job], forget: None
) -> None:
    with ThreadPoolExecutor(3) as threads:
        found = [Report.unpack(g.report) for g in threads.map(lambda job: grade_here(assignment, job), jobs * 2)]
    assert [r.student for r in found] == [j.student for j in jobs * 2]
    assert [r.points for r in found] == [*[6] * 5, 0] * 2


def die(assignment: Assignment) -> str:
    """Stands for `prepare_here` where this project is not installed."""
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def raise_something(assignment: Assignment) -> str:
    raise ModuleNotFoundError("No module named 'autograder'")


@pytest.mark.parametrize(
    ("prepare", "said"), [(die, "could not open the course"), (raise_something, "No module named")]
)
def test_workers_that_cannot_open_the_course_are_said(
    assignment: Assignment, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Assignment], str], said: str
) -> None:
    monkeypatch.setattr(fleet, "prepare_here", prepare)
    with pytest.raises(fleet.FleetError, match=said), fleet.on_dask(assignment, workers=1):
        raise AssertionError("it got work")


def test_a_cluster_that_loses_all_its_workers_is_said(
    assignment: Assignment, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_COUNT_EVERY_S", 0.2)
    monkeypatch.setattr(fleet, "_DESERTED_S", 1.0)
    with (
        LocalCluster(1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        fleet.on_dask(assignment, scheduler=cluster.scheduler_address) as theirs,
    ):
        coming = theirs.grade([*jobs, *jobs], gave_up)
        next(coming)
        cluster.scale(0)
        with pytest.raises(fleet.FleetError, match=f"all workers of {cluster.scheduler_address} are gone"):
            list(coming)
