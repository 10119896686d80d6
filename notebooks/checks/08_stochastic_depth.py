"""Public checks of 08_stochastic_depth.

Numbers of coins: a check fails a right answer with probability at most FALSE_ALARM = 1e-9 in all. Where it tests counts more
than once, each test gets an equal share, and one share is left for all that hangs on patterns, whose probabilities are
written beside the sizes. The arithmetic there also says why a mistake gets past with less than 1e-6. p is in [0.2, 0.4]
unless said otherwise. `tests/units/test_08_stochastic_depth.py` holds the checks to this.

What a `ResidualBlock` calls its parts is the learner's choice: convolutions and batch norms are found by their type, and given
values. So the branch is known to the judge, in training and in evaluation, and each example of an output is read by it: it is
x, or x plus the branch over 1 - p, or one of the things that mistakes make of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import Plan, Remote, StudentError, fixture

_LIBRARY = (
    "stochastic_depth", "StochasticDepth",
    "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_dropout_",
    "alpha_dropout", "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout",
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
    "drop_block2d", "drop_block3d", "DropBlock2d", "DropBlock3d",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "drop_path_rates",
        hints=(
            "Which block gets max_rate itself, the first or the last? And which number would the first one get if the rates "
            "rise by the same step each time, starting from a block 0 that is never dropped?",
            "The step is max_rate / depth, and block l has taken l steps. Python's range begins at 0 and leaves out its end: "
            "from where to where must it go to give l = 1, …, depth?",
            "A list comprehension over range(1, depth + 1) holds everything; each entry is max_rate times the number of the "
            "block, divided by depth.",
        ),
    ),
    Exercise(
        "DropPath",
        hints=(
            "How many coins are there for a batch of N examples, whatever the number of their dimensions? What shape must the "
            "mask have, so that broadcasting gives all values of an example the same coin?",
            "The mask's shape is N, followed by a 1 for every other dimension: (len(x), *[1] * (x.dim() - 1)). Outside of "
            "training, and at p = 0, return x as it is.",
            "Compare torch.rand of that shape with p, multiply x by the result, and divide by 1 - p. At p = 1 that would be "
            "zero by zero: treat it on its own, and return zeros.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "ResidualBlock",
        hints=(
            "Two paths leave the input and meet in one sum. Which of the two may be interrupted, and which must arrive "
            "untouched? Where does the ReLU have to be, then?",
            "In __init__ build the branch, for instance as an nn.Sequential of six layers (batch norm first), and a "
            "DropPath(p). padding=1 keeps the size of the maps. In forward there is one sum and nothing after it.",
            "forward returns x plus what drop_path makes of branch(x). Training, evaluation and the extremes of p are all "
            "DropPath's business: the block itself need not ask for any of them.",
        ),
        forbids=_LIBRARY,
        uses=("DropPath",),
    ),
)

# 48 coins, each over 6 * 5 * 7 values. That all are alike, with 0.8^48 < 3e-5, is no fault: another call follows then.
FIRST = (48, 6, 5, 7)

# 96 calls with 96 coins each, to see whether they are independent. One coin for the batch, or one mask for all calls:
# neighbours agree in all places, not in the half to two thirds of 4608 pairs that coins do. A fixed number in each call: 96 of
# 96 within 1 of the mean, where coins give a fifth at most. Any two rows or columns equal: 9120 * 0.68^96 < 8e-13.
CALLS, COINS = 96, 96

# 30 000 coins, to count them. For p in [0.13, 0.17] the standard deviation is at most 0.0022, so rates within 6.4 * 0.0022 =
# 0.0141 of p pass, and one that is off by 0.025 or more is seen with all but 1e-6. So it is when p is rounded to a tenth,
# which is off by 0.03 to 0.05. They are those of 200 calls, for where a mask lacks its axes N examples become N * N.
COUNTED = (200, 150)
SMALL = (0.13, 0.17)

# 48 coins, at p = 0 and p = 1. `rand > 0` fails for one number in 2^24, so for one of them with 3e-6; in two tries of two
# with 9e-12.
FEW = (48, 2, 5)

# 40 coins a call, of 2 to 5 dimensions.
SHAPES = ((40, 7), (40, 3, 5), (40, 3, 2, 5), (40, 2, 3, 2, 3))

# 160 examples: a right answer drops none with 0.8^160 < 4e-16, and all with less.
BLOCK = (160, 3, 4, 5)

# 4000 coins of a block: for p in [0.13, 0.17], and in [0.6, 0.8], a rate off by 0.1 or more is missed with less than 1e-6.
BLOCK_COUNTED = (4000, 2, 1, 2)

# 64 calls of 64 coins: one coin for all examples of a batch, or all calls, agrees in 2048 of 2048 pairs.
BLOCK_CALLS = (64, 2, 2, 3)


# -- drop_path_rates -----------------------------------------------------------------------------------------------------


@check("drop_path_rates", points=3)
def rates_rise_by_equal_steps(student: Any, draw: Draw) -> None:
    """Block l of depth gets max_rate * l / depth, l = 1 for the first block: the rates rise by equal steps to max_rate."""
    function = expect.function(student.drop_path_rates, "drop_path_rates")
    for depth in draw.sizes(2, 5, 12):
        rate = draw.probability(0.6, 0.9)
        right = torch.arange(1, depth + 1, dtype=torch.float64) / depth * rate
        got = _numbers(function(rate, depth))
        wrong = _wrong_rates(rate, depth)
        if got.shape != right.shape:
            found = next(
                (n for n, v in wrong.items() if v.shape == got.shape and bool((v - got).abs().max() < 1e-6)), ""
            )
            code = f"rates:{found}" if found else "rates_length:" + ("more" if len(got) > depth else "fewer")
            raise expect.Failure(code, f"there should be one rate for each of {depth} blocks, got {len(got)}")
        expect.close(got, right, f"the rates of {depth} blocks", "rates", candidates=wrong)


@check("drop_path_rates", points=1)
def there_is_one_rate_a_block(student: Any, draw: Draw) -> None:
    """There are as many rates as blocks; a network of one block gives it max_rate, and one of two gives half of it and all."""
    rate = draw.probability()
    for depth in (1, 2, draw.integer(40, 60)):
        got = _numbers(expect.call(student.drop_path_rates, rate, depth, what="drop_path_rates"))
        more = len(got) - depth
        expect.that(
            more == 0,
            f"length:{more:+d}" if abs(more) == 1 else "length:other",
            f"a network of {depth} {'blocks' if depth > 1 else 'block'} needs {depth} of them, got {len(got)}",
        )
        expect.close(got[-1], torch.tensor(rate), f"the last of {depth}", "last" if depth > 2 else f"last_of_{depth}")


@check("drop_path_rates", points=1)
def rates_are_a_list_of_numbers(student: Any, draw: Draw) -> None:
    """The result is a list, and each rate in it a plain Python number."""
    got = expect.call(student.drop_path_rates, draw.probability(), 6, what="drop_path_rates")
    kind = f"a {got.reference.kind}" if isinstance(got, Remote) else f"a {type(got).__name__}"
    expect.that(isinstance(got, list), f"type:{kind[2:]}", f"drop_path_rates should return a list, got {kind}")
    odd = next((v for v in got if isinstance(v, bool) or not isinstance(v, (int, float))), None)
    kind = type(odd).__name__
    expect.that(odd is None, f"entries:{kind}", f"the rates should be plain numbers, but one is a {kind}")


@check("drop_path_rates", points=1)
def rates_at_zero_and_one(student: Any, draw: Draw) -> None:
    """With max_rate 0 no block is ever dropped; with max_rate 1 the last one always is. Both may be given as integers."""
    depth = draw.integer(5, 9)
    for rate in layers.EXTREMES:
        got = _numbers(expect.call(student.drop_path_rates, rate, depth, what="drop_path_rates"))
        right = torch.arange(1, depth + 1, dtype=torch.float64) / depth * rate
        where = f"the rates for max_rate = {rate!r}"
        expect.close(got, right, where, f"at_{rate:g}", candidates={"none": 0 * right, "all": 0 * right + rate})


@check("drop_path_rates", points=1)
def rates_take_names_and_positions(student: Any, draw: Draw) -> None:
    """The arguments are called max_rate and depth, and come in this order; two calls have nothing to do with each other."""
    rate, depth = draw.probability(), draw.integer(5, 9)
    function = expect.function(student.drop_path_rates, "drop_path_rates")
    once = _numbers(function(depth=depth, max_rate=rate))
    again = _numbers(function(max_rate=rate, depth=depth))
    expect.close(again, once, "the second of two equal calls", "repeated")
    layers.takes_positions(
        lambda: expect.close(_numbers(function(rate, depth)), once, "the call without names"),
        "drop_path_rates(max_rate, depth)",
    )


# -- DropPath ------------------------------------------------------------------------------------------------------------


@check("DropPath", points=6)
def tosses_one_coin_an_example(student: Any, draw: Draw) -> None:
    """In training an example is dropped whole or kept whole, and examples of one batch have different fates."""
    x, p, plan = draw.signed(*FIRST), draw.probability(), student.together()
    y = _layer(student, plan, p=p).output(x)
    expect.constant_zero_pattern(expect.mixed(y), over=("channel", "height", "width"))


@check("DropPath", points=2)
def drops_a_share_p_of_examples(student: Any, draw: Draw) -> None:
    """A share p of the examples is dropped, for a small p and for a large one."""
    x, alarm = draw.signed(COUNTED[1], 2), FALSE_ALARM / 3
    p, large = draw.probability(*SMALL), draw.probability(0.6, 0.8)
    for rate, code in ((p, "rate"), (large, "rate_large")):
        layer = expect.made(student.DropPath, p=rate, what="DropPath")
        outputs = [expect.tensor(y, "the output", x.shape) for y in student.repeat(layer, COUNTED[0], x)]
        kept = torch.stack([~expect.decisions(y, "N", "NC") for y in outputs])
        expect.drop_rate(kept.float(), rate, alarm, code, layers.wrong_rates(rate) if code == "rate" else None)


@check("DropPath", points=3)
def rescales_the_examples_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, for a small p and for a large one: so the mean over many draws is x."""
    x = draw.signed(*FIRST)
    rates = {"scale": draw.probability(), "scale_large": draw.probability(0.6, 0.8)}
    layers.rescales_what_is_kept(student, lambda plan, p: _layer(student, plan, p=p), x, rates)


@check("DropPath", points=3)
def changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is the input, with its dtype and gradient, whatever p is; in training it drops again."""
    x, g, p = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability()
    # Where a single coin decides over everything, training keeps it 64 times with 0.8^64 < 1e-6.
    layers.changes_nothing_in_evaluation(student, lambda plan, p: _layer(student, plan, p=p), x, g, p)


@check("DropPath", points=2)
def draws_new_coins_each_time(student: Any, draw: Draw) -> None:
    """Coins of different examples and of different calls have nothing to do with each other."""
    x, another, p, plan = draw.signed(COINS, 2), draw.signed(COINS, 2), draw.probability(), student.together()
    layer, other = _layer(student, plan, p=p), _layer(student, plan, p=p)
    first, smaller = layer.output(x), layer.output(x[:5])  # a layer sees batches of many sizes
    second, elsewhere, on_another = layer.output(x), other.output(x), layer.output(another)
    coins = [expect.decisions(y(), "N", "NC") for y in (first, second, elsewhere, on_another)]
    smaller()
    if bool(coins[0].any()) and not bool(coins[0].all()):  # else one coin decides over all, as the table will show
        expect.fresh(*coins[:2], p, *coins[2:], FALSE_ALARM / 3)
    outputs = student.repeat(layer.remote(), CALLS, x)
    table = torch.stack([expect.decisions(expect.tensor(y, "the output", x.shape), "N", "NC") for y in outputs])
    expect.independent(table, p, ("call", "example"), FALSE_ALARM / 3)
    expect.distinct(table, p, ("call", "example"))
    layers.does_not_seed(student, draw.student_seed, lambda: layer.remote()(x[:2]))


@check("DropPath", points=2)
def takes_inputs_of_any_dimension(student: Any, draw: Draw) -> None:
    """It works for (N, C), (N, C, L), (N, C, H, W) and more: there is one coin an example, whatever an example is."""
    p, plan = draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    answers = [(len(shape), layer.output(draw.signed(*shape))) for shape in SHAPES]
    by_position = _layer(student, plan, p).output(draw.signed(*SHAPES[2]))
    layer.remote()
    failed: dict[int, expect.Failure | StudentError] = {}
    for dimensions, output in answers:
        try:
            zeros = expect.mixed(output).flatten(1)
            expect.constant_zero_pattern(zeros, over=("channel",), layout="NC")
        except (expect.Failure, StudentError) as failure:
            failed[dimensions] = failure
    if failed:
        first = next(iter(failed.values()))
        said = first.sentence() if isinstance(first, StudentError) else first.message
        which = "".join(map(str, failed))
        raise expect.Failure(f"dimensions:{which}", f"with an input of {next(iter(failed))} dimensions: {said}")
    layers.takes_positions(lambda: expect.mixed(by_position), "DropPath(p)")


@check("DropPath", points=1)
def passes_gradients_of_examples(student: Any, draw: Draw) -> None:
    """The gradient of a kept example is that of x / (1 - p), and zero where the example was dropped."""
    x, g, p, plan = draw.signed(*FIRST), draw.signed(*FIRST), draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    y, seen = layer.output(x), plan.observe(layer.made, x.clone().requires_grad_(), cotangent=g)
    y()
    expect.masked_gradient(seen.get(), x, g)


@check("DropPath", points=1)
def leaves_no_trace(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, the input is left as it is, and no mask becomes a parameter or buffer."""
    p, plan = draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    inputs = [draw.signed(24, 3, 4, dtype=d) for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    calls = [(x, plan.observe(layer.made, x)) for x in inputs]
    remote = layer.remote()
    for x, call in calls:
        seen = call.get()
        expect.tensor(seen.output, f"the output for {x.dtype} input", shape=x.shape, dtype=x.dtype)
        expect.unchanged(x, seen.arguments[0])
    expect.no_state(student.module(remote))


@check("DropPath", points=1)
def handles_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input, with its gradient; at p = 1 it is zero everywhere, and never NaN."""
    x, g, plan = draw.signed(*FEW), draw.signed(*FEW), student.together()
    extreme = {repr(p): _layer(student, plan, p=p).output(x) for p in layers.EXTREMES}
    layer = _layer(student, plan, p=0.0)
    value, passes = layer.output(x), layers.passes_through_planned(plan, layer.made, x, g, "the output at p = 0")
    layers.at_the_extremes(lambda _, p: extreme[repr(p)](), x, "the output")
    expect.eventually(lambda: expect.close(value(), x, "the output at p = 0", "p0_value"))
    remote = layer.remote()
    attempts = iter([passes, lambda: layers.passes_through(student, remote, x, g, "the output at p = 0")])
    expect.eventually(lambda: next(attempts)())


@check("DropPath", points=1)
def refuses_a_p_that_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError that shows the value, raised when the layer is made."""
    build, p, plan = expect.function(student.DropPath), draw.probability(), student.together()
    layer = _layer(student, plan, p=p)
    refused = layers.refuses_p_planned(plan, build, p, "DropPath")
    layer.remote()
    refused()


# -- ResidualBlock -------------------------------------------------------------------------------------------------------


@fixture
def block_calls(
    build: Any,
    channels: int,
    p: float,
    values: dict[str, list[torch.Tensor]],
    x: torch.Tensor,
    modes: list[bool],
    cotangent: torch.Tensor | None,
    by_position: bool,
) -> dict[str, Any]:
    """Make a block, set its parts' parameters and statistics, found by type, and call it, each time in a mode (training?)."""
    from torch import nn

    made = build(channels, p) if by_position else build(channels=channels, p=p)
    if not isinstance(made, nn.Module):
        return {"problem": "type", "what": type(made).__name__}
    block = made.to(x.dtype)
    block.train()
    with torch.no_grad():
        block(x.clone())  # what is made at the first call is there afterwards
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    parts = {
        "convolutions": [[*c.weight.shape, *c.stride, c.groups, *c.dilation, c.padding_mode] for c in convolutions],
        "norms": [[n.num_features, n.weight is not None, n.running_mean is not None] for n in norms],
        "parameters": sum(q.numel() for q in block.parameters()),
        "biases": sum(c.bias.numel() for c in convolutions if c.bias is not None),
    }
    if len(convolutions) != 2 or len(norms) != 2 or not all(n.weight is not None for n in norms):
        return {"problem": "parts", "parts": parts}
    if any(tuple(c.weight.shape) != tuple(w.shape) for c, w in zip(convolutions, values["weight"], strict=True)):
        return {"problem": "kernel", "parts": parts}
    outputs: list[Any] = []
    gradients: list[Any] = []
    arguments: list[Any] = []
    for training in modes:
        with torch.no_grad():
            for i, (c, n) in enumerate(zip(convolutions, norms, strict=True)):
                c.weight.copy_(values["weight"][i])
                if c.bias is not None:
                    c.bias.zero_()
                n.weight.copy_(values["gamma"][i])
                n.bias.copy_(values["beta"][i])
                if n.running_mean is not None and n.running_var is not None:
                    n.running_mean.copy_(values["mean"][i])
                    n.running_var.copy_(values["variance"][i])
        block.train() if training else block.eval()
        entry = x.clone()
        # As inside a network: not a leaf, so that whoever writes into it is not stopped but seen.
        leaf = entry.requires_grad_(cotangent is not None)
        given = leaf * 1.0
        y = block(given)
        outputs.append(y)
        arguments.append(given)
        if cotangent is not None:
            tensors = [leaf, *(c.weight for c in convolutions), *(n.weight for n in norms), *(n.bias for n in norms)]
            reached = isinstance(y, torch.Tensor) and y.requires_grad and y.shape == cotangent.shape
            gradients.append(
                list(torch.autograd.grad(y, tensors, cotangent, allow_unused=True))
                if reached
                else [None] * len(tensors)
            )
    return {"outputs": outputs, "gradients": gradients, "arguments": arguments, "parts": parts}


@fixture
def fresh_block(build: Any, channels: int, x: torch.Tensor) -> Any:
    """Make a block as users do, and return what its parts are like at first."""
    from torch import nn

    block = build(channels, 0.25)
    if not isinstance(block, nn.Module):
        return {"problem": "type", "what": type(block).__name__}
    block.eval()
    with torch.no_grad():
        y = block(x)
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    parts = {
        "convolutions": [[*c.weight.shape, *c.stride, c.groups, *c.dilation, c.padding_mode] for c in convolutions],
        "norms": [[n.num_features, n.weight is not None, n.running_mean is not None] for n in norms],
        "parameters": sum(q.numel() for q in block.parameters()),
        "biases": sum(c.bias.numel() for c in convolutions if c.bias is not None),
        "trains": all(q.requires_grad for q in block.parameters()),
    }
    counted = sum(b.numel() for n in norms for b in n.buffers())
    return {
        "parts": parts,
        "buffers": sum(b.numel() for b in block.buffers()) - counted,
        "weights": [c.weight for c in convolutions],
        "gammas": [n.weight for n in norms],
        "betas": [n.bias for n in norms],
        "y": y,
    }


@fixture
def block_of(build: Any, channels: int) -> Any:
    """Give the constructor its channels, so that p alone is left."""
    import functools

    return functools.partial(build, channels)


@check("ResidualBlock", points=5)
@layers.one_thread()
def adds_a_branch_to_its_input(student: Any, draw: Draw) -> None:
    """At p = 0 the output in training is x + branch(x), the branch being twice batch norm, ReLU and 3x3 convolution."""
    x, values = draw.signed(*BLOCK[:1], *BLOCK[1:]), _Values.drawn(draw, BLOCK[1])
    seen = _calls(student, values, x, 0.0, [True])
    y = expect.tensor(seen.outputs[0], "the output", shape=x.shape)

    def fits(v: _Values) -> None:
        b = v.branch(x, True)
        expect.close(y, x + b, "the output at p = 0", "sum", TOLERANCE, TOLERANCE, _wrong_sums(v, x, b, True))

    values.in_some_order(fits)


@check("ResidualBlock", points=6)
@layers.one_thread()
def identity_survives_exactly(student: Any, draw: Draw) -> None:
    """In training each example of the output is x, bit by bit, or x + branch(x) / (1 - p), for a small p and a large one."""
    for p, family in ((draw.probability(), "path"), (draw.probability(0.6, 0.8), "path_large")):
        # Large values, too: to subtract the branch again would not give x back.
        x, values = draw.signed(*BLOCK) * 3, _Values.drawn(draw, BLOCK[1])
        y = expect.tensor(_calls(student, values, x, p, [True]).outputs[0], "the output", shape=x.shape)
        values.in_some_order(lambda v, y=y, x=x, p=p, family=family: _paths(y, x, v, p, family))


@check("ResidualBlock", points=2)
@layers.one_thread()
def block_tosses_coins_for_examples(student: Any, draw: Draw) -> None:
    """A share p of the examples loses its branch, each by a coin of its own, with new coins at each call."""
    p, alarm = draw.probability(), FALSE_ALARM / 4
    x, values = draw.signed(*BLOCK_CALLS), _Values.drawn(draw, BLOCK_CALLS[1], positive=True)
    calls = _calls(student, values, x, p, [True] * BLOCK_CALLS[0]).outputs
    dropped = torch.stack([_dropped(y, x) for y in calls])
    expect.that(bool(dropped.any()), "drops:all_alike", "no example came out as x, so no dropped branch can be seen")
    expect.independent(dropped, p, ("call", "example"), alarm)
    x = draw.signed(*BLOCK_COUNTED)
    values = _Values.drawn(draw, BLOCK_COUNTED[1], positive=True)
    for rate, code in ((draw.probability(*SMALL), "rate"), (draw.probability(0.6, 0.8), "rate_large")):
        dropped = _dropped(_calls(student, values, x, rate, [True]).outputs[0], x)
        expect.drop_rate((~dropped).float(), rate, alarm, code, layers.wrong_rates(rate) if code == "rate" else None)


@check("ResidualBlock", points=3)
@layers.one_thread()
def block_adds_the_whole_branch_in_evaluation(student: Any, draw: Draw) -> None:
    """In evaluation mode the output is x + branch(x) for any p, with the running statistics of batch norm."""
    x, values, p = draw.signed(*BLOCK), _Values.drawn(draw, BLOCK[1]), draw.probability()
    outputs = [_calls(student, values, x, p, [False]).outputs[0], _calls(student, values, x, 1.0, [False]).outputs[0]]

    def fits(v: _Values) -> None:
        b = v.branch(x, False)
        for y, code, which in zip(outputs, ("eval", "eval_p1"), (p, 1.0), strict=True):
            wrong = {"scaled": x + b * (1 - which), "batch": x + v.branch(x, True), **_wrong_sums(v, x, b, False)}
            if which < 1:
                wrong["enlarged"] = x + b / (1 - which)
            got = expect.tensor(y, "the output in evaluation mode", shape=x.shape)
            lost = (got == x).flatten(1).all(1) & (b.abs().flatten(1).amax(1) > 100 * TOLERANCE)
            if bool(lost.any()) and not bool((got == x).all()):
                raise expect.Failure(f"{code}:drops", "in evaluation mode some examples lose their branch")
            expect.close(got, x + b, "the output in evaluation mode", code, TOLERANCE, TOLERANCE, wrong)

    values.in_some_order(fits)


@check("ResidualBlock", points=3)
@layers.one_thread()
def gradients_take_both_paths(student: Any, draw: Draw) -> None:
    """The gradient reaches x through identity and branch, and the parameters through the branch of those that kept it."""
    x, g, p = draw.signed(*BLOCK), draw.signed(*BLOCK), draw.probability()
    values = _Values.drawn(draw, BLOCK[1])
    seen = _calls(student, values, x, p, [True], cotangent=g)
    y = expect.tensor(seen.outputs[0], "the output", shape=x.shape)
    kept = (~_dropped(y, x)).float().view(-1, 1, 1, 1) / (1 - p)
    expect.that(bool(seen.gradients), "gradient:none", "no gradient was found")
    got = seen.gradients[0]
    got = got if isinstance(got, list) and len(got) == 7 else [None] * 7

    def fits(v: _Values) -> None:
        entry, tensors = x.clone().requires_grad_(), v.tensors()
        wanted = torch.autograd.grad((v.branch(entry, True) * kept), [entry, *tensors], g)
        names = ("weight", "weight", "gamma", "gamma", "beta", "beta", "x")
        first, *found = v.sorted(got)
        for name, gradient, right in zip(names, [*found, first], (*wanted[1:], wanted[0] + g), strict=True):
            expect.that(gradient is not None, f"gradient_none:{name}", f"no gradient reaches {_NAMES[name]}")
            # Sums over 3200 positions, of the size of their square root.
            slack = 10 * TOLERANCE * max(1.0, float(right.abs().max()))
            wrong = {"identity": g, "branch": wanted[0]} if name == "x" else {"zero": 0 * right}
            expect.close(gradient, right, f"the gradient of {_NAMES[name]}", f"gradient_{name}", 0.0, slack, wrong)

    values.in_some_order(fits)


@check("ResidualBlock", points=2)
@layers.one_thread()
def block_is_made_of_the_right_parts(student: Any, draw: Draw) -> None:
    """There are two batch norms and two 3x3 convolutions from channels to channels, as initialised by PyTorch, and no more."""
    channels = draw.integer(5, 8)
    x = draw.signed(2, channels, 4, 5)
    seen = student.fixture(fresh_block)(expect.function(student.ResidualBlock, "ResidualBlock"), channels, x)
    parts = _right_parts(seen, channels)
    expect.tensor(seen.get("y"), "the output", shape=x.shape)
    extra = _number(parts, "parameters") - _number(parts, "biases") - 2 * (9 * channels**2 + 2 * channels)
    expect.that(
        extra == 0, f"parameters:{'more' if extra > 0 else 'fewer'}", f"{extra:+d} parameters that no layer here has"
    )
    expect.that(parts.get("trains") is True, "parameters:frozen", "some parameters do not train")
    extra = _number(seen, "buffers")
    expect.that(extra <= 1, "buffers:more", "the block keeps buffers besides those of its batch norms")
    for group, right in (("gammas", 1.0), ("betas", 0.0)):
        for value in _list(seen.get(group)):
            expect.close(value, torch.full((channels,), right), f"batch norm's first {group[:-1]}", f"initial:{group}")
    bound = 1 / (9 * channels) ** 0.5
    for value in _list(seen.get("weights")):
        weight = expect.tensor(value, "a convolution's weight")
        # Uniform in [-bound, bound], so with a deviation of 0.58 bound; 225 weights or more never come near 0.3.
        inside = float(weight.abs().max()) <= bound * (1 + 1e-6) and float(weight.std()) >= 0.3 * bound
        expect.that(inside, "initial:weights", "the convolutions' first weights are not those that nn.Conv2d draws")


@check("ResidualBlock", points=1)
@layers.one_thread()
def block_at_p_of_one(student: Any, draw: Draw) -> None:
    """At p = 1 the output in training is the input, bit by bit; with p outside [0, 1] there is a ValueError at the start."""
    x, values = draw.signed(*BLOCK), _Values.drawn(draw, BLOCK[1], positive=True)
    for p in (1.0, 1):
        y = expect.tensor(_calls(student, values, x, p, [True]).outputs[0], "the output at p = 1", shape=x.shape)
        expect.that(
            bool((y == x).all()),
            "p1:zero" if bool((y == 0).all()) else "p1:changed",
            "at p = 1 every branch is dropped, so the output in training should be the input itself",
        )
    build = student.fixture(block_of)(expect.function(student.ResidualBlock), 3)
    layers.refuses_p(build, draw.probability(), "ResidualBlock")


@check("ResidualBlock", points=1)
@layers.one_thread()
def block_leaves_its_input_alone(student: Any, draw: Draw) -> None:
    """The input is left as it is, in training and in evaluation, and the output has its dtype; channels come first, then p."""
    p = draw.probability()
    for dtype in (torch.float32, torch.float64):
        x, values = draw.signed(*BLOCK, dtype=dtype), _Values.drawn(draw, BLOCK[1]).to(dtype)
        seen = _calls(student, values, x, p, [True, False], by_position=dtype == torch.float64)
        for y, after in zip(seen.outputs, seen.arguments, strict=True):
            expect.tensor(y, f"the output for {dtype} input", shape=x.shape, dtype=dtype)
            expect.unchanged(x, after)


# -- shared: rates -------------------------------------------------------------------------------------------------------


def _numbers(value: Any) -> Tensor:
    """Return rates as a float64 tensor, whatever they came in; what they should come in is another check's."""
    if isinstance(value, (list, tuple)):
        flat = [v for v in value if isinstance(v, (int, float)) or (isinstance(v, Tensor) and v.numel() == 1)]
        expect.that(len(flat) == len(value) > 0, "rates:other", "drop_path_rates should return a list of numbers")
        value = torch.tensor([float(v) for v in flat], dtype=torch.float64)
    got = expect.tensor(value, "what drop_path_rates returns")
    expect.that(got.dim() == 1, "rates:other", "drop_path_rates should return a list of numbers")
    return got.double()


def _wrong_rates(rate: float, depth: int) -> dict[str, Tensor]:
    """Return what known mistakes make of the rates, by name."""
    steps = torch.arange(1, depth + 1, dtype=torch.float64)
    right = rate * steps / depth
    return {
        "equal": torch.full_like(right, rate),
        "from_zero": rate * (steps - 1) / depth,
        "from_zero_to_max": rate * (steps - 1) / (depth - 1),
        "below_max": rate * steps / (depth + 1),
        "one_more": rate * torch.arange(depth + 1, dtype=torch.float64) / depth,
        "reversed": right.flip(0),
        "survival": 1 - right,
        "survival_product": (1 - right).cumprod(0),
        "not_divided": rate * steps,
        "per_block": torch.full_like(right, rate / depth),
        "whole_numbers": rate * torch.div(steps, depth, rounding_mode="floor"),
        "squared": rate * (steps / depth) ** 2,
        "powers": torch.full_like(right, rate) ** steps.flip(0),
        "without_max": steps / depth,
        "tenths": (10 * right).round() / 10,
        "hundredths": (100 * right).round() / 100,
        "running_sum": right.cumsum(0),
        "expected": right / right.sum() * rate,
    }


# -- shared: DropPath ----------------------------------------------------------------------------------------------------


def _layer(student: Any, plan: Plan, *args: Any, **options: Any) -> layers.PlannedLayer:
    return layers.PlannedLayer(student, plan, "DropPath", *args, **options)


# -- shared: ResidualBlock -----------------------------------------------------------------------------------------------

# Two batch norms and two sums of 27 products, in float32: a few roundings of 1e-7 each. The mistakes differ by 0.1 or more.
TOLERANCE = 1e-4

_NAMES = {
    "x": "the input",
    "weight": "a convolution's weight",
    "gamma": "a batch norm's weight",
    "beta": "a batch norm's bias",
}


@dataclass(frozen=True)
class _Values:
    """What a block's parts are given: weights (C, C, 3, 3) of the convolutions, and (C,) of the batch norms, two of each."""

    weight: list[Tensor]
    gamma: list[Tensor]
    beta: list[Tensor]
    mean: list[Tensor]
    variance: list[Tensor]
    order: tuple[int, ...] = tuple(range(7))

    @classmethod
    def drawn(cls, draw: Draw, channels: int, positive: bool = False) -> _Values:
        """Draw them, for maps of both signs before each ReLU; or mostly positive ones, where no branch may be zero."""
        weight = [draw.signed(channels, channels, 3, 3) * 0.4 for _ in range(2)]
        gamma, beta, mean, variance = ([draw.signed(channels) for _ in range(2)] for _ in range(4))
        # Small enough for the first ReLU to see both signs, with running statistics as with those of the batch.
        mean, variance = [0.3 * m for m in mean], [0.25 + 0.25 * v.abs() for v in variance]
        beta = [2 + b.abs() if positive else 0.3 * b for b in beta]
        gamma = [0.5 * g for g in gamma] if positive else gamma
        return cls(weight, gamma, beta, mean, variance)

    def to(self, dtype: torch.dtype) -> _Values:
        """The same in another dtype."""
        return _Values(**{name: [t.to(dtype) for t in group] for name, group in self.groups().items()})

    def norm(self, x: Tensor, i: int, training: bool) -> Tensor:
        """Apply batch norm i."""
        mean, variance = self.mean[i].clone(), self.variance[i].clone()
        return functional.batch_norm(x, mean, variance, self.gamma[i], self.beta[i], training)

    def convolved(self, x: Tensor, i: int) -> Tensor:
        """Apply convolution i."""
        return functional.conv2d(x, self.weight[i], padding=1)

    def branch(self, x: Tensor, training: bool) -> Tensor:
        """Apply both halves."""
        for i in (0, 1):
            x = self.convolved(self.norm(x, i, training).relu(), i)
        return x

    def branch_of(self, x: Tensor, chosen: Tensor) -> Tensor:
        """Apply both halves to the chosen examples (bool (N,)) as if there were no others, in training; zero for the others."""
        return torch.zeros_like(x).masked_scatter(chosen.view(-1, 1, 1, 1), self.branch(x[chosen], True))

    def tensors(self) -> list[Tensor]:
        """Return those that learn, weights, gammas, betas, and let them want gradients."""
        return [t.requires_grad_() for group in (self.weight, self.gamma, self.beta) for t in group]

    def groups(self) -> dict[str, list[Tensor]]:
        """Return them by name."""
        return {name: getattr(self, name) for name in ("weight", "gamma", "beta", "mean", "variance")}

    def sorted(self, gradients: list[Any]) -> list[Any]:
        """Put gradients of x, weights, gammas and betas, as the block defines them, into the order of use here."""
        return [gradients[i] for i in self.order]

    def exchanged(self, convolutions: bool, norms: bool) -> _Values:
        """Return the values of a block that uses its second convolution first, or its second batch norm."""
        swaps = {name: convolutions if name == "weight" else norms for name in self.groups()}
        turned = {name: [t.detach() for t in (g[::-1] if swaps[name] else g)] for name, g in self.groups().items()}
        pairs = [(1, 2), (3, 4), (5, 6)]
        order = [i for pair, swap in zip(pairs, swaps.values(), strict=False) for i in (pair[::-1] if swap else pair)]
        return _Values(**turned, order=(0, *order))

    def in_some_order(self, fits: Callable[[_Values], None]) -> None:
        """Expect something of the values, the first of each kind being used first, or second: the order of definition is free.

        Where it fails for each order, the failure is that for the order in which nearly everybody writes them.
        """
        failures = []
        for convolutions, norms in ((False, False), (True, True), (False, True), (True, False)):
            try:
                return fits(self.exchanged(convolutions, norms))
            except expect.Failure as failure:
                failures.append(failure)
        raise failures[0]


@dataclass(frozen=True)
class _Seen:
    """What `block_calls` saw."""

    outputs: list[Any]
    gradients: list[Any]
    arguments: list[Any]


def _calls(
    student: Any,
    values: _Values,
    x: Tensor,
    p: float,
    modes: list[bool],
    cotangent: Tensor | None = None,
    by_position: bool = False,
) -> _Seen:
    """Call a block that was given values; expect it to have the parts to give them to."""
    build, channels = expect.function(student.ResidualBlock, "ResidualBlock"), x.shape[1]
    try:
        seen = student.fixture(block_calls)(build, channels, p, values.groups(), x, modes, cotangent, by_position)
    except StudentError as error:
        if p not in (0, 1) or not {"ValueError", "AssertionError"} & set(error.types):
            raise
        raise expect.Failure(f"p{p:g}:refused", f"p = {p:g} is allowed, but {error.sentence()}") from None
    _right_parts(seen, channels)
    lists = [_list(seen.get(name)) for name in ("outputs", "gradients", "arguments")]
    if len(lists[0]) != len(modes) or len(lists[2]) != len(modes):
        raise expect.Failure("type:answer", "the results could not be read")
    return _Seen(*lists)


def _right_parts(seen: Any, channels: int) -> dict[str, Any]:
    """Expect two 3x3 convolutions and two batch norms, found by type; return what is said of the parts."""
    if not isinstance(seen, dict):
        raise expect.Failure("type:answer", "the results could not be read")
    if seen.get("problem") == "type":
        raise expect.Failure(f"type:{seen.get('what')}", "ResidualBlock should make a torch.nn.Module")
    parts = seen.get("parts")
    if not isinstance(parts, dict):
        raise expect.Failure("type:answer", "the results could not be read")
    convolutions, norms = _list(parts.get("convolutions")), _list(parts.get("norms"))
    found = f"conv{len(convolutions)},norm{len(norms)}"
    if (len(convolutions), len(norms)) != (2, 2):
        said = f"{len(convolutions)} nn.Conv2d and {len(norms)} nn.BatchNorm2d"
        raise expect.Failure(
            f"parts:{found}", f"the branch has two convolutions and two batch norms, but here are {said}"
        )
    plain = [1, 1, "zeros"]
    if any(c != [channels, channels, 3, 3, 1, 1, 1, *plain] for c in convolutions):
        same = convolutions[0] if convolutions[0] == convolutions[1] else convolutions
        kinds = {
            "1x1": [channels, channels, 1, 1, 1, 1, 1, *plain], "5x5": [channels, channels, 5, 5, 1, 1, 1, *plain],
            "stride": [channels, channels, 3, 3, 2, 2, 1, *plain], "groups": [channels, 1, 3, 3, 1, 1, channels, *plain],
        }  # fmt: skip
        between = convolutions[0][:1] == convolutions[1][1:2] != [channels]
        kind = "channels_between" if between else "other"
        kind = "padding_mode" if any(c[-1:] != ["zeros"] for c in convolutions) else kind
        kind = next((name for name, c in kinds.items() if c == same), kind)
        said = f"weights (out, in, height, width), stride, groups, dilation and padding mode are {convolutions}"
        raise expect.Failure(
            f"convolution:{kind}",
            f"both convolutions should be 3x3 from {channels} to {channels} channels, but their {said}",
        )
    if any(n != [channels, True, True] for n in norms):
        kind = "plain" if all(n[:1] == [channels] and n[1:2] == [False] for n in norms) else "other"
        kind = "untracked" if all(n == [channels, True, False] for n in norms) else kind
        raise expect.Failure(
            f"norm:{kind}",
            f"both batch norms should be nn.BatchNorm2d({channels}), with weights and running statistics",
        )
    return parts


def _dropped(y: Any, x: Tensor) -> Tensor:
    """Return which examples came through as they were, bool (N,)."""
    same: Tensor = (expect.tensor(y, "the output", shape=x.shape) == x).flatten(1).all(dim=1)
    return same


def _paths(y: Tensor, x: Tensor, v: _Values, p: float, family: str) -> None:
    """Expect each example to be x itself, or x plus the branch over 1 - p, and both to occur."""
    b = v.branch(x, True)
    exact, right = (y == x), _near(y, x + b / (1 - p))
    whole = exact.flatten(1).all(1) | right.flatten(1).all(1)
    if bool(whole.all()):
        dropped = exact.flatten(1).all(1)
        expect.that(
            bool(dropped.any()), f"{family}:all_alike", "no example lost its branch: each should, with probability p"
        )
        expect.that(
            not bool(dropped.all()),
            f"{family}:all_alike",
            "every example lost its branch: each should with probability p",
        )
        return
    if bool((exact | right).all()):
        # A channel, or a position, that is of one kind throughout; where the branch is next to nothing it is of both.
        by_channel, by_position = ([t.flatten(2).all(2) for t in (exact, right)], [t.all(1) for t in (exact, right)])
        pure = [name for name, (a, c) in (("NC", by_channel), ("NHW", by_position)) if bool((a | c).all())]
        axes = pure[0] if pure else "NCHW"
        said = "in some examples a part of the branch is dropped and another is not: there is one coin for an example"
        raise expect.Failure(f"{family}_coins:{axes}", said)
    pre = v.norm(x, 0, True).relu()
    known: Mapping[str, Tensor] = {
        "zero": 0 * x, "x_scaled": x / (1 - p), "x_times_share": x * (1 - p), "unscaled": x + b,
        "sum_scaled": (x + b) / (1 - p),
        "1/p": x + b / p, "p": x + b * p, "1-p": x + b * (1 - p),
        "twice": x + b / (1 - p) ** 2, "branch": b / (1 - p),
        "branch_unscaled": b, "relu": x.relu(), "relu_of_sum": (x + b / (1 - p)).relu(),
        "pre": pre, "pre_sum": pre + b / (1 - p),
        "relu_first": x.relu() + b / (1 - p), "running": x + v.branch(x, False) / (1 - p), "minus": x - b / (1 - p),
        "x_scaled_sum": x / (1 - p) + b / (1 - p), "double": 2 * x + b / (1 - p), "half": x / 2,
        "half_sum": x / 2 + b / (1 - p), "mean": (x + b / (1 - p)) / 2, "x_share": x * (1 - p) + b / (1 - p),
        "x_scaled_unscaled_branch": x / (1 - p) + b,
        "inexact": x,
    }  # fmt: skip
    dropped = exact.flatten(1).all(1)
    if 1 < int((~dropped).sum()) < len(x) and bool(
        _near(y[~dropped], (x + v.branch_of(x, ~dropped) / (1 - p))[~dropped]).all()
    ):
        said = (
            "batch norm saw the surviving examples only: the branch is to be computed for all, and dropped afterwards"
        )
        raise expect.Failure(f"{family}:survivors", said)
    labels = []
    for n in (~whole).nonzero().flatten().tolist():
        found = next((name for name, t in known.items() if bool(_near(y[n], t[n]).all())), "other")
        labels += [] if found in labels else [found]
    here = "dropped" if bool(exact.flatten(1).all(1).any()) else "neither"
    here = here if not bool(right.flatten(1).all(1).any()) else "kept" if here == "neither" else "both"
    said = f"{int((~whole).sum())} of {len(x)} examples are neither x, exactly, nor x + branch(x) / (1 - p)"
    if "inexact" in labels:
        gap = float((y - x).abs()[~exact & _near(y, x)].max())
        said += f"; some differ from x by {gap:.1g} at most, and should not differ at all"
    # Which examples are disturbed, and which not, may be chance then.
    code = "disturbed" if "other" in labels else f"{'+'.join(sorted(labels))},{here}"
    raise expect.Failure(f"{family}:{code}", said)


def _near(y: Tensor, target: Tensor) -> Tensor:
    return (y - target).abs() <= 10 * TOLERANCE + TOLERANCE * target.abs()


def _wrong_sums(v: _Values, x: Tensor, b: Tensor, training: bool) -> dict[str, Tensor]:
    """Return what known mistakes make of x + branch(x), by name."""

    def norm(t: Tensor, i: int) -> Tensor:
        return v.norm(t, i, training)

    pre = norm(x, 0).relu()
    first = v.convolved(pre, 0)
    late = norm(v.convolved(x, 0), 0).relu()
    last = norm(v.convolved(late, 1), 1)
    no_relu = v.convolved(norm(v.convolved(norm(x, 0), 0), 1), 1)
    swapped = v.convolved(norm(v.convolved(norm(x.relu(), 0), 0).relu(), 1), 1)
    return {
        "input": x, "branch": b, "relu_after": (x + b).relu(), "relu_after_branch": x + b.relu(), "pre_activated": pre + b,
        "normalised": norm(x, 0) + b, "relu_of_input": x.relu() + b, "minus": x - b, "mean": (x + b) / 2, "double": 2 * x + b,
        "half": x / 2 + b, "product": x * b, "normalised_input_only": pre,
        "running": x + v.branch(x, not training),
        "post_activation": x + last.relu(), "post_activation_open": x + last, "post_activation_paper": (x + last).relu(),
        "post_branch": last, "no_relu": x + no_relu,
        "first_relu": x + v.convolved(norm(v.convolved(norm(x, 0), 0), 1).relu(), 1),
        "second_relu": x + v.convolved(norm(first, 1), 1),
        "relu_before_norm": x + swapped, "relu_before_norm_in_place": x.relu() + swapped,
        "one_half": x + first, "sum_after_half": x + first + v.convolved(norm(x + first, 1).relu(), 1),
    }  # fmt: skip


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(table: Mapping[str, Any], name: str) -> int:
    value = table.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
