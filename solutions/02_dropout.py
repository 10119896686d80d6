# ---
# jupyter:
#   autograder: {title: Dropout, technique: Dropping single activations, paper: "Srivastava et al. 2014; Gal & Ghahramani 2016", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Dropout
#
# **After this notebook you will be able to**
#
# - derive the factor $1/(1-p)$, and say what it keeps right in the next layer and what it does not;
# - build dropout as a function and as a layer, with its modes and its gradient;
# - measure what $p$ does to the gap between training and validation, and choose one;
# - predict with dropout left on, without harming batch norm, and report honestly whether the spread of the predictions
#   tells odd images from usual ones.
#
# **Time:** about 75 minutes. **Before it:** unit 00; unit 01 helps with one paragraph.
# **The papers:** N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, *Dropout: A Simple Way to
# Prevent Neural Networks from Overfitting*, JMLR 2014, [online](https://jmlr.org/papers/v15/srivastava14a.html),
# sections 4 and 7; Y. Gal and Z. Ghahramani, *Dropout as a Bayesian Approximation*, ICML 2016,
# [arXiv:1506.02142](https://arxiv.org/abs/1506.02142), section 4.
#
# **Conventions.** As everywhere in this course, $p$ is the probability of *dropping*; training divides what is kept by
# $1-p$; evaluation changes nothing. The paper of 2014 does both the other way round: its $p$ is the probability of
# *keeping* a unit, training leaves what is kept alone, and at test time the weights are multiplied by that $p$. (It
# describes the division too, in its section 10, and every library does it that way today.)

# %% setup=true
import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %%
from itertools import product
from math import exp, pi

from matplotlib.axes import Axes

from reglab.data import load
from reglab.models import evaluating, recording
from reglab.plots import COLOURS, LINES, curves, final_values, grid, show
from reglab.predict import predict
from reglab.training import History, differs, logits_of, mean_and_spread, one_thread, train
from reglab.widgets import unit_explorer

# %% [markdown]
# ## 1 · A layer with holes
#
# Four activations on their way to the next layer, and four masks by hand; each drops one of the four, so $p = 0.25$. A
# unit of the next layer whose weights are all 1 sees their sum. Without the mask it would see 20.

# %%
x = torch.tensor([2.0, 4.0, 6.0, 8.0])
masks = torch.tensor([[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]])

for name, scale in (("as they are", 1.0), ("divided by 0.75", 1 / 0.75)):
    sums = (scale * x * masks).sum(dim=1)
    print(
        f"{name:16} sums {[round(s, 2) for s in sums.tolist()]}, mean {float(sums.mean()):.2f}"
    )

# %% [markdown]
# Check a sum or two. Each single sum is off, now more and now less, and that is the point: the next unit can never count
# on all of its inputs. But *on average* it should see what it will see in evaluation, when nothing is missing. It does so
# in the second line alone. (With these tidy masks, exactly one value is dropped at a time. Dropout tosses a coin for each
# value, so it may also drop none or three. The mean is the same.)
#
# ## 2 · The mathematics
#
# **Why $1/(1-p)$.** Let $m_j \in \{0, 1\}$ be the coin of activation $x_j$, $P(m_j = 0) = p$, and let what is kept be
# multiplied by some constant $c$. Its mean is
#
# $$\mathbb E[c\,m_j x_j] = c\,x_j\,\big(0 \cdot p + 1 \cdot (1-p)\big) = c\,(1-p)\,x_j ,$$
#
# which is $x_j$ for exactly one $c$, namely $1/(1-p)$. For $p = 1$ there is no such constant: nothing is left that could
# be enlarged, and we return zeros. The next layer is linear in what it reads, so its pre-activation
#
# $$z = b + \sum_j w_j\,\frac{m_j x_j}{1-p} \qquad\text{has}\qquad \mathbb E[z] = b + \sum_j w_j x_j ,$$
#
# the value it has in evaluation. That is why evaluation may be the identity, and why a factor such as $1/p$ or none at all
# would have the network trained on inputs of one size and evaluated on inputs of another.
#
# **Where it ends.** A nonlinearity $f$ follows, and $\mathbb E[f(z)]$ is *not* $f(\mathbb E[z])$ unless $f$ is linear.
# So in a deep network evaluation mode is not the average over all masks; it is a cheap approximation to it, and a good one
# often enough. Section 7 comes back to this: it is what MC dropout does differently.
#
# **The noise.** $\operatorname{Var}(m_j) = p(1-p)$, and the coins are independent, so variances add:
#
# $$\operatorname{Var}(z) = \sum_j w_j^2 x_j^2\,\frac{p(1-p)}{(1-p)^2} = \frac{p}{1-p}\sum_j w_j^2 x_j^2 .$$
#
# The factor is 0.25 at $p = 0.2$, 1 at $p = 0.5$ and 4 at $p = 0.8$: the noise grows slowly first and then fast.
#
# **What the noise does to the weights.** Take the simplest network, linear regression with squared error. A square's mean is
# the squared mean plus the variance, so averaged over all masks the loss of one example is
#
# $$\boxed{\;\mathbb E\big[(y - z)^2\big] = \Big(y - b - \sum_j w_j x_j\Big)^2 + \frac{p}{1-p}\sum_j x_j^2\,w_j^2\;}$$
#
# It is the loss without dropout plus an L2 penalty, with a strength of its own for each weight: weights of large inputs
# pay more. Now let two inputs be copies of each other. The first term sees only $w_1 + w_2$; the second is smallest if
# both are equal. Dropout spreads the work over all units that can do it, and no single unit becomes indispensable. (In a
# deep network the formula holds for no layer exactly; we take it as a picture.)
#
# **The gradient** goes the way the values went. With $\delta = \partial L/\partial z$,
#
# $$\frac{\partial L}{\partial x_j} = \delta\,w_j\,\frac{m_j}{1-p}, \qquad
#   \frac{\partial L}{\partial w_j} = \delta\,\frac{m_j x_j}{1-p} :$$
#
# a unit that was dropped is not corrected for an output it had no part in. Autograd finds this by itself as long as the
# output is computed from $x$ by a product it can see.
#
# ### Check it on three inputs
#
# Three inputs have only eight masks, few enough to go through them all, each weighted by its probability. No random
# numbers, no approximation.

# %%
q1 = predict(
    "The inputs are 1, 2 and 3, all weights are 1, y = 6 and b = 0, so there is no error without "
    "dropout. What is the mean squared error with p = 0.5?",
    ["0: the mean is right", "3", "14", "36"],
    mine=None,
)


# %%
def over_all_masks(p: float, x: list[float], w: list[float], y: float) -> tuple[float, float]:
    """Mean of z, and of (y - z)², over every mask that can occur."""
    mean = error = 0.0
    for mask in product([0, 1], repeat=len(x)):
        probability = 1.0
        for kept in mask:
            probability *= 1 - p if kept else p
        z = sum(wj * m * xj / (1 - p) for wj, m, xj in zip(w, mask, x, strict=True))
        mean, error = mean + probability * z, error + probability * (y - z) ** 2
    return mean, error


for p, w in ((0.5, [1.0, 1.0, 1.0]), (0.2, [1.0, 1.0, 1.0]), (0.5, [6.0, 0.0, 0.0])):
    inputs = [1.0, 2.0, 3.0]
    mean, error = over_all_masks(p, inputs, w, y=6.0)
    penalty = p / (1 - p) * sum((wj * xj) ** 2 for wj, xj in zip(w, inputs, strict=True))
    print(
        f"p = {p}, w = {w}: mean of z {mean:.2f}, mean error {error:.2f}, formula {penalty:.2f}"
    )
q1.compare("c", "p/(1-p) = 1, and the sum of w²x² is 1 + 4 + 9 = 14.")

# %% [markdown]
# In all three lines the error without dropout is 0, so what you see is the penalty alone. The last line puts all of the
# weight on one input: the same answer without dropout, and a penalty two and a half times as large.

# %% [markdown]
# ## 3 · The function
#
# **Exercise `dropout`** · difficulty ●●○ · about 10 minutes
#
# How many coins does a batch of shape (N, F) need? (If your answer does not contain N, think of what an example should
# have to do with its neighbours in the batch.)


# %% exercise="dropout"
def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set each value of x to zero with probability p, and divide what is kept by 1 - p.

    Dropout (Srivastava et al. 2014), with p the probability of dropping.

    With `training=False`, and for p = 0, the input is returned as it is. For p = 1, training
    gives zeros. Coins are tossed anew at each call, one for every single value. They come from
    PyTorch's random generator; seeding it is the caller's affair.

    Args:
        x: any floating-point tensor; it is not changed.
        p: the probability of dropping a value.
        training: whether anything is dropped.

    Shape:
        - x: any, of at least one dimension
        - Output: as x, in the same dtype and on the same device

    Returns:
        The output. Its gradient with respect to x is 1 / (1 - p) where a value was kept and 0
        where it was dropped.

    Raises:
        ValueError: if p is not in [0, 1], also with `training=False`. The message shows it.
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
    if not training or p == 0:
        return x
    # In float32 whatever x is: uniforms in bfloat16 are too coarse for a small p.
    keep = torch.rand(x.shape, device=x.device) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0  # 0/0 would be NaN
    return x * keep * scale
    ### END SOLUTION


# %% [markdown]
# <!-- hints: dropout -->

# %% check="dropout"
check(dropout)

# %% [markdown]
# Look at it before you go on. A row is an example, all values are 1 and $p = 0.2$, so each must become 0 or $1/0.8 =
# 1.25$. The gradient of the sum must be the same table.

# %% tags=["nbval-ignore-output"]
if ready(dropout):
    torch.manual_seed(0)
    ones = torch.ones(4, 12, requires_grad=True)
    dropped = dropout(ones, p=0.2)
    dropped.sum().backward()
    print(dropped.detach())
    print("the gradient is the same table:", bool((ones.grad == dropped).all()))

# %% [markdown]
# The rows have their zeros in different places, and not equally many of them: chance, not quota. Now the mean. Over
# 10 000 masks, the average of each of three values should come near the value; the number in brackets is the standard
# deviation of such an average, from the formula for the variance.

# %%
if ready(dropout):
    torch.manual_seed(0)
    values, p, times = torch.tensor([1.0, 2.0, 3.0]), 0.4, 10_000
    average = dropout(values.expand(times, 3), p).mean(dim=0)
    for value, mean in zip(values.tolist(), average.tolist(), strict=True):
        error = value * (p / (1 - p) / times) ** 0.5
        near = "near" if abs(mean - value) < 5 * error else "far from"
        print(f"the average of {value:.0f} is {near} {value:.0f} (± {error:.3f})")

# %% [markdown]
# ## 4 · The layer
#
# **Exercise `Dropout`** · difficulty ●○○ · about 5 minutes
#
# A network has one switch for all of its layers: `model.train()` and `model.eval()` set the attribute `training` of each
# module. A layer is what connects that switch to your function. (If your `dropout` still has a fault: at grading a right
# one stands in for it here, so it costs its points once.)


# %% exercise="Dropout"
class Dropout(nn.Module):
    """Dropout as a layer (Srivastava et al. 2014).

    In training mode it does what `dropout` does; in evaluation mode it returns its input as it is.

    Args:
        p: the probability of dropping a value.

    Shape:
        - Input: any, of at least one dimension
        - Output: as the input, in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. The message shows it.

    The layer has no parameters and no buffers: masks are drawn anew for each call and not kept.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.p = p
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return dropout(x, self.p, self.training)
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"p={self.p}"


# %% [markdown]
# <!-- hints: Dropout -->

# %% check="Dropout"
check(Dropout)

# %% [markdown]
# ## 5 · What the next layer sees
#
# From here on there is a network: three convolutions, then a hidden layer of 256 units, with your layer in front of the
# hidden layer and behind it. It has a large fully connected layer because that is where dropout is at home: 131 000 of the
# network's 148 000 parameters are in it. (For convolutions see the next unit.) We train it on 1000
# images with $p = 0.4$.


# %%
def network(p: float) -> nn.Sequential:
    """Three convolutions and a hidden layer of 256 units, whose inputs and outputs are dropped from."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        Dropout(p),
        nn.Linear(512, 256),
        nn.ReLU(),
        Dropout(p),
        nn.Linear(256, 10),
    )


IMAGES, EPOCHS, SEEDS, LAST = 1000, 12, (0, 1, 2), 3
P = 0.4
data = load().with_train(IMAGES)
x, labels = data.validation.images, data.validation.labels


def trained(p: float, seed: int) -> tuple[nn.Sequential, History]:
    """A network trained with dropout p, brought back to the CPU; everything random follows from the seed."""
    torch.manual_seed(seed)
    model = network(p)
    history = train(model, data, EPOCHS, seed=seed)  # on a GPU, if there is one
    return model.cpu(), history


@torch.no_grad()
def hidden_units(model: nn.Sequential, batch: Tensor) -> Tensor:
    """The 256 activations that leave the hidden layer, in evaluation mode."""
    with evaluating(model), recording(model, ["9"]) as outputs:
        model(batch)
    return outputs["9"]


# %% [markdown]
# Now the last layer. For each validation image we take the 256 hidden activations, pass them on in three ways and look at
# the *logit of the right class*, which is a sum of 256 products: as in evaluation; through your layer; and with the same
# masks but without the division. Images differ from each other far more than masks do, so we subtract: by how much does the
# mask move the logit of an image? Before you look: around which value will that scatter with the division, and where will it
# lie without?

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    networks = {P: [trained(P, seed) for seed in SEEDS]}
    model = networks[P][0][0]
    units, last = hidden_units(model, x), model[11]
    torch.manual_seed(0)
    masked = Dropout(P)(units)
    seen = {
        "evaluation": units,
        "training": masked,
        "training, without the division": masked * (1 - P),
    }
    with torch.no_grad():
        logits = {
            name: last(u).gather(1, labels.unsqueeze(1)).squeeze(1) for name, u in seen.items()
        }
        variances = P / (1 - P) * (last.weight[labels] * units).square().sum(dim=1)
    moved = {name: z - logits["evaluation"] for name, z in logits.items()}
    print("                                 activations        logit of the right class")
    print("                                mean    zeros       mean      moved by")
    for name, u in seen.items():
        zeros, shift = float((u == 0).float().mean()), moved[name]
        print(
            f"{name:30}  {float(u.mean()):.2f}   {zeros:6.0%}   {float(logits[name].mean()):8.2f}"
            f"   {float(shift.mean()):+.2f} ± {float(shift.std()):.2f}"
        )
    noise = float(variances.mean().sqrt())
    print(f"noise that the masks add to the logit, by the formula: {noise:.2f}")


# %% tags=["nbval-ignore-output"]
def outlines(
    axis: Axes,
    samples: dict[str, Tensor],
    low: float,
    high: float,
    bins: int = 40,
    first: int = 0,
) -> Tensor:
    """Histograms as outlines, from the `first` colour on, of shares of a whole sample. Returns the edges of the bins."""
    edges = torch.linspace(low, high, bins + 1)
    for index, (name, sample) in enumerate(samples.items(), start=first):
        heights = torch.histogram(sample, edges)[0] / sample.numel()
        axis.stairs(
            heights.numpy(),
            edges.numpy(),
            label=name,
            color=COLOURS[index],
            linestyle=LINES[index],
            linewidth=1.6,
        )
    return edges


def above_zero(activations: Tensor) -> Tensor:
    """The same with -1 in place of 0, so that zeros are counted but not drawn."""
    return activations.where(activations > 0, -1)


if ready(dropout, Dropout):
    figure, [[left, right]] = grid(1, 2, 8.6, 3.6)
    outlines(left, {name: above_zero(u) for name, u in seen.items()}, 0, 6)
    masks_only = {name: z for name, z in moved.items() if name != "evaluation"}
    edges = outlines(right, masks_only, -10, 6, first=1)
    right.axvline(0, color=COLOURS[0], linewidth=1.6)
    # Each image has a normal distribution of its own; the histogram is one over all of them.
    middles = (edges[:-1] + edges[1:]) / 2
    width, spreads = float(edges[1] - edges[0]), variances.clamp(min=1e-6).sqrt()[:, None]
    bells = (-0.5 * (middles / spreads).square()).exp() / (spreads * (2 * pi) ** 0.5)
    right.plot(
        middles.numpy(),
        (width * bells).mean(dim=0).numpy(),
        color=COLOURS[6],
        linestyle=":",
        linewidth=1.6,
        label="training, by the formula",
    )
    left.set(xlabel="activation, if above 0", ylabel="share of all activations")
    right.set(
        xlabel="logit of the right class, minus that in evaluation", ylabel="share of images"
    )
    handles, names = left.get_legend_handles_labels()
    more, others = right.get_legend_handles_labels()
    figure.legend(
        [*handles, more[-1]],
        [*names, others[-1]],
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    by = {n: f"{float(m.mean()):+.2f} ± {float(m.std()):.2f}" for n, m in masks_only.items()}
    show(
        figure,
        "Two panels of histograms. Left, hidden activations above zero, in evaluation, in training, and in "
        "training without the division. Right, by how much masks move the logit of the right class: "
        + ", ".join(f"{name} {value}" for name, value in by.items())
        + ".",
    )

# %% [markdown]
# **What to see.** On the left, activations one by one: there are fewer above zero in training, and those that are kept are larger,
# by $1/0.6$. (Without the division they would be as large as in evaluation, only fewer: the line is 0.6 times as high
# everywhere.) On the right, the sum that the next layer makes of them. With the division it scatters around 0, where
# evaluation is, to both sides alike, and about as widely as the formula of section 2 says (dotted: a normal distribution for each
# image, with mean 0 and the variance by the formula, averaged over the images). Without the division nearly every logit is
# too small, and the larger it should be the more it loses. A network trained like that meets, in evaluation, logits
# that it has never been asked to produce.
#
# **What we measured.** The mean activation was 0.46 in evaluation and 0.46 in training, although the share of zeros had grown
# from 68 % to 80 %: two thirds were zero before, for that is what a ReLU does. With the division, masks moved the logit by −0.01 ±
# 1.23 (mean ± standard deviation over the images), and the formula says 0 ± 1.19. Without it they moved it by −2.39 ± 1.82: its
# mean fell from 5.97 to 3.57, which is 0.6 times 5.97 and a bias. So the mean arrives as it should, and what dropout adds is noise.
# (Your numbers will be others, for masks that differ anywhere train another network. What should be the same is how they compare:
# the mean in training with that in evaluation, the mean without the division with 0.6 of it, the noise measured with that of the
# formula.)
#
# **Do units become sparse?** The paper (section 7.2) found that with dropout hidden activations become sparse: few units
# respond strongly to an image, most hardly at all. That is about the weights that training arrives at, so we look at it in
# evaluation mode, with no mask in the way: three networks each for $p = 0$, 0.4 and 0.8.

# %%
q2 = predict(
    "Networks trained with a larger p: how does the share of zeros among their hidden activations change?",
    [
        "it grows: the layer becomes sparser",
        "it hardly changes (by less than 0.05)",
        "it falls",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    networks |= {p: [trained(p, seed) for seed in SEEDS] for p in (0.0, 0.8)}
    hidden = {p: [hidden_units(m, x) for m, _ in networks[p]] for p in (0.0, P, 0.8)}
    zeros = {p: [float((u == 0).float().mean()) for u in each] for p, each in hidden.items()}
    facts = {
        "share of zeros": zeros,
        "mean activation": {p: [float(u.mean()) for u in each] for p, each in hidden.items()},
        "units that never respond": {
            p: [float((u == 0).all(dim=0).float().mean()) for u in each]
            for p, each in hidden.items()
        },
    }
    print(f"hidden units in evaluation mode, mean ± standard deviation over {len(SEEDS)} seeds")
    for p in hidden:
        said = (mean_and_spread(by_p[p]) for by_p in facts.values())
        cells = (f"{name} {m:.3f} ± {s:.3f}" for name, (m, s) in zip(facts, said, strict=True))
        print(f"p={p:g}".ljust(6), *cells, sep="   ")
    figure, [[left, right]] = grid(1, 2, 8.6, 3.6)
    together = {f"p={p:g}": torch.cat(each, dim=1) for p, each in hidden.items()}
    outlines(left, {name: above_zero(u) for name, u in together.items()}, 0, 8)
    outlines(right, {n: (u > 0).float().mean(dim=0) for n, u in together.items()}, 0, 1)
    left.set(xlabel="activation, if above 0", ylabel="share of all activations")
    right.set(xlabel="share of the images that a unit responds to", ylabel="share of units")
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    silent = (
        (p, mean_and_spread(values)[0])
        for p, values in facts["units that never respond"].items()
    )
    show(
        figure,
        "Two panels of histograms for networks trained with three drop rates: left, hidden activations above "
        "zero; right, the share of the validation images that a unit responds to. Units that respond to none: "
        + ", ".join(f"{share:.0%} at p={p:g}" for p, share in silent)
        + ".",
    )
    change = mean_and_spread([b - a for a, b in zip(zeros[0.0], zeros[0.8], strict=True)])[0]
    q2.compare(
        "b" if abs(change) < 0.05 else "a" if change > 0 else "c",
        f"From p=0 to p=0.8 the share of zeros changed by {change:+.3f} on average. Whose zeros "
        "they are is another question: look at the right panel.",
    )

# %% [markdown]
# **What to see.** Left: the larger $p$, the steeper the line falls: activations become small, and large ones rare. The area under
# each line is the share that is not zero, and it is about the same for all. Right: without dropout there is a pile at 0, of units
# that respond to no image at all. It shrinks as $p$ grows, and those that respond do so to fewer images each.
#
# We trained ten networks at each $p$ (mean ± standard deviation over seeds 0 to 9, printed by `python
# solutions/experiments/02_dropout.py` in the course's repository, like all numbers over ten seeds in this unit):
#
# | $p$ | share of zeros | mean activation | units that never respond |
# |---|---|---|---|
# | 0 | 0.658 ± 0.024 | 0.94 ± 0.09 | 0.307 ± 0.052 |
# | 0.2 | 0.662 ± 0.009 | 0.68 ± 0.08 | 0.262 ± 0.030 |
# | 0.4 | 0.670 ± 0.016 | 0.51 ± 0.03 | 0.203 ± 0.029 |
# | 0.6 | 0.658 ± 0.012 | 0.40 ± 0.03 | 0.134 ± 0.025 |
# | 0.8 | 0.636 ± 0.017 | 0.23 ± 0.02 | 0.043 ± 0.014 |
#
# The activations became smaller, by a factor of four from the first row to the last. But the share of zeros hardly moved: two
# thirds at each $p$, and from $p = 0$ to 0.8 it changed by −0.023 ± 0.017, seed by seed: fewer, not more. What did
# change is whose zeros they are. Without dropout three units in ten were silent for every validation image; at $p = 0.8$ nearly
# all had a part (−0.263 ± 0.047). So in our network dropout did not make the layer sparser, it made
# more of its units work, which is what spreading the weights (section 2) would lead one to expect. The paper's networks
# were autoencoders on MNIST, and it counted small activations, not zeros only: we contradict it for no network but ours.

# %% [markdown]
# ## 6 · The gap against p
#
# Five drop rates, three seeds each. The networks of a seed start from the same weights and see the same batches. All
# losses are measured in evaluation mode, so that training and validation can be compared, and averaged over the last three
# of twelve epochs.

# %%
q3 = predict(
    "How does the gap (validation loss minus training loss) change as p goes from 0 to 0.8?",
    [
        "it falls all the way",
        "it falls, then rises again",
        "it hardly changes",
        "it rises",
    ],
    mine=None,
)

# %%
q4 = predict(
    "And at which p is the validation loss lowest?",
    [
        "p = 0",
        "p = 0.2",
        "p = 0.4 or 0.6",
        "p = 0.8, where the gap is smallest",
        "no clear winner",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
RATES = (0.0, 0.2, 0.4, 0.6, 0.8)
METRICS = {"validation_accuracy": "accuracy", "validation_loss": "loss", "gap": "gap"}

if ready(dropout, Dropout):
    runs = {}
    for p in RATES:
        if p not in networks:
            networks[p] = [trained(p, seed) for seed in SEEDS]
        runs[f"p={p:g}"] = [history for _, history in networks[p]]

    print(
        f"mean ± standard deviation over {len(SEEDS)} seeds; accuracy and loss on validation images"
    )
    for name, histories in runs.items():
        ended = {m: mean_and_spread([h.last(m, LAST) for h in histories]) for m in METRICS}
        shown = (f"{METRICS[m]} {mean:6.3f} ± {s:.3f}" for m, (mean, s) in ended.items())
        training = mean_and_spread([h.last("train_loss", LAST) for h in histories])[0]
        print(f"{name:8}", *shown, f"training loss {training:.3f}", sep="   ")

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    show(
        final_values(runs, ["gap", "validation_loss", "validation_accuracy"], LAST),
        "Gap, validation loss and validation accuracy for five drop rates: a dot for each seed, beside "
        "them mean and standard deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** Each dot is one network. Read the panels from left to right: the gap, which dropout is supposed to
# close; the loss, which says whether closing it was worth it; and the accuracy, which asks only which class comes
# first. They do not agree on the best $p$.

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    figure = curves(runs, ["train_loss", "validation_loss"])
    for axis in figure.axes:
        axis.set_ylim(0, 1.2)
    show(
        figure,
        "Training loss and validation loss by epoch, a line and a band for each of five drop rates; "
        "the table above has where they end.",
    )

# %% [markdown]
# **What to see.** Left: the larger $p$, the slower the training loss falls. Right: without dropout the validation loss
# turns round early and rises, while at $p = 0.6$ it is still level at the end; at $p = 0.8$ it has not come down far
# enough. A line is the mean over the seeds, its band one standard deviation to each side.

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    ended = {
        m: {p: [h.last(m, LAST) for _, h in networks[p]] for p in RATES}
        for m in ("gap", "validation_loss")
    }

    def apart(metric: str, p: float, q: float) -> list[float]:
        """By how much it is higher at p than at q, seed by seed."""
        return [a - b for a, b in zip(ended[metric][p], ended[metric][q], strict=True)]

    def said(metric: str, p: float) -> str:
        mean, spread = mean_and_spread(ended[metric][p])
        return f"{mean:.3f} ± {spread:.3f}"

    gaps, losses = (
        {p: mean_and_spread(v)[0] for p, v in by_p.items()} for by_p in ended.values()
    )
    smallest, change = min(gaps, key=gaps.__getitem__), apart("gap", 0.8, 0.0)
    turned = smallest not in (0.0, 0.8) and differs(apart("gap", 0.8, smallest))
    q3.compare(
        "b" if turned else "c" if not differs(change) else "d" if sum(change) > 0 else "a",
        f"{said('gap', 0.0)} at p=0, {said('gap', P)} at p={P:g}, {said('gap', 0.8)} at p=0.8. The noise grows "
        "with p/(1-p), and what is memorised of single images drowns in it first.",
    )
    best = min(losses, key=losses.__getitem__)
    same_answer = (0.4, 0.6) if best in (0.4, 0.6) else (best,)
    second = min((p for p in RATES if p not in same_answer), key=losses.__getitem__)
    less = mean_and_spread(apart("validation_loss", best, second))
    letter = {0.0: "a", 0.2: "b", 0.8: "d"}.get(best, "c")
    q4.compare(
        letter if differs(apart("validation_loss", best, second)) else "e",
        f"Lowest on average at p={best:g}, {said('validation_loss', best)}; the next other answer is p={second:g}, "
        f"{said('validation_loss', second)}. Seed by seed the difference is {less[0]:+.3f} ± {less[1]:.3f}, and a "
        "t test at 5 % says whether that is clear. A gap of zero is easy to have: learn nothing. The validation "
        "curve says when to stop.",
    )

# %% [markdown]
# **What we measured.** The gap fell from 0.560 ± 0.062 without dropout to 0.322 ± 0.014 at $p = 0.4$ and 0.053 ± 0.003 at
# 0.8. The validation loss fell from 0.684 ± 0.047 to 0.515 ± 0.013 at 0.6 and was at 0.642 ± 0.024 for 0.8. The accuracy was
# highest at 0.2, with 0.829 ± 0.003 against 0.820 ± 0.002 without dropout, three seeds out of three. Would you believe it?
#
# Compare with your own table. Your masks give other numbers: it is enough that your code multiplies in another order than
# ours, and a rounding in the last digit has grown into another network after a few epochs. The gap and the loss should tell
# the same story for you as for us. If the highest accuracy is at another $p$, that should not worry you about your code, but
# about any claim that rests on three seeds and less than a percentage point.
#
# Over ten seeds (0 to 9), differences to $p = 0$ taken seed by seed:
#
# | $p$ | accuracy | loss | gap |
# |---|---|---|---|
# | 0.2 | +0.001 ± 0.008 | −0.097 ± 0.041 | −0.130 ± 0.041 |
# | 0.4 | +0.006 ± 0.008 | −0.167 ± 0.038 | −0.265 ± 0.041 |
# | 0.6 | −0.003 ± 0.013 | −0.168 ± 0.051 | −0.378 ± 0.060 |
# | 0.8 | −0.050 ± 0.012 | −0.042 ± 0.047 | −0.504 ± 0.051 |
#
# (Mean ± standard deviation. We call a mean difference clear if a t test at 5 % does, `reglab.training.differs`: for ten seeds it has
# to be more than 0.72 of its standard deviations from 0.) The gap falls with each step, to a tenth of what it was. The validation
# loss is a quarter lower at 0.4 and 0.6, and three quarters of that are lost again at 0.8. It is lowest at 0.6, 0.513 ± 0.011, and
# at 0.4, 0.514 ± 0.014, which cannot be told apart (−0.001 ± 0.021); at 0.2 it is higher than at 0.6, by 0.071 ± 0.038. The nearly one percentage point of accuracy that our three seeds had promised for 0.2 is gone; at 0.4 there may be
# half a point (just clear, in one of twelve numbers we looked at), and at 0.8 five are lost. **So
# dropout made this network's probabilities much better, which is what the loss judges, and its choice of a class hardly so.**
# Which $p$ is best depends on what you need, and the smallest gap is the worst of guides. All of this holds for twelve epochs;
# $p = 0.8$ was still improving, and we did not wait for it.

# %% [markdown]
# ## 7 · Prediction with dropout left on
#
# Section 2 said that evaluation mode computes $f(\mathbb E[z])$ where the average over all masks would be $\mathbb
# E[f(z)]$. How far apart are they? Two inputs of 2, weights 1, $p = 0.5$, and the probability of the first of two classes is
# $\sigma(z) = 1/(1+e^{-z})$. There are four masks.

# %%
zs = [2 * (m1 * 2 + m2 * 2) for m1, m2 in product([0, 1], repeat=2)]
probabilities = [1 / (1 + exp(-z)) for z in zs]
average = sum(probabilities) / 4
print(f"z {zs}, probabilities {[round(q, 3) for q in probabilities]}")
print(f"average of the probabilities:  {average:.3f}")
print(f"probability of the average z:  {1 / (1 + exp(-sum(zs) / 4)):.3f}")
print(
    f"standard deviation:            {(sum((q - average) ** 2 for q in probabilities) / 4) ** 0.5:.3f}"
)

# %% [markdown]
# Evaluation mode says 98 %, the average over the masks 87 %. And there is a number that evaluation mode does not have at
# all: by how much the thinned networks disagree.
#
# **A Bayesian reading.** A prediction should average over all weights $w$ that the data $D$ leave possible,
#
# $$p(y \mid x, D) = \int p(y \mid x, w)\, p(w \mid D)\, dw .$$
#
# Nobody can compute the posterior $p(w \mid D)$ of a deep network. Gal and Ghahramani replace it by a distribution $q(w)$
# that can be sampled: take the trained weights and set the rows of random units to zero, that is, apply dropout. How near
# is $q$ to the posterior? By Bayes' rule $\log p(w \mid D) = \sum_i \log p(y_i \mid x_i, w) + \log p(w) + \text{const}$, so
#
# $$\mathrm{KL}\big(q \,\|\, p(w \mid D)\big) = -\sum_i \mathbb E_{q}\big[\log p(y_i \mid x_i, w)\big]
#   + \mathrm{KL}\big(q \,\|\, p(w)\big) + \text{const} .$$
#
# The first term is the cross-entropy averaged over masks; training with dropout follows an unbiased estimate of its gradient,
# with one mask for each example and step. The second is, for a Gaussian prior and approximately, a multiple of the sum of the
# squared weights: weight decay. (The paper's appendix has that step.) So training with dropout and weight decay brings this $q$
# near the posterior. Our networks have no weight decay, and drop in two of their layers only: for them this is where the
# idea comes from, and no more. Given $q$, the integral is a mean over samples, which the mean over $T$ of them estimates:
#
# $$p(y \mid x, D) \approx \int p(y \mid x, w)\, q(w)\, dw \approx \frac1T \sum_{t=1}^{T}
#   \operatorname{softmax}\big(f_{\text{mask } t}(x)\big) .$$
#
# That is **MC dropout**: leave dropout on, predict $T$ times, average the *probabilities*. Averaging the
# logits instead would pull the average back inside of the softmax. If the samples of a probability have standard deviation $s$, the mean of $T$ of them is known to
# $s/\sqrt T$, which for $s = 0.2$ and $T = 30$ is 0.04.
#
# **The trap.** "Leave dropout on" is often written as `model.train()`. That also puts batch norm in training mode: the
# prediction for an image then depends on the other images of its batch, and the running statistics drift with every
# prediction you make. What you want is dropout training, batch norm evaluating, and afterwards everything as it was.
#
# **Exercise `mc_dropout_predict`** · difficulty ●●● · about 20 minutes
#
# Look at `reglab.models.evaluating` if you want to see how modes are put back one by one.


# %% exercise="mc_dropout_predict"
def mc_dropout_predict(model: nn.Module, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    """Predict with dropout switched on, `n_samples` times (Gal and Ghahramani 2016).

    Every layer that drops at random is active, whatever its class is called: the library's, and
    those you wrote yourself. Batch norm stays in evaluation mode: it uses its running statistics
    and does not update them. Other modules may be in either mode meanwhile.

    Args:
        model: maps x to logits (N, K). Afterwards each of its modules is in the mode it was in
            before, which may be training for some and evaluation for others; parameters, their
            gradients and buffers are as they were.
        x: a batch the model takes.
        n_samples: how many predictions are made, at least 1.

    Shape:
        - x: (N, ...)
        - mean_probs, std_probs: (N, K) each

    Returns:
        mean_probs: the softmax probabilities of each sample, averaged over the samples.
        std_probs: their standard deviation over the samples, computed with n_samples or with
            n_samples - 1; both are right. (So for one sample it is 0, or NaN.)
        Neither carries a graph.
    """
    ### BEGIN SOLUTION
    before = {m: m.training for m in model.modules()}
    for m in before:
        m.training = not isinstance(m, nn.modules.batchnorm._BatchNorm)
    try:
        with torch.set_grad_enabled(False):
            probs = torch.stack([model(x).softmax(dim=1) for _ in range(n_samples)])
    finally:  # also if the model raises: it was lent to us
        for m, mode in before.items():
            m.training = mode
    return probs.mean(dim=0), probs.std(dim=0, correction=0)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: mc_dropout_predict -->

# %% check="mc_dropout_predict"
check(mc_dropout_predict)

# %% [markdown]
# A network with batch norm, to see that yours leaves it alone. The last line is what `model.train()` would have done.

# %%
if ready(dropout, Dropout, mc_dropout_predict):
    torch.manual_seed(0)
    normed = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), Dropout(0.5), nn.Linear(8, 3)
    )
    normed.eval()
    batch, before = torch.randn(5, 6) + 1, normed[1].running_mean.clone()
    mean, std = mc_dropout_predict(normed, batch, n_samples=20)
    print("rows of mean_probs sum to 1:", bool(((mean.sum(dim=1) - 1).abs() < 1e-5).all()))
    print("some std_probs are above 0:", bool((std > 0).any()))
    print("running mean unchanged:", bool((normed[1].running_mean == before).all()))
    print("in evaluation mode again:", not any(m.training for m in normed.modules()))
    normed.train()(batch)
    print(
        "after model.train() and one batch, unchanged:",
        bool((normed[1].running_mean == before).all()),
    )

# %% [markdown]
# ## 8 · Does it know what it does not know?
#
# A classifier of clothes says "coat" or "bag" to anything, also to an image of noise. One would hope that it is at least
# less certain. We show the three networks trained with $p = 0.4$ the validation images, and four kinds of images that are
# none of those they learned: validation images rotated by 90°, averages of two of them, the same with their pixels
# shuffled, and Gaussian noise of the same mean and variance. (The two images of an average are always of different classes:
# the average of two coats is not odd, it is a blurred coat.)


# %%
def odd_images(usual: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Images unlike those trained on, made from usual ones."""
    chance = torch.Generator().manual_seed(0)
    others = (labels[:, None] != labels).float()
    partner = torch.multinomial(others, 1, generator=chance).squeeze(1)  # of another class
    order = torch.rand(usual.shape, generator=chance).flatten(1).argsort(dim=1)
    return {
        "rotated by 90°": usual.rot90(1, (2, 3)),
        "mixed, two in one": (usual + usual[partner]) / 2,
        "pixels shuffled": usual.flatten(1).gather(1, order).view_as(usual),
        "noise": torch.randn(usual.shape, generator=chance),
    }


def entropy(probs: Tensor) -> Tensor:
    """Along the last dimension, in nats: 0 if one class has it all, log 10 = 2.3 if all ten are equally likely."""
    return -(probs * probs.clamp(min=1e-12).log()).sum(dim=-1)


SAMPLES, SHOWN = 30, 400
usual = x[:SHOWN]
sets = {"validation": usual, **odd_images(usual, labels[:SHOWN])}

# %% [markdown]
# First look at one image of each kind, with what the network of seed 0 says about it: the likeliest class, its probability
# in evaluation mode, and the mean and standard deviation of the MC samples.

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout, mc_dropout_predict):
    model, one_each = networks[P][0][0], torch.cat([batch[3:4] for batch in sets.values()])
    torch.manual_seed(0)
    with one_thread():
        mean, std = mc_dropout_predict(model, one_each, SAMPLES)
    plain = logits_of(model, one_each).softmax(dim=1)
    figure, [axes] = grid(1, 5, 9.2, 2.6)
    said = []
    for index, (kind, axis) in enumerate(zip(sets, axes, strict=True)):
        k = int(mean[index].argmax())
        said.append(
            f"{data.class_names[k]}\nevaluation {float(plain[index, k]):.2f}\n"
            f"MC {float(mean[index, k]):.2f} ± {float(std[index, k]):.2f}"
        )
        axis.imshow(data.pixels(one_each)[index, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"{kind}\n{said[-1]}", fontsize=9)
        axis.set_axis_off()
    pairs = zip(sets, said, strict=True)
    show(
        figure,
        "Five small pictures, one of each kind, with the likeliest class and its probability: "
        + "; ".join(f"{kind}: {text}".replace("\n", ", ") for kind, text in pairs)
        + ".",
    )

# %% [markdown]
# One image is an anecdote. To compare two scores of uncertainty we need a number: the **AUROC**, the probability that an odd
# image gets a higher score than a validation image, both drawn at random. It is 1 if the score separates them perfectly and
# 0.5 if it is useless, and no threshold has to be chosen. Four scores: the entropy of the ordinary prediction in
# evaluation mode, which costs nothing extra; the entropy of `mean_probs`; `std_probs` of the likeliest class; and the **mutual
# information** of prediction and mask,
#
# $$I = H\Big(\frac1T \sum_t q_t\Big) - \frac1T \sum_t H(q_t), \qquad q_t = \operatorname{softmax}\big(f_{\text{mask } t}(x)\big),$$
#
# the entropy of the mean minus the mean of the entropies. It is never negative, because entropy is concave, and 0 if all samples
# say the same: it counts by how much they *disagree*, without what they agree to be unsure about. (It needs the samples
# themselves, so we ask your function for one at a time: the mean of a single sample is that sample.) Beside the
# four kinds of odd images there is a fifth group, closer to everyday use, *misclassified* validation images: do they get
# higher scores than those classified rightly?

# %%
q5 = predict(
    "The entropy of the MC mean, compared with the entropy in evaluation mode: for which of the five groups "
    "is its AUROC higher by more than 0.02, on average?",
    [
        "all five",
        "rotated and shuffled images and noise, but hardly mixed or misclassified ones",
        "misclassified images only",
        "none",
        "some other choice of them",
    ],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
def auroc(odd: Tensor, usual: Tensor) -> float:
    """The chance that a score of an odd image is higher than that of a usual one; a tie counts one half."""
    higher = (odd[:, None] > usual).double() + 0.5 * (odd[:, None] == usual).double()
    return float(higher.mean())


def scores(model: nn.Module, batch: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Four scores of uncertainty for each image, and the class that evaluation mode predicts."""
    plain = logits_of(model, batch).softmax(dim=1)
    with one_thread():
        drawn = torch.stack([mc_dropout_predict(model, batch, 1)[0] for _ in range(SAMPLES)])
    mean, std = drawn.mean(dim=0), drawn.std(dim=0)
    top = mean.argmax(dim=1, keepdim=True)
    values = {
        "entropy, evaluation": entropy(plain),
        "entropy of MC mean": entropy(mean),
        "MC std of the class": std.gather(1, top).squeeze(1),
        "mutual information": entropy(mean) - entropy(drawn).mean(dim=0),
    }
    return values, plain.argmax(dim=1)


if ready(dropout, Dropout, mc_dropout_predict):
    found: dict[str, dict[str, list[float]]] = {}
    entropies = {}
    for seed, (model, _) in enumerate(networks[P]):
        torch.manual_seed(seed)
        for kind, batch in sets.items():
            values, predicted = scores(model, batch)
            if kind == "validation":
                reference, wrong = values, predicted != labels[:SHOWN]
            if seed == 0:
                entropies[kind] = values
            row = found.setdefault("misclassified" if kind == "validation" else kind, {})
            for score, value in values.items():
                odd, other = (
                    (value[wrong], value[~wrong])
                    if kind == "validation"
                    else (value, reference[score])
                )
                row.setdefault(score, []).append(auroc(odd, other))

    print(f"AUROC, mean ± standard deviation over {len(SEEDS)} seeds")
    print(" " * 17 + "".join(f"{score:>20}" for score in values))
    for kind, row in found.items():
        cells = (f"{m:12.3f} ± {s:.3f}" for m, s in map(mean_and_spread, row.values()))
        print(f"{kind:17}" + "".join(cells))

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout, mc_dropout_predict):
    figure, [axes] = grid(1, 2, 8.6, 3.4)
    plain_score, mc_score = list(values)[:2]
    for axis, score in zip(axes, (plain_score, mc_score), strict=True):
        kinds = ("validation", "mixed, two in one", "noise")
        outlines(axis, {kind: entropies[kind][score] for kind in kinds}, 0, 2.4, bins=24)
        axis.set(xlabel=f"{score} (nats)", ylabel="share of images", ylim=(0, 0.5))
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    show(
        figure,
        "Histograms of the entropy of predictions, left in evaluation mode, right of the MC mean. Means: "
        + "; ".join(
            f"{kind} {float(entropies[kind][plain_score].mean()):.2f} and "
            f"{float(entropies[kind][mc_score].mean()):.2f}"
            for kind in kinds
        )
        + ".",
    )

# %% [markdown]
# **What to see** (the network of seed 0). In both panels validation images pile up on the left, where one class has nearly
# all of the probability. From left panel to right, *everything* moves to the right: the MC mean is less certain of all images.
# That alone is worth nothing. What counts is whether the odd ones move more, so that the lines overlap less.

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout, mc_dropout_predict):
    better = {
        kind: [a - b for a, b in zip(row[mc_score], row[plain_score], strict=True)]
        for kind, row in found.items()
    }
    by_much = {kind for kind, gains in better.items() if mean_and_spread(gains)[0] > 0.02}
    answers = {
        frozenset(found): "a",
        frozenset({"rotated by 90°", "pixels shuffled", "noise"}): "b",
        frozenset({"misclassified"}): "c",
        frozenset(): "d",
    }
    q5.compare(
        answers.get(frozenset(by_much), "e"),
        "Gains, seed by seed: "
        + ", ".join(
            f"{kind} {m:+.3f} ± {s:.3f}{'' if differs(better[kind]) else ' (not clear)'}"
            for kind, (m, s) in ((k, mean_and_spread(gains)) for k, gains in better.items())
        )
        + ". Clear is what a t test at 5 % calls so; with three seeds it takes much.",
    )

# %% [markdown]
# **What we measured.** Over ten seeds, on all 1000 validation images (AUROC, mean ± standard deviation):
#
# | | entropy, evaluation mode | entropy of the MC mean | std of the class | mutual information |
# |---|---|---|---|---|
# | misclassified | 0.850 ± 0.010 | 0.844 ± 0.010 | 0.785 ± 0.012 | 0.790 ± 0.015 |
# | rotated by 90° | 0.663 ± 0.047 | 0.711 ± 0.050 | 0.734 ± 0.057 | 0.770 ± 0.057 |
# | mixed, two in one | 0.787 ± 0.016 | 0.796 ± 0.015 | 0.671 ± 0.023 | 0.701 ± 0.026 |
# | pixels shuffled | 0.819 ± 0.051 | 0.879 ± 0.033 | 0.836 ± 0.044 | 0.908 ± 0.031 |
# | noise | 0.818 ± 0.069 | 0.889 ± 0.044 | 0.880 ± 0.037 | 0.944 ± 0.022 |
#
# Three things, of which only the first is what one hopes for.
#
# - For images from elsewhere (rotated, shuffled, noise) MC dropout separates better: seed by seed the entropy of the mean
#   gains 0.049 ± 0.011, 0.061 ± 0.020 and 0.071 ± 0.029 over evaluation mode. The mutual information gains more on average,
#   0.107 ± 0.025, 0.089 ± 0.064 and 0.125 ± 0.077. All six are clear, but look at the last two spreads: the gain is there on
#   average, and the one network that you have may have little of it.
# - For images that lie *between* the classes (mixed, or simply misclassified) it does not help: +0.009 ± 0.003 and −0.005 ±
#   0.006, clear and next to nothing. The two measures of disagreement are even far worse there than the entropy you get for
#   nothing: the spread of the samples by 0.117 ± 0.026 and 0.065 ± 0.015, the mutual information by 0.087 ± 0.027 and 0.060 ±
#   0.016. A reading of that: if all thinned networks agree that the average of a coat and a bag is half coat and half bag, then
#   they agree, and there is no spread. What they disagree about is what none of them was ever told.
# - In absolute terms it is no safety net. By the entropy of the MC mean, noise looks *less* odd than a validation image in 11 ± 4 %
#   of the comparisons, and of the images rotated by 90° 25 ± 9 % still got more than 90 % for one class. (In evaluation mode
#   it was 45 ± 9 %.)
#
# The predictions themselves? With the MC mean the validation loss was 0.496 ± 0.019, in evaluation mode 0.515 ± 0.024; seed by
# seed the difference was −0.019 ± 0.009. The accuracy was 0.826 ± 0.004 and 0.830 ± 0.005, a difference of −0.004 ± 0.006, just
# clear. A slightly better loss, then, no better classes, and thirty times the price.

# %% [markdown]
# ## 9 · Explore
#
# The hidden layer of one network for one validation image: 256 units, before and after dropout, and what the last layer
# makes of them. Move $p$, draw new masks, and switch off the busiest units by hand. How many of the busiest can you take away
# before the prediction turns, and how many does chance have to take? Then choose the network trained without dropout
# (`networks[0.0]` in place of `networks[P]`), and compare.

# %% tags=["nbval-ignore-output"]
if ready(dropout, Dropout):
    model = networks[P][0][0]
    unit_explorer(
        hidden_units(model, x[3:4]).squeeze(0),
        drop=dropout,
        readout=model[11],
        class_names=data.class_names,
        p=P,
    )

# %% [markdown]
# ## 10 · A written question
#
# A colleague has put `nn.Dropout(0.5)` into her classifier. "Something is wrong," she says. "The training loss that my loop
# prints is 0.61, the validation loss is 0.48. Validation cannot be easier than training, so there must be a leak. And when
# I ask my trained model twice about the same image, I get two different answers." In four or five sentences: explain both
# observations, say what she should change and what she should measure, and why her validation numbers are meaningful
# although the network was never trained without a mask.

# %% [markdown] written="lower_than_training"
# **Your answer**
#
# ### BEGIN SOLUTION
# Her loop computes the training loss in training mode, with half of the units dropped: it is the loss of thinned, noisy
# networks, and the variance that the masks add to each pre-activation, $\frac{p}{1-p}\sum w_j^2x_j^2$, makes it larger.
# The validation loss is computed in evaluation mode, with all units, so the two numbers measure different networks and
# their order says nothing about a leak. To compare them she should measure the training images in evaluation mode too,
# under `torch.no_grad()`; then the gap should come out positive again. Two different answers for one image mean that
# dropout is still on when she predicts: she has to call `model.eval()` (and `model.train()` before she trains on).
# Evaluation without masks is meaningful because what is kept was divided by $1-p$ in training, so each pre-activation has
# the same mean as without dropout, $\mathbb E[m_jx_j/(1-p)] = x_j$; behind a nonlinearity this is an approximation to the
# average over all masks, not the average itself.
#
# *Rubric, 2 points.* 1 point for the first observation: the training loss is measured with dropout on and the validation
# loss with it off, and the remedy (measure both in evaluation mode). 1 point for both of: the missing `model.eval()`, and the
# expectation argument (dividing by $1-p$ keeps the mean of what the next layer sees). Half points are possible. Not
# required: the variance, MC dropout. Not right: "dropout makes the validation set easier", or "the division makes evaluation
# exactly the average of all thinned networks".
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# ```python
# layer = nn.Dropout(p=0.5)                          # the module
# y = nn.functional.dropout(x, p=0.5, training=True) # the function
# ```
#
# Beside yours the function has one trap: its `training` is True by default and knows nothing of the module that calls it, so
# `nn.functional.dropout(x)` inside of `forward` drops in evaluation as well. Pass `self.training`, or use the module. Both
# take `inplace=True`, which saves memory and writes into the input.
#
# Do the two agree? Not mask by mask, for they may draw their random numbers differently; but in how often they drop, in the
# scale of what is kept, and in evaluation:

# %%
if ready(dropout, Dropout):
    torch.manual_seed(0)
    many = torch.ones(400, 500)
    for name, layer in (("nn.Dropout", nn.Dropout(0.2)), ("yours", Dropout(0.2))):
        y = layer(many)
        share, scale = float((y == 0).float().mean()), float(y.max())
        same = bool((layer.eval()(many) == many).all())
        print(
            f"{name:10} drops {share:.2f} of the values, scales the rest by {scale:.2f}, evaluation changes nothing: {same}"
        )

# %% [markdown]
# PyTorch has no MC dropout: a loop around the model is all there is to it, and the loop is not the difficult part.
#
# ## Further reading
#
# - N. Srivastava et al., *Dropout*, JMLR 2014, [online](https://jmlr.org/papers/v15/srivastava14a.html). Section 7 on what
#   dropout does to features and sparsity; section 9 derives the penalty of section 2 for linear regression. Remember that its
#   $p$ is the probability of keeping.
# - S. Wager, S. Wang and P. Liang, *Dropout Training as Adaptive Regularization*, 2013,
#   [arXiv:1307.1493](https://arxiv.org/abs/1307.1493): the same idea beyond least squares.
# - Y. Gal and Z. Ghahramani, *Dropout as a Bayesian Approximation*, 2016,
#   [arXiv:1506.02142](https://arxiv.org/abs/1506.02142).
# - Y. Ovadia et al., *Can You Trust Your Model's Uncertainty?*, 2019, [arXiv:1906.02530](https://arxiv.org/abs/1906.02530):
#   MC dropout and its rivals on shifted data, at a scale that ours is not.
# - A. Labach, H. Salehinejad and S. Valaee, *Survey of Dropout Methods for Deep Neural Networks*, 2019,
#   [arXiv:1904.13310](https://arxiv.org/abs/1904.13310): where the other kinds in this course belong.

# %%
progress()

# %% [markdown]
# Next: **03 · Spatial dropout**, for convolutional layers, where a coin for each value is not enough.
