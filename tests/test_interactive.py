"""What learners see in the notebook, and as text outside one."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from autograder import check, interactive, progress, ready
from autograder.course import Course, CourseError


@pytest.fixture(autouse=True)
def _in_the_mini_course(mini: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a learner in a copy of the small course without its solutions."""
    import shutil

    shutil.copytree(mini.notebooks, tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr(interactive, "_attempts", {})
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


def test_a_right_answer_is_solved() -> None:
    verdict = check(named("double", lambda x: 2 * x))
    assert (verdict.points, verdict.max_points, verdict.solved, verdict.hint) == (3, 3, True, "")
    assert "double: 3 of 3 points (1 more at grading), solved" in repr(verdict)
    assert "✓" in verdict._repr_html_()


def test_a_known_mistake_is_explained_and_hints_unfold() -> None:
    wrong = named("double", lambda x: x * x)
    first, second, third, fourth = (check(wrong) for _ in range(4))
    assert first.diagnosis == "You square the values instead of doubling them."
    assert [v.hint for v in (first, second, third, fourth)] == ["Twice.", "Multiply.", "By two.", "By two."]
    assert "Likely mistake: You square" in repr(first)
    assert "largest difference" in first._repr_html_()


def test_a_stub_is_not_started_and_costs_no_hint() -> None:
    untouched = named("double", stub)
    for _ in range(3):
        verdict = check(untouched)
    assert verdict.headline() == "double: not started"
    assert verdict.hint == "Twice."
    assert "NotImplementedError" not in repr(verdict)


def test_an_exception_is_a_verdict_not_an_exception() -> None:
    assert "your code raised ZeroDivisionError" in repr(check(named("double", lambda x: 1 / 0)))


def test_library_versions_earn_nothing() -> None:
    verdict = check(named("double", lambda x: torch.ldexp(x, torch.tensor(1))))
    assert verdict.points == 0
    assert "yours calls ldexp" in repr(verdict)


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
    assert "No exercise" in repr(progress())
    assert [r.exercise for r in progress(whole_course=True).rows] == ["double", "quadruple"]


def test_ready_names_what_is_still_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    class Layer:
        def forward(self, x: Any) -> Any:
            raise NotImplementedError("Layer is still to do")

    done = named("double", lambda x: 2 * x)
    assert ready(done)
    assert capsys.readouterr().out == ""
    assert not ready(done, Layer)
    assert capsys.readouterr().out == (
        "This cell needs Layer, still to do: finish the exercise above, then run it again.\n"
    )


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


def test_nbgrader_is_known_by_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    class Parent:
        def __init__(self, *command: str) -> None:
            self.command = list(command)

        def cmdline(self) -> list[str]:
            return self.command

    for command, expected in (
        (("python", "/usr/bin/nbgrader", "autograde"), True),
        (("jupyter-lab", "nbgrader-notes.ipynb"), False),
    ):
        interactive._under_nbgrader.cache_clear()
        monkeypatch.setattr(psutil.Process, "parents", lambda self, command=command: [Parent(*command)])
        assert interactive._under_nbgrader() is expected
    interactive._under_nbgrader.cache_clear()
