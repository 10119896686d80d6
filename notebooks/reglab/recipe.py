"""Recipes: everything that decides how a network is trained, and what trains it. The same code runs here and at grading.

`run(build_recipe, load())` trains and measures one.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from reglab.data import Data
from reglab.models import SmallCNN
from reglab.training import BatchTransform, Loss, hits, logits_of, one_thread, training_step


@dataclass(frozen=True)
class Budget:
    """What a recipe may use.

    Attributes:
        images: training images, the first of `load().train`: 50 of each class.
        steps: batches, for each of which the model goes forward once and backward once, and the optimizer makes one step.
        batch_size: images in a batch.
        parameters: numbers that the model may hold, in parameters and buffers, at most.
        processor: processor time for training and predicting, as a multiple of what the baseline takes.
    """

    images: int = 500
    steps: int = 400
    batch_size: int = 64
    parameters: int = 250_000
    processor: float = 3.0


BUDGET = Budget()


@dataclass
class Recipe:
    """A network and how it is to be trained.

    Attributes:
        model: from images (N, 1, 28, 28), normalised, to logits (N, 10).
        loss: of logits and targets, a number; the targets are labels (N,), or what `batch_transform` makes of them.
        optimizer: of the model's parameters; its `step()` is called once a batch, without arguments.
        batch_transform: from images and labels of a batch to what the network sees and what the loss gets; None for none.
        schedule: of the optimizer's learning rate; its `step()` is called after each of the optimizer's. None for none.
    """

    model: nn.Module
    loss: Loss
    optimizer: torch.optim.Optimizer
    batch_transform: BatchTransform | None = None
    schedule: Any = None


BuildRecipe = Callable[[], Recipe]


def baseline() -> Recipe:
    """The recipe without any regularization that all others are compared with: a small CNN, cross-entropy, Adam."""
    model = SmallCNN()
    return Recipe(model, functional.cross_entropy, torch.optim.Adam(model.parameters(), lr=5e-3))


class Trainer:
    """Trains a recipe, as many steps at a time as it is told to.

    Args:
        build: called once, after the seed is set.
        images: (N, 1, 28, 28), normalised.
        labels: (N,)
        seed: everything random follows from it; the order of the images has a generator of its own.
        batch_size: images a step. Batches take the images in a random order, and begin anew with another when it is used up.

    Attributes:
        recipe: what `build` returned.
    """

    def __init__(
        self, build: BuildRecipe, images: Tensor, labels: Tensor, seed: int, batch_size: int = BUDGET.batch_size
    ) -> None:
        torch.manual_seed(seed)
        self.recipe = build()
        self.recipe.model.train()
        self._steps, self._passes = 0, _counted(self.recipe.model)
        self._images, self._labels, self._batch_size = images, labels, batch_size
        self._order = torch.Generator().manual_seed(seed)
        self._waiting = torch.empty(0, dtype=torch.long)

    @one_thread()
    def train(self, steps: int) -> list[float]:
        """Make some steps; return the loss of each."""
        return [self._step() for _ in range(steps)]

    def _step(self) -> float:
        recipe = self.recipe
        loss = training_step(recipe.model, recipe.optimizer, recipe.loss, *self._next_batch(), recipe.batch_transform)
        if recipe.schedule is not None:
            recipe.schedule.step()
        self._steps += 1
        return float(loss)

    def passes(self) -> dict[str, int]:
        """Steps so far, the model's forward passes in them, and backward ones: gradients of the parameter that had most.

        A forward pass without gradients, as in predicting, is none. The budget allows one of each a step.
        """
        gradients = [count for name, count in self._passes.items() if name != "forward"]
        return {"steps": self._steps, "forward": self._passes["forward"], "backward": max(gradients, default=0)}

    def predict(self, images: Tensor) -> Tensor:
        """The logits for images, (N, 10), in evaluation mode."""
        return logits_of(self.recipe.model, images)

    def _next_batch(self) -> tuple[Tensor, Tensor]:
        while len(self._waiting) < self._batch_size:
            self._waiting = torch.cat([self._waiting, torch.randperm(len(self._labels), generator=self._order)])
        batch, self._waiting = self._waiting.split([self._batch_size, len(self._waiting) - self._batch_size])
        return self._images[batch], self._labels[batch]


def _counted(model: nn.Module) -> Counter[str | int]:
    """Count from now on: the model's forward passes with gradients, and the gradients that each parameter (by number) gets."""
    counts: Counter[str | int] = Counter()

    def forward(module: nn.Module, *_: Any) -> None:
        if module is model and torch.is_grad_enabled():  # a copy of the model takes this hook along
            counts["forward"] += 1

    model.register_forward_hook(forward)
    for number, parameter in enumerate(model.parameters()):
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda _, number=number: counts.update([number]))
    return counts


def error_of(logits: Tensor, labels: Tensor) -> float:
    """The fraction of images that are wrong (see `reglab.training.hits`)."""
    return float((~hits(logits, labels)).double().mean())


def calibration_error_of(logits: Tensor, labels: Tensor, bins: int = 15) -> float:
    """The expected calibration error of softmax(logits), with equal bins (unit 06)."""
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    excess = confidence - (predicted == labels).double()
    edges = torch.arange(1, bins) / bins
    return sum(abs(float(excess[torch.bucketize(confidence, edges) == b].sum())) for b in range(bins)) / len(labels)


@dataclass(frozen=True)
class Measured:
    """What came of a training.

    Attributes:
        error: a fraction of the images.
        calibration_error: the ECE with 15 bins, a fraction.
        seconds: processor time of training and predicting.
        losses: the loss of each step, as the recipe computes it.
        logits: for the images it was measured on.
    """

    error: float
    calibration_error: float
    seconds: float
    losses: tuple[float, ...]
    logits: Tensor


def run(build: BuildRecipe, data: Data, seed: int = 0, budget: Budget = BUDGET) -> Measured:
    """Train a recipe on the budget's images of `data.train` and measure it on `data.validation`.

    Raises:
        FloatingPointError: the loss became NaN or infinite.
    """
    images = data.train.first(budget.images)
    started = time.process_time()
    trainer = Trainer(build, images.images, images.labels, seed, budget.batch_size)
    losses = trainer.train(budget.steps)
    for step, loss in enumerate(losses, start=1):
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {step}")
    logits, labels = trainer.predict(data.validation.images), data.validation.labels
    seconds = time.process_time() - started
    return Measured(error_of(logits, labels), calibration_error_of(logits, labels), seconds, tuple(losses), logits)
