"""Make the hidden images: a class-balanced part of Fashion-MNIST that shares no image with the embedded one.

    python solutions/checks/hidden/make_data.py [--source FOLDER] [--output FILE]

Of each class images number 200 to 399 of the official test split; the embedded test images are the 200 before them. What
FOLDER holds, and in which order the images are stored, is said in reglab/make_data.py. Running it again gives the same bytes.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from reglab.make_data import SOURCE, TEST, Bytes, read_idx, take

OUTPUT = Path(__file__).with_name("fashion_mnist_hidden.npz")
COUNT = 200  # images of each class


def make(source: Path = SOURCE) -> dict[str, Bytes]:
    """The arrays of the file: images (N, 28, 28) and labels (N,)."""
    images = read_idx(source / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(source / "t10k-labels-idx1-ubyte.gz")
    chosen = take(labels, TEST, COUNT)
    return {"images": images[chosen], "labels": labels[chosen]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description="Make the hidden part of Fashion-MNIST.")
    parser.add_argument(
        "--source",
        type=Path,
        default=SOURCE,
        help=f"folder of the idx files (default: {SOURCE})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=OUTPUT,
        help="the .npz to write (default: beside this script)",
    )
    options = parser.parse_args(arguments)
    np.savez_compressed(options.output, allow_pickle=False, **make(options.source))
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
