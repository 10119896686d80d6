"""What isolation costs: a unit's solution judged in its sandbox, beside the same checks on the same code in this process.

Run it as `python -m tests.benchmarks.isolation`. In this process nothing is read, aligned, encoded or confined: cells run,
and checks are answered by plain calls. The judged time is all that `grade` takes, from a file's bytes to a report.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import torch

from autograder.cells import Role, read_cell
from autograder.checks import run_check
from autograder.course import Course, Unit
from autograder.judge import grade, open_sandbox
from autograder.probes import Message, ProbeServer, new_namespace, random_state_kept
from autograder.sandbox import Sandbox
from autograder.student import Student
from autograder.submission import align, read_notebook
from tests.benchmarks import ROOT

SEED = "isolation"
WARM_UP = 3
"""Runs before those that count, for what is computed once in a process, such as bounds of the statistics."""


class _Direct:
    """Calls a ProbeServer with the very objects that it is given."""

    def __init__(self, server: ProbeServer) -> None:
        self._server = server

    def request(self, message: Message) -> Message:
        return self._server.answer(message)


def measure(course: Course, repeats: int = 15) -> list[dict[str, Any]]:
    """Return a row for every unit: {"unit", "in_process", "judged", "ratio"}, medians of `repeats` runs in seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the sandbox
    try:
        return [_row(course, unit, repeats) for unit in course.units.values()]
    finally:
        torch.set_num_threads(threads)


def _row(course: Course, unit: Unit, repeats: int) -> dict[str, Any]:
    copies = [_copy(unit, number) for number in range(WARM_UP + repeats)]
    direct = [_in_process(unit, data) for data in copies]
    with open_sandbox(course) as sandbox:
        # One right after the other, so that ending a process and forking the next one count.
        judged = [_judged(course, sandbox, data) for data in copies]
    seconds = [statistics.median(times[WARM_UP:]) for times in (direct, judged)]
    return {"unit": unit.stem, "in_process": seconds[0], "judged": seconds[1], "ratio": seconds[1] / seconds[0]}


def _copy(unit: Unit, number: int) -> bytes:
    """Return the unit's solution with a number in each exercise, so that no copy's cells were ever read before."""
    notebook = json.loads(unit.solution_path.read_text(encoding="utf-8"))
    for raw in notebook["cells"]:
        cell = read_cell(raw)
        if cell is not None and cell.role is Role.EXERCISE:
            raw["source"] = f"{cell.source}\n# copy {number}"
    return json.dumps(notebook).encode()


def _in_process(unit: Unit, data: bytes) -> float:
    submission = align(read_notebook(data)[0], unit)
    main = sys.modules["__main__"]
    with random_state_kept():
        start = time.perf_counter()
        try:
            student = Student(_Direct(ProbeServer(new_namespace())))
            for program in submission.programs:
                student.run(program.label, program.source)
            for exercise in unit.exercises:
                student.watch = exercise.forbids
                for check in unit.checks(exercise.name):
                    outcome = run_check(check, student, SEED, unit.reference)
                    if not outcome.points:
                        raise RuntimeError(f"{unit.stem}: the solution fails {check.name}: {outcome.message}")
            return time.perf_counter() - start
        finally:
            sys.modules["__main__"] = main


def _judged(course: Course, sandbox: Sandbox, data: bytes) -> float:
    start = time.perf_counter()
    report = grade(data, "solution", course, sandbox, SEED)
    seconds = time.perf_counter() - start
    if report.points != report.max_points:
        raise RuntimeError(f"{report.unit}: the solution got {report.points} of {report.max_points} points")
    return seconds


if __name__ == "__main__":
    for row in measure(Course.open(ROOT / "notebooks", ROOT / "solutions")):
        print(
            f"{row['unit']:22} in process {1000 * row['in_process']:6.1f} ms, judged {1000 * row['judged']:6.1f} ms, "
            f"{row['ratio']:.2f} times"
        )
