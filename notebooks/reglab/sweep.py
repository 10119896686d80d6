"""Experiments that take longer than a notebook may: runs over configurations and seeds, kept in a small CSV.

A run is stored as soon as it is done. Stop a sweep whenever you like, and the same command goes on with what is missing.
"""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Settings = Mapping[str, Any]
"""What a configuration is: plain values by name, such as {"p": 0.2, "augmentation": True}."""

Measure = Callable[[Settings, int], Mapping[str, float]]
"""Trains what the settings say with a seed, and returns the metrics by name."""

_KEYS = ("configuration", "seed", "settings")


class SweepError(ValueError):
    """The stored runs are not of this sweep; the message says which line, and what to do."""


@dataclass(frozen=True)
class Run:
    """One training: which configuration, which seed, and what was measured."""

    configuration: str
    seed: int
    settings: dict[str, Any]
    metrics: dict[str, float]


def read(path: Path | str) -> list[Run]:
    """Return the stored runs, in the order in which they were made.

    Lines that begin with "#" say where the table comes from. A last line that was cut off, as by a full disk, is left out.

    Raises:
        FileNotFoundError: there is no such table.
        SweepError: it is damaged.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1].splitlines()
    rows = list(csv.reader(line for line in whole if not line.startswith("#")))
    if not rows:
        return []
    header, *body = rows
    if tuple(header[:3]) != _KEYS:
        raise SweepError(f"{path} is not a table of runs: its columns should begin with {', '.join(_KEYS)}")
    try:
        return [
            Run(row[0], int(row[1]), json.loads(row[2]), dict(zip(header[3:], map(float, row[3:]), strict=True)))
            for row in body
        ]
    except (ValueError, IndexError) as error:
        raise SweepError(
            f"{path} is damaged ({error}): restore it, or delete the line and run the sweep again"
        ) from None


def by_configuration(runs: Iterable[Run], metric: str) -> dict[str, list[float]]:
    """Return one metric as {configuration: [value, …]}, the values in the order of their seeds."""
    return {name: [values[seed] for seed in sorted(values)] for name, values in _by_seed(runs, metric).items()}


def paired_differences(runs: Iterable[Run], metric: str, baseline: str) -> dict[str, list[float]]:
    """Return {configuration: [its value minus the baseline's, …]} over the seeds that both have.

    One seed gives all configurations the same first weights and the same batches, so the difference of a pair varies less
    than its parts.
    """
    found = _by_seed(runs, metric)
    base = found.pop(baseline)
    return {
        name: [values[seed] - base[seed] for seed in sorted(values.keys() & base.keys())]
        for name, values in found.items()
    }


def _by_seed(runs: Iterable[Run], metric: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for run in runs:
        found.setdefault(run.configuration, {})[run.seed] = run.metrics[metric]
    return found


def sweep(
    path: Path | str,
    measure: Measure,
    configurations: Mapping[str, Settings],
    seeds: Iterable[int],
    command: str = "",
    jobs: int = 1,
) -> list[Run]:
    """Make the runs that `path` does not hold yet, with a progress bar, and return all that were asked for.

    All configurations are begun with one seed before the next seed's, so that a sweep that was stopped has a table that
    is complete for fewer seeds.

    Args:
        path: the table, a CSV; made where there is none.
        measure: called once for each pair that is missing.
        configurations: settings by name; they must be plain values (what JSON holds).
        seeds: whole numbers.
        command: how to make the table again; stands in its first line.
        jobs: how many runs at a time. More than one run in processes of their own, to which `measure` must be picklable,
            and lines come in the order in which they are done.

    Raises:
        SweepError: the table holds other metrics, or a configuration of one of these names with other settings.
    """
    path, wanted = Path(path), list(seeds)
    plain = {name: json.loads(json.dumps(dict(settings))) for name, settings in configurations.items()}
    stored = read(path) if path.exists() else []
    for run in stored:
        if run.configuration in plain and run.settings != plain[run.configuration]:
            raise SweepError(
                f"{path} holds {run.configuration!r} with the settings {run.settings}, and now they are "
                f"{plain[run.configuration]}: give it another name, or delete its lines"
            )
    done = {(run.configuration, run.seed) for run in stored}
    missing = [(name, seed) for seed in wanted for name in plain if (name, seed) not in done]
    with _progress(len(missing), len(plain) * len(wanted)) as advance:
        for name, seed, measured in _measured(measure, [(name, seed, plain[name]) for name, seed in missing], jobs):
            run = Run(name, seed, plain[name], {key: float(f"{value:.6g}") for key, value in measured.items()})
            _append(path, run, stored, command)
            stored.append(run)
            advance(f"{name}, seed {seed}")
    return [run for run in stored if run.configuration in plain and run.seed in wanted]


def _measured(
    measure: Measure, wanted: Sequence[tuple[str, int, Settings]], jobs: int
) -> Iterator[tuple[str, int, Mapping[str, float]]]:
    if jobs == 1:
        for name, seed, settings in wanted:
            yield name, seed, measure(settings, seed)
        return
    # Spawned, since a fork of a process in which torch has started threads can hang.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
    try:
        futures = {pool.submit(measure, settings, seed): (name, seed) for name, seed, settings in wanted}
        for future in as_completed(futures):
            yield *futures[future], future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _append(path: Path, run: Run, stored: list[Run], command: str) -> None:
    """Write one line, and see to it that it is on the disk before the next run begins."""
    if stored and list(stored[0].metrics) != list(run.metrics):
        raise SweepError(
            f"{path} holds the metrics {', '.join(stored[0].metrics)}, and now they are {', '.join(run.metrics)}: "
            "write to another file"
        )
    if stored:
        _cut_torn_line(path)
    with path.open("a" if stored else "w", encoding="utf-8", newline="") as file:
        if not stored:
            if command:
                file.write(f"# {command}\n")
            csv.writer(file, lineterminator="\n").writerow([*_KEYS, *run.metrics])
        row = [run.configuration, run.seed, json.dumps(run.settings), *(f"{v:g}" for v in run.metrics.values())]
        csv.writer(file, lineterminator="\n").writerow(row)
        file.flush()
        os.fsync(file.fileno())


def _cut_torn_line(path: Path) -> None:
    """Cut off what follows the last whole line, which `read` has left out."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


@contextmanager
def _progress(missing: int, total: int) -> Iterator[Callable[[str], None]]:
    """Show how many runs are done, on the terminal; yield what is to be called after each."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, completed=total - missing)
        yield lambda what: bar.update(task, advance=1, description=what)
