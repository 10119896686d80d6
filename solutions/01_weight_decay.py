# ---
# jupyter:
#   autograder: {title: Weight decay, technique: Pulling weights towards zero, paper: "Loshchilov & Hutter 2019", minutes: 90}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Weight decay
#
# **After this notebook you will be able to**
#
# - write an L2 penalty, and steps of SGD and AdamW that agree with PyTorch's to the last digits;
# - derive why an L2 penalty and weight decay are the same thing for SGD and not for Adam, and see it on weight norms;
# - read from training and validation curves that a CNN overfits, say what stopping early would have given, and what more
#   capacity does to the gap;
# - choose which parameters should decay, and report honestly what decay did to the gap over several seeds.
#
# **Time:** about 90 minutes. **Before it:** unit 00.
# **The paper:** I. Loshchilov and F. Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019,
# [arXiv:1711.05101](https://arxiv.org/abs/1711.05101), section 2. The older idea: A. Krogh and J. Hertz, *A Simple Weight
# Decay Can Improve Generalization*, NIPS 1991.
#
# **Conventions.** $\eta$ is the learning rate and $\lambda$ the weight decay. As in PyTorch, decoupled decay multiplies a
# weight by $1 - \eta\lambda$. The paper multiplies by $1 - \lambda$ (times the factor of a schedule), so its $\lambda$ is
# our $\eta\lambda$. And the penalty has a factor one half, which some texts leave out: their $\lambda$ is half of ours.

# %% setup=true
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %%
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch.nn import functional

from reglab.data import load
from reglab.models import SmallCNN
from reglab.plots import curves, final_values, gap_curves, show, spread_lines
from reglab.predict import predict
from reglab.training import (
    History,
    differs,
    logits_of,
    mean_and_spread,
    one_thread,
    over_seeds,
    train,
)
from reglab.widgets import gap_explorer

# %% [markdown]
# ## 1 · The penalty
#
# Unit 00 ended with a gap: a network does much better on the images that it was trained on than on others. We build a method
# that narrows it, which takes four short exercises, and measure from section 5 on.
#
# A network computes steep functions with large weights: to answer differently for two images that hardly differ, something
# has to be multiplied by something large. So charge for size. Instead of the loss $L(w)$, minimise
#
# $$L(w) + \frac{\lambda}{2}\,\|w\|^2, \qquad \|w\|^2 = \sum_i w_i^2 ,$$
#
# the sum running over all entries of all tensors that are to be charged for. The one half is there for the derivative:
# $\partial/\partial w_i$ of $\frac\lambda2 w_i^2$ is $\lambda w_i$. Every weight is pulled towards zero in proportion to
# its size.
#
# **Where does that pull lead?** Look at one direction in which the loss is a parabola with its minimum at $a$ and curvature
# $h$, $L(w) = \frac h2 (w-a)^2$. With the penalty, the derivative $h(w-a) + \lambda w$ vanishes at
#
# $$\boxed{\; w^* = \frac{h}{h + \lambda}\; a \;}$$
#
# Where the data insist ($h \gg \lambda$) the minimum hardly moves. Where the loss is nearly flat ($h \ll \lambda$), where the
# data do not care, the weight goes to zero. The penalty removes what the data do not pay for; that is its whole idea. (With
# many weights the same holds along each eigenvector of the Hessian. And for those who think in probabilities:
# $e^{-\lambda\|w\|^2/2}$ is a Gaussian prior of variance $1/\lambda$ on each weight, and the minimum is the most probable
# $w$ after seeing the data, if $L$ is the negative log-likelihood of all of them.)
#
# **Check it by hand.** Three directions with $a = 2$, curvatures $0.1$, $1$ and $9$, and $\lambda = 1$. The formula says
# $2 \cdot 0.1/1.1 = 0.18$, $2 \cdot 1/2 = 1$ and $2 \cdot 9/10 = 1.8$. Gradient descent agrees:

# %%
curvature, goal = torch.tensor([0.1, 1.0, 9.0]), 2.0
w = torch.zeros(3)
for _ in range(200):
    w = w - 0.1 * (curvature * (w - goal) + 1.0 * w)
print("curvatures", [round(h, 1) for h in curvature.tolist()])
print("weights   ", [round(value, 2) for value in w.tolist()])

# %% [markdown]
# **Exercise `l2_penalty`** · difficulty ●○○ · about 10 minutes
#
# By hand first: for one tensor $(3, -4)$ and another $(2)$, with $\lambda = 0.1$, the penalty is $0.05 \cdot (9 + 16 + 4) =
# 1.45$. What are its derivatives with respect to the three numbers?


# %% exercise="l2_penalty"
def l2_penalty(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    """The L2 penalty: one half times weight_decay times the sum of the squares of all entries.

    See Krogh and Hertz 1991.

    Args:
        params: tensors; anything that can be walked through, such as a list or the generator
            `model.parameters()`, which can be walked through once.
        weight_decay: the factor lambda.

    Shape:
        - params: tensors of any shapes
        - Output: no dimensions

    Returns:
        A tensor to be added to a loss: it can be differentiated, and its gradient with respect
        to each parameter w is weight_decay * w. Parameters and their .grad are left alone.
    """
    ### BEGIN SOLUTION
    return 0.5 * weight_decay * sum(p.square().sum() for p in params)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: l2_penalty -->

# %% check="l2_penalty"
check(l2_penalty)

# %%
if ready(l2_penalty):
    two = [
        torch.tensor([3.0, -4.0], requires_grad=True),
        torch.tensor([2.0], requires_grad=True),
    ]
    penalty = l2_penalty(two, weight_decay=0.1)
    penalty.backward()
    print(f"penalty {penalty.item():.2f}")
    print("gradients", [[round(g, 2) for g in t.grad.tolist()] for t in two])

# %% [markdown]
# ## 2 · With SGD, the penalty is a decay
#
# Put the penalty's gradient into a step of SGD:
#
# $$w \leftarrow w - \eta\,(\nabla L(w) + \lambda w) \;=\; (1 - \eta\lambda)\,w \;-\; \eta\,\nabla L(w).$$
#
# So there is no need to compute the penalty at all. Before each step the weights lose the share $\eta\lambda$ of what they are:
# they **decay**, hence the name. After $t$ steps without any gradient, $(1-\eta\lambda)^t \approx e^{-\eta\lambda t}$ of a weight
# is left. That gives a feeling for sizes: a weight forgets over $1/(\eta\lambda)$ steps. For SGD, *L2 penalty* and *weight
# decay* are two names for one thing, and libraries use them as if they were one everywhere. Keep that in mind.
#
# **Momentum** keeps a buffer $v$ for each weight and steps along it:
#
# $$v_t = \mu\, v_{t-1} + \big(\nabla L(w_{t-1}) + \lambda w_{t-1}\big), \qquad w_t = w_{t-1} - \eta_t\, v_t, \qquad
#   \text{so}\quad v_t = \sum_{i=1}^{t} \mu^{\,t-i}\,\big(\nabla L(w_{i-1}) + \lambda w_{i-1}\big).$$
#
# Two details decide whether this agrees with `torch.optim.SGD`. The decay is part of the gradient, so the buffer remembers
# it too. And the learning rate stands outside of the buffer: when a schedule lowers it, that acts at once on everything
# remembered. (In the paper this is algorithm 1, where the learning rate is inside; for a constant rate the two are the same.)
#
# **By hand.** $w = 1$, gradient always $0.5$, $\eta = 0.1$, $\mu = 0.9$, $\lambda = 1$. First step: the gradient with decay is
# $1.5$, $v = 1.5$, $w = 0.85$. Second: $1.35$, $v = 0.9 \cdot 1.5 + 1.35 = 2.7$, $w = 0.58$.
#
# **Exercise `sgd_step`** · difficulty ●●○ · about 15 minutes
#
# You are given parameters whose `.grad` is filled, and take one step, in place. Think about what must *not* happen: the
# gradients are the caller's, the parameters must stay the same objects, and a step is nothing to differentiate through.


# %% exercise="sgd_step"
def sgd_step(
    params: Iterable[nn.Parameter],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """One step of SGD with momentum and weight decay, in place, as `torch.optim.SGD` takes it.

    (Loshchilov and Hutter 2019, algorithm 1 with an L2 penalty, but with lr outside of the buffer.)

    With d = gradient + weight_decay * w: without momentum, w becomes w - lr * d. With momentum,
    a buffer v is kept for each parameter: in its first step v = d, later v = momentum * v + d;
    and w becomes w - lr * v. No dampening, no Nesterov. lr may change from step to step.

    Args:
        params: parameters with their gradients in .grad; anything that can be walked through,
            also a generator. The same ones in the same order at each step. One whose .grad is
            None is skipped: neither it nor its buffer changes.
        lr: the learning rate.
        momentum: the share of the buffer that stays; 0 is plain SGD.
        weight_decay: the factor lambda.
        buffers: None for the first step, which starts afresh; after that, what the step before
            returned. What it is, is up to you.

    Shape:
        - params: any shapes; a gradient has the shape of its parameter

    Returns:
        What the next step needs as `buffers`. Parameters stay the same objects and leaves that
        want a gradient; .grad keeps its values and is not stored; no graph is built.
    """
    ### BEGIN SOLUTION
    buffers = {} if buffers is None else buffers
    with torch.set_grad_enabled(False):
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


# %% [markdown]
# <!-- hints: sgd_step -->

# %% check="sgd_step"
check(sgd_step)

# %%
if ready(sgd_step):
    one, memory = nn.Parameter(torch.tensor([1.0])), None
    for _ in range(2):
        one.grad = torch.tensor([0.5])
        memory = sgd_step([one], lr=0.1, momentum=0.9, weight_decay=1.0, buffers=memory)
        print(f"w = {one.item():.2f}")

# %% [markdown]
# ## 3 · With Adam, it is not
#
# Adam keeps two moving averages for each weight, of its gradients $g$ and of their squares,
#
# $$m_t = \beta_1 m_{t-1} + (1-\beta_1)\,g_t, \qquad v_t = \beta_2 v_{t-1} + (1-\beta_2)\,g_t^2, \qquad m_0 = v_0 = 0 .$$
#
# Written out, $m_t = (1-\beta_1)\sum_{i=1}^t \beta_1^{\,t-i} g_i$. The weights of this sum add up to $1 - \beta_1^t$, not to 1:
# after the first step $m_1$ is only a tenth of the gradient if $\beta_1 = 0.9$. Dividing by what they add up to makes averages of
# them, which is the **bias correction**, and Adam steps along the ratio:
#
# $$\hat m_t = \frac{m_t}{1-\beta_1^t}, \qquad \hat v_t = \frac{v_t}{1-\beta_2^t}, \qquad
#   w \leftarrow w - \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}.$$
#
# The ratio does not change when all gradients of a weight are multiplied by ten: each weight is stepped in *its own* unit, the
# typical size of its own gradients.
#
# **Now add a penalty.** The gradient becomes $\tilde g = g + \lambda w$, and it goes into both averages. Take a weight that the
# loss does not really need: its gradients have mean 0 and only scatter, with standard deviation $\sigma$, from batch to batch.
# While $w$ moves slowly, the averages settle near $\hat m \approx \lambda w$ and $\hat v \approx \sigma^2 + \lambda^2 w^2$, so
# that per step
#
# $$\text{Adam with an L2 penalty:}\quad \Delta w \approx -\,\frac{\eta\lambda\,w}{\sqrt{\sigma^2 + \lambda^2 w^2}} \approx
#   \begin{cases} -\eta\,\dfrac{\lambda}{\sigma}\,w & \text{large gradients, } \sigma \gg \lambda|w| \\[2mm]
#   -\eta\,\operatorname{sign}(w) & \text{small gradients, } \sigma \ll \lambda|w| \end{cases}$$
#
# The pull is divided by the size of the gradients. A weight with large gradients hardly decays. One with small gradients
# loses $\eta$ in each step, whatever $\lambda$ is: the penalty has become something else than what we wrote down, for some
# weights nearly an L1 penalty. No choice of $\lambda$ repairs that, for it is another factor for every weight.
# (The paper's proposition 2 says it exactly: the two agree for no $\lambda$ unless the preconditioner is a multiple of the identity.)
#
# **AdamW** takes the decay out of the gradient and puts it where it was for SGD, on the weight itself:
#
# $$\boxed{\; w \leftarrow (1 - \eta\lambda)\, w \;-\; \eta\,\frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}\;}$$
#
# with averages of $g$ alone. Now *every* weight decays at the rate $\eta\lambda$: the decay is **decoupled** from the gradients.

# %%
q1 = predict(
    "Adam with an L2 penalty, two weights that are equally large, gradients with mean 0. Which "
    "weight shrinks faster?",
    [
        "the one whose gradients are large",
        "the one whose gradients are small",
        "both at the same rate",
    ],
    mine=None,
)

# %% [markdown]
# **Exercise `adamw_step`** · difficulty ●●● · about 20 minutes
#
# Six lines of formulas, and a dozen ways to get one of them slightly wrong without any error message. The check tells them
# apart.


# %% exercise="adamw_step"
def adamw_step(
    params: Iterable[nn.Parameter],
    state: dict[Any, Any],
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """One step of Adam with decoupled weight decay, in place, as `torch.optim.AdamW` takes it.

    (Loshchilov and Hutter 2019, algorithm 2, whose lambda is lr * weight_decay here.)

    For each parameter w with gradient g, in its t-th step (t = 1, 2, ...), with m and v starting
    as zeros:

        m = beta1 * m + (1 - beta1) * g          v = beta2 * v + (1 - beta2) * g * g
        w = (1 - lr * weight_decay) * w
            - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    with the old w on the right-hand side.

    Args:
        params: parameters with their gradients in .grad; anything that can be walked through,
            also a generator. The same ones in the same order at each step. One whose .grad is
            None is skipped: neither it nor its averages change. (Whether t counts the steps of
            each parameter, as in PyTorch, or all calls, is up to you.)
        state: a dictionary, empty before the first step; the same dictionary comes back at each
            step. What you put into it is up to you. An empty one starts afresh.
        lr: the learning rate.
        betas: beta1 and beta2.
        eps: added to the root, so that nothing is divided by zero.
        weight_decay: the factor lambda.

    Shape:
        - params: any shapes; a gradient has the shape of its parameter

    Returns:
        Nothing. Parameters stay the same objects and leaves that want a gradient; .grad keeps
        its values; no graph is built.
    """
    ### BEGIN SOLUTION
    with torch.set_grad_enabled(False):
        for p in params:
            if p.grad is None:
                continue
            m, v, t = state.get(p, (torch.zeros_like(p), torch.zeros_like(p), 0))
            m, v, t = m.lerp(p.grad, 1 - betas[0]), v.lerp(p.grad.square(), 1 - betas[1]), t + 1
            state[p] = (m, v, t)
            root = (v / (1 - betas[1] ** t)).sqrt()
            p *= 1 - lr * weight_decay
            p -= lr * (m / (1 - betas[0] ** t)) / (root + eps)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: adamw_step -->

# %% check="adamw_step"
check(adamw_step)

# %% [markdown]
# **Check the derivation.** Three weights, all 1 at first. Their gradients are $+\sigma, -\sigma, +\sigma, \dots$, mean zero and no
# randomness, with $\sigma = 1$, $0.1$ and $0.01$; $\eta = 0.01$ and $\lambda = 0.1$. Adam with an L2 penalty is your step without
# decay, on gradients to which $\lambda w$ was added. The formula says for the first weight $(1 - \eta\lambda/\sigma)^{200} =
# 0.999^{200} = 0.82$ after 200 steps, with either method. (It will be 0.80: at the very beginning there is nothing to average
# yet, and the first few steps move all three weights by nearly 0.02 against their first gradients.)

# %%
if ready(adamw_step):
    left = {}
    for method in ("Adam + L2", "AdamW"):
        three, sigma = nn.Parameter(torch.ones(3)), torch.tensor([1.0, 0.1, 0.01])
        state: dict[Any, Any] = {}
        for t in range(200):
            coupled = method == "Adam + L2"
            three.grad = sigma * (-1) ** t + (0.1 * three.detach() if coupled else 0)
            adamw_step([three], state, lr=0.01, weight_decay=0.0 if coupled else 0.1)
            if t + 1 in (50, 100, 200):
                shown = "  ".join(f"{abs(value):.2f}" for value in three.tolist())
                print(f"{method:10} after {t + 1:3} steps: {shown}")
        left[method] = three.tolist()
    guess = torch.ones(3)  # what the approximation says for Adam + L2
    for t in range(200):
        guess -= 0.01 * 0.1 * guess / (sigma.square() + (0.1 * guess).square()).sqrt()
        if t + 1 in (50, 100, 200):
            shown = "  ".join(f"{abs(value):.2f}" for value in guess.tolist())
            print(f"{'formula':10} after {t + 1:3} steps: {shown}")
    large, _, small = left["Adam + L2"]
    q1.compare(
        "c" if abs(large - small) < 0.05 else "b" if small < large else "a",
        "The pull is divided by the size of the weight's own gradients.",
    )

# %% [markdown]
# Read the columns: $\sigma = 1$, $0.1$ and $0.01$. With AdamW they agree. With L2 the first weight does what AdamW's does (we
# chose $\sigma = 1$ so that it would), and the others, of which the loss sees less, are down to 0.17 and 0.02. The formula for
# L2, in the last three lines, has the second column right and is far off in the third: after 100 steps it says 0.06, and the
# weight is at 0.23. It assumed that $w$ moves slowly, and here it does not: $\hat v$ averages over all the steps so far, and
# still holds the $\lambda^2 w^2$ of the beginning. Which of the weights an L2 penalty *should* shrink most, if section 1 is
# right, is a question worth a minute: there it was curvature that counted, not the size of the noise.
#
# ## 4 · Which parameters should decay?
#
# The argument of section 1 was about steepness, and so about what multiplies an input: kernels and matrices. Two kinds of parameters
# are usually left alone:
#
# - **Biases** shift an output and make nothing steeper. They are also few, so there is little in them to overfit with.
# - **Normalization layers** have a scale and a shift for each channel. Pulling the scale towards zero turns the channel off, which is
#   not what we want to charge for. And they change what decay means for the layer *before* them: whatever factor its weights
#   are multiplied by, normalization divides it out again.

# %%
torch.manual_seed(0)
layer, batch = nn.Conv2d(3, 8, 3), torch.randn(16, 3, 8, 8)
normalize = nn.BatchNorm2d(8)
before = normalize(layer(batch))
for p in layer.parameters():
    p.data *= 10
after = normalize(layer(batch))
print("weights ten times as large, output the same:", torch.allclose(before, after, atol=1e-3))

# %% [markdown]
# So before a normalization layer, the size of the weights has no influence on what the network computes, and decay cannot make the
# function smoother. What it does there is to change the *effective learning rate*: a step of a given length turns a short vector
# more than a long one (van Laarhoven 2017, in the further reading). Our small CNN has no normalization, so here we
# see weight decay as it was meant.
#
# **Exercise `split_weight_decay`** · difficulty ●●○ · about 10 minutes
#
# `torch.optim` takes a list of *groups*, dictionaries with a list of `"params"` and settings of their own. Make two of them.


# %% exercise="split_weight_decay"
def split_weight_decay(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups of parameters for `torch.optim`: weights decay, biases and norms do not.

    Args:
        model: any network, of layers inside of layers.
        weight_decay: for kernels of convolutions and weights of linear layers (and their like).

    Shape:
        - model: parameters of any shapes; those of normalization layers have one dimension

    Returns:
        A list of two dictionaries with the keys "params", a list of parameters, and
        "weight_decay": in one of them the number given, in the other 0, for biases and for all
        parameters of normalization layers. Their order is up to you. Each parameter that trains
        (`requires_grad`) is in one of them, once, also if two layers share it; whether frozen ones
        are there is up to you. The model is left as it is.
    """
    ### BEGIN SOLUTION
    trained = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    ### END SOLUTION


# %% [markdown]
# <!-- hints: split_weight_decay -->

# %% check="split_weight_decay"
check(split_weight_decay)

# %%
if ready(split_weight_decay):
    for group in split_weight_decay(SmallCNN(), weight_decay=0.1):
        count = sum(p.numel() for p in group["params"])
        print(f"weight decay {group['weight_decay']:.1f}: {count:6} numbers")

# %% [markdown]
# ## 5 · A CNN overfits
#
# We train the small CNN of unit 00 on only 500 images, 50 of each class, and for longer than is good for it: 16 epochs in
# batches of 32. It has 29 066 weights and biases, 58 for every image. After each epoch we measure loss and accuracy on
# the training images and on 1000 validation images that it never learns from. Three seeds choose the first weights and
# the order of the images. (`noting` keeps each network, and after every step the norm of its weights; we need them in
# section 8.)

# %%
q2 = predict(
    "The training loss will fall towards zero. What will the validation loss do?",
    [
        "fall all the time, only more slowly",
        "fall, then stay where it is",
        "fall, then rise again",
    ],
    mine=None,
)

# %%
IMAGES, EPOCHS, LR, BATCH, SEEDS, LAST = 500, 16, 5e-3, 32, (0, 1, 2), 3
data = load().with_train(IMAGES)

Make = Callable[[nn.Module], torch.optim.Optimizer]
Notes = list[tuple[nn.Module, list[float]]]
notes: dict[str, Notes] = {}


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    """Kernels and matrices: all parameters but the biases."""
    return [p for p in model.parameters() if p.dim() > 1]


def norm(tensors: list[Tensor]) -> float:
    """The length of all entries as one vector."""
    return float(torch.cat([t.detach().flatten() for t in tensors]).norm())


def noting(name: str, make: Make) -> Make:
    """As `make`, but `notes[name]` gets each network and the norm of its weights after every step."""

    def made(model: nn.Module) -> torch.optim.Optimizer:
        optimizer, weights, norms = make(model), weights_of(model), []
        notes.setdefault(name, []).append((model, norms))
        optimizer.register_step_post_hook(lambda *_: norms.append(norm(weights)))
        return optimizer

    return made


def with_adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=LR)


# %% tags=["nbval-ignore-output"]
notes.clear()
make = noting("no decay", with_adam)
plain = over_seeds(SmallCNN, data, EPOCHS, SEEDS, LR, BATCH, make_optimizer=make)
ends = {
    metric: mean_and_spread([h.last(metric, LAST) for h in plain])
    for metric in ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
}
told = {m: f"{m.replace('_', ' ')} {mean:.2f} ± {s:.2f}" for m, (mean, s) in ends.items()}
show(
    gap_curves(plain),
    "Loss and accuracy by epoch on training and validation images, mean and standard deviation "
    f"over three seeds. At the end: {', '.join(told.values())}.",
)
lowest = [min(h.validation_loss) for h in plain]
at = [h.validation_loss.index(value) + 1 for h, value in zip(plain, lowest, strict=True)]
there = [h.validation_accuracy[epoch - 1] for h, epoch in zip(plain, at, strict=True)]
print(f"at the end, mean of the last {LAST} epochs:")
print(f"  {told['train_loss']}, {told['validation_loss']}")
print(f"  {told['train_accuracy']}, {told['validation_accuracy']}")
print(
    f"lowest validation loss {mean_and_spread(lowest)[0]:.2f}, after epochs {at},\n"
    f"  validation accuracy there {mean_and_spread(there)[0]:.2f}"
)

# %% tags=["nbval-ignore-output"]
rise = ends["validation_loss"][0] - sum(lowest) / len(lowest)
q2.compare(
    "c" if rise > 0.05 else "b" if abs(rise) <= 0.05 and min(at) < EPOCHS else "a",
    "Images that it gets wrong, it gets wrong with ever more confidence, and the loss counts "
    "confidence. The accuracy does not, so it can go on rising all the while.",
)

# %% [markdown]
# **What to see.** On the left, two losses that go down together for some epochs; then the training loss goes on to zero and
# the validation loss turns round. The distance between the two lines is **the gap**, and that turn is what *overfitting*
# looks like. On the right the same story in accuracy, with a difference: the validation accuracy does not fall while the
# validation loss gets worse. The two measures answer different questions, so look at both.
#
# **Early stopping** is the regularizer you get for nothing: keep the weights of the epoch with the lowest validation loss.
# In our three runs the lowest validation loss was 0.63, after epochs 6, 8 and 8; at the end, with twice the computing time, it
# was 0.83 ± 0.01 (mean ± standard deviation over the seeds). The accuracy was 0.78 at those epochs and 0.81 at the end, as if
# the two measures disagreed about when to stop.
#
# Three seeds are few, so we also trained ten (0 to 9, with the library's optimizers; `python
# solutions/experiments/01_weight_decay.py` in the course's repository prints them and all other numbers over ten seeds in this
# unit). Over those the lowest validation loss was 0.624 ± 0.030, after 7.7 ± 1.4 epochs, and 0.886 ± 0.077 at the end: 0.262 ±
# 0.083 more, seed by seed. The accuracy was 0.795 ± 0.017 and 0.800 ± 0.010, a difference of 0.005 ± 0.021, which is no
# difference that anybody could vouch for. So what our three seeds seemed to say about accuracy may be chance. And their ± 0.01 was far too
# small: the spread of three values is hardly known. What remains is that the loss rose by four tenths and the accuracy did not
# fall. The network gets as many images right as before, and what it gets wrong costs it more (section 7 looks at how sure it is
# of that).
#
# A warning about that number: the epoch was *chosen* by the validation loss, and so the lowest loss is a little better
# than what new images would show. A fair figure would need a third set.
#
# ## 6 · More capacity overfits more, or only sooner?
#
# Now the same with narrower networks: a quarter and half as many channels as above, which is 2954 and 8778 weights and biases
# instead of 29 066.

# %%
q3 = predict(
    "Which network has the largest gap at the end?",
    [
        "the narrow one (4, 8 and 16 channels)",
        "the middle one (8, 16 and 32 channels)",
        "the wide one (16, 32 and 64 channels)",
        "no clear winner",
    ],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
def table(runs: dict[str, list[History]]) -> None:
    """Print where each configuration ends: the mean of the last epochs, mean and spread over seeds."""
    names = {
        "train_loss": "training loss",
        "validation_loss": "validation loss",
        "gap": "gap",
        "validation_accuracy": "accuracy",
    }
    print(f"{'':18}" + "".join(f"{name:>19}" for name in names.values()))
    for run, histories in runs.items():
        cells = [mean_and_spread([h.last(m, LAST) for h in histories]) for m in names]
        print(f"{run:18}" + "".join(f"{f'{mean:.3f} ± {s:.3f}':>19}" for mean, s in cells))


def paired(runs: list[History], others: list[History], metric: str) -> str:
    """By how much the first end higher than the second, seed by seed: mean and spread."""
    pairs = zip(runs, others, strict=True)
    mean, s = mean_and_spread([a.last(metric, LAST) - b.last(metric, LAST) for a, b in pairs])
    return f"{mean:+.3f} ± {s:.3f}"


by_width = {}
for widths in ((4, 8, 16), (8, 16, 32)):
    build = partial(SmallCNN, widths=widths)
    by_width["-".join(map(str, widths))] = over_seeds(build, data, EPOCHS, SEEDS, LR, BATCH)
by_width["16-32-64"] = plain
table(by_width)
level = mean_and_spread([h.last("train_loss", LAST) for h in by_width["4-8-16"]])[0]
print(
    f"\nthe gap where the training loss is first at {level:.2f}, as that of the narrow one at the end"
)
for name in ("8-16-32", "16-32-64"):
    first = [
        next((e for e, loss in enumerate(h.train_loss) if loss <= level), EPOCHS - 1)
        for h in by_width[name]
    ]
    mean, s = mean_and_spread([h.gap[e] for h, e in zip(by_width[name], first, strict=True)])
    print(f"{name:18}{f'{mean:.3f} ± {s:.3f}':>19}   after epochs {[e + 1 for e in first]}")
show(
    curves(by_width, ["train_loss", "validation_loss", "gap"]),
    "Training loss, validation loss and gap by epoch for three widths; the table above has "
    "where they end.",
)


# %% tags=["nbval-ignore-output"]
def largest(runs: dict[str, list[History]], metric: str) -> str:
    """The letter of the run in which it ends highest, or the one after the last run's if the second is not clearly lower.

    Clear is what a t test at 5 % calls so, on the differences of the two seed by seed.
    """
    ended = [[h.last(metric, LAST) for h in histories] for histories in runs.values()]
    first, second = sorted(ended, key=sum, reverse=True)[:2]
    clear = differs([a - b for a, b in zip(first, second, strict=True)])
    return "abcdefgh"[ended.index(first) if clear else len(ended)]


q3.compare(
    largest(by_width, "gap"),
    "In the same number of epochs, the wider one gets further with learning its images by heart.",
)

# %% [markdown]
# **What to see.** Left: the wider the network, the faster it learns its images by heart. Middle: the wide one has the lowest
# validation loss of the three, early, *and* the highest, late. Right: at the end the gaps are in the order of the widths.
# We measured 0.29 ± 0.04, 0.50 ± 0.01 and 0.78 ± 0.01 nats, and validation accuracies of 0.756 ± 0.011, 0.782 ± 0.002
# and 0.807 ± 0.005, from narrow to wide. But the networks had not got equally far: at the end the narrow one's training loss was
# still 0.42, the wide one's 0.05. Where the others' training loss had come down to 0.42, after about 10 and 6 epochs, their gaps
# were 0.30 ± 0.03 and 0.29 ± 0.05: the narrow one's.
#
# The same over ten seeds. (Mean ± standard deviation. Differences are taken seed by seed, here and below, and we call one clear
# if a t test at 5 % does, `reglab.training.differs`: with ten seeds its mean has to be more than 0.72 of its standard deviations
# from 0.)
#
# | channels | gap at the end | loss at the end | lowest loss | accuracy at the end | gap where the training loss is first at 0.43 |
# |---|---|---|---|---|---|
# | 4, 8, 16 | 0.293 ± 0.052 | 0.720 ± 0.041 | 0.669 ± 0.016 | 0.758 ± 0.013 | 0.293 ± 0.052 |
# | 8, 16, 32 | 0.516 ± 0.049 | 0.721 ± 0.045 | 0.646 ± 0.025 | 0.789 ± 0.012 | 0.253 ± 0.023 |
# | 16, 32, 64 | 0.824 ± 0.067 | 0.886 ± 0.077 | 0.624 ± 0.030 | 0.800 ± 0.010 | 0.279 ± 0.056 |
# | wide − narrow | +0.531 ± 0.072 | +0.166 ± 0.075 | −0.045 ± 0.042 | +0.042 ± 0.017 | −0.014 ± 0.054 |
#
# All of the last line is clear but the last number. So in the same number of epochs more capacity overfits more, because it
# gets there sooner; at the same training loss it did not, as far as ten seeds can tell. (To take the *first* epoch at or below
# 0.43 is coarse, for it may be well below. Reading each gap between two epochs, at the very training loss with which the narrow
# network of the same seed ends, gives −0.032 ± 0.057 for wide − narrow: again not clear, and if anything on the other side.) And
# the network that overfits most is also the one that is right most often, and the one with the lowest loss on its way.
#
# So capacity is not the enemy as such. What we want is a wide network that is kept from using all of its freedom. That is where
# weight decay comes in.

# %% [markdown]
# ## 7 · What decay does to the gap
#
# Now all of it together: your `split_weight_decay` makes the groups, your `adamw_step` takes the steps, and `reglab.training.train`
# does the rest, as in section 5. Four values of $\lambda$, three seeds each. The networks of a seed start from the same weights
# and see the same batches, and $\lambda = 0$ is Adam, so those are the runs of section 5. With $\eta = 0.005$ and 16 steps an
# epoch, a weight without gradients keeps $(1 - 0.005\lambda)^{256}$ over the training: 88 % for $\lambda = 0.1$, 28 % for $\lambda =
# 1$, 2 % for $\lambda = 3$.

# %%
q4 = predict(
    "How does the gap at the end change when lambda grows from 0 over 0.1, 0.3 and 1 to 3?",
    [
        "it hardly changes",
        "it becomes smaller all the way",
        "it becomes smaller, then larger again",
    ],
    mine=None,
)

# %%
q5 = predict(
    "And which of these has the highest mean validation accuracy at the end?",
    [
        "lambda = 0",
        "lambda = 0.1",
        "lambda = 0.3",
        "lambda = 1",
        "lambda = 3",
        "no clear winner",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
DECAYS = (0.1, 0.3, 1.0, 3.0)


class Stepping(torch.optim.Optimizer):
    """Lets `train` use your step: one call, and one state, for each group."""

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr})
        self.states: list[dict[Any, Any]] = [{} for _ in self.param_groups]

    def step(self) -> None:
        for group, state in zip(self.param_groups, self.states, strict=True):
            adamw_step(group["params"], state, group["lr"], weight_decay=group["weight_decay"])


def with_yours(decay: float) -> Make:
    return lambda model: Stepping(split_weight_decay(model, decay), LR)


if ready(adamw_step, split_weight_decay):
    by_decay = {0.0: plain}
    for decay in DECAYS:
        notes.pop(f"AdamW {decay:g}", None)
        make = noting(f"AdamW {decay:g}", with_yours(decay))
        by_decay[decay] = over_seeds(
            SmallCNN, data, EPOCHS, SEEDS, make_optimizer=make, batch_size=BATCH
        )
    named = {f"λ={decay:g}": histories for decay, histories in by_decay.items()}
    table(named)
    print(
        f"\n{'':18}{'accuracy, against λ=0':>24}{'lowest validation loss':>26}   after epochs"
    )
    for name, histories in named.items():
        values = [min(h.validation_loss) for h in histories]
        at = [h.validation_loss.index(v) + 1 for h, v in zip(histories, values, strict=True)]
        mean, s = mean_and_spread(values)
        against = paired(histories, plain, "validation_accuracy")
        print(f"{name:18}{against:>24}{f'{mean:.3f} ± {s:.3f}':>26}   {at}")

# %% tags=["nbval-ignore-output"]
if ready(adamw_step, split_weight_decay):
    show(
        curves(named, ["train_loss", "validation_loss", "gap"]),
        "Training loss, validation loss and gap by epoch, a line and a band for each of five "
        "values of lambda; the table above has where they end.",
    )

# %% [markdown]
# **What to see.** Right: the gap opens later and less the larger $\lambda$ is. Middle: with enough decay the validation loss does not
# turn round any more. Left is the price: a network that is held back does not reach zero, and with the largest $\lambda$ it
# does not even learn what it should.

# %% tags=["nbval-ignore-output"]
if ready(adamw_step, split_weight_decay):
    show(
        final_values(named, ["validation_accuracy", "validation_loss", "gap"], LAST),
        "Validation accuracy, validation loss and gap at the end for five values of lambda: a "
        "dot for each seed, beside them mean and standard deviation; the numbers are in the table.",
    )

# %% [markdown]
# **What to see.** Each dot is one network. In the right panel the groups of dots are clear of each other, in the left one
# those of all but the largest λ overlap. What can you claim of each?

# %% tags=["nbval-ignore-output"]
if ready(adamw_step, split_weight_decay):
    gaps = [mean_and_spread([h.last("gap", LAST) for h in hs])[0] for hs in by_decay.values()]
    falling = all(a > b for a, b in pairwise(gaps))
    q4.compare(
        "a" if max(gaps) - min(gaps) < 0.05 else "b" if falling else "c",
        "A pull that grows leaves less and less freedom; at the end there is no gap because "
        "nothing is learned.",
    )
    q5.compare(
        largest(named, "validation_accuracy"),
        "A smaller gap is no better accuracy. Compare a difference with its spread.",
    )


# %% tags=["nbval-ignore-output"]
def confidence(model: nn.Module) -> list[float]:
    """The mean probability of the class it answers, where that is wrong and where it is right."""
    top, answers = logits_of(model, data.validation.images).softmax(dim=1).max(dim=1)
    right = answers == data.validation.labels
    return [float(top[~right].mean()), float(top[right].mean())]


if ready(adamw_step, split_weight_decay):
    print("how sure the networks are of validation images (mean probability of the answer)")
    for name in ("no decay", "AdamW 1"):
        sure = zip(*(confidence(model) for model, _ in notes[name]), strict=True)
        wrong, right = (f"{m:.2f} ± {s:.2f}" for m, s in map(mean_and_spread, sure))
        print(f"{name:10} where it is wrong {wrong}, where it is right {right}")

# %% [markdown]
# **What we measured.** The gap fell from 0.783 ± 0.011 without decay over 0.704, 0.593 and 0.392 to 0.165 ± 0.024 with $\lambda =
# 3$. The validation loss at the end fell from 0.832 ± 0.010 to 0.638 ± 0.018 with $\lambda = 1$, and rose again to 0.741 ± 0.030
# with $\lambda = 3$, where the network no longer learns enough. The validation accuracy did not gain anywhere: 0.807 ± 0.005,
# 0.804 ± 0.010, 0.803 ± 0.003, 0.794 ± 0.007 and 0.739 ± 0.008. Over ten seeds, differences to $\lambda = 0$ seed by seed:
#
# | | gap | loss at the end | accuracy at the end | lowest loss |
# |---|---|---|---|---|
# | $\lambda = 0$ | 0.824 ± 0.067 | 0.886 ± 0.077 | 0.800 ± 0.010 | 0.624 ± 0.030 |
# | 0.1 | −0.095 ± 0.037 | −0.073 ± 0.036 | −0.004 ± 0.007 | −0.002 ± 0.016 |
# | 0.3 | −0.184 ± 0.035 | −0.135 ± 0.050 | −0.004 ± 0.006 | −0.010 ± 0.019 |
# | 1 | −0.411 ± 0.060 | −0.227 ± 0.083 | −0.011 ± 0.014 | −0.030 ± 0.029 |
# | 3 | −0.657 ± 0.061 | −0.153 ± 0.105 | −0.058 ± 0.021 | +0.051 ± 0.032 |
#
# All differences of the gap and of the loss at the end are clear. Of the accuracy the first two are not, the 0.011 that
# $\lambda = 1$ cost is (two and a half standard errors), and so are the nearly six points of $\lambda = 3$.
#
# Compare that with what costs nothing. Without decay, the lowest validation loss on the way was 0.624 ± 0.030. Whoever trains to
# the end with the best of these $\lambda$ has 0.659 ± 0.034, which is 0.035 ± 0.046 *more*, just clear: stopping early was
# the better regularizer of the two. Both together were best, 0.594 ± 0.009 with $\lambda = 1$, by 0.030 ± 0.029, and the curve is
# flatter there, so that it matters less when one stops. (Mind that these lowest values are chosen by the loss that they report,
# and 0.594 is the best of five as well.) An honest summary for this network and 500 images: weight decay narrowed the gap, and
# made the network less sure of its answers, above all of wrong ones ($\lambda = 1$: from 0.803 to 0.665 on average where it is
# wrong, by 0.138 ± 0.031, and from 0.950 to 0.878 where it is right, by 0.073 ± 0.016); it did not make it right more often.
# Choosing $\lambda$ by the gap alone would have taken 3, the worst of the five by accuracy.
#
# ## 8 · Weight norms: two decays that are not the same
#
# Section 3 predicted that Adam with an L2 penalty shrinks weights by another factor each, and AdamW all by the same. Let us look at the
# weights themselves. The L2 runs are made of your pieces too: `adamw_step` without decay, and `l2_penalty` in the loss, with
# $\lambda = 0.003$ and $0.006$. (The two kinds of $\lambda$ are in different units, so the same number would mean nothing. We chose 0.003 because the
# norm of all weights comes out as with AdamW and $\lambda = 1$, and 0.006 because the training loss does.)

# %% tags=["nbval-ignore-output"]
PENALTIES = (0.003, 0.006)


def penalised(strength: float, seed: int) -> History:
    """How a network is trained with Adam and the penalty in its loss; `notes` gets the network."""
    torch.manual_seed(seed)
    model = SmallCNN()

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        penalty = l2_penalty(weights_of(model), strength)
        return functional.cross_entropy(logits, labels) + penalty

    make = noting(f"Adam + L2 {strength:g}", with_yours(0.0))
    return train(model, data, EPOCHS, LR, seed, BATCH, loss, make)


if ready(l2_penalty, adamw_step, split_weight_decay):
    by_penalty = {}
    for strength in PENALTIES:
        notes.pop(f"Adam + L2 {strength:g}", None)
        by_penalty[f"Adam + L2 {strength:g}"] = [penalised(strength, seed) for seed in SEEDS]
    table({"AdamW 1": by_decay[1.0], **by_penalty})
    print("\nAdamW 1 minus the others, seed by seed")
    for name, histories in by_penalty.items():
        metrics = ("gap", "validation_loss", "validation_accuracy")
        told = (f"{m.replace('_', ' ')} {paired(by_decay[1.0], histories, m)}" for m in metrics)
        print(f"{name:18}{', '.join(told)}")
    kinds = ["no decay", "AdamW 1", "Adam + L2 0.003"]
    per_epoch = {k: [norms[15::16] for _, norms in notes[k]] for k in kinds}
    last = {k: mean_and_spread([n[-1] for n in per_epoch[k]]) for k in kinds}
    last_norms = [f"{k} {mean:.1f} ± {s:.1f}" for k, (mean, s) in last.items()]
    print(f"\nnorm of all weights at the end: {', '.join(last_norms)}")
    show(
        spread_lines(range(1, EPOCHS + 1), per_epoch, "epoch", "norm of all weights"),
        f"The norm of all weights by epoch for three optimizers; at the end: {', '.join(last_norms)}.",
    )

# %% [markdown]
# **What to see.** Without decay the norm grows and goes on growing. Both kinds of decay hold it down. From this picture alone you
# would call them equivalent. Now sort the weights of each network by the size of their gradients (the root of the mean square
# over all training batches, of the loss alone, at the end of training) into five equal parts, and look at the typical size of the
# weights in each part.

# %%
q6 = predict(
    "In which fifth does Adam with an L2 penalty leave the weights smallest, relative to AdamW?",
    [
        "in that of the smallest gradients",
        "in that of the largest gradients",
        "everywhere alike",
    ],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
@one_thread()
def gradient_sizes(model: nn.Module) -> Tensor:
    """Of each weight, the root of the mean square of its gradient over the training batches."""
    total = [torch.zeros_like(p) for p in weights_of(model)]
    batches = list(
        zip(data.train.images.split(BATCH), data.train.labels.split(BATCH), strict=True)
    )
    place = total[0].device
    for x, y in batches:
        model.zero_grad()
        functional.cross_entropy(model(x.to(place)), y.to(place)).backward()
        for squares, p in zip(total, weights_of(model), strict=True):
            squares += p.grad.square()
    return torch.cat([(squares / len(batches)).sqrt().flatten() for squares in total])


def by_fifths(model: nn.Module) -> list[float]:
    """The root mean square of the weights, from the fifth with the smallest gradients up."""
    values = torch.cat([p.detach().flatten() for p in weights_of(model)])
    parts = values[gradient_sizes(model).argsort()].chunk(5)
    return [float(part.square().mean().sqrt()) for part in parts]


if ready(l2_penalty, adamw_step, split_weight_decay):
    fifths = {k: [by_fifths(model) for model, _ in notes[k]] for k in kinds}
    means = {k: torch.tensor(rows).mean(dim=0) for k, rows in fifths.items()}
    said = (f"{k} {', '.join(f'{v:.3f}' for v in row.tolist())}" for k, row in means.items())
    show(
        spread_lines(
            [1, 2, 3, 4, 5],
            fifths,
            "fifth of the weights, by the size of their gradients",
            "root mean square of the weights",
        ),
        f"Typical weights in five parts, from small gradients to large: {'; '.join(said)}.",
    )
    print("root mean square of the weights, from the fifth with the smallest gradients up")
    for k, rows in fifths.items():
        cells = (f"{m:.3f} ± {s:.3f}" for m, s in map(mean_and_spread, zip(*rows, strict=True)))
        print(f"{k:18}", *cells, sep="  ")
    ratio = means["Adam + L2 0.003"] / means["AdamW 1"]
    print("Adam + L2 over AdamW, fifth by fifth:", [round(r, 2) for r in ratio.tolist()])
    q6.compare(
        "c" if float(ratio.max() - ratio.min()) < 0.1 else "a" if ratio[0] < ratio[4] else "b",
        "Under L2 the pull is divided by the size of the gradients, so where they are small it "
        "is strong.",
    )

# %% [markdown]
# **What to see.** The lines of AdamW and of no decay have much the same shape. The line of Adam with L2 climbs. (The first fifth
# varies most from network to network: look at its bands. And each network is sorted by its own gradients, so that a fifth does
# not hold the same weights in each.)
#
# **What we measured.** At the end the norm of all weights was 17.2 ± 0.5 without decay, and 10.7 ± 0.4 and 10.8 ± 0.2 with AdamW
# and with L2 at 0.003: the same amount of decay, if one looks at the norm alone. But look at the typical size of the weights, from the
# fifth with the smallest gradients to that with the largest. Here over ten seeds (the table above has our three, which say the same):
#
# | | first | second | third | fourth | last | last over second |
# |---|---|---|---|---|---|---|
# | no decay | 0.062 ± 0.016 | 0.110 ± 0.006 | 0.108 ± 0.004 | 0.106 ± 0.003 | 0.109 ± 0.004 | 1.00 ± 0.06 |
# | AdamW 1 | 0.028 ± 0.018 | 0.068 ± 0.007 | 0.069 ± 0.003 | 0.068 ± 0.002 | 0.066 ± 0.002 | 0.98 ± 0.11 |
# | Adam + L2 0.003 | 0.013 ± 0.006 | 0.044 ± 0.009 | 0.067 ± 0.002 | 0.076 ± 0.002 | 0.091 ± 0.002 | 2.16 ± 0.51 |
# | Adam + L2 0.012 | 0.006 ± 0.003 | 0.008 ± 0.004 | 0.027 ± 0.006 | 0.049 ± 0.001 | 0.071 ± 0.001 | 12.3 ± 7.6 |
#
# From the second fifth to the last, AdamW left about the same everywhere. L2 at 0.003 left from two thirds as much as AdamW (0.66 ±
# 0.15) to 1.38 ± 0.03 times as much; four times that penalty nearly empties the second fifth, and takes but a fifth off the last. That is
# what section 3 derived: weights with small gradients are pulled hard, those with large ones hardly. (Part of it could run the other
# way round, for the size of a weight acts back on its gradient; that is why the toy of section 3 fixed the gradients.)
#
# Is AdamW the better regularizer, then? With ten seeds, and as many penalties as there were $\lambda$:
#
# | | training loss | loss at the end | gap | accuracy | lowest loss | norm |
# |---|---|---|---|---|---|---|
# | AdamW 1 | 0.246 ± 0.020 | 0.659 ± 0.034 | 0.413 ± 0.028 | 0.789 ± 0.010 | 0.594 ± 0.009 | 10.6 ± 0.4 |
# | Adam + L2 0.001 | 0.095 ± 0.025 | 0.800 ± 0.062 | 0.705 ± 0.067 | 0.796 ± 0.012 | 0.626 ± 0.030 | 13.6 ± 0.2 |
# | Adam + L2 0.003 | 0.160 ± 0.028 | 0.736 ± 0.057 | 0.576 ± 0.067 | 0.790 ± 0.008 | 0.618 ± 0.020 | 11.0 ± 0.2 |
# | Adam + L2 0.006 | 0.241 ± 0.028 | 0.679 ± 0.022 | 0.437 ± 0.040 | 0.785 ± 0.006 | 0.613 ± 0.008 | 8.9 ± 0.2 |
# | Adam + L2 0.012 | 0.386 ± 0.023 | 0.677 ± 0.023 | 0.291 ± 0.027 | 0.769 ± 0.010 | 0.629 ± 0.021 | 6.9 ± 0.2 |
# | Adam + L2 0.024 | 0.565 ± 0.044 | 0.719 ± 0.033 | 0.154 ± 0.018 | 0.742 ± 0.013 | 0.670 ± 0.027 | 5.1 ± 0.2 |
#
# With equal norms (0.003) AdamW's gap is smaller by 0.163 ± 0.049. But L2 at 0.003 also reaches a lower training loss: it holds
# the network back less. At 0.006, where the training losses agree (a difference of 0.005 ± 0.018), 0.024 ± 0.027 of that is
# left, and 0.019 ± 0.026 in the loss: both clear by our rule, though not by much, with nothing to be seen in the accuracy (0.004 ±
# 0.010). So most of the difference was one in the *amount* of regularization. A little is left, in AdamW's favour: the lowest loss
# is 0.594 with it and at best 0.613 with L2, 0.020 ± 0.009 apart (and each of the two was chosen as the best of five).
#
# ## 9 · Explore
#
# The runs of section 7 are stored, so the slider only chooses. Left are the curves for that $\lambda$, right the gap and the
# validation loss of all of them. Find the $\lambda$ with the lowest validation loss at the end, and the one with the lowest
# *anywhere* on its curve. Are they the same? What would you tell someone who may stop early, and someone who may not?

# %% tags=["nbval-ignore-output"]
if ready(adamw_step, split_weight_decay):
    gap_explorer(by_decay, "weight decay", first=1.0, last=LAST)

# %% [markdown]
# ## 10 · A written question
#
# A colleague trains a CNN with `torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=5e-4)` and is happy with it. To save time on tuning
# she goes over to `torch.optim.Adam(lr=1e-3, weight_decay=5e-4)`: "the regularization stays the same". The gap grows. Somebody
# tells her to use AdamW, so she writes `torch.optim.AdamW(lr=1e-3, weight_decay=5e-4)` and finds that the weight decay makes
# no difference at all over her 20 000 steps. In five or six sentences: what did the 5e-4 mean in each of the three, why does
# AdamW "do nothing", and what would you try?

# %% [markdown] written="three_decays"
# **Your answer**
#
# ### BEGIN SOLUTION
# With SGD the 5e-4 is an L2 penalty and a decay at the same time: per step a weight loses the share $\eta\lambda = 5\cdot10^{-5}$ (with
# momentum 0.9 in effect ten times that, since the buffer adds up ten pulls), the same for every weight. With Adam it is an L2
# penalty only: $\lambda w$ joins the gradient and is divided by the root of the average square, so each weight is pulled by
# $\eta\lambda w/\sqrt{\hat v}$, little where gradients are large and much where they are small; it is not the regularization she
# had. With AdamW every weight loses the share $\eta\lambda = 10^{-3}\cdot 5\cdot10^{-4} = 5\cdot10^{-7}$ per step, in 20 000 steps
# one per cent: next to nothing. To get the old pull of $5\cdot10^{-4}$ per step (or at least $5\cdot10^{-5}$) with $\eta = 10^{-3}$
# she needs a $\lambda$ of 0.05 to 0.5, and should choose it by validation loss and accuracy over a few seeds, looking at lr and
# lambda together, since it is their product that counts; biases and norms are best left out.
#
# *Rubric, 2 points.* 1 point: L2 under Adam is divided by the size of the weight's gradients (or: goes through the averages), so it is
# not the same regularization as under SGD, nor the same for all weights. 1 point: under AdamW the decay per step is lr times
# weight_decay, 5e-7 here, too small to matter over 20 000 steps (about 1 %), so lambda must be larger by orders of magnitude,
# and be chosen by validation. Half points are possible. Not required: the effect of momentum, the exact number. Not right: "AdamW
# does not regularize", or "use the same lambda with a larger lr" without saying that it changes the steps too.
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# In practice the whole unit is one line, with `split_weight_decay` beside it:
#
# ```python
# optimizer = torch.optim.AdamW(split_weight_decay(model, 0.05), lr=1e-3)
# ```
#
# Do yours agree with it? Two copies of a small CNN, two groups, ten batches; one copy is moved by the library, the other by you.


# %%
@one_thread()
def largest_difference(
    library: torch.optim.Optimizer, model: nn.Module, mine: nn.Module, step: Any
) -> float:
    """Take ten steps with both and return the largest difference of two weights at the end."""
    torch.manual_seed(0)
    for x, y in zip(
        data.train.images.split(32)[:10], data.train.labels.split(32), strict=False
    ):
        for network in (model, mine):
            network.zero_grad()
            functional.cross_entropy(network(x), y).backward()
        library.step()
        step()
    pairs = zip(model.parameters(), mine.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def twins() -> list[nn.Module]:
    networks = []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(SmallCNN())
    return networks


if ready(sgd_step, adamw_step, split_weight_decay):
    theirs, mine = twins()
    groups, memories = split_weight_decay(mine, 0.5), [None, None]

    def sgd() -> None:
        for k, group in enumerate(groups):
            options = {"momentum": 0.9, "weight_decay": group["weight_decay"]}
            memories[k] = sgd_step(group["params"], 0.01, buffers=memories[k], **options)

    library = torch.optim.SGD(split_weight_decay(theirs, 0.5), lr=0.01, momentum=0.9)
    print(
        f"SGD, ten steps: agree to 1e-5: {largest_difference(library, theirs, mine, sgd) < 1e-5}"
    )

    theirs, mine = twins()
    yours = Stepping(split_weight_decay(mine, 0.5), lr=1e-3)
    library = torch.optim.AdamW(split_weight_decay(theirs, 0.5), lr=1e-3)
    agree = largest_difference(library, theirs, mine, yours.step) < 1e-4
    print(f"AdamW, ten steps: agree to 1e-4: {agree}")

# %% [markdown]
# Not to the last bit, for the order of operations differs, and Adam's division by small roots enlarges what rounding leaves. Three
# traps in the library's versions:
#
# - `torch.optim.Adam(weight_decay=…)` is the L2 penalty of section 3. In recent versions of PyTorch,
#   `Adam(decoupled_weight_decay=True)` is AdamW under another name.
# - The defaults differ: `weight_decay` is 0 for SGD and Adam, and 0.01 for AdamW. In a group without the key, that default
#   applies, to biases and norms too.
# - The decay per step is `lr * weight_decay`. Whoever changes the learning rate changes the decay; a schedule that brings the
#   learning rate to zero brings the decay to zero with it. (The paper argues for tuning the two apart. With PyTorch's
#   convention, halve one when you double the other.)
#
# ## Further reading
#
# - I. Loshchilov and F. Hutter, *Decoupled Weight Decay Regularization*, 2019, [arXiv:1711.05101](https://arxiv.org/abs/1711.05101).
#   Section 2 has the argument, the figures of section 4 show how the best learning rate and decay depend on each other.
# - A. Krogh and J. Hertz, *A Simple Weight Decay Can Improve Generalization*, 1991,
#   [online](https://proceedings.neurips.cc/paper/1991/hash/8eefcfdf5990e441f0fb6f3fad709e21-Abstract.html): the idea, with the
#   theory for linear networks.
# - D. P. Kingma and J. Ba, *Adam*, 2015, [arXiv:1412.6980](https://arxiv.org/abs/1412.6980). Section 3 derives the bias correction.
# - T. van Laarhoven, *L2 Regularization versus Batch and Weight Normalization*, 2017,
#   [arXiv:1706.05350](https://arxiv.org/abs/1706.05350): why decay means something else before a normalization layer.
# - I. Goodfellow, Y. Bengio and A. Courville, *Deep Learning*, 2016, [section 7.1](https://www.deeplearningbook.org/contents/regularization.html):
#   the parabola of section 1, along all eigenvectors.

# %%
progress()

# %% [markdown]
# Next: **02 · Dropout**, which regularizes without touching the weights.
