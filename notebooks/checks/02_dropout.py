"""Public checks of 02_dropout.

Numbers of coins: a check fails a right answer with probability at most FALSE_ALARM = 1e-9 in all. Where it tests counts more
than once, each test gets an equal share, and one share is left for all that hangs on patterns, whose probabilities are
written beside the sizes. The arithmetic there also says why a mistake gets past with less than 1e-6. p is in [0.2, 0.4]
unless said otherwise. `tests/units/test_02_dropout.py` holds the checks to this.

`dropout` and `Dropout` are asked the same questions, by the functions at the end. `Dropout` may build on `dropout`, for which
a right version stands in at grading if it is faulty. In the notebook none does: see `_gradient_is_masked` for how
`Dropout`'s gradient is judged where `dropout` passes none on.

`mc_dropout_predict` gets networks whose output for an example is one of two vectors, a if the only unit of their hidden layer
is dropped and b if it is kept. So the mean over T samples is a + k/T (b - a) for a whole number k, and the standard deviation
follows from k: both are compared exactly, although nobody knows which coins were tossed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from autograder import expect, layers
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.statistics import FALSE_ALARM
from autograder.student import Later, Plan, Remote, StudentError, fixture

_LIBRARY = (
    "dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "feature_dropout_",
    "alpha_dropout", "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_", "native_dropout",
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
    "stochastic_depth", "StochasticDepth", "drop_block2d", "drop_block3d", "DropBlock2d", "DropBlock3d",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "dropout",
        hints=(
            "Every value of x has a coin of its own. What shape has a tensor of that many coins, and what must be true of "
            "a uniform number in [0, 1) so that its value is dropped with probability p?",
            "Deal with the easy cases first: a p outside [0, 1], then evaluation and p = 0, where x comes back as it is. "
            "Otherwise torch.rand(x.shape) >= p is True where a value is kept.",
            "Multiply x by that mask and divide by 1 - p, as the expectation asks for. At p = 1 this would be zero by zero, "
            "so take a factor of 0 there. A mask of booleans keeps the dtype of x.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "Dropout",
        hints=(
            "The arithmetic is done already, in your function. What does a layer know that a function has to be told?",
            "Check p in __init__ and keep it in self.p. In forward, call your dropout: every Module has an attribute that "
            "says whether it is in training mode, and train() and eval() set it.",
            "The attribute is self.training. So forward is a single line, which hands x, self.p and self.training to "
            "dropout. The mask is drawn there, at each call: nothing of it belongs into __init__.",
        ),
        forbids=_LIBRARY,
        uses=("dropout",),
    ),
    Exercise(
        "mc_dropout_predict",
        hints=(
            "Three things need care: which modules must be in training mode, what is averaged, and what the caller finds "
            "afterwards. model.train() is too much, and a list of library classes is too little: leave out what must not "
            "train.",
            "First note each module's own mode, such as {m: m.training for m in model.modules()}. Then let every module "
            "train but batch norm (isinstance(m, nn.modules.batchnorm._BatchNorm)), and put back what you noted at the end.",
            "Under torch.no_grad(), call the model n_samples times, take the softmax over the classes each time, and "
            "torch.stack the results along a new first dimension: the mean and the standard deviation over it are the answer.",
        ),
    ),
)

# 6 * 8 * 3 * 5 = 720 coins, to look at their pattern. The zeros of a right answer are the same along an axis of k with
# probability (p^k + (1-p)^k)^(720/k): at most 0.52^240 < 1e-68, for the axis of 3.
MAPS = (6, 8, 3, 5)

# 48 examples of 96 values in one call, to see whether coins are independent. A coin for a row, a column or all of them:
# neighbours agree in all places, not in the half to two thirds of 2304 pairs that coins do. A fixed number in each row: 48 of
# 48 rows within 1 of the mean, where coins give a quarter at most, and 33 or fewer of 48. Copies: two calls one above the
# other are 96 * 96 coins, in which any two rows or columns are equal with 9120 * 0.68^96 < 8e-13.
MANY = (48, 4, 4, 6)

# 48 calls with 24 values each, to see whether the number dropped in a whole call varies: within 1 of the mean it is in 48 of
# 48 if fixed, and with coins in 0.39 of the calls at most (24 coins, p = 0.2), so in 39 or fewer.
CALLS, FEW_VALUES = 48, (2, 3, 4)

# 150 * 200 = 30 000 coins, to count them. For p in [0.13, 0.17] the standard deviation is at most 0.0022, so rates within
# 6.4 * 0.0022 = 0.0141 of p pass, and one that is off by 0.025 or more is seen with all but 1e-6. So it is when p is rounded
# to a tenth, which is off by 0.03 to 0.05.
COUNTED = (150, 200)
SMALL = (0.13, 0.17)

# 6 * 8 = 48 coins, at p = 0 and p = 1. `rand > 0` fails for one number in 2^24, so for one of them with 3e-6; in two tries of
# two with 9e-12.
FEW = (6, 8)

# T samples of 40 examples are 1000 coins. That a right answer's two calls agree in all 40 numbers of kept samples: a
# Binomial(25, 1 - p) takes no value with more than 0.2, so with 0.2^40 < 1e-27. One sample repeated: each example is kept in
# none or in all of them, which coins do with (p^25 + (1-p)^25)^40 < 1e-96.
SAMPLED, SAMPLES = 40, 25


# -- dropout -------------------------------------------------------------------------------------------------------------


@check("dropout", points=3)
def tosses_a_coin_for_each_value(student: Any, draw: Draw) -> None:
    """Every single value has a coin of its own: what is dropped differs along every axis of the input."""
    try:
        _coin_for_each_value(student, _function(student), draw)
    except expect.Failure as failure:
        x, p = draw.signed(*MAPS), draw.probability()
        if failure.code == "drops:nothing" and bool(
            (_values(student, student.together(), x, p=p, training=False)() == 0).any()
        ):
            said = "nothing is dropped in training, but values are with training=False: are the two exchanged?"
            raise expect.Failure("drops:in_evaluation_only", said) from None
        raise


@check("dropout", points=3)
def drops_a_share_p_of_the_values(student: Any, draw: Draw) -> None:
    """A share p of the values is dropped, for a small p and for a large one, and one half where p is not given."""
    _drops_a_share(student, _function(student), draw, "called with nothing but x")


@check("dropout", points=3)
def rescales_the_values_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, for a small p and for a large one: so the mean over many draws is x."""
    _rescales(student, _function(student), draw)


@check("dropout", points=3)
def changes_nothing_without_training(student: Any, draw: Draw) -> None:
    """With training=False the output is the input, with its dtype, whatever p is."""
    x, p = draw.signed(*MAPS), draw.probability()
    plan, what = student.together(), "with training=False the output"
    y, y_certain = (_values(student, plan, x, p=each, training=False) for each in (p, 1.0))
    typed = {
        dtype: _values(student, plan, x.to(dtype), p=p, training=False) for dtype in (torch.float32, torch.float16)
    }
    layers.is_identity(y(), x, p, "eval", what)
    layers.is_identity(y_certain(), x, p, "eval_p1", what)
    for dtype, output in typed.items():
        expect.tensor(output(), what, dtype=dtype)


@check("dropout", points=2)
def draws_new_coins_at_each_call(student: Any, draw: Draw) -> None:
    """Coins of different values and of different calls have nothing to do with each other; they are torch's random numbers."""
    _draws_afresh(student, _function(student), draw)
    x, p = draw.signed(*MANY), draw.probability()
    outputs = student.fixture(seeded)(expect.function(student.dropout), x, p, draw.student_seed)
    expect.that(
        isinstance(outputs, list) and len(outputs) == 2 and _same(*outputs),
        "seed:ignored",
        "after torch.manual_seed with the same seed, two calls should draw the same mask, but they do not: do the coins come "
        "from another random generator, such as NumPy's?",
    )


@check("dropout", points=2)
def passes_the_gradient_on(student: Any, draw: Draw) -> None:
    """The gradient of a kept value is that of x / (1 - p), and zero where x was dropped; without training it is that of x."""
    x, g, p = draw.signed(*MAPS), draw.signed(*MAPS), draw.probability()
    function = expect.function(student.dropout, "dropout")
    wanted, plan = x.clone().requires_grad_(), student.together()
    y, seen = _values(student, plan, x, p=p), plan.observe(function, wanted, p=p, cotangent=g)
    in_evaluation = plan.observe(function, wanted, p, False, cotangent=g)
    at_zero = plan.observe(function, wanted, p=0.0, cotangent=g)
    y()
    expect.masked_gradient(seen.get(), x, g)
    _within("eval", lambda: expect.masked_gradient(in_evaluation.get(), x, g))
    _within("p0", lambda: expect.masked_gradient(at_zero.get(), x, g))


@check("dropout", points=1)
def leaves_its_input_alone(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, and the input is left as it is."""
    p = draw.probability()
    _leaves_alone(student.together(), draw, expect.function(student.dropout, "dropout"), p)()


@check("dropout", points=1)
def works_at_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input; at p = 1 it is zero everywhere, and never NaN."""
    _works_at_the_extremes(student.together(), _function(student), draw)()


@check("dropout", points=1)
def takes_any_shape(student: Any, draw: Draw) -> None:
    """It works for inputs of one to five dimensions; the arguments come in the order x, p, training."""
    p, plan = draw.probability(), student.together()
    takes = _takes_any_shape(_function(student)(plan, p=p), draw)
    by_position = _values(student, plan, draw.signed(*MAPS), p, True)
    takes()
    layers.takes_positions(lambda: expect.mixed(by_position), "dropout(x, p, True)")


@check("dropout", points=1)
def refuses_a_p_that_makes_no_sense(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError that shows the value, with training=False as well."""
    x, p, plan = draw.signed(*FEW), draw.probability(), student.together()
    y = _values(student, plan, x, p=p)
    of_p = plan.call(student.fixture(given), student.dropout, x)
    refused = layers.refuses_p_planned(plan, of_p, p, "dropout")
    in_evaluation = [(bad, plan.call(student.dropout, x, bad, False)) for bad in (-p, 1 + p)]
    y()
    refused()
    for bad, call in in_evaluation:
        what = f"dropout(x, p={bad:g}, training=False)"
        expect.raised("ValueError", call.get, what=what, code="p_refused_in_evaluation")


# -- Dropout -------------------------------------------------------------------------------------------------------------


@check("Dropout", points=2)
def layer_tosses_a_coin_for_each_value(student: Any, draw: Draw) -> None:
    """In training every single value has a coin of its own: what is dropped differs along every axis of the input."""
    _coin_for_each_value(student, _layers(student), draw)


@check("Dropout", points=2)
def layer_drops_a_share_p(student: Any, draw: Draw) -> None:
    """A share p of the values is dropped, for a small p and for a large one, and one half where p is not given."""
    _drops_a_share(student, _layers(student), draw, "made without arguments")


@check("Dropout", points=2)
def layer_rescales_what_is_kept(student: Any, draw: Draw) -> None:
    """What is kept is x / (1 - p), exactly, for a small p and for a large one: so the mean over many draws is x."""
    _rescales(student, _layers(student), draw)


@check("Dropout", points=5)
def layer_changes_nothing_in_evaluation(student: Any, draw: Draw) -> None:
    """After eval() the output is the input, with its dtype, whatever p is; after train() values are dropped again."""
    x, p, plan = draw.signed(*MAPS), draw.probability(), student.together()
    layer, certain = (layers.PlannedLayer(student, plan, "Dropout", p=each) for each in (p, 1.0))
    modes, y = [layer.mode(training=False), certain.mode(training=False)], layer.output(x)
    mode_after, y_certain = plan.call(student.fixture(mode_of), layer.made), certain.output(x)
    calls = [(dtype, plan.call(layer.made, x.to(dtype))) for dtype in (torch.float32, torch.float16)]
    modes, trained = [*modes, layer.mode(training=True)], layer.output(x)
    modes[0]()
    value = y()
    expect.that(
        mode_after.get() is False,
        "eval:mode_changed",
        "after eval() and a call the layer is in training mode again: forward should read self.training and never set it",
    )
    layers.is_identity(value, x, p, "eval")
    modes[1]()
    layers.is_identity(y_certain(), x, p, "eval_p1")
    for dtype, call in calls:
        expect.tensor(call.get(), "the output in evaluation mode", shape=x.shape, dtype=dtype)
    modes[2]()
    # The first call does, but where a single coin decides over everything: 64 of them keep it with 0.8^64 < 1e-6.
    drops = any(bool((trained() == 0).any()) for _ in range(64))
    expect.that(drops, "train_again:keeps", "back in training mode, nothing was dropped any more")


@check("Dropout", points=2)
def layer_draws_coins_afresh(student: Any, draw: Draw) -> None:
    """Coins of different values and of different calls have nothing to do with each other."""
    _draws_afresh(student, _layers(student), draw)


@check("Dropout", points=1)
def layer_passes_gradients_on(student: Any, draw: Draw) -> None:
    """The gradient of a kept value is that of x / (1 - p), and zero where x was dropped; in evaluation it is that of x."""
    x, g, p = draw.signed(*MAPS), draw.signed(*MAPS), draw.probability()
    plan = student.together()
    layer, never = (layers.PlannedLayer(student, plan, "Dropout", p=each) for each in (p, 0.0))

    def masked(layer: layers.PlannedLayer, training: bool = True) -> Callable[[], None]:
        return _gradient_is_masked(student, plan, layer, training, x, g)

    y, in_training, at_zero = layer.output(x), masked(layer), masked(never)
    mode, in_evaluation = layer.mode(training=False), masked(layer, training=False)
    layer.remote()
    never.remote()
    y()
    in_training()
    _within("p0", at_zero)
    mode()
    _within("eval", in_evaluation)


@check("Dropout", points=1)
def layer_leaves_no_trace(student: Any, draw: Draw) -> None:
    """The output has the dtype of the input, the input is left as it is, and no mask is kept in the module."""
    p, plan = draw.probability(), student.together()
    layer = layers.PlannedLayer(student, plan, "Dropout", p=p)
    y, leaves_alone = layer.output(draw.signed(*MAPS)), _leaves_alone(plan, draw, layer.made)
    y()
    expect.no_state(student.module(layer.remote()))
    leaves_alone()


@check("Dropout", points=1)
def layer_works_at_p_of_zero_and_one(student: Any, draw: Draw) -> None:
    """At p = 0 the output is the input; at p = 1 it is zero everywhere, and never NaN. Inputs may have any shape."""
    plan, planned = student.together(), _layers(student)
    works = _works_at_the_extremes(plan, planned, draw)
    takes = _takes_any_shape(planned(plan, p=draw.probability()), draw)
    works()
    takes()


@check("Dropout", points=1)
def layer_refuses_a_bad_p(student: Any, draw: Draw) -> None:
    """A p outside [0, 1] is a ValueError, raised when the layer is made, that shows the value."""
    build, p, plan = expect.function(student.Dropout, "Dropout"), draw.probability(), student.together()
    layer = layers.PlannedLayer(student, plan, "Dropout", p=p)
    by_position = layers.PlannedLayer(student, plan, "Dropout", p).output(draw.signed(*FEW))
    refused = layers.refuses_p_planned(plan, build, p, "Dropout")
    layer.remote()
    layers.takes_positions(by_position, "Dropout(p)")
    refused()


# -- mc_dropout_predict --------------------------------------------------------------------------------------------------


@fixture
def predicted(
    predict: Callable[..., Any],
    weights: dict[str, torch.Tensor],
    x: torch.Tensor,
    n_samples: int,
    kinds: list[str],
    p: float,
    modes: list[bool],
    calls: int = 1,
    by_name: bool = False,
) -> dict[str, Any]:
    """Let `predict` work on a network, and report what it returns and how it leaves the network.

    The network: batch norm, over positions the mean, one hidden unit, and for each kind of dropout a branch (the unit, dropped
    or not, times weights of its own) of which the logits are the sum.

    Args:
        kinds: names of classes; "own." are classes as learners write them.
        modes: the modules' modes at the start, in the order of `modules()`, over and over.
    """
    import warnings

    from torch import nn

    class Dropout(nn.Module):
        """One coin for each example. What p is called, and what the class, differs."""

        setting = "p"

        def __init__(self, p: float) -> None:
            super().__init__()
            setattr(self, self.setting, p)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not self.training:
                return x
            p = getattr(self, self.setting)
            keep = torch.rand(len(x), *[1] * (x.dim() - 1)) >= p
            return x * keep / max(1 - p, 1e-6)

    class SpatialDropout2d(Dropout):
        setting = "drop_prob"

    class DropBlock2d(Dropout):
        pass

    class Thinning(Dropout):
        setting = "rate"

    own = {c.__name__: c for c in (Dropout, SpatialDropout2d, DropBlock2d, Thinning)}
    spatial = {"Dropout1d": 1, "Dropout2d": 2, "Dropout3d": 3, "SpatialDropout2d": 2, "DropBlock2d": 2}

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = len(weights["mean"])
            self.norm = nn.BatchNorm2d(channels) if x.dim() == 4 else nn.BatchNorm1d(channels)
            self.hidden = nn.Linear(channels, 1)
            self.branches = nn.ModuleList()
            for index, kind in enumerate(kinds):
                name = kind.removeprefix("own.")
                drop = own[name](p) if kind.startswith("own.") else getattr(nn, name)(p)
                shape = [1] * (1 + spatial.get(name, 0))
                self.branches.append(nn.Linear(1, len(weights["bias"]), bias=False))
                # Some among the model's own children, most inside of parts of parts.
                inner = nn.Sequential(nn.Unflatten(1, shape), drop, nn.Flatten())
                self.add_module(f"part{index}", inner[1] if index % 6 == 0 else nn.Sequential(inner))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = self.norm(x)
            hidden = self.hidden(maps.flatten(2).mean(dim=2) if maps.dim() == 4 else maps)
            parts = [getattr(self, f"part{index}") for index in range(len(kinds))]
            return weights["bias"] + sum(b(part(hidden)) for b, part in zip(self.branches, parts, strict=True))

    model = Network()
    with torch.no_grad():
        model.norm.running_mean.copy_(weights["mean"])
        model.norm.running_var.copy_(weights["variance"])
        model.norm.weight.copy_(weights["gamma"])
        model.norm.bias.copy_(weights["beta"])
        model.hidden.weight.copy_(weights["hidden"].view(1, -1))
        model.hidden.bias.zero_()
        for branch, columns in zip(model.branches, weights["branches"], strict=True):
            branch.weight.copy_(columns.view(-1, 1))
    for index, module in enumerate(model.modules()):
        module.training = modes[index % len(modes)]

    def state() -> dict[str, Any]:
        return {
            "modes": {name: m.training for name, m in model.named_modules()},
            "buffers": {name: b.detach().clone() for name, b in model.named_buffers()},
            "parameters": {name: q.detach().clone() for name, q in model.named_parameters()},
        }

    before, results = state(), []
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # for a network this small others are no help, and waiting for them takes long on a busy machine
    try:
        with warnings.catch_warnings():
            if n_samples == 1:  # torch warns of the standard deviation of one value, which is nobody's mistake
                warnings.simplefilter("ignore")
            for _ in range(calls):
                if by_name:
                    results.append(predict(model=model, x=x, n_samples=n_samples))
                else:
                    results.append(predict(model, x, n_samples))
    finally:
        torch.set_num_threads(threads)
    return {
        "results": results,
        "before": before,
        "after": state(),
        "graph": any(getattr(t, "requires_grad", False) for r in results if isinstance(r, (tuple, list)) for t in r),
        "gradients": any(q.grad is not None for q in model.parameters()),
        "frozen": not all(q.requires_grad for q in model.parameters()),
        "grad_mode": torch.is_grad_enabled(),
        "x": x,
    }  # fmt: skip


@check("mc_dropout_predict", points=4)
def averages_probabilities(student: Any, draw: Draw) -> None:
    """mean_probs is the average, over the samples, of the softmax probabilities of each."""
    network, samples = Network(draw, 12), draw.integer(14, 18)
    seen = _predict(student, network, samples)
    try:
        kept = network.kept(_mean(seen, network), samples)
    except expect.Failure as failure:
        try:
            network.kept(_std(seen, network), samples)
        except expect.Failure:
            raise failure from None
        said = "the first result is not the mean, and the second is: mean_probs comes first, std_probs second"
        raise expect.Failure("mean:exchanged", said) from None
    # A right answer's samples are all the same for all 12 examples with (0.8^14 + 0.2^14)^12 < 1e-16 at most.
    expect.that(
        not bool(((kept == 0) | (kept == samples)).all()),
        "mean:of_one",
        "mean_probs is what a single sample gives, for each example: was one repeated, or is it a median and not a mean?",
    )


@check("mc_dropout_predict", points=3)
def measures_their_spread(student: Any, draw: Draw) -> None:
    """std_probs is the standard deviation of these probabilities over the samples, for each example and class."""
    network, samples = Network(draw, 12), draw.integer(14, 18)
    std = _std(_predict(student, network, samples), network)
    network.has_spread(std, samples)


@check("mc_dropout_predict", points=2)
def draws_a_new_mask_for_each_sample(student: Any, draw: Draw) -> None:
    """The samples are n_samples independent ones: each has masks of its own, and so has each call."""
    network = Network(draw, SAMPLED)
    seen = _predict(student, network, SAMPLES, calls=2)
    first, second = (network.kept(_mean(seen, network, call), SAMPLES, judged=False) for call in (0, 1))
    seeds, coins, dropped = None, SAMPLED * SAMPLES, SAMPLED * SAMPLES - int(first.sum())
    try:
        layers.does_not_seed(student, draw.student_seed, lambda: _predict(student, network, 2))
    except expect.Failure as failure:
        seeds = failure
    expect.that(
        not bool(((first == 0) | (first == SAMPLES)).all()),
        "samples:seeded" if seeds else "samples:repeated",
        "all the samples of an example are the same: "
        + ("the random generator is seeded before each" if seeds else "was one prediction made, and then repeated?"),
    )
    expect.that(
        not bool((first == second).all()),
        "samples:same_in_each_call",
        "two calls drew exactly the same masks: is the random generator seeded inside?",
    )
    expect.that(
        expect._compatible(dropped, coins, network.p, FALSE_ALARM / 2),
        "samples:rate",
        f"the layer drops with p = {network.p:g}, but {dropped} of its {coins} coins came up “drop”",
    )
    if seeds:
        raise seeds


KINDS = (
    "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout",
    "own.Dropout", "own.SpatialDropout2d", "own.DropBlock2d", "own.Thinning",
)  # fmt: skip
"""Letters a to j in codes."""


@check("mc_dropout_predict", points=3)
def lets_every_kind_of_dropout_drop(student: Any, draw: Draw) -> None:
    """Every layer that drops at random is active, at any depth: the library's kinds, and classes that you write yourself."""
    network = Network(draw, 7, KINDS)
    plan = student.together()
    calls = [_predict_planned(student, plan, network, 2, modes, p=1.0) for modes in ([False], [True])]
    found = [_inactive(_mean(predict(), network), network) for predict in calls]
    if "?" in found:
        raise expect.Failure("kinds", "with every dropout at p = 1 the result is none that the model can give")
    names = [KINDS[ord(letter) - ord("a")] for letter in found[0] or found[1]]
    said = ", ".join(n.replace("own.", "a learner's own ") if "." in n else f"nn.{n}" for n in names)
    was = f" in a model that was in {'evaluation' if found[0] else 'training'} mode" if found[0] != found[1] else ""
    code = f"inactive:{found[0]}" if found[0] == found[1] else f"inactive_by_mode:{found[0]}-{found[1]}"
    expect.that(found == ["", ""], code, f"these layers dropped nothing{was}: {said}")


@check("mc_dropout_predict", points=3)
def leaves_batch_norm_alone(student: Any, draw: Draw) -> None:
    """Batch norm uses its running statistics, and these are the same afterwards, whatever mode the model was in."""
    plan, calls, found = student.together(), [], []
    for maps, modes in ((False, [True]), (True, [True]), (False, [False]), (True, [False])):
        network = Network(draw, 12, maps=maps)
        calls.append((maps, modes, network, _predict_planned(student, plan, network, 3, modes)))
    for maps, modes, network, predict in calls:
        seen = predict()
        before, after = (_table(_table(seen.get(key)).get("buffers")) for key in ("before", "after"))
        what = f"BatchNorm{2 if maps else 1}d of a model in {'training' if modes[0] else 'evaluation'} mode"
        case = f"{2 if maps else 1}d_{'training' if modes[0] else 'evaluation'}"
        if any(not _same(value, after.get(name)) for name, value in before.items()):
            found.append((f"{case}_updated", f"the prediction updated the running statistics of {what}"))
        elif not network.uses_running_statistics(_mean(seen, network), 3):
            found.append(
                (f"{case}_batch", f"the prediction used the batch's mean and variance, not the running ones, in {what}")
            )
    expect.that(
        not found, "batch_norm:" + ",".join(code for code, _ in found), "; ".join(said for _, said in found[:1])
    )


@check("mc_dropout_predict", points=3)
def puts_each_mode_back(student: Any, draw: Draw) -> None:
    """Afterwards each module is in the mode it was in, also where some were in training and others in evaluation mode."""
    network = Network(draw, 5, ("Dropout", "own.Dropout"))
    mixed = [False, True, True, False, True]
    cases = (("evaluation", [False]), ("training", [True]), ("mixed", mixed), ("mixed", [not m for m in mixed]))
    plan, left = student.together(), []
    calls = [(name, _predict_planned(student, plan, network, 2, modes)) for name, modes in cases]
    for name, predict in calls:
        seen = predict()
        before, after = (_table(_table(seen.get(key)).get("modes")) for key in ("before", "after"))
        wrong = [module for module, mode in before.items() if after.get(module) != mode]
        if wrong:
            now = {m for n, m in after.items()}
            left.append(
                (name, {frozenset([True]): "training", frozenset([False]): "evaluation"}.get(frozenset(now), "mixed"))
            )
    if left:
        name, found = left[0]
        raise expect.Failure(
            "modes:" + ",".join(f"{a}>{b}" for a, b in left),
            f"a model that was in {name} mode was left in {found} mode: whoever trains or evaluates it next does not know"
            if name != "mixed"
            else "a model that had some parts in training and others in evaluation mode did not get each part's own mode back",
        )


@check("mc_dropout_predict", points=1)
def leaves_no_graph_and_no_change(student: Any, draw: Draw) -> None:
    """The results carry no graph; parameters, their gradients, the input and torch's grad mode are left as they were."""
    network = Network(draw, 5)
    seen = _predict(student, network, 2)
    _mean(seen, network)
    expect.that(
        seen.get("graph") is False,
        "graph:kept",
        "the results require gradients: each holds on to all of its samples' graphs",
    )
    expect.that(
        seen.get("gradients") is False,
        "graph:gradients",
        "after the call, parameters have gradients that they had not before",
    )
    expect.that(seen.get("frozen") is False, "graph:frozen", "after the call, parameters no longer require gradients")
    expect.that(
        seen.get("grad_mode") is True,
        "graph:grad_mode",
        "after the call, gradients are switched off for the whole program",
    )
    before, after = (_table(_table(seen.get(key)).get("parameters")) for key in ("before", "after"))
    expect.that(
        all(_same(v, after.get(n)) for n, v in before.items()),
        "parameters:changed",
        "the call changed parameters of the model",
    )
    expect.unchanged(network.x, seen.get("x"))


@check("mc_dropout_predict", points=1)
def serves_images_and_single_samples(student: Any, draw: Draw) -> None:
    """It works for any input the model takes, for one example, and for one sample, whose probabilities are then the mean."""
    plan = student.together()
    images, one, eight = Network(draw, 6, maps=True), Network(draw, 1), Network(draw, 8)
    of_images = _predict_planned(student, plan, images, 5, by_name=True)
    of_one = _predict_planned(student, plan, one, 5)
    of_one_sample = _predict_planned(student, plan, eight, 1)
    seen = of_images()
    _within("images", lambda: images.kept(_mean(seen, images), 5, judged=False))
    _within("images", lambda: _std(seen, images))
    seen = of_one()
    _within("one_example", lambda: one.kept(_mean(seen, one), 5, judged=False))
    _within("one_example", lambda: _std(seen, one))
    seen = of_one_sample()
    # The standard deviation of one value is 0, or, with n - 1, not defined: NaN is right, and is not looked at.
    _within("one_sample", lambda: eight.kept(_mean(seen, eight), 1, judged=False))


class Network:
    """What the judge knows of the network that `predicted` makes.

    Attributes:
        x: inputs, (N, F) or (N, F, H, W).
        weights: what the fixture is given.
        hidden: the hidden unit with batch norm's running statistics, (N,), float64; at least 0.7 in size.
        by_batch: the hidden unit with the statistics of the batch instead.
    """

    def __init__(self, draw: Draw, examples: int, kinds: Sequence[str] = ("Dropout",), maps: bool = False) -> None:
        """Draw a network, and inputs whose hidden unit is far from 0, so that a and b are far from each other."""
        features, classes = 5, 4
        heights = torch.tensor([1.5, -1.0, 0.5, -0.5])
        weights = {
            "mean": draw.signed(features),
            "variance": draw.signed(features).abs() * 2,
            "gamma": draw.signed(features),
            "beta": draw.signed(features) * 0.5,
            "hidden": draw.signed(features),
            "bias": draw.signed(classes) * 0.5,
            "branches": torch.stack([heights[draw.permutation(classes)] * draw.uniform(0.8, 1.2) for _ in kinds]),
        }
        shape = (3, 2) if maps else ()
        chosen: list[Tensor] = []
        while len(chosen) < examples:
            x = draw.signed(64, features, *shape) * 2
            size = _hidden(x, weights)[0].abs()
            chosen += list(x[(size > 0.7) & (size < 2.5)])
        self.x, self.weights, self.kinds, self.p = (
            torch.stack(chosen[:examples]),
            weights,
            tuple(kinds),
            draw.probability(),
        )
        self.hidden, self.by_batch = _hidden(self.x, weights)

    def logits(self, scales: Sequence[float], hidden: Tensor | None = None) -> Tensor:
        """Return logits (N, K) for what each branch multiplies the hidden unit by."""
        factors = torch.tensor(list(scales), dtype=torch.float64) @ self.weights["branches"].double()
        return self.weights["bias"].double() + (self.hidden if hidden is None else hidden)[:, None] * factors

    def ends(self, by_batch: bool = False) -> tuple[Tensor, Tensor]:
        """Return the logits where the unit is dropped, and where it is kept."""
        hidden = self.by_batch if by_batch else self.hidden
        return self.logits([0.0], hidden), self.logits([1 / (1 - self.p)], hidden)

    def kept(self, mean: Tensor, samples: int, judged: bool = True) -> Tensor:
        """Expect the mean of `samples` probabilities; return in how many each example's unit was kept, (N,).

        Args:
            judged: if False, means of a known wrong kind are read as well: that they are wrong is for another check to say.
        """
        families = {
            **self._families(samples),
            "batch_statistics": lambda s: _between(*map(_softmax, self.ends(True)), s),
        }
        for name, family in families.items():
            for used in (samples, samples - 1, samples + 1) if samples > 1 else (samples, samples + 1):
                grid = torch.stack([family(k / used) for k in range(used + 1)])  # (T + 1, N, K)
                distance = (grid - mean.double()).abs().amax(dim=2)
                if bool((distance.amin(dim=0) > 1e-4).any()):
                    continue
                if used == samples and (name == "right" or not judged):
                    return distance.argmin(dim=0)
                code = f"mean:{name}" if name != "right" else f"samples:{'fewer' if used < samples else 'more'}"
                said = _SAID.get(name, f"is the mean of {used} samples, not of {samples}")
                raise expect.Failure(code, f"mean_probs {said}")
        undropped = self.logits([1.0])
        inactive = {"inactive": _softmax(undropped), "inactive_logits": undropped}
        sums = {d: bool(((mean.double().sum(dim=d) - 1).abs() < 1e-4).all()) for d in (0, 1)}
        shape = "wrong_axis" if sums[0] and not sums[1] else "other" if sums[1] else "sums"
        found = next((n for n, v in inactive.items() if expect._fits(mean.double(), v)), shape)
        said = {
            "inactive": "is the prediction of evaluation mode: nothing was dropped",
            "inactive_logits": "is the logits of evaluation mode: nothing was dropped, and they are no probabilities",
            "wrong_axis": "sums to 1 over the examples, not over the classes: along which axis is the softmax taken?",
            "sums": "does not sum to 1 over the classes",
        }.get(found, "is no average of probabilities that the model gives with dropout active")
        raise expect.Failure(f"mean:{found}", f"mean_probs {said}")

    def uses_running_statistics(self, mean: Tensor, samples: int) -> bool:
        """Whether a mean, of any known kind, was made with batch norm's running statistics and not with those of the batch."""
        a, b = map(_softmax, self.ends(by_batch=True))
        grid = torch.stack([_between(a, b, k / samples) for k in range(samples + 1)])
        if bool(((grid - mean.double()).abs().amax(dim=2).amin(dim=0) <= 1e-4).all()):
            return False
        try:
            self.kept(mean, samples, judged=False)
        except expect.Failure as failure:
            if failure.code != "mean:inactive":  # which is for another check to say
                raise
        return True

    def has_spread(self, std: Tensor, samples: int) -> None:
        """Expect the standard deviation of a and b with some number of each, with n or with n - 1."""
        # Variances are compared: a right answer may compute E[p²] - E[p]² in float32, off by some 1e-7 before the root.
        a, b = self.ends()
        width = (_softmax(a) - _softmax(b)).abs()
        shares = torch.arange(samples + 1, dtype=torch.float64) / samples
        spread = (shares * (1 - shares)).sqrt().view(-1, 1, 1)
        one_less = (samples / (samples - 1)) ** 0.5
        right, wide, got = spread * width, spread * (a - b).abs(), std.double()
        grids = {"n": right, "n-1": right * one_less}
        fits = {n: bool(((g.square() - got.square()).abs().amax(2).amin(0) <= 5e-6).all()) for n, g in grids.items()}
        # All zero would mean samples that are all the same, see `averages_probabilities`.
        if bool((got >= 0).all()) and any(fits.values()) and bool((got > 1e-3).any()):
            return
        error = samples**0.5
        wrong = {
            "zero": torch.zeros_like(right),
            "variance": right.square(), "variance_n-1": (right * one_less).square(),
            "standard_error": right / error, "standard_error_n-1": right * one_less / error,
            "of_logits": wide, "of_logits_n-1": wide * one_less,
            "mean_deviation": 2 * spread.square() * width, "minus": -right,
        }  # fmt: skip
        found = next((n for n, g in wrong.items() if bool(((g - got).abs().amax(2).amin(0) <= 1e-4).all())), "other")
        said = {
            "zero": "is zero: the samples are all the same, or it was taken over a single one",
            "variance": "is the variance: the standard deviation is its square root",
            "standard_error": "is the standard error of the mean, smaller than the standard deviation by the root of n_samples",
            "of_logits": "is the standard deviation of the logits, not of the probabilities",
            "mean_deviation": "is the mean absolute deviation",
        }.get(found := found.removesuffix("_n-1"), "is not the standard deviation of the samples' probabilities")
        raise expect.Failure(f"std:{found}", f"std_probs {said}")

    def _families(self, samples: int) -> dict[str, Callable[[float], Tensor]]:
        """Return, by name, what the mean is where a share s of the samples kept the unit: the right one, then wrong ones."""
        a, b = self.ends()
        p, q = _softmax(a), _softmax(b)
        return {
            "right": lambda s: _between(p, q, s),
            "logits_averaged": lambda s: _softmax(_between(a, b, s)),
            "logits": lambda s: _between(a, b, s),
            "log_probabilities": lambda s: _between(p.log(), q.log(), s),
            "geometric": lambda s: _between(p.log(), q.log(), s).exp(),
            "softmax_twice": lambda s: _between(_softmax(p), _softmax(q), s),
            "softmax_of_mean": lambda s: _softmax(_between(p, q, s)),
            "sum": lambda s: samples * _between(p, q, s),
            "sigmoid": lambda s: _between(a.sigmoid(), b.sigmoid(), s),
        }


_SAID = {
    "logits_averaged": "is the softmax of the averaged logits: average the samples' probabilities instead",
    "logits": "is the average of the logits: they are no probabilities before a softmax",
    "log_probabilities": "is the average of log-probabilities",
    "geometric": "is the exponential of averaged log-probabilities, a geometric mean",
    "softmax_twice": "is as if the softmax were taken twice",
    "softmax_of_mean": "is the softmax of averaged probabilities, which sum to 1 already",
    "sigmoid": "is an average of sigmoids: each class by itself, so that a row does not sum to 1",
    "sum": "is the sum over the samples, not their average",
    "batch_statistics": "was made with batch norm in training mode: it used the statistics of the batch",
}


# -- shared --------------------------------------------------------------------------------------------------------------

Attempt = Callable[[], Tensor]
"""Gives a planned answer, and from the second time on what another call returns."""

Planned = Callable[[Tensor], Attempt]
"""Plans a call for an input."""

Asked = Callable[..., Planned]
"""Given a plan and options, such as p: `dropout` with these, or a new layer made with them."""


def _values(student: Any, plan: Plan, x: Tensor, *args: Any, **options: Any) -> Attempt:
    """Plan the output of `dropout`."""
    target = expect.function(student.dropout, "dropout")
    answer = expect.planned(plan.call(target, x, *args, **options), lambda: target(x, *args, **options))
    return lambda: expect.tensor(answer(), "the output", shape=x.shape)


def _function(student: Any) -> Asked:
    return lambda plan, **options: lambda x: _values(student, plan, x, **options)


def _layers(student: Any) -> Asked:
    return lambda plan, **options: layers.PlannedLayer(student, plan, "Dropout", **options).output


def _within(prefix: str, attempt: Callable[[], object]) -> None:
    """Put a prefix before the code of a failure, so that it says where it came up."""
    try:
        attempt()
    except expect.Failure as failure:
        raise expect.Failure(f"{prefix}_{failure.code}", failure.message, failure.evidence) from None


def _coin_for_each_value(student: Any, asked: Asked, draw: Draw) -> None:
    x, p = draw.signed(*MAPS), draw.probability()
    expect.constant_zero_pattern(expect.mixed(asked(student.together(), p=p)(x)), over=())


def _drops_a_share(student: Any, asked: Asked, draw: Draw, called: str) -> None:
    x, alarm, plan = draw.signed(*COUNTED), FALSE_ALARM / 4, student.together()
    p, large = draw.probability(*SMALL), draw.probability(0.6, 0.8)
    y, y_large, y_default = (asked(plan, **options)(x) for options in ({"p": p}, {"p": large}, {}))
    expect.drop_rate(y(), p, alarm, candidates=layers.wrong_rates(p))
    expect.drop_rate(y_large(), large, alarm, code="rate_large")
    # That the others passed says which mistake it is, whatever the rate.
    try:
        expect.drop_rate(y_default(), 0.5, alarm)
    except expect.Failure as failure:
        code = "rate_by_default:another" if failure.code.startswith("rate:") else f"by_default_{failure.code}"
        raise expect.Failure(code, f"{called}: {failure.message}", failure.evidence) from None


def _rescales(student: Any, asked: Asked, draw: Draw) -> None:
    x, plan = draw.signed(*MAPS), student.together()
    rates = {"scale": draw.probability(), "scale_large": draw.probability(0.6, 0.8)}
    for (family, p), output in [(item, asked(plan, p=item[1])(x)) for item in rates.items()]:
        y = output()
        for _ in range(64):  # one call does, but where a single coin decides over everything: 0.8^65 < 1e-6
            y = y if bool((y != 0).any()) else output()
        expect.scale(y, x, p, family)


def _draws_afresh(student: Any, asked: Asked, draw: Draw) -> None:
    """Expect independent coins."""
    x, other, p, alarm, plan = (
        draw.signed(*MANY), draw.signed(*MANY), draw.probability(), FALSE_ALARM / 4, student.together()
    )  # fmt: skip
    few = draw.signed(*FEW_VALUES)
    one = asked(plan, p=p)
    outputs, smaller = [one(x)], one(x[:5])  # a layer sees batches of many sizes
    outputs += [one(x), asked(plan, p=p)(x), one(other)]
    called = [one(few) for _ in range(CALLS)]
    first = (outputs[0]() == 0).flatten(1)
    smaller()
    second, elsewhere, on_another = ((output() == 0).flatten(1) for output in outputs[1:])
    expect.independent(first, p, ("example", "value"), alarm)
    agree = bool((first == elsewhere).all()) and not bool((first == second).all())
    expect.that(
        not agree, "stale:seeded_when_made", "each new layer draws the same masks: is the generator seeded in __init__?"
    )
    expect.fresh(first, second, p, elsewhere, on_another, alarm)
    expect.distinct(torch.cat([first, second]), p, ("example", "value"))
    calls = torch.stack([output().flatten() for output in called])
    _within("calls", lambda: expect.independent(calls == 0, p, ("call", "value"), alarm))
    layers.does_not_seed(student, draw.student_seed, outputs[0])


def _leaves_alone(plan: Plan, draw: Draw, target: Remote | Later, *args: Any) -> Callable[[], None]:
    """Plan calls for inputs of each dtype; what is returned expects it of the output, and the input to be as it was."""
    inputs = [draw.signed(*MAPS, dtype=d) for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)]
    calls = [(x, plan.observe(target, x, *args)) for x in inputs]

    def leaves_alone() -> None:
        for x, call in calls:
            seen = call.get()
            expect.tensor(seen.output, f"the output for {x.dtype} input", shape=x.shape, dtype=x.dtype)
            expect.unchanged(x, seen.arguments[0])

    return leaves_alone


def _works_at_the_extremes(plan: Plan, asked: Asked, draw: Draw) -> Callable[[], None]:
    x = draw.signed(*FEW)
    extreme, value = {repr(p): asked(plan, p=p)(x) for p in layers.EXTREMES}, asked(plan, p=0.0)(x)

    def works() -> None:
        layers.at_the_extremes(lambda _, p: extreme[repr(p)](), x, "the output")
        expect.eventually(lambda: expect.close(value(), x, "the output at p = 0", "p0_value"))

    return works


# At least 40 values each: none of them, or all, are dropped with 0.8^40 < 1.4e-4, and in 64 tries never.
SHAPES = ((43,), (7, 9), (3, 4, 5), (3, 2, 3, 2, 2))


def _takes_any_shape(planned: Planned, draw: Draw) -> Callable[[], None]:
    outputs = [(shape, planned(draw.signed(*shape))) for shape in SHAPES]

    def takes() -> None:
        for shape, output in outputs:
            _takes_shape(shape, output)

    return takes


def _takes_shape(shape: Sequence[int], attempt: Attempt) -> None:
    """Expect some values to be dropped and others kept."""
    try:
        expect.mixed(attempt)
    except StudentError as error:
        if error.not_started:
            raise
        said = f"an input of shape {shape} should do: {error.sentence()}"
        raise expect.Failure(f"dimensions:{len(shape)}", said) from None


@fixture
def given(function: Callable[..., Any], x: torch.Tensor) -> Callable[[float], Any]:
    """Return the function of p that an input leaves."""
    return lambda p: function(x, p=p)


@fixture
def mode_of(module: Any) -> Any:
    return module.training


@fixture
def seeded(function: Callable[..., Any], x: torch.Tensor, p: float, seed: int) -> list[Any]:
    """Return two outputs, each after torch's generator, and no other, was given the same seed."""
    outputs = []
    for _ in range(2):
        torch.manual_seed(seed)
        outputs.append(function(x.clone(), p))
    return outputs


@fixture
def around_dropout(layer: Any, x: torch.Tensor, cotangent: torch.Tensor) -> dict[str, Any]:
    """Call a layer while `dropout`, as it finds it, is a function that doubles: what does the layer itself to the gradient?"""
    names, asked = type(layer).forward.__globals__, []

    def doubles(x: torch.Tensor, p: float = 0.5, training: bool = True) -> torch.Tensor:
        asked.append(1)
        return 2 * x

    if "dropout" not in names:
        return {"asked": 0}
    kept = names["dropout"]
    names["dropout"] = doubles
    try:
        wanted = x.clone().requires_grad_()
        output, gradient = layer(wanted), None
        if isinstance(output, torch.Tensor) and output.requires_grad:
            (gradient,) = torch.autograd.grad(output, wanted, cotangent, allow_unused=True)
    finally:
        names["dropout"] = kept
    return {"asked": len(asked), "output": output, "gradient": gradient}


def _gradient_is_masked(
    student: Any, plan: Plan, layer: layers.PlannedLayer, training: bool, x: Tensor, g: Tensor
) -> Callable[[], None]:
    """Plan a call; what is returned expects the gradient of an element-wise product, of what the layer does itself.

    A layer that leaves the arithmetic to `dropout` passes on what `dropout` does. Where that passes no gradient, the layer
    is tried around a function that does.

    Args:
        training: the mode that the layer is in at this place of the plan.
    """
    observed = plan.observe(layer.made, x.clone().requires_grad_(), cotangent=g)

    def masked() -> None:
        try:
            expect.masked_gradient(observed.get(), x, g)
        except expect.Failure:
            student.fixture(layers.set_mode)(layer.remote(), training)  # the rest of the plan may have changed it
            seen = _table(student.fixture(around_dropout)(layer.remote(), x, g))
            output, gradient = seen.get("output"), seen.get("gradient")
            if not (seen.get("asked") and _same(2 * x, output) and _same(2 * g, gradient)):
                raise

    return masked


def _softmax(logits: Tensor) -> Tensor:
    """Over the last dimension. Written out: torch's own waits for its threads, which takes long where a core is busy."""
    powers = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    return powers / powers.sum(dim=-1, keepdim=True)


def _between(a: Tensor, b: Tensor, share: float) -> Tensor:
    return a + share * (b - a)


def _hidden(x: Tensor, weights: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return the hidden unit with running statistics and with the batch's, (N,) each, in float64."""
    wide, w = x.double(), {name: value.double() for name, value in weights.items()}
    axes = [d for d in range(x.dim()) if d != 1]
    shape = [-1 if d == 1 else 1 for d in range(x.dim())]

    def unit(mean: Tensor, variance: Tensor) -> Tensor:
        normal = (wide - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt() * w["gamma"].view(shape) + w[
            "beta"
        ].view(shape)
        return (normal.flatten(2).mean(dim=2) if x.dim() == 4 else normal) @ w["hidden"]

    return unit(w["mean"], w["variance"]), unit(wide.mean(dim=axes), wide.var(dim=axes, correction=0))


def _predict(student: Any, network: Network, samples: int, calls: int = 1) -> dict[str, Any]:
    """Let the learner's function predict with a network; return what `predicted` reports."""
    return _predict_planned(student, student.together(), network, samples, calls=calls)()


def _predict_planned(
    student: Any,
    plan: Plan,
    network: Network,
    samples: int,
    modes: Sequence[bool] = (False,),
    p: float | None = None,
    **options: Any,
) -> Callable[[], dict[str, Any]]:
    """Plan what `_predict` does; what is returned reads the answer."""
    run, target = student.fixture(predicted), expect.function(student.mc_dropout_predict, "mc_dropout_predict")
    rate = network.p if p is None else p
    call = plan.call(
        run, target, network.weights, network.x, samples, list(network.kinds), rate, list(modes), **options
    )
    return lambda: {**_table(call.get()), "samples": samples}


def _mean(seen: Mapping[str, Any], network: Network, call: int = 0) -> Tensor:
    """Expect a pair whose first is a tensor (N, K); return that."""
    return _result(seen, network, 0, "mean", call)


def _std(seen: Mapping[str, Any], network: Network, call: int = 0) -> Tensor:
    """Expect a pair whose second is a tensor (N, K); return that."""
    return _result(seen, network, 1, "std", call)


def _result(seen: Mapping[str, Any], network: Network, index: int, name: str, call: int) -> Tensor:
    results = seen.get("results")
    pair = results[call] if isinstance(results, list) and len(results) > call else None
    if not isinstance(pair, (tuple, list)):
        said = f"the result should be a pair (mean_probs, std_probs), got {expect._describe(pair)}"
        raise expect.Failure(f"pair_{expect._type_code(pair)}", said)
    expect.that(len(pair) == 2, f"pair:{len(pair)}", f"the result should be a pair, but it has {len(pair)} entries")
    value, shape = pair[index], (len(network.x), len(network.weights["bias"]))
    if isinstance(value, Tensor) and tuple(value.shape) == (seen.get("samples"), shape[1]) != shape:
        said = f"{name}_probs has a row for each sample: average over the samples, and keep the examples {shape}"
        raise expect.Failure(f"{name}_shape:samples", said)
    try:
        return expect.tensor(value, f"{name}_probs", shape=shape)
    except expect.Failure as failure:
        raise expect.Failure(f"{name}_{failure.code}", failure.message) from None


def _inactive(mean: Tensor, network: Network) -> str:
    """Return the letters of the kinds that did not drop at p = 1, where a part is 0 if it drops, and else the hidden unit."""
    choices = torch.tensor(list(product([0.0, 1.0], repeat=len(network.kinds))), dtype=torch.float64)
    factors = choices @ network.weights["branches"].double()  # (1024, K)
    logits = network.weights["bias"].double() + network.hidden[:, None] * factors[:, None, :]  # (1024, N, K)
    # A sum over samples, or logits, are for another check to judge.
    probs = _softmax(logits)
    for each in (probs, 2 * probs, logits, probs.log()):
        distance = (each - mean.double()).abs().amax(dim=(1, 2))
        if float(distance.min()) <= 1e-4:
            found = choices[int(distance.argmin())]
            return "".join(chr(ord("a") + i) for i, v in enumerate(found.tolist()) if v)
    return "?"


def _table(value: Any) -> dict[str, Any]:
    """Return a dictionary, empty if something else came."""
    return value if isinstance(value, dict) else {}


def _same(wanted: Any, got: Any) -> bool:
    return (
        isinstance(wanted, Tensor)
        and isinstance(got, Tensor)
        and wanted.shape == got.shape
        and bool((wanted == got).all())
    )
