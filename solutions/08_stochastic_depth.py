# ---
# jupyter:
#   autograder: {title: Stochastic depth, technique: Dropping whole residual branches, paper: "Huang et al. 2016", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Stochastic depth
#
# **After this notebook you will be able to**
#
# - derive how deep a network with stochastic depth is on average, and show how deep it was in each forward pass;
# - build `DropPath` and a pre-activation residual block whose identity path survives to the last bit;
# - say when dropping blocks saves time and when it cannot, with a measurement;
# - compare networks with and without it over several seeds, and report honestly what came out.
#
# **Time:** about 75 minutes. **Before it:** unit 02 (dropout), and what a residual block and batch norm are.
#
# **The papers:** G. Huang, Y. Sun, Z. Liu, D. Sedra and K. Weinberger, *Deep Networks with Stochastic Depth*, ECCV 2016,
# [arXiv:1603.09382](https://arxiv.org/abs/1603.09382), section 3; and for the block K. He, X. Zhang, S. Ren and J. Sun,
# *Identity Mappings in Deep Residual Networks*, ECCV 2016, [arXiv:1603.05027](https://arxiv.org/abs/1603.05027).
#
# **Conventions.** As everywhere in this course, $p$ is the probability of *dropping*, training divides what is kept by
# $1-p$, and evaluation changes nothing. The paper differs in four points. Its $p_\ell$ is the probability that block
# $\ell$ *survives*. It leaves training alone and multiplies each branch by $p_\ell$ in evaluation. It tosses one coin for
# the whole mini-batch; we toss one for each example, as most libraries do today. And its block has a ReLU after the sum;
# ours, from the second paper, has nothing there.

# %% setup=true
import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %%
from itertools import product
from math import prod
from time import process_time

from reglab.data import load
from reglab.models import ResNet
from reglab.plots import curves, final_values, grid, show, spread_lines
from reglab.predict import predict
from reglab.training import differs, mean_and_spread, one_thread, over_seeds
from reglab.widgets import depth_explorer

# %% [markdown]
# ## 1 · A network that is shorter each time
#
# A residual network passes its input along and adds to it, block by block: $h_\ell = h_{\ell-1} + f_\ell(h_{\ell-1})$.
# Leave out one branch $f_\ell$, and a network is left that still makes sense. (Leave out a layer of an ordinary network,
# and nothing fits any more.) Stochastic depth does so at random while training:
#
# $$h_\ell = h_{\ell-1} + \frac{b_\ell}{1-p_\ell}\, f_\ell(h_{\ell-1}), \qquad b_\ell \in \{0, 1\},\quad
#   P(b_\ell = 0) = p_\ell .$$
#
# Three blocks are few enough to go through all eight networks by hand. Let the "image" be the number 1, and let the
# branches multiply by 0.5, 1 and −0.4. Without dropping the output is $1.5 \cdot 2 \cdot 0.6 = 1.8$.

# %%
BRANCHES, RATES = (0.5, 1.0, -0.4), (0.1, 0.2, 0.3)
total = 0.0
for coins in product((1, 0), repeat=3):
    chance = prod(1 - p if b else p for b, p in zip(coins, RATES, strict=True))
    h = 1.0
    for b, p, a in zip(coins, RATES, BRANCHES, strict=True):
        h = h + b / (1 - p) * a * h
    total += chance * h
    print(f"coins {coins}: depth {sum(coins)}, probability {chance:.3f}, output {h:6.3f}")
print(f"mean output {total:.3f}")

# %% [markdown]
# Check one line by hand. The mean over all eight is 1.8 again, the output in evaluation. That is what dividing by $1-p$
# is for. It is exact here because these branches are linear and their coins independent; with a ReLU inside it is an
# approximation, as in ordinary dropout.
#
# ## 2 · The mathematics
#
# **How deep is it?** The depth that runs is the number of branches that survive, $D = \sum_\ell b_\ell$. A mean of a sum is
# the sum of the means, so $\mathbb E[D] = \sum_\ell (1 - p_\ell)$. The coins are independent, so variances add up
# too: $\operatorname{Var}(D) = \sum_\ell p_\ell(1-p_\ell)$.
#
# Which rates? Early blocks make the features that all later ones build on, so the paper drops them less: the rate rises by
# equal steps, from 0 for the input, which is no block and never dropped, to $p_{\max}$ for the last block:
#
# $$p_\ell = \frac{\ell}{L}\,p_{\max} \qquad\Longrightarrow\qquad
#   \boxed{\;\mathbb E[D] = L - \frac{p_{\max}}{L}\sum_{\ell=1}^{L}\ell = L - \frac{L+1}{2}\,p_{\max}\;}$$
#
# The paper's network has $L = 54$ blocks and $p_{\max} = 0.5$. How many of them run, on average?

# %%
q1 = predict(
    "54 blocks, rates rising by equal steps to 0.5: how many blocks run on average?",
    ["27", "about 34", "about 40", "about 47"],
    mine=None,
)

# %% [markdown]
# **What happens to the gradient?** Write the network from block $\ell$ on as a sum, $h_L = h_\ell + \sum_{k>\ell}
# \frac{b_k}{1-p_k} f_k(h_{k-1})$, and differentiate the loss $E$:
#
# $$\frac{\partial E}{\partial h_\ell} = \frac{\partial E}{\partial h_L}\Big(1 + \frac{\partial}{\partial h_\ell}
#   \sum_{k>\ell} \frac{b_k}{1-p_k} f_k(h_{k-1})\Big).$$
#
# The 1 is the identity path. It brings the last gradient to every block, whatever the weights are, and it is there only if
# *nothing* happens to $h$ on the way: a ReLU after the sum would multiply it by 0 or 1 in every block, and a scale
# $\lambda$ by $\lambda^{L-\ell}$. That is the second paper's argument for moving batch norm and ReLU into the branch,
# before the convolutions ("pre-activation"). Where a branch is dropped, its block has the derivative 1 exactly.
#
# (Batch norm makes one exception. In training it computes its mean and variance over the whole batch, so through it
# every example hears a little of every other: an example whose own branch was dropped still gets some gradient
# through the branches of the others.)
#
# **What does it cost?** A dropped branch has no part in the output. Whether it also takes no *time* is a question of how the
# coins are tossed; section 7 measures it.
#
# ## 3 · The rates
#
# **Exercise `drop_path_rates`** · difficulty ●○○ · about 5 minutes
#
# Count from 1. What does the first block get, what the last, and what does a network of one block get?


# %% exercise="drop_path_rates"
def drop_path_rates(max_rate: float, depth: int) -> list[float]:
    """Drop rates that rise by equal steps with the depth of the block (Huang et al. 2016, section 3).

    Block l of `depth`, counted from 1 at the input, is dropped with probability max_rate * l / depth.

    Args:
        max_rate: the rate of the last block, in [0, 1]; `DropPath` will refuse others, so it need
            not be checked here.
        depth: the number of blocks, at least 1.

    Returns:
        A list of `depth` plain numbers, the first block's rate first.
    """
    ### BEGIN SOLUTION
    return [max_rate * block / depth for block in range(1, depth + 1)]
    ### END SOLUTION


# %% [markdown]
# <!-- hints: drop_path_rates -->

# %% check="drop_path_rates"
check(drop_path_rates)

# %%
if ready(drop_path_rates):
    for depth, max_rate in ((4, 0.2), (54, 0.5)):
        rates = drop_path_rates(max_rate, depth)
        expected, formula = sum(1 - p for p in rates), depth - max_rate * (depth + 1) / 2
        print(
            f"{depth} blocks: rates {rates[0]:.4f}, {rates[1]:.4f}, ..., {rates[-1]:.4f}; "
            f"expected depth {expected:.2f}, by the formula {formula:.2f}"
        )

# %%
q1.compare("c", "54 - 0.5 * 55 / 2 = 40.25: the mean rate is only half of the last one.")

# %% [markdown]
# ## 4 · The layer
#
# **Exercise `DropPath`** · difficulty ●●○ · about 10 minutes
#
# One coin an example. How many is that for a batch of 8 images with 16 channels? What must the shape of the mask be, if
# the input may have any number of dimensions?


# %% exercise="DropPath"
class DropPath(nn.Module):
    """Dropout of whole examples, for use in a residual branch (Huang et al. 2016).

    In training, each example of the batch is set to zero with probability `p`, all its values
    together, and what is kept is divided by 1 - p. In evaluation, and for p = 0, the input is
    returned as it is. For p = 1, training gives zeros.

    Args:
        p: the probability of dropping an example.

    Shape:
        - Input: (N, ...), at least 2 dimensions, the first being that of the examples
        - Output: as the input, in the same dtype

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. The message shows p.

    The layer has no parameters and no buffers: coins are tossed anew for each call and not kept.
    Keep the argument as `self.p`: `extra_repr` prints it.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        if not 0 <= p <= 1:
            raise ValueError(f"the drop probability has to be between 0 and 1, but p is {p}")
        self.p = p
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        if not self.training or self.p == 0:
            return x
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0  # 0/0 would be NaN
        coins = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.p
        return x * coins * scale
        ### END SOLUTION

    def extra_repr(self) -> str:
        return f"p={self.p}"


# %% [markdown]
# <!-- hints: DropPath -->

# %% check="DropPath"
check(DropPath)

# %% [markdown]
# ## 5 · The block
#
# **Exercise `ResidualBlock`** · difficulty ●●○ · about 15 minutes
#
# Everything hangs on what is dropped (the branch), what is not (the identity), and that nothing follows the sum.


# %% exercise="ResidualBlock"
class ResidualBlock(nn.Module):
    """A pre-activation residual block (He et al. 2016) whose branch is dropped at random.

    The output is x + DropPath(branch(x)), and nothing comes after the sum: where the branch is
    dropped, x comes out exactly as it went in. The branch is twice the same three layers: batch
    norm, ReLU, and a 3x3 convolution that keeps the number of channels and the size of the maps
    (stride 1, padding 1).

    Args:
        channels: the number of channels of input and output.
        p: the probability of dropping the branch of an example.

    Shape:
        - Input: (N, C, H, W)
        - Output: (N, C, H, W)

    Raises:
        ValueError: in the constructor, if p is not in [0, 1]. `DropPath` does that.

    Use nn.BatchNorm2d and nn.Conv2d as they are made; whether the convolutions have a bias, and
    what the attributes are called, is up to you.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        convolutions = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2)
        )
        halves = [(nn.BatchNorm2d(channels), nn.ReLU(), conv) for conv in convolutions]
        self.branch, self.drop_path = nn.Sequential(*halves[0], *halves[1]), DropPath(p)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return x + self.drop_path(self.branch(x))
        ### END SOLUTION


# %% [markdown]
# <!-- hints: ResidualBlock -->

# %% check="ResidualBlock"
check(ResidualBlock)

# %% [markdown]
# Does the identity survive *exactly*? Not "up to rounding": the same bits. And one block is not much of a test, so here are
# 50 in a row with $p = 1$, and after that 50 with $p = 0.5$: each of 16 images goes through each, 800 passages in all. In what
# share of them should an image come out just as it went in?

# %%
if ready(DropPath, ResidualBlock):
    torch.manual_seed(0)
    x = torch.randn(16, 4, 6, 6)
    with torch.no_grad():
        through = nn.Sequential(*[ResidualBlock(4, p=1.0) for _ in range(50)])(x)
        same, h = 0, x
        for block in [ResidualBlock(4, p=0.5) for _ in range(50)]:
            before, h = h, block(h)
            same += int((h == before).flatten(1).all(dim=1).sum())
    print("after 50 blocks with p = 1, every bit is the same:", torch.equal(through, x))
    print(f"50 blocks with p = 0.5, share of passages that changed nothing: {same / 800:.1f}")

# %% [markdown]
# ## 6 · The depth that actually ran, and what gradients see of it
#
# The exact distribution of $D$ follows from the rates, without drawing anything: start with depth 0 for certain, and let
# each block add 1 with probability $1-p_\ell$. Beside it, what *your* layers do: 4000 ones, each sent through twelve
# `DropPath`s of its own.

# %%
q2 = predict(
    "12 blocks, rates rising to 0.5. How often do all 12 run?",
    ["never", "about 1 time in 50", "about 1 time in 10", "about 1 time in 4"],
    mine=None,
)


# %%
def depth_distribution(rates: list[float]) -> list[float]:
    """P(D = d) for d = 0 ... L: one block more at a time."""
    chances = [1.0]
    for p in rates:
        dropped, kept = [p * q for q in chances] + [0.0], [0.0] + [(1 - p) * q for q in chances]
        chances = [a + b for a, b in zip(dropped, kept, strict=True)]
    return chances


if ready(drop_path_rates):
    rates = drop_path_rates(0.5, 12)
    exact = depth_distribution(rates)
    mean = sum(d * q for d, q in enumerate(exact))
    variance = sum((d - mean) ** 2 * q for d, q in enumerate(exact))
    print(
        f"exact: mean {mean:.3f}, standard deviation {variance**0.5:.3f}, all: {exact[-1]:.4f}"
    )
    print(
        f"sums: {sum(1 - p for p in rates):.3f}, {sum(p * (1 - p) for p in rates) ** 0.5:.3f}"
    )
q2.compare(
    "b", "The product of twelve survival probabilities, from 0.96 down to 0.5, is 0.018."
)

# %% tags=["nbval-ignore-output"]
if ready(drop_path_rates, DropPath):
    torch.manual_seed(0)
    ones = torch.ones(4000, 1)
    survived = torch.cat([(DropPath(p)(ones) != 0).int() for p in rates], dim=1)
    ran = survived.sum(dim=1)
    seen = (torch.bincount(ran, minlength=13) / len(ran)).tolist()
    figure, [[left, right]] = grid(1, 2, 9.6, 3.4)
    left.imshow(
        survived[:40].T,
        aspect="auto",
        cmap="Blues",
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(0.5, 40.5, 0.5, 12.5),
        interpolation="nearest",
    )
    left.set(xlabel="example", ylabel="block", title="which blocks ran (dark), 40 examples")
    left.grid(visible=False)
    right.bar(range(13), exact, color="#56B4E9", label="exact")
    right.plot(range(13), seen, "o", color="#D55E00", label="4000 examples")
    right.axvline(mean, color="black", linestyle="--", label=f"expected depth {mean:.2f}")
    right.set(xlabel="depth that ran (blocks)", ylabel="share of examples")
    right.legend(frameon=False)
    show(
        figure,
        f"Left, blocks that ran for 40 examples. Right, the share of examples by depth, exact and "
        f"seen; the mean seen is {float(ran.float().mean()):.2f} blocks, expected {mean:.2f}.",
    )

# %% [markdown]
# **What to see.** On the left, the top is full of holes and the bottom nearly whole: that is the linear rule. Each column is
# another network. On the right, the dots lie on the bars. Training goes mostly through networks of 6 to 11 blocks, and
# evaluation uses one of 12 that it hardly ever saw whole.
#
# **Gradients by depth.** A network of 24 such blocks, fresh from its constructor; 64 images; the norm of the loss's
# gradient with respect to what each block puts out. Three kinds: your blocks, your blocks with stochastic depth, and your
# blocks with the identity taken away again, which is a plain network of the same layers.

# %%
q3 = predict(
    "From block 24 back to block 1, what does the gradient do in the PLAIN network (with batch "
    "norm, at the start of training)?",
    ["it shrinks 10-fold or more", "it changes less than 10-fold", "it grows 10-fold or more"],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
class WithoutIdentity(nn.Module):
    """A block minus its input: the branch alone."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) - x


@one_thread()
def gradient_norms(build_block, depth: int, seed: int) -> list[float]:
    """Norm of the loss's gradient with respect to each block's output, from block 1 on."""
    torch.manual_seed(seed)
    network = ResNet(build_block, width=8, stages=(depth,), stride=2)
    outputs = []
    for block in network.blocks:
        block.register_forward_hook(lambda _m, _i, y: (y.retain_grad(), outputs.append(y))[1])
    images, labels = data.train.images[:64], data.train.labels[:64]
    nn.functional.cross_entropy(network(images), labels).backward()
    return [float(y.grad.norm()) for y in outputs]


data = load().with_train(1000)
if ready(drop_path_rates, DropPath, ResidualBlock):
    deep = drop_path_rates(0.5, 24)
    kinds = {
        "plain": lambda c, _: WithoutIdentity(ResidualBlock(c, 0.0)),
        "residual": lambda c, _: ResidualBlock(c, 0.0),
        "stochastic depth": lambda c, number: ResidualBlock(c, deep[number - 1]),
    }
    norms = {
        name: [gradient_norms(build, 24, seed) for seed in (0, 1, 2)]
        for name, build in kinds.items()
    }
    logs = {
        name: [torch.tensor(row).log10().tolist() for row in rows]
        for name, rows in norms.items()
    }
    growth = {
        name: mean_and_spread([row[0] / row[-1] for row in rows])
        for name, rows in norms.items()
    }
    said = "; ".join(f"{name} {m:.1f} ± {s:.1f}" for name, (m, s) in growth.items())
    show(
        spread_lines(range(1, 25), logs, "block", "log10 of the gradient's norm"),
        f"Norm of the gradient by block. Norm at block 1 over that at block 24: {said}.",
    )
    print("gradient at block 1 over gradient at block 24, mean ± standard deviation of 3 seeds")
    for name, (m, s) in growth.items():
        print(f"{name:18} {m:8.1f} ± {s:.1f}")
    grown = growth["plain"][0]
    q3.compare(
        "a" if grown < 0.1 else "c" if grown > 10 else "b",
        "Batch norm restores the variance that ReLU and centring remove, and the gradient pays for it.",
    )

# %% [markdown]
# **What to see.** The vertical axis is a logarithm: 1 more is ten times as much. Read it from right to left, as the gradient
# goes. The plain network's line climbs all the way; the other two, close together, climb slowly.
#
# **What we measured.** Over three seeds, the gradient at block 1 was 2200 ± 1300 times that at block 24 in the plain
# network, 12.3 ± 0.9 times in the residual one and 15.1 ± 1.1 times with stochastic depth. The plain network's gradients do
# not vanish here, as the story is often told, they explode. The identity path is what keeps them in bounds. Stochastic depth
# changed little, at the start of training.
# The paper found larger gradients in early blocks with it, averaged over training; our picture neither shows nor
# contradicts that.
#
# **Why do they explode?** Follow one batch norm, its ReLU and its convolution. Of a standard normal value a ReLU leaves a mean
# square of $\frac12$, but a variance of $\frac12 - \frac1{2\pi} \approx 0.34$ only: the rest is its mean, which the next batch
# norm removes. To bring what is left back to a variance of 1, that batch norm divides by its standard deviation, and so it
# multiplies the gradient on the way back, in square by $1/0.34$. The ReLU lets half of the gradient's square pass. (The
# convolution's gain is in both and cancels.) That makes a factor of about $\sqrt{0.5/0.34} \approx 1.2$ for each batch norm, of
# which 46 lie between the outputs of blocks 1 and 24, two in a branch. We measured $2200^{1/46} \approx 1.18$. The full
# derivation is in G. Yang et al., *A Mean Field Theory of Batch Normalization*, 2019,
# [arXiv:1902.08129](https://arxiv.org/abs/1902.08129).
#
# ## 7 · Does it save time?
#
# The paper's authors report about a quarter less training time. Do you get that? `DropPath` multiplies by zero what was
# computed already, and a product with zero takes as long as any other. To save time the branch must not be computed at all.
# There are two ways:
#
# - **one coin for the batch**, as in the paper: `if` it says drop, return x;
# - **survivors only**: take the examples that keep their branch, compute it for them, and put the sum back in their places.
#
# Both are other functions than yours. The first makes the gradient noisier, since all examples of a step share one network.
# In the second, batch norm sees the survivors only (the checks above would not let it pass).

# %%
q4 = predict(
    "12 blocks, rates rising to 0.5 (expected depth 8.75 of 12, or 73 %). Which take less time "
    "for a training step than a network without stochastic depth, by 10 % or more?",
    [
        "all three",
        "one coin for the batch, and survivors only",
        "one coin for the batch alone",
        "none of them",
    ],
    mine=None,
)


# %% tags=["nbval-ignore-output"]
class OneCoin(nn.Module):
    """One coin for the batch, and no computation where it says drop."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        self.block, self.p = ResidualBlock(channels, 0.0), p

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.rand(()) < self.p:
            return x
        scale = 1 / (1 - self.p) if self.training else 1.0
        return x + scale * (self.block(x) - x)


class SurvivorsOnly(OneCoin):
    """A coin for each example, and computation for those who keep their branch."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.block(x)
        kept = (torch.rand(len(x)) >= self.p).nonzero().flatten()
        branch = (self.block(x[kept]) - x[kept]) / (1 - self.p)
        return x.index_add(0, kept, branch)


@one_thread()
def step_times(builders, rounds: int = 40) -> dict[str, list[float]]:
    """Milliseconds of processor time of training steps on 32 images, by name.

    In each round every network takes one step, so that a machine that becomes slower or faster
    does so for all of them. Two rounds before the first are not counted.
    """
    torch.manual_seed(0)
    networks = {n: ResNet(b, width=12, stages=(12,), stride=2) for n, b in builders.items()}
    optimizers = {n: torch.optim.SGD(m.parameters(), lr=0.01) for n, m in networks.items()}
    times = {name: [] for name in builders}
    for _ in range(rounds + 2):
        for name, network in networks.items():
            begin = process_time()
            optimizers[name].zero_grad()
            logits = network(data.train.images[:32])
            nn.functional.cross_entropy(logits, data.train.labels[:32]).backward()
            optimizers[name].step()
            times[name].append(1000 * (process_time() - begin))
    return {name: t[2:] for name, t in times.items()}


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile: strays far off change none of them."""
    return torch.tensor(values).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()


if ready(drop_path_rates, DropPath, ResidualBlock):
    variants = {
        "no stochastic depth": lambda c, _: ResidualBlock(c, 0.0),
        "yours (times zero)": lambda c, number: ResidualBlock(c, rates[number - 1]),
        "one coin, skipped": lambda c, number: OneCoin(c, rates[number - 1]),
        "survivors only": lambda c, number: SurvivorsOnly(c, rates[number - 1]),
    }
    times = step_times(variants)
    middle = {name: quartiles(t)[1] for name, t in times.items()}
    figure, [[axis]] = grid(1, 1, 7.2, 3.2)
    for row, (name, t) in enumerate(times.items()):
        axis.plot(t, [row] * len(t), "|", color="#0072B2", markersize=14, alpha=0.6)
        axis.plot(middle[name], row, "D", color="#D55E00", markersize=7)
    axis.set_yticks(range(len(times)), list(times))
    axis.set(
        xlabel="processor time of a training step (ms)", xlim=(0, 1.6 * max(middle.values()))
    )
    axis.margins(y=0.15)
    axis.invert_yaxis()
    said = "; ".join(f"{name} {t:.0f} ms" for name, t in middle.items())
    show(figure, f"Times of 40 training steps (strokes) and their median (diamond): {said}.")
    whole, less = times["no stochastic depth"], []
    print(f"{'':20} median and middle half of the steps   share of the time without, by round")
    for name, t in times.items():
        low, half, high = quartiles(t)
        below, share, above = quartiles([a / b for a, b in zip(t, whole, strict=True)])
        # the standard error of a median of normal values, from their middle half
        error = 1.253 * (above - below) / 1.349 / len(t) ** 0.5
        less += [name] if share < min(0.9, 1 - 3 * error) else []
        print(
            f"{name:20} {half:6.1f} ms ({low:.1f} to {high:.1f})".ljust(58),
            f"{share:4.0%} ± {error:.1%}",
        )
    one, some = "one coin, skipped" in less, "survivors only" in less
    q4.compare(
        "a" if len(less) == 3 else "b" if one and some else "c" if one else "d",
        "Less has to be less by three standard errors, too. What is not computed takes no time; "
        "what is computed and multiplied by zero does.",
    )

# %% [markdown]
# **What to see.** A blue stroke is a step, the diamond the median. With "one coin" each step runs another number of blocks, so
# its strokes are spread out by chance as well as by your machine. With "survivors only" the work varies from step to step by
# about 3 % ($\sqrt{32 \cdot 2.12}$ of $32 \cdot 8.75$ branches): 32 examples even out. What its strokes are spread beyond that
# comes from your machine, as in the first two rows. The last column of the table is the median over the rounds of a step's time
# over that of the first network in the same round, with its standard error.
#
# **What we measured.** Besides the run above we ran the cell four more times (one thread; other programs were running). In
# these, of the time without stochastic depth, yours took 106 % each time, one coin 80 to 85 %, the survivors only 97 or 98 %.
# **Coins for each example save nothing**: all is computed as before, and then multiplied. One coin saves, but less than the
# 27 % that the expected depth promises: loss, first and last layer and the optimizer run as before, and our wrapper has to
# subtract x again. Computing the survivors only saves little or nothing, because picking them and putting them back take
# time too.
#
# ## 8 · Does it help?
#
# A residual network with six of your blocks (two each at 14 × 14, 7 × 7 and 4 × 4 pixels), 1000 training images, 10 epochs,
# three seeds; without stochastic depth, and with rates rising to 0.5. Two networks of a seed start from the same weights
# and see the same batches. All losses are measured in evaluation mode, and averaged over the last three epochs.

# %%
q5 = predict(
    "After 10 epochs, which has the lower validation loss, and which the higher accuracy?",
    [
        "stochastic depth both",
        "stochastic depth the lower loss, but no clear difference in accuracy",
        "no stochastic depth both",
        "no clear difference in either",
    ],
    mine=None,
)

# %% tags=["nbval-ignore-output"]
EPOCHS, SEEDS, LAST, STAGES = 10, (0, 1, 2), 3, (2, 2, 2)
METRICS = {
    "validation_accuracy": "accuracy", "validation_loss": "loss", "gap": "gap",
    "train_loss": "training loss",
}  # fmt: skip


def build(max_rate: float) -> nn.Module:
    """A small residual network whose rates rise to max_rate."""
    rates = drop_path_rates(max_rate, sum(STAGES))
    return ResNet(
        lambda channels, number: ResidualBlock(channels, rates[number - 1]),
        width=8,
        stages=STAGES,
        stride=2,
    )


if ready(drop_path_rates, DropPath, ResidualBlock):
    runs = {
        name: over_seeds(lambda rate=rate: build(rate), data, EPOCHS, SEEDS)
        for name, rate in (("no stochastic depth", 0.0), ("rates up to 0.5", 0.5))
    }
    print(f"mean ± standard deviation over {len(SEEDS)} seeds")
    ended = {
        name: {m: [h.last(m, LAST) for h in histories] for m in METRICS}
        for name, histories in runs.items()
    }
    plain, dropped = ended.values()
    ended["difference, by seed"] = {
        m: [b - a for a, b in zip(plain[m], dropped[m], strict=True)] for m in METRICS
    }
    for name, values in ended.items():
        found = {m: mean_and_spread(values[m]) for m in METRICS}
        shown = (f"{METRICS[m]} {a:6.3f} ± {b:.3f}" for m, (a, b) in found.items())
        print(f"{name:20}", *shown, sep="   ")

    def clear(metric: str, sign: int) -> bool:
        """Whether a t test tells a difference in this direction from chance."""
        apart = ended["difference, by seed"][metric]
        return sign * sum(apart) > 0 and differs(apart)

    lower, higher = clear("validation_loss", -1), clear("validation_accuracy", +1)
    worse = clear("validation_loss", +1) and clear("validation_accuracy", -1)
    q5.compare(
        "a" if lower and higher else "b" if lower else "c" if worse else "d",
        "A difference counts here if a t test tells it from chance: with three seeds it has to be "
        "4.3 standard errors.",
    )

# %% tags=["nbval-ignore-output"]
if ready(drop_path_rates, DropPath, ResidualBlock):
    show(
        curves(runs, ["train_loss", "validation_loss", "gap"]),
        "Training loss, validation loss and gap by epoch, a line and a band for each of the two "
        "configurations; the table above has where they end.",
    )

# %% tags=["nbval-ignore-output"]
if ready(drop_path_rates, DropPath, ResidualBlock):
    show(
        final_values(runs, ["validation_accuracy", "validation_loss", "gap"], LAST),
        "Validation accuracy, validation loss and gap at the end: a dot for each seed, beside "
        "them mean and standard deviation; the table above has the numbers.",
    )

# %% [markdown]
# **What to see.** In the curves a line is the mean over the seeds, its band one standard deviation to each side: training is
# slower with stochastic depth, and the gap opens less. Below each dot is one network; look for panels where the dots of the
# two configurations do not overlap.
#
# **What we measured.** The gap fell from 0.379 ± 0.062 to 0.089 ± 0.025, and the training loss rose from 0.357 to 0.586. In
# validation there was no clear difference: loss 0.736 ± 0.119 and 0.675 ± 0.037 (by seed −0.061 ± 0.083), accuracy 0.766 ±
# 0.029 and 0.748 ± 0.015, if anything the worse for it.
#
# Three seeds leave small differences open, so we also ran ten, and a smaller rate (mean ± standard deviation;
# `python solutions/experiments/08_stochastic_depth.py` in the course's repository prints these tables, with the library's
# layer):
#
# | 10 epochs, ten seeds | accuracy | loss | gap | training loss |
# |---|---|---|---|---|
# | none | 0.758 ± 0.029 | 0.779 ± 0.119 | 0.398 ± 0.053 | 0.381 ± 0.091 |
# | up to 0.2 | 0.768 ± 0.009 | 0.646 ± 0.026 | 0.200 ± 0.036 | 0.446 ± 0.033 |
# | up to 0.5 | 0.751 ± 0.014 | 0.669 ± 0.024 | 0.085 ± 0.014 | 0.584 ± 0.030 |
# | 0.2 − none, by seed | +0.011 ± 0.031 | −0.133 ± 0.120 | −0.198 ± 0.043 | +0.065 ± 0.110 |
# | 0.5 − none, by seed | −0.007 ± 0.035 | −0.110 ± 0.121 | −0.313 ± 0.047 | +0.203 ± 0.104 |
#
# The gap shrinks without doubt, and the loss is lower by three standard errors ($0.12/\sqrt{10} \approx 0.04$); the
# **accuracy did not change measurably**. A smaller gap was bought with a training loss that is half as high again: ten
# epochs were too few for a network that is taught in parts. What if it gets more?
#
# | 30 epochs, five seeds | accuracy | loss | gap | training loss |
# |---|---|---|---|---|
# | none | 0.795 ± 0.020 | 0.841 ± 0.081 | 0.802 ± 0.047 | 0.039 ± 0.038 |
# | up to 0.5 | 0.812 ± 0.005 | 0.566 ± 0.012 | 0.418 ± 0.020 | 0.149 ± 0.024 |
# | 0.5 − none, by seed | +0.017 ± 0.021 | −0.274 ± 0.085 | −0.384 ± 0.047 | +0.110 ± 0.042 |
#
# Now the network without it has learned its 1000 images nearly by heart (training loss 0.039), and its validation loss
# is higher than after ten epochs; with stochastic depth it is lower by a third. The accuracy is 1.7 percentage points
# higher, but with a standard error of 0.9 five seeds do not settle that. One more thing shows in both tables: the
# spread over seeds is several times smaller with stochastic depth. So what a regularizer is worth depends on how long you
# train, and "it did not help" after ten epochs would have been a hasty verdict. Six blocks are few, too: the paper's
# gains came with 54 to 600 of them. Try `EPOCHS = 30`, or a rate of 0.2; predict first.
#
# ## 9 · Explore
#
# The rule and the depth, with sliders. When is a network of 50 blocks as deep, on average, as one of 30 without dropping?
# With the same expected depth, which rule has the wider distribution, equal rates or rising ones, and why? (Look at
# $\sum_\ell p_\ell(1-p_\ell)$.)

# %% tags=["nbval-ignore-output"]
if ready(drop_path_rates):
    rules = {
        "rising (yours)": drop_path_rates,
        "equal": lambda rate, depth: [rate] * depth,
    }
    depth_explorer(rules, depth_distribution, max_rate=0.5, depth=12)

# %% [markdown]
# ## 10 · A written question
#
# A colleague trains a network of 100 residual blocks. To save a third of the time she puts `StochasticDepth(0.5,
# mode="row")` on every branch, the same rate everywhere. Her steps take as long as before, and in the first epochs the
# training loss is much higher. She concludes that the technique is broken. In five or six sentences: why did she save no
# time, what could she do to save some and what would that cost, and what would you change about her rates? Use what you
# derived and measured.

# %% [markdown] written="why_whole_blocks"
# **Your answer**
#
# ### BEGIN SOLUTION
# With a coin for each example the branch is computed for the whole batch, and dropped examples are multiplied by zero
# afterwards: that takes as long as before (a little longer, in our measurement). Time falls only where the branch is not
# computed: with one coin for the batch (`mode="batch"` and an `if`, as in the paper), or by computing it for the surviving
# examples only. The first makes all examples of a step share one network, so the gradient is noisier; the second lets
# batch norm see the survivors only and costs the copying. Either way the time falls with the expected depth, here to a
# half at best. A higher training loss at the start is what to expect: on average 50 of 100 blocks run, and evaluation
# uses all of them; it has to be judged by the validation curves at the end and not by the first epochs. Equal rates drop
# early blocks, on whose features all later ones build, as often as late ones: let the rate rise from 0.5/100 to 0.5, which
# gives an expected depth of 100 − 0.5 · 101/2 = 74.75.
#
# *Rubric, 2 points.* 1 point for the time: per-example coins compute everything; a way that saves time, with its price
# (noisier gradients, or batch norm's statistics). 1 point for the rates and the loss: rising rates because early blocks are
# needed by all, with the expected depth (50 against about 75); the loss at the start is not the measure. Half points are
# possible. Not right: "multiplying by zero is faster", or "drop fewer examples to save time".
# ### END SOLUTION

# %% [markdown]
# ## 11 · The library's own
#
# torchvision has the layer under the paper's name. In practice the middle of this unit is one line:
#
# ```python
# drop_path = torchvision.ops.StochasticDepth(p=0.2, mode="row")
# ```
#
# `mode="row"` is a coin an example, `mode="batch"` one for the batch; here, too, $p$ is the probability of dropping, and
# what is kept is divided by $1-p$. Neither mode saves time by itself: the branch has been computed when the layer sees
# it. In timm the layer is `DropPath`, and its rates begin at 0 for the first block, not at $p_{\max}/L$. Do the two agree?
# Not coin by coin, for they may draw their random numbers differently; but in how often they drop, and in the scale:

# %%
from torchvision.ops import StochasticDepth  # reglab has made sure that this works

if ready(DropPath):
    torch.manual_seed(0)
    many = torch.ones(20_000, 3)
    for name, layer in (
        ("torchvision", StochasticDepth(0.2, mode="row")),
        ("yours", DropPath(0.2)),
    ):
        y = layer(many)
        dropped, scale = float((y == 0).all(dim=1).float().mean()), float(y.max())
        whole = bool(((y == 0).all(dim=1) | (y != 0).all(dim=1)).all())
        print(
            f"{name:12} drops {dropped:.2f} of the examples, scale {scale:.2f}, whole: {whole}"
        )

# %% [markdown]
# ## Further reading
#
# - G. Huang et al., *Deep Networks with Stochastic Depth*, 2016, [arXiv:1603.09382](https://arxiv.org/abs/1603.09382):
#   the rule, the time it saves, and gradients by depth during training.
# - K. He et al., *Identity Mappings in Deep Residual Networks*, 2016, [arXiv:1603.05027](https://arxiv.org/abs/1603.05027):
#   several ways to spoil the identity path, each measured.
# - A. Veit, M. Wilber and S. Belongie, *Residual Networks Behave Like Ensembles of Relatively Shallow Networks*, 2016,
#   [arXiv:1605.06431](https://arxiv.org/abs/1605.06431): blocks removed after training.
# - H. Touvron et al., *Going deeper with Image Transformers*, 2021, [arXiv:2103.17239](https://arxiv.org/abs/2103.17239):
#   stochastic depth where it is most used today.

# %%
progress()
