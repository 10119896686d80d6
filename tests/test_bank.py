"""Checks and bank test each other: every known mistake loses points and is recognised, every right answer loses none.

Covers every unit found in the folders: a new one is tested by adding its files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jupytext
import pytest
import torch

from autograder.build import FINGERPRINT_SEED
from autograder.checks import Outcome, Status, fingerprint, run_checks
from autograder.course import Course, Unit
from autograder.draw import PUBLIC_SEED
from autograder.mistakes import Entry, KnownMistake, diagnose
from autograder.probes import random_state_kept
from autograder.student import local_student

ROOT = Path(__file__).resolve().parent.parent
COURSE = Course.open(ROOT / "notebooks", ROOT / "solutions")
SEEDS = (PUBLIC_SEED, "a secret")

ENTRIES = [(unit, entry) for unit in COURSE.units.values() for entry in unit.bank]
WRONG = [pytest.param(unit, entry, id=entry.name) for unit, entry in ENTRIES if entry.wrong]
RIGHT = [pytest.param(unit, entry, id=entry.name) for unit, entry in ENTRIES if not entry.wrong]
EXERCISES = [pytest.param(unit, e.name, id=e.name) for unit in COURSE.units.values() for e in unit.exercises]


@cache
def reference(stem: str) -> SimpleNamespace:
    """Execute a unit's solution from its source, so that a notebook that was not built yet cannot mislead."""
    namespace: dict[str, Any] = {"__name__": f"_reference_{stem}"}
    for cell in jupytext.read(COURSE.unit(stem).source_path).cells:
        if {"setup", "exercise"} & cell.metadata.keys():
            exec(compile(cell.source, f"<{stem}>", "exec"), namespace)
    return SimpleNamespace(**namespace)


@cache
def outcomes(stem: str, exercise: str, entry: str, seed: str) -> tuple[Outcome, ...]:
    """Run all checks of an exercise on an entry of the bank, or on the reference where `entry` is empty."""
    unit = COURSE.unit(stem)
    implementations = {e.name: e.implementation for e in unit.bank}
    answer = implementations[entry] if entry else getattr(reference(stem), exercise)
    # Builds on a right version of what it uses, as it does at grading.
    student = local_student({**vars(reference(stem)), exercise: answer})
    with random_state_kept():
        return tuple(run_checks(unit.checks(exercise), student, seed, reference(stem)))


@cache
def known(stem: str, exercise: str, public: bool = False) -> tuple[KnownMistake, ...]:
    """Return the mistakes of an exercise with the fingerprints that the build makes."""
    return tuple(
        KnownMistake(
            name=e.name,
            exercise=exercise,
            explanation=e.explanation,
            fingerprint=seen(outcomes(stem, exercise, e.name, FINGERPRINT_SEED), public),
        )
        for e in COURSE.unit(stem).bank
        if e.wrong and e.exercise == exercise
    )


def seen(results: tuple[Outcome, ...], public: bool = False) -> dict[str, str]:
    return fingerprint([o for o in results if not (public and o.check.graded_only)])


@pytest.mark.parametrize(("unit", "entry"), WRONG)
@pytest.mark.parametrize("seed", SEEDS)
def test_mistake_is_caught_and_recognised(unit: Unit, entry: Entry, seed: str) -> None:
    results = outcomes(unit.stem, entry.exercise, entry.name, seed)
    assert {o.status for o in results} <= {Status.PASSED, Status.FAILED, Status.RAISED}, results
    assert any(o.status is not Status.PASSED for o in results)
    found = diagnose(seen(results), known(unit.stem, entry.exercise))
    assert found is not None, seen(results)
    assert found.name == entry.name, (seen(results), found)


@pytest.mark.parametrize(("unit", "entry"), RIGHT)
@pytest.mark.parametrize("seed", SEEDS)
def test_right_alternative_loses_nothing(unit: Unit, entry: Entry, seed: str) -> None:
    results = outcomes(unit.stem, entry.exercise, entry.name, seed)
    assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
@pytest.mark.parametrize("seed", SEEDS)
def test_reference_loses_nothing(unit: Unit, exercise: str, seed: str) -> None:
    results = outcomes(unit.stem, exercise, "", seed)
    assert [(o.check.name, o.message) for o in results if o.status is not Status.PASSED] == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_bank_is_large_and_told_apart(unit: Unit, exercise: str) -> None:
    mistakes = known(unit.stem, exercise)
    assert len(mistakes) >= 8
    assert sum(not e.wrong and e.exercise == exercise for e in unit.bank) >= 4
    prints: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for each in mistakes:
        prints.setdefault(tuple(sorted(each.fingerprint.items())), []).append(each.name)
    assert [names for names in prints.values() if len(names) > 1] == []


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_mutation_score(unit: Unit, exercise: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Report how many mistakes the checks catch, and how many the public ones alone catch and recognise."""
    names = [m.name for m in known(unit.stem, exercise)]
    table = known(unit.stem, exercise, public=True)
    caught = public = recognised = 0
    unseen, lost = set(), set()
    for name in names:
        for seed in SEEDS:
            results = outcomes(unit.stem, exercise, name, seed)
            caught += bool(seen(results))
            observed = seen(results, public=True)
            public += bool(observed)
            found = diagnose(observed, table)
            recognised += found is not None and found.name == name
            if not observed:
                unseen.add(name)
            elif found is None or found.name != name:
                lost.add(name)
    runs = len(names) * len(SEEDS)
    with capsys.disabled():
        print(
            f"\n{unit.stem} {exercise}: mutation score {caught}/{runs}; public checks alone catch {public} and recognise "
            f"{recognised}; only graded checks see {sorted(unseen) or 'none'}; publicly mistaken {sorted(lost) or 'none'}"
        )
    assert caught == runs
    assert public >= 0.9 * runs
    assert recognised >= 0.9 * public


@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_most_points_are_public(unit: Unit, exercise: str) -> None:
    checks = unit.checks(exercise)
    assert len({c.name for c in checks}) == len(checks)
    assert sum(c.points for c in checks if not c.graded_only) > sum(c.points for c in checks if c.graded_only) > 0


@pytest.mark.parametrize("unit", COURSE.units.values(), ids=COURSE.units)
def test_names_are_unique_in_a_bank(unit: Unit) -> None:
    names = [e.name for e in unit.bank]
    assert len(set(names)) == len(names)


def test_outcomes_repeat() -> None:
    for unit in COURSE.units.values():
        for exercise in unit.exercises:
            once, again = (
                seen(outcomes.__wrapped__(unit.stem, exercise.name, known(unit.stem, exercise.name)[0].name, "x"))
                for _ in range(2)
            )
            assert once == again


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    unit, entry = ENTRIES[-1]
    outcomes.__wrapped__(unit.stem, entry.exercise, entry.name, "state")
    assert bool((torch.get_rng_state() == before).all())
