"""The README's table and chart."""

from pathlib import Path


def write(runs: Path, root: Path) -> None:
    """Placeholder until the runs are there."""
