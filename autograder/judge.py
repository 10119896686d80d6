"""Grades one aligned submission: runs its code in a student process, its checks here."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autograder import digests
from autograder import source as static
from autograder.checks import Check, Exercise, Outcome, Status, fingerprint, run_check
from autograder.course import Course, Unit
from autograder.mistakes import diagnose
from autograder.report import CheckReport, Diagnosis, ExerciseReport, Report, State, WrittenReport, standing
from autograder.sandbox import Sandbox, SandboxUnavailable
from autograder.sandbox.launch import StudentProcess, out_of_time
from autograder.sandbox.stand_ins import is_module
from autograder.student import Student, StudentError, StudentGone
from autograder.submission import Answer, Found, Program, Submission, Unreadable, align, identify, read_notebook

PATIENCE_AFTER_HANG_S = 0.5
"""Seconds for one answer once an exercise has hung: a hundred times what a right one takes, and it bounds the time."""
MOST_LOSSES = 2
"""Sandboxes killed from outside, after which what was under way is given up, and said to be no fault of the learner's."""
MOST_LOST_CELLS = 4
"""Cells that may end the process before the rest of a learner's own cells are left out, likewise."""


def grade(
    data: bytes | Unreadable,
    student: str,
    course: Course,
    sandbox: Sandbox,
    seed: str,
    file: str = "",
    previous: Report | None = None,
) -> Report:
    """Grade one submission.

    Args:
        data: the notebook's bytes, or why it could not be read.
        student: whose it is.
        sandbox: where its code runs.
        seed: the run's secret.
        file: its name, for the report.
        previous: an earlier report on the same student's work, whose verdicts are kept where nothing they depend on has
            changed.

    Returns:
        A report in every case: what cannot be graded says why.

    Raises:
        SandboxUnavailable: the sandbox was lost, and could not be started again.
    """
    started = time.monotonic()
    named = course.units.get(Path(file).stem)  # all there is to tell the unit by, if the file cannot be read
    try:
        if isinstance(data, Unreadable):
            raise data
        cells, metadata = read_notebook(data)
        named = identify(cells, metadata, course)
        report = _Examination(align(cells, named), sandbox, seed, previous).report()
    except Unreadable as problem:
        report = ungraded(named, State.UNREADABLE, str(problem), sandbox.isolated, seed)
    except SandboxUnavailable:
        raise  # nobody's work can be graded here
    # A fault of ours, or a trick we do not know: this submission's instructor should look, and the class goes on.
    except Exception as error:
        sandbox.end()
        sentence = (
            f"the grader itself failed on this notebook, which is not your fault: {type(error).__name__}: {error}"
        )
        report = ungraded(named, State.FAILED, sentence[:500], sandbox.isolated, seed)
    return report.model_copy(
        update={
            "student": student,
            "file": file,
            "digest": hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else "",
            "seconds": round(time.monotonic() - started, 3),
        }
    )


def ungraded(unit: Unit | None, state: State, sentence: str, isolated: bool, seed: str) -> Report:
    """Return the report on work that got no verdict, and why."""
    worth = unit.manifest.worth.values() if unit else ()
    return Report(
        student="",
        unit=unit.stem if unit else "",
        title=str(unit.about.get("title", "")) if unit else "",
        state=state,
        points=0,
        max_points=sum(w.public + w.graded for w in worth),
        sentence=sentence,
        isolated=isolated,
        seed=seed,
    )


@dataclass
class _Examination:
    """The grading of one submission.

    Attributes:
        previous: the report whose verdicts are kept where they still hold.
        ran: whether any code was run.
        losses: how often the sandbox was lost for no fault of the code's.
        failed: what went wrong when a cell was run, by label.
        skipped: labels of cells that ended the process, which are not run again.
    """

    submission: Submission
    sandbox: Sandbox
    seed: str
    previous: Report | None = None
    ran: bool = False
    losses: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    replaced: tuple[str, ...] = ()
    student: Student | None = None
    process: StudentProcess | None = None
    ends_at: float = math.inf
    total_s: float = math.inf

    @property
    def unit(self) -> Unit:
        return self.submission.unit

    def report(self) -> Report:
        exercises: list[ExerciseReport] = []
        self.total_s = self.sandbox.limits.total_s
        self.ends_at = time.monotonic() + self.total_s
        known = {e.key: e for e in self.previous.exercises if e.key} if self.previous else {}
        try:
            for exercise in self.unit.exercises:
                key = self._key(exercise)
                verdict = known.get(key) or self._exercise(exercise, {e.name: e for e in exercises})
                # What was our own fault is worth another try.
                broken = any(c.status is Status.BROKEN for c in verdict.checks)
                exercises.append(verdict.model_copy(update={"key": "" if broken else key}))
        finally:
            self.sandbox.end()
        points, most = sum(e.points for e in exercises), sum(e.max_points for e in exercises)
        failures = self._other_failures()
        if self.previous and not self.ran and {e.key for e in exercises} <= known.keys():
            failures = self.previous.failures  # of the run that these verdicts come from
        return Report(
            student="",
            unit=self.unit.stem,
            title=str(self.unit.about.get("title", "")),
            state=State.GRADED,
            points=points,
            max_points=most,
            sentence=standing(exercises, points, most),
            isolated=self.sandbox.isolated,
            seed=self.seed,
            notes=[*dict.fromkeys(self.submission.notes), *failures],
            failures=failures,
            unusual=self._unusual(),
            exercises=exercises,
            written=[WrittenReport(question=w.name, answered=w.found is not Found.MISSING and not w.untouched, answer=w.source)
                     for w in self.submission.written.values()],
        )  # fmt: skip

    def _key(self, exercise: Exercise) -> str:
        """Return the digest of all that the verdict on an exercise depends on."""
        answer = self.submission.answers[exercise.name]
        return digests.combine(
            self.unit.exercise_digests[exercise.name],
            self.seed,
            repr((self.sandbox.isolated, self.sandbox.limits)),
            repr((answer, [self.submission.answers[name] for name in exercise.uses])),
            *(repr(program) for program in self.submission.programs),
        )

    # -- one exercise ------------------------------------------------------------------------------------------------

    def _exercise(self, exercise: Exercise, before: dict[str, ExerciseReport]) -> ExerciseReport:
        answer = self.submission.answers[exercise.name]
        checks = self.unit.checks(exercise.name)
        if answer.found is Found.MISSING:
            outcomes = [Outcome(c, Status.FAILED, "missing", answer.note) for c in checks]
            return _summarise(exercise, answer, outcomes, sentence=answer.note)
        if answer.untouched:
            outcomes = [Outcome(c, Status.NOT_STARTED, "not_started") for c in checks]
            return _summarise(
                exercise, answer, outcomes, sentence=f"{exercise.name} is still to do: the stub is untouched"
            )

        outcomes, library = self._run(exercise, checks)
        stood_in: tuple[str, ...] = ()
        faulty = tuple(u for u in exercise.uses if u in before and before[u].points < before[u].max_points)
        if faulty and any(o.status is not Status.PASSED for o in outcomes):
            # The learner's own version of what it builds on may suit it all the same, so the better of both counts.
            self._restart(replaced=faulty)
            again, more = self._run(exercise, checks)
            unknown = any(o.status is Status.BROKEN for o in again)  # and not to be passed over in silence
            if unknown or sum(o.points for o in again) > sum(o.points for o in outcomes):
                outcomes, library, stood_in = again, more, faulty
            self._restart(replaced=())

        static_uses = [f"{u.name} (line {u.line})" for u in self._library_calls(exercise, answer)]
        found = static_uses or sorted(library)
        report = _summarise(exercise, answer, outcomes, stand_ins=list(stood_in), library=found)
        label = f"your cell {exercise.name}"
        if answer.unusable and not report.points:
            report.sentence = answer.note
        if label in self.failed:
            if report.points < report.max_points:
                report.sentence = self.failed[label]
            else:
                report.notes.append(self.failed[label])
        known = [m for m in self.unit.graded_manifest.mistakes if m.exercise == exercise.name]
        guess = diagnose(fingerprint(outcomes), known) if report.points < report.max_points and not found else None
        if guess is not None:
            report.diagnosis = Diagnosis(mistake=guess.name, explanation=guess.explanation)
        return report

    def _run(self, exercise: Exercise, checks: Sequence[Check]) -> tuple[list[Outcome], set[str]]:
        outcomes: list[Outcome] = []
        library: set[str] = set()
        kept: dict[str, tuple[Any, Exception | None]] = {}
        failed: list[str] = []
        patience: float | None = None
        waiting = list(checks)
        while waiting:
            check = waiting.pop(0)
            try:
                student = self._ready(patience)
                student.watch, student.library = exercise.forbids, library
                student.kept, student.failed = kept, failed
                outcomes.append(run_check(check, student, self.seed, self.unit.reference))
            except StudentGone as gone:
                if self._lost(gone):
                    waiting.insert(0, check)
                    self._restart(self.replaced)
                    continue
                # Loudly, and to be tried again: no learner can bring about that the sandbox is lost.
                status = Status.BROKEN if gone.code == "lost" else Status.GONE
                outcomes.append(Outcome(check, status, f"gone:{gone.code}", str(gone)))
                failed.append(check.statement)
                if gone.code == "timeout":
                    patience = PATIENCE_AFTER_HANG_S
                self._restart(self.replaced)
            finally:
                if self.process is not None:
                    # The check may have had it granted more time.
                    self.ends_at, self.total_s = self.process.ends_at, self.process.total_s
        if patience is not None:  # the next exercise is not to blame
            self._restart(self.replaced)
        return outcomes, library

    # -- the student process -----------------------------------------------------------------------------------------

    def _ready(self, patience: float | None = None) -> Student:
        """Return a student in which every cell has run; cells that end the process are left out and noted."""
        while self.student is None:
            if time.monotonic() >= self.ends_at:
                raise out_of_time(self.total_s)
            self.ran = True
            self.process = process = self.sandbox.open()
            process.ends_at, process.total_s = self.ends_at, self.total_s
            process.stand_ins = {name: getattr(self.unit.reference, name) for name in self.replaced}
            student = Student(process)
            if self._run_cells(student):
                self.student = student
                if patience is not None:
                    process.answer_s = patience
        return self.student

    def _lost(self, gone: StudentGone) -> bool:
        """Whether the sandbox was lost, and not too often, so that what was under way is done again."""
        if gone.code != "lost" or self.losses >= MOST_LOSSES:
            return False
        self.losses += 1
        return True

    def _restart(self, replaced: tuple[str, ...]) -> None:
        self.sandbox.end()
        self.student, self.replaced = None, replaced

    def _run_cells(self, student: Student) -> bool:
        """Run every cell, then let right versions stand in; False if that ended the process."""
        for program in self.submission.programs:
            key = program.label
            if key in self.skipped or (len(self.skipped) >= MOST_LOST_CELLS and not program.exercise):
                continue
            try:
                student.run(program.label, program.source)
            except StudentError as error:
                self.failed[key] = f"{_subject(program)} {_what_stopped(error)}"
            except StudentGone as gone:
                if self._lost(gone):
                    return False
                if gone.code == "lost":
                    raise
                self.failed[key] = f"{_subject(program)} could not be run to its end: {gone}"
                self.skipped.add(key)
                return False
            # Right after the cell that defines it, so that every later use finds the right version.
            if program.exercise in self.replaced and not self._stand_in(student, program.exercise):
                return False
        # Also where no cell defines it, or not only that cell.
        return all(self._stand_in(student, name) for name in self.replaced)

    def _stand_in(self, student: Student, name: str) -> bool:
        """Replace an exercise by a right version; False, and never again, if the learner's code prevents it."""
        try:
            student.replace(name, is_module(getattr(self.unit.reference, name)))
        except (StudentError, StudentGone) as error:
            if isinstance(error, StudentGone) and error.code == "lost":
                if self._lost(error):
                    return False
                raise
            self.replaced = ()
            return False
        return True

    def _library_calls(self, exercise: Exercise, answer: Answer) -> list[static.Use]:
        context = [program.source for program in self.submission.programs]
        return static.library_calls(static.plain_python(answer.source), exercise.forbids, exercise.name, context)

    def _unusual(self) -> list[str]:
        """Name what is unusual in an answer, and in what was run for it of other cells: a trick fits there as well."""
        cells = [(a.name, a.source) for a in self.submission.answers.values()]
        cells += [(p.label, p.source) for p in self.submission.programs if p.label != "set-up" and not p.exercise]
        imported = static.imports([p.source for p in self.submission.programs])
        return [
            f"line {u.line} of {name}: {u.name}" for name, source in cells for u in static.unusual(source, imported)
        ]

    def _other_failures(self) -> list[str]:
        exercises = {f"your cell {name}" for name in self.submission.answers}
        return [text for label, text in self.failed.items() if label not in exercises]


def _summarise(
    exercise: Exercise,
    answer: Answer,
    outcomes: list[Outcome],
    sentence: str = "",
    stand_ins: list[str] | None = None,
    library: list[str] | None = None,
) -> ExerciseReport:
    earned, most = sum(o.points for o in outcomes), sum(o.check.points for o in outcomes)
    notes = [answer.note] if answer.note and not sentence else []
    if library:
        sentence = f"this exercise asks for your own version, and yours calls the library's: {', '.join(library)}"
        earned = 0
    elif stand_ins:
        notes.append(f"graded with a right {', '.join(stand_ins)} in place of yours, whose fault is not counted twice")
    if not sentence:
        open_ = [o for o in outcomes if o.status is not Status.PASSED]
        if not open_:
            sentence = "solved"
        elif all(o.status is Status.NOT_STARTED for o in outcomes):
            sentence = f"{exercise.name} is still to do"
        else:
            sentence = open_[0].message
    return ExerciseReport(
        name=exercise.name, points=earned, max_points=most, sentence=sentence, found=answer.found, notes=notes,
        checks=[CheckReport.of(o) for o in outcomes], library=library or [], stand_ins=stand_ins or [], source=answer.source,
    )  # fmt: skip


def _subject(program: Program) -> str:
    return "the set-up cell" if program.label == "set-up" else f"{program.label[0].upper()}{program.label[1:]}"


def _what_stopped(error: StudentError) -> str:
    place = f" (line {error.line}: `{error.source}`)" if error.line and error.source else ""
    verb = "is not valid Python" if "SyntaxError" in error.types else "stopped with " + error.types[0]
    return f"{verb}: {error.message}{place}" if error.message else f"{verb}{place}"


def preload_modules(course: Course) -> list[str]:
    """Return the modules that the course's own set-up cells import, for the warm process to import beforehand."""
    names = dict.fromkeys(name for unit in course.units.values() for name in unit.imported)
    return ["torch", *(n for n in names if n != "torch")]


def open_sandbox(course: Course, isolated: bool = True, hidden: Sequence[Path] = ()) -> Sandbox:
    """Start a sandbox for a course: its learners' folder is visible; its solutions are not, nor what its units hide.

    Args:
        hidden: further paths that are not.

    Raises:
        SandboxUnavailable: this machine cannot isolate code.
    """
    secret = [*([course.solutions] if course.solutions else []), *course.hidden]
    return Sandbox([course.notebooks], [*secret, *hidden], preload_modules(course), isolated=isolated)
