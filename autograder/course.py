"""A course on disk: two folders, one stem a unit. See `Course.find`."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from autograder import digests
from autograder import source as static
from autograder.cells import KEY, Cell, Role, read_cell
from autograder.checks import Check, Exercise, check_names, collect_checks, collect_exercises, load_module
from autograder.mistakes import Entry, KnownMistake, collect_bank


class CourseError(Exception):
    """The course's folders are not as they should be, or a unit does not exist. The message says what to do."""


class Worth(BaseModel):
    """An exercise's points: those its public checks give, and those that graded-only checks add."""

    public: int
    graded: int


class Manifest(BaseModel):
    """What the build leaves beside the checks for those who may not see the bank's code or the graded-only checks."""

    worth: dict[str, Worth] = {}
    mistakes: list[KnownMistake] = []


@dataclass(frozen=True)
class Unit:
    """One unit of a course.

    Attributes:
        stem: its name in every folder, such as "03_spatial_dropout".
        notebooks: the learners' folder.
        solutions: the instructors' folder, or None in a learner's copy.
    """

    stem: str
    notebooks: Path
    solutions: Path | None = None

    @property
    def release_path(self) -> Path:
        """The notebook learners get."""
        return self.notebooks / f"{self.stem}.ipynb"

    @property
    def source_path(self) -> Path:
        """The source the notebooks are built from."""
        return self._instructors() / f"{self.stem}.py"

    @property
    def solution_path(self) -> Path:
        """The executed solution notebook."""
        return self._instructors() / f"{self.stem}.ipynb"

    @property
    def manifest_path(self) -> Path:
        """The learners' manifest; the instructors' one has the same name among the graded-only checks."""
        return self.notebooks / "checks" / f"{self.stem}.json"

    @property
    def graded_manifest_path(self) -> Path:
        return self._instructors() / "checks" / f"{self.stem}.json"

    @cached_property
    def _public_module(self) -> dict[str, Any]:
        return load_module(self.notebooks / "checks" / f"{self.stem}.py")

    @cached_property
    def exercises(self) -> tuple[Exercise, ...]:
        return collect_exercises(self._public_module)

    def exercise(self, name: str) -> Exercise:
        """Return the exercise called `name`. Raises CourseError."""
        for exercise in self.exercises:
            if exercise.name == name:
                return exercise
        raise CourseError(f"{self.stem} has no exercise {name}: it has {', '.join(e.name for e in self.exercises)}")

    @cached_property
    def public_checks(self) -> list[Check]:
        return collect_checks(self._public_module)

    @cached_property
    def graded_checks(self) -> list[Check]:
        """The graded-only checks; empty in a learner's copy."""
        return collect_checks(self._graded_module, graded_only=True)

    @cached_property
    def _graded_module(self) -> dict[str, Any]:
        return load_module(self._graded_path) if self._graded_path else {}

    @property
    def _graded_path(self) -> Path | None:
        path = self.solutions and self.solutions / "checks" / f"{self.stem}.py"
        return path if path and path.exists() else None

    def checks(self, exercise: str) -> list[Check]:
        """Return the public and then the graded-only checks of an exercise."""
        return [c for c in (*self.public_checks, *self.graded_checks) if c.exercise == exercise]

    @cached_property
    def bank(self) -> list[Entry]:
        """Known mistakes and right alternatives; empty in a learner's copy."""
        path = self.solutions and self.solutions / "mistakes" / f"{self.stem}.py"
        return collect_bank(load_module(path)) if path and path.exists() else []

    @cached_property
    def release(self) -> list[Cell]:
        """The cells of the notebook learners get."""
        return _read_cells(self.release_path)

    @cached_property
    def solution_cells(self) -> list[Cell]:
        """The cells of the solution notebook."""
        return _read_cells(self.solution_path)

    @cached_property
    def reference(self) -> SimpleNamespace:
        """The solution's own namespace: setup and exercise cells, executed here. Trusted code."""
        namespace: dict[str, Any] = {"__name__": f"_reference_{self.stem}"}
        for cell in self.solution_cells:
            if cell.role in (Role.SETUP, Role.EXERCISE):
                exec(compile(cell.source, f"<reference {self.stem} {cell.name}>", "exec"), namespace)
        return SimpleNamespace(**namespace)

    @cached_property
    def imported(self) -> tuple[str, ...]:
        """The modules that set-up cells import."""
        names: dict[str, None] = {}
        for cell in self.release if self.release_path.exists() else []:
            tree = static.parse(static.plain_python(cell.source)) if cell.role is Role.SETUP else None
            for node in ast.walk(tree) if tree else ():
                if isinstance(node, ast.Import):
                    names.update(dict.fromkeys(alias.name for alias in node.names))
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names[node.module] = None
        return tuple(names)

    @cached_property
    def manifest(self) -> Manifest:
        """What was built for learners."""
        return _read_manifest(self.manifest_path)

    @cached_property
    def graded_manifest(self) -> Manifest:
        """What was built for instructors: fingerprints over all checks."""
        return _read_manifest(self.graded_manifest_path) if self.solutions else self.manifest

    @cached_property
    def exercise_digests(self) -> dict[str, str]:
        """For each exercise, the digest of all that its verdict depends on, the submission left out."""
        modules = [(self.notebooks / "checks" / f"{self.stem}.py", self._public_module)]
        if self._graded_path:
            modules.append((self._graded_path, self._graded_module))
        # Checks of other units do not count; what checks share does.
        shared = [p.parent for p, _ in modules]
        own_files = [p for folder in shared for p in folder.glob("*.py") if not p.stem.startswith("_")]
        common = [
            digests.engine(),
            *(digests.importable(f, own_files) for f in dict.fromkeys([self.notebooks, *shared])),
        ]
        common += [f"{name} {digests.version_of(name)}" for name in sorted({m.split(".")[0] for m in self.imported})]
        common += [digests.code(c.source) for c in self.solution_cells if c.role in (Role.SETUP, Role.EXERCISE)]
        common += [c.source for c in self.release if c.role is Role.SETUP]
        common += [f"hides {path.name}" for path in self.hidden]
        stubs = {c.name: c.source for c in self.release if c.role is Role.EXERCISE}
        own = {
            e.name: digests.combine(
                *common,
                *(digests.checks_of(path, check_names(module, e.name)) for path, module in modules),
                repr((e.name, e.forbids, e.uses)),
                stubs.get(e.name, ""),
                *(m.model_dump_json() for m in self.graded_manifest.mistakes if m.exercise == e.name),
            )
            for e in self.exercises
        }
        return digests.transitive(own, {e.name: e.uses for e in self.exercises})

    @cached_property
    def digest(self) -> str:
        """The digest of all that a submission's report depends on, the submission left out."""
        cells = [repr((c.id, c.role, c.name, c.source)) for c in self.release if c.role is not Role.OTHER]
        return digests.combine(*self.exercise_digests.values(), str(self.about.get("title", "")), *cells)

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """The unit's title, technique, paper and minutes, from the notebook's metadata."""
        document = json.loads(self.release_path.read_text(encoding="utf-8"))
        return dict(document.get("metadata", {}).get(KEY, {}))

    @cached_property
    def hidden(self) -> tuple[Path, ...]:
        """Files of the learners' folder that code does not see at grading, which the unit's header names under `hides`.

        Raises:
            CourseError: one is not in that folder.
        """
        names = self.about.get("hides", []) if self.release_path.exists() else []
        for name in names:
            if not (self.notebooks / name).resolve().is_relative_to(self.notebooks):
                raise CourseError(f"{self.stem} hides {name}, which is not in {self.notebooks.name}")
        return tuple(self.notebooks / name for name in names)

    @cached_property
    def ranked_by(self) -> dict[str, bool]:
        """By which scores submissions are ranked, the first counting most, and whether the lowest is best.

        The header's `leaderboard` says so, such as [lowest error, highest speed]. Empty where the unit has none.

        Raises:
            CourseError: it says something else.
        """
        declared = self.about.get("leaderboard", []) if self.release_path.exists() else []
        parts = [str(each).split(maxsplit=1) for each in declared] if isinstance(declared, list) else [[]]
        if not all(len(part) == 2 and part[0] in ("lowest", "highest") for part in parts):
            raise CourseError(f"{self.stem}: a leaderboard is a list such as [lowest error, highest speed]")
        return {name: best == "lowest" for best, name in parts}

    def _instructors(self) -> Path:
        if self.solutions is None:
            raise CourseError(f"{self.stem}: there is no solutions folder here, which only instructors have")
        return self.solutions


@dataclass(frozen=True)
class Course:
    """The units of a pair of folders. Engine code reaches a course through this class alone."""

    notebooks: Path
    solutions: Path | None = None
    units: dict[str, Unit] = field(default_factory=dict)

    @classmethod
    def open(cls, notebooks: Path, solutions: Path | None = None) -> Course:
        """Open a course by its folders.

        Raises:
            CourseError: `notebooks` holds no checks.
        """
        notebooks = notebooks.resolve()
        solutions = solutions.resolve() if solutions is not None and solutions.is_dir() else None
        stems = sorted(p.stem for p in (notebooks / "checks").glob("*.py") if not p.stem.startswith("_"))
        if not stems:
            raise CourseError(f"{notebooks} is not a course: it has no checks/*.py; name the folder with --notebooks")
        return cls(notebooks, solutions, {stem: Unit(stem, notebooks, solutions) for stem in stems})

    @classmethod
    def find(cls, start: Path | None = None) -> Course:
        """Find the course: what AUTOGRADER_NOTEBOOKS names in the environment, else the one around a folder (the current).

        That is the nearest `notebooks/checks` above it, or its own `checks`.

        Raises:
            CourseError: there is none.
        """
        here = (start or Path.cwd()).resolve()
        named = os.environ.get("AUTOGRADER_NOTEBOOKS")
        if named:
            return cls.open(Path(named), Path(named).parent / "solutions")
        for folder in (here, *here.parents):
            if (folder / "notebooks" / "checks").is_dir():
                return cls.open(folder / "notebooks", folder / "solutions")
        if (here / "checks").is_dir():
            return cls.open(here)
        raise CourseError(
            f"no course was found around {here}: work in the course's folder, or name its notebooks with --notebooks"
        )

    @property
    def hidden(self) -> list[Path]:
        """Files of the learners' folder that code does not see at grading."""
        return [path for unit in self.units.values() for path in unit.hidden]

    @cached_property
    def digest(self) -> str:
        """The digest of all that grading depends on; two machines that have the same give the same marks."""
        return digests.combine(*(unit.digest for unit in self.units.values()))

    def unit(self, stem: str) -> Unit:
        """Return a unit by its stem. Raises CourseError."""
        if stem not in self.units:
            raise CourseError(f"there is no unit {stem}: the units are {', '.join(self.units)}")
        return self.units[stem]

    def unit_of(self, exercise: str) -> Unit:
        """Return the unit that has an exercise of this name. Raises CourseError."""
        for unit in self.units.values():
            if exercise in unit.manifest.worth:
                return unit
        # A course whose build has not run yet has no manifests.
        for unit in self.units.values():
            if any(e.name == exercise for e in unit.exercises):
                return unit
        raise CourseError(f"no exercise of this course is called {exercise}: was it renamed?")


def _read_cells(path: Path) -> list[Cell]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is missing: run `autograder build`") from None
    return [cell for raw in document["cells"] if (cell := read_cell(raw)) is not None]


def _read_manifest(path: Path) -> Manifest:
    return Manifest.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else Manifest()
