"""Public checks of 04_dropconnect.

Masks are read off what comes out. Where a unit adds up inputs times weights that are plus or minus 2^t, its sum tells which
of them were kept (`layers.kept_terms`), however the learner draws, scales or multiplies. The functions that take masks or
probabilities are held to what the judge computes itself.

Numbers of coins: a check fails a right answer with probability at most FALSE_ALARM = 1e-9 in all. Where it tests counts more
than once, each test gets an equal share, and one share is left for all that hangs on patterns. p is in [0.2, 0.4] unless said
otherwise. `tests/units/test_04_dropconnect.py` holds the checks to this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from scipy.stats import chi2, norm
from torch import Tensor
from torch.nn import functional

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.evidence import images
from autograder.expect import Failure
from autograder.statistics import FALSE_ALARM, binomial_interval
from autograder.student import Later, Plan, StudentError, fixture

_LIBRARY = (
    "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_dropout_",
    "alpha_dropout", "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout",
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "drop_connect_linear",
        hints=(
            "An ordinary layer has one weight matrix for the whole batch. Here every example has its own, W with holes in it. "
            "What shape do all of these matrices have together?",
            "`weight_mask * weight` broadcasts W against the first dimension: N thinned matrices, (N, O, I). Example n needs "
            "the product of matrix n with row n of x, and of nothing else.",
            "`torch.einsum` says just that: output (n, o) is the sum over i of matrix (n, o, i) times x (n, i). Then add the "
            "bias, multiplied by its own mask.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "DropConnectLinear",
        hints=(
            "In training the layer draws two masks and leaves the rest to the function you have. How many coins does each of "
            "them have, for a batch of N examples? And what must what is kept be multiplied by?",
            "Make the parameters once, in __init__ (an nn.Linear can hold them). In forward, outside of training, return what "
            "nn.Linear would; else draw masks of shape (N, O, I) and (N, O) and call drop_connect_linear.",
            "`(torch.rand(len(x), *weight.shape) >= p).to(x.dtype) / (1 - p)` is a mask that is rescaled already, likewise for "
            "the bias. At p = 1 that would be 0 / 0: treat it on its own and return zeros.",
        ),
        forbids=_LIBRARY,
        uses=("drop_connect_linear",),
    ),
    Exercise(
        "drop_connect_moments",
        hints=(
            "A pre-activation is a sum of independent terms, so its mean is the sum of their means and its variance that of "
            "their variances. What are mean and variance of one term, m w x / (1 - p)?",
            "The mean of a term is w x. Its variance is (w x)² times that of m / (1 - p), which is p / (1 - p). The bias is a "
            "term like the others, with x = 1.",
            "Two matrix products: one of x with the weights, plus the bias; and one of the squares of x with the squares of "
            "the weights, plus the square of the bias, times p / (1 - p).",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "drop_connect_inference",
        hints=(
            "No mask is drawn here. What is drawn are pre-activations: normal numbers that have the mean and the variance you "
            "computed. Of what is the average taken in the end?",
            "Standard normal numbers become normal with mean μ and variance v as μ + sqrt(v) · ε. Each sample, example and "
            "unit gets an ε of its own.",
            "Draw ε = torch.randn(n_samples, N, O), apply the activation to all of μ + sqrt(v) ε, and only then take the mean "
            "over the first dimension.",
        ),
        forbids=_LIBRARY,
        uses=("drop_connect_moments",),
    ),
    Exercise(
        "DropConnectConv2d",
        hints=(
            "Every example has its own kernels, so the mask has the shape of the weight with N in front. How could one call "
            "of F.conv2d apply different kernels to different examples? Look up what its argument groups does.",
            "With groups = N the channels are split into N parts, and each part meets its own kernels. So move the examples "
            "into the channels: x becomes (1, N · C, H, W) and the kernels (N · O, C, k, k).",
            "After `F.conv2d(x.reshape(1, N * C, H, W), kernels, padding=..., groups=N)` reshape the result to (N, O, H', W'): "
            "its size is that of the output, not of x. Then add the masked biases, (N, O, 1, 1).",
        ),
        forbids=_LIBRARY,
    ),
)

# -- what runs where the learner's code does -----------------------------------------------------------------------------


@fixture
def sized(build: Any, *sizes: Any) -> Any:
    """Give a layer's constructor its sizes, so that p alone is left."""
    import functools

    return functools.partial(build, *sizes)


@fixture
def layer_run(
    build: Any,
    sizes: list[Any],
    options: dict[str, Any],
    values: list[torch.Tensor],
    inputs: list[torch.Tensor],
    modes: list[bool],
    cotangent: torch.Tensor | None,
    times: int,
) -> dict[str, Any]:
    """Make layers, set their parameters, found by shape, and call them on inputs, each in its mode (training or not)."""
    runs: list[Any] = []
    for _ in range(times):
        layer = build(*sizes, **options)
        if not isinstance(layer, torch.nn.Module):
            return {"problem": "type", "what": type(layer).__name__}
        if inputs[0].dtype != torch.float32:
            layer = layer.to(inputs[0].dtype)
        parameters = list(layer.parameters())
        for value in values:
            fitting = [p for p in parameters if tuple(p.shape) == tuple(value.shape)]
            if len(fitting) != 1 or not fitting[0].requires_grad:
                return {"problem": "parameters", "shapes": [list(p.shape) for p in parameters], "found": len(fitting)}
            with torch.no_grad():
                fitting[0].copy_(value)
        outputs: list[Any] = []
        gradients: list[Any] = []
        for x, training in zip(inputs, modes, strict=True):
            layer.train(training)
            entry = x.clone().requires_grad_(cotangent is not None)
            y = layer(entry)
            outputs.append(y)
            if cotangent is not None:
                tensors = [entry, *layer.parameters()]
                reached = isinstance(y, torch.Tensor) and y.requires_grad and y.shape == cotangent.shape
                found = (
                    torch.autograd.grad(y, tensors, cotangent, allow_unused=True) if reached else [None] * len(tensors)
                )
                by_shape = {tuple(t.shape): g for t, g in zip(tensors[1:], found[1:], strict=True)}
                gradients.append([found[0], *(by_shape.get(tuple(value.shape)) for value in values)])
        now = [next((p for p in layer.parameters() if tuple(p.shape) == tuple(value.shape)), None) for value in values]
        runs.append(
            {
                "outputs": outputs,
                "gradients": gradients,
                "values": now,
                "buffers": [b.numel() for b in layer.buffers()],
                "parameters": [list(p.shape) for p in layer.parameters()],
            }
        )
    return {"runs": runs}


@fixture
def inferred(
    infer: Any,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    p: float,
    activation: str,
    threshold: float,
    n_samples: int,
    times: int,
) -> list[Any]:
    """Call the function with an activation, which cannot travel."""

    def above(z: Any) -> Any:
        return (z > threshold).to(z.dtype)

    def same(z: Any) -> Any:
        return z

    known = {"above": above, "same": same, "tanh": torch.tanh, "module": torch.nn.Softplus()}
    return [infer(x, weight, bias, p, known[activation], n_samples) for _ in range(times)]


@fixture
def inferred_by_name(
    infer: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, p: float, n_samples: int
) -> Any:
    """Call the function with every argument by its name."""
    return infer(n_samples=n_samples, activation=torch.tanh, p=p, bias=bias, weight=weight, x=x)


# -- drop_connect_linear -------------------------------------------------------------------------------------------------

N, O, I = 6, 5, 4  # noqa: E741
"""Sizes of which no two are equal: a transposed product fails, or gives another shape."""


@check("drop_connect_linear", points=4)
def masks_the_weights_of_each_example(student: Any, draw: Draw) -> None:
    """Output n is the product of x_n with the weights as mask n left them."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), torch.zeros(O)
    weight_mask, bias_mask = _coins(draw, N, O, I), torch.ones(N, O)
    y = expect.call(student.drop_connect_linear, x, weight, bias, weight_mask, bias_mask, what="drop_connect_linear")
    thinned = weight_mask * weight
    _close(
        y,
        torch.einsum("noi,ni->no", thinned, x),
        "the output",
        {
            "unmasked": x @ weight.T,
            "first_mask": x @ thinned[0].T,
            "last_mask": x @ thinned[-1].T,
            "mean_mask": x @ thinned.mean(0).T,
            "any_mask": x @ thinned.amax(0).T + 0 * x[:, :1],
            "activations": weight_mask[:, :, 0] * (x @ weight.T),
            "inputs": (weight_mask[:, 0] * x) @ weight.T,
            "complement": torch.einsum("noi,ni->no", (1 - weight_mask) * weight, x),
            "rescaled": torch.einsum("noi,ni->no", thinned, x) / weight_mask.mean(),
            "rescaled_each": torch.einsum("noi,ni->no", thinned, x) / weight_mask.mean(dim=(1, 2)).unsqueeze(1),
            "no_input": thinned.sum(dim=2),
            "masks_only": torch.einsum("noi,ni->no", weight_mask, x),
            "mean_over_inputs": torch.einsum("noi,ni->no", thinned, x) / I,
            "doubled": 2 * torch.einsum("noi,ni->no", thinned, x),
            "all_examples": torch.einsum("noi,mi->no", thinned, x),
            "squared_mask": torch.einsum("noi,ni->no", weight_mask * thinned, x),
        },
    )


@check("drop_connect_linear", points=2)
def masks_the_bias_of_each_example(student: Any, draw: Draw) -> None:
    """The bias is multiplied by a mask of its own, which is another one for each example."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    weight_mask, bias_mask = _coins(draw, N, O, I), _coins(draw, N, O)
    plan = student.together()
    # What the learner makes of the weights is another check's: only the difference that the bias makes is looked at.
    y, without = (_linear(student, plan, x, weight, each, weight_mask, bias_mask) for each in (bias, 0 * bias))
    got, rest = (expect.tensor(each.get(), "the output", shape=(N, O)) for each in (y, without))
    difference = got - rest
    _close(
        difference,
        bias_mask * bias,
        "the bias' part of the output",
        {
            "none": torch.zeros(N, O),
            "unmasked": bias.expand(N, O),
            "first_mask": (bias_mask[0] * bias).expand(N, O),
            "mean_mask": (bias_mask.mean(0) * bias).expand(N, O),
            "weight_mask": weight_mask[:, :, 0] * bias,
            "every_weight": weight_mask.mean(2) * bias,
            "any_weight": weight_mask.amax(2) * bias,
            "complement": (1 - bias_mask) * bias,
            "mask_only": bias_mask,
            "minus": -bias_mask * bias,
            "doubled": 2 * bias_mask * bias,
            "each_input": I * bias_mask * bias,
            "rescaled": bias_mask * bias / bias_mask.mean(),
            "over_n": bias_mask * bias / N,
        },
        "bias",
    )


@check("drop_connect_linear", points=2)
def multiplies_masks_as_they_are(student: Any, draw: Draw) -> None:
    """Masks that are rescaled already, or are no zeros and ones at all, are multiplied as they are."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    weight_mask, bias_mask = draw.signed(N, O, I), draw.signed(N, O)
    y = expect.call(student.drop_connect_linear, x, weight, bias, weight_mask, bias_mask, what="drop_connect_linear")

    def output(weights: Tensor, biases: Tensor) -> Tensor:
        return torch.einsum("noi,ni->no", weights * weight, x) + biases * bias

    w, b = weight_mask, bias_mask
    _close(
        y,
        output(w, b),
        "the output for masks of other numbers",
        {
            "nonzero": output((w != 0).float(), (b != 0).float()),
            "positive": output((w > 0).float(), (b > 0).float()),
            "above_half": output((w > 0.5).float(), (b > 0.5).float()),
            "from_half": output((w >= 0.5).float(), (b >= 0.5).float()),
            "rounded": output(w.round(), b.round()),
            "whole": output(w.trunc(), b.trunc()),
            "absolute": output(w.abs(), b.abs()),
            "signs": output(w.sign(), b.sign()),
            "clipped": output(w.clamp(0, 1), b.clamp(0, 1)),
            "normalised": output(w / w.mean(), b / b.mean()),
            "weights_nonzero": output((w != 0).float(), b),
            "bias_nonzero": output(w, (b != 0).float()),
            "squared": output(w * w, b * b),
            "by_bias_mask": b * output(w, torch.ones_like(b)),
        },
        "as_is",
    )


@check("drop_connect_linear", points=1)
def has_dropout_as_a_special_case(student: Any, draw: Draw) -> None:
    """A mask that is the same for all outputs is dropout of the inputs; one that is the same for all inputs, of the outputs."""
    x, weight, bias, ones = draw.signed(N, I), draw.signed(O, I), draw.signed(O), torch.ones(N, O)
    inputs, outputs = _coins(draw, N, I), _coins(draw, N, O)
    plan = student.together()
    on_inputs = _linear(student, plan, x, weight, bias, inputs.unsqueeze(1).repeat(1, O, 1), ones)
    on_outputs = _linear(student, plan, x, weight, bias, outputs.unsqueeze(2).repeat(1, 1, I), outputs)
    _close(on_inputs.get(), (inputs * x) @ weight.T + bias, "the output for a mask of the inputs", {}, "inputs")
    _close(on_outputs.get(), outputs * (x @ weight.T + bias), "the output for a mask of the outputs", {}, "outputs")


@check("drop_connect_linear", points=2)
def passes_gradients_to_all(student: Any, draw: Draw) -> None:
    """Gradients reach x, the weight and the bias, and only along what was kept."""
    function = expect.function(student.drop_connect_linear)
    x, weight, bias, g = draw.signed(N, I), draw.signed(O, I), draw.signed(O), draw.signed(N, O)
    weight_mask, bias_mask = _coins(draw, N, O, I), _coins(draw, N, O)
    wanted = [t.clone().requires_grad_() for t in (x, weight, bias)]
    seen = student.observe(function, *wanted, weight_mask, bias_mask, cotangent=g)
    expect.tensor(seen.output, "the output", shape=(N, O))
    thinned = weight_mask * weight
    right = [
        torch.einsum("no,noi->ni", g, thinned), torch.einsum("no,noi,ni->oi", g, weight_mask, x), (g * bias_mask).sum(0)
    ]  # fmt: skip
    through = [g @ weight, g.T @ x, g.sum(0)]
    _gradients(seen.gradients[:3], right, through)


@check("drop_connect_linear", points=1)
def serves_single_examples_and_units(student: Any, draw: Draw) -> None:
    """One example, one output or one input make no difference: the output is always (N, O)."""
    plan, calls = student.together(), []
    for examples, outputs, inputs in ((1, O, I), (N, 1, I), (N, O, 1), (1, 1, 1)):
        x, weight, bias = draw.signed(examples, inputs), draw.signed(outputs, inputs), draw.signed(outputs)
        weight_mask, bias_mask = _coins(draw, examples, outputs, inputs), _coins(draw, examples, outputs)
        right = torch.einsum("noi,ni->no", weight_mask * weight, x) + bias_mask * bias
        calls.append(
            ((examples, outputs, inputs), right, _linear(student, plan, x, weight, bias, weight_mask, bias_mask))
        )
    for (examples, outputs, inputs), right, y in calls:
        got = expect.tensor(y.get(), f"the output for N = {examples}, O = {outputs}, I = {inputs}")
        expect.that(
            tuple(got.shape) == (examples, outputs),
            f"single_shape:{examples}{outputs}{inputs}",
            f"the output for N = {examples}, O = {outputs}, I = {inputs} should have shape {(examples, outputs)}, got "
            f"{tuple(got.shape)}",
        )
        _close(got, right, "the output for single examples or units", {}, "single")


@check("drop_connect_linear", points=1)
def leaves_arguments_alone(student: Any, draw: Draw) -> None:
    """The output has the dtype of x, no argument is changed, the arguments go by their names, and nothing is drawn."""
    function = expect.function(student.drop_connect_linear)
    plan, calls = student.together(), []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        sizes = ((N, I), (O, I), (O,))
        arguments = [draw.signed(*shape, dtype=dtype) for shape in sizes]
        arguments += [_coins(draw, N, O, I).to(dtype), _coins(draw, N, O).to(dtype)]
        calls.append((dtype, arguments, plan.observe(function, *arguments)))
    x, weight, bias, weight_mask, bias_mask = (t.float() for t in arguments)
    named = plan.call(function, bias_mask=bias_mask, weight_mask=weight_mask, bias=bias, weight=weight, x=x)
    again = plan.call(function, x, weight, bias, weight_mask, bias_mask)
    for dtype, arguments, observed in calls:
        seen = observed.get()
        expect.tensor(seen.output, f"the output for {dtype}", shape=(N, O), dtype=dtype)
        for name, before, after in zip(
            ("x", "weight", "bias", "weight_mask", "bias_mask"), arguments, seen.arguments, strict=True
        ):
            expect.unchanged(before, after, name)
    try:
        by_name = named.get()
    except StudentError as error:
        if error.not_started:
            raise
        raise Failure(
            "signature:names", f"the arguments should be called as in the signature: {error.sentence()}"
        ) from None
    expect.close(by_name, expect.tensor(again.get(), "the output"), "the output of a second call", "repeats:drawn")


# -- DropConnectLinear ---------------------------------------------------------------------------------------------------

# 64 examples, 13 outputs, 11 inputs: 143 coins an example, each read off by itself. For independence: one coin for all
# examples, outputs or inputs makes neighbours agree in all of 4576 pairs or so, where coins do in half to two thirds. Copies:
# two calls one above the other are 128 * 143 coins, of which any two rows or columns are equal with 10153 * 0.68^128 < 4e-18.
# That a right answer's coins fail to vary along an axis: all 64 agree in a coin with 0.8^64, in all of 143 with 1e-880.
CODED = (64, 13, 11)

# 160 * 190 = 30 400 coins. For p in [0.13, 0.17] their rate has a standard deviation of 0.0022 at most: rates within
# 6.4 * 0.0022 = 0.014 of p pass, and one that is off by 0.025 or more is seen with all but 1e-6, p rounded to a tenth too.
COUNTED = (160, 190)
SMALL = (0.13, 0.17)

# 48 coins at p = 0 and p = 1. `rand > 0` fails for one number in 2^24: see unit 03.
FEW = (6, 8)


@check("DropConnectLinear", points=8)
def drops_single_connections(student: Any, draw: Draw) -> None:
    """In training, each example loses connections of its own, each by its own coin: not units, and not the same for all."""
    p, (n, o, i) = draw.probability(), CODED
    signs, values, x = _coded_linear(draw)

    def kept(calls: int) -> list[Tensor]:
        (run,) = _run(student, "DropConnectLinear", [i, o], {"p": p}, values, [x] * calls)
        return [layers.kept_terms(_shaped(y, (n, o)), signs, p)[0] for y in run["outputs"]]

    _varies(kept, "NOI", ("example", "output", "input"))


@check("DropConnectLinear", points=3)
def masks_the_bias(student: Any, draw: Draw) -> None:
    """The bias is masked too, with a coin for each example and output that has nothing to do with those of the weights."""
    _bias_has_coins_of_its_own(student, draw, "DropConnectLinear")


@check("DropConnectLinear", points=2)
def drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the weights, and of the biases, is dropped, for small p and large, and half where p is not given."""
    _drops_a_share(student, draw, "DropConnectLinear")


@check("DropConnectLinear", points=3)
def rescales_what_is_kept(student: Any, draw: Draw) -> None:
    """Weights and biases that are kept are divided by 1 - p, exactly, for a small p and for a large one."""
    _rescales(student, draw, "DropConnectLinear")


@check("DropConnectLinear", points=2)
def draws_coins_afresh(student: Any, draw: Draw) -> None:
    """Coins of different connections, examples and calls have nothing to do with each other."""
    p, (n, o, i), alarm = draw.probability(), CODED, FALSE_ALARM / 4
    signs, values, x = _coded_linear(draw)
    # A layer sees batches of many sizes.
    (one, other) = _run(student, "DropConnectLinear", [i, o], {"p": p}, values, [x, x[:5], x], times=2)
    first, second = (layers.kept_terms(_shaped(y, (n, o)), signs, p)[0] for y in one["outputs"][::2])
    elsewhere = layers.kept_terms(_shaped(other["outputs"][0], (n, o)), signs, p)[0]
    expect.independent(~first.flatten(1), p, ("example", "connection"), alarm)
    expect.independent(~first.transpose(1, 2).flatten(1), p, ("example", "output"), alarm)
    expect.fresh(~first.flatten(1), ~second.flatten(1), p, ~elsewhere.flatten(1), None, alarm)
    expect.distinct(~torch.cat([first, second]).flatten(1), p, ("example", "connection"))
    layers.does_not_seed(
        student, draw.student_seed, lambda: _run(student, "DropConnectLinear", [i, o], {"p": p}, values, [x])
    )


@check("DropConnectLinear", points=3)
def is_linear_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the layer is x W' + b, with every weight, whatever p is; in training mode it drops again."""
    p, (n, o, i) = draw.probability(), (6, 7, 4)
    weight, bias, x = draw.signed(o, i), draw.signed(o), draw.signed(n, i)
    right = functional.linear(x, weight, bias)
    _evaluates(student, "DropConnectLinear", [i, o], [weight, bias], x, right, p)


@check("DropConnectLinear", points=2)
def passes_gradients_along_what_was_kept(student: Any, draw: Draw) -> None:
    """Gradients reach the input, the weight and the bias, along the kept connections only, and rescaled as the output is."""
    p, n, o, i = draw.probability(), 9, 7, 5
    sign, weight_sign, bias_sign = _signs(draw, n, i), _signs(draw, o, i), _signs(draw, o)
    weight, bias, g = weight_sign * 2.0 ** torch.arange(i), bias_sign * 2.0**i, draw.signed(n, o)
    (run,) = _run(student, "DropConnectLinear", [i, o], {"p": p}, [weight, bias], [sign], cotangent=g)
    signs = torch.cat([sign.unsqueeze(1) * weight_sign, bias_sign.expand(n, o).unsqueeze(2)], dim=2)
    kept, factor = _kept_with_bias(_shaped(run["outputs"][0], (n, o)), signs, p)
    mask, bias_mask = kept[..., :i].float() * factor, kept[..., i].float() * factor
    right = [
        torch.einsum("no,noi->ni", g, mask * weight),
        torch.einsum("no,noi,ni->oi", g, mask, sign),
        (g * bias_mask).sum(0),
    ]
    through = [g @ weight, g.T @ sign, g.sum(0)]
    _gradients(run["gradients"][0], right, through, 1e-4)


@check("DropConnectLinear", points=1)
def leaves_no_trace(student: Any, draw: Draw) -> None:
    """Parameters are a weight (O, I) and a bias (O,), which no call changes; nothing else is stored; the dtype is kept."""
    p, (n, o, i) = draw.probability(), (6, 7, 4)
    _leaves_no_trace(student, draw, "DropConnectLinear", [i, o], ((o, i), (o,)), (n, i), (n, o), p)


@check("DropConnectLinear", points=1)
def handles_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the layer is an ordinary one, in training too; at p = 1 training gives zeros, never NaN."""
    n, o, i = 6, 8, 5
    weight, bias, x = draw.signed(o, i), draw.signed(o), draw.signed(n, i)
    _at_the_extremes(student, "DropConnectLinear", [i, o], [weight, bias], x, functional.linear(x, weight, bias))


@check("DropConnectLinear", points=1)
def refuses_p_outside_of_0_and_1(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError when the layer is made, which shows the value; p may come third, without its name."""
    plan, name = student.together(), "DropConnectLinear"
    refused = _refuses(student, plan, draw, name, [4, 7])
    values, x = [draw.signed(7, 4), draw.signed(7)], draw.signed(3, 4)
    by_name = _run_planned(student, plan, name, [4, 7], {"p": 0.25}, values, [x])
    by_position = _run_planned(student, plan, name, [4, 7, 0.25], {}, values, [x])
    refused()
    by_name()
    layers.takes_positions(by_position, "DropConnectLinear(4, 7, 0.25)")


# -- drop_connect_moments ------------------------------------------------------------------------------------------------


@check("drop_connect_moments", points=2)
def mean_is_that_of_the_mean_network(student: Any, draw: Draw) -> None:
    """The mean is that of the layer without dropping: rescaled masks have mean 1."""
    p = draw.probability()
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    mean, _ = _moments(student, student.together(), x, weight, bias, p)()
    right = functional.linear(x, weight, bias)
    _close(
        mean,
        right,
        "the mean",
        {
            "no_bias": right - bias,
            "1-p": right * (1 - p),
            "1/(1-p)": right / (1 - p),
            "p": right * p,
            "weights_1-p": (right - bias) * (1 - p) + bias,
            "bias_1-p": right - bias + bias * (1 - p),
            "weights_1/(1-p)": (right - bias) / (1 - p) + bias,
            "bias_1/(1-p)": right - bias + bias / (1 - p),
            "variance": _variance(x, weight, bias, p),
            "absolute": right.abs(),
            "bias_p": right - bias + bias * p,
        },
        "mean",
    )


@check("drop_connect_moments", points=5)
def variance_adds_up_squares(student: Any, draw: Draw) -> None:
    """The variance is the sum over connections of (w x)² p / (1 - p), and of b² p / (1 - p) for the bias."""
    # At p in [0.2, 0.4], p, 1 - p, their products and quotients are all different.
    p = draw.probability()
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    _, variance = _moments(student, student.together(), x, weight, bias, p)()
    right = _variance(x, weight, bias, p)
    squares, biases = x.square() @ weight.square().T, bias.square()
    each = squares + biases
    mean = x @ weight.T + bias
    rate = p / (1 - p)
    _close(
        variance,
        right,
        "the variance",
        {
            "deviation": right.sqrt(),
            "squared": right.square(),
            "square_of_the_sum": rate * mean.square(),
            "square_of_the_product": rate * ((x @ weight.T).square() + biases),
            "square_of_the_product_only": rate * (x @ weight.T).square(),
            "p(1-p)": p * (1 - p) * each,
            "p": p * each,
            "1/(1-p)": each / (1 - p),
            "1": each,
            "(1-p)/p": each / rate,
            "1-p": (1 - p) * each,
            "p/(1-p)^2": p / (1 - p) ** 2 * each,
            "p^2/(1-p)^2": rate * rate * each,
            "no_bias": rate * squares,
            "bias_unscaled": rate * squares + biases,
            "bias_not_squared": rate * (squares + bias),
            "x_not_squared": rate * (x @ weight.square().T + biases),
            "w_not_squared": rate * (x.square() @ weight.T + biases),
            "nothing_squared": rate * mean,
            "absolute": rate * (x.abs() @ weight.abs().T + bias.abs()),
            "second_moment": right + mean.square(),
            "mean": mean,
            "of_the_batch": (mean.var(dim=0)).expand(N, O),
            "mean_of_squares": rate * (squares / I + biases),
            "minus": -right,
            "zero": torch.zeros(N, O),
        },
        "variance",
    )


@check("drop_connect_moments", points=2)
def moments_are_those_of_all_masks(student: Any, draw: Draw) -> None:
    """For one unit with three inputs and a bias, they are mean and variance over all 16 masks, by their probabilities."""
    p, x, weight, bias = draw.probability(0.5, 0.8), draw.signed(2, 3), draw.signed(1, 3), draw.signed(1)
    mean, variance = _moments(student, student.together(), x, weight, bias, p)()
    terms = torch.cat([x * weight, bias.expand(2, 1)], dim=1).double()
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 4)
    chances = torch.where(masks == 1, 1 - p, p).prod(dim=1)
    sums = terms @ masks.T / (1 - p)
    first = (sums * chances).sum(1, keepdim=True)
    second = ((sums - first).square() * chances).sum(1, keepdim=True)
    _close(
        mean,
        first.float(),
        "the mean",
        {"1-p": (first * (1 - p)).float(), "1/(1-p)": (first / (1 - p)).float()},
        "mean",
    )
    _close(variance, second.float(), "the variance", {"deviation": second.sqrt().float()}, "variance")


@check("drop_connect_moments", points=1)
def variance_vanishes_at_p_zero(student: Any, draw: Draw) -> None:
    """At p = 0 nothing is left to chance: the variance is 0, and the mean the ordinary output."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    plan = student.together()
    for moments in [_moments(student, plan, x, weight, bias, p) for p in (0, 0.0)]:
        mean, variance = moments()
        _close(mean, functional.linear(x, weight, bias), "the mean at p = 0", {}, "mean_p0")
        each = x.square() @ weight.square().T + bias.square()
        _close(variance, torch.zeros(N, O), "the variance at p = 0", {"1": each}, "variance_p0")


@check("drop_connect_moments", points=1)
def moments_keep_shapes_and_arguments(student: Any, draw: Draw) -> None:
    """Mean and variance are (N, O) for any sizes, in the dtype of x; no argument is changed, and nothing is drawn."""
    function, p, plan = expect.function(student.drop_connect_moments), draw.probability(), student.together()
    calls = []
    for sizes, dtype in (((1, 3, 2), torch.float32), ((3, 1, 2), torch.float64), ((2, 3, 1), torch.float32)):
        n, o, i = sizes
        arguments = [draw.signed(*shape, dtype=dtype) for shape in ((n, i), (o, i), (o,))]
        observed, second = plan.observe(function, *arguments, p), plan.call(function, *arguments, p)
        calls.append((sizes, dtype, arguments, observed, second))
    for (n, o, i), dtype, arguments, observed, second in calls:
        seen = observed.get()
        mean, variance = _pair(seen.output)
        for name, each in (("mean", mean), ("variance", variance)):
            expect.that(
                tuple(each.shape) == (n, o), f"single_shape:{n}{o}{i}",
                f"the {name} for N = {n}, O = {o}, I = {i} should have shape {(n, o)}, got {tuple(each.shape)}",
            )  # fmt: skip
            expect.tensor(each, f"the {name}", dtype=dtype)
        for name, before, after in zip(("x", "weight", "bias"), arguments, seen.arguments, strict=False):
            expect.unchanged(before, after, name)
        again, _ = _pair(second.get())
        expect.that(
            bool((again == mean).all()), "repeats:drawn", "a second call gave another mean: nothing is to be drawn here"
        )


@check("drop_connect_moments", points=1)
def moments_refuse_p(student: Any, draw: Draw) -> None:
    """A p outside [0, 1), 1 among them, is a ValueError that shows it."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    _refuses_one_too(student, "drop_connect_moments", (x, weight, bias), draw.probability())


# -- drop_connect_inference ----------------------------------------------------------------------------------------------

# 11 * 12 * 307 = 40 524 samples above or below a threshold that is half a standard deviation above the mean. 307 is a prime:
# averages over another number of samples are no multiples of 1 / 307. The share above is 0.3085, with a standard deviation of
# 0.0023; within 6.2 of these it passes, and what is off by 0.03 or more is seen with all but 1e-9. Known mistakes are off by
# 0.08 and more, and 0.011 or more, 15 standard deviations there, from each other: see the tests. To that end the variance is
# 16, so that it, its root and the root of that, and 1, are all different, and the bias is 1.6 times the only connection.
SAMPLED = (11, 12, 307)
WRONG_DEVIATIONS = {"variance": 16.0, "fourth_root": 2.0, "unit": 1.0}

# Averages of 40 normal numbers, less their mean and over their standard deviation, are normal. 20 * 30 of them: the sum of
# their squares is chi-squared with 600 degrees of freedom, so a variance that is off by half is seen with all but 1e-6.
AVERAGED = (20, 30, 40)


@check("drop_connect_inference", points=4)
def averages_the_activations_of_samples(student: Any, draw: Draw) -> None:
    """With an activation that is 1 above a threshold, else 0, the average is the share of samples above it: a normal one."""
    p, (n, o, count) = draw.probability(0.35, 0.4), SAMPLED
    # All examples, and all units, are the same, so that all samples count together. A single input: masks are far from normal.
    x = draw.signed(1, 1)
    size = 4 / math.sqrt(p / (1 - p) * (1 + 1.6**2))
    weight, bias = size / x, torch.tensor([1.6 * size])
    mean = 2.6 * size
    threshold = mean + 2.0
    (y,) = _inferred(
        student, x.repeat(n, 1), weight.repeat(o, 1), bias.repeat(o), p, "above", threshold, count, shape=(n, o)
    )
    share = y.double()
    if bool((share == share[0, 0]).all()) and float(share[0, 0]) in (0.0, 1.0):
        raise Failure(
            "share:decided",
            "the activation, 1 above a threshold and else 0, was averaged over samples that spread around it, yet every "
            f"result is {float(share[0, 0]):g}: it should be applied to each sample before the average is taken",
        )
    if bool(((share == 0) | (share == 1)).all()):
        raise Failure("share:single", f"all results are 0 or 1, as if there were one sample; {count} were asked for")
    if bool((share > 1 + 1e-4).any()):
        whole = bool(((share - share.round()).abs() < 1e-3).all())
        raise Failure(
            "share:sum" if whole else "share:values",
            "the average of zeros and ones came out larger than 1: "
            + ("is it a sum?" if whole else "was the activation applied that was handed in?"),
        )
    if bool(((share * count - (share * count).round()).abs() > 0.01).any()):
        less = bool(((share * (count - 1) - (share * (count - 1)).round()).abs() <= 0.01).all())
        raise Failure(
            f"share:{'n-1' if less else 'another_number'}",
            f"averages of {count} zeros and ones are multiples of 1/{count}, but these are not",
        )
    alike = [which for d, which in ((0, "examples"), (1, "units")) if bool((share == share.narrow(d, 0, 1)).all())]
    if alike:
        raise Failure(
            f"share:same_for_{'_and_'.join(alike)}",
            f"all {' and '.join(alike)} have exactly the same result: each sample, example and unit needs noise of its own",
        )
    above, trials, q = round(float(share.sum()) * count), n * o * count, float(norm.sf(0.5))
    if expect._compatible(above, trials, q, FALSE_ALARM / 2):
        return
    rates = wrong_shares(p)
    fitting = [name for name, rate in rates.items() if above in binomial_interval(trials, rate)]
    found = min(fitting, key=lambda name: abs(rates[name] - above / trials), default="other")
    raise Failure(
        f"share:{found}",
        f"normal numbers of this mean and variance exceed a threshold half a standard deviation above the mean with "
        f"probability {q:.3f}; of your samples {above / trials:.3f} do",
    )


def wrong_shares(p: float) -> dict[str, float]:
    """Return what known mistakes make of the share above the threshold."""
    rates = {name: float(norm.sf(2 / deviation)) for name, deviation in WRONG_DEVIATIONS.items()}
    mean = 2.6 / math.sqrt(p / (1 - p) * (1 + 1.6**2))  # in standard deviations
    for name, factor in (("no_mean", 0.0), ("mean_1-p", 1 - p), ("mean_1/(1-p)", 1 / (1 - p)), ("no_bias", 1 / 2.6)):
        rates[name] = float(norm.sf(0.5 + mean * (1 - factor)))
    # Uniform noise; and masks, which get above it only with both weight and bias.
    return {**rates, "uniform": 0.5, "masks": (1 - p) ** 2}


@check("drop_connect_inference", points=3)
def samples_each_pre_activation(student: Any, draw: Draw) -> None:
    """Each example and each unit has its own mean, variance and noise."""
    p, (n, o, count) = draw.probability(0.35, 0.4), AVERAGED
    x, weight, bias = draw.signed(n, I), 3 * draw.signed(o, I), 3 * draw.signed(o)
    (y,) = _inferred(student, x, weight, bias, p, "same", 0.0, count, shape=(n, o))
    mean, variance = functional.linear(x, weight, bias).double(), _variance(x, weight, bias, p).double()
    if bool(((y - mean).abs() < 1e-4).all()):
        raise Failure("noise:none", "the average of the samples is exactly their mean: where is the noise?")
    z = (y.double() - mean) / (variance / count).sqrt()
    signs = z < 0
    if bool((z == 0).any()):
        raise Failure("noise:partly", "some averages of samples are exactly their mean: where is the noise?")
    # Shares of the alarm: two for signs, one for the squares, one for the largest, one for patterns.
    alarm = FALSE_ALARM / 5
    alike = [which for d, which in ((0, "examples"), (1, "units")) if bool((z.std(dim=d) < 0.2).all())]
    if alike:
        raise Failure(
            f"shared:{'_and_'.join(alike)}",
            f"the noise is the same for all {' and '.join(alike)}: each sample, example and unit needs its own",
        )
    low, high = (float(chi2.ppf(q, n * o)) for q in (alarm / 2, 1 - alarm / 2))
    squares = float(z.square().sum())
    largest = float(z.abs().max())
    if not low <= squares <= high or largest > float(norm.isf(alarm / 2 / (n * o))):
        found = _misplaced(y.double(), mean, bias.double(), variance, count, p)
        raise Failure(
            f"spread:{found}",
            f"averages of {count} samples should lie around the mean with a standard deviation of sqrt(variance / {count}); "
            f"seen in such units, the mean square of the differences should be near 1, but it is {squares / (n * o):.3g}",
        )
    expect.independent(signs, 0.5, ("example", "unit"), 2 * alarm)


@check("drop_connect_inference", points=2)
def is_the_activation_of_the_mean_without_dropping(student: Any, draw: Draw) -> None:
    """At p = 0 there is no noise: the result is the activation of the ordinary output, for any number of samples."""
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    mean = x @ weight.T + bias
    plan = student.together()
    calls = [
        (count, _inferred_planned(student, plan, x, weight, bias, 0.0, "tanh", 0.0, count, shape=(N, O)))
        for count in (1, 7)
    ]
    for count, inferred_at_zero in calls:
        try:
            (y,) = inferred_at_zero()
        except StudentError as error:
            if error.not_started or not {"ValueError", "AssertionError"} & set(error.types):
                raise
            raise Failure("p0:refused", f"p = 0 is allowed, but {error.sentence()}") from None
        _close(
            y, mean.tanh(), f"the result at p = 0, of {count} sample{'s' * (count > 1)},",
            {"mean": mean, "twice": mean.tanh().tanh(), "no_bias": (mean - bias).tanh(), "sum": count * mean.tanh()}, "p0",
        )  # fmt: skip


@check("drop_connect_inference", points=1)
def samples_are_drawn_afresh(student: Any, draw: Draw) -> None:
    """Two calls draw different samples, and leave the seed of the random generator to others."""
    p, x, weight, bias = draw.probability(), draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    first, second = _inferred(student, x, weight, bias, p, "same", 0.0, 5, times=2, shape=(N, O))
    # Two sums of independent normal numbers in float32 are equal with 1e-6 or so each, all 30 with less than 1e-100.
    same = bool((first == second).all())
    still = same and bool(((first - functional.linear(x, weight, bias)).abs() < 1e-5).all())
    expect.that(
        not same,
        "stale:no_noise" if still else "stale:repeated",
        "two calls gave the very same result: no new samples were drawn",
    )
    layers.does_not_seed(
        student, draw.student_seed, lambda: _inferred(student, x, weight, bias, p, "same", 0.0, 5, shape=(N, O))
    )


@check("drop_connect_inference", points=1)
def serves_any_activation_and_size(student: Any, draw: Draw) -> None:
    """The result is (N, O) in the dtype of x, for one sample, example, unit or input; a module may be the activation."""
    p, plan, calls = draw.probability(), student.together(), []
    for (n, o, i, count), dtype in (
        ((1, 3, 2, 4), torch.float32),
        ((3, 1, 2, 1), torch.float64),
        ((2, 3, 1, 3), torch.float32),
    ):
        x, weight, bias = (draw.signed(*shape, dtype=dtype) for shape in ((n, i), (o, i), (o,)))
        calls.append(
            ((n, o, i, count), dtype, _inferred_planned(student, plan, x, weight, bias, p, "module", 0.0, count))
        )
    x, weight, bias = draw.signed(N, I), draw.signed(O, I), draw.signed(O)
    by_name = plan.call(student.fixture(inferred_by_name), student.drop_connect_inference, x, weight, bias, p, 3)
    for (n, o, i, count), dtype, answer in calls:
        (y,) = answer()
        expect.that(
            isinstance(y, Tensor) and tuple(y.shape) == (n, o), f"single_shape:{n}{o}{i}",
            f"the result for N = {n}, O = {o}, I = {i} and {count} samples should be a tensor of shape {(n, o)}, got "
            f"{tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__}",
        )  # fmt: skip
        expect.tensor(y, "the result", dtype=dtype)
        expect.that(bool((y > 0).all()), "activation:unused", "softplus is positive, but the result is not")
    try:
        expect.tensor(by_name.get(), "the result", shape=(N, O))
    except StudentError as error:
        if error.not_started:
            raise
        raise Failure(
            "signature:names", f"the arguments should be called as in the signature: {error.sentence()}"
        ) from None


@check("drop_connect_inference", points=1)
def inference_refuses_p(student: Any, draw: Draw) -> None:
    """A p outside [0, 1), 1 among them, is a ValueError that shows it."""
    x, weight, bias, p = draw.signed(N, I), draw.signed(O, I), draw.signed(O), draw.probability()
    plan = student.together()
    activation = plan.call(student.fixture(an_activation))
    _refuses_one_too(student, "drop_connect_inference", (x, weight, bias), p, plan, activation=activation, n_samples=2)


@fixture
def an_activation() -> Any:
    """Return an activation, to be handed on."""
    return torch.nn.ReLU()


# -- DropConnectConv2d ---------------------------------------------------------------------------------------------------

# 24 examples, 5 maps, kernels of 3 channels and 2 x 2: 12 coins a kernel, 60 an example, each read off by itself, at each of
# 4 x 5 pixels. 24 examples agree in all of a kernel's coins with (0.8^24)^12 < 1e-27.
KERNELS = (24, 5, 3, 2)
IMAGE = (5, 6)

# The same for independence, at a single pixel: 64 examples, 9 maps, 108 coins an example. Rows of two calls are equal with
# 8128 * 0.68^108 < 7e-15.
MANY = (64, 9, 3, 2)


@check("DropConnectConv2d", points=8)
def drops_single_kernel_weights(student: Any, draw: Draw) -> None:
    """In training, each example is convolved with kernels of its own, from which single weights are missing, at all pixels."""
    p, (_, o, c, k) = draw.probability(), KERNELS
    signs, values, x = _coded_conv(draw, KERNELS, IMAGE)

    def kept(calls: int) -> list[Tensor]:
        (run,) = _run(student, "DropConnectConv2d", [c, o, k], {"p": p}, values, [x] * calls)
        read = [layers.kept_terms(_shaped(y, signs.shape[:-1]), signs, p)[0] for y in run["outputs"]]
        return [each.unflatten(-1, (c, k, k)) for each in read]

    _varies(kept, "NOHWCIJ", ("example", "map", "row", "column", "channel", "kernel row", "kernel column"), "NOCIJ")


@check("DropConnectConv2d", points=3)
def masks_the_bias_of_each_map(student: Any, draw: Draw) -> None:
    """The bias is masked too, with a coin for each example and map that has nothing to do with those of the kernels."""
    _bias_has_coins_of_its_own(student, draw, "DropConnectConv2d")


@check("DropConnectConv2d", points=2)
def drops_a_share_p_of_the_kernels(student: Any, draw: Draw) -> None:
    """A share p of the weights, and of the biases, is dropped, for small p and large, and half where p is not given."""
    _drops_a_share(student, draw, "DropConnectConv2d")


@check("DropConnectConv2d", points=2)
def rescales_kernels(student: Any, draw: Draw) -> None:
    """Weights and biases that are kept are divided by 1 - p, exactly, for a small p and for a large one."""
    _rescales(student, draw, "DropConnectConv2d")


@check("DropConnectConv2d", points=2)
def draws_kernels_afresh(student: Any, draw: Draw) -> None:
    """Coins of different weights, examples and calls have nothing to do with each other."""
    p, (n, o, c, k), alarm = draw.probability(), MANY, FALSE_ALARM / 4
    signs, values, x = _coded_conv(draw, MANY, (k, k))
    (one, other) = _run(student, "DropConnectConv2d", [c, o, k], {"p": p}, values, [x, x[:5], x], times=2)
    first, second, elsewhere = (
        layers.kept_terms(_shaped(y, (n, o, 1, 1)), signs, p)[0].reshape(n, o, -1)
        for y in (*one["outputs"][::2], other["outputs"][0])
    )
    expect.independent(~first.flatten(1), p, ("example", "connection"), alarm)
    expect.independent(~first.transpose(1, 2).flatten(1), p, ("example", "output"), alarm)
    expect.fresh(~first.flatten(1), ~second.flatten(1), p, ~elsewhere.flatten(1), None, alarm)
    expect.distinct(~torch.cat([first, second]).flatten(1), p, ("example", "connection"))
    layers.does_not_seed(
        student, draw.student_seed, lambda: _run(student, "DropConnectConv2d", [c, o, k], {"p": p}, values, [x])
    )


@check("DropConnectConv2d", points=3)
def is_a_convolution_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the layer is an ordinary convolution, whatever p is; in training mode it drops again."""
    p, n, o, c, k = draw.probability(), 4, 6, 3, 3
    weight, bias, x = draw.signed(o, c, k, k), draw.signed(o), draw.signed(n, c, 5, 7)
    right = functional.conv2d(x, weight, bias)
    flipped = functional.conv2d(x, weight.flip(2, 3), bias)
    _evaluates(student, "DropConnectConv2d", [c, o, k], [weight, bias], x, right, p, {"flipped": flipped})


@check("DropConnectConv2d", points=2)
def pads_in_both_modes(student: Any, draw: Draw) -> None:
    """`padding` puts zeros around the maps, in training and in evaluation, for kernels of several sizes."""
    plan, calls = student.together(), []
    for sizes, padding, image in (
        ((5, 4, 1, 3), 2, (4, 6)),
        ((4, 5, 3, 2), 1, (5, 3)),
        ((3, 5, 4, 1), 1, (2, 4)),
    ):
        (_, o, c, k), p = sizes, draw.probability()
        coded = _, values, x = _coded_conv(draw, sizes, image)
        options, modes = {"p": p, "padding": padding}, [True, False]
        answer = _run_planned(student, plan, "DropConnectConv2d", [c, o, k], options, values, [x, x], modes)
        calls.append((sizes, padding, image, p, coded, answer))
    for (n, o, c, k), padding, image, p, (signs, (weight, bias), x), answer in calls:
        (run,) = answer()
        whole = functional.conv2d(x, weight, bias, padding=padding)
        found = {}
        for mode, y in zip(("train", "eval"), run["outputs"], strict=True):
            got = tuple(expect.tensor(y, f"the output with padding {padding}").shape)
            if got != tuple(whole.shape):
                found[mode] = "ignored" if got == (n, o, image[0] - k + 1, image[1] - k + 1) else "shape"
        if found:
            first = next(iter(found))
            raise Failure(
                f"padding_{'_and_'.join(found)}:{found[first]}",
                f"for maps of {image[0]} x {image[1]}, a kernel of {k} and padding {padding}, the output should have shape "
                f"{tuple(whole.shape)}, got {tuple(run['outputs'][first == 'eval'].shape)}",
            )
        trained, evaluated = run["outputs"]
        inside = trained[:, :, padding:-padding, padding:-padding]
        kept, factor = layers.kept_terms(inside, signs, p)
        mask = kept[:, :, 0, 0].unflatten(-1, (c, k, k)).float() * factor
        right = _convolved(x, weight, bias, mask, torch.ones(n, o), padding)
        slack = 1e-5 * float(right.abs().max())
        expect.close(trained, right, f"the output with padding {padding} in training", "padding_train", 1e-5, slack)
        _close(evaluated, whole, f"the output with padding {padding} in evaluation mode", {}, "padding_eval")


@check("DropConnectConv2d", points=2)
def passes_gradients_along_kept_kernel_weights(student: Any, draw: Draw) -> None:
    """Gradients reach the input, the weight and the bias, along the kept weights only, and rescaled as the output is."""
    n, o, c, k, p = 5, 4, 3, 2, draw.probability()
    signs, (weight, bias), x = _coded_conv(draw, (n, o, c, k), (4, 3))
    count = c * k * k
    bias = _signs(draw, o) * 2.0**count
    g = draw.signed(*signs.shape[:-1])
    (run,) = _run(student, "DropConnectConv2d", [c, o, k], {"p": p}, [weight, bias], [x], cotangent=g)
    with_bias = torch.cat([signs, bias.sign().view(1, o, 1, 1, 1).expand(*signs.shape[:-1], 1)], dim=-1)
    kept, factor = _kept_with_bias(_shaped(run["outputs"][0], signs.shape[:-1]), with_bias, p)
    mask = kept[:, :, 0, 0, :count].unflatten(-1, (c, k, k)).float() * factor
    bias_mask = kept[:, :, 0, 0, count].float() * factor
    entries = [t.clone().requires_grad_() for t in (x, weight, bias)]
    right = torch.autograd.grad(_convolved(*entries, mask, bias_mask), entries, g)
    through = torch.autograd.grad(functional.conv2d(*entries), entries, g)
    _gradients(run["gradients"][0], right, through, 1e-4)


@check("DropConnectConv2d", points=1)
def leaves_no_trace_either(student: Any, draw: Draw) -> None:
    """Parameters are a weight (O, C, k, k) and a bias (O,), which no call changes; nothing else is stored; dtypes stay."""
    n, o, c, k, p = 3, 5, 2, 3, draw.probability()
    _leaves_no_trace(student, draw, "DropConnectConv2d", [c, o, k], ((o, c, k, k), (o,)), (n, c, 4, 6), (n, o, 2, 4), p)


@check("DropConnectConv2d", points=1)
def handles_p_of_zero_and_one_too(student: Any, draw: Draw) -> None:
    """At p = 0 the layer is an ordinary convolution, in training too; at p = 1 training gives zeros, never NaN."""
    n, o, c, k = 4, 5, 3, 2
    weight, bias, x = draw.signed(o, c, k, k), draw.signed(o), draw.signed(n, c, 4, 5)
    _at_the_extremes(student, "DropConnectConv2d", [c, o, k], [weight, bias], x, functional.conv2d(x, weight, bias))


@check("DropConnectConv2d", points=1)
def refuses_p_outside_of_0_and_1_too(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError when the layer is made, which shows the value; p comes fourth, padding fifth."""
    plan, name = student.together(), "DropConnectConv2d"
    refused = _refuses(student, plan, draw, name, [2, 5, 3])
    values, x = [draw.signed(5, 2, 3, 3), draw.signed(5)], draw.signed(3, 2, 4, 6)

    def planned(sizes: list[Any], options: dict[str, Any]) -> Callable[[], None]:
        answer = _run_planned(student, plan, name, sizes, options, values, [x])

        def is_padded() -> None:
            (run,) = answer()
            expect.tensor(run["outputs"][0], "the output", shape=(3, 5, 4, 6))

        return is_padded

    by_name, by_position = planned([2, 5, 3], {"p": 0.25, "padding": 1}), planned([2, 5, 3, 0.25, 1], {})
    refused()
    by_name()
    layers.takes_positions(by_position, "DropConnectConv2d(2, 5, 3, 0.25, 1)")


# -- shared by the layers ------------------------------------------------------------------------------------------------


def _run(
    student: Any,
    name: str,
    sizes: Sequence[Any],
    options: Mapping[str, Any],
    values: Sequence[Tensor],
    inputs: Sequence[Tensor],
    modes: Sequence[bool] | None = None,
    cotangent: Tensor | None = None,
    times: int = 1,
) -> list[dict[str, Any]]:
    """Make layers of the learner's and call them; return what came of each, its outputs and more, see `layer_run`."""
    return _run_planned(student, student.together(), name, sizes, options, values, inputs, modes, cotangent, times)()


def _run_planned(
    student: Any,
    plan: Plan,
    name: str,
    sizes: Sequence[Any],
    options: Mapping[str, Any],
    values: Sequence[Tensor],
    inputs: Sequence[Tensor],
    modes: Sequence[bool] | None = None,
    cotangent: Tensor | None = None,
    times: int = 1,
) -> Callable[[], list[dict[str, Any]]]:
    """Plan what `_run` does; what is returned reads the answer."""
    call = plan.call(
        student.fixture(layer_run),
        expect.function(getattr(student, name), name),
        list(sizes),
        dict(options),
        list(values),
        list(inputs),
        list(modes or [True] * len(inputs)),
        cotangent,
        times,
    )
    return lambda: _runs(call, name, options, values, len(inputs), times)


def _runs(
    call: Later, name: str, options: Mapping[str, Any], values: Sequence[Tensor], calls: int, times: int
) -> list[dict[str, Any]]:
    try:
        answer = call.get()
    except StudentError as error:
        if error.types[0] == "WireError":
            raise Failure("shape:far_larger", f"the output is far larger than it should be: {error.message}") from None
        p = options.get("p")
        if p not in (0, 1) or error.not_started or not {"ValueError", "AssertionError"} & set(error.types):
            raise
        raise Failure(f"p{p:g}:refused", f"p = {p:g} is allowed, but {error.sentence()}") from None
    if not isinstance(answer, dict):
        raise Failure("type:answer", "the layer could not be made")
    if answer.get("problem") == "type":
        raise Failure(f"type:{answer.get('what')}", f"{name} should make a torch.nn.Module, not a {answer.get('what')}")
    if "problem" in answer:
        wanted = " and ".join(str(tuple(v.shape)) for v in values)
        shapes = answer.get("shapes")
        had = (
            [tuple(s) for s in shapes] if isinstance(shapes, list) and all(isinstance(s, list) for s in shapes) else []
        )
        weight, bias = (had.count(tuple(v.shape)) == 1 for v in values)
        o, i, *rest = values[0].shape
        code = "none" if not had else "bias" if weight and not bias else "frozen" if weight else "weight"
        if not weight and (i, o, *rest) in had:
            code = "transposed" if bias else "sizes"
        raise Failure(
            f"parameters:{code}",
            f"the layer should have parameters of shapes {wanted}, once each and trainable; it has {had or 'none'}",
        )
    runs = answer.get("runs")
    if not isinstance(runs, list) or len(runs) != times or not all(_is_run(r, calls) for r in runs):
        raise Failure("type:answer", "the layer's answers could not be read")
    return runs


def _is_run(run: Any, calls: int) -> bool:
    lists = ("outputs", "gradients", "values", "buffers", "parameters")
    return isinstance(run, dict) and all(isinstance(run.get(k), list) for k in lists) and len(run["outputs"]) == calls


def _coded_linear(draw: Draw) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return signs of terms (N, O, I), parameters and an input for which kept connections can be read off."""
    n, o, i = CODED
    x, weight_sign = _signs(draw, n, i), _signs(draw, o, i)
    return x.unsqueeze(1) * weight_sign, [weight_sign * 2.0 ** torch.arange(i), torch.zeros(o)], x


def _coded_conv(
    draw: Draw, sizes: tuple[int, int, int, int], image: tuple[int, int]
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Return signs of terms (N, O, H', W', C·k·k), parameters and images for which kept weights can be read off."""
    n, o, c, k = sizes
    x, weight_sign = _signs(draw, n, c, *image), _signs(draw, o, c, k, k)
    powers = 2.0 ** torch.arange(c * k * k).view(c, k, k)
    patches = x.unfold(2, k, 1).unfold(3, k, 1).permute(0, 2, 3, 1, 4, 5)  # (N, H', W', C, k, k)
    signs = (patches.unsqueeze(1) * weight_sign.view(1, o, 1, 1, c, k, k)).flatten(-3)
    return signs, [weight_sign * powers, torch.zeros(o)], x


def _kept_with_bias(y: Tensor, signs: Tensor, p: float) -> tuple[Tensor, float]:
    """Return what `layers.kept_terms` does, the last term being the bias; say so where that one is always there as it is."""
    try:
        return layers.kept_terms(y, signs, p)
    except Failure:
        count = signs.shape[-1] - 1
        try:
            layers.kept_terms(y - signs[..., count] * 2.0**count, signs[..., :count], p)
        except Failure:
            pass
        else:
            raise Failure(
                "unreadable:bias_whole",
                "the output should contain the bias rescaled or not at all, but it is always there, and as it is",
            ) from None
        raise


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor, bias_mask: Tensor, padding: int = 0) -> Tensor:
    """Return the convolution of each example with its own masked kernels."""
    rows = [
        functional.conv2d(x[n : n + 1], weight * mask[n], bias * bias_mask[n], padding=padding) for n in range(len(x))
    ]
    return torch.cat(rows)


def _varies(attempt: Callable[[int], list[Tensor]], letters: str, names: Sequence[str], wanted: str = "") -> None:
    """Expect decisions to vary along the axes `wanted`, by default all, and along no others.

    Args:
        attempt: returns what was kept in each of a number of calls.
    """
    wanted = wanted or letters
    (kept,) = attempt(1)
    if bool(kept.all()) or not bool(kept.any()):
        # A single coin for everything comes up the same 65 times with less than 0.8^64 < 1e-6.
        several = [kept, *attempt(64)]
        said = {bool(each.any()) for each in several if bool(each.all()) or not bool(each.any())}
        what = {(True,): "nothing", (False,): "everything"}.get(tuple(said), "all_or_nothing")
        told = "sometimes everything is dropped and sometimes nothing" if len(said) > 1 else f"{what} was dropped"
        raise Failure(f"drops:{what}", f"{told}: each connection should have a coin of its own")
    seen = layers.varying_axes(kept, letters)
    if seen == wanted:
        return
    called = dict(zip(letters, names, strict=True))
    missing = [called[x] for x in wanted if x not in seen]
    extra = [called[x] for x in seen if x not in wanted]
    said = [f"it is the same for every {' and every '.join(missing)}"] if missing else []
    said += [f"it changes from {' and from '.join(f'{e} to {e}' for e in extra)}"] if extra else []
    first = kept.flatten(2)[:2].float() if kept.dim() == 3 else kept[:2, :, 0, 0].flatten(2).float()
    raise Failure(
        f"mask:{seen}",
        f"each connection of each example should have a coin of its own, but {', and '.join(said)}",
        [images("Connections kept (light) and dropped, of two examples.",
                [(f"example {n + 1}", table) for n, table in enumerate(first)], "connection", "output")],
    )  # fmt: skip


def _simple(name: str, o: int, draw: Draw) -> tuple[list[int], Tensor, tuple[int, ...]]:
    """Return the sizes of a layer with one input, its weight, and the shape of its input but for the examples."""
    if name == "DropConnectLinear":
        return [1, o], draw.signed(o, 1), (1,)
    # Two pixels, not one: (N, O, 1, 1) + (N, O), the bias without its last dimensions, would be N · O · N · O numbers.
    return [1, o, 1], draw.signed(o, 1, 1, 1), (1, 1, 2)


def _table(y: Any, n: int, o: int, name: str) -> Tensor:
    return _shaped(y, (n, o) if name == "DropConnectLinear" else (n, o, 1, 2)).reshape(n, o, -1)[..., 0]


def _bias_has_coins_of_its_own(student: Any, draw: Draw, name: str) -> None:
    p, n, o = draw.probability(), 48, 40
    sizes, weight, rest = _simple(name, o, draw)
    weight, sign = weight.sign(), _signs(draw, n, *rest)
    bias = 2 * _signs(draw, o)
    # The bias of a map is seen at four pixels, without an input that would hide it.
    nothing = 0 * sign if name == "DropConnectLinear" else torch.zeros(n, 1, 2, 2)
    (run,) = _run(student, name, sizes, {"p": p}, [weight, bias], [sign, nothing])
    both = _table(run["outputs"][0], n, o, name)
    zero = _shaped(run["outputs"][1], (n, o, *nothing.shape[2:])).reshape(n, o, -1) == 0
    expect.that(
        bool((zero == zero[..., :1]).all()),
        "bias:pixels",
        "the bias of a map is there at some pixels and missing at others: it is one number a map, with one coin an example",
    )
    zero = zero[..., 0]
    if bool(zero.all()) or not bool(zero.any()):
        # A single coin for everything comes up the same 65 times with less than 0.8^64 < 1e-6.
        (more,) = _run(student, name, sizes, {"p": p}, [weight, bias], [0 * sign] * 64)
        seen = {bool((_table(y, n, o, name) == 0).all()) for y in more["outputs"]} | {bool(zero.all())}
        if len(seen) > 1:
            raise Failure(
                "bias:one", "the bias of all examples and outputs is either there or not: one coin decides over all"
            )
        if zero.all():
            raise Failure("bias:absent", "for x = 0 the output is 0 everywhere: what became of the bias?")
        raise Failure(
            "bias:unmasked", "the bias is never dropped: it is a connection like the others, to an input that is 1"
        )
    seen_axes = layers.varying_axes(zero, "NO")
    if seen_axes != "NO":
        said = "the same for every example" if seen_axes == "O" else "the same for every output"
        raise Failure(f"bias:{seen_axes}", f"each example and output should have a coin for the bias, but it is {said}")
    terms = torch.stack([sign.reshape(n, -1)[:, :1] * weight.reshape(1, o), bias.sign().expand(n, o)], dim=-1)
    kept, _ = layers.kept_terms(both, terms, p)
    of_weight, of_bias = kept.unbind(dim=-1)
    if any(bool(each.all()) or not bool(each.any()) for each in (of_weight, of_bias)):
        return  # said elsewhere
    # 48 * 40 = 1920 pairs of coins. All agree where a coin is shared, and none where one decides against the other.
    a, b = (expect._rate_to_judge_by(~each, p) for each in (of_weight, of_bias))
    agree, share = int((of_weight == of_bias).sum()), a * b + (1 - a) * (1 - b)
    expect.that(
        expect._compatible(agree, n * o, share, FALSE_ALARM / 3),
        "bias:with_weights" if agree > share * n * o else "bias:against_weights",
        f"the coins of the bias should have nothing to do with those of the weights, with which they agree in {share:.0%} of "
        f"all cases by chance, but they agree in {agree / n / o:.0%}",
    )


def _drops_a_share(student: Any, draw: Draw, name: str) -> None:
    n, o = COUNTED
    alarm, p, large = FALSE_ALARM / 8, draw.probability(*SMALL), draw.probability(0.6, 0.8)
    sizes, weight, rest = _simple(name, o, draw)
    x, zeros, bias = draw.signed(n, *rest), torch.zeros(n, *rest), draw.signed(o)
    plan = student.together()
    parts = (("weights", [weight, 0 * bias], x), ("bias", [weight, bias], zeros))
    planned = [
        (asked, family, [(part, _run_planned(student, plan, name, sizes, options, v, [e])) for part, v, e in parts])
        for options, asked, family in (
            ({"p": p}, p, "rate"),
            ({"p": large}, large, "rate_large"),
            ({}, 0.5, "rate_by_default"),
        )
    ]
    for asked, family, runs in planned:
        for part, answer in runs:
            (run,) = answer()
            y = _table(run["outputs"][0], n, o, name)
            if part == "bias" and not bool((y == 0).any()):
                continue  # never masked: said elsewhere
            code = family if part == "weights" else f"{family}_of_bias"
            try:
                expect.drop_rate(y, asked, alarm, code, layers.wrong_rates(p) if family == "rate" else None)
            except Failure as failure:
                if family != "rate_by_default" or not failure.code.startswith(family):
                    raise
                raise Failure(
                    "rate_by_default:another", f"made without p: {failure.message}", failure.evidence
                ) from None


def _rescales(student: Any, draw: Draw, name: str) -> None:
    n, o = 30, 20
    sizes, weight, rest = _simple(name, o, draw)
    x, bias, plan = draw.signed(n, *rest), draw.signed(o), student.together()
    parts = (
        ("scale", [weight, 0 * bias], x, x.reshape(n, -1)[:, :1] * weight.reshape(1, o)),
        ("bias_scale", [weight, bias], 0 * x, bias.expand(n, o)),
    )
    planned = [
        (p, suffix, part, _run_planned(student, plan, name, sizes, {"p": p}, part[1], [part[2]]))
        for p, suffix in ((draw.probability(), ""), (draw.probability(0.6, 0.8), "_large"))
        for part in parts
    ]
    for p, suffix, (part, values, entry, base), answer in planned:
        (run,) = answer()
        y = _table(run["outputs"][0], n, o, name)
        if not bool((y != 0).any()):
            # Once does, but where a single coin decides over everything: 0.8^65 < 1e-6.
            (run,) = _run(student, name, sizes, {"p": p}, values, [entry] * 64)
            outputs = [_table(y, n, o, name) for y in run["outputs"]]
            y = next((y for y in outputs if bool((y != 0).any())), outputs[0])
        if part == "bias_scale" and not bool((y == 0).any()) and bool(((y - base).abs() < 1e-6).all()):
            continue  # never masked: said elsewhere
        expect.scale(y, base, p, part + suffix)


def _evaluates(
    student: Any,
    name: str,
    sizes: Sequence[int],
    values: Sequence[Tensor],
    x: Tensor,
    right: Tensor,
    p: float,
    candidates: Mapping[str, Tensor] | None = None,
) -> None:
    shape = tuple(right.shape)
    bias = values[1].view(1, -1, *[1] * (right.dim() - 2))
    wrong = {
        "1-p": right * (1 - p), "1/(1-p)": right / (1 - p), "no_bias": right - bias,
        "weights_1-p": (right - bias) * (1 - p) + bias, "zero": torch.zeros(shape), **(candidates or {}),
    }  # fmt: skip
    # The last 12 calls are in training mode: a single coin keeps all of them with 0.8^12, single coins of 20 or more
    # connections, which is what a right answer has, with less than 1e-20.
    modes, plan = [False, False, *[True] * 12], student.together()
    answer = _run_planned(student, plan, name, sizes, {"p": p}, values, [x] * 14, modes)
    answer_certain = _run_planned(student, plan, name, sizes, {"p": 1.0}, values, [x], [False])
    (run,) = answer()
    first, second = (_shaped(y, shape) for y in run["outputs"][:2])
    expect.that(
        bool((first == second).all()),
        "eval:random",
        "in evaluation mode two calls on the same input gave different outputs",
    )
    _close(first, right, "the output in evaluation mode", wrong, "eval")
    (certain,) = answer_certain()
    _close(
        certain["outputs"][0], right, "the output in evaluation mode at p = 1", {"zero": torch.zeros(shape)}, "eval_p1"
    )
    outputs = [expect.tensor(y, "the output", shape=shape) for y in run["outputs"][2:]]
    expect.that(
        any(bool(((y - right).abs() > 1e-4).any()) for y in outputs),
        "train_again:keeps", "back in training mode, nothing was dropped any more",
    )  # fmt: skip


def _leaves_no_trace(
    student: Any,
    draw: Draw,
    name: str,
    sizes: Sequence[int],
    shapes: Sequence[tuple[int, ...]],
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    p: float,
) -> None:
    plan, calls = student.together(), []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        values = [draw.signed(*shape, dtype=dtype) for shape in shapes]
        x, modes = draw.signed(*x_shape, dtype=dtype), [True, False, True]
        calls.append((dtype, values, _run_planned(student, plan, name, sizes, {"p": p}, values, [x, x, x], modes)))
    layer, x = plan.call(_sized(student, plan, name, sizes), p=p), draw.signed(*x_shape)
    observed = plan.observe(layer, x)
    for dtype, values, answer in calls:
        (run,) = answer()
        for y in run["outputs"]:
            expect.tensor(y, f"the output for {dtype}", shape=y_shape, dtype=dtype)
        for what, before, after in zip(("weight", "bias"), values, run["values"], strict=True):
            same = isinstance(after, Tensor) and after.shape == before.shape and bool((after == before).all())
            expect.that(
                same, f"parameters_changed:{what}",
                f"the call changed the {what} itself: what is dropped for one example should be there for the next",
            )  # fmt: skip
        stored = [s for s in run["parameters"] if tuple(s) not in shapes]
        expect.that(
            not stored, "state:parameters", f"there are other parameters than weight and bias: of shapes {stored}"
        )
        large = [b for b in run["buffers"] if not isinstance(b, int) or b > 1]
        expect.that(
            not large, "state:buffers", "a buffer of more than one number is kept, and would be saved with the model"
        )
    expect.function(layer.get(), f"what {name} makes")
    expect.unchanged(x, observed.get().arguments[0])


def _at_the_extremes(
    student: Any, name: str, sizes: Sequence[int], values: Sequence[Tensor], x: Tensor, right: Tensor
) -> None:
    def planned(plan: Plan, p: float) -> Callable[[], list[dict[str, Any]]]:
        return _run_planned(student, plan, name, sizes, {"p": p}, values, [x])

    plan = student.together()
    first = {repr(p): planned(plan, p) for p in layers.EXTREMES}

    def attempt(p: float) -> None:
        (run,) = (first.pop(repr(p), None) or planned(student.together(), p))()
        if p == 0:
            _close(run["outputs"][0], right, "the output at p = 0", {"zero": torch.zeros_like(right)}, "p0_value")
            return
        y = expect.tensor(run["outputs"][0], "the output at p = 1", shape=right.shape)
        some = "all" if bool((y == 0).all()) else "some" if bool((y == 0).any()) else "none"
        expect.that(some == "all", f"p1:{some}", "at p = 1 everything is dropped, and the output in training zero")

    for p in layers.EXTREMES:
        expect.eventually(lambda p=p: attempt(p))


def _refuses(student: Any, plan: Plan, draw: Draw, name: str, sizes: Sequence[int]) -> Callable[[], None]:
    """Plan a layer, and others with a p that makes no sense; what is returned expects only these to be refused."""
    build = _sized(student, plan, name, sizes)
    layer, refused = plan.call(build, p=0.25), layers.refuses_p_planned(plan, build, draw.probability(), name)

    def refuses() -> None:
        expect.function(layer.get(), f"what {name} makes")
        refused()

    return refuses


def _refuses_one_too(
    student: Any, name: str, arguments: Sequence[Tensor], p: float, plan: Plan | None = None, **options: Any
) -> None:
    """Expect a ValueError for p outside [0, 1), and none inside."""
    plan = plan or student.together()
    build = _sized(student, plan, name, arguments)
    inside = plan.call(build, p=p, **options)
    wrong = ((-p, ()), (-0.001, ()), (1.001, ()), (1 + p, ()), (-0.5, (-0.5,)), (1.5, (1.5,)), (1.0, (1.0,)), (1, (1,)))
    calls = [(bad, shown, plan.call(build, p=bad, **options)) for bad, shown in wrong]
    inside.get()
    accepted = {}
    for bad, shown, call in calls:
        try:
            expect.raised("ValueError", call.get, mentions=shown, what=f"{name} with p = {bad:g}", code="p_refused")
        except Failure as failure:
            if failure.code != "p_refused:nothing":
                if accepted:
                    continue
                one = "_at_1" if bad == 1 else ""
                raise Failure(failure.code.replace("p_refused", f"p_refused{one}"), failure.message) from None
            accepted["negative" if bad < 0 else "above_1" if bad > 1 else "one"] = failure
    if accepted:
        names = sorted(accepted)
        raise Failure(
            "p_accepted:" + ("all" if len(names) == 3 else "+".join(names)), next(iter(accepted.values())).message
        )


def _gradients(
    found: Sequence[Any], right: Sequence[Tensor], through: Sequence[Tensor], relative: float = 1e-5
) -> None:
    """Expect the gradients of x, weight and bias; `through` is what they were if nothing had been dropped."""
    names = ("input", "weight", "bias")
    missing = [name for name, gradient in zip(names, found, strict=False) if gradient is None]
    if missing:
        code = "all" if len(missing) == 3 else "+".join(missing)
        raise Failure(f"gradient_none:{code}", f"no gradient reaches the {' nor the '.join(missing)}")
    for name, gradient, expected, passing in zip(names, found, right, through, strict=True):
        got = expect.tensor(gradient, f"the gradient of the {name}", shape=expected.shape)
        slack = relative * float(expected.abs().max())
        expect.close(
            got, expected, f"the gradient of the {name}", f"gradient_{name}", relative, slack, {"through": passing}
        )


# -- shared by the functions ---------------------------------------------------------------------------------------------


def _coins(draw: Draw, *shape: int) -> Tensor:
    """Return zeros and ones, float32: somewhat more ones."""
    return (draw.signed(*shape) > -0.8).float()


def _signs(draw: Draw, *shape: int) -> Tensor:
    return draw.signed(*shape).sign()


def _shaped(y: Any, shape: Sequence[int]) -> Tensor:
    return expect.tensor(y, "the output", shape=shape)


def _close(actual: Any, expected: Tensor, what: str, candidates: Mapping[str, Tensor], code: str = "value") -> None:
    expect.close(actual, expected, what, code, 1e-5, 1e-5, candidates)


def _sized(student: Any, plan: Plan, name: str, arguments: Sequence[Any]) -> Later:
    """Plan the learner's function with its first arguments given."""
    return plan.call(student.fixture(sized), expect.function(getattr(student, name)), *arguments)


def _variance(x: Tensor, weight: Tensor, bias: Tensor, p: float) -> Tensor:
    return p / (1 - p) * (x.square() @ weight.square().T + bias.square())


def _linear(student: Any, plan: Plan, *arguments: Tensor) -> Later:
    return plan.call(expect.function(student.drop_connect_linear, "drop_connect_linear"), *arguments)


def _moments(
    student: Any, plan: Plan, x: Tensor, weight: Tensor, bias: Tensor, p: float
) -> Callable[[], tuple[Tensor, Tensor]]:
    """Plan mean and variance, each (N, O)."""
    target, shape = expect.function(student.drop_connect_moments, "drop_connect_moments"), (len(x), len(weight))
    call = plan.call(target, x, weight, bias, p)

    def moments() -> tuple[Tensor, Tensor]:
        mean, variance = _pair(call.get())
        return expect.tensor(mean, "the mean", shape=shape), expect.tensor(variance, "the variance", shape=shape)

    return moments


def _pair(value: Any) -> tuple[Tensor, Tensor]:
    if isinstance(value, Tensor) and value.dim() == 3 and len(value) == 2:
        value = value.unbind()  # stacked, it can be taken apart just as well
    if not isinstance(value, (tuple, list)):
        kind = "Tensor" if isinstance(value, Tensor) else type(value).__name__
        raise Failure(f"pair:{kind}", f"a pair (mean, variance) should be returned, got a {kind}")
    if len(value) != 2:
        raise Failure("pair:length", f"a pair (mean, variance) should be returned, got {len(value)} things")
    mean, variance = value
    return expect.tensor(mean, "the mean"), expect.tensor(variance, "the variance")


def _inferred(student: Any, *args: Any, times: int = 1, shape: Sequence[int] | None = None) -> list[Tensor]:
    """Let the learner's function infer; return what it returned each time."""
    return _inferred_planned(student, student.together(), *args, times=times, shape=shape)()


def _inferred_planned(
    student: Any,
    plan: Plan,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    p: float,
    activation: str,
    threshold: float,
    n_samples: int,
    times: int = 1,
    shape: Sequence[int] | None = None,
) -> Callable[[], list[Tensor]]:
    """Plan what `_inferred` does; what is returned reads the answer."""
    infer = expect.function(student.drop_connect_inference, "drop_connect_inference")
    call = plan.call(student.fixture(inferred), infer, x, weight, bias, p, activation, threshold, n_samples, times)

    def results() -> list[Tensor]:
        answer = call.get()
        if not isinstance(answer, list) or len(answer) != times:
            raise Failure("type:answer", "the results could not be read")
        return [expect.tensor(y, "the result", shape=shape) for y in answer]

    return results


def _misplaced(y: Tensor, mean: Tensor, bias: Tensor, variance: Tensor, count: int, p: float) -> str:
    """Say in a word what averages of samples are, that do not lie around the mean as they should."""
    around = {
        "mean_1-p": mean * (1 - p), "mean_1/(1-p)": mean / (1 - p), "mean_without_bias": mean - bias, "no_mean": 0 * mean,
        "sum": count * mean,
    }  # fmt: skip
    scaled = {name: float(((y - m).square() / (variance / count)).mean()) for name, m in around.items()}
    # The sum of `count` samples has count times the deviation.
    scaled["sum"] /= count**2
    found = [name for name, square in scaled.items() if 0.5 < square < 1.6]
    if found:
        return min(found, key=lambda name: abs(math.log(scaled[name])))
    square = float(((y - mean).square() / (variance / count)).mean())
    return "wide" if square > 1 else "narrow"
