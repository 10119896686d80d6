"""Known wrong implementations of 04_dropconnect, each with its explanation, and right ones written in other ways.

What both layers can get wrong is written once, as a class whose name begins with an underscore, and made for each of them: the
right layer below with one thing changed.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from autograder.mistakes import mistake, right

# -- drop_connect_linear: wrong ------------------------------------------------------------------------------------------


def _output(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    return torch.einsum("noi,ni->no", weight_mask * weight, x) + bias_mask * bias


@mistake("drop_connect_linear")
def weights_not_masked(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The weights are used as they are: `weight_mask` never meets them. Every connection is still there; which product removes
    some of them?
    """
    return x @ weight.T + bias_mask * bias


@mistake("drop_connect_linear")
def mask_of_the_first_example(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """All examples are multiplied by the weights that mask 0 leaves. The first dimension of `weight_mask` numbers the examples:
    each has a matrix of its own, and row n of x belongs to matrix n.
    """
    return x @ (weight_mask[0] * weight).T + bias_mask * bias


@mistake("drop_connect_linear")
def mask_of_the_last_example(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """All examples are multiplied by the weights that the last mask leaves. Does a loop over masks overwrite its result each
    time, and where does it say which row of x belongs to which mask?
    """
    for mask in weight_mask:
        y = x @ (mask * weight).T
    return y + bias_mask * bias


@mistake("drop_connect_linear")
def masks_averaged(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masks of the batch are averaged into one, which drops nothing and makes every weight a little smaller. Each example
    keeps its own mask: the average over networks comes about by itself, over many batches.
    """
    return x @ (weight_mask.mean(dim=0) * weight).T + bias_mask * bias


@mistake("drop_connect_linear")
def masks_on_activations(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """What is masked here is the output, one number a unit: that is dropout. A unit's mask has a coin for each of its inputs,
    and some of them arrive while others do not: multiply before you add up.
    """
    return weight_mask[:, :, 0] * (x @ weight.T) + bias_mask * bias


@mistake("drop_connect_linear")
def masks_on_inputs(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """What is masked here is the input, the same for all units: that is dropout of x. An input that is cut off from one unit
    still reaches the others, so the mask belongs to the weights.
    """
    return (weight_mask[:, 0] * x) @ weight.T + bias_mask * bias


@mistake("drop_connect_linear")
def bias_not_masked(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias is added whole. It is a weight like the others, from an input that is always 1, and has a mask too: what is
    `bias_mask` for?
    """
    return torch.einsum("noi,ni->no", weight_mask * weight, x) + bias


@mistake("drop_connect_linear")
def bias_left_out(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias does not appear in the output. Compare with the formula: two terms are added."""
    return torch.einsum("noi,ni->no", weight_mask * weight, x)


@mistake("drop_connect_linear")
def bias_mask_of_the_first_example(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The weights have a mask for each example, but the bias has the first one's for all. `bias_mask` is (N, O), and the bias
    (O,): what does broadcasting make of their product?
    """
    return torch.einsum("noi,ni->no", weight_mask * weight, x) + bias_mask[0] * bias


@mistake("drop_connect_linear")
def bias_masked_by_a_weights_coin(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias is dropped together with one of the weights: its mask is taken from `weight_mask`. It has a coin of its own, in
    `bias_mask`.
    """
    return torch.einsum("noi,ni->no", weight_mask * weight, x) + weight_mask[:, :, 0] * bias


@mistake("drop_connect_linear")
def everything_by_the_bias_mask(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias' mask multiplies the whole output and not the bias alone, so that a unit without its bias loses all its inputs
    too. Where do the brackets end?
    """
    return bias_mask * (torch.einsum("noi,ni->no", weight_mask * weight, x) + bias)


@mistake("drop_connect_linear")
def bias_added_for_each_input(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias is added before the sum over the inputs, and so counts once for every input. It belongs to the unit: once is
    enough.
    """
    return (weight_mask * weight * x.unsqueeze(1) + (bias_mask * bias).unsqueeze(2)).sum(dim=2)


@mistake("drop_connect_linear")
def bias_subtracted(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The bias has the wrong sign: it is added, not subtracted."""
    return torch.einsum("noi,ni->no", weight_mask * weight, x) - bias_mask * bias


@mistake("drop_connect_linear")
def bias_mask_without_the_bias(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The mask of the bias is added, but not the bias. It is their product that belongs to the output."""
    return torch.einsum("noi,ni->no", weight_mask * weight, x) + bias_mask + 0 * bias


@mistake("drop_connect_linear")
def mask_without_the_weights(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The input is multiplied by the masks alone, and the weights play no part. The mask says which weights are there; their values
    still count.
    """
    return torch.einsum("noi,ni->no", weight_mask, x) + 0 * weight.sum() + bias_mask * bias


@mistake("drop_connect_linear")
def weights_added_up_without_x(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masked weights are added up, but x is not in the sum: each weight has to be multiplied by its input first."""
    return (weight_mask * weight).sum(dim=2) + 0 * x.sum() + bias_mask * bias


@mistake("drop_connect_linear")
def mean_over_the_inputs(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The average over the inputs is taken where their sum belongs: a matrix product adds up."""
    return (weight_mask * weight * x.unsqueeze(1)).mean(dim=2) + bias_mask * bias


@mistake("drop_connect_linear")
def examples_mixed(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """Each matrix meets the sum of all examples. In `einsum` an index that has different letters in the two factors is summed
    over separately: which letter should x share with the masks?
    """
    return torch.einsum("noi,mi->no", weight_mask * weight, x) + bias_mask * bias


@mistake("drop_connect_linear")
def kept_and_dropped_exchanged(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """What the masks keep is dropped, and what they drop is kept. Here 1 means that the weight stays: multiply by the mask as
    it is.
    """
    return _output(x, weight, bias, 1 - weight_mask, 1 - bias_mask)


@mistake("drop_connect_linear")
def rescaled_by_the_mean_of_the_mask(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """You divide by the share of ones in the masks. Rescaling is the layer's part: masks may come in rescaled already, and are
    multiplied as they are.
    """
    return _output(
        x, weight, bias, weight_mask / weight_mask.mean(), bias_mask / bias_mask.mean()
    )


@mistake("drop_connect_linear")
def masks_made_zeros_and_ones(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masks are turned into zeros and ones first (`!= 0`, `.bool()`), and so a mask that is rescaled already loses its
    scale. Multiply by them as they are.
    """
    return _output(
        x, weight, bias, (weight_mask != 0).to(x.dtype), (bias_mask != 0).to(x.dtype)
    )


@mistake("drop_connect_linear")
def masks_compared_with_one_half(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masks are compared with one half, as if they were the random numbers that masks are drawn from. They have been drawn
    already: multiply by them.
    """
    return _output(
        x, weight, bias, (weight_mask > 0.5).to(x.dtype), (bias_mask > 0.5).to(x.dtype)
    )


@mistake("drop_connect_linear")
def masks_applied_twice(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masks are multiplied twice. Zeros and ones do not show it, but a rescaled mask is then rescaled twice: once to the
    weights, and once to what comes of them?
    """
    return _output(x, weight * 1, bias, weight_mask.square(), bias_mask.square())


@mistake("drop_connect_linear")
def masks_as_whole_numbers(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The masks are turned into whole numbers (`.int()`, `.long()`), which cuts off what a rescaled mask has behind the point.
    Leave them as they are.
    """
    return _output(x, weight, bias, weight_mask.long(), bias_mask.long()).to(x.dtype)


@mistake("drop_connect_linear")
def letters_exchanged_in_einsum(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The sum runs over the outputs, or the matrix is read as (N, I, O). With as many inputs as outputs nobody would notice, and
    every number would be wrong; here the sizes differ. Write down which letter is which dimension.
    """
    return torch.einsum("nio,ni->no", weight_mask * weight, x) + bias_mask * bias


@mistake("drop_connect_linear")
def every_example_with_every_mask(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The result has a dimension too many: all N matrices are multiplied with all N examples. `@` broadcasts, so give x the
    shape of N single columns, (N, I, 1), or name the dimensions in `einsum`.
    """
    return (weight_mask * weight) @ x.T + bias_mask.unsqueeze(2) * bias.unsqueeze(1)


@mistake("drop_connect_linear")
def column_not_removed(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The product of N matrices and N columns is (N, O, 1), and adding (N, O) to that broadcasts to (N, O, O). Remove the last
    dimension first, `squeeze(2)`.
    """
    product = (weight_mask * weight) @ x.unsqueeze(2)
    return product + (bias_mask * bias).unsqueeze(1)


@mistake("drop_connect_linear")
def every_single_dimension_squeezed(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """`squeeze()` without a number removes every dimension of length 1, also that of the examples when there is one, or of the
    outputs. Say which dimension you mean.
    """
    return ((weight_mask * weight) @ x.unsqueeze(2)).squeeze() + (bias_mask * bias).squeeze()


@mistake("drop_connect_linear")
def no_gradient_at_all(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The values are right, but no gradient gets through: `detach()`, `.data` and `torch.no_grad()` cut the output off, so that
    nothing would be learnt. Multiply the tensors themselves.
    """
    with torch.no_grad():
        return _output(x, weight, bias, weight_mask, bias_mask)


@mistake("drop_connect_linear")
def no_gradient_to_the_weights(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The gradient reaches x but neither the weights nor the bias: `.data` and `.detach()` give numbers without history. These
    are what the layer learns.
    """
    return _output(x, weight.detach(), bias.detach(), weight_mask, bias_mask)


@mistake("drop_connect_linear")
def no_gradient_to_the_input(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The gradient reaches the weights but not x, so all layers before this one stop learning. Do not detach or copy x."""
    return _output(x.detach(), weight, bias, weight_mask, bias_mask)


@mistake("drop_connect_linear")
def gradient_to_dropped_weights(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The values are right, but gradients pass as if nothing had been dropped. A dropped weight had no part in the output of its
    example: let the product itself be differentiated.
    """
    whole = functional.linear(x, weight, bias)
    return whole + (_output(x, weight, bias, weight_mask, bias_mask) - whole).detach()


@mistake("drop_connect_linear")
def through_numpy(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Any:
    """The computation goes through NumPy, which PyTorch cannot differentiate: `torch.einsum` takes the same letters."""
    import numpy

    thinned = weight_mask.numpy() * weight.numpy()
    return numpy.einsum("noi,ni->no", thinned, x.numpy()) + bias_mask.numpy() * bias.numpy()


@mistake("drop_connect_linear")
def writes_into_the_mask(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The mask that was handed in is changed: `*=` and `mul_` write into the caller's tensor. Compute a new one."""
    weight_mask *= weight
    return torch.einsum("noi,ni->no", weight_mask, x) + bias_mask * bias


@mistake("drop_connect_linear")
def output_in_double(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """The output is float64 whatever x is: it takes twice the memory and does not fit the next layer's weights. Stay in the dtype
    of x.
    """
    return _output(
        x.double(), weight.double(), bias.double(), weight_mask.double(), bias_mask.double()
    )


@mistake("drop_connect_linear")
def draws_masks_of_its_own(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    """Masks are drawn inside, and those that were handed in are not used. This function is pure arithmetic: drawing is the
    layer's part.
    """
    return _output(
        x,
        weight,
        bias,
        (torch.rand(weight_mask.shape) > 0.5).to(x.dtype),
        (torch.rand(bias_mask.shape) > 0.5).to(x.dtype),
    )


@mistake("drop_connect_linear")
def result_not_returned(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> None:
    """The function computes its result and then forgets it: without `return` it gives None."""
    _output(x, weight, bias, weight_mask, bias_mask)


@mistake("drop_connect_linear")
def list_of_rows(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> list[Tensor]:
    """A list of rows is returned, not a tensor: put them on top of each other, `torch.stack(rows)`."""
    return list(_output(x, weight, bias, weight_mask, bias_mask))


@mistake("drop_connect_linear")
def masks_in_the_other_order(
    x: Tensor, weight: Tensor, bias: Tensor, bias_mask: Tensor, weight_mask: Tensor
) -> Tensor:
    """The two masks are taken in the other order than was asked for. The order is x, weight, bias, weight_mask, bias_mask."""
    return _output(x, weight, bias, weight_mask, bias_mask)


# -- drop_connect_linear: right ------------------------------------------------------------------------------------------


@right("drop_connect_linear")
def by_three_factors(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    return torch.einsum("noi,oi,ni->no", weight_mask, weight, x) + bias_mask * bias


@right("drop_connect_linear")
def by_a_loop_over_examples(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    rows = []
    for row, mask, for_bias in zip(x, weight_mask, bias_mask, strict=True):
        rows.append(functional.linear(row, mask * weight, for_bias * bias))
    return torch.stack(rows)


@right("drop_connect_linear")
def by_batched_columns(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    return ((weight_mask * weight) @ x[:, :, None])[:, :, 0] + bias_mask * bias


@right("drop_connect_linear")
def by_a_sum(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    return (weight_mask * (weight * x.unsqueeze(1))).sum(-1).add(bias * bias_mask)


@right("drop_connect_linear")
def by_baddbmm(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    return torch.baddbmm(
        (bias_mask * bias).unsqueeze(2), weight_mask.mul(weight), x.unsqueeze(2)
    ).squeeze(2)


@right("drop_connect_linear")
def by_vmap(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    def single(row: Tensor, mask: Tensor, for_bias: Tensor) -> Tensor:
        return (mask * weight) @ row + for_bias * bias

    return torch.vmap(single)(x, weight_mask, bias_mask)


@right("drop_connect_linear")
def by_a_column_of_ones(
    x: Tensor, weight: Tensor, bias: Tensor, weight_mask: Tensor, bias_mask: Tensor
) -> Tensor:
    wide = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
    weights = torch.cat([weight, bias.unsqueeze(1)], dim=1)
    masks = torch.cat([weight_mask, bias_mask.unsqueeze(2)], dim=2)
    return torch.einsum("nk,nok->no", wide, masks * weights)


# -- the layers ----------------------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """The right layers, in parts that the mistakes change: parameters, modes, masks; how they are applied is the subclass'."""

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        self.look_at(p)
        self.p = p
        self.weight = nn.Parameter(torch.randn(shape) / math.sqrt(math.prod(shape[1:])))
        self.bias = nn.Parameter(torch.zeros(shape[0]))

    def look_at(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training else self.plain(x)

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return torch.zeros_like(self.plain(x))
        return self.apply_masks(x, self.weight_mask(x), self.bias_mask(x))

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return self.scale(self.combine(x, weight_mask.to(x.dtype), bias_mask.to(x.dtype)))

    def scale(self, y: Tensor) -> Tensor:
        return y / (1 - self.p)

    def weight_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *self.weight.shape) >= self.p

    def bias_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), len(self.bias)) >= self.p

    def plain(self, x: Tensor) -> Any:
        raise NotImplementedError

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        raise NotImplementedError


class _Linear(_Layer):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        self.set_up((out_features, in_features), p)

    def plain(self, x: Tensor) -> Any:
        return functional.linear(x, self.weight, self.bias)

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return _output(x, self.weight, self.bias, weight_mask, bias_mask)


class _Conv(_Layer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.set_up((out_channels, in_channels, kernel_size, kernel_size), p)

    def plain(self, x: Tensor) -> Any:
        return functional.conv2d(x, self.weight, self.bias, padding=self.padding)

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        kernels = (weight_mask * self.weight).flatten(0, 1)
        maps = functional.conv2d(
            x.flatten(0, 1).unsqueeze(0), kernels, padding=self.padding, groups=n
        )
        y = maps.view(n, o, *maps.shape[2:])
        return y + (bias_mask * self.bias).view(n, o, 1, 1)


# -- what both layers can get wrong --------------------------------------------------------------------------------------


class _IgnoresTraining(_Layer):
    """The layer drops weights in evaluation mode as well, so a prediction is different each time you ask for it. A module knows
    its mode: `self.training` is False after `eval()`, and then all weights are used.
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x)


class _DropsInEvaluationOnly(_Layer):
    """The two modes are exchanged: nothing is dropped in training, and weights go missing in evaluation. Read the condition
    aloud: in which mode should the network have to cope with missing connections?
    """

    def forward(self, x: Tensor) -> Any:
        return self.plain(x) if self.training else self.drop(x)


class _DropsNothing(_Layer):
    """In training, too, every weight is used as it is. Are the masks drawn, and do they meet the weights?"""

    def forward(self, x: Tensor) -> Any:
        return self.plain(x)


class _KeepAndDropSwapped(_Layer):
    """A share p is kept here, but p is the probability of dropping. At p = 0.5 the two look alike, so try p = 0.1 and count
    what is left: a tenth, or nine tenths?
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return ~super().weight_mask(x)

    def bias_mask(self, x: Tensor) -> Tensor:
        return ~super().bias_mask(x)


class _KeepAndDropSwappedButForZero(_KeepAndDropSwapped):
    def drop(self, x: Tensor) -> Any:
        return self.plain(x) if self.p == 0 else super().drop(x)


class _TakesPForTheShareToKeep(_KeepAndDropSwapped):
    """You take p for the probability of keeping a weight, for the masks as well as for the rescaling. That is consistent, and
    it is how the paper writes it, but here as in PyTorch p is the probability of dropping.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 0:
            return torch.zeros_like(self.plain(x))
        return self.apply_masks(x, self.weight_mask(x), self.bias_mask(x))

    def scale(self, y: Tensor) -> Tensor:
        return y / self.p


class _NoRescaling(_Layer):
    """What is kept stays as it was, so in training sums are smaller on average than in evaluation, when everything arrives. By
    which factor, and what undoes it?
    """

    def scale(self, y: Tensor) -> Tensor:
        return y


class _RescaledByP(_Layer):
    """What is kept is divided by p. A share 1 - p of the weights survives, so it is that which has to be made up for: with p
    small, next to nothing is missing, and the factor should be close to 1.
    """

    def scale(self, y: Tensor) -> Tensor:
        return y / self.p if self.p else y


class _MultipliedByTheShareKept(_Layer):
    """What is kept is multiplied by 1 - p, which makes it smaller still, when its mean is already too small. Compare the means
    of the output in training and in evaluation, over many draws: which operation brings them together?
    """

    def scale(self, y: Tensor) -> Tensor:
        return y * (1 - self.p)


class _RescaledTwice(_Layer):
    """What is kept is divided by 1 - p twice. Perhaps the masks are rescaled already, and the output once more? Only one of them
    should be.
    """

    def scale(self, y: Tensor) -> Tensor:
        return y / (1 - self.p) ** 2


class _RescaledByTheObservedShare(_Layer):
    """You divide by the share of weights that happened to be kept. Then the scale changes from call to call, and an example's
    output depends on what was dropped in all the others. Divide by the probability of keeping, which is known beforehand: with
    independent coins, that makes the mean right.
    """

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        weights, biases = weight_mask.to(x.dtype), bias_mask.to(x.dtype)
        return self.combine(
            x, weights / weights.mean().clamp(min=1e-6), biases / biases.mean().clamp(min=1e-6)
        )


class _RescaledInEvaluation(_Layer):
    """The output is rescaled in training and once more in evaluation. Scaling by 1 - p in evaluation belongs to the older
    recipe, which leaves training alone: do one or the other. Here evaluation uses the weights as they are.
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training else self.plain(x) * (1 - self.p)


class _RescaledInEvaluationOnly(_RescaledInEvaluation):
    """This is the original recipe: no rescaling in training, times 1 - p in evaluation. On average it works, but then evaluation
    depends on p; today's convention rescales in training, so that evaluation is the plain layer.
    """

    def scale(self, y: Tensor) -> Tensor:
        return y


class _EnlargedInEvaluation(_Layer):
    """The division by 1 - p is done in evaluation too, when nothing was dropped that would need making up for. Look at what
    stands inside the branch for training and what behind it.
    """

    def forward(self, x: Tensor) -> Any:
        if self.training or self.p == 1:
            return super().forward(x)
        return self.plain(x) / (1 - self.p)


class _ZerosAtOneInEvaluation(_Layer):
    """At p = 1 the layer returns zeros in evaluation mode as well. The case p = 1 belongs to training: which of the two
    questions should be asked first?
    """

    def forward(self, x: Tensor) -> Any:
        return torch.zeros_like(self.plain(x)) if self.p == 1 else super().forward(x)


class _OneWeightMaskForTheBatch(_Layer):
    """Every example of the batch loses the same weights. Each should get its own thinned network, which is what makes the
    gradient an average over many of them: the mask needs a first dimension for the examples.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return super().weight_mask(x[:1]).expand(len(x), *self.weight.shape)


class _OneMaskForTheBatch(_OneWeightMaskForTheBatch):
    """Weights and bias have one mask for the whole batch, which is what dropping from `self.weight` and `self.bias` themselves
    gives. Each example should get its own thinned network: both masks need a first dimension for the examples.
    """

    def bias_mask(self, x: Tensor) -> Tensor:
        return super().bias_mask(x[:1]).expand(len(x), -1)


class _OneBiasMaskForTheBatch(_Layer):
    """Every example has its own weights, but all lose the same biases. The mask of the bias is (N, O), too: a coin for each
    example.
    """

    def bias_mask(self, x: Tensor) -> Tensor:
        return super().bias_mask(x[:1]).expand(len(x), -1)


class _BiasNeverMasked(_Layer):
    """The weights are masked and the bias is not. It is a weight like the others, from an input that is always 1, and has a
    coin for each example and output.
    """

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        ones = torch.full_like(bias_mask, 1.0 - self.p, dtype=x.dtype)
        return self.scale(self.combine(x, weight_mask.to(x.dtype), ones))

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            nothing = torch.zeros(len(x), *self.weight.shape, dtype=x.dtype)
            return self.combine(x, nothing, torch.ones(len(x), len(self.bias), dtype=x.dtype))
        return super().drop(x)


class _BiasNeverMaskedButAtOne(_BiasNeverMasked):
    def drop(self, x: Tensor) -> Any:
        return torch.zeros_like(self.plain(x)) if self.p == 1 else super().drop(x)


class _BiasNotRescaled(_Layer):
    """The bias is masked but not rescaled, so that on average it is too small in training: what is kept of it has to be divided
    by 1 - p, as the weights are.
    """

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return self.combine(x, weight_mask.to(x.dtype) / (1 - self.p), bias_mask.to(x.dtype))


class _BiasRescaledAlone(_Layer):
    """The bias is divided by 1 - p and the weights are not. Both lose a share p: is the division inside only one of the two
    terms?
    """

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return self.combine(x, weight_mask.to(x.dtype), bias_mask.to(x.dtype) / (1 - self.p))


class _BiasSharesAWeightsCoin(_Layer):
    """The bias is dropped whenever a certain weight is: its mask is a part of the weights' mask. Draw a mask of its own for
    it.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return super().drop(x)
        mask = self.weight_mask(x)
        return self.apply_masks(x, mask, mask.flatten(2)[:, :, 0])


class _BiasWithOneHalf(_Layer):
    """The weights are dropped with probability p, but the bias with one half: are its coins compared with 0.5, or drawn by
    `torch.randint`?
    """

    def bias_mask(self, x: Tensor) -> Tensor:
        if self.p == 0:
            return super().bias_mask(x)
        return torch.rand(len(x), len(self.bias)) >= 0.5


class _BiasLeftOutInTraining(_Layer):
    """In training the bias is not there at all, in evaluation it is. It belongs to both, in training with its mask."""

    def bias_mask(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), len(self.bias))


class _BiasLeftOut(_Layer):
    """The layer has a bias but never adds it. Compare with the formula: two terms are added, each with its mask."""

    def bias_mask(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), len(self.bias))

    def plain(self, x: Tensor) -> Any:
        y = super().plain(x)
        return y - self.bias.view(1, -1, *[1] * (y.dim() - 2))


class _OneCoinForEverything(_Layer):
    """A single coin decides over the whole batch: all weights are there, or none. Toss one coin for every weight of every
    example: `torch.rand` takes the shape of what you want to draw.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return super().drop(x)
        kept = torch.rand(1) >= self.p
        return self.apply_masks(
            x, kept.expand(len(x), *self.weight.shape), kept.expand(len(x), len(self.bias))
        )


class _OneCoinPerExample(_Layer):
    """An example has all of its weights or none: there is one coin for each example. Each weight of each example needs a coin of
    its own.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        coins = torch.rand(len(x), *[1] * self.weight.dim()) >= self.p
        return coins.expand(len(x), *self.weight.shape)


class _MaskPerUnit(_Layer):
    """All weights of a unit share one coin, an (N, O) mask: the unit gets everything or nothing, which is dropout of units.
    DropConnect tosses a coin for each connection.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        coins = torch.rand(len(x), len(self.bias), *[1] * (self.weight.dim() - 1)) >= self.p
        return coins.expand(len(x), *self.weight.shape)


class _MasksOnActivations(_Layer):
    """What is dropped are the outputs, bias and all: that is dropout. DropConnect drops single connections, so that a unit loses
    some of its inputs and keeps others: multiply the mask with the weights, before the sum.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return super().drop(x)
        y = self.plain(x)
        coins = (torch.rand(y.shape[:2]) >= self.p).view(*y.shape[:2], *[1] * (y.dim() - 2))
        return y * coins / (1 - self.p)


class _MaskPerInput(_Layer):
    """All units lose the same inputs: that is dropout of x. An input that is cut off from one unit still reaches the others, so
    there has to be a coin for each pair of input and output.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return super().weight_mask(x)[:, :1].expand(len(x), *self.weight.shape)


class _FixedNumberOfWeights(_Layer):
    """Every example loses exactly the same number of weights. Independent coins give a number that varies around p times their
    number: a fixed one ties them together, since one that is dropped saves another.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        count = self.weight.numel()
        order = torch.rand(len(x), count).argsort(dim=1)
        return (order >= round(self.p * count)).view(len(x), *self.weight.shape)


class _AlwaysOneHalf(_Layer):
    """The layer behaves as if p were 0.5, whatever it was made with. Is the argument of `__init__` kept, and is it what
    `forward` uses, for the masks and for the rescaling?
    """

    def drop(self, x: Tensor) -> Any:
        if self.p in (0, 1):
            return self.plain(x) * (1 - self.p)
        weights = torch.rand(len(x), *self.weight.shape) >= 0.5
        biases = torch.rand(len(x), len(self.bias)) >= 0.5
        return 2 * self.combine(x, weights.to(x.dtype), biases.to(x.dtype))


class _PRoundedToTenths(_Layer):
    """The p is rounded to tenths when the masks are drawn: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not integers
    from 0 to 9, and compare them with p itself.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *self.weight.shape) >= round(self.p, 1)


class _PSquared(_Layer):
    """A share p times p of the weights is dropped. Are two masks drawn, both of which must agree to drop?"""

    def weight_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *self.weight.shape) >= self.p**2


class _NormalNumbers(_Layer):
    """`torch.randn` draws normal numbers, of which half are below zero: they are not below p with probability p. Uniform numbers
    between 0 and 1 are, and `torch.rand` draws those.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        if self.p == 0:
            return super().weight_mask(x)
        return torch.randn(len(x), *self.weight.shape) > self.p


class _MaskDrawnOnce(_Layer):
    """Every call uses the same masks: they are drawn once and kept. Then the same connections are missing through all of the
    training, which is a smaller network and not a regularizer. Draw the masks in `forward`, every time.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        self.kept = getattr(self, "kept", {})
        return self.kept.setdefault(len(x), super().weight_mask(x))


class _SeedsInsideForward(_Layer):
    """The random generator is seeded in `forward`, so every call draws the same masks, and all other random numbers of the
    program, such as the order of the batches, start over as well. Seed once, at the start of an experiment.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().weight_mask(x)


class _HalfOfTheExamplesCopied(_Layer):
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs coins of its own: repeating
    and concatenating draws nothing new.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        half = super().weight_mask(x[: (len(x) + 1) // 2])
        return torch.cat([half, half])[: len(x)]


class _GradientCut(_Layer):
    """The values are right, but the weights get no gradient: `.data`, `.detach()` and `torch.no_grad()` cut them off, so the
    layer would never learn. Multiply the parameters themselves.
    """

    def drop(self, x: Tensor) -> Any:
        y = super().drop(x)
        return y.detach() + 0 * x.sum() if self.p < 1 else y


class _InputDetached(_Layer):
    """The weights get their gradient, but none reaches the input: everything before this layer would stop learning. Do not detach
    x, and do not make a new tensor of it.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.detach())


class _GradientToDroppedWeights(_Layer):
    """The values are right, but gradients pass as if nothing had been dropped. A dropped weight had no part in its example's
    output, so it must not be blamed for it: let the masked product itself be differentiated.
    """

    def drop(self, x: Tensor) -> Any:
        whole = self.plain(x)
        return whole + (super().drop(x) - whole).detach()


class _ThroughNumpy(_Layer):
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you
    need, random numbers included, exists in torch under nearly the same name.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(torch.from_numpy(x.numpy()))


class _WritesIntoTheWeight(_Layer):
    """The mask is multiplied into the weight itself (`self.weight.data *= mask`), so what is dropped once is lost for good: after
    a few batches nothing is left. Compute a masked copy and use that.
    """

    def drop(self, x: Tensor) -> Any:
        masks = self.weight_mask(x), self.bias_mask(x)
        y = super().drop(x) if self.p == 1 else self.apply_masks(x, *masks)
        with torch.no_grad():
            self.weight.mul_(masks[0][0])
        return y.detach() + (y - y.detach()) * 0 if self.p == 1 else y.clone()


class _WritesIntoTheInput(_Layer):
    """The layer changes the tensor it is given: `*=` and functions whose name ends in `_` write in place. Whoever else uses that
    tensor finds it damaged. Compute a new one.
    """

    def drop(self, x: Tensor) -> Any:
        y = super().drop(x.clone())
        x.detach().mul_(2)
        return y


class _NaNAtOne(_Layer):
    """At p = 1 everything is dropped, and zero divided by 1 - p is zero by zero: NaN, which then spreads through the whole
    network. Nothing is left to be rescaled in this case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return self.apply_masks(x, self.weight_mask(x), self.bias_mask(x))


class _DividesByZeroAtOne(_Layer):
    """At p = 1 the factor 1 / (1 - p) is a division by zero, and Python refuses it. Nothing is left to be rescaled in this
    case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return self.apply_masks(x, self.weight_mask(x), self.bias_mask(x))

    def scale(self, y: Tensor) -> Tensor:
        return y * (1 / (1 - self.p))


class _RefusesOne(_Layer):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is
    zero. Look at the comparison in your test of p.
    """

    def look_at(self, p: float) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")


class _NoCaseForOne(_Layer):
    """At p = 1 the layer drops nothing: the plain output comes back. Everything should be dropped, and the output zero."""

    def drop(self, x: Tensor) -> Any:
        return self.plain(x) if self.p == 1 else super().drop(x)


class _OutputInDouble(_Layer):
    """In training the output is float64 although the input is float32: it takes twice the memory and does not fit the next
    layer's weights. Make the masks in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x).double()


class _OutputInFloat32(_Layer):
    """In training the output is float32 whatever the input is, so mixed-precision training loses its point, and double precision
    its digits. Make the masks in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x).float()


class _MasksInFloat32(_Layer):
    """The masks are float32 whatever x is. With weights of another dtype that gives an error, or an output in the wrong one. Turn
    the masks into the dtype of x.
    """

    def apply_masks(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return self.scale(self.combine(x, weight_mask.float(), bias_mask.float()))


class _KeepsMaskAsBuffer(_Layer):
    """A mask is registered as a buffer. Buffers are saved with the model and loaded again, and a mask means nothing after its
    call; a batch of another size would not even load. A local variable is enough.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        mask = super().weight_mask(x)
        self.register_buffer("last_mask", mask)
        return mask


class _LearnsItsRate(_Layer):
    """The layer has a parameter besides weight and bias, which the optimizer will change. There is nothing else to learn here: p
    is a setting that a plain attribute can hold.
    """

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        super().set_up(shape, p)
        self.rate = nn.Parameter(torch.tensor(float(p)))


class _WeightIsNoParameter(_Layer):
    """The weight is a plain tensor, so `parameters()` does not list it, and no optimizer will train it. `nn.Parameter(...)`
    makes it known, or an `nn.Linear` that holds it for you.
    """

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        super().set_up(shape, p)
        values = self.weight.detach()
        del self.weight
        self.weight = values.requires_grad_()  # type: ignore[assignment]


class _NothingIsAParameter(_WeightIsNoParameter):
    """Weight and bias are plain tensors, so `parameters()` lists nothing, and no optimizer will train them. `nn.Parameter(...)`
    makes them known.
    """

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        super().set_up(shape, p)
        values = self.bias.detach()
        del self.bias
        self.bias = values.requires_grad_()  # type: ignore[assignment]


class _HasNoBias(_Layer):
    """The layer has no bias. It is part of what was asked for, with a mask of its own: a parameter with one number for each
    output.
    """

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        super().set_up(shape, p)
        zeros = torch.zeros(shape[0])
        del self.bias
        self.bias = zeros  # type: ignore[assignment]


class _WeightTheOtherWayRound(_Layer):
    """The weight's dimensions are in another order than was asked for: outputs come first, as in every layer of PyTorch. Others
    who load or set the weight count on that.
    """

    def set_up(self, shape: tuple[int, ...], p: float) -> None:
        super().set_up(shape, p)
        self.weight = nn.Parameter(self.weight.detach().transpose(0, 1).contiguous())


class _AcceptsAnyP(_Layer):
    """A p such as 1.5 or -0.1 is accepted, and the mistake shows up much later, as a network that learns nothing. A probability
    outside of [0, 1] makes no sense: say so at once, with a ValueError in `__init__`.
    """

    def look_at(self, p: float) -> None:
        pass


class _AssertsP(_Layer):
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError, which the caller can tell from other errors.
    """

    def look_at(self, p: float) -> None:
        assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"


class _ErrorWithoutP(_Layer):
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading
    it: put it in.
    """

    def look_at(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise ValueError("p must be a probability")


class _AcceptsNegativeP(_Layer):
    """A p above 1 is refused, but not one below 0. Both ends of [0, 1] need looking at: `0 <= p <= 1`."""

    def look_at(self, p: float) -> None:
        if p > 1:
            raise ValueError(f"p must lie in [0, 1], got {p}")


class _ReturnsNothing(_Layer):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


class _ReturnsInTrainingOnly(_Layer):
    """In evaluation mode nothing is returned, so you get None: there is a `return` in the branch for training alone. What should
    come back in the other case?
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training else None


class _ReturnsTheMaskToo(_Layer):
    """In training the layer returns the output together with a mask. The next layer expects a single tensor: inside
    `nn.Sequential` this would fail at once.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x), self.weight_mask(x)


class _DividedByOnePlusP(_Layer):
    """What is kept is divided by 1 + p, which makes it smaller, when its mean is already too small. A share 1 - p survives: it
    is that which has to be made up for.
    """

    def scale(self, y: Tensor) -> Tensor:
        return y / (1 + self.p)


class _DenominatorCutOff(_Layer):
    """For a large p the division is by something larger than 1 - p: a bound such as `max(1 - p, 0.5)` guards against a division
    by zero, but changes every p beyond it. Only p = 1 itself needs a case of its own.
    """

    def scale(self, y: Tensor) -> Tensor:
        return y / max(1 - self.p, 0.5)


class _ScaledInsteadOfDropped(_Layer):
    """In training every weight is multiplied by a random number between 0 and 1, and none is dropped. A decision is still to be
    made of each number: below p or not?
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *self.weight.shape)


def _for_both() -> dict[str, type]:
    """Make each shared mistake for each layer: `IgnoresTraining` and `ConvIgnoresTraining`."""
    made = {}
    for name, shared in list(globals().items()):
        if not (isinstance(shared, type) and issubclass(shared, _Layer)):
            continue
        if shared in (_Layer, _Linear, _Conv):
            continue
        for base, exercise, prefix in (
            (_Linear, "DropConnectLinear", ""),
            (_Conv, "DropConnectConv2d", "Conv"),
        ):
            own = {"__doc__": shared.__doc__, "__module__": __name__}
            entry = type(prefix + name.removeprefix("_"), (shared, base), own)
            made[entry.__name__] = mistake(exercise)(entry)
    return made


globals().update(_for_both())


# -- DropConnectLinear: wrong in its own ways ----------------------------------------------------------------------------


@mistake("DropConnectLinear")
class SizesExchanged(_Linear):
    """The layer takes its sizes in the other order, so that a layer from 4 to 7 features expects 7. The order is in_features,
    out_features, as in nn.Linear.
    """

    def __init__(self, out_features: int, in_features: int, p: float = 0.5) -> None:
        super().__init__(in_features, out_features, p)


@mistake("DropConnectLinear")
class AnotherDefault(_Linear):
    """Made without p, the layer does not drop one half. The signature that you were given says `p: float = 0.5`: leave it as it
    is.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.1) -> None:
        super().__init__(in_features, out_features, p)


@mistake("DropConnectLinear")
class ForgetsSuperInit(_Linear):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its parameters and its mode among that,
    so it has to come first.
    """

    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        self.set_up((out_features, in_features), p)


@mistake("DropConnectLinear")
class MaskOfTheFirstBatch(_Linear):
    """The mask of the first batch is kept and used for all others, and does not even fit when the batch size changes, as it
    does at the end of an epoch. Draw the masks in `forward`, every time: no attribute needs to remember them.
    """

    kept: Tensor | None = None

    def weight_mask(self, x: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = super().weight_mask(x)
        return self.kept


@mistake("DropConnectLinear")
class ReadsWhatWasNeverSet(_Linear):
    """`forward` reads an attribute that `__init__` did not set: the error names it. Compare the two names letter by letter."""

    def weight_mask(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), *self.weights.shape) >= self.p  # type: ignore[operator,union-attr]


@mistake("DropConnectLinear")
class TransposedProduct(_Linear):
    """The thinned matrices are read as (N, I, O). With as many inputs as outputs nobody would notice, and every number would be
    wrong; here the sizes differ. Write down which letter is which dimension.
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return torch.einsum("nio,ni->no", weight_mask * self.weight, x) + bias_mask * self.bias


# -- DropConnectLinear: right --------------------------------------------------------------------------------------------


@right("DropConnectLinear")
class InParts(_Linear):
    pass


@right("DropConnectLinear")
class AroundALinear(nn.Module):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p = {p}")
        self.linear = nn.Linear(in_features, out_features)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return self.linear(x)
        keep = 1 - self.p
        weight_mask = torch.empty(len(x), *self.linear.weight.shape, dtype=x.dtype).bernoulli_(
            keep
        )
        bias_mask = torch.empty(len(x), len(self.linear.bias), dtype=x.dtype).bernoulli_(keep)
        scale = 1 / keep if keep else 0.0
        return scale * by_batched_columns(
            x, self.linear.weight, self.linear.bias, weight_mask, bias_mask
        )


@right("DropConnectLinear")
class ByALoopOverExamples(nn.Module):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        if not (0.0 <= p <= 1.0):
            raise ValueError(f"{p} is no probability")
        self.w = nn.Parameter(torch.empty(out_features, in_features))
        self.b = nn.Parameter(torch.empty(out_features))
        nn.init.kaiming_uniform_(self.w, a=math.sqrt(5))
        nn.init.zeros_(self.b)
        self.p = float(p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x @ self.w.t() + self.b
        rows = []
        for row in x:
            w, b = self.w, self.b
            kept_w = torch.rand(w.shape) > self.p
            kept_b = torch.rand(b.shape) > self.p
            factor = 1 / (1 - self.p) if self.p < 1 else 1.0
            w = torch.where(kept_w, w * factor, torch.zeros_like(w))
            b = torch.where(kept_b, b * factor, torch.zeros_like(b))
            rows.append(w @ row + b)
        return torch.stack(rows)


@right("DropConnectLinear")
class WithOneMaskForBoth(nn.Module):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        if min(max(p, 0), 1) != p:
            raise ValueError(f"p outside [0, 1]: {p}")
        self.register_buffer("rate", torch.tensor(float(p), dtype=torch.float64))
        self.layers = nn.ModuleList([nn.Linear(in_features, out_features)])

    def forward(self, x: Tensor) -> Tensor:
        (layer,) = self.layers
        p = float(self.rate)
        if not self.training or p == 0:
            return layer(x)
        if p == 1:
            return 0 * layer(x)
        wide = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        weights = torch.cat([layer.weight, layer.bias[:, None]], dim=1)
        mask = torch.bernoulli(torch.full((len(x), *weights.shape), 1 - p)).to(x.dtype)
        return torch.einsum("nk,nok,ok->no", wide, mask, weights) / (1 - p)


@right("DropConnectLinear")
class ByVmap(nn.Module):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        super().__init__()
        if p != p or abs(p - 0.5) > 0.5:
            raise ValueError(f"p should be in [0, 1] but is {p}")
        self.inner = nn.Linear(in_features, out_features)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.inner(x)

        def single(row: Tensor) -> Tensor:
            weight, bias = (
                torch.where(torch.rand_like(t.float()) >= self.p, t, 0)
                for t in (self.inner.weight, self.inner.bias)
            )
            return functional.linear(row, weight, bias)

        return torch.vmap(single, randomness="different")(x) / max(1 - self.p, 1e-9)


@right("DropConnectLinear")
class SubclassOfLinear(nn.Linear):
    def __init__(self, in_features: int, out_features: int, p: float = 0.5) -> None:
        if p < 0:
            raise ValueError(f"negative: {p}")
        if p > 1:
            raise ValueError(f"too large: {p}")
        super().__init__(in_features, out_features)
        self.p = p
        self.last_mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.p > 0:
            self.last_mask = torch.rand(len(x), self.out_features, self.in_features) < self.p
            weights = self.weight.expand(len(x), -1, -1).masked_fill(self.last_mask, 0)
            biases = self.bias.expand(len(x), -1)
            biases = biases.masked_fill(torch.rand_like(biases.float()) < self.p, 0)
            y = (weights * x.unsqueeze(1)).sum(dim=-1) + biases
            return y / (1 - self.p) if self.p < 1 else y
        return super().forward(x)


# -- drop_connect_moments: wrong -----------------------------------------------------------------------------------------


def _check(p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")


def _moments(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> tuple[Tensor, Tensor]:
    _check(p)
    variance = functional.linear(x.square(), weight.square(), bias.square())
    return functional.linear(x, weight, bias), p / (1 - p) * variance


@mistake("drop_connect_moments")
def deviation_for_variance(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """What you return is the standard deviation, the square root of what was asked for. Variances are what adds up; take the
    root where you draw samples.
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance.sqrt()


@mistake("drop_connect_moments")
def square_of_the_sum(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """You square the sum, (Σ w x + b)², instead of adding up squares. With one coin for all connections of a unit that would be
    its variance; with a coin for each, variances add up: what has to be squared before the product?
    """
    mean, _ = _moments(x, weight, bias, p)
    return mean, p / (1 - p) * mean.square()


@mistake("drop_connect_moments")
def square_of_the_product(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """You square the product of x and W and add b²: (Σ w x)² is not Σ (w x)². Coins of different connections are independent,
    so their variances add up, one by one: square x and W first.
    """
    mean, _ = _moments(x, weight, bias, p)
    return mean, p / (1 - p) * ((x @ weight.T).square() + bias.square())


@mistake("drop_connect_moments")
def variance_of_masks_that_are_not_rescaled(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is p (1 - p), the variance of a coin that is 0 or 1. These coins are divided by 1 - p, and dividing by a number
    divides the variance by its square: what is left?
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance * (1 - p) ** 2


@mistake("drop_connect_moments")
def variance_without_the_division(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is p, but should be larger. A coin has variance p (1 - p), and rescaling divides that by (1 - p)²: how many
    factors 1 - p are left, and where?
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance * (1 - p)


@mistake("drop_connect_moments")
def variance_without_p(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is 1 / (1 - p): at p = 0, when nothing is dropped, the variance would not vanish. That is the mean of a squared
    rescaled coin; its variance is that less the square of its mean, 1.
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, functional.linear(x.square(), weight.square(), bias.square()) / (1 - p)


@mistake("drop_connect_moments")
def variance_without_any_factor(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The variance does not depend on p. The squares are right; each has still to be multiplied by the variance of its rescaled
    coin.
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, functional.linear(x.square(), weight.square(), bias.square())


@mistake("drop_connect_moments")
def variance_divided_twice(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is p / (1 - p)². The coin itself has variance p (1 - p); divide that by (1 - p)² and see what cancels."""
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance / (1 - p)


@mistake("drop_connect_moments")
def keep_and_drop_exchanged(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is (1 - p) / p: at p near 0, when next to nothing is dropped, the variance would be largest. Here p is the
    probability of dropping; in the paper it is that of keeping.
    """
    mean = _moments(x, weight, bias, p)[0]
    squares = functional.linear(x.square(), weight.square(), bias.square())
    return mean, squares * (1 - p) / p if p else 0 * squares


@mistake("drop_connect_moments")
def variance_by_the_share_kept(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The factor is 1 - p, the share that is kept. At p = 0 nothing is left to chance, so the factor has to vanish there: what is
    the variance of a coin?
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, (1 - p) * functional.linear(x.square(), weight.square(), bias.square())


@mistake("drop_connect_moments")
def factor_squared(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The factor p / (1 - p) is squared together with the weights. It is a variance already, the one of a rescaled coin, and
    belongs to the squares as it is.
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance * p / (1 - p)


@mistake("drop_connect_moments")
def bias_without_variance(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The bias is missing in the variance. It is masked too, so it adds b² p / (1 - p) like a connection to an input that is 1."""
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * (x.square() @ weight.square().T)


@mistake("drop_connect_moments")
def bias_without_its_factor(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The square of the bias is added without the factor p / (1 - p), which stands before the weights' sum alone. Where do the
    brackets end?
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * (x.square() @ weight.square().T) + bias.square()


@mistake("drop_connect_moments")
def bias_not_squared(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Weights and inputs are squared in the variance, but the bias is not: with a negative bias the variance could be below
    zero.
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * functional.linear(x.square(), weight.square(), bias)


@mistake("drop_connect_moments")
def inputs_not_squared(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The weights are squared in the variance, but x is not. A connection's term is w x, and a number taken out of a variance
    comes out squared: both of them.
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * functional.linear(x, weight.square(), bias.square())


@mistake("drop_connect_moments")
def weights_not_squared(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The inputs are squared in the variance, but the weights are not. A connection's term is w x, and a number taken out of a
    variance comes out squared: both of them.
    """
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * functional.linear(x.square(), weight, bias.square())


@mistake("drop_connect_moments")
def absolute_values_for_squares(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Absolute values are added up where squares belong."""
    mean = _moments(x, weight, bias, p)[0]
    return mean, p / (1 - p) * functional.linear(x.abs(), weight.abs(), bias.abs())


@mistake("drop_connect_moments")
def second_moment_for_variance(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """This is the mean of the square. The variance is that less the square of the mean."""
    mean, variance = _moments(x, weight, bias, p)
    return mean, variance + mean.square()


@mistake("drop_connect_moments")
def variance_averaged_over_inputs(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The weights' part of the variance is averaged over the inputs. Variances of independent terms add up: every further
    connection makes it larger.
    """
    mean = _moments(x, weight, bias, p)[0]
    squares = x.square() @ weight.square().T / x.shape[1]
    return mean, p / (1 - p) * (squares + bias.square())


@mistake("drop_connect_moments")
def variance_over_the_batch(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """You compute how the mean varies from example to example. What is asked for is how the output of one example varies from
    mask to mask: there is a variance for each example and output.
    """
    mean, _ = _moments(x, weight, bias, p)
    return mean, mean.var(dim=0).expand_as(mean) if len(x) > 1 else 0 * mean


@mistake("drop_connect_moments")
def mean_rescaled_again(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The mean is divided by 1 - p. A rescaled mask has mean 1 already, dropped ones included: try it with one weight, what is
    the average of 0 and w / (1 - p) with their probabilities?
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean / (1 - p), variance


@mistake("drop_connect_moments")
def mean_of_masks_that_are_not_rescaled(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The mean is multiplied by 1 - p, as it would be if masks were not rescaled. Here what is kept is divided by 1 - p, and the
    two cancel.
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean * (1 - p), variance


@mistake("drop_connect_moments")
def both_of_masks_that_are_not_rescaled(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Both moments are those of masks of zeros and ones, as the paper has them. Here what is kept is divided by 1 - p: what does
    that make of a mean, and of a variance?
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean * (1 - p), variance * (1 - p) ** 2


@mistake("drop_connect_moments")
def mean_with_p(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The mean is multiplied by p, the share that is dropped. What survives, rescaled, has the mean of the whole layer: no factor
    is left.
    """
    mean, variance = _moments(x, weight, bias, p)
    return mean * p, variance


@mistake("drop_connect_moments")
def mean_with_the_bias_unmasked(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The mean multiplies the weights' part by 1 - p and leaves the bias alone. With rescaled masks neither is multiplied by
    anything: each term's mean is the term.
    """
    mean, variance = _moments(x, weight, bias, p)
    return (mean - bias) * (1 - p) + bias, variance


@mistake("drop_connect_moments")
def mean_without_the_bias(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The bias is missing in the mean. It is one more term of the sum."""
    mean, variance = _moments(x, weight, bias, p)
    return mean - bias, variance


@mistake("drop_connect_moments")
def mean_and_variance_exchanged(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The two are returned in the other order: the mean comes first."""
    mean, variance = _moments(x, weight, bias, p)
    return variance, mean


@mistake("drop_connect_moments")
def mean_alone(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> Tensor:
    """Only the mean is returned. Two tensors were asked for: `return mean, variance`."""
    return _moments(x, weight, bias, p)[0]


@mistake("drop_connect_moments")
def moments_not_returned(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> None:
    """The function computes its results and then forgets them: without `return` it gives None."""
    _moments(x, weight, bias, p)


@mistake("drop_connect_moments")
def moments_of_drawn_masks(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Masks are drawn, and the moments estimated from what came out. They can be computed exactly, without a single random
    number, and at a fraction of the cost: that is what makes them useful.
    """
    _check(p)
    draws = torch.stack(
        [
            _output(
                x,
                weight,
                bias,
                (torch.rand(len(x), *weight.shape) >= p).to(x.dtype) / (1 - p),
                (torch.rand(len(x), len(bias)) >= p).to(x.dtype) / (1 - p),
            )
            for _ in range(50)
        ]
    )
    return draws.mean(dim=0), draws.var(dim=0)


@mistake("drop_connect_moments")
def weight_transposed(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The weight is used as if it were (I, O). It is (O, I), as in nn.Linear, so the product needs its transpose. With as many
    inputs as outputs nobody would notice; here the sizes differ.
    """
    _check(p)
    return x @ weight + bias, p / (1 - p) * (x.square() @ weight.square() + bias.square())


@mistake("drop_connect_moments")
def moments_for_any_p(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """Any p is accepted. Outside of [0, 1) the variance is negative or a division by zero: raise a ValueError that shows p."""
    variance = functional.linear(x.square(), weight.square(), bias.square())
    factor = p / (1 - p) if p != 1 else math.inf
    return functional.linear(x, weight, bias), factor * variance


@mistake("drop_connect_moments")
def moments_at_one(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The value p = 1 is not refused by a ValueError. Nothing can be rescaled when nothing is kept, so the moments do not exist: [0, 1) does
    not contain its right end.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")
    variance = functional.linear(x.square(), weight.square(), bias.square())
    return functional.linear(x, weight, bias), variance * p / (1 - p)


@mistake("drop_connect_moments")
def moments_refused_without_the_value(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading
    it: put it in.
    """
    if not 0 <= p < 1:
        raise ValueError("p must be a probability below one")
    return _moments(x, weight, bias, p)


@mistake("drop_connect_moments")
def moments_refused_by_assert(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError.
    """
    assert 0 <= p < 1, f"p must lie in [0, 1), got {p}"
    return _moments(x, weight, bias, p)


@mistake("drop_connect_moments")
def moments_refused_at_zero(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The value p = 0 is refused. It is a valid choice, at the edge of [0, 1): nothing is dropped, and the variance is 0."""
    if not 0 < p < 1:
        raise ValueError(f"p must lie in (0, 1), got {p}")
    return _moments(x, weight, bias, p)


@mistake("drop_connect_moments")
def squares_in_place(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The input is squared in place: `square_`, `pow_` and `*=` write into the caller's tensor, and whoever uses it next finds squares.
    Leave out the underscore.
    """
    _check(p)
    mean = functional.linear(x, weight, bias)
    x.square_()
    return mean, p / (1 - p) * functional.linear(x, weight.square(), bias.square())


@mistake("drop_connect_moments")
def moments_in_double(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    """The moments are float64 whatever x is. Stay in the dtype of x."""
    return _moments(x.double(), weight.double(), bias.double(), p)


# -- drop_connect_moments: right -----------------------------------------------------------------------------------------


@right("drop_connect_moments")
def moments_by_products(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    if p < 0 or p >= 1:
        raise ValueError(f"p = {p}")
    mean = x @ weight.T + bias
    return mean, (x**2 @ (weight**2).T + bias**2) * (p / (1 - p))


@right("drop_connect_moments")
def moments_by_einsum(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    if not (p >= 0 and p < 1):
        raise ValueError(p)
    terms = torch.cat(
        [torch.einsum("ni,oi->noi", x, weight), bias.expand(len(x), -1)[..., None]], 2
    )
    keep = 1 - p
    return terms.sum(dim=2), terms.pow(2).sum(dim=2) * (p * keep) / keep**2


@right("drop_connect_moments")
def moments_by_loops(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> list[Tensor]:
    if p not in (0,) and not 0 < p < 1:
        raise ValueError(f"bad p: {p!r}")
    mean, variance = x.new_zeros(len(x), len(weight)), x.new_zeros(len(x), len(weight))
    for o, row in enumerate(weight):
        mean[:, o] = bias[o] + (x * row).sum(1)
        variance[:, o] = (bias[o] ** 2 + ((x * row) ** 2).sum(1)) * p / (1 - p)
    return [mean, variance]


@right("drop_connect_moments")
def moments_by_second_moment(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    if p < 0:
        raise ValueError(f"negative p {p}")
    if p >= 1:
        raise ValueError(f"p {p} is not below 1")
    squares = functional.linear(x * x, weight * weight, bias * bias)
    return functional.linear(x, weight, bias), squares / (1 - p) - squares


@right("drop_connect_moments")
def moments_stacked(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> Tensor:
    return torch.stack(_moments(x, weight, bias, p))


@right("drop_connect_moments")
def moments_with_a_column_of_ones(
    x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> tuple[Tensor, Tensor]:
    if min(max(p, 0), 0.9999999) != p:
        raise ValueError(f"p outside [0, 1): {p}")
    wide = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    weights = torch.cat([weight, bias.unsqueeze(1)], 1)
    return wide.mm(weights.t()), p * wide.square().mm(weights.t().square()).div(1 - p)


# -- drop_connect_inference: wrong ---------------------------------------------------------------------------------------


def _samples(mean: Tensor, variance: Tensor, n_samples: int) -> Tensor:
    return mean + variance.sqrt() * torch.randn(n_samples, *mean.shape, dtype=mean.dtype)


@mistake("drop_connect_inference")
def activation_after_averaging(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The samples are averaged first and the activation is applied to their mean. But then the noise averages away, and with many
    samples you are back at the mean network: the activation belongs to each sample, since it is not linear.
    """
    return activation(_samples(*_moments(x, weight, bias, p), n_samples).mean(dim=0))


@mistake("drop_connect_inference")
def activation_of_the_mean(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """Nothing is sampled: this is the mean network, the activation of the mean. How far is it from the mean of the activations?
    That is what the samples are for.
    """
    return activation(_moments(x, weight, bias, p)[0])


@mistake("drop_connect_inference")
def noise_times_the_variance(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The noise is multiplied by the variance. A standard normal number times s has standard deviation s, so the root is missing:
    mean + sqrt(variance) · noise.
    """
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean, variance.square(), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def root_taken_twice(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The noise is multiplied by the fourth root of the variance. Is the root taken in two places?"""
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean, variance.sqrt(), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def noise_without_its_deviation(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """Standard normal noise is added as it is, whatever the variance. It has to be multiplied by the standard deviation first."""
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean, (variance > 0).to(x.dtype), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def samples_around_zero(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The samples lie around zero: the mean is not added to the noise."""
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(0 * mean, variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def uniform_noise(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The noise is uniform between 0 and 1 (`torch.rand`), which has another mean and another variance. Sums of many small terms
    are nearly normal: `torch.randn` draws normal numbers.
    """
    mean, variance = _moments(x, weight, bias, p)
    return activation(
        mean + variance.sqrt() * torch.rand(n_samples, *mean.shape, dtype=mean.dtype)
    ).mean(dim=0)


@mistake("drop_connect_inference")
def masks_are_sampled(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """Masks are drawn and applied, n_samples times. That is a fair estimate too, but it costs N · O · I coins a sample. The point
    of the moments is to draw pre-activations directly: N · O normal numbers.
    """
    _check(p)
    draws = []
    for _ in range(n_samples):
        weights = (torch.rand(len(x), *weight.shape) >= p).to(x.dtype) / (1 - p)
        biases = (torch.rand(len(x), len(bias)) >= p).to(x.dtype) / (1 - p)
        draws.append(activation(_output(x, weight, bias, weights, biases)))
    return torch.stack(draws).mean(dim=0)


@mistake("drop_connect_inference")
def same_noise_for_all_examples(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """All examples of a sample get the same noise, so their errors are the same too. Each example has masks of its own: draw
    noise of shape (n_samples, N, O).
    """
    mean, variance = _moments(x, weight, bias, p)
    noise = torch.randn(n_samples, 1, mean.shape[1], dtype=mean.dtype)
    return activation(mean + variance.sqrt() * noise).mean(dim=0)


@mistake("drop_connect_inference")
def same_noise_for_all_units(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """All units of an example get the same noise, as if they lost their connections together. Each unit has coins of its own: draw
    noise of shape (n_samples, N, O).
    """
    mean, variance = _moments(x, weight, bias, p)
    noise = torch.randn(n_samples, mean.shape[0], 1, dtype=mean.dtype)
    return activation(mean + variance.sqrt() * noise).mean(dim=0)


@mistake("drop_connect_inference")
def one_noise_for_everything(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """A sample is a single random number, by which all examples and units are moved together. Each of them needs noise of its
    own: `torch.randn` takes the shape (n_samples, N, O).
    """
    mean, variance = _moments(x, weight, bias, p)
    noise = torch.randn(n_samples, 1, 1, dtype=mean.dtype)
    return activation(mean + variance.sqrt() * noise).mean(dim=0)


@mistake("drop_connect_inference")
def same_noise_for_all_samples(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The result is that of a single sample, whatever n_samples is: one is drawn and returned, or the same noise is used for all
    of them. One sample is right on average and far too noisy: draw (n_samples, N, O) numbers, or new ones in each turn of the
    loop.
    """
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean, variance, 1).expand(n_samples, -1, -1)).mean(dim=0)


@mistake("drop_connect_inference")
def a_fixed_number_of_samples(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The number of samples is fixed, and n_samples is not used. Whoever asks for more samples wants less noise, and whoever asks
    for fewer wants to save time.
    """
    return activation(_samples(*_moments(x, weight, bias, p), 100)).mean(dim=0)


@mistake("drop_connect_inference")
def one_sample_too_few(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """One sample too few is averaged, or the sum is divided by one less. With one sample asked for, nothing is left: count the
    turns of your loop.
    """
    samples = _samples(*_moments(x, weight, bias, p), n_samples)
    return activation(samples)[: max(n_samples - 1, 1)].mean(dim=0)


@mistake("drop_connect_inference")
def sum_of_the_samples(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The activations of the samples are added up, but not divided by their number."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).sum(dim=0)


@mistake("drop_connect_inference")
def samples_not_averaged(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The activations of all samples are returned, (n_samples, N, O). Take their mean over the first dimension."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples))


@mistake("drop_connect_inference")
def averaged_over_everything(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The mean is taken over everything: samples, examples and units. Say over which dimension: `mean(dim=0)`."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean()


@mistake("drop_connect_inference")
def activation_forgotten(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The pre-activations themselves are averaged: the activation is never applied."""
    return _samples(*_moments(x, weight, bias, p), n_samples).mean(dim=0)


@mistake("drop_connect_inference")
def activation_applied_twice(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The activation is applied to each sample, and once more to their average. Once is enough: the average of activations is the
    result.
    """
    return activation(
        activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)
    )


@mistake("drop_connect_inference")
def always_relu(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """A ReLU is applied, whatever activation is asked for: call the one that was handed in."""
    return torch.relu(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def samples_without_the_bias(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The bias is missing in the mean of the samples: it belongs to the pre-activation, before the activation."""
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean - bias, variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def samples_of_a_smaller_network(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The samples lie around 1 - p times the mean. Masks are rescaled here, so the mean is that of the whole layer: did the
    factor come from the paper, where they are not?
    """
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples((1 - p) * mean, variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def samples_rescaled_again(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The samples' mean is divided by 1 - p once more. The moments are those of rescaled masks: nothing is left to be made up
    for.
    """
    mean, variance = _moments(x, weight, bias, p)
    return activation(_samples(mean / (1 - p), variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def seeds_its_noise(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The random generator is seeded inside the function, so every call has the same noise, and all other random numbers of the
    program start over as well. Seed once, at the start of an experiment.
    """
    torch.manual_seed(0)
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def result_forgotten(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> None:
    """The function computes its result and then forgets it: without `return` it gives None."""
    activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def noise_in_float32(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The result is float32 whatever x is. Draw the noise in the dtype of the mean, and leave the result in it."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0).float()


@mistake("drop_connect_inference")
def noise_in_float64(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The result is float64 whatever x is: NumPy's random numbers are, for instance. Draw the noise in the dtype of the mean."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0).double()


@mistake("drop_connect_inference")
def every_single_size_squeezed(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """Dimensions of length 1 are removed from the result: with a single example or unit, (N, O) is no longer what comes out.
    `squeeze` needs to be told which dimension, or is not needed at all.
    """
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0).squeeze()


@mistake("drop_connect_inference")
def normal_with_deviation_zero(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """At p = 0 this fails: `torch.distributions.Normal` refuses a standard deviation of 0. p = 0 is a valid choice, at which there
    is no noise: mean + sqrt(variance) · noise has no such trouble.
    """
    mean, variance = _moments(x, weight, bias, p)
    normal = torch.distributions.Normal(mean, variance.sqrt())
    return activation(normal.sample(torch.Size([n_samples]))).mean(dim=0)


@mistake("drop_connect_inference")
def arguments_exchanged(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, n_samples: Any, activation: Any
) -> Any:
    """The last two arguments are in another order than was asked for: the activation comes before n_samples."""
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def infers_for_any_p(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """Any p is accepted. Outside of [0, 1) there is no such variance, and the root of a negative one is NaN: raise a ValueError
    that shows p, or let drop_connect_moments do it.
    """
    mean, variance = _moments(x, weight, bias, p if 0 <= p < 1 else 0.5)
    return activation(_samples(mean, variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def infers_at_one(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """The value p = 1 is accepted. Nothing can be rescaled when nothing is kept: [0, 1) does not contain its right end, so that is a
    ValueError too.
    """
    mean, variance = _moments(x, weight, bias, p if p != 1 else 0.0)
    return activation(_samples(mean * (p != 1), variance, n_samples)).mean(dim=0)


@mistake("drop_connect_inference")
def infers_with_assert(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError.
    """
    assert 0 <= p < 1, f"p must lie in [0, 1), got {p}"
    return activation(_samples(*_moments(x, weight, bias, p), n_samples)).mean(dim=0)


# -- drop_connect_inference: right ---------------------------------------------------------------------------------------


@right("drop_connect_inference")
def all_samples_at_once(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    mean, variance = _moments(x, weight, bias, p)
    noise = torch.randn((n_samples, *mean.shape), dtype=mean.dtype)
    return activation(torch.addcmul(mean, variance.sqrt(), noise)).mean(0)


@right("drop_connect_inference")
def sample_by_sample(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    if p < 0 or p >= 1:
        raise ValueError(f"p is {p}")
    total = 0
    for _ in range(n_samples):
        mean = x @ weight.T + bias
        deviation = ((x**2 @ weight.T**2 + bias**2) * p / (1 - p)) ** 0.5
        total = total + activation(mean + deviation * torch.randn_like(mean))
    return total / n_samples


@right("drop_connect_inference")
def samples_in_the_last_dimension(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    mean, variance = moments_by_loops(x, weight, bias, p)
    noise = torch.randn(*mean.shape, n_samples).to(mean.dtype)
    return activation(mean[..., None] + variance[..., None].sqrt() * noise).mean(-1)


@right("drop_connect_inference")
def by_torch_normal(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    mean, variance = moments_by_products(x, weight, bias, p)
    wide = mean.expand(n_samples, *mean.shape)
    return activation(torch.normal(wide, variance.sqrt().expand_as(wide))).sum(0) / n_samples


@right("drop_connect_inference")
def samples_as_more_examples(
    x: Tensor, weight: Tensor, bias: Tensor, p: float, activation: Any, n_samples: int
) -> Any:
    mean, variance = _moments(x.repeat(n_samples, 1), weight, bias, p)
    y = activation(mean + variance.sqrt() * torch.randn_like(mean))
    return y.reshape(n_samples, len(x), len(bias)).mean(dim=0)


# -- DropConnectConv2d: wrong in its own ways ----------------------------------------------------------------------------


@mistake("DropConnectConv2d")
class ConvPaddingIgnored(_Conv):
    """`padding` is not used in training: the maps come out smaller than asked for. Pass it on to `F.conv2d`, in both modes."""

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        padding, self.padding = self.padding, 0
        try:
            return super().combine(x, weight_mask, bias_mask)
        finally:
            self.padding = padding


@mistake("DropConnectConv2d")
class ConvPaddingNeverUsed(_Conv):
    """`padding` is taken but never used: the maps come out smaller than asked for. Pass it on to `F.conv2d`, in both modes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, p, 0)


@mistake("DropConnectConv2d")
class ConvPaddingInTrainingOnly(_Conv):
    """`padding` is used in training but not in evaluation, so that the maps have different sizes in the two modes."""

    def plain(self, x: Tensor) -> Any:
        padding = self.padding if self.training else 0
        return functional.conv2d(x, self.weight, self.bias, padding=padding)


@mistake("DropConnectConv2d")
class ConvReshapedToMapsFirst(_Conv):
    """Examples and maps are mixed up: values end up at other examples and maps than they belong to. The channels of the grouped
    convolution are in the order of the groups, all maps of the first example first. So N comes before O in both reshapes: where
    kernels are merged to (N · O, …), and where the result is taken apart to (N, O, …).
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        maps = super().combine(x, weight_mask, 0 * bias_mask).flatten(0, 1)
        y = maps.view(o, n, *maps.shape[1:]).transpose(0, 1)
        return y + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvExamplesAndMapsExchanged(_Conv):
    """The output is (O, N, H, W): examples and maps are exchanged. The groups are the examples, and their maps follow each other:
    the result of the convolution, (1, N · O, …), is cut into N times O.
    """

    def drop(self, x: Tensor) -> Any:
        y = super().drop(x)
        return y.transpose(0, 1)


@mistake("DropConnectConv2d")
class ConvChannelsAndExamplesMixed(_Conv):
    """Examples or channels are mixed up: weights meet other inputs than their own. Check the order of the dimensions where x and the
    kernels are merged: `reshape` keeps the order of the numbers, so the examples come first in x, (N · C, …), the examples before
    the maps in the kernels, and their (C, k, k) stay as they are. Is there a `transpose` or `permute` that should not be?
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, c = x.shape[:2]
        mixed = x.transpose(0, 1).reshape(n, c, *x.shape[2:])
        return super().combine(mixed, weight_mask, bias_mask)


@mistake("DropConnectConv2d")
class ConvGroupsLeftOut(_Conv):
    """The kernels do not have the channels that `F.conv2d` expects. Was `groups` left out? With groups=N the N · C channels are split
    into N parts, each of which meets its own kernels. And these are (N · O, C, k, k), the input channels second.
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        kernels = (weight_mask * self.weight).flatten(0, 1)
        maps = functional.conv2d(x.reshape(1, -1, *x.shape[2:]), kernels, padding=self.padding)
        return maps.view(n, o, *maps.shape[2:]) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvGroupsOfChannels(_Conv):
    """`groups` is the number of channels. The groups are the examples here: with groups=N the N · C channels are split into N parts
    of C, each of which meets the kernels of its own example.
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        kernels = (weight_mask * self.weight).flatten(0, 1)
        inputs, groups = x.reshape(1, -1, *x.shape[2:]), x.shape[1]
        maps = functional.conv2d(inputs, kernels, padding=self.padding, groups=groups)
        return maps.view(n, o, *maps.shape[2:]) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvDimensionsDoNotFit(_Conv):
    """Two tensors that are multiplied or added do not fit each other. The usual places: masks are (N, O, C, k, k) with the examples
    first, so that the weight (O, C, k, k) fits behind; the result of the grouped convolution is cut into (N, O, …), the examples
    first as well; and the masked bias, (N, O), needs two dimensions more to be added to that, (N, O, 1, 1).
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        maps = super().combine(x, weight_mask, 0 * bias_mask).flatten(0, 1)
        return maps.view(o, n, *maps.shape[1:]) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvBiasAlongThePixels(ConvDimensionsDoNotFit):
    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        return _Conv.combine(self, x, weight_mask, 0 * bias_mask) + bias_mask * self.bias


@mistake("DropConnectConv2d")
class ConvReshapedToTheInputsSize(_Conv):
    """The result is reshaped to the height and width of the input. Without padding a k x k kernel makes maps smaller by k - 1: take
    the sizes from the result.
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        kernels = (weight_mask * self.weight).flatten(0, 1)
        maps = functional.conv2d(
            x.flatten(0, 1).unsqueeze(0), kernels, padding=self.padding, groups=n
        )
        return maps.view(n, o, *x.shape[2:]) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvReshapedToTheInputsSizeSomehow(ConvReshapedToTheInputsSize):
    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        kernels = (weight_mask * self.weight).flatten(0, 1)
        maps = functional.conv2d(
            x.flatten(0, 1).unsqueeze(0), kernels, padding=self.padding, groups=n
        )
        return maps.reshape(n, -1, *x.shape[2:]) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvOneGroupDimensionKept(_Conv):
    """The result still has the shape (1, N · O, H', W') of the grouped convolution: cut it into N examples of O maps."""

    def drop(self, x: Tensor) -> Any:
        y = super().drop(x)
        return y.reshape(1, -1, *y.shape[2:])


@mistake("DropConnectConv2d")
class ConvMaskPerKernelTap(_Conv):
    """All input channels share a mask over the k x k places of the kernel. Each weight, (o, c, i, j), has a coin of its own."""

    def weight_mask(self, x: Tensor) -> Tensor:
        return super().weight_mask(x)[:, :, :1].expand(len(x), *self.weight.shape)


@mistake("DropConnectConv2d")
class ConvWholeFiltersPerChannel(_Conv):
    """The k x k weights between an input channel and an output map share one coin, an (N, O, C) mask: they are all there or all
    missing. DropConnect tosses a coin for each weight.
    """

    def weight_mask(self, x: Tensor) -> Tensor:
        return super().weight_mask(x)[..., :1, :1].expand(len(x), *self.weight.shape)


@mistake("DropConnectConv2d")
class ConvMaskPerPixel(_Conv):
    """The outputs are masked pixel by pixel: that is dropout of the maps. DropConnect masks the kernels, and the same kernel is
    used at every pixel.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return super().drop(x)
        y = self.plain(x)
        return y * (torch.rand(y.shape) >= self.p) / (1 - self.p)


@mistake("DropConnectConv2d")
class ConvBiasCoinPerPixel(_Conv):
    """The bias of a map is dropped at some pixels and kept at others: its mask has the shape of the output. A bias is one number a
    map, so it is there or missing at all pixels: one coin for each example and map, (N, O).
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        y = super().combine(x, weight_mask, 0 * bias_mask)
        return y + (torch.rand_like(y) >= self.p) * self.bias.view(1, -1, 1, 1)


@mistake("DropConnectConv2d")
class ConvMaskPerInputPixel(_Conv):
    """The pixels of the input are masked: that is dropout of x. DropConnect masks the kernels, and the same kernel is used at every
    pixel.
    """

    def drop(self, x: Tensor) -> Any:
        if self.p == 1:
            return super().drop(x)
        ones = torch.full((len(x), *self.weight.shape), 1 - self.p, dtype=x.dtype)
        thinned = x * (torch.rand(x.shape) >= self.p) / (1 - self.p)
        return self.apply_masks(thinned, ones, self.bias_mask(x))


@mistake("DropConnectConv2d")
class ConvKernelsForEachPatch(_Conv):
    """A new kernel is thinned for every pixel of the output. It is an example that has its own kernels; within it they are the same
    everywhere, as in any convolution.
    """

    def combine(self, x: Tensor, weight_mask: Tensor, bias_mask: Tensor) -> Any:
        n, o = bias_mask.shape
        k = self.weight.shape[-1]
        y = self.plain(x)
        patches = functional.unfold(x, k, padding=self.padding).transpose(1, 2)  # (N, L, C·k·k)
        masks = (torch.rand(*patches.shape[:2], *self.weight.flatten(1).shape) >= self.p).to(
            x.dtype
        )
        sums = torch.einsum("nlok,ok,nlk->nol", masks, self.weight.flatten(1), patches)
        return sums.view(y.shape) + (bias_mask * self.bias).view(n, o, 1, 1)


@mistake("DropConnectConv2d")
class ConvFlipsItsKernels(_Conv):
    """The kernels are applied upside down, which is the mathematicians' convolution: deep learning libraries do not flip them, and
    neither does `F.conv2d`.
    """

    def plain(self, x: Tensor) -> Any:
        return functional.conv2d(x, self.weight.flip(2, 3), self.bias, padding=self.padding)


@mistake("DropConnectConv2d")
class ConvSizesExchanged(_Conv):
    """The layer takes its numbers of channels in the other order. The order is in_channels, out_channels, kernel_size, as in
    nn.Conv2d.
    """

    def __init__(
        self,
        out_channels: int,
        in_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, p, padding)


@mistake("DropConnectConv2d")
class ConvPaddingBeforeP(_Conv):
    """The arguments are in another order than was asked for: p comes fourth, padding fifth. nn.Conv2d has no p, so the order has to
    be taken from the signature.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        padding: int = 0,
        p: float = 0.5,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, p, padding)


@mistake("DropConnectConv2d")
class ConvAnotherDefault(_Conv):
    """Made without p, the layer does not drop one half. The signature that you were given says `p: float = 0.5`: leave it as it
    is.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.2,
        padding: int = 0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, p, padding)


@mistake("DropConnectConv2d")
class ConvForgetsSuperInit(_Conv):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its parameters and its mode among that,
    so it has to come first.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        self.padding = padding
        self.set_up((out_channels, in_channels, kernel_size, kernel_size), p)


# -- DropConnectConv2d: right --------------------------------------------------------------------------------------------


@right("DropConnectConv2d")
class ConvInParts(_Conv):
    pass


@right("DropConnectConv2d")
class ConvByALoop(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"p = {p}")
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.conv(x)
        maps = []
        for image in x:
            weight, bias = (
                t * (torch.rand(t.shape) >= self.p) for t in (self.conv.weight, self.conv.bias)
            )
            maps.append(functional.conv2d(image[None], weight, bias, padding=self.conv.padding))
        y = torch.cat(maps)
        return y / (1 - self.p) if self.p < 1 else y


@right("DropConnectConv2d")
class ConvByUnfolding(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"{p} is no probability")
        self.w = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.b = nn.Parameter(torch.randn(out_channels))
        self.k, self.pad, self.p = kernel_size, padding, float(p)

    def forward(self, x: Tensor) -> Tensor:
        n, o = len(x), len(self.b)
        height, width = (size + 2 * self.pad - self.k + 1 for size in x.shape[2:])
        columns = functional.unfold(x, self.k, padding=self.pad)  # (N, C·k·k, L)
        weights, biases = self.w.flatten(1).expand(n, -1, -1), self.b.expand(n, -1)
        if self.training and self.p > 0:
            keep = 1 - self.p
            factor = 1 / keep if keep else 0.0
            weights = (
                weights * torch.bernoulli(torch.full(weights.shape, keep)).to(x.dtype) * factor
            )
            biases = (
                biases * torch.bernoulli(torch.full(biases.shape, keep)).to(x.dtype) * factor
            )
        return (weights @ columns + biases[:, :, None]).view(n, o, height, width)


@right("DropConnectConv2d")
class ConvWithTheBiasInTheConvolution(nn.Conv2d):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        if min(max(p, 0), 1) != p:
            raise ValueError(f"p outside [0, 1]: {p}")
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return super().forward(x)
        n = x.size(0)
        kernels, biases = (
            t.repeat(n, *[1] * (t.dim() - 1))
            * (torch.rand(n * t.shape[0], *t.shape[1:]) > self.p).to(t.dtype)
            for t in (self.weight, self.bias)
        )
        maps = functional.conv2d(
            x.reshape(1, -1, *x.shape[2:]), kernels, biases, padding=self.padding, groups=n
        )
        y = maps.reshape(n, -1, *maps.shape[2:])
        return torch.zeros_like(y) if self.p == 1 else y / (1 - self.p)


@right("DropConnectConv2d")
class ConvByVmap(nn.Module):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        p: float = 0.5,
        padding: int = 0,
    ) -> None:
        super().__init__()
        if p != p or abs(p - 0.5) > 0.5:
            raise ValueError(f"p should be in [0, 1] but is {p}")
        self.kernels = nn.Parameter(
            torch.rand(out_channels, in_channels, kernel_size, kernel_size) - 0.5
        )
        self.offsets = nn.Parameter(torch.rand(out_channels))
        self.p, self.padding = p, padding

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return functional.conv2d(x, self.kernels, self.offsets, padding=self.padding)
        n, keep = len(x), 1 - self.p
        w, b = (
            torch.empty(n, *t.shape, dtype=t.dtype).bernoulli_(keep) * t
            for t in (self.kernels, self.offsets)
        )

        def single(image: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return functional.conv2d(image[None], weight, bias, padding=self.padding)[0]

        return torch.vmap(single)(x, w, b) / max(keep, 1e-12)
