"""What is compared, and on what: settings are plain values, as they stand in the stored tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reglab.data import Name

Settings = Mapping[str, Any]

BASELINE = "baseline"

TECHNIQUES: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "weight decay": {"weight_decay": 0.05},
    "dropout": {"slot": "Dropout", "p": 0.1},
    "spatial dropout": {"slot": "SpatialDropout2d", "p": 0.1},
    "DropBlock": {"slot": "DropBlock2d", "p": 0.1, "block_size": 3},
    "DropConnect": {"head": "DropConnectLinear", "head_p": 0.3},
    "stochastic depth": {"drop_path": 0.2},
    "label smoothing": {"smoothing": 0.1},
    "mixup": {"mix": "mixup", "mix_alpha": 0.2},
    "CutMix": {"mix": "cutmix", "mix_alpha": 1.0},
    "augmentation": {"shift": 2},
}
"""Common choices, fixed before the first run and not tuned: what each technique does out of the box."""

_COMBINED = (
    ("weight decay", "dropout"),
    ("weight decay", "mixup", "DropBlock"),
    ("augmentation", "weight decay"),
    ("augmentation", "weight decay", "label smoothing"),
    ("augmentation", "weight decay", "stochastic depth"),
    ("augmentation", "weight decay", "CutMix"),
)
COMBINATIONS: dict[str, dict[str, Any]] = {
    " + ".join(names): {key: value for name in names for key, value in TECHNIQUES[name].items()}
    for names in _COMBINED
}
"""The best of them is chosen by its validation loss; test images have no say."""

CONFIGURATIONS = TECHNIQUES | COMBINATIONS

SMALL: Settings = {"width": 8, "stages": [1, 1, 1], "stride": 2}
RESNET_20: Settings = {"width": 16, "stages": [3, 3, 3], "stride": 1}
"""CIFAR's of He et al. 2016 (section 4.2), in its pre-activation form: it wants a GPU."""


@dataclass(frozen=True)
class Study:
    """What all configurations are trained on, which network, for how long; `settings` are those of every run."""

    title: str
    data: Name
    settings: Settings
    wants_gpu: bool = False


STUDIES: dict[str, Study] = {
    "embedded": Study(
        "4,000 images of Fashion-MNIST (embedded), small network",
        "embedded",
        {"epochs": 20, "batch_size": 64, **SMALL},
    ),
    "fashion_mnist": Study(
        "50,000 images of Fashion-MNIST (all), small network",
        "fashion_mnist",
        {"epochs": 4, "batch_size": 128, **SMALL},
    ),
    "fashion_mnist_resnet20": Study(
        "50,000 images of Fashion-MNIST (all), ResNet-20",
        "fashion_mnist",
        {"epochs": 15, "batch_size": 128, **RESNET_20},
        wants_gpu=True,
    ),
    "cifar10": Study(
        "45,000 images of CIFAR-10, ResNet-20",
        "cifar10",
        {"epochs": 30, "batch_size": 128, **RESNET_20},
        wants_gpu=True,
    ),
}
"""By name, which is also that of the table of stored runs."""


def configurations_of(study: str) -> dict[str, dict[str, Any]]:
    """Return the settings of every configuration in a study."""
    return {
        name: {**STUDIES[study].settings, **technique}
        for name, technique in CONFIGURATIONS.items()
    }
