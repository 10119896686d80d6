"""Grades a folder with this project's own command, and reads what came out of it."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.timing import Run, timed

Marks = dict[str, dict[str, int]]
"""Points by student and exercise."""
StoodIn = dict[str, list[str]]
"""By student, the exercises that were graded with a right version of another one that they build on."""


@dataclass(frozen=True)
class Graded:
    """One run of `autograder grade`.

    Attributes:
        finished: when each report was written, in seconds since the command began, in order.
        judging: seconds of each submission as its report states them.
    """

    run: Run
    finished: list[float]
    judging: list[float]
    marks: Marks
    stood_in: StoodIn

    @property
    def submissions(self) -> int:
        return len(self.finished)

    def facts(self) -> dict[str, float]:
        """Return what the results keep of the run."""
        return {
            "submissions": self.submissions,
            "seconds": round(self.run.seconds, 3),
            "processor_seconds": round(self.run.processor, 3),
            "startup_seconds": round(self.finished[0], 3),
            "marginal_per_second": round(marginal(self.finished), 4),
            "judging_median_seconds": round(statistics.median(self.judging), 4),
        }


def grade(
    folder: Path, out: Path, workers: int, watch: Callable[[psutil.Process], None] | None = None, every: float = 2.0
) -> Graded:
    """Grade a folder of submissions, from nothing: `out` must not exist yet."""
    command = [sys.executable, "-m", "autograder", "grade", str(folder), "--out", str(out), "--workers", str(workers)]
    run = timed(command, watch=watch, every=every)
    return Graded(run, finished(out, run.started), *read(out))


def finished(out: Path, started: float) -> list[float]:
    """Return when the reports in a folder of results were written, in seconds after `started`, in order."""
    return sorted(path.stat().st_mtime - started for path in out.glob("*.json"))


def rate(times: Sequence[float]) -> float:
    """Return how many finish in a second, from when they finished; what came before the first is not counted."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def marginal(times: Sequence[float]) -> float:
    """Return the rate once all workers are at work: the first eighth is left out."""
    return rate(times[len(times) // 8 :])


def read(out: Path) -> tuple[list[float], Marks, StoodIn]:
    """Read a folder of results: seconds of judging, marks, and where a right version stood in."""
    marks: Marks = {}
    stood_in: StoodIn = {}
    seconds = []
    for path in out.glob("*.json"):
        report = json.loads(path.read_text(encoding="utf-8"))
        marks[report["student"]] = {e["name"]: e["points"] for e in report["exercises"]}
        stood_in[report["student"]] = [e["name"] for e in report["exercises"] if e["stand_ins"]]
        seconds.append(report["seconds"])
    return seconds, marks, stood_in
