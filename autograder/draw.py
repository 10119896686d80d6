"""Seeded inputs for checks: signed, bounded away from zero, never square, never all ones."""

from __future__ import annotations

import hashlib
import random

import torch

PUBLIC_SEED = "notebook"
"""The seed in a learner's notebook. Grading uses a secret one, so that no answer can be fitted to the inputs."""


class Draw:
    """Random inputs that depend on nothing but `seed` and `name`.

    Args:
        seed: the run's seed: PUBLIC_SEED in the notebook, secret at grading.
        name: what the inputs are for, such as "Exercise.name_of_the_check".
    """

    def __init__(self, seed: str, name: str) -> None:
        self._random = random.Random(_digest(seed, name, "inputs"))
        self._torch = torch.Generator().manual_seed(_digest(seed, name, "tensors"))
        # Unrelated to the above, as far as anyone can compute: the student's process is told this one.
        self.student_seed = _digest(seed, name, "student")
        self.judge_seed = _digest(seed, name, "judge")

    def signed(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return a tensor with random signs and magnitudes uniform in [0.5, 1.5): never zero, and far from it."""
        magnitude = torch.rand(shape, generator=self._torch, dtype=torch.float64) + 0.5
        sign = torch.randint(0, 2, shape, generator=self._torch) * 2 - 1
        return (magnitude * sign).to(dtype)

    def normal(self, *shape: int, scale: float = 1.0) -> torch.Tensor:
        """Return a float32 tensor of independent N(0, scale²)."""
        return torch.randn(shape, generator=self._torch) * scale

    def labels(self, count: int, classes: int) -> torch.Tensor:
        """Return int64 labels (count,) in [0, classes)."""
        return torch.randint(0, classes, (count,), generator=self._torch)

    def permutation(self, count: int) -> torch.Tensor:
        """Return a random permutation of range(count), int64."""
        return torch.randperm(count, generator=self._torch)

    def permutations(self, rows: int, count: int) -> torch.Tensor:
        """Return a random permutation of range(count) in each row, int64 (rows, count)."""
        return torch.rand(rows, count, generator=self._torch, dtype=torch.float64).argsort(1)

    def integer(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both ends included."""
        return self._random.randint(low, high)

    def sizes(self, count: int, low: int, high: int) -> list[int]:
        """Return `count` different integers of [low, high]: axes of which no two can be confused."""
        return self._random.sample(range(low, high + 1), count)

    def uniform(self, low: float, high: float) -> float:
        """Return a float in [low, high]."""
        return self._random.uniform(low, high)

    def probability(self, low: float = 0.2, high: float = 0.4) -> float:
        """Return a drop probability in [low, high]: by default keeping and dropping cannot be confused, as at 0.5.

        It has three decimals, the last of them 1, 3, 7 or 9. So no share of fewer than 1000 coins is exactly it, and
        dividing by the share that happened to be kept never passes for dividing by 1 - p.
        """
        choices = [k for k in range(round(1000 * low), round(1000 * high) + 1) if k % 10 in (1, 3, 7, 9)]
        return self._random.choice(choices) / 1000


def _digest(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big") >> 1
