"""The numbers over ten seeds that unit 02 quotes: the gap against p, the activations, and uncertainty on odd images.

    python solutions/experiments/02_dropout.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the layer that drops: the library's,
so that nothing depends on an exercise. It takes about three minutes on one core and prints tables in Markdown. Differences
are taken seed by seed, and are bold where `reglab.training.differs` tells their mean from 0.
"""

import torch
from torch import Tensor, nn

from reglab.data import Split, load
from reglab.models import evaluating, recording
from reglab.training import History, logits_of, one_thread, train
from tables import apart, heading, row, shown

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
    x, labels = validation.images, validation.labels
    others = (labels[:, None] != labels).float()
    partner = torch.multinomial(others, 1, generator=chance).squeeze(1)  # of another class
    pixels = torch.rand(x.shape, generator=chance).flatten(1).argsort(dim=1)
    return {
        "rotated by 90°": x.rot90(1, (2, 3)),
        "mixed, two in one": (x + x[partner]) / 2,
        "pixels shuffled": x.flatten(1).gather(1, pixels).view_as(x),
        "noise": torch.randn(x.shape, generator=chance),
    }


def entropy(probs: Tensor) -> Tensor:
    """Of each distribution along the last dimension, in nats."""
    return -(probs * probs.clamp(min=1e-12).log()).sum(dim=-1)


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
        "mutual information": entropy(mean) - entropy(drawn).mean(dim=0),
    }


Table = dict[str, dict[str, list[float]]]
"""{row: {column: values, one a seed}}."""


def note(table: Table, name: str, column: str, value: float) -> None:
    """Add what was measured with one more seed."""
    table.setdefault(name, {}).setdefault(column, []).append(value)


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

    metrics = (*METRICS, "train_loss")
    ended = {p: {m: [h.last(m, LAST) for _, h in r] for m in metrics} for p, r in runs.items()}
    print(heading(f"mean ± standard deviation over {len(SEEDS)} seeds", metrics))
    for p, found in ended.items():
        print(row(f"p = {p}", list(map(shown, found.values()))))
    for p, base in (*((p, 0.0) for p in RATES[1:]), (0.4, 0.2), (0.6, 0.2), (0.6, 0.4)):
        print(row(f"{p} − {base}", [apart(ended[p][m], ended[base][m]) for m in metrics]))

    columns = ("share of zeros", "mean activation", "units that never respond")
    print(heading("256 hidden activations of each validation image, evaluation mode", columns))
    hidden: dict[float, list[list[float]]] = {}
    for p, each in runs.items():
        facts = []
        for model, _ in each:
            with evaluating(model), recording(model, ["9"]) as outputs, torch.no_grad():
                model(x)
            a = outputs["9"]
            silent = (a == 0).all(dim=0)
            facts.append(
                [float((a == 0).float().mean()), float(a.mean()), float(silent.float().mean())]
            )
        hidden[p] = [list(column) for column in zip(*facts, strict=True)]
        print(row(f"p = {p}", list(map(shown, hidden[p]))))
    for p in RATES[1:]:
        cells = [apart(a, b) for a, b in zip(hidden[p], hidden[0.0], strict=True)]
        print(row(f"{p} − 0", cells))

    print(f"\nMC dropout at p = {P}, {SAMPLES} samples")
    sets = {"validation": x, **odd_images(data.validation)}
    areas: Table = {}
    confidence: Table = {}
    quality: Table = {}
    for seed, (model, _) in enumerate(runs[P]):
        torch.manual_seed(seed)
        usual: dict[str, Tensor] = {}
        for kind, images in sets.items():
            plain, drawn = logits_of(model, images).softmax(dim=1), samples(model, images)
            average, measured = drawn.mean(dim=0), scores(plain, drawn)
            for name, probs in (("evaluation mode", plain), ("MC mean", average)):
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
                    areas,
                    "misclassified" if kind == "validation" else kind,
                    column,
                    auroc(one, other),
                )
    first, *others = areas["misclassified"]
    title = "AUROC of each measure, odd images against validation images"
    print(heading(title, (first, *others)))
    for kind, by in areas.items():
        print(row(kind, list(map(shown, by.values()))))
    print(heading(f"the same, less that of the {first}", others))
    for kind, by in areas.items():
        print(row(kind, [apart(by[column], by[first]) for column in others]))
    for title, table in (("mean confidence", confidence), ("on validation images", quality)):
        print(heading(title, list(next(iter(table.values())))))
        for kind, by in table.items():
            print(row(kind, list(map(shown, by.values()))))
    pairs = zip(quality["MC mean"].values(), quality["evaluation mode"].values(), strict=True)
    print(row("MC mean − evaluation mode", [apart(a, b) for a, b in pairs]))


if __name__ == "__main__":
    main()
