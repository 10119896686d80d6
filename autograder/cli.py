"""The command line. Exit codes as pytest's: 0 all well, 1 something failed, 2 the grader could not work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from autograder.course import Course, CourseError
from autograder.text import one_line

app = typer.Typer(
    help="Build a course's notebooks and grade its submissions.", no_args_is_help=True, pretty_exceptions_enable=False
)
_out = Console()
_err = Console(stderr=True)

Notebooks = Annotated[Path | None, typer.Option(help="The learners' folder. [default: found around this folder]")]
Solutions = Annotated[Path | None, typer.Option(help="The instructors' folder. [default: beside the learners']")]


@app.command()
def grade(
    submissions: Annotated[list[Path], typer.Argument(help="Notebooks, or folders of them, one a student.")],
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("results"),
    unit: Annotated[str | None, typer.Option(help="Grade this unit only, by its stem, as `units` lists them.")] = None,
    seed: Annotated[str | None, typer.Option(help="Draw the inputs of an earlier run again.")] = None,
    fail_under: Annotated[float, typer.Option(help="Exit with 1 if a submission is below this percentage.")] = 0.0,
    unsandboxed: Annotated[
        bool, typer.Option("--unsandboxed", help="Run code that you trust without isolation.")
    ] = False,
    notebooks: Notebooks = None,
    solutions: Solutions = None,
) -> None:
    """Grade submissions: JSON and a feedback page each, a CSV for the class.

    Submissions are STUDENT.ipynb files, folders STUDENT/NOTEBOOK.ipynb, or nbgrader's
    submitted/STUDENT/ASSIGNMENT/NOTEBOOK.ipynb. To return feedback, send each student their page.

    Exit codes: 0 all were graded; 1 a check could not run, no submission could be read, or one is below --fail-under;
    2 the grader could not work, and says why in a sentence.
    """
    from autograder import classroom
    from autograder.classbook import attention, class_table, mistake_groups
    from autograder.judge import open_sandbox
    from autograder.report import State
    from autograder.sandbox import Sandbox, SandboxUnavailable

    with _sentences(CourseError, SandboxUnavailable, classroom.ClassroomError):
        course = _course(notebooks, solutions)
        if course.solutions is None:
            raise CourseError("grading needs the solutions folder, which is not here: name it with --solutions")
        only = course.unit(unit) if unit else None
        elapsed, now = TimeElapsedColumn(), TextColumn("{task.fields[student]}")
        with Progress(
            BarColumn(), MofNCompleteColumn(), elapsed, now, console=_err, transient=True, disable=not _err.is_terminal
        ) as bar:
            task = bar.add_task("grading", total=None, student="starting the sandbox")

            def show(done: int, total: int, student: str) -> None:
                bar.update(task, completed=done, total=total, student=escape(one_line(student)))

            def sandbox() -> Sandbox:
                return open_sandbox(course, isolated=not unsandboxed, hidden=[*submissions, out])

            reports = classroom.grade_class(submissions, course, sandbox, out, only, seed, show)
    _out.print(class_table(reports))
    for line in mistake_groups(reports):
        _out.print(line, markup=False, highlight=False)
    if nothing := classroom.without_notebooks(submissions):
        _out.print(one_line(f"Handed nothing in: {', '.join(nothing)}", 2000), markup=False, highlight=False)
    if look := attention(reports):
        _out.print("Worth a look, for they use what no exercise needs:", highlight=False)
        for line in look:
            _out.print(f"  {line}", markup=False, highlight=False)
    if unsandboxed:
        _out.print("Not isolated: learners' code ran with this account's rights.", style="bold red")
    _out.print(
        f"Feedback  {out / 'feedback'}/*.html\nMarks     {out / 'grades.csv'}\nDetails   {out}/*.json", highlight=False
    )
    broken = [one_line(f"{r.student}: {b}") for r in reports for b in r.broken]
    for line in broken:
        _err.print(f"The grader is at fault here, not the learner: {line}", style="bold red", markup=False)
    below = [r for r in reports if 100 * r.points < fail_under * r.max_points or (fail_under and not r.max_points)]
    for r in below:
        _err.print(one_line(f"{r.student}: {r.sentence}"), markup=False, highlight=False)
    unread = not any(r.state is State.GRADED for r in reports)
    raise typer.Exit(1 if broken or below or unread else 0)


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


def main() -> None:
    """Run the command line."""
    app()


def _course(notebooks: Path | None, solutions: Path | None) -> Course:
    if notebooks is not None:
        return Course.open(notebooks, solutions or notebooks.resolve().parent / "solutions")
    course = Course.find()
    return Course.open(course.notebooks, solutions) if solutions else course


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
