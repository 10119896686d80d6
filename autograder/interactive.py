"""What learners call in a notebook: `check`, `progress` and `ready`. Outside a notebook the same as text."""

from __future__ import annotations

import json
import os
import secrets
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograder import source as static
from autograder.checks import Check, Exercise, Outcome, Status, fingerprint, run_checks
from autograder.course import Course, CourseError, Unit
from autograder.draw import PUBLIC_SEED
from autograder.mistakes import KnownMistake, diagnose
from autograder.probes import random_state_kept
from autograder.student import local_student
from autograder.verdict import ProgressTable, Standing, Verdict

_PROGRESS_FILE = ".progress.json"
_attempts: dict[str, int] = {}


def check(exercise: Callable[..., Any]) -> Verdict:
    """Check your answer to an exercise and show the result.

    Args:
        exercise: the function or class itself, as in `check(accuracy)`.

    Raises:
        TypeError: it is neither.
        CourseError: no exercise has its name.
    """
    if not callable(exercise):
        raise TypeError(f"check() takes the function or class you wrote, as in check(accuracy), not {exercise!r:.60}")
    name = getattr(exercise, "__name__", type(exercise).__name__)
    unit = _course().unit_of(name)
    declared = unit.exercise(name)
    library = [f"{u.name} (line {u.line})" for u in static.library_calls(_cell_source(name), declared.forbids)]
    if _under_nbgrader():
        outcomes, noticed = _grade_here(unit, declared, exercise)
        return Verdict(name, outcomes, library or noticed, as_number=True)
    outcomes, noticed = _run(unit.public_checks, declared, exercise, PUBLIC_SEED)
    verdict = _verdict(declared, outcomes, library or noticed, unit.manifest.mistakes)
    worth = unit.manifest.worth.get(name)
    verdict.graded_only = worth.graded if worth else 0
    _remember(unit.stem, verdict)
    return verdict


def _run(
    checks: Iterable[Check], exercise: Exercise, answer: Callable[..., Any], seed: str, reference: Any = None
) -> tuple[list[Outcome], list[str]]:
    """Run an exercise's checks on an answer in this process; return outcomes, and library functions that were called."""
    module = sys.modules.get(getattr(answer, "__module__", "__main__")) or sys.modules["__main__"]
    student = local_student(vars(module), overlay={exercise.name: answer})
    student.watch = exercise.forbids
    with random_state_kept():
        outcomes = run_checks([c for c in checks if c.exercise == exercise.name], student, seed, reference)
    return outcomes, sorted(student.library)


def _grade_here(unit: Unit, exercise: Exercise, answer: Callable[..., Any]) -> tuple[list[Outcome], list[str]]:
    """Run all checks as the judge does, on secret inputs, with right versions standing in: for `nbgrader autograde`.

    Needs the solutions folder, and has none of the judge's safety: the answer runs in the same process.
    """
    seed, reference = secrets.token_hex(16), unit.reference if unit.solutions else None
    checks = [*unit.public_checks, *unit.graded_checks]
    outcomes, library = _run(checks, exercise, answer, seed, reference)
    if reference is None or not exercise.uses or all(o.status is Status.PASSED for o in outcomes):
        return outcomes, library
    here = vars(sys.modules["__main__"])
    own = {name: here[name] for name in exercise.uses if name in here}
    here.update({name: getattr(reference, name) for name in exercise.uses})
    try:
        again, more = _run(checks, exercise, answer, seed, reference)
    finally:
        here.update(own)
    better = sum(o.points for o in again) > sum(o.points for o in outcomes)
    return (again, more) if better else (outcomes, library)


@lru_cache(maxsize=1)
def _under_nbgrader() -> bool:
    """Say whether nbgrader runs this kernel: it reads a cell's mark from its text, which then has to be a number."""
    import psutil

    try:
        commands = [part for parent in psutil.Process().parents() for part in parent.cmdline()[:3]]
    except psutil.Error:
        return False
    return any(Path(part).stem == "nbgrader" for part in commands)


def progress(whole_course: bool = False) -> ProgressTable:
    """Show where you are: the exercises of this notebook, or of every notebook with `whole_course=True`."""
    course = _course()
    here = vars(sys.modules["__main__"])
    stored = _stored()
    rows: list[Standing] = []
    for unit in course.units.values():
        if not whole_course and not any(e.name in here for e in unit.exercises):
            continue
        for exercise in unit.exercises:
            most = sum(c.points for c in unit.public_checks if c.exercise == exercise.name)
            points = stored.get(unit.stem, {}).get(exercise.name)
            untouched = exercise.name in here and _is_stub(here[exercise.name])
            known = isinstance(points, int) and not untouched
            rows.append(
                Standing(unit.stem, exercise.name, min(int(points or 0), most) if known else None, most, untouched)
            )
    return ProgressTable(rows)


def ready(*exercises: Callable[..., Any]) -> bool:
    """Say whether all of these are written; if not, print which is still to do, so that the notebook can go on."""
    waiting = [e.__name__ for e in exercises if _is_stub(e)]
    if waiting:
        print(f"This cell needs {' and '.join(waiting)}, still to do: finish the exercise above, then run it again.")
    return not waiting


def _verdict(exercise: Exercise, outcomes: list[Outcome], library: list[str], mistakes: list[KnownMistake]) -> Verdict:
    untouched = all(o.status is Status.NOT_STARTED for o in outcomes)
    passed = all(o.status is Status.PASSED for o in outcomes) and not library
    guess = None
    if not (passed or untouched or library):
        guess = diagnose(fingerprint(outcomes), [m for m in mistakes if m.exercise == exercise.name])
    attempt = _attempts.get(exercise.name, 0)
    _attempts[exercise.name] = 0 if passed else attempt + (not untouched)
    hint = min(attempt, len(exercise.hints) - 1)
    return Verdict(
        exercise=exercise.name,
        outcomes=outcomes,
        library=library,
        diagnosis=guess.explanation if guess else "",
        hint="" if passed else exercise.hints[hint],
        hint_number=hint + 1,
        hints=len(exercise.hints),
    )


@lru_cache(maxsize=1)
def _course_at(folder: Path) -> Course:
    return Course.find(folder)


def _course() -> Course:
    return _course_at(Path.cwd())


def _cell_source(name: str) -> str:
    """Return the last cell of the running notebook that defines `name`, or ""."""
    for source in reversed(vars(sys.modules["__main__"]).get("In") or []):
        if isinstance(source, str) and static.defines(source, name):
            return source
    return ""


def _is_stub(exercise: Any) -> bool:
    """An untouched stub names NotImplementedError in its code, or in one of its methods'."""
    return any("NotImplementedError" in code.co_names for code in _codes(exercise))


def _codes(thing: Any) -> Iterator[types.CodeType]:
    if isinstance(thing, type):
        for member in vars(thing).values():
            if isinstance(member, (types.FunctionType, staticmethod, classmethod)):
                yield from _codes(getattr(member, "__func__", member))
    elif isinstance(thing, types.FunctionType):
        yield thing.__code__


def _stored() -> dict[str, dict[str, int]]:
    try:
        stored = json.loads(Path(_PROGRESS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) and all(isinstance(v, dict) for v in stored.values()) else {}


def _remember(stem: str, verdict: Verdict) -> None:
    stored = _stored()
    stored.setdefault(stem, {})[verdict.exercise] = verdict.points
    part = Path(f"{_PROGRESS_FILE}.{os.getpid()}")
    try:
        part.write_text(json.dumps(stored, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(_PROGRESS_FILE)
    except OSError:
        pass  # a folder that cannot be written to costs the memory of progress, nothing else


__all__ = ["CourseError", "check", "progress", "ready"]
