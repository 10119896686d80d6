"""Graded-only checks of the small course."""

from __future__ import annotations

from typing import Any

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw


@check("double", points=1)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """It agrees with the reference on larger input."""
    x = draw.normal(30, 40)
    expect.close(expect.call(student.double, x), reference.double(x))
