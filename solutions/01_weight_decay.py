# ---
# jupyter:
#   autograder: {title: Weight decay, technique: Pulling weights towards zero, paper: "Loshchilov & Hutter 2019", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% setup=true
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %% exercise="l2_penalty"
def l2_penalty(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    """TODO.

    Args:

    Shape:

    Returns:
    """
    ### BEGIN SOLUTION
    return 0.5 * weight_decay * sum(p.square().sum() for p in params)
    ### END SOLUTION


# %% exercise="sgd_step"
def sgd_step(
    params: Iterable[nn.Parameter],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """TODO.

    Args:

    Shape:

    Returns:
    """
    ### BEGIN SOLUTION
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            direction = p.grad + weight_decay * p  # a new tensor: .grad stays as it is
            if momentum:
                if p in buffers:
                    direction = momentum * buffers[p] + direction
                buffers[p] = direction
            p -= lr * direction
    return buffers
    ### END SOLUTION


# %% exercise="adamw_step"
def adamw_step(
    params: Iterable[nn.Parameter],
    state: dict[Any, Any],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """TODO.

    Args:

    Shape:

    Returns:
    """
    ### BEGIN SOLUTION
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            m, v, t = state.get(p, (torch.zeros_like(p), torch.zeros_like(p), 0))
            m, v = m.lerp(p.grad, 1 - betas[0]), v.lerp(p.grad.square(), 1 - betas[1])
            state[p] = (m, v, t + 1)
            first, second = (x / (1 - b ** (t + 1)) for x, b in zip((m, v), betas, strict=True))
            p *= 1 - lr * weight_decay
            p -= lr * first / (second.sqrt() + eps)
    ### END SOLUTION


# %% exercise="split_weight_decay"
def split_weight_decay(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """TODO.

    Args:

    Shape:

    Returns:
    """
    ### BEGIN SOLUTION
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    ### END SOLUTION
