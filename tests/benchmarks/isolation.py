"""What isolation costs: a unit's solution judged in its sandbox, and by the same `grade` with its code run in this process.

Run it as `python -m tests.benchmarks.isolation`. Both times are all that `grade` takes, from a file's bytes to a report. In
this process nothing is encoded or confined: checks are answered by plain calls, with the very tensors that they hand over.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, cast

import torch

from autograder.cells import Role, read_cell
from autograder.course import Course, Unit
from autograder.judge import grade, open_sandbox
from autograder.probes import Message, ProbeServer, new_namespace, random_state_kept
from autograder.sandbox import Limits, Sandbox
from tests.benchmarks import ROOT

SEED = "isolation"
WARM_UP = 3
"""Runs before those that count, for what is computed once in a process, such as bounds of the statistics."""
ROUNDS = 3
"""How often the two take turns, for a machine is faster at one time than at another."""


class _Direct:
    """Calls a ProbeServer with the very objects that it is given."""

    def __init__(self, server: ProbeServer) -> None:
        self._server = server
        self.answer_s = self.ends_at = math.inf
        self.stand_ins: dict[str, Callable[..., Any]] = {}

    def request(self, message: Message) -> Message:
        return self._server.answer(message)


class _InProcess:
    """Takes a Sandbox's place, and opens students in this process."""

    isolated = False

    def __init__(self) -> None:
        self.limits = Limits()
        self._main = sys.modules["__main__"]

    def open(self) -> _Direct:
        return _Direct(ProbeServer(new_namespace()))

    def end(self) -> None:
        sys.modules["__main__"] = self._main


def measure(course: Course, repeats: int = 15) -> list[dict[str, Any]]:
    """Return a row for every unit: {"unit", "in_process", "judged", "ratio"}, medians of `repeats` runs in seconds.

    Units with a leaderboard are left out: they train for seconds, which tells nothing of isolation.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the sandbox
    try:
        return [_row(course, unit, repeats) for unit in course.units.values() if not unit.ranked_by]
    finally:
        torch.set_num_threads(threads)


def _row(course: Course, unit: Unit, repeats: int) -> dict[str, Any]:
    runs, numbers = WARM_UP + math.ceil(repeats / ROUNDS), itertools.count()

    def copies() -> list[bytes]:
        return [_copy(unit, number) for number in itertools.islice(numbers, runs)]

    in_process: list[float] = []
    judged: list[float] = []
    with open_sandbox(course) as sandbox:
        for _ in range(ROUNDS):
            with random_state_kept():
                in_process += _times(course, cast(Sandbox, _InProcess()), copies())
            judged += _times(course, sandbox, copies())
    seconds = [statistics.median(times) for times in (in_process, judged)]
    return {"unit": unit.stem, "in_process": seconds[0], "judged": seconds[1], "ratio": seconds[1] / seconds[0]}


def _times(course: Course, sandbox: Sandbox, copies: list[bytes]) -> list[float]:
    """Grade copies, one right after the other, so that ending a process and forking the next one count."""
    return [_graded(course, sandbox, data) for data in copies][WARM_UP:]


def _copy(unit: Unit, number: int) -> bytes:
    """Return the unit's solution with a number in each exercise, so that no copy's cells were ever read before."""
    notebook = json.loads(unit.solution_path.read_text(encoding="utf-8"))
    for raw in notebook["cells"]:
        cell = read_cell(raw)
        if cell is not None and cell.role is Role.EXERCISE:
            raw["source"] = f"{cell.source}\n# copy {number}"
    return json.dumps(notebook).encode()


def _graded(course: Course, sandbox: Sandbox, data: bytes) -> float:
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
