"""Files that are whole or not there: written beside their place, then moved to it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_PART = ".part"


def write_whole(path: Path, text: str, encoding: str = "utf-8") -> None:
    """Write a file in one go. Whoever reads it meanwhile sees what was there before. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}{_PART}")  # another grader may write the same file
    try:
        part.write_text(text, encoding=encoding, errors="replace", newline="")
        part.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # what was asked for
        raise
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what programs that were killed had half written in a folder."""
    for part in folder.glob(f"*{_PART}"):
        pid = part.name.removesuffix(_PART).rpartition(".")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            part.unlink(missing_ok=True)


def replace_between(path: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two markers, each on a line of its own.

    Raises:
        ValueError: the file does not have the two markers.
    """
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{path} has no place for the table: it needs the lines {begin} and {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
