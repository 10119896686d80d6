"""Multiplying one weight by many masks, in little time and memory."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _MultiplyInto(torch.autograd.Function):
    """`mask * weight`, of which the backward pass needs nothing but the mask, at one byte a coin."""

    @staticmethod
    def forward(ctx: Any, mask: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(mask.bool())
        ctx.mark_dirty(mask)
        return mask.mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (kept,) = ctx.saved_tensors
        return None, kept.to(gradients[0].dtype).mul_(gradients[0]).sum(dim=0)


def multiply_into(mask: Tensor, weight: Tensor) -> Tensor:
    """Multiply a weight by a mask for each example: `mask * weight`, written into the mask's own memory.

    A plain product is a second tensor of the size of all masks, and autograd keeps the first one beside it. Here the product
    takes the mask's place, and autograd keeps a copy of the mask as bool, a quarter of the size.

    Args:
        mask: zeros and ones in the dtype of `weight`, (N, *weight.shape). It is overwritten: do not use it afterwards.
        weight: of any shape; gradients reach it, and not the mask.

    Returns:
        The product, (N, *weight.shape).
    """
    if mask.shape[1:] != weight.shape or mask.dtype != weight.dtype:
        raise ValueError(
            f"a mask of shape (N, *{tuple(weight.shape)}) and dtype {weight.dtype} is needed, got {tuple(mask.shape)} and "
            f"{mask.dtype}"
        )
    product: Tensor = _MultiplyInto.apply(mask, weight)  # type: ignore[no-untyped-call]
    return product
