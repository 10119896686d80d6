"""Make the embedded data: a class-balanced part of Fashion-MNIST, small enough to live beside the code.

    python notebooks/reglab/make_data.py [--source FOLDER] [--output FILE]

FOLDER holds the four gzipped idx files of the full set (Debian's package `dataset-fashion-mnist` puts them in
/usr/share/datasets/fashion-mnist; they are also what torchvision downloads). No random numbers are involved: of each
class the first 400 images of the official training split become the training set, the next 100 the validation set, and
the first 200 of the official test split the test set. They are stored class by class in turn (0, 1, …, 9, 0, 1, …), so
that the first 10·k images of any split are balanced too. Running it again gives the same bytes.
"""

import argparse
import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SOURCE = Path("/usr/share/datasets/fashion-mnist")
OUTPUT = Path(__file__).with_name("fashion_mnist_small.npz")
CLASSES = 10
TRAIN, VALIDATION, TEST = 400, 100, 200  # images of each class


def read_idx(path: Path) -> Bytes:
    """Read one gzipped idx file of unsigned bytes (http://yann.lecun.com/exdb/mnist describes the format)."""
    with gzip.open(path, "rb") as file:
        content = file.read()
    zero, kind, dimensions = struct.unpack(">HBB", content[:4])
    if zero != 0 or kind != 8:
        raise ValueError(f"{path} is not an idx file of unsigned bytes")
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def take(labels: Bytes, first: int, count: int) -> NDArray[np.intp]:
    """Indices of images number `first` to `first + count` of each class, the classes taking turns."""
    of_class = [np.flatnonzero(labels == label)[first : first + count] for label in range(CLASSES)]
    return np.stack(of_class, axis=1).reshape(-1)


def make(source: Path = SOURCE) -> dict[str, Bytes]:
    """The arrays of the embedded file: images (N, 28, 28) and labels (N,) for each split."""
    arrays: dict[str, Bytes] = {}
    for official, parts in (
        ("train", {"train": (0, TRAIN), "validation": (TRAIN, VALIDATION)}),
        ("t10k", {"test": (0, TEST)}),
    ):
        images = read_idx(source / f"{official}-images-idx3-ubyte.gz")
        labels = read_idx(source / f"{official}-labels-idx1-ubyte.gz")
        for split, (first, count) in parts.items():
            chosen = take(labels, first, count)
            arrays[f"{split}_images"], arrays[f"{split}_labels"] = images[chosen], labels[chosen]
    return arrays


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Make the embedded part of Fashion-MNIST.")
    parser.add_argument("--source", type=Path, default=SOURCE, help=f"folder of the idx files (default: {SOURCE})")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the .npz to write (default: beside this script)")
    options = parser.parse_args(arguments)
    arrays = make(options.source)
    # numpy dates every member 1980-01-01, so the file depends on nothing but the images.
    np.savez_compressed(options.output, allow_pickle=False, **arrays)
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: " + ", ".join(f"{k} {v.shape}" for k, v in arrays.items()) + f", {size:.1f} MB")


if __name__ == "__main__":
    main()
