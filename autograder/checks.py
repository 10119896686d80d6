"""Checks and exercises: how they are declared, loaded and run.

A check module is plain Python: an `EXERCISES` tuple, and functions under `@check`. Nothing is registered anywhere; the
loader reads the module, in the order it was written.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import torch

from autograder.draw import Draw
from autograder.evidence import Evidence
from autograder.expect import Failure
from autograder.probes import seed_torch
from autograder.student import Student, StudentError, StudentGone

Scores = Mapping[str, float]
F = TypeVar("F", bound=Callable[..., "Scores | None"])

MOST_WORDS = 12
_OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


@dataclass(frozen=True)
class Exercise:
    """One thing to implement.

    Attributes:
        name: the function or class the learner writes.
        hints: three, each telling more than the one before.
        forbids: names of library functions, classes and arguments ("keepdim=") that would be the answer; see
            `source.library_calls`.
        uses: other exercises of the unit it may build on; a right version stands in where the learner's own fails.
    """

    name: str
    hints: tuple[str, str, str]
    forbids: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One thing that must hold; its docstring is what the learner reads.

    The function takes `student`, `draw` and, graded-only checks alone, `reference` (the solution's own namespace). It may
    return scores, {name: number}: what was measured and is worth telling, whatever points it earns.
    """

    exercise: str
    name: str
    points: int
    statement: str
    function: Callable[..., Scores | None] = field(repr=False, compare=False)
    graded_only: bool = False


class Status(StrEnum):
    """How a check ended. All but PASSED earn nothing."""

    PASSED = "passed"
    FAILED = "failed"
    RAISED = "raised"
    NOT_STARTED = "not started"
    GONE = "no answer"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    """What came of one check. `code` feeds the diagnosis, `message` the learner."""

    check: Check
    status: Status
    code: str = ""
    message: str = ""
    evidence: tuple[Evidence, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()

    @property
    def points(self) -> int:
        return self.check.points if self.status is Status.PASSED else 0


def check(exercise: str, *, points: int = 1) -> Callable[[F], F]:
    """Declare a function a check of `exercise`, worth `points`. Its docstring's first paragraph is shown to learners."""
    if points < 1:
        raise ValueError(f"a check needs at least 1 point, got {points}")

    def mark(function: F) -> F:
        function.__check__ = (exercise, points)  # type: ignore[attr-defined]
        return function

    return mark


def load_module(path: Path) -> dict[str, Any]:
    """Execute a trusted Python file and return its namespace."""
    spec = importlib.util.spec_from_file_location(f"_course_{path.parent.name}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up what their annotations name
    spec.loader.exec_module(module)
    return vars(module)


def collect_checks(namespace: dict[str, Any], graded_only: bool = False) -> list[Check]:
    """Return the checks of a module's namespace, in source order."""
    found = []
    for function in namespace.values():
        declared = getattr(function, "__check__", None)
        if declared is None:
            continue
        exercise, points = declared
        statement = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        if not statement:
            raise ValueError(f"check {function.__name__} has no docstring, which is what learners read")
        found.append(Check(exercise, function.__name__, points, statement, function, graded_only))
    return found


def check_names(namespace: dict[str, Any], exercise: str) -> set[str]:
    """Return what the checks of an exercise are called in a module's namespace."""
    return {name for name, value in namespace.items() if getattr(value, "__check__", ("",))[0] == exercise}


def collect_exercises(namespace: dict[str, Any]) -> tuple[Exercise, ...]:
    """Return a check module's EXERCISES."""
    return tuple(namespace.get("EXERCISES", ()))


def run_check(check: Check, student: Student, seed: str, reference: Any = None) -> Outcome:
    """Run one check against a student handle.

    Args:
        seed: where inputs come from: see `Draw`.
        reference: given to checks that ask for it.

    Raises:
        StudentGone: the student process cannot answer any more.
    """
    outcome = _outcome(check, student, seed, reference)
    if outcome.status is not Status.PASSED:
        student.failed.append(check.statement)
    return outcome


def _outcome(check: Check, student: Student, seed: str, reference: Any) -> Outcome:
    draw = Draw(seed, f"{check.exercise}.{check.name}")
    extra = {"reference": reference} if "reference" in inspect.signature(check.function).parameters else {}
    try:
        student.forget()
        seed_torch(draw.judge_seed)  # a stochastic reference is repeatable, and its coins nobody's to foresee
        student.seed(draw.student_seed)
        scores = _plain(check.function(student, draw, **extra) or {})
    except Failure as failure:
        return Outcome(check, Status.FAILED, failure.code, failure.message, failure.evidence)
    except StudentError as error:
        if error.not_started:
            return Outcome(check, Status.NOT_STARTED, "not_started", f"{check.exercise} is still to do")
        return Outcome(check, Status.RAISED, f"raised:{error.types[0]}:{normal_words(error.message)}", error.sentence())
    except StudentGone:
        raise
    # Anything else is our fault, never the learner's, and must not pass unnoticed.
    except Exception as error:
        return Outcome(check, Status.BROKEN, "broken", f"this check itself is broken, tell your instructor: {error!r}")
    return Outcome(check, Status.PASSED, scores=scores)


def _plain(scores: Scores) -> tuple[tuple[str, float], ...]:
    if not all(math.isfinite(value) for value in scores.values()):
        raise ValueError(f"scores that are no numbers: {scores}")
    return tuple((str(name), float(value)) for name, value in scores.items())


def normal_words(message: str) -> str:
    """Reduce an error's message to its words, so that errors of one kind are alike whatever the seed and sizes.

    Numbers and punctuation go, names of what was called, and names in quotes but those of what every module has: whoever
    forgets `super().__init__()` lacks `_modules`.
    """
    quoted = re.sub(r"'([^']*)'", lambda name: f" {name[1]} " if name[1] in _OF_EVERY_MODULE else " ", message)
    quoted = re.sub(r"[\w.]+\(\)", " ", quoted)
    return " ".join(re.findall(r"[A-Za-z_]+", quoted)[:MOST_WORDS]).lower()


def run_checks(checks: Iterable[Check], student: Student, seed: str, reference: Any = None) -> list[Outcome]:
    """Run checks one after the other against a student that cannot go away."""
    return [run_check(each, student, seed, reference) for each in checks]


def fingerprint(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return what was observed: {check name: code} for each check that did not pass."""
    return {o.check.name: o.code for o in outcomes if o.status is not Status.PASSED}
