"""A very large class in one run: is memory flat, and is the last thousand graded as fast as the first?"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from autograder.course import Course
from tests.benchmarks import UNIT, ours
from tests.benchmarks import submissions as classes

SETTLED = 500
"""Submissions after which memory should not grow any more."""
THOUSAND = 1000
_EVERY_S = 2.0


@dataclass(frozen=True)
class Sample:
    """The memory of all processes of a run at one time, in MB: proportional set size, so that shared pages count once."""

    at: float
    megabytes: float
    processes: int


def measure(course: Course, seats: int, workers: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Grade `seats` submissions in one run and watch the memory of its processes."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        say(f"writing {seats} submissions")
        classes.write_class(course.unit(UNIT), folder / "class", seats, short=True)
        say(f"grading {seats} submissions, workers: {workers}")
        graded = ours.grade(
            folder / "class", folder / "results", workers, watch=lambda p: samples.append(sample(p)), every=_EVERY_S
        )
    points = [sum(marks.values()) for marks in graded.marks.values()]
    since = [Sample(s.at - graded.run.started, s.megabytes, s.processes) for s in samples]
    return {
        "workers": workers,
        **graded.facts(),
        "students": len(graded.marks),
        "mean_points": round(statistics.mean(points), 3),
        **rates(graded.finished),
        **growth(since, graded.finished),
        # Enough to draw the curve, whatever the size.
        "memory": [[round(s.at, 1), round(s.megabytes, 1)] for s in since[:: max(1, len(since) // 200)]],
    }


def sample(process: psutil.Process) -> Sample:
    """Measure a process and all that descend from it; those that end meanwhile are left out."""
    total, counted, now = 0, 0, time.time()
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
            counted += 1
        except psutil.NoSuchProcess:
            continue
    return Sample(now, total / 2**20, counted)


def rates(finished: Sequence[float]) -> dict[str, float]:
    """Return the rates of the first and the last thousand (or third of a smaller class), and their ratio."""
    many = min(THOUSAND, max(2, len(finished) // 3))
    first, last = ours.rate(finished[:many]), ours.rate(finished[-many:])
    return {
        "rate_of": many,
        "first_per_second": round(first, 3),
        "last_per_second": round(last, 3),
        "last_over_first": round(last / first, 3),
    }


def growth(samples: Sequence[Sample], finished: Sequence[float]) -> dict[str, float]:
    """Return how much memory grew from when the first 500 were done, to the end.

    Processes come and go with each submission, so single samples jump: medians are compared, of as many submissions after the
    first 500 as at the end.
    """
    settled = min(SETTLED, len(finished) // 4)
    begin, after, before = finished[settled], finished[2 * settled], finished[-settled - 1]
    early = [s.megabytes for s in samples if begin <= s.at <= after]
    late = [s.megabytes for s in samples if before <= s.at <= finished[-1]]
    if not early or not late:  # graded faster than samples are taken
        return {}
    return {
        "settled_after": settled,
        "settled_megabytes": round(statistics.median(early), 1),
        "end_megabytes": round(statistics.median(late), 1),
        "growth_megabytes": round(statistics.median(late) - statistics.median(early), 1),
        "peak_megabytes": round(max(s.megabytes for s in samples), 1),
    }
