"""A class on disk: find its submissions, grade them one after the other, write what comes out."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autograder.classbook import write_csv
from autograder.course import Course, Unit
from autograder.feedback import render
from autograder.judge import grade
from autograder.report import Report
from autograder.sandbox import Sandbox
from autograder.submission import Unreadable, identify, read_file, read_notebook

_SKIPPED = {".ipynb_checkpoints", "__pycache__"}


class ClassroomError(Exception):
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
        ClassroomError: a path does not exist, holds no notebook, or a student handed in the same notebook twice.
    """
    entries: list[Entry] = []
    for path in paths:
        if not path.exists():
            raise ClassroomError(f"{path} does not exist: name a notebook, or a folder of submissions")
        found = [Entry(_owner(path, stems), path)] if path.is_file() else list(_in_folder(path, stems))
        if path.is_file() and path.suffix != ".ipynb":
            raise ClassroomError(f"{path} is not a notebook: its name should end in .ipynb")
        if not found:
            raise ClassroomError(
                f"{path} holds no notebooks: it should hold STUDENT.ipynb files, or a folder for each student"
            )
        entries += found
    seen: dict[tuple[str, str], Path] = {}
    for entry in entries:
        # A student's own folder may hold several units, told apart by name; a flat file is its student's only one.
        key = (entry.student, entry.path.name if entry.path.stem != entry.student else "")
        if key in seen:
            raise ClassroomError(
                f"two submissions for student {entry.student}: {seen[key]} and {entry.path}; keep the one that counts"
            )
        seen[key] = entry.path
    return sorted(entries, key=lambda e: (e.student, str(e.path)))


def _in_folder(folder: Path, stems: Collection[str]) -> Iterator[Entry]:
    root = _root(folder)
    for path in _notebooks(root):
        inside = path.relative_to(root)
        yield Entry(_owner(path, stems) if len(inside.parts) == 1 else _text(inside.parts[0]), path)


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
    return _text(next((name for name in names if name and name not in stems), path.stem))


def without_notebooks(paths: Sequence[Path]) -> list[str]:
    """Return the students whose folder is there and holds no notebook."""
    folders = [
        child
        for path in paths
        if path.is_dir()
        for child in sorted(_root(path).iterdir())
        if child.is_dir() and not child.is_symlink() and not child.name.startswith(".") and child.name not in _SKIPPED
    ]
    return [_text(child.name) for child in folders if not any(_notebooks(child))]


def plan(entries: Sequence[Entry], course: Course, unit: Unit | None = None) -> list[Entry]:
    """Return the entries to grade: those of `unit`, if given. Cannot-be-read ones stay, for their students to be told.

    Raises:
        ClassroomError: a student handed in two notebooks of one unit; or nothing is left to grade.
    """
    chosen: list[Entry] = []
    seen: dict[tuple[str, str], Path] = {}
    for entry in entries:
        try:
            stem = identify(*read_notebook(read_file(entry.path)), course).stem
        except Unreadable:
            stem = ""
        if unit is not None and stem not in ("", unit.stem):
            continue
        if stem and (entry.student, stem) in seen:
            raise ClassroomError(
                f"two submissions for student {entry.student} in {stem}: {seen[entry.student, stem]} and {entry.path}; "
                "nothing was graded: keep the one that counts and start again"
            )
        seen[entry.student, stem] = entry.path
        chosen.append(entry)
    if not chosen:
        raise ClassroomError(f"none of the submissions is of unit {unit.stem if unit else ''}")
    return chosen


def new_seed() -> str:
    """Return a secret for one run's inputs."""
    return secrets.token_hex(16)


def write_report(report: Report, folder: Path) -> Path:
    """Write one report's JSON and feedback page; return the page's path."""
    stem = _file_name(f"{report.student}--{report.unit or Path(report.file).stem}")
    _write(folder / f"{stem}.json", report.model_dump_json(indent=1) + "\n")
    page = folder / "feedback" / f"{stem}.html"
    _write(page, render(report))
    return page


def grade_class(
    paths: Sequence[Path],
    course: Course,
    sandbox: Callable[[], Sandbox],
    out: Path,
    unit: Unit | None = None,
    seed: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, student: None,
) -> list[Report]:
    """Grade a class and write out/*.json, out/feedback/*.html and out/grades.csv.

    Args:
        paths: files or folders: see `find_submissions`.
        sandbox: starts the sandbox, once the submissions are known to make sense.
        out: the folder for results; made if missing.
        unit: grade this unit only.
        seed: the run's secret; a fresh one by default.
        progress: called with (done, total, student) before each submission and once at the end.

    Raises:
        ClassroomError: see `find_submissions` and `plan`.
        SandboxUnavailable: see `Sandbox`.
    """
    entries = plan(find_submissions(paths, course.units), course, unit)
    try:
        (out / "feedback").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClassroomError(f"{out} cannot be made for the results: {error.strerror}") from None
    reports: list[Report] = []
    seed = seed or new_seed()
    with sandbox() as confined:
        try:
            for done, entry in enumerate(entries):
                progress(done, len(entries), entry.student)
                try:
                    data: bytes | Unreadable = read_file(entry.path)
                except Unreadable as problem:
                    data = problem
                report = grade(data, entry.student, course, confined, seed, _text(entry.path.name))
                write_report(report, out)
                reports.append(report)
        finally:
            if reports:  # also when the run is stopped half way
                write_csv(reports, out / "grades.csv")
        progress(len(entries), len(entries), "")
    return reports


def _text(name: str) -> str:
    """Return a file's name as text that can be written anywhere; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _file_name(text: str) -> str:
    """Return `text` as a file name: nothing a path could mean, short, and never the same for two texts."""
    kept = "".join(c if c.isalnum() or c in "-_.@ " else "_" for c in text).strip(". ")
    kept = kept.encode()[:150].decode(errors="ignore")  # file systems count bytes
    return kept if kept == text else f"{kept}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", errors="replace")
    part.replace(path)
