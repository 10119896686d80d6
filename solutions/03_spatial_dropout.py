# ---
# jupyter:
#   autograder: {title: Spatial dropout, technique: Dropping whole feature maps, paper: "Tompson et al. 2015", minutes: 60}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Spatial dropout
#
# **After this notebook you will be able to**
#
# - say, with a formula and with a measurement, why dropping single pixels does little to a convolutional layer;
# - draw a mask that drops whole channels, and build `SpatialDropout2d` on it, for both ways of laying out a batch;
# - compare it with ordinary dropout over several seeds, and report honestly what came out.
#
# **Time:** about 60 minutes. **Before it:** unit 00, and what ordinary dropout does (`nn.Dropout`).
# **The paper:** J. Tompson, R. Goroshin, A. Jain, Y. LeCun and C. Bregler, *Efficient Object Localization Using
# Convolutional Networks*, CVPR 2015, [arXiv:1411.4280](https://arxiv.org/abs/1411.4280), section 3.2.
#
# **Conventions.** As everywhere in this course, $p$ is the probability of *dropping*; training divides what is kept by
# $1-p$; evaluation changes nothing. Torch7's `nn.SpatialDropout`, the layer of the paper's time, did it the other way
# round: it left kept values alone in training and multiplied everything by $1-p$ in evaluation. (Torch7's ordinary
# `nn.Dropout` had begun like that too and went over to dividing in training.) The expected output is the same up to
# one common factor; dividing in training leaves evaluation free of dropout altogether, which is why libraries do it
# today.

# %% setup=true
import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %%
from functools import partial
from itertools import product
from math import prod

from reglab.data import load
from reglab.models import SmallCNN, feature_maps
from reglab.plots import curves, final_values, lines, map_rows, show
from reglab.predict import predict
from reglab.training import mean_and_spread, over_seeds, train
from reglab.widgets import mask_explorer

# %% [markdown]
# ## 1 · Two ways to drop half
#
# Here is one example with two channels of 2 × 2 pixels, and two masks, written out by hand. Both drop exactly four of
# the eight values. The first takes its four from anywhere, as ordinary dropout would; the second takes a channel.

# %%
x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])
single_pixels = torch.tensor([[[[1, 0], [0, 1]], [[0, 1], [1, 0]]]])
whole_channel = torch.tensor([[[[0, 0], [0, 0]], [[1, 1], [1, 1]]]])

for name, mask in (("single pixels", single_pixels), ("whole channel", whole_channel)):
    y = 2 * x * mask  # p = 0.5, so what is kept is doubled
    print(
        f"{name}: {y.flatten().tolist()}, "
        f"sum of each channel {y.sum(dim=(2, 3)).flatten().tolist()}"
    )
print(
    f"no dropout: {x.flatten().tolist()}, "
    f"sum of each channel {x.sum(dim=(2, 3)).flatten().tolist()}"
)

# %% [markdown]
# Check one row by hand. Now look at the sums, for a convolution sees its input through sums over small windows. With
# single pixels dropped, both channels arrive as if nothing had happened: 10 and 26. (We chose a tidy mask; on average
# over masks it is always so.) With a channel dropped, one sum is 0 and the other 52. The next layer has to do without
# the first channel, and cannot tell from the second what was in it.
#
# ## 2 · The mathematics
#
# Take one channel of one example, $n$ pixels $x_1, \dots, x_n$ of a window, and the sum the next layer reads,
#
# $$S = \sum_{i=1}^n \frac{m_i\,x_i}{1-p}, \qquad m_i \in \{0, 1\},\quad P(m_i = 0) = p .$$
#
# **The mean is right, whatever the mask.** $\mathbb E[m_i] = 1-p$, hence $\mathbb E[S] = \sum_i \frac{1-p}{1-p}\,x_i =
# \sum_i x_i$. That is what dividing by $1-p$ is for: the next layer sees inputs of the size it will see in evaluation.
# The argument takes the $m_i$ one at a time, so it does not matter whether they are drawn separately or are all the
# same coin. The two kinds of dropout have the same mean. They differ in everything else.
#
# **The variance is not.** $\operatorname{Var}(m_i) = p(1-p)$. With separate coins variances add; with one coin, the
# whole sum is multiplied by it:
#
# $$\operatorname{Var}_{\text{pixels}}(S) = \frac{p}{1-p}\sum_i x_i^2, \qquad
#   \operatorname{Var}_{\text{channel}}(S) = \frac{p}{1-p}\Big(\sum_i x_i\Big)^{2} .$$
#
# Now let the $x_i$ be random too, with mean 0, variance $\sigma^2$ and correlation $\rho$ between any two of them.
# Then $\mathbb E\big[\sum x_i^2\big] = n\sigma^2$ and $\mathbb E\big[(\sum x_i)^2\big] = n\sigma^2 +
# n(n-1)\rho\sigma^2$, so
#
# $$\boxed{\;\frac{\mathbb E\,\operatorname{Var}_{\text{channel}}(S)}
#   {\mathbb E\,\operatorname{Var}_{\text{pixels}}(S)} = 1 + (n-1)\,\rho\;}$$
#
# If neighbours are unrelated ($\rho = 0$) there is no difference; if they are copies ($\rho = 1$) a channel's coin
# makes $n$ times the variance of $n$ separate ones. (Activations after a ReLU do not have mean 0. The formula then
# holds with $r = \mathbb E[x_i x_j]/\mathbb E[x_i^2]$ in place of $\rho$, which is larger still: a common mean is
# also something neighbours share.)
#
# **What that means for learning.** Let all $n$ pixels be alike, $x_i = x$, and let the gradients that come back to
# them be alike too, $\delta_i = \delta$, as the paper argues they are. For a weight $w$ that reads them,
#
# $$\frac{\partial L}{\partial w} = \sum_i \delta_i\, \frac{m_i x_i}{1-p}
#   = \underbrace{n\,\delta x}_{\text{without dropout}}\cdot\;
#   \frac{\bar m}{1-p}, \qquad \bar m = \frac1n\sum_i m_i .$$
#
# With separate coins $\bar m$ is close to $1-p$: its standard deviation is only $\sqrt{p(1-p)/n}$. In the paper's
# convention, without the division, every gradient is thus about $(1-p)$ times what it was, which is nothing but a
# *smaller learning rate*. In ours it is about what it was, with a relative noise of $\sqrt{p/((1-p)\,n)}$: for
# $p = 0.2$ and a 3 × 3 window, 17 %. Either way the weight never has to do without its input, and no information is
# gone. With one coin for the channel $\bar m$ is 0 or 1: now and then the weight gets nothing at all, and what the
# channel said has to be learned by others too. That is what dropout was invented for.
#
# ### Check it on three pixels
#
# With three pixels there are only eight masks, few enough to go through all of them, each weighted by its
# probability. No random numbers, no approximation.

# %%
q1 = predict(
    "Three pixels equal to 2, and p = 0.25. How many times the variance of separate coins does "
    "one common coin make?",
    ["1 (the same)", "sqrt(3)", "3", "9"],
    mine=None,
)

# %%
SEPARATE = list(product([0, 1], repeat=3))
COMMON = [(0, 0, 0), (1, 1, 1)]


def exact_moments(
    pixels: list[float], masks: list[tuple[int, ...]], p: float
) -> tuple[float, float]:
    """Mean and variance of the rescaled sum, over every mask that can occur."""
    coins = masks if masks is SEPARATE else [mask[:1] for mask in masks]
    weights = [prod(1 - p if kept else p for kept in thrown) for thrown in coins]
    sums = [sum(m * v for m, v in zip(mask, pixels, strict=True)) / (1 - p) for mask in masks]
    mean = sum(w * s for w, s in zip(weights, sums, strict=True))
    return mean, sum(w * (s - mean) ** 2 for w, s in zip(weights, sums, strict=True))


for pixels in ([2.0, 2.0, 2.0], [3.0, 2.0, 1.0], [2.0, -1.0, -1.0]):
    (mean, separate), (same_mean, common) = (
        exact_moments(pixels, masks, p=0.25) for masks in (SEPARATE, COMMON)
    )
    print(
        f"pixels {pixels}: mean {mean:.2f} and {same_mean:.2f}, "
        f"variance {separate:.2f} and {common:.2f}"
    )
    if pixels == [2.0, 2.0, 2.0]:
        ratio = common / separate
q1.compare(
    "abcd"[[1, 3**0.5, 3, 9].index(round(ratio, 6))],
    "Equal pixels: rho = 1, and the ratio is 1 + (n - 1) = n.",
)

# %% [markdown]
# In each line the first number of a pair is for separate coins, the second for a common one. The means agree and are
# the sum of the pixels. The last line is a warning against the slogan "spatial dropout is stronger": where a window's
# pixels cancel, their sum is 0, dropped or not. It is *correlated* pixels that make the difference. So: are they?

# %% [markdown]
# ## 3 · Are neighbours correlated? Measure it
#
# We train the small CNN of unit 00 on 1000 images, without any regularizer. Then we show it validation images and
# take the maps that leave each of its three blocks (14 × 14, 7 × 7 and 4 × 4 pixels). For each channel, we correlate
# every pixel with the one $d$ columns to its right, over all images and positions, and average the absolute value
# over channels.

# %%
q2 = predict(
    "Where are horizontal neighbours (d = 1) most strongly correlated?",
    [
        "after block 1 (14 x 14)",
        "after block 2 (7 x 7)",
        "after block 3 (4 x 4)",
        "about equally in all three",
    ],
    mine=None,
)

# %%
IMAGES, EPOCHS = 1000, 12


def correlation(a: Tensor, b: Tensor) -> float:
    """Absolute Pearson correlation over images and positions, averaged over live channels."""
    a, b = (t - t.mean(dim=(0, 2, 3), keepdim=True) for t in (a, b))
    scale = (a.square().mean(dim=(0, 2, 3)) * b.square().mean(dim=(0, 2, 3))).sqrt()
    return float(((a * b).mean(dim=(0, 2, 3)) / scale)[scale > 1e-8].abs().mean())


def window_ratio(maps: Tensor) -> float:
    """E[(sum of a 3 x 3 window)^2] / E[sum of its squares]: the boxed ratio, at most 9."""
    window_sum = 9 * nn.functional.avg_pool2d(maps, 3, stride=1)
    sum_of_squares = 9 * nn.functional.avg_pool2d(maps.square(), 3, stride=1)
    return float(window_sum.square().mean() / sum_of_squares.mean())


# %% tags=["nbval-ignore-output"]
data = load().with_train(IMAGES)
torch.manual_seed(0)
plain = SmallCNN()
train(plain, data, EPOCHS, seed=0)
inputs = data.validation.images
blocks = {f"block {k}": maps for k, maps in enumerate(feature_maps(plain, inputs), start=1)}

distances = [1, 2, 3, 4]
by_distance = {
    name: [
        correlation(m[..., :-d], m[..., d:]) if d < m.shape[-1] else float("nan")
        for d in distances
    ]
    for name, m in {"input image": inputs, **blocks}.items()
}
drawn = (
    f"{name} {', '.join(f'{r:.2f}' for r in values if r == r)}"
    for name, values in by_distance.items()
)
show(
    lines(distances, by_distance, "distance d (pixels of the map)", "|correlation|"),
    f"|correlation| at d = 1, 2, 3 and 4: {'; '.join(drawn)}.",
)
print("          |correlation| with the                  variance ratio")
print("          next pixel   same pixel, other channel   3 x 3 window")
for name, m in blocks.items():
    other = correlation(m, m.roll(1, dims=1))
    print(
        f"{name}   {by_distance[name][0]:10.2f}   {other:25.2f}   {window_ratio(m):5.1f} of 9"
    )

# %% [markdown]
# **What to see.** Look first at $d = 1$: the order of the lines there is the answer to your prediction. Then follow
# each line to the right. In our run the lines of the images and of block 1 fell steadily, the latter from 0.49 to 0.15.
# Those of the small maps did not: block 2 rose again from $d = 3$ to 4, and block 3 lay above block 2 at $d = 2$ and 3.
# That was no accident of one network. Over ten, with seeds 0 to 9, we found (mean ± standard deviation):
#
# | | d = 1 | d = 2 | d = 3 | d = 4 |
# |---|---|---|---|---|
# | block 1 | 0.532 ± 0.045 | 0.371 ± 0.034 | 0.256 ± 0.024 | 0.153 ± 0.019 |
# | block 2 | 0.305 ± 0.044 | 0.140 ± 0.035 | 0.118 ± 0.024 | 0.125 ± 0.032 |
# | block 3 | 0.233 ± 0.035 | 0.198 ± 0.031 | 0.187 ± 0.032 | – |
#
# (These and the other numbers over ten seeds in this unit are printed by `python
# solutions/experiments/03_spatial_dropout.py` in the course's repository.) So neighbours are less correlated the later
# the block, but "less with distance" holds only while the map is wide. A map of 4 pixels has one pair of columns at
# $d = 3$, its two edges: 4 pairs an image, where block 1 has 154. At the edges the convolutions read the zeros of the
# padding, and the image has its margins, alike on the left and on the right because most clothes are symmetric. And
# one step of block 3 is 8 pixels of the image: what is left at such distances is what the *whole* image has in common
# (a channel that likes coats is bright all over a coat), and that has no distance. The numbers of pairs are
# arithmetic; the rest of this paragraph is our reading.

# %% tags=["nbval-ignore-output"]
nearest = [by_distance[name][0] for name in blocks]
q2.compare(
    "d" if max(nearest) - min(nearest) < 0.03 else "abc"[nearest.index(max(nearest))],
    "What speaks for (a): early blocks see small, overlapping patches of a smooth image, and "
    "each stride puts more between neighbours.",
)

# %% [markdown]
# **What we measured.** The correlation with the next pixel was 0.85 in the images, 0.49 after block 1, 0.34 after
# block 2 and 0.23 after block 3; yours will be near. In the last column, the formula without its assumptions: one
# coin for a 3 × 3 window of block 1 makes 6.6 times the variance of nine separate coins, where 9 would be copies and
# 1 pixels that know nothing of one another. (It is more than $1 + 8 \times 0.49 = 4.9$ because activations after a
# ReLU also share a positive mean.) In block 3 it is 3.3.
#
# The middle column belongs to an honest account too. The same pixel of *another channel* is nearly as closely related,
# 0.42 after block 1. So what one channel says, others partly say as well. Keep that in mind for section 7.
#
# **Can a dropped pixel be guessed?** Correlation is an average; here is what it means. Drop single pixels with $p =
# 0.5$ (the library's `nn.Dropout` picks them), and guess each dropped pixel as the mean of those of its eight
# neighbours that survived. Of the variance of the dropped pixels, what fraction does that simplest of guesses
# explain?


# %% tags=["nbval-ignore-output"]
def explained_by_neighbours(maps: Tensor, p: float) -> float:
    """1 - (squared error of the guess) / (variance of what was dropped), over live channels."""
    kept = (nn.Dropout(p)(torch.ones_like(maps)) > 0).float()
    total, count = (
        nn.functional.avg_pool2d(t, 3, stride=1, padding=1) for t in (maps * kept, kept)
    )
    guessable = ((kept == 0) & (count > 0)).float()
    number = guessable.sum(dim=(0, 2, 3))
    error = (((maps - total / count.clamp(min=1e-6)) ** 2) * guessable).sum(
        dim=(0, 2, 3)
    ) / number
    mean = ((maps * guessable).sum(dim=(0, 2, 3)) / number).view(1, -1, 1, 1)
    variance = (((maps - mean) ** 2) * guessable).sum(dim=(0, 2, 3)) / number
    alive = variance > 1e-8
    return float((1 - error[alive] / variance[alive]).mean())


torch.manual_seed(0)
for name, m in blocks.items():
    share = explained_by_neighbours(m, p=0.5)
    print(f"{name}: surviving neighbours explain {share:.0%} of the variance of dropped pixels")

# %% [markdown]
# We measured 35 % after block 1, 8 % after block 2 and −35 % after block 3, where neighbours are a worse guess than
# the average of the channel. So it depends on the place. Early on, a good part of what ordinary dropout takes away is
# still there, next door, for a guess without a single learned weight; late in the network there is little to read off
# the neighbours. And our maps are tiny: in networks for photographs, or for saying *where* something is (which is
# what the paper is about), maps have many more pixels and neighbours have far more in common.
#
# So the remedy suggests itself: one coin for each channel of each example, valid for all its pixels. That is **spatial
# dropout**. You will build it in two steps, first the mask, then the layer.

# %% [markdown]
# ## 4 · The mask
#
# **Exercise `channel_mask`** · difficulty ●●○ · about 10 minutes
#
# How many coins are there for a batch of 8 examples with 16 channels of 14 × 14 pixels? What shape would make
# PyTorch's [broadcasting](https://docs.pytorch.org/docs/stable/notes/broadcasting.html) use one coin for a whole map?
# And what has to change if the channels are the last dimension?


# %% exercise="channel_mask"
def channel_mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Draw a coin for each channel of each example: 0 (drop) with probability p, else 1 (keep).

    The mask is not rescaled. `p` need not be checked here; the layer does that.

    Args:
        x: a batch; only its shape and its device matter. The first dimension is that of the
            examples.
        p: the probability of dropping, in [0, 1]; 0 keeps all, 1 drops all.
        channel_dim: the dimension of the channels: 1 for (N, C, H, W), -1 for (N, H, W, C); as
            everywhere in PyTorch, -3 and 3 name the same two from the other end.

    Shape:
        - x: (N, C, H, W) or (N, H, W, C)
        - Output: any shape that broadcasts to that of x

    Returns:
        A mask of zeros and ones (bool, integer or floating), on the device of x, drawn anew at
        each call. All pixels of a channel share their coin; different channels, and different
        examples, have different ones.
    """
    ### BEGIN SOLUTION
    shape = [1] * x.dim()
    shape[0], shape[channel_dim] = x.shape[0], x.shape[channel_dim]
    # In float32 whatever x is: uniforms in bfloat16 are too coarse for a small p.
    return torch.rand(shape, device=x.device) >= p
    ### END SOLUTION


# %% [markdown]
# <!-- hints: channel_mask -->

# %% check="channel_mask"
check(channel_mask)

# %% [markdown]
# Look at your mask before you go on. Here it is broadcast to the shape of a batch of three examples with six channels,
# and the smallest value of each map is compared with the largest. Below that, each row is an example and each column a
# channel. What must be true of the two tables?

# %%
if ready(channel_mask):
    torch.manual_seed(3)
    first = channel_mask(torch.ones(3, 6, 4, 5), p=0.4)
    first = first.broadcast_to(3, 6, 4, 5).float()
    last = channel_mask(torch.ones(3, 4, 5, 6), p=0.4, channel_dim=-1)
    last = last.broadcast_to(3, 4, 5, 6).float()
    same = bool((first.amin(dim=(2, 3)) == first.amax(dim=(2, 3))).all())
    same_last = bool((last.amin(dim=(1, 2)) == last.amax(dim=(1, 2))).all())
    print("(N, C, H, W): smallest value of a map equals the largest, everywhere:", same)
    print("(N, H, W, C): smallest value of a map equals the largest, everywhere:", same_last)

# %% tags=["nbval-ignore-output"]
if ready(channel_mask):
    print(
        "one coin for each example and channel, (N, C, H, W):",
        first.amax(dim=(2, 3)).int(),
        sep="\n",
    )
    print("the same for (N, H, W, C):", last.amax(dim=(1, 2)).int(), sep="\n")

# %% [markdown]
# The rows differ (each example has coins of its own), and so do the columns. The numbers of zeros differ too:
# dropping is a matter of chance, not of quota.

# %% [markdown]
# ## 5 · The layer
#
# **Exercise `SpatialDropout2d`** · difficulty ●●○ · about 15 minutes
#
# The layer is a thin thing around the mask, but it makes promises, and most slips are made in those: what happens in
# evaluation, at $p = 0$, at $p = 1$, with a wrong $p$, with an input of the wrong shape. Read the docstring as a
# contract.


# %% exercise="SpatialDropout2d"
class SpatialDropout2d(nn.Module):
    """Dropout of whole channels (Tompson et al. 2015).

    In training, each channel of each example is set to zero with probability `p`, all its
    pixels together, and what is kept is divided by 1 - p. In evaluation, and for p = 0, the
    input is returned as it is. For p = 1, training gives zeros.

    Args:
        p: the probability of dropping a channel.
        channel_dim: the dimension of the channels: 1 for (N, C, H, W), -1 for (N, H, W, C); as
            everywhere in PyTorch, -3 and 3 name the same two from the other end.

    Shape:
        - Input: (N, C, H, W) or (N, H, W, C); exactly 4 dimensions
        - Output: as the input, in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]; in `forward`, if the input does
            not have exactly 4 dimensions. The message shows the bad value: p, or the shape.

    The layer has no parameters and no buffers: masks are drawn anew for each call and not kept.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.p, self.channel_dim = p, channel_dim
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if x.dim() != 4:
            raise ValueError(
                f"expected (N, C, H, W) or (N, H, W, C), but got shape {tuple(x.shape)}"
            )
        if not self.training or self.p == 0:
            return x
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0  # 0/0 would be NaN
        return x * channel_mask(x, self.p, self.channel_dim) * scale
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"p={self.p}, channel_dim={self.channel_dim}"


# %% [markdown]
# <!-- hints: SpatialDropout2d -->

# %% check="SpatialDropout2d"
check(SpatialDropout2d)

# %% [markdown]
# Both layouts once more, now with the layer: for a batch of ones and $p = 0.2$, every value must be 0 or $1/(1-0.2) =
# 1.25$, and in evaluation the layer must hand back what it got.

# %%
if ready(channel_mask, SpatialDropout2d):
    for shape, channel_dim in (((4, 6, 5, 7), 1), ((4, 5, 7, 6), -1)):
        layer, batch = SpatialDropout2d(p=0.2, channel_dim=channel_dim), torch.ones(shape)
        values = {round(value, 4) for value in layer(batch).flatten().tolist()}
        unchanged = bool((layer.eval()(batch) == batch).all())
        print(
            f"{layer} on {shape}: only 0 and 1.25: {values <= {0.0, 1.25}}; "
            f"evaluation changes nothing: {unchanged}"
        )

# %% [markdown]
# ## 6 · See it
#
# Eight maps of block 1 for one validation image (of its 16 those with most going on), under `nn.Dropout` and under
# your layer, both with $p = 0.5$. Below each is its mean over 3 × 3 windows, which is roughly what the next convolution
# makes of it.


# %% tags=["nbval-ignore-output"]
def empty(maps: Tensor) -> int:
    """The number of maps that are zero everywhere."""
    return int((maps == 0).flatten(2).all(dim=2).sum())


if ready(channel_mask, SpatialDropout2d):
    torch.manual_seed(1)
    image_maps = blocks["block 1"][9:10]
    busiest_first = image_maps.flatten(2).std(dim=2).squeeze(0).argsort(descending=True)
    image_maps = image_maps[:, busiest_first]
    one = image_maps[:, :8]
    pixels, channels = nn.Dropout(0.5)(one), SpatialDropout2d(0.5)(one)
    blur = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    rows = {
        "no dropout": one,
        "pixels": pixels,
        "pixels,\n3 x 3 mean": blur(pixels),
        "channels": channels,
        "channels,\n3 x 3 mean": blur(channels),
    }
    show(
        map_rows({name: maps[0] for name, maps in rows.items()}),
        "Five rows of eight feature maps: as they are, with pixels dropped, the 3 x 3 mean of "
        "that, with channels dropped, and the 3 x 3 mean of that. Empty maps: "
        f"{empty(blur(pixels))} in the third row, {empty(blur(channels))} in the last.",
    )

# %% [markdown]
# **What to see.** Third row: the holes are filled. Averaging over a window, the next layer sees every one of the maps
# again, a little blurred and a little noisy. Fifth row: a map that was dropped stays dropped, and those that are left
# are twice as bright.

# %% [markdown]
# ## 7 · Does it help?
#
# The theory says that, where neighbours are correlated, spatial dropout takes away what ordinary dropout leaves.
# Whether that makes a better classifier is another question, which only a measurement answers. Three configurations
# of the small CNN: nothing, `nn.Dropout` or your layer in the slot after each of the three blocks, with $p = 0.2$;
# 1000 training images, 12 epochs, three seeds. The three networks of a seed start from the same weights and see the
# same batches, so they can be compared in pairs. All losses are measured in evaluation mode, and averaged over the
# last three epochs.

# %%
q3 = predict(
    "Which configuration has the highest mean validation accuracy?",
    [
        "no dropout",
        "pixels dropped (nn.Dropout)",
        "channels dropped (yours)",
        "no clear winner",
    ],
    mine=None,
)

# %%
q4 = predict(
    "And which has the smallest gap between validation and training loss?",
    [
        "no dropout",
        "pixels dropped (nn.Dropout)",
        "channels dropped (yours)",
        "no clear winner",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
RATE, SEEDS, LAST = 0.2, (0, 1, 2), 3
METRICS = {"validation_accuracy": "accuracy", "validation_loss": "loss", "gap": "gap"}

if ready(channel_mask, SpatialDropout2d):
    slots = {
        "no dropout": nn.Identity,
        "pixels": partial(nn.Dropout, RATE),
        "channels": partial(SpatialDropout2d, RATE),
    }
    runs = {
        name: over_seeds(partial(SmallCNN, slot), data, EPOCHS, SEEDS)
        for name, slot in slots.items()
    }

    print(
        f"mean ± standard deviation over {len(SEEDS)} seeds; "
        "accuracy and loss on validation images"
    )
    for name, histories in runs.items():
        values = {m: mean_and_spread([h.last(m, LAST) for h in histories]) for m in METRICS}
        shown = (f"{METRICS[m]} {mean:6.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{name:22}", *shown, sep="   ")
    print("differences, seed by seed")
    for a, b in (("pixels", "no dropout"), ("channels", "no dropout"), ("channels", "pixels")):
        pairs = list(zip(runs[a], runs[b], strict=True))
        values = {
            m: mean_and_spread([h.last(m, LAST) - g.last(m, LAST) for h, g in pairs])
            for m in METRICS
        }
        shown = (f"{METRICS[m]} {mean:+.3f} ± {s:.3f}" for m, (mean, s) in values.items())
        print(f"{a + ' - ' + b:22}", *shown, sep="   ")

# %% tags=["nbval-ignore-output"]
if ready(channel_mask, SpatialDropout2d):
    show(
        curves(runs, ["train_loss", "validation_loss", "gap"]),
        "Training loss, validation loss and gap by epoch, a line and a band for each of the "
        "three configurations; the table above has where they end.",
    )

# %% [markdown]
# **What to see.** A line is the mean over the seeds, its band one standard deviation to each side. Compare, in each
# panel, how far the lines are apart with how wide the bands are. On the left you see what dropout costs, training that
# is slower; on the right what it buys, a gap that opens later; in the middle whether it was worth it.

# %% tags=["nbval-ignore-output"]
if ready(channel_mask, SpatialDropout2d):
    show(
        final_values(runs, list(METRICS), LAST),
        "Validation accuracy, validation loss and gap at the end: a dot for each seed, beside "
        "them mean and standard deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** Each dot is one network. Where the dots of two configurations overlap, as in a panel or two they
# will, another three seeds could turn their order round; where they are clear of each other, that is less likely.


# %% tags=["nbval-ignore-output"]
def winner(metric: str, sign: int) -> str:
    """The letter of the best configuration, "d" if the next is within a standard deviation."""
    statistics = [
        mean_and_spread([sign * h.last(metric, LAST) for h in histories])
        for histories in runs.values()
    ]
    (best, s), (second, t) = sorted(statistics, reverse=True)[:2]
    return "d" if best - second < max(s, t) else "abc"[statistics.index((best, s))]


if ready(channel_mask, SpatialDropout2d):
    q3.compare(
        winner("validation_accuracy", +1),
        "Compare a difference with its spread before you believe in it.",
    )
    q4.compare(
        winner("gap", -1),
        "A small gap is a means: it is worth something if the validation curve gains by it.",
    )

# %% [markdown]
# **What we measured.** With these three seeds, both kinds of dropout narrowed the gap by more than a third, from
# 0.345 ± 0.019 to 0.224 ± 0.012 (pixels) and 0.205 ± 0.005 (channels). The validation accuracy did not move: 0.816 ±
# 0.008 without, 0.814 ± 0.012 and 0.817 ± 0.005 with. The validation loss fell from 0.594 to 0.542 and 0.535.
#
# Three seeds leave small differences open, so we also ran ten (0 to 9, with the library's `nn.Dropout2d` for channels:
# `solutions/experiments/03_spatial_dropout.py`), the differences again taken seed by seed (mean ± standard deviation
# over the ten seeds; the standard error of a mean is about a third of that):
#
# | | accuracy | loss | gap |
# |---|---|---|---|
# | pixels − no dropout | −0.004 ± 0.013 | −0.030 ± 0.034 | −0.112 ± 0.021 |
# | channels − no dropout | −0.003 ± 0.008 | −0.029 ± 0.024 | −0.131 ± 0.021 |
# | channels − pixels | +0.001 ± 0.009 | +0.001 ± 0.026 | −0.019 ± 0.024 |
#
# The gap is narrower with either, clearly so. The loss is lower, but by half of what three seeds had promised, and the
# accuracy is no better. Dropping channels may narrow the gap a little more than dropping pixels does (by two and a
# half standard errors, in one of nine numbers we looked at), but **for the validation images the kind of dropout made
# no difference that we could measure.**
#
# We also tried the place where the theory promises most: only after block 1, with $p = 0.5$, over the same ten seeds.
#
# | | accuracy | loss | gap |
# |---|---|---|---|
# | pixels − no dropout | −0.000 ± 0.011 | −0.018 ± 0.030 | −0.089 ± 0.018 |
# | channels − no dropout | −0.009 ± 0.008 | −0.001 ± 0.033 | −0.101 ± 0.026 |
# | channels − pixels | −0.009 ± 0.010 | +0.017 ± 0.021 | −0.011 ± 0.021 |
#
# Here the kinds do seem to differ, and not as hoped: whole channels cost about one percentage point of accuracy, single
# pixels nothing.
#
# Why? The following is a reading, not a result. What we measured in section 3 fits it. After blocks 2 and 3 neighbours
# say little of a dropped pixel, so there both kinds take away about the same. After block 1 a good part of a pixel can
# be guessed, and a channel only from the other channels: dropping channels takes away more, as the theory says, and
# with half of only 16 gone, more than the network could do without. None of it says that the paper is wrong. Its
# maps were many times larger, and its network had to say where something is. What it does say: a convincing argument
# tells you what to try, and a measurement tells you what happened. Try it yourself: `RATE = 0.5`, or
# `partial(SmallCNN, slot, where=(1,))` for the first block alone, or 4000 images. Predict first.

# %% [markdown]
# ## 8 · Explore
#
# The same image, with a slider for $p$ and a third kind: dropping rows of the image, the same in all channels. All 16
# maps of block 1 are dropped from and counted; the eight of section 6 are drawn. Compare the two counts above the
# picture: which kinds lose whole maps, and which lose as many pixels but hardly a map? Find the $p$ at which *you* can
# no longer tell what the image shows, for pixels and for channels. Why is it so different for rows?


# %% tags=["nbval-ignore-output"]
def drop_rows(x: Tensor, p: float) -> Tensor:
    """Drop rows of pixels: the library drops along dimension 1, so the rows go there."""
    return nn.Dropout2d(p)(x.transpose(1, 2)).transpose(1, 2)


if ready(channel_mask, SpatialDropout2d):
    kinds = {
        "channels": lambda x, p: SpatialDropout2d(p)(x),
        "pixels": lambda x, p: nn.Dropout(p)(x),
        "rows": drop_rows,
    }
    mask_explorer(image_maps[0], kinds, p=0.3)

# %% [markdown]
# ## 9 · A written question
#
# A colleague trains a CNN on photographs of 224 × 224 pixels and has put `nn.Dropout(0.3)` after the first
# convolutional block. "It hardly changes the gap between training and validation," she says, "so dropout does not
# work for CNNs." In four or five sentences: why did it do so little *there*, what changes if whole channels are
# dropped instead, and where in such a network would you expect ordinary dropout to do its work? Use what you
# measured.

# %% [markdown] written="why_whole_channels"
# **Your answer**
#
# ### BEGIN SOLUTION
# After the first block of a network on large photographs neighbouring activations are strongly correlated (in our
# small one the correlation was highest after block 1 and fell with depth). What a dropped pixel held can be read off
# its neighbours, and the next convolution, which sums over a window, sees nearly the same sum as before: with
# separate coins the relative noise of a sum of $n$ alike pixels is only $\sqrt{p/((1-p)n)}$. The gradients are
# affected as little: up to a common factor, a smaller learning rate, and some noise, so hardly any information is
# taken away and the gap stays. Dropping whole channels makes the coins of all pixels of a map the same, so the sum is
# either missing or scaled by $1/(1-p)$; its variance is $1 + (n-1)\rho$ times as large and the next layer must learn
# to do without any one feature. Ordinary dropout should work where neighbouring units say different things: in the
# fully connected layers at the end, or after global pooling, where a channel is a single number and the two kinds are
# the same. So her conclusion goes too far.
#
# *Rubric, 2 points.* 1 point for the cause: neighbours are correlated, so the dropped value is still there in other
# pixels (or: the window's sum hardly changes; or: it acts as a learning rate and noise). 1 point for both of: with
# one coin a channel the information is really gone for that example, and a sensible place for ordinary dropout (fully
# connected layers, after global pooling, late and small maps). Half points are possible. Not required: formulas. Not
# right: "spatial dropout drops more values" (the expected number is the same), or "always better".
# ### END SOLUTION

# %% [markdown]
# ## 10 · The library's own
#
# PyTorch has it under the name `nn.Dropout2d`, so in practice the whole unit is one line:
#
# ```python
# layer = nn.Dropout2d(p=0.2)   # (N, C, H, W)
# ```
#
# Beside yours it has one trap. It has no argument for the layout: dimension 1 is the channels, always. Given a batch of
# shape (N, H, W, C) it raises no error and drops *rows*:

# %%
torch.manual_seed(0)
channels_last = nn.Dropout2d(0.5)(torch.ones(1, 8, 8, 3))
rows_gone = (channels_last == 0).all(dim=(0, 2, 3))
channels_gone = (channels_last == 0).all(dim=(0, 1, 2))
print(
    "some rows gone:", bool(rows_gone.any()), "| some channels gone:", bool(channels_gone.any())
)

# %% [markdown]
# For such a batch, move the channels to where it looks for them and back: `nn.Dropout2d(p)(x.permute(0, 3, 1,
# 2)).permute(0, 2, 3, 1)`. Keras, where this layout is the usual one, calls the layer `SpatialDropout2D` and has a
# `data_format`. (Do not confuse the layout with `torch.channels_last`, which is an order in memory: the shape stays
# (N, C, H, W), and both layers work.) Another difference: `nn.Dropout2d` also takes three dimensions and reads them
# as one example (C, H, W), where yours refuses. An error is the better answer to a batch that lost a dimension on its
# way.
#
# Do the two agree? Not mask by mask, for they may draw their random numbers differently; but in how often they drop,
# and in the scale of what is kept:

# %%
if ready(channel_mask, SpatialDropout2d):
    torch.manual_seed(0)
    many = torch.ones(400, 50, 2, 2)
    for name, layer in (("nn.Dropout2d", nn.Dropout2d(0.2)), ("yours", SpatialDropout2d(0.2))):
        y = layer(many)
        dropped, scale = float((y == 0).float().mean()), float(y.max())
        print(f"{name:12} drops {dropped:.1f} of the channels, scales the rest by {scale:.2f}")

# %% [markdown]
# ## Further reading
#
# - J. Tompson et al., *Efficient Object Localization Using Convolutional Networks*, 2015,
#   [arXiv:1411.4280](https://arxiv.org/abs/1411.4280). Section 3.2 is short and holds the argument on
#   correlated gradients. Note what it is applied to: maps of many pixels, in a network that says *where* something is.
# - N. Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 2014,
#   [online](https://jmlr.org/papers/v15/srivastava14a.html): where it began. Its $p$ is the probability of keeping.
# - G. Ghiasi, T.-Y. Lin and Q. V. Le, *DropBlock*, 2018, [arXiv:1810.12890](https://arxiv.org/abs/1810.12890):
#   between one pixel and the whole channel there are blocks.
# - X. Li et al., *Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift*, 2018,
#   [arXiv:1801.05134](https://arxiv.org/abs/1801.05134): why our small CNN has no batch normalisation.

# %%
progress()
