# ---
# jupyter:
#   autograder: {title: DropBlock, technique: Dropping blocks of feature maps, paper: "Ghiasi et al. 2018", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # DropBlock
#
# **After this notebook you will be able to**
#
# - derive how often a block has to begin so that a share $p$ of a map is dropped, at the edges and on small maps too;
# - build `DropBlock2d`, and say which of its promises hold exactly, which on average and which not quite;
# - tell by measurement how much an implementation really drops, and find two much-used ones that drop something else.
#
# **Time:** about 75 minutes. **Before it:** unit 03, which drops whole channels. Unit 02 is good to have.
# **The paper:** G. Ghiasi, T.-Y. Lin and Q. V. Le, *DropBlock: A regularization method for convolutional networks*,
# NeurIPS 2018, [arXiv:1810.12890](https://arxiv.org/abs/1810.12890), section 3.
#
# **Conventions.** As everywhere in this course $p$ is the probability of *dropping*; the paper's `keep_prob` is $1-p$.
# Maps may be of any height and width where the paper has square ones. And we draw blocks for each channel anew, as its
# Algorithm 1 does. One thing is different from dropout: what is kept is not divided by $1-p$ but by the share that was
# really kept, which section 2 explains.

# %% setup=true
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready

# %%
from functools import partial

from reglab.data import load
from reglab.models import SmallCNN, feature_maps
from reglab.plots import MAPS, curves, final_values, grid, lines, map_rows, show
from reglab.predict import predict
from reglab.training import differs, mean_and_spread, over_seeds, train
from reglab.widgets import mask_explorer

# The library's, beside which your work is put in the end. It comes after reglab, which makes
# sure that torchvision can be imported beside any torch.
from torchvision.ops import drop_block2d

# %% [markdown]
# ## 1 · Between a pixel and a channel
#
# Dropping single pixels does little to a feature map: what a pixel held, its neighbours still know. Dropping a whole
# channel may do too much: it is gone everywhere. Between the two there is a block: some $k \times k$ pixels that lie
# together, large enough to hide a part of the image, small enough to leave the rest.
#
# Here is one map of 4 × 5 ones and blocks of 3 × 3. Such a block fits into the map in 2 × 3 places, so there are six
# **seeds**, one for each place: seed $(i, j)$ stands for the block whose upper left pixel is $(i, j)$. Two of them came
# up. Before you run the cell, draw the map and shade both blocks: how many pixels are left?

# %%
seeds = torch.tensor([[1, 0, 0], [0, 1, 0]])
by_hand = torch.ones(4, 5, dtype=torch.long)
for i, j in seeds.nonzero().tolist():
    by_hand[i : i + 3, j : j + 3] = 0
print("kept:")
print("\n".join("  " + " ".join(map(str, row)) for row in by_hand.tolist()))
left = int(by_hand.sum())
print(f"{left} of {by_hand.numel()} are left: each is multiplied by {20 / left:.4f},")
print(f"and the sum of the map is again {left * 20 / left:.0f}")

# %% [markdown]
# Two blocks of 9 pixels have dropped 14, not 18, because four pixels are in both. And the corners are unlike the middle:
# the upper left corner belongs to one block only, that of seed (0, 0), while a pixel such as (1, 2) belongs to all six.
# Both observations will come back.
#
# ## 2 · The mathematics
#
# **How many places?** A block of $k$ pixels fits into a line of $H$ pixels in $H-k+1$ places. So a map of $H \times W$ has
# $(H-k+1)(W-k+1)$ seeds. They are independent coins, each of which comes up with the same probability $\gamma$.
#
# **How often must a seed come up?** Count dropped pixels, and count a pixel twice if it lies in two blocks. Each seed that
# comes up drops $k^2$. On average that makes $\gamma\,k^2\,(H-k+1)(W-k+1)$, and it should be $p\,HW$. Hence
#
# $$\boxed{\;\gamma = \frac{p}{k^2}\cdot\frac{HW}{(H-k+1)(W-k+1)}\;}$$
#
# The second factor makes up for the places that are not there. On a large map it is close to 1, and on a map as large as
# the block it is $k^2$: there a single seed decides over everything, and $\gamma = p$. In general $\gamma \le p$, for
# $\gamma/p$ is the product of $H/(k(H-k+1))$ and the same with $W$, and $k(H-k+1) - H = (k-1)(H-k) \ge 0$.
#
# **Which pixels go?** Along a line, pixel $i$ is covered by $a_i$ of the places: 1 at either end, more towards the middle,
# at most $k$. Pixel $(i, j)$ of the map is covered by $a_i b_j$ seeds, and stays if none of them comes up:
#
# $$q_{ij} = P(\text{pixel } (i,j) \text{ is dropped}) = 1 - (1-\gamma)^{a_i b_j}.$$
#
# A corner is dropped with probability $\gamma$, and on maps of at least $2k-1$ pixels a side the middle with
# $1-(1-\gamma)^{k^2}$. **The middle of such a map is dropped far more often than its edges.** Only blocks that may stick out
# over the edge could change that. On smaller maps the difference is less, and where the block is as large as the map all
# pixels are alike.
#
# **So how much comes of what was asked for?** The share that is dropped is $\bar q$, the mean of $q_{ij}$ over the map.
# Bernoulli's inequality, $(1-\gamma)^m \ge 1 - m\gamma$, says $q_{ij} \le \gamma a_i b_j$. The sum of the $a_i$ is the
# number of (place, pixel) pairs, $k(H-k+1)$, and likewise for $b_j$. Therefore
#
# $$\bar q \;\le\; \frac{\gamma}{HW}\sum_i a_i \sum_j b_j \;=\; \frac{\gamma\,k^2 (H-k+1)(W-k+1)}{HW} \;=\; p .$$
#
# Now we can say in which sense this $\gamma$ is right. The dropped area, *overlaps counted twice*, is exactly $p\,HW$ on
# average, for a map of any size. The area itself is never more than that, and less wherever blocks overlap: on a large map
# $\bar q$ is near $1 - e^{-p}$, which is 0.095 for $p = 0.1$ and 0.39 for $p = 0.5$. It is exactly $p$ where there is
# nothing to overlap, for blocks of one pixel and for a block as large as the map. The paper knows of the overlap and leaves
# it out, as we do.
#
# **Why total / kept?** With dropout every value is divided by $1-p$, its own probability of being kept. Here that would be
# wrong twice: $\bar q$ is not $p$, and how much is kept varies a lot from map to map. So the paper counts. With the mask
# $m \in \{0, 1\}$ over *all* of the batch, its examples and channels, what is kept is multiplied by $T / K$, where $T$ is the
# number of values and $K = \sum m$ that of the kept ones. The sum of the mask is then exactly what it was without dropping.
# That is a statement about the whole, not about each pixel. For large $T$ the factor is nearly constant, about
# $1/(1-\bar q)$, and a single pixel's mean becomes
#
# $$\mathbb E[y_{ij}] \approx \frac{1-q_{ij}}{1-\bar q}\;x_{ij},$$
#
# more than $x_{ij}$ at the corners, less in the middle. Dropout leaves every mean as it is; DropBlock does not, least of all
# on maps about twice as large as the block. Section 4 puts a number on it.
#
# ## 3 · Gamma
#
# **Exercise `dropblock_gamma`** · difficulty ●○○ · about 10 minutes
#
# One line of arithmetic. Mind which factor is the height's and which the width's: maps are not always square.


# %% exercise="dropblock_gamma"
def dropblock_gamma(p: float, block_size: int, height: int, width: int) -> float:
    """The probability with which a block begins at each place of a map where it fits.

    It is chosen so that p * height * width pixels of a map are dropped on average, pixels in
    which blocks overlap counted as often as they are dropped (Ghiasi et al. 2018, section 3,
    equation 1, there for square maps and 1 - p).

    Args:
        p: the drop rate that is asked for, in [0, 1].
        block_size: the side k of a block, in pixels; not larger than the map.
        height: the height H of the map.
        width: the width W of the map.

    Shape:
        All are single numbers.

    Returns:
        p / k² times H W / ((H - k + 1) (W - k + 1)), a float. No correction for overlaps.

    Raises:
        ValueError: if p is not in [0, 1].
    """
    ### BEGIN SOLUTION
    if not 0 <= p <= 1:
        raise ValueError(f"the drop rate has to be between 0 and 1, but p is {p}")
    places = (height - block_size + 1) * (width - block_size + 1)
    return p * height * width / (block_size**2 * places)
    ### END SOLUTION


# %% [markdown]
# <!-- hints: dropblock_gamma -->

# %% check="dropblock_gamma"
check(dropblock_gamma)

# %% [markdown]
# The paper's blocks of 7 on the maps of a ResNet, which shrink from 56 × 56 to 7 × 7. Check the last line by hand. In the
# middle column, multiply γ by the number of places and by 49, and divide by the number of pixels: it must give $p$.

# %%
SIDES, BLOCK, RATE = (56, 28, 14, 8, 7), 7, 0.1

if ready(dropblock_gamma):
    for side in SIDES:
        gamma = dropblock_gamma(RATE, BLOCK, side, side)
        places = (side - BLOCK + 1) ** 2
        print(
            f"{side:2} x {side:2}: {places:4} place(s), gamma {gamma:.4f}, "
            f"area with overlaps counted twice {gamma * places * BLOCK**2 / side**2:.3f}"
        )

# %% [markdown]
# ## 4 · The layer
#
# **Exercise `DropBlock2d`** · difficulty ●●● · about 25 minutes
#
# Draw seeds, let them grow, multiply. For the second step take one pixel's view: "am I in the block of any seed that came
# up?" is a question about the largest of $k \times k$ seeds.


# %% exercise="DropBlock2d"
class DropBlock2d(nn.Module):
    """Drops blocks of block_size x block_size pixels, for each example and channel separately.

    As in Ghiasi et al. 2018, section 3, Algorithm 1: in training, a seed is drawn for each place
    of a map where a whole block fits, and comes up with probability gamma (see
    `dropblock_gamma`). The block of every seed that came up is zero. What is kept is multiplied
    by total / kept: the number of values in the whole batch, N C H W, over the number of those
    kept, one factor a call (a zero of the input that no block covers is kept, too). In
    evaluation mode the output is the input.

    Args:
        p: the drop rate that is asked for.
        block_size: the side of a block in pixels: odd, from 1 to the smaller side of the map.

    Shape:
        - Input: (N, C, H, W)
        - Output: as the input, and of its dtype. The input is left as it is.

    Raises:
        ValueError: in the constructor, if p is not in [0, 1], or if block_size is even or not
            positive; in `forward` in training, if the block is larger than the map on either
            side.

    p = 0 leaves the input as it is, and p = 1 gives zeros, on large maps too, where gamma is
    below 1. Wherever nothing is kept the output is zero, never NaN. The layer has no parameters
    and no buffers: masks are drawn anew for each call and not kept.

    Keep the arguments as `self.p` and `self.block_size`: `extra_repr` prints them.
    """

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop rate has to be between 0 and 1, but p is {p}")
        if block_size < 1 or block_size % 2 == 0:
            raise ValueError(f"a block's side has to be odd and positive, but is {block_size}")
        self.p, self.block_size = p, block_size
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if not self.training or self.p == 0:
            return x
        (n, c, height, width), k = x.shape, self.block_size
        if k > min(height, width):
            raise ValueError(f"no block of {k} x {k} fits into a map of {height} x {width}")
        # p = 1 leaves nothing, also where gamma is below 1
        gamma = dropblock_gamma(self.p, k, height, width) if self.p < 1 else 1.0
        seeds = torch.rand(n, c, height - k + 1, width - k + 1, device=x.device) < gamma
        # every pixel looks at the k x k seeds whose blocks cover it
        kept = F.max_pool2d(F.pad(seeds.float(), [k - 1] * 4), k, stride=1) == 0
        return x * kept * (kept.numel() / kept.sum().clamp(min=1))
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"p={self.p}, block_size={self.block_size}"


# %% [markdown]
# <!-- hints: DropBlock2d -->

# %% check="DropBlock2d"
check(DropBlock2d)

# %% [markdown]
# Now the layer itself, on ones: 3 maps of 6 × 9, blocks of 3. Two things can be read off without knowing the random
# numbers: all values that are not 0 are equal, and the sum is that of the input, exactly as section 2 promises. (What is 0
# was dropped, for the input has no zeros of its own. Behind a ReLU it has many, and only the mask tells.)

# %%
if ready(dropblock_gamma, DropBlock2d):
    torch.manual_seed(3)
    ones = torch.ones(1, 3, 6, 9)
    layer = DropBlock2d(p=0.3, block_size=3)
    y = layer(ones)
    # the input has no zeros, so these tell the mask: behind a ReLU they would not
    kept = int((y != 0).sum())
    print(layer)
    print(
        f"one value besides 0: {len(y[y != 0].unique()) == 1}, sum {float(y.sum()):.2f} of 162"
    )
    print(f"it is total / kept: {abs(float(y.max()) - 162 / kept) < 1e-5}")
    print(f"evaluation changes nothing: {bool((layer.eval()(ones) == ones).all())}")

# %% [markdown]
# And what becomes of a single pixel's mean? No sampling is needed: $q_{ij}$ has a formula.


# %%
def covering(side: int, k: int) -> Tensor:
    """By how many of the side - k + 1 places each pixel of a line is covered: the a_i of section 2."""
    return torch.tensor(
        [min(i, side - k) - max(i - k + 1, 0) + 1 for i in range(side)], dtype=torch.float64
    )


def drop_probability(gamma: float, line: Tensor) -> Tensor:
    """The q_ij of a square map, from the number of seeds that reach each pixel of a line."""
    return 1 - (1 - gamma) ** (line[:, None] * line)


if ready(dropblock_gamma):
    for side in SIDES:
        q = drop_probability(dropblock_gamma(RATE, BLOCK, side, side), covering(side, BLOCK))
        means = (1 - q) / (1 - q.mean())
        print(
            f"{side:2} x {side:2}: dropped at a corner {q[0, 0]:.3f}, in the middle "
            f"{q[side // 2, side // 2]:.3f}, on average {q.mean():.4f}; "
            f"mean of a 1 after rescaling from {means.min():.2f} to {means.max():.2f}"
        )

# %% [markdown]
# At 14 × 14 a pixel in the middle is dropped 42 times as often as a corner (0.265 and 0.006), and after rescaling its mean
# is 0.81 of what it should be, that of a corner 1.10. The average drop rate, however, stays close to 0.1 from top to bottom:
# between 0.093 and 0.096 where blocks overlap, 0.1 where they cannot.

# %% [markdown]
# ## 5 · What is asked for, and what comes
#
# The factor for the valid places looks like a detail. It is the one that some much-used implementations
# get wrong. What they do, read from their source in November 2026:
#
# | | gamma | seeds fall on |
# |---|---|---|
# | this course, torchvision 0.28, mmdetection after its warm-up | γ of section 2 | places where the block fits |
# | timm 1.0.31 | γ of section 2 | **every pixel**; blocks are cut at the edges |
# | `miguelvr/dropblock` (on PyPI: `dropblock`) | $p/k^2$ | **every pixel**; blocks are cut at the edges |
#
# The last two also share one mask among all channels of an example (timm by default), which changes nothing in the rate. timm
# makes up for places that are missing, and then does not leave them out. (Its older versions did leave them out with
# `fast=False`; the default was `fast=True`.) The other package does neither. You can imagine which drops too much and which
# too little. But by how much?

# %%
q1 = predict(
    "p = 0.1, blocks of 7, a map of 7 x 7. What share does timm's version drop?",
    ["0.06", "0.1", "0.3", "0.5", "0.9"],
    mine=None,
)

# %%
q2 = predict(
    "And that of miguelvr/dropblock?",
    ["0.06", "0.1", "0.3", "0.5", "0.9"],
    mine=None,
)


# %%
def seeds_everywhere(shape: tuple[int, ...], gamma: float, k: int) -> Tensor:
    """What is dropped where seeds fall on every pixel, shared by the channels, and blocks are cut."""
    seeds = (torch.rand(shape[0], 1, *shape[2:]) < gamma).float()
    return (F.max_pool2d(seeds, k, stride=1, padding=k // 2) > 0).expand(shape)


def reaching(side: int, k: int) -> Tensor:
    """How many seeds reach each pixel of a line if they may fall on every pixel."""
    pixels, half = range(side), k // 2
    return torch.tensor(
        [min(i + half, side - 1) - max(i - half, 0) + 1 for i in pixels], dtype=torch.float64
    )


if ready(dropblock_gamma, DropBlock2d):
    exact = {
        "asked for": [RATE] * len(SIDES),
        "yours": [],
        "timm": [],
        "miguelvr/dropblock": [],
    }
    for side in SIDES:
        gamma, alone = dropblock_gamma(RATE, BLOCK, side, side), RATE / BLOCK**2
        for name, g, line in (
            ("yours", gamma, covering(side, BLOCK)),
            ("timm", gamma, reaching(side, BLOCK)),
            ("miguelvr/dropblock", alone, reaching(side, BLOCK)),
        ):
            exact[name].append(float(drop_probability(g, line).mean()))
    print("by the formula, p = 0.1, blocks of 7")
    print(" " * 18, *(f"{side:2} x {side:2}" for side in SIDES))
    for name, values in exact.items():
        print(f"{name:18}", *(f"{value:7.3f}" for value in values))
    near = (0.06, 0.1, 0.3, 0.5, 0.9)
    for question, name in ((q1, "timm"), (q2, "miguelvr/dropblock")):
        came = exact[name][-1]
        question.compare(
            "abcde"[min(range(5), key=lambda n: abs(near[n] - came))],
            "Count the seeds that reach the middle pixel, and how often each of them comes up.",
        )

# %% [markdown]
# The same by counting, for formulas can be wrong. Between 500 and 32 000 maps of each size, all ones, and the zeros counted.

# %% tags=["nbval-ignore-output"]
if ready(dropblock_gamma, DropBlock2d):
    torch.manual_seed(0)
    measured = {"yours": [], "torchvision": [], "timm": [], "miguelvr/dropblock": []}
    for side in SIDES:
        ones = torch.ones(int(500 * (56 / side) ** 2), 1, side, side)
        gamma = dropblock_gamma(RATE, BLOCK, side, side)
        for name, dropped in (
            ("yours", DropBlock2d(RATE, BLOCK)(ones) == 0),
            ("torchvision", drop_block2d(ones, RATE, BLOCK) == 0),
            ("timm", seeds_everywhere(ones.shape, gamma, BLOCK)),
            ("miguelvr/dropblock", seeds_everywhere(ones.shape, RATE / BLOCK**2, BLOCK)),
        ):
            measured[name].append(float(dropped.float().mean()))
    print("measured, p = 0.1, blocks of 7")
    print(" " * 18, *(f"{side:2} x {side:2}" for side in SIDES))
    for name, values in measured.items():
        print(f"{name:18}", *(f"{value:7.3f}" for value in values))
    places = list(range(len(SIDES)))
    figure = lines(
        places,
        {"asked for": exact["asked for"], **measured},
        "map (pixels)",
        "share of pixels dropped (fraction, logarithmic)",
        f"p = {RATE}, blocks of {BLOCK} x {BLOCK}",
    )
    axis = figure.axes[0]
    axis.set_yscale("log")
    axis.set_yticks([0.05, 0.1, 0.2, 0.5, 1.0], ["0.05", "0.1", "0.2", "0.5", "1"])
    axis.minorticks_off()
    axis.set_xticks(places, [f"{side} x {side}" for side in SIDES])
    told = "; ".join(f"{n} {', '.join(f'{v:.3f}' for v in vs)}" for n, vs in measured.items())
    show(
        figure,
        "Share of pixels dropped against the size of the map, from 56 x 56 to 7 x 7, where 0.1 was "
        f"asked for. {told}.",
    )

# %% [markdown]
# **What to see.** Yours and torchvision's lie on each other, a little below the line of what was asked for, and on it at
# 7 × 7. The other two leave it to either side, the further the smaller the map is.
#
# **What we measured.** Asked for was 0.1. Whole blocks inside the map dropped between 0.092 and 0.099 at every size. timm's
# version (we ran the package's own function as well, and it agrees with the re-implementation) dropped 0.11 at
# 56 × 56, 0.13 at 28 × 28, 0.21 at 14 × 14, and **0.93 at 7 × 7**: $\gamma$ is 0.1 there, for one seed, but 49 of them are
# tossed, and most pixels are reached by more than 20. The package `dropblock` dropped 0.09 at 56 × 56 and **0.055 at 7 × 7**,
# little more than half. So of two people who both report "DropBlock, $p = 0.1$, after the last stage", one has trained with
# half of what was asked for and the other with next to no features.
#
# *In which sense is the course's definition right, then?* The expected area with overlaps counted twice is $p$, at every
# size. The share of pixels is what blocks inside the map make of it: at most $p$, by the formula 0.093 or more here. For larger
# $p$ the overlap costs more (at $p = 0.5$ on 28 × 28 it is 0.37 that is dropped). If you want the share itself to be $p$,
# solve $\bar q(\gamma) = p$ for $\gamma$ numerically; well inside a large map the answer is $1-(1-p)^{1/k^2}$.
#
# Where on the map are the holes? Once more by the formula:

# %% tags=["nbval-ignore-output"]
if ready(dropblock_gamma):
    figure, axes = grid(2, 4, 8.2, 4.1)
    for row, (name, line) in zip(axes, (("yours", covering), ("timm", reaching)), strict=True):
        for axis, side in zip(row, (56, 28, 14, 7), strict=True):
            q = drop_probability(
                dropblock_gamma(RATE, BLOCK, side, side), line(side, BLOCK)
            ).numpy()
            drawn = axis.imshow(q, cmap=MAPS, vmin=0, vmax=0.5, interpolation="nearest")
            axis.set_title(f"{side} x {side}: {q.min():.3f} to {q.max():.3f}", fontsize=8.5)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
        row[0].set_ylabel(name)
    figure.colorbar(
        drawn,
        ax=[axis for row in axes for axis in row],
        label="probability of being dropped",
        fraction=0.03,
        pad=0.01,
        extend="max",
    )
    show(
        figure,
        "Eight maps coloured by each pixel's probability of being dropped. Yours: nearly zero in the "
        "corners and highest inside, one colour throughout at 7 x 7. timm's: more even, but brighter "
        "the smaller the map, and beyond the scale at 7 x 7.",
    )

# %% [markdown]
# **What to see.** In the upper row corners are nearly safe and the middle is not, most of all at 14 × 14; at 7 × 7 all pixels
# share one coin. In the lower row even corners are reached by many seeds. That evenness is what one buys by letting blocks
# stick out, and it would have been fair with a smaller $\gamma$.
#
# ## 6 · See it
#
# We train the small CNN of unit 00 on 1000 images, take the maps of its first block (14 × 14) for one validation image, and
# drop from them in four ways, each time with $p = 0.3$.


# %% tags=["nbval-ignore-output"]
IMAGES, EPOCHS = 1000, 12
data = load().with_train(IMAGES)

if ready(dropblock_gamma, DropBlock2d):
    torch.manual_seed(0)
    plain = SmallCNN()
    train(plain, data, EPOCHS, seed=0)
    image_maps = feature_maps(plain, data.validation.images[9:10])[0]
    busiest_first = image_maps.flatten(2).std(dim=2).squeeze(0).argsort(descending=True)
    image_maps = image_maps[:, busiest_first]
    torch.manual_seed(5)
    channels = nn.Dropout2d(0.3)(image_maps)  # first, before your layer draws
    rows = {
        "no dropout": image_maps,
        "pixels": DropBlock2d(0.3, 1)(image_maps),
        "blocks of 3": DropBlock2d(0.3, 3)(image_maps),
        "blocks of 7": DropBlock2d(0.3, 7)(image_maps),
        "channels": channels,
    }
    active = image_maps != 0  # what the ReLU had made 0 does not count
    gone = {name: float((maps[active] == 0).float().mean()) for name, maps in rows.items()}
    told = ", ".join(f"{name} {share:.2f}" for name, share in gone.items())
    print(f"share of the active values dropped, in all {image_maps.shape[1]} maps: {told}")
    show(
        map_rows({name: maps[0, :8] for name, maps in rows.items()}),
        "Five rows of eight feature maps: as they are, with single pixels dropped, with blocks of 3 x 3, "
        f"with blocks of 7 x 7, and with whole channels dropped. Share of active values dropped: {told}.",
    )

# %% [markdown]
# **What to see.** In the second row you still recognise every map. In the third, details are gone; in the fourth, whole parts
# of the object, different ones in each channel; in the last a map is black or complete. (Values that the ReLU had made 0 are
# dark in all rows.) The line above the figure has the shares that were dropped. Each comes from a single draw, and the larger
# the pieces, the further it may be from $p$: for the channels there were 16 coins in all.

# %% [markdown]
# ## 7 · Does it help?
#
# Four configurations of the small CNN: nothing, `nn.Dropout`, `nn.Dropout2d` for whole channels, or your layer with blocks
# of 3 in the slot after each of the three blocks, whose maps have 14 × 14, 7 × 7 and 4 × 4 pixels. $p = 0.2$, 1000 training
# images, 12 epochs, three seeds. The networks of a seed start from the same weights and see the same batches, so they can be
# compared in pairs. All losses are measured in evaluation mode, and averaged over the last three epochs.

# %%
q3 = predict(
    "Which configuration has the highest mean validation accuracy?",
    ["no dropout", "pixels", "channels", "blocks of 3 (yours)", "no clear winner"],
    mine=None,
)

# %%
q4 = predict(
    "And which has the smallest gap between validation and training loss?",
    ["no dropout", "pixels", "channels", "blocks of 3 (yours)", "no clear winner"],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
P, SEEDS, LAST = 0.2, (0, 1, 2), 3
METRICS = {"validation_accuracy": "accuracy", "validation_loss": "loss", "gap": "gap"}

if ready(dropblock_gamma, DropBlock2d):
    slots = {
        "no dropout": nn.Identity,
        "pixels": partial(nn.Dropout, P),
        "channels": partial(nn.Dropout2d, P),
        "blocks of 3": partial(DropBlock2d, P, 3),
    }
    runs = {}
    for number, (name, slot) in enumerate(slots.items(), 1):
        runs[name] = over_seeds(partial(SmallCNN, slot), data, EPOCHS, SEEDS)
        print(f"{number} of {len(slots)} trained: {name}")

    print(
        f"mean ± standard deviation over {len(SEEDS)} seeds; "
        "accuracy and loss on validation images"
    )
    for name, histories in runs.items():
        values = {m: mean_and_spread([h.last(m, LAST) for h in histories]) for m in METRICS}
        shown = (f"{METRICS[m]} {mean:6.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{name:26}", *shown, sep="   ")
    print("differences, seed by seed")
    for a, b in (
        *((name, "no dropout") for name in ("pixels", "channels", "blocks of 3")),
        *(("blocks of 3", name) for name in ("pixels", "channels")),
    ):
        pairs = list(zip(runs[a], runs[b], strict=True))
        values = {
            m: mean_and_spread([h.last(m, LAST) - g.last(m, LAST) for h, g in pairs])
            for m in METRICS
        }
        shown = (f"{METRICS[m]} {mean:+.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{a + ' - ' + b:26}", *shown, sep="   ")

# %% tags=["nbval-ignore-output"]
if ready(dropblock_gamma, DropBlock2d):
    show(
        curves(runs, ["train_loss", "validation_loss", "gap"]),
        "Training loss, validation loss and gap by epoch, a line and a band for each of the four "
        "configurations; the table above has where they end.",
    )

# %% [markdown]
# **What to see.** A line is the mean over the seeds, its band one standard deviation to each side. Left: all three kinds of
# dropout slow the training loss down, by about the same. Right: all three gaps open later. Can you tell the three apart?

# %% tags=["nbval-ignore-output"]
if ready(dropblock_gamma, DropBlock2d):
    show(
        final_values(runs, list(METRICS), LAST),
        "Validation accuracy, validation loss and gap at the end: a dot for each seed, beside them mean "
        "and standard deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** Each dot is one network. In the right panel the first configuration is clear of the others; in the left one
# the dots of all four overlap.


# %% tags=["nbval-ignore-output"]
def winner(metric: str, sign: int) -> str:
    """The letter of the best configuration, "e" if a t test does not tell it from the next."""
    ended = [[sign * h.last(metric, LAST) for h in histories] for histories in runs.values()]
    first, second = sorted(range(len(ended)), key=lambda i: sum(ended[i]), reverse=True)[:2]
    lead = [a - b for a, b in zip(ended[first], ended[second], strict=True)]
    return "abcd"[first] if differs(lead) else "e"


if ready(dropblock_gamma, DropBlock2d):
    q3.compare(
        winner("validation_accuracy", +1),
        "Compare a difference with its spread before you believe in it.",
    )
    q4.compare(
        winner("gap", -1),
        "Every kind of dropout narrows it. That is a means: look at the validation loss for the end.",
    )

# %% [markdown]
# **What we measured.** With these three seeds every kind of dropout narrowed the gap by more than a third, from 0.347 ± 0.019
# to 0.218 ± 0.006 (pixels), 0.208 ± 0.022 (channels) and 0.216 ± 0.006 (blocks). The validation loss fell from 0.596 to
# 0.539, 0.541 and 0.548. The accuracy did not move: 0.816 ± 0.008 without, 0.814, 0.815 and 0.816 with.
#
# Three seeds leave small differences open, so we also ran ten (0 to 9, with the libraries' layers:
# `solutions/experiments/07_dropblock.py`), the differences again seed by seed (mean ± standard deviation over the ten seeds;
# the standard error of a mean is about a third of that):
#
# | after each block, p = 0.2 | accuracy | loss | gap |
# |---|---|---|---|
# | no dropout, itself | 0.812 ± 0.008 | 0.580 ± 0.025 | 0.340 ± 0.036 |
# | pixels − no dropout | −0.004 ± 0.012 | −0.031 ± 0.034 | −0.116 ± 0.019 |
# | channels − no dropout | −0.003 ± 0.010 | −0.029 ± 0.024 | −0.132 ± 0.024 |
# | blocks of 3 − no dropout | −0.004 ± 0.007 | −0.019 ± 0.025 | −0.123 ± 0.026 |
# | blocks of 3 − pixels | −0.000 ± 0.009 | +0.012 ± 0.020 | −0.007 ± 0.022 |
#
# Blocks narrow the gap by more than a third, as the other two do. They lower the validation loss a little less than pixels
# do, if at all (twelve thousandths, two standard errors). The accuracy is not better. **On these images and this network
# DropBlock did what any dropout does, and no more.**
#
# Then the place where blocks can be of different sizes, after block 1 alone (14 × 14), with $p = 0.3$, over the same ten
# seeds:
#
# | after block 1, p = 0.3 | accuracy | loss | gap |
# |---|---|---|---|
# | pixels − no dropout | −0.001 ± 0.010 | −0.006 ± 0.025 | −0.040 ± 0.015 |
# | blocks of 3 − no dropout | −0.000 ± 0.008 | −0.012 ± 0.021 | −0.057 ± 0.020 |
# | blocks of 5 − no dropout | −0.002 ± 0.011 | −0.006 ± 0.029 | −0.061 ± 0.032 |
# | blocks of 7 − no dropout | −0.007 ± 0.008 | +0.009 ± 0.034 | −0.068 ± 0.026 |
# | channels − no dropout | −0.004 ± 0.011 | −0.001 ± 0.035 | −0.052 ± 0.018 |
#
# The larger the block, the smaller the gap. That is the order which the argument of section 1 predicts, although the larger
# block drops less (overlap: 0.26, 0.25 and 0.24 of the pixels for 3, 5 and 7, where single pixels lose 0.3). From one size to
# the next the step is within a standard error or two, though, and the gap is a means. The loss is lowest at 3, by less than
# its spread, and blocks of 7 cost 0.007 ± 0.008 of accuracy. By itself a t test tells that from chance (nearly three
# standard errors), but it is the largest of the ten differences in these two columns, and the largest of ten is often above two
# by chance alone. A block of 7 takes a quarter of
# a map of 14 × 14. The paper prefers large blocks on ImageNet, in a network that trained far longer, and with $p$ raised
# slowly from 0. None of that is so here, and we claim nothing beyond these runs. Try smaller blocks in two places,
# `partial(SmallCNN, partial(DropBlock2d, 0.1, 3), where=(1, 2))`, or 4000 images. Predict first.

# %% [markdown]
# ## 8 · Explore
#
# The same image, with a slider for $p$ and a choice of the block's size. All 16 maps are dropped from and counted; eight are
# drawn. Three things to find out. How far is the share of active pixels dropped from $p$, and is the object in the middle
# of the map? With blocks of 13 there are four places only: what does that do to how much is lost, from one mask to the next?
# And at which $p$ can *you* no longer tell what the image shows, for blocks of 1 and for blocks of 7?

# %% tags=["nbval-ignore-output"]
if ready(dropblock_gamma, DropBlock2d):
    kinds = {
        f"blocks of {k}": lambda x, p, k=k: DropBlock2d(p, k)(x)
        for k in (7, 1, 3, 5, 9, 11, 13)
    }
    kinds["channels"] = lambda x, p: nn.Dropout2d(p)(x)
    mask_explorer(image_maps[0], kinds, p=0.2)

# %% [markdown]
# ## 9 · A written question
#
# A colleague puts DropBlock with blocks of 7 and $p = 0.1$ after the last stage of a network, whose maps are 7 × 7. "The
# training loss hardly falls," she says. "DropBlock is too strong for small maps, so I use $p = 0.01$ now, and it trains."
# Her implementation computes γ as you did, draws seeds for every pixel of the map and lets blocks be cut off at the edges. In
# four or five sentences: what share did she drop at $p = 0.1$, how can she find out without reading the code, what would a
# correct layer have done at 7 × 7, and what is wrong with her remedy?

# %% [markdown] written="what_came_of_p"
# **Your answer**
#
# ### BEGIN SOLUTION
# At 7 × 7 γ is $p$ itself, because a correct layer has a single place for its block. Her layer tosses 49 such coins, each of
# which drops most of the map, so it dropped 93 % of the pixels ($1 - 0.9^{49} = 0.994$ in the middle, $1-0.9^{16} = 0.81$ in
# the corners), and what was left was multiplied by about 14. She can find out in a minute: feed the layer ones in training
# mode and count the zeros. A correct layer would have dropped the whole map of a channel in a tenth of the cases and nothing
# otherwise, which is spatial dropout with $p = 0.1$, and not strong at all. Her remedy makes up for one mistake by another
# number: with $p = 0.01$ she drops about 0.24 at 7 × 7, but on maps of another size something else (0.012 on 56 × 56), so
# her $p$ means nothing that carries over to another layer, image size or paper. The seeds should be restricted to the places
# where a whole block fits.
#
# *Rubric, 2 points.* 1 point for the cause with a number or an estimate: many seeds, each with γ = p, so nearly everything is
# dropped (anything from 0.8 to 1 with a reason). 1 point for both of: a measurement (count the zeros for an input of ones) and
# why the remedy fails (the rate still depends on the size of the map; p does not mean what it says). Half points are
# possible. Good, not required: that a correct layer would be spatial dropout here. Not right: "DropBlock should not be used on
# small maps because γ is too large", without the place of the seeds.
# ### END SOLUTION

# %% [markdown]
# ## 10 · The library's own
#
# torchvision has it, with the same γ and whole blocks inside the map:
#
# ```python
# from torchvision.ops import DropBlock2d
# layer = DropBlock2d(p=0.1, block_size=7)   # (N, C, H, W)
# ```
#
# Do the two agree? Not mask by mask, for they may draw their random numbers differently; but in how often they drop, and in
# the factor, given what was dropped:

# %%
if ready(dropblock_gamma, DropBlock2d):
    torch.manual_seed(0)
    many = torch.ones(200, 40, 9, 12)
    for name, y in (
        ("torchvision", drop_block2d(many, 0.2, 3)),
        ("yours", DropBlock2d(0.2, 3)(many)),
    ):
        dropped = (y == 0).float().mean()
        factor_fits = abs(float(y.max() * (1 - dropped)) - 1) < 1e-4
        print(f"{name:12} drops {float(dropped):.2f}, factor total / kept: {factor_fits}")

# %% [markdown]
# They differ at the edges of what is allowed. A block that is larger than the map torchvision makes as small as the map,
# silently, where yours refuses; and since it insists on odd blocks only after that, a block of 7 on a map of 4 × 4 is an error
# about an even block that nobody asked for. At $p = 1$ it keeps to γ, and on large maps more than a third is left, where
# yours drops everything. And it adds $10^{-6}$ to the number of kept values, so that it is never 0.
#
# ## Further reading
#
# - G. Ghiasi, T.-Y. Lin and Q. V. Le, *DropBlock*, 2018, [arXiv:1810.12890](https://arxiv.org/abs/1810.12890). Algorithm 1 is
#   the layer; section 3 has γ and the schedule that raises $p$ from 0 during training, which we left out.
# - J. Tompson et al., *Efficient Object Localization Using Convolutional Networks*, 2015,
#   [arXiv:1411.4280](https://arxiv.org/abs/1411.4280): spatial dropout, the block as large as the map.
# - T. DeVries and G. W. Taylor, *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017,
#   [arXiv:1708.04552](https://arxiv.org/abs/1708.04552): one block, in the input image.
# - The sources compared in section 5:
#   [torchvision](https://github.com/pytorch/vision/blob/main/torchvision/ops/drop_block.py),
#   [timm](https://github.com/huggingface/pytorch-image-models/blob/main/timm/layers/drop.py),
#   [miguelvr/dropblock](https://github.com/miguelvr/dropblock). They change; count the zeros of the version you have.

# %%
progress()
