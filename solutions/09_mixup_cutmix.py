# ---
# jupyter:
#   autograder: {title: Mixup and CutMix, technique: Training on mixtures of examples and of their labels, paper: "Zhang et al. 2018; Yun et al. 2019", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Mixup and CutMix
#
# **After this notebook you will be able to**
#
# - derive the loss for mixed labels, and say why it is a weighted sum of two ordinary ones;
# - build mixup and CutMix from scratch, without the mistakes that only show as a slightly worse accuracy;
# - say why a CutMix box has sides of $\sqrt{1-\lambda}$, and why $\lambda$ has to be counted again once the box is cut;
# - show what mixing does to a decision boundary, to the accuracy and to the confidence, over several seeds.
#
# **Time:** about 75 minutes. **Before it:** unit 00; unit 05 (soft targets) helps.
# **The papers:** H. Zhang, M. Cisse, Y. N. Dauphin and D. Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, ICLR 2018,
# [arXiv:1710.09412](https://arxiv.org/abs/1710.09412), section 2; and S. Yun, D. Han, S. J. Oh, S. Chun, J. Choe and Y. Yoo,
# *CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features*, ICCV 2019,
# [arXiv:1905.04899](https://arxiv.org/abs/1905.04899), section 3.
#
# **Conventions.** $\lambda$ is always the share of the image *itself*, $1-\lambda$ that of its partner. $\alpha$ is the
# parameter of the Beta distribution that $\lambda$ is drawn from, $K$ the number of classes, $\log$ the natural logarithm.

# %% setup=true
from math import sqrt

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autograder import check, progress, ready

# %%
from collections.abc import Callable
from typing import Any

from torch import nn

from reglab.data import load
from reglab.models import SmallCNN
from reglab.plots import curves, final_values, images, probability_maps, show
from reglab.predict import predict
from reglab.training import differs, evaluate, logits_of, mean_and_spread, one_thread, train
from reglab.widgets import mix_explorer

# %% [markdown]
# ## 1 · The mathematics
#
# **From points to neighbourhoods.** We would like to minimise the *expected* loss, over all pairs $(x, y)$ that the world
# might show us, but have only $n$ of them. Training puts the weight $\frac1n$ on each and nothing in between:
#
# $$R_{\text{emp}}(f) = \frac1n\sum_i \ell\big(f(x_i),\, y_i\big).$$
#
# What $f$ does between the examples is then left to chance. *Vicinal* risk replaces each point by a distribution
# $\nu_i$ around it, its vicinity, and averages over that. Shifting and flipping images is one choice of $\nu_i$, and it
# needs somebody who knows what leaves a label alone. Mixup takes a choice that needs no such knowledge, and moves the
# label along with the image:
#
# $$\tilde x = \lambda\,x_i + (1-\lambda)\,x_j, \qquad \tilde y = \lambda\,y_i + (1-\lambda)\,y_j, \qquad
#   j \text{ uniform},\quad \lambda \sim \mathrm{Beta}(\alpha,\alpha),$$
#
# with one-hot $y$. A network that does well here goes from one class to the other gradually, along the straight line
# between the two images. $\mathrm{Beta}(1,1)$ is uniform on $[0,1]$. For small $\alpha$ nearly all $\lambda$ are close to 0
# or 1, and with $\alpha\to0$ the empirical risk returns; for large $\alpha$ they gather around one half.
#
# **The loss.** With targets $q = \lambda\,y_a + (1-\lambda)\,y_b$ the cross-entropy is *linear in the targets*:
#
# $$-\sum_k q_k\log p_k
#   = \lambda\Big(-\sum_k y_{a,k}\log p_k\Big) + (1-\lambda)\Big(-\sum_k y_{b,k}\log p_k\Big)
#   = \lambda\,\big(-\log p_a\big) + (1-\lambda)\,\big(-\log p_b\big).$$
#
# So nobody has to build soft targets: compute two ordinary losses with two integer labels, and weigh them. (It is *not* linear in
# $p$: $-\log\big(\lambda p_a + (1-\lambda)p_b\big)$ is another loss, content with either label alone.)
#
# **The floor.** As in unit 05 the loss is lowest at $p = q$, where $\log\frac{p_a}{p_b} = \log\frac{\lambda}{1-\lambda}$, a finite
# difference of logits; and there it is the entropy $-\lambda\log\lambda - (1-\lambda)\log(1-\lambda)$. With
# $\alpha = 1$ the mean over $\lambda$ is
# $-2\int_0^1\lambda\log\lambda\,d\lambda = 2\cdot\frac14 = \frac12$ nat for partners of different classes. The loss
# that you see during such training does not come near 0, and should not.

# %%
target_a, target_b, lam = torch.tensor([0, 2]), torch.tensor([1, 2]), 0.7
logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.0, 1.0]])
soft = lam * F.one_hot(target_a, 3) + (1 - lam) * F.one_hot(target_b, 3)
print("soft targets:", [[round(q, 2) for q in row] for row in soft.tolist()])
print("cross-entropy against them:", round(F.cross_entropy(logits, soft).item(), 4))

# %% [markdown]
# The second image and its partner are both of class 2, so its target is one-hot again: mixing two shirts makes a shirt.
# Keep the number: your loss has to give it without soft targets.
#
# ## 2 · Mixup
#
# Partners come from the same batch, shuffled, as in the paper: draw one random order of it, and give image $i$ the image at place
# $i$ of that order. And one $\lambda$ serves the whole batch, as in the paper's code.
#
# **Exercise `mixup`** · difficulty ●●○ · about 10 minutes


# %% exercise="mixup"
def mixup(x: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """Mix every image of a batch with another one of it (Zhang et al. 2018).

    One number lam ~ Beta(alpha, alpha), as it is drawn (not the larger of lam and 1 - lam), and one random order of the
    examples are drawn for the whole batch. An image becomes lam times itself plus 1 - lam times its partner.

    Args:
        x: the images, float32 or float64; not to be changed.
        target: the label of each, int64; not to be changed.
        alpha: how much is mixed, 0 or at least 0.01. With 0 the images stay as they are, and lam is 1.

    Shape:
        - x: (N, ...), any number of dimensions
        - target: (N,)

    Returns:
        The mixed images, of the shape and dtype of x; target; the labels of the partners, (N,); and lam, a float or a
        tensor of shape ().

    Raises:
        ValueError: if alpha is negative.
    """
    ### BEGIN SOLUTION
    if alpha < 0:
        raise ValueError(f"alpha must not be negative, got {alpha}")
    lam = float(np.random.beta(alpha, alpha)) if alpha > 0 else 1.0
    order = torch.randperm(len(x))
    return lam * x + (1 - lam) * x[order], target, target[order], lam
    ### END SOLUTION


# %% [markdown]
# <!-- hints: mixup -->

# %% check="mixup"
check(mixup)

# %% [markdown]
# Four numbers for images, so that you can check by eye: image $i$ is the number $10^i$, and its label is $i$. Every mixed
# number should be $\lambda$ times its own power of ten plus $1-\lambda$ times the partner's.

# %% tags=["nbval-ignore-output"]
if ready(mixup):
    powers, labels = torch.tensor([1.0, 10.0, 100.0, 1000.0]), torch.arange(4)
    mixed, own, partner, share = mixup(powers, labels, 1.0)
    print(f"lambda = {float(share):.3f}")
    for number, a, b in zip(mixed.tolist(), own.tolist(), partner.tolist(), strict=True):
        print(f"{number:8.2f} = {float(share):.3f} * 10^{a} + {1 - float(share):.3f} * 10^{b}")

# %% [markdown]
# ## 3 · A box
#
# CutMix does not blend: it replaces a rectangle of the image by the same rectangle of the partner, and the labels get the
# shares of the *area*. If the box is to cover the share $1-\lambda$ of an image of $H \times W$ pixels and to have the
# image's proportions, its sides are $rH$ and $rW$ with one factor $r$, and
#
# $$\frac{rH\cdot rW}{HW} = r^2 = 1-\lambda \quad\Longrightarrow\quad r = \sqrt{1-\lambda}.$$

# %%
q1 = predict(
    "An image of 28 x 28 and lambda = 0.75: how long is a side of the box?",
    ["7 pixels", "14 pixels", "21 pixels"],
    mine=None,
)

# %%
side = 28 * sqrt(1 - 0.75)
print("side", side, "area", side**2, "of", 28**2, "pixels: the share", side**2 / 28**2)
q1.compare(
    {7: "a", 14: "b", 21: "c"}[round(side)],
    "A quarter of the area is half of each side. Sides of a quarter would cover a sixteenth.",
)

# %% [markdown]
# The centre is uniform over the whole image, so a box may reach over the edge, and is cut off there. Take the box above with
# its centre in row 3 and column 20. It would have rows $-4$ to $10$ and columns $13$ to $27$.

# %%
q2 = predict(
    "Which share of its own pixels does the image keep, lambda = 0.75 having been drawn?",
    ["0.750", "0.821", "0.179"],
    mine=None,
)

# %%
rows, columns = (max(3 - 7, 0), min(3 + 7, 28)), (max(20 - 7, 0), min(20 + 7, 28))
inside = (rows[1] - rows[0]) * (columns[1] - columns[0])
print("rows", rows, "columns", columns, "pixels in the box", inside)
print("kept:", round(1 - inside / 28**2, 3))
q2.compare(
    {750: "a", 821: "b", 179: "c"}[round(1000 * (1 - inside / 28**2))],
    "Four rows are cut off: 10 * 14 = 140 pixels are pasted, not 196.",
)

# %% [markdown]
# A label that still said 0.75 would claim 0.25 of a partner of whom only 0.18 is to be seen. And this is no exception. Along one axis
# (length 1) a box of side $r$ with its centre at $u < \frac r2$ loses $\frac r2 - u$, so on average, over both ends,
# $2\int_0^{r/2}\big(\frac r2-u\big)\,du = \frac{r^2}{4}$. The two axes are independent, thus
#
# $$\mathbb E[\text{pasted share}] = \Big(r - \frac{r^2}{4}\Big)^2 \;<\; r^2 = 1-\lambda .$$
#
# For $\lambda = 0.75$ that is $(0.5 - 0.0625)^2 = 0.191$ in place of 0.25; for $\lambda = 0$, a box as large as the image, 0.563
# in place of 1. A label that is not corrected never errs the other way: it gives the partner too much, on average by the
# factor $1/(1-\frac r4)^2$, which is 1.31 and 1.78 in these two cases.
#
# **Exercise `random_box`** · difficulty ●●○ · about 10 minutes


# %% exercise="random_box"
def random_box(height: int, width: int, lam: float) -> tuple[int, int, int, int]:
    """A random box that covers the share 1 - lam of an image, less what is cut off at the image's edge.

    Its sides are the image's times √(1 - lam), its centre is uniform over the image (Yun et al. 2019).

    Args:
        height: rows of the image.
        width: columns of the image.
        lam: the share of the image that the box leaves, in [0, 1]; 1 gives an empty box.

    Shape:
        - height, width: numbers, at least 1; no image is needed

    Returns:
        Four integers (top, bottom, left, right): rows top to bottom - 1, columns left to right - 1, with
        0 <= top <= bottom <= height and 0 <= left <= right <= width. Where nothing is cut off, a side is within 2 pixels of
        what it should be, however you round.
    """
    ### BEGIN SOLUTION
    half_height, half_width = int(height * sqrt(1 - lam)) // 2, int(width * sqrt(1 - lam)) // 2
    row, column = np.random.randint(height), np.random.randint(width)
    top, bottom = max(row - half_height, 0), min(row + half_height, height)
    left, right = max(column - half_width, 0), min(column + half_width, width)
    return top, bottom, left, right
    ### END SOLUTION


# %% [markdown]
# <!-- hints: random_box -->

# %% check="random_box"
check(random_box)

# %% [markdown]
# Does yours lose what the formula says? The mean over 5000 boxes, with the formula beside it:

# %% tags=["nbval-ignore-output"]
if ready(random_box):
    for lam in (0.9, 0.75, 0.5, 0.0):
        boxes = torch.tensor([random_box(280, 280, lam) for _ in range(5000)])
        top, bottom, left, right = boxes.double().unbind(1)
        pasted = float(((bottom - top) * (right - left)).mean()) / 280**2
        r = sqrt(1 - lam)
        print(f"lambda {lam:.2f}: {1 - lam:.2f} asked, {pasted:.3f} in the box, "
              f"{(r - r**2 / 4) ** 2:.3f} derived")  # fmt: skip

# %% [markdown]
# ## 4 · CutMix
#
# One trap waits here. The partner's pixels have to be read from the batch *as it was*. If you paste into `x` itself, image by
# image, some partners have been pasted into already when you read them; and whoever called you finds the batch changed.
#
# **Exercise `cutmix`** · difficulty ●●○ · about 10 minutes


# %% exercise="cutmix"
def cutmix(x: Tensor, target: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """Paste a box of another image of the batch into every image (Yun et al. 2019).

    One number lam ~ Beta(alpha, alpha), one `random_box` for it and one random order of the examples are drawn for the
    whole batch.

    Args:
        x: the images, float32 or float64; not to be changed.
        target: the label of each, int64; not to be changed.
        alpha: 0 or at least 0.01. With 0 the images stay as they are, and lam is 1.

    Shape:
        - x: (N, C, H, W)
        - target: (N,)

    Returns:
        The images, of the shape and dtype of x; target; the labels of the partners, (N,); and lam, the share of an image's
        pixels that were not in the box, exactly: a float or a tensor of shape ().

    Raises:
        ValueError: if alpha is negative.
    """
    ### BEGIN SOLUTION
    if alpha < 0:
        raise ValueError(f"alpha must not be negative, got {alpha}")
    height, width = x.shape[2:]
    drawn = float(np.random.beta(alpha, alpha)) if alpha > 0 else 1.0
    top, bottom, left, right = random_box(height, width, drawn)
    order, pasted = torch.randperm(len(x)), x.clone()
    pasted[:, :, top:bottom, left:right] = x[order, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return pasted, target, target[order], kept
    ### END SOLUTION


# %% [markdown]
# <!-- hints: cutmix -->

# %% check="cutmix"
check(cutmix)

# %% [markdown]
# ## 5 · The loss
#
# **Exercise `mixed_cross_entropy`** · difficulty ●○○ · about 5 minutes


# %% exercise="mixed_cross_entropy"
def mixed_cross_entropy(
    logits: Tensor, target_a: Tensor, target_b: Tensor, lam: float | Tensor
) -> Tensor:
    """Cross-entropy for images with two labels: lam times that with the first plus 1 - lam times that with the second.

    It is the loss of mixup (Zhang et al. 2018) and of CutMix (Yun et al. 2019), without soft targets.

    Args:
        logits: what the network says of the mixed images.
        target_a: the first label of each, int64.
        target_b: the second label of each, int64.
        lam: the weight of the first, in [0, 1]: a float or a tensor of shape ().

    Shape:
        - logits: (N, K)
        - target_a, target_b: (N,)
        - Output: one number, a tensor of shape (), the mean over the batch; differentiable

    Returns:
        The loss.
    """
    ### BEGIN SOLUTION
    first, second = F.cross_entropy(logits, target_a), F.cross_entropy(logits, target_b)
    return lam * first + (1 - lam) * second
    ### END SOLUTION


# %% [markdown]
# <!-- hints: mixed_cross_entropy -->

# %% check="mixed_cross_entropy"
check(mixed_cross_entropy)

# %% [markdown]
# Section 1 had 0.7 of the labels (0, 2) and 0.3 of (1, 2), with soft targets. Yours, without them, beside it:

# %%
if ready(mixed_cross_entropy):
    mine = float(mixed_cross_entropy(logits, target_a, target_b, 0.7))
    print(round(mine, 4), "and", round(F.cross_entropy(logits, soft).item(), 4))
    sharp = torch.tensor([[100.0, 0.0, -100.0]])
    one, two = torch.tensor([0]), torch.tensor([2])
    print("sure and half wrong:", float(mixed_cross_entropy(sharp, one, two, 0.5)))

# %% [markdown]
# ## 6 · Look at them

# %% tags=["nbval-ignore-output"]
data = load()
SHOWN = torch.tensor([0, 1, 5, 8])


def seeded(seed: int) -> None:
    """Seed every generator that your functions may draw from."""
    torch.manual_seed(seed)
    np.random.seed(seed)


def with_share(mix: Callable[..., Any], low: float, high: float) -> Any:
    """The first answer, over seeds, whose lambda lies between low and high and where all change partner."""
    some = torch.stack([(data.train.labels == k).nonzero()[0, 0] for k in SHOWN])
    for seed in range(1000):
        seeded(seed)
        answer = mix(data.train.images[some], data.train.labels[some], 1.0)
        if low <= float(answer[3]) <= high and bool((answer[1] != answer[2]).all()):
            return answer
    raise LookupError("no lambda in this range in 1000 calls")


def titles(answer: Any) -> list[str]:
    """Say which share of which class an image has."""
    _, own, partner, share = answer
    names = data.class_names
    return [
        f"{float(share):.2f} {names[a]}\n{1 - float(share):.2f} {names[b]}"
        for a, b in zip(own.tolist(), partner.tolist(), strict=True)
    ]


if ready(mixup, random_box, cutmix):
    answers = [with_share(m, *at) for m in (mixup, cutmix) for at in ((0.75, 0.85), (0.6, 0.7))]
    show(
        images(
            data.pixels(torch.cat([answer[0] for answer in answers])),
            [title for answer in answers for title in titles(answer)],
            columns=8,
            suptitle="mixup (above) and CutMix (below)",
        ),
        "Sixteen images of clothes. In the upper row two pieces shine through each other, in the lower "
        "row a sharp rectangle of one is pasted into the other; titles name both classes and their shares.",
    )

# %% [markdown]
# **What to see.** Each image carries two labels and their shares. The axes are pixels and left out. Mixup makes
# something that no camera would see, all over the image; CutMix leaves every pixel natural, and asks the network to
# recognise a shirt by what is left of it. Are there images in the lower row whose box shows nothing but background?
# There the label is a little wrong, for the area says nothing about where the thing is.
#
# ## 7 · A decision boundary
#
# In two dimensions one can see what happens between examples. Two half moons, 40 points each, and a network with two hidden layers of
# 64 units, far too large for them.

# %%
q3 = predict(
    "With mixup, how does the probability change on the way from one moon to the other?",
    ["more abruptly", "about the same", "more gradually"],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
def moons(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw count points of each of two noisy half moons, (2 count, 2), and their labels."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.pi * torch.rand(2, count, generator=generator)
    upper = torch.stack([angle[0].cos(), angle[0].sin()], dim=1)
    lower = torch.stack([1 - angle[1].cos(), 0.5 - angle[1].sin()], dim=1)
    points = torch.cat([upper, lower])
    noise = 0.25 * torch.randn(points.shape, generator=generator)
    return points + noise, torch.arange(2).repeat_interleave(count)


@one_thread()
def fitted(points: Tensor, labels: Tensor, alpha: float, seed: int) -> nn.Module:
    """Train a network for the plane, with mixup; alpha = 0 is without."""
    seeded(seed)
    model = nn.Sequential(
        nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(500):
        mixed, *rest = mixup(points, labels, alpha)
        optimizer.zero_grad()
        mixed_cross_entropy(model(mixed), *rest).backward()
        optimizer.step()
    return model


if ready(mixup, mixed_cross_entropy):
    axis = torch.linspace(-2, 3, 101)
    plane = torch.cartesian_prod(axis, axis)
    fresh, fresh_labels = moons(1000, seed=100)
    maps, table = {}, {}
    for name, alpha in (("without mixup", 0.0), ("mixup, alpha = 1", 1.0)):
        for seed in (0, 1, 2):
            points, labels = moons(40, seed)
            model = fitted(points, labels, alpha, seed)
            with torch.no_grad():
                chances = model(plane).softmax(dim=1)[:, 1]
                outputs = model(fresh)
            if seed == 0:
                maps[name], drawn = chances.reshape(101, 101).T, (points, labels)
            found = table.setdefault(name, {"accuracy": [], "loss": [], "unsure": []})
            found["accuracy"].append(float((outputs.argmax(1) == fresh_labels).float().mean()))
            found["loss"].append(F.cross_entropy(outputs, fresh_labels).item())
            found["unsure"].append(float(((chances > 0.1) & (chances < 0.9)).float().mean()))
    show(
        probability_maps(maps, axis, {f"class {k}": drawn[0][drawn[1] == k] for k in (0, 1)}),
        "The probability of class 1 over the plane, with 40 points of each of two half moons. Without mixup "
        "it jumps from 0 to 1 along a winding line; with mixup it rises over a broad band.",
    )
    for name, measured in table.items():
        numbers = {what: mean_and_spread(values) for what, values in measured.items()}
        print(
            f"{name:18}", *(f"{w} {m:.3f} ± {s:.3f}" for w, (m, s) in numbers.items()), sep="  "
        )
    before, after = (mean_and_spread(each["unsure"])[0] for each in table.values())
    q3.compare(
        "c" if after > 1.2 * before else "a" if after < 0.8 * before else "b",
        "Halfway between two points of different classes the target is half and half.",
    )

# %% [markdown]
# **What to see.** Colour is the probability of class 1, the black line is where it is one half. Below the figure, over three
# seeds: accuracy and plain cross-entropy (nats) on 2000 new points, and the share of the square where the network is *unsure*,
# between 0.1 and 0.9.
#
# **What we measured.** The accuracy is the same within its spread, 0.905 ± 0.018 without and 0.899 ± 0.023 with mixup. The loss on new
# points fell from 1.53 ± 0.54 to 0.26 ± 0.04, and the unsure share of the square rose from 0.015 to 0.212. So
# here mixup did not put the line in a better place, it took away the certainty with which points beside it were misjudged.
#
# ## 8 · Does it help?
#
# The small CNN of unit 00 on 1000 images for 15 epochs from three seeds: as it is, with mixup and with CutMix, both with
# $\alpha = 1$. The networks of a seed start from the same weights and see the images in the same order. All measures are
# taken on images that are *not* mixed, with the plain cross-entropy.

# %%
q4 = predict(
    "Which has the highest mean validation accuracy after 15 epochs?",
    ["none", "mixup", "CutMix", "no clear winner"],
    mine=None,
)

# %%
q5 = predict(
    "And what becomes of the gap, validation minus training loss?",
    ["smaller with both", "smaller with one only", "larger with both"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
EPOCHS, SEEDS, LAST = 15, (0, 1, 2), 3
few = data.with_train(1000)


def mixing(mix: Callable[..., Any]) -> Callable[[Tensor, Tensor], tuple[Tensor, Any]]:
    """What `train` wants: the images, and what the loss gets beside the logits."""

    def transform(x: Tensor, target: Tensor) -> tuple[Tensor, Any]:
        mixed, *rest = mix(x, target, 1.0)
        return mixed, rest

    return transform


if ready(mixup, random_box, cutmix, mixed_cross_entropy):
    runs, sure = {}, {}
    for name, mix in (("none", None), ("mixup", mixup), ("CutMix", cutmix)):
        runs[name], sure[name] = [], []
        for seed in SEEDS:
            seeded(seed)
            model = SmallCNN()
            if mix is None:
                history = train(model, few, EPOCHS, seed=seed)
            else:
                history = train(
                    model,
                    few,
                    EPOCHS,
                    seed=seed,
                    loss=lambda z, target: mixed_cross_entropy(z, *target),
                    batch_transform=mixing(mix),
                )
            runs[name].append(history)
            confidence = logits_of(model, few.validation.images).softmax(dim=1).amax(dim=1)
            accuracy = evaluate(model, few.validation)[1]
            sure[name].append(float(confidence.mean()) - accuracy)
    show(
        curves(runs, ["train_loss", "validation_loss", "validation_accuracy"]),
        "Training loss, validation loss and validation accuracy by epoch for none, mixup and CutMix, mean and "
        "spread of three seeds; the table below has where they end.",
    )

# %% tags=["nbval-ignore-output"]
if ready(mixup, random_box, cutmix, mixed_cross_entropy):
    show(
        final_values(runs, ["validation_accuracy", "validation_loss", "gap"], LAST),
        "Accuracy, loss and gap at the end: a dot for each seed, beside them mean and standard deviation.",
    )
    ended = {
        name: {
            "accuracy": mean_and_spread([h.last("validation_accuracy", LAST) for h in each]),
            "loss": mean_and_spread([h.last("validation_loss", LAST) for h in each]),
            "gap": mean_and_spread([h.last("gap", LAST) for h in each]),
            "best loss": mean_and_spread([min(h.validation_loss) for h in each]),
            "too sure": mean_and_spread(sure[name]),
        }
        for name, each in runs.items()
    }
    print(f"{'':8}", *(f"{what:17}" for what in ended["none"]))
    for name, numbers in ended.items():
        print(f"{name:8}", *(f"{m:6.3f} ± {s:.3f}  " for m, s in numbers.values()))
    print("\nminus none, by seed: mean ± standard deviation")
    measures = {"accuracy": "validation_accuracy", "loss": "validation_loss", "gap": "gap"}
    for name in ("mixup", "CutMix"):
        cells = []
        for what, metric in measures.items():
            pairs = zip(runs[name], runs["none"], strict=True)
            apart = [
                mixed.last(metric, LAST) - plain.last(metric, LAST) for mixed, plain in pairs
            ]
            mean, s = mean_and_spread(apart)
            cells.append(f"{what} {mean:+.3f} ± {s:.3f}")
        print(f"{name:7}", *cells, sep="  ")
    first, second = sorted(ended, key=lambda name: -ended[name]["accuracy"][0])[:2]
    lead = [
        best.last("validation_accuracy", LAST) - other.last("validation_accuracy", LAST)
        for best, other in zip(runs[first], runs[second], strict=True)
    ]
    q4.compare(
        "abc"[list(ended).index(first)] if differs(lead) else "d",
        "A lead that a t test does not tell from chance is none.",
    )
    smaller = sum(
        ended[name]["gap"][0] < ended["none"]["gap"][0] for name in ("mixup", "CutMix")
    )
    q5.compare({2: "a", 1: "b", 0: "c"}[smaller], "Hardly any image is seen twice as it was.")

# %% [markdown]
# **What to see.** A line is the mean over three seeds, its band one standard deviation to each side; a dot is one network. Losses are in
# nats. In the first panel mixing keeps the training loss up, on plain images too. "Best loss" is the lowest validation loss of any
# epoch, and "too sure" the mean confidence minus the accuracy on validation images: 0 would be right on average.
#
# **What we measured.** Mixup did not change the accuracy (0.820 ± 0.007 without, 0.822 ± 0.002 with it), lowered the loss
# at the end from 0.616 ± 0.034 to 0.541 ± 0.004, and more than halved the gap, from 0.450 to 0.199. CutMix made
# the gap smallest, 0.132 ± 0.019, and had the lowest accuracy, 0.806 ± 0.005; by how much three seeds cannot say.
# Without mixing the network was too sure by 0.076; with mixup it was too unsure by 0.026, with CutMix by 0.062.
#
# More seeds (`solutions/experiments/09_mixup_cutmix.py`, eight of them, with torchvision's transforms; mean ± standard deviation of
# the differences, taken seed by seed):
#
# | minus none | accuracy | loss | gap | best loss |
# |---|---|---|---|---|
# | mixup, $\alpha$ = 0.2 | +0.004 ± 0.009 | −0.072 ± 0.037 | −0.153 ± 0.040 | −0.015 ± 0.019 |
# | mixup, $\alpha$ = 1 | −0.003 ± 0.010 | −0.061 ± 0.031 | −0.241 ± 0.049 | −0.000 ± 0.019 |
# | CutMix, $\alpha$ = 1 | −0.007 ± 0.008 | −0.027 ± 0.033 | −0.317 ± 0.044 | +0.026 ± 0.029 |
#
# So on 1000 images and 15 epochs neither raised the accuracy (CutMix lowered it a little, at the edge of what eight seeds can tell
# from chance), and mixup with $\alpha = 1$ had the same loss at its best epoch as no mixing at all:
# what it gained at the end, stopping early would have gained too. A small gap is not an aim in itself; part of it comes from a
# training loss that is *higher*. The papers' networks are far larger and train for hundreds of epochs, which is where we would
# expect mixing to pay; we have not measured that here.
#
# ## 9 · Explore
#
# One pair of images, mixup beside CutMix, with your `random_box`. Move $\lambda$: from where on would you no longer name the first
# piece, and is it the same $\lambda$ for both? Draw new boxes with $\lambda = 0.3$: how far from 0.3 is the share that was kept?

# %% tags=["nbval-ignore-output"]
if ready(random_box):
    pair = [int((data.train.labels == k).nonzero()[0]) for k in (0, 8)]
    mix_explorer(
        data.pixels(data.train.images[pair]),
        [data.class_names[k] for k in (0, 8)],
        random_box,
    )

# %% [markdown]
# ## 10 · A written question
#
# A colleague trains with CutMix and $\alpha = 1$. "Something is broken," he writes. "The training loss that I print stays at 0.9,
# while the validation loss is 0.5, lower than the training loss! And I left out the recomputation of $\lambda$: the box is right on average
# anyway." In four or five sentences: why can the first two numbers be all right, what should he print to compare, and is
# the box right on average?

# %% [markdown] written="training_above_validation"
# **Your answer**
#
# ### BEGIN SOLUTION
# The training loss is measured on mixed images with two labels. It cannot go below the entropy of the mixed targets,
# whatever the network says: on average half a nat for partners of different classes when λ is uniform, and besides, mixed images are harder. The
# validation images are plain, with one certain label, and their floor is 0; so the first number may well be the larger one. To compare he should measure
# both losses in evaluation mode on plain images with the plain cross-entropy, as our curves do. The box is not right on average:
# what reaches over the edge is cut off and never made up for, so it is always at most as large as drawn. On average
# (r − r²/4)² is pasted with r = √(1 − λ), for λ = 0.75 it is 0.19 in place of 0.25; without recomputing, the partner's label
# always gets too much.
#
# *Rubric, 2 points.* 1 point for the losses: the targets are soft, so the training loss has a floor above 0 (entropy), or it is
# measured on harder, mixed images, *and* plain training images should be used to compare. 1 point for the box: clipping only ever makes it
# smaller, so λ is biased in one direction (an example or the formula is welcome, not needed). Half points are possible. Not right: "the network
# underfits, reduce the regularization" from these numbers alone, or "larger and smaller boxes cancel out".
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# torchvision has both, as transforms of a *batch*. They return soft targets (N, K), which `F.cross_entropy` takes as they are:
#
# ```python
# from torchvision.transforms import v2
#
# mix = v2.RandomChoice([v2.MixUp(alpha=1.0, num_classes=10), v2.CutMix(alpha=1.0, num_classes=10)])
# images, soft_targets = mix(images, labels)
# ```
#
# Their random numbers are not yours, so we compare what must agree. Twelve images with twelve labels: a row of soft targets then
# names the two partners and $\lambda$. Is the image mixed with that $\lambda$, and is your loss for the two labels theirs for the soft targets?

# %%
if ready(mixed_cross_entropy):
    from torchvision.transforms import v2

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 3, 20, 30, generator=generator), torch.arange(12)
    outputs = torch.randn(12, 12, generator=generator)
    seeded(1)
    for library in (v2.MixUp(alpha=1.0, num_classes=12), v2.CutMix(alpha=1.0, num_classes=12)):
        out, targets = library(x, y)
        share = targets.diagonal()[0]
        partner = (targets - share * torch.eye(12)).argmax(dim=1)
        if isinstance(library, v2.MixUp):
            same = torch.allclose(out, torch.lerp(x[partner], x, float(share)), atol=1e-5)
        else:
            same = abs(float((out == x).float().mean()) - float(share)) < 1e-5
        mine, theirs = (
            mixed_cross_entropy(outputs, y, partner, share),
            F.cross_entropy(outputs, targets),
        )
        print(
            f"{type(library).__name__:6}  images: {same}  loss: {torch.allclose(mine, theirs)}"
        )
        print("        partner of image 0, 1, 2:", partner[:3].tolist())

# %% [markdown]
# For CutMix the first test says that the soft targets hold the share of pixels that were *kept*, after clipping. The last
# line shows a difference: torchvision takes the image *before* as the partner, in place of a random order. Where
# batches are shuffled that is as good.
#
# ## Further reading
#
# - H. Zhang et al., 2018, [arXiv:1710.09412](https://arxiv.org/abs/1710.09412): images, speech, and in section 3.4 corrupted labels.
# - S. Yun et al., 2019, [arXiv:1905.04899](https://arxiv.org/abs/1905.04899): the comparison with mixup and Cutout, and what
#   the two do to localisation.
# - T. DeVries and G. W. Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017,
#   [arXiv:1708.04552](https://arxiv.org/abs/1708.04552): the box without a partner.
# - S. Thulasidasan et al., *On Mixup Training: Improved Calibration and Predictive Uncertainty for Deep Neural Networks*,
#   NeurIPS 2019, [arXiv:1905.11001](https://arxiv.org/abs/1905.11001): unit 06's question, asked of mixup.

# %%
progress()
