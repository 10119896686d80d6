"""The command line. Exit codes as pytest's: 0 all well, 1 something failed, 2 the grader could not work."""

from __future__ import annotations

import getpass
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autograder.course import Course, CourseError
from autograder.text import one_line

if TYPE_CHECKING:
    from autograder.classroom import Run
    from autograder.fleet import Fleet
    from autograder.outline import Outline
    from autograder.worker import Assignment

app = typer.Typer(
    help="Build a course's notebooks and grade its submissions.", no_args_is_help=True, pretty_exceptions_enable=False
)
_out = Console()
_err = Console(stderr=True)

_BOOK = "gradebook.sqlite"
_TRACEBACK = "AUTOGRADER_TRACEBACK"
"""Set in the environment, it shows where the program itself went wrong."""
_TABLE_ROWS = 100
"""Submissions that are listed one by one; of a larger class the terminal shows sums, and grades.csv the rest."""

Submissions = Annotated[list[Path], typer.Argument(help="Notebooks, or folders of them, one a student.")]
Out = Annotated[Path, typer.Option(help="Where results go.")]
OneUnit = Annotated[str | None, typer.Option(help="Grade this unit only, by its stem, as `units` lists them.")]
Seed = Annotated[str | None, typer.Option(help="Draw the inputs of another run again. [default: the gradebook's seed]")]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Grade with this many processes; 0: in this one, to debug. [default: one a core]"),
]
Scheduler = Annotated[
    str | None, typer.Option(help="Use the workers of a Dask scheduler that is there, such as tcp://host:8786.")
]
Book = Annotated[str | None, typer.Option(help=f"A file, or a database's URL. [default: {_BOOK} where results go]")]
Unsandboxed = Annotated[bool, typer.Option("--unsandboxed", help="Run code that you trust without isolation.")]
Notebooks = Annotated[Path | None, typer.Option(help="The learners' folder. [default: found around this folder]")]
Solutions = Annotated[Path | None, typer.Option(help="The instructors' folder. [default: beside the learners']")]


@app.command()
def grade(
    submissions: Submissions,
    out: Out = Path("results"),
    unit: OneUnit = None,
    seed: Seed = None,
    fail_under: Annotated[float, typer.Option(help="Exit with 1 if a submission is below this percentage.")] = 0.0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    gradebook: Book = None,
    again: Annotated[bool, typer.Option("--again", help="Grade also what has not changed since.")] = False,
    leaderboard: Annotated[
        bool,
        typer.Option("--leaderboard/--no-leaderboard", help="Write one for units that have it; or take it away."),
    ] = True,
    unsandboxed: Unsandboxed = False,
    notebooks: Notebooks = None,
    solutions: Solutions = None,
) -> None:
    """Grade submissions: JSON and a feedback page each, a CSV for the class, all of it kept in a gradebook.

    Submissions are STUDENT.ipynb files, folders STUDENT/NOTEBOOK.ipynb, or nbgrader's
    submitted/STUDENT/ASSIGNMENT/NOTEBOOK.ipynb. To return feedback, send each student their page.

    A run that was stopped goes on where it was when started again. Work that has not changed is not graded again; a changed
    check regrades the exercises it touches, and `autograder diff` shows beforehand whose points would move.

    Exit codes: 0 all were graded; 1 a check could not run, no submission could be read, or one is below --fail-under;
    2 the grader could not work, or not to the end, and says why in a sentence.
    """
    from autograder.classbook import attention, class_table, mistake_groups, unit_table
    from autograder.collect import without_notebooks
    from autograder.report import State

    run, outlines = _grade(
        submissions, out, unit, seed, workers, scheduler, gradebook, again, unsandboxed, notebooks, solutions,
        leaderboard=leaderboard,
    )  # fmt: skip
    _out.print(class_table(outlines) if len(outlines) <= _TABLE_ROWS else unit_table(outlines))
    for line in mistake_groups(outlines):
        _out.print(line, markup=False, highlight=False)
    if nothing := without_notebooks(submissions):
        _out.print(one_line(f"Handed nothing in: {', '.join(nothing)}", 2000), markup=False, highlight=False)
    if look := attention(outlines):
        _out.print("Worth a look:", highlight=False)
        for line in look[:_TABLE_ROWS]:
            _out.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        if len(look) > _TABLE_ROWS:
            _out.print(f"  and {len(look) - _TABLE_ROWS} more: see the column attention of grades.csv", highlight=False)
    if unsandboxed:
        _out.print("Not isolated: learners' code ran with this account's rights.", style="bold red")
    if kept := run.handed_in - run.graded:
        _out.print(f"{kept} of {run.handed_in} had not changed and were not graded again", highlight=False)
    _out.print(
        f"Feedback  {out / 'feedback'}/*.html\nMarks     {out / 'grades.csv'}\nDetails   {out}/*.json\n"
        f"Gradebook {gradebook or out / _BOOK}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    if run.leaderboard:
        _out.print(f"Ranks     {out / 'leaderboard.html'}", highlight=False, markup=False, soft_wrap=True)
    broken = [one_line(f"{o.student}: {b}") for o in outlines for b in o.broken]
    for line in broken:
        _err.print(f"The grader is at fault here, not the learner: {line}", style="bold red", markup=False)
    below = [o for o in outlines if 100 * o.points < fail_under * o.max_points or (fail_under and not o.max_points)]
    for o in below:
        _err.print(one_line(f"{o.student}: {o.sentence}"), markup=False, highlight=False)
    unread = not any(o.state is State.GRADED for o in outlines)
    raise typer.Exit(1 if broken or below or unread else 0)


@app.command()
def diff(
    submissions: Submissions,
    out: Out = Path("results"),
    unit: OneUnit = None,
    seed: Seed = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    gradebook: Book = None,
    unsandboxed: Unsandboxed = False,
    notebooks: Notebooks = None,
    solutions: Solutions = None,
) -> None:
    """Show whose points would move if the submissions were graded now, and change nothing that counts.

    Only what has changed is graded: submissions, checks, the engine. The new results are kept aside, so that a `grade`
    afterwards publishes them at once.

    Exit codes: 0 no points would move; 1 some would; 2 the grader could not work.
    """
    from autograder.classbook import moves_table

    run, _ = _grade(
        submissions, out, unit, seed, workers, scheduler, gradebook, False, unsandboxed, notebooks, solutions,
        publish=False,
    )  # fmt: skip
    if run.moves:
        _out.print(moves_table(run.moves))
    _out.print(
        f"Points would move for {len(run.moves)} of {run.handed_in} submissions. Nothing was published: "
        "`autograder grade` does that",
        highlight=False,
    )
    raise typer.Exit(1 if run.moves else 0)


@app.command()
def mark(
    student: Annotated[str, typer.Argument(help="As the class table names them.")],
    unit: Annotated[str, typer.Argument(help="The unit's stem.")],
    exercise: Annotated[str, typer.Argument(help="The exercise's name.")],
    points: Annotated[int, typer.Argument(help="The points it shall have.")],
    by: Annotated[str, typer.Option(help="Who gives them. [default: this account's name]")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the learner to read.")] = "",
    out: Out = Path("results"),
    gradebook: Book = None,
) -> None:
    """Give an exercise points in place of the judge's. No later grading changes them; the last mark given counts."""
    from autograder.classroom import remark
    from autograder.collect import text_of
    from autograder.gradebook import Gradebook, GradebookError

    with _sentences(GradebookError, OSError), Gradebook(_where(gradebook, out), create=False) as book:
        # What is not UTF-8 on the command line is escaped, as the class table shows it.
        student, unit, exercise = text_of(student), text_of(unit), text_of(exercise)
        report = remark(book, out, student, unit, exercise, points, text_of(by or _account()), text_of(reason))
    _out.print(one_line(f"{student}, {unit}: {report.sentence}"), markup=False, highlight=False)
    if not (out / "feedback").is_dir():
        _out.print(f"No results are in {out}: the next `autograder grade` shows it on the page", highlight=False)


@app.command()
def build(
    units: Annotated[list[str] | None, typer.Argument(help="Units to build. [default: all]")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if anything is out of step.")
    ] = False,
    execute: Annotated[bool, typer.Option(help="Run solution notebooks even where their code is unchanged.")] = False,
    notebooks: Notebooks = None,
    solutions: Solutions = None,
) -> None:
    """Make the notebooks from their sources: solutions executed, stubs for learners."""
    from nbclient.exceptions import CellExecutionError

    from autograder import build as builder

    with _sentences(CourseError, builder.BuildError, CellExecutionError):
        course = _course(notebooks, solutions)
        if check:
            problems = builder.verify(course)
            for problem in problems:
                _err.print(str(problem), markup=False, highlight=False)
            raise typer.Exit(1 if problems else 0)
        chosen = [course.unit(u) for u in units] if units else builder.sources(course)
        for unit in chosen:
            builder.build(unit, execute)
            _out.print(f"{unit.stem}: built", highlight=False)


@app.command()
def units(notebooks: Notebooks = None, solutions: Solutions = None) -> None:
    """List the course's units, their exercises and points."""
    with _sentences(CourseError):
        for unit in _course(notebooks, solutions).units.values():
            worth = unit.manifest.worth
            listed = ", ".join(f"{e} ({w.public} + {w.graded})" for e, w in worth.items())
            _out.print(f"{unit.stem}: {listed}", highlight=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of results/*.json."""
    from autograder.report import Report

    print(json.dumps(Report.model_json_schema(), indent=1))


def _grade(
    submissions: list[Path],
    out: Path,
    unit: str | None,
    seed: str | None,
    workers: int | None,
    scheduler: str | None,
    gradebook: str | None,
    again: bool,
    unsandboxed: bool,
    notebooks: Path | None,
    solutions: Path | None,
    publish: bool = True,
    leaderboard: bool = True,
) -> tuple[Run, list[Outline]]:
    """Grade with a progress bar; return what was done, and what now counts of the submissions named."""
    from autograder import classroom, collect, fleet
    from autograder.gradebook import Gradebook, GradebookError
    from autograder.sandbox import SandboxUnavailable

    expected = (
        CourseError, SandboxUnavailable, GradebookError, collect.CollectError, classroom.Stopped, fleet.FleetError,
    )  # fmt: skip
    with _sentences(*expected), _terminated_as_by_ctrl_c():
        if scheduler is not None and workers is not None:
            raise fleet.FleetError(
                "--workers starts workers here, --scheduler uses those of a cluster: name one of the two"
            )
        if scheduler is not None:
            fleet.address_of(scheduler)  # before the class is read
        course = _course(notebooks, solutions)
        if course.solutions is None:
            raise CourseError("grading needs the solutions folder, which is not here: name it with --solutions")
        only = course.unit(unit) if unit else None
        elapsed, now = TimeElapsedColumn(), TextColumn("{task.fields[what]}")
        with Progress(
            BarColumn(), MofNCompleteColumn(), elapsed, now, console=_err, transient=True, disable=not _err.is_terminal
        ) as bar:
            task = bar.add_task("grading", total=None, what="")

            def show(done: int, total: int, what: str) -> None:
                bar.update(task, completed=done, total=total, what=escape(one_line(what)))

            def hire(assignment: Assignment, jobs: int) -> AbstractContextManager[Fleet]:
                if workers == 0:
                    return fleet.in_process(assignment)
                return fleet.on_dask(assignment, workers or min(fleet.cores(), jobs), scheduler)

            with Gradebook(_where(gradebook, _in(out) if publish else out), create=publish) as book:
                run = classroom.grade_class(
                    submissions, course, book, hire, out,
                    unit=only, seed=collect.text_of(seed or "") or None, isolated=not unsandboxed, again=again,
                    publish=publish, leaderboard=leaderboard, progress=show,
                )  # fmt: skip
                return run, [o for o in book.outlines() if (o.student, o.work) in run.works]


def _account() -> str:
    from autograder.gradebook import GradebookError

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise GradebookError("this account has no name: say who gives the mark with --by") from None


def _in(out: Path) -> Path:
    """Make the folder for results, and return it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(f"{out} cannot be made for the results: {error.strerror}") from None
    return out


def _where(gradebook: str | None, out: Path) -> Path | str:
    if gradebook is None:
        return out / _BOOK
    return gradebook if "://" in gradebook else Path(gradebook)


def main() -> None:
    """Run the command line. A fault of ours ends it with exit code 2, too: 1 is for what learners did."""
    try:
        app()
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        else:
            if isinstance(error, OSError) and error.filename:  # of a file that was named in vain, most likely
                sentence = f"{one_line(str(error.filename))}: {error.strerror}; {_TRACEBACK}=1 shows where"
            else:
                fault = one_line(f"{type(error).__name__}: {error}")
                sentence = f"a fault of the program itself ({fault}): {_TRACEBACK}=1 shows where, please report it"
            _err.print(f"autograder: {sentence}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


def _course(notebooks: Path | None, solutions: Path | None) -> Course:
    if notebooks is not None:
        return Course.open(notebooks, solutions or notebooks.resolve().parent / "solutions")
    course = Course.find()
    return Course.open(course.notebooks, solutions) if solutions else course


@contextmanager
def _terminated_as_by_ctrl_c() -> Iterator[None]:
    """Let whoever ends this process politely have the same care as Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _sentences(*expected: type[Exception]) -> Iterator[None]:
    """Turn expected exceptions, and Ctrl-C, into one sentence on stderr and exit code 2."""
    try:
        yield
    except expected as error:
        _err.print(f"autograder: {one_line(str(error), limit=2000)}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        _err.print("autograder: stopped by you; what was finished before is kept")
        raise typer.Exit(2) from None


if __name__ == "__main__":
    main()
