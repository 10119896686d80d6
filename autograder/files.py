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
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what programs that were killed had half written in a folder."""
    for part in folder.glob(f"*{_PART}"):
        pid = part.name.removesuffix(_PART).rpartition(".")[2]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            part.unlink(missing_ok=True)
