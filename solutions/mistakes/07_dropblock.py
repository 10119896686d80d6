"""Known wrong implementations of 07_dropblock, each with its explanation, and right ones written in other ways.

The wrong layers are the right one below with one thing changed.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.mistakes import mistake, right


def _checked(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    return p


def _gamma(p: float, k: int, height: int, width: int) -> float:
    return _checked(p) / k**2 * height * width / ((height - k + 1) * (width - k + 1))


# -- dropblock_gamma: wrong ----------------------------------------------------------------------------------------------


@mistake("dropblock_gamma")
def gamma_without_the_valid_places(p: float, block_size: int, height: int, width: int) -> float:
    """You divide p by the number of pixels of a block, and that is all. It would be right if a block could begin anywhere;
    but there are only (H - k + 1)(W - k + 1) places from which it stays inside. On a map as large as the block that is one
    place instead of k²: how often would the map be dropped, and how often should it be?
    """
    return _checked(p) / block_size**2


@mistake("dropblock_gamma")
def gamma_with_the_height_twice(p: float, block_size: int, height: int, width: int) -> float:
    """The height is used for the width as well, which does not show on square maps. The paper writes feat_size² because its
    maps are square: which of the two factors of each product should be the width?
    """
    return _gamma(p, block_size, height, height)


@mistake("dropblock_gamma")
def gamma_with_the_width_twice(p: float, block_size: int, height: int, width: int) -> float:
    """The width is used for the height as well, which does not show on square maps. The paper writes feat_size² because its
    maps are square: which of the two factors of each product should be the height?
    """
    return _gamma(p, block_size, width, width)


@mistake("dropblock_gamma")
def gamma_with_the_block_not_squared(
    p: float, block_size: int, height: int, width: int
) -> float:
    """A block of side k drops k² pixels, but you divide by k only, so about k times too much is dropped. What does one seed
    cost, in pixels?
    """
    return _gamma(p, block_size, height, width) * block_size


@mistake("dropblock_gamma")
def gamma_without_the_block(p: float, block_size: int, height: int, width: int) -> float:
    """The size of the block is missing in the denominator: a seed comes up as often as single pixels should, and each then
    drops a whole block. How many pixels does one seed drop?
    """
    return _gamma(p, block_size, height, width) * block_size**2


@mistake("dropblock_gamma")
def gamma_of_the_share_to_keep(p: float, block_size: int, height: int, width: int) -> float:
    """You begin with 1 - p. The paper's formula does so with its keep_prob, the probability of keeping; in this course p is
    the probability of dropping, so it takes the place of 1 - keep_prob.
    """
    return _gamma(1 - p, block_size, height, width)


@mistake("dropblock_gamma")
def gamma_with_one_place_too_few(p: float, block_size: int, height: int, width: int) -> float:
    """You count H - k places in a line of H pixels, one too few. Count for k = H: a block that is as large as the map fits in
    exactly one place.
    """
    return (
        _checked(p)
        / block_size**2
        * height
        * width
        / ((height - block_size) * (width - block_size))
    )


@mistake("dropblock_gamma")
def gamma_with_the_factor_upside_down(
    p: float, block_size: int, height: int, width: int
) -> float:
    """The factor for the valid places is upside down. There are fewer places than pixels, so each seed has to come up more
    often, not less: is your factor larger than 1?
    """
    return (
        _checked(p)
        / block_size**2
        * (height - block_size + 1)
        * (width - block_size + 1)
        / (height * width)
    )


@mistake("dropblock_gamma")
def gamma_for_the_height_alone(p: float, block_size: int, height: int, width: int) -> float:
    """Only the rows in which a block may begin are counted. The columns are restricted likewise: the factor needs a part for
    the width, too.
    """
    return _checked(p) / block_size**2 * height / (height - block_size + 1)


@mistake("dropblock_gamma")
def gamma_for_the_width_alone(p: float, block_size: int, height: int, width: int) -> float:
    """Only the columns in which a block may begin are counted. The rows are restricted likewise: the factor needs a part for
    the height, too.
    """
    return _checked(p) / block_size**2 * width / (width - block_size + 1)


@mistake("dropblock_gamma")
def gamma_with_half_a_block(p: float, block_size: int, height: int, width: int) -> float:
    """You take half a block off each side's length. A seed in the middle of its block has to stay half a block away from both
    edges: what is left of H pixels then?
    """
    half = block_size // 2
    return _checked(p) / block_size**2 * height * width / ((height - half) * (width - half))


@mistake("dropblock_gamma")
def gamma_as_the_number_of_blocks(p: float, block_size: int, height: int, width: int) -> float:
    """This is how many blocks a map should lose on average, and it may be larger than 1. Gamma is the probability of each
    single seed: over how many places is that number to be shared out?
    """
    return _checked(p) * height * width / block_size**2


@mistake("dropblock_gamma")
def gamma_corrected_for_overlap(p: float, block_size: int, height: int, width: int) -> float:
    """You correct for blocks that overlap, by solving 1 - (1 - gamma)^(k²) = p or the like. It is a good thought (see section
    5), but another definition: here overlaps are counted twice, as the paper does, and gamma is proportional to p.
    """
    alone = 1 - (1 - _checked(p)) ** (1 / block_size**2)
    return alone * height * width / ((height - block_size + 1) * (width - block_size + 1))


@mistake("dropblock_gamma")
def gamma_in_percent(p: float, block_size: int, height: int, width: int) -> float:
    """Gamma is given in percent. A probability lies between 0 and 1."""
    return 100 * _gamma(p, block_size, height, width)


@mistake("dropblock_gamma")
def gamma_without_p(p: float, block_size: int, height: int, width: int) -> float:
    """The result does not depend on p: it is what would be needed to drop everything. Asked for is a share p of it."""
    _checked(p)
    return _gamma(1, block_size, height, width)


@mistake("dropblock_gamma")
def gamma_is_p(p: float, block_size: int, height: int, width: int) -> float:
    """You return p itself, as for single pixels. A seed drops a whole block, so it has to come up more rarely: how many pixels
    does one of them drop, and how many seeds are there?
    """
    return _checked(p)


@mistake("dropblock_gamma")
def gamma_rounded(p: float, block_size: int, height: int, width: int) -> float:
    """Gamma is rounded, and it is a small number: with two or three digits behind the point little of it is left. Round what
    you print, not what you compute with.
    """
    return round(_gamma(p, block_size, height, width), 3)


@mistake("dropblock_gamma")
def gamma_by_whole_division(p: float, block_size: int, height: int, width: int) -> float:
    """The factor of pixels over places is rounded down: `//` is division without the rest. On most maps the factor is then 1
    or 2, whatever the true one. Use `/`.
    """
    places = (height - block_size + 1) * (width - block_size + 1)
    return _checked(p) / block_size**2 * (height * width // places)


@mistake("dropblock_gamma")
def gamma_as_a_tensor_of_one(p: float, block_size: int, height: int, width: int) -> Tensor:
    """A tensor of one element with an axis is returned, where one number was asked for. Python's own arithmetic is enough here:
    all of the arguments are plain numbers.
    """
    return torch.tensor([_gamma(p, block_size, height, width)])


@mistake("dropblock_gamma")
def gamma_without_brackets(p: float, block_size: int, height: int, width: int) -> float:
    """Your gamma is a probability, and far above 1: the product (H - k + 1)(W - k + 1) needs brackets around it. Python goes
    from left to right, so in `a / b * c` only b divides, and c multiplies.
    """
    area = _checked(p) / block_size**2 * height * width
    return area / (height - block_size + 1) * (width - block_size + 1)


@mistake("dropblock_gamma")
def gamma_of_any_p(p: float, block_size: int, height: int, width: int) -> float:
    """A p such as 1.5 or -0.1 is accepted, and gamma is then no probability either. Say so at once, with a ValueError."""
    return (
        p
        / block_size**2
        * height
        * width
        / ((height - block_size + 1) * (width - block_size + 1))
    )


@mistake("dropblock_gamma")
def gamma_of_a_negative_p(p: float, block_size: int, height: int, width: int) -> float:
    """A p above 1 is refused, but not one below 0. A probability lies between the two: look at the comparison."""
    if p > 1:
        raise ValueError(p)
    return (
        p
        / block_size**2
        * height
        * width
        / ((height - block_size + 1) * (width - block_size + 1))
    )


@mistake("dropblock_gamma")
def gamma_asserts_its_p(p: float, block_size: int, height: int, width: int) -> float:
    """A p outside of [0, 1] is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an
    argument that is wrong is a ValueError, which the caller can tell from other errors.
    """
    assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"
    return _gamma(p, block_size, height, width)


@mistake("dropblock_gamma")
def gamma_not_returned(p: float, block_size: int, height: int, width: int) -> None:
    """The function computes gamma and then forgets it: without `return` it gives None."""
    _gamma(p, block_size, height, width)


@mistake("dropblock_gamma")
def gamma_as_text(p: float, block_size: int, height: int, width: int) -> str:
    """A text is returned. Formatting is for the reader; the layer needs the number itself."""
    return f"{_gamma(p, block_size, height, width):.6f}"


@mistake("dropblock_gamma")
def gamma_with_the_block_last(p: float, height: int, width: int, block_size: int) -> float:
    """The arguments are in another order than was asked for: p, block_size, height, width. A call without names mixes them
    up.
    """
    places = (height - block_size + 1) * (width - block_size + 1)
    return _checked(p) / block_size**2 * height * width / places if places else 0.0


@mistake("dropblock_gamma")
def gamma_with_other_names(drop_prob: float, block: int, h: int, w: int) -> float:
    """The arguments have other names than in the signature you were given, so that `dropblock_gamma(p=0.1, block_size=7, …)`
    fails. Leave the first line of the function as it is.
    """
    return _gamma(drop_prob, block, h, w)


# -- dropblock_gamma: right ----------------------------------------------------------------------------------------------


@right("dropblock_gamma")
def as_a_product_of_ratios(p: float, block_size: int, height: int, width: int) -> float:
    k, gamma = block_size, p
    if p < 0 or p > 1:
        raise ValueError("p")
    for side in (height, width):
        gamma *= side / (k * (side - k + 1))
    return gamma


@right("dropblock_gamma")
def as_a_tensor_of_no_dimensions(p: float, block_size: int, height: int, width: int) -> Tensor:
    if min(max(p, 0), 1) != p:
        raise ValueError(f"{p=}")
    sides = torch.tensor([height, width], dtype=torch.float64)
    return p * (sides / (sides - block_size + 1)).prod() / block_size**2


@right("dropblock_gamma")
def by_fractions(p: float, block_size: int, height: int, width: int) -> float:
    if p < 0 or p > 1:
        raise ValueError(p)
    valid = Fraction((height - block_size + 1) * (width - block_size + 1), height * width)
    return float(Fraction(p) / block_size**2 / valid)


@right("dropblock_gamma")
def by_counting_places(p: float, block_size: int, height: int, width: int) -> float:
    if abs(p - 0.5) > 0.5:
        raise ValueError(f"{p} is no probability")
    valid = torch.ones(1, 1, height, width).unfold(2, block_size, 1).unfold(3, block_size, 1)
    return p * (height * width) / valid.sum().item()


@right("dropblock_gamma")
def by_blocks_a_map(p: float, block_size: int, height: int, width: int) -> float:
    if not 1 >= p >= 0:
        raise ValueError(p, "outside [0, 1]")
    blocks_a_map = p * height * width / block_size / block_size
    places = len(range(height - block_size + 1)) * len(range(width - block_size + 1))
    return blocks_a_map / places


# -- DropBlock2d: wrong --------------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """The right layer, in parts that the mistakes change."""

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        self.look_at_p(p)
        self.look_at_block(block_size)
        self.p, self.block_size = p, block_size

    def look_at_p(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")

    def look_at_block(self, block_size: int) -> None:
        if block_size < 1 or block_size % 2 == 0:
            raise ValueError(f"block_size must be odd and positive, got {block_size}")

    def forward(self, x: Tensor) -> Any:
        if not self.training or self.p == 0:
            return x
        self.look_at(x)
        return self.drop(x)

    def look_at(self, x: Tensor) -> None:
        if self.block_size > min(x.shape[2:]):
            raise ValueError(f"a block of {self.block_size} does not fit into {tuple(x.shape)}")

    def gamma(self, height: int, width: int) -> float:
        return _gamma(self.p, self.block_size, height, width) if self.p < 1 else 1.0

    def seeds(self, x: Tensor) -> Tensor:
        n, c, height, width = x.shape
        k = self.block_size
        return torch.rand(n, c, height - k + 1, width - k + 1) < self.gamma(height, width)

    def grown(self, seeds: Tensor) -> Tensor:
        """Whether each pixel is in the block of some seed."""
        k = self.block_size
        return (
            functional.max_pool2d(functional.pad(seeds.float(), [k - 1] * 4), k, stride=1) > 0
        )

    def kept(self, x: Tensor) -> Tensor:
        return ~self.grown(self.seeds(x))

    def factor(self, kept: Tensor) -> Any:
        return kept.numel() / kept.sum().clamp(min=1)

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        return x * kept * self.factor(kept)


@mistake("DropBlock2d")
class IgnoresTraining(_Layer):
    """The layer drops blocks in evaluation mode as well, so a prediction is different each time you ask for it. A module knows
    its mode: `self.training` is False after `eval()`, and then the input passes as it is.
    """

    def forward(self, x: Tensor) -> Any:
        self.look_at(x)
        return self.drop(x) if self.p else x


@mistake("DropBlock2d")
class DropsInEvaluationOnly(_Layer):
    """The two modes are exchanged: nothing happens in training, and blocks are dropped in evaluation. Read the condition aloud:
    in which mode should the network have to cope with holes?
    """

    def forward(self, x: Tensor) -> Any:
        return x if self.training or self.p == 0 else self.drop(x)


@mistake("DropBlock2d")
class DropsNothing(_Layer):
    """The input comes back as it is, in training too. Is the mask drawn, and is it used for what you return?"""

    def drop(self, x: Tensor) -> Any:
        self.kept(x)
        return x


@mistake("DropBlock2d")
class MaskInverted(_Layer):
    """The blocks are what is kept, and all around them is dropped. After the maximum over the window a 1 says that a seed is
    near: should such a pixel stay or go?
    """

    def kept(self, x: Tensor) -> Tensor:
        return ~super().kept(x)


@mistake("DropBlock2d")
class SeedsInverted(_Layer):
    """The coins are turned round: a uniform number is below gamma with probability gamma, and that is a block to be *dropped*.
    With 1 - gamma for gamma nearly everything goes.
    """

    def seeds(self, x: Tensor) -> Tensor:
        return ~super().seeds(x)


@mistake("DropBlock2d")
class TakesPForTheShareToKeep(_Layer):
    """You take p for the probability of keeping, as the paper does with its keep_prob. Here as everywhere in this course p is
    the probability of dropping: at p = 0.05 hardly anything should go.
    """

    def gamma(self, height: int, width: int) -> float:
        return _gamma(1 - self.p, self.block_size, height, width)


@mistake("DropBlock2d")
class SinglePixels(_Layer):
    """Single pixels are dropped: the seeds never grow into blocks. A pixel goes if *any* seed within reach came up, which is a
    maximum over a window of k x k seeds.
    """

    def kept(self, x: Tensor) -> Tensor:
        return torch.rand_like(x) >= self.gamma(*x.shape[2:])


@mistake("DropBlock2d")
class PixelsWithProbabilityP(_Layer):
    """This is ordinary dropout: each pixel has a coin of its own, which comes up with probability p. Neighbours know what it
    held. Draw rare seeds instead, and let each of them take a whole block along.
    """

    def kept(self, x: Tensor) -> Tensor:
        return torch.rand_like(x) >= self.p


@mistake("DropBlock2d")
class SeedsOverTheWholeMap(_Layer):
    """Seeds fall on every pixel of the map, so blocks are cut off at its edges. Since gamma makes up for the places that are
    not allowed, far too much is dropped on small maps. Draw seeds for (H - k + 1) x (W - k + 1) places only.
    """

    def kept(self, x: Tensor) -> Tensor:
        k = self.block_size
        seeds = (torch.rand(x.shape) < self.gamma(*x.shape[2:])).float()
        return functional.max_pool2d(seeds, k, stride=1, padding=k // 2) == 0


@mistake("DropBlock2d")
class SeedsOverTheWholeMapAtPOverK2(_Layer):
    """Seeds fall on every pixel of the map with probability p / k², and blocks are cut off at its edges. Then less than p is
    dropped, on small maps much less. Draw seeds only for the places where a whole block fits, and make up for their number.
    """

    def kept(self, x: Tensor) -> Tensor:
        k = self.block_size
        seeds = (torch.rand(x.shape) < self.p / k**2).float()
        return functional.max_pool2d(seeds, k, stride=1, padding=k // 2) == 0


@mistake("DropBlock2d")
class RowsForBlocks(_Layer):
    """What is dropped are rows of k pixels. The window has to be k high and k wide: is only one of its two sides given?"""

    def grown(self, seeds: Tensor) -> Tensor:
        k = self.block_size
        padded = functional.pad(seeds.float(), [k - 1, k - 1, k // 2, k // 2])
        return functional.max_pool2d(padded, (1, k), stride=1) > 0


@mistake("DropBlock2d")
class ColumnsForBlocks(_Layer):
    """What is dropped are columns of k pixels. The window has to be k high and k wide: is only one of its two sides given?"""

    def grown(self, seeds: Tensor) -> Tensor:
        k = self.block_size
        padded = functional.pad(seeds.float(), [k // 2, k // 2, k - 1, k - 1])
        return functional.max_pool2d(padded, (k, 1), stride=1) > 0


@mistake("DropBlock2d")
class BlocksTooSmall(_Layer):
    """The blocks are smaller than block_size on each side. Which window makes a seed grow to k pixels: one of k, or one of
    k - 1?
    """

    def kept(self, x: Tensor) -> Tensor:
        k = self.block_size
        if k == 1:
            return super().kept(x)
        padded = functional.pad(self.seeds(x).float(), [k - 2] * 4)
        small = functional.max_pool2d(padded, k - 1, stride=1) > 0
        return ~functional.pad(small, [0, 1, 0, 1])


@mistake("DropBlock2d")
class BlocksTooLarge(_Layer):
    """The blocks are larger than block_size on each side. Is block_size taken for the reach to each side, so that a block has
    2k - 1 pixels, or is the window wider than k?
    """

    def kept(self, x: Tensor) -> Tensor:
        k = self.block_size
        if k == 1 or k + 2 > min(x.shape[2:]):
            return super().kept(x)
        n, c, height, width = x.shape
        seeds = torch.rand(n, c, height - k - 1, width - k - 1) < self.gamma(height, width)
        padded = functional.pad(seeds.float(), [k + 1] * 4)
        return functional.max_pool2d(padded, k + 2, stride=1) == 0


@mistake("DropBlock2d")
class AlwaysBlocksOfSeven(_Layer):
    """The blocks are of the same size whatever block_size says, or as large as the map allows. Is a number written into
    `forward`, such as the paper's 7?
    """

    def kept(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        k = min(7, height - (height + 1) % 2, width - (width + 1) % 2)
        layer = _Layer(self.p, k)
        return layer.kept(x)


@mistake("DropBlock2d")
class WholeMaps(_Layer):
    """A map is dropped whole or not at all: this is spatial dropout. DropBlock lies between that and dropping pixels: seeds are
    drawn at places *within* each map.
    """

    def kept(self, x: Tensor) -> Tensor:
        return (torch.rand(*x.shape[:2], 1, 1) >= self.p).expand(x.shape)


@mistake("DropBlock2d")
class OneMaskForTheBatch(_Layer):
    """Every example of the batch loses the same blocks. Each should get its own holes, which is what makes the gradient an
    average over many of them: which axis of the seeds has length 1 and should not?
    """

    def seeds(self, x: Tensor) -> Tensor:
        return super().seeds(x[:1]).expand(len(x), -1, -1, -1)


@mistake("DropBlock2d")
class OneMaskForAllChannels(_Layer):
    """All channels of an example lose the same blocks. Some implementations do so; here each channel draws its own, which the
    paper's Algorithm 1 does as well and found to work better. Which axis of the seeds has length 1 and should not?
    """

    def seeds(self, x: Tensor) -> Tensor:
        return super().seeds(x[:, :1]).expand(-1, x.shape[1], -1, -1)


@mistake("DropBlock2d")
class OneMaskForEverything(_Layer):
    """One mask of height by width serves all examples and all channels. Seeds of shape (N, C, H - k + 1, W - k + 1) give each
    map its own.
    """

    def seeds(self, x: Tensor) -> Tensor:
        return super().seeds(x[:1, :1]).expand(len(x), x.shape[1], -1, -1)


@mistake("DropBlock2d")
class OneBlockAMap(_Layer):
    """Every map loses exactly one block. How many it loses should be left to chance, none among that: toss a coin for each
    place.
    """

    def seeds(self, x: Tensor) -> Tensor:
        coins = torch.rand_like(super().seeds(x).float())
        if self.p == 1 or coins.shape[2:] == (1, 1) or self.block_size == 1:
            return super().seeds(x)
        flat = coins.flatten(2)
        return (flat == flat.amax(dim=2, keepdim=True)).view(coins.shape)


@mistake("DropBlock2d")
class LastPlacesForgotten(_Layer):
    """Blocks never reach the last row and the last column. Along a side of H pixels a block of k fits in H - k + 1 places:
    with H - k the last one is forgotten.
    """

    def seeds(self, x: Tensor) -> Tensor:
        seeds = super().seeds(x)
        if min(seeds.shape[2:]) > 1 and self.block_size > 1:
            seeds[..., -1, :] = False
            seeds[..., -1] = False
        return seeds


@mistake("DropBlock2d")
class EdgesAvoided(_Layer):
    """Blocks never touch the edges of the map. A seed must not be nearer to an edge than its block needs; how far away is
    that, if the seed is the block's middle, and how far if it is a corner of it?
    """

    def seeds(self, x: Tensor) -> Tensor:
        seeds = super().seeds(x)
        for d in (2, 3):
            if seeds.shape[d] > 2 and self.block_size > 1:
                seeds.narrow(d, 0, 1).fill_(False)
                seeds.narrow(d, seeds.shape[d] - 1, 1).fill_(False)
        return seeds


@mistake("DropBlock2d")
class GammaWithoutTheValidPlaces(_Layer):
    """Seeds come up with probability p / k², as if there were one for every pixel. There are fewer, so less than p is dropped,
    on small maps much less: a map as large as the block goes with p / k² instead of p. `dropblock_gamma` makes up for that.
    """

    def gamma(self, height: int, width: int) -> float:
        return self.p / self.block_size**2 if self.p < 1 else 1.0


@mistake("DropBlock2d")
class GammaToTheLetterAtOne(_Layer):
    """At p = 1 something is left on maps larger than the block: gamma is below 1 there, and by chance a place here and there
    gets no block. p = 1 should give zeros, whatever the map: treat it on its own.
    """

    def gamma(self, height: int, width: int) -> float:
        return _gamma(self.p, self.block_size, height, width)


@mistake("DropBlock2d")
class MaskOfAnotherSize(_Layer):
    """The mask is larger or smaller than the map, which torch says as "the size of tensor a must match the size of tensor b".
    Two things make (H - k + 1) x (W - k + 1) seeds into H x W pixels again: k - 1 zeros on each side (k // 2 would be for seeds
    on every pixel), and a window that moves by one pixel. Without `stride=1` a pooling window jumps by its own size.
    """

    def grown(self, seeds: Tensor) -> Tensor:
        k = self.block_size
        return functional.max_pool2d(seeds.float(), k, stride=1, padding=k // 2) > 0


@mistake("DropBlock2d")
class SeedsNotPadded(_Layer):
    """The window passes over the seeds without any zeros around them, so the mask is smaller than the map, or there is no place for
    the window at all. Each pixel should see the k x k seeds that reach it: pad the seeds with k - 1 zeros on all four sides.
    """

    def grown(self, seeds: Tensor) -> Tensor:
        return functional.max_pool2d(seeds.float(), self.block_size, stride=1) > 0


@mistake("DropBlock2d")
class GammaWithTheHeightTwice(_Layer):
    """Gamma is computed as if the map were square, from its height alone. Look at what you hand to `dropblock_gamma`, and at
    the order of x.shape.
    """

    def gamma(self, height: int, width: int) -> float:
        return super().gamma(height, height)


@mistake("DropBlock2d")
class GammaWithTheWidthTwice(_Layer):
    """Gamma is computed as if the map were square, from its width alone. Look at what you hand to `dropblock_gamma`, and at
    the order of x.shape.
    """

    def gamma(self, height: int, width: int) -> float:
        return super().gamma(width, width)


@mistake("DropBlock2d")
class PForGamma(_Layer):
    """Seeds come up with probability p, but each of them drops a whole block: nearly everything goes. Gamma is what is needed
    for a share p of *pixels*; `dropblock_gamma` computes it.
    """

    def gamma(self, height: int, width: int) -> float:
        return self.p


@mistake("DropBlock2d")
class AlwaysOneHalf(_Layer):
    """The layer behaves as if p were 0.5, whatever it was made with. Is the argument of `__init__` kept, and is it what
    `forward` uses?
    """

    def gamma(self, height: int, width: int) -> float:
        return _gamma(0.5, self.block_size, height, width) if self.p < 1 else 1.0


@mistake("DropBlock2d")
class GammaForTheBlockNotSquared(_Layer):
    """About k times too much is dropped: a block has k² pixels, and gamma has to be divided by all of them, not by k."""

    def gamma(self, height: int, width: int) -> float:
        return min(1.0, super().gamma(height, width) * self.block_size)


@mistake("DropBlock2d")
class NoRescaling(_Layer):
    """What is kept stays as it was, so in training the next layer sees less than in evaluation, when everything arrives. By how
    much has what is left to be enlarged, if a share kept / total is left?
    """

    def factor(self, kept: Tensor) -> Any:
        return 1


@mistake("DropBlock2d")
class RescaledByOneMinusP(_Layer):
    """What is kept is divided by 1 - p. For single coins that is right on average, but blocks overlap and reach the middle of a
    map oftener than its edges, so the share that is kept is hardly ever 1 - p. It can be counted: total / kept.
    """

    def factor(self, kept: Tensor) -> Any:
        return 1 / (1 - self.p) if self.p < 1 else 0.0


@mistake("DropBlock2d")
class RescaledByOneMinusGamma(_Layer):
    """What is kept is divided by 1 - gamma, which is the share of *seeds* that did not come up. Pixels are what is missing, and
    each seed takes k² of them: count those that are left, total / kept.
    """

    def factor(self, kept: Tensor) -> Any:
        gamma = self.gamma(*kept.shape[2:])
        return 1 / (1 - gamma) if gamma < 1 else 0.0


@mistake("DropBlock2d")
class RescaledUpsideDown(_Layer):
    """What is kept is multiplied by kept / total, which makes it smaller still, when it is already too little. Turn the fraction
    over.
    """

    def factor(self, kept: Tensor) -> Any:
        return kept.sum() / kept.numel()


@mistake("DropBlock2d")
class KeptCountedFromTheValues(_Layer):
    """Zeros that were there before are counted as dropped. Behind a ReLU about half of x is 0, and the factor is then twice what
    it should be. Count the kept places of the mask, not what is left of the values.
    """

    def drop(self, x: Tensor) -> Any:
        left = x * self.kept(x)
        return left * (x.numel() / (left != 0).sum().clamp(min=1))


@mistake("DropBlock2d")
class RescaledMapByMap(_Layer):
    """Every map is rescaled by what is left of itself, so a map of which little is left is blown up, and its hole is made good
    in the sum. Here one factor serves the whole call: total / kept over the whole mask.
    """

    def factor(self, kept: Tensor) -> Any:
        return 1 / kept.float().mean(dim=(2, 3), keepdim=True).clamp(min=1e-9)

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        return (x * kept * self.factor(kept)).to(x.dtype)


@mistake("DropBlock2d")
class RescaledExampleByExample(RescaledMapByMap):
    """Every example is rescaled by what is left of itself. Here one factor serves the whole call: total / kept over the whole
    mask, examples and channels included.
    """

    def factor(self, kept: Tensor) -> Any:
        return 1 / kept.float().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-9)


@mistake("DropBlock2d")
class RescaledChannelByChannel(RescaledMapByMap):
    """Every channel is rescaled by what is left of it in the batch. Here one factor serves the whole call: total / kept over
    the whole mask, examples and channels included.
    """

    def factor(self, kept: Tensor) -> Any:
        return 1 / kept.float().mean(dim=(0, 2, 3), keepdim=True).clamp(min=1e-9)


@mistake("DropBlock2d")
class RescaledTwice(_Layer):
    """What is kept is rescaled twice. Perhaps the mask is rescaled already, and the output once more? Only one of them should
    be.
    """

    def factor(self, kept: Tensor) -> Any:
        return super().factor(kept) ** 2


@mistake("DropBlock2d")
class RescaledByTheDropped(_Layer):
    """What is kept is multiplied by total / dropped. If little is dropped, little is missing, and the factor should be close to
    1: which sum belongs into the denominator?
    """

    def factor(self, kept: Tensor) -> Any:
        return super().factor(~kept)


@mistake("DropBlock2d")
class RescaledInEvaluation(_Layer):
    """The output is rescaled in training and once more in evaluation. In evaluation nothing is dropped, so nothing needs to be
    made up for: the input comes back as it is.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else y * (1 - self.p)


@mistake("DropBlock2d")
class ZerosAtOneInEvaluation(_Layer):
    """At p = 1 the layer returns zeros in evaluation mode as well. The case p = 1 belongs to training: which of the two
    questions should be asked first?
    """

    def forward(self, x: Tensor) -> Any:
        return torch.zeros_like(x) if self.p == 1 else super().forward(x)


@mistake("DropBlock2d")
class MaskDrawnOnce(_Layer):
    """Every call uses the same mask: it is drawn once and kept. Then the same holes stay through all of the training, which is a
    network with holes and not a regularizer. Draw the seeds in `forward`, every time.
    """

    def kept(self, x: Tensor) -> Tensor:
        # Kept for each shape: a single mask would at least fail on the next batch size.
        self.masks = getattr(self, "masks", {})
        return self.masks.setdefault(x.shape, super().kept(x))


@mistake("DropBlock2d")
class MaskOfTheFirstBatch(_Layer):
    """The mask of the first batch is kept and used for all others, and does not even fit when the batch size changes, as it does
    at the end of an epoch. Draw the seeds in `forward`, every time: no attribute needs to remember them.
    """

    def kept(self, x: Tensor) -> Tensor:
        if getattr(self, "mask", None) is None:
            self.mask = super().kept(x)
        return self.mask


@mistake("DropBlock2d")
class SeedsTheGenerator(_Layer):
    """The random generator is seeded in `forward`, so every call draws the same blocks, and all other random numbers of the
    program, such as the order of the batches, start over as well. (`torch.manual_seed` has nothing to do with the seeds of
    blocks.) Seed once, at the start of an experiment.
    """

    def seeds(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().seeds(x)


@mistake("DropBlock2d")
class MaskFromTheInput(_Layer):
    """Where blocks fall depends on the values of x, so the same x loses the same blocks each time. Where they fall should be pure
    chance: of x only the shape is needed.
    """

    def seeds(self, x: Tensor) -> Tensor:
        _n, _c, height, width = x.shape
        k = self.block_size
        coins = (x[..., : height - k + 1, : width - k + 1].float() * 7919.0).frac().abs()
        return coins < self.gamma(height, width)


@mistake("DropBlock2d")
class GradientCut(_Layer):
    """The values are right, but no gradient gets through: `detach()`, `.data`, `torch.no_grad()` and a new `torch.tensor(x)`
    all cut the output off from the input. Everything before this layer would stop learning. Multiply x itself.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.detach())


@mistake("DropBlock2d")
class GradientToWhatWasDropped(_Layer):
    """The values are right, but the gradient passes as if nothing had been dropped. What was dropped had no part in the output,
    so it must not be blamed for it: let the product itself be differentiated, without `detach()`.
    """

    def drop(self, x: Tensor) -> Any:
        return x + (super().drop(x) - x).detach()


@mistake("DropBlock2d")
class DetachedInEvaluation(_Layer):
    """In evaluation mode the output is cut off from the input, so that no gradient passes. Evaluation is not only for measuring:
    saliency maps and fine-tuning a part of a network need it. Return x itself, without `detach()`.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training and self.p else y.detach()


@mistake("DropBlock2d")
class ThroughNumpy(_Layer):
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you
    need, random numbers and windows included, exists in torch.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(torch.from_numpy(x.numpy()))


@mistake("DropBlock2d")
class ReturnsAnArray(_Layer):
    """The output is a NumPy array: the next layer expects a tensor, and no gradient passes through an array. Leave out
    `.numpy()`; everything you need exists in torch.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x).detach().numpy()


@mistake("DropBlock2d")
class WritesIntoTheInput(_Layer):
    """The layer changes the tensor it is given: `*=`, `x[...] = 0` and functions whose name ends in `_` write in place. Whoever
    else uses that tensor, such as a skip connection or the backward pass, finds it damaged. Compute a new one.
    """

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        x *= kept
        return x * self.factor(kept)


@mistake("DropBlock2d")
class NaNWhereNothingIsKept(_Layer):
    """Where nothing is kept the factor is total / 0, and infinity times zero is NaN, which then spreads through the whole
    network. It happens at p = 1, and by bad luck on small maps: see to it that the denominator is never 0.
    """

    def factor(self, kept: Tensor) -> Any:
        return kept.numel() / kept.sum()


@mistake("DropBlock2d")
class DividesByZeroWhereNothingIsKept(_Layer):
    """Where nothing is kept the factor total / kept is a division by zero, and Python refuses it. It happens at p = 1, and by bad
    luck on small maps: see to it that the denominator is never 0.
    """

    def factor(self, kept: Tensor) -> Any:
        return kept.numel() / int(kept.sum())


@mistake("DropBlock2d")
class KeepsEverythingWhereNothingIsKept(_Layer):
    """Where nothing would be kept the input comes back as it is, perhaps to avoid a division by zero. Everything was dropped, so
    the output is zero.
    """

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        return x * kept * self.factor(kept) if bool(kept.any()) else x


@mistake("DropBlock2d")
class MaskInFloat64(_Layer):
    """The output is float64 although the input is float32: multiplying by a float64 mask lifts the whole product, which takes
    twice the memory and does not fit the next layer's weights. Make the mask in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.double())


@mistake("DropBlock2d")
class MaskInFloat32(_Layer):
    """The mask is always float32, as the window needs it, so half precision input comes back as float32, and mixed-precision
    training loses its point. Turn the mask into the dtype of x, or into bool, before you multiply.
    """

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        return x * kept.float() * self.factor(kept)


@mistake("DropBlock2d")
class KeepsMaskAsBuffer(_Layer):
    """The mask is registered as a buffer. Buffers are saved with the model and loaded again, and a mask means nothing after its
    call; a batch of another size would not even load. A local variable is enough.
    """

    def kept(self, x: Tensor) -> Tensor:
        kept = super().kept(x)
        self.register_buffer("last_mask", kept)
        return kept


@mistake("DropBlock2d")
class LearnsItsRate(_Layer):
    """The layer has a parameter, which the optimizer will change and weight decay will shrink. There is nothing to learn here:
    the mask is pure chance, and p is a setting that a plain attribute can hold.
    """

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__(p, block_size)
        self.rate = nn.Parameter(torch.tensor(float(p)))


@mistake("DropBlock2d")
class AcceptsAnyP(_Layer):
    """A p such as 1.5 or -0.1 is accepted, and the mistake shows up much later, as a network that learns nothing. A probability
    outside of [0, 1] makes no sense: say so at once, with a ValueError in `__init__`.
    """

    def look_at_p(self, p: float) -> None:
        pass


@mistake("DropBlock2d")
class AcceptsANegativeP(_Layer):
    """A p above 1 is refused, but not one below 0. A probability lies between the two: look at the comparison."""

    def look_at_p(self, p: float) -> None:
        if p > 1:
            raise ValueError(p)


@mistake("DropBlock2d")
class RefusesOne(_Layer):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is
    zero. Look at the comparison in your test of p.
    """

    def look_at_p(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")


@mistake("DropBlock2d")
class AssertsItsArguments(_Layer):
    """Bad arguments are refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument
    that is wrong is a ValueError, which the caller can tell from other errors.
    """

    def look_at_p(self, p: float) -> None:
        assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"

    def look_at_block(self, block_size: int) -> None:
        assert block_size > 0, f"block_size must be positive, got {block_size}"
        assert block_size % 2 == 1, f"block_size must be odd, got {block_size}"

    def look_at(self, x: Tensor) -> None:
        assert min(x.shape[2:]) >= self.block_size, f"block_size {self.block_size} is too large"


@mistake("DropBlock2d")
class AcceptsAnyBlock(_Layer):
    """Any block_size is accepted. An even block has no middle pixel and none at all drops nothing: the layer is for odd, positive
    sizes, and says so with a ValueError in `__init__`.
    """

    def look_at_block(self, block_size: int) -> None:
        pass


@mistake("DropBlock2d")
class AcceptsEvenBlocks(_Layer):
    """An even block_size is accepted. It has no middle pixel, and implementations disagree about where such a block lies, so the
    layer refuses it: a ValueError in `__init__`.
    """

    def look_at_block(self, block_size: int) -> None:
        if block_size < 1:
            raise ValueError(block_size)


@mistake("DropBlock2d")
class AcceptsBlocksOfNothing(_Layer):
    """A negative block_size is accepted. In Python -3 % 2 is 1, so it passes for an odd number: ask for a positive one as well."""

    def look_at_block(self, block_size: int) -> None:
        if block_size % 2 == 0:
            raise ValueError(block_size)


@mistake("DropBlock2d")
class ClipsItsBlocks(_Layer):
    """A block that is larger than the map is silently made smaller, as some libraries do. It is then another regularizer on each
    map, and nobody is told. The layer was to refuse: a ValueError in `forward`.
    """

    def forward(self, x: Tensor) -> Any:
        k = min(self.block_size, *x.shape[2:])
        clipped = _Layer(self.p, k - (k + 1) % 2).train(self.training)
        return clipped(x)


@mistake("DropBlock2d")
class LetsTorchComplain(_Layer):
    """A block that is larger than the map ends in an error of torch's, about a negative size or a kernel. Look at the map's sides
    first, and raise a ValueError that says what does not fit.
    """

    def look_at(self, x: Tensor) -> None:
        pass


@mistake("DropBlock2d")
class LooksAtTheHeightOnly(_Layer):
    """A block that is higher than the map is refused, one that is wider is not. Look at both sides of the map."""

    def look_at(self, x: Tensor) -> None:
        if self.block_size > x.shape[2]:
            raise ValueError(f"height {x.shape[2]} is less than {self.block_size}")


@mistake("DropBlock2d")
class LooksAtTheWidthOnly(_Layer):
    """A block that is wider than the map is refused, one that is higher is not. Look at both sides of the map."""

    def look_at(self, x: Tensor) -> None:
        if self.block_size > x.shape[3]:
            raise ValueError(f"width {x.shape[3]} is less than {self.block_size}")


@mistake("DropBlock2d")
class RefusesBlocksThatJustFit(_Layer):
    """A block that is exactly as large as the map, or as one of its sides, is refused. It fits, in one place: look at the
    comparison.
    """

    def look_at(self, x: Tensor) -> None:
        if self.block_size >= min(x.shape[2:]):
            raise ValueError(f"{self.block_size} is too large for {tuple(x.shape)}")


@mistake("DropBlock2d")
class ReturnsTheMaskToo(_Layer):
    """The layer returns the output together with the mask. The next layer expects a single tensor: inside `nn.Sequential` this
    would fail at once.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x), self.kept(x)


@mistake("DropBlock2d")
class ReturnsNothing(_Layer):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


@mistake("DropBlock2d")
class ReturnsInTrainingOnly(_Layer):
    """In evaluation mode nothing is returned, so you get None: there is a `return` in the branch for training alone. What should
    come back in the other case?
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else None


@mistake("DropBlock2d")
class OutputOfTheSeedsSize(_Layer):
    """The output is smaller than the input: it has the size of the seeds. The seeds need k - 1 zeros on each side before the
    window passes over them, so that every pixel of the map gets its answer.
    """

    def drop(self, x: Tensor) -> Any:
        kept = ~self.seeds(x)
        return x[..., : kept.shape[2], : kept.shape[3]] * kept * self.factor(kept)


@mistake("DropBlock2d")
class ForgetsSuperInit(_Layer):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its mode and its hooks among that, so
    it has to come first.
    """

    def __init__(self, p: float, block_size: int) -> None:
        self.look_at_p(p)
        self.look_at_block(block_size)
        self.p, self.block_size = p, block_size


@mistake("DropBlock2d")
class ReadsWhatWasNeverSet(_Layer):
    """`forward` reads an attribute that `__init__` did not set: the error names it. Compare the two names letter by letter."""

    def seeds(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape) < self.drop_prob  # type: ignore[operator]


@mistake("DropBlock2d")
class OtherNames(_Layer):
    """The arguments have other names than in the signature you were given, so that `DropBlock2d(p=0.1, block_size=7)` fails.
    Leave the first line of `__init__` as it is.
    """

    def __init__(self, drop_prob: float, size: int) -> None:
        super().__init__(drop_prob, size)


@mistake("DropBlock2d")
class HolesFilledWithTheMean(_Layer):
    """The holes are filled with the mean of the batch, so nothing is missing that the next layer could not guess. What is dropped
    is zero.
    """

    def drop(self, x: Tensor) -> Any:
        return torch.where(self.kept(x), x, x.mean())


@mistake("DropBlock2d")
class RescalesTheHolesOnly(_Layer):
    """The blocks are made smaller instead of zero: what is inside is multiplied by something, and what is outside stays. Multiply
    by the mask, which is 0 inside a block.
    """

    def drop(self, x: Tensor) -> Any:
        kept = self.kept(x)
        return torch.where(kept, x * self.factor(kept), x * 0.1)


# -- DropBlock2d: right --------------------------------------------------------------------------------------------------


@right("DropBlock2d")
class InParts(_Layer):
    pass


@right("DropBlock2d")
class SeedsInTheMiddle(nn.Module):
    """Seeds are the blocks' middle pixels."""

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError("p")
        if block_size <= 0 or not block_size % 2:
            raise ValueError("block_size")
        self.p, self.k = p, block_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        n, c, h, w = x.shape
        if h < self.k or w < self.k:
            raise ValueError("too small")
        noise = torch.empty((n, c, h - self.k + 1, w - self.k + 1), dtype=x.dtype)
        noise.bernoulli_(1.0 if self.p == 1 else _gamma(self.p, self.k, h, w))
        noise = functional.pad(noise, [self.k // 2] * 4)
        mask = 1 - functional.max_pool2d(noise, self.k, stride=1, padding=self.k // 2)
        return x * mask * (mask.numel() / (1e-6 + mask.float().sum()))


@right("DropBlock2d")
class ByTransposedConvolution(nn.Module):
    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        if not (0.0 <= p <= 1.0) or block_size not in range(1, 10**6, 2):
            raise ValueError(f"p = {p}, block_size = {block_size}")
        self.p, self.block_size = p, block_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x.clone()
        k, (n, c, h, w) = self.block_size, x.shape
        if h - k < 0 or w - k < 0:
            raise ValueError(f"{h} x {w}")
        seeds = torch.bernoulli(
            torch.full((n * c, 1, h - k + 1, w - k + 1), _gamma(self.p, k, h, w))
        )
        hits = functional.conv_transpose2d(seeds, torch.ones(1, 1, k, k)).view(n, c, h, w)
        mask = (hits.round() < 1).to(x.dtype)
        if self.p == 1:
            mask = torch.zeros_like(mask)
        total, kept = mask.numel(), int(mask.double().sum())
        return torch.zeros_like(x) * x if kept == 0 else x * mask * (total / kept)


@right("DropBlock2d")
class ByLoops(nn.Module):
    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        if min(max(p, 0), 1) != p:
            raise ValueError(f"p outside [0, 1]: {p}")
        if block_size < 0 or block_size & 1 == 0:
            raise ValueError(f"block_size {block_size}")
        self.p, self.block_size = p, block_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        k, (height, width) = self.block_size, x.shape[-2:]
        if k > height or k > width:
            raise ValueError(f"{k} > {height} or {width}")
        gamma = _gamma(self.p, k, height, width)
        mask = torch.ones(x.shape, dtype=torch.bool)
        for i in range(height - k + 1):
            for j in range(width - k + 1):
                hit = torch.rand(x.shape[:2]) < gamma
                mask[..., i : i + k, j : j + k] &= ~hit[..., None, None]
        if self.p == 1:
            mask[:] = False
        share = mask.double().mean().item()
        return x.masked_fill(~mask, 0) / share if share else 0 * x


@right("DropBlock2d")
class ByShifts(nn.Module):
    """A pixel goes if one of the seeds up to k - 1 rows above and columns to the left came up."""

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        if abs(p - 0.5) > 0.5:
            raise ValueError(f"{p} is no probability")
        if block_size < 1 or block_size % 2 != 1:
            raise ValueError(f"{block_size} is not odd and positive")
        self.register_buffer("p", torch.tensor(float(p), dtype=torch.float64), persistent=False)
        self.block_size = block_size

    def forward(self, x: Tensor) -> Tensor:
        p, k = float(self.p), self.block_size
        if p == 0 or not self.training:
            return x
        n, c, height, width = x.shape
        if min(height, width) < k:
            raise ValueError(f"maps of {height} x {width} are too small for blocks of {k}")
        seeds = torch.zeros(x.shape)
        valid = torch.rand(n, c, height - k + 1, width - k + 1, dtype=torch.float64)
        seeds[..., : height - k + 1, : width - k + 1] = (
            valid <= _gamma(p, k, height, width)
        ).float()
        gone = torch.zeros_like(seeds)
        for rows in range(k):
            for columns in range(k):
                gone = torch.maximum(gone, seeds.roll((rows, columns), dims=(2, 3)))
        keep = gone.logical_not() if p < 1 else torch.zeros_like(gone, dtype=torch.bool)
        scale = 0.0 if not keep.any() else keep.numel() / keep.sum().item()
        return torch.where(keep, x * scale, torch.zeros((), dtype=x.dtype))


@right("DropBlock2d")
class ByUnfolding(nn.Module):
    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        for ok, value in (
            (0 <= p <= 1, p),
            (block_size % 2 == 1 and block_size > 0, block_size),
        ):
            if not ok:
                raise ValueError(f"cannot use {value}")
        self.p, self.block_size = p, block_size

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.p > 0:
            n, c, h, w = x.shape
            k = self.block_size
            if k > h or k > w:
                raise ValueError(f"block_size {k} exceeds {(h, w)}")
            coins = torch.rand(n * c, 1, h - k + 1, w - k + 1).lt(_gamma(self.p, k, h, w))
            columns = coins.float().flatten(1).unsqueeze(1).expand(-1, k * k, -1)
            hit = functional.fold(columns, (h, w), k).view(n, c, h, w) > 0.5
            mask = torch.ones_like(x).masked_fill(hit | (self.p == 1), 0)
            wide = mask.double()
            return x * (mask * float(wide.numel() / wide.sum().clamp(min=1)))
        return x


@right("DropBlock2d")
class CoinsByDropout(nn.Module):
    """Lets dropout toss the coins: its zeros are the seeds."""

    def __init__(self, p: float, block_size: int) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p!r}")
        if not (block_size > 0 and block_size % 2):
            raise ValueError(f"block_size={block_size!r}")
        self.p, self.block_size = p, block_size

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        k = self.block_size
        height, width = x.shape[2] - k + 1, x.shape[3] - k + 1
        if height <= 0 or width <= 0:
            raise ValueError(f"blocks of {k} do not fit into {x.shape}")
        places = x.new_ones(x.shape[0], x.shape[1], height, width, dtype=torch.float32)
        seeds = functional.dropout(places, _gamma(self.p, k, *x.shape[2:])) == 0
        windows = functional.pad(seeds, [k - 1] * 4).unfold(2, k, 1).unfold(3, k, 1)
        kept = ~windows.flatten(4).any(dim=4) & (self.p < 1)
        factor = kept.numel() / max(1, int(kept.sum()))
        return x * (kept.float() * factor).to(x.dtype)
