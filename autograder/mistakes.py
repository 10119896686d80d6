"""The bank of known wrong implementations, and how a failing submission is recognised in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=Callable[..., Any])

LIKELY = 0.75
"""The least similarity at which a diagnosis is shown; below it silence is better than a wrong lead."""


def mistake(exercise: str) -> Callable[[T], T]:
    """Declare a function or class a wrong answer to `exercise`; its docstring is the explanation a learner reads."""
    return _marker("mistake", exercise)


def right(exercise: str) -> Callable[[T], T]:
    """Declare a function or class a right answer to `exercise`, written in another way than the reference."""
    return _marker("right", exercise)


def _marker(kind: str, exercise: str) -> Callable[[T], T]:
    def mark(implementation: T) -> T:
        implementation.__bank__ = (kind, exercise)  # type: ignore[attr-defined]
        return implementation

    return mark


@dataclass(frozen=True)
class Entry:
    """One implementation of the bank."""

    name: str
    exercise: str
    wrong: bool
    explanation: str
    implementation: Callable[..., Any] = field(repr=False, compare=False)


def collect_bank(namespace: dict[str, Any]) -> list[Entry]:
    """Return the entries of a mistakes module's namespace, in source order."""
    entries = []
    for value in namespace.values():
        declared = vars(value).get("__bank__") if hasattr(value, "__dict__") else None
        if declared is None:
            continue
        kind, exercise = declared
        explanation = " ".join((inspect.getdoc(value) or "").split())
        if kind == "mistake" and not explanation:
            raise ValueError(f"mistake {value.__name__} has no docstring, which is what learners read")
        entries.append(Entry(value.__name__, exercise, kind == "mistake", explanation, value))
    return entries


class KnownMistake(BaseModel):
    """What learners get of a mistake: how it shows in the checks, and the explanation. Never its code.

    Attributes:
        fingerprint: {check name: code} of the checks it fails.
    """

    name: str
    exercise: str
    explanation: str
    fingerprint: dict[str, str]


def diagnose(observed: Mapping[str, str], known: Sequence[KnownMistake]) -> KnownMistake | None:
    """Return the known mistake that explains what was observed, or None: no lead is better than a wrong one.

    First the one whose fingerprint is most alike, if it is alike enough. Else learners have made several mistakes at once:
    of those whose whole fingerprint is among what was observed, the one that explains most, if that is half of it.
    """
    best = max(known, key=lambda k: similarity(observed, k.fingerprint), default=None)
    if best is not None and similarity(observed, best.fingerprint) >= LIKELY:
        return best
    contained = [k for k in known if k.fingerprint and k.fingerprint.items() <= observed.items()]
    largest = max(contained, key=lambda k: len(k.fingerprint), default=None)
    return largest if largest is not None and 2 * len(largest.fingerprint) >= len(observed) else None


def similarity(observed: Mapping[str, str], expected: Mapping[str, str]) -> float:
    """Return how alike two fingerprints are, from 0 to 1; 0 if both are empty.

    The mean, over every check that fails in either, of 1 (same code), 1/2 (other code of the same family, the part before
    the colon), 1/4 (fails in both) or 0 (fails in one alone).
    """
    names = observed.keys() | expected.keys()
    if not names:
        return 0.0
    total = 0.0
    for name in observed.keys() & expected.keys():
        seen, known = observed[name], expected[name]
        total += 1.0 if seen == known else 0.5 if seen.split(":")[0] == known.split(":")[0] else 0.25
    return total / len(names)
