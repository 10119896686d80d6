"""Runs whole commands and says what they took: seconds on the clock, and seconds of processors.

The latter are the whole machine's while the command ran, so measure on a quiet one. What a command's own processes used cannot
be asked of the system afterwards: those of a sandbox are ended from outside, and their seconds with them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks import ROOT


@dataclass(frozen=True)
class Run:
    """What a command took: `started` is when, in seconds of the epoch; `seconds` on the clock; `processor` seconds."""

    started: float
    seconds: float
    processor: float


def timed(
    command: Sequence[str | Path],
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    watch: Callable[[psutil.Process], None] | None = None,
    every: float = 2.0,
) -> Run:
    """Run a command to its end.

    Args:
        env: added to this process's environment.
        watch: called `every` so many seconds with the running process.

    Raises:
        RuntimeError: it failed; the message ends with what it printed.
    """
    with tempfile.TemporaryFile() as output:
        before, epoch, start = _processor_seconds(), time.time(), time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command], cwd=cwd, env={**os.environ, **(env or {})}, stdout=output, stderr=output
        )
        try:
            if watch is None:
                process.wait()
            else:
                _watched(process, watch, every)
        finally:
            process.kill()
        seconds = time.perf_counter() - start
        if process.returncode:
            output.seek(0)
            tail = output.read()[-3000:].decode(errors="replace")
            raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{tail}")
    return Run(epoch, seconds, _processor_seconds() - before)


def _watched(process: subprocess.Popen[bytes], watch: Callable[[psutil.Process], None], every: float) -> None:
    while True:
        try:
            process.wait(every)
            return
        except subprocess.TimeoutExpired:
            with contextlib.suppress(psutil.NoSuchProcess):
                watch(psutil.Process(process.pid))


def _processor_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq")))
