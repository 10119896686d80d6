"""The sweep behind unit 10: weight decay, augmentation, label smoothing and two kinds of dropout, alone, in pairs and together.

    python -m reglab.interactions

trains what `interactions.csv` beside this file does not hold yet, with a progress bar: stop it with Ctrl-C whenever you like,
and the same command goes on. All of it takes about half an hour on one core. A run is SmallCNN on 1000 training images,
measured on the 1000 validation images; test images are not looked at here.

The strengths of the techniques were set before the sweep, by eye, from single runs with another seed (10).
"""

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional

from reglab.augment import shift_and_flip
from reglab.data import Data, load
from reglab.models import SmallCNN
from reglab.recipe import calibration_error_of
from reglab.sweep import Run, Settings, read, sweep
from reglab.training import History, logits_of, one_thread, train

TABLE = Path(__file__).with_name("interactions.csv")
COMMAND = "python -m reglab.interactions"
IMAGES, LAST = 1000, 3
SEEDS = (0, 1, 2, 3, 4)

BASELINE = "none"
TECHNIQUES: dict[str, dict[str, Any]] = {
    "weight decay": {"weight_decay": 0.5},
    "augmentation": {"augmentation": True},
    "smoothing": {"smoothing": 0.1},
    "dropout": {"dropout": 0.5},
    "spatial dropout": {"spatial": 0.1},
}
RATES = (0.0, 0.25, 0.5, 0.75, 0.9)
"""Of dropout before the last layer, each with and without augmentation."""

CHOSEN = ("none", "augmentation", "smoothing")
"""The baseline, and what the rest of the sweep found best by validation loss and by validation accuracy."""
WIDTHS, LENGTHS = (8, 16, 32), (10, 30, 90)


@dataclass(frozen=True)
class Recipe:
    """How a run differs from the baseline, which these defaults are.

    Attributes:
        weight_decay: of AdamW, on all parameters.
        augmentation: shift by up to 2 pixels, and mirror (`reglab.augment`).
        smoothing: alpha of label smoothing.
        dropout: drop rate of single features before the last layer.
        spatial: drop rate of whole channels after each of the three blocks.
        width: channels of the first block; the others have 2 and 4 times as many.
        epochs: passes over the training images.
    """

    weight_decay: float = 0.0
    augmentation: bool = False
    smoothing: float = 0.0
    dropout: float = 0.0
    spatial: float = 0.0
    width: int = 16
    epochs: int = 30


def together(*names: str) -> dict[str, Any]:
    """Return the settings of several techniques at once."""
    return {key: value for name in names for key, value in TECHNIQUES[name].items()}


def name_of(names: Sequence[str]) -> str:
    """Return what a combination of techniques is called in the table."""
    missing = [name for name in TECHNIQUES if name not in names]
    if len(missing) <= 1:
        return f"all but {missing[0]}" if missing else "all"
    return " + ".join(names) if names else BASELINE


def combined() -> dict[str, Settings]:
    """Return the baseline, each technique, each pair, all five together, and all but one."""
    sizes = (0, 1, 2, 5, 4)
    return {name_of(chosen): together(*chosen) for size in sizes for chosen in combinations(TECHNIQUES, size)}


def dropout_rates() -> dict[str, Settings]:
    """Return the rates of dropout with and without augmentation that are not among `combined` already."""
    others = [rate for rate in RATES if rate not in (0.0, TECHNIQUES["dropout"]["dropout"])]
    plain: dict[str, Settings] = {f"dropout {rate:g}": {"dropout": rate} for rate in others}
    moved = {f"augmentation + {name}": {**TECHNIQUES["augmentation"], **s} for name, s in plain.items()}
    return {**plain, **moved}


def widths_and_lengths() -> dict[str, Settings]:
    """Return narrower and wider networks, and shorter and longer trainings, of a few; and everything at once for longest."""
    known = combined()
    found: dict[str, Settings] = {}
    for name in CHOSEN:
        for width in (w for w in WIDTHS if w != Recipe.width):
            found[f"{name}, width {width}"] = {**known[name], "width": width}
        for epochs in (e for e in LENGTHS if e != Recipe.epochs):
            found[f"{name}, {epochs} epochs"] = {**known[name], "epochs": epochs}
    found[f"all, {max(LENGTHS)} epochs"] = {**known["all"], "epochs": max(LENGTHS)}
    return found


def configurations() -> dict[str, Settings]:
    """Return all of the sweep, {name: how it differs from the baseline}."""
    return {**combined(), **dropout_rates(), **widths_and_lengths()}


def build(recipe: Recipe, seed: int) -> nn.Module:
    """Make the network of a recipe; one seed gives all recipes of one width the same first weights."""
    torch.manual_seed(seed)
    widths = (recipe.width, 2 * recipe.width, 4 * recipe.width)
    model = SmallCNN(partial(nn.Dropout2d, recipe.spatial) if recipe.spatial else nn.Identity, widths=widths)
    if recipe.dropout:
        model.classifier = nn.Sequential(nn.Dropout(recipe.dropout), model.classifier)  # type: ignore[assignment]
    return model


def fit(settings: Settings, seed: int, data: Data | None = None) -> tuple[nn.Module, History]:
    """Train one network as the settings say; return it with its history."""
    recipe = Recipe(**settings)
    model = build(recipe, seed)
    history = train(
        model,
        data or load().with_train(IMAGES),
        recipe.epochs,
        seed=seed,
        loss=partial(functional.cross_entropy, label_smoothing=recipe.smoothing),
        make_optimizer=lambda m: torch.optim.AdamW(m.parameters(), lr=5e-3, weight_decay=recipe.weight_decay),
        batch_transform=(lambda images, labels: (shift_and_flip(images), labels)) if recipe.augmentation else None,
    )
    return model, history


def summary(history: History) -> dict[str, float]:
    """Reduce a history to numbers: the mean of the last three epochs, and the best epoch by loss and by accuracy."""
    loss, accuracy = history.validation_loss, history.validation_accuracy
    by_loss, by_accuracy = loss.index(min(loss)), accuracy.index(max(accuracy))
    ends = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "gap")
    return {
        **{metric: history.last(metric, LAST) for metric in ends},
        "best_loss": loss[by_loss],
        "best_loss_epoch": by_loss + 1,
        "best_accuracy": accuracy[by_accuracy],
        "best_accuracy_epoch": by_accuracy + 1,
    }


def confidence_measures(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the calibration error (15 bins), and the cross-entropy after the best temperature for these very images."""

    def loss(log_t: float) -> float:
        return float(functional.cross_entropy(logits.double() / math.exp(log_t), labels))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    return {"ece": calibration_error_of(logits, labels), "tempered_loss": float(best.fun)}


def measure(settings: Settings, seed: int) -> dict[str, float]:
    """Train one network on one core and measure it on training and validation images; seconds are processor time."""
    start, data = time.process_time(), load().with_train(IMAGES)
    with one_thread():
        model, history = fit(settings, seed, data)
        logits = logits_of(model, data.validation.images)
    measured = {**summary(history), **confidence_measures(logits, data.validation.labels)}
    return {**measured, "seconds": time.process_time() - start}


def stored() -> list[Run]:
    """Return the runs of the table that comes with the course."""
    return read(TABLE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that the table does not hold yet."""
    parser = argparse.ArgumentParser(
        description="The sweep of unit 10. Stop it when you like; it goes on where it was."
    )
    parser.add_argument("--table", type=Path, default=TABLE, help="the CSV to continue (default: the course's)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="which seeds")
    options = parser.parse_args(arguments)
    wanted: Mapping[str, Settings] = configurations()
    runs = sweep(options.table, measure, wanted, options.seeds, COMMAND)
    print(f"{len(runs)} runs of {len(wanted)} configurations in {options.table}")


if __name__ == "__main__":
    main()
