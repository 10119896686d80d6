"""Multiplying one weight by many masks, without holding more of it than needed."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Masked(torch.autograd.Function):
    """`weight * keep`, of which the backward pass needs the mask alone, at one byte a coin."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        return keep.to(weight.dtype, copy=True).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return keep.to(gradients[0].dtype, copy=True).mul_(gradients[0]).sum(dim=0), None


def masked(weight: Tensor, keep: Tensor) -> Tensor:
    """Multiply a weight by a mask for each example: `weight * keep`, in less time and memory.

    A plain product of a float and a bool tensor converts each value on its own, which on a CPU takes as long as drawing the
    mask; converting the mask first is fast, but then autograd keeps it beside the product. Here the mask is converted into
    the tensor in which the product is then made, and only the bool mask is kept.

    Args:
        weight: of any shape; gradients reach it.
        keep: bool, (N, *weight.shape).

    Returns:
        (N, *weight.shape), in the dtype of `weight`.
    """
    if keep.shape[1:] != weight.shape:
        raise ValueError(f"a mask of shape (N, *{tuple(weight.shape)}) is needed, got {tuple(keep.shape)}")
    product: Tensor = _Masked.apply(weight, keep)  # type: ignore[no-untyped-call]
    return product
