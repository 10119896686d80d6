"""How a verdict and a progress table look: HTML in a notebook, text elsewhere."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape

from autograder.checks import Outcome, Status
from autograder.picture import data_uri

_MARKS = {Status.PASSED: "✓", Status.NOT_STARTED: "○"}
# JupyterLab's own colours, which suit its light and its dark theme; elsewhere ours.
_GREEN = "var(--jp-success-color0, #1a7f4b)"
_RED = "var(--jp-error-color1, #c0392b)"
_GREY = "#8a8f98"
_CELL = "text-align:left;vertical-align:top;padding:4px 10px 4px 0"


@dataclass
class Verdict:
    """The result of checking one exercise in a notebook.

    Attributes:
        library: library versions of the technique that the answer calls; with any, nothing is earned.
        diagnosis: the explanation of the known mistake that the answer looks like, or "".
        first: exercises it builds on that fail their own checks.
        caution: what to know before reading the verdict, or "".
        hint: the next hint, or "" when all is well.
        graded_only: further points, given at grading alone.
        as_number: be the points alone where text is asked for.
    """

    exercise: str
    outcomes: list[Outcome]
    library: list[str]
    diagnosis: str = ""
    first: list[str] = field(default_factory=list)
    caution: str = ""
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

    @property
    def untouched(self) -> bool:
        return all(o.status is Status.NOT_STARTED for o in self.outcomes)

    def headline(self) -> str:
        """Say it in one line."""
        if self.untouched:
            return f"{self.exercise}: {'under way' if self.caution else 'not started'}"
        more = f" ({self.graded_only} more at grading)" if self.graded_only else ""
        return f"{self.exercise}: {self.points} of {self.max_points} points{more}{', solved' if self.solved else ''}"

    def advice(self) -> list[tuple[str, str]]:
        """Return what helps on, as (heading, text)."""
        found = []
        if self.caution:
            found.append(("Look first", self.caution))
        if self.library:
            calls = ", ".join(self.library)
            found.append(
                ("Write your own", f"Yours calls the library's {calls}. The ticks earn points once the code is yours.")
            )
        if self.first:
            names = " and ".join(f"`{name}`" for name in self.first)
            found.append(("First things first", f"{names} fails its own checks, and this exercise builds on it."))
        if self.diagnosis:
            found.append(("Likely mistake", self.diagnosis))
        if self.hint:
            found.append((f"Hint {self.hint_number} of {self.hints}", self.hint))
        return found

    def seen(self) -> list[str]:
        """Return what was seen in each check; a message that comes again is not repeated."""
        told: set[str] = set()
        lines = []
        for o in self.outcomes:
            message = "" if o.status is Status.NOT_STARTED else o.message
            lines.append("the same again" if message in told and message else message)
            told.add(message)
        return lines

    def __repr__(self) -> str:
        if self.as_number:
            return str(self.points)
        lines = [self.headline()]
        lines += [_fill(f"{heading}: {text}", "  ") for heading, text in self.advice()]
        for o, seen in zip(self.outcomes, self.seen(), strict=True):
            lines.append(_fill(f"{_MARKS.get(o.status, '✗')} {o.points}/{o.check.points}  {o.check.statement}", "  "))
            if seen:
                lines.append(_fill(seen, " " * 9))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        advice = "".join(
            f'<div style="border-left:3px solid {_GREY};padding:2px 10px;margin:6px 0"><b>{escape(heading)}.</b> '
            f"{_inline(text)}</div>"
            for heading, text in self.advice()
        )
        rows, pictures = [], set[str]()
        for o, seen in zip(self.outcomes, self.seen(), strict=True):
            colour = _GREEN if o.status is Status.PASSED else _GREY if o.status is Status.NOT_STARTED else _RED
            shown = f'<div style="opacity:.8;margin-left:1em">{_inline(seen)}</div>' if seen else ""
            for evidence in o.evidence:
                if evidence.caption in pictures:  # one picture of a kind tells it
                    continue
                pictures.add(evidence.caption)
                caption = escape(evidence.caption)
                shown += f'<img alt="{caption}" src="{data_uri(evidence)}" style="background:#fff;margin:4px 1em">'
                shown += f'<div style="opacity:.75;margin-left:1em"><small>{caption}</small></div>'
            rows.append(
                f'<tr><td style="{_CELL};color:{colour};font-weight:bold">{_MARKS.get(o.status, "✗")}</td>'
                f'<td style="{_CELL};white-space:nowrap">{o.points} / {o.check.points}</td>'
                f'<td style="{_CELL}">{_inline(o.check.statement)}{shown}</td></tr>'
            )
        colour = _GREEN if self.solved else "inherit"
        return (
            f'<div style="max-width:60em"><div style="font-weight:bold;color:{colour};margin:4px 0">'
            f"{escape(self.headline())}</div>{advice}<table>{''.join(rows)}</table></div>"
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
            return "Run the cells of the exercises first, or see progress(whole_course=True)."
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


def _fill(text: str, indent: str) -> str:
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent + "  ")


def _inline(text: str) -> str:
    """Escape, and show `code` as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if i % 2 and i < len(pieces) - 1 else p for i, p in enumerate(pieces))
