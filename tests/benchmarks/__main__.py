"""Runs the benchmarks: `python -m tests.benchmarks [PART ...]`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from autograder.course import Course
from tests.benchmarks import RESULTS, ROOT, dropconnect, in_notebook, isolation, peers, scale, scaling, table

Measure = Callable[[Course, argparse.Namespace], dict[str, Any]]


def say(what: str) -> None:
    print(f"{datetime.now():%H:%M:%S}  {what}", file=sys.stderr, flush=True)


def _peers(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    for name in table.PEERS:
        if not (options.environments / name / "bin" / name).exists():
            sys.exit(f"{options.environments / name} has no {name}: `make bench` makes it")
    return peers.measure(
        course, options.environments, options.seats, options.peer_seats, options.full_seats, options.workers, say
    )


def _scaling(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    return scaling.measure(course, options.seats, options.workers, say)


def _scale(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    return scale.measure(course, options.size, options.workers[-1], say)


def _isolation(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    return {"repeats": options.repeats, "units": isolation.measure(course, options.repeats)}


def _notebook(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    return {"repeats": options.repeats, "exercises": in_notebook.measure(course, options.repeats, say)}


def _dropconnect(course: Course, options: argparse.Namespace) -> dict[str, Any]:
    return {"repeats": options.repeats, "sizes": dropconnect.measure(course, options.repeats)}


PARTS: dict[str, tuple[str, Measure]] = {
    "peers": ("this project beside nbgrader and Otter (about 10 minutes)", _peers),
    "scaling": ("what a second worker brings (2 minutes)", _scaling),
    "scale": ("a very large class in one run: memory and rate (15 minutes for 10,000)", _scale),
    "isolation": ("what the sandbox costs, every unit that trains nothing (1 minute)", _isolation),
    "notebook": ("`check` in a fresh kernel, every exercise (2 minutes)", _notebook),
    "dropconnect": ("what a mask for each example costs (10 seconds)", _dropconnect),
}


def main() -> None:
    options = _options()
    results = json.loads(options.results.read_text(encoding="utf-8")) if options.results.exists() else {}
    course = Course.find(ROOT)
    for name in options.parts or PARTS if not options.table else ():
        say(f"{name}: {PARTS[name][0]}")
        at, start = circumstances(options.environments), time.perf_counter()
        measured = PARTS[name][1](course, options)
        at["seconds"] = round(time.perf_counter() - start, 1)
        results[name] = {"circumstances": at, **measured}
        # After each part: the next one may take long, or fail.
        options.results.write_text(json.dumps({n: results[n] for n in PARTS if n in results}, indent=1) + "\n", "utf-8")
    table.write(results, options.readme)
    print(table.render(results))


def circumstances(environments: Path) -> dict[str, Any]:
    """Return when, where and of what versions numbers are."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = [line.split(":", 1)[1] for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
        "commit": commit.stdout.strip(),
        "load": os.getloadavg()[0],
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "processor": " ".join((names or [platform.machine()])[0].split()),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"Linux {platform.release().split('-')[0]}",
        },
        "versions": {
            "Python": platform.python_version(),
            "torch": metadata.version("torch"),
            **_peer_versions(environments),
        },
    }


def _peer_versions(environments: Path) -> dict[str, str]:
    found = {}
    for name, package in (("nbgrader", "nbgrader"), ("otter", "otter-grader")):
        for path in (environments / name).glob("lib/python*/site-packages"):
            for each in metadata.distributions(name=package, path=[str(path)]):
                found[name] = each.version
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure speed and memory, keep the numbers, and write the README's table.",
        epilog="Parts: "
        + "; ".join(f"{name}: {about}" for name, (about, _) in PARTS.items())
        + ". Default: all of them.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table from the stored numbers")
    add = parser.add_argument
    add("--size", type=int, default=10_000, help="submissions of the very large class [%(default)s]")
    add("--seats", type=int, default=240, help="submissions of the other classes [%(default)s]")
    add("--peer-seats", type=int, default=8, help="how many of them the peers grade, the short notebook [%(default)s]")
    add("--full-seats", type=int, default=2, help="and the whole one, of a minute or more each [%(default)s]")
    add("--repeats", type=int, default=15, help="right and wrong answers checked of each exercise [%(default)s]")
    add("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers, the fewest first [1 2]")
    add("--environments", type=Path, default=ROOT / ".bench", help="the peers' virtual environments [.bench]")
    add("--results", type=Path, default=RESULTS, help="where the numbers are kept [tests/benchmarks/results.json]")
    add("--readme", type=Path, default=ROOT / "README.md", help="where the table goes [README.md]")
    options = parser.parse_args()
    options.environments = options.environments.resolve()  # commands run in other folders
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}: choose from {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
