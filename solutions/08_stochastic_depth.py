# ---
# jupyter:
#   autograder: {title: Stochastic depth, technique: Dropping whole residual branches, paper: "Huang et al. 2016", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Stochastic depth

# %% setup=true
import torch
from torch import Tensor, nn

from autograder import check, progress, ready

# %% [markdown]
# **Exercise `drop_path_rates`** · difficulty ●○○ · about 5 minutes


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

# %% [markdown]
# **Exercise `DropPath`** · difficulty ●●○ · about 10 minutes


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
# **Exercise `ResidualBlock`** · difficulty ●●○ · about 15 minutes


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
        convolutions = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
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
# Why?

# %% [markdown] written="why_whole_blocks"
# **Your answer**
#
# ### BEGIN SOLUTION
# Todo
# ### END SOLUTION

# %%
progress()
