"""Turns the raw numbers into the README's tables: what was measured, ours, theirs, the ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autograder.files import replace_between
from tests.benchmarks.submissions import LOOPS

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
PEERS = {"nbgrader": "nbgrader", "otter": "Otter"}

Results = dict[str, Any]


def write(results: Results, readme: Path) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the file does not have the two markers.
    """
    replace_between(readme, BEGIN, END, render(results))


def render(results: Results) -> str:
    """Return the tables and their notes, of the parts that were measured."""
    blocks = []
    if "peers" in results:
        blocks.append("\n".join(_peers(results["peers"])))
    if alone := list(_alone(results)):
        blocks.append("\n".join(["| also measured | result | aim |", "|---|---|---|", *alone]))
    if "peers" in results:
        blocks.append("\n".join(f"- {note}" for note in _notes(results["peers"])))
    blocks.append("\n".join(_circumstances(results)))
    return "\n\n".join(blocks)


def _peers(part: Results) -> Iterator[str]:
    versions = part["circumstances"]["versions"]
    names = [f"{title} {versions.get(key, '')}".strip() for key, title in PEERS.items()]
    yield f"| the same notebook, the same checks | this project | {' | ratio | '.join(names)} | ratio |"
    yield "|---|---|---|---|---|---|"
    for form, what in (("short", "graded cells only"), ("full", "notebook as learners get it")):
        if form not in part:
            continue
        facts = part[form]
        last = max(facts["ours"], key=int)
        for workers in facts["ours"] if form == "short" else [last]:
            cores = f"{workers} worker{'s' if workers != '1' else ''}"
            mine = per_second(facts["ours"][workers])
            yield _speed(f"{what}: submissions a second, {cores}, start-up included", mine, facts)
        run = facts["ours"][last]
        if form == "short":
            yield _speed(f"{what}: the same, start-up left out of ours", run["marginal_per_second"], facts)
        cost, *costs = [processor_seconds(each) for each in (run, *(facts[peer] for peer in PEERS))]
        yield _row(f"{what}: processor seconds a submission", cost, costs, [other / cost for other in costs])


def _speed(what: str, mine: float, facts: Results) -> str:
    theirs = [per_second(facts[peer]) for peer in PEERS]
    return _row(what, mine, theirs, [mine / other for other in theirs])


def _row(what: str, mine: float, theirs: Sequence[float], ratios: Sequence[float]) -> str:
    cells = [f"{_number(other)} | {_ratio(ratio)}" for other, ratio in zip(theirs, ratios, strict=True)]
    return f"| {what} | {_number(mine)} | {' | '.join(cells)} |"


def per_second(run: Results) -> float:
    """Return a run's submissions a second, all of its command included."""
    return float(run["submissions"] / run["seconds"])


def processor_seconds(run: Results) -> float:
    """Return the processor seconds that a run took for each submission."""
    return float(run["processor_seconds"] / run["submissions"])


def _alone(results: Results) -> Iterator[str]:
    if part := results.get("scaling"):
        for workers, times in part["speedup"].items():
            seats = part["runs"][0]["submissions"]
            yield f"| from 1 to {workers} workers, {seats} submissions, start-up left out | {times:.2f} × | 1.8 × |"
    if part := results.get("scale"):
        seats = f"{part['submissions']:,} submissions in one run"
        if "growth_megabytes" in part:
            grown = f"{part['growth_megabytes']:.0f} MB of {part['end_megabytes']:.0f}"
            yield f"| {seats}: memory of all processes, growth after the first {part['settled_after']} | {grown} | < 50 MB |"
        rate = (
            f"{part['last_over_first']:.2f} ({part['first_per_second']:.1f} and {part['last_per_second']:.1f} a second)"
        )
        yield f"| {seats}: rate of the last {part['rate_of']:,} over that of the first | {rate} | 0.9 or more |"
    if part := results.get("isolation"):
        for row in part["units"]:
            times = f"{row['ratio']:.2f} × ({_number(row['judged'])} and {_number(row['in_process'])} s)"
            yield f"| `{row['unit']}` judged in the sandbox, over the same in one process | {times} | 1.5 × or less |"
    if part := results.get("notebook"):
        name, run = max(part["exercises"].items(), key=lambda item: item[1]["median"])
        number, first = len(part["exercises"]), max(each["cold"] for each in part["exercises"].values())
        seen = f"{_number(run['median'])} s, `{name}`; first check of a kernel {_number(first)} s or less"
        yield f"| `check` in a notebook, of {number} exercises the slowest's median | {seen} | 0.3 s |"
    if part := results.get("dropconnect"):
        row = max(part["sizes"], key=lambda each: each["ratio"])
        n, o, i = row["sizes"]
        times = f"{row['ratio']:.2f} × ({1000 * row['layer']:.1f} and {1000 * row['drawn']:.1f} ms)"
        yield (
            f"| `DropConnectLinear` forward, {n} examples of {i} inputs and {o} outputs, over drawing the masks and one "
            f"batched product, the slowest of {len(part['sizes'])} sizes | {times} | 1.3 × or less |"
        )
        copies = max(each["float_copies"] for each in part["sizes"])
        yield f"| the same: floating-point tensors of a weight for each example, at most at a time | {copies} | 1 |"


def _notes(part: Results) -> Iterator[str]:
    for form, what in (("short", "Graded cells only"), ("full", "The notebook as learners get it")):
        if form in part:
            facts = part[form]
            ours = list(facts["ours"].values())[-1]
            yield (
                f"{what}: {facts['cells']} cells; {ours['submissions']} submissions by this project, the first "
                f"{facts['nbgrader']['submissions']} of them by the others. "
                + (
                    "The others run every cell, the experiments too; this project only what the exercises need."
                    if form == "full"
                    else f"Ours starts in {ours['startup_seconds']:.1f} s, once for a class."
                )
            )
    yield (
        "Answers are drawn from the bank. Those that loop over every coin in Python, over a second each in any grader, are "
        f"drawn with weight {LOOPS:g}, others with 1: a guess at what a class hands in, in favour of the faster grader."
    )
    rows = [row for form in ("short", "full") for row in part.get(form, {}).get("marks", [])]
    for peer, title in PEERS.items():
        other = [row for row in rows if row[peer] != row["ours"]]
        told = f"Marks, exercise by exercise: {title}'s are ours in {len(rows) - len(other)} of {len(rows)} submissions"
        excused = [row for row in other if differing(row, peer) <= set(row["stood_in"])]
        if excused:
            told += (
                f"; in {len(excused)}, an answer builds on a faulty earlier exercise, for which we let a right version stand "
                f"in and {title} cannot"
            )
        if len(excused) < len(other):
            told += f"; in {len(other) - len(excused)} they differ and should not"
        yield told + "."


def differing(row: Results, peer: str) -> set[str]:
    """Return the exercises for which a peer gave other marks than we."""
    return {name for name, points in row["ours"].items() if row[peer].get(name) != points}


def _circumstances(results: Results) -> Iterator[str]:
    """Say when and where; once for all the parts that were measured under the same circumstances."""
    parts: dict[str, list[str]] = {}
    for name, part in results.items():
        at = part["circumstances"]
        versions = ", ".join(f"{k} {v}" for k, v in at["versions"].items() if k not in PEERS)
        machine = at["machine"]
        line = f"{at['date'][:10]}, {machine['cores']} cores of {machine['processor']}, {machine['system']}, {versions}"
        parts.setdefault(line, []).append(f"{name} {at['load']:.1f}")
    for line, names in parts.items():
        yield f"Measured {line}; load of the machine at the start of each part: {', '.join(names)}."
    yield "All numbers: `tests/benchmarks/results.json`; again, on your machine: `make bench`."


def _number(value: float) -> str:
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 10
        else f"{value:.2f}"
        if value >= 0.1
        else f"{value:.3f}"
    )


def _ratio(value: float) -> str:
    return f"{value:.0f} ×" if value >= 10 else f"{value:.1f} ×"
