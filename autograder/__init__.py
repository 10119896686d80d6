"""An autograder for PyTorch courses. Notebooks use `check`, `progress` and `ready`; instructors, `autograder --help`."""

from typing import Any

__all__ = ["check", "progress", "ready"]


def __getattr__(name: str) -> Any:
    # Late, so that the sandbox's warm process, which needs none of it, does not import the judge's side.
    if name in __all__:
        from autograder import interactive

        return getattr(interactive, name)
    raise AttributeError(f"module 'autograder' has no attribute {name!r}")
