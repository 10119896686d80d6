"""Functions of the checks' own that run where the learner's code does: the same in a notebook and across the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from autograder.checks import Outcome, Status, collect_checks, run_check
from autograder.checks import check as declare
from autograder.sandbox import Sandbox
from autograder.student import Fixture, Remote, Student, StudentError, fixture, local_student
from tests.conftest import linux

STEP = """
import torch

def step(params, lr):
    with torch.no_grad():
        for p in params:
            p -= lr * p.grad
    return {"seen": [id(p) for p in params]}

def fails(params, lr):
    return params[0].no_such_thing
"""


@fixture
def stepped(step: Any, values: list[torch.Tensor], lr: float, options: dict[str, Any]) -> list[torch.Tensor]:
    params = [torch.nn.Parameter(value.clone()) for value in values]
    for p in params:
        p.grad = torch.ones_like(p)
    state = step(params, lr)
    assert state["seen"] == [id(p) for p in params], "what a learner returns stays here"
    assert options["step"] is step, "a dictionary's values are found, too"
    return [p.detach() for p in params]


@fixture
def tells_its_globals() -> list[str]:
    return sorted(globals())


@fixture
def fails_itself() -> None:
    raise RuntimeError("the fixture's own")


@pytest.fixture(params=["notebook", pytest.param("sandbox", marks=linux)])
def student(request: pytest.FixtureRequest) -> Iterator[Student]:
    if request.param == "notebook":
        namespace: dict[str, Any] = {}
        exec(STEP, namespace)
        yield local_student(namespace)
    else:
        sandbox: Sandbox = request.getfixturevalue("mini_sandbox")
        there = Student(sandbox.open())
        there.run("step", STEP)
        yield there


def test_it_works_on_what_cannot_travel(student: Student) -> None:
    values = [torch.ones(2, 3), torch.zeros(4)]
    run = student.fixture(stepped)
    got = run(student.step, values, 0.25, {"step": student.step})
    assert [g.tolist() for g in got] == [[[0.75] * 3] * 2, [-0.25] * 4]
    assert bool((values[0] == 1).all())


def test_it_outlives_a_check_and_a_cell(student: Student) -> None:
    first = student.fixture(stepped)
    student.run("more", "more = 1")
    student.forget()
    assert student.fixture(stepped) is first
    assert len(first(student.step, [torch.ones(1)], 1.0, {"step": student.step})) == 1


def test_it_knows_nothing_of_the_learners_names_nor_of_its_module(student: Student) -> None:
    assert student.fixture(tells_its_globals)() == ["__builtins__", "__name__", "tells_its_globals", "torch"]
    with pytest.raises(StudentError):
        _ = student.tells_its_globals


def test_a_learners_error_in_it_is_shown_on_the_learners_line(student: Student) -> None:
    with pytest.raises(StudentError) as raised:
        student.fixture(stepped)(student.fails, [torch.ones(1)], 1.0, {})
    assert raised.value.types[0] == "AttributeError"
    if student._transport.__class__.__name__ != "LocalTransport":  # exec'd here without a cell
        assert raised.value.source == "return params[0].no_such_thing"
    with pytest.raises(StudentError) as raised:
        student.fixture(fails_itself)()
    assert (raised.value.where, raised.value.line, raised.value.source) == ("", 0, "")


def test_its_source_is_all_that_is_declared() -> None:
    assert isinstance(stepped, Fixture)
    assert stepped.source.startswith("def stepped(")
    assert "@fixture" not in stepped.source


def test_a_check_can_use_one(student: Student) -> None:
    @declare("step")
    def moves(student: Any, draw: Any) -> None:
        """Parameters move."""
        x = draw.signed(3)
        (got,) = student.fixture(stepped)(student.step, [x], 0.5, {"step": student.step})
        assert isinstance(student.step, Remote)
        assert torch.equal(got, x - 0.5)

    (check,) = collect_checks({"moves": moves})
    outcome: Outcome = run_check(check, student, "seed")
    assert outcome.status is Status.PASSED, outcome
