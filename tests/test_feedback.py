"""What learners get back is complete, and nothing on it can come alive."""

from __future__ import annotations

import pytest
import torch

from autograder import evidence
from autograder.checks import Status
from autograder.feedback import render
from autograder.report import Diagnosis, WrittenReport
from autograder.text import harmless, one_line, sentence
from tests.reports import HOSTILE, Page, check, exercise, report, saying, unreadable


@pytest.mark.parametrize("text", [*HOSTILE, "".join(HOSTILE)])
def test_hostile_text_is_only_text(text: str) -> None:
    page = Page(render(saying(text)))
    assert "SECRET" not in page


def test_policy_comes_first_and_forbids_scripts_and_the_net() -> None:
    html = render(report("ada", exercise()))
    (policy,) = [m["content"] for m in Page(html).metas if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src" not in policy
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html


def test_what_is_the_instructors_alone_is_not_shown() -> None:
    html = render(report("ada", exercise()))
    assert "SECRET-SEED" not in html
    assert "UNUSUAL-USE" not in html


def test_a_page_says_what_there_is_to_say() -> None:
    picture = evidence.images("One channel.", [("x", torch.randn(3, 4)), ("output", torch.zeros(3, 4))])
    checks = [
        check(statement="A dropped channel is `0` everywhere."),
        check(Status.FAILED, 2, message="expected 3, got 4", evidence=[picture], graded_only=True),
        check(Status.RAISED, message="your code raised ValueError"),
        check(Status.GONE, message="no answer within 5 seconds"),
        check(Status.NOT_STARTED),
    ]
    layer = exercise(
        "SpatialDropout2d", 1, 7, sentence="the mean should be 1", found="name", notes=["2 cells define it"], checks=checks,
        diagnosis=Diagnosis(mistake="m", explanation="You forgot `1 - p`."), source="def f(x):\n    return 'a' < x\n",
    )  # fmt: skip
    written = [
        WrittenReport(question="why_whole_channels", answered=True, answer="Because."),
        WrittenReport(question="what_else", answered=False, answer="*Write your answer here.*"),
    ]
    html = render(report("Zoë", exercise(checks=[check()]), layer, written=written, file="a.ipynb", digest="ab12" * 16))
    page = Page(html)
    for text in (
        "Zoë", "Spatial dropout", "6 of 12 points", "1 of 7 points", "The mean should be 1.", "Found by the name it defines",
        "2 cells define it", "Likely mistake", "You forgot 1 - p.", "Expected 3, got 4.", "only at grading", "no answer",
        "not started", "error", "1 of 5 checks passed", "Your code (2 lines)", "return 'a' < x",
        "One channel.", "Why whole channels", "a person grades these", "Because.", "Not answered yet.", "a.ipynb",
        "ab12ab12ab12", "Graded in a sandbox.",
    ):  # fmt: skip
        assert text in page, text
    assert "Write your answer here" not in page
    assert "Not isolated" not in page
    assert page.open_details == 1  # the checks of the exercise that is not solved
    assert [image["alt"] for image in page.images] == ["Images side by side: x, output"]


def test_a_message_is_said_once_an_exercise() -> None:
    failed = [check(Status.FAILED, message="the mean is off") for _ in range(3)]
    html = render(report("ada", exercise(points=0, sentence="something else", checks=failed)))
    assert html.count("The mean is off.") == 1
    assert html.count("The same again.") == 2


def test_a_run_without_isolation_says_so() -> None:
    page = Page(render(report("ada", exercise(), isolated=False)))
    assert "Not isolated" in page
    assert "Graded without a sandbox." in page


def test_the_librarys_version_is_named() -> None:
    page = Page(render(report("ada", exercise(points=0, library=["Dropout2d (line 8)"], checks=[check()]))))
    assert "Your code calls Dropout2d (line 8)." in page


def test_an_unreadable_file_gets_a_page() -> None:
    page = Page(render(unreadable()))
    assert "This file could not be graded" in page
    assert "The file is not valid JSON." in page
    assert "points" not in page


def test_a_picture_that_cannot_be_drawn_costs_the_picture_only() -> None:
    beyond = evidence.Series(label="x", x=[0, 1], y=[1e308, -1e308])
    nothing = evidence.Evidence(kind="bars", caption="Nothing to see.", series=[beyond])
    page = Page(render(report("ada", exercise(checks=[check(evidence=[nothing])]))))
    assert "Nothing to see." in page
    assert not page.images


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n  '''",
        "x = '" + "a" * 10_000 + "'",
        "\n" * 10_000 + "x",
        "(" * 5_000,
        "x = f'{a!r:>{w}}' # c\n\tif 1:\n",
        "\\",
        "é = 1",
    ],
)
def test_code_of_every_kind_is_shown_and_bounded(source: str) -> None:
    html = render(report("ada", exercise(source=source)))
    Page(html)
    assert len(html) < 100_000


def test_code_shows_where_an_invisible_character_was() -> None:
    assert "a\N{REPLACEMENT CHARACTER}b" in Page(render(report("ada", exercise(source="a\u202eb = 1"))))


def test_harmless() -> None:
    assert harmless("a\x1b[31mb\x1b]0;t\x07c\x1b(Bd\x9b1me\x1b") == "abcde"
    assert harmless("x\u202e\u2066\u200b\ufeff\ud800\x00\x7f\x85y\n\tz") == "xy\n\tz"
    assert harmless("Zoë 田中 नेहा 👩‍🔬 می‌خواهم") == "Zoë 田中 नेहा 👩‍🔬 می‌خواهم"
    assert harmless("a" * 50, limit=10) == "a" * 9 + "…"
    assert one_line(" a\n\r\tb\x0bc ") == "a b c"


def test_sentence() -> None:
    assert sentence("the mean is 1") == "The mean is 1."
    assert sentence("accuracy is still to do", ("accuracy",)) == "accuracy is still to do."
    assert sentence("channel_mask is off") == "channel_mask is off."
    assert sentence("p = 1 gives NaN") == "p = 1 gives NaN."
    assert sentence("is there a loop?") == "Is there a loop?"
    assert sentence("") == ""
