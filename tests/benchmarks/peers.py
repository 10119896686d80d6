"""The same notebook and the same checks graded by this project, by nbgrader and by Otter, each by its own command.

nbgrader gets the notebook as built, which carries its metadata. For Otter an assignment is made whose tests are the same
checks with the same points, and whose notebook is the same without its check cells, which Otter would run besides. Both run
every cell of a notebook; this project runs what the exercises need. So the notebook is graded twice: as learners get it, and
cut down to the cells that are graded, which is the fairer comparison.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.course import Course, Unit
from tests.benchmarks import ROOT, UNIT, ours
from tests.benchmarks import submissions as classes
from tests.benchmarks.otter_checks import otter_test
from tests.benchmarks.ours import Graded, Marks
from tests.benchmarks.timing import Run, timed

CELL_S = 600
"""How long a peer may take over one cell: enough for an experiment on a slow machine, so that none is cut short."""

_NBGRADER = """c = get_config()
c.CourseDirectory.course_id = "bench"
c.ExecutePreprocessor.timeout = {cell_s}
c.Execute.timeout = {cell_s}
"""

_WARM = "import torch, scipy.stats, matplotlib.pyplot, ipywidgets, ipykernel"
"""Run before the clock starts, so that no peer pays for a disk that has yet to be read."""


@dataclass(frozen=True)
class Peer:
    """What a peer took for some submissions, and the marks it gave."""

    submissions: int
    seconds: float
    processor_seconds: float
    marks: Marks

    @classmethod
    def of(cls, runs: Sequence[Run], marks: Marks) -> Peer:
        seconds, processor = sum(r.seconds for r in runs), sum(r.processor for r in runs)
        return cls(len(marks), round(seconds, 3), round(processor, 3), marks)


Say = Callable[[str], None]


def measure(
    course: Course, environments: Path, seats: int, peer_seats: int, full_seats: int, workers: Sequence[int], say: Say
) -> dict[str, Any]:
    """Measure both notebooks.

    Args:
        environments: the folder with the peers' virtual environments, `nbgrader` and `otter`.
        seats: submissions graded by this project.
        peer_seats: how many of them, the first ones, the peers grade too; `full_seats` of the whole notebook. 0 skips it.
        workers: numbers of workers.
    """
    unit = course.unit(UNIT)
    result: dict[str, Any] = {}
    for form, short, few in (("short", True, peer_seats), ("full", False, full_seats)):
        if not few:
            continue
        with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
            work = Path(temporary)
            files = classes.write_class(unit, work / "class", max(seats, few), short)
            facts: dict[str, Any] = {"cells": len(classes.released(unit, short)["cells"]), "ours": {}}
            for number in workers:
                say(f"{form} notebook: this project, {len(files)} submissions, workers: {number}")
                graded = ours.grade(work / "class", work / f"results-{number}", number)
                facts["ours"][str(number)] = graded.facts()
            for name, peer in (("nbgrader", nbgrader), ("otter", otter)):
                say(f"{form} notebook: {name}, {few} submissions")
                timed([environments / name / "bin" / "python", "-c", _WARM])
                facts[name] = asdict(peer(unit, environments / name, files[:few], work / name, short))
            facts["marks"] = compare(graded, facts["nbgrader"].pop("marks"), facts["otter"].pop("marks"))
            result[form] = facts
    return result


def nbgrader(unit: Unit, environment: Path, files: Sequence[Path], work: Path, short: bool) -> Peer:
    """Grade files by `nbgrader autograde`, in a course folder of its own; making the assignment is not timed."""
    source = work / "source" / "bench" / f"{unit.stem}.ipynb"
    source.parent.mkdir(parents=True)
    source.write_text(json.dumps(classes.released(unit, short), indent=1), encoding="utf-8")
    (work / "nbgrader_config.py").write_text(_NBGRADER.format(cell_s=CELL_S), encoding="utf-8")
    for path in files:
        handed_in = work / "submitted" / path.stem / "bench" / source.name
        handed_in.parent.mkdir(parents=True)
        shutil.copy(path, handed_in)
    command, env = environment / "bin" / "nbgrader", _environment(environment)
    timed([command, "generate_assignment", "bench"], work, env)
    run = timed([command, "autograde", "bench"], work, env)
    marks = nbgrader_marks(work / "gradebook.db")
    assert len(marks) == len(files), f"nbgrader graded {sorted(marks)}"
    return Peer.of([run], marks)


def nbgrader_marks(database: Path) -> Marks:
    """Read the marks of check cells out of nbgrader's database."""
    marks: Marks = {}
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT submitted_assignment.student_id, base_cell.name, grade.auto_score FROM grade"
            " JOIN base_cell ON base_cell.id = grade.cell_id"
            " JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id"
            " JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id"
        )
        for student, cell, score in rows:
            of = marks.setdefault(student, {})
            if cell.startswith("check-"):
                of[cell.removeprefix("check-")] = int(score or 0)
    return marks


def otter(unit: Unit, environment: Path, files: Sequence[Path], work: Path, short: bool) -> Peer:
    """Grade files by `otter run`, which takes one at a time; making the assignment is not timed."""
    (work / "tests").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("otter_checks.py"), work)
    for exercise in unit.exercises:
        (work / "tests" / f"{exercise.name}.py").write_text(otter_test(unit, exercise.name), encoding="utf-8")
    command, env = environment / "bin" / "otter", _environment(environment)
    timed([command, "generate", "-t", "tests", "-o", "autograder.zip", "otter_checks.py"], work, env)
    runs, marks = [], {}
    for path in files:
        handed_in = work / path.name
        notebook = classes.without_checks(json.loads(path.read_text(encoding="utf-8")))
        handed_in.write_text(json.dumps(notebook, indent=1), encoding="utf-8")
        out = work / path.stem
        out.mkdir()
        runs.append(timed([command, "run", "-a", "autograder.zip", "-o", out, "--no-logo", handed_in], work, env))
        marks[path.stem] = otter_marks(out / "results.json")
    return Peer.of(runs, marks)


def otter_marks(results: Path) -> dict[str, int]:
    """Read the marks out of Otter's `results.json`."""
    tests = json.loads(results.read_text(encoding="utf-8"))["tests"]
    return {test["name"]: round(test["score"]) for test in tests if "score" in test}


def compare(mine: Graded, nbgraders: Marks, otters: Marks) -> list[dict[str, Any]]:
    """Put the marks of submissions that all three graded beside each other."""
    return [
        {
            "student": student,
            "kind": classes.kind_of(seat),
            "ours": mine.marks[student],
            "stood_in": mine.stood_in[student],
            "nbgrader": nbgraders[student],
            "otter": otters[student],
        }
        for seat, student in enumerate(sorted(nbgraders))
    ]


def _environment(environment: Path) -> dict[str, str]:
    """Return what a peer's process needs to find its own kernel, and the course that the notebook's cells import."""
    return {
        "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(environment),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "AUTOGRADER_NOTEBOOKS": str(ROOT / "notebooks"),
    }
