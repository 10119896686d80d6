"""The numbers over ten seeds that unit 04 quotes: DropConnect, Dropout and nothing in section 9, inference in section 10.

    python solutions/experiments/04_dropconnect.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and the layer, which is written out here, so
that nothing depends on an exercise. It takes two or three minutes on one core and prints tables in Markdown.
"""

from collections.abc import Callable

import torch
from reglab.data import Data, load
from reglab.masking import multiply_into
from reglab.models import SmallCNN, evaluating, recording
from reglab.training import History, train
from tables import apart, heading, row, shown
from torch import Tensor, nn
from torch.nn import functional

IMAGES, EPOCHS, LAST, HIDDEN, RATE = 1000, 12, 3, 64, 0.5
SEEDS = range(10)
SAMPLES = (1, 4, 16, 64, 256)
METRICS = ("validation_accuracy", "validation_loss", "gap")


class DropConnect(nn.Linear):
    """The layer of the unit, with p = RATE."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        weight, bias = (
            multiply_into(torch.rand(len(x), *t.shape).ge_(RATE), t / (1 - RATE))
            for t in (self.weight, self.bias)
        )
        return torch.bmm(x.unsqueeze(1), weight.transpose(1, 2)).squeeze(1) + bias


def build(layer: type[nn.Linear], dropout: float = 0.0) -> SmallCNN:
    """A small CNN with a hidden layer before its classifier."""
    model = SmallCNN(widths=(16, 32, 32))
    inputs = model.classifier.in_features
    model.classifier = nn.Sequential(
        layer(inputs, HIDDEN), nn.ReLU(), nn.Dropout(dropout), nn.Linear(HIDDEN, 10)
    )
    return model


def run(data: Data, make: Callable[[], SmallCNN]) -> list[tuple[SmallCNN, History]]:
    """Train one network a seed."""
    runs = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = make()
        runs.append((model, train(model, data, EPOCHS, seed=seed)))
    return runs


@torch.no_grad()
def features(model: SmallCNN, images: Tensor) -> Tensor:
    """What enters the hidden layer."""
    with evaluating(model), recording(model, ["pool"]) as outputs:
        model(images)
    return outputs["pool"].flatten(1)


def moments(model: SmallCNN, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the hidden layer's pre-activations over masks."""
    hidden, x = model.classifier[0], features(model, images)
    squares = functional.linear(x**2, hidden.weight**2, hidden.bias**2)
    return functional.linear(x, hidden.weight, hidden.bias), (
        squares * RATE / (1 - RATE)
    ).sqrt()


@torch.no_grad()
def by_sampling(model: SmallCNN, data: Data, samples: int) -> tuple[float, float]:
    """Loss and accuracy on validation images with the hidden activations sampled from their moments (0: the mean network)."""
    last = model.classifier[-1]
    mean, deviation = moments(model, data.validation.images)
    if samples:
        total = sum((mean + deviation * torch.randn_like(mean)).relu() for _ in range(samples))
        activations = total / samples
    else:
        activations = mean.relu()
    return score(last(activations), data)


@torch.no_grad()
def by_probabilities(model: SmallCNN, data: Data, samples: int) -> tuple[float, float]:
    """Loss and accuracy of the average over samples of the networks' probabilities."""
    last = model.classifier[-1]
    mean, deviation = moments(model, data.validation.images)
    each = [
        last((mean + deviation * torch.randn_like(mean)).relu()).softmax(1)
        for _ in range(samples)
    ]
    return score(torch.stack(each).mean(0).log(), data)


def score(logits: Tensor, data: Data) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    labels = data.validation.labels
    right = (logits.argmax(1) == labels).float().mean()
    return float(functional.cross_entropy(logits, labels)), float(right)


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    trained = {
        "nothing": run(data, lambda: build(nn.Linear)),
        "Dropout": run(data, lambda: build(nn.Linear, RATE)),
        "DropConnect": run(data, lambda: build(DropConnect)),
    }
    ended = {
        name: {m: [h.last(m, LAST) for _, h in runs] for m in METRICS}
        for name, runs in trained.items()
    }
    print(heading(f"mean ± standard deviation over {len(SEEDS)} seeds", METRICS))
    for name, values in ended.items():
        print(row(name, [shown(values[m]) for m in METRICS]))
    for a, b in (
        ("Dropout", "nothing"),
        ("DropConnect", "nothing"),
        ("DropConnect", "Dropout"),
    ):
        print(row(f"{a} − {b}", [apart(ended[a][m], ended[b][m]) for m in METRICS]))

    print("\ninference with the networks trained with DropConnect: loss, accuracy\n")
    models = [model for model, _ in trained["DropConnect"]]
    plain = [by_sampling(model, data, 0) for model in models]
    print(row("mean network", [shown([s[k] for s in plain], digits=4) for k in (0, 1)]))
    torch.manual_seed(0)
    ways: dict[str, list[tuple[float, float]]] = {
        f"{n} samples": [by_sampling(model, data, n) for model in models] for n in SAMPLES
    }
    ways["64 samples, probabilities"] = [by_probabilities(model, data, 64) for model in models]
    for name, scores in ways.items():
        cells = [shown([s[k] for s in scores], digits=4) for k in (0, 1)]
        cells += [apart([s[k] for s in scores], [q[k] for q in plain], 4) for k in (0, 1)]
        print(row(name, cells))


if __name__ == "__main__":
    main()
