"""Public checks of a course that has nothing to do with regularization."""

from __future__ import annotations

from typing import Any

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw

EXERCISES = (
    Exercise("double", ("Twice.", "Multiply.", "By two."), forbids=("ldexp",)),
    Exercise("quadruple", ("Twice twice.", "Use double.", "Call it on its own result."), uses=("double",)),
)


@check("double", points=2)
def doubles(student: Any, draw: Draw) -> None:
    """Every value is doubled."""
    x = draw.signed(3, 4)
    expect.close(expect.call(student.double, x), 2 * x, candidates={"square": x * x})


@check("double", points=1)
def leaves_its_input_alone(student: Any, draw: Draw) -> None:
    """The input is not written to."""
    x = draw.signed(3, 4)
    expect.unchanged(x, student.observe(expect.function(student.double), x).arguments[0])


@check("quadruple", points=2)
def quadruples(student: Any, draw: Draw) -> None:
    """Every value is multiplied by four."""
    x = draw.signed(5)
    expect.close(expect.call(student.quadruple, x), 4 * x)
