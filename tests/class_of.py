"""Classes of the small course, and graders as processes of their own, for the tests of what may go wrong with them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil

from autograder.course import Course

ROOT = Path(__file__).resolve().parent.parent
DOUBLE = "def double(x):\n    return 2 * x"
QUADRUPLE = "def quadruple(x):\n    return 4 * x"


def hand_in(folder: Path, course: Course, count: int, slow_s: float = 0.0) -> Path:
    """Write `count` right submissions of the small course, all of them different; each takes `slow_s` to run."""
    folder.mkdir(parents=True)
    for number in range(count):
        notebook = nbformat.read(course.unit("00_mini").release_path, as_version=4)
        for cell in notebook.cells:
            about = cell.metadata.get("autograder", {})
            if about.get("role") == "exercise" and about["name"] == "double":
                cell.source = f"import time\ntime.sleep({slow_s})\nNUMBER = {number}\n{DOUBLE}"
            elif about.get("role") == "exercise":
                cell.source = QUADRUPLE
        nbformat.write(notebook, folder / f"student{number:03}.ipynb")
    return folder


class Grader:
    """`autograder` as a user starts it, in a process group of its own."""

    def __init__(self, course: Course, *arguments: str | Path, **settings: Any) -> None:
        command = [sys.executable, "-m", "autograder", *map(str, arguments), "--notebooks", str(course.notebooks)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **settings
        )  # fmt: skip
        self.family: list[psutil.Process] = []

    def wait(self) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=200)
        return self.process.returncode, out, err

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so, while the grader is still at work; remember the processes it has then."""
        while not condition():
            assert self.process.poll() is None, self.wait()
            time.sleep(0.02)
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def signal(self, number: signal.Signals, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def left_behind(self) -> list[psutil.Process]:
        """Return what is still there of its processes, a while after its end."""
        return psutil.wait_procs(self.family, timeout=20)[1]

    def workers(self) -> list[psutil.Process]:
        """Return its Dask workers: those with a sandbox of their own among their children."""
        return [p for p in psutil.Process(self.process.pid).children() if any(_is_sandbox(c) for c in p.children())]


def results(book: Path) -> int:
    """Return how many results a gradebook holds, those that no longer count included."""
    return _count(book, "result")


def current(book: Path) -> int:
    """Return how many submissions have a result that counts."""
    return _count(book, "current")


def _count(book: Path, table: str) -> int:
    if not book.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{book}?mode=ro", uri=True, timeout=10) as raw:
            return int(raw.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
    except sqlite3.OperationalError:  # the table is not there yet
        return 0


def _is_sandbox(process: psutil.Process) -> bool:
    try:
        return any("bwrap" in word or "autograder.sandbox.warm" in word for word in process.cmdline())
    except psutil.Error:
        return False
