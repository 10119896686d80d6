"""Known wrong implementations of 08_stochastic_depth, each with its explanation, and right ones written in other ways.

The wrong layers and blocks are the right ones below with one thing changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.mistakes import mistake, right

# -- drop_path_rates: wrong ----------------------------------------------------------------------------------------------


def _rates(max_rate: float, depth: int) -> list[float]:
    return [max_rate * number / depth for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def all_rates_equal(max_rate: float, depth: int) -> list[float]:
    """Every block gets max_rate. Early blocks make what all later ones build on, so they should be dropped less often: the rate
    is to rise with the number of the block, and only the last gets max_rate.
    """
    return [max_rate] * depth


@mistake("drop_path_rates")
def rates_from_zero(max_rate: float, depth: int) -> list[float]:
    """The blocks are counted from 0, so each gets the rate of the block before it, and none gets max_rate. Python's range begins
    at 0; block l is to be counted from 1.
    """
    return [max_rate * number / depth for number in range(depth)]


@mistake("drop_path_rates")
def rates_from_zero_to_max(max_rate: float, depth: int) -> list[float]:
    """The first rate is 0 and the last max_rate: that is how some libraries do it, by `linspace(0, max_rate, depth)`. In the
    paper, and here, it is the input that is never dropped, and block 1 is one step away from it: max_rate / depth. What does
    your rule give a network of one block?
    """
    return torch.linspace(0, max_rate, depth, dtype=torch.float64).tolist()


@mistake("drop_path_rates")
def rates_divided_by_depth_less_one(max_rate: float, depth: int) -> list[float]:
    """The first rate is 0 and the last max_rate, and a network of a single block is a division by zero. There are depth steps
    from the input, which is never dropped, to the last block; block 1 has taken one of them.
    """
    return [max_rate * number / (depth - 1) for number in range(depth)]


@mistake("drop_path_rates")
def rates_never_reach_max(max_rate: float, depth: int) -> list[float]:
    """The rates rise by equal steps, but the last one is not max_rate: you divide by one too many. How many steps is it from the
    input to block `depth`?
    """
    return [max_rate * number / (depth + 1) for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def one_rate_too_many(max_rate: float, depth: int) -> list[float]:
    """There is one rate more than there are blocks: the list begins with the 0 of the input, which is no block. Pairing blocks
    with rates would give each the rate of the block before.
    """
    return [max_rate * number / depth for number in range(depth + 1)]


@mistake("drop_path_rates")
def last_rate_missing(max_rate: float, depth: int) -> list[float]:
    """There is one rate fewer than there are blocks: range leaves out its end. The last block, which is to get max_rate, gets
    none.
    """
    return [max_rate * number / depth for number in range(1, depth)]


@mistake("drop_path_rates")
def rates_reversed(max_rate: float, depth: int) -> list[float]:
    """The rates fall with the depth: the first block is dropped most. What it computes is needed by all that follow, so it
    should be dropped least.
    """
    return _rates(max_rate, depth)[::-1]


@mistake("drop_path_rates")
def rates_of_survival(max_rate: float, depth: int) -> list[float]:
    """These are the probabilities that a block survives, which is what the paper calls p. In this course p is the probability
    of dropping: one minus that.
    """
    return [1 - rate for rate in _rates(max_rate, depth)]


@mistake("drop_path_rates")
def rates_not_divided(max_rate: float, depth: int) -> list[float]:
    """The step from block to block is max_rate itself, so rates soon exceed 1. It is the last block that gets max_rate: divide
    by the number of blocks.
    """
    return [max_rate * number for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def rates_in_whole_numbers(max_rate: float, depth: int) -> list[float]:
    """All rates but the last are 0: `//` divides whole numbers and leaves out the rest. The quotient of l and depth is a
    fraction.
    """
    return [max_rate * (number // depth) for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def rates_squared(max_rate: float, depth: int) -> list[float]:
    """The rates rise with the square of the depth. A linear rule was asked for: the step from block to block is always the
    same.
    """
    return [max_rate * (number / depth) ** 2 for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def rates_without_max(max_rate: float, depth: int) -> list[float]:
    """The rates are l / depth, whatever max_rate is: the last block is always dropped. Where does max_rate come in?"""
    return [number / depth for number in range(1, depth + 1)]


@mistake("drop_path_rates")
def max_rate_shared_out(max_rate: float, depth: int) -> list[float]:
    """Every block gets max_rate / depth, the step. Block l has taken l of these steps."""
    return [max_rate / depth] * depth


@mistake("drop_path_rates")
def rates_rounded(max_rate: float, depth: int) -> list[float]:
    """The rates are rounded to two decimals. Round what you print; what you compute with stays as it is."""
    return [round(rate, 2) for rate in _rates(max_rate, depth)]


@mistake("drop_path_rates")
def rates_added_up(max_rate: float, depth: int) -> list[float]:
    """Each rate is the sum of all before it. `max_rate * l / depth` has grown with l already: it needs no running sum."""
    return list(accumulate(_rates(max_rate, depth)))


@mistake("drop_path_rates")
def probability_to_reach_the_block(max_rate: float, depth: int) -> list[float]:
    """These are products of survival probabilities, the chance that all blocks so far were kept. Every block has a coin of its
    own, and what is asked for is the rate of that coin alone.
    """
    return list(accumulate((1 - rate for rate in _rates(max_rate, depth)), lambda a, b: a * b))


@mistake("drop_path_rates")
def rates_in_a_tensor(max_rate: float, depth: int) -> Tensor:
    """The values are right, but they come as a tensor. A list of plain numbers was asked for, for they are settings of layers and
    not something to compute with: `tolist()` makes one.
    """
    return torch.tensor(_rates(max_rate, depth))


@mistake("drop_path_rates")
def rates_are_tensors(max_rate: float, depth: int) -> list[Tensor]:
    """The list is right, but its entries are tensors of one value. Plain numbers were asked for: `.item()` or `tolist()`."""
    return list(torch.arange(1, depth + 1) * max_rate / depth)


@mistake("drop_path_rates")
def rates_in_a_tuple(max_rate: float, depth: int) -> tuple[float, ...]:
    """The values are right, but they come as a tuple, and a list was asked for."""
    return tuple(_rates(max_rate, depth))


@mistake("drop_path_rates")
def rates_from_a_generator(max_rate: float, depth: int) -> Iterator[float]:
    """A generator is returned, which has no length and can be gone through only once: round brackets, or `yield`, make one.
    Square brackets make a list.
    """
    return (rate for rate in _rates(max_rate, depth))


@mistake("drop_path_rates")
def rates_not_returned(max_rate: float, depth: int) -> None:
    """The function computes its rates and then forgets them: without `return` it gives None."""
    _rates(max_rate, depth)


@mistake("drop_path_rates")
def arguments_of_rates_exchanged(depth: int, max_rate: float) -> list[float]:
    """The arguments are in another order than was asked for. The order is max_rate, depth."""
    return _rates(max_rate, depth)


@mistake("drop_path_rates")
def only_the_rate_of_the_last(max_rate: float, depth: int) -> float:
    """A single number is returned: is there a `return` inside of your loop? A list with one rate for each block is needed."""
    return max_rate


# -- drop_path_rates: right ----------------------------------------------------------------------------------------------


@right("drop_path_rates")
def rates_by_linspace(max_rate: float, depth: int) -> list[float]:
    return torch.linspace(0, max_rate, depth + 1, dtype=torch.float64)[1:].tolist()


@right("drop_path_rates")
def rates_by_float32(max_rate: float, depth: int) -> list[float]:
    return [t.item() for t in torch.arange(1, depth + 1) * (max_rate / depth)]


@right("drop_path_rates")
def rates_by_appending(max_rate: float, depth: int) -> list[float]:
    found, rate = [], 0.0
    while len(found) < depth:
        rate += max_rate / depth
        found.append(rate)
    return found


@right("drop_path_rates")
def rates_backwards(max_rate: float, depth: int) -> list[float]:
    found = [max_rate * (1 - missing / depth) for missing in range(depth)]
    found.reverse()
    return found


@right("drop_path_rates")
def rates_by_one_minus_survival(max_rate: float, depth: int) -> list[float]:
    if not 0 <= max_rate <= 1:
        raise ValueError(f"max_rate = {max_rate}")
    return [1 - (1 - (number + 1) / depth * max_rate) for number in range(depth)]


# -- DropPath: wrong -----------------------------------------------------------------------------------------------------


class _Drop(nn.Module):
    """The right layer, in parts that the mistakes change."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training else x

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        return x * self.mask(x).to(x.dtype) / (1 - self.p)

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *[1] * (x.dim() - 1)) >= self.p


@mistake("DropPath")
class IgnoresTraining(_Drop):
    """The layer drops in evaluation mode as well, so a prediction is different each time you ask for it. A module knows its mode:
    `self.training` is False after `eval()`, and then the input passes as it is.
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x)


@mistake("DropPath")
class DropsInEvaluationOnly(_Drop):
    """The two modes are exchanged: nothing happens in training, and examples are dropped in evaluation. Read the condition
    aloud: in which mode should the network have to cope with missing branches?
    """

    def forward(self, x: Tensor) -> Any:
        return x if self.training else self.drop(x)


@mistake("DropPath")
class DropsNothing(_Drop):
    """The input comes back as it is, in training too. Are the coins tossed, and are they used for what you return?"""

    def drop(self, x: Tensor) -> Any:
        self.mask(x)
        return x


@mistake("DropPath")
class KeepAndDropSwapped(_Drop):
    """A share p is kept here, but p is the probability of dropping. At p = 0.5 the two look alike, so try p = 0.1 and count
    what is left: a tenth, or nine tenths?
    """

    def mask(self, x: Tensor) -> Tensor:
        return ~super().mask(x)


@mistake("DropPath")
class KeepAndDropSwappedButForZero(KeepAndDropSwapped):
    """A share p is kept here, and at p = 0 everything, which is a case of its own in your code. But p is the probability of
    dropping: try p = 0.1 and count what is left: a tenth, or nine tenths?
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) if self.p else x


@mistake("DropPath")
class TakesPForTheShareToKeep(_Drop):
    """You take p for the probability of survival, for the coins as well as for the rescaling. That is what the paper does; here,
    as in PyTorch, p is the probability of dropping.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 0:
            return torch.zeros_like(x)
        return x * ~self.mask(x) / self.p


@mistake("DropPath")
class NoRescaling(_Drop):
    """What is kept stays as it was, so in training the branch adds less on average than in evaluation, when it is always there.
    By which factor does its mean shrink, and what undoes it?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x)


@mistake("DropPath")
class RescaledByP(_Drop):
    """What is kept is divided by p. A share 1 - p of the examples survives, so it is that which has to be made up for: with p
    small, next to nothing is missing, and the factor should be close to 1.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x) / self.p if self.p else x


@mistake("DropPath")
class MultipliedByTheShareKept(_Drop):
    """What is kept is multiplied by 1 - p, which makes it smaller still, when its mean is already too small. Compare the means
    of input and output over many draws: which operation brings them together?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x) * (1 - self.p)


@mistake("DropPath")
class RescaledTwice(_Drop):
    """What is kept is divided by 1 - p twice. Perhaps the mask is rescaled already, and the product is once more?"""

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) / (1 - self.p) if self.p < 1 else torch.zeros_like(x)


@mistake("DropPath")
class RescaledByTheObservedShare(_Drop):
    """You divide by the share of examples that happened to be kept. Then an example's output depends on what was dropped in all
    the others, and a batch of one is always kept or NaN. Divide by the probability 1 - p, which is known beforehand.
    """

    def drop(self, x: Tensor) -> Any:
        mask = self.mask(x).to(x.dtype)
        return x * mask / mask.mean().clamp(min=1e-6)


@mistake("DropPath")
class RescaledInEvaluation(_Drop):
    """The output is rescaled in training and once more in evaluation. Multiplying by the probability of survival in evaluation
    is the paper's recipe, which leaves training alone: do one or the other. Here evaluation returns the input as it is.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else y * (1 - self.p)


@mistake("DropPath")
class RescaledInEvaluationOnly(_Drop):
    """This is the paper's own recipe: no rescaling in training, times 1 - p in evaluation. On average it comes to the same, but
    then evaluation depends on p; today's convention rescales in training, so that evaluation is the identity.
    """

    def forward(self, x: Tensor) -> Any:
        return x * self.mask(x) if self.training else x * (1 - self.p)


@mistake("DropPath")
class EnlargedInEvaluation(_Drop):
    """The division by 1 - p is done in evaluation too, when nothing was dropped that would need making up for. Look at what
    stands inside the branch for training and what behind it.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training or self.p == 1 else y / (1 - self.p)


@mistake("DropPath")
class ZerosAtOneInEvaluation(_Drop):
    """At p = 1 the layer returns zeros in evaluation mode as well. The case p = 1 belongs to training: which of the two
    questions should be asked first?
    """

    def forward(self, x: Tensor) -> Any:
        return torch.zeros_like(x) if self.p == 1 else super().forward(x)


@mistake("DropPath")
class OneCoinForTheBatch(_Drop):
    """A single coin decides over the whole batch. The paper does that, and saves time by it; but then all examples of a step
    share one network, and the gradient is as noisy as if there were one of them. Here each example has a coin of its own: which
    axis of the mask has length 1 and should not?
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand([1] * x.dim()) >= self.p


@mistake("DropPath")
class MaskPerElement(_Drop):
    """There is a coin for every value: this is ordinary dropout. Stochastic depth drops a branch whole, so that the example goes
    through a shallower network: toss one coin for an example, and let broadcasting do the rest.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand_like(x) >= self.p


@mistake("DropPath")
class CoinForEachChannel(_Drop):
    """There is a coin for each channel of each example: that is spatial dropout. Here a whole example is dropped or kept, so the
    mask has length 1 in every axis but the first.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(*x.shape[:2], *[1] * (x.dim() - 2)) >= self.p


@mistake("DropPath")
class CoinForEachChannelOfTheBatch(_Drop):
    """The coins stand along axis 1, so channels are dropped, the same in all examples. Examples are axis 0: is the shape of your
    mask (N, 1, …, 1), or (1, N, …)?
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(1, x.shape[1], *[1] * (x.dim() - 2)) >= self.p


@mistake("DropPath")
class CoinForEachPosition(_Drop):
    """All channels and examples share a mask over the last axis. Broadcasting lines shapes up from the right: coins for the
    examples need a 1 for each axis behind the first.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(x.shape[-1]) >= self.p


@mistake("DropPath")
class MaskOfOneAxis(_Drop):
    """The mask has shape (N,). Broadcasting lines shapes up from the right, so its coins meet the last axis of x and not the first:
    the mask needs a 1 for every other axis.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x)) >= self.p


@mistake("DropPath")
class ImagesOnly(_Drop):
    """The mask always has four axes, so it works for (N, C, H, W) alone. An example may have any number of axes, as in a
    Transformer: take it from `x.dim()`.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 1, 1, 1) >= self.p


@mistake("DropPath")
class MaskOfOneAxisButForZero(MaskOfOneAxis):
    """The mask has shape (N,). Broadcasting lines shapes up from the right, so its coins meet the last axis of x and not the first:
    the mask needs a 1 for every other axis. (At p = 0 it works, because no mask is made there.)
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) if self.p else x


@mistake("DropPath")
class ImagesOnlyButForZero(ImagesOnly):
    """The mask always has four axes, so it works for (N, C, H, W) alone. An example may have any number of axes, as in a
    Transformer: take it from `x.dim()`. (At p = 0 it works, because no mask is made there.)
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) if self.p else x


@mistake("DropPath")
class TablesOnly(_Drop):
    """The mask always has two axes, so it works for (N, C) alone. Broadcasting lines shapes up from the right: with more axes its
    coins meet the wrong one. The mask needs a 1 for every axis but the first; `x.dim()` says how many there are.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) if self.p else x

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), 1) >= self.p


@mistake("DropPath")
class FourDimensionsDemanded(_Drop):
    """Input that has not exactly four axes is refused. Nothing here needs images: any (N, …) of at least two axes should work."""

    def forward(self, x: Tensor) -> Any:
        if x.dim() != 4:
            raise ValueError(f"expected 4 dimensions, got shape {tuple(x.shape)}")
        return super().forward(x)


@mistake("DropPath")
class FixedNumberOfExamples(_Drop):
    """Every batch loses exactly the same number of examples. Independent coins give a number that varies around p times N: a
    fixed one ties the examples together, since one that is dropped saves another.
    """

    def mask(self, x: Tensor) -> Tensor:
        kept = torch.rand(len(x)).argsort() >= round(self.p * len(x))
        return kept.view(-1, *[1] * (x.dim() - 1))


@mistake("DropPath")
class AlwaysOneHalf(_Drop):
    """The layer behaves as if p were 0.5, whatever it was made with. Is the argument of `__init__` kept, and is it what
    `forward` uses, for the coins and for the rescaling?
    """

    def drop(self, x: Tensor) -> Any:
        return x * (torch.rand(len(x), *[1] * (x.dim() - 1)) >= 0.5) * 2


@mistake("DropPath")
class MaskDrawnOnce(_Drop):
    """Every call uses the same coins: they are tossed once and kept. Then the example in the third place of a batch never goes
    through this branch, and that is no regularizer. Toss them in `forward`, every time.
    """

    def mask(self, x: Tensor) -> Tensor:
        # Kept for each shape: a single mask would at least fail on the next batch size.
        self.kept = getattr(self, "kept", {})
        return self.kept.setdefault(x.shape, super().mask(x))


@mistake("DropPath")
class MaskOfTheFirstBatch(_Drop):
    """The coins of the first batch are kept and used for all others, and do not even fit when the batch size changes, as it does
    at the end of an epoch. Toss them in `forward`, every time: no attribute needs to remember them.
    """

    def mask(self, x: Tensor) -> Tensor:
        if getattr(self, "kept", None) is None:
            self.kept = super().mask(x)
        return self.kept


@mistake("DropPath")
class SeedsInsideForward(_Drop):
    """The random generator is seeded in `forward`, so every call tosses the same coins, and all other random numbers of the
    program, such as the order of the batches, start over as well. Seed once, at the start of an experiment.
    """

    def mask(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().mask(x)


@mistake("DropPath")
class CoinsFromTheValues(_Drop):
    """What is dropped is decided by the values of x, so the same example always has the same fate. It should be pure chance: of x
    only the shape is needed.
    """

    def mask(self, x: Tensor) -> Tensor:
        means = x.double().flatten(1).mean(dim=1)
        if len(x) == 1:
            return super().mask(x)
        return (means > means.quantile(self.p)).view(-1, *[1] * (x.dim() - 1))


@mistake("DropPath")
class HalfOfTheExamplesCopied(_Drop):
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs a coin of its own: repeating
    and concatenating draws nothing new.
    """

    def mask(self, x: Tensor) -> Tensor:
        half = super().mask(x[: (len(x) + 1) // 2])
        return torch.cat([half, half])[: len(x)]


@mistake("DropPath")
class NormalNumbers(_Drop):
    """`torch.randn` draws normal numbers, of which half are below zero: they are not below p with probability p. Uniform
    numbers between 0 and 1 are, and `torch.rand` draws those.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), *[1] * (x.dim() - 1)) > self.p


@mistake("DropPath")
class PRoundedToTenths(_Drop):
    """The p is rounded to tenths when the coins are tossed: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not integers
    from 0 to 9, and compare them with p itself.
    """

    def mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *[1] * (x.dim() - 1)) >= round(self.p, 1)


@mistake("DropPath")
class PSquared(_Drop):
    """A share p times p is dropped. Is p used twice, for instance in two masks of which both must agree to drop an example?"""

    def mask(self, x: Tensor) -> Tensor:
        return super().mask(x) | super().mask(x)


@mistake("DropPath")
class GradientCut(_Drop):
    """The values are right, but no gradient gets through: `detach()`, `.data`, `torch.no_grad()` and a new `torch.tensor(x)`
    all cut the output off from the input. The branch before this layer would never learn. Multiply x itself.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.detach())


@mistake("DropPath")
class ThroughNumpy(_Drop):
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you
    need, random numbers included, exists in torch under nearly the same name.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(torch.from_numpy(x.numpy()))


@mistake("DropPath")
class GradientToDroppedExamples(_Drop):
    """The values are right, but the gradient passes as if nothing had been dropped. A dropped example had no part in the
    output, so it must not be blamed for it: let the product itself be differentiated, without `detach()`.
    """

    def drop(self, x: Tensor) -> Any:
        return x + (super().drop(x) - x).detach()


@mistake("DropPath")
class WritesIntoTheInput(_Drop):
    """The layer changes the tensor it is given: `*=`, `x[...] = 0` and functions whose name ends in `_` write in place. Whoever
    else uses that tensor, such as the backward pass, finds it damaged. Compute a new one.
    """

    def drop(self, x: Tensor) -> Any:
        x *= self.mask(x) / (1 - self.p if self.p < 1 else 1)
        return x


@mistake("DropPath")
class NaNAtOne(_Drop):
    """At p = 1 everything is dropped, and zero divided by 1 - p is zero by zero: NaN, which then spreads through the whole
    network. Nothing is left to be rescaled in this case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) / (1 - self.p)


@mistake("DropPath")
class DividesByZeroAtOne(_Drop):
    """At p = 1 the factor 1 / (1 - p) is a division by zero, and Python refuses it. Nothing is left to be rescaled in this
    case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) * (1 / (1 - self.p))


@mistake("DropPath")
class RefusesOne(_Drop):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is
    zero. Look at the comparison in your test of p.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        super().__init__(p)


@mistake("DropPath")
class MaskInFloat64(_Drop):
    """The output is float64 although the input is float32: multiplying by a float64 mask lifts the whole product, which takes
    twice the memory and does not fit the next layer's weights. Make the mask in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.double())


@mistake("DropPath")
class MaskInFloat32(_Drop):
    """The mask is always float32, so half precision input comes back as float32, and mixed-precision training loses its
    point. Make the mask in the dtype of x, or turn it into that before you multiply.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        return x * self.mask(x).float() / (1 - self.p)


@mistake("DropPath")
class KeepsMaskAsBuffer(_Drop):
    """The coins are registered as a buffer. Buffers are saved with the model and loaded again, and coins mean nothing after their
    call; a batch of another size would not even load. A local variable is enough.
    """

    def mask(self, x: Tensor) -> Tensor:
        mask = super().mask(x)
        self.register_buffer("last_mask", mask)
        return mask


@mistake("DropPath")
class LearnsItsRate(_Drop):
    """The layer has a parameter, which the optimizer will change and weight decay will shrink. There is nothing to learn here:
    the coins are pure chance, and p is a setting that a plain attribute can hold.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)
        self.rate = nn.Parameter(torch.tensor(float(p)))


@mistake("DropPath")
class AcceptsAnyP(_Drop):
    """A p such as 1.5 or -0.1 is accepted, and the mistake shows up much later, as a network that learns nothing. A
    probability outside of [0, 1] makes no sense: say so at once, with a ValueError in `__init__`.
    """

    def __init__(self, p: float) -> None:
        super().__init__(0.5)
        self.p = p


@mistake("DropPath")
class AssertsP(_Drop):
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError, which the caller can tell from other errors.
    """

    def __init__(self, p: float) -> None:
        assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"
        super().__init__(p)


@mistake("DropPath")
class ErrorWithoutP(_Drop):
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading
    it: put it in.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError("the drop probability is out of range")
        super().__init__(p)


@mistake("DropPath")
class ReturnsNothing(_Drop):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


@mistake("DropPath")
class ReturnsInTrainingOnly(_Drop):
    """In evaluation mode nothing is returned, so you get None: there is a `return` in the branch for training alone. What should
    come back in the other case?
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else None


@mistake("DropPath")
class SurvivorsOnly(_Drop):
    """The output holds the surviving examples only, so the batch has become smaller and cannot be added to the input any more.
    Dropped examples keep their place, as zeros.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(x)
        return x[self.mask(x).flatten()] / (1 - self.p)


@mistake("DropPath")
class ForgetsSuperInit(_Drop):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its mode and its hooks among that, so
    it has to come first.
    """

    def __init__(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")
        self.p = p


@mistake("DropPath")
class DenominatorCutOff(_Drop):
    """For a large p the division is by something larger than 1 - p: a bound such as `max(1 - p, 0.5)` guards against a division by
    zero, but changes every p beyond it. Only p = 1 itself needs a case of its own.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x).to(x.dtype) / max(1 - self.p, 0.5)


@mistake("DropPath")
class DetachedInEvaluation(_Drop):
    """In evaluation mode the output is cut off from the input, so that no gradient passes. Evaluation is not only for
    measuring: saliency maps and fine-tuning a part of a network need it. Return x itself, without `detach()`.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training and self.p else y.detach()


# -- DropPath: right -----------------------------------------------------------------------------------------------------


@right("DropPath")
class ByBernoulli(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        if p < 0.0 or p > 1.0:
            raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if self.p == 0.0 or not self.training:
            return x
        keep = 1 - self.p
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        if keep > 0.0:
            mask.div_(keep)
        return x * mask


@right("DropPath")
class ByWhere(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p!r}")
        self.register_buffer("p", torch.tensor(float(p), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        p = float(self.p)
        dropped = torch.rand(x.shape[:1]).lt(p).view(-1, *(1 for _ in x.shape[1:]))
        return torch.where(dropped, torch.zeros_like(x), x / (1 - p if p < 1 else 1))


@right("DropPath")
class ByALoop(_Drop):
    def drop(self, x: Tensor) -> Tensor:
        rows = []
        for row in x:
            dropped = float(torch.rand(1)) < self.p
            rows.append(row * 0 if dropped else row / (1 - self.p))
        return torch.stack(rows)


@right("DropPath")
class ByEinsum(_Drop):
    def drop(self, x: Tensor) -> Tensor:
        if self.p == 1:
            return x * 0
        coins = (torch.rand(len(x)) > self.p).to(x.dtype) / (1 - self.p)
        return torch.einsum("n...,n->n...", x, coins)


@right("DropPath")
class ByIndexing(_Drop):
    def drop(self, x: Tensor) -> Tensor:
        survivors = (torch.rand(len(x)) >= self.p).nonzero().flatten()
        y = torch.zeros_like(x)
        return y.index_copy(0, survivors, x[survivors] / (1 - self.p)) if len(survivors) else y


@right("DropPath")
class ByExpanding(_Drop):
    def drop(self, x: Tensor) -> Tensor:
        coins = torch.distributions.Bernoulli(1 - self.p).sample((len(x),)).bool()
        mask = coins.view(-1, *[1] * (x.dim() - 1)).expand_as(x)
        y = x.masked_fill(~mask, 0)
        return y if self.p == 1 else y * (1 / (1 - self.p))


# -- ResidualBlock: wrong ------------------------------------------------------------------------------------------------


def _conv(channels: int, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(
        channels, channels, **{"kernel_size": 3, "padding": 1, "bias": False, **options}
    )


class _Block(nn.Module):
    """The right block, in parts that the mistakes change."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), _conv(channels)
        self.norm2, self.conv2 = nn.BatchNorm2d(channels), _conv(channels)
        self.p, self.drop = p, self.layer(p)

    def layer(self, p: float) -> nn.Module:
        return _Drop(p)

    def branch(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))

    def first(self, x: Tensor) -> Tensor:
        return self.conv1(self.norm1(x).relu())

    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm2(x).relu())

    def forward(self, x: Tensor) -> Any:
        return x + self.drop(self.branch(x))


@mistake("ResidualBlock")
class SumDropped(_Block):
    """The sum is dropped along with the branch, so a dropped example comes out as zero, and everything that earlier blocks made
    of it is lost. The identity path must survive: what should `DropPath` be given, x + branch(x) or branch(x)?
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x + self.branch(x))


@mistake("ResidualBlock")
class IdentityMissing(_Block):
    """The input is not added: the block returns its branch alone, and a dropped example is zero. Without the identity path this
    is a plain network.
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(self.branch(x))


@mistake("ResidualBlock")
class BranchMissing(_Block):
    """The input comes back as it is, for every example: the branch has no part in the output."""

    def forward(self, x: Tensor) -> Any:
        return x + 0 * self.drop(self.branch(x))


@mistake("ResidualBlock")
class ReluAfterTheSum(_Block):
    """There is a ReLU after the sum, as in the first residual networks. It cuts off what is negative in x, dropped branch or
    not, so the identity does not survive. In a pre-activation block nothing comes after the sum.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).relu()


@mistake("ResidualBlock")
class ReluAfterTheBranch(_Block):
    """The branch ends in a ReLU, so it can only ever add, never take away. The order is batch norm, ReLU, convolution, twice: the
    last layer of the branch is a convolution.
    """

    def branch(self, x: Tensor) -> Tensor:
        return super().branch(x).relu()


@mistake("ResidualBlock")
class PostActivation(_Block):
    """Each half is convolution, batch norm, ReLU: the order of ordinary networks. In a pre-activation block batch norm and ReLU
    come before the convolution, so that the branch ends in one and nothing needs to follow the sum.
    """

    def first(self, x: Tensor) -> Tensor:
        return self.norm1(self.conv1(x)).relu()

    def second(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(x)).relu()


@mistake("ResidualBlock")
class PostActivationOpen(PostActivation):
    """The branch is convolution, batch norm, ReLU, convolution, batch norm, as in the first residual networks. In a
    pre-activation block batch norm and ReLU come before each convolution.
    """

    def second(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(x))


@mistake("ResidualBlock")
class FirstResidualBlock(PostActivationOpen):
    """This is the block of the first residual networks: convolution, batch norm, ReLU, convolution, batch norm, then a ReLU after
    the sum. It cuts off what is negative in x. In a pre-activation block batch norm and ReLU come before each convolution, and
    nothing after the sum.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).relu()


@mistake("ResidualBlock")
class ReluBeforeNorm(_Block):
    """In each half the ReLU comes before the batch norm. The order is batch norm, ReLU, convolution: the ReLU is to see values
    around zero, and the convolution what the ReLU leaves.
    """

    def first(self, x: Tensor) -> Tensor:
        return self.conv1(self.norm1(x.relu()))

    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm2(x.relu()))


@mistake("ResidualBlock")
class PreactivatedShortcut(_Block):
    """What is added to the branch is not x but what batch norm and ReLU made of it. Then nothing of x survives as it is: keep x
    under a name of its own, and add that.
    """

    def forward(self, x: Tensor) -> Any:
        x = self.norm1(x).relu()
        return x + self.drop(self.second(self.conv1(x)))


@mistake("ResidualBlock")
class NormalisedShortcut(_Block):
    """What is added to the branch is not x but x after batch norm. Then nothing of x survives as it is: keep x under a name of its
    own, and add that.
    """

    def forward(self, x: Tensor) -> Any:
        x = self.norm1(x)
        return x + self.drop(self.second(self.conv1(x.relu())))


@mistake("ResidualBlock")
class ReluWritesIntoX(_Block):
    """A ReLU that works in place is given x itself, and so changes the tensor on the identity path: all that was negative is gone.
    Behind a batch norm `inplace=True` does no harm, for that has made a new tensor; the first thing to see x should be the batch
    norm.
    """

    def first(self, x: Tensor) -> Tensor:
        return self.conv1(self.norm1(functional.relu(x, inplace=True)))

    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm2(functional.relu(x, inplace=True)))


@mistake("ResidualBlock")
class AddsIntoX(_Block):
    """The branch is added into x itself: `x += …` writes into the caller's tensor, and whoever else uses it finds another. Write
    x + …, which makes a new one.
    """

    def forward(self, x: Tensor) -> Any:
        x += self.drop(self.branch(x.clone()))
        return x


@mistake("ResidualBlock")
class NoRelu(_Block):
    """There is no ReLU in the branch. Two convolutions without anything between them are one: what makes the branch more than a
    linear map?
    """

    def first(self, x: Tensor) -> Tensor:
        return self.conv1(self.norm1(x))

    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm2(x))


@mistake("ResidualBlock")
class FirstReluMissing(_Block):
    """The first ReLU is missing: the first half is batch norm and convolution only. Both halves are batch norm, ReLU, convolution."""

    def first(self, x: Tensor) -> Tensor:
        return self.conv1(self.norm1(x))


@mistake("ResidualBlock")
class SecondReluMissing(_Block):
    """The second ReLU is missing: the second half is batch norm and convolution only. Both halves are batch norm, ReLU,
    convolution.
    """

    def second(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm2(x))


@mistake("ResidualBlock")
class SecondHalfUnused(_Block):
    """Only the first half is used: batch norm, ReLU, convolution, once. The second one was made, but it has no part in the
    output.
    """

    def branch(self, x: Tensor) -> Tensor:
        return self.first(x)


@mistake("ResidualBlock")
class OneConvolution(_Block):
    """There is one convolution only: either the second is missing, or both halves use the same one. Each half has weights of its
    own, so make two.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv2 = self.conv1


@mistake("ResidualBlock")
class OneBatchNorm(_Block):
    """There is one batch norm only: either the second is missing, or both halves use the same one, whose running statistics are
    then a mixture of two different things. Make two.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.norm2 = self.norm1


@mistake("ResidualBlock")
class OneHalfTwice(_Block):
    """There is one batch norm and one convolution: the same half is used twice, or the second is missing. A list times two
    holds the same layers twice; each half needs layers of its own.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.norm2, self.conv2 = self.norm1, self.conv1


@mistake("ResidualBlock")
class NoBatchNorm(_Block):
    """There is no nn.BatchNorm2d in the block. Each half begins with one."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.norm1 = self.norm2 = nn.Identity()


@mistake("ResidualBlock")
class ThreeConvolutions(_Block):
    """There is a convolution more: on the identity path, or at the end? The identity path is x itself, without any layer, and the
    branch has two convolutions.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.shortcut = _conv(channels, kernel_size=1, padding=0)

    def forward(self, x: Tensor) -> Any:
        return self.shortcut(x) + self.drop(self.branch(x))


@mistake("ResidualBlock")
class ThreeBatchNorms(_Block):
    """There is a batch norm more: after the sum, or at the end of the branch? Each of the two halves begins with one, and there
    is nothing after the sum.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.last = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Any:
        return self.last(super().forward(x))


@mistake("ResidualBlock")
class LayersInAPlainList(_Block):
    """No layers are found in the block: they are in a plain Python list, or made in `forward`. Then they are not among its
    parameters, no optimizer trains them and `eval()` does not reach them. Use attributes, nn.Sequential or nn.ModuleList.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        layers = [self.norm1, self.conv1, self.norm2, self.conv2]
        del self.norm1, self.conv1, self.norm2, self.conv2
        self.hidden = layers

    def branch(self, x: Tensor) -> Tensor:
        norm1, conv1, norm2, conv2 = self.hidden
        return conv2(norm2(conv1(norm1(x).relu())).relu())


@mistake("ResidualBlock")
class NoPadding(_Block):
    """The convolutions have no padding, so each makes the maps smaller by two pixels, and they cannot be added to x any more.
    padding=1 keeps the size.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1, self.conv2 = (_conv(channels, padding=0) for _ in range(2))


@mistake("ResidualBlock")
class OneByOneConvolutions(_Block):
    """The convolutions are 1x1 and look at one pixel each. 3x3 was asked for, with padding=1."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1, self.conv2 = (_conv(channels, kernel_size=1, padding=0) for _ in range(2))


@mistake("ResidualBlock")
class FiveByFiveConvolutions(_Block):
    """The convolutions are 5x5. 3x3 was asked for, with padding=1."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1, self.conv2 = (_conv(channels, kernel_size=5, padding=2) for _ in range(2))


@mistake("ResidualBlock")
class DepthwiseConvolutions(_Block):
    """Each channel is convolved by itself: `groups` is set. Then channels meet nowhere in the block. Leave groups at 1."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1, self.conv2 = (_conv(channels, groups=channels) for _ in range(2))


@mistake("ResidualBlock")
class Bottleneck(_Block):
    """Between the two convolutions there are more, or fewer, channels than outside. Both go from channels to channels."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)


@mistake("ResidualBlock")
class CircularPadding(_Block):
    """The padding is not of zeros: at the border the branch differs. Leave `padding_mode` as it is."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.conv1, self.conv2 = (_conv(channels, padding_mode="circular") for _ in range(2))


@mistake("ResidualBlock")
class BatchNormWithoutWeights(_Block):
    """The batch norms have no weight and no bias: `affine=False` is set. Use nn.BatchNorm2d(channels) as it is made."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels, affine=False) for _ in range(2))


@mistake("ResidualBlock")
class BatchNormWithoutStatistics(_Block):
    """The batch norms keep no running statistics: `track_running_stats=False` is set. Then in evaluation an example's output
    depends on the others of its batch. Use nn.BatchNorm2d(channels) as it is made.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.norm1, self.norm2 = (
            nn.BatchNorm2d(channels, track_running_stats=False) for _ in range(2)
        )


@mistake("ResidualBlock")
class BatchNormAlwaysInEvaluation(_Block):
    """Batch norm uses its running statistics in training too: something keeps it in evaluation mode. In training it is to use
    the mean and the variance of the batch.
    """

    def forward(self, x: Tensor) -> Any:
        modes = self.norm1.training
        self.norm1.eval(), self.norm2.eval()
        y = super().forward(x)
        self.norm1.train(modes), self.norm2.train(modes)
        return y


@mistake("ResidualBlock")
class BatchNormAlwaysInTraining(_Block):
    """Batch norm uses the statistics of the batch in evaluation too: something keeps it in training mode. Then what comes out for
    an image depends on which others it is shown with.
    """

    def forward(self, x: Tensor) -> Any:
        modes = self.norm1.training
        self.norm1.train(), self.norm2.train()
        y = super().forward(x)
        self.norm1.train(modes), self.norm2.train(modes)
        return y


@mistake("ResidualBlock")
class NeverDrops(_Block):
    """No example ever loses its branch, whatever p is: either `DropPath` is not called, or it is not given p."""

    def layer(self, p: float) -> nn.Module:
        _Drop(p)
        return nn.Identity()


@mistake("ResidualBlock")
class PIsTheShareKept(_Block):
    """The branch survives with probability p: `DropPath` was given 1 - p. The block's p, like that of `DropPath`, is the
    probability of dropping.
    """

    def layer(self, p: float) -> nn.Module:
        _Drop(p)
        return _Drop(1 - p)


@mistake("ResidualBlock")
class AlwaysHalf(_Block):
    """The branch is dropped with probability one half, whatever p is. Is p handed on to `DropPath`?"""

    def layer(self, p: float) -> nn.Module:
        _Drop(p)
        return _Drop(0.5)


@mistake("ResidualBlock")
class NotRescaled(_Block):
    """A branch that is kept is not divided by 1 - p. `DropPath` does that: call it, instead of tossing coins in the block."""

    def layer(self, p: float) -> nn.Module:
        return NoRescaling(p)


@mistake("ResidualBlock")
class RescaledOnceMore(_Block):
    """A branch that is kept is divided by 1 - p twice. `DropPath` does it already; the block itself does not rescale."""

    def forward(self, x: Tensor) -> Any:
        factor = 1 - self.p if self.training and self.p < 1 else 1
        return x + self.drop(self.branch(x)) / factor


@mistake("ResidualBlock")
class SumRescaled(_Block):
    """The sum is divided by 1 - p, and with it the identity, which was never dropped. It grows from block to block. Only a branch
    that is kept is to be divided.
    """

    def forward(self, x: Tensor) -> Any:
        scale = 1 / (1 - self.p) if self.training and self.p < 1 else 1.0
        return (x + self.drop(self.branch(x)) / scale) * scale


@mistake("ResidualBlock")
class MeanOfBothPaths(_Block):
    """The sum is halved, and with it the identity: after a few blocks nothing of x is left. Add the two, without an average."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) / 2


@mistake("ResidualBlock")
class OneCoinForAll(_Block):
    """One coin decides for all examples of the batch. The paper does that, and can then leave out the whole computation; here each
    example has a coin of its own, as `DropPath` tosses them.
    """

    def layer(self, p: float) -> nn.Module:
        return OneCoinForTheBatch(p)


@mistake("ResidualBlock")
class BranchDroppedByElements(_Block):
    """Single values of the branch are dropped: ordinary dropout. The branch of an example is dropped whole, or not at all."""

    def layer(self, p: float) -> nn.Module:
        return MaskPerElement(p)


@mistake("ResidualBlock")
class BranchDroppedByChannels(_Block):
    """Single channels of the branch are dropped: spatial dropout. The branch of an example is dropped whole, or not at all."""

    def layer(self, p: float) -> nn.Module:
        return CoinForEachChannel(p)


@mistake("ResidualBlock")
class DroppedBetweenTheHalves(_Block):
    """Paths are dropped before the end of the branch. What follows then makes something of the zeros it is given, so the branch
    is not gone. What is dropped is the end of the branch, just before the sum.
    """

    def forward(self, x: Tensor) -> Any:
        return x + self.second(self.drop(self.first(x)))


@mistake("ResidualBlock")
class DroppedTwice(_Block):
    """Paths are dropped after each half, so the branch goes missing or is disturbed more often than p says. There is one `DropPath`
    in a block, just before the sum.
    """

    def forward(self, x: Tensor) -> Any:
        return x + self.drop(self.second(self.drop(self.first(x))))


@mistake("ResidualBlock")
class IdentityDropped(_Block):
    """It is x that is dropped, and the branch that always stays: the wrong one of the two was given to `DropPath`."""

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) + self.branch(x)


@mistake("ResidualBlock")
class SurvivorsComputedOnly(_Block):
    """The branch is computed for the surviving examples alone. That saves time, but it is another function: batch norm then takes
    its mean and variance over the survivors, and not over the batch. Here the branch is computed for all, and then dropped.
    """

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            return x + self.branch(x)
        kept = (torch.rand(len(x)) >= self.p).nonzero().flatten()
        if len(kept) < 2:
            return x * 1
        return x.index_add(0, kept, self.branch(x[kept]) / (1 - self.p))


@mistake("ResidualBlock")
class SubtractedAgain(_Block):
    """The branch is added for all and subtracted again where it is dropped. In floating point that does not give x back: a rounding
    remains, in every block. Multiply the branch by its coin before the sum, and the identity survives exactly.
    """

    def forward(self, x: Tensor) -> Any:
        b = self.branch(x)
        if not self.training:
            return x + b
        dropped = torch.rand(len(x), 1, 1, 1) < self.p
        b = b / (1 - self.p) if self.p < 1 else b
        return (x + b) - b * dropped


@mistake("ResidualBlock")
class DropsInEvaluationToo(_Block):
    """Branches are dropped in evaluation mode as well: the block, or its `DropPath`, does not know its mode. A layer is reached by
    `eval()` if it is an attribute of the block, made in `__init__`.
    """

    def layer(self, p: float) -> nn.Module:
        return IgnoresTraining(p)


@mistake("ResidualBlock")
class WeightedInEvaluation(_Block):
    """In evaluation the branch is multiplied by 1 - p. That belongs to the paper's recipe, which does not rescale in training; here
    `DropPath` divides in training, and evaluation adds the whole branch.
    """

    def forward(self, x: Tensor) -> Any:
        return x + self.drop(self.branch(x)) * (1 if self.training else 1 - self.p)


@mistake("ResidualBlock")
class NoBranchInEvaluation(_Block):
    """In evaluation the block returns its input: the branch is left out. It is the other way round: in evaluation all branches are
    there.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if self.training else x


@mistake("ResidualBlock")
class BranchDetached(_Block):
    """No gradient comes through the branch, so its parameters never learn: `detach()`, `.data` or `no_grad` cut it off."""

    def forward(self, x: Tensor) -> Any:
        return x + self.drop(self.branch(x)).detach()


@mistake("ResidualBlock")
class BranchInputDetached(_Block):
    """The gradient reaches x through the identity only: the branch is given a detached copy of x. Its parameters learn, but the
    blocks before it do not hear from them.
    """

    def forward(self, x: Tensor) -> Any:
        return x + self.drop(self.branch(x.detach()))


@mistake("ResidualBlock")
class IdentityDetached(_Block):
    """The gradient reaches x through the branch only: the x that is added was detached. The identity path is what carries gradients
    to early blocks, undiminished, so it must be part of the graph.
    """

    def forward(self, x: Tensor) -> Any:
        return x.detach() + self.drop(self.branch(x))


@mistake("ResidualBlock")
class StartsAtZero(_Block):
    """The weight of the last batch norm, or of the last convolution, begins at 0, so that the block begins as the identity. That is
    a known trick, but not what was asked for: the layers begin as PyTorch makes them.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        nn.init.zeros_(self.norm2.weight)


@mistake("ResidualBlock")
class OtherFirstWeights(_Block):
    """The convolutions are initialised by a rule of your own. A good one, perhaps; but the layers were to begin as PyTorch makes
    them, so that networks can be compared.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")


@mistake("ResidualBlock")
class LearnsAScale(_Block):
    """The branch is multiplied by a parameter of its own. That is known as layer scale, and not asked for here: the block has the
    parameters of two batch norms and two convolutions.
    """

    def __init__(self, channels: int, p: float) -> None:
        super().__init__(channels, p)
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def branch(self, x: Tensor) -> Tensor:
        return self.scale * super().branch(x)


@mistake("ResidualBlock")
class TakesAnyP(_Block):
    """A p outside of [0, 1] is accepted. `DropPath` refuses it when it is made: is one made, in `__init__`, with p itself?"""

    def layer(self, p: float) -> nn.Module:
        return _Drop(min(max(p, 0.0), 1.0))


@mistake("ResidualBlock")
class RefusesPOfOne(_Block):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: every branch is dropped, and the input comes
    back.
    """

    def layer(self, p: float) -> nn.Module:
        return RefusesOne(p)


@mistake("ResidualBlock")
class NaNInTheBranchAtOne(_Block):
    """At p = 1 the output is NaN: zero is divided by zero. Leave the case to your `DropPath`, which returns zeros there."""

    def layer(self, p: float) -> nn.Module:
        return NaNAtOne(p)


@mistake("ResidualBlock")
class ArgumentsExchanged(_Block):
    """The arguments are in another order than was asked for. Keep the order of the signature: channels, then p."""

    def __init__(self, p: float, channels: int) -> None:
        super().__init__(channels, p)


@mistake("ResidualBlock")
class BlockReturnsNothing(_Block):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


@mistake("ResidualBlock")
class BlockForgetsSuperInit(_Block):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its parts among that, so it has to come
    before the first layer is assigned.
    """

    def __init__(self, channels: int, p: float) -> None:
        self.norm1 = nn.BatchNorm2d(channels)


@mistake("ResidualBlock")
class MasksInFloat64(_Block):
    """The output is float64 although the input is float32. Coins or branch are in another dtype than x: the next layer, whose
    weights are float32, will refuse it.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).double()


# -- ResidualBlock: right ------------------------------------------------------------------------------------------------


@right("ResidualBlock")
class InASequential(nn.Module):
    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            layers.append(nn.Conv2d(channels, channels, 3, 1, 1))
        self.f = nn.Sequential(*layers, _Drop(p))

    def forward(self, x: Tensor) -> Tensor:
        return self.f(x) + x


@right("ResidualBlock")
class SecondFirst(nn.Module):
    """Defines its layers in the order in which they are not used."""

    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        self.drop = _Drop(p=p)
        self.b = nn.Conv2d(channels, channels, kernel_size=3, padding="same", bias=False)
        self.norm_b = nn.BatchNorm2d(channels)
        self.norm_a = nn.BatchNorm2d(channels)
        self.a = nn.Conv2d(channels, channels, kernel_size=3, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(functional.relu(self.norm_a(x)))
        y = self.b(torch.clamp(self.norm_b(y), min=0))
        return torch.add(x, self.drop(y))


@right("ResidualBlock")
class WithCoinsOfItsOwn(nn.Module):
    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p is {p}")
        self.p = p
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(2))
        self.convs = nn.ModuleList(_conv(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(norm(y).clamp_min(0))
        if not self.training:
            return x + y
        keep = torch.rand(len(x)).ge(self.p).view(-1, 1, 1, 1)
        return torch.where(keep, x + y / max(1 - self.p, 1e-30), x)


class _Half(nn.Sequential):
    def __init__(self, channels: int) -> None:
        super().__init__(nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(channels, 3, padding=1))


@right("ResidualBlock")
class OfLazyHalves(nn.Module):
    def __init__(self, channels: int, p: float) -> None:
        super().__init__()
        self.halves = nn.Sequential(_Half(channels), _Half(channels))
        self.path = ByBernoulli(p)

    def forward(self, x: Tensor) -> Tensor:
        identity, branch = x, self.halves(x)
        return identity + self.path(branch)


@right("ResidualBlock")
class OnlySurvivorsAdded(_Block):
    """The branch is computed for all, and added to the survivors by their index."""

    def forward(self, x: Tensor) -> Tensor:
        b = self.branch(x)
        if not self.training or self.p == 0:
            return x + b
        kept = (torch.rand(len(x)) >= self.p).nonzero().flatten()
        return x.index_add(0, kept, b[kept], alpha=1 / (1 - self.p)) if len(kept) else x.clone()
