"""The page a learner gets back: one HTML file that needs nothing else, and in which nothing of theirs can come alive.

Three things keep it harmless, each enough by itself: every value is stripped of control characters and escaped on its way
into the page (`finalize` and autoescape), there is no script, and the page's own policy forbids all but styles and data:
images.
"""

from __future__ import annotations

import functools
import io
import keyword
import tokenize
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from autograder.checks import Status
from autograder.evidence import Evidence
from autograder.picture import data_uri
from autograder.report import ExerciseReport, Report
from autograder.text import harmless, sentence

_LINES, _LINE_LENGTH = 400, 400
"""What is shown of one cell; more than this is no answer to an exercise."""

_FOUND = {
    "cell id": "Found by its cell id: the course's metadata was lost.",
    "name": "Found by the name it defines, in a cell without the course's metadata, such as one you added.",
}
_WORDS = {Status.RAISED: "error"}
_ICONS = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.RAISED: "error",
    Status.NOT_STARTED: "open",
    Status.GONE: "gone",
    Status.BROKEN: "error",
}


def render(report: Report) -> str:
    """Return the feedback page of one report."""
    return template("feedback.html.j2").render(report=report, names=[e.name for e in report.exercises])


def template(name: str) -> jinja2.Template:
    """Return a page's template, in which every value is made harmless on its way to the page."""
    return _environment().get_template(name)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        prose=_prose,
        said=_said,
        code_lines=_code_lines,
        picture=_picture,
        about=_alternative,
        state=_state,
        share=_share,
    )
    environment.globals.update(found=_FOUND, words=_WORDS, icons=_ICONS)
    return environment


def _finalize(value: Any) -> Any:
    """Clean whatever an expression of the template yields. What our own filters made is clean already."""
    return value if isinstance(value, Markup) else harmless(str(value))


def _prose(text: str) -> Markup:
    """Escape, and show `code` as code."""
    pieces = harmless(text).split("`")
    # An odd number of backticks leaves the last piece outside of any pair.
    return Markup().join(
        Markup("<code>{}</code>").format(p) if i % 2 and i < len(pieces) - 1 else escape(p)
        for i, p in enumerate(pieces)
    )


def _said(text: str, names: list[str]) -> Markup:
    """Show a verdict as a sentence."""
    return _prose(sentence(harmless(text), tuple(names)))


def _share(points: int, most: int) -> int:
    return round(100 * points / most) if most else 0


def _state(exercise: ExerciseReport) -> str:
    """Say in a word how an exercise stands."""
    if exercise.points == exercise.max_points:
        return "solved"
    if exercise.not_started:
        return "not started"
    return "partly" if exercise.points else "no points yet"


def _picture(evidence: Evidence) -> str:
    """Return a data: URI, or "" for evidence that cannot be drawn: a page without a picture is better than no page."""
    try:
        return data_uri(evidence)
    except (ValueError, TypeError, IndexError, ArithmeticError):
        return ""


def _alternative(evidence: Evidence) -> str:
    """Describe a picture for those who cannot see it. The caption, which stands beside it, is not repeated."""
    if evidence.kind == "images":
        return f"Images side by side: {', '.join(p.title for p in evidence.panels)}"
    return f"Bars of {evidence.y_label or 'height'} over {evidence.x_label or 'position'}: " + ", ".join(
        s.label for s in evidence.series
    )


def _code_lines(source: str) -> list[Markup]:
    """Return a cell's lines, escaped, with keywords, strings, numbers and comments marked."""
    lines = [
        harmless(line, _LINE_LENGTH, keep="\t", mark="\N{REPLACEMENT CHARACTER}").expandtabs(4)
        for line in source[: _LINES * _LINE_LENGTH].split("\n")[:_LINES]
    ]
    marks: list[list[tuple[int, int, str]]] = [[] for _ in lines]
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            kind = _kind(token)
            for row in range(token.start[0], token.end[0] + 1) if kind else ():
                if row <= len(lines):
                    first = token.start[1] if row == token.start[0] else 0
                    last = token.end[1] if row == token.end[0] else len(lines[row - 1])
                    marks[row - 1].append((first, last, kind))
    # Code that is not Python is shown too, marked as far as it could be read.
    except (tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return [_marked(line, found) for line, found in zip(lines, marks, strict=True)]


def _kind(token: tokenize.TokenInfo) -> str:
    name = tokenize.tok_name[token.type]
    if "STRING" in name:
        return "s"
    if name == "NAME" and keyword.iskeyword(token.string):
        return "k"
    return {"COMMENT": "c", "NUMBER": "n"}.get(name, "")


def _marked(line: str, marks: list[tuple[int, int, str]]) -> Markup:
    made, at = Markup(), 0
    for first, last, kind in marks:
        if at <= first < last:
            made += Markup('{}<span class="{}">{}</span>').format(line[at:first], kind, line[first:last])
            at = last
    return made + escape(line[at:])
