"""The class as a CSV, as a table and as groups: complete, ordered, and safe to open."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from autograder.classbook import (
    attention,
    class_table,
    first_thing,
    mistake_groups,
    moves_table,
    unit_table,
    write_csv,
)
from autograder.outline import Outline
from autograder.report import Diagnosis, Mark, Report, WrittenReport
from tests.reports import CONTROLS, HOSTILE, exercise, report, saying, unreadable

PER_ELEMENT = Diagnosis(mistake="per_element", explanation="The mask is drawn for each pixel.")


def read(reports: list[Report], path: Path) -> list[dict[str, str]]:
    write_csv(map(Outline.of, reports), path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def shown(reports: list[Report], width: int = 120) -> str:
    return _printed(class_table(map(Outline.of, reports)), width)


def test_csv_has_a_row_a_submission_and_a_column_an_exercise(tmp_path: Path) -> None:
    written = [
        WrittenReport(question="why", answered=True, answer="x"),
        WrittenReport(question="how", answered=False, answer=""),
    ]
    rows = read(
        [
            report("zoe", exercise("channel_mask", 5, 5), exercise("SpatialDropout2d", 4, 11), written=written),
            unreadable("bo"),
            report("ada", exercise("accuracy", 3, 3), unit="00_start_here"),
            report("ada", exercise("channel_mask", 0, 5), exercise("SpatialDropout2d", 0, 11)),
        ],
        tmp_path / "grades.csv",
    )
    assert list(rows[0]) == [
        "student", "unit", "points", "max_points", "percent", "00_start_here.accuracy", "03_spatial_dropout.channel_mask",
        "03_spatial_dropout.SpatialDropout2d", "written_answered", "state", "sentence",
        "mistakes", "attention", "marked",
    ]  # fmt: skip
    assert [(r["student"], r["unit"]) for r in rows] == [
        ("ada", "00_start_here"), ("ada", "03_spatial_dropout"), ("bo", ""), ("zoe", "03_spatial_dropout"),
    ]  # fmt: skip
    assert [r["points"] for r in rows] == ["3", "0", "0", "9"]
    assert [r["percent"] for r in rows] == ["100.0", "0.0", "", "56.2"]
    assert rows[3]["03_spatial_dropout.SpatialDropout2d"] == "4"
    assert rows[3]["00_start_here.accuracy"] == ""
    assert rows[3]["written_answered"] == "1"
    assert rows[2]["state"] == "unreadable"


def test_csv_is_read_as_utf_8_by_spreadsheets_and_is_the_same_every_time(tmp_path: Path) -> None:
    reports = [report("Zoë", exercise()), report("田中", exercise())]
    write_csv(map(Outline.of, reports), tmp_path / "a.csv")
    write_csv(map(Outline.of, reversed(reports)), tmp_path / "b.csv")
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    assert data == (tmp_path / "b.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "\x00=1", "\u202e=1", "\x1b[0m=1", "＝1"]
)
def test_csv_holds_no_formula(name: str, tmp_path: Path) -> None:
    (row,) = read([report(name, exercise(points=1, sentence=f"{name}channel_mask;=1"))], tmp_path / "grades.csv")
    assert row["student"].startswith("'")
    assert row["sentence"].startswith("'")
    # A program that splits at semicolons must not find a cell of its own.
    assert '"' + row["sentence"] + '"' in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_and_table_hold_no_control_characters(text: str, tmp_path: Path) -> None:
    rows = read([saying(text)], tmp_path / "grades.csv")
    assert not any((CONTROLS | {"\n"}) & set(value) for value in rows[0].values())
    table = shown([saying(text)])
    assert not CONTROLS & set(table)
    if text.startswith("[bold"):
        assert "[bold red]" in table


@pytest.mark.parametrize("width", [60, 80, 120])
def test_table_fits_and_shows_what_matters(width: int) -> None:
    reports = [
        report("ada", exercise(), exercise("SpatialDropout2d", 11, 11)),
        report("zoe", exercise(), exercise("SpatialDropout2d", 4, 11, diagnosis=PER_ELEMENT), isolated=False),
        unreadable("bo"),
    ]
    text = shown(reports, width)
    assert all(len(line) <= width for line in text.splitlines())
    for part in ("ada", "16/16", "✓ ✓", "9/16", "✓ ◐", "per_element", "bo", "not graded", "Not isolated"):
        assert part in text, part
    assert "━" * 10 in text


def test_the_first_thing_to_know_is_about_the_first_exercise_not_solved() -> None:
    broken = exercise("Layer", 0, 9, sentence="Your cell Layer stopped with NameError: name 'x'")
    assert first_thing(Outline.of(report("ada", exercise(), broken))) == broken.sentence
    assert first_thing(Outline.of(report("ada", exercise(points=1), broken))) == "channel_mask: something is off"
    known = exercise(points=1, diagnosis=PER_ELEMENT)
    assert first_thing(Outline.of(report("ada", known))) == "per_element: The mask is drawn for each pixel."
    assert first_thing(Outline.of(report("ada", exercise()))) == "all solved"
    assert first_thing(Outline.of(unreadable())) == "the file is not valid JSON"


def test_a_bar_is_full_for_all_points_only() -> None:
    text = shown([report("ada", exercise(points=999, most=1000)), report("bo", exercise(points=1, most=1000))])
    assert "━" * 9 + "─" in text
    assert "━" + "─" * 9 in text


def test_mistakes_are_grouped_by_unit_the_most_frequent_first() -> None:
    other = Diagnosis(mistake="no_scale", explanation="Nothing is rescaled.")
    reports = [
        *(report(f"s{i}", exercise(points=1, diagnosis=PER_ELEMENT)) for i in range(3)),
        *(report(f"t{i}", exercise(points=1, diagnosis=other)) for i in range(2)),
        report("alone", exercise(points=1, diagnosis=Diagnosis(mistake="rare", explanation="Rare."))),
        report("ada", exercise("accuracy"), unit="00_start_here"),
        unreadable(),
    ]
    assert mistake_groups(map(Outline.of, reports)) == [
        "3 of 6 made this mistake in channel_mask (per_element): The mask is drawn for each pixel.",
        "2 of 6 made this mistake in channel_mask (no_scale): Nothing is rescaled.",
    ]


def test_a_large_class_is_summed_up_by_unit_and_exercise() -> None:
    reports = [report(f"s{i}", exercise("channel_mask", points, 5)) for i, points in enumerate((5, 5, 2, 0))]
    reports += [report("t", exercise("accuracy", 3, 3), unit="00_start_here"), unreadable()]
    text = _printed(unit_table(map(Outline.of, reports)))
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert ["00_start_here", "1", "3.0/3"] in lines
    assert ["03_spatial_dropout", "4", "3.0/5"] in lines
    assert ["channel_mask", "3.0/5", "2", "1", "1"] in lines
    assert ["not", "graded", "1"] in lines


def test_moves_say_who_and_from_what_to_what() -> None:
    before = Outline.of(report("ada", exercise("channel_mask", 2, 5), exercise("Layer", 11, 11)))
    after = Outline.of(report("ada", exercise("channel_mask", 5, 5), exercise("Layer", 11, 11)))
    new = Outline.of(report("bob", exercise("channel_mask", 1, 5)))
    lost = Outline.of(unreadable("eve"))
    lines = [line.split() for line in _printed(moves_table([(None, new), (before, after), (None, lost)])).splitlines()]
    assert ["ada", "03_spatial_dropout", "channel_mask", "2/5", "5/5", "solved"] in lines
    assert not any("Layer" in line for line in lines)
    assert any(line[:4] == ["bob", "03_spatial_dropout", "new", "1/5"] for line in lines)
    assert any(line[:4] == ["eve", "not", "graded", "new"] for line in lines)


def test_hostile_text_stays_text_in_every_table() -> None:
    for text in HOSTILE:
        outline = Outline.of(saying(text))
        for table in (unit_table([outline]), moves_table([(None, outline), (outline, outline)])):
            assert not CONTROLS & set(_printed(table))


def test_a_mark_that_is_older_than_the_submission_is_worth_a_look() -> None:
    mark = Mark(points=4, judged=0, by="prof", digest="older")
    marked = report("ada", exercise("channel_mask", 0, 5), digest="newer", unusual=[]).marked({"channel_mask": mark})
    assert marked.points == 4
    assert attention([Outline.of(marked)]) == [
        "ada, 03_spatial_dropout: channel_mask keeps a mark that was given for an earlier version of it"
    ]
    assert attention([Outline.of(marked.model_copy(update={"digest": "older"}))]) == []


def _printed(table: Table, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
