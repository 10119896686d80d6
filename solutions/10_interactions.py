# ---
# jupyter:
#   autograder: {title: Interactions, technique: Dropout with batch norm; combining techniques, paper: "Li et al. 2019", minutes: 120}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Interactions
#
# **After this notebook you will be able to**
#
# - derive by how much dropout shifts the variance that batch norm sees, and measure it, layer by layer, in a CNN;
# - recalibrate batch norm's running statistics, and say what that mends and what it cannot;
# - run an ablation over several seeds, read which techniques add up and which get in each other's way, and choose a
#   configuration when validation loss and validation accuracy do not agree.
#
# **Time:** about 120 minutes; sections 1 to 5 are one half, 6 to 9 the other. **Before it:** units 01 to 06 explain the
# techniques that are combined here, but nothing of your work in them is needed.
# **The paper:** X. Li, S. Chen, X. Hu and J. Yang, *Understanding the Disharmony between Dropout and Batch Normalization by
# Variance Shift*, CVPR 2019, [arXiv:1801.05134](https://arxiv.org/abs/1801.05134), sections 3 to 5.
#
# **Conventions.** $p$ is the probability of *dropping*; the paper's is that of keeping. And we write the variance in training
# over that in evaluation, so that 1 means "no shift" and 2 "twice as much in training"; the paper's shift ratio is the
# inverse.

# %% setup=true
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %%
from itertools import combinations, pairwise, product
from math import prod

from scipy.stats import spearmanr

from reglab import interactions
from reglab.data import load
from reglab.plots import COLOURS, MARKERS, grid, heat_map, show, spread_lines
from reglab.predict import predict
from reglab.training import differs, evaluate, mean_and_spread, one_thread, train
from reglab.widgets import combination_explorer

# %% [markdown]
# ## 1 · Two techniques and one number
#
# Batch norm subtracts a mean and divides by a standard deviation. In training both are those of the batch. In evaluation they
# are **running statistics**, averages over the batches of training, in the belief that in evaluation the inputs are
# distributed as they were in training. Dropout is made so that their *mean* is. What of their variance?
#
# Here is one activation, with the values it has for four images. Dropout with $p = 0.5$ makes each of them 0 or twice what it
# was, so there are eight equally likely values in training.

# %%
q1 = predict(
    "The activation is 1, 1, 3, 3 on four images: mean 2, variance 1. What is its variance in "
    "training, with dropout of p = 0.5 right before batch norm?",
    ["1", "2", "4", "6"],
    mine=None,
)

# %%
activation = [1.0, 1.0, 3.0, 3.0]
in_training = [scale * value for value in activation for scale in (0.0, 2.0)]
variances = {}
for name, values in (("evaluation", activation), ("training", in_training)):
    variances[name] = statistics.pvariance(values)
    print(f"{name:10}: mean {statistics.fmean(values):.1f}, variance {variances[name]:.1f}")
q1.compare(
    "abcd"[[1, 2, 4, 6].index(round(variances["training"]))],
    "The mean of the squares doubles, from 5 to 10; what is subtracted from it, 2 * 2, does not.",
)

# %% [markdown]
# The mean is the same and the variance six times as large. Batch norm learns the six in training and divides by its root in
# evaluation too, where there is only one: what leaves the layer then has a standard deviation of $1/\sqrt6 \approx 0.41$ where
# the next layer has learned to expect 1. Nothing is broken, no error is raised; the network merely becomes another one when
# you call `eval()`.
#
# ## 2 · The mathematics
#
# Let batch norm's input be $y = \sum_i w_i\,\frac{m_i}{1-p}\,x_i + b$, a sum over inputs that dropout acted on: a linear layer,
# or one position of a convolution. With a single term and $w = 1$ it is dropout right before batch norm. The coins $m_i$ are
# independent of each other and of the image. For a *fixed image* only the coins vary:
#
# $$\mathbb E[y \mid x] = \sum_i w_i x_i + b , \qquad
#   \operatorname{Var}(y \mid x) = \sum_i w_i^2 x_i^2\,\frac{p(1-p)}{(1-p)^2} = \frac{p}{1-p}\sum_i w_i^2 x_i^2 .$$
#
# What batch norm measures is the variance over images *and* coins. By the law of total variance it is the variance of the
# conditional mean plus the mean of the conditional variance. The former is what there is in evaluation, where
# $y = \sum_i w_i x_i + b$; hence
#
# $$\boxed{\;\Delta \;=\; \frac{\operatorname{Var}_{\text{training}}(y)}{\operatorname{Var}_{\text{evaluation}}(y)}
#   \;=\; 1 + \frac{p}{1-p}\cdot\frac{\sum_i w_i^2\,\mathbb E[x_i^2]}{\operatorname{Var}\big(\sum_i w_i x_i\big)}\;}$$
#
# - **It is never below 1.** Coins add variance. (In whole networks other things shift too, and a measured ratio may come out
#   below.)
# - **Right before batch norm**, with mean $\mu$ and variance $\sigma^2$ of the activation: $\Delta = 1 +
#   \frac{p}{1-p}\big(1 + \frac{\mu^2}{\sigma^2}\big) \ge \frac{1}{1-p}$. Not even $\mu = 0$ helps. Section 1 has $\mu = 2$, $\sigma = 1$
#   and $p/(1-p) = 1$: 6.
# - **With a layer in between** it depends on the weights. Averaging over many inputs does not help by itself: for inputs without
#   correlation $\operatorname{Var}(\sum w_i x_i) = \sum w_i^2 \sigma_i^2$, numerator and denominator grow alike, and $\Delta$ is
#   as large as before. It is *correlation* that helps: where the $w_i x_i$ go up and down together, their variance grows with the
#   square of their number and the noise of separate coins does not. (That is the $1 + (n-1)\rho$ of unit 03, here in the
#   denominator. The paper writes it as the cosine of an angle between weights and inputs.) Where they cancel, $\Delta$ is
#   larger than before.
# - **After the last batch norm** nobody measures the variance. That is the paper's first advice: put dropout there.
# - **It passes on.** A batch norm whose output varies too little in evaluation feeds the next layers with inputs that they have
#   not been trained on, and their batch norms have running statistics for the others. So later layers may be off even where
#   no dropout is near them.
#
# ### Check it on three inputs
#
# Three inputs on four images, eight masks: few enough to go through all of them.

# %%
inputs = [(1.0, 2.0, 0.0), (3.0, 1.0, 1.0), (0.0, 2.0, 3.0), (2.0, 3.0, 0.0)]


def exact_ratio(w: tuple[float, ...], p: float) -> float:
    """Training over evaluation variance of the weighted sum, over every image and every mask."""
    still = [sum(a * b for a, b in zip(w, x, strict=True)) for x in inputs]
    outcomes = []
    for x, mask in product(inputs, product([0, 1], repeat=3)):
        chance = prod(1 - p if kept else p for kept in mask) / len(inputs)
        terms = (a * b * kept / (1 - p) for a, b, kept in zip(w, x, mask, strict=True))
        outcomes.append((chance, sum(terms)))
    mean = sum(c * y for c, y in outcomes)
    return sum(c * (y - mean) ** 2 for c, y in outcomes) / statistics.pvariance(still)


def formula(w: tuple[float, ...], p: float) -> float:
    """The boxed ratio."""
    still = [sum(a * b for a, b in zip(w, x, strict=True)) for x in inputs]
    squares = sum(w[i] ** 2 * statistics.fmean(x[i] ** 2 for x in inputs) for i in range(3))
    return 1 + p / (1 - p) * squares / statistics.pvariance(still)


for w in ((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, -1.0, -1.0)):
    values = [f"{exact_ratio(w, p):.3f} and {formula(w, p):.3f}" for p in (0.1, 0.5)]
    print(
        f"weights {w}: exactly and by the formula, p = 0.1: {values[0]}, p = 0.5: {values[1]}"
    )

# %% [markdown]
# The pairs agree. The first line has a single input. In the second the sum hardly varies, because the first input is small
# where the third is large, and the noise of the coins is enormous beside it; in the third the weights turn that round, and the
# shift is smallest. Same inputs, same $p$: the weights decide.
#
# ## 3 · Measure it
#
# **Exercise `variance_shift`** · difficulty ●●● · about 25 minutes
#
# The formula needs independent coins and exact expectations; a network has neither in its later layers. So we measure: for each
# batch norm layer, the variance of what goes into it, with the whole model in training mode, over that in evaluation mode. What
# does a pass in training mode change, besides the activations? And what has to be as it was when you are done?


# %% exercise="variance_shift"
def variance_shift(
    model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """How much more the inputs of each batch norm layer vary in training than in evaluation.

    (Li et al. 2019.) For each channel of each layer: the variance of the layer's input with the whole model in
    training mode, divided by that with the whole model in evaluation mode and the running
    statistics that the model came with. A variance is taken over all examples of the loader
    and all positions together. (The paper prints the inverse of this ratio.)

    Args:
        model: any network with batch norm layers (`nn.BatchNorm1d`, `nn.BatchNorm2d`, ...);
            afterwards everything about it is what it was: the mode of each module, buffers,
            hooks, parameters and their gradients.
        loader: yields batches (x, target), as often as one likes; the last batch may be
            smaller. The model is called with x.

    Shape:
        - x: (N, ...), whatever the model takes
        - Output: a tensor (C,) for each batch norm layer with C channels

    Returns:
        {name of the layer in `model.named_modules()`: ratio of each channel}, an entry for
        every batch norm layer.
    """
    ### BEGIN SOLUTION
    variance: dict[bool, dict[str, Tensor]] = {}
    for training in (True, False):
        trial = deepcopy(model).train(
            training
        )  # a training pass moves running statistics: not ours
        inputs: dict[str, list[Tensor]] = {}
        for name, layer in trial.named_modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                kept = inputs.setdefault(name, [])
                layer.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
        with torch.no_grad():  # measured, not trained
            for x, _ in loader:
                trial(x)
        pooled = {
            name: torch.cat(kept).transpose(0, 1).flatten(1) for name, kept in inputs.items()
        }
        variance[training] = {name: values.var(dim=1) for name, values in pooled.items()}
    return {name: variance[True][name] / still for name, still in variance[False].items()}
    ### END SOLUTION


# %% [markdown]
# <!-- hints: variance_shift -->

# %% check="variance_shift"
check(variance_shift)

# %% [markdown]
# Section 1 as a network: dropout, then batch norm for a single feature, and 10 000 times the values 1, 1, 3, 3.

# %%
if ready(variance_shift):
    torch.manual_seed(0)
    tiny = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(1))
    many = torch.tensor(activation).repeat(10_000).unsqueeze(1)
    batches = [(x, torch.zeros(len(x))) for x in many.split(1000)]
    print(
        {name: round(float(ratio), 1) for name, ratio in variance_shift(tiny, batches).items()}
    )

# %% [markdown]
# ### Where the dropout is
#
# Now a CNN: three blocks of convolution, batch norm and ReLU, then a linear layer. Dropout with $p = 0.5$ has four places: nowhere;
# *before each* batch norm, between it and its convolution; *after each* block, so that a convolution and then the next block's
# batch norm follow; and *after the last* block, where no batch norm follows. 1000 training images, 8 epochs, three seeds;
# the shift is measured on the training images.

# %%
q2 = predict(
    "Where is the shift of the third batch norm largest?",
    [
        "dropout before each batch norm",
        "dropout after each block",
        "dropout after the last block",
        "the same for all three",
    ],
    mine=None,
)

# %%
IMAGES, EPOCHS, RATE, SEEDS = 1000, 8, 0.5, (0, 1, 2)
PLACES = ("nowhere", "before each", "after each", "after the last")


def network(
    place: str, p: float = RATE, widths: tuple[int, ...] = (16, 32, 64)
) -> nn.Sequential:
    """A CNN with batch norm, and dropout at one of the places."""
    parts: list[nn.Module] = []
    for before, after in pairwise((1, *widths)):
        parts.append(nn.Conv2d(before, after, 3, stride=2, padding=1))
        if place == "before each":
            parts.append(nn.Dropout(p))
        parts += [nn.BatchNorm2d(after), nn.ReLU()]
        if place == "after each" or (place == "after the last" and after == widths[-1]):
            parts.append(nn.Dropout(p))
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * widths[-1], 10)
    )


# %% tags=["nbval-ignore-output"]
data = load().with_train(IMAGES)
loader = list(zip(data.train.images.split(64), data.train.labels.split(64), strict=True))
trained: dict[str, list[nn.Sequential]] = {}
if ready(variance_shift):
    for place in PLACES:
        trained[place] = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            model = network(place)
            train(model, data, EPOCHS, seed=seed)
            trained[place].append(model.cpu())
        print(f"trained: {len(SEEDS)} networks with dropout {place}")

# %% tags=["nbval-ignore-output"]
if ready(variance_shift):
    with one_thread():
        shifts = {
            place: [
                [float(ratio.mean()) for ratio in variance_shift(model, loader).values()]
                for model in models
            ]
            for place, models in trained.items()
        }
    told = {
        place: [mean_and_spread(values) for values in zip(*rows, strict=True)]
        for place, rows in shifts.items()
    }
    print(
        "variance in training / in evaluation, mean over channels; mean ± standard deviation, 3 seeds"
    )
    for place, values in told.items():
        print(f"{place:15}", *(f"   {mean:.2f} ± {s:.2f}" for mean, s in values))
    show(
        spread_lines(
            (1, 2, 3),
            shifts,
            "batch norm layer",
            "variance in training / in evaluation",
            f"dropout, p = {RATE}",
        ),
        "Ratio of training to evaluation variance for three batch norm layers. "
        + " ".join(
            f"Dropout {place}: {', '.join(f'{mean:.2f}' for mean, _ in values)}."
            for place, values in told.items()
        ),
    )
    third = {place: told[place][2][0] for place in PLACES[1:]}
    q2.compare(
        "abc"[list(third.values()).index(max(third.values()))],
        "Before each: its own coins, and all that the layers before it have already shifted.",
    )

# %% [markdown]
# **What to see.** Two lines lie at 1, or nearly: without dropout, and with dropout where no batch norm comes after it. Dropout
# between a convolution and its batch norm more than doubles the variance of the first layer, and the shift grows from layer to
# layer. One convolution in between, and it is much smaller.
#
# **What we measured.** Three seeds say little about a spread, so we trained ten (0 to 9; `python
# solutions/experiments/10_interactions.py` in the course's repository prints all that this unit says of ten seeds):
#
# | dropout | layer 1 | layer 2 | layer 3 |
# |---|---|---|---|
# | nowhere | 1.00 ± 0.00 | 1.01 ± 0.03 | 1.01 ± 0.04 |
# | before each | 2.17 ± 0.05 | 2.98 ± 0.29 | 3.33 ± 0.51 |
# | after each | 1.00 ± 0.00 | 1.30 ± 0.04 | 1.39 ± 0.08 |
# | after the last | 1.00 ± 0.00 | 1.02 ± 0.03 | 1.01 ± 0.04 |
#
# Before each: the formula's lower bound for dropout right before batch norm is $1/(1-p) = 2$; the first layer has 2.17, so
# $\mu^2/\sigma^2$ was about 0.17 there. From layer to layer it grows, seed by seed by 0.81 ± 0.28 and by 0.35 ± 0.31; a t test tells both
# from chance. After each: 1 in the first layer, which no dropout precedes, and much less than before each in the others. A
# convolution sums over a window and over channels whose activations, after a ReLU, are correlated, and that is what the formula
# says should help. After the last it is as without dropout: batch norm's own batch statistics make the last digits.

# %% [markdown]
# ## 4 · Recalibrate
#
# The weights are as they were trained. What is wrong is a few numbers: running means and variances that describe training. They
# can be measured anew, for the network as it is in evaluation: nothing dropped, but batch norm looking.
#
# **Exercise `recalibrate_batchnorm`** · difficulty ●●○ · about 20 minutes
#
# Why is it not enough to call `model.train()` and show it some batches? And why can the statistics of the second layer not be
# measured while the first one still normalises with its old ones?


# %% exercise="recalibrate_batchnorm"
def recalibrate_batchnorm(model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Estimate batch norm's running statistics anew, for the model as it is in evaluation.

    One pass over the loader with every batch norm layer in training mode, so that it
    normalises with the batch's own statistics, and everything else in evaluation mode, so that
    nothing is dropped. Afterwards running mean and running variance of each layer are the
    plain average, over the batches, of the batch's mean and its unbiased variance: nothing is
    left of what they were, and a smaller last batch counts like any other.

    Args:
        model: changed in place, but only in its running statistics (and batch norm's count of
            batches, which is up to you): the mode of each module, momenta, parameters, their
            gradients and hooks end as they were.
        loader: yields batches (x, target), as often as one likes. The model is called with x.

    Shape:
        - x: (N, ...), whatever the model takes

    Returns:
        Nothing; a result is not looked at.
    """
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    norms = {m: m.momentum for m, _ in modes if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    model.eval()
    for layer in norms:
        layer.train().reset_running_stats()
        layer.momentum = None  # every batch counts the same
    with torch.no_grad():  # statistics only
        for x, _ in loader:
            model(x)
    for module, training in modes:
        module.training = training
    for layer, momentum in norms.items():
        layer.momentum = momentum
    ### END SOLUTION


# %% [markdown]
# <!-- hints: recalibrate_batchnorm -->

# %% check="recalibrate_batchnorm"
check(recalibrate_batchnorm)

# %% [markdown]
# Now do it to the networks of section 3. Each is evaluated on the validation images three times: as it was trained, after your
# recalibration, and after PyTorch's own `torch.optim.swa_utils.update_bn`, which also shows the training images to the
# network and averages.

# %%
q3 = predict(
    "Dropout before each batch norm: whose validation loss will be lowest?",
    [
        "as trained",
        "recalibrated by your function",
        "recalibrated by PyTorch's update_bn",
        "the same for both recalibrations",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
if ready(variance_shift, recalibrate_batchnorm):
    WAYS = {
        "as trained": lambda model: None,
        "recalibrated": lambda model: recalibrate_batchnorm(model, loader),
        "by update_bn": lambda model: torch.optim.swa_utils.update_bn(loader, model),
    }
    measured: dict[str, dict[str, list[tuple[float, float]]]] = {}
    torch.manual_seed(0)  # for update_bn, which draws masks
    with one_thread():
        for place, models in trained.items():
            measured[place] = {}
            for way, change in WAYS.items():
                copies = [deepcopy(model) for model in models]
                for each in copies:
                    change(each)
                measured[place][way] = [evaluate(each, data.validation) for each in copies]
    print("mean ± standard deviation, 3 seeds; in brackets minus 'as trained', by seed")
    for index, metric in enumerate(("validation loss", "validation accuracy")):
        print(f"{metric:20}", *(f"{way:32}" for way in WAYS))
        for place, ways in measured.items():
            cells = []
            for way, values in ways.items():
                mean, s = mean_and_spread([v[index] for v in values])
                pairs = zip(values, ways["as trained"], strict=True)
                change, spread = mean_and_spread([v[index] - old[index] for v, old in pairs])
                bracket = "" if way == "as trained" else f" ({change:+.3f} ± {spread:.3f})"
                cells.append(f"{mean:.3f} ± {s:.3f}{bracket}")
            print(f"  {place:18}", *(f"{cell:32}" for cell in cells))

# %% tags=["nbval-ignore-output"]
if ready(variance_shift, recalibrate_batchnorm):
    figure, [axes] = grid(1, 2, 9.4, 3.5)
    for index, (axis, label) in enumerate(
        zip(axes, ("validation loss (nats)", "validation accuracy (fraction)"), strict=True)
    ):
        for k, way in enumerate(WAYS):
            for spot, place in enumerate(PLACES):
                values = [v[index] for v in measured[place][way]]
                mean, s = mean_and_spread(values)
                axis.errorbar(
                    spot + 0.2 * (k - 1),
                    mean,
                    s,
                    fmt=MARKERS[k],
                    color=COLOURS[k],
                    capsize=3,
                    markersize=6,
                    label=way if spot == 0 else None,
                )
        axis.set_xticks(range(len(PLACES)), [p.replace(" ", "\n", 1) for p in PLACES])
        axis.set(xlabel="dropout", ylabel=label)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    show(
        figure,
        "Validation loss and accuracy for four places of dropout, as trained, recalibrated, and by "
        "update_bn, with one standard deviation over three seeds; the table above has the numbers.",
    )
    losses = [
        mean_and_spread([loss for loss, _ in measured["before each"][way]])[0] for way in WAYS
    ]
    q3.compare(
        "abc"[losses.index(min(losses))],
        "update_bn puts the whole model in training mode: dropout is on while it measures.",
    )

# %% [markdown]
# **What to see.** Three markers a place: where the second is lower (left) or higher (right) than the first, recalibration helped.
# Compare the third column's fate, whose statistics were made with dropout on.
#
# **What we measured.** With dropout before each batch norm and these three seeds, recalibration took the loss from 0.808 ± 0.116 to
# 0.712 ± 0.010 and the accuracy from 0.714 ± 0.039 to 0.766 ± 0.006, for a single pass over the training images, without a
# gradient. Seed by seed that is −0.096 ± 0.106 and +0.052 ± 0.038: large on average, very different from network to network, and by a
# t test neither is told from chance. Ten seeds tell more. Differences are again taken seed by seed, and bold where the t test tells
# them from chance (`differs`):
#
# | validation loss | as trained | recalibrated − as trained | `update_bn` − as trained |
# |---|---|---|---|
# | nowhere | 0.621 ± 0.043 | **−0.026 ± 0.025** | **−0.026 ± 0.025** |
# | before each | 0.742 ± 0.106 | **−0.069 ± 0.087** | −0.025 ± 0.050 |
# | after each | 0.582 ± 0.014 | −0.003 ± 0.013 | −0.000 ± 0.006 |
# | after the last | 0.584 ± 0.036 | **−0.022 ± 0.022** | **−0.022 ± 0.022** |
#
# | validation accuracy | as trained | recalibrated − as trained | `update_bn` − as trained |
# |---|---|---|---|
# | nowhere | 0.806 ± 0.010 | **+0.012 ± 0.013** | **+0.012 ± 0.013** |
# | before each | 0.736 ± 0.031 | **+0.038 ± 0.027** | +0.009 ± 0.016 |
# | after each | 0.791 ± 0.009 | +0.005 ± 0.009 | +0.002 ± 0.006 |
# | after the last | 0.807 ± 0.011 | **+0.008 ± 0.008** | **+0.008 ± 0.008** |
#
# - **Where the variance shifts most, recalibration helps most**: the accuracy rose in each of the ten networks, the loss fell in
#   eight.
# - **It helps where nothing shifts, too**, which three seeds had not shown. Running statistics are an average over the last ten or twenty
#   batches, made while the weights still moved; the new ones are an average over all 16 batches, of the weights as they are. That is our
#   reading of it, and it means that not all of the 0.038 belongs to dropout. Take away, seed by seed, what recalibration
#   brings without dropout: +0.026 ± 0.028 of accuracy are left, which the t test tells from chance, and −0.042 ± 0.083 of loss, which
#   it does not.
# - **`update_bn` does not mend the shift.** With dropout before each batch norm its networks are not told from those as trained, and
#   their accuracy is 0.028 ± 0.015 below that of yours: its average is one over activations with dropout. (Where nothing is
#   dropped before a batch norm, the two do exactly the same.)
# - **Even recalibrated, dropout before each batch norm is the worst of the four places**: its loss is the highest for each of the ten
#   seeds, its accuracy 0.022 ± 0.007 below that of the next, dropout after each block. Recalibration mends the statistics and
#   not the training.
#
# ### What of the ratios?

# %%
q4 = predict(
    "After recalibration, dropout before each batch norm: the shift of the first layer was about "
    "2.2 and that of the third over 3. What are they now?",
    ["both are 1", "as before", "2.2 and little more than 1", "1 and over 3"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
if ready(variance_shift, recalibrate_batchnorm):
    with one_thread():
        rows = []
        for model in trained["before each"]:
            again = deepcopy(model)
            recalibrate_batchnorm(again, loader)
            ratios = variance_shift(again, loader).values()
            rows.append([float(ratio.mean()) for ratio in ratios])
    after = [mean_and_spread(values) for values in zip(*rows, strict=True)]
    print("before:", *(f"  {mean:.2f} ± {s:.2f}" for mean, s in told["before each"]))
    print("after: ", *(f"  {mean:.2f} ± {s:.2f}" for mean, s in after))
    first, last = after[0][0] > 1.5, after[2][0] > 2.0
    q4.compare(
        {(False, False): "a", (True, True): "b", (True, False): "c", (False, True): "d"}[
            first, last
        ],
        "The ratio compares the two modes. What comes before the first layer is what it was.",
    )

# %% [markdown]
# The first layer's inputs are what they were: nothing before it has changed, so in training they vary 2.2 times as much as in
# evaluation, whatever its running variance says. Recalibration does not remove the shift. It tells batch norm which of the two
# variances it will meet in evaluation.
#
# The ratios of the later layers fell, over ten seeds to 1.21 ± 0.08 and 1.10 ± 0.05. But do their own coins not double the variance, by section 2? They
# do. Only, in training, what comes from the layer before has been normalised *with its noise*: of its variance of 1 less than half
# is image, the rest is coins. The convolution averages separate coins away, so of the image it passes on about half the variance that it
# passes on in evaluation, and the layer's own coins double that half. Two wrongs make nearly a right, once the running statistics
# fit. Before, with a running variance 2.2 times too large, evaluation had the small image variance as well, and the doubling
# showed. (That is our reading; it predicts a ratio near 1, as measured.)

# %% [markdown]
# ## 5 · What to do about it
#
# In order of cost: put dropout after the last batch norm, where it does what it is there for and shifts nothing. If it has to stand
# earlier, prefer a place with a layer and a ReLU between it and the next batch norm, and a small $p$. (The paper's other
# proposal is a noise that shifts less.) And whenever the statistics were made by another network than the one that predicts,
# through dropout, averaged weights, weights that still moved fast, or changed data, recalibrate: one pass.
#
# ## 6 · Combine: an ablation
#
# Now to all techniques at once. Five can be switched on and off here, on the small CNN of this course, which has no batch norm (so
# what follows is about how they work together, and not about section 1): weight decay (AdamW, 0.5), augmentation (shifts by up to
# 2 pixels, and mirrored images), label smoothing (α = 0.1), dropout before the last layer ($p = 0.5$), and spatial dropout of whole
# channels after each block ($p = 0.1$). The strengths were set by eye beforehand, with another seed.
#
# Two techniques **add up** if the effect of both is the sum of their effects. With $m_{AB}$ for a metric with both, and so on, the
# **interaction** is what is left:
#
# $$I_{AB} = (m_{AB} - m_0) - \big[(m_A - m_0) + (m_B - m_0)\big] = m_{AB} - m_A - m_B + m_0 .$$
#
# For a loss, $I > 0$ means that together they give less than they promise; if both cure the same thing, that is what one should
# expect. Everything is compared **in pairs**: runs of one seed start from the same weights and see the same batches, so what a seed
# has of luck is in both and falls out of the difference. If a run's spread is $\sigma$ and two runs of one seed have correlation
# $r$, their difference has variance $2\sigma^2(1 - r)$, and the mean of $n$ differences has that over $n$. An interaction
# has four runs in it, and up to $4\sigma^2$: interactions are harder to see than effects.
#
# **Exercise `run_ablation`** · difficulty ●●○ · about 15 minutes
#
# `build` may take an hour for one pair. What should happen before the first one, if the seeds are too few?


# %% exercise="run_ablation"
def run_ablation(
    build: Callable[[Any, int], Mapping[str, float]],
    configurations: Mapping[str, Any],
    seeds: Sequence[int],
) -> dict[str, dict[str, tuple[float, float]]]:
    """Train each configuration with each seed, and say what came of it with its spread.

    Args:
        build: `build(configuration, seed)` trains one network and returns its metrics,
            {metric: number}. It is called once for each pair of a configuration and a seed.
        configurations: {name: configuration}; what a configuration is, only `build` knows.
        seeds: whole numbers, at least two: from one alone no spread can be had.

    Shape:
        - build returns the same metrics for every seed of a configuration

    Returns:
        {name: {metric: (mean, standard deviation)}} over the seeds, names in the order of
        `configurations`. The standard deviation is the sample's, with n - 1.

    Raises:
        ValueError: there are fewer than two seeds; raised before anything is built.
    """
    ### BEGIN SOLUTION
    if len(seeds) < 2:
        raise ValueError(f"a spread needs at least two seeds, got {len(seeds)}")
    table: dict[str, dict[str, tuple[float, float]]] = {}
    for name, configuration in configurations.items():
        runs = [build(configuration, seed) for seed in seeds]
        values = {metric: [run[metric] for run in runs] for metric in runs[0]}
        table[name] = {m: (statistics.fmean(v), statistics.stdev(v)) for m, v in values.items()}
    return table
    ### END SOLUTION


# %% [markdown]
# <!-- hints: run_ablation -->

# %% check="run_ablation"
check(run_ablation)

# %% [markdown]
# By hand: three "configurations" and a build that trains nothing.

# %%
if ready(run_ablation):
    toy = run_ablation(
        lambda power, seed: {"value": float(seed**power)}, {"line": 1, "square": 2}, [1, 2, 3]
    )
    for name, row in toy.items():
        print(f"{name}: {float(row['value'][0]):.3f} ± {float(row['value'][1]):.3f}")

# %% [markdown]
# 1, 2, 3 has mean 2 and standard deviation 1; 1, 4, 9 has 4.667 and, since the squared deviations 13.444, 0.444 and 18.778 sum to
# 32.667 and half of that is 16.333, 4.041.
#
# ### The table
#
# A proper sweep takes longer than a notebook may: 41 configurations with five seeds each, 205 trainings, about half an hour on one
# core. So it is a script, `reglab/interactions.py`:
#
# ```
# python -m reglab.interactions
# ```
#
# has a progress bar, may be stopped at any time, and goes on where it was. Its table comes with the course, a small CSV. Look at
# the script's `Recipe` and `fit` to see what a configuration is; it takes a minute.

# %%
TABLE = {(run.configuration, run.seed): run.metrics for run in interactions.stored()}
SWEPT = interactions.SEEDS
print(f"{len(TABLE)} runs; the command: {interactions.COMMAND}")
print("a run:", ", ".join(TABLE["none", 0]))

# %% [markdown]
# Before you trust a stored table, run a corner of it yourself. Two configurations, three seeds, with your `run_ablation`:

# %% tags=["nbval-ignore-output"]
CORNER = ("augmentation", "smoothing")
networks: dict[tuple[str, int], nn.Module] = {}


def live(configuration: tuple[str, Mapping[str, Any]], seed: int) -> dict[str, float]:
    """Train one network as the sweep does, keep it, and measure it."""
    name, settings = configuration
    networks[name, seed], history = interactions.fit(settings, seed, data)
    print(f"trained: {name}, seed {seed}")
    return interactions.summary(history)


if ready(run_ablation):
    chosen = {name: (name, interactions.combined()[name]) for name in CORNER}
    corner = run_ablation(live, chosen, SWEPT[:3])
    for name, row in corner.items():
        for metric in ("validation_loss", "validation_accuracy"):
            mean, spread = (float(v) for v in row[metric])
            stored = mean_and_spread([TABLE[name, seed][metric] for seed in SWEPT[:3]])
            print(
                f"{name:13} {metric:20} yours {mean:.3f} ± {spread:.3f}   "
                f"stored {stored[0]:.3f} ± {stored[1]:.3f}"
            )

# %% [markdown]
# On the machine that made the table the two columns are the same. On another, sums are rounded in another order, and after a few
# hundred steps that is a different network: yours will differ by about what another seed would.
#
# ### Singles and pairs
#
# A trick: what `run_ablation` calls `build` need not train. Ours looks up a run and subtracts the baseline's of the same seed, so
# your function returns paired differences.

# %%
q5 = predict(
    "Which single technique brings the lowest validation loss, and which the highest validation "
    "accuracy?",
    [
        "the same one brings both",
        "augmentation the lowest loss, smoothing the highest accuracy",
        "smoothing the lowest loss, augmentation the highest accuracy",
        "dropout the lowest loss, augmentation the highest accuracy",
    ],
    mine=None,
)

# %%
q6 = predict(
    "All five techniques together, against none, by validation accuracy:",
    ["clearly better", "no clear difference", "clearly worse"],
    mine=None,
)

# %%
NAMES = list(interactions.TECHNIQUES)
PAIRS = {interactions.name_of(pair): pair for pair in combinations(NAMES, 2)}
METRICS = {
    "validation_loss": "loss",
    "validation_accuracy": "accuracy",
    "gap": "gap",
    "ece": "ECE",
}


def effect(name: str, seed: int) -> dict[str, float]:
    """A configuration minus the baseline, of one seed."""
    return {m: TABLE[name, seed][m] - TABLE["none", seed][m] for m in METRICS}


def interaction(pair: tuple[str, str], seed: int) -> dict[str, float]:
    """What a pair has beyond the sum of its parts, of one seed."""
    both = effect(interactions.name_of(pair), seed)
    parts = [effect(name, seed) for name in pair]
    return {m: both[m] - sum(part[m] for part in parts) for m in METRICS}


def with_error(entry: tuple[float, float]) -> tuple[float, float]:
    """Mean and standard error of the mean, from mean and standard deviation."""
    return float(entry[0]), float(entry[1]) / len(SWEPT) ** 0.5


if ready(run_ablation):
    whole = [name for name in interactions.combined() if name != "none"]
    effects = run_ablation(effect, {name: name for name in whole}, SWEPT)
    beyond = run_ablation(interaction, PAIRS, SWEPT)
    levels = run_ablation(
        lambda name, seed: TABLE[name, seed], {name: name for name in ("none", *whole)}, SWEPT
    )
    print("minus the baseline, by seed: mean ± standard error over 5 seeds")
    print(f"{'':24}", *(f"{label:>17}" for label in METRICS.values()))
    for name in (*NAMES, "all"):
        cells = (with_error(effects[name][m]) for m in METRICS)
        print(f"{name:24}", *(f"   {mean:+.3f} ± {e:.3f}" for mean, e in cells))
    lowest = min(NAMES, key=lambda n: levels[n]["validation_loss"][0])
    highest = max(NAMES, key=lambda n: levels[n]["validation_accuracy"][0])
    known = {("augmentation", "smoothing"): "b", ("smoothing", "augmentation"): "c"}
    q5.compare(
        "a" if lowest == highest else known.get((lowest, highest), "d"),
        "A loss is about confidence as well as about being right.",
    )
    apart = [effect("all", seed)["validation_accuracy"] for seed in SWEPT]
    q6.compare(
        "b" if not differs(apart) else "a" if sum(apart) > 0 else "c", "Each costs training."
    )

# %%
if ready(run_ablation):
    for metric, label in (
        ("validation_loss", "validation loss minus the baseline's (nats)"),
        ("validation_accuracy", "validation accuracy minus the baseline's (fraction)"),
    ):
        cells: list[list[list[float] | None]] = []
        for i, row in enumerate(NAMES):
            known = [interactions.name_of((column, row)) for column in NAMES[:i]] + [row]
            line = [[effect(name, seed)[metric] for seed in SWEPT] for name in known]
            cells.append([*line, *[None] * (len(NAMES) - 1 - i)])
        told_cells = (
            f"{name} {with_error(effects[name][metric])[0]:+.3f}" for name in (*NAMES, *PAIRS)
        )
        show(
            heat_map(cells, NAMES, NAMES, label, "alone (diagonal) and in pairs"),
            f"Heat map of {label}: {', '.join(told_cells)}.",
        )

# %% [markdown]
# **What to see.** On the diagonal each technique alone, below it the pairs; mean and standard error of five paired differences, bold
# where a t test tells the mean from 0 (`differs`): with five seeds, where it is beyond 2.8 standard errors and not 2, for a standard
# error from five values is itself uncertain by a third. (By chance alone one cell in 20 would be bold, in a picture of 15 nearly one.) For the loss blue is good, for the accuracy red is. Look
# first at the two diagonals side by side. Then at the column of augmentation in both pictures.

# %%
if ready(run_ablation):
    for metric, label in (
        ("validation_loss", "interaction in the validation loss (nats)"),
        ("validation_accuracy", "interaction in the validation accuracy (fraction)"),
    ):
        cells = []
        for i, row in enumerate(NAMES[1:], start=1):
            pairs = [(column, row) for column in NAMES[:i]]
            line = [[interaction(pair, seed)[metric] for seed in SWEPT] for pair in pairs]
            cells.append([*line, *[None] * (4 - i)])
        told_cells = (f"{name} {with_error(beyond[name][metric])[0]:+.3f}" for name in PAIRS)
        show(
            heat_map(cells, NAMES[1:], NAMES[:-1], label, "pair minus the sum of its parts"),
            f"Heat map of the {label}: {', '.join(told_cells)}.",
        )

# %% [markdown]
# **What to see.** White is "they add up". For the loss every cell is red; for the accuracy the colours tell friends from foes.
#
# **What we measured.** Alone, each of the five lowered the loss, by 0.24 (spatial dropout) to 0.50 (augmentation), always with a
# standard error of about 0.05. None raised the accuracy beyond doubt (smoothing by 0.007 ± 0.004, dropout by 0.000 ± 0.002), and
# augmentation *cost* 0.011 ± 0.003, the only bold cell of that diagonal. How can a loss be halved and the accuracy stay? The baseline knows its training images by
# heart (training loss about 0.01), and on validation images it is as sure as on those. Divide its logits by the best
# temperature, and its loss is 0.535 where it was 1.020. After temperature none of the five is better than that by more than
# 0.010 (dropout). So what they had in common was to cure too much confidence, and that can be cured only once.
#
# Hence the interactions in the loss are **all** positive, nine of ten clearly, from +0.12 ± 0.06 to +0.45 ± 0.06. It does not mean that the pairs were bad.
# Augmentation and smoothing would have to lower the loss by 0.50 + 0.41, of the 1.02 that there is. With a floor that near, nothing
# can add up, and "they interact" is a statement about the scale. The question to ask is another: is a pair better than the *better
# one of the two*? Seed by seed: dropout and spatial dropout, by 0.121 ± 0.017; weight decay and dropout, by 0.106 ± 0.012;
# smoothing and dropout, by 0.037 ± 0.009. And worse than the better one: augmentation with weight decay, by 0.075 ± 0.019, and
# with smoothing by 0.035 ± 0.011. (With dropout by 0.018 ± 0.009, which five seeds do not tell from chance.)
#
# The accuracy has no floor nearby, and there an interaction means something. Two clear fights, both of augmentation: with weight decay
# (−0.024 ± 0.005) and with dropout (−0.012 ± 0.003). One friendship, dropout and
# spatial dropout (+0.007 ± 0.001, the clearest of ten, so do not bet on its size). All others add up as far as five seeds can
# tell, smoothing with each of the other four.
#
# **All five together were worse than nothing**: accuracy 0.775 against 0.827. Their gap, 0.034, is as small as any (all but smoothing
# has 0.033), and that is no merit: they reach 0.80 on the *training* images. A network that is held back from learning has nothing to forget. Look at
# what each does as the last to be added, all five minus all but one: augmentation −0.053 ± 0.003, weight decay −0.023 ± 0.004, dropout
# −0.015 ± 0.003, spatial dropout −0.010 ± 0.004, smoothing +0.004 ± 0.001. Added first, dropout had cost nothing. (Only
# spatial dropout's share is not told from chance.)

# %% [markdown]
# ## 7 · Explore
#
# Choose a combination and see its row against the baseline and against its parts. All singles, pairs, all five, and all but one
# were trained. Find the combination with the lowest loss, that with the highest accuracy, and that with the smallest calibration
# error. What does each technique cost or bring when it is the *last* to be added, and is it what it brought when it was the first?

# %% tags=["nbval-ignore-output"]
shown_metrics = {
    "validation loss (nats)": "validation_loss",
    "validation accuracy (fraction)": "validation_accuracy",
    "gap (nats)": "gap",
    "ECE (fraction)": "ece",
}
combination_explorer(
    NAMES,
    interactions.name_of,
    {
        label: {
            name: [TABLE[name, seed][metric] for seed in SWEPT]
            for name in interactions.combined()
        }
        for label, metric in shown_metrics.items()
    },
    first=("augmentation", "dropout"),
)

# %% [markdown]
# ## 8 · What the best setting depends on
#
# ### Augmentation changes the best dropout

# %%
q7 = predict(
    "Which rate of dropout before the last layer has the lowest validation loss: without "
    "augmentation, and with it?",
    [
        "about the same rate for both",
        "a higher one with augmentation",
        "a lower one with augmentation",
    ],
    mine=None,
)

# %%
RATES = interactions.RATES


def with_rate(rate: float, augmented: bool) -> str:
    """The configuration's name in the table."""
    fixed = interactions.TECHNIQUES["dropout"]["dropout"]
    drop = [] if rate == 0 else ["dropout" if rate == fixed else f"dropout {rate:g}"]
    return " + ".join(["augmentation"] * augmented + drop) or "none"


by_rate = {
    metric: {
        label: [[TABLE[with_rate(r, augmented), seed][metric] for r in RATES] for seed in SWEPT]
        for label, augmented in (("without augmentation", False), ("with augmentation", True))
    }
    for metric in ("validation_loss", "validation_accuracy")
}
best_rates = []
for metric, series in by_rate.items():
    print(f"{metric:24}", *(f"{f'p = {rate:g}':>16}" for rate in RATES))
    for label, rows in series.items():
        told_rates = [mean_and_spread(values) for values in zip(*rows, strict=True)]
        print(f"  {label:22}", *(f"{mean:8.3f} ± {s:.3f}" for mean, s in told_rates))
        if metric == "validation_loss":
            means = [mean for mean, _ in told_rates]
            best_rates.append(RATES[means.index(min(means))])
q7.compare(
    "a" if best_rates[0] == best_rates[1] else "b" if best_rates[1] > best_rates[0] else "c",
    f"Lowest at p = {best_rates[0]:g} without augmentation and at p = {best_rates[1]:g} with it.",
)

# %%
for metric, label in (
    ("validation_loss", "validation loss (nats)"),
    ("validation_accuracy", "validation accuracy (fraction)"),
):
    show(
        spread_lines(RATES, by_rate[metric], "p of dropout before the last layer", label),
        f"{label} against the drop rate, with and without augmentation, mean and standard deviation "
        "over five seeds; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** Where is each line lowest in the upper picture and highest in the lower one, and how much would you lose with the rate
# that is best for the other line?
#
# **What we measured.** Without augmentation the loss fell with every step of $p$, from 1.020 to 0.537 at $p = 0.9$, while the
# accuracy was the same up to 0.75 (0.823 to 0.828) and then fell to 0.816. With augmentation $p = 0$ was the best by loss (0.516)
# and by accuracy (0.816), and every step cost accuracy, down to 0.760. So a rate that was tuned without augmentation, such as
# 0.75, is among the worst choices with it. Settings are tuned for a recipe; change the recipe, and tune them again.
#
# ### Capacity and time

# %%
q8 = predict(
    "Training three times as long, 90 epochs for 30: what becomes of the validation ACCURACY "
    "without any technique, and with augmentation?",
    [
        "both gain",
        "only augmentation gains",
        "only the network without a technique gains",
        "neither gains",
    ],
    mine=None,
)

# %%
usual = interactions.Recipe()
SETTINGS = {
    "width": (interactions.WIDTHS, usual.width, "{}, width {}"),
    "epochs": (interactions.LENGTHS, usual.epochs, "{}, {} epochs"),
}


def rows_of(names: list[str], metric: str) -> list[list[float]]:
    """The metric of several configurations, a row a seed."""
    return [[TABLE[name, seed][metric] for name in names] for seed in SWEPT]


for setting, (values, default, pattern) in SETTINGS.items():
    named = {
        name: [name if v == default else pattern.format(name, v) for v in values]
        for name in interactions.CHOSEN
    }
    for metric in ("validation_loss", "validation_accuracy", "gap"):
        print(f"{metric} by {setting} {values}")
        for name, each in named.items():
            cells = [mean_and_spread(list(v)) for v in zip(*rows_of(each, metric), strict=True)]
            print(f"  {name:13}", *(f"   {mean:.3f} ± {s:.3f}" for mean, s in cells))
many = f"all, {max(interactions.LENGTHS)} epochs"
for name in ("all", many):
    cells = (
        mean_and_spread([TABLE[name, seed][m] for seed in SWEPT])
        for m in ("validation_loss", "validation_accuracy", "gap")
    )
    print(f"{name:15} loss, accuracy, gap:", *(f"   {mean:.3f} ± {s:.3f}" for mean, s in cells))
gains = []
for name in ("none", "augmentation"):
    late = [
        TABLE[f"{name}, 90 epochs", seed]["validation_accuracy"]
        - TABLE[name, seed]["validation_accuracy"]
        for seed in SWEPT
    ]
    mean, s = mean_and_spread(late)
    gains.append(mean > 0 and differs(late))
    print(f"accuracy, 90 minus 30 epochs, {name}: {mean:+.3f} ± {s / len(late) ** 0.5:.3f}")
q8.compare(
    {(True, True): "a", (False, True): "b", (True, False): "c", (False, False): "d"}[
        gains[0], gains[1]
    ],
    "What never sees the same image twice still learns when the other knows its images by heart.",
)

# %%
figure, axes = grid(2, 2, 9.2, 6.2)
for line, (metric, label) in zip(
    axes,
    (
        ("validation_loss", "validation loss (nats)"),
        ("validation_accuracy", "validation accuracy (fraction)"),
    ),
    strict=True,
):
    for axis, (setting, (values, default, pattern)) in zip(line, SETTINGS.items(), strict=True):
        for k, name in enumerate(interactions.CHOSEN):
            each = [name if v == default else pattern.format(name, v) for v in values]
            cells = [mean_and_spread(list(v)) for v in zip(*rows_of(each, metric), strict=True)]
            axis.errorbar(
                [v * (1 + 0.02 * (k - 1)) for v in values],
                [mean for mean, _ in cells],
                [s for _, s in cells],
                color=COLOURS[k],
                marker=MARKERS[k],
                capsize=3,
                label=name,
            )
        axis.set_xscale("log")
        axis.set_xticks(list(values), [str(v) for v in values])
        axis.minorticks_off()
        unit = "width (channels of the first block)" if setting == "width" else "epochs"
        axis.set(xlabel=unit + ", logarithmic", ylabel=label)
figure.legend(
    *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
)
show(
    figure,
    "Validation loss and accuracy against the width of the network and against the number of epochs, for "
    "no technique, augmentation and smoothing; the table above has the numbers.",
)

# %% [markdown]
# **What to see.** Left column: does a technique help more, or less, in a wider network? Right column: where do the lines of the
# upper panel and of the lower panel contradict each other?
#
# **What we measured.** *Width.* Without a technique each step in width raises the loss (0.765, 1.020, 1.149) and the accuracy stops at
# 0.827. With augmentation the loss falls with width and the accuracy rises (0.797, 0.816, 0.826): what it costs against no
# technique shrinks from 0.018 ± 0.004 to 0.001 ± 0.004. What smoothing brings, 0.004 ± 0.002, 0.007 ± 0.004 and 0.010 ± 0.004, is not
# told from chance at any width. Of augmentation at least it holds that a larger network can afford more regularization.
#
# *Time.* Here is why one should hesitate to say that augmentation "hurts". At 30 epochs it cost a point of accuracy. From there to 90
# epochs it gained 0.029 ± 0.003 and reached 0.845 ± 0.005, the best number in the whole table, 0.014 ± 0.003 above no technique
# with as much time. Its networks had simply not finished: at 30 epochs their accuracy on the training images was 0.86, where the
# others had 1.00. Smoothing, the winner by accuracy at 30 epochs, gained nothing (−0.006 ± 0.003). And all five together gained 0.023 ± 0.004
# and were still behind: too much remains too much. So what an ablation finds is true of its budget. We set ours before we knew,
# at 30 epochs, and a reader of the heat maps alone would have drawn the wrong conclusion about the most useful of the five.
#
# Without a technique, 60 more epochs raised the validation loss by 0.468 ± 0.016, and the accuracy, if at all, by 0.004 ± 0.002.

# %% [markdown]
# ## 9 · Choosing: by loss and by accuracy
#
# Every configuration of section 6 as a point: how low its loss, how high its accuracy? If the two measures agreed, the points
# would lie on a falling line.

# %%
CANDIDATES = list(interactions.combined())
summary = {
    name: {
        m: mean_and_spread([TABLE[name, seed][m] for seed in SWEPT])
        for m in ("validation_loss", "validation_accuracy", "ece", "tempered_loss")
    }
    for name in CANDIDATES
}
accuracies = [summary[name]["validation_accuracy"][0] for name in CANDIDATES]
for metric in ("validation_loss", "tempered_loss"):
    ranks = spearmanr([summary[name][metric][0] for name in CANDIDATES], accuracies).statistic
    print(f"rank correlation of {metric} and accuracy over {len(CANDIDATES)}: {ranks:.2f}")
for metric, sign in (("validation_loss", 1), ("validation_accuracy", -1), ("tempered_loss", 1)):
    ranked = sorted(CANDIDATES, key=lambda name, m=metric, s=sign: s * summary[name][m][0])
    print(f"best by {metric}:")
    for name in ranked[:4]:
        values = summary[name]
        print(
            f"   {name:32} loss {values['validation_loss'][0]:.3f} ± {values['validation_loss'][1]:.3f}"
            f"   accuracy {values['validation_accuracy'][0]:.3f} ± {values['validation_accuracy'][1]:.3f}"
            f"   ECE {values['ece'][0]:.3f}   loss after temperature {values['tempered_loss'][0]:.3f}"
        )

# %%
figure, [axes] = grid(1, 2, 10.4, 4.2)
# Where their labels have room: in both panels there is nothing to the right.
WINNERS = {"augmentation": 0.803, "smoothing": 0.843, "dropout + spatial dropout": 0.837}
KINDS = ("none", "neither smoothing nor augmentation", "smoothing", "augmentation", "both")


def kind_of(name: str) -> int:
    """Which of the kinds a configuration is, by its name."""
    if name == "none":
        return 0
    everything = name.startswith("all")
    smooth, moved = (
        technique in name if not everything else not name.endswith(technique)
        for technique in ("smoothing", "augmentation")
    )
    return 1 + smooth + 2 * moved


for axis, metric, label in zip(
    axes,
    ("validation_loss", "tempered_loss"),
    ("validation loss (nats)", "validation loss after temperature (nats)"),
    strict=True,
):
    for name in CANDIDATES:
        k = kind_of(name)
        x, y = summary[name][metric], summary[name]["validation_accuracy"]
        axis.errorbar(
            x[0],
            y[0],
            y[1],
            x[1],
            fmt=MARKERS[k],
            color=COLOURS[k],
            markersize=6,
            elinewidth=0.8,
        )
    for name, height in WINNERS.items():
        at = summary[name][metric][0], summary[name]["validation_accuracy"][0]
        line = {"arrowstyle": "-", "linewidth": 0.6}
        axis.annotate(name, at, (0.8, height), fontsize=8.5, va="center", arrowprops=line)
    axis.set(xlabel=label, ylabel="validation accuracy (fraction)")
axes[1].set_xlim(axes[0].get_xlim())
for k, name in enumerate(KINDS):
    axes[0].plot([], [], MARKERS[k], color=COLOURS[k], label=name)
figure.legend(
    *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
)
show(
    figure,
    "Validation accuracy against validation loss for 22 configurations, left as it is, right after the best "
    "temperature; the winners that the text names are labelled; the four best by each are in the table above.",
)

# %% [markdown]
# **What to see.** On the left, where is the falling line? The configuration with the lowest loss and those with the highest
# accuracy are different ones. On the right, the loss after the best temperature (one number a network, fitted on these same images, so a
# touch flattering): most points move to the left, by very different amounts. The two losses are not quite of the same networks: the
# stored one on the left is the mean of the last three epochs, like the accuracy, the one on the right that of the last epoch alone.
# So a point that was right already may seem to move to the right a little, as augmentation does. Both panels have one scale.
#
# **What we measured.** By loss augmentation wins (0.516 ± 0.028), by accuracy smoothing, with or without spatial dropout (0.834 ± 0.009
# and ± 0.008), and the two really differ: smoothing minus augmentation, by seed, is +0.093 ± 0.019 in the loss and +0.018 ± 0.006 in the accuracy.
# Over the 22 configurations the rank correlation of loss and accuracy is −0.18; agreement would be −1. Why?
#
# - **The loss is about probabilities.** A wrong answer given with probability 0.01 for the true class costs $-\ln 0.01 = 4.6$, one given
#   with 0.3 costs 1.2; for the accuracy both are one mistake. A network that goes on training becomes surer of everything, of its mistakes
#   too, so its loss can rise while its accuracy rises. That is the baseline from epoch 11, where its validation loss was lowest on
#   average, to epoch 20, where its accuracy was highest, and from 30 to 90.
# - **Some of it is mended by one number.** After temperature the baseline's 1.020 and augmentation's 0.516 become 0.535 and 0.533, and the
#   rank correlation −0.47. Who calibrates afterwards (unit 06) should compare losses after temperature.
# - **Some is not.** Smoothing's loss after temperature is *higher* than the baseline's, 0.585, with the higher accuracy. It makes a network
#   modest where it could be sure, and no temperature turns that round for some images and not for others.
#
# So choose by what you need. If answers are all that counts, by accuracy; if somebody acts on the probabilities, by loss, after
# temperature if you will apply one. And look at the other measure for a warning. Of the 22, dropout with spatial dropout has the lowest
# loss after temperature (0.508 ± 0.030), the fourth accuracy, within noise of the first (0.831 ± 0.006), and no great cost anywhere: if
# 30 epochs were all we had, we would take that. Give us 90, and it is augmentation by both measures. (Of the four configurations that
# we trained for as long.)
#
# ### The test images, once
#
# Everything so far was chosen on validation images: strengths, rates, the winners. Of several equally good configurations the one
# that validation happens to flatter wins, so the winner's validation numbers are a little too good. That is what the test images are
# for: they have chosen nothing. Here are the networks of your corner on them, the best single technique by loss and the best by
# accuracy, three seeds each. We look, and change nothing any more.

# %% tags=["nbval-ignore-output"]
if ready(run_ablation):
    for name in CORNER:
        scores = [evaluate(networks[name, seed], data.test) for seed in SWEPT[:3]]
        loss, accuracy = (mean_and_spread(list(values)) for values in zip(*scores, strict=True))
        print(
            f"{name:13} test loss {loss[0]:.3f} ± {loss[1]:.3f}   "
            f"test accuracy {accuracy[0]:.3f} ± {accuracy[1]:.3f}   (3 seeds)"
        )

# %% [markdown]
# **What we measured.** With three seeds each, augmentation had a test loss of 0.590 ± 0.026 and a test accuracy of 0.788 ± 0.008,
# smoothing 0.661 ± 0.015 and 0.810 ± 0.008. The order of the two is the same as on validation images, by both measures. All numbers are
# worse, the accuracies by two points and more. Is that what choosing on validation images costs? Two configurations cannot say: the
# test images also come from another part of Fashion-MNIST, its official test set, and with 1000 and 2000 images an accuracy of 0.8 has a
# standard error of 0.012 and 0.009 by sampling alone. What can be said is that 0.79 and 0.81 are what to expect of these networks, and
# not the 0.816 and 0.834 by which they were picked.

# %% [markdown]
# ## 10 · A written question
#
# A team adds dropout ($p = 0.5$, between convolution and batch norm), label smoothing and augmentation to their network, all at once.
# *"Training with everything on, the batch loss looks fine, but in evaluation the network is much worse than before: validation accuracy
# fell by 9 points. We ran 24 combinations, one seed each, and the best of them had a test accuracy 0.8 points above the second, so we take
# that one. It has a higher validation loss than three others, but loss is not what we are paid for."* In six or seven sentences:
# what would you look at, in which order, and what of their conclusions holds?

# %% [markdown] written="how_they_work_together"
# **Your answer**
#
# ### BEGIN SOLUTION
# First the place of the dropout: between a convolution and its batch norm it at least doubles the variance that batch norm sees in
# training ($1/(1-p) = 2$), the running variance records that, and in evaluation everything is scaled down, more in every layer.
# Measure the ratio of variances per layer, then recalibrate with dropout off (not `update_bn`, which leaves it on) and evaluate
# again: what comes back was the statistics (with us 4 points of the 7 that were missing), what does not is what the noise did to
# training, and the cure for both is to move dropout behind the last batch norm. Then find out which
# of the three does what: change one at a time, and look at the training accuracy in evaluation mode as well; three regularizers
# on a network that needs one, or needs longer training with them, underfit, as all five together did here. One seed says
# little: differences of 0.8 points are about the spread between seeds, and the best of 24 draws is partly the luckiest. They need
# several seeds for at least the candidates, compared in pairs, with an error. Choosing on test images uses them up: choose on
# validation, and test once. That accuracy is what they are paid for may be right, and the two measures do differ: the loss also
# punishes confidence, which smoothing and temperature change without changing an answer. Then choose by accuracy, by validation
# accuracy, and look at the loss after temperature to see whether the higher loss is only confidence.
#
# *Rubric, 2 points.* 1 point for the cause: the variance shift of dropout before batch norm (or: running statistics that fit training
# only), with a way to check it (measuring ratios, recalibrating, or moving dropout). 1 point for both of: one seed or the choice
# among 24 is no evidence, and test images must not choose. Half points are possible. Also good, not required: the interaction or
# underfitting by too many regularizers, loss and confidence. Not right: "dropout does not work with batch norm" without saying
# where, or "the higher loss shows that it is worse".
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# For `recalibrate_batchnorm` PyTorch has
#
# ```python
# torch.optim.swa_utils.update_bn(loader, model)
# ```
#
# made for averaged weights, which have no running statistics of their own. Without dropout the two agree; with dropout yours and the
# library's part, for it trains the whole model meanwhile. To get what you want from it, switch dropout off by hand:

# %%
if ready(variance_shift, recalibrate_batchnorm):

    def off_by(change: Callable[[nn.Module], None], place: str) -> float:
        """The largest relative difference of a running variance from your recalibration."""
        torch.manual_seed(0)
        theirs, mine = deepcopy(trained[place][0]), deepcopy(trained[place][0])
        change(theirs)
        recalibrate_batchnorm(mine, loader)
        return max(
            float((a.running_var / b.running_var - 1).abs().max())
            for a, b in zip(theirs, mine, strict=True)
            if isinstance(a, nn.BatchNorm2d)
        )

    def update(model: nn.Module) -> None:
        torch.optim.swa_utils.update_bn(loader, model)

    def update_without_dropout(model: nn.Module) -> None:
        for layer in model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        torch.optim.swa_utils.update_bn(loader, model)

    with one_thread():
        for title, change, place in (
            ("update_bn, a network without dropout", update, "nowhere"),
            ("update_bn, dropout before each batch norm", update, "before each"),
            ("the same, with p = 0 meanwhile", update_without_dropout, "before each"),
        ):
            said = "agrees with yours" if off_by(change, place) < 1e-3 else "differs from yours"
            print(f"{title}: {said}")

# %% [markdown]
# (PyTorch ends with `model.train(was_training)`, which puts all modules in one mode; yours puts back each module's own.) For the
# variance shift there is nothing in the library, and for ablations there are tools by the dozen, such as Optuna, Ray Tune and
# Weights & Biases sweeps: what they do not do for you is to pair the seeds and to doubt the winner.
#
# ## Further reading
#
# - X. Li et al., *Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift*, 2019,
#   [arXiv:1801.05134](https://arxiv.org/abs/1801.05134). Their tables of what recalibration brings, for four architectures,
#   are worth comparing with ours.
# - R. Wightman, H. Touvron and H. Jégou, *ResNet strikes back*, 2021, [arXiv:2110.00476](https://arxiv.org/abs/2110.00476): one
#   architecture, three lengths of training, and a different mix of regularizers for each.
# - A. Steiner et al., *How to train your ViT?*, 2021, [arXiv:2106.10270](https://arxiv.org/abs/2106.10270): augmentation and
#   regularization against model size, data and time, over thousands of runs.
# - X. Bouthillier et al., *Accounting for Variance in Machine Learning Benchmarks*, 2021,
#   [arXiv:2103.03098](https://arxiv.org/abs/2103.03098): what a seed hides.

# %%
progress()
