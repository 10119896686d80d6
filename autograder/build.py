"""From solutions/NN.py to what learners and instructors get.

The source is jupytext's percent format. A cell says what it is by its metadata: `setup=true`, `exercise="Name"`,
`check="Name"` or `written="question"`. The build makes the executed solution notebook, the stub notebook and the two
manifests (fingerprints of the known mistakes, points), each a function of its inputs alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from autograder.cells import BEGIN, END, KEY, STILL_TO_DO, Role, solution_lines, strip_solution
from autograder.checks import fingerprint, run_checks
from autograder.course import Course, CourseError, Manifest, Unit, Worth
from autograder.mistakes import Entry, KnownMistake
from autograder.student import local_student

WRITTEN_STUB = "*Write your answer here.*"
MODEL_ANSWER = "**A model answer.**"
WRITTEN_POINTS = 2
FINGERPRINT_SEED = "fingerprint"
CELL_TIMEOUT_S = 300
_LEAST_TELLING = 20
"""Shorter lines of a solution, such as `return x`, say nothing by themselves and may stand elsewhere."""
_ROLES = {"setup": Role.SETUP, "exercise": Role.EXERCISE, "check": Role.CHECK, "written": Role.WRITTEN}
_HINTS = re.compile(r"^<!-- hints: (\w+) -->$", re.MULTILINE)


class BuildError(Exception):
    """The source cannot be built; the message says where."""


@dataclass(frozen=True)
class Problem:
    """Something `verify` found out of step."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def sources(course: Course) -> list[Unit]:
    """Return the units that have a source. Raises CourseError in a learner's copy."""
    if course.solutions is None:
        raise CourseError("there is no solutions folder here, which the build starts from and only instructors have")
    for path in sorted(course.solutions.glob("[0-9]*.py")):
        if path.stem not in course.units:
            raise CourseError(f"{path.name} has no checks/{path.name} in {course.notebooks.name}, so it is no unit yet")
    return [unit for unit in course.units.values() if unit.source_path.exists()]


def build(unit: Unit, execute: bool = False) -> None:
    """Write everything that is made from a unit's source.

    Args:
        execute: run the solution notebook anew even where neither its code nor its checks have changed.

    Raises:
        BuildError: the source breaks a rule.
        nbclient.exceptions.CellExecutionError: the solution notebook fails.
    """
    solution, release = notebooks(unit)
    _write(unit.release_path, nbformat.writes(release) + "\n")
    before = _existing(unit.solution_path)
    executed = all(cell.execution_count for cell in before.cells if cell.cell_type == "code" and cell.source)
    if same := executed and _code(solution) == _code(before):
        _keep_outputs(before, solution)
    _write(unit.solution_path, nbformat.writes(solution) + "\n")
    # Read anew: the reference of the graded-only checks is the notebook just written. What `check` shows when that is
    # executed depends on the manifest, so it comes first.
    for path, manifest in _manifest_paths(Unit(unit.stem, unit.notebooks, unit.solutions)):
        text = manifest.model_dump_json(indent=1) + "\n"
        same = same and path.exists() and path.read_text(encoding="utf-8") == text
        _write(path, text)
    if execute or not same:
        _execute(solution, unit.solution_path.parent)
        _write(unit.solution_path, nbformat.writes(solution) + "\n")


def _execute(notebook: Any, folder: Path) -> None:
    NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", store_widget_state=True,
        resources={"metadata": {"path": str(folder)}}, extra_arguments=["--log-level=ERROR"],
    ).execute()  # fmt: skip
    _tidy(notebook)


def notebooks(unit: Unit) -> tuple[Any, Any]:
    """Return the solution notebook, without outputs, and the release notebook, made from the unit's source."""
    source = _read_source(unit)
    about = source.metadata.get("jupyter", {}).get(KEY) or source.metadata.get(KEY) or {}
    metadata = {
        KEY: {"schema": 1, "unit": unit.stem, **about},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    solution = nbformat.v4.new_notebook(metadata=metadata)
    release = nbformat.v4.new_notebook(metadata=json.loads(json.dumps(metadata)))
    taken: set[str] = set()
    for number, cell in enumerate(source.cells, start=1):
        where = f"{unit.source_path.name}, cell {number}"
        role, name = _role(cell.metadata, where)
        text = _unfold_hints(unit, cell.source, where)
        identity = f"{role}-{name}" if name else f"cell-{number:03d}"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", identity) or identity in taken:
            raise BuildError(f"{where}: the cell id {identity!r} is taken or not allowed")
        taken.add(identity)
        ours = _cell_metadata(unit, cell, role, name, identity)
        try:
            stub = strip_solution(text, _stub(role, name))
        except ValueError as problem:
            raise BuildError(f"{where}: {problem}") from None
        if (role in (Role.EXERCISE, Role.WRITTEN)) != (stub != text):
            raise BuildError(
                f"{where}: a solution region belongs in exercise and written cells, and each of these has one"
            )
        for notebook, shown in ((solution, _readable(text, role)), (release, stub)):
            make: Any = nbformat.v4.new_markdown_cell if cell.cell_type == "markdown" else nbformat.v4.new_code_cell
            made = make(shown, metadata=json.loads(json.dumps(ours)))
            made["id"] = identity
            notebook.cells.append(made)
    missing = {e.name for e in unit.exercises} - {
        c.metadata[KEY].get("name") for c in release.cells if KEY in c.metadata
    }
    if missing:
        raise BuildError(f"{unit.source_path.name}: no cell for {', '.join(sorted(missing))}, which its checks declare")
    return solution, release


def manifests(unit: Unit) -> tuple[Manifest, Manifest]:
    """Return the learners' manifest (public checks) and the instructors' (all checks)."""
    public: list[KnownMistake] = []
    graded: list[KnownMistake] = []
    for entry in unit.bank:
        if entry.wrong:
            everything = _observe(unit, entry)
            names = {c.name for c in unit.public_checks if c.exercise == entry.exercise}
            seen = {check: code for check, code in everything.items() if check in names}
            graded.append(_known(entry, everything))
            if seen:
                public.append(_known(entry, seen))
    worth = {
        e.name: Worth(
            public=sum(c.points for c in unit.public_checks if c.exercise == e.name),
            graded=sum(c.points for c in unit.graded_checks if c.exercise == e.name),
        )
        for e in unit.exercises
    }
    return Manifest(worth=worth, mistakes=public), Manifest(worth=worth, mistakes=graded)


def verify(course: Course) -> list[Problem]:
    """Return what is out of step with the sources, and every line of a solution that survives in the learners' folder."""
    problems: list[Problem] = []
    telling: dict[str, str] = {}
    for unit in sources(course):
        solution, release = notebooks(unit)
        if not unit.release_path.exists() or unit.release_path.read_text("utf-8") != nbformat.writes(release) + "\n":
            problems.append(Problem(unit.release_path.name, "is not what its source builds: run `autograder build`"))
        stored = _existing(unit.solution_path)
        if _code(stored) != _code(solution):
            problems.append(
                Problem(f"solutions/{unit.solution_path.name}", "differs from its source: run `autograder build`")
            )
        for path, manifest in _manifest_paths(unit):
            if not path.exists() or path.read_text("utf-8") != manifest.model_dump_json(indent=1) + "\n":
                problems.append(
                    Problem(f"{path.parent.parent.name}/checks/{path.name}", "is stale: run `autograder build`")
                )
        for cell in _read_source(unit).cells:
            telling.update({x: unit.stem for x in solution_lines(cell.source) if len(x) >= _LEAST_TELLING})
    problems += [
        Problem(str(path.relative_to(course.notebooks.parent)), f"holds a line of {telling[line]}'s solution: {line}")
        for path, line in _lines(course.notebooks)
        if line in telling
    ]
    return problems


def _lines(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield every stripped line of every text under a folder; of notebooks, those of cells and outputs."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix not in (".py", ".ipynb", ".json", ".md", ".txt", ".csv", ".toml"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".ipynb", ".json"):
            yield from ((path, line.strip()) for s in _strings(json.loads(text)) for line in s.splitlines())
        else:
            yield from ((path, line.strip()) for line in text.splitlines())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _read_source(unit: Unit) -> Any:
    return jupytext.read(unit.source_path, fmt="py:percent")


def _role(metadata: Any, where: str) -> tuple[Role, str]:
    named = [key for key in _ROLES if key in metadata]
    if len(named) > 1:
        raise BuildError(f"{where}: a cell has one role, this one says {' and '.join(named)}")
    if not named:
        return Role.OTHER, ""
    value = metadata[named[0]]
    return _ROLES[named[0]], value if isinstance(value, str) else ""


def _stub(role: Role, name: str) -> str:
    return WRITTEN_STUB if role is Role.WRITTEN else f'raise NotImplementedError("{name}{STILL_TO_DO}")'


def _cell_metadata(unit: Unit, cell: Any, role: Role, name: str, identity: str) -> dict[str, Any]:
    """Return a built cell's metadata: ours under our own key, nbgrader's (schema 3) beside it, and tags."""
    ours: dict[str, Any] = {}
    if cell.metadata.get("tags"):
        ours["tags"] = list(cell.metadata["tags"])
    if role is Role.OTHER:
        return ours
    ours[KEY] = {"role": str(role), **({"name": name} if name else {})}
    answer = role in (Role.EXERCISE, Role.WRITTEN)
    graded = role in (Role.CHECK, Role.WRITTEN)
    ours["nbgrader"] = {
        "schema_version": 3, "grade_id": identity, "grade": graded, "solution": answer, "locked": not answer, "task": False,
    }  # fmt: skip
    if role is Role.WRITTEN:
        ours["nbgrader"]["points"] = int(cell.metadata.get("points", WRITTEN_POINTS))
    elif role is Role.CHECK:
        unit.exercise(name)
        ours["nbgrader"]["points"] = sum(c.points for c in unit.checks(name))
    if not answer:
        ours["editable"] = False
        ours["deletable"] = False
    return ours


def _readable(text: str, role: Role) -> str:
    """Return a cell's text for instructors: markers stay in code, where nbgrader reads them, and would be headings in prose."""
    return text.replace(BEGIN, MODEL_ANSWER).replace(END, "") if role is Role.WRITTEN else text


def _unfold_hints(unit: Unit, text: str, where: str) -> str:
    """Replace each `<!-- hints: Name -->` line by the exercise's hints, to be unfolded one at a time."""

    def blocks(found: re.Match[str]) -> str:
        try:
            hints = unit.exercise(found[1]).hints
        except CourseError as problem:
            raise BuildError(f"{where}: {problem}") from None
        return "\n".join(
            f"<details><summary>Hint {i}</summary>\n\n{hint}\n\n</details>" for i, hint in enumerate(hints, start=1)
        )

    return _HINTS.sub(blocks, text)


def _observe(unit: Unit, entry: Entry) -> dict[str, str]:
    namespace = {**vars(unit.reference), entry.exercise: entry.implementation}
    student = local_student(namespace)
    return fingerprint(run_checks(unit.checks(entry.exercise), student, FINGERPRINT_SEED, unit.reference))


def _known(entry: Entry, seen: dict[str, str]) -> KnownMistake:
    return KnownMistake(name=entry.name, exercise=entry.exercise, explanation=entry.explanation, fingerprint=seen)


def _manifest_paths(unit: Unit) -> list[tuple[Path, Manifest]]:
    return list(zip((unit.manifest_path, unit.graded_manifest_path), manifests(unit), strict=True))


def _existing(path: Path) -> Any:
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):
        return nbformat.v4.new_notebook()


def _code(notebook: Any) -> list[tuple[str, str, str]]:
    return [(cell.get("id", ""), cell.cell_type, cell.source) for cell in notebook.cells]


def _keep_outputs(old: Any, new: Any) -> None:
    new.metadata.update({k: v for k, v in old.metadata.items() if k == "widgets"})
    for before, after in zip(old.cells, new.cells, strict=True):
        if after.cell_type == "code":
            after["outputs"], after["execution_count"] = before.outputs, before.execution_count


def _tidy(notebook: Any) -> None:
    """Drop what differs from run to run for no reason: timestamps, and the kernel's account of itself."""
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)


def _write(path: Path, text: str) -> None:
    """Write whole or not at all."""
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
