"""Known answers to the small course's exercises."""

from __future__ import annotations

import torch

from autograder.mistakes import mistake, right


@mistake("double")
def squares(x: torch.Tensor) -> torch.Tensor:
    """You square the values instead of doubling them."""
    return x * x


@mistake("double")
def in_place(x: torch.Tensor) -> torch.Tensor:
    """You write the result into the input."""
    return x.mul_(2)


@right("double")
def shifted(x: torch.Tensor) -> torch.Tensor:
    return x * 3 - x
