"""Graded-only checks of 10_interactions: against the reference solution, on secret seeds and other networks.

The reference works on the same networks as the learner's answer, made by the same fixture from the same numbers, but here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw
from autograder.student import fixture, local_student

_CLOSE = (1e-4, 1e-6)
"""Relative and absolute, in float64: no right answer is off by as much, unless it sums in float32."""


@fixture
def made_and_measured(
    function: Any, seed: int, sizes: list[int], training: bool
) -> dict[str, Any]:
    """Let `function(model, loader)` work on a network of volumes, images, sequences and vectors, all in float64.

    The network has batch norm of every kind, without weights of its own too, layers that scale in training, and dropout that
    drops all beside an identity. Every weight follows from `seed`.
    """
    from torch import nn

    coins = torch.Generator().manual_seed(seed)

    class Louder(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.register_buffer("factor", torch.tensor(factor, dtype=torch.float64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.training * (self.factor - 1) * x

    class Block(nn.Module):
        def __init__(self, layer: nn.Module, norm: nn.Module, before: nn.Module) -> None:
            super().__init__()
            self.inner = nn.ModuleDict({"layer": layer, "norm": norm})
            self.before = before
            self.gone = nn.Dropout(1.0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.before(self.inner["layer"](x))
            return torch.nn.functional.leaky_relu(self.inner["norm"](y), 0.3) + self.gone(y)

    class Everything(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.volume = Block(nn.Conv3d(2, 4, 2), nn.BatchNorm3d(4), Louder(1.3))
            self.image = Block(
                nn.Conv2d(4, 5, 2), nn.BatchNorm2d(5, affine=False), nn.Identity()
            )
            self.rest = nn.Sequential(
                Block(nn.Conv1d(5, 3, 1), nn.BatchNorm1d(3, momentum=None), Louder(0.7)),
                nn.Flatten(),
                Block(nn.Linear(6, 4), nn.BatchNorm1d(4, momentum=0.02), Louder(1.6)),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rest(self.image(self.volume(x).mean(2)).mean(3))

    model = Everything().double()
    for p in model.parameters():
        p.data.copy_(torch.rand(p.shape, generator=coins, dtype=torch.float64) - 0.4)
    norms = {
        n: m for n, m in model.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
    }
    for norm in norms.values():
        channels = (norm.num_features,)
        norm.running_mean.copy_(torch.rand(channels, generator=coins, dtype=torch.float64))
        norm.running_var.copy_(0.2 + torch.rand(channels, generator=coins, dtype=torch.float64))
        norm.num_batches_tracked.fill_(5)
    model.train(training)
    batches = [
        (
            torch.rand(n, 2, 3, 4, 3, generator=coins, dtype=torch.float64) + 0.3 * i,
            torch.zeros(n, dtype=torch.int64),
        )
        for i, n in enumerate(sizes)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        returned = function(model, batches)
    finally:
        torch.set_num_threads(threads)
    return {
        "returned": returned if isinstance(returned, dict) else None,
        "statistics": {n: torch.stack([m.running_mean, m.running_var]) for n, m in norms.items()},
        "counts": [int(m.num_batches_tracked) for m in norms.values()],
        "modes": [m.training for m in model.modules()],
    }  # fmt: skip


def _both(
    student: Any, draw: Draw, reference: Any, name: str, training: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what came of the learner's answer and of the reference."""
    seed, sizes = draw.integer(0, 2**31), [*draw.sizes(3, 3, 9), 2]
    target = expect.function(getattr(student, name), name)
    seen = student.fixture(made_and_measured)(target, seed, sizes, training)
    here = local_student({name: getattr(reference, name)})
    wanted = here.fixture(made_and_measured)(getattr(here, name), seed, sizes, training)
    expect.that(
        isinstance(seen, dict) and isinstance(seen.get("statistics"), dict),
        "report",
        "your code interfered with the check, so its answer could not be read",
    )
    return seen, wanted


def _agree(seen: Any, wanted: dict[str, Tensor], what: str, code: str) -> None:
    for name, right in wanted.items():
        got = seen.get(name) if isinstance(seen, dict) else None
        expect.that(
            isinstance(got, Tensor),
            f"{code}:missing",
            f"there is no {what} for the layer “{name}”",
        )
        expect.close(got, right, f"{what} of “{name}”", code, *_CLOSE)


@check("variance_shift", points=3)
def shift_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """On a network with batch norm of every kind the ratios are those of the reference solution."""
    for training in (True, False):
        seen, wanted = _both(student, draw, reference, "variance_shift", training)
        _agree(seen.get("returned"), wanted["returned"], "the ratio", "reference")
        _agree(
            seen.get("statistics"),
            wanted["statistics"],
            "the running statistics afterwards",
            "reference_buffers",
        )
        expect.that(
            seen.get("counts") == wanted["counts"],
            "reference_count",
            "the count of batches has changed",
        )


@check("recalibrate_batchnorm", points=3)
def statistics_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """On a network with batch norm of every kind the statistics are those of the reference solution."""
    for training in (True, False):
        seen, wanted = _both(student, draw, reference, "recalibrate_batchnorm", training)
        _agree(
            seen.get("statistics"), wanted["statistics"], "the running statistics", "reference"
        )
        expect.that(
            seen.get("modes") == wanted["modes"], "reference_modes", "the modes have changed"
        )


@fixture
def tabulated(
    run_ablation: Any, names: list[str], seeds: list[int], weights: list[float]
) -> dict[str, Any]:
    """Let `run_ablation` work with a `build` that computes its metrics from the configuration and the seed."""
    calls = []

    def build(configuration: dict[str, float], seed: int) -> dict[str, float]:
        calls.append([configuration["number"], seed])
        level = configuration["number"] + sum(
            w * ((seed * (k + 3)) % 17) for k, w in enumerate(weights)
        )
        return {f"metric {k}": level * w + 0.01 * seed for k, w in enumerate(weights)}

    table = run_ablation(
        build, {name: {"number": i + 1} for i, name in enumerate(names)}, seeds
    )
    return {"table": table, "calls": calls}


@check("run_ablation", points=2)
def table_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any number of configurations, metrics and seeds the table is that of the reference solution."""
    for _ in range(2):
        names = [
            f"{word} {draw.integer(10, 99)}"
            for word in ("wide", "deep", "all", "mild", "none")[: draw.integer(2, 5)]
        ]
        seeds = draw.sizes(draw.integer(3, 6), 1, 60)
        weights = draw.signed(draw.integer(1, 4), dtype=torch.float64).abs().tolist()
        target = expect.function(student.run_ablation, "run_ablation")
        seen = student.fixture(tabulated)(target, names, seeds, weights)
        here = local_student({"run_ablation": reference.run_ablation})
        wanted = here.fixture(tabulated)(here.run_ablation, names, seeds, weights)
        table = seen.get("table") if isinstance(seen, dict) else None
        expect.that(
            isinstance(table, dict),
            "reference:type",
            "the result should be {configuration: {metric: pair}}",
        )
        rows = [row for row in names if row in table] if isinstance(table, dict) else []
        expect.that(
            rows == names,
            "reference:rows",
            f"there should be a row for each of {', '.join(names)}",
        )
        for name in names:
            for metric, (mean, spread) in wanted["table"][name].items():
                pair = table[name].get(metric) if isinstance(table[name], dict) else None
                good = isinstance(pair, (tuple, list)) and len(pair) == 2
                expect.that(
                    good,
                    "reference:pair",
                    f"the entry for {metric!r} of {name!r} should be a pair",
                )
                # In float32 a standard deviation is good to 1e-6 of the mean.
                slack = 1e-5 * max(1.0, abs(mean))
                expect.close(pair[0], mean, "the mean", "reference_mean", 1e-5, slack)
                expect.close(pair[1], spread, "the spread", "reference_spread", 1e-5, slack)
        made = sorted(map(str, seen.get("calls") or []))
        expect.that(
            made == sorted(map(str, wanted["calls"])),
            "reference:calls",
            "pairs were not built once each",
        )
