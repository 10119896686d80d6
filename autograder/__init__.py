"""An autograder for PyTorch courses. Notebooks use `check`, `progress` and `ready`; instructors, `autograder --help`."""

import os
from typing import Any

__all__ = ["check", "progress", "ready"]


def __getattr__(name: str) -> Any:
    # Late, because the sandbox's warm process needs none of the judge's side.
    if name not in __all__:
        raise AttributeError(f"module 'autograder' has no attribute {name!r}")
    if os.environ.get("AUTOGRADER_SANDBOX"):
        return _nothing
    from autograder import interactive

    return getattr(interactive, name)


def _nothing(*args: object, **kwargs: object) -> None:
    """Do what `check`, `progress` and `ready` do at grading, where the judge checks from outside."""
