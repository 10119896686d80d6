"""The submissions on disk: which files there are, whose they are, and of which unit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.course import Course, Unit
from autograder.outline import work_of
from autograder.submission import Unreadable, identify, read_file, read_notebook
from autograder.text import one_line

_SKIPPED = {".ipynb_checkpoints", "__pycache__"}


class CollectError(Exception):
    """The submissions cannot be made sense of; the message says what to do."""


@dataclass(frozen=True)
class Entry:
    """One file to grade."""

    student: str
    path: Path


def find_submissions(paths: Sequence[Path], stems: Collection[str] = ()) -> list[Entry]:
    """Find notebooks in files and folders, and whose they are.

    A file `NAME.ipynb` is NAME's. In a folder, a notebook directly in it is named for its student, and one further down
    belongs to the student whose folder it is in, as in STUDENT/NOTEBOOK.ipynb or nbgrader's
    submitted/STUDENT/ASSIGNMENT/NOTEBOOK.ipynb. A notebook that kept its unit's name belongs to the folder it is in. Links
    are not followed.

    Args:
        stems: the names of units, which are nobody's.

    Raises:
        CollectError: a path does not exist, holds no notebook, or a student handed in the same notebook twice.
    """
    entries: list[Entry] = []
    for path in paths:
        try:
            there = path.exists()
        except OSError as error:
            raise CollectError(f"{one_line(str(path))} cannot be looked at: {error.strerror}") from None
        if not there:
            raise CollectError(f"{path} does not exist: name a notebook, or a folder of submissions")
        found = [Entry(_owner(path, stems), path)] if path.is_file() else list(_in_folder(path, stems))
        if path.is_file() and path.suffix != ".ipynb":
            raise CollectError(f"{path} is not a notebook: its name should end in .ipynb")
        if not found:
            raise CollectError(
                f"{path} holds no notebooks: it should hold STUDENT.ipynb files, or a folder for each student"
            )
        entries += found
    seen: dict[tuple[str, str], Path] = {}
    for entry in entries:
        # A student's own folder may hold several units, told apart by name; a flat file is its student's only one.
        key = (entry.student, entry.path.name if entry.path.stem != entry.student else "")
        if key in seen:
            raise CollectError(
                f"two submissions for student {entry.student}: {seen[key]} and {entry.path}; keep the one that counts"
            )
        seen[key] = entry.path
    return sorted(entries, key=lambda e: (e.student, str(e.path)))


def _in_folder(folder: Path, stems: Collection[str]) -> Iterator[Entry]:
    root = _root(folder)
    for path in _notebooks(root):
        inside = path.relative_to(root)
        yield Entry(_owner(path, stems) if len(inside.parts) == 1 else text_of(inside.parts[0]), path)


def _root(folder: Path) -> Path:
    """Return the folder that holds the students: in nbgrader's course folder, one level down."""
    return folder / "submitted" if (folder / "submitted").is_dir() else folder


def _notebooks(root: Path) -> Iterator[Path]:
    """Yield the notebooks under a folder, links and what Jupyter keeps for itself left out."""
    for path in sorted(root.rglob("*.ipynb")):
        inside = path.relative_to(root)
        hidden = any(part in _SKIPPED or part.startswith(".") for part in inside.parts)
        linked = any(p.is_symlink() for p in (path, *path.parents) if p.is_relative_to(root) and p != root)
        if not hidden and not linked and path.is_file():
            yield path


def _owner(path: Path, stems: Collection[str]) -> str:
    """Name the student of a notebook by its own name, or by the nearest folder's that is not a unit's."""
    names = [path.stem, *(p.name for p in path.resolve().parents)]
    return text_of(next((name for name in names if name and name not in stems), path.stem))


def without_notebooks(paths: Sequence[Path]) -> list[str]:
    """Return the students whose folder is there and holds no notebook."""
    folders = [
        child
        for path in paths
        if path.is_dir()
        for child in sorted(_root(path).iterdir())
        if child.is_dir() and not child.is_symlink() and not child.name.startswith(".") and child.name not in _SKIPPED
    ]
    return [text_of(child.name) for child in folders if not any(_notebooks(child))]


@dataclass(frozen=True, slots=True)
class HandIn:
    """One file, looked at.

    Attributes:
        stem: its unit, or "" where it cannot be told.
        digest: the SHA-256 of its bytes, or "" where it cannot be read.
        problem: why it cannot be graded, for its student; else "".
    """

    student: str
    path: Path
    stem: str
    digest: str
    problem: str

    @property
    def file(self) -> str:
        return text_of(self.path.name)

    @property
    def work(self) -> str:
        """What the gradebook calls it."""
        return work_of(self.stem, self.file)


def look(student: str, path: Path, course: Course) -> tuple[HandIn, bytes | None]:
    """Read a file and tell its unit; return its bytes, too, where it can be read."""
    data, stem, problem = None, "", ""
    try:
        data = read_file(path)
        stem = identify(*read_notebook(data), course).stem
    except Unreadable as unreadable:
        problem = str(unreadable)
    digest = hashlib.sha256(data).hexdigest() if data is not None else ""
    return HandIn(student, path, stem, digest, problem), data


def plan(
    entries: Sequence[Entry],
    course: Course,
    unit: Unit | None = None,
    looked: Callable[[int], None] = lambda done: None,
) -> list[HandIn]:
    """Return what to grade: entries of `unit`, if given. Cannot-be-read ones stay, for their students to be told.

    Args:
        looked: told how many were looked at.

    Raises:
        CollectError: a student handed in two notebooks of one unit; or nothing is left to grade.
    """
    chosen: list[HandIn] = []
    seen: dict[tuple[str, str], Path] = {}
    for number, entry in enumerate(entries):
        looked(number)
        found, _ = look(entry.student, entry.path, course)
        if unit is not None and found.stem not in ("", unit.stem):
            continue
        before = seen.setdefault((found.student, found.work), found.path)
        if before is not found.path:
            raise CollectError(
                f"two submissions for student {found.student} in {found.stem or 'files nobody can read'}: {before} and "
                f"{found.path}; nothing was graded: keep the one that counts and start again"
            )
        chosen.append(found)
    if not chosen:
        raise CollectError(f"none of the submissions is of unit {unit.stem if unit else ''}")
    return chosen


def text_of(name: str) -> str:
    """Return a file's name as text that can be written anywhere; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
