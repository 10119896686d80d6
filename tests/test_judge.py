"""Grading one submission, on a course that has nothing to do with regularization."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import psutil
import pytest

from autograder import judge
from autograder.checks import Check, Outcome, Status, run_check
from autograder.course import Course
from autograder.judge import grade
from autograder.report import ExerciseReport, Report, State
from autograder.sandbox import Limits, Sandbox
from tests.conftest import linux

pytestmark = linux
DOUBLE = "def double(x):\n    return 2 * x"
QUADRUPLE = "def quadruple(x):\n    return double(double(x))"

Grade = Callable[..., Report]


@pytest.fixture
def graded(answer: Callable[..., Any], mini: Course, mini_sandbox: Sandbox) -> Grade:
    def run(**sources: str) -> Report:
        return grade(json.dumps(answer(**sources)).encode(), "ada", mini, mini_sandbox, "seed", "ada.ipynb")

    return run


def exercise(report: Report, name: str) -> ExerciseReport:
    return next(e for e in report.exercises if e.name == name)


def test_solution_earns_all_and_stub_nothing(mini: Course, mini_sandbox: Sandbox) -> None:
    unit = mini.unit("00_mini")
    solved = grade(unit.solution_path.read_bytes(), "ada", mini, mini_sandbox, "seed")
    untouched = grade(unit.release_path.read_bytes(), "ada", mini, mini_sandbox, "seed")
    assert (solved.points, solved.max_points, untouched.points) == (6, 6, 0)
    assert {c.status for e in untouched.exercises for c in e.checks} == {Status.NOT_STARTED}
    assert "untouched" in untouched.exercises[0].sentence


def test_a_known_mistake_is_diagnosed(graded: Grade) -> None:
    report = exercise(graded(double="def double(x):\n    return x * x"), "double")
    assert report.points < report.max_points
    assert report.diagnosis
    assert report.diagnosis.mistake == "squares"


def test_a_fault_is_not_counted_twice(graded: Grade) -> None:
    """A right version of `double` stands in for a wrong one when `quadruple` is graded."""
    report = graded(double="def double(x):\n    return x * x", quadruple=QUADRUPLE)
    quadruple = exercise(report, "quadruple")
    assert quadruple.points == quadruple.max_points
    assert quadruple.stand_ins == ["double"]


def test_a_missing_prerequisite_is_stood_in_for(graded: Grade) -> None:
    assert exercise(graded(quadruple=QUADRUPLE), "quadruple").points == 2


def test_two_wrongs_that_make_a_right_are_right(graded: Grade) -> None:
    """Where the learner's own version suits the exercise built on it, it is kept."""
    report = graded(double="def double(x):\n    return 4 * x", quadruple="def quadruple(x):\n    return double(x)")
    quadruple = exercise(report, "quadruple")
    assert (quadruple.points, quadruple.stand_ins) == (2, [])


def test_no_reference_is_in_the_students_process(graded: Grade) -> None:
    """What stands in is a question to the judge: its source is this engine's, not the solution's."""
    spy = "import inspect\ndef quadruple(x):\n    raise ValueError(inspect.getsource(double) + str(double.__closure__))"
    sentence = exercise(graded(double="def double(x):\n    return 0", quadruple=spy), "quadruple").sentence
    assert "twice_what_was_given" not in sentence


def test_the_judge_cannot_be_asked_for_anything_else(graded: Grade) -> None:
    ask = (
        "def quadruple(x):\n    from autograder import wire\n    import os\n"
        "    os.write(3, wire.encode({'ask': 'quadruple', 'args': [x], 'kwargs': {}}))\n    return x"
    )
    report = exercise(graded(double="def double(x):\n    return 0", quadruple=ask), "quadruple")
    assert report.points == 0
    assert {c.status for c in report.checks} == {Status.GONE}


def test_the_library_version_earns_nothing_and_is_named(graded: Grade) -> None:
    report = exercise(graded(double="def double(x):\n    return torch.ldexp(x, torch.tensor(1))"), "double")
    assert report.points == 0
    assert report.library == ["ldexp (line 2)"]
    assert "your own version" in report.sentence


def test_the_library_version_is_noticed_at_run_time(graded: Grade) -> None:
    hidden = "def double(x):\n    return getattr(torch, 'ld' + 'exp')(x, torch.tensor(1))"
    assert exercise(graded(double=hidden), "double").library == ["ldexp"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def double(x):\n    return 2 *", "is not valid Python"),
        ("raise RuntimeError('no')\n" + DOUBLE, "stopped with RuntimeError: no (line 1: `raise RuntimeError('no')`)"),
        ("import os\nos._exit(0)", "ended the Python process itself"),
        ("import ctypes\nctypes.string_at(0)", "crashed"),
        ("def dubble(x): pass", "renamed"),
    ],
)
def test_a_cell_that_cannot_run_says_why(graded: Grade, source: str, sentence: str) -> None:
    report = graded(double=source, quadruple="def quadruple(x):\n    return 4 * x")
    double = exercise(report, "double")
    assert double.points == 0
    assert sentence in " ".join([double.sentence, *double.notes])
    assert exercise(report, "quadruple").points == 2  # the other exercise is graded all the same


def test_an_exception_after_the_definition_costs_nothing(graded: Grade) -> None:
    double = exercise(graded(double=DOUBLE + "\n1 / 0"), "double")
    assert double.points == double.max_points
    assert "ZeroDivisionError" in double.notes[0]


def test_a_crash_costs_the_check_that_caused_it(graded: Grade) -> None:
    crash = "def double(x):\n    if x.numel() > 100:\n        import os; os._exit(1)\n    return 2 * x"
    double = exercise(graded(double=crash), "double")
    assert [c.status for c in double.checks] == [Status.PASSED, Status.PASSED, Status.GONE]


def test_objects_that_lie_fool_nobody(graded: Grade) -> None:
    liar = (
        "class Liar(torch.Tensor):\n"
        "    @classmethod\n"
        "    def __torch_function__(cls, *args, **kwargs): return True\n"
        "    def __eq__(self, other): return True\n"
        "def double(x):\n    return x.as_subclass(Liar)"
    )
    assert exercise(graded(double=liar), "double").points <= 1


def test_a_hang_costs_the_check_that_caused_it(graded: Grade) -> None:
    hang = "def double(x):\n    while x.numel() > 100: pass\n    return 2 * x"
    double = exercise(graded(double=hang), "double")
    assert [c.status for c in double.checks] == [Status.PASSED, Status.PASSED, Status.GONE]
    assert "loop" in double.sentence


def test_a_cell_with_data_in_it_is_refused_in_a_sentence(graded: Grade) -> None:
    report = graded(double="#" * 150_000 + "\n" + DOUBLE, quadruple="def quadruple(x):\n    return 4 * x")
    assert "too large, 150 KB" in exercise(report, "double").sentence
    assert exercise(report, "quadruple").points == 2


def test_a_notebook_of_code_without_end_is_refused_in_a_sentence(graded: Grade) -> None:
    report = graded(double="#" * 20_000_000)
    assert report.state is State.UNREADABLE
    assert "20.0 MB of code" in report.sentence


def test_what_the_judge_stumbles_over_is_its_own_fault(
    graded: Grade, monkeypatch: pytest.MonkeyPatch, mini: Course
) -> None:
    def stumble(*args: object) -> None:
        raise RecursionError("ours")

    with monkeypatch.context() as patched:
        patched.setattr("autograder.judge.align", stumble)
        report = graded(double=DOUBLE)
    assert report.state is State.FAILED
    assert "not your fault" in report.sentence
    assert report.broken
    assert graded(double=DOUBLE).points == 4  # and the next is graded


def test_a_submission_has_a_time_in_all(answer: Callable[..., Any], mini: Course) -> None:
    """However it spends it: here each call sleeps for less than one answer may take."""
    slow = "import time\ndef double(x):\n    time.sleep(0.4)\n    return 3 * x"
    with Sandbox([mini.notebooks], [], ["torch"], Limits(total_s=1.0, answer_s=5.0)) as box:
        notebook = answer(double=slow, quadruple="def quadruple(x):\n    return 4 * x")
        report = grade(json.dumps(notebook).encode(), "ada", mini, box, "seed")
    late = [c for e in report.exercises for c in e.checks if c.code == "gone:budget"]
    assert late
    assert all("the 1 seconds for one submission were used up" in c.message for c in late)


def test_a_stand_in_that_is_prevented_costs_nothing_more(graded: Grade) -> None:
    for trick in ("raise SystemExit", "import os; os._exit(3)"):
        prevent = (
            "import autograder.probes as p\ndef no(self, name):\n    " + trick + "\np.ProbeServer._do_replace = no\n"
        )
        report = graded(double=prevent + "def double(x):\n    return 0 * x", quadruple=QUADRUPLE)
        assert report.state is State.GRADED
        assert exercise(report, "quadruple").points == 0


def test_torchs_own_not_implemented_is_no_stub(graded: Grade) -> None:
    double = exercise(graded(double="def double(x):\n    raise NotImplementedError('for this dtype')"), "double")
    assert {c.status for c in double.checks} == {Status.RAISED}
    assert "for this dtype" in double.sentence


def test_a_learner_who_breaks_python_is_told_so(graded: Grade) -> None:
    double = exercise(graded(double="import builtins\nbuiltins.isinstance = None\n" + DOUBLE), "double")
    assert "leave builtins" in double.sentence


@pytest.mark.parametrize(
    "value", ["None", "'yes'", "x[0]", "x * float('nan')", "x.double()[:0]", "lambda: 1", "[x] * 3"]
)
def test_any_answer_is_a_failure_with_a_sentence(graded: Grade, value: str) -> None:
    double = exercise(graded(double=f"def double(x):\n    return {value}"), "double")
    assert not any(c.status is Status.BROKEN for c in double.checks)
    assert double.checks[0].status is Status.FAILED
    assert double.checks[0].message


def test_a_broken_check_is_loud(graded: Grade, mini: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(student: Any, draw: Any) -> None:
        raise ZeroDivisionError("ours")

    unit = mini.unit("00_mini")
    check = Check("double", "broken", 1, "It cannot run.", broken)
    monkeypatch.setitem(unit.__dict__, "public_checks", [*unit.public_checks, check])
    report = graded(double=DOUBLE)
    assert len(report.broken) == 1
    assert "ZeroDivisionError" in report.broken[0]


def test_unreadable_is_a_report_too(mini: Course, mini_sandbox: Sandbox) -> None:
    report = grade(b"{", "ada", mini, mini_sandbox, "seed", "00_mini.ipynb")
    assert (report.state, report.points, report.max_points, report.unit) == (State.UNREADABLE, 0, 6, "00_mini")
    assert "not valid JSON" in report.sentence


def test_reports_fit_their_schema(graded: Grade) -> None:
    for report in (graded(), graded(double=DOUBLE), graded(double="def double(x): return x")):
        jsonschema.validate(json.loads(report.model_dump_json()), Report.model_json_schema())


def test_the_same_seed_gives_the_same_report(graded: Grade) -> None:
    first, second = (graded(double="def double(x):\n    return x + torch.rand(1)") for _ in range(2))
    assert first.model_copy(update={"seconds": 0}) == second.model_copy(update={"seconds": 0})


def test_written_answers_are_kept_for_a_person(graded: Grade) -> None:
    assert [w.answered for w in graded().written] == [False]
    written = graded(why="Because.").written[0]
    assert (written.answered, written.answer) == (True, "Because.")


def kill(sandbox: Sandbox) -> None:
    """Kill a sandbox from outside, and wait until all that ran in it is gone."""
    inside = psutil.Process(sandbox._process.pid).children(recursive=True)
    sandbox._process.kill()
    psutil.wait_procs(inside)


@pytest.mark.parametrize("kills", [1, 2, 3])
def test_a_sandbox_killed_from_outside_costs_nothing_in_silence(
    graded: Grade, mini_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    left = kills

    def run_after_a_kill(*arguments: Any) -> Outcome:
        nonlocal left
        if left:
            left -= 1
            kill(mini_sandbox)
        return run_check(*arguments)

    monkeypatch.setattr("autograder.judge.run_check", run_after_a_kill)
    report = graded(double=DOUBLE, quadruple=QUADRUPLE)
    assert report.broken == ["double.doubles: the sandbox that the code ran in was killed from outside"] * (kills == 3)
    assert report.points == report.max_points - 2 * (kills == 3)


@pytest.mark.parametrize("where", ["run", "replace"])
def test_nor_while_cells_run_or_a_right_version_comes_to_stand_in(
    graded: Grade, mini_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(judge, "MOST_LOSSES", 1)
    kills, original = 2, getattr(judge.Student, where)

    def killed(*arguments: Any) -> Any:
        nonlocal kills
        if kills:
            kills -= 1
            kill(mini_sandbox)
        return original(*arguments)

    monkeypatch.setattr(judge.Student, where, killed)
    answers = {"double": "def double(x):\n    return x * x" if where == "replace" else DOUBLE, "quadruple": QUADRUPLE}
    lost = graded(**answers)
    assert kills == 0
    assert len(lost.broken) == 1
    assert "killed from outside" in lost.broken[0]
    assert [e.key for e in lost.exercises].count("") == 1  # it is tried again
    assert graded(**answers).points > lost.points
