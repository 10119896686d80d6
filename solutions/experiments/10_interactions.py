"""The numbers over ten seeds that sections 3 and 4 of unit 10 quote: the variance shift, and what recalibration does.

    python solutions/experiments/10_interactions.py

Everything is as in the notebook but for the number of seeds (0 to 9, not 0 to 2) and for who recalibrates: PyTorch's
`update_bn` with every p at 0 meanwhile, which is the same for these networks, so that nothing depends on an exercise. It
takes two minutes on one core and prints tables in Markdown. "yes" and "no" say whether a t test tells a difference from
chance (`differs`).
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from reglab.data import load
from reglab.models import recording
from reglab.training import differs, evaluate, mean_and_spread, one_thread, train

IMAGES, EPOCHS, RATE, WIDTHS = 1000, 8, 0.5, (16, 32, 64)
SEEDS = range(10)
PLACES = ("nowhere", "before each", "after each", "after the last")
METRICS = ("validation loss", "validation accuracy")

Batches = Sequence[tuple[Tensor, Tensor]]


def network(place: str) -> nn.Sequential:
    """The unit's CNN with batch norm, and dropout at one of the places."""
    parts: list[nn.Module] = []
    for before, after in pairwise((1, *WIDTHS)):
        parts.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        if place == "before each":
            parts.append(nn.Dropout(RATE))
        parts += [nn.BatchNorm2d(after), nn.ReLU()]
        if place == "after each" or (place == "after the last" and after == WIDTHS[-1]):
            parts.append(nn.Dropout(RATE))
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * WIDTHS[-1], 10)
    )


@torch.no_grad()
def shift(model: nn.Sequential, batches: Batches) -> list[float]:
    """Variance of each batch norm's input in training over that in evaluation, mean over channels, first layer first."""
    entering = [str(i - 1) for i, m in enumerate(model) if isinstance(m, nn.BatchNorm2d)]
    variances = []
    for training in (True, False):
        trial = deepcopy(model).train(
            training
        )  # a pass in training mode moves running statistics
        seen: list[list[Tensor]] = []
        with recording(trial, entering) as outputs:
            for x, _ in batches:
                trial(x)
                seen.append([outputs[name] for name in entering])
        variances.append(
            [torch.cat(maps).var(dim=(0, 2, 3)) for maps in zip(*seen, strict=True)]
        )
    return [float((on / off).mean()) for on, off in zip(*variances, strict=True)]


def recalibrate(model: nn.Sequential, batches: Batches) -> None:
    """Average the statistics of batches anew, with nothing dropped."""
    rates = {m: m.p for m in model if isinstance(m, nn.Dropout)}
    for layer in rates:
        layer.p = 0.0
    update_bn(batches, model)
    for layer, p in rates.items():
        layer.p = p


WAYS: dict[str, Callable[[nn.Sequential, Batches], None]] = {
    "as trained": lambda model, batches: None,
    "recalibrated": recalibrate,
    "by update_bn": lambda model, batches: update_bn(batches, model),
}


def shown(values: Sequence[float], sign: str = "", digits: int = 3) -> str:
    """Mean ± standard deviation."""
    mean, spread = mean_and_spread(values)
    return f"{mean:{sign}.{digits}f} ± {spread:.{digits}f}".replace("-", "−")


def difference(a: Sequence[float], b: Sequence[float]) -> str:
    """Pairs, seed by seed: mean ± standard deviation, for how many seeds it is positive, and whether chance alone does that."""
    apart = [x - y for x, y in zip(a, b, strict=True)]
    above = sum(d > 0 for d in apart)
    told = "yes" if differs(apart) else "no"
    return f"{shown(apart, '+')}, {above} of {len(apart)} above 0, {told}"


def row(name: str, cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join([name, *cells])} |"


def head(title: str, columns: Sequence[str]) -> None:
    """Print a title and the first lines of a Markdown table."""
    print(f"\n{title}: mean ± standard deviation over {len(SEEDS)} seeds\n")
    print(row("", columns))
    print("|" + "---|" * (len(columns) + 1))


@one_thread()
def main() -> None:
    """Train everything and print it."""
    data = load().with_train(IMAGES)
    batches = list(zip(data.train.images.split(64), data.train.labels.split(64), strict=True))
    shifts: dict[str, dict[str, list[list[float]]]] = {}
    scores: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for place in PLACES:
        shifts[place], scores[place] = {w: [] for w in WAYS}, {w: [] for w in WAYS}
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = network(place)
            train(model, data, EPOCHS, seed=seed)
            model.cpu()
            torch.manual_seed(seed)  # for masks
            for way, change in WAYS.items():
                copy = deepcopy(model)
                change(copy, batches)
                shifts[place][way].append(shift(copy, batches))
                scores[place][way].append(evaluate(copy, data.validation))

    head("variance in training / in evaluation", [f"layer {n}" for n in (1, 2, 3)])
    for place in PLACES:
        for way in ("as trained", "recalibrated"):
            columns = zip(*shifts[place][way], strict=True)
            print(row(f"{place}, {way}", [shown(column, digits=2) for column in columns]))

    for place in ("before each", "after each"):
        layers = [list(column) for column in zip(*shifts[place]["as trained"], strict=True)]
        for n in (1, 2):
            print(f"{place}, layer {n + 1} − layer {n}:", difference(layers[n], layers[n - 1]))

    def of(place: str, way: str, metric: int) -> list[float]:
        return [score[metric] for score in scores[place][way]]

    for index, metric in enumerate(METRICS):
        head(metric, list(WAYS))
        for place in PLACES:
            print(row(place, [shown(of(place, way, index)) for way in WAYS]))
        first, second, third = WAYS
        for a, b in ((second, first), (third, first), (third, second)):
            for place in PLACES:
                print(
                    f"{place}, {a} − {b}:", difference(of(place, a, index), of(place, b, index))
                )
        gained = {
            place: [
                new - old
                for new, old in zip(
                    of(place, second, index), of(place, first, index), strict=True
                )
            ]
            for place in PLACES
        }
        for place in (p for p in PLACES if p != "before each"):
            apart = difference(gained["before each"], gained[place])
            print(f"{second} − {first}, before each − {place}:", apart)
        for way in (first, second):
            for place in (p for p in PLACES if p != "before each"):
                apart = difference(of("before each", way, index), of(place, way, index))
                print(f"{way}, before each − {place}:", apart)


if __name__ == "__main__":
    main()
