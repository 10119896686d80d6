"""How long a learner waits for `check(...)`: in a fresh kernel, from running the cell to having its output."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from autograder.cells import Role
from autograder.course import Course, Unit
from tests.benchmarks import submissions as classes

_PATIENCE_S = 120


def measure(course: Course, repeats: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every exercise of every unit."""
    result = {}
    for unit in course.units.values():
        for exercise in unit.exercises:
            say(f"check({exercise.name}), {repeats} right and {repeats} wrong answers")
            result[exercise.name] = of_exercise(course, unit, exercise.name, repeats)
    return result


def of_exercise(course: Course, unit: Unit, exercise: str, repeats: int) -> dict[str, float]:
    """Measure an exercise in a kernel of its own: the first check, then right answers and wrong ones from the bank."""
    chance = random.Random(exercise)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        env = {**os.environ, "AUTOGRADER_NOTEBOOKS": str(course.notebooks)}
        manager, client = start_new_kernel(kernel_name="python3", cwd=folder, env=env, stderr=subprocess.DEVNULL)
        try:
            for cell in unit.solution_cells:
                if cell.role in (Role.SETUP, Role.EXERCISE):
                    _seconds(client, cell.source)
            cold = _seconds(client, f"check({exercise})")
            warm: dict[str, list[float]] = {"right": [], "mistake": []}
            for _ in range(repeats):
                for kind, times in warm.items():
                    _seconds(client, classes.answer(unit, exercise, kind, chance))
                    times.append(_seconds(client, f"check({exercise})"))
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    return {
        "cold": round(cold, 4),
        "median": round(statistics.median([*warm["right"], *warm["mistake"]]), 4),
        "median_right": round(statistics.median(warm["right"]), 4),
        "median_wrong": round(statistics.median(warm["mistake"]), 4),
        "worst": round(max(*warm["right"], *warm["mistake"]), 4),
    }


def _seconds(client: BlockingKernelClient, source: str) -> float:
    """Run a cell and return how long it took, its output included. Raises RuntimeError if it fails."""
    start = time.perf_counter()
    reply = client.execute_interactive(source, output_hook=lambda message: None, timeout=_PATIENCE_S)
    seconds = time.perf_counter() - start
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"a cell failed: {reply['content'].get('evalue')}\n{source}")
    return seconds
