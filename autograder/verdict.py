"""How a verdict and a progress table look: HTML in a notebook, text elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from autograder.checks import Outcome, Status
from autograder.evidence import data_uri

_MARKS = {Status.PASSED: "✓", Status.NOT_STARTED: "○", Status.SKIPPED: "–"}
_GREEN, _RED, _GREY = "#1a7f4b", "#c0392b", "#8a8f98"
_CELL = "text-align:left;vertical-align:top;padding:4px 10px 4px 0"


@dataclass
class Verdict:
    """The result of checking one exercise in a notebook.

    Attributes:
        library: library versions of the technique that the answer calls; with any, nothing is earned.
        diagnosis: the explanation of the known mistake that the answer looks like, or "".
        hint: the next hint, or "" when all is well.
        graded_only: further points, given at grading alone.
        as_number: be the points alone where text is asked for.
    """

    exercise: str
    outcomes: list[Outcome]
    library: list[str]
    diagnosis: str = ""
    hint: str = ""
    hint_number: int = 0
    hints: int = 0
    graded_only: int = 0
    as_number: bool = False

    @property
    def points(self) -> int:
        return 0 if self.library else sum(o.points for o in self.outcomes)

    @property
    def max_points(self) -> int:
        return sum(o.check.points for o in self.outcomes)

    @property
    def solved(self) -> bool:
        return self.points == self.max_points

    def headline(self) -> str:
        """Say it in one line."""
        if all(o.status is Status.NOT_STARTED for o in self.outcomes):
            return f"{self.exercise}: not started"
        more = f" ({self.graded_only} more at grading)" if self.graded_only else ""
        return f"{self.exercise}: {self.points} of {self.max_points} points{more}{', solved' if self.solved else ''}"

    def advice(self) -> list[tuple[str, str]]:
        """Return what helps on, as (heading, text)."""
        found = []
        if self.library:
            found.append(
                ("Write your own", f"this exercise asks for your own version; yours calls {', '.join(self.library)}")
            )
        if self.diagnosis:
            found.append(("Likely mistake", self.diagnosis))
        if self.hint:
            found.append((f"Hint {self.hint_number} of {self.hints}", self.hint))
        return found

    def __repr__(self) -> str:
        if self.as_number:
            return str(self.points)
        lines = [self.headline()]
        for o in self.outcomes:
            lines.append(f"  {_MARKS.get(o.status, '✗')} {o.points}/{o.check.points}  {o.check.statement}")
            if o.message and o.status is not Status.NOT_STARTED:
                lines.append(f"         {o.message}")
        lines += [f"  {heading}: {text}" for heading, text in self.advice()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for o in self.outcomes:
            colour = _GREEN if o.status is Status.PASSED else _GREY if o.status is Status.NOT_STARTED else _RED
            seen = escape(o.message) if o.message and o.status is not Status.NOT_STARTED else ""
            for evidence in o.evidence:
                caption = escape(evidence.caption)
                seen += f'<br><img alt="{caption}" src="{data_uri(evidence)}" style="background:#fff;margin-top:4px">'
                seen += f'<br><small style="opacity:.75">{caption}</small>'
            rows.append(
                f'<tr><td style="{_CELL};color:{colour};font-weight:bold">{_MARKS.get(o.status, "✗")}</td>'
                f'<td style="{_CELL};white-space:nowrap">{o.points} / {o.check.points}</td>'
                f'<td style="{_CELL}">{_inline(o.check.statement)}{f"<div>{seen}</div>" if seen else ""}</td></tr>'
            )
        advice = "".join(
            f'<div style="border-left:3px solid {_GREY};padding:2px 10px;margin:6px 0"><b>{escape(heading)}.</b> '
            f"{_inline(text)}</div>"
            for heading, text in self.advice()
        )
        colour = _GREEN if self.solved else "inherit"
        return (
            f'<div style="max-width:60em"><div style="font-weight:bold;color:{colour};margin:4px 0">'
            f"{escape(self.headline())}</div><table>{''.join(rows)}</table>{advice}</div>"
        )


@dataclass(frozen=True)
class Standing:
    """One exercise's line in a progress table; `points` is None where it was never checked."""

    unit: str
    exercise: str
    points: int | None
    max_points: int
    untouched: bool = False

    @property
    def state(self) -> str:
        if self.points is None:
            return "not started" if self.untouched else "not checked yet"
        return "solved" if self.points == self.max_points else "under way"


@dataclass(frozen=True)
class ProgressTable:
    """Where a learner is."""

    rows: list[Standing]

    def _total(self) -> str:
        points = sum(r.points or 0 for r in self.rows)
        solved = sum(r.state == "solved" for r in self.rows)
        most = sum(r.max_points for r in self.rows)
        return f"{points} of {most} points, {solved} of {len(self.rows)} exercises solved"

    def __repr__(self) -> str:
        if not self.rows:
            return "No exercise of the course is defined here yet."
        width = max(len(r.exercise) for r in self.rows)
        lines = [
            f"  {r.exercise:<{width}}  {r.points if r.points is not None else '-':>2} / {r.max_points:<2}  {r.state}"
            for r in self.rows
        ]
        return "\n".join([self._total(), *lines])

    def _repr_html_(self) -> str:
        if not self.rows:
            return escape(repr(self))
        rows = []
        for r in self.rows:
            share = round(100 * (r.points or 0) / r.max_points) if r.max_points else 0
            bar = (
                f'<div style="width:120px;height:8px;border-radius:4px;background:#8a8f9844;margin-top:6px">'
                f'<div style="width:{share}%;height:8px;border-radius:4px;background:{_GREEN}"></div></div>'
            )
            shown = "-" if r.points is None else r.points
            rows.append(
                f'<tr><td style="{_CELL}"><code>{escape(r.exercise)}</code></td><td style="{_CELL}">{bar}</td>'
                f'<td style="{_CELL}">{shown} / {r.max_points}</td><td style="{_CELL}">{escape(r.state)}</td></tr>'
            )
        return f"<div><b>{escape(self._total())}</b><table>{''.join(rows)}</table></div>"


def _inline(text: str) -> str:
    """Escape, and show `code` as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 and i < len(pieces) - 1 else p for i, p in enumerate(pieces))
