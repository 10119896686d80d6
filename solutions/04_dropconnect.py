# ---
# jupyter:
#   autograder: {title: DropConnect, technique: Dropping single connections, paper: "Wan et al. 2013", minutes: 90}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # DropConnect

# %% setup=true
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder import check, progress, ready
from reglab.masking import multiply_into


# %% exercise="drop_connect_linear"
def drop_connect_linear(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """Apply a linear layer whose weights and biases are masked, for each example by masks of its own.

    Output n is `(weight_mask[n] * weight) @ x[n] + bias_mask[n] * bias`. The masks are multiplied
    as they are: nothing is drawn here, and nothing rescaled.

    Args:
        x: a batch of examples.
        weight: the weights of the layer, one row for each output, as in `nn.Linear`.
        bias: the biases of the layer.
        weight_mask: for each example a mask of the weights, in the dtype of x: zeros and ones, or
            rescaled, or any numbers at all.
        bias_mask: for each example a mask of the biases, likewise.

    Shape:
        - x: (N, I)
        - weight: (O, I); bias: (O,)
        - weight_mask: (N, O, I); bias_mask: (N, O)
        - Output: (N, O)

    Returns:
        The output, in the dtype of x. Gradients reach x, the weight and the bias; no argument is
        changed.
    """
    ### BEGIN SOLUTION
    thinned = weight_mask * weight  # (N, O, I): a matrix for each example
    return torch.einsum("noi,ni->no", thinned, x) + bias_mask * bias
    ### END SOLUTION


# %% [markdown]
# <!-- hints: drop_connect_linear -->

# %% check="drop_connect_linear"
check(drop_connect_linear)


# %% exercise="DropConnectLinear"
class DropConnectLinear(nn.Module):
    """A linear layer with DropConnect (Wan et al. 2013).

    In training, each weight and each bias is dropped with probability `p`, for each example by a
    coin of its own, and what is kept is divided by 1 - p. In evaluation, and for p = 0, the layer
    is the linear layer with all its weights. For p = 1, training gives zeros.

    Args:
        in_features: the number I of inputs.
        out_features: the number O of outputs.
        p: the probability of dropping a weight or a bias.

    Shape:
        - Input: (N, I)
        - Output: (N, O), in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. The message shows p.

    The layer has two parameters, a weight (O, I) and a bias (O,), whatever their names; an
    `nn.Linear` may hold them. It stores no masks: they are drawn anew for each call. The library's
    dropout may not draw them for you.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.linear, self.p = nn.Linear(in_features, out_features), p
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if not self.training or self.p == 0:
            return self.linear(x)
        weight, bias = self.linear.weight, self.linear.bias
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0  # 0/0 would be NaN
        # Zeros and ones, in the memory of the random numbers that they come from.
        weight_mask = torch.rand(len(x), *weight.shape, device=x.device).ge_(self.p)
        bias_mask = torch.rand(len(x), *bias.shape, device=x.device).ge_(self.p)
        # As drop_connect_linear, with one tensor (N, O, I) instead of two: see "What it costs".
        thinned = multiply_into(weight_mask.to(x.dtype), weight * scale)
        y = torch.bmm(x.unsqueeze(1), thinned.transpose(1, 2)).squeeze(1)
        return y + bias_mask.to(x.dtype) * (bias * scale)
        ### END SOLUTION


# %% [markdown]
# <!-- hints: DropConnectLinear -->

# %% check="DropConnectLinear"
check(DropConnectLinear)


# %% exercise="drop_connect_moments"
def drop_connect_moments(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Compute mean and variance of a DropConnect layer's output, over all its masks.

    The masks are those of training: each weight and each bias is 0 with probability p and else
    divided by 1 - p, independently. No random number is needed.

    Args:
        x: a batch of examples.
        weight: the weights of the layer.
        bias: the biases of the layer.
        p: the probability of dropping, in [0, 1).

    Shape:
        - x: (N, I); weight: (O, I); bias: (O,)
        - mean and variance: (N, O) each

    Returns:
        The pair (mean, variance), in the dtype of x. No argument is changed.

    Raises:
        ValueError: if p is not in [0, 1). The message shows p.
    """
    ### BEGIN SOLUTION
    if not 0 <= p < 1:
        raise ValueError(f"the drop probability has to be in [0, 1), but p is {p}")
    mean = functional.linear(x, weight, bias)
    squares = functional.linear(x.square(), weight.square(), bias.square())
    return mean, squares * (p / (1 - p))
    ### END SOLUTION


# %% [markdown]
# <!-- hints: drop_connect_moments -->

# %% check="drop_connect_moments"
check(drop_connect_moments)


# %% exercise="drop_connect_inference"
def drop_connect_inference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    p: float,
    activation: Callable[[Tensor], Tensor],
    n_samples: int,
) -> Tensor:
    """Estimate the mean activation of a DropConnect layer by sampling from its moments.

    Pre-activations are drawn from normal distributions with the layer's mean and variance, with
    noise of its own for each sample, example and output; the activation is applied to each, and
    then the average taken over the samples.

    Args:
        x: a batch of examples.
        weight: the weights of the layer.
        bias: the biases of the layer.
        p: the probability of dropping, in [0, 1).
        activation: a function of tensors that works element by element, such as `torch.relu`.
        n_samples: how many samples are averaged, at least 1.

    Shape:
        - x: (N, I); weight: (O, I); bias: (O,)
        - Output: (N, O)

    Returns:
        The average of the activations, in the dtype of x. At p = 0 it is the activation of the
        ordinary output.

    Raises:
        ValueError: if p is not in [0, 1). The message shows p.
    """
    ### BEGIN SOLUTION
    mean, variance = drop_connect_moments(x, weight, bias, p)
    noise = torch.randn(n_samples, *mean.shape, dtype=mean.dtype, device=mean.device)
    return activation(mean + variance.sqrt() * noise).mean(dim=0)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: drop_connect_inference -->

# %% check="drop_connect_inference"
check(drop_connect_inference)


# %% exercise="DropConnectConv2d"
class DropConnectConv2d(nn.Module):
    """A convolution with DropConnect: each example has kernels of its own, with weights missing.

    In training, each weight of each kernel, and each bias, is dropped with probability `p`, for
    each example by a coin of its own, and what is kept is divided by 1 - p. In evaluation, and for
    p = 0, the layer is an ordinary convolution. For p = 1, training gives zeros.

    Args:
        in_channels: the number C of channels of the input.
        out_channels: the number O of channels of the output.
        kernel_size: the height and width k of the kernels, one number.
        p: the probability of dropping a weight or a bias.
        padding: how many rows and columns of zeros are put around the input on each side.

    Shape:
        - Input: (N, C, H, W)
        - Output: (N, O, H + 2 padding - k + 1, W + 2 padding - k + 1), in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. The message shows p.

    The layer has two parameters, a weight (O, C, k, k) and a bias (O,), whatever their names; an
    `nn.Conv2d` may hold them. It stores no masks: they are drawn anew for each call. The library's
    dropout may not draw them for you.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
        self.p = p
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if not self.training or self.p == 0:
            return self.conv(x)
        n, weight, bias = len(x), self.conv.weight, self.conv.bias
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        weight_mask = torch.rand(n, *weight.shape, device=x.device).ge_(self.p).to(x.dtype)
        bias_mask = torch.rand(n, *bias.shape, device=x.device).ge_(self.p).to(x.dtype)
        kernels = multiply_into(weight_mask, weight * scale).flatten(0, 1)  # (N · O, C, k, k)
        # A group is an example: its C channels meet its own O kernels and no others.
        side_by_side, padding = x.flatten(0, 1).unsqueeze(0), self.conv.padding
        maps = functional.conv2d(side_by_side, kernels, padding=padding, groups=n)
        y = maps.squeeze(0).unflatten(0, (n, len(bias)))
        return y + (bias_mask * (bias * scale))[:, :, None, None]
        ### END SOLUTION


# %% [markdown]
# <!-- hints: DropConnectConv2d -->

# %% check="DropConnectConv2d"
check(DropConnectConv2d)

# %% [markdown]
# ## Q

# %% [markdown] written="why"
# **Your answer**
#
# ### BEGIN SOLUTION
# Text.
# ### END SOLUTION

# %%
progress()
