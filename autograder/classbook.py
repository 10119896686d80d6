"""The class as a whole: a CSV for spreadsheets, a table for the terminal, the mistakes that many made."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from autograder.files import write_whole
from autograder.outline import ExerciseOutline, Outline
from autograder.report import State
from autograder.text import one_line

_FORMULA = tuple("=+-@\t\r＝＋－＠")
"""What makes a spreadsheet read a cell as a formula, in the full width of East Asian keyboards too."""
_BAR = 10
_NAME, _SENTENCE = 26, 240


def write_csv(reports: Iterable[Outline], path: Path) -> None:
    """Write one row per submission and one column per exercise, for spreadsheet programs (UTF-8 with a byte order mark)."""
    rows = in_order(reports)
    exercises = list(
        dict.fromkeys(f"{r.unit}.{e.name}" for r in sorted(rows, key=lambda r: r.unit) for e in r.exercises)
    )
    file = io.StringIO(newline="")
    # Text in quotes, all of it: unquoted, a program that splits at ";" would find new cells in it.
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
    fixed = ["student", "unit", "points", "max_points", "percent"]
    closing = ["written_answered", "state", "sentence", "mistakes", "attention", "marked"]
    writer.writerow([*fixed, *map(cell, exercises), *closing])
    for report in rows:
        points = {f"{report.unit}.{e.name}": e.points for e in report.exercises}
        graded = report.state is State.GRADED
        writer.writerow(
            [
                cell(report.student),
                cell(report.unit),
                report.points,
                report.max_points,
                # Blank, lest a mean over the column count as a zero what nobody could read.
                round(100 * report.points / report.max_points, 1) if graded and report.max_points else "",
                *(points.get(name, "") for name in exercises),
                "" if report.written_answered is None else report.written_answered,
                cell(report.state),
                cell(first_thing(report)),
                cell(", ".join(e.mistake for e in report.exercises if e.mistake)),
                cell("; ".join(report.unusual)),
                cell(", ".join(f"{e.name} by {e.marked_by}" for e in report.exercises if e.marked_by)),
            ]
        )
    write_whole(path, file.getvalue(), "utf-8-sig")


def class_table(reports: Iterable[Outline]) -> Table:
    """Return the class as a table for the terminal: who, how many points, and the first thing to know, unit by unit."""
    rows = sorted(in_order(reports), key=lambda r: (r.state is not State.GRADED, r.unit))
    caption = "A mark for each exercise: ✓ all points, ◐ some, ✗ none, ○ not started"
    if any(r.state is State.GRADED and not r.isolated for r in rows):
        caption += "\nNot isolated: this code ran without the sandbox"
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Student", min_width=12)
    table.add_column("Points", no_wrap=True, justify="right", min_width=6)
    table.add_column("", no_wrap=True, min_width=_BAR)
    table.add_column("", no_wrap=True, min_width=2 * max((len(r.exercises) for r in rows), default=1) - 1)
    table.add_column("First thing to know", ratio=1)
    for unit, group in itertools.groupby(rows, key=lambda r: r.unit if r.state is State.GRADED else "not graded"):
        table.add_section()
        table.add_row(_short(unit, _NAME, "bold"))
        for report in group:
            graded = report.state is State.GRADED
            table.add_row(
                _short(report.student, _NAME),
                f"{report.points}/{report.max_points}" if graded else "-",
                _bar(report) if graded else "",
                Text(" ").join(_mark(e) for e in report.exercises),
                Text(one_line(first_thing(report), _SENTENCE)),
            )
    return table


def unit_table(reports: Iterable[Outline]) -> Table:
    """Return a large class as a table for the terminal: for each unit and exercise, how many stand how."""
    rows = list(reports)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("")
    for heading in ("Submissions", "Mean", "✓ all points", "◐ some", "✗ none", "○ not started"):
        table.add_column(heading, justify="right")
    graded = sorted((r for r in rows if r.state is State.GRADED), key=lambda r: r.unit)
    for unit, group in itertools.groupby(graded, key=lambda r: r.unit):
        table.add_section()
        of_unit = list(group)
        mean = sum(r.points for r in of_unit) / len(of_unit)
        most = max(r.max_points for r in of_unit)
        table.add_row(_short(unit, _NAME, "bold"), str(len(of_unit)), f"{mean:.1f}/{most}")
        for name in dict.fromkeys(e.name for r in of_unit for e in r.exercises):
            exercises = [e for r in of_unit for e in r.exercises if e.name == name]
            counts = Counter(_mark(e).plain for e in exercises)
            average = f"{sum(e.points for e in exercises) / len(exercises):.1f}/{exercises[0].max_points}"
            table.add_row(_short(f"  {name}", _NAME), "", average, *(str(counts[m] or "") for m in "✓◐✗○"))
    if len(graded) < len(rows):
        table.add_section()
        table.add_row("not graded", str(len(rows) - len(graded)))
    return table


def moves_table(moves: Iterable[tuple[Outline | None, Outline]]) -> Table:
    """Return whose points move, exercise by exercise, from what counts now; for what is new, only where it stands."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Student", "Unit", "Exercise"):
        table.add_column(heading, min_width=8)
    table.add_column("Was", justify="right")
    table.add_column("Would be", justify="right")
    table.add_column("First thing to know", ratio=1)
    for before, after in sorted(moves, key=lambda m: (m[1].student.casefold(), m[1].student, m[1].unit)):
        was = {e.name: e for e in before.exercises} if before else {}
        who = _short(after.student, _NAME), _short(after.unit or "not graded", _NAME)
        moved = [e for e in after.exercises if e.name not in was or was[e.name].points != e.points]
        for exercise in moved if before else ():
            told = Text(one_line(exercise.sentence, _SENTENCE))
            old = f"{was[exercise.name].points}/{was[exercise.name].max_points}" if exercise.name in was else "new"
            table.add_row(*who, _short(exercise.name, _NAME), old, f"{exercise.points}/{exercise.max_points}", told)
        if not before or not moved:
            told = Text(one_line(first_thing(after), _SENTENCE))
            table.add_row(
                *who,
                "",
                f"{before.points}/{before.max_points}" if before else "new",
                f"{after.points}/{after.max_points}",
                told,
            )
    return table


def mistake_groups(reports: Iterable[Outline], least: int = 2) -> list[str]:
    """Return a line for each known mistake that at least `least` submissions of a unit show, the most frequent first."""
    graded = [r for r in reports if r.state is State.GRADED]
    sizes = Counter(r.unit for r in graded)
    made = Counter((r.unit, e.name, e.mistake, e.explanation) for r in graded for e in r.exercises if e.mistake)
    return [
        f"{count} of {sizes[unit]} made this mistake in {one_line(exercise)} ({one_line(mistake)}): {one_line(explanation)}"
        for (unit, exercise, mistake, explanation), count in sorted(made.items(), key=lambda item: (-item[1], item[0]))
        if count >= least
    ]


def attention(reports: Iterable[Outline]) -> list[str]:
    """Return a line for each submission that a person should look at.

    It uses what no exercise needs, which proves nothing; or it has a mark that a person gave to an earlier version.
    """
    lines = []
    for report in in_order(reports):
        why = list(report.unusual)
        why += [f"{name} keeps a mark that was given for an earlier version of it" for name in report.outdated]
        if why:
            lines.append(f"{one_line(report.student)}, {report.unit}: {one_line('; '.join(why), 300)}")
    return lines


def in_order(reports: Iterable[Outline]) -> Sequence[Outline]:
    """Return reports by student, then unit."""
    return sorted(reports, key=lambda r: (r.student.casefold(), r.student, r.unit, r.file))


def first_thing(report: Outline) -> str:
    """Return what to know of the first exercise that is not solved: its known mistake, else its sentence."""
    if report.state is not State.GRADED:
        return report.sentence
    for exercise in report.exercises:
        if exercise.points < exercise.max_points:
            if exercise.mistake:
                # The first sentence says what is wrong; the feedback page has the rest.
                return f"{exercise.mistake}: {exercise.explanation.split('. ')[0].rstrip('.')}."
            # A sentence that begins with the name, or with "Your cell" and the name, needs it no second time.
            named = exercise.name in exercise.sentence.split(":")[0]
            return exercise.sentence if named else f"{exercise.name}: {exercise.sentence}"
    return "all solved"


def cell(text: str) -> str:
    """Return text as a spreadsheet may have it: on one line, and no formula."""
    clean = one_line(text)
    return "'" + clean if clean.startswith(_FORMULA) else clean


def _short(text: str, limit: int, style: str = "") -> Text:
    """Return learners' text as one line that markup cannot style and that is cut, not wrapped, where room is scarce."""
    return Text(one_line(text, limit), style=style, no_wrap=True, overflow="ellipsis")


def _bar(report: Outline) -> Text:
    share = report.points / report.max_points if report.max_points else 0.0
    # Full only for all points, empty only for none.
    full = min(max(round(share * _BAR), share > 0), _BAR - (share < 1))
    style = "green" if share == 1 else "yellow" if share else "dim"
    return Text("━" * full, style=style) + Text("─" * (_BAR - full), style="bright_black")


def _mark(exercise: ExerciseOutline) -> Text:
    if exercise.points == exercise.max_points:
        return Text("✓", style="green")
    if exercise.points:
        return Text("◐", style="yellow")
    if exercise.not_started:
        return Text("○", style="dim")
    return Text("✗", style="red")
