"""The images: `load()` needs no network; `load("fashion_mnist")` and `load("cifar10")` download the full sets."""

import gzip
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Name = Literal["embedded", "fashion_mnist", "cifar10"]

EMBEDDED = Path(__file__).with_name("fashion_mnist_small.npz")
DEBIANS = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the full set: it need not be downloaded there."""

FASHION_CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


class DataUnavailable(RuntimeError):
    """The images asked for are neither on this machine nor to be downloaded; the message says what to do."""


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W), float32 and normalised, with their labels (N,), int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Split":
        """The first `count` images; of embedded data, a multiple of 10 is balanced over the classes."""
        return Split(self.images[:count], self.labels[:count])

    def to(self, device: torch.device | str) -> "Split":
        """The same on another device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Data:
    """One data set in three parts that share no image.

    Train on `train`, choose by `validation`, and look at `test` once, at the end. Pixels were scaled to [0, 1], then
    normalised per colour channel with `mean` and `std`, both computed on the training images alone.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def with_train(self, count: int) -> "Data":
        """The same with only the first `count` training images; of embedded data, a multiple of 10 is balanced."""
        return replace(self, train=self.train.first(count))

    def pixels(self, images: Tensor) -> Tensor:
        """Undo the normalisation: the images as values in [0, 1], to be looked at."""
        shape = (len(self.mean), 1, 1)
        mean, std = images.new_tensor(self.mean).view(shape), images.new_tensor(self.std).view(shape)
        return (images * std + mean).clamp(0, 1)


def load(name: Name = "embedded", cache: Path | str | None = None) -> Data:
    """Load a data set.

    Args:
        name: "embedded", 4000 training, 1000 validation and 2000 test images of Fashion-MNIST that come with the
            course; "fashion_mnist", all of it (50 000, 10 000, 10 000); "cifar10", colour images (45 000, 5 000, 10 000).
        cache: the folder for downloads; by default the environment variable REGLAB_DATA, else ~/.cache/reglab.

    Raises:
        DataUnavailable: the images are not here and cannot be downloaded.
        ValueError: there is no data set of that name.
    """
    if name == "embedded":
        return _embedded()
    if name not in get_args(Name):
        raise ValueError(f"there is no data set {name!r}; choose one of {', '.join(get_args(Name))}")
    return _downloaded(name, Path(cache or os.environ.get("REGLAB_DATA") or Path.home() / ".cache" / "reglab"))


def _embedded() -> Data:
    try:
        with np.load(EMBEDDED, allow_pickle=False) as file:
            arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    except (OSError, ValueError) as error:
        raise DataUnavailable(
            f"{EMBEDDED} is missing or damaged: restore it from the course, or make it again with make_data.py there"
        ) from error
    splits = {
        part: (arrays[f"{part}_images"].unsqueeze(1), arrays[f"{part}_labels"].long())
        for part in ("train", "validation", "test")
    }
    return _normalised("embedded", splits, FASHION_CLASSES)


def _downloaded(name: str, cache: Path) -> Data:
    from torchvision import datasets

    try:
        if name == "fashion_mnist":
            _unpack_debians(cache / "FashionMNIST" / "raw")
            fashion = [datasets.FashionMNIST(cache, train=train, download=True) for train in (True, False)]
            (images, labels), (test_images, test_labels) = [(s.data.unsqueeze(1), s.targets) for s in fashion]
            held_out, class_names = 10_000, FASHION_CLASSES
        else:
            cifar = [datasets.CIFAR10(str(cache), train=train, download=True) for train in (True, False)]
            (images, labels), (test_images, test_labels) = [
                (torch.from_numpy(s.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(s.targets)) for s in cifar
            ]
            held_out, class_names = 5_000, tuple(cifar[0].classes)
    except (OSError, RuntimeError) as error:
        raise DataUnavailable(
            f"{name} is not in {cache} and cannot be downloaded ({type(error).__name__}): connect to the internet once, "
            'set REGLAB_DATA to a folder that holds it, or use load("embedded"), which needs neither'
        ) from error
    splits = {
        "train": (images[:-held_out], labels[:-held_out]),
        "validation": (images[-held_out:], labels[-held_out:]),
        "test": (test_images, test_labels),
    }
    return _normalised(name, splits, class_names)


def _unpack_debians(folder: Path) -> None:
    """Put the files of Debian's package where torchvision would download them to, unless there are some already."""
    if DEBIANS.is_dir() and not folder.exists():
        folder.mkdir(parents=True)
        for path in sorted(DEBIANS.glob("*-ubyte.gz")):
            (folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))


def _normalised(name: str, splits: dict[str, tuple[Tensor, Tensor]], class_names: tuple[str, ...]) -> Data:
    """Bytes to float32, scaled to [0, 1], with zero mean and unit variance per channel over the training images."""
    std, mean = torch.std_mean(splits["train"][0] / 255.0, dim=(0, 2, 3), correction=0)
    shape = (1, -1, 1, 1)

    def split(part: str) -> Split:
        images, labels = splits[part]
        return Split((images / 255.0 - mean.view(shape)) / std.view(shape), labels)

    parts = (split("train"), split("validation"), split("test"))
    return Data(name, *parts, class_names, tuple(mean.tolist()), tuple(std.tolist()))
