"""What a second worker brings: the rate at which submissions finish with one worker and with more, start-up left out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from autograder.course import Course
from tests.benchmarks import UNIT, ours
from tests.benchmarks import submissions as classes


def measure(course: Course, seats: int, workers: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Grade the same class with each number of workers, the first again at the end, so that a drift would show."""
    result: dict[str, Any] = {"runs": []}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        classes.write_class(course.unit(UNIT), folder / "class", seats, short=True)
        for turn, number in enumerate([*workers, workers[0]]):
            say(f"{seats} submissions, workers: {number}")
            graded = ours.grade(folder / "class", folder / f"results-{turn}", number)
            result["runs"].append({"workers": number, **graded.facts()})
    result["speedup"] = speedups(result["runs"])
    return result


def speedups(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the rate of each number of workers over that of the first, whose runs are averaged."""
    first = [r["marginal_per_second"] for r in runs if r["workers"] == runs[0]["workers"]]
    base = sum(first) / len(first)
    return {
        str(r["workers"]): round(r["marginal_per_second"] / base, 3) for r in runs if r["workers"] != runs[0]["workers"]
    }
