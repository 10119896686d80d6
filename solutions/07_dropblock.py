# ---
# jupyter:
#   autograder: {title: DropBlock, technique: Dropping blocks of feature maps, paper: "Ghiasi et al. 2018", minutes: 75}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # DropBlock

# %% setup=true
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autograder import check, progress, ready

# %% [markdown]
# **Exercise `dropblock_gamma`** · difficulty ●○○ · about 10 minutes


# %% exercise="dropblock_gamma"
def dropblock_gamma(p: float, block_size: int, height: int, width: int) -> float:
    """The probability with which a block begins at each place of a map where it fits.

    It is chosen so that p * height * width pixels of a map are dropped on average, pixels in
    which blocks overlap counted as often as they are dropped.

    Args:
        p: the drop rate that is asked for, in [0, 1].
        block_size: the side k of a block, in pixels; not larger than the map.
        height: the height H of the map.
        width: the width W of the map.

    Shape:
        All are single numbers.

    Returns:
        p / k² times H W / ((H - k + 1) (W - k + 1)), a float. No correction for overlaps.
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
# **Exercise `DropBlock2d`** · difficulty ●●● · about 25 minutes


# %% exercise="DropBlock2d"
class DropBlock2d(nn.Module):
    """Drops blocks of block_size x block_size pixels, for each example and channel separately.

    In training, a seed is drawn for each place of a map where a whole block fits, and comes up
    with probability gamma (see `dropblock_gamma`). The block of every seed that came up is
    zero. What is kept is multiplied by total / kept: the number of values in the whole batch,
    N C H W, over the number of those kept, one factor a call. In evaluation mode the output is
    the input.

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

    p = 0 leaves the input as it is, and p = 1 gives zeros. Wherever nothing is kept the output
    is zero, never NaN. The layer has no parameters and no buffers: masks are drawn anew for
    each call and not kept.
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

# %% [markdown] written="why_blocks"
# **Your answer**
#
# ### BEGIN SOLUTION
# x
# ### END SOLUTION

# %%
progress()
