"""Makes classes to grade: right answers of all sorts, known mistakes, half-done and untouched work, no two files the same."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from autograder.cells import Role, read_cell
from autograder.course import Unit
from tests.sample_class.borrow import from_bank, solutions

KINDS = (
    ("solution", "solution"),
    ("right", "mistake"),
    ("stub", "stub"),
    ("mistake", "solution"),
    ("right", "right"),
    ("right", "stub"),
    ("solution", "mistake"),
    ("right", "right"),
)
"""What a block of eight students hands in: for every exercise but the last, and for the last. Half of them are all right or
nearly so, as in a class; and eight submissions are as varied as eight hundred, so that slow peers can grade eight."""

LOOPS = 0.1
"""How often an answer is drawn that loops over every coin in Python, which takes over a second in any grader; others: 1."""

Notebook = dict[str, Any]
_borrowed = cache(from_bank)  # it reads the whole bank each time


def released(unit: Unit, short: bool) -> Notebook:
    """Return a unit's notebook as learners get it; `short` leaves only what grades: set-up, exercises and checks."""
    notebook: Notebook = json.loads(unit.release_path.read_text(encoding="utf-8"))
    if short:
        graded = (Role.SETUP, Role.EXERCISE, Role.CHECK)
        notebook["cells"] = [raw for raw in notebook["cells"] if (cell := read_cell(raw)) and cell.role in graded]
    return notebook


def kind_of(seat: int) -> str:
    """Say in words what a seat's submission is."""
    return ", ".join(KINDS[seat % len(KINDS)])


def student(seat: int) -> str:
    return f"student-{seat:05d}"


def submission(unit: Unit, seat: int, short: bool) -> Notebook:
    """Return the notebook that the student in a seat hands in: the same for the same seat, in no other seat the same.

    The student's name stands in each cell that was worked in, so that no two answers are the same text.
    """
    notebook, chance = released(unit, short), random.Random(f"{unit.stem} {seat}")
    first, last = KINDS[seat % len(KINDS)]
    for raw in notebook["cells"]:
        cell = read_cell(raw)
        if cell is None or cell.role is not Role.EXERCISE:
            continue
        kind = last if cell.name == unit.exercises[-1].name else first
        if kind != "stub":
            raw["source"] = f"{answer(unit, cell.name, kind, chance)}\n# {student(seat)}\n"
    name = {"cell_type": "markdown", "id": "name", "metadata": {}, "source": f"Handed in by {student(seat)}."}
    notebook["cells"].append(name)
    return notebook


def answer(unit: Unit, exercise: str, kind: str, chance: random.Random) -> str:
    """Return an answer's source: the solution, or one of the bank's right or wrong ones, drawn by `chance`."""
    if kind == "solution":
        return solutions(unit)[exercise]
    entries = [e.name for e in unit.bank if e.exercise == exercise and e.wrong is (kind == "mistake")]
    weights = [LOOPS if "loops" in name.lower() else 1.0 for name in entries]
    return _borrowed(unit, chance.choices(entries, weights)[0], exercise)


def write_class(unit: Unit, folder: Path, seats: int, short: bool) -> list[Path]:
    """Write one notebook a student into a folder, named for the student."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_written(unit, folder, seats, short))


def without_checks(notebook: Notebook) -> Notebook:
    """Return a notebook without its check cells, for a grader that brings its own."""
    cells = [raw for raw in notebook["cells"] if not ((cell := read_cell(raw)) and cell.role is Role.CHECK)]
    return {**notebook, "cells": cells}


def _written(unit: Unit, folder: Path, seats: int, short: bool) -> Iterator[Path]:
    for seat in range(seats):
        path = folder / f"{student(seat)}.ipynb"
        path.write_text(json.dumps(submission(unit, seat, short), indent=1) + "\n", encoding="utf-8")
        yield path
