"""The numbers over more seeds that unit 05 quotes: margins, confidence, loss and accuracy, and how tight clusters are.

    python solutions/experiments/05_label_smoothing.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2), a further alpha, the larger training set
(seeds 0 to 4), and the loss: the library's, so that nothing depends on an exercise. It takes five minutes on one core and
prints tables in Markdown.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from reglab.data import Data, Split, load
from reglab.models import SmallCNN, evaluating, recording
from reglab.training import logits_of, train
from tables import apart, heading, row, shown

EPOCHS, LAST = 15, 3
UNLIKE, ALIKE = (1, 8, 9), (0, 6, 1)  # trousers, bag, ankle boot; T-shirt, shirt, trousers


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit of the true class minus the largest of the others, (N,)."""
    true = F.one_hot(labels, logits.shape[1]).bool()
    return logits[true] - logits.masked_fill(true, float("-inf")).amax(dim=1)


@torch.no_grad()
def penultimate(model: SmallCNN, split: Split) -> Tensor:
    """What enters the last layer, (N, features)."""
    with evaluating(model), recording(model, ["pool"]) as outputs:
        model(split.images.to(next(model.parameters()).device))
    return outputs["pool"].flatten(1).cpu()


def spread_ratio(points: Tensor, labels: Tensor) -> float:
    """Mean squared distance of points from the mean of their class, over that of the class means from their own mean."""
    classes = labels.unique()
    means = torch.stack([points[labels == k].mean(dim=0) for k in classes])
    within = torch.stack(
        [
            (points[labels == k] - m).square().sum(1).mean()
            for k, m in zip(classes, means, strict=True)
        ]
    )
    between = (means - means.mean(dim=0)).square().sum(dim=1)
    return float(within.mean() / between.mean())


def project(points: Tensor, templates: Tensor) -> Tensor:
    """Coordinates of points in the space that templates (n, features) span around the first: (N, n - 1)."""
    basis, _ = torch.linalg.qr((templates[1:] - templates[0]).T)
    return points @ basis


def unevenness(logits: Tensor, labels: Tensor) -> float:
    """Standard deviation of the wrong classes' logits, over the mean gap to the true one."""
    true = F.one_hot(labels, logits.shape[1]).bool()
    wrong = logits[~true].view(len(logits), -1)
    return float(wrong.std(dim=1).mean() / (logits[true] - wrong.mean(dim=1)).mean())


def measure(data: Data, alpha: float, seed: int) -> dict[str, float]:
    """Train one network and measure it."""
    torch.manual_seed(seed)
    model = SmallCNN()
    history = train(
        model, data, EPOCHS, seed=seed, loss=partial(F.cross_entropy, label_smoothing=alpha)
    )
    best = history.validation_loss.index(min(history.validation_loss))
    found = {
        "accuracy": history.last("validation_accuracy", LAST),
        "loss": history.last("validation_loss", LAST),
        "gap": history.last("gap", LAST),
        "train accuracy": history.last("train_accuracy", LAST),
        "loss, best epoch": history.validation_loss[best],
        "accuracy, best epoch by loss": history.validation_accuracy[best],
        "best epoch by loss": 1.0 + best,
    }
    for name, split in (("train", data.train.first(1000)), ("validation", data.validation)):
        logits, labels = logits_of(model, split.images), split.labels
        margin, confidence = margins(logits, labels), logits.softmax(dim=1).amax(dim=1)
        found |= {
            f"{name} margin, median": float(margin.median()),
            f"{name} margin, 95 %": float(margin.quantile(0.95)),
            f"{name} confidence": float(confidence.mean()),
            f"{name} confidence when right": float(confidence[margin > 0].mean()),
            f"{name} confidence when wrong": float(confidence[margin <= 0].mean()),
            f"{name} confidence - accuracy": float(confidence.mean())
            - float((margin > 0).float().mean()),
        }
        points, weight = penultimate(model, split), model.classifier.weight.detach().cpu()
        found[f"{name} spread, ten templates"] = spread_ratio(project(points, weight), labels)
        found[f"{name} unevenness of the wrong logits"] = unevenness(logits, labels)
        for which, three in (("unlike", UNLIKE), ("alike", ALIKE)):
            chosen = torch.isin(labels, torch.tensor(three))
            flat = project(points[chosen], weight[list(three)])
            found[f"{name} spread, plane, {which}"] = spread_ratio(flat, labels[chosen])
    return found


def main() -> None:
    """Train everything and print it."""
    for images, alphas, seeds in (
        (1000, (0.0, 0.1, 0.3), range(10)),
        (4000, (0.0, 0.1), range(5)),
    ):
        data = load().with_train(images)
        runs = {alpha: [measure(data, alpha, seed) for seed in seeds] for alpha in alphas}
        others = [alpha for alpha in alphas if alpha]
        columns = [*(f"α = {a}" for a in alphas), *(f"{a} − 0" for a in others)]
        said = f"{images} images, mean ± standard deviation over {len(seeds)} seeds"
        print(heading(said, columns))
        for metric in runs[0.0][0]:
            found = {alpha: [run[metric] for run in each] for alpha, each in runs.items()}
            differences = [apart(found[alpha], found[0.0]) for alpha in others]
            print(row(metric, [*map(shown, found.values()), *differences]), flush=True)


if __name__ == "__main__":
    main()
