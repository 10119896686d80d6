"""What a notebook's cells mean to the course: their role, kept in cell metadata under the key `autograder`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

KEY = "autograder"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STILL_TO_DO = " is still to do"
"""How the message of a stub's NotImplementedError ends, after the exercise's name."""


class Role(StrEnum):
    """What a cell is for. At grading, SETUP cells are restored and run, EXERCISE cells are run, WRITTEN ones shown."""

    SETUP = "setup"
    EXERCISE = "exercise"
    CHECK = "check"
    WRITTEN = "written"
    OTHER = "other"


@dataclass(frozen=True)
class Cell:
    """One cell, reduced to what grading needs.

    Attributes:
        id: the cell's id in the notebook, or "" where it has none.
        kind: "code", "markdown" or "raw".
        name: the exercise's or question's name, for the roles that have one.
    """

    id: str
    kind: str
    source: str
    role: Role = Role.OTHER
    name: str = ""


def read_cell(raw: Any) -> Cell | None:
    """Read one cell of a notebook's JSON, believing nothing about it; None if it is not a cell at all."""
    if not isinstance(raw, dict):
        return None
    source = raw.get("source", "")
    if isinstance(source, list):
        source = "".join(s for s in source if isinstance(s, str))
    if not isinstance(source, str):
        return None
    kind = raw.get("cell_type")
    identity = raw.get("id")
    metadata = raw.get("metadata")
    ours = metadata.get(KEY) if isinstance(metadata, dict) else None
    role, name = Role.OTHER, ""
    if isinstance(ours, dict):
        named = ours.get("role")
        role = Role(named) if isinstance(named, str) and named in set(Role) else Role.OTHER
        name = ours["name"] if isinstance(ours.get("name"), str) else ""
    return Cell(
        id=identity if isinstance(identity, str) else "",
        kind=kind if isinstance(kind, str) else "code",
        # JSON can say half a surrogate pair, which no encoding of text can.
        source=source.replace("\r\n", "\n").encode("utf-8", "replace").decode(),
        role=role,
        name=name,
    )


def strip_solution(source: str, replacement: str) -> str:
    """Replace every region between BEGIN and END, markers included, by `replacement` at the marker's indentation.

    Raises:
        ValueError: a marker without its partner.
    """
    kept: list[str] = []
    inside = False
    for line in source.split("\n"):
        mark = line.strip()
        if mark == BEGIN:
            if inside:
                raise ValueError(f"two '{BEGIN}' without '{END}' between them")
            inside = True
            kept.append(line[: len(line) - len(line.lstrip())] + replacement)
        elif mark == END:
            if not inside:
                raise ValueError(f"'{END}' without '{BEGIN}' before it")
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise ValueError(f"'{BEGIN}' without '{END}' after it")
    return "\n".join(kept)


def solution_lines(source: str) -> list[str]:
    """Return the stripped, non-trivial lines of a cell's solution regions: those a learner's copy may not hold."""
    regions = re.findall(rf"^[ \t]*{BEGIN}\n(.*?)^[ \t]*{END}", source, re.DOTALL | re.MULTILINE)
    return [line.strip() for region in regions for line in region.splitlines() if line.strip()]
