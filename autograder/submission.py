"""From a learner's file to what will be graded: read it, find the unit, align it with the released notebook."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from autograder import source as static
from autograder.cells import KEY, Cell, Role, read_cell
from autograder.course import Course, Unit

MAX_BYTES = 32 << 20
"""A notebook with its figures has a few MB. Larger files are refused unread."""
MAX_VALUES = 2_000_000
"""Lists, maps, numbers and texts in a notebook. Each takes some 60 bytes once read, however few it has in the file."""
MAX_CELLS, MAX_CODE = 2_000, 400_000
"""Cells, and characters of code: several times what any unit's notebook has. Reading takes time and memory in proportion."""


_READS, _BETWEEN_READS_S = 4, 0.1
"""A file that somebody is writing is read this many times, with ever longer waits."""


class Unreadable(Exception):
    """A file that cannot be graded; the message is for the learner."""


class Found(StrEnum):
    """How an exercise's cell was found."""

    METADATA = "metadata"
    CELL_ID = "cell id"
    NAME = "name"
    MISSING = "missing"


@dataclass(frozen=True)
class Answer:
    """What a learner handed in for one exercise or written question; `unusable` if its cell defines something else."""

    name: str
    found: Found
    source: str = ""
    untouched: bool = False
    note: str = ""
    unusable: bool = False


@dataclass(frozen=True)
class Program:
    """One piece of code to run before the checks; `exercise` is set for a learner's exercise cell."""

    label: str
    source: str
    exercise: str = ""


@dataclass(frozen=True)
class Submission:
    """A submission aligned with its unit."""

    unit: Unit
    answers: dict[str, Answer]
    written: dict[str, Answer]
    programs: list[Program]
    notes: list[str] = field(default_factory=list)


def read_file(path: Path) -> bytes:
    """Return the file's bytes, all of one version of it.

    Raises:
        Unreadable: it is too large, cannot be read, or is being written all the while.
    """
    try:
        for attempt in range(_READS):
            time.sleep(attempt * _BETWEEN_READS_S)
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                if before.st_size > MAX_BYTES:
                    raise Unreadable(
                        f"the file has {before.st_size / 2**20:.0f} MB and the limit is {MAX_BYTES >> 20} MB: clear its "
                        "outputs (Edit → Clear Outputs of All Cells), save and hand it in again"
                    )
                data = file.read(MAX_BYTES + 1)
                after = os.fstat(file.fileno())
            if len(data) == before.st_size and before.st_mtime_ns == after.st_mtime_ns:
                return data
    except OSError as error:
        raise Unreadable(f"the file could not be read: {error.strerror or error}") from None
    raise Unreadable("the file changed while it was read, time and again: grade it when nobody writes to it any more")


def read_notebook(data: bytes) -> tuple[list[Cell], dict[str, Any]]:
    """Parse a notebook of any format. Returns its cells and metadata.

    Raises:
        Unreadable: it is not a notebook.
    """
    advice = "open it in Jupyter, save it and hand it in again"
    if not data.strip():
        raise Unreadable("the file is empty: save your notebook in Jupyter and hand it in again")
    # Of JSON, text in quotes included: an upper bound, found without reading it.
    if sum(map(data.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise Unreadable(
            f"the file holds more than {MAX_VALUES // 10**6} million values: clear its outputs (Edit → Clear Outputs of All "
            "Cells), save and hand it in again"
        )
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable(f"the file is not text in UTF-8, so it is not a notebook: {advice}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"the file is not valid JSON (line {error.lineno}, column {error.colno}), as a notebook must be: {advice}"
        ) from None
    except (RecursionError, ValueError, MemoryError):
        raise Unreadable(f"the file's JSON is nested or sized beyond reason: {advice}") from None
    if isinstance(document, dict) and isinstance(document.get("worksheets"), list):
        document = _from_format_3(document)
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise Unreadable(f"the file is JSON but not a notebook (it has no list of cells): {advice}")
    metadata = document.get("metadata")
    if len(document["cells"]) > MAX_CELLS:
        raise Unreadable(
            f"the notebook has {len(document['cells'])} cells, and the limit is {MAX_CELLS}: hand in your own"
        )
    cells = [cell for raw in document["cells"] if (cell := read_cell(raw)) is not None]
    code = sum(len(cell.source) for cell in cells if cell.kind == "code")
    if code > MAX_CODE:
        raise Unreadable(f"the notebook has {code / 1e6:.1f} MB of code: is there data pasted into a cell? Take it out")
    return cells, metadata if isinstance(metadata, dict) else {}


def _from_format_3(document: dict[str, Any]) -> dict[str, Any]:
    """Lift the cells of nbformat 3 out of their worksheets; `input` was the name of a code cell's source."""
    cells = []
    for sheet in document["worksheets"]:
        for cell in sheet.get("cells", []) if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list) else []:
            if isinstance(cell, dict):
                cells.append({"source": cell.get("input", ""), **cell})
    return {"cells": cells, "metadata": document.get("metadata")}


def identify(cells: list[Cell], metadata: dict[str, Any], course: Course) -> Unit:
    """Return the unit a notebook belongs to: by its metadata, else by the exercises it holds.

    Raises:
        Unreadable: it belongs to none.
    """
    ours = metadata.get(KEY)
    named = ours.get("unit") if isinstance(ours, dict) else None
    if isinstance(named, str) and named in course.units:
        return course.units[named]

    def exercises_in(unit: Unit) -> int:
        return sum(any(static.defines(c.source, e.name) for c in cells if c.kind == "code") for e in unit.exercises)

    best = max(course.units.values(), key=exercises_in)
    if exercises_in(best):
        return best
    if isinstance(named, str):
        raise Unreadable(f"the notebook says it is unit {named[:80]!r}, which this course does not have")
    raise Unreadable("this is not a notebook of this course: none of its cells defines an exercise")


def align(cells: list[Cell], unit: Unit) -> Submission:
    """Pick the learner's answers, restore what may not be changed, and list what to run, in order."""
    release = {cell.id: cell for cell in unit.release}
    released_sources = {cell.source.strip() for cell in unit.release}
    notes: list[str] = []
    code = [cell for cell in cells if cell.kind == "code"]

    answers: dict[str, Answer] = {}
    chosen: dict[int, str] = {}
    for original in unit.release:
        if original.role is Role.EXERCISE:
            answer, index = _find_exercise(original, code)
            if len(answer.source) > static.MAX_CELL:
                size = f"{len(answer.source) // 1000} KB, and the limit is {static.MAX_CELL // 1000} KB"
                note = f"its cell is too large, {size}: is there data pasted into it?"
                answer = replace(answer, source=answer.source[:1000], note=note, unusable=True)
            elif index is not None:
                chosen[index] = original.name
            answers[original.name] = answer

    programs = [Program("set-up", c.source) for c in unit.release if c.role is Role.SETUP]
    plain = [static.plain_python(cell.source) for cell in code]
    others: list[int] = []
    for index, cell in enumerate(code):
        role = cell.role if cell.role is not Role.OTHER or cell.id not in release else release[cell.id].role
        if role is Role.SETUP and cell.source.strip() not in released_sources:
            notes.append("a set-up cell was changed; the original was used, so put what you need into your own cells")
        elif index not in chosen and role not in (Role.SETUP, Role.CHECK):
            others.append(index)
    needed = set().union(*(static.globals_used(plain[index]) for index in chosen)) - set(chosen.values())
    helpers = dict(zip(others, static.support([plain[index] for index in others], needed), strict=True))
    for index, source in enumerate(plain):
        if index in chosen:
            programs.append(Program(f"your cell {chosen[index]}", source, chosen[index]))
        elif helpers.get(index):
            programs.append(Program(f"your cell {index + 1}", helpers[index]))

    written = {o.name: _find_written(o, cells) for o in unit.release if o.role is Role.WRITTEN}
    return Submission(unit, answers, written, programs, notes)


def _find_exercise(original: Cell, code: list[Cell]) -> tuple[Answer, int | None]:
    """Find the cell that answers an exercise: by metadata, else by cell id, else by the name it defines."""
    name, stub = original.name, original.source.strip()
    by_metadata = [i for i, c in enumerate(code) if c.role is Role.EXERCISE and c.name == name]
    by_id = [i for i, c in enumerate(code) if c.id == original.id and c.role is Role.OTHER]
    by_name = [i for i, c in enumerate(code) if static.defines(c.source, name)]
    # An untouched or emptied cell loses to one that was worked in: learners copy stubs to new cells.
    for found, candidates in ((Found.METADATA, by_metadata), (Found.CELL_ID, by_id), (Found.NAME, by_name)):
        worked = [i for i in candidates if code[i].source.strip() != stub and i in by_name]
        if worked:
            note = f"{len(worked)} cells define {name}: the last one was graded" if len(worked) > 1 else ""
            return Answer(name, found, code[worked[-1]].source, note=note), worked[-1]
    for found, candidates in ((Found.METADATA, by_metadata), (Found.CELL_ID, by_id), (Found.NAME, by_name)):
        if candidates:
            cell = code[candidates[-1]]
            untouched = cell.source.strip() == stub
            # A cell that does not parse will say so itself when it is run.
            unusable = not untouched and static.parse(static.plain_python(cell.source)) is not None
            note = f"its cell no longer defines {name}: was it renamed?" if unusable else ""
            return Answer(name, found, cell.source, untouched, note, unusable), candidates[-1]
    return Answer(name, Found.MISSING, note=f"no cell defines {name}: was the cell deleted?"), None


def _find_written(original: Cell, cells: list[Cell]) -> Answer:
    for found, matches in (
        (Found.METADATA, [c for c in cells if c.role is Role.WRITTEN and c.name == original.name]),
        (Found.CELL_ID, [c for c in cells if c.id and c.id == original.id]),
    ):
        if matches:
            source = matches[-1].source
            return Answer(original.name, found, source, untouched=source.strip() == original.source.strip())
    return Answer(original.name, Found.MISSING)
