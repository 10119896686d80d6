"""The numbers over ten seeds that unit 03 quotes: correlations in section 3, differences and variants in section 7.

    python solutions/experiments/03_spatial_dropout.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the layer that drops channels: the
library's, so that nothing depends on an exercise. It takes two minutes on one core and prints tables in Markdown.
"""

from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import Tensor, nn

from reglab.data import Data, load
from reglab.models import SmallCNN, feature_maps
from reglab.training import History, train
from tables import apart, heading, row, shown

IMAGES, EPOCHS, LAST = 1000, 12, 3
SEEDS = range(10)
DISTANCES = (1, 2, 3, 4)
METRICS = ("validation_accuracy", "validation_loss", "gap")

Layer = Callable[[], nn.Module]


def run(
    data: Data, layer: Layer, where: Collection[int] = (1, 2, 3)
) -> list[tuple[SmallCNN, History]]:
    """Train one network a seed, as `reglab.training.over_seeds` does, and keep the networks too."""
    runs = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = SmallCNN(layer, where=where)
        runs.append((model, train(model, data, EPOCHS, seed=seed)))
    return runs


def correlation(maps: Tensor, d: int) -> float:
    """Mean over live channels of |Pearson correlation| between each pixel and the one d columns to its right."""
    if d >= maps.shape[-1]:
        return float("nan")
    pair = torch.stack([maps[..., :-d], maps[..., d:]])
    channels = pair.transpose(1, 2).flatten(2)  # (2, C, N·H·(W - d))
    centred = channels - channels.mean(dim=2, keepdim=True)
    norms = centred.norm(dim=2).prod(dim=0)
    r = centred.prod(dim=0).sum(dim=1) / norms
    return float(r[norms > 1e-8 * channels.shape[2]].abs().mean())


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    plain = run(data, nn.Identity)

    print("|correlation| with the pixel d columns to the right, networks without dropout")
    columns = [f"d = {d}" for d in DISTANCES]
    print(heading(f"mean ± standard deviation over {len(SEEDS)} seeds", columns))
    maps = [feature_maps(model, data.validation.images) for model, _ in plain]
    for block in range(3):
        cells = [shown([correlation(m[block], d) for m in maps]) for d in DISTANCES]
        print(row(f"block {block + 1}", cells))

    where: Collection[int]
    for title, p, where in (
        ("after each block", 0.2, (1, 2, 3)),
        ("after block 1 only", 0.5, (1,)),
    ):
        runs = {
            "no dropout": [history for _, history in plain],
            "pixels": [history for _, history in run(data, partial(nn.Dropout, p), where)],
            "channels": [history for _, history in run(data, partial(nn.Dropout2d, p), where)],
        }
        ended = {
            n: {m: [h.last(m, LAST) for h in histories] for m in METRICS}
            for n, histories in runs.items()
        }
        said = f"{title}, p = {p}: mean ± standard deviation over {len(SEEDS)} seeds"
        print(heading(said, METRICS))
        for name, values in ended.items():
            print(row(name, [shown(values[m]) for m in METRICS]))
        for a, b in (
            ("pixels", "no dropout"),
            ("channels", "no dropout"),
            ("channels", "pixels"),
        ):
            print(row(f"{a} − {b}", [apart(ended[a][m], ended[b][m]) for m in METRICS]))


if __name__ == "__main__":
    main()
