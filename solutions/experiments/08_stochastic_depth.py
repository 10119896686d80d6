"""The numbers over ten seeds that unit 08 quotes: section 8, networks with and without stochastic depth, short and long runs.

    python solutions/experiments/08_stochastic_depth.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2; 0 to 4 for the long runs) and the layer
that drops paths: the library's, so that nothing depends on an exercise. It takes six minutes on one core and prints tables
in Markdown.
"""

from collections.abc import Sequence

import reglab  # noqa: F401  makes torchvision importable beside any torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from reglab.data import Data, load
from reglab.models import ResNet
from reglab.training import History, over_seeds
from tables import apart, heading, row, shown

IMAGES, LAST, WIDTH, STAGES = 1000, 3, 8, (2, 2, 2)
METRICS = ("validation_accuracy", "validation_loss", "gap", "train_loss")
RUNS = ((10, range(10), (0.0, 0.2, 0.5)), (30, range(5), (0.0, 0.5)))


class Block(nn.Module):
    """The unit's block on the library's layer."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        half = [
            [
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            ]
            for _ in range(2)
        ]
        self.branch = nn.Sequential(*half[0], *half[1])
        self.drop = StochasticDepth(p, mode="row")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.branch(x))


def run(data: Data, max_rate: float, epochs: int, seeds: Sequence[int]) -> list[History]:
    """Train one network a seed."""
    depth = sum(STAGES)

    def build() -> nn.Module:
        return ResNet(
            lambda channels, number: Block(channels, max_rate * number / depth),
            width=WIDTH,
            stages=STAGES,
            stride=2,
        )

    return over_seeds(build, data, epochs, seeds)


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    for epochs, seeds, rates in RUNS:
        ended = {}
        for rate in rates:
            histories = run(data, rate, epochs, seeds)
            ended[rate] = {m: [h.last(m, LAST) for h in histories] for m in METRICS}
        said = f"{epochs} epochs: mean ± standard deviation over {len(seeds)} seeds"
        print(heading(said, METRICS))
        for rate, values in ended.items():
            print(row(f"max_rate {rate}", [shown(values[m]) for m in METRICS]))
        for rate in rates[1:]:
            cells = [apart(ended[rate][m], ended[0.0][m]) for m in METRICS]
            print(row(f"{rate} − 0", cells), flush=True)


if __name__ == "__main__":
    main()
