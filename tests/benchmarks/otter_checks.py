"""Runs one of the course's checks on a learner's objects inside Otter: a support file of the assignment made for it.

Otter decides pass or fail in the process that runs the learner's code, from an exception; so does this, with the same checks,
points and secret inputs as the judge's.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from autograder.checks import Status, run_check
from autograder.course import Course, Unit
from autograder.probes import random_state_kept
from autograder.student import local_student

SEED = secrets.token_hex(16)


def verify(namespace: MutableMapping[str, Any], stem: str, exercise: str, name: str) -> None:
    """Run a check on what the learner's notebook defined. Raises AssertionError unless it passes."""
    unit = _unit(stem)
    check = next(c for c in unit.checks(exercise) if c.name == name)
    with random_state_kept():
        outcome = run_check(check, local_student(namespace), SEED, unit.reference)
    if outcome.status is not Status.PASSED:
        raise AssertionError(outcome.message)


@cache
def _unit(stem: str) -> Unit:
    return Course.find().unit(stem)


def otter_test(unit: Unit, exercise: str) -> str:
    """Return the source of Otter's test file for an exercise: one test case a check."""
    lines = [
        "OK_FORMAT = False", "", "from otter.test_files import test_case", "from otter_checks import verify", "",
        f"name = {exercise!r}", "points = None", "",
    ]  # fmt: skip
    for check in unit.checks(exercise):
        lines += [
            "", f"@test_case(name={check.name!r}, points={check.points}, hidden={check.graded_only})",
            f"def {check.name}(env):", f"    verify(env, {unit.stem!r}, {exercise!r}, {check.name!r})", "",
        ]  # fmt: skip
    return "\n".join(lines)
