"""The numbers over ten seeds that section 7 of unit 07 quotes: blocks against pixels and channels, and sizes of the block.

    python solutions/experiments/07_dropblock.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the layers, which are the libraries'
own, so that nothing depends on an exercise. It takes four minutes on one core and prints tables in Markdown.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from torch import nn

import reglab
from reglab.data import load
from reglab.models import SmallCNN
from reglab.training import History, over_seeds
from tables import apart, heading, row, shown
from torchvision.ops import DropBlock2d

IMAGES, EPOCHS, LAST = 1000, 12, 3
SEEDS = range(10)
METRICS = ("validation_accuracy", "validation_loss", "gap")

Layer = Callable[[], nn.Module]
Ended = dict[str, list[float]]


def ended(histories: Sequence[History]) -> Ended:
    """Each metric at the end, one value a seed."""
    return {m: [h.last(m, LAST) for h in histories] for m in METRICS}


def table(title: str, runs: Mapping[str, Ended]) -> None:
    """Print where each configuration ended, and its differences from the first and the second, seed by seed."""
    print(heading(f"{title}: mean ± standard deviation over {len(SEEDS)} seeds", METRICS))
    for name, values in runs.items():
        print(row(name, [shown(values[m]) for m in METRICS]), flush=True)
    names = list(runs)
    for base in names[:2]:
        for name in names[names.index(base) + 1 :]:
            cells = [apart(runs[name][m], runs[base][m]) for m in METRICS]
            print(row(f"{name} − {base}", cells), flush=True)


def main() -> None:
    """Train everything and print it."""
    assert reglab.__doc__  # imported first: it makes torchvision importable everywhere
    data = load().with_train(IMAGES)
    plain = ended(over_seeds(SmallCNN, data, EPOCHS, SEEDS))

    def trained(layers: Mapping[str, Layer], where: Collection[int]) -> dict[str, Ended]:
        build = {name: partial(SmallCNN, layer, where=where) for name, layer in layers.items()}
        return {n: ended(over_seeds(b, data, EPOCHS, SEEDS)) for n, b in build.items()}

    p = 0.2
    layers: dict[str, Layer] = {
        "pixels": partial(nn.Dropout, p),
        "channels": partial(nn.Dropout2d, p),
        "blocks of 3": partial(DropBlock2d, p, 3),
    }
    table(
        f"after each block, p = {p}", {"no dropout": plain, **trained(layers, where=(1, 2, 3))}
    )
    p = 0.3
    layers = {"pixels": partial(nn.Dropout, p)}
    layers |= {f"blocks of {k}": partial(DropBlock2d, p, k) for k in (3, 5, 7)}
    layers |= {"channels": partial(nn.Dropout2d, p)}
    table(f"after block 1 only, p = {p}", {"no dropout": plain, **trained(layers, where=(1,))})


if __name__ == "__main__":
    main()
