"""The result of grading one submission, as data. `Report.model_json_schema()` documents the JSON files."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, Field

from autograder.checks import Outcome, Status
from autograder.evidence import Evidence

SCHEMA = 1


class CheckReport(BaseModel):
    """One check of one exercise."""

    name: str
    statement: str = Field(description="What must hold, in the learner's words.")
    status: Status
    points: int
    max_points: int
    graded_only: bool = Field(description="Not among the checks a learner can run in the notebook.")
    code: str = Field(default="", description="What was observed, in a word; input of the diagnosis.")
    message: str = Field(default="", description="What was expected and what came.")
    evidence: list[Evidence] = []
    scores: dict[str, float] = Field(
        default={}, description="What the check measured, by name; a leaderboard ranks by it."
    )

    @classmethod
    def of(cls, outcome: Outcome) -> CheckReport:
        check = outcome.check
        return cls(
            name=check.name,
            statement=check.statement,
            status=outcome.status,
            points=outcome.points,
            max_points=check.points,
            graded_only=check.graded_only,
            code=outcome.code,
            message=outcome.message,
            evidence=list(outcome.evidence),
            scores=dict(outcome.scores),
        )


class Diagnosis(BaseModel):
    """The known mistake that a failing answer looks like."""

    mistake: str
    explanation: str


class Mark(BaseModel):
    """Points that a person gave, in place of the judge's."""

    points: int
    judged: int = Field(description="The points that the judge gave.")
    by: str
    reason: str = ""
    given_at: str = Field(default="", description="When, in UTC, as ISO 8601.")
    digest: str = Field(default="", description="SHA-256 of the submission it was given for.")


class ExerciseReport(BaseModel):
    """One exercise."""

    name: str
    points: int
    max_points: int
    sentence: str = Field(description="The verdict in one sentence.")
    found: str = Field(description='How its cell was found: "metadata", "cell id", "name" or "missing".')
    notes: list[str] = []
    checks: list[CheckReport] = []
    diagnosis: Diagnosis | None = None
    library: list[str] = Field(default=[], description="Library versions of the technique that the answer calls.")
    stand_ins: list[str] = Field(default=[], description="Exercises for which a right version stood in.")
    source: str = Field(default="", description="The learner's cell.")
    mark: Mark | None = Field(default=None, description="Set where a person gave the points.")
    key: str = Field(default="", description="Digest of all that this verdict depends on; while it lasts, it stands.")

    @property
    def not_started(self) -> bool:
        """Whether every check found the stub untouched."""
        return bool(self.checks) and all(c.status is Status.NOT_STARTED for c in self.checks)


class WrittenReport(BaseModel):
    """One written question, for a person to grade."""

    question: str
    answered: bool
    answer: str


class State(StrEnum):
    """Whether a submission could be graded; FAILED is the grader's own fault."""

    GRADED = "graded"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class Report(BaseModel):
    """One submission."""

    schema_version: int = SCHEMA
    student: str
    unit: str = Field(description='The unit\'s stem, or "" if it could not be told.')
    title: str = ""
    file: str = ""
    digest: str = Field(default="", description="SHA-256 of the submitted file.")
    state: State
    points: int
    max_points: int
    sentence: str = Field(description="What a learner should know first.")
    isolated: bool = Field(description="Whether the code ran in the sandbox.")
    seed: str = Field(description="The secret seed of the run: with it, the same inputs are drawn again.")
    seconds: float = 0.0
    notes: list[str] = []
    failures: list[str] = Field(default=[], description="Those notes that say which other cells did not run.")
    unusual: list[str] = Field(default=[], description="Uses of modules no exercise needs, for the instructor's eye.")
    exercises: list[ExerciseReport] = []
    written: list[WrittenReport] = []

    def marked(self, marks: Mapping[str, Mark]) -> Report:
        """Return this report with the points that a person gave, by exercise."""
        if not any(e.name in marks for e in self.exercises):
            return self
        exercises = [
            e.model_copy(update={"points": m.points, "mark": m.model_copy(update={"judged": e.points})})
            if (m := marks.get(e.name))
            else e
            for e in self.exercises
        ]
        earned = sum(e.points for e in exercises)
        return self.model_copy(
            update={"exercises": exercises, "points": earned, "sentence": standing(exercises, earned, self.max_points)}
        )

    def pack(self) -> bytes:
        """Return this report's JSON, compressed: as it travels, and as the gradebook keeps it."""
        return zlib.compress(self.model_dump_json().encode(), 1)

    @classmethod
    def unpack(cls, data: bytes) -> Report:
        """Read what `pack` made."""
        return cls.model_validate_json(zlib.decompress(data))

    @property
    def broken(self) -> list[str]:
        """What failed to run for no fault of the learner's."""
        if self.state is State.FAILED:
            return [self.sentence]
        return [
            f"{e.name}.{c.name}: {c.message}" for e in self.exercises for c in e.checks if c.status is Status.BROKEN
        ]


def standing(exercises: Sequence[ExerciseReport], points: int, max_points: int) -> str:
    """Say in a sentence how a submission stands."""
    solved = sum(e.points == e.max_points for e in exercises)
    return f"{points} of {max_points} points, {solved} of {len(exercises)} exercises solved"
