"""What is compared, and on what: settings are plain values, as they stand in the stored tables."""

from collections.abc import Mapping
from typing import Any

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

COMBINATIONS: dict[str, dict[str, Any]] = {
    "augmentation + weight decay": {"shift": 2, "weight_decay": 0.05},
    "augmentation + weight decay + label smoothing": {
        "shift": 2,
        "weight_decay": 0.05,
        "smoothing": 0.1,
    },
    "augmentation + weight decay + stochastic depth": {
        "shift": 2,
        "weight_decay": 0.05,
        "drop_path": 0.2,
    },
    "augmentation + weight decay + CutMix": {
        "shift": 2,
        "weight_decay": 0.05,
        "mix": "cutmix",
        "mix_alpha": 1.0,
    },
}
"""The best of them is chosen by its validation loss; test images have no say."""

CONFIGURATIONS = TECHNIQUES | COMBINATIONS

BUDGETS: dict[str, dict[str, Any]] = {
    "embedded": {"epochs": 20, "batch_size": 64, "width": 8, "stages": [1, 1, 1], "stride": 2},
    "fashion_mnist": {
        "epochs": 4,
        "batch_size": 128,
        "width": 8,
        "stages": [1, 1, 1],
        "stride": 2,
    },
    "cifar10": {"epochs": 30, "batch_size": 128, "width": 16, "stages": [3, 3, 3], "stride": 1},
}
"""The network and how long it is trained, by data set. CIFAR's is the ResNet-20 of He et al. 2016: it wants a GPU."""


def settings(data: str) -> Mapping[str, Mapping[str, Any]]:
    """Return all configurations with the budget of a data set."""
    return {name: BUDGETS[data] | technique for name, technique in CONFIGURATIONS.items()}
