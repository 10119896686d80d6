"""One run: a network, a technique, a seed, and what is measured afterwards."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from reglab.augment import shift_and_flip
from reglab.data import Data, Split, load
from reglab.models import ResNet
from reglab.training import MEASURED, evaluate, logits_of, train
from torch import Tensor, nn
from torch.nn import functional as F

from autograder.course import Course
from solutions.results.configurations import STUDIES, Settings

LEARNING_RATE = 5e-3


Measure = Callable[[Data, Settings, int], dict[str, float]]


def run_in(
    study: str, folder: Path | None, measure: Measure, settings: Settings, seed: int
) -> dict[str, float]:
    """Measure on the data of a study, which each process loads once, from `folder` (see `reglab.data.load`)."""
    return measure(_data(study, folder), settings, seed)


@cache
def _data(study: str, folder: Path | None) -> Data:
    return load(STUDIES[study].data, folder)


@cache
def _course() -> Course:
    return Course.find(Path(__file__).parent)


def course_own(exercise: str) -> Any:
    """Return the course's own implementation of an exercise."""
    return getattr(_course().unit_of(exercise).reference, exercise)


class Block(nn.Module):
    """A pre-activation residual block, with a place for what drops parts of its output, and of its branch."""

    def __init__(self, channels: int, drop_path: nn.Module, slot: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )  # fmt: skip
        self.drop_path, self.slot = drop_path, slot

    def forward(self, x: Tensor) -> Tensor:
        return self.slot(x + self.drop_path(self.branch(x)))


def build(settings: Settings, in_channels: int, num_classes: int) -> nn.Module:
    """Make the network that settings describe, with freshly drawn weights."""
    depth = sum(settings["stages"])
    rates = (
        course_own("drop_path_rates")(settings["drop_path"], depth)
        if "drop_path" in settings
        else None
    )

    def block(channels: int, number: int) -> nn.Module:
        path = course_own("DropPath")(rates[number - 1]) if rates else nn.Identity()
        slot: nn.Module = nn.Identity()
        if "slot" in settings:
            arguments = [settings[name] for name in ("p", "block_size") if name in settings]
            slot = course_own(settings["slot"])(*arguments)
        return Block(channels, path, slot)

    def head(features: int, classes: int) -> nn.Module:
        if "head" in settings:
            return course_own(settings["head"])(features, classes, settings["head_p"])
        return nn.Linear(features, classes)

    return ResNet(
        block,
        in_channels,
        num_classes,
        settings["width"],
        tuple(settings["stages"]),
        settings["stride"],
        head,
    )


def loss_of(settings: Settings) -> Callable[[Tensor, Any], Tensor]:
    """Return the training loss that settings describe."""
    if "mix" in settings:
        return lambda logits, target: course_own("mixed_cross_entropy")(logits, *target)
    if "smoothing" in settings:
        return course_own("LabelSmoothingCrossEntropy")(settings["smoothing"])
    return F.cross_entropy


def transform_of(settings: Settings) -> Callable[[Tensor, Tensor], tuple[Tensor, Any]] | None:
    """Return what is done to a batch before the network sees it."""
    if not {"shift", "mix"} & settings.keys():
        return None

    def transform(images: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        if "shift" in settings:
            images = shift_and_flip(images, settings["shift"])
        if "mix" not in settings:
            return images, labels
        mixed, *target = course_own(settings["mix"])(images, labels, settings["mix_alpha"])
        return mixed, target

    return transform


def optimizer_of(settings: Settings, steps: int, model: nn.Module) -> torch.optim.Optimizer:
    """Return AdamW whose learning rate rises and falls once in so many steps; without decay it is Adam."""
    groups = course_own("split_weight_decay")(model, settings.get("weight_decay", 0.0))
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps + 1
    )
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


def fit(settings: Settings, seed: int, data: Data, epochs: int) -> nn.Module:
    """Train a new network; the seed decides over its first weights, the order of images, and all that is dropped."""
    torch.manual_seed(seed)
    model = build(settings, data.train.images.shape[1], len(data.class_names))
    steps = epochs * -(-len(data.train) // settings["batch_size"])
    brief = replace(
        data, validation=data.validation.first(MEASURED)
    )  # looked at after each epoch
    train(
        model, brief, epochs, seed=seed, batch_size=settings["batch_size"], loss=loss_of(settings),
        make_optimizer=partial(optimizer_of, settings, steps), batch_transform=transform_of(settings),
    )  # fmt: skip
    return model


def measure(data: Data, settings: Settings, seed: int) -> dict[str, float]:
    """Train and measure: on training images, on validation images to choose by, and on test images to report.

    The temperature is fitted on validation images.
    """
    model = fit(settings, seed, data, settings["epochs"])
    train_loss, train_accuracy = evaluate(model, data.train.first(MEASURED))
    validation_loss, validation_accuracy = evaluate(model, data.validation)
    test_loss, test_accuracy = evaluate(model, data.test)
    temperature = course_own("fit_temperature")(
        logits_of(model, data.validation.images), data.validation.labels
    )
    logits = logits_of(model, data.test.images)
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "test_ece": calibration_error(logits, data.test),
        "temperature": temperature,
        "tempered_loss": float(F.cross_entropy(logits / temperature, data.test.labels)),
        "tempered_ece": calibration_error(logits / temperature, data.test),
    }


def calibration_error(logits: Tensor, split: Split) -> float:
    """Return the expected calibration error over 15 bins."""
    return float(course_own("expected_calibration_error")(logits.softmax(dim=1), split.labels))


def seconds_a_step(
    data: Data, settings: Settings, seed: int, steps: int = 40
) -> dict[str, float]:
    """Measure what a training step takes, in milliseconds, after a few to warm up."""
    few = data.with_train(steps * settings["batch_size"])
    brief = replace(few, validation=few.validation.first(10))
    fit(settings, seed, replace(brief, train=brief.train.first(5 * settings["batch_size"])), 1)
    start = time.perf_counter()
    fit(settings, seed, brief, 1)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return {"milliseconds": 1000 * (time.perf_counter() - start) / steps}
