"""The numbers over ten seeds that unit 01 quotes: capacity, early stopping, weight decay, and weight norms under two kinds of it.

    python solutions/experiments/01_weight_decay.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the optimizers, which are the library's, so
that nothing depends on an exercise. It takes about five minutes on one core and prints tables in Markdown.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from reglab.data import Data, load
from reglab.models import SmallCNN
from reglab.training import History, mean_and_spread, one_thread, train

IMAGES, EPOCHS, LR, BATCH, LAST = 500, 16, 5e-3, 32, 3
SEEDS = range(10)
WIDTHS = ((4, 8, 16), (8, 16, 32), (16, 32, 64))
DECAYS = (0.0, 0.1, 0.3, 1.0, 3.0)
PENALTIES = (0.003,)

Run = tuple[SmallCNN, History]


def groups(model: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weights decay, biases do not."""
    return [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]


def run(
    data: Data,
    widths: tuple[int, ...] = (16, 32, 64),
    decay: float = 0.0,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
) -> list[Run]:
    """Train one network a seed."""
    runs = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = SmallCNN(widths=widths)
        history = train(
            model,
            data,
            EPOCHS,
            seed=seed,
            batch_size=BATCH,
            make_optimizer=lambda m: optimizer(groups(m, decay), lr=LR),
        )
        runs.append((model, history))
    return runs


def weights(model: nn.Module) -> Tensor:
    """All weights that decay, in one row."""
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.dim() > 1])


@one_thread()
def gradient_sizes(model: nn.Module, data: Data) -> Tensor:
    """Root of the mean square of each weight's gradient over the batches of the training images."""
    squares, count = torch.zeros_like(weights(model)), 0
    for x, y in zip(
        data.train.images.split(BATCH), data.train.labels.split(BATCH), strict=True
    ):
        model.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        squares += torch.cat(
            [p.grad.flatten() for p in model.parameters() if p.dim() > 1 and p.grad is not None]
        ).square()
        count += 1
    return (squares / count).sqrt()


def shown(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation."""
    mean, spread = mean_and_spread(values)
    return f"{mean:{sign}.3f} ± {spread:.3f}".replace("-", "−")


def row(name: str, cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


COLUMNS = (
    "train loss",
    "loss",
    "gap",
    "accuracy",
    "lowest loss",
    "its epoch",
    "norm",
    "train acc.",
)


def summary(name: str, runs: Sequence[Run]) -> str:
    """The row of one configuration."""
    histories = [h for _, h in runs]
    lowest = [min(h.validation_loss) for h in histories]
    epochs = [h.validation_loss.index(v) + 1.0 for h, v in zip(histories, lowest, strict=True)]
    cells = [
        shown([h.last(m, LAST) for h in histories])
        for m in ("train_loss", "validation_loss", "gap", "validation_accuracy")
    ]
    norms = [float(weights(m).norm()) for m, _ in runs]
    train_accuracy = shown([h.last("train_accuracy", LAST) for h in histories])
    return row(name, [*cells, shown(lowest), shown(epochs), shown(norms), train_accuracy])


def differences(name: str, a: Sequence[Run], b: Sequence[Run]) -> str:
    """The row of one configuration minus another, seed by seed."""
    pairs = [(x, y) for (_, x), (_, y) in zip(a, b, strict=True)]
    cells = [
        shown([x.last(m, LAST) - y.last(m, LAST) for x, y in pairs], "+")
        for m in ("train_loss", "validation_loss", "gap", "validation_accuracy")
    ]
    lowest = [min(x.validation_loss) - min(y.validation_loss) for x, y in pairs]
    end_lowest = [x.last("validation_loss", LAST) - min(y.validation_loss) for x, y in pairs]
    return row(
        name, [*cells, shown(lowest, "+"), "end − lowest of plain", shown(end_lowest, "+")]
    )


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    print(f"mean ± standard deviation over {len(SEEDS)} seeds\n")
    print(row("", COLUMNS))
    print("|" + "---|" * (len(COLUMNS) + 1))
    sizes = {}
    for widths in WIDTHS:
        sizes[widths] = run(data, widths)
        count = sum(p.numel() for p in sizes[widths][0][0].parameters())
        print(summary(f"{widths}, {count} parameters", sizes[widths]), flush=True)
    plain = sizes[WIDTHS[2]]
    decayed = {decay: run(data, decay=decay) if decay else plain for decay in DECAYS}
    for decay, runs in decayed.items():
        print(summary(f"AdamW {decay}", runs), flush=True)
    penalised = {
        decay: run(data, decay=decay, optimizer=torch.optim.Adam) for decay in PENALTIES
    }
    for decay, runs in penalised.items():
        print(summary(f"Adam with L2 {decay}", runs), flush=True)
    print()
    for decay, runs in decayed.items():
        print(differences(f"AdamW {decay} − none", runs, plain))
    for decay, runs in penalised.items():
        print(differences(f"Adam with L2 {decay} − none", runs, plain))

    print(
        "\nroot mean square of the weights by fifths of their gradients' size, small to large\n"
    )
    for name, runs in (
        ("none", plain),
        *((f"AdamW {d}", r) for d, r in decayed.items() if d),
        *((f"Adam with L2 {d}", r) for d, r in penalised.items()),
    ):
        fifths = []
        for model, _ in runs:
            order = gradient_sizes(model, data).argsort()
            fifths.append(
                [float(part.square().mean().sqrt()) for part in weights(model)[order].chunk(5)]
            )
        print(row(name, [shown(column) for column in zip(*fifths, strict=True)]), flush=True)


if __name__ == "__main__":
    main()
