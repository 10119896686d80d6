"""A small CNN with slots for a regularizer, a residual network, and a way to read feature maps."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Three blocks of (3x3 convolution with stride 2, ReLU, slot), then one linear layer.

    The slot is where a regularizer of feature maps goes: `regularizer` is called once for each block in `where`, so
    each has a layer of its own; elsewhere the slot is `nn.Identity()`. There is no batch normalisation, so that the
    effect of one technique is seen alone. The stride halves the maps at a fraction of what pooling costs on a CPU.

    Args:
        regularizer: called without arguments, returns the layer for a slot, for instance `lambda: nn.Dropout(0.2)`.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number K of classes.
        where: the blocks that get a regularizer, counted from 1.
        widths: the number of channels of each block.

    Shape:
        - Input: (N, C, H, W)
        - Output: logits, (N, K)
    """

    def __init__(
        self,
        regularizer: Callable[[], nn.Module] = nn.Identity,
        in_channels: int = 1,
        num_classes: int = 10,
        where: Collection[int] = (1, 2, 3),
        widths: tuple[int, ...] = (16, 32, 64),
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for number, (before, after) in enumerate(pairwise((in_channels, *widths)), start=1):
            convolution = nn.Conv2d(before, after, 3, stride=2, padding=1)
            slot = regularizer() if number in where else nn.Identity()
            self.blocks.append(nn.Sequential(convolution, nn.ReLU(), slot))
        self.pool = nn.AdaptiveAvgPool2d(3)
        self.classifier = nn.Linear(9 * widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return torch.as_tensor(self.classifier(self.pool(x).flatten(1)))


class ResNet(nn.Module):
    """A residual network with pre-activation (He et al. 2016, "Identity mappings"), as small as CIFAR's or smaller.

    A 3x3 convolution, then stages of blocks of one width; between two stages a 3x3 convolution with stride 2 that doubles
    the width and halves the maps; at the end batch normalisation, ReLU, the mean over all positions, and a linear layer.

    Args:
        block: called once a block with its channels and its number, l = 1 to depth counted over all stages; returns a module
            that keeps shapes.
        in_channels: 1 for grey images, 3 for colour.
        num_classes: the number K of classes.
        width: channels of the first stage.
        stages: how many blocks each stage has.
        stride: of the first convolution; 2 makes everything four times as fast.
        head: makes the last layer from the number of features and of classes.

    Shape:
        - Input: (N, C, H, W)
        - Output: logits, (N, K)
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        in_channels: int = 1,
        num_classes: int = 10,
        width: int = 16,
        stages: tuple[int, ...] = (1, 1, 1),
        stride: int = 1,
        head: Callable[[int, int], nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.blocks = nn.Sequential()
        number = 0
        for stage, blocks in enumerate(stages):
            if stage:
                self.blocks.append(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False))
                width *= 2
            for _ in range(blocks):
                number += 1
                self.blocks.append(block(width, number))
        self.end = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = head(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.classifier(self.end(self.blocks(self.stem(x)))))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, and afterwards each of its modules back in the mode it was in.

    `model.train(was_training)` would not do: it puts all modules in one mode, also a part that was kept in another.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training


@contextmanager
def recording(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Record what the named submodules return, as {name: output} of the latest forward pass.

        with recording(model, ["blocks.0.1"]) as outputs:
            model(x)
        outputs["blocks.0.1"]

    Names are those of `model.named_modules()`. The hooks are gone when the block ends.
    """
    outputs: dict[str, Tensor] = {}

    def save(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs[name] = output.detach()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(save(name)) for name in names]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def feature_maps(model: SmallCNN, images: Tensor) -> list[Tensor]:
    """The feature maps that enter each slot, (N, C, H, W) a block, on the CPU, in evaluation mode (see `evaluating`)."""
    names = [f"blocks.{index}.1" for index in range(len(model.blocks))]
    with evaluating(model), recording(model, names) as outputs:
        model(images.to(next(model.parameters()).device))
    return [outputs[name].cpu() for name in names]
