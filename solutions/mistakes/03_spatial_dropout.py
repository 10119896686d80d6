"""Known wrong implementations of 03_spatial_dropout, each with its explanation, and right ones written in other ways.

The wrong layers are the right one below with one thing changed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from autograder.mistakes import mistake, right


def _sizes(x: Tensor, channel_dim: int) -> list[int]:
    sizes = [1] * x.dim()
    sizes[0], sizes[channel_dim] = x.shape[0], x.shape[channel_dim]
    return sizes


def _mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    return torch.rand(_sizes(x, channel_dim)) >= p


# -- channel_mask: wrong -------------------------------------------------------------------------------------------------


@mistake("channel_mask")
def mask_per_element(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """There is a coin for every pixel: this is the mask of ordinary dropout. A neighbouring pixel of the same map knows almost
    the same, so little information is removed; spatial dropout tosses one coin for the whole map. How many coins is that for
    N examples of C channels?
    """
    return (torch.rand_like(x) >= p).to(x.dtype)


@mistake("channel_mask")
def mask_shared_by_the_batch(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Every example of the batch loses the same channels. Each should get its own thinned network, which is what makes the
    gradient an average over many of them: which axis of the mask has length 1 and should not?
    """
    sizes = [1] * x.dim()
    sizes[channel_dim] = x.shape[channel_dim]
    return (torch.rand(sizes) >= p).to(x.dtype)


@mistake("channel_mask")
def mask_shared_by_the_channels(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask has a coin for each position and all channels share it: holes are cut through the whole stack of maps. It is
    the other way round: the pixels of a map share a coin, and each channel has its own.
    """
    sizes = list(x.shape)
    sizes[channel_dim] = 1
    return (torch.rand(sizes) >= p).to(x.dtype)


@mistake("channel_mask")
def mask_per_example(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """There is one coin for each example, so an example keeps all of its channels or loses everything. Each channel needs a
    coin of its own.
    """
    return (torch.rand([x.shape[0], *[1] * (x.dim() - 1)]) >= p).to(x.dtype)


@mistake("channel_mask")
def mask_of_one_coin(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """A single coin decides over the whole batch. Toss one for every channel of every example: `torch.rand` takes the shape
    of what you want to draw.
    """
    return (torch.rand(1) >= p).to(x.dtype).expand(x.shape)


@mistake("channel_mask")
def mask_with_keep_and_drop_swapped(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """A share p is kept here, but p is the probability of dropping. A uniform number is below p with probability p: should
    such a channel get a 0 or a 1?
    """
    return (torch.rand(_sizes(x, channel_dim)) < p).to(x.dtype)


@mistake("channel_mask")
def mask_already_rescaled(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask is already divided by 1 - p. It was to hold only zeros and ones: the layer does the rescaling, and would do it
    a second time.
    """
    return (torch.rand(_sizes(x, channel_dim)) >= p).to(x.dtype) / (1 - p)


@mistake("channel_mask")
def masked_input_for_mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """You return x with channels set to zero; the mask itself was asked for, zeros and ones only. Multiplying is the layer's
    part.
    """
    return x * _mask(x, p, channel_dim)


@mistake("channel_mask")
def uniform_numbers_for_mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The uniform numbers are returned as they were drawn, between 0 and 1. A decision is still to be made of each of them: a
    channel is in or out.
    """
    return torch.rand(_sizes(x, channel_dim))


@mistake("channel_mask")
def expected_mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Every entry is 1 - p, the mean of the mask. Multiplying by a mean makes everything a little smaller and drops nothing:
    the mask has to be drawn.
    """
    return torch.full(_sizes(x, channel_dim), 1 - p)


@mistake("channel_mask")
def mask_ignores_channel_dim(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """`channel_dim` is not used: axis 1 is always taken for the channels. In (batch, height, width, channels) axis 1 is the
    height, and whole rows of pixels are dropped.
    """
    return _mask(x, p, 1).to(x.dtype)


@mistake("channel_mask")
def mask_knows_minus_one_only(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Only -1 is recognised as the last axis, but 3 is another name for it. Use `channel_dim` as an index instead of comparing
    it with a number: indexing understands both.
    """
    return _mask(x, p, -1 if channel_dim == -1 else 1).to(x.dtype)


@mistake("channel_mask")
def mask_breaks_on_negative_dims(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """A negative channel_dim is not recognised as counting from the end, so the mask gets no axis for the channels. A loop
    that compares axis numbers never meets -1; indexing a list with it just works.
    """
    return torch.rand([n if d in (0, channel_dim) else 1 for d, n in enumerate(x.shape)]) >= p


@mistake("channel_mask")
def mask_without_trailing_axes(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask has shape (N, C). Broadcasting lines shapes up from the right, where x has height and width: the mask needs
    axes of length 1 in their places.
    """
    return (torch.rand(x.shape[0], x.shape[channel_dim]) >= p).to(x.dtype)


@mistake("channel_mask")
def mask_drops_a_fixed_number(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Every example loses exactly the same number of channels. Independent coins give a number that varies around p times C:
    a fixed one ties the channels together, since one that is dropped saves another.
    """
    examples, channels = x.shape[0], x.shape[channel_dim]
    order = torch.rand(examples, channels).argsort(dim=1)
    return (order >= round(p * channels)).to(x.dtype).reshape(_sizes(x, channel_dim))


@mistake("channel_mask")
def mask_from_a_fixed_seed(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The random generator is seeded inside the function, so every call draws the same mask, and all other random numbers of
    the program start over as well. Seed once, at the start of an experiment, and never in a function.
    """
    torch.manual_seed(0)
    return _mask(x, p, channel_dim).to(x.dtype)


@mistake("channel_mask")
def mask_always_one_half(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask does not depend on p: half of the channels go, whatever p is. `torch.randint(0, 2, …)` and a comparison with
    0.5 are fair coins; yours should come up 0 with probability p.
    """
    return torch.randint(0, 2, _sizes(x, channel_dim)).to(x.dtype)


@mistake("channel_mask")
def mask_written_into_x(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask is right, but x was changed while making it: functions whose name ends in `_`, and `x[...] =`, write into the
    caller's tensor. Draw the mask in a tensor of its own.
    """
    mask = _mask(x, p, channel_dim)
    x *= mask
    return mask


@mistake("channel_mask")
def mask_not_returned(x: Tensor, p: float, channel_dim: int = 1) -> None:
    """The function draws a mask and then forgets it: without `return` it gives None."""
    _mask(x, p, channel_dim)


@mistake("channel_mask")
def mask_with_its_sizes_exchanged(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask's axes of the examples and of the channels have each other's length. Take the number of examples from the
    first axis of x, and the number of channels from axis channel_dim.
    """
    sizes = [1] * x.dim()
    sizes[0], sizes[channel_dim] = x.shape[channel_dim], x.shape[0]
    return torch.rand(sizes) >= p


@mistake("channel_mask")
def mask_of_normal_numbers(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """`torch.randn` draws normal numbers, of which half are below zero: they are not below p with probability p. Uniform
    numbers between 0 and 1 are, and `torch.rand` draws those.
    """
    return torch.randn(_sizes(x, channel_dim)) > p


@mistake("channel_mask")
def mask_with_p_squared(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """A share p times p is dropped. Is p used twice, for instance in two masks of which both must agree to drop a channel?"""
    return torch.rand(_sizes(x, channel_dim)) >= p * p


@mistake("channel_mask")
def mask_with_p_rounded(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The p is rounded to tenths: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not integers from 0 to 9, and
    compare them with p itself.
    """
    return torch.randint(0, 10, _sizes(x, channel_dim)) >= round(10 * p)


@mistake("channel_mask")
def mask_of_plus_and_minus_one(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask holds 1 and -1, which turns signs around and drops nothing. `sign` of a difference has these two values; a
    comparison gives True and False, which count as 1 and 0.
    """
    return torch.where(_mask(x, p, channel_dim), 1.0, -1.0)


@mistake("channel_mask")
def mask_from_the_values(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """The mask is computed from the values of x, so the same x loses the same channels each time. Which channels go should be
    pure chance: of x only the shape is needed.
    """
    pixels = [d for d in range(1, x.dim()) if d != channel_dim % x.dim()]
    means = x.double().mean(dim=pixels, keepdim=True)
    return means > means.flatten().quantile(p) if p < 1 else means > means.max()


@mistake("channel_mask")
def mask_half_of_the_examples_copied(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs coins of its own: repeating
    and concatenating draws nothing new.
    """
    half = _mask(x[: (len(x) + 1) // 2], p, channel_dim)
    return torch.cat([half, half])[: len(x)]


@mistake("channel_mask")
def mask_half_of_the_channels_copied(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """Coins are tossed for half of the channels, and the other half gets copies. Each channel needs a coin of its own: repeating
    and concatenating draws nothing new.
    """
    channels = x.shape[channel_dim]
    half = _mask(x.narrow(channel_dim, 0, (channels + 1) // 2), p, channel_dim)
    return torch.cat([half, half], dim=channel_dim).narrow(channel_dim, 0, channels)


@mistake("channel_mask")
def mask_seeds_the_generator(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    """`torch.seed()` inside the function gives the random generator a new seed at each call, so that no experiment that uses it
    can be repeated. Seed once, at its start, and never in a function.
    """
    torch.seed()
    return _mask(x, p, channel_dim)


@mistake("channel_mask")
def mask_with_arguments_exchanged(x: Tensor, channel_dim: int = 1, p: float = 0.5) -> Tensor:
    """The arguments are in another order than was asked for, so that a call without names mixes up p and channel_dim. The
    order is x, p, channel_dim.
    """
    return _mask(x, p, channel_dim)


# -- channel_mask: right -------------------------------------------------------------------------------------------------


@right("channel_mask")
def bool_mask(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    sizes = [1] * x.ndim
    sizes[0] = len(x)
    sizes[channel_dim] = x.size(channel_dim)
    return torch.rand(sizes, device=x.device) > p


@right("channel_mask")
def int_mask_by_bernoulli(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    keep = torch.full(_sizes(x, channel_dim), 1.0 - p)
    return torch.bernoulli(keep).long()


@right("channel_mask")
def float_mask_of_the_full_shape(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    first_pixel = x.movedim(channel_dim, 1)[:, :, :1, :1]
    mask = first_pixel.new_empty(first_pixel.shape).bernoulli_(1 - p)
    return mask.movedim(1, channel_dim).expand_as(x)


@right("channel_mask")
def mask_by_loops(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    examples, channels = x.shape[0], x.shape[channel_dim]
    mask = torch.ones(examples, channels, dtype=torch.uint8)
    for n in range(examples):
        for c in range(channels):
            if torch.rand(()) < p:
                mask[n, c] = 0
    return mask.view(_sizes(x, channel_dim))


@right("channel_mask")
def mask_by_modulo(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    axis = channel_dim % x.dim()
    sizes = [n if d in (0, axis) else 1 for d, n in enumerate(x.shape)]
    return 1.0 - (torch.rand(sizes, dtype=torch.float64) < p).double()


@right("channel_mask")
def mask_from_the_mean_over_pixels(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    pixels = [d for d in range(1, x.dim()) if d != channel_dim % x.dim()]
    return torch.rand_like(x.float().mean(dim=pixels, keepdim=True)).ge(p).to(x.dtype)


@right("channel_mask")
def mask_by_a_distribution(x: Tensor, p: float, channel_dim: int = 1) -> Tensor:
    return torch.distributions.Bernoulli(probs=1.0 - p).sample(_sizes(x, channel_dim))


# -- SpatialDropout2d: wrong ---------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """The right layer, in parts that the mistakes change."""

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p, self.channel_dim = p, channel_dim

    def forward(self, x: Tensor) -> Any:
        self.look_at(x)
        return self.drop(x) if self.training else x

    def look_at(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise ValueError(f"expected 4 dimensions, got shape {tuple(x.shape)}")

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        return x * self.mask(x).to(x.dtype) / (1 - self.p)

    def mask(self, x: Tensor) -> Tensor:
        return _mask(x, self.p, self.channel_dim)


@mistake("SpatialDropout2d")
class IgnoresTraining(_Layer):
    """The layer drops channels in evaluation mode as well, so a prediction is different each time you ask for it. A module
    knows its mode: `self.training` is False after `eval()`, and then the input passes as it is.
    """

    def forward(self, x: Tensor) -> Any:
        self.look_at(x)
        return self.drop(x)


@mistake("SpatialDropout2d")
class DropsInEvaluationOnly(_Layer):
    """The two modes are exchanged: nothing happens in training, and channels are dropped in evaluation. Read the condition
    aloud: in which mode should the network have to cope with missing channels?
    """

    def forward(self, x: Tensor) -> Any:
        self.look_at(x)
        return x if self.training else self.drop(x)


@mistake("SpatialDropout2d")
class DropsNothing(_Layer):
    """The input comes back as it is, in training too. Is the mask drawn, and is it used for what you return?"""

    def drop(self, x: Tensor) -> Any:
        self.mask(x)
        return x


@mistake("SpatialDropout2d")
class KeepAndDropSwapped(_Layer):
    """A share p is kept here, but p is the probability of dropping. At p = 0.5 the two look alike, so try p = 0.1 and count
    what is left: a tenth, or nine tenths?
    """

    def mask(self, x: Tensor) -> Tensor:
        return ~super().mask(x)


@mistake("SpatialDropout2d")
class TakesPForTheShareToKeep(_Layer):
    """You take p for the probability of keeping a channel, for the mask as well as for the rescaling. That is consistent, and
    the convention of some older papers, but here as in PyTorch p is the probability of dropping.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 0:
            return torch.zeros_like(x)
        return x * ~self.mask(x) / self.p


@mistake("SpatialDropout2d")
class NoRescaling(_Layer):
    """What is kept stays as it was, so in training the next layer sees less on average than in evaluation, when everything
    arrives. By which factor does the mean shrink, and what undoes it?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x)


@mistake("SpatialDropout2d")
class RescaledByP(_Layer):
    """What is kept is divided by p. A share 1 - p of the channels survives, so it is that which has to be made up for: with p
    small, next to nothing is missing, and the factor should be close to 1.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x) / self.p if self.p else x


@mistake("SpatialDropout2d")
class MultipliedByTheShareKept(_Layer):
    """What is kept is multiplied by 1 - p, which makes it smaller still, when its mean is already too small. Compare the means
    of input and output over many draws: which operation brings them together?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x) * (1 - self.p)


@mistake("SpatialDropout2d")
class RescaledTwice(_Layer):
    """What is kept is divided by 1 - p twice. Perhaps the mask is rescaled already, and the layer does it once more? Only one
    of them should.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) / (1 - self.p) if self.p < 1 else torch.zeros_like(x)


@mistake("SpatialDropout2d")
class RescaledByTheObservedShare(_Layer):
    """You divide by the share of channels that happened to be kept. Then the scale changes from call to call, and an example's
    output depends on what was dropped in all the others. Divide by the probability of keeping a channel, which is known
    beforehand: with independent coins, that makes the mean right.
    """

    def drop(self, x: Tensor) -> Any:
        mask = self.mask(x).to(x.dtype)
        return x * mask / mask.mean().clamp(min=1e-6)


@mistake("SpatialDropout2d")
class RescaledInEvaluation(_Layer):
    """The output is rescaled in training and once more in evaluation. Scaling by 1 - p in evaluation belongs to the older
    recipe, which leaves training alone: do one or the other. Here evaluation returns the input as it is.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else y * (1 - self.p)


@mistake("SpatialDropout2d")
class RescaledInEvaluationOnly(_Layer):
    """This is the original recipe of dropout: no rescaling in training, times 1 - p in evaluation. On average it works, but
    then evaluation depends on p; today's convention rescales in training, so that evaluation is the identity.
    """

    def forward(self, x: Tensor) -> Any:
        self.look_at(x)
        return x * self.mask(x) if self.training else x * (1 - self.p)


@mistake("SpatialDropout2d")
class EnlargedInEvaluation(_Layer):
    """The division by 1 - p is done in evaluation too, when nothing was dropped that would need making up for. Look at what
    stands inside the branch for training and what behind it.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training or self.p == 1 else y / (1 - self.p)


@mistake("SpatialDropout2d")
class ZerosAtOneInEvaluation(_Layer):
    """At p = 1 the layer returns zeros in evaluation mode as well. The case p = 1 belongs to training: which of the two
    questions should be asked first?
    """

    def forward(self, x: Tensor) -> Any:
        return torch.zeros_like(x) if self.p == 1 else super().forward(x)


@mistake("SpatialDropout2d")
class MaskPerElement(_Layer):
    """There is a coin for every pixel: this is ordinary dropout. Look at the picture: a dropped channel should be empty, not
    speckled. Neighbouring pixels know almost the same, so single holes remove little; toss one coin for each channel of each
    example, and let broadcasting do the rest.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand_like(x) >= self.p


@mistake("SpatialDropout2d")
class OneMaskForTheBatch(_Layer):
    """Every example of the batch loses the same channels. Each should get its own thinned network, which is what makes the
    gradient an average over many of them: which axis of the mask has length 1 and should not?
    """

    def mask(self, x: Tensor) -> Tensor:
        return super().mask(x[:1])


@mistake("SpatialDropout2d")
class OneMaskForAllChannels(_Layer):
    """All channels of an example share one mask over the pixels: holes are cut through the whole stack of maps. It is the
    other way round: the pixels of a map share a coin, and each channel has its own.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand_like(x.narrow(self.channel_dim, 0, 1)) >= self.p


@mistake("SpatialDropout2d")
class OneCoinPerExample(_Layer):
    """An example keeps all of its channels or loses everything: there is one coin for each example. That is a kind of
    stochastic depth; spatial dropout gives every channel a coin of its own.
    """

    def mask(self, x: Tensor) -> Tensor:
        return super().mask(x.narrow(self.channel_dim, 0, 1))


@mistake("SpatialDropout2d")
class OneCoinForEverything(_Layer):
    """A single coin decides over the whole batch: it passes, or all of it is zero. Toss one coin for every channel of every
    example: `torch.rand` takes the shape of what you want to draw.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(1) >= self.p


@mistake("SpatialDropout2d")
class FixedNumberOfChannels(_Layer):
    """Every example loses exactly the same number of channels. Independent coins give a number that varies around p times C:
    a fixed one ties the channels together, since one that is dropped saves another.
    """

    def mask(self, x: Tensor) -> Tensor:
        return mask_drops_a_fixed_number(x, self.p, self.channel_dim) > 0


@mistake("SpatialDropout2d")
class AlwaysOneHalf(_Layer):
    """The layer behaves as if p were 0.5, whatever it was made with. Is the argument of `__init__` kept, and is it what
    `forward` uses, for the mask and for the rescaling?
    """

    def drop(self, x: Tensor) -> Any:
        return x * _mask(x, 0.5, self.channel_dim) * 2


@mistake("SpatialDropout2d")
class IgnoresChannelDim(_Layer):
    """`channel_dim` is not used: axis 1 is always taken for the channels. In (batch, height, width, channels) axis 1 is the
    height, and whole rows of pixels are dropped.
    """

    def mask(self, x: Tensor) -> Tensor:
        return _mask(x, self.p, 1)


@mistake("SpatialDropout2d")
class KnowsMinusOneOnly(_Layer):
    """Only -1 is recognised as the last axis, but 3 is another name for it. Use `channel_dim` as an index instead of comparing
    it with a number: indexing understands both.
    """

    def mask(self, x: Tensor) -> Tensor:
        return _mask(x, self.p, -1 if self.channel_dim == -1 else 1)


@mistake("SpatialDropout2d")
class BreaksOnNegativeDims(_Layer):
    """A negative channel_dim is not recognised as counting from the end, so the mask gets no axis for the channels. A loop
    that compares axis numbers never meets -1; indexing a list with it just works.
    """

    def mask(self, x: Tensor) -> Tensor:
        return mask_breaks_on_negative_dims(x, self.p, self.channel_dim)


@mistake("SpatialDropout2d")
class NotPermutedBack(_Layer):
    """For channels last the axes are exchanged before the mask is applied and never put back: the output has the axes in
    another order than the input. What undoes your `permute`?
    """

    def drop(self, x: Tensor) -> Any:
        return (
            super().drop(x)
            if self.channel_dim in (1, -3)
            else super().drop(x).permute(0, 3, 1, 2)
        )


@mistake("SpatialDropout2d")
class ReshapedInsteadOfPermuted(_Layer):
    """`reshape` and `view` do not move axes: they cut the same row of numbers into other pieces, so what you call a channel is
    a mixture of pixels of several. Moving an axis takes `permute`, `movedim` or `transpose`, or no move at all.
    """

    def drop(self, x: Tensor) -> Any:
        if self.channel_dim in (1, -3) or self.p == 1:
            return super().drop(x)
        examples, height, width, channels = x.shape
        y = x.reshape(examples, channels, height, width)
        return (y * _mask(y, self.p) / (1 - self.p)).reshape(x.shape)


@mistake("SpatialDropout2d")
class RescalesChannelsFirstOnly(_Layer):
    """Channels last are dropped but not rescaled. Is the division by 1 - p inside only one of two branches? With a mask that
    broadcasts, both layouts go the same way, and there is no need for branches.
    """

    def drop(self, x: Tensor) -> Any:
        return (
            super().drop(x) if self.channel_dim in (1, -3) or self.p == 1 else x * self.mask(x)
        )


@mistake("SpatialDropout2d")
class MaskDrawnOnce(_Layer):
    """Every call uses the same mask: it is drawn once and kept. Then the same channels are missing through all of the
    training, which is a smaller network and not a regularizer. Draw the mask in `forward`, every time.
    """

    def mask(self, x: Tensor) -> Tensor:
        # Kept for each shape: a single mask would at least fail on the next batch size.
        self.kept = getattr(self, "kept", {})
        return self.kept.setdefault(x.shape, super().mask(x))


@mistake("SpatialDropout2d")
class MaskOfTheFirstBatch(_Layer):
    """The mask of the first batch is kept and used for all others, and does not even fit when the batch size changes, as it
    does at the end of an epoch. Draw the mask in `forward`, every time: no attribute needs to remember it.
    """

    def mask(self, x: Tensor) -> Tensor:
        if getattr(self, "kept", None) is None:
            self.kept = super().mask(x)
        return self.kept


@mistake("SpatialDropout2d")
class SeedsInsideForward(_Layer):
    """The random generator is seeded in `forward`, so every call draws the same mask, and all other random numbers of the
    program, such as the order of the batches, start over as well. Seed once, at the start of an experiment.
    """

    def mask(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().mask(x)


@mistake("SpatialDropout2d")
class GradientCut(_Layer):
    """The values are right, but no gradient gets through: `detach()`, `.data`, `torch.no_grad()` and a new `torch.tensor(x)`
    all cut the output off from the input. Everything before this layer would stop learning. Multiply x itself.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.detach())


@mistake("SpatialDropout2d")
class ThroughNumpy(_Layer):
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you
    need, random numbers included, exists in torch under nearly the same name.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(torch.from_numpy(x.numpy()))


@mistake("SpatialDropout2d")
class GradientToDroppedChannels(_Layer):
    """The values are right, but the gradient passes as if nothing had been dropped. A dropped channel had no part in the
    output, so it must not be blamed for it: let the product itself be differentiated, without `detach()`.
    """

    def drop(self, x: Tensor) -> Any:
        return x + (super().drop(x) - x).detach()


@mistake("SpatialDropout2d")
class WritesIntoTheInput(_Layer):
    """The layer changes the tensor it is given: `*=`, `x[...] = 0` and functions whose name ends in `_` write in place. Whoever
    else uses that tensor, such as a skip connection or the backward pass, finds it damaged. Compute a new one.
    """

    def drop(self, x: Tensor) -> Any:
        x *= self.mask(x) / (1 - self.p if self.p < 1 else 1)
        return x


@mistake("SpatialDropout2d")
class NaNAtOne(_Layer):
    """At p = 1 everything is dropped, and zero divided by 1 - p is zero by zero: NaN, which then spreads through the whole
    network. Nothing is left to be rescaled in this case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) / (1 - self.p)


@mistake("SpatialDropout2d")
class DividesByZeroAtOne(_Layer):
    """At p = 1 the factor 1 / (1 - p) is a division by zero, and Python refuses it. Nothing is left to be rescaled in this
    case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) * (1 / (1 - self.p))


@mistake("SpatialDropout2d")
class RefusesOne(_Layer):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is
    zero. Look at the comparison in your test of p.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        super().__init__(p, channel_dim)


@mistake("SpatialDropout2d")
class MaskInFloat64(_Layer):
    """The output is float64 although the input is float32: multiplying by a float64 mask lifts the whole product, which takes
    twice the memory and does not fit the next layer's weights. Make the mask in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.double())


@mistake("SpatialDropout2d")
class MaskInFloat32(_Layer):
    """The mask is always float32, so half precision input comes back as float32, and mixed-precision training loses its
    point. Make the mask in the dtype of x, or turn it into that before you multiply.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        return x * self.mask(x).float() / (1 - self.p)


@mistake("SpatialDropout2d")
class KeepsMaskAsBuffer(_Layer):
    """The mask is registered as a buffer. Buffers are saved with the model and loaded again, and a mask means nothing after its
    call; a batch of another size would not even load. A local variable is enough.
    """

    def mask(self, x: Tensor) -> Tensor:
        mask = super().mask(x)
        self.register_buffer("last_mask", mask)
        return mask


@mistake("SpatialDropout2d")
class LearnsItsMask(_Layer):
    """The layer has a parameter, which the optimizer will change and weight decay will shrink. There is nothing to learn here:
    the mask is pure chance, and p is a setting that a plain attribute can hold.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__(p, channel_dim)
        self.rate = nn.Parameter(torch.tensor(float(p)))


@mistake("SpatialDropout2d")
class AcceptsAnyP(_Layer):
    """A p such as 1.5 or -0.1 is accepted, and the mistake shows up much later, as a network that learns nothing. A
    probability outside of [0, 1] makes no sense: say so at once, with a ValueError in `__init__`.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__(0.5, channel_dim)
        self.p = p


@mistake("SpatialDropout2d")
class AssertsP(_Layer):
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError, which the caller can tell from other errors.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"
        super().__init__(p, channel_dim)


@mistake("SpatialDropout2d")
class AcceptsAnyShape(_Layer):
    """Input with other than 4 dimensions is accepted. A map without its batch axis (channels, height, width) then has its rows
    dropped for channels, in silence. Look at `x.dim()` first, and raise a ValueError that shows the shape.
    """

    def look_at(self, x: Tensor) -> None:
        pass


@mistake("SpatialDropout2d")
class ErrorWithoutTheShape(_Layer):
    """Input with other than 4 dimensions is refused, but the message does not say what came. The shape is the first thing one
    wants to know on reading it: put it in.
    """

    def look_at(self, x: Tensor) -> None:
        if x.dim() != 4:
            raise ValueError("expected an input with four dimensions")


@mistake("SpatialDropout2d")
class ReturnsTheMaskToo(_Layer):
    """The layer returns the output together with the mask. The next layer expects a single tensor: inside `nn.Sequential` this
    would fail at once.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x), self.mask(x)


@mistake("SpatialDropout2d")
class ReturnsNothing(_Layer):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


@mistake("SpatialDropout2d")
class ForgetsSuperInit(_Layer):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its mode and its hooks among that, so
    it has to come first.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p, self.channel_dim = p, channel_dim


@mistake("SpatialDropout2d")
class DenominatorCutOff(_Layer):
    """For a large p the division is by something larger than 1 - p: a bound such as `max(1 - p, 0.5)` guards against a division by
    zero, but changes every p beyond it. Only p = 1 itself needs a case of its own.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) / max(1 - self.p, 0.5)


@mistake("SpatialDropout2d")
class DividedByOnePlusP(_Layer):
    """What is kept is divided by 1 + p, which makes it smaller, when its mean is already too small. A share 1 - p survives: it
    is that which has to be made up for.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) / (1 + self.p)


@mistake("SpatialDropout2d")
class ArgumentsExchanged(nn.Module):
    """The arguments are in another order than was asked for, so that `SpatialDropout2d(0.2)` takes 0.2 for the channel_dim.
    Keep the order of the signature: p first.
    """

    def __init__(self, channel_dim: int = 1, p: float = 0.5) -> None:
        super().__init__()
        self.layer = _Layer(p, channel_dim)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


@mistake("SpatialDropout2d")
class AnotherDefault(_Layer):
    """Made without arguments, the layer does not drop one half. The signature that you were given says `p: float = 0.5`: leave
    it as it is.
    """

    def __init__(self, p: float = 0.1, channel_dim: int = 1) -> None:
        super().__init__(p, channel_dim)


@mistake("SpatialDropout2d")
class DoubleInEvaluation(_Layer):
    """In evaluation mode the output has another dtype than the input: a network of float32 then stops at the next layer. The
    input comes back as it is, dtype included.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training and self.p else y.double()


@mistake("SpatialDropout2d")
class DetachedInEvaluation(_Layer):
    """In evaluation mode the output is cut off from the input, so that no gradient passes. Evaluation is not only for
    measuring: saliency maps and fine-tuning a part of a network need it. Return x itself, without `detach()`.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training and self.p else y.detach()


@mistake("SpatialDropout2d")
class ReturnsInTrainingOnly(_Layer):
    """In evaluation mode nothing is returned, so you get None: there is a `return` in the branch for training alone. What should
    come back in the other case?
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else None


@mistake("SpatialDropout2d")
class HalfOfTheExamplesCopied(_Layer):
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs coins of its own: repeating
    and concatenating draws nothing new.
    """

    def mask(self, x: Tensor) -> Tensor:
        return mask_half_of_the_examples_copied(x, self.p, self.channel_dim)


@mistake("SpatialDropout2d")
class HalfOfTheChannelsCopied(_Layer):
    """Coins are tossed for half of the channels, and the other half gets copies. Each channel needs a coin of its own: repeating
    and concatenating draws nothing new.
    """

    def mask(self, x: Tensor) -> Tensor:
        return mask_half_of_the_channels_copied(x, self.p, self.channel_dim)


@mistake("SpatialDropout2d")
class PRoundedToTenths(_Layer):
    """The p is rounded to tenths when the mask is drawn: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not
    integers from 0 to 9, and compare them with p itself.
    """

    def mask(self, x: Tensor) -> Tensor:
        return _mask(x, round(self.p, 1), self.channel_dim)


@mistake("SpatialDropout2d")
class ReadsWhatWasNeverSet(_Layer):
    """`forward` reads an attribute that `__init__` did not set: the error names it. Compare the two names letter by letter."""

    def mask(self, x: Tensor) -> Tensor:
        return _mask(x, self.p, self.dim)  # type: ignore[arg-type]


@mistake("SpatialDropout2d")
class ReturnsAnArray(_Layer):
    """The output is a NumPy array: the next layer expects a tensor, and no gradient passes through an array. Leave out
    `.numpy()`; everything you need exists in torch.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x).detach().numpy()


@mistake("SpatialDropout2d")
class AcceptsFiveDimensions(_Layer):
    """Input with fewer than 4 dimensions is refused, but not with more. "Exactly 4" excludes both: look at the comparison."""

    def look_at(self, x: Tensor) -> None:
        if x.dim() < 4:
            raise ValueError(f"expected 4 dimensions, got shape {tuple(x.shape)}")


@mistake("SpatialDropout2d")
class ErrorWithoutP(_Layer):
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading
    it: put it in.
    """

    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        if not 0 <= p <= 1:
            raise ValueError("p must be a probability")
        super().__init__(p, channel_dim)


@mistake("SpatialDropout2d")
class IndexesTheMaskAsChannelsFirst(_Layer):
    """The mask is indexed as if axis 1 were always the channels, so for channels last a single coin of it is used, or none of
    the right ones. Multiply by the mask as it is, and let broadcasting find its axes.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        coins = self.mask(x)[:, :, 0, 0].to(x.dtype)
        return torch.einsum("nchw,nc->nchw", x, coins) / (1 - self.p)


# -- SpatialDropout2d: right ---------------------------------------------------------------------------------------------


@right("SpatialDropout2d")
class InParts(_Layer):
    pass


@right("SpatialDropout2d")
class ByBernoulliProbabilities(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p = {p}")
        self.p = p
        self.channel_dim = channel_dim

    def forward(self, x: Tensor) -> Tensor:
        if len(x.shape) != 4:
            raise ValueError(f"got {x.shape}")
        if not self.training or self.p == 0:
            return x.clone()
        keep = 1 - self.p
        mask = torch.bernoulli(torch.full(_sizes(x, self.channel_dim), keep, dtype=x.dtype))
        return x * mask / max(keep, 1e-12)


@right("SpatialDropout2d")
class ByEinsum(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if not (0 <= p <= 1):
            raise ValueError(f"{p} is no probability")
        self.p, self.channel_dim = float(p), channel_dim

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"four dimensions are needed, not {list(x.shape)}")
        if not self.training:
            return x
        keep = (torch.rand(x.shape[0], x.shape[self.channel_dim]) > self.p).to(x.dtype)
        if self.p < 1:
            keep = keep / (1 - self.p)
        last = self.channel_dim % 4 == 3
        return torch.einsum("nhwc,nc->nhwc" if last else "nchw,nc->nchw", x, keep)


@right("SpatialDropout2d")
class ByLoops(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if p > 1 or p < 0:
            raise ValueError(p)
        self.p, self.channel_dim = p, channel_dim

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError(
                f"batch, channels, height and width are needed, got {tuple(x.shape)}."
            )
        if not self.training:
            return 1 * x
        examples = []
        for example in x:
            maps = []
            for single in example.unbind(
                self.channel_dim - 1 if self.channel_dim > 0 else self.channel_dim
            ):
                dropped = self.p == 1 or torch.rand(1).item() < self.p
                maps.append(torch.zeros_like(single) if dropped else single / (1 - self.p))
            examples.append(
                torch.stack(
                    maps, self.channel_dim - 1 if self.channel_dim > 0 else self.channel_dim
                )
            )
        return torch.stack(examples)


@right("SpatialDropout2d")
class ByPermuting(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        self.p, self.channel_dim = p, channel_dim
        if p != p or abs(p - 0.5) > 0.5:
            raise ValueError(f"p should be in [0, 1] but is {p}")

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError("shape " + "x".join(str(n) for n in x.shape))
        if not self.training:
            return x
        if self.p == 1:
            return 0 * x
        first = x.movedim(self.channel_dim, 1)
        mask = first.new_empty(first.shape[:2]).bernoulli_(1 - self.p).div_(1 - self.p)
        return (first * mask[:, :, None, None]).movedim(1, self.channel_dim)


@right("SpatialDropout2d")
class ByWhere(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.register_buffer("p", torch.tensor(float(p), dtype=torch.float64))
        self.channel_dim = channel_dim

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError(
                f"expected (N, C, H, W) or (N, H, W, C), got a tensor of shape {tuple(x.shape)}"
            )
        if not self.training:
            return x
        p = float(self.p)
        keep = torch.rand(_sizes(x, self.channel_dim)).expand_as(x) >= p
        return torch.where(keep, x / (1 - p), torch.zeros((), dtype=x.dtype))


@right("SpatialDropout2d")
class ByFillingAClone(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if p not in (0, 1) and not 0 < p < 1:
            raise ValueError(f"bad p: {p!r}")
        self.p, self.channel_dim = p, channel_dim
        self.last_drop: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ValueError(f"bad shape: {tuple(x.shape)}")
        if not self.training or self.p == 0:
            return x
        self.last_drop = ~bool_mask(x, self.p, self.channel_dim)
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        return (x * scale).masked_fill(self.last_drop, 0)


@right("SpatialDropout2d")
class ByComplement(nn.Module):
    def __init__(self, p: float = 0.5, channel_dim: int = 1) -> None:
        super().__init__()
        if min(max(p, 0), 1) != p:
            raise ValueError(f"p outside [0, 1]: {p}")
        self.p, self.channel_dim = p, channel_dim

    def forward(self, x: Tensor) -> Tensor:
        if not x.dim() == 4:
            raise ValueError(f"{x.shape} is no batch of maps")
        if self.training and self.p > 0:
            dropped = torch.bernoulli(
                torch.full(_sizes(x, self.channel_dim), float(self.p))
            ).expand(x.shape)
            wide = x if x.dtype is torch.float64 else x.float()
            return (wide * (1 - dropped) / (1 - min(self.p, 0.999999))).to(x.dtype)
        return x
