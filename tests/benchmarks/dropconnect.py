"""What a mask for each example costs: the reference's `DropConnectLinear` beside drawing the masks and one batched product.

Run it as `python -m tests.benchmarks.dropconnect`. Drawing takes most of the time, and whoever drops single connections for
single examples must draw N · O · I coins and multiply N matrices; the layer does that and a little more, as little as it can.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from reglab.memory import LiveTensors

from autograder.course import Course
from autograder.probes import random_state_kept
from tests.benchmarks import ROOT

UNIT = "04_dropconnect"
SIZES = ((64, 128, 256), (64, 64, 576), (128, 256, 256))
"""Examples, outputs, inputs."""
P = 0.3


def measure(course: Course, repeats: int = 15) -> list[dict[str, Any]]:
    """Return a row for each size: {"sizes", "drawn", "layer", "ratio", "float_copies"}, seconds being medians.

    Both are measured one right after the other, so that what disturbs one disturbs the other, on one core. `float_copies` is
    how many floating-point tensors of N · O · I numbers the layer's forward pass holds at most at a time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with random_state_kept():
            return [_row(course, sizes, repeats) for sizes in SIZES]
    finally:
        torch.set_num_threads(threads)


def _row(course: Course, sizes: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    n, o, i = sizes
    x = torch.randn(n, i)
    layer = course.unit(UNIT).reference.DropConnectLinear(i, o, p=P).train()

    def draw_and_multiply() -> torch.Tensor:
        mask = torch.rand(n, o, i).ge_(P)  # zeros and ones, in the memory of the uniform numbers
        return torch.bmm(x.unsqueeze(1), mask.transpose(1, 2))

    def forward() -> torch.Tensor:
        return torch.as_tensor(layer(x))

    drawn, whole = side_by_side((draw_and_multiply, forward), repeats)
    return {
        "sizes": list(sizes),
        "drawn": drawn,
        "layer": whole,
        "ratio": whole / drawn,
        "float_copies": float_copies(forward, n * o * i),
    }


def side_by_side(functions: tuple[Callable[[], object], ...], repeats: int) -> list[float]:
    """Return the median of the seconds each function takes, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 2):
        for function, taken in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            if turn >= 2:  # memory is mapped and threads are there
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def float_copies(function: Callable[[], object], count: int) -> int:
    """Return how many floating-point tensors of so many numbers, made by a function, live at most at one time."""
    with LiveTensors(lambda tensor: int(tensor.is_floating_point() and tensor.numel() == count)) as seen:
        kept = function()
    del kept
    return seen.peak


if __name__ == "__main__":
    for row in measure(Course.open(ROOT / "notebooks", ROOT / "solutions")):
        print(
            f"N, O, I = {row['sizes']}: drawing and one product {1000 * row['drawn']:6.1f} ms, the layer "
            f"{1000 * row['layer']:6.1f} ms, {row['ratio']:.2f} times, {row['float_copies']} float tensor of that size"
        )
