"""Reports made by hand, hostile text, and a strict reader of pages, for the tests of what is shown."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from autograder.checks import Status
from autograder.report import CheckReport, Diagnosis, ExerciseReport, Report, State, WrittenReport

HOSTILE = (
    "</pre></style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "{{ report.seed }}{% for x in y %}",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "\u202eevil\u2066\u200f\u2028",
    "`<b>`",
    "\x00\x08\r\n=1+1",
    "[bold red]loud[/] [link=http://evil.example]x[/link]",
)
CONTROLS = {
    chr(c) for c in (*range(0, 9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def check(status: Status = Status.PASSED, points: int = 1, **fields: Any) -> CheckReport:
    earned = points if status is Status.PASSED else 0
    values = {"name": "a_check", "statement": "Something must hold.", "graded_only": False, **fields}
    return CheckReport(status=status, points=earned, max_points=points, **values)


def exercise(name: str = "channel_mask", points: int = 5, most: int = 5, **fields: Any) -> ExerciseReport:
    values = {"sentence": "solved" if points == most else "something is off", "found": "metadata", **fields}
    return ExerciseReport(name=name, points=points, max_points=most, **values)


def report(student: str = "ada", *exercises: ExerciseReport, **fields: Any) -> Report:
    points, most = sum(e.points for e in exercises), sum(e.max_points for e in exercises)
    values = {
        "unit": "03_spatial_dropout", "title": "Spatial dropout", "state": State.GRADED, "points": points,
        "max_points": most, "sentence": f"{points} of {most} points", "isolated": True, "seed": "SECRET-SEED",
        "unusual": ["UNUSUAL-USE"], **fields,
    }  # fmt: skip
    return Report(student=student, exercises=list(exercises), **values)


def unreadable(student: str = "bo", sentence: str = "the file is not valid JSON") -> Report:
    return report(student, unit="", title="", state=State.UNREADABLE, sentence=sentence)


def saying(text: str) -> Report:
    """Return a report that says `text` wherever a learner's text can get."""
    checks = [
        check(Status.FAILED, statement=text, message=text, name=text),
        check(Status.GONE, code=text, message=text),
    ]
    one = exercise("channel_mask", 0, 5, sentence=text, notes=[text], checks=checks, library=[text], source=text,
                   diagnosis=Diagnosis(mistake=text, explanation=text), found=text)  # fmt: skip
    written = [WrittenReport(question=text, answered=True, answer=text)]
    return report(text, one, title=text, file=text, digest=text, sentence=text, notes=[text], written=written)


class Page(HTMLParser):
    """Reads a feedback page, and fails at the first thing on it that could come alive."""

    ELEMENTS = frozenset(
        "html head meta title style body svg symbol circle path use main header footer section h1 h2 h3 p b i bdi ul li span "
        "div details summary table thead tbody tr th td figure img figcaption pre code".split()
    )
    ATTRIBUTES = frozenset(
        "lang charset http-equiv content name class id viewbox cx cy r d fill stroke stroke-dasharray href style role "
        "title scope aria-hidden aria-label aria-labelledby aria-valuemin aria-valuenow aria-valuemax focusable tabindex "
        "dir translate open src alt".split()
    )

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.metas: list[dict[str, str | None]] = []
        self.open_details = 0
        self._styles = 0
        self._in_style = False
        found = CONTROLS & set(html)
        assert not found, f"control characters on the page: {found}"
        self.feed(html)
        self.close()
        assert self._styles == 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.ELEMENTS, f"<{tag}> on a page"
        values = dict(attrs)
        assert set(values) <= self.ATTRIBUTES, f"{set(values) - self.ATTRIBUTES} on <{tag}>"
        assert tag == "use" or "href" not in values
        assert (values.get("href") or "#").startswith("#")
        assert tag == "img" or "src" not in values
        self._styles += tag == "style"
        self._in_style = tag == "style"
        self.open_details += tag == "details" and "open" in values
        if tag == "img":
            assert (values["src"] or "").startswith("data:image/svg+xml;base64,")
            self.images.append(values)
        elif tag == "meta":
            self.metas.append(values)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            self.text.append(data)

    def __contains__(self, text: str) -> bool:
        return text in " ".join("".join(self.text).split())
