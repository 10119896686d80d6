"""What learners see in the notebook, and as text outside one."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autograder import check, interactive, progress, ready
from autograder.checks import Status
from autograder.course import Course, CourseError


@pytest.fixture(autouse=True)
def _in_the_mini_course(mini: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a learner in a copy of the small course without its solutions."""
    import shutil

    shutil.copytree(mini.notebooks, tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(interactive, "_tried", {})
    main = sys.modules["__main__"]
    before = dict(vars(main))
    yield
    for name in set(vars(main)) - set(before):
        delattr(main, name)


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = name
    setattr(sys.modules["__main__"], name, function)
    function.__module__ = "__main__"
    return function


def stub(x: Any) -> Any:
    raise NotImplementedError("double is still to do")


def ran(source: str) -> Any:
    """Run a cell as a notebook does, and return what its last line defines."""
    main = sys.modules["__main__"]
    vars(main).setdefault("In", [""]).append(source)
    exec(compile(source, "<cell>", "exec"), vars(main))
    return vars(main)["quadruple" if "def quadruple" in source else "double"]


def test_a_right_answer_is_solved() -> None:
    verdict = check(named("double", lambda x: 2 * x))
    assert (verdict.points, verdict.max_points, verdict.solved, verdict.hint) == (3, 3, True, "")
    assert "double: 3 of 3 points (1 more at grading), solved" in repr(verdict)
    assert "✓" in verdict._repr_html_()


def test_a_known_mistake_is_explained_and_hints_unfold() -> None:
    verdict = check(ran("double = lambda x: x * x"))
    assert verdict.diagnosis == "You square the values instead of doubling them."
    assert "Likely mistake: You square" in repr(verdict)
    assert "largest difference" in verdict._repr_html_()
    assert verdict._repr_html_().index("Likely mistake") < verdict._repr_html_().index("largest difference")


def test_hints_unfold_with_each_new_idea_and_not_with_typos() -> None:
    hints = [
        check(ran(source)).hint
        for source in (
            "double = lambda x: x * x",
            "double = lambda x: x * x",  # looking twice
            "double = lambda x: x.dubble()",  # a typo
            "double = lambda x: x ** 3",
            "double = lambda x: x - x",
            "double = lambda x: x + 1",
        )
    ]
    assert hints == ["Twice.", "Twice.", "Twice.", "Multiply.", "By two.", "By two."]


def test_a_syntax_error_leaves_a_caution() -> None:
    ran("double = lambda x: x * x")
    sys.modules["__main__"].In.append("def double(x:\n  return 2 * x")  # what IPython keeps of a cell that failed
    verdict = check(vars(sys.modules["__main__"])["double"])
    assert "not valid Python" in verdict.caution
    assert "Look first" in verdict._repr_html_()


def test_a_fault_of_another_exercise_is_named_first() -> None:
    ran("double = lambda x: 0 * x")
    verdict = check(ran("def quadruple(x):\n    return double(double(x))"))
    assert verdict.first == ["double"]
    assert verdict.diagnosis == ""
    assert "`double` fails its own checks" in repr(verdict)


def test_an_answer_is_known_by_the_name_it_has_in_the_notebook() -> None:
    assert check(ran("double = lambda x: 2 * x")).solved
    assert check(ran("from functools import partial\nimport torch\ndouble = partial(torch.mul, 2)")).solved
    assert ready(vars(sys.modules["__main__"])["double"])


def test_a_leftover_raise_that_is_never_reached_is_no_stub() -> None:
    code = "def double(x):\n    return 2 * x\n    raise NotImplementedError('double is still to do')"
    assert ready(ran(code))
    guard = "def double(x):\n    if x.dim() > 9: raise NotImplementedError('too many')\n    return 2 * x"
    assert ready(ran(guard))


def test_interrupting_a_check_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(ran("def double(x):\n    raise KeyboardInterrupt")) is None
    assert "Stopped while checking double: is there a loop" in capsys.readouterr().out


def test_a_check_that_takes_long_says_how_to_stop_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interactive, "PATIENCE_S", 0.01)
    check(ran("import time\ndef double(x):\n    time.sleep(0.5)\n    return 2 * x"))
    assert "double is still being checked after 0.01 seconds. Is there a loop" in capsys.readouterr().out
    monkeypatch.setattr(interactive, "PATIENCE_S", 60.0)
    check(ran("def double(x): return 2 * x"))
    assert "still being checked" not in capsys.readouterr().out


def test_what_comes_again_is_not_repeated() -> None:
    shown = repr(check(ran("double = lambda x: 1 / 0")))
    assert shown.count("ZeroDivisionError") == 1
    assert "the same again" in shown


def test_a_stub_is_not_started_and_costs_no_hint() -> None:
    untouched = named("double", stub)
    for _ in range(3):
        verdict = check(untouched)
    assert verdict.headline() == "double: not started"
    assert verdict.hint == ""
    assert "NotImplementedError" not in repr(verdict)


def test_a_method_that_is_still_a_stub_is_named() -> None:
    begun = """
class double:
    def __init__(self, *x):
        pass

    def forward(self, x):
        raise NotImplementedError("double is still to do")
"""
    answer = ran(begun)
    verdict = check(answer)
    assert verdict.caution == "`forward` is still to do."
    assert "Look first: `forward` is still to do." in repr(verdict)
    verdict.outcomes = [replace(o, status=Status.NOT_STARTED) for o in verdict.outcomes]
    assert verdict.headline() == "double: under way"
    untouched = ran(begun.replace("pass", 'raise NotImplementedError("double is still to do")'))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(interactive, "_cell_source", lambda name: "")
        assert check(untouched).caution == ""


def test_an_exception_is_a_verdict_not_an_exception() -> None:
    assert "your code raised ZeroDivisionError" in repr(check(named("double", lambda x: 1 / 0)))


def test_library_versions_earn_nothing() -> None:
    verdict = check(named("double", lambda x: torch.ldexp(x, torch.tensor(1))))
    assert verdict.points == 0
    assert "library's ldexp" in repr(verdict)


def test_the_learners_random_state_is_left_alone() -> None:
    torch.manual_seed(1)
    random.seed(1)
    check(named("double", lambda x: 2 * x + 0 * torch.rand(1)))
    after = (torch.rand(1).item(), random.random())
    torch.manual_seed(1)
    random.seed(1)
    assert after == (torch.rand(1).item(), random.random())


def test_the_verdict_is_the_same_every_time() -> None:
    noisy = named("double", lambda x: 2 * x + 1e-3 * torch.rand(1))
    assert [o.message for o in check(noisy).outcomes] == [o.message for o in check(noisy).outcomes]


def test_what_cannot_be_checked_is_said() -> None:
    with pytest.raises(TypeError, match=r"as in check\(accuracy\)"):
        check(3)  # type: ignore[arg-type]
    with pytest.raises(CourseError, match="no exercise of this course is called dubble"):
        check(named("dubble", lambda x: x))


def test_progress_is_kept_for_the_next_session() -> None:
    check(named("double", lambda x: 2 * x))
    named("quadruple", stub)
    table = progress()
    assert [(r.exercise, r.points, r.state) for r in table.rows] == [
        ("double", 3, "solved"),
        ("quadruple", None, "not started"),
    ]
    assert repr(table).startswith("3 of 5 points, 1 of 2 exercises solved")
    assert "solved" in table._repr_html_()
    Path(".progress.json").write_text("damaged")
    assert progress().rows[0].points is None


def test_progress_of_an_empty_notebook() -> None:
    assert "whole_course=True" in repr(progress())
    assert [r.exercise for r in progress(whole_course=True).rows] == ["double", "quadruple"]


def test_progress_leaves_out_a_unit_whose_exercise_only_shares_its_name_with_a_value() -> None:
    sys.modules["__main__"].double = 0.9  # type: ignore[attr-defined]
    try:
        assert progress().rows == []
    finally:
        del sys.modules["__main__"].double  # type: ignore[attr-defined]


def test_ready_names_what_is_still_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    class Layer:
        def forward(self, x: Any) -> Any:
            raise NotImplementedError("Layer is still to do")

    done = named("double", lambda x: 2 * x)
    assert ready(done)
    assert capsys.readouterr().out == ""
    assert not ready(done, Layer)
    assert capsys.readouterr().out == ("Still to do: Layer. Then run this cell again.\n")


def test_importing_the_package_is_light() -> None:
    """The sandbox's warm process imports it, and must not get the judge's side with it."""
    code = "import sys, autograder; assert not {'torch', 'pydantic', 'matplotlib', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def under_nbgrader(mini: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instructor's `nbgrader autograde`, inside the course, so that the solutions are there."""
    monkeypatch.chdir(mini.notebooks)
    monkeypatch.setattr(interactive, "_under_nbgrader", lambda: True)


@pytest.mark.usefixtures("under_nbgrader")
def test_nbgrader_reads_the_points_of_all_checks() -> None:
    assert float(repr(check(named("double", lambda x: 2 * x)))) == 4
    assert float(repr(check(named("double", lambda x: x * x)))) == 1
    assert float(repr(check(named("double", stub)))) == 0
    assert "✓" in check(named("double", lambda x: 2 * x))._repr_html_()


@pytest.mark.usefixtures("under_nbgrader")
def test_nbgrader_does_not_count_a_fault_twice() -> None:
    wrong = named("double", lambda x: x * x)
    code = compile("def quadruple(x): return double(double(x))", "cell", "exec")
    exec(code, vars(sys.modules["__main__"]))
    quadruple = vars(sys.modules["__main__"])["quadruple"]
    quadruple.__module__ = "__main__"
    assert float(repr(check(quadruple))) == 2
    assert vars(sys.modules["__main__"])["double"] is wrong


def test_nbgrader_says_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not interactive._under_nbgrader()
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")
    assert not interactive._under_nbgrader()
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert interactive._under_nbgrader()
