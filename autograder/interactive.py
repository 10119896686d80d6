"""What learners call in a notebook: `check`, `progress` and `ready`. Outside a notebook the same as text."""

from __future__ import annotations

import dis
import json
import os
import secrets
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from autograder import source as static
from autograder.cells import STILL_TO_DO
from autograder.checks import Check, Exercise, Outcome, Status, fingerprint, run_checks
from autograder.course import Course, Unit
from autograder.draw import PUBLIC_SEED
from autograder.mistakes import diagnose
from autograder.probes import random_state_kept
from autograder.student import local_student
from autograder.verdict import ProgressTable, Standing, Verdict

_PROGRESS_FILE = ".progress.json"
PATIENCE_S = 20.0
"""After how long `check` says that it still runs. The longest check, the capstone's, takes a few seconds."""

_tried: dict[str, list[str]] = {}
"""What was checked of each exercise in this session: a hint is spent on each new try."""


def check(exercise: Callable[..., Any]) -> Verdict | None:
    """Check your answer to an exercise and show the result.

    Args:
        exercise: the function or class itself, as in `check(accuracy)`.

    Returns:
        The verdict, which the notebook shows; None if you interrupt it.

    Raises:
        TypeError: it is neither.
        CourseError: no exercise has its name.
    """
    if not callable(exercise):
        raise TypeError(f"check() takes the function or class you wrote, as in check(accuracy), not {exercise!r:.60}")
    name = _name(exercise)
    unit = _course().unit_of(name)
    declared = unit.exercise(name)
    source = _cell_source(name)
    library = [f"{u.name} (line {u.line})" for u in static.library_calls(source, declared.forbids, name, _inputs())]
    try:
        if _under_nbgrader():
            outcomes, noticed = _grade_here(unit, declared, exercise)
            return Verdict(name, outcomes, library or noticed, as_number=True)
        with _patience(name):
            outcomes, noticed = _run(unit.public_checks, declared, exercise, PUBLIC_SEED)
        verdict = _verdict(declared, outcomes, library or noticed, unit, source)
    except KeyboardInterrupt:
        print(f"Stopped while checking {name}: is there a loop that never ends?")
        return None
    _remember(unit.stem, verdict)
    return verdict


@contextmanager
def _patience(name: str) -> Iterator[None]:
    """Say after a while how to stop: a kernel that is busy for ever looks like one that thinks."""
    text = (
        f"{name} is still being checked after {PATIENCE_S:g} seconds. Is there a loop that never ends? "
        "To stop, interrupt the kernel (the square button)."
    )
    timer = threading.Timer(PATIENCE_S, print, [text], {"flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


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
        for name in exercise.uses:
            here.pop(name, None)  # no right version stays where the learner had none
        here.update(own)
    better = sum(o.points for o in again) > sum(o.points for o in outcomes)
    return (again, more) if better else (outcomes, library)


def _under_nbgrader() -> bool:
    """Say whether `nbgrader autograde` runs this kernel: it reads a cell's mark from its text, which has to be a number."""
    return os.environ.get("NBGRADER_EXECUTION") == "autograde"


def progress(whole_course: bool = False) -> ProgressTable:
    """Show where you are: the exercises of this notebook, or of every notebook with `whole_course=True`."""
    course = _course()
    here = vars(sys.modules["__main__"])
    stored = _stored()
    rows: list[Standing] = []
    for unit in course.units.values():
        # A number called `accuracy` is no answer to the exercise of that name.
        if not whole_course and not any(callable(here.get(e.name)) for e in unit.exercises):
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
    waiting = [_name(e) for e in exercises if _is_stub(e)]
    if waiting:
        print(f"Still to do: {', '.join(waiting)}. Then run this cell again.")
    return not waiting


def _verdict(exercise: Exercise, outcomes: list[Outcome], library: list[str], unit: Unit, source: str) -> Verdict:
    worth = unit.manifest.worth.get(exercise.name)
    verdict = Verdict(exercise.name, outcomes, library, graded_only=worth.graded if worth else 0)
    if static.parse(source) is None:
        verdict.caution = (
            "Your last version of this cell is not valid Python, so this is the verdict on the one before it."
        )
    elif unwritten := _unwritten(vars(sys.modules["__main__"]).get(exercise.name)):
        verdict.caution = f"{' and '.join(f'`{name}`' for name in unwritten)} is still to do."
    if verdict.solved or verdict.untouched:
        return verdict
    verdict.first = [name for name in exercise.uses if _unsolved(unit, name)]
    if not (library or verdict.first):
        guess = diagnose(fingerprint(outcomes), [m for m in unit.manifest.mistakes if m.exercise == exercise.name])
        verdict.diagnosis = guess.explanation if guess else ""
    # The next hint is for the next idea, not for the next typo, and not for looking twice.
    tried = _tried.setdefault(exercise.name, [])
    crashed = all(o.status in (Status.RAISED, Status.PASSED, Status.NOT_STARTED) for o in outcomes)
    if source not in tried and not (crashed and tried):
        tried.append(source)
    verdict.hint_number = min(len(tried), len(exercise.hints))
    verdict.hint, verdict.hints = exercise.hints[verdict.hint_number - 1], len(exercise.hints)
    return verdict


def _unsolved(unit: Unit, name: str) -> bool:
    """Say whether an exercise that another one builds on fails its own checks in this notebook."""
    answer = vars(sys.modules["__main__"]).get(name)
    if not callable(answer):
        return False
    outcomes, _ = _run(unit.public_checks, unit.exercise(name), answer, PUBLIC_SEED)
    return any(o.status is not Status.PASSED for o in outcomes)


def _name(exercise: Any) -> str:
    """Return the name under which the notebook knows an answer: a lambda or a partial has none, or another, of its own."""
    own = getattr(exercise, "__name__", "")
    here = vars(sys.modules["__main__"])
    if here.get(own) is exercise:
        return str(own)
    known = {e.name for unit in _course().units.values() for e in unit.exercises}
    return next(
        (n for n, value in here.items() if value is exercise and n in known), str(own or type(exercise).__name__)
    )


@lru_cache(maxsize=1)
def _course_at(folder: Path) -> Course:
    return Course.find(folder)


def _course() -> Course:
    return _course_at(Path.cwd())


def _inputs() -> list[str]:
    """Return the cells that were run in this notebook, the latest last."""
    return [cell for cell in vars(sys.modules["__main__"]).get("In") or [] if isinstance(cell, str)]


def _cell_source(name: str) -> str:
    """Return the last cell that was run to define `name`, whether or not it is valid Python; "" outside a notebook."""
    return next((cell for cell in reversed(_inputs()) if static.defines(cell, name)), "")


def _is_stub(exercise: Any) -> bool:
    """Say whether a stub's own exception is still in an answer's code, where it can be reached."""
    for code in _codes(exercise):
        constants = {i.argval for i in dis.get_instructions(code) if isinstance(i.argval, str)}
        if "NotImplementedError" in constants and any(c.endswith(STILL_TO_DO) for c in constants):
            return True
    return False


def _unwritten(exercise: Any) -> list[str]:
    """Return the methods of a class whose stub is still there, where `__init__` is written: with that one begins."""
    own = vars(exercise) if isinstance(exercise, type) else {}
    return [] if _is_stub(own.get("__init__")) else [name for name, member in own.items() if _is_stub(member)]


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


__all__ = ["check", "progress", "ready"]
