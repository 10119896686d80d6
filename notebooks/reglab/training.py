"""Train, evaluate, repeat over seeds: the same few lines for every unit, so that only the technique differs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.stats import t
from torch import Tensor, nn
from torch.nn import functional

from reglab.data import Data, Split
from reglab.models import evaluating

Loss = Callable[[Tensor, Any], Tensor]
BatchTransform = Callable[[Tensor, Tensor], tuple[Tensor, Any]]
"""From images and labels of a batch to what the network sees and what the loss gets beside the logits."""

MakeOptimizer = Callable[[nn.Module], torch.optim.Optimizer]

# Measuring all training images after each epoch would cost as much as training on them.
MEASURED = 1000


@dataclass
class History:
    """What was measured after each epoch, always in evaluation mode (nothing dropped), so that the curves compare."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.validation_loss)

    @property
    def gap(self) -> list[float]:
        """Validation loss minus training loss, by epoch: how much better the network does on what it has seen."""
        return [v - t for v, t in zip(self.validation_loss, self.train_loss, strict=True)]

    def last(self, metric: str, epochs: int = 1) -> float:
        """A metric (a field's name, or "gap") averaged over the last epochs, which is steadier than the last alone."""
        values: list[float] = getattr(self, metric)[-epochs:]
        return sum(values) / len(values)


def device() -> torch.device:
    """The fastest device here: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one processor core, and put its number of threads back afterwards.

    Networks this small gain little from more, and where another program keeps a core busy the threads wait for one
    another: on two cores we measured training to take six times as long. Results, too, no longer depend on the number
    of cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """The logits for all images, on the CPU, in evaluation mode (see `reglab.models.evaluating`)."""
    place = next(model.parameters()).device
    with evaluating(model):
        return torch.cat([model(batch.to(place)) for batch in images.split(batch_size)]).cpu()


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images are right, (N,) bool: their label comes first when classes are ranked by their logits.

    It does not if it shares the first place, or if the logits are NaN.
    """
    return (logits >= logits.gather(1, labels.unsqueeze(1))).sum(dim=1) == 1


def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy and accuracy (a fraction; see `hits`) on a split, in evaluation mode."""
    logits, labels = logits_of(model, split.images), split.labels.cpu()
    return float(functional.cross_entropy(logits, labels)), int(hits(logits, labels).sum()) / len(split)


def training_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    images: Tensor,
    labels: Tensor,
    batch_transform: BatchTransform | None = None,
) -> Tensor:
    """Make one step on a batch, changed by `batch_transform` beforehand; return the loss, a 0-d tensor."""
    target: Any = labels
    if batch_transform is not None:
        images, target = batch_transform(images, labels)
    optimizer.zero_grad()
    value = loss(model(images), target)
    value.backward()
    optimizer.step()
    return value.detach()


@one_thread()
def train(
    model: nn.Module,
    data: Data,
    epochs: int,
    lr: float = 5e-3,
    seed: int = 0,
    batch_size: int = 64,
    loss: Loss = functional.cross_entropy,
    make_optimizer: MakeOptimizer | None = None,
    batch_transform: BatchTransform | None = None,
) -> History:
    """Train `model` in place on `data.train` and return its history.

    Everything random follows from `seed`: the order of the images has a generator of its own, so two models trained
    with one seed see the same batches, whatever else they draw (dropout masks, say).

    Args:
        model: moved to `device()`.
        data: trained on `train`, measured on the first 1000 images of `train` and on `validation`.
        epochs: passes over the training images.
        lr: learning rate of Adam; without effect where `make_optimizer` is given.
        seed: a whole number.
        batch_size: images a step.
        loss: of logits and labels, or of logits and what `batch_transform` makes of labels.
        make_optimizer: from the model; Adam by default.
        batch_transform: changes each batch of training images before the network sees it, as augmentation or mixup do.
    """
    place = device()
    model.to(place)
    optimizer = make_optimizer(model) if make_optimizer else torch.optim.Adam(model.parameters(), lr=lr)
    train_split = data.train.to(place)
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    history = History()
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(train_split), generator=order).to(place).split(batch_size):
            training_step(model, optimizer, loss, train_split.images[batch], train_split.labels[batch], batch_transform)
        for name, split in (("train", train_split.first(MEASURED)), ("validation", data.validation)):
            mean_loss, accuracy = evaluate(model, split)
            getattr(history, f"{name}_loss").append(mean_loss)
            getattr(history, f"{name}_accuracy").append(accuracy)
    return history


def over_seeds(
    build: Callable[[], nn.Module],
    data: Data,
    epochs: int,
    seeds: Iterable[int] = (0, 1, 2),
    lr: float = 5e-3,
    batch_size: int = 64,
    loss: Loss = functional.cross_entropy,
    make_optimizer: MakeOptimizer | None = None,
    batch_transform: BatchTransform | None = None,
) -> list[History]:
    """Build and train one model a seed; the other arguments are those of `train`.

    The seed is set before `build()` too, so configurations compared over the same seeds start, seed by seed, from the
    same weights and see the same batches: what differs between them is the technique.
    """
    histories = []
    for seed in seeds:
        torch.manual_seed(seed)
        model = build()
        histories.append(train(model, data, epochs, lr, seed, batch_size, loss, make_optimizer, batch_transform))
    return histories


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1) of at least two values, one a seed."""
    if len(values) < 2:
        raise ValueError("the spread of fewer than two values is not known")
    tensor = torch.tensor(values, dtype=torch.float64)
    return float(tensor.mean()), float(tensor.std())


def differs(differences: Sequence[float]) -> bool:
    """Whether the mean of paired differences, one a seed, is farther from 0 than chance alone takes it in 19 of 20 cases.

    This is the two-sided t test: with n differences, the mean has to be beyond that many standard errors which Student's t
    with n - 1 degrees of freedom exceeds once in twenty times: 2.8 for five seeds, 4.3 for three.
    """
    mean, spread = mean_and_spread(differences)
    count = len(differences)
    return bool(abs(mean) > t.ppf(0.975, count - 1) * spread / count**0.5)
