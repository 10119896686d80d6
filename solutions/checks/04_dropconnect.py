"""Graded-only checks of 04_dropconnect: against the reference solution, on secret seeds and sizes.

What is deterministic is compared with the reference itself. Two right layers draw different masks from the same seed, so there
the reference's own `drop_connect_linear` says what comes of the masks that were read off the learner's output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional

from autograder import expect, layers
from autograder.checks import check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import Plan, fixture

# 140 * 360 = 50 400 coins: for p in [0.13, 0.17], a rate that is off by 0.02 or more is missed with less than 1e-6.
COUNTED = (140, 360)

# 80 calls of 24 coins each, one example: whoever keeps coins has all of 40 * 24 pairs agree, whoever shares them 80 * 12.
CALLS = 80

# 13 * 9 * 401 = 46 917 samples: a share that is off by 0.03 or more is missed with less than 1e-9.
SAMPLED = (13, 9, 401)


@fixture
def layer_outputs(
    build: Any,
    sizes: list[Any],
    options: dict[str, Any],
    values: list[torch.Tensor],
    x: torch.Tensor,
    times: int,
    training: bool,
) -> list[Any]:
    """Make a layer, set its parameters by their shapes and return what it returns, several times."""
    layer = build(*sizes, **options).to(x.dtype).train(training)
    found = [
        [p for p in layer.parameters() if tuple(p.shape) == tuple(v.shape)] for v in values
    ]
    outputs = []
    for _ in range(times if all(len(fitting) == 1 for fitting in found) else 0):
        with torch.no_grad():
            for (parameter,), value in zip(found, values, strict=True):
                parameter.copy_(value)
        outputs.append(layer(x.clone()))
    return outputs


@fixture
def shares_above(
    infer: Any,
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    p: float,
    threshold: float,
    n_samples: int,
) -> Any:
    """Call the function with an activation that is 1 above a threshold and else 0."""

    def above(z: Any) -> Any:
        return (z > threshold).to(z.dtype)

    return infer(x, weight, bias, p, above, n_samples)


@check("drop_connect_linear", points=1)
def agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Output and gradients are the reference's, for any sizes, in float32 and float64."""
    function = expect.function(student.drop_connect_linear)
    plan, calls = student.together(), []
    for dtype in (torch.float32, torch.float64):
        n, o, i = draw.sizes(3, 2, 12)
        x, weight, bias = (
            draw.signed(*shape, dtype=dtype).requires_grad_()
            for shape in ((n, i), (o, i), (o,))
        )
        weight_mask = (draw.signed(n, o, i, dtype=dtype) > 0).to(dtype)
        bias_mask = draw.signed(n, o, dtype=dtype)
        g = draw.signed(n, o, dtype=dtype)
        arguments = (x, weight, bias, weight_mask, bias_mask)
        calls.append((arguments, g, plan.observe(function, *arguments, cotangent=g)))
    for arguments, g, observed in calls:
        seen, right = observed.get(), reference.drop_connect_linear(*arguments)
        expect.close(seen.output, right.detach(), "the output", "reference", 1e-5, 1e-5)
        slopes = torch.autograd.grad(right, arguments[:3], g)
        for name, gradient, slope in zip(
            ("x", "weight", "bias"), seen.gradients, slopes, strict=False
        ):
            expect.that(
                gradient is not None, f"gradient_none:{name}", f"no gradient reaches {name}"
            )
            expect.close(
                gradient, slope, f"the gradient of {name}", f"gradient_{name}", 1e-5, 1e-4
            )


@check("DropConnectLinear", points=2)
def layer_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For the masks that it drew the layer's output is the reference's, on any sizes; coins stay fair over many calls."""
    n, (o, i), p = draw.integer(9, 14), draw.sizes(2, 5, 8), draw.probability()
    build = expect.function(student.DropConnectLinear)
    plan, calls = student.together(), []
    run = partial(_outputs, student, plan)
    for dtype in (torch.float32, torch.float64):
        sign, weight_sign = draw.signed(n, i).sign(), draw.signed(o, i).sign()
        bias_sign, places = draw.signed(o).sign(), draw.permutation(i)
        weight, bias = (weight_sign * 2.0**places).to(dtype), (bias_sign * 2.0**i).to(dtype)
        signs = torch.cat(
            [sign.unsqueeze(1) * weight_sign, bias_sign.expand(n, o).unsqueeze(2)], dim=2
        )
        layer = (build, [i, o], {"p": p}, [weight, bias], sign.to(dtype))
        calls.append((layer, places, signs, run(*layer, 16, True), run(*layer, 1, False)))
    (few_o, few_i) = few = (4, 6)
    powers, nothing = 2.0 ** torch.arange(few_i).expand(few), torch.zeros(few_o)
    many = run(
        build, [few_i, few_o], {"p": p}, [powers, nothing], torch.ones(1, few_i), CALLS, True
    )
    fair = _drops_fairly(student, plan, draw, student.DropConnectLinear, ())
    for layer, places, signs, trained, evaluated in calls:
        *_, (weight, bias), x = layer
        y, dtype = _first_that_is_not_zero(trained()), x.dtype
        places = torch.cat([places, torch.tensor([i])])
        got = expect.tensor(y, "the output", shape=(n, o), dtype=dtype)
        by_place = torch.zeros_like(signs).index_copy(2, places, signs)
        kept = _kept(got, by_place, p)
        # 45 biases or more, of which a right answer drops all with less than 0.4^45 < 1e-17.
        expect.that(bool(kept[..., i].any()), "bias:absent", "the bias is never there")
        mask = (kept[..., places] / (1 - p)).to(dtype)
        right = reference.drop_connect_linear(x, weight, bias, mask[..., :i], mask[..., i])
        slack = 1e-5 * float(right.abs().max())
        expect.close(got, right, "the output for the masks it drew", "reference", 1e-5, slack)
        (still,) = evaluated()
        expect.close(
            still,
            functional.linear(x, weight, bias),
            "the output in evaluation mode",
            "eval",
            1e-5,
            1e-4,
        )
    table = torch.cat([expect.tensor(y, "the output", shape=(1, few_o)) for y in many()])
    kept, _ = layers.kept_terms(table, torch.ones(CALLS, *few), p)
    expect.independent(~kept.flatten(1), p, ("call", "connection"), FALSE_ALARM / 3)
    fair()


@check("drop_connect_moments", points=1)
def moments_agree_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Mean and variance are the reference's, for any sizes and any p, in float32 and float64."""
    function = expect.function(student.drop_connect_moments)
    plan, calls = student.together(), []
    for dtype, p in (
        (torch.float32, draw.probability(0.02, 0.2)),
        (torch.float64, draw.probability(0.6, 0.95)),
    ):
        n, o, i = draw.sizes(3, 2, 12)
        x, weight, bias = (draw.signed(*shape, dtype=dtype) for shape in ((n, i), (o, i), (o,)))
        arguments = (x, weight, bias, p)
        calls.append((arguments, plan.call(function, *arguments)))
    for arguments, call in calls:
        got = call.get()
        if isinstance(got, Tensor) and got.dim() == 3:
            got = got.unbind()
        expect.that(
            isinstance(got, (tuple, list)) and len(got) == 2,
            "pair:other",
            "a pair (mean, variance) is needed",
        )
        for name, value, right in zip(
            ("mean", "variance"),
            got,
            reference.drop_connect_moments(*arguments),
            strict=True,
        ):
            expect.close(
                value,
                right,
                f"the {name}",
                name,
                1e-5,
                1e-5,
                {"deviation": right.abs().sqrt(), "zero": 0 * right},
            )


@check("drop_connect_inference", points=1)
def samples_have_the_references_moments(student: Any, draw: Draw, reference: Any) -> None:
    """For any p, sizes and threshold, the share of samples above it is that of a normal distribution with the right moments."""
    n, o, count = SAMPLED
    p, x = draw.probability(0.6, 0.7), draw.signed(1, 1)
    weight, bias = 1 / x, torch.tensor([1.6])
    _, variance = reference.drop_connect_moments(x, weight, bias, p)
    weight, bias = 2 * weight / float(variance.sqrt()), 2 * bias / float(variance.sqrt())
    mean, variance = reference.drop_connect_moments(x, weight, bias, p)
    away = draw.uniform(-0.8, -0.6)
    threshold = float(mean) + away * float(variance.sqrt())
    y = student.fixture(shares_above)(
        expect.function(student.drop_connect_inference),
        x.repeat(n, 1),
        weight.repeat(o, 1),
        bias.repeat(o),
        p,
        threshold,
        count,
    )
    shares = expect.tensor(y, "the result", shape=(n, o)).double()
    single = bool(((shares == 0) | (shares == 1)).all())
    expect.that(
        not single, "reference_share:single", "all results are 0 or 1, as of one sample"
    )
    for d, which in ((0, "examples"), (1, "units")):
        same = bool((shares == shares.narrow(d, 0, 1)).all())
        expect.that(not same, f"reference_same:{which}", f"all {which} have the same result")
    above = round(float(shares.sum()) * count)
    q = float(norm.sf(away))
    expect.that(
        expect._compatible(above, n * o * count, q, FALSE_ALARM / 2),
        "reference_share",
        f"a share {q:.3f} of the samples should be above the threshold, but {above / (n * o * count):.3f} are",
    )


@check("DropConnectConv2d", points=2)
def convolution_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For the kernels that it drew the layer's output is that of one convolution an example, for any sizes; coins stay fair."""
    build, p = expect.function(student.DropConnectConv2d), draw.probability()
    plan, calls = student.together(), []
    run = partial(_outputs, student, plan)
    for k, c, padding, dtype in (
        (3, 1, 1, torch.float32),
        (2, 3, draw.integer(0, 1), torch.float64),
    ):
        n, o = draw.sizes(2, 9, 12)
        height, width = draw.sizes(2, 5, 8)
        x, signs = (
            draw.signed(n, c, height, width).sign(),
            draw.signed(o, c, k, k).sign(),
        )
        bias_sign, count = draw.signed(o).sign(), c * k * k
        weight = (signs * 2.0 ** draw.permutation(count).view(c, k, k)).to(dtype)
        bias = (bias_sign * 2.0**count).to(dtype)
        layer = (build, [c, o, k], {"p": p, "padding": padding}, [weight, bias], x.to(dtype))
        calls.append((layer, x, signs, bias_sign, run(*layer, 16, True), run(*layer, 1, False)))
    fair = _drops_fairly(student, plan, draw, student.DropConnectConv2d, (1, 1))
    for layer, x, signs, bias_sign, trained, evaluated in calls:
        _, (c, o, k), options, (weight, bias), wide = layer
        (n, _, height, width), dtype, padding = x.shape, wide.dtype, options["padding"]
        y, count = _first_that_is_not_zero(trained()), c * k * k
        shape = (n, o, height + 2 * padding - k + 1, width + 2 * padding - k + 1)
        got = expect.tensor(y, "the output", shape=shape, dtype=dtype)
        # One pixel that sees no padding, its terms in the order of their powers.
        order = weight[0].abs().flatten().argsort()
        terms = (x[:, :, :k, :k].unsqueeze(1) * signs).flatten(2)[..., order]
        terms = torch.cat([terms, bias_sign.expand(n, o).unsqueeze(2)], dim=2)
        kept = _kept(got[:, :, padding, padding], terms, p)
        # 90 biases or more, of which a right answer drops all with less than 0.4^90 < 1e-35.
        expect.that(bool(kept[..., count].any()), "bias:absent", "the bias is never there")
        mask = torch.zeros(n, o, count).index_copy(2, order, kept[..., :count].float())
        kernels = (mask.unflatten(2, (c, k, k)) * weight / (1 - p)).to(dtype)
        biases = (kept[..., count] * bias / (1 - p)).to(dtype)
        right = torch.cat(
            [
                functional.conv2d(
                    x[i : i + 1].to(dtype), kernels[i], biases[i], padding=padding
                )
                for i in range(n)
            ]
        )
        slack = 1e-5 * float(right.abs().max())
        expect.close(got, right, "the output for the kernels it drew", "reference", 1e-5, slack)
        (still,) = evaluated()
        whole = reference.DropConnectConv2d(c, o, k, p=p, padding=padding).to(dtype).eval()
        with torch.no_grad():
            for parameter in whole.parameters():
                parameter.copy_(weight if parameter.dim() == 4 else bias)
            expected = whole(x.to(dtype))
        expect.close(still, expected, "the output in evaluation mode", "eval", 1e-5, slack)
    fair()


def _first_that_is_not_zero(outputs: list[Any]) -> Any:
    """Return the first; where a single coin decides over all, one that shows something."""
    return next(
        (y for y in outputs if isinstance(y, Tensor) and bool((y != 0).any())), outputs[0]
    )


def _kept(y: Tensor, signs: Tensor, p: float) -> Tensor:
    try:
        return layers.kept_terms(y, signs, p)[0]
    except expect.Failure:
        raise expect.Failure(
            "reference",
            "the output is not a sum of some of the products of weights and inputs and of the bias, each rescaled alike",
        ) from None


def _outputs(student: Any, plan: Plan, build: Any, *args: Any) -> Callable[[], list[Any]]:
    """Plan a call of `layer_outputs`; what is returned reads the answer."""
    call = plan.call(student.fixture(layer_outputs), expect.function(build), *args)

    def outputs() -> list[Any]:
        answer = call.get()
        expect.that(
            isinstance(answer, list) and len(answer) == args[4],
            "parameters:missing",
            "the layer has no parameters of the shapes of a weight and a bias, once each",
        )
        return list(answer)

    return outputs


def _drops_fairly(
    student: Any, plan: Plan, draw: Draw, layer: Any, kernel: tuple[int, ...]
) -> Callable[[], None]:
    """Plan a layer with a single input; what is returned expects a share p of very many coins to be dropped."""
    (n, o), p = COUNTED, draw.probability(0.13, 0.17)
    # Two pixels, not one, so that a bias without its last dimensions does not fit, and is not N · O · N · O numbers.
    image = (1, 2) if kernel else ()
    sizes, ones = [1, o, *kernel[:1]], torch.ones(n, 1, *image)
    values = [draw.signed(o, 1, *kernel), torch.zeros(o)]
    outputs = _outputs(student, plan, layer, sizes, {"p": p}, values, ones, 1, True)

    def fair() -> None:
        (y,) = outputs()
        table: Tensor = expect.tensor(y, "the output", shape=(n, o, *image))
        table = table.reshape(n, o, -1)[..., 0]
        expect.drop_rate(table, p, FALSE_ALARM / 3, candidates={"tenths": round(p, 1)})

    return fair
