# ---
# jupyter:
#   autograder: {title: DropConnect, technique: Dropping single connections, paper: "Wan et al. 2013", minutes: 90}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # DropConnect
#
# **After this notebook you will be able to**
#
# - say what is dropped in DropConnect and in dropout, and show that the latter is a special case, with a mask;
# - build DropConnect for linear layers and for convolutions, with a mask for each example;
# - derive mean and variance of a unit under all masks, and use them for inference;
# - tell what it costs, in time and in memory, and whether it paid here.
#
# **Time:** about 90 minutes. **Before it:** unit 02 (dropout), and what mean and variance of a sum are.
# **The paper:** L. Wan, M. Zeiler, S. Zhang, Y. LeCun and R. Fergus, *Regularization of Neural Networks using
# DropConnect*, ICML 2013, [online](https://proceedings.mlr.press/v28/wan13.html), sections 2 and 3.
#
# **Conventions.** As everywhere in this course, $p$ is the probability of *dropping*; training divides what is kept by
# $1-p$; evaluation uses all the weights as they are. In the paper $p$ is the probability of *keeping*, and masks are
# not rescaled, so its formulas for mean and variance have other factors than ours. $N$ is the number of examples, $I$
# of inputs and $O$ of outputs.

# %% setup=true
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready
from reglab.masking import multiply_into

# %%
import time
from itertools import product
from math import exp, log, pi, prod, sqrt

from reglab.data import load
from reglab.memory import peak_bytes
from reglab.models import SmallCNN, evaluating, recording
from reglab.plots import COLOURS, LINES, curves, final_values, grid, lines, show
from reglab.predict import predict
from reglab.training import differs, mean_and_spread, one_thread, train
from reglab.widgets import connection_explorer

# %% [markdown]
# ## 1 · A unit, or one of its connections
#
# Dropout removes units. If a unit is dropped, everything that it would have said is gone, to all who listen.
# DropConnect removes *connections*: a unit still speaks, but some of its listeners do not hear it. Here is a layer with
# two inputs and two outputs, and one example that is sent through it under four masks.

# %%
x = torch.tensor([1.0, 10.0])
weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # a row for each output
masks = {
    "all connections": [[1, 1], [1, 1]],
    "dropout of input 1": [[0, 1], [0, 1]],
    "dropout of output 1": [[0, 0], [1, 1]],
    "DropConnect": [[0, 1], [1, 0]],
}
for name, mask in masks.items():
    print(f"{name:20} {mask}: output {((torch.tensor(mask) * weight) @ x).tolist()}")

# %% [markdown]
# Check the last line by hand: output 1 hears only input 2, and output 2 only input 1. Neither input is gone, and
# neither output. A mask over the weights can do what dropout of the inputs does (a column of zeros) and what dropout
# of the outputs does (a row of zeros), and much else. With $I$ inputs and $O$ outputs dropout chooses among $2^I$
# thinned layers, or $2^O$; DropConnect among $2^{I \cdot O}$.
#
# ## 2 · The mathematics
#
# **The layer.** For one example $x$, with a mask $M$ over the weights $W$, a mask $m$ over the biases $b$, and an
# activation $a$,
#
# $$y = a\big((M \circ W)\,x + m \circ b\big), \qquad M_{oi},\, m_o \in \Big\{0,\; \frac{1}{1-p}\Big\}, \qquad
#   P(M_{oi} = 0) = P(m_o = 0) = p,$$
#
# all coins independent ($\circ$ multiplies element by element). Two things are easily overlooked. **Each example has masks
# of its own**: a batch needs $N \cdot O \cdot I$ coins for the weights and $N \cdot O$ for the biases. With one mask for
# the batch all examples of a step would train the same thinned network. And **the
# bias is masked too**: it is the weight of one more input, which is always 1.
#
# **Why a mask each?** Let $g_n$ be the gradient of example $n$ for a weight, which depends on its mask. Over the masks of a
# given batch, the mean gradient has the variance
#
# $$\operatorname{Var}\Big(\frac1N\sum_n g_n\Big) = \frac1{N^2}\sum_n \operatorname{Var}(g_n) \;\text{ with a mask each}, \qquad
#   \frac1{N^2}\sum_n\sum_m \operatorname{Cov}(g_n, g_m) \;\text{ with one for all},$$
#
# because gradients with masks of their own are independent. The second is up to $N$ times as large, if the $g_n$ go
# together. Section 4 measures it.
#
# **Dropout is a special case.** Let $M_{oi} = d_i$, one coin for each input, the same for all outputs. Then
# $((M \circ W)x)_o = \sum_i W_{oi}\, d_i x_i$, the layer applied to the dropped-out input $d \circ x$. Let instead
# $M_{oi} = m_o = e_o$, one coin for each output, the bias included: then the pre-activation is $e \circ (Wx + b)$, and
# if $a(0) = 0$ as for a ReLU, $y = e \circ a(Wx + b)$, dropout of the layer's outputs (since $a(cz) = c\,a(z)$ for
# a ReLU and $c \ge 0$, the factor $1/(1-p)$ passes too). In DropConnect the coins of a row, or a column, are no longer
# tied together.
#
# **Mean and variance.** Take one pre-activation, $z = \sum_i M_i w_i x_i + m\,b$. One coin has
# $\mathbb E[M_i] = (1-p)\frac1{1-p} = 1$ and $\mathbb E[M_i^2] = (1-p)\frac1{(1-p)^2} = \frac1{1-p}$, so
# $\operatorname{Var}(M_i) = \frac1{1-p} - 1 = \frac{p}{1-p}$. A constant factor comes out of a mean as it is and out of
# a variance squared; and the coins are independent, so variances add up:
#
# $$\boxed{\;\mathbb E[z] = \sum_i w_i x_i + b, \qquad
#   \operatorname{Var}(z) = \frac{p}{1-p}\Big(\sum_i w_i^2 x_i^2 + b^2\Big)\;}$$
#
# The rows of $M$ have coins of their own, so for a given $x$ the units of a layer are independent, and the two moments of each
# describe them all. (With dropout of the inputs they share coins: the pre-activations $z_o$ and $z_{o'}$ have covariance
# $\frac{p}{1-p}\sum_i w_{oi}\, w_{o'i}\, x_i^2$.)
#
# The mean is that of the whole layer, which is why we rescale. The variance is a sum of *squares*: square first, then add.
# $(\sum_i w_i x_i + b)^2$ would be right if one coin decided over all connections of the unit, which is dropout of it.
#
# **The shape of the distribution.** $z$ is a sum of many small independent terms, so by the central limit theorem it is
# nearly normal if no few of the terms dominate. (They have different variances; Lyapunov's condition makes it exact: the sum of
# the terms' third absolute central moments is small beside $s^3$.) So $z \approx \mathcal N(\mu, s^2)$ with the two moments, and no mask
# need be drawn to sample from it.
#
# **Why the mean network is not the mean of the networks.** What we would like at inference is the average over masks,
# $\mathbb E[a(z)]$. Using all weights gives $a(\mathbb E[z])$ instead. For a ReLU and a normal $z$ the integral can be
# done: with $\varphi$ and $\Phi$ the density and the distribution function of the standard normal,
#
# $$\mathbb E[\max(z, 0)] = \int_0^\infty z\,\tfrac1s\varphi\big(\tfrac{z-\mu}{s}\big)\,dz
#   = \mu\,\Phi(\mu/s) + s\,\varphi(\mu/s) \;\ge\; \max(\mu, 0).$$
#
# (Substitute $z = \mu + s t$ and use $\int t\,\varphi(t)\,dt = -\varphi(t)$.) The inequality is
# Jensen's: a ReLU is convex. The two sides agree where $|\mu| \gg s$ and differ most at $\mu = 0$. For a smooth activation
# Taylor to second order at $\mu$, with $\mathbb E[z - \mu] = 0$ and $\mathbb E[(z-\mu)^2] = s^2$, gives
# $\mathbb E[a(z)] - a(\mu) \approx \frac12 a''(\mu)\,s^2$: it is the curvature of the activation that makes the difference. A
# ReLU has all of its curvature in the kink.

# %%
q1 = predict(
    "Over its masks a unit has mean 0 and standard deviation 1. The mean network's ReLU is 0. What is the mean of the "
    "ReLU over the masks?",
    ["0", "about 0.4", "0.5", "1"],
    mine=None,
)

# %% [markdown]
# ### Check it on one unit
#
# One unit with three inputs and a bias has only 16 masks. We go through all of them, each weighted by its probability,
# and compare with the box. No random numbers, no approximation. (This one has mean 5, so its ReLU loses little. The last line
# is the unit of the question.)

# %%
terms, p = [2.0, -1.0, 3.0, 1.0], 0.25  # w1 x1, w2 x2, w3 x3, b
chances, sums = [], []
for kept in product([0, 1], repeat=4):
    chances.append(prod(1 - p if k else p for k in kept))
    sums.append(sum(k * term for k, term in zip(kept, terms, strict=True)) / (1 - p))
mean = sum(c * z for c, z in zip(chances, sums, strict=True))
variance = sum(c * (z - mean) ** 2 for c, z in zip(chances, sums, strict=True))
print(f"over all masks: mean {mean:.3f}, variance {variance:.3f}")
print(
    f"by the box:     mean {sum(terms):.3f}, variance {p / (1 - p) * sum(t * t for t in terms):.3f}"
)
print(f"square of the sum instead: {p / (1 - p) * sum(terms) ** 2:.3f}")
relu = sum(c * max(z, 0) for c, z in zip(chances, sums, strict=True))
print(f"mean of the ReLU {relu:.3f}, ReLU of the mean {max(mean, 0):.3f}")
step = 0.001  # now a normal unit with mean 0 and standard deviation 1, by its density
normal = sum(z * exp(-z * z / 2) * step for z in (step * k for k in range(8000))) / sqrt(2 * pi)
print(
    f"normal, mean 0, standard deviation 1: mean of the ReLU {normal:.3f}, ReLU of the mean 0"
)
q1.compare(
    "abcd"[min(range(4), key=lambda k: abs([0, 0.4, 0.5, 1][k] - normal))],
    "phi(0) = 1/sqrt(2 pi) = 0.399: negative values count as 0, positive ones in full.",
)

# %% [markdown]
# ## 3 · The arithmetic
#
# **Exercise `drop_connect_linear`** · difficulty ●●○ · about 10 minutes
#
# First the layer for given masks, without any chance in it. An ordinary layer multiplies all examples by one matrix.
# Here there are as many matrices as examples. How do you multiply each example by its own, and by no other?


# %% exercise="drop_connect_linear"
def drop_connect_linear(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """Apply a linear layer whose weights and biases are masked, for each example by masks of its own.

    Output n is `(weight_mask[n] * weight) @ x[n] + bias_mask[n] * bias`. The masks are multiplied
    as they are: nothing is drawn here, and nothing rescaled. It is the layer of Wan et al. 2013,
    before its activation.

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

# %% [markdown]
# With it, dropout can be had as a special case. First the mask of the weights has the same row for all outputs, then the same
# column for all inputs; each is compared with what dropout of the inputs, or of the outputs, gives.

# %%
if ready(drop_connect_linear):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(5, 4), torch.randn(3, 4), torch.randn(3)
    coins_in, coins_out, ones = (
        torch.rand(5, 4).ge(0.5),
        torch.rand(5, 3).ge(0.5),
        torch.ones(5, 3),
    )
    coins_in, coins_out = 2 * coins_in.float(), 2 * coins_out.float()  # p = 0.5, rescaled
    by_row = coins_in.unsqueeze(1).expand(5, 3, 4)
    by_column = coins_out.unsqueeze(2).expand(5, 3, 4)
    inputs = drop_connect_linear(x, weight, bias, by_row, ones)
    outputs = drop_connect_linear(x, weight, bias, by_column, coins_out).relu()
    plain = F.linear(coins_in * x, weight, bias)
    same_inputs = torch.allclose(inputs, plain, atol=1e-5)
    plain = coins_out * F.linear(x, weight, bias).relu()
    same_outputs = torch.allclose(outputs, plain, atol=1e-5)
    print(f"dropout of the inputs is DropConnect with equal rows: {same_inputs}")
    print(
        f"dropout of the outputs is DropConnect with equal columns, bias included: {same_outputs}"
    )

# %% [markdown]
# ## 4 · The layer
#
# **Exercise `DropConnectLinear`** · difficulty ●●○ · about 15 minutes
#
# Now chance comes in: draw the two masks, rescale, multiply. As in every layer of this kind, most slips are made in the
# promises around it: evaluation, $p = 0$, $p = 1$, a wrong $p$. You may build it on `drop_connect_linear`; that is the
# plain way, and full marks. (`multiply_into`, which the set-up cell imports, saves a tensor of the size of all masks.
# Section 8 says why one would want that. You do not need it.)


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

# %% [markdown]
# See that every example really has its own mask. Let x be a batch of six equal examples, and the bias 0. Without
# DropConnect all rows of the output would be equal; with one mask for the batch, too. And the mean over many masks should be
# the evaluated output.

# %%
if ready(drop_connect_linear, DropConnectLinear):
    torch.manual_seed(0)
    layer = DropConnectLinear(20, 4, p=0.5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(parameter.dim() == 2)  # the bias is 0
    equal = torch.ones(6, 20)
    trained, evaluated = layer(equal), layer.eval()(equal)
    print("rows differ in training:", len(trained.unique(dim=0)) == 6)
    print("rows differ in evaluation:", len(evaluated.unique(dim=0)) > 1)
    many = layer.train()(torch.ones(20_000, 20)).mean(dim=0)
    for name, row in (("mean over 20 000 masks", many), ("evaluated", evaluated[0])):
        print(f"{name:22}", *(f"{value:+.2f}" for value in row.tolist()))
    off = float((many - evaluated[0]).abs().max().detach())
    print(f"off by less than 0.02: {off < 0.02}")

# %% [markdown]
# And does a mask each make the gradient less noisy? We take a linear classifier with DropConnect, 64 images, always the same,
# and 200 draws of the masks: once 64 masks, once one mask for all 64. How much does the gradient of the weights move from draw to
# draw?

# %%
if ready(drop_connect_linear):
    torch.manual_seed(0)
    data = load()
    images, labels = data.train.images[:64].flatten(1), data.train.labels[:64]
    start = nn.Linear(images.shape[1], 10)
    deviations = {}
    for count, name in ((64, "a mask for each image"), (1, "one mask for all")):
        gradients = []
        for _ in range(200):
            coins = 2 * torch.rand(count, *start.weight.shape).ge(0.5).float()  # p = 0.5
            bias_coins = 2 * torch.rand(count, 10).ge(0.5).float()
            logits = drop_connect_linear(
                images,
                start.weight,
                start.bias,
                coins.expand(64, -1, -1),
                bias_coins.expand(64, -1),
            )
            gradients.extend(torch.autograd.grad(F.cross_entropy(logits, labels), start.weight))
        deviations[name] = float(torch.stack(gradients).var(dim=0).sum().sqrt())
        print(f"{name:22} standard deviation of the gradient {deviations[name]:.2f}")
    ratio = deviations["one mask for all"] / deviations["a mask for each image"]
    print(f"{ratio:.1f} times as large; at most it could be 8, the root of 64")

# %% [markdown]
# (The standard deviation is the root of the variances of all weights, added up.) One mask for all makes it larger, but by far not
# eight times: most of an image's own gradient noise has little to do with that of other images, even under the same mask.

# %% [markdown]
# ## 5 · The moments
#
# **Exercise `drop_connect_moments`** · difficulty ●●○ · about 10 minutes
#
# The box of section 2, for a whole batch. How few matrix products do you need, and of what?


# %% exercise="drop_connect_moments"
def drop_connect_moments(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Compute mean and variance of a DropConnect layer's output, over all its masks.

    The masks are those of training: each weight and each bias is 0 with probability p and else
    divided by 1 - p, independently. No random number is needed. (Wan et al. 2013 have them in their
    inference, with masks that are not rescaled.)

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
    mean = F.linear(x, weight, bias)
    squares = F.linear(x.square(), weight.square(), bias.square())
    return mean, squares * (p / (1 - p))
    ### END SOLUTION


# %% [markdown]
# <!-- hints: drop_connect_moments -->

# %% check="drop_connect_moments"
check(drop_connect_moments)

# %% [markdown]
# Is the normal distribution a good stand-in? Two units, one with 3 inputs and one with 288, random weights, $p = 0.5$:
# what comes of 20 000 masks, beside the normal density with the moments you computed. (The bias is 0.)

# %%
q2 = predict(
    "How will the unit with 3 inputs look, over its masks?",
    [
        "nearly normal",
        "a few separate values",
        "normal, but cut off at 0",
        "flat between two ends",
    ],
    mine=None,
)

# %%
if ready(drop_connect_linear, drop_connect_moments):
    torch.manual_seed(4)
    figure, [axes] = grid(1, 2, 8.6, 3.2)
    for axis, count in zip(axes, (3, 288), strict=True):
        x, weight, bias = (
            torch.rand(1, count),
            torch.randn(1, count) / count**0.5,
            torch.zeros(1),
        )
        draws = 2 * torch.rand(20_000, 1, count).ge(0.5)
        z = drop_connect_linear(
            x.expand(20_000, -1), weight, bias, draws.float(), torch.ones(20_000, 1)
        )
        mu, variance = (float(m) for m in drop_connect_moments(x, weight, bias, 0.5))
        places = torch.linspace(mu - 4 * variance**0.5, mu + 4 * variance**0.5, 200)
        density = (
            torch.exp(-((places - mu) ** 2) / 2 / variance) / (2 * torch.pi * variance) ** 0.5
        )
        axis.hist(
            z.flatten().numpy(), bins=60, density=True, color=COLOURS[5], label="20 000 masks"
        )
        axis.plot(
            places.numpy(), density.numpy(), color=COLOURS[1], label="normal, by the moments"
        )
        axis.axvline(mu, color="black", linestyle=":", linewidth=1.2, label="mean network")
        axis.set(xlabel="pre-activation", ylabel="density", title=f"{count} inputs")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    show(
        figure,
        "Two histograms of a pre-activation over masks, for 3 inputs and for 288, each with the normal density of the same "
        "moments and a dotted line at the mean network.",
    )
    q2.compare(
        "b", "Three coins have eight outcomes; 288 have more than the universe has atoms."
    )

# %% [markdown]
# **What to see.** With three inputs there are at most eight values, and nothing is normal about them; the moments are
# right all the same. With 288 the curve fits. And in both pictures the dotted line, all that the mean network knows, says
# nothing of the width.

# %% [markdown]
# ## 6 · Inference from the moments
#
# **Exercise `drop_connect_inference`** · difficulty ●●○ · about 10 minutes
#
# The paper's inference: draw pre-activations from the normal distribution, apply the activation to each, average. What
# happens if you average first?


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
    then the average taken over the samples. This is algorithm 2 of Wan et al. 2013, without the layer
    that follows.

    Args:
        x: a batch of examples.
        weight: the weights of the layer.
        bias: the biases of the layer.
        p: the probability of dropping, in [0, 1).
        activation: a function of tensors that works element by element, such as `torch.relu`.
        n_samples: how many samples are averaged: 1 or more, which need not be checked.

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

# %% [markdown]
# How far is the mean network from it? We take a unit with 288 inputs and shift its pre-activation by a constant (added
# inside of the activation, where no mask meets it), so that its mean runs from $-3$ to $3$ standard deviations, and compare:
# the mean network, the closed form, an average over 2 000 masks, and your sampling.

# %%
if ready(drop_connect_linear, drop_connect_moments, drop_connect_inference):
    torch.manual_seed(1)
    count, p, none = 288, 0.5, torch.zeros(1)
    x, weight = torch.rand(1, count), torch.randn(1, count) / count**0.5
    mu, variance = (float(m) for m in drop_connect_moments(x, weight, none, p))
    s = variance**0.5
    z = drop_connect_linear(
        x.expand(2000, -1),
        weight,
        none,
        2 * torch.rand(2000, 1, count).ge(p).float(),
        torch.ones(2000, 1),
    )
    ratios = [t / 2 for t in range(-6, 7)]
    normal = torch.distributions.Normal(0.0, 1.0)
    rows = {"mean network": [], "closed form": [], "2 000 masks": [], "sampled, n = 200": []}
    for t in ratios:
        shift = t * s - mu

        def shifted_relu(values: Tensor, shift: float = shift) -> Tensor:
            return (values + shift).relu()

        point = torch.tensor(t)
        rows["mean network"].append(max(t, 0.0))
        rows["closed form"].append(float(t * normal.cdf(point) + normal.log_prob(point).exp()))
        rows["2 000 masks"].append(float((z + shift).relu().mean()) / s)
        sampled = drop_connect_inference(x, weight, none, p, shifted_relu, 200)
        rows["sampled, n = 200"].append(float(sampled) / s)
    figure, [[axis]] = grid(1, 1, 6.4, 3.6)
    for k, (name, values) in enumerate(rows.items()):
        drawn = {"linestyle": LINES[k]} if k < 2 else {"linestyle": "", "marker": "os"[k - 2]}
        axis.plot(ratios, values, label=name, color=COLOURS[k], markersize=5, **drawn)
    axis.set(
        xlabel="mean / standard deviation over masks", ylabel="mean ReLU (standard deviations)"
    )
    axis.legend(frameon=False)
    show(
        figure,
        "Mean ReLU against the mean of the pre-activation: lines for the mean network and the closed form, dots for masks and "
        "squares for samples.",
    )
    gap = rows["closed form"][6] - rows["mean network"][6]
    print(f"at mean 0 the closed form is {gap:.2f} standard deviations above the mean network")

# %% [markdown]
# **What to see.** Masks and samples lie along the smooth curve (but for the chance of 200 samples), the mean network has a kink. A unit that is off in the mean
# network is a little on in the average of the networks: some masks switch it on. Far from 0, on either side, it makes no
# difference. Whether that matters for a trained network, section 10 measures.

# %% [markdown]
# ## 7 · Convolutions
#
# **Exercise `DropConnectConv2d`** · difficulty ●●● · about 20 minutes
#
# Wan et al. drop connections of fully connected layers only; what follows is our extension of it.
# A convolution has weights too, few of them, used at every pixel. DropConnect gives each example kernels of its own, from
# which single weights are missing, and within an example they are the same at every pixel. `F.conv2d` takes one set of
# kernels for the whole batch. Its argument `groups` gets you around that: with `groups=g` the channels are cut into $g$
# parts, and each part meets its own kernels. What if the parts were the examples?
#
# In a formula, with $*$ for the convolution and $a$ for the activation that may follow (yours is the layer before it):
#
# $$y_n = a\big((M_n \circ W) * x_n + m_n \circ b\big).$$
#
# One coin acts at every pixel, so the noise at different pixels of a map is correlated: at pixels $r$ and $s$ the
# pre-activations have the covariance $\frac{p}{1-p}\big(\sum_k w_k^2\, x_{r+k}\, x_{s+k} + b^2\big)$, where $k$ runs over the
# weights of the kernels. That tells it from dropout of the output's pixels, each by its own coin, which makes independent noise.


# %% exercise="DropConnectConv2d"
class DropConnectConv2d(nn.Module):
    """A convolution with DropConnect: each example has kernels of its own, with weights missing.

    In training, each weight of each kernel, and each bias, is dropped with probability `p`, for
    each example by a coin of its own, and what is kept is divided by 1 - p. In evaluation, and for
    p = 0, the layer is an ordinary convolution. For p = 1, training gives zeros. (Wan et al. 2013
    have DropConnect for fully connected layers only; this is our extension.)

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
        maps = F.conv2d(side_by_side, kernels, padding=padding, groups=n)
        y = maps.squeeze(0).unflatten(0, (n, len(bias)))
        return y + (bias_mask * (bias * scale))[:, :, None, None]
        ### END SOLUTION


# %% [markdown]
# <!-- hints: DropConnectConv2d -->

# %% check="DropConnectConv2d"
check(DropConnectConv2d)

# %% [markdown]
# The kernels of one example can be seen in its output: for an image that is 1 in one pixel and 0 elsewhere a
# convolution answers with its kernel, turned by 180°. Here are two examples of the same image: such a pixel on the left,
# and random numbers on the right, with zeros between them. The left half shows the kernel; if the layer does what the formula says,
# the right half is what a plain convolution, example by example, makes with just this kernel.

# %%
if ready(DropConnectConv2d):
    torch.manual_seed(2)
    layer = DropConnectConv2d(1, 1, kernel_size=3, p=0.4, padding=1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0 if parameter.dim() == 4 else 0.0)
        images = torch.zeros(2, 1, 8, 14)
        images[:, :, 1, 1] = 1
        images[:, :, :, 6:] = torch.randn(8, 8)
        maps = layer(images)
        seen = maps[:, :, :3, :3].flip(2, 3)  # the kernels
        one_by_one = [
            F.conv2d(image[:, :, 6:], kernel.unsqueeze(0), padding=1)
            for image, kernel in zip(images, seen, strict=True)
        ]
        agree = torch.allclose(maps[:, :, :, 6:], torch.stack(one_by_one), atol=1e-5)
    values = {round(v, 3) for v in seen.flatten().tolist()}
    print("kernel weights are 0 or 1/(1 - 0.4) = 1.667:", values <= {0.0, 1.667})
    print("the two examples have different kernels:", not torch.equal(seen[0], seen[1]))
    print("the same as a loop with these kernels:", agree)

# %% [markdown]
# ## 8 · What it costs
#
# Dropout after a layer of $O$ units draws $N \cdot O$ coins. DropConnect draws $N \cdot O \cdot I$, and then multiplies
# by $N$ different matrices, each used once, where an ordinary layer uses one matrix $N$ times. That is much less
# efficient: a number that is fetched from memory to be used once is mostly waited for.

# %%
q3 = predict(
    "A layer of 288 inputs and 64 outputs, 64 examples, forward pass in training. How many times as long as a linear "
    "layer with dropout does DropConnect take?",
    ["about 2 times", "about 10 times", "about 50 times", "about 500 times"],
    mine=None,
)

# %% [markdown]
# We compare six ways through that layer. *Plain masks* is `drop_connect_linear` with float masks. *Your layer* is
# yours (the solution writes the product into the masks' own memory and keeps for the backward pass one byte a coin).
# *Loop* draws a mask and multiplies example by example. *vmap* lets PyTorch turn a function of one example into one of a
# batch. *Moments* draws one sample of each pre-activation from the normal distribution: two matrix products and
# $N \cdot O$ random numbers. Times are the least of 15 runs on one core, once of the
# forward pass alone and once with the backward pass (for 64 examples only); memory is the most that tensors made on the way,
# and kept for the backward pass, take at one time.


# %% tags=["nbval-ignore-output"]
@one_thread()
def milliseconds(function: Callable[[], object], runs: int = 15) -> float:
    """The least time of several runs: what is not ours to measure only ever adds."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return 1000 * min(taken)


def ways(
    n: int, inputs: int = 288, outputs: int = 64, p: float = 0.5
) -> dict[str, Callable[[], object]]:
    """Six forward passes of one layer in training mode."""
    x, plain = torch.randn(n, inputs, requires_grad=True), nn.Linear(inputs, outputs)
    weight, bias = plain.weight, plain.bias
    layer = DropConnectLinear(inputs, outputs, p)

    def plain_masks() -> Tensor:
        masks = (torch.rand(n, outputs, inputs) >= p).float() / (1 - p)
        return drop_connect_linear(
            x, weight, bias, masks, (torch.rand(n, outputs) >= p) / (1 - p)
        )

    def single(row: Tensor) -> Tensor:
        thinned = weight * (torch.rand(weight.shape) >= p), bias * (torch.rand(bias.shape) >= p)
        return F.linear(row, *thinned) / (1 - p)

    def moments() -> Tensor:
        middle, squared = drop_connect_moments(x, weight, bias, p)
        return middle + squared.sqrt() * torch.randn_like(middle)

    return {
        "linear and dropout": lambda: F.dropout(plain(x), p),
        "moments": moments,
        "your layer": lambda: layer(x),
        "plain masks": plain_masks,
        "loop": lambda: torch.stack([single(row) for row in x]),
        "vmap": lambda: torch.vmap(single, randomness="different")(x),
    }


if ready(drop_connect_linear, DropConnectLinear, drop_connect_moments):
    torch.manual_seed(0)
    sizes = [8, 16, 32, 64]
    took = {name: [] for name in ways(1)}
    for n in sizes:
        for name, function in ways(n).items():
            took[name].append(milliseconds(function))
    memory = {name: peak_bytes(function) / 2**20 for name, function in ways(64).items()}
    both = {
        name: milliseconds(lambda f=function: f().sum().backward())
        for name, function in ways(64).items()
    }
    base = took["linear and dropout"][-1]
    print("64 examples         forward (ms)   relative   and backward (ms)   memory (MB)")
    for name, values in took.items():
        print(
            f"{name:20} {values[-1]:11.2f} {values[-1] / base:10.0f} {both[name]:19.2f} {memory[name]:13.2f}"
        )
    show(
        lines(sizes, took, "examples N", "forward pass (ms)", "288 inputs, 64 outputs"),
        "Time of a forward pass against the number of examples, a line for each of the six ways; the table above has the times "
        "for 64 examples.",
    )
    ratio = took["your layer"][-1] / base
    q3.compare(
        min("abcd", key=lambda k: abs(log(ratio / (2, 10, 50, 500)["abcd".index(k)]))),
        "N · O · I random numbers where dropout draws N · O, and N matrices that are each used once.",
    )

# %% [markdown]
# **What to see.** Two lines lie on the floor, and the others rise with $N$: it is the masks that cost. On one core the
# solution's layer took 4.0 ms forward where a linear layer with dropout took 0.09 ms, 43 times as long: 1.2 million coins instead of
# four thousand. Most of those 4.0 ms go into drawing them (time `torch.rand(64, 64, 288)` alone), but what is done with them counts as
# well: `vmap` took 5.7 ms, plain masks 6.7 ms, the loop 7.7 ms, and on a busy machine all of them took two to three times as long. A
# layer that is built on `drop_connect_linear`, as section 4 recommends, is like *plain masks*, about 70 times as long as dropout.
# A step of training has a backward pass too, which makes the gradient of all the masked weights, one more tensor of
# $N \cdot O \cdot I$ numbers: with it the solution's layer took about 7 ms, plain masks about 8 ms, and dropout 0.24 ms. Memory, here of the
# forward pass in float32, goes
# the same way: 5.7 MB in the solution's layer, `vmap` and the loop (float weights for 64 examples, which the backward pass will
# need, and masks at a byte a coin), 9 MB with plain float masks, 0.05 MB with dropout. **Sampling from the moments is hardly dearer than
# dropout**, 0.1 ms and 0.2 MB, for it replaces the coins of a whole row by one normal number. Could one train like that? One
# could; see "Fast dropout" and "Local reparameterization" below.
#
# And the convolution? Here are an ordinary one, yours, and a loop over examples, each with kernels of its own.

# %% tags=["nbval-ignore-output"]
if ready(DropConnectConv2d):
    torch.manual_seed(0)
    images, plain = torch.randn(64, 16, 12, 12), nn.Conv2d(16, 32, 3, padding=1)
    layer = DropConnectConv2d(16, 32, 3, p=0.5, padding=1)

    def convolve(image: Tensor) -> Tensor:
        kernels = plain.weight * (torch.rand(plain.weight.shape) >= 0.5) * 2
        return F.conv2d(image, kernels, plain.bias * (torch.rand(32) >= 0.5) * 2, padding=1)

    timed = {
        "ordinary": lambda: plain(images),
        "yours": lambda: layer(images),
        "loop": lambda: torch.stack([convolve(image) for image in images]),
    }
    for name, function in timed.items():
        print(f"{name:10} {milliseconds(function):6.2f} ms forward")

# %% [markdown]
# With `groups` the solution's layer took 2.0 ms forward, the loop 6.0 ms and an ordinary convolution 0.8 ms, on one core. Kernels are
# small and used at every pixel, so their masks cost less beside the products than those of a linear layer do.
#
# ## 9 · Does it help?
#
# We give the small CNN a hidden layer between its last feature maps (288 numbers) and its classifier, of 64 units, and
# regularize that: not at all, by dropout of its outputs, or by DropConnect of its weights, both with $p = 0.5$. 1000
# training images, 12 epochs, three seeds. The three networks of a seed start from the same weights and see the same
# batches. All losses are measured in evaluation mode, with the mean network, and averaged over the last three epochs.

# %%
q4 = predict(
    "Which configuration has the highest mean validation accuracy?",
    ["nothing", "dropout", "DropConnect (yours)", "no clear winner"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
IMAGES, EPOCHS, HIDDEN, RATE, SEEDS, LAST = 1000, 12, 64, 0.5, (0, 1, 2), 3
METRICS = {"validation_accuracy": "accuracy", "validation_loss": "loss", "gap": "gap"}


def with_head(kind: str) -> SmallCNN:
    """The small CNN with a hidden layer, regularized in one of three ways."""
    model = SmallCNN(widths=(16, 32, 32))
    inputs = model.classifier.in_features
    start, last = nn.Linear(inputs, HIDDEN), nn.Linear(HIDDEN, 10)
    hidden = DropConnectLinear(inputs, HIDDEN, RATE) if kind == "DropConnect" else start
    with torch.no_grad():  # the same start for all, however yours is initialised
        for parameter in hidden.parameters():
            parameter.copy_(start.weight if parameter.dim() == 2 else start.bias)
    dropout = nn.Dropout(RATE if kind == "dropout" else 0.0)
    model.classifier = nn.Sequential(hidden, nn.ReLU(), dropout, last)
    return model


if ready(drop_connect_linear, DropConnectLinear):
    data = load().with_train(IMAGES)
    networks, runs = {}, {}
    for kind in ("nothing", "dropout", "DropConnect"):
        networks[kind], runs[kind] = [], []
        for seed in SEEDS:
            torch.manual_seed(seed)
            networks[kind].append(with_head(kind))
            runs[kind].append(train(networks[kind][-1], data, EPOCHS, seed=seed))
    print(f"mean ± standard deviation over {len(SEEDS)} seeds")
    for name, histories in runs.items():
        values = {m: mean_and_spread([h.last(m, LAST) for h in histories]) for m in METRICS}
        shown = (f"{METRICS[m]} {mean:6.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{name:22}", *shown, sep="   ")
    print("differences, seed by seed")
    for a, b in (
        ("dropout", "nothing"),
        ("DropConnect", "nothing"),
        ("DropConnect", "dropout"),
    ):
        pairs = list(zip(runs[a], runs[b], strict=True))
        values = {
            m: mean_and_spread([h.last(m, LAST) - g.last(m, LAST) for h, g in pairs])
            for m in METRICS
        }
        shown = (f"{METRICS[m]} {mean:+.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{a + ' - ' + b:22}", *shown, sep="   ")

# %% tags=["nbval-ignore-output"]
if ready(drop_connect_linear, DropConnectLinear):
    show(
        curves(runs, ["train_loss", "validation_loss", "gap"]),
        "Training loss, validation loss and gap by epoch, a line and a band for each of the three configurations; the table "
        "above has where they end.",
    )
    show(
        final_values(runs, list(METRICS), LAST),
        "Validation accuracy, validation loss and gap at the end: a dot for each seed, beside them mean and standard "
        "deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** In the first row of panels a line is the mean over the seeds, its band one standard deviation to each
# side. In the second each dot is one network. Where dots of two configurations overlap, another three seeds could turn
# their order round.

# %% tags=["nbval-ignore-output"]
if ready(drop_connect_linear, DropConnectLinear):
    accuracy = {
        kind: [h.last("validation_accuracy", LAST) for h in histories]
        for kind, histories in runs.items()
    }
    best, second = sorted(accuracy, key=lambda kind: -sum(accuracy[kind]))[:2]
    apart = [a - b for a, b in zip(accuracy[best], accuracy[second], strict=True)]
    answer = "abc"[list(runs).index(best)] if differs(apart) else "d"
    q4.compare(
        answer,
        "We take the best from the second best, seed by seed, and ask a t test at 5 %: with three seeds the mean has to be "
        "more than 4.3 standard errors from 0.",
    )

# %% [markdown]
# **What we measured.** With these three seeds DropConnect and nothing ended level: accuracy 0.795 ± 0.006 and 0.795 ±
# 0.005, loss 0.575 ± 0.010 and 0.582 ± 0.027, a gap of 0.182 ± 0.020 and 0.200 ± 0.044. Dropout narrowed the gap most,
# to 0.117 ± 0.031, and was worse on the validation images: 0.772 ± 0.007, and a loss of 0.605 ± 0.020. Ten seeds (0 to 9;
# `python solutions/experiments/04_dropconnect.py` in the course's repository prints them), differences taken seed by seed:
#
# | | accuracy | loss | gap |
# |---|---|---|---|
# | nothing | 0.789 ± 0.010 | 0.594 ± 0.032 | 0.219 ± 0.034 |
# | dropout | 0.776 ± 0.012 | 0.596 ± 0.022 | 0.116 ± 0.026 |
# | DropConnect | 0.793 ± 0.007 | 0.575 ± 0.009 | 0.188 ± 0.027 |
# | dropout − nothing | −0.013 ± 0.014 | +0.002 ± 0.040 | −0.103 ± 0.040 |
# | DropConnect − nothing | +0.004 ± 0.009 | −0.019 ± 0.030 | −0.031 ± 0.026 |
# | DropConnect − dropout | +0.018 ± 0.012 | −0.021 ± 0.020 | +0.072 ± 0.030 |
#
# (Mean ± standard deviation over ten seeds; the standard error of a mean is about a third of that.) DropConnect narrowed the
# gap a little, by more than three standard errors. On the validation images it was no worse than nothing, and perhaps a
# little better: the loss was lower by two standard errors, the accuracy higher by about one and a half, and a t test at 5 % asks for 2.3
# with ten seeds. **Against dropout DropConnect won**: the accuracy was higher by 4.7 standard errors and the loss lower by 3.3.
# **Dropout at the same $p$ is the stronger medicine, and here it was too strong**: it cost more than one point of
# accuracy in 12 epochs. A reading of that, not a result: half of 64 units gone leaves the classifier half its inputs,
# while half of 288 connections gone makes each unit noisy and leaves all of them there. The curves say that all three
# were still learning at epoch 12, at about the same pace, with dropout behind; whether it would catch up in more epochs, or with a
# smaller $p$, we did not measure. And all of
# this is one layer in one small network, with one $p$; the paper compared whole ensembles on larger ones. For
# dropout alone, replace `RATE` in the line `dropout = nn.Dropout(...)` by 0.25. Predict first.
#
# ## 10 · The mean network, or samples?
#
# Take the three networks that were trained with DropConnect, and use them in three ways: the mean network; the
# hidden activations averaged over samples from their moments, as the paper does; and, for 64 samples, the *probabilities* averaged
# over the samples, which is the average of the networks. The second is not: the last layer and the softmax are applied once, to the
# average activations.

# %%
q5 = predict(
    "Which has the lower validation loss?",
    ["the mean network", "64 samples (activations)", "they differ by less than 0.01"],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
@torch.no_grad()
def loss_and_accuracy(
    model: SmallCNN, samples: int, probabilities: bool = False
) -> tuple[float, float]:
    """On validation images: averages of hidden activations, or of probabilities, over samples; 0: the mean network."""
    hidden, _, _, last = model.classifier
    with evaluating(model), recording(model, ["pool"]) as outputs:
        model(data.validation.images)
    x = outputs["pool"].flatten(1)
    weight, bias = sorted(hidden.parameters(), key=lambda parameter: -parameter.dim())
    if probabilities:
        each = (
            drop_connect_inference(x, weight, bias, RATE, torch.relu, 1) for _ in range(samples)
        )
        average = torch.stack([last(activations).softmax(1) for activations in each]).mean(0)
        return score(average.log())
    if samples:
        activations = drop_connect_inference(x, weight, bias, RATE, torch.relu, samples)
    else:
        activations = F.linear(x, weight, bias).relu()
    return score(last(activations))


def score(logits: Tensor) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on the validation images."""
    labels = data.validation.labels
    right = float((logits.argmax(1) == labels).float().mean())
    return float(F.cross_entropy(logits, labels)), right


if ready(drop_connect_linear, DropConnectLinear, drop_connect_moments, drop_connect_inference):
    torch.manual_seed(0)
    counts = [1, 2, 4, 8, 16, 32, 64]
    models = [
        model.cpu() for model in networks["DropConnect"]
    ]  # they were trained on a GPU, if there is one
    plain = [loss_and_accuracy(model, 0) for model in models]
    sampled = {n: [loss_and_accuracy(model, n) for model in models] for n in counts}
    averaged = [loss_and_accuracy(model, 64, probabilities=True) for model in models]
    ways_used = {
        "mean network": plain,
        "1 sample": sampled[1],
        "64 samples": sampled[64],
        "64, probabilities": averaged,
    }
    print(
        "mean ± standard deviation over 3 seeds, and difference to the mean network, seed by seed"
    )
    for name, scores in ways_used.items():
        told = []
        for k, what in enumerate(("loss", "accuracy")):
            mean, s = mean_and_spread([each[k] for each in scores])
            d, e = mean_and_spread(
                [each[k] - base[k] for each, base in zip(scores, plain, strict=True)]
            )
            told.append(f"{what} {mean:.4f} ± {s:.4f} ({d:+.4f} ± {e:.4f})")
        print(f"{name:17}", *told, sep="   ")
    figure, [axes] = grid(1, 2, 8.6, 3.2)
    for k, (axis, what) in enumerate(
        zip(axes, ("loss (nats)", "accuracy (fraction)"), strict=True)
    ):
        for seed, colour in zip(SEEDS, COLOURS, strict=False):
            values = [sampled[n][seed][k] - plain[seed][k] for n in counts]
            axis.plot(
                counts,
                values,
                color=colour,
                linestyle=LINES[seed],
                marker="o",
                markersize=4,
                label=f"seed {seed}",
            )
        axis.axhline(0, color="black", linewidth=1)
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.set(
            xlabel="samples", ylabel=f"validation {what}", title="sampled minus mean network"
        )
    axes[1].legend(frameon=False, fontsize=8)
    show(
        figure,
        "Validation loss and accuracy of sampled inference minus those of the mean network, against the number of samples, "
        "a line a seed; the table above has the numbers.",
    )
    (low, _), (high, _) = (
        mean_and_spread([each[0] for each in s]) for s in (plain, sampled[64])
    )
    q5.compare(
        "c" if abs(low - high) < 0.01 else "ab"[low > high],
        "The last layer reads 64 activations: what shifts each of them a little may cancel or add up.",
    )

# %% [markdown]
# **What to see.** At the left end, with one sample, the noise costs. To the right the lines level off close to 0, and what is
# left there is the difference that $\mathbb E[a(z)]$ makes instead of $a(\mathbb E[z])$. The networks' probabilities are not averaged
# there, as in the paper: the softmax stands outside. The last line of the table averages them.
#
# **What we measured.** Sixty-four samples changed the loss by −0.0009 ± 0.0008 and the accuracy by +0.0003 ± 0.0031 (mean ±
# standard deviation over the three seeds, differences seed by seed; the mean network's loss was 0.546 ± 0.023). One sample
# cost 0.035 ± 0.008 in loss and over one point of accuracy. Over ten seeds (the same script) 64 samples changed the loss by
# −0.0017 ± 0.0029 and the accuracy by −0.0001 ± 0.0032, 256 samples by −0.0013 ± 0.0027 and +0.0001 ± 0.0033; one sample
# cost 0.040 ± 0.008 and 1.5 ± 0.9 points. So the correction that is 0.4 standard deviations for one unit at
# its kink came to next to nothing for this network. Why? The theory allows for it (a reading): the difference is largest
# where a unit's mean is small beside its standard deviation, and the layer after it reads 64 units at once, of which most
# are well on or well off. The average of the networks, their probabilities averaged over 64 samples, did a
# little better: over ten seeds its loss was lower than the mean network's by 0.0070 ± 0.0061, which is 3.6 standard errors, and
# its accuracy the same (+0.0009 ± 0.0029). **For this network, the mean network was as accurate, and costs nothing; averaging
# activations did not improve on it, averaging probabilities a little, in the loss.** Where more
# would be to gain: few units, a large $p$, an activation with more curvature, or where the *spread* over masks is wanted and not only
# the mean.
#
# ## 11 · Explore
#
# A layer with six inputs and four units. Drop one connection, one input, one unit, or connections at random, and look at
# which units notice. Which of the four kinds of dropping could you tell from the
# bars alone? And with connections at random: from which $p$ on has hardly a unit all its inputs?

# %% tags=["nbval-ignore-output"]
torch.manual_seed(5)
example = nn.Linear(6, 4)
connection_explorer(
    4 * example.weight.detach(),
    2 * example.bias.detach(),
    torch.tensor([1.0, -0.5, 1.5, 0.8, -1.2, 0.6]),
)

# %% [markdown]
# ## 12 · A written question
#
# A colleague implements DropConnect in one line, `F.linear(x, F.dropout(weight, p), F.dropout(bias, p))`, and for inference
# he uses the layer in evaluation mode. "Same thing," he says, "only faster." In four or five sentences: what is different
# from DropConnect as you built it, and what does it change in training? Is his way of inference exact, and where would you
# expect the difference to matter? Use what you derived or measured.

# %% [markdown] written="one_mask_for_the_batch"
# **Your answer**
#
# ### BEGIN SOLUTION
# His line drops from the weight itself, so one mask holds for the whole batch, where DropConnect draws $N \cdot O \cdot I$
# coins and gives every example its own thinned network. The mean is the same, but all examples of a step err in the same
# direction: the noise of the gradient, which averages out over examples with a mask each, does so less within his
# batch (we measured a larger standard deviation), and a step updates one thinned network only. It is faster for just that reason: it draws $O \cdot I$ coins, and one
# matrix serves all the examples (we measured how much the masks cost). His inference uses the mean weights; since masks are
# rescaled, the mean of the pre-activation is right. But the mean of the activation is not the activation of the mean: for a
# ReLU it is larger, most where the mean is small compared with the standard deviation over masks, by 0.4 standard
# deviations at mean 0. Sampling from the moments corrects that. In our network the correction hardly changed the
# accuracy.
#
# *Rubric, 2 points.* 1 point for: one mask for the batch instead of one an example, with a consequence (gradient noise is
# shared, or fewer thinned networks a step, or it is why it is faster). 1 point for: the mean network is not exact because
# the activation is not linear (pre-activation's mean is right, the activation's is not), and a place where it matters (mean
# near 0, large variance, large p, few inputs). Half points are possible. Not required: formulas. Not right: "he forgot to
# rescale" (F.dropout does), or "the expected pre-activation is wrong".
# ### END SOLUTION

# %% [markdown]
# ## 13 · The library's own
#
# PyTorch has no layer for it. What comes nearest to a one-liner writes the layer for *one* example, with the library's
# dropout on weight and bias, and lets `torch.vmap` run it for a batch, each with random numbers of its own:
#
# ```python
# y = torch.vmap(lambda row: F.linear(row, F.dropout(weight, p), F.dropout(bias, p)), randomness="different")(x)
# ```
#
# The argument `randomness` is the point: with `"same"` all examples get one mask, and that is also what you get without
# `vmap`. Do the two agree with yours? Not mask by mask, but in how often they drop, in the scale of what is kept, and in
# whether examples differ; and the variance of the output should be that of the box. With x and the weights 1, and no bias, the output
# counts what is kept. (Without `vmap` there are only 20 different numbers, one an output, so that its share and its variance are rough.)

# %%
if ready(drop_connect_linear, DropConnectLinear):
    torch.manual_seed(0)
    n, i, o, p = 400, 50, 20, 0.2
    ones, weight = torch.ones(n, i), torch.ones(o, i)
    layer = DropConnectLinear(i, o, p)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(float(parameter.dim() == 2))

    def library(row: Tensor) -> Tensor:
        return F.linear(row, F.dropout(weight, p))

    results = {
        "vmap, different": torch.vmap(library, randomness="different")(ones),
        "without vmap": library(ones),
        "yours": layer(ones).detach(),
    }
    for name, y in results.items():
        kept, differ = float(y.mean()) * (1 - p) / i, len(y.unique(dim=0)) > 1
        scale = float((y * (1 - p) - (y * (1 - p)).round()).abs().max()) < 1e-3
        print(
            f"{name:16} keeps {kept:.2f}, scaled by 1/(1-p): {scale}, examples differ: {differ}, "
            f"variance {float(y.var()):.1f}"
        )
    print(f"variance by the box: {p / (1 - p) * i:.1f}")

# %% [markdown]
# Keras and torchvision have no such layer either. In recurrent networks a relative is in use, "weight dropping" of the
# matrices from one time step to the next (Merity et al., below), with one mask for the batch: there it is kept on purpose,
# so that fast library code for the recurrence can be used.
#
# ## Further reading
#
# - L. Wan et al., *Regularization of Neural Networks using DropConnect*, 2013,
#   [online](https://proceedings.mlr.press/v28/wan13.html). Section 3 has training and inference as algorithms; note that its
#   $p$ is the probability of keeping.
# - N. Srivastava et al., *Dropout*, JMLR 2014, [online](https://jmlr.org/papers/v15/srivastava14a.html): the special case.
# - S. Wang and C. Manning, *Fast dropout training*, ICML 2013,
#   [online](https://proceedings.mlr.press/v28/wang13a.html): sampling from, or integrating over, the normal distribution of a
#   unit in *training*, instead of drawing masks.
# - D. Kingma, T. Salimans and M. Welling, *Variational Dropout and the Local Reparameterization Trick*, 2015,
#   [arXiv:1506.02557](https://arxiv.org/abs/1506.02557): the same step from noisy weights to noisy pre-activations, and why it
#   makes gradients less noisy.
# - S. Merity, N. Keskar and R. Socher, *Regularizing and Optimizing LSTM Language Models*, 2017,
#   [arXiv:1708.02182](https://arxiv.org/abs/1708.02182): DropConnect on recurrent weights.

# %%
progress()
