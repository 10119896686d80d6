"""A report reduced to what the class needs of it: small enough to hold ten thousand of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pydantic import TypeAdapter

from autograder.report import ExerciseReport, Report, State


@dataclass(frozen=True, slots=True)
class ExerciseOutline:
    """One exercise; `mistake` and `explanation` are its diagnosis, or empty."""

    name: str
    points: int
    max_points: int
    sentence: str = ""
    not_started: bool = False
    mistake: str = ""
    explanation: str = ""
    marked_by: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """One submission. The fields are those of `Report`.

    Attributes:
        work: what the gradebook keeps apart: see `work_of`.
        outdated: exercises whose mark by a person was given for an earlier version of the submission, or is beyond what the
            exercise gives now.
        scores: what checks measured, by name.
    """

    student: str
    unit: str
    file: str
    state: State
    points: int
    max_points: int
    sentence: str
    isolated: bool
    digest: str = ""
    unusual: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    exercises: tuple[ExerciseOutline, ...] = ()
    written_answered: int | None = None
    outdated: tuple[str, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()

    @property
    def work(self) -> str:
        return work_of(self.unit, self.file, self.state)

    @classmethod
    def of(cls, report: Report) -> Outline:
        return cls(
            student=report.student,
            unit=sys.intern(report.unit),
            file=report.file,
            state=report.state,
            points=report.points,
            max_points=report.max_points,
            sentence=report.sentence,
            isolated=report.isolated,
            digest=report.digest,
            unusual=tuple(report.unusual),
            broken=tuple(report.broken),
            exercises=tuple(_outline(e) for e in report.exercises),
            written_answered=sum(w.answered for w in report.written) if report.written else None,
            outdated=tuple(
                e.name
                for e in report.exercises
                if e.mark and (e.mark.digest != report.digest or e.mark.points > e.max_points)
            ),
            scores=tuple((sys.intern(n), v) for e in report.exercises for c in e.checks for n, v in c.scores.items()),
        )

    @classmethod
    def from_json(cls, data: str) -> Outline:
        """Read what `to_json` wrote."""
        return _ADAPTER.validate_json(data)

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self).decode()


def work_of(unit: str, file: str, state: State = State.GRADED) -> str:
    """Name a piece of work: its unit, or its file where there is no verdict, which must not displace an earlier one.

    No file name begins with a slash.
    """
    return unit if unit and state is State.GRADED else f"/{file}"


def _outline(exercise: ExerciseReport) -> ExerciseOutline:
    diagnosis = exercise.diagnosis
    return ExerciseOutline(
        name=sys.intern(exercise.name),
        points=exercise.points,
        max_points=exercise.max_points,
        sentence=sys.intern(exercise.sentence),
        not_started=exercise.not_started,
        mistake=sys.intern(diagnosis.mistake) if diagnosis else "",
        explanation=sys.intern(diagnosis.explanation) if diagnosis else "",
        marked_by=exercise.mark.by if exercise.mark else "",
    )


_ADAPTER = TypeAdapter(Outline)
