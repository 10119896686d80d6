"""What checks that take long need: one attempt for all of them, processor time that nobody can forge, time of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from autograder.checks import Status, collect_checks, run_check, run_checks
from autograder.checks import check as declare
from autograder.course import Course, CourseError
from autograder.judge import open_sandbox
from autograder.sandbox import Limits, Sandbox
from autograder.student import Student, StudentError, StudentGone, local_student
from autograder.submission import Submission, align, read_notebook
from tests.conftest import linux

# -- once ----------------------------------------------------------------------------------------------------------------


def test_what_was_found_is_not_looked_for_again() -> None:
    student, calls = local_student({}), []
    for _ in range(3):
        assert student.once("training", lambda: calls.append(1) or "trained") == "trained"
    assert student.once("other", lambda: "else") == "else"
    assert calls == [1]


@pytest.mark.parametrize(
    "error", [StudentError(["ValueError"], "no"), StudentGone("timeout", "slow"), KeyError("ours")]
)
def test_what_failed_fails_again_without_another_attempt(error: Exception) -> None:
    student, calls = local_student({}), []

    def find() -> None:
        calls.append(1)
        raise error

    for _ in range(3):
        with pytest.raises(type(error)) as raised:
            student.once("training", find)
        assert raised.value is error
    assert calls == [1]


def test_a_sandbox_lost_from_outside_is_no_attempt() -> None:
    student = local_student({})

    def lost() -> None:
        raise StudentGone("lost", "killed")

    with pytest.raises(StudentGone):
        student.once("training", lost)
    assert student.once("training", lambda: 1) == 1


def test_a_check_knows_which_of_its_exercise_failed_before() -> None:
    told: list[list[str]] = []

    @declare("thing")
    def fails(student: Any, draw: Any) -> None:
        """It fails."""
        student.no_such_name  # noqa: B018

    @declare("thing")
    def passes(student: Any, draw: Any) -> None:
        """It passes."""
        told.append(list(student.failed))

    checks = collect_checks({"a": passes, "b": fails, "c": passes})
    run_checks(checks, local_student({}), "seed")
    assert told == [[], ["It fails."]]


def answered(mini: Course, double: str) -> Submission:
    """Return a submission to the small course whose cell of `double` is this."""
    unit = mini.unit("00_mini")
    cells, _ = read_notebook(unit.release_path.read_bytes())
    submission = align(cells, unit)
    for program in submission.programs:
        if program.exercise == "double":
            vars(program)["source"] = double
    return submission


@linux
def test_what_was_found_outlives_the_process(mini: Course, mini_sandbox: Sandbox) -> None:
    """The judge hands it on to the next process, so that a training that ends the first one is not begun again."""
    from autograder.judge import _Examination

    attempts = []

    def train(student: Any) -> None:
        attempts.append(1)
        student.double(1.0)

    @declare("double")
    def first(student: Any, draw: Any) -> None:
        """One."""
        student.once("training", lambda: train(student))

    @declare("double")
    def second(student: Any, draw: Any) -> None:
        """Two."""
        student.once("training", lambda: train(student))

    submission = answered(mini, "import os\ndef double(x): os._exit(3)")
    examination = _Examination(submission, mini_sandbox, "seed", ends_at=time.monotonic() + 30)
    outcomes, _ = examination._run(submission.unit.exercise("double"), collect_checks({"a": first, "b": second}))
    mini_sandbox.end()
    assert [o.status for o in outcomes] == [Status.GONE, Status.GONE]
    assert outcomes[0].message == outcomes[1].message
    assert attempts == [1]


# -- processor time and time -------------------------------------------------------------------------------------------------

WORK = """
import time, threading, torch

def work(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

def in_threads(seconds):
    threads = [threading.Thread(target=work, args=(seconds,)) for _ in range(2)]
    for t in threads: t.start()
    for t in threads: t.join()

def sleeps(seconds):
    time.sleep(seconds)

def lies(seconds):
    import resource
    work(seconds)
    time.process_time = time.clock_gettime = lambda *a: 0.0
    resource.getrusage = lambda *a: None

def ends(seconds):
    import os
    os._exit(3)
"""


@pytest.fixture(scope="module", params=["isolated", "unsandboxed"])
def box(request: pytest.FixtureRequest, mini: Course) -> Iterator[Sandbox]:
    with open_sandbox(mini, isolated=request.param == "isolated") as opened:
        yield opened


@linux
@pytest.mark.parametrize(("name", "seconds", "least", "most"), [
    ("work", 0.2, 0.19, 0.4), ("in_threads", 0.1, 0.19, 0.4), ("sleeps", 0.3, 0.0, 0.15), ("lies", 0.2, 0.19, 0.4),
])  # fmt: skip
def test_processor_time_is_the_kernels(box: Sandbox, name: str, seconds: float, least: float, most: float) -> None:
    student = Student(box.open())
    student.run("work", WORK)
    before = student.seconds()
    getattr(student, name)(seconds)
    assert least <= student.seconds() - before <= most
    assert student.seconds() >= before


@linux
def test_of_a_process_that_is_gone_there_is_none(box: Sandbox) -> None:
    student = Student(box.open())
    student.run("work", WORK)
    with pytest.raises(StudentGone) as gone:
        student.ends(0)
    with pytest.raises(StudentGone) as again:
        student.seconds()
    assert again.value is gone.value
    student = Student(box.open())  # and the next one has its own
    student.run("work", WORK)
    assert 0 <= student.seconds() < 5


@linux
def test_a_process_that_ends_unasked_is_noticed(box: Sandbox) -> None:
    student = Student(box.open())
    student.run("work", WORK + "\nthreading.Timer(0.05, lambda: __import__('os')._exit(3)).start()")
    time.sleep(0.5)
    gone = False
    while not gone:  # its clock is there until its parent has waited for it
        try:
            student.seconds()
            student.work(0.0)
        except StudentGone:
            gone = True
    assert Student(box.open()).seconds() >= 0


@linux
def test_what_the_judge_computes_is_not_counted(box: Sandbox) -> None:
    process = box.open()
    process.ends_at = ends_at = time.monotonic() + 5
    student = Student(process)
    with student.waiting():
        time.sleep(0.1)
    assert 0.1 <= process.ends_at - ends_at <= 0.5
    student.grant(60)
    assert process.ends_at - ends_at >= 60
    local = local_student({})
    with local.waiting():
        local.grant(1, processor=1)
    assert local.seconds() > 0


@linux
def test_the_time_that_was_used_up_is_the_time_it_had(mini: Course, mini_sandbox: Sandbox) -> None:
    """With what was granted and without what the judge took, in the process that had it and in what comes after."""
    from autograder.judge import _Examination

    @declare("double")
    def granting(student: Any, draw: Any) -> None:
        """It is granted time, and uses it up."""
        with student.waiting():
            time.sleep(0.2)
        student.grant(120)
        examination.process.ends_at = time.monotonic() + 0.1
        student.double(1.0)

    @declare("double")
    def late(student: Any, draw: Any) -> None:
        """It comes too late."""

    submission = answered(mini, "import time\ndef double(x): time.sleep(60)")
    examination: Any = _Examination(submission, mini_sandbox, "seed", ends_at=time.monotonic() + 60, total_s=60)
    outcomes, _ = examination._run(submission.unit.exercise("double"), collect_checks({"a": granting, "b": late}))
    mini_sandbox.end()
    assert [o.code for o in outcomes] == ["gone:budget"] * 2
    assert all("the 180 seconds for one submission were used up" in o.message for o in outcomes)


@pytest.fixture(scope="module", params=["isolated", "unsandboxed"])
def brief(request: pytest.FixtureRequest, mini: Course) -> Iterator[Sandbox]:
    """A sandbox in which a submission has one second of processor time."""
    with Sandbox([mini.notebooks], [], ["torch"], Limits(cpu_s=1), isolated=request.param == "isolated") as opened:
        yield opened


def used_up(student: Student, most: float) -> float:
    """Work until the process is ended, which has to be for its processor time. Return what it was seen to have used."""
    seconds = 0.0
    try:
        while seconds < most:
            student.work(0.2)
            seconds = student.seconds()
    except StudentGone as gone:
        assert gone.code == "cpu"  # noqa: PT017
        return seconds
    pytest.fail(f"it went on after {seconds:.1f} seconds")


STUBBORN = """
import signal
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXCPU])
"""
UNLIMITED = """
import resource
_, most = resource.getrlimit(resource.RLIMIT_CPU)
resource.setrlimit(resource.RLIMIT_CPU, (most, most))
"""


@linux
@pytest.mark.parametrize("trick", ["", STUBBORN], ids=["", "stubborn"])
def test_processor_time_ends_where_the_judge_says(brief: Sandbox, trick: str) -> None:
    """Also for code that catches the kernel's signal, a second later; and what one was granted the next one has not."""
    for granted in (0, 2, 0):
        student = Student(brief.open())
        student.run("work", WORK + trick)
        student.grant(0, processor=granted)
        assert granted + 0.5 <= used_up(student, granted + 5) <= granted + 2.5


@linux
def test_nobody_grants_processor_time_to_himself(brief: Sandbox) -> None:
    student = Student(brief.open())
    if brief.isolated:
        with pytest.raises(StudentError) as raised:
            student.run("unlimited", UNLIMITED)
        assert raised.value.types[0] == "ValueError"  # Python's word for EPERM here
    else:  # where nothing is refused, the warm process looks at the clock all the same
        student.run("unlimited", UNLIMITED)
    student.run("work", WORK)
    assert used_up(student, 5) <= 2.5


@linux
def test_what_is_granted_to_a_process_that_is_gone_no_other_gets(brief: Sandbox) -> None:
    process = brief.open()
    student = Student(process)
    student.run("work", WORK)
    with pytest.raises(StudentGone):
        student.ends(0)
    process.grant(0, processor=60)
    student = Student(brief.open())
    student.run("work", WORK)
    assert used_up(student, 5) <= 1.5


# -- hidden files ------------------------------------------------------------------------------------------------------------


@linux
def test_a_file_that_a_unit_hides_cannot_be_read_at_grading(mini: Course) -> None:
    secret = mini.notebooks / "secret.txt"
    secret.write_text("planted")
    source = f"print(open({str(secret)!r}).read()[0])"
    unit = mini.unit("00_mini")
    course = Course.open(mini.notebooks, mini.solutions)
    vars(course.unit("00_mini"))["about"] = {**unit.about, "hides": ["secret.txt"]}
    with Sandbox([course.notebooks], course.hidden, limits=Limits()) as sandbox, pytest.raises(StudentError) as raised:
        Student(sandbox.open()).run("read", source)
    assert raised.value.types[0] == "PermissionError"
    with Sandbox([course.notebooks], [], limits=Limits()) as sandbox:
        Student(sandbox.open()).run("read", source)
    secret.unlink()


def test_only_files_of_the_learners_folder_can_be_hidden(mini: Course) -> None:
    course = Course.open(mini.notebooks, mini.solutions)
    vars(course.unit("00_mini"))["about"] = {"hides": ["../solutions/00_mini.py"]}
    with pytest.raises(CourseError, match="not in notebooks"):
        _ = course.hidden


def test_one_check_alone_is_enough() -> None:
    @declare("thing")
    def measures(student: Any, draw: Any) -> dict[str, float]:
        """It measures."""
        return {"seconds": 0 * student.seconds()}

    (check,) = collect_checks({"measures": measures})
    assert run_check(check, local_student({}), "seed").scores == (("seconds", 0.0),)
