"""The bank of known wrong implementations, and how a failing submission is recognised in it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=Callable[..., Any])

LIKELY = 0.9
"""The least similarity at which a diagnosis is shown; below it silence is better than a wrong lead."""

MARGIN = 0.1
"""How far the next likely mistake must be behind, where the likeliest does not fit exactly."""

GENERIC = 0.25
"""The weight of a code that many different mistakes have in common."""


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


def is_telling(code: str) -> bool:
    """Whether a code says what was observed, as `scale:none` does, and not merely that something was wrong.

    Generic are codes without a suffix, with the suffix "other", and those of an error without words.
    """
    family, _, suffix = code.partition(":")
    if family == "raised":
        suffix = suffix.partition(":")[2]
    return suffix not in ("", "other")


def diagnose(observed: Mapping[str, str], known: Sequence[KnownMistake]) -> KnownMistake | None:
    """Return the known mistake that explains what was observed, or None: no lead is better than a wrong one.

    A mistake is a candidate if one of its telling codes was observed in the same check. The likeliest candidate is named if
    it is alike enough, and either fits exactly or is ahead of all that are explained otherwise. Else several mistakes may have
    been made at once; that is certain only where whole fingerprints, put together, are exactly what was observed. Then
    the largest of them is named.
    """
    candidates = [k for k in known if _shared(observed, k.fingerprint)]
    ranked = sorted(candidates, key=lambda k: similarity(observed, k.fingerprint), reverse=True)
    if ranked:
        best = ranked[0]
        likeness = similarity(observed, best.fingerprint)
        rivals = [k for k in ranked if k.explanation != best.explanation]
        behind = similarity(observed, rivals[0].fingerprint) if rivals else 0.0
        if likeness >= LIKELY and likeness - behind >= (MARGIN if likeness < 1 else 1e-9):
            return best
    parts = [k for k in candidates if k.fingerprint.items() <= observed.items()]
    covered = {name for part in parts for name in part.fingerprint}
    if covered != observed.keys():
        return None
    parts.sort(key=lambda k: len(k.fingerprint), reverse=True)
    tied = [k for k in parts[1:] if len(k.fingerprint) == len(parts[0].fingerprint)] if parts else []
    return parts[0] if parts and all(k.explanation == parts[0].explanation for k in tied) else None


def similarity(observed: Mapping[str, str], expected: Mapping[str, str]) -> float:
    """Return how alike two fingerprints are, from 0 to 1; 0 if both are empty.

    The share of checks, of all that fail in either, in which both have the same code. A generic code that they share weighs
    GENERIC; what differs, be it in a suffix alone, counts against in full.
    """
    total = agreed = 0.0
    for name in observed.keys() | expected.keys():
        same = observed.get(name) == expected.get(name)
        weight = GENERIC if same and not is_telling(observed[name]) else 1.0
        total += weight
        agreed += weight * same
    return agreed / total if total else 0.0


def _shared(observed: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the telling codes that two fingerprints have in the same check."""
    return [code for name, code in expected.items() if observed.get(name) == code and is_telling(code)]
