"""The paired numbers over ten seeds that unit 10 quotes: what recalibrating batch norm changes, by the place of dropout.

    python solutions/experiments/10_interactions.py

Everything is as in the notebook but for the number of seeds, and for the reference solution's function in place of the
learner's. It takes three minutes on one core and prints a table in Markdown; changes are taken seed by seed.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from reglab.data import load
from reglab.training import evaluate, mean_and_spread, one_thread, train

IMAGES, EPOCHS, RATE, SEEDS = 1000, 8, 0.5, range(10)
PLACES = ("nowhere", "before each", "after each", "after the last")


def network(place: str) -> nn.Sequential:
    """The notebook's CNN with batch norm, and dropout at one of the places."""
    parts: list[nn.Module] = []
    for before, after in pairwise((1, 16, 32, 64)):
        parts.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        if place == "before each":
            parts.append(nn.Dropout(RATE))
        parts += [nn.BatchNorm2d(after), nn.ReLU()]
        if place == "after each" or (place == "after the last" and after == 64):
            parts.append(nn.Dropout(RATE))
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * 64, 10))


def recalibrated(
    model: nn.Module, loader: list[tuple[torch.Tensor, torch.Tensor]]
) -> nn.Module:
    """A copy whose running statistics are averages over batches with dropout off: with p = 0, `update_bn` does that."""
    twin = deepcopy(model)
    for layer in twin.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    update_bn(loader, twin)
    return twin


def updated(model: nn.Module, loader: list[tuple[torch.Tensor, torch.Tensor]]) -> nn.Module:
    """A copy after `update_bn` with dropout on."""
    twin = deepcopy(model)
    update_bn(loader, twin)
    return twin


@one_thread()
def main() -> None:
    data = load().with_train(IMAGES)
    loader = list(zip(data.train.images.split(64), data.train.labels.split(64), strict=True))
    print(
        "| dropout | recalibrated: loss | accuracy | by update_bn: loss | accuracy | as trained: loss | accuracy |"
    )
    print("|---|---|---|---|---|---|---|")
    for place in PLACES:
        first: list[tuple[float, float]] = []
        rows: dict[str, list[tuple[float, float]]] = {"recalibrated": [], "by update_bn": []}
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = network(place)
            train(model, data, EPOCHS, seed=seed)
            model.cpu()
            first.append(evaluate(model, data.validation))
            for way, change in (("recalibrated", recalibrated), ("by update_bn", updated)):
                loss, accuracy = evaluate(change(model, loader), data.validation)
                rows[way].append((loss - first[-1][0], accuracy - first[-1][1]))
        columns = [list(c) for way in rows.values() for c in zip(*way, strict=True)]
        cells = [f"{m:+.3f} ± {s:.3f}" for m, s in map(mean_and_spread, columns)]
        cells += [
            f"{m:.3f} ± {s:.3f}"
            for m, s in (mean_and_spread(list(c)) for c in zip(*first, strict=True))
        ]
        print(f"| {place} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
