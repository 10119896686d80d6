"""The leaderboard: submissions ranked by what checks measured, for units whose header asks for it. A CSV and a page.

Both hold names, as grades.csv has them, ranks and scores, and nothing else: no points, no code, nobody without a score.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.classbook import cell
from autograder.course import Course, Unit
from autograder.feedback import template
from autograder.files import write_whole
from autograder.outline import Outline
from autograder.report import State

NAMES = ("leaderboard.csv", "leaderboard.html")


@dataclass(frozen=True)
class Place:
    """One submission's place; the same rank for those whose scores are the same, and none for the next ones."""

    rank: int
    student: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Board:
    """The leaderboard of one unit.

    Attributes:
        by: the scores that rank, the first counting most, and whether the lowest is best.
        others: further scores, which do not.
        note: what to know when reading it, from the header's `leaderboard_note`.
        missing: how many submissions have no score, and no place.
        isolated: False if code of one that has a place ran without the sandbox, where it could write what it liked.
    """

    unit: str
    title: str
    by: dict[str, bool]
    others: tuple[str, ...]
    note: str
    places: tuple[Place, ...]
    missing: int
    isolated: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """All scores, those that rank first."""
        return (*self.by, *self.others)


def boards(course: Course, outlines: Iterable[Outline]) -> list[Board]:
    """Return the boards of the units that have one, of the results that count."""
    rows = list(outlines)
    return [_board(unit, [r for r in rows if r.unit == unit.stem]) for unit in course.units.values() if unit.ranked_by]


def write_leaderboard(course: Course, outlines: Iterable[Outline], folder: Path, wanted: bool = True) -> bool:
    """Write the leaderboard's files; say whether there are any. Raises OSError.

    Args:
        wanted: False takes away those that an earlier run wrote.
    """
    found = boards(course, outlines) if wanted else []
    if not any(board.places for board in found):
        for name in NAMES:
            (folder / name).unlink(missing_ok=True)
        return False
    table, page = (folder / name for name in NAMES)
    write_whole(table, _csv(found), "utf-8-sig")
    write_whole(page, template("leaderboard.html.j2").render(boards=[b for b in found if b.places]))
    return True


def _board(unit: Unit, outlines: Sequence[Outline]) -> Board:
    graded = [o for o in outlines if o.state is State.GRADED]
    scored = [(o, dict(o.scores)) for o in graded if unit.ranked_by.keys() <= dict(o.scores).keys()]

    def key(scores: dict[str, float]) -> list[float]:
        return [scores[name] if lowest else -scores[name] for name, lowest in unit.ranked_by.items()]

    scored.sort(key=lambda s: (key(s[1]), s[0].student.casefold(), s[0].student))
    places: list[Place] = []
    for number, (outline, scores) in enumerate(scored, start=1):
        same = bool(places) and key(places[-1].scores) == key(scores)
        places.append(Place(places[-1].rank if same else number, outline.student, scores))
    return Board(
        unit=unit.stem,
        title=str(unit.about.get("title", "")) or unit.stem,
        by=unit.ranked_by,
        others=tuple(dict.fromkeys(n for p in places for n in p.scores if n not in unit.ranked_by)),
        note=str(unit.about.get("leaderboard_note", "")),
        places=tuple(places),
        missing=len(graded) - len(places),
        isolated=all(o.isolated for o, _ in scored),
    )


def _csv(found: Sequence[Board]) -> str:
    columns = list(dict.fromkeys(name for board in found for name in board.columns))
    file = io.StringIO(newline="")
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)  # as in grades.csv
    writer.writerow(["unit", "rank", "student", *map(cell, columns)])
    for board in found:
        for place in board.places:
            values = [round(place.scores[name], 6) if name in place.scores else "" for name in columns]
            writer.writerow([cell(board.unit), place.rank, cell(place.student), *values])
    return file.getvalue()
