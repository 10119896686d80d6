"""The numbers over ten seeds that unit 06 quotes: calibration with and without smoothing and label noise, and the floor.

    python solutions/experiments/06_calibration.py

Everything is as in the notebook but for the seeds (0 to 9, not 0 to 2) and two more amounts of smoothing. Bins are made by
NumPy and the temperature is found by SciPy, so that nothing depends on an exercise. It takes four minutes on one core and
prints tables in Markdown.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from reglab.data import Data, Split, load
from reglab.models import SmallCNN
from reglab.training import logits_of, train
from tables import apart, heading, row, shown

IMAGES, EPOCHS, BINS = 1000, 12, 15
SEEDS = range(10)
ALPHAS = (0.0, 0.05, 0.1, 0.2)
NOISES = (0.0, 0.2)
HALF = 500
METRICS = {
    "accuracy": "accuracy",
    "confidence": "confidence",
    "ece": "ECE",
    "floor": "floor",
    "nll": "loss",
    "t": "T",
    "ece_t": "ECE after T",
    "floor_t": "floor after T",
    "nll_t": "loss after T",
}


def with_noise(data: Data, noise: float, seed: int) -> Data:
    """Replace each training label, with probability `noise`, by a class drawn from all of them."""
    coins = torch.Generator().manual_seed(seed)
    labels = data.train.labels
    hit = torch.rand(len(labels), generator=coins) < noise
    drawn = torch.randint(0, len(data.class_names), labels.shape, generator=coins)
    return replace(data, train=Split(data.train.images, torch.where(hit, drawn, labels)))


def ece(probs: Tensor, target: Tensor) -> float:
    """The expected calibration error with 15 bins, from sums over bins."""
    confidence, chosen = (part.numpy() for part in probs.double().max(dim=1))
    wrong_by = (chosen == target.numpy()) - confidence
    sums, _ = np.histogram(confidence, bins=BINS, range=(0, 1), weights=wrong_by)
    return float(np.abs(sums).sum() / len(probs))


def floor(probs: Tensor, draws: int = 200) -> float:
    """The mean of what `ece` says where the labels are drawn from `probs` themselves: the error is 0 by construction."""
    coins = torch.Generator().manual_seed(0)
    labels = torch.multinomial(probs.double(), draws, replacement=True, generator=coins)
    return float(np.mean([ece(probs, labels[:, d]) for d in range(draws)]))


def best_temperature(logits: Tensor, target: Tensor) -> float:
    """The temperature of the smallest cross-entropy, by SciPy, searched in its logarithm."""

    def loss(log_t: float) -> float:
        return float(functional.cross_entropy(logits.double() / np.exp(log_t), target))

    return float(
        np.exp(
            minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-6}).x
        )
    )


def measured(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Fit T on the first half of the validation images, and measure all else on the second."""
    t = best_temperature(logits[:HALF], target[:HALF])
    logits, target = logits[HALF:], target[HALF:]
    probs = logits.softmax(dim=1)
    return {
        "accuracy": float((probs.argmax(1) == target).double().mean()),
        "confidence": float(probs.amax(1).mean()),
        "nll": float(functional.cross_entropy(logits, target)),
        "ece": ece(probs, target),
        "floor": floor(probs),
        "t": t,
        "nll_t": float(functional.cross_entropy(logits / t, target)),
        "ece_t": ece((logits / t).softmax(1), target),
        "floor_t": floor((logits / t).softmax(1)),
    }  # fmt: skip


def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    for noise in NOISES:
        results: dict[float, list[dict[str, float]]] = {}
        for alpha in ALPHAS:
            loss = partial(functional.cross_entropy, label_smoothing=alpha)
            results[alpha] = []
            for seed in SEEDS:
                torch.manual_seed(seed)
                model = SmallCNN()
                train(model, with_noise(data, noise, seed), EPOCHS, seed=seed, loss=loss)
                logits = logits_of(model, data.validation.images)
                results[alpha].append(measured(logits, data.validation.labels))
        said = f"label noise {noise}: mean ± standard deviation over {len(SEEDS)} seeds"
        print(heading(said, list(METRICS.values())))
        ended = {a: {m: [r[m] for r in runs] for m in METRICS} for a, runs in results.items()}
        for alpha, found in ended.items():
            print(row(f"α = {alpha}", list(map(shown, found.values()))))
        plain = ended[0.0]
        for alpha in ALPHAS[1:]:
            cells = [apart(ended[alpha][m], plain[m]) for m in METRICS]
            print(row(f"{alpha} − 0, by seed", cells))
        said = "after temperature − before, and the ECE before − that of plain training after"
        print(heading(said, ("loss", "ECE", "ECE − ECE of α = 0 after T")))
        for alpha, found in ended.items():
            ways = (("nll_t", "nll"), ("ece_t", "ece"))
            cells = [apart(found[after], found[before]) for after, before in ways]
            print(row(f"α = {alpha}", [*cells, apart(found["ece"], plain["ece_t"])]))


if __name__ == "__main__":
    main()
