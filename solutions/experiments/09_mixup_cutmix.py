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
from reglab.training import evaluate, logits_of, train
from tables import apart, heading, row, shown

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
        columns = ("accuracy", "loss", "gap", "best loss", "too sure")
        print(heading(f"{epochs} epochs, {len(seeds)} seeds", columns))
        first: list[tuple[float, ...]] = []
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
            found = list(zip(*rows, strict=True))
            first = first or found
            print(row(name, list(map(shown, found))))
            cells = [apart(a, b) for a, b in zip(found, first, strict=True)]
            print(row("minus none", cells), flush=True)


if __name__ == "__main__":
    main()
