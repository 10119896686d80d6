"""The numbers over ten seeds that unit 02 quotes: the gap against p, the activations, and uncertainty on odd images.

    python solutions/experiments/02_dropout.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the layer that drops: the library's,
so that nothing depends on an exercise. It takes about three minutes on one core and prints tables in Markdown.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reglab.data import Split, load
from reglab.models import evaluating, recording
from reglab.training import History, logits_of, mean_and_spread, one_thread, train

IMAGES, EPOCHS, LAST = 1000, 12, 3
SEEDS = range(10)
RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
P, SAMPLES = 0.4, 30
METRICS = ("validation_accuracy", "validation_loss", "gap")


def network(p: float) -> nn.Sequential:
    """Three convolutions, then a hidden layer of 256 units with dropout on its inputs and on its outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(p),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Dropout(p),
        nn.Linear(256, 10),
    )


def odd_images(validation: Split, seed: int = 0) -> dict[str, Tensor]:
    """Images unlike those trained on, made from the validation images."""
    chance = torch.Generator().manual_seed(seed)
    x = validation.images
    partner = torch.randperm(len(x), generator=chance)
    pixels = torch.rand(x.shape, generator=chance).flatten(1).argsort(dim=1)
    return {
        "rotated by 90°": x.rot90(1, (2, 3)),
        "mixed, two in one": (x + x[partner]) / 2,
        "pixels shuffled": x.flatten(1).gather(1, pixels).view_as(x),
        "noise": torch.randn(x.shape, generator=chance),
    }


def entropy(probs: Tensor) -> Tensor:
    """Of each row, in nats."""
    return -(probs * probs.clamp(min=1e-12).log()).sum(dim=1)


def auroc(odd: Tensor, usual: Tensor) -> float:
    """The chance that an odd image scores higher than a usual one; a tie counts one half."""
    usual = usual.sort().values
    below = torch.searchsorted(usual, odd, right=False)
    upto = torch.searchsorted(usual, odd, right=True)
    return float((below + upto).double().mean() / 2 / len(usual))


@one_thread()
@torch.no_grad()
def samples(model: nn.Sequential, x: Tensor) -> Tensor:
    """Softmax probabilities with dropout on, (SAMPLES, N, K)."""
    with evaluating(model):
        for module in model:
            module.train(isinstance(module, nn.Dropout))
        return torch.stack([model(x).softmax(dim=1) for _ in range(SAMPLES)])


def scores(plain: Tensor, drawn: Tensor) -> dict[str, Tensor]:
    """How uncertain the network is about each image, measured in four ways.

    Args:
        plain: probabilities in evaluation mode, (N, K).
        drawn: those of the samples, (SAMPLES, N, K).
    """
    mean = drawn.mean(dim=0)
    top = mean.argmax(dim=1, keepdim=True)
    return {
        "entropy, evaluation mode": entropy(plain),
        "entropy of the MC mean": entropy(mean),
        "standard deviation of the top class": drawn.std(dim=0, correction=0)
        .gather(1, top)
        .squeeze(1),
        "mutual information": entropy(mean)
        - entropy(drawn.flatten(0, 1)).view(SAMPLES, -1).mean(dim=0),
    }


def shown(values: Sequence[float], sign: str = "", digits: int = 3) -> str:
    mean, spread = mean_and_spread(values)
    return f"{mean:{sign}.{digits}f} ± {spread:.{digits}f}".replace("-", "−")


def row(name: str, cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    x, labels = data.validation.images, data.validation.labels
    runs: dict[float, list[tuple[nn.Sequential, History]]] = {}
    for p in RATES:
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = network(p)
            runs.setdefault(p, []).append((model, train(model, data, EPOCHS, seed=seed)))

    print(f"mean ± standard deviation over {len(SEEDS)} seeds\n")
    print(row("p", (*METRICS, "train_loss")))
    for p, each in runs.items():
        cells = [shown([h.last(m, LAST) for _, h in each]) for m in (*METRICS, "train_loss")]
        print(row(str(p), cells))
    print("\ndifferences to p = 0, seed by seed\n")
    for p in RATES[1:]:
        pairs = list(zip(runs[p], runs[0.0], strict=True))
        cells = [
            shown([h.last(m, LAST) - g.last(m, LAST) for (_, h), (_, g) in pairs], "+")
            for m in METRICS
        ]
        print(row(str(p), cells))

    print("\nhidden activations (256 units) on validation images, evaluation mode\n")
    for p, each in runs.items():
        zero, mean, dead = [], [], []
        for model, _ in each:
            with evaluating(model), recording(model, ["9"]) as outputs, torch.no_grad():
                model(x)
            a = outputs["9"]
            zero.append(float((a == 0).float().mean()))
            mean.append(float(a.mean()))
            dead.append(float((a == 0).all(dim=0).float().mean()))
        print(row(str(p), [shown(zero), shown(mean), shown(dead)]))

    print(
        f"\nMC dropout at p = {P}, {SAMPLES} samples: AUROC of each measure, odd images against validation images\n"
    )
    sets = {"validation": x, **odd_images(data.validation)}
    found: dict[str, dict[str, list[float]]] = {}
    confidence: dict[str, dict[str, list[float]]] = {}
    quality: dict[str, dict[str, list[float]]] = {}

    def note(
        table: dict[str, dict[str, list[float]]], name: str, column: str, value: float
    ) -> None:
        table.setdefault(name, {}).setdefault(column, []).append(value)

    for seed, (model, _) in enumerate(runs[P]):
        torch.manual_seed(seed)
        usual: dict[str, Tensor] = {}
        for kind, images in sets.items():
            plain, drawn = logits_of(model, images).softmax(dim=1), samples(model, images)
            mean, measured = drawn.mean(dim=0), scores(plain, drawn)
            for name, probs in (("evaluation mode", plain), ("MC mean", mean)):
                note(confidence, kind, name, float(probs.amax(dim=1).mean()))
                note(
                    confidence,
                    kind,
                    f"{name}, share above 0.9",
                    float((probs.amax(dim=1) > 0.9).float().mean()),
                )
                if kind == "validation":
                    right = probs.argmax(dim=1) == labels
                    loss = nn.functional.nll_loss(probs.clamp(min=1e-12).log(), labels)
                    note(quality, name, "accuracy", float(right.float().mean()))
                    note(quality, name, "loss", float(loss))
            if kind == "validation":
                usual, wrong = measured, plain.argmax(dim=1) != labels
            for column, values in measured.items():
                one, other = (
                    (values[wrong], values[~wrong])
                    if kind == "validation"
                    else (values, usual[column])
                )
                note(
                    found,
                    "misclassified" if kind == "validation" else kind,
                    column,
                    auroc(one, other),
                )
    columns = list(found["misclassified"])
    print(row("", columns))
    print("|" + "---|" * (len(columns) + 1))
    for kind, by in found.items():
        print(row(kind, [shown(by[c]) for c in columns]))
    print("\nthe same, minus that of the entropy in evaluation mode, seed by seed\n")
    for kind, by in found.items():
        plain_first = by[columns[0]]
        pairs = {
            c: [a - b for a, b in zip(by[c], plain_first, strict=True)] for c in columns[1:]
        }
        print(row(kind, [shown(d, "+") for d in pairs.values()]))
    differences = {
        column: [a - b for a, b in zip(quality["MC mean"][column], plain_quality, strict=True)]
        for column, plain_quality in quality["evaluation mode"].items()
    }
    quality["MC mean - evaluation mode, seed by seed"] = differences
    for title, table in (("mean confidence", confidence), ("on validation images", quality)):
        print(f"\n{title}\n")
        print(row("", list(next(iter(table.values())))))
        for kind, by in table.items():
            print(row(kind, [shown(values) for values in by.values()]))


if __name__ == "__main__":
    main()
