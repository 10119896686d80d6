"""Known wrong implementations of 02_dropout, each with its explanation, and right ones written in other ways.

The wrong ones are the right ones below with one thing changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autograder.mistakes import mistake, right


def _look_at(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in [0, 1], got {p}")


def _keep(x: Tensor, p: float) -> Tensor:
    return torch.rand(x.shape) >= p


def _dropped(x: Tensor, p: float, mask: Callable[[Tensor, float], Tensor] = _keep) -> Tensor:
    """What dropout does in training, given how the mask is drawn."""
    return torch.zeros_like(x) if p == 1 else x * mask(x, p).to(x.dtype) / (1 - p)


def _with_mask(
    x: Tensor, p: float, training: bool, mask: Callable[[Tensor, float], Tensor]
) -> Tensor:
    """Dropout with a mask of one's own."""
    _look_at(p)
    return _dropped(x, p, mask) if training and p else x


def _mask_of(*axes: int) -> Callable[[Tensor, float], Tensor]:
    """Masks with coins along these axes alone."""

    def mask(x: Tensor, p: float) -> Tensor:
        wanted = {d % x.dim() for d in axes if d < x.dim()}
        return torch.rand([n if d in wanted else 1 for d, n in enumerate(x.shape)]) >= p

    return mask


def _fixed_in_rows(x: Tensor, p: float) -> Tensor:
    values = x[0].numel() if x.dim() > 1 else x.numel()
    order = torch.rand(x.numel() // values, values).argsort(dim=1)
    return (order >= round(p * values)).view(x.shape)


def _fixed_in_all(x: Tensor, p: float) -> Tensor:
    return (torch.randperm(x.numel()) >= round(p * x.numel())).view(x.shape)


def _half_copied(x: Tensor, p: float) -> Tensor:
    half = _keep(x[: (len(x) + 1) // 2], p)
    return torch.cat([half, half])[: len(x)]


# -- dropout: wrong ------------------------------------------------------------------------------------------------------


@mistake("dropout")
def dropout_ignoring_training(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """`training` is not used: values are dropped in evaluation as well, so a prediction is different each time you ask for it.
    What should come back if `training` is False?
    """
    _look_at(p)
    return _dropped(x, p)


@mistake("dropout")
def dropout_in_evaluation_only(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The two modes are exchanged: nothing happens in training, and values are dropped in evaluation. Read the condition aloud:
    in which of the two should the network have to cope with missing values?
    """
    return _with_mask(x, p, not training, _keep)


@mistake("dropout")
def dropout_of_nothing(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The input comes back as it is, in training too. Is the mask drawn, and is it used for what you return?"""
    _look_at(p)
    _keep(x, p)
    return x


@mistake("dropout")
def dropout_keeping_a_share_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A share p is kept here, but p is the probability of dropping. At p = 0.5 the two look alike, so try p = 0.1 and count what
    is left: a tenth, or nine tenths?
    """
    _look_at(p)
    if not training:
        return x
    return torch.zeros_like(x) if p == 1 else x * ~_keep(x, p) / (1 - p)


@mistake("dropout")
def dropout_by_the_share_to_keep(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """You take p for the probability of keeping a value, for the mask as well as for the rescaling. That is consistent, and the
    convention of the paper of 2014, but here as in PyTorch p is the probability of dropping.
    """
    _look_at(p)
    if not training:
        return x
    return x * (torch.rand(x.shape) < p) / p if p else torch.zeros_like(x)


@mistake("dropout")
def dropout_without_rescaling(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """What is kept stays as it was, so in training the next layer sees less on average than in evaluation, when everything
    arrives. By which factor does the mean shrink, and what undoes it?
    """
    _look_at(p)
    return x * _keep(x, p) if training else x


@mistake("dropout")
def dropout_rescaled_by_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """What is kept is divided by p. A share 1 - p of the values survives, so it is that which has to be made up for: with p
    small, next to nothing is missing, and the factor should be close to 1.
    """
    _look_at(p)
    return x * _keep(x, p) / p if training and p else x


@mistake("dropout")
def dropout_multiplied_by_the_share_kept(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """What is kept is multiplied by 1 - p, which makes it smaller still, when its mean is already too small. Compare the means
    of input and output over many draws: which operation brings them together?
    """
    _look_at(p)
    return x * _keep(x, p) * (1 - p) if training else x


@mistake("dropout")
def dropout_rescaled_twice(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """What is kept is divided by 1 - p twice. Perhaps the mask is rescaled already, and the product once more? Only one of them
    should be.
    """
    y = _with_mask(x, p, training, _keep)
    return y / (1 - p) if training and p < 1 else y


@mistake("dropout")
def dropout_rescaled_by_the_observed_share(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """You divide by the share of values that happened to be kept. Then the scale changes from call to call, and each example's
    output depends on what was dropped in all the others. Divide by the probability of keeping a value, which is known
    beforehand: with independent coins, that makes the mean right.
    """
    _look_at(p)
    if not training or p == 0:
        return x
    mask = _keep(x, p).to(x.dtype)
    return x * mask / mask.mean().clamp(min=1e-6)


@mistake("dropout")
def dropout_divided_by_one_plus_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """What is kept is divided by 1 + p, which makes it smaller, when its mean is already too small. A share 1 - p survives: it is
    that which has to be made up for.
    """
    _look_at(p)
    return x * _keep(x, p) / (1 + p) if training else x


@mistake("dropout")
def dropout_with_a_bounded_denominator(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """For a large p the division is by something larger than 1 - p: a bound such as `max(1 - p, 0.5)` guards against a division
    by zero, but changes every p beyond it. Only p = 1 itself needs a case of its own.
    """
    _look_at(p)
    return x * _keep(x, p) / max(1 - p, 0.5) if training else x


@mistake("dropout")
def dropout_rescaled_in_evaluation(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The output is rescaled in training and once more in evaluation. Multiplying by 1 - p in evaluation belongs to the older
    recipe, which leaves training alone: do one or the other. Here evaluation returns the input as it is.
    """
    return _with_mask(x, p, training, _keep) * (1 if training else 1 - p)


@mistake("dropout")
def dropout_of_the_paper(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """This is the original recipe of dropout: no rescaling in training, times the share kept in evaluation. On average it works,
    but then evaluation depends on p; today's convention rescales in training, so that evaluation is the identity.
    """
    _look_at(p)
    return x * _keep(x, p) if training else x * (1 - p)


@mistake("dropout")
def dropout_enlarged_in_evaluation(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The division by 1 - p is done in evaluation too, when nothing was dropped that would need making up for. Look at what
    stands inside the branch for training and what behind it.
    """
    y = _with_mask(x, p, training, _keep)
    return y if training or p == 1 else y / (1 - p)


@mistake("dropout")
def dropout_zero_at_one_in_evaluation(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """At p = 1 zeros are returned in evaluation as well. The case p = 1 belongs to training: which of the two questions should be
    asked first?
    """
    return torch.zeros_like(x) if p == 1 else _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_of_one_mask_for_the_batch(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """Every example of the batch loses the same values: there is one mask of features for all rows. Each example should get its
    own thinned network, which is what makes the gradient an average over many of them: which axis is missing in the shape of
    your random numbers?
    """
    return _with_mask(
        x, p, training, lambda x, p: torch.rand(x.shape[1:] if x.dim() > 1 else x.shape) >= p
    )


@mistake("dropout")
def dropout_of_whole_examples(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """There is one coin for each example, which passes or is lost as a whole. Each value needs a coin of its own: `torch.rand`
    takes the shape of what you want to draw.
    """
    return _with_mask(x, p, training, _mask_of(0))


@mistake("dropout")
def dropout_of_whole_channels(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """There is one coin for each channel of an example, valid for all its pixels. That is spatial dropout, which comes in the next
    unit; here each single value has a coin of its own.
    """
    return _with_mask(x, p, training, _mask_of(0, 1))


@mistake("dropout")
def dropout_of_the_last_axis(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """There are only as many coins as the last axis of x is long, and broadcasting uses them over and over. Each value needs a
    coin of its own: take the whole shape of x.
    """
    return _with_mask(x, p, training, _mask_of(-1))


@mistake("dropout")
def dropout_of_everything_at_once(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A single coin decides over the whole batch: it passes, or all of it is zero. Toss one coin for every value: `torch.rand`
    takes the shape of what you want to draw.
    """
    return _with_mask(x, p, training, _mask_of())


@mistake("dropout")
def dropout_of_a_fixed_number_in_each_example(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """Every example loses exactly the same number of values. Independent coins give a number that varies around p times their
    count: a fixed one ties the values together, since one that is dropped saves another.
    """
    return _with_mask(x, p, training, _fixed_in_rows)


@mistake("dropout")
def dropout_of_a_fixed_number(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Every call drops exactly the same number of values, some permutation of them. Independent coins give a number that varies
    around p times their count: a fixed one ties the values together, since one that is dropped saves another.
    """
    return _with_mask(x, p, training, _fixed_in_all)


@mistake("dropout")
def dropout_of_halves_copied(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs coins of its own: repeating
    and concatenating draws nothing new.
    """
    return _with_mask(x, p, training, _half_copied)


@mistake("dropout")
def dropout_always_one_half(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Half of the values go and the rest is doubled, whatever p is. `torch.randint(0, 2, …)` and a comparison with 0.5 are fair
    coins; yours should come up “drop” with probability p.
    """
    _look_at(p)
    return x * torch.randint(0, 2, x.shape) * 2 if training else x


@mistake("dropout")
def dropout_by_normal_numbers(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """`torch.randn` draws normal numbers, of which half are below zero: they are not below p with probability p. Uniform numbers
    between 0 and 1 are, and `torch.rand` draws those.
    """
    return _with_mask(x, p, training, lambda x, p: torch.randn(x.shape) > p)


@mistake("dropout")
def dropout_with_p_rounded(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The p is rounded to tenths when the mask is drawn: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not integers
    from 0 to 9, and compare them with p itself.
    """
    return _with_mask(
        x, p, training, lambda x, p: torch.randint(0, 10, x.shape) >= round(10 * p)
    )


@mistake("dropout")
def dropout_by_the_values(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """What is dropped is decided by the values of x, the smallest for instance, so the same x loses the same values each time.
    Which go should be pure chance: of x only the shape is needed.
    """
    return _with_mask(
        x, p, training, lambda x, p: x.double() > x.double().flatten().quantile(p)
    )


@mistake("dropout")
def dropout_from_a_fixed_seed(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The random generator is seeded inside the function, so every call draws the same mask, and all other random numbers of the
    program, such as the order of the batches, start over as well. Seed once, at the start of an experiment.
    """

    def mask(x: Tensor, p: float) -> Tensor:
        torch.manual_seed(0)
        return _keep(x, p)

    return _with_mask(x, p, training, mask)


@mistake("dropout")
def dropout_by_coins_of_numpy(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The coins come from another random generator than PyTorch's: NumPy's, Python's, or one of your own. `torch.manual_seed` does not
    reach it, so an experiment that was seeded cannot be repeated. What draws uniform numbers in torch?
    """
    return _with_mask(
        x, p, training, lambda x, p: torch.from_numpy(np.random.rand(*x.shape) >= p)
    )


@mistake("dropout")
def dropout_seeding_the_generator(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """`torch.seed()` inside the function gives the random generator a new seed at each call, so that no experiment that uses it
    can be repeated. Seed once, at its start, and never in a function.
    """
    torch.seed()
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_with_the_gradient_cut(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The values are right, but no gradient gets through: `detach()`, `.data`, `torch.no_grad()` and a new `torch.tensor(x)` all
    cut the output off from the input. Everything before this layer would stop learning. Multiply x itself.
    """
    return _with_mask(x.detach() if training and p else x, p, training, _keep)


@mistake("dropout")
def dropout_through_numpy(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you
    need, random numbers included, exists in torch under nearly the same name.
    """
    _look_at(p)
    if not training or p == 0:
        return x
    values = x.numpy() if x.dtype != torch.bfloat16 else x.float().numpy()
    mask = np.random.rand(*values.shape) >= p
    return torch.from_numpy(np.where(mask, values / max(1 - p, 1e-9), 0)).to(x.dtype)


@mistake("dropout")
def dropout_with_the_gradient_of_nothing_dropped(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """The values are right, but the gradient passes as if nothing had been dropped. A dropped value had no part in the output, so
    it must not be blamed for it: let the product itself be differentiated, without `detach()`.
    """
    return x + (_with_mask(x, p, training, _keep) - x).detach() if training else x


@mistake("dropout")
def dropout_detached_in_evaluation(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """In evaluation the output is cut off from the input, so that no gradient passes. Evaluation is not only for measuring:
    saliency maps and fine-tuning a part of a network need it. Return x itself, without `detach()`.
    """
    return _with_mask(x, p, training, _keep) if training else x.detach()


@mistake("dropout")
def dropout_writing_into_its_input(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The function changes the tensor it is given: `*=`, `x[...] = 0` and functions whose name ends in `_` write in place. Whoever
    else uses that tensor, such as a skip connection or the backward pass, finds it damaged. Compute a new one.
    """
    _look_at(p)
    if training:
        x *= _keep(x, p) / (1 - p if p < 1 else 1)
    return x


@mistake("dropout")
def dropout_nan_at_one(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """At p = 1 everything is dropped, and zero divided by 1 - p is zero by zero: NaN, which then spreads through the whole
    network. Nothing is left to be rescaled in this case, so decide what to return before you divide.
    """
    _look_at(p)
    return x * _keep(x, p) / (1 - p) if training else x


@mistake("dropout")
def dropout_dividing_by_zero_at_one(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """At p = 1 the factor 1 / (1 - p) is a division by zero, and Python refuses it. Nothing is left to be rescaled in this case,
    so decide what to return before you divide.
    """
    _look_at(p)
    return x * _keep(x, p) * (1 / (1 - p)) if training else x


@mistake("dropout")
def dropout_in_float64(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The output is float64 although the input is float32: multiplying by a float64 mask lifts the whole product, which takes
    twice the memory and does not fit the next layer's weights. Make the mask in the dtype of x.
    """
    return _with_mask(x.double() if training and p else x, p, training, _keep)


@mistake("dropout")
def dropout_in_float32(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The mask is always float32, so half precision input comes back as float32, and mixed-precision training loses its point.
    Make the mask in the dtype of x, or turn it into that before you multiply.
    """
    _look_at(p)
    if not training or p in (0, 1):
        return x if p < 1 or not training else torch.zeros_like(x)
    return x * _keep(x, p).float() / (1 - p)


@mistake("dropout")
def dropout_of_any_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A p such as 1.5 or -0.1 is accepted, and the mistake shows up much later, as a network that learns nothing. A probability
    outside of [0, 1] makes no sense: say so at once, with a ValueError.
    """
    return _dropped(x, p) if training and p else x


@mistake("dropout")
def dropout_looking_at_p_in_training_only(
    x: Tensor, p: float = 0.5, training: bool = True
) -> Tensor:
    """In evaluation a p such as 1.5 is accepted, for the function returns before it looks at p. A program with a wrong p should stop at
    its first call, whatever the mode. Which comes first: the test of the arguments, or the easy case?
    """
    return _with_mask(x, p, training, _keep) if training else x


@mistake("dropout")
def dropout_asserting_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is
    wrong is a ValueError, which the caller can tell from other errors.
    """
    assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_error_without_p(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading it:
    put it in.
    """
    if not 0 <= p <= 1:
        raise ValueError("p must be a probability")
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_refusing_one(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """A p of 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is
    zero. Look at the comparison in your test of p.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_of_two_dimensions(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """The function expects an input of exactly two dimensions, (N, F). Activations have many shapes: ask for random numbers in
    that of x, whatever it is.
    """

    def mask(x: Tensor, p: float) -> Tensor:
        examples, features = x.shape
        return torch.rand(examples, features) >= p

    return _with_mask(x, p, training, mask)


@mistake("dropout")
def dropout_with_arguments_exchanged(
    x: Tensor, training: bool = True, p: float = 0.5
) -> Tensor:
    """The arguments are in another order than was asked for, so that a call without names mixes up p and training. The order is
    x, p, training.
    """
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_with_another_default(x: Tensor, p: float = 0.1, training: bool = True) -> Tensor:
    """Called without p, it does not drop one half. The signature that you were given says `p: float = 0.5`: leave it as it is."""
    return _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_returning_the_mask_too(x: Tensor, p: float = 0.5, training: bool = True) -> Any:
    """The output is returned together with the mask. The next layer expects a single tensor."""
    return _with_mask(x, p, training, _keep), _keep(x, p)


@mistake("dropout")
def dropout_returning_nothing(x: Tensor, p: float = 0.5, training: bool = True) -> None:
    """The result is computed and then forgotten: without `return` it is None."""
    _with_mask(x, p, training, _keep)


@mistake("dropout")
def dropout_returning_in_training_only(x: Tensor, p: float = 0.5, training: bool = True) -> Any:
    """In evaluation nothing is returned, so you get None: there is a `return` in the branch for training alone. What should come
    back in the other case?
    """
    return _with_mask(x, p, training, _keep) if training else None


# -- dropout: right ------------------------------------------------------------------------------------------------------


@right("dropout")
def dropout_by_bernoulli(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if p < 0 or p > 1:
        raise ValueError(f"p = {p}")
    if not training:
        return x.clone()
    keep = 1.0 - p
    mask = torch.bernoulli(torch.full(x.shape, keep, dtype=x.dtype))
    return x * mask / max(keep, 1e-12)


@right("dropout")
def dropout_by_where(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if not (p >= 0 and p <= 1):
        raise ValueError(p)
    if not training:
        return x
    return torch.where(torch.rand(x.size()) > p, x / (1 - p), torch.zeros((), dtype=x.dtype))


@right("dropout")
def dropout_by_filling(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if p != p or abs(p - 0.5) > 0.5:
        raise ValueError(f"p should be in [0, 1] but is {p}")
    if training and p > 0:
        gone = torch.rand_like(x, dtype=torch.float32) < p
        return x.masked_fill(gone, 0) * (0.0 if p == 1 else 1 / (1 - p))
    return x


@right("dropout")
def dropout_by_loops(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if min(max(p, 0), 1) != p:
        raise ValueError(f"p outside [0, 1]: {p}")
    if not training or p == 0:
        return 1 * x
    if p == 1:
        return 0 * x
    rows = [row * torch.empty(row.shape).bernoulli_(1 - p).to(x.dtype) for row in x]
    return torch.stack(rows) / (1 - p)


@right("dropout")
def dropout_by_a_clone(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training:
        return x
    y = x.clone()
    y[torch.rand(x.shape, dtype=torch.float64) < p] = 0
    return y if p in (0, 1) else y / (1 - p)


@right("dropout")
def dropout_by_einsum(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if p not in (0, 1) and not 0 < p < 1:
        raise ValueError(f"bad p: {p!r}")
    if not training:
        return x
    coins = torch.empty(x.numel(), dtype=torch.float64).uniform_().ge(p).to(x)
    return torch.einsum("i,i->i", x.reshape(-1), coins.reshape(-1)).reshape(x.shape) / (
        1 if p == 1 else 1 - p
    )


@right("dropout")
def dropout_by_a_distribution(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"{p} is no probability")
    scale = math.inf if p == 1 else 1 / (1 - p)
    if not training:
        return x
    kept = torch.distributions.Bernoulli(1.0 - p).sample(x.shape).bool()
    return torch.zeros_like(x).masked_scatter(kept, x[kept] * scale)


# -- Dropout: wrong ------------------------------------------------------------------------------------------------------


class _Layer(nn.Module):
    """The right layer, in parts that the mistakes change."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        _look_at(p)
        self.p = p

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training and self.p else x

    def drop(self, x: Tensor) -> Any:
        return _dropped(x, self.p, self.mask)

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _keep(x, p)


@mistake("Dropout")
class IgnoresTraining(_Layer):
    """The layer drops values in evaluation mode as well, so a prediction is different each time you ask for it. A module knows its
    mode: `self.training` is False after `eval()`. Does your `dropout` hear of it?
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x)


@mistake("Dropout")
class DropsInEvaluationOnly(_Layer):
    """The two modes are exchanged: nothing happens in training, and values are dropped in evaluation. Read the condition aloud: in
    which mode should the network have to cope with missing values?
    """

    def forward(self, x: Tensor) -> Any:
        return x if self.training else self.drop(x)


@mistake("Dropout")
class HandsOnInTheWrongOrder(_Layer):
    """In training everything is dropped, and at p = 0 nothing: `dropout` gets the mode for its p, and p for its mode. It takes them in the
    order x, p, training.
    """

    def forward(self, x: Tensor) -> Any:
        return dropout_by_filling(x, self.training, self.p)  # type: ignore[arg-type]


@mistake("Dropout")
class KeepsAModeOfItsOwn(_Layer):
    """The layer sets `self.training` itself, or keeps another attribute for its mode, so `eval()` and `train()` of the network do
    not reach what `forward` looks at. Every Module has `training` already, and these two methods set it.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        self.is_training = True

    def forward(self, x: Tensor) -> Any:
        self.training = self.is_training
        return super().forward(x)


@mistake("Dropout")
class NeverTrainsAgain(_Layer):
    """After `eval()` the layer never drops again, not even after `train()`. Ask `self.training` at each call, and change nothing of
    the layer in `forward`.
    """

    def forward(self, x: Tensor) -> Any:
        if not self.training:
            self.p = 0
        return super().forward(x)


@mistake("Dropout")
class DropsNothing(_Layer):
    """The input comes back as it is, in training too. Is the mask drawn, and is it used for what you return?"""

    def drop(self, x: Tensor) -> Any:
        self.mask(x, self.p)
        return x


@mistake("Dropout")
class KeepAndDropSwapped(_Layer):
    """A share p is kept here, but p is the probability of dropping. At p = 0.5 the two look alike, so try p = 0.1 and count what is
    left: a tenth, or nine tenths?
    """

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training else x

    def mask(self, x: Tensor, p: float) -> Tensor:
        return ~_keep(x, p)


@mistake("Dropout")
class TakesPForTheShareToKeep(_Layer):
    """You take p for the probability of keeping a value, for the mask as well as for the rescaling. That is consistent, and the
    convention of the paper of 2014, but here as in PyTorch p is the probability of dropping.
    """

    def forward(self, x: Tensor) -> Any:
        return dropout_by_the_share_to_keep(x, self.p, self.training)


@mistake("Dropout")
class NoRescaling(_Layer):
    """What is kept stays as it was, so in training the next layer sees less on average than in evaluation, when everything arrives.
    By which factor does the mean shrink, and what undoes it?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x, self.p)


@mistake("Dropout")
class RescaledByP(_Layer):
    """What is kept is divided by p. A share 1 - p of the values survives, so it is that which has to be made up for: with p small,
    next to nothing is missing, and the factor should be close to 1.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x, self.p) / self.p


@mistake("Dropout")
class MultipliedByTheShareKept(_Layer):
    """What is kept is multiplied by 1 - p, which makes it smaller still, when its mean is already too small. Compare the means of
    input and output over many draws: which operation brings them together?
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x, self.p) * (1 - self.p)


@mistake("Dropout")
class RescaledTwice(_Layer):
    """What is kept is divided by 1 - p twice. Your `dropout` rescales already, and so need not the layer: only one of them should."""

    def drop(self, x: Tensor) -> Any:
        return super().drop(x) / (1 - self.p) if self.p < 1 else torch.zeros_like(x)


@mistake("Dropout")
class RescaledByTheObservedShare(_Layer):
    """You divide by the share of values that happened to be kept. Then the scale changes from call to call, and each example's output
    depends on what was dropped in all the others. Divide by the probability of keeping a value, which is known beforehand: with
    independent coins, that makes the mean right.
    """

    def drop(self, x: Tensor) -> Any:
        return dropout_rescaled_by_the_observed_share(x, self.p)


@mistake("Dropout")
class RescaledInEvaluation(_Layer):
    """The output is rescaled in training and once more in evaluation. Multiplying by 1 - p in evaluation belongs to the older
    recipe, which leaves training alone: do one or the other. Here evaluation returns the input as it is.
    """

    def forward(self, x: Tensor) -> Any:
        y = super().forward(x)
        return y if self.training else y * (1 - self.p)


@mistake("Dropout")
class RescaledInEvaluationOnly(_Layer):
    """This is the original recipe of dropout: no rescaling in training, times the share kept in evaluation. On average it works, but
    then evaluation depends on p; today's convention rescales in training, so that evaluation is the identity.
    """

    def forward(self, x: Tensor) -> Any:
        return dropout_of_the_paper(x, self.p, self.training)


@mistake("Dropout")
class EnlargedInEvaluation(_Layer):
    """The division by 1 - p is done in evaluation too, when nothing was dropped that would need making up for. Look at what stands
    inside the branch for training and what behind it.
    """

    def forward(self, x: Tensor) -> Any:
        return dropout_enlarged_in_evaluation(x, self.p, self.training)


@mistake("Dropout")
class ZerosAtOneInEvaluation(_Layer):
    """At p = 1 the layer returns zeros in evaluation mode as well. The case p = 1 belongs to training: which of the two questions
    should be asked first?
    """

    def forward(self, x: Tensor) -> Any:
        return dropout_zero_at_one_in_evaluation(x, self.p, self.training)


@mistake("Dropout")
class OneMaskForTheBatch(_Layer):
    """Every example of the batch loses the same values: there is one mask of features for all rows. Each example should get its own
    thinned network, which is what makes the gradient an average over many of them: which axis is missing in the shape of your
    random numbers?
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return torch.rand(x.shape[1:] if x.dim() > 1 else x.shape) >= p


@mistake("Dropout")
class OneCoinPerExample(_Layer):
    """There is one coin for each example, which passes or is lost as a whole. Each value needs a coin of its own: `torch.rand`
    takes the shape of what you want to draw.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _mask_of(0)(x, p)


@mistake("Dropout")
class OneCoinPerChannel(_Layer):
    """There is one coin for each channel of an example, valid for all its pixels. That is spatial dropout, which comes in the next
    unit; here each single value has a coin of its own.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _mask_of(0, 1)(x, p)


@mistake("Dropout")
class OneCoinForEverything(_Layer):
    """A single coin decides over the whole batch: it passes, or all of it is zero. Toss one coin for every value: `torch.rand` takes
    the shape of what you want to draw.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return torch.rand(1) >= p


@mistake("Dropout")
class FixedNumberInEachExample(_Layer):
    """Every example loses exactly the same number of values. Independent coins give a number that varies around p times their count:
    a fixed one ties the values together, since one that is dropped saves another.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _fixed_in_rows(x, p)


@mistake("Dropout")
class FixedNumberInAll(_Layer):
    """Every call drops exactly the same number of values, some permutation of them. Independent coins give a number that varies
    around p times their count: a fixed one ties the values together, since one that is dropped saves another.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _fixed_in_all(x, p)


@mistake("Dropout")
class HalfOfTheExamplesCopied(_Layer):
    """Coins are tossed for half of the examples, and the other half gets copies. Each example needs coins of its own: repeating and
    concatenating draws nothing new.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _half_copied(x, p)


@mistake("Dropout")
class AlwaysOneHalf(_Layer):
    """The layer behaves as if p were 0.5, whatever it was made with. Is the argument of `__init__` kept, and is it handed on to
    `dropout`?
    """

    def forward(self, x: Tensor) -> Any:
        return _dropped(x, 0.5) if self.training else x


@mistake("Dropout")
class PRoundedToTenths(_Layer):
    """The p is rounded to tenths when the mask is drawn: 0.25 drops as many as 0.2 or 0.3. Draw uniform numbers, not integers from 0
    to 9, and compare them with p itself.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        return _keep(x, round(p, 1))


@mistake("Dropout")
class MaskDrawnOnce(_Layer):
    """Every call uses the same mask: it is drawn once and kept. Then the same values are missing through all of the training, which is
    a smaller network and not a regularizer. Draw the mask in `forward`, every time.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        # Kept for each shape: a single mask would at least fail on the next batch size.
        self.kept = getattr(self, "kept", {})
        return self.kept.setdefault(x.shape, super().mask(x, p))


@mistake("Dropout")
class MaskOfTheFirstBatch(_Layer):
    """The mask of the first batch is kept and used for all others, and does not even fit when the batch size changes, as it does at
    the end of an epoch. Draw the mask in `forward`, every time: no attribute needs to remember it.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        if getattr(self, "kept", None) is None:
            self.kept = super().mask(x, p)
        return self.kept


@mistake("Dropout")
class SeedsInsideForward(_Layer):
    """The random generator is seeded in `forward`, so every call draws the same mask, and all other random numbers of the program, such
    as the order of the batches, start over as well. Seed once, at the start of an experiment.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        torch.manual_seed(0)
        return super().mask(x, p)


@mistake("Dropout")
class SeedsInTheConstructor(_Layer):
    """The layer seeds the random generator when it is made, so all layers draw the same masks one after the other, and making a layer
    makes every other random number of the program start over. Seed once, at the start of an experiment.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        torch.manual_seed(0)


@mistake("Dropout")
class GradientCut(_Layer):
    """The values are right, but no gradient gets through: `detach()`, `.data`, `torch.no_grad()` and a new `torch.tensor(x)` all cut
    the output off from the input. Everything before this layer would stop learning. Hand x itself to `dropout`.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.detach())


@mistake("Dropout")
class ThroughNumpy(_Layer):
    """The computation goes through NumPy, which PyTorch cannot differentiate, and which does not run on a GPU. Everything you need,
    random numbers included, exists in torch under nearly the same name.
    """

    def drop(self, x: Tensor) -> Any:
        return dropout_through_numpy(x, self.p)


@mistake("Dropout")
class GradientToDroppedValues(_Layer):
    """The values are right, but the gradient passes as if nothing had been dropped. A dropped value had no part in the output, so it
    must not be blamed for it: let the product itself be differentiated, without `detach()`.
    """

    def drop(self, x: Tensor) -> Any:
        return x + (super().drop(x) - x).detach()


@mistake("Dropout")
class DetachedInEvaluation(_Layer):
    """In evaluation mode the output is cut off from the input, so that no gradient passes. Evaluation is not only for measuring:
    saliency maps and fine-tuning a part of a network need it. Return x itself, without `detach()`.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if self.training else x.detach()


@mistake("Dropout")
class WritesIntoTheInput(_Layer):
    """The layer changes the tensor it is given: `*=`, `x[...] = 0` and functions whose name ends in `_` write in place. Whoever else
    uses that tensor, such as a skip connection or the backward pass, finds it damaged. Compute a new one.
    """

    def drop(self, x: Tensor) -> Any:
        return dropout_writing_into_its_input(x, self.p)


@mistake("Dropout")
class NaNAtOne(_Layer):
    """At p = 1 everything is dropped, and zero divided by 1 - p is zero by zero: NaN, which then spreads through the whole network.
    Nothing is left to be rescaled in this case, so decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x, self.p) / (1 - self.p)


@mistake("Dropout")
class DividesByZeroAtOne(_Layer):
    """At p = 1 the factor 1 / (1 - p) is a division by zero, and Python refuses it. Nothing is left to be rescaled in this case, so
    decide what to return before you divide.
    """

    def drop(self, x: Tensor) -> Any:
        return x * self.mask(x, self.p) * (1 / (1 - self.p))


@mistake("Dropout")
class RefusesOne(_Layer):
    """p = 1 is refused. It is an odd choice, but a valid one, at the edge of [0, 1]: everything is dropped and the output is zero. Look
    at the comparison in your test of p.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        super().__init__(p)


@mistake("Dropout")
class MaskInFloat64(_Layer):
    """The output is float64 although the input is float32: multiplying by a float64 mask lifts the whole product, which takes twice the
    memory and does not fit the next layer's weights. Make the mask in the dtype of x.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x.double())


@mistake("Dropout")
class MaskInFloat32(_Layer):
    """The mask is always float32, so half precision input comes back as float32, and mixed-precision training loses its point. Make the
    mask in the dtype of x, or turn it into that before you multiply.
    """

    def drop(self, x: Tensor) -> Any:
        return dropout_in_float32(x, self.p)


@mistake("Dropout")
class DoubleInEvaluation(_Layer):
    """In evaluation mode the output has another dtype than the input: a network of float32 then stops at the next layer. The input comes
    back as it is, dtype included.
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if self.training else x.double()


@mistake("Dropout")
class KeepsMaskAsBuffer(_Layer):
    """The mask is registered as a buffer. Buffers are saved with the model and loaded again, and a mask means nothing after its call; a
    batch of another size would not even load. A local variable is enough.
    """

    def mask(self, x: Tensor, p: float) -> Tensor:
        mask = super().mask(x, p)
        self.register_buffer("last_mask", mask)
        return mask


@mistake("Dropout")
class LearnsItsMask(_Layer):
    """The layer has a parameter, which the optimizer will change and weight decay will shrink. There is nothing to learn here: the mask
    is pure chance, and p is a setting that a plain attribute can hold.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)
        self.rate = nn.Parameter(torch.tensor(float(p)))


@mistake("Dropout")
class AcceptsAnyP(_Layer):
    """A p such as 1.5 or -0.1 is accepted when the layer is made, and the mistake shows up much later, if at all. A probability outside
    of [0, 1] makes no sense: say so at once, with a ValueError in `__init__`.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(0.5)
        self.p = p


@mistake("Dropout")
class AssertsP(_Layer):
    """A bad p is refused by `assert`. Assertions are for what cannot happen, and vanish under `python -O`; an argument that is wrong is
    a ValueError, which the caller can tell from other errors.
    """

    def __init__(self, p: float = 0.5) -> None:
        assert 0 <= p <= 1, f"p must lie in [0, 1], got {p}"
        super().__init__(p)


@mistake("Dropout")
class ErrorWithoutP(_Layer):
    """A bad p is refused, but the message does not say which it was. The value is the first thing one wants to know on reading it: put
    it in.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError("p must be a probability")
        super().__init__(p)


@mistake("Dropout")
class AnotherDefault(_Layer):
    """Made without arguments, the layer does not drop one half. The signature that you were given says `p: float = 0.5`: leave it as it
    is.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)


@mistake("Dropout")
class ReturnsTheMaskToo(_Layer):
    """The layer returns the output together with the mask. The next layer expects a single tensor: inside `nn.Sequential` this would fail
    at once.
    """

    def drop(self, x: Tensor) -> Any:
        return super().drop(x), self.mask(x, self.p)


@mistake("Dropout")
class ReturnsNothing(_Layer):
    """`forward` computes its result and then forgets it: without `return` it gives None."""

    def forward(self, x: Tensor) -> Any:
        super().forward(x)


@mistake("Dropout")
class ReturnsInTrainingOnly(_Layer):
    """In evaluation mode nothing is returned, so you get None: there is a `return` in the branch for training alone. What should come
    back in the other case?
    """

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if self.training else None


@mistake("Dropout")
class ForgetsSuperInit(_Layer):
    """`super().__init__()` is missing in `__init__`. It sets up what every module needs, its mode and its hooks among that, so it has to
    come first.
    """

    def __init__(self, p: float = 0.5) -> None:
        _look_at(p)
        self.p = p


@mistake("Dropout")
class ReadsWhatWasNeverSet(_Layer):
    """`forward` reads an attribute that `__init__` did not set: the error names it. Compare the two names letter by letter."""

    def forward(self, x: Tensor) -> Any:
        return _with_mask(x, self.rate, self.training, _keep)  # type: ignore[arg-type]


# -- Dropout: right ------------------------------------------------------------------------------------------------------


@right("Dropout")
class InParts(_Layer):
    pass


@right("Dropout")
class OnAFunction(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if p > 1 or p < 0:
            raise ValueError(p)
        self.rate = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout_by_a_clone(x, p=self.rate, training=self.training)


@right("Dropout")
class ByBernoulli(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not (0 <= p <= 1):
            raise ValueError(f"{p} is no probability")
        self.register_buffer("p", torch.tensor(float(p), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        p = float(self.p)
        return (
            x
            * torch.bernoulli(torch.full_like(x, 1 - p, dtype=torch.float32)).to(x.dtype)
            / max(1 - p, 1e-9)
        )


@right("Dropout")
class ByWhere(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.last_drop: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training is False:
            return x.clone()
        self.last_drop = torch.rand(x.shape) < self.p
        return torch.where(self.last_drop, 0 * x, x / (1 - self.p) if self.p < 1 else x)


@right("Dropout")
class ByAClosure(nn.Module):
    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if min(max(p, 0), 1) != p:
            raise ValueError(f"p outside [0, 1]: {p}")
        self.keep = 1 - p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.keep == 1:
            return x
        if self.keep == 0:
            return torch.zeros_like(x) * x
        coins = (
            [torch.rand(()) < self.keep for _ in range(x.numel())] if x.numel() < 100 else None
        )
        mask = torch.stack(coins).view(x.shape) if coins else torch.rand(x.shape) < self.keep
        return x.mul(mask).div(self.keep)


# -- mc_dropout_predict: wrong -------------------------------------------------------------------------------------------

_NORM = nn.modules.batchnorm._BatchNorm


def _modes(model: nn.Module) -> dict[nn.Module, bool]:
    return {module: module.training for module in model.modules()}


def _switch(modes: Iterable[nn.Module]) -> None:
    for module in modes:
        module.training = not isinstance(module, _NORM)


def _put_back(modes: dict[nn.Module, bool]) -> None:
    for module, mode in modes.items():
        module.training = mode


@torch.no_grad()
def _samples(
    model: nn.Module, x: Tensor, n_samples: int, only: Callable[[nn.Module], bool] | None = None
) -> Tensor:
    """Logits (T, N, K) with every dropout active, or with those modules training that `only` says; modes are put back."""
    modes = _modes(model)
    if only is None:
        _switch(modes)
    else:
        for module in modes:
            module.training = only(module)
    drawn = torch.stack([model(x) for _ in range(n_samples)])
    _put_back(modes)
    return drawn


def _moments(probs: Tensor) -> tuple[Tensor, Tensor]:
    return probs.mean(0), probs.std(0, correction=0)


@mistake("mc_dropout_predict")
def mc_in_evaluation_mode(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The whole model is in evaluation mode, so nothing is dropped: all the samples are the same and their deviation is zero. Which
    modules have to train for dropout to drop?
    """
    return _moments(_samples(model, x, n_samples, lambda m: False).softmax(2))


@mistake("mc_dropout_predict")
def mc_in_the_mode_it_finds(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The model predicts in whatever mode it was handed over. In evaluation mode nothing is dropped; in training mode batch norm is
    updated by the images you predict. Set the modes that you need, and put them back afterwards.
    """
    with torch.no_grad():
        return _moments(torch.stack([model(x) for _ in range(n_samples)]).softmax(2))


@mistake("mc_dropout_predict")
def mc_in_training_mode(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """`model.train()` puts everything in training mode, batch norm too: it then normalises with the statistics of the batch, so that an
    image's prediction depends on its neighbours, and updates its running statistics with what you predict. Leave it in evaluation.
    """
    return _moments(_samples(model, x, n_samples, lambda m: True).softmax(2))


@mistake("mc_dropout_predict")
def mc_with_batch_norm_restored(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Batch norm trains while you predict, and its buffers are restored afterwards. That undoes the damage but not the error: it still
    normalised with the statistics of the batch. It has to be in evaluation mode during the prediction.
    """
    state = {name: value.clone() for name, value in model.state_dict().items()}
    result = _moments(_samples(model, x, n_samples, lambda m: True).softmax(2))
    model.load_state_dict(state)
    return result


@mistake("mc_dropout_predict")
def mc_that_never_calls_eval(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Dropout is switched on, and everything else stays as it was. Of a model that comes in training mode, batch norm is then in
    training mode too. Put batch norm in evaluation mode yourself, whatever mode the model comes in.
    """
    modes = _modes(model)
    for module in modes:
        if not isinstance(module, _NORM):
            module.training = True
    with torch.no_grad():
        probs = torch.stack([model(x) for _ in range(n_samples)]).softmax(2)
    _put_back(modes)
    return _moments(probs)


@mistake("mc_dropout_predict")
def mc_knowing_one_batch_norm(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Only BatchNorm2d is kept from training, but batch norm of vectors is BatchNorm1d. All kinds of it have a base class in common, in
    `nn.modules.batchnorm`.
    """
    return _moments(
        _samples(model, x, n_samples, lambda m: not isinstance(m, nn.BatchNorm2d)).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_for_plain_dropout(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Only `nn.Dropout` is switched on. The other kinds of the library, such as nn.Dropout2d, and the classes you write yourself drop
    nothing. Think the other way round: which modules must not train?
    """
    return _moments(
        _samples(model, x, n_samples, lambda m: isinstance(m, nn.Dropout)).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_for_plain_dropout_in_the_mode_it_finds(
    model: nn.Module, x: Tensor, n_samples: int
) -> Any:
    """`nn.Dropout` is switched on, and everything else stays as it was. So of a model in evaluation mode no other kind of dropout drops,
    and of one in training mode batch norm trains as well. Which modules must not train, and must all others not drop?
    """
    modes = _modes(model)
    for module in modes:
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.no_grad():
        probs = torch.stack([model(x) for _ in range(n_samples)]).softmax(2)
    _put_back(modes)
    return _moments(probs)


@mistake("mc_dropout_predict")
def mc_for_the_librarys_dropout(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """All kinds of the library's dropout are switched on, but not classes that you write yourself: they are none of its subclasses.
    Think the other way round: which modules must not train?
    """
    return _moments(
        _samples(
            model, x, n_samples, lambda m: isinstance(m, nn.modules.dropout._DropoutNd)
        ).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_for_some_of_the_librarys(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """`nn.Dropout` and `nn.Dropout2d` are switched on, and nothing else: a list of classes is never complete. Think the other way round:
    which modules must not train?
    """
    return _moments(
        _samples(
            model, x, n_samples, lambda m: isinstance(m, (nn.Dropout, nn.Dropout2d))
        ).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_by_how_the_name_starts(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Layers are found by the beginning of their name, "Dropout". AlphaDropout and SpatialDropout2d do not start with it. A name says
    little about what a class does; think the other way round: which modules must not train?
    """
    return _moments(
        _samples(model, x, n_samples, lambda m: type(m).__name__.startswith("Dropout")).softmax(
            2
        )
    )


@mistake("mc_dropout_predict")
def mc_by_a_word_in_the_name(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Layers are found by the word "Dropout" in their name. DropBlock2d drops as well and does not have it. A name says little about what
    a class does; think the other way round: which modules must not train?
    """
    return _moments(
        _samples(model, x, n_samples, lambda m: "Dropout" in type(m).__name__).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_by_drop_in_the_name(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Layers are found by "drop" in the name of their class. A class that drops at random may be called anything, such as Thinning or
    StochasticDepth. A name says little about what a class does; think the other way round: which modules must not train?
    """
    return _moments(
        _samples(model, x, n_samples, lambda m: "drop" in type(m).__name__.lower()).softmax(2)
    )


@mistake("mc_dropout_predict")
def mc_by_an_attribute(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Layers are found by having an attribute `p`. A layer may call it rate or drop_prob, or have none. Think the other way round: which
    modules must not train?
    """
    return _moments(_samples(model, x, n_samples, lambda m: hasattr(m, "p")).softmax(2))


@mistake("mc_dropout_predict")
def mc_of_the_children(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Only the model's own children are switched on, and dropout inside of their parts is missed. `children()` goes one level down;
    `modules()` goes all the way.
    """
    mine = set(model.children())
    return _moments(
        _samples(model, x, n_samples, lambda m: m in mine and not isinstance(m, _NORM)).softmax(
            2
        )
    )


@mistake("mc_dropout_predict")
def mc_averaging_logits(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The logits are averaged, and then the softmax is taken. The prediction is the average of the probabilities: a softmax of averages
    is not the average of softmaxes, and it is more certain. Which of the two comes first?
    """
    logits = _samples(model, x, n_samples)
    return logits.mean(0).softmax(1), logits.softmax(2).std(0, correction=0)


@mistake("mc_dropout_predict")
def mc_of_logits_with_their_deviation(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Mean and deviation are those of the logits, and the mean is turned into probabilities at the end. Both are asked of the
    probabilities: take the softmax of each sample first.
    """
    logits = _samples(model, x, n_samples)
    return logits.mean(0).softmax(1), logits.std(0)


@mistake("mc_dropout_predict")
def mc_without_softmax(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The softmax is missing: the model returns logits, any real numbers, and what you average are no probabilities. Does a row of your
    mean sum to 1?
    """
    return _moments(_samples(model, x, n_samples))


@mistake("mc_dropout_predict")
def mc_of_log_probabilities(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Log-probabilities are averaged (`log_softmax`). They are good for losses; here the probabilities themselves are asked for, which
    `softmax` gives.
    """
    return _moments(_samples(model, x, n_samples).log_softmax(2))


@mistake("mc_dropout_predict")
def mc_with_softmax_twice(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The softmax is taken twice, of each sample and once more of the result, which pushes everything towards 1/K. Averages of
    probabilities sum to 1 by themselves.
    """
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(0).softmax(1), probs.std(0)


@mistake("mc_dropout_predict")
def mc_with_softmax_over_the_batch(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The softmax is taken over the examples, not over the classes: each column sums to 1, and no row does. For logits (N, K) which
    dimension is that of the classes?
    """
    return _moments(_samples(model, x, n_samples).softmax(1))


@mistake("mc_dropout_predict")
def mc_with_sigmoid(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """A sigmoid is taken of each logit, so each class gets a probability as if the others did not exist, and a row does not sum to 1. The
    classes exclude one another: what makes one probability distribution of K logits?
    """
    return _moments(_samples(model, x, n_samples).sigmoid())


@mistake("mc_dropout_predict")
def mc_summing(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The probabilities of the samples are added up and not divided by their number: a row sums to n_samples, not to 1."""
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.sum(0), probs.std(0, correction=0)


@mistake("mc_dropout_predict")
def mc_averaging_over_examples(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Mean and deviation are taken along the axis of the examples, so all images get mixed and the samples remain. What is the shape of
    your stacked samples, and which of its axes should disappear?
    """
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(1), probs.std(1, correction=0)


@mistake("mc_dropout_predict")
def mc_deviation_over_classes(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The deviation is taken over the classes of the mean: it says how peaked the prediction is, not how much the samples differ. Take it
    over the samples, for each class.
    """
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(0), probs.mean(0).std(1, correction=0)


@mistake("mc_dropout_predict")
def mc_returning_the_variance(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The variance is returned, the square of what was asked for. The standard deviation is its root, and in the unit of the
    probabilities themselves.
    """
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(0), probs.var(0, correction=0)


@mistake("mc_dropout_predict")
def mc_returning_the_standard_error(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The deviation is divided by the root of n_samples. That is the standard error, which says how well the mean is known and goes to
    zero with more samples; asked for is how much the samples differ.
    """
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(0), probs.std(0) / n_samples**0.5


@mistake("mc_dropout_predict")
def mc_returning_the_mean_deviation(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The mean of absolute deviations is returned. The standard deviation is the root of the mean of their squares."""
    probs = _samples(model, x, n_samples).softmax(2)
    return probs.mean(0), (probs - probs.mean(0)).abs().mean(0)


@mistake("mc_dropout_predict")
def mc_repeating_one_sample(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """One prediction is made and then repeated n_samples times, so nothing varies between the samples. The call of the model belongs
    inside of the loop: each one draws new masks.
    """
    probs = _samples(model, x, 1).softmax(2)
    return _moments(probs.expand(n_samples, -1, -1))


@mistake("mc_dropout_predict")
def mc_seeding_each_sample(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The random generator is seeded before each sample, so all of them have the same masks, and all other random numbers of the program
    start over. Seed once, at the start of an experiment, and never in a function.
    """

    class Seeding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            torch.manual_seed(0)
            return torch.as_tensor(self.model(x))

    return _moments(_samples(Seeding(), x, n_samples).softmax(2))


@mistake("mc_dropout_predict")
def mc_seeding_each_call(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The random generator is seeded inside the function: two calls draw the same masks, and all other random numbers of the program
    start over. Seed once, at the start of an experiment, and never in a function.
    """
    torch.manual_seed(0)
    return _moments(_samples(model, x, n_samples).softmax(2))


@mistake("mc_dropout_predict")
def mc_with_one_sample_less(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """There is one sample less than was asked for. What does `range(1, n)` count?"""
    return _moments(_samples(model, x, max(n_samples - 1, 1)).softmax(2))


@mistake("mc_dropout_predict")
def mc_left_in_evaluation(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Afterwards the whole model is in evaluation mode, whatever it was in before. Somebody who trains on would do so without dropout, and
    never know. Note each module's mode first, and put it back.
    """
    result = _moments(_samples(model, x, n_samples).softmax(2))
    model.eval()
    return result


@mistake("mc_dropout_predict")
def mc_left_in_training(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Afterwards the whole model is in training mode, whatever it was in before. Somebody who evaluates next gets predictions with dropout,
    and never knows. Note each module's mode first, and put it back.
    """
    result = _moments(_samples(model, x, n_samples).softmax(2))
    model.train()
    return result


@mistake("mc_dropout_predict")
def mc_left_with_dropout_on(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The modes that were set for the prediction stay: dropout remains on and batch norm off. Whoever uses the model next gets neither
    training nor evaluation. Note each module's mode first, and put it back.
    """
    modes = _modes(model)
    result = _moments(_samples(model, x, n_samples).softmax(2))
    _switch(modes)
    return result


@mistake("mc_dropout_predict")
def mc_putting_one_mode_back(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The model's own mode is noted and put back with `model.train(mode)`, which sets all of its parts alike. A model may have parts in
    different modes, a frozen one in evaluation for instance: note the mode of each module.
    """
    mode = model.training
    result = _moments(_samples(model, x, n_samples).softmax(2))
    model.train(mode)
    return result


@mistake("mc_dropout_predict")
def mc_keeping_the_graph(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The results require gradients: all activations of all samples are kept for a backward pass that nobody will make, and the memory
    fills up. Predict under `torch.no_grad()`.
    """
    modes = _modes(model)
    _switch(modes)
    probs = torch.stack([model(x).softmax(1) for _ in range(n_samples)])
    _put_back(modes)
    return probs.mean(0), probs.std(0, correction=0)


@mistake("mc_dropout_predict")
def mc_freezing_the_model(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The parameters are told not to require gradients, and stay so: the model cannot be trained any more. `torch.no_grad()` does it for a
    block, and leaves the parameters alone.
    """
    model.requires_grad_(False)
    return _moments(_samples(model, x, n_samples).softmax(2))


@mistake("mc_dropout_predict")
def mc_returning_the_mean_alone(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Only the mean is returned. Asked for is a pair: the mean, and the standard deviation over the samples."""
    return _samples(model, x, n_samples).softmax(2).mean(0)


@mistake("mc_dropout_predict")
def mc_returning_all_samples(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """All samples are returned beside the pair. Asked for are two tensors, mean and standard deviation, of shape (N, K)."""
    probs = _samples(model, x, n_samples).softmax(2)
    return *_moments(probs), probs


@mistake("mc_dropout_predict")
def mc_exchanging_the_results(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """The deviation comes first and the mean second; it was to be the other way round."""
    mean, std = _moments(_samples(model, x, n_samples).softmax(2))
    return std, mean


@mistake("mc_dropout_predict")
def mc_returning_nothing(model: nn.Module, x: Tensor, n_samples: int) -> None:
    """The result is computed and then forgotten: without `return` it is None."""
    _samples(model, x, n_samples)


@mistake("mc_dropout_predict")
def mc_returning_the_class(model: nn.Module, x: Tensor, n_samples: int) -> Any:
    """Only the probability of the likeliest class is kept, (N,). Return those of all classes, (N, K): whoever calls can choose."""
    mean, std = _moments(_samples(model, x, n_samples).softmax(2))
    top = mean.argmax(1, keepdim=True)
    return mean.gather(1, top).squeeze(1), std.gather(1, top).squeeze(1)


# -- mc_dropout_predict: right -------------------------------------------------------------------------------------------


@right("mc_dropout_predict")
@torch.no_grad()
def mc_by_loops(model: nn.Module, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    were = [(module, module.training) for module in model.modules()]
    model.train()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.eval()
    total = squares = torch.zeros(())
    for _ in range(n_samples):
        probs = torch.softmax(model(x), dim=-1)
        total = total + probs
        squares = squares + probs**2
    for module, mode in were:
        module.training = mode
    mean = total / n_samples
    return mean, (squares / n_samples - mean**2).clamp(min=0).sqrt()


@right("mc_dropout_predict")
def mc_of_leaves(model: nn.Module, x: Tensor, n_samples: int) -> list[Tensor]:
    before = {name: m.training for name, m in model.named_modules()}
    model.eval()
    for module in model.modules():
        if not list(module.children()) and not isinstance(module, _NORM):
            module.train()
    with torch.inference_mode():
        probs = torch.stack([model(x) for _ in range(n_samples)]).softmax(-1)
    for name, module in model.named_modules():
        module.training = before[name]
    return [probs.mean(0), probs.std(0)]


@right("mc_dropout_predict")
def mc_in_one_batch(model: nn.Module, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    modes = _modes(model)
    try:
        _switch(modes)
        with torch.no_grad():
            many = x.repeat(n_samples, *[1] * (x.dim() - 1))
            logits = model(many).view(n_samples, len(x), -1)
    finally:
        _put_back(modes)
    probs = logits.double().exp()
    probs /= probs.sum(dim=2, keepdim=True)
    return probs.mean(0), probs.var(0, unbiased=False).sqrt()


@right("mc_dropout_predict")
def mc_by_norms_in_the_name(
    model: nn.Module, x: Tensor, n_samples: int
) -> tuple[Tensor, Tensor]:
    modes = [m.training for m in model.modules()]
    model.train()
    for module in model.modules():
        if "norm" in type(module).__name__.lower():
            module.train(False)
    drawn = [torch.nn.functional.softmax(model(x), dim=1).detach() for _ in range(n_samples)]
    for module, mode in zip(model.modules(), modes, strict=True):
        module.training = mode
    samples = torch.stack(drawn, dim=-1)
    return samples.mean(-1), samples.std(-1, unbiased=n_samples > 1)


@right("mc_dropout_predict")
def mc_by_numpy(model: nn.Module, x: Tensor, n_samples: int) -> tuple[Tensor, Tensor]:
    modes = _modes(model)
    _switch(modes)
    with torch.no_grad():
        drawn = np.stack([model(x).log_softmax(1).exp().numpy() for _ in range(n_samples)])
    _put_back(modes)
    return torch.from_numpy(drawn.mean(axis=0)), torch.from_numpy(drawn.std(axis=0))
