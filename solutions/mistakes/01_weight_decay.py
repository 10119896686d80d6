"""Known wrong implementations of 01_weight_decay, each with its explanation, and right ones written in other ways.

The wrong steps are the right ones of `_sgd` and `_adamw` with one thing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from autograder.mistakes import mistake, right

# -- l2_penalty: wrong ---------------------------------------------------------------------------------------------------


@mistake("l2_penalty")
def penalty_without_the_half(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The factor one half is missing, so the penalty is twice as large as asked for. It is there for the gradient's sake:
    what is the derivative of the square of w, and what should come out?
    """
    return weight_decay * sum(p.square().sum() for p in params)


@mistake("l2_penalty")
def half_taken_twice(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The penalty is half of what it should be: the factor one half is in it twice. Is it once in the loop and once outside?"""
    return 0.5 * sum(0.5 * weight_decay * p.square().sum() for p in params)


@mistake("l2_penalty")
def norms_not_squared(params: Iterable[Tensor], weight_decay: float) -> Any:
    """These are the norms themselves, not their squares. The root makes the pull the same for a small tensor as for a large
    one, with no derivative at zero; what is the gradient of the norm, and what that of half its square?
    """
    return weight_decay * sum(p.norm() for p in params)


@mistake("l2_penalty")
def half_the_norms(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The half is there, but the norms are not squared: `norm()` takes a root at the end. Which exponent undoes it, and can
    you do without the root in the first place?
    """
    return 0.5 * weight_decay * sum(p.norm(2) for p in params)


@mistake("l2_penalty")
def root_of_the_whole(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The squares of all tensors are added up and then the root is taken: that is the length of all weights as one vector, not
    its square. Where does the formula have a root?
    """
    return 0.5 * weight_decay * sum(p.square().sum() for p in params).sqrt()  # type: ignore[union-attr]


@mistake("l2_penalty")
def square_of_the_sum_of_norms(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The norms are added first and the sum is squared, which adds products of the norms of different tensors. Square each
    norm, then add.
    """
    return 0.5 * weight_decay * sum(p.norm() for p in params) ** 2


@mistake("l2_penalty")
def mean_for_sum(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The squares of a tensor are averaged instead of summed, so a weight of a large layer is pulled less than one of a small
    layer, by as many times as the layer has weights. Is there an average in the formula?
    """
    return 0.5 * weight_decay * sum(p.square().mean() for p in params)


@mistake("l2_penalty")
def mean_for_sum_without_the_half(params: Iterable[Tensor], weight_decay: float) -> Any:
    """Two things at once: the squares are averaged instead of summed, and the factor one half is missing. Write the formula
    down with all of its indices and compare.
    """
    return weight_decay * sum((p**2).mean() for p in params)


@mistake("l2_penalty")
def mean_over_everything(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The penalty is divided by the number of all weights. Then one and the same weight_decay means less and less the larger
    the network; the formula is a plain sum.
    """
    return 0.5 * weight_decay * torch.cat([p.flatten() for p in params]).square().mean()


@mistake("l2_penalty")
def average_over_tensors(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The sums of squares of the tensors are averaged: there is a division by the number of tensors too many. A network with
    twice as many layers would be pulled half as much.
    """
    return 0.5 * weight_decay * torch.stack([p.square().sum() for p in params]).mean()


@mistake("l2_penalty")
def absolute_values(params: Iterable[Tensor], weight_decay: float) -> Any:
    """This is the L1 penalty, the sum of absolute values. It pulls every weight equally hard, however small, until it is zero.
    L2 pulls in proportion to the weight: which function of w has the derivative w?
    """
    return weight_decay * sum(p.abs().sum() for p in params)


@mistake("l2_penalty")
def half_the_absolute_values(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The half is right, but these are absolute values where squares should be: that is an L1 penalty, whose pull does not
    depend on how large a weight is. Which does the formula ask for?
    """
    return 0.5 * weight_decay * sum(p.abs().sum() for p in params)


@mistake("l2_penalty")
def squares_of_sums(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The entries are summed before they are squared, so a positive and a negative one cancel: weights of 5 and -5 would cost
    nothing. What comes first?
    """
    return 0.5 * weight_decay * sum(p.sum() ** 2 for p in params)


@mistake("l2_penalty")
def decay_not_used(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The weight_decay is not in the result: the penalty is the same for any of its values. What should it be at weight_decay = 0?"""
    return 0.5 * sum(p.square().sum() for p in params)


@mistake("l2_penalty")
def decay_squared(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The weight_decay is squared together with the weights. Watch the brackets: what exactly stands under the square?"""
    return 0.5 * sum((weight_decay * p).square().sum() for p in params)


@mistake("l2_penalty")
def penalty_subtracted(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The penalty is negative, so that large weights are rewarded. It is added to a loss that is to become small: which sign
    makes large weights cost something?
    """
    return -0.5 * weight_decay * sum(p.square().sum() for p in params)


@mistake("l2_penalty")
def spectral_norms(params: Iterable[Tensor], weight_decay: float) -> Any:
    """Of a matrix, the 2-norm of linear algebra is the largest singular value, which is not the root of the sum of squares.
    For tensors of any shape, think of all entries in one long row.
    """
    norms = [
        torch.linalg.matrix_norm(p, 2) if p.dim() == 2 else torch.linalg.vector_norm(p)
        for p in params
    ]
    return 0.5 * weight_decay * sum(n**2 for n in norms)


@mistake("l2_penalty")
def fourth_powers(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The sums of squares are squared once more. A squared norm has one square in it: it is the sum of the squares."""
    return 0.5 * weight_decay * sum(p.square().sum() ** 2 for p in params)


@mistake("l2_penalty")
def last_tensor_only(params: Iterable[Tensor], weight_decay: float) -> Any:
    """Only the last tensor counts: the loop replaces the result each time instead of adding to it. What is the difference
    between `=` and `+=` here?
    """
    for p in params:
        total = p.square().sum()
    return 0.5 * weight_decay * total


@mistake("l2_penalty")
def first_tensor_only(params: Iterable[Tensor], weight_decay: float) -> Any:
    """Only the first tensor counts: the function returns before the loop is over. How far is the `return` indented?"""
    for p in params:
        return 0.5 * weight_decay * p.square().sum()


@mistake("l2_penalty")
def biases_left_out(params: Iterable[Tensor], weight_decay: float) -> Any:
    """Tensors with one dimension are left out. To spare biases is a good idea, but the caller decides about it, by what it
    hands in; this function adds up all that it is given.
    """
    return 0.5 * weight_decay * sum(p.square().sum() for p in params if p.dim() > 1)


@mistake("l2_penalty")
def detached_penalty(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The number is right, but it is cut off from the parameters, so that training with it changes nothing: `.data` and
    `detach()` leave the graph. What should reach the weights when backward() is called on the loss?
    """
    return 0.5 * weight_decay * sum(p.data.square().sum() for p in params)


@mistake("l2_penalty")
def penalty_as_a_number(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The result is a plain number: `.item()`, `float()` and NumPy read a value and leave its history behind. Adding a constant to a
    loss changes no gradient; keep the tensor.
    """
    return 0.5 * weight_decay * sum(p.square().sum().item() for p in params)


@mistake("l2_penalty")
def penalty_as_a_list(params: Iterable[Tensor], weight_decay: float) -> Any:
    """This is a list with one penalty for each tensor; one number was asked for, that can be added to a loss. What is still to
    be done with them?
    """
    return [0.5 * weight_decay * p.square().sum() for p in params]


@mistake("l2_penalty")
def penalty_of_one_dimension(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The result has shape (1,), one dimension too many: the sum was started with a tensor that has one. Added to a loss it
    would make that a vector. Which shape has a single number?
    """
    total = torch.zeros(1)
    for p in params:
        total = total + p.square().sum()
    return 0.5 * weight_decay * total


@mistake("l2_penalty")
def generator_walked_twice(params: Iterable[Tensor], weight_decay: float) -> Any:
    """With a list it works, with `model.parameters()` the result is zero: a generator can be walked through once, and the
    second loop finds nothing. Do all you need in one loop, or make a list of it first.
    """
    assert sum(p.numel() for p in params) > 0
    return 0.5 * weight_decay * sum(p.square().sum() for p in params)


@mistake("l2_penalty")
def length_of_a_generator(params: Any, weight_decay: float) -> Any:
    """It asks params for its length or for an entry by number, which a generator such as `model.parameters()` does not have.
    A plain `for` takes anything that can be walked through.
    """
    total = torch.zeros(())
    for i in range(len(params)):
        total = total + list(params)[i].square().sum()
    return 0.5 * weight_decay * total


@mistake("l2_penalty")
def squares_written_into_the_parameters(params: Iterable[Tensor], weight_decay: float) -> Any:
    """The parameters hold their own squares afterwards: a method whose name ends in `_` writes into its tensor, and `.data`
    hides that from autograd. A penalty looks at the weights and leaves them alone.
    """
    total = torch.zeros(())
    for p in params:
        total = total + (p * p.detach().clone()).sum() - 0.5 * p.detach().square().sum()
        p.data.pow_(2)
    return weight_decay * total


@mistake("l2_penalty")
def backward_called_inside(params: Iterable[Tensor], weight_decay: float) -> Any:
    """backward() is called inside, which writes into .grad of all parameters; when the caller does the same with the whole loss,
    the penalty's gradient is there twice. Return the tensor and leave differentiating to the caller.
    """
    params = list(params)
    total = 0.5 * weight_decay * sum(p.square().sum() for p in params)
    total.backward(retain_graph=True)  # type: ignore[union-attr]
    return total


@mistake("l2_penalty")
def penalty_not_returned(params: Iterable[Tensor], weight_decay: float) -> None:
    """The penalty is computed and then forgotten: without `return` the function gives None."""
    sum(p.square().sum() for p in params)


# -- l2_penalty: right ---------------------------------------------------------------------------------------------------


@right("l2_penalty")
def penalty_by_a_loop(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    total = torch.zeros(())
    for p in params:
        total = total + (p**2).sum()
    return total * weight_decay / 2


@right("l2_penalty")
def penalty_by_vector_norms(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    norms = torch.stack([torch.linalg.vector_norm(p) for p in params])
    return weight_decay * norms.dot(norms) / 2


@right("l2_penalty")
def penalty_of_one_long_vector(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    w = nn.utils.parameters_to_vector(params)
    return weight_decay * 0.5 * (w @ w)


@right("l2_penalty")
def penalty_by_einsum(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    parts = [torch.einsum("i,i->", p.reshape(-1), p.reshape(-1)) for p in params]
    return reduce(torch.add, parts).mul(weight_decay).div(2)


@right("l2_penalty")
def penalty_by_norm_squared(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    return sum((0.5 * weight_decay * p.norm() ** 2 for p in params), start=torch.tensor(0.0))


@right("l2_penalty")
def penalty_against_zero(params: Iterable[Tensor], weight_decay: float) -> Tensor:
    parts = [
        nn.functional.mse_loss(p, torch.zeros_like(p), reduction="sum") for p in list(params)
    ]
    return torch.stack(parts).sum() * (weight_decay / 2)


# -- sgd_step: wrong -----------------------------------------------------------------------------------------------------

Move = Callable[..., Any]


def _remember(old: Tensor | None, d: Tensor, momentum: float) -> Tensor:
    return d.clone() if old is None else momentum * old + d


def _sgd(
    params: Iterable[nn.Parameter],
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
    *,
    pull: Move = lambda w, decay: decay * w,
    remember: Move = _remember,
    aim: Move = lambda buffer, d, momentum: buffer,
    move: Move = lambda p, d, lr, decay: p.sub_(lr * d),
) -> Any:
    """Take the right step, unless a part of it is replaced."""
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            d = p.grad + pull(p, weight_decay)
            if momentum:
                buffers[p] = remember(buffers.get(p), d, momentum)
                d = aim(buffers[p], d, momentum)
            move(p, d, lr, weight_decay)
    return buffers


def _apart(w: Tensor, decay: float) -> Tensor:
    return torch.zeros_like(w)


@mistake("sgd_step")
def sgd_decay_halved(params: Any, *args: Any, **named: Any) -> Any:
    """The decay is half of what it should be. The one half of the penalty is there to cancel the 2 of the derivative: what is
    the gradient of one half of lambda times w squared?
    """
    return _sgd(params, *args, **named, pull=lambda w, decay: 0.5 * decay * w)


@mistake("sgd_step")
def sgd_decay_doubled(params: Any, *args: Any, **named: Any) -> Any:
    """The decay is twice what it should be: 2 w is the derivative of the square, but the penalty has a one half in front."""
    return _sgd(params, *args, **named, pull=lambda w, decay: 2 * decay * w)


@mistake("sgd_step")
def sgd_decay_forgotten(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The weight_decay is not used: the step is the same for any of its values. What is to be added to the gradient?"""
    return _sgd(params, lr, momentum, 0.0, buffers)


@mistake("sgd_step")
def sgd_decay_pushes_away(params: Any, *args: Any, **named: Any) -> Any:
    """The decay has the wrong sign, so weights grow by it. The step goes against the gradient: with which sign must the decay
    join the gradient to make a positive weight smaller?
    """
    return _sgd(params, *args, **named, pull=lambda w, decay: -decay * w)


@mistake("sgd_step")
def sgd_decay_by_sign(params: Any, *args: Any, **named: Any) -> Any:
    """What is added to the gradient is the sign of the weight, the gradient of an L1 penalty: small weights are pulled as hard
    as large ones. L2 pulls in proportion to the weight.
    """
    return _sgd(params, *args, **named, pull=lambda w, decay: decay * w.sign())


@mistake("sgd_step")
def sgd_decay_of_the_norm(params: Any, *args: Any, **named: Any) -> Any:
    """The weight is divided by its norm: that is the gradient of the norm, not of one half of its square. How should the pull
    change if all weights become ten times as large?
    """
    return _sgd(params, *args, **named, pull=lambda w, decay: decay * w / w.norm())


@mistake("sgd_step")
def sgd_penalty_added_to_the_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The penalty itself, one number, is added to every entry of the gradient. A gradient is wanted there: its derivative with
    respect to each weight.
    """
    return _sgd(
        params,
        lr,
        momentum,
        weight_decay,
        buffers,
        pull=lambda w, decay: 0.5 * decay * w.square().sum(),
    )


def _after(p: Tensor, d: Tensor, lr: float, decay: float) -> None:
    p.sub_(lr * d)
    p.mul_(1 - lr * decay)


@mistake("sgd_step")
def sgd_decay_after_the_step(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The weights are multiplied by 1 - lr * weight_decay after the step, so that the step itself decays, too. Both parts belong
    to one gradient, taken at one place: the weights as they were before.
    """
    return _sgd(params, lr, momentum, weight_decay, buffers, pull=_apart, move=_after)


def _decoupled(p: Tensor, d: Tensor, lr: float, decay: float) -> None:
    p.mul_(1 - lr * decay).sub_(lr * d)


@mistake("sgd_step")
def sgd_decay_past_the_momentum(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The decay acts on the weights alone and never enters the buffer. That is decoupled decay, as AdamW has it; in
    torch.optim.SGD the decay is part of the gradient, and so of what the momentum remembers. What joins what first?
    """
    return _sgd(params, lr, momentum, weight_decay, buffers, pull=_apart, move=_decoupled)


def _without_lr(p: Tensor, d: Tensor, lr: float, decay: float) -> None:
    p.mul_(1 - decay).sub_(lr * d)


@mistake("sgd_step")
def sgd_decay_without_lr(params: Any, *args: Any, **named: Any) -> Any:
    """The weights lose a share weight_decay in every step, whatever the learning rate. The decay is part of the gradient, and
    the whole gradient is multiplied by lr.
    """
    return _sgd(params, *args, **named, pull=_apart, move=_without_lr)


@mistake("sgd_step")
def sgd_decays_twice(params: Any, *args: Any, **named: Any) -> Any:
    """The decay is there twice: added to the gradient, and once more as a factor on the weights. For plain SGD the two are the
    same thing: keep the one that goes through the momentum.
    """
    return _sgd(params, *args, **named, move=_decoupled)


@mistake("sgd_step")
def sgd_climbs(params: Any, *args: Any, **named: Any) -> Any:
    """The step goes along the gradient, so the loss grows. The gradient points uphill: which sign leads down?"""
    return _sgd(params, *args, **named, move=lambda p, d, lr, decay: p.add_(lr * d))


@mistake("sgd_step")
def sgd_lr_forgotten(params: Any, *args: Any, **named: Any) -> Any:
    """The learning rate is not used: the weights move by the whole gradient."""
    return _sgd(params, *args, **named, move=lambda p, d, lr, decay: p.sub_(d))


@mistake("sgd_step")
def sgd_momentum_forgotten(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """Each step uses its own gradient alone, with momentum as without. Either momentum is not used, or what you are handed in
    `buffers` is thrown away and begun anew: what must be in it at the second step?
    """
    return _sgd(params, lr, momentum, weight_decay, None)


@mistake("sgd_step")
def sgd_buffers_not_returned(params: Any, *args: Any, **named: Any) -> None:
    """The buffers are made and used, but not returned, so the caller has nothing to hand to the next step, which begins from
    nothing. What does the signature promise to return?
    """
    _sgd(params, *args, **named)


@mistake("sgd_step")
def sgd_momentum_as_an_average(params: Any, *args: Any, **named: Any) -> Any:
    """The gradient enters the buffer multiplied by 1 - momentum: a moving average that starts at zero, as Adam has it. In
    torch.optim.SGD the gradient enters whole, so that steps grow up to 1 / (1 - momentum) times as long.
    """
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: (1 - mu) * d if old is None else mu * old + (1 - mu) * d,
    )  # fmt: skip


@mistake("sgd_step")
def sgd_with_dampening(params: Any, *args: Any, **named: Any) -> Any:
    """The first gradient enters the buffer whole, the later ones multiplied by 1 - momentum. PyTorch calls that dampening, and
    by default there is none: every gradient enters whole.
    """
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: d.clone() if old is None else mu * old + (1 - mu) * d,
    )  # fmt: skip


@mistake("sgd_step")
def sgd_with_nesterov(params: Any, *args: Any, **named: Any) -> Any:
    """The step goes along gradient + momentum * buffer, Nesterov's variant, which looks one step ahead. It is a good method, but
    not the one asked for: the plain step goes along the buffer itself.
    """
    return _sgd(params, *args, **named, aim=lambda buffer, d, mu: d + mu * buffer)


@mistake("sgd_step")
def sgd_lr_in_the_buffer(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The learning rate is multiplied into what the buffer remembers. As long as lr stays the same nobody sees the difference;
    when a schedule lowers it, old gradients go on at the old rate. In torch.optim.SGD lr multiplies the buffer, outside.
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            move = lr * (p.grad + weight_decay * p)
            if momentum:
                move = momentum * buffers.get(p, torch.zeros_like(p)) + move
                buffers[p] = move
            p.sub_(move)
    return buffers


@mistake("sgd_step")
def sgd_first_gradient_twice(params: Any, *args: Any, **named: Any) -> Any:
    """At the first step the buffer is set to the gradient, and then updated as in all others, so the gradient enters twice.
    Either it starts as the gradient, or as zeros that are then updated.
    """
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: mu * (d if old is None else old) + d,
    )  # fmt: skip


@mistake("sgd_step")
def sgd_starts_with_the_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """A buffer starts as the gradient, and is then updated at once, in the first step as in all others: so the first gradient is in it
    twice, once of the two times without the decay. Let it start as zeros, or leave out the update in the first step.
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p
            if momentum:
                buffers[p] = d = momentum * buffers.get(p, p.grad) + d
            p.sub_(d, alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_momentum_on_both(params: Any, *args: Any, **named: Any) -> Any:
    """Momentum multiplies the new gradient as well as the old buffer: look at the brackets. Only what is remembered fades."""
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: d.clone() if old is None else mu * (old + d),
    )  # fmt: skip


@mistake("sgd_step")
def sgd_roles_exchanged(params: Any, *args: Any, **named: Any) -> Any:
    """Momentum weighs the new gradient, and 1 - momentum the old buffer, as batch norm uses the word. Here momentum is the share
    of the old that stays, and the new gradient is added whole.
    """
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: mu * d if old is None else (1 - mu) * old + mu * d,
    )  # fmt: skip


@mistake("sgd_step")
def sgd_buffer_never_fades(params: Any, *args: Any, **named: Any) -> Any:
    """The old buffer is added without being multiplied by momentum, so the first gradient counts for ever as much as the last.
    What makes old gradients fade?
    """
    return _sgd(params, *args, **named,
        remember=lambda old, d, mu: d.clone() if old is None else old + d,
    )  # fmt: skip


@mistake("sgd_step")
def sgd_remembers_one_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """What is kept for the next step is the gradient, not the buffer: from the third step on everything older than one step is
    forgotten. Store the sum that you step along.
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p
            p.sub_(lr * (d + momentum * buffers.get(p, torch.zeros_like(p))))
            buffers[p] = d
    return buffers


@mistake("sgd_step")
def sgd_names_rebound(params: Any, *args: Any, **named: Any) -> Any:
    """Nothing moves: `p = p - ...` makes a new tensor and lets the name p stand for it, as clone() makes one, and the model never
    hears of it. Write into the parameter itself, with `p -= ...` or `p.sub_(...)`.
    """

    def move(p: Tensor, d: Tensor, lr: float, decay: float) -> None:
        p = p - lr * d

    return _sgd(params, *args, **named, move=move)


@mistake("sgd_step")
def sgd_parameters_replaced(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """New parameters are put into the list, but the model goes on with its own, which did not move. Change the values of the
    parameter that is there, with `p -= ...` or `p.sub_(...)`.
    """
    for i, p in enumerate(params):
        if p.grad is not None and isinstance(params, list):
            params[i] = nn.Parameter(p.detach() - lr * p.grad)
    return buffers


@mistake("sgd_step")
def sgd_decay_written_into_grad(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The decay is added to .grad itself: `+=` and methods that end in `_` write into their tensor. Whoever looks at the
    gradient afterwards, to clip or to log it, finds another one. Make a new tensor for the sum.
    """
    with torch.no_grad():
        for p in (params := list(params)):
            if p.grad is not None:
                p.grad += weight_decay * p
    return _sgd(params, lr, momentum, 0.0, buffers)


@mistake("sgd_step")
def sgd_buffer_is_the_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """Without decay the buffer is not a copy of the gradient but the gradient's own tensor. When the caller clears gradients in
    place and backward fills them again, the buffer changes with them. What does `clone()` do?
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p if weight_decay else p.grad
            if momentum:
                buffers[p] = d = buffers[p].mul_(momentum).add_(d) if p in buffers else d
            p.sub_(d, alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_clears_gradients(params: Any, *args: Any, **named: Any) -> Any:
    """.grad is None after the step. To clear gradients is the caller's part, with zero_grad(): somebody may want to look at them
    first, or to add up several batches.
    """
    params = list(params)
    buffers = _sgd(params, *args, **named)
    for p in params:
        p.grad = None
    return buffers


@mistake("sgd_step")
def sgd_builds_a_graph(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The values are right, but they are computed where autograd records: the buffer hangs on a graph of all steps before,
    which grows until the memory is full. A step is not to be differentiated: `with torch.no_grad():`.
    """
    buffers = {} if buffers is None else buffers
    for p in params:
        if p.grad is None:
            continue
        d = p.grad + weight_decay * p
        if momentum:
            buffers[p] = d = momentum * buffers.get(p, 0) + d
        p.data -= lr * d.detach()
    return buffers


@mistake("sgd_step")
def sgd_outside_of_no_grad(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """PyTorch refuses to change a leaf in place while it records for autograd, which the error says. A step is nothing to be
    differentiated: do it under `with torch.no_grad():`.
    """
    for p in params:
        p -= lr * p.grad
    return buffers


@mistake("sgd_step")
def sgd_turns_gradients_off(params: Any, *args: Any, **named: Any) -> Any:
    """After the step the parameters do not want a gradient any more, so the next backward() leaves them out, and training stands
    still. `torch.no_grad()` lets you write into them without changing what they are.
    """
    params = list(params)
    buffers = _sgd(params, *args, **named)
    for p in params:
        p.requires_grad_(False)
    return buffers


@mistake("sgd_step")
def sgd_crashes_without_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """A parameter that took no part in the loss, or is frozen, has None for its .grad, and computing with None is an error.
    What should happen to such a parameter?
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            d = p.grad + weight_decay * p
            if momentum:
                buffers[p] = d = momentum * buffers.get(p, 0) + d
            p.sub_(d, alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_decays_without_gradient(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """A parameter without a gradient is decayed all the same. So a layer that was left out of the loss, or frozen, melts away.
    Skipped means: not touched at all.
    """
    params = list(params)
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                p.mul_(1 - lr * weight_decay)
    return _sgd(params, lr, momentum, weight_decay, buffers)


@mistake("sgd_step")
def sgd_buffers_by_rank(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """Buffers are numbered after parameters without a gradient were left out, so when another one has a gradient the next time,
    the numbers shift and a parameter gets the buffer of its neighbour. Number all of them, or go by the parameter itself.
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for i, p in enumerate(p for p in params if p.grad is not None):
            d = p.grad + weight_decay * p
            if momentum:
                buffers[i] = d = momentum * buffers.get(i, 0) + d
            p.sub_(d, alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_buffers_appended(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """Buffers are in a list, and a parameter that finds none at its own place appends one. Where one before it had no gradient at
    first, the new buffer lands at the wrong place, and somebody else finds it there. Give every parameter a place, also one
    that is skipped, or go by the parameter itself.
    """
    buffers = [] if buffers is None else buffers
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p
            if len(buffers) <= i:
                buffers.append(d)
            else:
                buffers[i] = d = momentum * buffers[i] + d
            p.sub_(d, alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_missing_gradient_as_zeros(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """A gradient that is missing is taken for zeros, and a step is made: the parameter decays, and moves on with what its buffer
    remembers. A layer that was left out of the loss, or frozen, would drift. Skipped means: neither it nor its buffer changes.
    """
    buffers = {} if buffers is None else buffers
    with torch.no_grad():
        for p in params:
            d = (torch.zeros_like(p) if p.grad is None else p.grad) + weight_decay * p
            if momentum:
                buffers[p] = d = momentum * buffers.get(p, 0) + d
            p.sub_(d, alpha=lr)
    return buffers


_EVERYBODYS: dict[Any, Any] = {}


@mistake("sgd_step")
def sgd_buffers_of_everybody(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The buffers live in a place of their own, by number, and what is handed in is not looked at: two groups of parameters, or
    two models, get into each other's way. Keep them in what you return and are handed again.
    """
    if buffers is None:
        _EVERYBODYS.clear()
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is None:
                continue
            d = p.grad + weight_decay * p
            if momentum:
                _EVERYBODYS[i] = d = momentum * _EVERYBODYS.get(i, 0) + d
            p.sub_(d, alpha=lr)
    return True


@mistake("sgd_step")
def sgd_buffers_in_a_default(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = {},  # noqa: B006
) -> Any:
    """A call without buffers goes on with those of earlier calls: a dictionary that is a default value is made once, when the
    function is defined, and kept. Let None be the default, and make the dictionary inside.
    """
    return _sgd(params, lr, momentum, weight_decay, buffers)


@mistake("sgd_step")
def sgd_generator_walked_twice(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """With a list it works, with `model.parameters()` nothing moves: a generator can be walked through once, and the second loop
    finds nothing. Do all you need in one loop, or make a list of it first.
    """
    buffers = {} if buffers is None else buffers
    directions = {}
    with torch.no_grad():
        for p in params:
            if p.grad is not None:
                directions[p] = p.grad + weight_decay * p
                if momentum:
                    buffers[p] = directions[p] = momentum * buffers.get(p, 0) + directions[p]
        for p in params:
            if p in directions:
                p.sub_(lr * directions[p])
    return buffers


@mistake("sgd_step")
def sgd_generator_used_up_by_zeros(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """With a list it works, with `model.parameters()` nothing moves in the first step: making a buffer of zeros for each parameter
    walks through the generator, and the loop after it finds nothing. Make a list of params first, or the buffers as you go.
    """
    if buffers is None:
        buffers = [torch.zeros_like(p) for p in params]
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is not None:
                buffers[i] = momentum * buffers[i] + p.grad + weight_decay * p
                p.sub_(buffers[i], alpha=lr)
    return buffers


@mistake("sgd_step")
def sgd_needs_a_list(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    """It asks params for its length or for an entry by number, which a generator such as `model.parameters()` does not have.
    A plain `for` takes anything that can be walked through.
    """
    return _sgd([params[i] for i in range(len(params))], lr, momentum, weight_decay, buffers)


@mistake("sgd_step")
def sgd_arguments_exchanged(
    params: Any,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    buffers: Any = None,
) -> Any:
    """The arguments are in another order than was asked for, so that a call without names mixes up momentum and weight_decay.
    The order is params, lr, momentum, weight_decay, buffers.
    """
    return _sgd(params, lr, momentum, weight_decay, buffers)


# -- sgd_step: right -----------------------------------------------------------------------------------------------------


@right("sgd_step")
@torch.no_grad()
def sgd_in_place(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    if buffers is None:
        buffers = {}
    for number, p in enumerate(params):
        g = p.grad
        if g is None:
            continue
        if weight_decay != 0:
            g = g.add(p, alpha=weight_decay)
        if momentum != 0:
            if number not in buffers:
                buffers[number] = g.clone()
            else:
                buffers[number].mul_(momentum).add_(g)
            g = buffers[number]
        p.add_(g, alpha=-lr)
    return buffers


@right("sgd_step")
def sgd_with_lists(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    params = list(params)
    old = buffers if buffers is not None else [None] * len(params)
    new = []
    for p, buffer in zip(params, old, strict=True):
        if p.grad is not None:
            buffer = (
                (0 if buffer is None else momentum * buffer) + p.grad + weight_decay * p.data
            )
            buffer = buffer.detach()
            p.data = p.data - lr * buffer
        new.append(buffer)
    return new


@right("sgd_step")
def sgd_with_zeros_and_detach(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    buffers = buffers or {}
    for p in params:
        if p.grad is not None:
            w = p.detach()
            v = buffers.setdefault(id(p), torch.zeros_like(w))
            v.copy_(momentum * v + (p.grad.detach() + weight_decay * w))
            w.sub_(lr * v)
    return buffers


@right("sgd_step")
def sgd_on_the_parameter(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    fresh = buffers is None
    for p in params:
        if fresh:
            p.velocity = None  # type: ignore[attr-defined]
        if p.grad is None:
            continue
        with torch.no_grad():
            v = p.grad.clone() + weight_decay * p
            if p.velocity is not None:
                v += momentum * p.velocity
            p.velocity = v
            p.copy_(p - lr * v)
    return "they are on the parameters"


@right("sgd_step")
def sgd_by_keeping_the_penalty(
    params: Any,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Any = None,
) -> Any:
    params = [p for p in params if p.grad is not None]
    if weight_decay:
        with torch.enable_grad():
            half_squares = sum((p**2).sum() for p in params) / 2
            pulls = torch.autograd.grad(half_squares, params)  # type: ignore[arg-type]
    else:
        pulls = tuple(torch.zeros_like(p) for p in params)
    remembered = {} if buffers is None else dict(buffers)
    with torch.no_grad():
        for p, pull in zip(params, pulls, strict=True):
            d = torch.add(p.grad, pull, alpha=weight_decay)
            remembered[p] = (
                d if p not in remembered else torch.add(d, remembered[p], alpha=momentum)
            )
            p[...] = p - lr * remembered[p]
    return remembered


# -- adamw_step: wrong ---------------------------------------------------------------------------------------------------


def _moments(entry: Any, g: Tensor, betas: Any) -> Any:
    m, v, t = entry if entry else (torch.zeros_like(g), torch.zeros_like(g), 0)
    return betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g, t + 1


def _ratio(m: Tensor, v: Tensor, t: int, betas: Any, eps: float) -> Tensor:
    return (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + eps)


def _adamw(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    *,
    pull: Move | None = None,
    moments: Move = _moments,
    ratio: Move = _ratio,
    move: Move = lambda p, u, lr, decay: p.mul_(1 - lr * decay).sub_(lr * u),
    change: Move = lambda *settings: settings,
) -> None:
    """Take the right step, unless a part of it is replaced."""
    lr, betas, eps, weight_decay = change(lr, betas, eps, weight_decay)
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            g = p.grad + pull(p, weight_decay) if pull else p.grad.clone()
            state[p] = moments(state.get(p), g, betas)
            move(p, ratio(*state[p], betas, eps), lr, weight_decay)


def _plain(p: Tensor, u: Tensor, lr: float, decay: float) -> None:
    p.sub_(lr * u)


BETAS = (0.9, 0.999)


@mistake("adamw_step")
def adamw_l2_in_the_gradient(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay is added to the gradient, as in SGD: this is Adam with an L2 penalty. It goes through both averages and is
    divided by the root, so that weights with large gradients hardly decay. AdamW keeps it out of the gradient altogether.
    """
    _adamw(params, state, *args, **named, pull=lambda w, decay: decay * w, move=_plain)


@mistake("adamw_step")
def adamw_decay_twice(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay is there twice: in the gradient, where it goes through the averages, and as a factor on the weights. Decoupled
    means the second alone.
    """
    _adamw(params, state, *args, **named, pull=lambda w, decay: decay * w)


@mistake("adamw_step")
def adamw_decay_divided_by_the_root(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """The decay joins the average gradient above the fraction bar, and so is divided by the root: it is kept out of the
    averages, but is still scaled differently for every weight. It belongs outside of the ratio.
    """
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            m, v, t = state[p] = _moments(state.get(p), p.grad.clone(), betas)
            top = m / (1 - betas[0] ** t) + weight_decay * p
            p.sub_(lr * top / ((v / (1 - betas[1] ** t)).sqrt() + eps))


@mistake("adamw_step")
def adamw_decay_without_lr(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The weights lose a share weight_decay in every step, whatever the learning rate. In PyTorch's AdamW the factor is
    1 - lr * weight_decay, so that a schedule of lr acts on the decay, too.
    """
    _adamw(params, state, *args, **named,
        move=lambda p, u, lr, decay: p.mul_(1 - decay).sub_(lr * u),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_decay_after_the_step(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay is applied after the step, so that it takes a share of the step as well. It is to act on the weights as they
    were before: multiply first, or compute both parts from the old w.
    """
    _adamw(params, state, *args, **named, move=_after)


@mistake("adamw_step")
def adamw_decay_forgotten(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The weight_decay is not used, so this is Adam. What is the W for?"""
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, eps, 0.0),
    )


@mistake("adamw_step")
def adamw_decay_halved(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay is half of what it should be. The one half belongs to the penalty, whose derivative cancels it; there is no
    penalty here, only a factor on the weights.
    """
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, eps, decay / 2),
    )


@mistake("adamw_step")
def adamw_decay_doubled(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay is twice what it should be. Is the factor applied in two places, or a derivative of w squared put in?"""
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, eps, 2 * decay),
    )


@mistake("adamw_step")
def adamw_decay_pushes_away(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The decay has the wrong sign: the factor is larger than 1, and the weights grow by it."""
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, eps, -decay),
    )


@mistake("adamw_step")
def adamw_without_correction(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The bias correction is missing. The averages start at zero, so after the first step they hold 1 - beta times what they
    should, and the two shares differ: the first steps come out far too long. Divide each by 1 - beta ** t.
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / (v.sqrt() + eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_first_not_corrected(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """Only the average of the squares is corrected for its start at zero, the average of the gradients is not: the first steps
    are too short. Both start at zero.
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / ((v / (1 - betas[1] ** t)).sqrt() + eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_second_not_corrected(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """Only the average of the gradients is corrected for its start at zero, the average of the squares is not: the first steps
    are too long, and with beta2 = 0.999 by a factor of thirty. Both start at zero.
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / (1 - betas[0] ** t) / (v.sqrt() + eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_eps_inside_the_root(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The eps is added before the root is taken. Near zero that makes it far larger: the root of 1e-8 is 1e-4. In AdamW it is added
    to the root.
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / (1 - betas[0] ** t) / (v / (1 - betas[1] ** t) + eps).sqrt(),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_eps_before_the_correction(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """The eps is added to the root before that is corrected, so in the first steps it counts for more than eps. The paper on Adam
    allows this as a shortcut with another eps; torch.optim.AdamW adds eps at the very end.
    """
    _adamw(
        params, state, lr, betas, eps, weight_decay,
        ratio=lambda m, v, t, betas, eps: (
            m / (1 - betas[0] ** t) * (1 - betas[1] ** t) ** 0.5 / (v.sqrt() + eps)
        ),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_eps_forgotten(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The eps is not used. A weight whose gradient has always been zero then gets 0 / 0, which is NaN, and spreads from there."""
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, 0.0, decay),
    )


@mistake("adamw_step")
def adamw_eps_always_the_default(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The eps that is given is not used: a fixed 1e-8 stands in its place. A number that is also an argument should not be in
    the body.
    """
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas, 1e-8, decay),
    )


@mistake("adamw_step")
def adamw_without_the_root(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The step is divided by the average square itself, not by its root. If all gradients become ten times as large, the step
    should stay as it is: what happens to yours?
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / (1 - betas[0] ** t) / (v / (1 - betas[1] ** t) + eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_not_divided(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The average gradient is not divided by anything: this is SGD with an averaged momentum. What is the second average for?"""
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: m / (1 - betas[0] ** t),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_without_first_average(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The step goes along the gradient of this step alone: the average of the gradients, and beta1 with it, is not used. That
    is RMSprop with a correction.
    """
    _adamw(params, state, *args, **named,
        moments=lambda entry, g, betas: (g * (1 - betas[0] ** (t := _moments(entry, g, betas))[2]), *t[1:]),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_betas_exchanged(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The two betas have each other's place. The first one is of the average of the gradients, the second, nearer to 1, of the
    average of their squares.
    """
    _adamw(
        params,
        state,
        *args,
        **named,
        change=lambda lr, betas, eps, decay: (lr, betas[::-1], eps, decay),
    )


@mistake("adamw_step")
def adamw_beta_for_one_minus_beta(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The old average gets 1 - beta and the new gradient beta, so that next to nothing is remembered. Which of the two should
    weigh 0.9?
    """
    _adamw(params, state, *args, **named,
        moments=lambda entry, g, betas: _moments(entry, g, [1 - b for b in betas]),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_sum_for_average(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The new gradient enters the first average whole, as in SGD's momentum, without the factor 1 - beta1: a sum, up to ten
    times too large. The correction that follows is made for an average.
    """

    def moments(entry: Any, g: Tensor, betas: Any) -> Any:
        m, v, t = _moments(entry, g, betas)
        return m + betas[0] * g, v, t

    _adamw(params, state, *args, **named, moments=moments)


@mistake("adamw_step")
def adamw_sum_for_second_average(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The squared gradient enters the second average whole, without the factor 1 - beta2: a sum, up to a thousand times too large,
    so that the steps are far too short. The correction that follows is made for an average.
    """

    def moments(entry: Any, g: Tensor, betas: Any) -> Any:
        m, v, t = _moments(entry, g, betas)
        return m, v + betas[1] * g * g, t

    _adamw(params, state, *args, **named, moments=moments)


@mistake("adamw_step")
def adamw_magnitudes_for_squares(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The second average is one of absolute values, not of squares, and then the root is taken. What has the gradient's own
    scale: the root of an average of squares, or that of an average of magnitudes?
    """
    _adamw(params, state, *args, **named,
        moments=lambda entry, g, betas: (
            _moments(entry, g, betas)[0],
            betas[1] * (entry[1] if entry else 0) + (1 - betas[1]) * g.abs(),
            entry[2] + 1 if entry else 1,
        ),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_starts_with_the_gradient(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The averages start as the first gradient and its square, as SGD's buffer does, and are then corrected as if they had
    started at zero. Either one or the other; AdamW starts at zero.
    """
    _adamw(params, state, *args, **named,
        moments=lambda entry, g, betas: _moments(entry, g, betas) if entry else (g.clone(), g * g, 1),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_count_stays_at_one(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The count t is 1 in every step, so the averages go on being corrected as if they had just begun. The number of steps so far belongs
    into the state, beside the averages.
    """
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: _ratio(m, v, 1, betas, eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_counts_from_zero(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """In the first step t is 0, and 1 - beta ** 0 is zero: a division by zero. Count the step before you correct."""
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: _ratio(m, v, t - 1, betas, eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_counts_one_ahead(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The count t is one too large: 2 in the first step. Is it counted in two places, or does it begin at 1 and is then increased?"""
    _adamw(params, state, *args, **named,
        ratio=lambda m, v, t, betas, eps: _ratio(m, v, t + 1, betas, eps),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_counts_parameters(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The count t grows with every parameter, not with every step: it is increased inside the loop, and all parameters share it. Give each
    a count of its own, or count once before the loop.
    """

    def ratio(m: Tensor, v: Tensor, t: int, betas: Any, eps: float) -> Tensor:
        state["t"] = state.get("t", 0) + 1
        return _ratio(m, v, state["t"], betas, eps)

    _adamw(params, state, *args, **named, ratio=ratio)


@mistake("adamw_step")
def adamw_state_thrown_away(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """Every step is a first one: what you store is not in the dictionary that you were given. `state = {...}` inside a function
    makes a new one; `state[...] = ...` writes into the caller's.
    """
    _adamw(params, {}, *args, **named)


@mistake("adamw_step")
def adamw_state_returned_only(params: Any, state: Any, *args: Any, **named: Any) -> Any:
    """You return a new state, but the caller goes on with the dictionary that it made, which is still empty. Write into that one:
    it comes back at every step.
    """
    state = dict(state)
    _adamw(params, state, *args, **named)
    return state


@mistake("adamw_step")
def adamw_moments_of_everybody(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """There is one pair of averages for all parameters, so that the second parameter finds those of the first. Every parameter
    needs its own: what could tell them apart in a dictionary?
    """
    with torch.no_grad():
        for p in params:
            if p.grad is not None:
                state["all"] = _moments(state.get("all"), p.grad.clone(), betas)
                p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*state["all"], betas, eps))


@mistake("adamw_step")
def adamw_largest_square(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The root is taken of the largest average square so far: that is AMSGrad, an option of PyTorch's AdamW that is off by
    default. Take the average as it is now.
    """

    def ratio(m: Tensor, v: Tensor, t: int, betas: Any, eps: float) -> Tensor:
        key = ("most", t, len([k for k in state if isinstance(k, tuple) and k[1] == t]))
        state[key] = torch.maximum(v, state.get(("most", t - 1, key[2]), v))
        return _ratio(m, state[key], t, betas, eps)

    _adamw(params, state, *args, **named, ratio=ratio)


@mistake("adamw_step")
def adamw_climbs(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The step goes along the gradient, so the loss grows. The gradient points uphill: which sign leads down?"""
    _adamw(params, state, *args, **named,
        move=lambda p, u, lr, decay: p.mul_(1 - lr * decay).add_(lr * u),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_lr_forgotten(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The learning rate is in the decay but not in the step: the weights move by the whole ratio, about 1, whatever it is."""
    _adamw(params, state, *args, **named,
        move=lambda p, u, lr, decay: p.mul_(1 - lr * decay).sub_(u),
    )  # fmt: skip


@mistake("adamw_step")
def adamw_names_rebound(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """Nothing moves: `p = p - ...` makes a new tensor and lets the name p stand for it, as clone() makes one, and the model never
    hears of it. Write into the parameter itself, with `p -= ...` or `p.sub_(...)`.
    """

    def move(p: Tensor, u: Tensor, lr: float, decay: float) -> None:
        p = p * (1 - lr * decay) - lr * u

    _adamw(params, state, *args, **named, move=move)


@mistake("adamw_step")
def adamw_parameters_replaced(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """New parameters are put into the list, but the model goes on with its own, which did not move. Change the values of the
    parameter that is there, with `p -= ...` or `p.sub_(...)`.
    """
    for i, p in enumerate(params):
        if p.grad is not None and isinstance(params, list):
            params[i] = nn.Parameter(p.detach() - lr * p.grad)


@mistake("adamw_step")
def adamw_squares_written_into_grad(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """After the step .grad holds squares: a method whose name ends in `_`, or `*=`, wrote into it. Whoever looks at the gradient
    afterwards, to clip or to log it, finds another one. Make a new tensor.
    """
    params = list(params)
    _adamw(params, state, *args, **named)
    for p in params:
        if p.grad is not None:
            p.grad.square_()


@mistake("adamw_step")
def adamw_clears_gradients(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """.grad is None after the step. To clear gradients is the caller's part, with zero_grad(): somebody may want to look at them
    first, or to add up several batches.
    """
    params = list(params)
    _adamw(params, state, *args, **named)
    for p in params:
        p.grad = None


@mistake("adamw_step")
def adamw_outside_of_no_grad(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """PyTorch refuses to change a leaf in place while it records for autograd, which the error says. A step is nothing to be
    differentiated: do it under `with torch.no_grad():`.
    """
    for p in params:
        p *= 1 - lr * weight_decay


@mistake("adamw_step")
def adamw_keeps_a_graph(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """The values are right, but what is stored hangs on a graph of the parameter's past, which grows with every step until the
    memory is full. A step is not to be differentiated: compute all of it under `with torch.no_grad():`.
    """
    params = list(params)
    _adamw(params, state, *args, **named)
    for p in params:
        if p in state:
            state[p] = (state[p][0] + 0 * p, *state[p][1:])


@mistake("adamw_step")
def adamw_turns_gradients_off(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """After the step the parameters do not want a gradient any more, so the next backward() leaves them out, and training stands
    still. `torch.no_grad()` lets you write into them without changing what they are.
    """
    params = list(params)
    _adamw(params, state, *args, **named)
    for p in params:
        p.requires_grad_(False)


@mistake("adamw_step")
def adamw_crashes_without_gradient(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """A parameter that took no part in the loss, or is frozen, has None for its .grad, and computing with None is an error.
    What should happen to such a parameter?
    """
    with torch.no_grad():
        for p in params:
            state[p] = _moments(state.get(p), 1.0 * p.grad, betas)
            p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*state[p], betas, eps))


@mistake("adamw_step")
def adamw_decays_without_gradient(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """A parameter without a gradient is decayed all the same. So a layer that was left out of the loss, or frozen, melts away.
    Skipped means: not touched at all.
    """
    params = list(params)
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                p.mul_(1 - lr * weight_decay)
    _adamw(params, state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_state_by_rank(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """Averages are numbered after parameters without a gradient were left out, so when another one has a gradient the next time,
    the numbers shift and a parameter gets the averages of its neighbour. Number all of them, or go by the parameter itself.
    """
    with torch.no_grad():
        for i, p in enumerate(p for p in params if p.grad is not None):
            state[i] = _moments(state.get(i), p.grad.clone(), betas)
            p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*state[i], betas, eps))


@mistake("adamw_step")
def adamw_state_appended(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """Averages are in lists, and a parameter that finds none at its own place appends them. Where one before it had no gradient at
    first, they land at the wrong place, and somebody else finds them there. Give every parameter a place, also one that is
    skipped, or go by the parameter itself.
    """
    entries = state.setdefault("entries", [])
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is None:
                continue
            if len(entries) <= i:
                entries.append(None)
                i = len(entries) - 1
            entries[i] = _moments(entries[i], p.grad.clone(), betas)
            p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*entries[i], betas, eps))


@mistake("adamw_step")
def adamw_missing_gradient_as_zeros(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """A gradient that is missing is taken for zeros, and a step is made: the parameter decays, and moves on with what its averages
    remember. A layer that was left out of the loss, or frozen, would drift. Skipped means: neither it nor its averages change.
    """
    with torch.no_grad():
        for p in params:
            g = torch.zeros_like(p) if p.grad is None else p.grad.clone()
            state[p] = _moments(state.get(p), g, betas)
            p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*state[p], betas, eps))


_OTHER_STATE: dict[Any, Any] = {}


@mistake("adamw_step")
def adamw_state_of_everybody(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """The averages live in a place of their own, by number, and the state that is handed in is only looked at to see whether
    this is the first step: two groups of parameters, or two models, get into each other's way. Keep them in `state`.
    """
    if not state:
        _OTHER_STATE.clear()
    state["started"] = True
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is not None:
                _OTHER_STATE[i] = _moments(_OTHER_STATE.get(i), p.grad.clone(), betas)
                p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(*_OTHER_STATE[i], betas, eps))


_LASTING: dict[Any, Any] = {}


@mistake("adamw_step")
def adamw_state_outlasts(params: Any, state: Any, *args: Any, **named: Any) -> None:
    """With an empty state the step goes on with the averages of earlier calls: they are kept in a variable outside of the
    function. Everything a step remembers belongs into `state`, so that an empty one is a new beginning.
    """
    _adamw(params, _LASTING, *args, **named)


@mistake("adamw_step")
def adamw_generator_walked_twice(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """With a list it works, with `model.parameters()` the weights decay and do not move: a generator can be walked through once,
    and the second loop finds nothing. Do all you need in one loop, or make a list of it first.
    """
    with torch.no_grad():
        for p in params:
            if p.grad is not None:
                p.mul_(1 - lr * weight_decay)
    _adamw(params, state, lr, betas, eps, 0.0)


@mistake("adamw_step")
def adamw_generator_used_up_by_zeros(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """With a list it works, with `model.parameters()` nothing moves in the first step: making averages of zeros for each parameter
    walks through the generator, and the loop after it finds nothing. Make a list of params first, or the averages as you go.
    """
    if not state:
        state["entries"] = [(torch.zeros_like(p), torch.zeros_like(p)) for p in params]
        state["t"] = 0
    state["t"] += 1
    with torch.no_grad():
        for i, p in enumerate(params):
            if p.grad is not None:
                m, v, t = _moments((*state["entries"][i], state["t"] - 1), p.grad, betas)
                state["entries"][i] = (m, v)
                p.mul_(1 - lr * weight_decay).sub_(lr * _ratio(m, v, t, betas, eps))


@mistake("adamw_step")
def adamw_needs_a_list(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """It asks params for its length or for an entry by number, which a generator such as `model.parameters()` does not have.
    A plain `for` takes anything that can be walked through.
    """
    _adamw([params[i] for i in range(len(params))], state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_arguments_exchanged(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    weight_decay: float = 1e-2,
    eps: float = 1e-8,
) -> None:
    """The arguments are in another order than was asked for, so that a call without names mixes up eps and weight_decay. The
    order is params, state, lr, betas, eps, weight_decay.
    """
    _adamw(params, state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_default_without_decay(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> None:
    """Called without weight_decay, nothing decays: 0 is the default of Adam, that of AdamW is 1e-2. Leave the signature as it
    was given.
    """
    _adamw(params, state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_default_of_the_rate(
    params: Any,
    state: Any,
    lr: float = 1e-2,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """Called without lr, the steps are ten times too long: the default is 1e-3. Leave the signature as it was given."""
    _adamw(params, state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_default_of_the_betas(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = (0.9, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """Called without betas, the second one is 0.99: the default is 0.999. Leave the signature as it was given."""
    _adamw(params, state, lr, betas, eps, weight_decay)


@mistake("adamw_step")
def adamw_default_of_eps(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-7,
    weight_decay: float = 1e-2,
) -> None:
    """Called without eps, it is 1e-7, as in Keras: PyTorch's default is 1e-8, and so is the one asked for. It shows where gradients
    are as small as that.
    """
    _adamw(params, state, lr, betas, eps, weight_decay)


# -- adamw_step: right ---------------------------------------------------------------------------------------------------


@right("adamw_step")
@torch.no_grad()
def adamw_in_place(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    beta1, beta2 = betas
    for p in params:
        if p.grad is None:
            continue
        s = state.setdefault(p, {})
        if not s:
            s.update(step=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
        s["step"] += 1
        s["m"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
        s["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
        p.mul_(1 - lr * weight_decay)
        denominator = (s["v"].sqrt() / (1 - beta2 ** s["step"]) ** 0.5).add_(eps)
        p.addcdiv_(s["m"], denominator, value=-lr / (1 - beta1 ** s["step"]))


@right("adamw_step")
def adamw_with_one_count(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Any:
    state["t"] = t = state.get("t", 0) + 1
    for number, p in enumerate(params):
        if p.grad is None:
            continue
        w, g = p.data, p.grad.data
        m, v = state.get(number, (0.0, 0.0))
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        state[number] = m, v
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        p.data = w - lr * (m_hat / (torch.sqrt(v_hat) + eps) + weight_decay * w)
    return state


@right("adamw_step")
def adamw_with_tensors_for_counts(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    with torch.no_grad():
        for p in list(params):
            if p.grad is not None:
                key = id(p)
                count = state.get(("count", key), torch.tensor(0.0)) + 1
                m = state.get(("m", key), torch.zeros_like(p)).lerp(p.grad, 1 - betas[0])
                v = state.get(("v", key), torch.zeros_like(p))
                v = torch.addcmul(betas[1] * v, p.grad, p.grad, value=1 - betas[1])
                state.update({("count", key): count, ("m", key): m, ("v", key): v})
                first = m / (1 - torch.tensor(betas[0]) ** count)
                second = v / (1 - torch.tensor(betas[1]) ** count)
                old = p.clone()
                p.copy_(old - lr * weight_decay * old - lr * first / (second.sqrt() + eps))


class _Memory:
    """What is remembered of one parameter."""

    def __init__(self, p: Tensor) -> None:
        self.averages, self.steps = torch.zeros(2, *p.shape, dtype=p.dtype), 0


@right("adamw_step")
def adamw_with_objects(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Any:
    for p in params:
        if (g := p.grad) is None:
            continue
        memory = state.setdefault(str(id(p)), _Memory(p.detach()))
        memory.steps += 1
        beta = torch.tensor(betas, dtype=torch.float64)
        share = beta.view(2, *[1] * p.dim())
        memory.averages = (
            share * memory.averages + (1 - share) * torch.stack([g, g * g])
        ).detach()
        first, second = memory.averages / (1 - share**memory.steps)
        with torch.no_grad():
            p -= (lr * weight_decay) * p + lr * first / (eps + second**0.5)
    return None


@right("adamw_step")
def adamw_by_weights_of_the_past(
    params: Any,
    state: Any,
    lr: float = 1e-3,
    betas: Any = BETAS,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> None:
    """Keeps all gradients, and averages them with weights that add up to 1: that is what the correction comes to."""
    with torch.no_grad():
        for p in params:
            if p.grad is None:
                continue
            past = state.setdefault(p, [])
            past.append(p.grad.clone())
            averages = []
            for beta, power in zip(betas, (1, 2), strict=True):
                weights = torch.tensor(
                    [beta ** (len(past) - 1 - k) for k in range(len(past))]
                ).double()
                stacked = torch.stack(past).double() ** power
                averages.append(torch.tensordot(weights / weights.sum(), stacked, dims=1))
            p.mul_(1 - lr * weight_decay)
            p.sub_(lr * averages[0] / (averages[1].sqrt() + eps))


# -- split_weight_decay: wrong -------------------------------------------------------------------------------------------


def _groups(decayed: Any, spared: Any, weight_decay: float) -> list[dict[str, Any]]:
    return [
        {"params": list(decayed), "weight_decay": weight_decay},
        {"params": list(spared), "weight_decay": 0.0},
    ]


def _by(model: nn.Module, weight_decay: float, decays: Callable[[str, Any], bool]) -> Any:
    """Sort a model's trainable parameters by name and value."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return _groups(
        [p for n, p in named if decays(n, p)],
        [p for n, p in named if not decays(n, p)],
        weight_decay,
    )


_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def _of_norms(model: nn.Module, kinds: Any = _NORMS) -> set[int]:
    return {
        id(p)
        for m in model.modules()
        if isinstance(m, kinds)
        for p in m.parameters(recurse=False)
    }


@mistake("split_weight_decay")
def split_inverted(model: nn.Module, weight_decay: float) -> Any:
    """The groups are exchanged: biases and norms decay, and the weights do not. Which of the two should be pulled towards zero?"""
    return _by(model, weight_decay, lambda n, p: p.dim() < 2)


@mistake("split_weight_decay")
def split_biases_decay(model: nn.Module, weight_decay: float) -> Any:
    """Normalization layers are spared, but the biases of convolutions and linear layers decay. A bias shifts an output and makes
    no function steeper, so there is little to gain from making it small.
    """
    norms = _of_norms(model)
    return _by(model, weight_decay, lambda n, p: id(p) not in norms)


@mistake("split_weight_decay")
def split_norms_decay(model: nn.Module, weight_decay: float) -> Any:
    """Biases are spared, but the scales of normalization layers decay: they are called weight, too. How do they differ from the
    weight of a convolution?
    """
    return _by(model, weight_decay, lambda n, p: n.rpartition(".")[2] != "bias")


@mistake("split_weight_decay")
def split_by_bias_in_the_name(model: nn.Module, weight_decay: float) -> Any:
    """Whatever has "bias" in its name is spared, and all else decays: so the scales of normalization layers decay, which are called
    weight, and a layer that somebody called unbiased is spared. Look at the parameter itself: what do all that should be spared
    have in common?
    """
    return _by(model, weight_decay, lambda n, p: "bias" not in n)


@mistake("split_weight_decay")
def split_knows_batch_norm_only(model: nn.Module, weight_decay: float) -> Any:
    """BatchNorm2d is recognised, the other normalization layers are not, and their scales decay. A list of types is never
    complete: what do the parameters of all these layers have in common?
    """
    norms = _of_norms(model, nn.BatchNorm2d)
    return _by(model, weight_decay, lambda n, p: id(p) not in norms and not n.endswith("bias"))


@mistake("split_weight_decay")
def split_spares_convolutions(model: nn.Module, weight_decay: float) -> Any:
    """Only matrices decay, tensors of exactly two dimensions. The kernel of a convolution has four (or three, or five), and it is
    a weight all the same.
    """
    return _by(model, weight_decay, lambda n, p: p.dim() == 2)


@mistake("split_weight_decay")
def split_spares_linear_layers(model: nn.Module, weight_decay: float) -> Any:
    """Only kernels of convolutions decay; the weights of linear layers, with two dimensions, are spared. Where does the boundary
    lie between a bias and a weight?
    """
    return _by(model, weight_decay, lambda n, p: p.dim() > 2)


@mistake("split_weight_decay")
def split_by_names(model: nn.Module, weight_decay: float) -> Any:
    """The split goes by "bias" and "norm" in the names, but a name is what somebody called a layer: in an nn.Sequential it is a
    number, and a convolution may be called normal_branch. Look at the parameter, or at the type of its layer.
    """
    return _by(model, weight_decay, lambda n, p: "bias" not in n and "norm" not in n)


@mistake("split_weight_decay")
def split_misled_by_names(model: nn.Module, weight_decay: float) -> Any:
    """A layer whose name merely contains "bias" is spared as a whole. The name of a parameter ends in .bias; what stands before
    is what somebody called the layer.
    """
    return _by(model, weight_decay, lambda n, p: "bias" not in n and p.dim() >= 2)


@mistake("split_weight_decay")
def split_knows_two_kinds_of_layers(model: nn.Module, weight_decay: float) -> Any:
    """Only Conv2d, Linear and the normalization layers are looked at; parameters of any other layer, and those of the model
    itself, are in no group, and would never train. Start from all parameters, then sort.
    """
    decayed, spared = [], []
    for m in model.modules():
        if isinstance(m, (nn.Conv2d, nn.Linear, *_NORMS)):
            for p in m.parameters(recurse=False):
                if p.requires_grad and not any(p is q for q in (*decayed, *spared)):
                    (decayed if p.dim() > 1 else spared).append(p)
    return _groups(decayed, spared, weight_decay)


@mistake("split_weight_decay")
def split_looks_one_level_deep(model: nn.Module, weight_decay: float) -> Any:
    """Only the model's direct children are looked at: what lies deeper is in no group, and would never train. `parameters()` goes
    through all depths.
    """
    found = dict.fromkeys(
        p for m in model.children() for p in m.parameters(recurse=False) if p.requires_grad
    )
    return _groups(
        [p for p in found if p.dim() > 1], [p for p in found if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_shared_weights_twice(model: nn.Module, weight_decay: float) -> Any:
    """A weight that two layers share is in the list twice, and torch.optim warns or refuses: it would be moved twice in a step.
    Going through modules finds it once for each; `model.parameters()` gives each parameter once.
    """
    found = [p for m in model.modules() for p in m.parameters(recurse=False) if p.requires_grad]
    return _groups(
        [p for p in found if p.dim() > 1], [p for p in found if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_duplicates_kept(model: nn.Module, weight_decay: float) -> Any:
    """Everything that stands in two places of the model is there twice: `remove_duplicate=False` asks for that. An optimizer
    wants each parameter once.
    """
    found = [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]
    return _groups(
        [p for p in found if p.dim() > 1], [p for p in found if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_parameters_of_parameters(model: nn.Module, weight_decay: float) -> Any:
    """Every parameter is there several times: `modules()` goes through all depths, and `parameters()` of each goes through all
    depths again. One of the two is enough; or ask each module for its own alone, with recurse=False.
    """
    found = [p for m in model.modules() for p in m.parameters() if p.requires_grad]
    return _groups(
        [p for p in found if p.dim() > 1], [p for p in found if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_all_in_both(model: nn.Module, weight_decay: float) -> Any:
    """The group without decay holds the spared ones, and the other holds everything, the spared ones too. Each parameter belongs
    in exactly one.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    return _groups(trained, [p for p in trained if p.dim() < 2], weight_decay)


@mistake("split_weight_decay")
def split_leaves_out_biases(model: nn.Module, weight_decay: float) -> Any:
    """What does not decay is in no group at all, so that it does not train either: these parameters belong in the group with
    weight_decay 0. (Did a second loop over `model.parameters()` find nothing? It is a generator, which can be walked once.)
    """
    return _groups(
        [p for p in model.parameters() if p.dim() > 1 and p.requires_grad], [], weight_decay
    )


@mistake("split_weight_decay")
def split_leaves_out_norms(model: nn.Module, weight_decay: float) -> Any:
    """The parameters of normalization layers are in no group, so that they do not train at all. They belong in the group with
    weight_decay 0, with the biases.
    """
    norms = _of_norms(model)
    rest = [p for p in model.parameters() if id(p) not in norms and p.requires_grad]
    return _groups(
        [p for p in rest if p.dim() > 1], [p for p in rest if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_in_one_group(model: nn.Module, weight_decay: float) -> Any:
    """There is one group only, so everything decays alike. A group is a dictionary of its own for each setting: one for the
    weights, one for the rest.
    """
    return [{"params": list(model.parameters()), "weight_decay": weight_decay}]


@mistake("split_weight_decay")
def split_in_a_group_each(model: nn.Module, weight_decay: float) -> Any:
    """There is a group for every parameter. torch.optim would take that, but two were asked for: those that decay, and those that
    do not.
    """
    return [
        {"params": [p], "weight_decay": weight_decay if p.dim() > 1 else 0.0}
        for p in model.parameters()
    ]


@mistake("split_weight_decay")
def split_without_a_zero(model: nn.Module, weight_decay: float) -> Any:
    """The second group does not say its weight_decay, so the optimizer puts its own default there, and AdamW's is not zero. Write
    "weight_decay": 0.0 into it.
    """
    groups = _by(model, weight_decay, lambda n, p: p.dim() > 1)
    del groups[1]["weight_decay"]
    return groups


@mistake("split_weight_decay")
def split_decays_everything(model: nn.Module, weight_decay: float) -> Any:
    """Both groups have the same weight_decay, so that the split changes nothing. What should the one with biases and norms have?"""
    groups = _by(model, weight_decay, lambda n, p: p.dim() > 1)
    groups[1]["weight_decay"] = weight_decay
    return groups


@mistake("split_weight_decay")
def split_decay_fixed(model: nn.Module, weight_decay: float) -> Any:
    """The weight_decay you were given is not used: a fixed 0.01 stands in its place."""
    return _by(model, 0.01, lambda n, p: p.dim() > 1)


@mistake("split_weight_decay")
def split_decay_halved(model: nn.Module, weight_decay: float) -> Any:
    """The group has half of the weight_decay that was given. The optimizer takes the number as it is: there is nothing to be
    halved.
    """
    return _by(model, weight_decay / 2, lambda n, p: p.dim() > 1)


@mistake("split_weight_decay")
def split_as_a_dictionary(model: nn.Module, weight_decay: float) -> Any:
    """The result is a dictionary; torch.optim wants a list of groups, each a dictionary with "params" and "weight_decay"."""
    decayed, spared = _by(model, weight_decay, lambda n, p: p.dim() > 1)
    return {"decay": decayed, "no_decay": spared}


@mistake("split_weight_decay")
def split_as_lists(model: nn.Module, weight_decay: float) -> Any:
    """These are two lists of parameters. To torch.optim a group is a dictionary, which also says the weight_decay of its
    parameters.
    """
    return [g["params"] for g in _by(model, weight_decay, lambda n, p: p.dim() > 1)]


@mistake("split_weight_decay")
def split_of_names(model: nn.Module, weight_decay: float) -> Any:
    """The groups hold names. An optimizer needs the parameters themselves, the very objects that the model computes with."""
    named = dict(model.named_parameters())
    return _groups(
        [n for n in named if named[n].dim() > 1],
        [n for n in named if named[n].dim() < 2],
        weight_decay,
    )


@mistake("split_weight_decay")
def split_of_copies(model: nn.Module, weight_decay: float) -> Any:
    """The groups hold copies of the parameters, or tensors cut off from them: an optimizer would move those, and the model would
    stay as it is. Use the objects that `model.parameters()` gives.
    """
    params = [p.detach().clone() for p in model.parameters()]
    return _groups(
        [p for p in params if p.dim() > 1], [p for p in params if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_in_sets(model: nn.Module, weight_decay: float) -> Any:
    """The parameters of a group are in a set, which has no order, and torch.optim refuses it: what an optimizer saves is matched
    to parameters by their order. Use a list.
    """
    return [
        {**g, "params": set(g["params"])}
        for g in _by(model, weight_decay, lambda n, p: p.dim() > 1)
    ]


@mistake("split_weight_decay")
def split_into_generators(model: nn.Module, weight_decay: float) -> Any:
    """The "params" of a group are a generator, a filter or a map, which can be walked through once. The optimizer does; whoever looks
    at the group next, to count its parameters or to make a step of their own, finds it empty. Make a list of it.
    """
    return [
        {**g, "params": (p for p in g["params"])}
        for g in _by(model, weight_decay, lambda n, p: p.dim() > 1)
    ]


@mistake("split_weight_decay")
def split_skips_layers_with_something_frozen(model: nn.Module, weight_decay: float) -> Any:
    """A layer is left out as a whole as soon as one of its parameters is frozen, and so its other parameters stop training, too.
    `requires_grad` belongs to a parameter, not to a layer.
    """
    found: dict[Any, None] = {}
    for m in model.modules():
        own = list(m.parameters(recurse=False))
        if all(p.requires_grad for p in own):
            found.update(dict.fromkeys(own))
    return _groups(
        [p for p in found if p.dim() > 1], [p for p in found if p.dim() < 2], weight_decay
    )


@mistake("split_weight_decay")
def split_freezes_what_it_spares(model: nn.Module, weight_decay: float) -> Any:
    """Biases and norms are frozen, which changes the model and stops their training. They are to train, only without decay:
    that is what the group with weight_decay 0 is for.
    """
    groups = _by(model, weight_decay, lambda n, p: p.dim() > 1)
    for p in groups[1]["params"]:
        p.requires_grad_(False)
    return groups


@mistake("split_weight_decay")
def split_thaws_everything(model: nn.Module, weight_decay: float) -> Any:
    """Frozen parameters are made trainable again. Somebody froze them on purpose: look at `requires_grad`, and leave it as it
    is.
    """
    for p in model.parameters():
        p.requires_grad_(True)
    return _by(model, weight_decay, lambda n, p: p.dim() > 1)


@mistake("split_weight_decay")
def split_not_returned(model: nn.Module, weight_decay: float) -> None:
    """The groups are made and then forgotten: without `return` the function gives None."""
    _by(model, weight_decay, lambda n, p: p.dim() > 1)


# -- split_weight_decay: right -------------------------------------------------------------------------------------------


@right("split_weight_decay")
def split_by_type(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    norms = _of_norms(model)
    return _by(
        model,
        weight_decay,
        lambda n, p: id(p) not in norms and "bias" not in n.rpartition(".")[2],
    )


@right("split_weight_decay")
def split_spared_first(model: nn.Module, weight_decay: float) -> Any:
    spared, decayed = [], []
    for p in model.parameters():
        if not p.requires_grad:
            continue
        (spared if len(p.shape) == 1 else decayed).append(p)
    return (
        {"params": spared, "weight_decay": 0, "lr": 0.1},
        {"params": decayed, "weight_decay": weight_decay},
    )


@right("split_weight_decay")
def split_with_frozen_ones(model: nn.Module, weight_decay: float) -> Any:
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for p in model.parameters():
        groups[p.ndim > 1].append(p)
    return [
        {"weight_decay": weight_decay * big, "params": groups[big]} for big in (False, True)
    ]


@right("split_weight_decay")
def split_of_pairs(model: nn.Module, weight_decay: float) -> Any:
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [x for x in named if x[1].dim() < 2], "weight_decay": 0.0},
        {"params": [x for x in named if not x[1].dim() < 2], "weight_decay": weight_decay},
    ]


@right("split_weight_decay")
def split_through_modules(model: nn.Module, weight_decay: float) -> Any:
    seen: set[int] = set()
    decayed, spared = [], []
    for module in model.modules():
        is_norm = "Norm" in type(module).__name__
        for name, p in module.named_parameters(recurse=False):
            if id(p) in seen or not p.requires_grad:
                continue
            seen.add(id(p))
            (spared if is_norm or "bias" in name else decayed).append(p)
    return _groups(decayed, spared, weight_decay)


@right("split_weight_decay")
def split_by_recursion(model: nn.Module, weight_decay: float) -> Any:
    found: dict[int, tuple[nn.Parameter, bool]] = {}

    def walk(module: nn.Module) -> None:
        for p in module._parameters.values():
            if p is not None and p.requires_grad:
                found.setdefault(id(p), (p, p.numel() != max(p.shape)))
        for child in module.children():
            walk(child)

    walk(model)
    return [
        {"params": tuple(p for p, big in found.values() if big is keep), "weight_decay": decay}
        for keep, decay in ((True, weight_decay), (False, 0.0))
    ]
