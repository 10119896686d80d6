"""Graded-only checks of 02_dropout: against the reference solution, on secret seeds and shapes.

Two right answers draw different masks from the same seed, so outputs are compared where both kept a value, coins by exact
statistics, and predictions on networks whose dropout leaves nothing to chance.
"""

from __future__ import annotations

import __future__

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autograder import expect, layers
from autograder.checks import check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import Fixture, fixture

# Calls and coins a call. Total agreement, where a coin is shared or a mask kept, is beyond every bound: 480 of 480 pairs,
# where coins agree in two thirds at most, 320 with a standard deviation of 10. A fixed number dropped: 40 of 40 calls
# within 1 of the mean, where coins give 0.39 at most (24 coins, p = 0.2), so 34 or fewer pass.
CALLS, COINS = 40, 24

# 200 * 240 = 48 000 coins: for p in [0.13, 0.17], a rate that is off by 0.02 or more is missed with less than 1e-6.
COUNTED = (200, 240)


@check("dropout", points=2)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any shape, dtype and p, output and gradient are the reference's where both keep a value; coins stay fair."""
    function = expect.function(student.dropout, "dropout")
    plan, calls = student.together(), []
    for dtype in (torch.float32, torch.float64):
        shape, p = _shape(draw), draw.probability()
        x, g = draw.signed(*shape, dtype=dtype), draw.signed(*shape, dtype=dtype)
        observed = plan.observe(function, x.clone().requires_grad_(), p=p, cotangent=g)
        calls.append((x, p, g, observed, plan.call(function, x, p=p, training=False)))
    for x, p, g, observed, still in calls:
        seen = observed.get()
        wanted = x.clone().requires_grad_()
        right = reference.dropout(wanted, p=p)
        (slope,) = torch.autograd.grad(right, wanted, g)
        gradient = seen.gradients[0]
        expect.that(gradient is not None, "gradient:none", "no gradient reaches the input")
        _same_where_both_are_kept(seen.output, right.detach(), "the output", "value")
        _same_where_both_are_kept(gradient, slope, "the gradient of the input", "gradient")
        expect.close(
            still.get(),
            reference.dropout(x, p=p, training=False),
            "with training=False the output",
            "eval",
        )

    def outputs(p: float, x: Tensor, times: int) -> Callable[[], list[Any]]:
        return lambda: list(student.repeat(function, times, x, p))

    _tosses_fair_coins(draw, outputs)()


@check("Dropout", points=2)
def layer_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For any shape, dtype and p, the output is the reference's where both keep a value; coins stay fair over many calls."""
    plan, seen = student.together(), []
    for dtype in (torch.float32, torch.float64, torch.float16):
        x, p = draw.signed(*_shape(draw), dtype=dtype), draw.probability()
        layer = layers.PlannedLayer(student, plan, "Dropout", p=p)
        trained, mode = plan.call(layer.made, x), layer.mode(training=False)
        seen.append((x, p, layer, trained, mode, plan.call(layer.made, x)))

    def outputs(p: float, x: Tensor, times: int) -> Callable[[], list[Any]]:
        layer = layers.PlannedLayer(student, plan, "Dropout", p=p)
        calls = [plan.call(layer.made, x) for _ in range(times)]

        def read() -> list[Any]:
            layer.remote()
            return [call.get() for call in calls]

        return read

    tosses_fair_coins = _tosses_fair_coins(draw, outputs)
    for x, p, layer, trained, mode, still in seen:
        layer.remote()
        _same_where_both_are_kept(
            trained.get(), reference.Dropout(p=p)(x), "the output", "value"
        )
        mode()
        right = reference.Dropout(p=p).eval()(x)
        expect.close(still.get(), right, "the output in evaluation mode", "eval")

    tosses_fair_coins()


@fixture
def on_a_cnn(
    predict: Callable[..., Any],
    parts: list[torch.Tensor],
    x: torch.Tensor,
    n_samples: int,
    training: bool,
) -> Any:
    """Predict with a CNN whose layers drop surely (p = 1) or never (p = 0), so that all right answers agree to the digit."""
    from torch import nn

    class SomeDropout(nn.Module):
        """Replaces every other channel by zero in training mode: dropout of a class of its own, without chance."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            keep = torch.arange(x.shape[1]) % 2 == 0
            return x * keep.view(1, -1, *[1] * (x.dim() - 2)) if self.training else x

    model = nn.Sequential(
        nn.Sequential(
            nn.Conv2d(x.shape[1], 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), SomeDropout()
        ),
        nn.Sequential(
            nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.BatchNorm2d(8), nn.Dropout2d(0.0)
        ),
        nn.Flatten(),
        nn.Linear(8 * 4 * 3, 10),
        nn.BatchNorm1d(10),
        SomeDropout(),
        nn.Linear(10, 5),
    )
    tensors = [t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point()]
    with torch.no_grad():
        for index, tensor in enumerate(tensors):
            part = parts[index % len(parts)]
            repeats = -(-tensor.numel() // part.numel())
            values = part.repeat(repeats)[: tensor.numel()].view_as(tensor)
            tensor.copy_(values * (2 / max(tensor.numel() / tensor.shape[0], 1)) ** 0.5)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_var.abs_()
    model.train(training)
    before = [t.detach().clone() for t in model.buffers()]
    mean, std = predict(model, x, n_samples)
    same = all(bool((a == b).all()) for a, b in zip(before, model.buffers(), strict=True))
    return {
        "mean": mean,
        "std": std,
        "same": same,
        "modes": [m.training for m in model.modules()],
    }


@check("mc_dropout_predict", points=2)
def prediction_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """On a CNN with batch norm and dropout that leaves nothing to chance, the result is the reference's, in either mode."""
    parts = [draw.signed(count) for count in (97, 89, 83)]
    here, plan, calls = _here(on_a_cnn), student.together(), []
    for training in (False, True):
        # Examples, classes (5) and samples cannot be taken for each other.
        x, samples = draw.signed(draw.integer(6, 8), 2, 9, 7), draw.integer(2, 4)
        target = expect.function(student.mc_dropout_predict)
        call = plan.call(student.fixture(on_a_cnn), target, parts, x, samples, training)
        calls.append((x, samples, training, call))
    for x, samples, training, call in calls:
        seen = call.get()
        right = here(reference.mc_dropout_predict, parts, x, samples, training)
        expect.that(
            isinstance(seen, dict) and seen.keys() == right.keys(),
            "pair",
            "the result should be a pair",
        )
        expect.close(
            seen["mean"], right["mean"], "mean_probs", "mean", relative=1e-4, absolute=1e-5
        )
        expect.close(
            seen["std"], right["std"], "std_probs", "std", relative=1e-4, absolute=1e-3
        )
        expect.that(
            seen["same"] is True, "batch_norm:updated", "buffers of the model were changed"
        )
        expect.that(
            seen["modes"] == right["modes"],
            "modes:changed",
            "modules were left in another mode than they were in",
        )


def _here(declared: Fixture) -> Callable[..., Any]:
    """Return a fixture's function, to be called in the judge."""
    namespace: dict[str, Any] = {"__name__": "fixture", "torch": torch}
    flags = __future__.annotations.compiler_flag
    exec(compile(declared.source, declared.name, "exec", flags, dont_inherit=True), namespace)
    function: Callable[..., Any] = namespace[declared.name]
    return function


def _shape(draw: Draw) -> list[int]:
    """Return the shape of 800 values or more, in two to four dimensions.

    Each value is kept by both with probability 0.36 at least: none of them with 0.64^800 < 1e-155.
    """
    shape = [[40, 21], [11, 9, 9], [5, 7, 4, 6]][draw.integer(0, 2)]
    return [shape[i] for i in draw.permutation(len(shape)).tolist()]


def _same_where_both_are_kept(value: Any, right: Tensor, what: str, code: str) -> None:
    got = expect.tensor(value, what, shape=right.shape, dtype=right.dtype)
    both = ((got != 0) & (right != 0)).double()
    precision = expect.precision(right.dtype)
    expect.close(
        got * both,
        right * both,
        f"{what}, where it and the reference's are not zero,",
        code,
        relative=precision,
    )


def _tosses_fair_coins(
    draw: Draw, answers: Callable[[float, Tensor, int], Callable[[], list[Any]]]
) -> Callable[[], None]:
    """Plan calls; what is returned expects coins to be independent on one input, and a share p of very many to be dropped.

    Args:
        answers: given p, x and a number of calls, plans these, such as of one layer; what it returns gives what each returned.
    """
    x, p = draw.signed(1, COINS // 6, 2, 3), draw.probability()
    many, small = answers(p, x, CALLS), draw.probability(0.13, 0.17)
    once = answers(small, draw.signed(*COUNTED), 1)

    def are_fair() -> None:
        coins = [expect.tensor(y, "the output", shape=x.shape).flatten() == 0 for y in many()]
        expect.independent(torch.stack(coins), p, ("call", "coin"), FALSE_ALARM / 3)
        (y,) = once()
        expect.drop_rate(y, small, FALSE_ALARM / 3, candidates={"tenths": round(small, 1)})

    return are_fair
