"""The numbers over more seeds that unit 09 quotes: accuracy, loss, gap and confidence with mixup and CutMix.

    python solutions/experiments/09_mixup_cutmix.py

Everything is as in the notebook but for the number of seeds, a further alpha, and who mixes: torchvision,
so that nothing depends on an exercise. It takes two minutes on one core and prints tables in Markdown; differences are taken
seed by seed.
"""

import torch
from torch import nn

from reglab.data import load
from reglab.models import SmallCNN
from reglab.training import evaluate, logits_of, mean_and_spread, train

LAST = 3


def main() -> None:
    from torchvision.transforms import v2  # only after reglab, which makes it importable

    mixers: dict[str, nn.Module | None] = {
        "none": None,
        "mixup, alpha = 0.2": v2.MixUp(alpha=0.2, num_classes=10),
        "mixup, alpha = 1": v2.MixUp(alpha=1.0, num_classes=10),
        "CutMix, alpha = 1": v2.CutMix(alpha=1.0, num_classes=10),
    }
    data = load().with_train(1000)
    for epochs, seeds in ((15, range(8)),):
        print(f"\n{epochs} epochs, {len(seeds)} seeds\n")
        print("| | accuracy | loss | gap | best loss | too sure |\n|---|---|---|---|---|---|")
        first: list[list[float]] = []
        for name, mixer in mixers.items():
            rows = []
            for seed in seeds:
                torch.manual_seed(seed)
                model = SmallCNN()
                history = train(model, data, epochs, seed=seed, batch_transform=mixer)
                sure = logits_of(model, data.validation.images).softmax(1).amax(1).mean()
                rows.append(
                    [
                        history.last("validation_accuracy", LAST),
                        history.last("validation_loss", LAST),
                        history.last("gap", LAST),
                        min(history.validation_loss),
                        float(sure) - evaluate(model, data.validation)[1],
                    ]
                )
            first = first or rows
            apart = [
                [a - b for a, b in zip(*pair, strict=True)]
                for pair in zip(rows, first, strict=True)
            ]
            for title, table in ((name, rows), ("minus none", apart)):
                cells = [mean_and_spread(column) for column in zip(*table, strict=True)]
                print(
                    f"| {title} |",
                    " | ".join(f"{m:+.3f} ± {s:.3f}" for m, s in cells),
                    "|",
                    flush=True,
                )


if __name__ == "__main__":
    main()
