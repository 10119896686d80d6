"""Public checks of 10_interactions. Nothing here is left to chance: no coin decides over a verdict, so there are no alarms.

`variance_shift` and `recalibrate_batchnorm` get networks made where the learner's code runs (`worked_on`), from rows that
name each layer and hold its weights. What stands in for dropout in them is sure of what it does: a layer that multiplies by
a constant in training, and the library's dropout at p = 1 beside an identity. So the judge computes the same network from the
same rows, in float64, and knows every variance exactly, right ones and wrong ones (`Network`).

`run_ablation` gets a `build` that looks its metrics up in a table of the judge's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.student import Later, Remote, fixture

EXERCISES = (
    Exercise(
        "variance_shift",
        hints=(
            "You need two passes over the loader, one in each mode, and from each the variance of what goes into every batch "
            "norm layer. How do you get hold of a layer's input without changing the model? And which of the two passes "
            "changes something that the other one needs?",
            "A forward pre-hook sees the input of a layer: `handle = layer.register_forward_pre_hook(f)`, later "
            "`handle.remove()`. Collect sums over all batches, or the inputs themselves, with the channels as first "
            "dimension. `copy.deepcopy(model)` gives you a model that you may spoil; without it, keep modes and buffers "
            "and put both back.",
            "On a copy: run it in evaluation mode first, then in training mode, for the training pass moves the running "
            "statistics. In each, a hook appends `x.detach().transpose(0, 1).flatten(1)` to the list of its layer. Then "
            "`torch.cat(parts, 1).var(1)` is the variance of each channel; divide that of training by that of evaluation.",
        ),
    ),
    Exercise(
        "recalibrate_batchnorm",
        hints=(
            "Batch norm updates its running statistics by itself whenever it is in training mode. Which three things have to "
            "be different from ordinary training: what is in which mode, what the running statistics start from, and how "
            "the batches are weighted?",
            "Put the whole model in evaluation mode and then only the batch norm layers in training mode. "
            "`reset_running_stats()` forgets the old statistics. And look up in PyTorch's documentation of batch norm what "
            "`momentum=None` means. Note every module's mode and every momentum first.",
            "For each batch norm layer: `layer.reset_running_stats()`, `layer.momentum = None`, `layer.train()`, after "
            "`model.eval()`. Then, under `torch.no_grad()`, call the model on every x of the loader. At the end put the "
            "momenta back, and `module.training` of every module.",
        ),
        forbids=("update_bn",),
    ),
    Exercise(
        "run_ablation",
        hints=(
            "Two loops, and a list of values for every pair of configuration and metric. What has to happen before the loops, "
            "if a single seed is not enough?",
            "For one configuration, `[build(configuration, seed) for seed in seeds]` is a list of dictionaries: each of them "
            "is one run. Keep it, so that nothing is trained twice, and go through the metrics of its first entry.",
            "For each metric take `values = [run[metric] for run in runs]`: the pair is `statistics.mean(values)` and "
            "`statistics.stdev(values)`, which divides by n - 1, as `reglab.training.mean_and_spread` does. Raise the "
            "ValueError where len(seeds) < 2.",
        ),
    ),
)  # fmt: skip

_CLOSE = (1e-3, 1e-5)
"""Relative and absolute: float32 sums are good to 1e-5 here, and every known wrong value is off by more than 5e-3 somewhere."""

_MEDDLED = "your code interfered with the check, so its answer could not be read"

Row = list[Any]
"""[name, kind, values]: one layer; see `worked_on`."""

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Mean and variance (C,) by the name of the batch norm layer."""


@fixture
def worked_on(
    function: Any,
    rows: list[Any],
    batches: list[torch.Tensor],
    modes: list[bool],
    as_lists: bool = False,
    calls: int = 1,
    double: bool = False,
) -> dict[str, Any]:
    """Make a network of the rows, let `function(model, loader)` work on it, and report what it returns and what it leaves.

    Args:
        rows: [name, kind, values] of each layer; a group's values are rows in turn.
        modes: the modules' modes at the start, in the order of `modules()`, over and over.
        as_lists: the loader yields [x, target], as torch's does, and not a tuple.
    """
    from collections import OrderedDict

    from torch import nn
    from torch.nn.modules import module as hooks_of_all

    class Scale(nn.Module):
        """What a learner's own layer may be: it multiplies by a constant in training, and does nothing in evaluation."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor if self.training else x

    class Beside(nn.Module):
        """The input, plus what dropout leaves of it."""

        def __init__(self, drop: nn.Module) -> None:
            super().__init__()
            self.drop = drop

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.drop(x)

    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(2).mean(2)

    def layer(kind: str, values: Any) -> nn.Module:
        if kind == "group":
            return nn.Sequential(OrderedDict((name, layer(kind, values)) for name, kind, values in values))
        if kind in ("linear", "conv"):
            weight, bias = values
            made = (
                nn.Linear(weight.shape[1], weight.shape[0])
                if kind == "linear"
                else nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], padding=weight.shape[2] // 2)
            )
            made.weight.data, made.bias.data = weight.clone(), bias.clone()
            return made
        if kind.startswith("norm"):
            gamma, beta, mean, variance, momentum, tracked = values
            made = getattr(nn, f"BatchNorm{kind[-1]}d")(len(gamma), momentum=momentum)
            made.weight.data, made.bias.data = gamma.clone(), beta.clone()
            made.running_mean.copy_(mean)
            made.running_var.copy_(variance)
            made.num_batches_tracked.fill_(tracked)
            return made
        if kind == "scale":
            return Scale(values[0])
        if kind == "beside":
            return Beside(getattr(nn, values[0])(1.0))
        if kind == "instance":
            return nn.InstanceNorm2d(values[0], affine=True)
        return {"tanh": nn.Tanh, "mean": Mean}[kind]()

    class Loader:
        """Batches with targets, as often as one likes."""

        def __len__(self) -> int:
            return len(batches)

        def __iter__(self) -> Any:
            for x in batches:
                target = torch.zeros(len(x), dtype=torch.int64)
                yield [x.clone(), target] if as_lists else (x.clone(), target)

    model = layer("group", rows)
    if double:
        model.double()
    for index, module in enumerate(model.modules()):
        module.training = modes[index % len(modes)]
    for index, p in enumerate(model.parameters()):
        if index % 3:
            p.grad = torch.full_like(p, index)
        p.requires_grad_(index % 5 != 4)
    model.register_forward_hook(lambda module, inputs, output: None)
    next(model.children()).register_forward_pre_hook(lambda module, inputs: None)

    def state() -> dict[str, Any]:
        kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
        return {
            "modes": [m.training for m in model.modules()],
            "buffers": {name: b.detach().clone() for name, b in model.named_buffers()},
            "parameters": {name: p.detach().clone() for name, p in model.named_parameters()},
            "gradients": {n: p.grad if p.grad is None else p.grad.clone() for n, p in model.named_parameters()},
            "trains": [p.requires_grad for p in model.parameters()],
            "momenta": [m.momentum for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)],
            "hooks": sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds),
        }

    # Hooks for all modules of the program: those left behind are counted and taken away, or they would see other networks.
    for_all = (hooks_of_all._global_forward_hooks, hooks_of_all._global_forward_pre_hooks)
    known = [set(hooks) for hooks in for_all]
    before, results = state(), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for networks this small others are no help, and on a busy machine one waits for them
    try:
        for _ in range(calls):
            returned = function(model, Loader())
            items = returned.items() if isinstance(returned, dict) else ()
            named = [[k if isinstance(k, str) else type(k).__name__, v] for k, v in items]
            results.append({"kind": "dict" if isinstance(returned, dict) else type(returned).__name__, "items": named})
    finally:
        torch.set_num_threads(threads)
        grad_mode = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        left = [(hooks, key) for hooks, old in zip(for_all, known, strict=True) for key in set(hooks) - old]
        for hooks, key in left:
            del hooks[key]
    after = state()
    after["hooks"] += len(left)
    return {"results": results, "before": before, "after": after, "grad_mode": grad_mode}


# -- the judge's own copy of the networks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mode:
    """What is active in a pass: batch norm's batch statistics, a learner's own layer, the library's dropout."""

    norms: bool
    own: bool
    library: bool


TRAINING, EVALUATION, RECALIBRATION = Mode(True, True, True), Mode(False, False, False), Mode(True, False, False)


class Network:
    """Rows of layers and batches to show them, and what comes of it in float64.

    Attributes:
        rows: see `worked_on`.
        batches: float32; the last one is smaller.
        names: of the batch norm layers, in order.
    """

    def __init__(self, draw: Draw, kind: str = "maps", momenta: Sequence[float | None] = (0.3, 0.2, 0.4)) -> None:
        """Draw the weights of a network of vectors ("flat"), of images ("maps"), or of both and deeply nested ("nested")."""
        sizes, shape = (7, 7, 4), (3,) if kind == "flat" else (3, 4, 5)
        shifts = draw.signed(len(sizes), 1, 3)
        self.batches = [
            draw.normal(n, *shape) + shift.reshape(1, 3, *[1] * (len(shape) - 1))
            for n, shift in zip(sizes, shifts, strict=True)
        ]
        first, second, third = momenta
        factor, other = draw.uniform(1.4, 1.7), draw.uniform(0.5, 0.6)
        if kind == "flat":
            self.rows: list[Row] = [
                ["first", "linear", [draw.signed(5, 3), draw.signed(5)]],
                ["noise", "scale", [factor]],
                ["norm", "norm1", _norm(draw, 5, first)],
                ["tanh", "tanh", []],
                ["second", "linear", [draw.signed(6, 5), draw.signed(6)]],
                ["norm_of_second", "norm1", _norm(draw, 6, second)],
                ["last", "linear", [draw.signed(2, 6), draw.signed(2)]],
            ]
        elif kind == "maps":
            self.rows = [
                ["first", "conv", [draw.signed(5, 3, 3, 3) / 3, draw.signed(5)]],
                ["noise", "scale", [factor]],
                ["norm", "norm2", _norm(draw, 5, first)],
                ["tanh", "tanh", []],
                ["drop", "beside", ["Dropout2d"]],
                ["second", "conv", [draw.signed(4, 5, 1, 1), draw.signed(4)]],
                ["norm_of_second", "norm2", _norm(draw, 4, second)],
                ["mean", "mean", []],
                ["last", "linear", [draw.signed(2, 4), draw.signed(2)]],
            ]
        else:
            self.rows = [
                ["stem", "group", [
                    ["conv", "conv", [draw.signed(4, 3, 3, 1) / 2, draw.signed(4)]],
                    ["other_norm", "instance", [4]],
                    ["mixed", "conv", [draw.signed(5, 4, 1, 1), draw.signed(5)]],
                    ["norm", "norm2", _norm(draw, 5, first)],
                ]],
                ["blocks", "group", [
                    ["0", "group", [
                        ["act", "tanh", []],
                        ["drop", "beside", ["Dropout"]],
                        ["conv", "conv", [draw.signed(6, 5, 1, 3) / 2, draw.signed(6)]],
                        ["bn", "norm2", _norm(draw, 6, second)],
                    ]],
                    ["1", "mean", []],
                ]],
                ["head", "group", [
                    ["noise", "scale", [other]],
                    ["linear", "linear", [draw.signed(4, 6), draw.signed(4)]],
                    ["bn", "norm1", _norm(draw, 4, third)],
                    ["out", "linear", [draw.signed(2, 4), draw.signed(2)]],
                ]],
            ]  # fmt: skip
        self.given = _statistics_of(self.rows)
        self.names = list(self.given)

    def inputs(
        self, mode: Mode, statistics: Statistics | None = None, outputs: bool = False, only: int | None = None
    ) -> list[dict[str, Tensor]]:
        """Return, for each batch or for one, what goes into each batch norm layer (or comes out of it), (C, n), float64."""
        found, threads = [], torch.get_num_threads()
        torch.set_num_threads(1)  # as in the fixture
        try:
            for x in self.batches if only is None else [self.batches[only]]:
                seen: dict[str, Tensor] = {}
                _through(self.rows, x.double(), mode, statistics or self.given, seen, outputs)
                found.append({name: _by_channel(values) for name, values in seen.items()})
        finally:
            torch.set_num_threads(threads)
        return found

    def in_one_batch(self) -> Network:
        """Return the same with all examples in a single batch."""
        merged = copy.copy(self)
        merged.batches = [torch.cat(self.batches)]
        return merged

    def moved(self, mode: Mode) -> list[Statistics]:
        """Return the running statistics after each batch of a pass, by batch norm's own rule."""
        now, found = dict(self.given), []
        momenta = {name: values[4] for name, values in _norms(self.rows)}
        for seen in self.inputs(mode):
            for name, x in seen.items():
                m, (mean, variance) = momenta[name], now[name]
                now[name] = ((1 - m) * mean + m * x.mean(1), (1 - m) * variance + m * x.var(1))
            found.append(dict(now))
        return found

    def joined(self, values: Mapping[str, Tensor]) -> Tensor:
        """Put the values of all layers one after the other."""
        return torch.cat([values[name] for name in self.names])


def _norm(draw: Draw, channels: int, momentum: float | None) -> list[Any]:
    """Draw batch norm's weights, running statistics, momentum and count of batches."""
    return [
        draw.signed(channels).abs(), draw.signed(channels) / 2, draw.signed(channels),
        draw.signed(channels).abs() * 4, momentum, draw.integer(3, 6),
    ]  # fmt: skip


def _norms(rows: Sequence[Row], prefix: str = "") -> list[tuple[str, list[Any]]]:
    found = []
    for name, kind, values in rows:
        if kind == "group":
            found += _norms(values, f"{prefix}{name}.")
        elif kind.startswith("norm"):
            found.append((prefix + name, values))
    return found


def _statistics_of(rows: Sequence[Row]) -> Statistics:
    return {name: (values[2].double(), values[3].double()) for name, values in _norms(rows)}


def _through(
    rows: Sequence[Row],
    x: Tensor,
    mode: Mode,
    statistics: Statistics,
    seen: dict[str, Tensor],
    outputs: bool,
    prefix: str = "",
) -> Tensor:
    """Compute the layers one after the other, and note in `seen` what goes into, or comes out of, each batch norm layer."""
    for name, kind, values in rows:
        if kind == "group":
            x = _through(values, x, mode, statistics, seen, outputs, f"{prefix}{name}.")
        elif kind == "linear":
            x = functional.linear(x, *(v.double() for v in values))
        elif kind == "conv":
            weight, bias = (v.double() for v in values)
            x = functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)
        elif kind.startswith("norm"):
            before, where = x, prefix + name
            if mode.norms:
                mean, variance = _by_channel(x).mean(1), _by_channel(x).var(1, correction=0)
            else:
                mean, variance = statistics[where]
            gamma, beta = values[0].double(), values[1].double()
            scale, like = gamma / (variance + 1e-5).sqrt(), (1, -1, *[1] * (x.dim() - 2))
            x = (x - mean.view(like)) * scale.view(like) + beta.view(like)
            seen[where] = x if outputs else before
        elif kind == "scale":
            x = x * values[0] if mode.own else x
        elif kind == "beside":
            x = x if mode.library else 2 * x
        elif kind == "instance":
            x = functional.instance_norm(x)
        elif kind == "tanh":
            x = x.tanh()
        else:
            x = x.flatten(2).mean(2)
    return x


def _by_channel(x: Tensor) -> Tensor:
    """(N, C, …) to (C, N * …)."""
    return x.transpose(0, 1).flatten(1)


# -- variance_shift ------------------------------------------------------------------------------------------------------


def _pooled(seen: Sequence[Mapping[str, Tensor]], correction: int = 1) -> dict[str, Tensor]:
    return {name: torch.cat([s[name] for s in seen], 1).var(1, correction=correction) for name in seen[0]}


def _right_shifts(network: Network) -> Tensor:
    """Return what the ratios should be, all layers' one after the other."""
    train, still = _pooled(network.inputs(TRAINING)), _pooled(network.inputs(EVALUATION))
    return network.joined({name: train[name] / still[name] for name in network.names})


def _wrong_shifts(network: Network) -> dict[str, Tensor]:
    """Return what known mistakes make of the ratios."""
    training, evaluation = network.inputs(TRAINING), network.inputs(EVALUATION)
    train, still = _pooled(training), _pooled(evaluation)

    def ratio(above: Mapping[str, Tensor], below: Mapping[str, Tensor]) -> Tensor:
        return network.joined({name: above[name] / below[name] for name in network.names})

    def each(seen: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
        total = sum(weights)
        return {
            n: torch.stack([w * s[n].var(1) for w, s in zip(weights, seen, strict=True)]).sum(0) / total
            for n in network.names
        }

    def by_example(seen: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        size = {n: seen[0][n].shape[1] // len(network.batches[0]) for n in network.names}
        return {n: torch.cat([s[n].unflatten(1, (-1, size[n])) for s in seen], 1).mean(2).var(1) for n in network.names}

    def mixed_up(seen: Sequence[Mapping[str, Tensor]], at_once: bool = False) -> dict[str, Tensor]:
        """What `x.reshape(C, -1)` makes of (N, C, …): rows that are no channels."""
        found = {}
        for n in network.names:
            given = [
                s[n].unflatten(1, (len(x), -1)).transpose(0, 1) for s, x in zip(seen, network.batches, strict=True)
            ]
            rows = [torch.cat(given)] if at_once else given
            found[n] = torch.cat([x.reshape(x.shape[1], -1) for x in rows], 1).var(1)
        return found

    def squares(seen: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {n: torch.cat([s[n] for s in seen], 1).square().mean(1) for n in network.names}

    even, sizes = [1.0] * len(training), [float(len(x)) for x in network.batches]
    right = ratio(train, still)
    moved = network.moved(TRAINING)
    after = _pooled(network.inputs(EVALUATION, moved[-1]))
    turns = [network.inputs(EVALUATION, statistics, only=i)[0] for i, statistics in enumerate(moved)]
    running = {name: variance for name, (_, variance) in network.given.items()}
    off_norms = _pooled(network.inputs(Mode(False, True, True)))
    known = {
        "inverted": ratio(still, train),
        "root": right.sqrt(),
        "square": right.square(),
        "difference": network.joined({n: train[n] - still[n] for n in network.names}),
        "relative": right - 1,
        "logarithm": right.log(),
        "ones": torch.ones_like(right),
        "training": network.joined(train),
        "evaluation": network.joined(still),
        "after_the_update": ratio(train, after),
        "by_turns": ratio(train, _pooled(turns)),
        "one_big_batch": ratio(_pooled(network.in_one_batch().inputs(TRAINING)), still),
        "running": ratio(train, running),
        "evaluation_over_running": ratio(still, running),
        "norms_in_evaluation": ratio(off_norms, still),
        "norms_only": ratio(_pooled(network.inputs(RECALIBRATION)), still),
        "own_inactive": ratio(_pooled(network.inputs(Mode(True, False, True))), still),
        "library_inactive": ratio(_pooled(network.inputs(Mode(True, True, False))), still),
        "library_only": ratio(_pooled(network.inputs(Mode(False, False, True))), still),
        "batch_statistics_in_both": ratio(train, _pooled(network.inputs(RECALIBRATION))),
        "outputs": ratio(
            _pooled(network.inputs(TRAINING, outputs=True)), _pooled(network.inputs(EVALUATION, outputs=True))
        ),
        "batches_averaged": ratio(each(training, even), each(evaluation, even)),
        "batches_weighted": ratio(each(training, sizes), each(evaluation, sizes)),
        "ratios_averaged": torch.stack(
            [ratio({n: t[n].var(1) for n in t}, {n: e[n].var(1) for n in e}) for t, e in zip(training, evaluation, strict=True)]
        ).mean(0),
        "first_batch": ratio(_pooled(training[:1]), _pooled(evaluation[:1])),
        "last_batch": ratio(_pooled(training[-1:]), _pooled(evaluation[-1:])),
        "without_the_last": ratio(_pooled(training[:-1]), _pooled(evaluation[:-1])),
        "squares": ratio(squares(training), squares(evaluation)),
        "positions_averaged": ratio(by_example(training), by_example(evaluation)),
        "not_transposed": ratio(mixed_up(training), mixed_up(evaluation)),
        "not_transposed_at_the_end": ratio(mixed_up(training, True), mixed_up(evaluation, True)),
    }  # fmt: skip
    return known


@check("variance_shift", points=4)
def divides_training_by_evaluation(student: Any, draw: Draw) -> None:
    """For each channel it gives the variance of batch norm's input in training mode over that in evaluation mode."""
    network = Network(draw, "flat")
    for later in _both_ways(student, network):
        _has_shifts(_answer(later), network)


@check("variance_shift", points=3)
def pools_examples_and_positions(student: Any, draw: Draw) -> None:
    """Each variance is one over all examples of the loader and all positions, also where the last batch is smaller."""
    network = Network(draw)
    _has_shifts(_answer(_work(student.together(), student, "variance_shift", network, [True])), network)


@check("variance_shift", points=3)
def finds_every_batch_norm(student: Any, draw: Draw) -> None:
    """The keys are the names in named_modules() of all batch norm layers, of vectors and of maps, at any depth."""
    network = Network(draw, "nested")
    seen = _answer(_work(student.together(), student, "variance_shift", network, [False]))
    _is_table(seen)
    got = [key for key, _ in seen.items]
    missing, extra = [n for n in network.names if n not in got], [k for k in got if k not in network.names]
    if missing or extra:
        short = sorted({n.rpartition(".")[2] for n in network.names})
        codes = {
            "no_path": bool(missing) and sorted(set(got)) == short,
            "no_1d": missing == ["head.bn"] and not extra,
            "no_2d": missing == network.names[:2] and not extra,
            "first_only": missing == network.names[1:] and not extra,
            "last_only": missing == network.names[:-1] and not extra,
            "none": not got,
            "other_norm": not missing and extra == ["stem.other_norm"],
            "all_layers": not missing and len(extra) > 3,
            "not_by_name": bool(got) and all(k.startswith("BatchNorm") for k in got),
            "renamed": len(got) == len(network.names) and len(extra) == len(got),
        }
        code = next((name for name, holds in codes.items() if holds), "other")
        raise expect.Failure(
            f"keys:{code}",
            f"the keys should be {', '.join(network.names)}; they are {', '.join(got[:8]) or 'none at all'}",
        )


@check("variance_shift", points=3)
def evaluates_with_the_original_statistics(student: Any, draw: Draw) -> None:
    """The evaluation pass is made with the running statistics that the model came with, not with those of a training pass."""
    network = Network(draw, "flat", (0.9, 0.9, 0.9))
    _has_shifts(_answer(_work(student.together(), student, "variance_shift", network, [True])), network)


@check("variance_shift", points=3)
def trains_the_whole_model(student: Any, draw: Draw) -> None:
    """In the training pass every module is in training mode: batch norm, the library's dropout, and layers of your own."""
    network = Network(draw, "nested")
    _has_shifts(_answer(_work(student.together(), student, "variance_shift", network, [True])), network)


@check("variance_shift", points=2)
def puts_the_modes_back(student: Any, draw: Draw) -> None:
    """Afterwards each module is in the mode it was in, also where some were in training and others in evaluation mode."""
    _modes_are_back(student, draw, "variance_shift")


@check("variance_shift", points=2)
def leaves_the_statistics_alone(student: Any, draw: Draw) -> None:
    """Afterwards running means, running variances and the count of batches are what they were: measuring changes nothing."""
    network = Network(draw)
    changed = []
    for mode, later in zip(("training", "evaluation"), _both_ways(student, network), strict=True):
        seen = _answer(later)
        before, after = seen.before["buffers"], seen.after.get("buffers")
        expect.that(isinstance(after, dict), "report", _MEDDLED)
        wrong = {n.rpartition(".")[2] for n, value in before.items() if not _same(value, after.get(n))}
        if wrong:
            changed.append((mode, "+".join(sorted(wrong))))
    told = changed[0] if changed else ("", "")
    expect.that(
        not changed,
        "buffers:" + (told[1] if len(changed) != 1 else f"{told[1]}_in_{told[0]}"),
        f"after the call, {told[1].replace('+', ' and ')} of batch norm layers are not what they were before",
    )


@check("variance_shift", points=2)
def leaves_nothing_behind(student: Any, draw: Draw) -> None:
    """No hook is left in the model and none is lost; parameters, their gradients and torch's grad mode are as they were."""
    _leaves_the_rest(student, draw, "variance_shift")


@check("variance_shift", points=1)
def measures_the_same_twice(student: Any, draw: Draw) -> None:
    """A second call gives the same numbers; batches may come as lists, as those of torch's DataLoader do."""
    network = Network(draw)
    plan = student.together()
    seen = _answer(_work(plan, student, "variance_shift", network, [True], as_lists=True, calls=2), calls=2)
    first, second = (_values(seen, network, i) for i in (0, 1))
    expect.close(second, first, "the second call's result", "twice", *_CLOSE)


# -- recalibrate_batchnorm -----------------------------------------------------------------------------------------------


def _right_statistics(network: Network) -> Tensor:
    """Return running means, then variances, of all layers one after the other, as they should be."""
    seen = network.inputs(RECALIBRATION)
    means = {n: torch.stack([s[n].mean(1) for s in seen]).mean(0) for n in network.names}
    variances = {n: torch.stack([s[n].var(1) for s in seen]).mean(0) for n in network.names}
    return torch.cat([network.joined(means), network.joined(variances)])


def _wrong_statistics(network: Network) -> dict[str, Tensor]:
    """Return what known mistakes make of them."""
    sizes = torch.tensor([float(len(x)) for x in network.batches], dtype=torch.float64)
    momenta = {name: values[4] for name, values in _norms(network.rows)}
    tracked = {name: values[5] for name, values in _norms(network.rows)}
    even = torch.ones_like(sizes)

    def batchwise(mode: Mode, correction: int = 1, outputs: bool = False) -> dict[str, tuple[Tensor, Tensor]]:
        seen = network.inputs(mode, outputs=outputs)
        return {
            n: (
                torch.stack([s[n].mean(1) for s in seen]),
                torch.stack([s[n].var(1, correction=correction) for s in seen]),
            )
            for n in network.names
        }

    def averaged(found: Mapping[str, tuple[Tensor, Tensor]], weights: Tensor = even) -> Tensor:
        shares = (weights / weights.sum())[:, None]
        pairs = {n: ((shares * m).sum(0), (shares * v).sum(0)) for n, (m, v) in found.items()}
        return joined(pairs)

    def joined(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        return torch.cat([network.joined({n: pair[i] for n, pair in pairs.items()}) for i in (0, 1)])

    def moving(found: Mapping[str, tuple[Tensor, Tensor]], start: Statistics, rate: float | None = None) -> Tensor:
        result = {}
        for n, (means, variances) in found.items():
            mean, variance = start[n]
            m = rate if rate is not None else 0.1 if momenta[n] is None else momenta[n]
            for a, b in zip(means, variances, strict=True):
                mean, variance = (1 - m) * mean + m * a, (1 - m) * variance + m * b
            result[n] = (mean, variance)
        return joined(result)

    def continued(found: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        pairs = {}
        for n, (means, variances) in found.items():
            k, count = tracked[n], len(means)
            old = network.given[n]
            pairs[n] = ((k * old[0] + means.sum(0)) / (k + count), (k * old[1] + variances.sum(0)) / (k + count))
        return joined(pairs)

    fresh = {n: (torch.zeros_like(m), torch.ones_like(v)) for n, (m, v) in network.given.items()}
    good = batchwise(RECALIBRATION)
    noisy = batchwise(TRAINING)
    seen = network.inputs(RECALIBRATION)
    everything = {n: torch.cat([s[n] for s in seen], 1) for n in network.names}
    right, old, reset = averaged(good), joined(network.given), joined(fresh)
    half = len(right) // 2
    before = network.inputs(EVALUATION)
    before_pooled = {n: torch.cat([s[n] for s in before], 1) for n in network.names}
    in_turn = dict(network.given)
    for n in network.names:
        still = [s[n] for s in network.inputs(EVALUATION, in_turn)]
        in_turn[n] = (torch.stack([x.mean(1) for x in still]).mean(0), torch.stack([x.var(1) for x in still]).mean(0))
    library, own = batchwise(Mode(True, False, True)), batchwise(Mode(True, True, False))
    known = {
        "unchanged": old,
        "reset_only": reset,
        "dropout_on": averaged(noisy),
        "library_dropout_on": averaged(library),
        "own_dropout_on": averaged(own),
        "momentum": moving(good, network.given),
        "momentum_dropout_on": moving(noisy, network.given),
        "reset_momentum": moving(good, fresh),
        "reset_momentum_dropout_on": moving(noisy, fresh),
        "one_over_n": moving(good, fresh, 1 / len(sizes)),
        "one_over_n_from_old": moving(good, network.given, 1 / len(sizes)),
        "not_reset": continued(good),
        "not_reset_dropout_on": continued(noisy),
        "biased": averaged(batchwise(RECALIBRATION, correction=0)),
        "pooled": joined({n: (x.mean(1), x.var(1)) for n, x in everything.items()}),
        "pooled_biased": joined({n: (x.mean(1), x.var(1, correction=0)) for n, x in everything.items()}),
        "one_big_batch": joined(
            {n: (x.mean(1), x.var(1)) for n, x in network.in_one_batch().inputs(RECALIBRATION)[0].items()}
        ),
        "weighted": averaged(good, sizes),
        "weighted_biased": averaged(batchwise(RECALIBRATION, correction=0), sizes),
        "first_batch": joined({n: (m[0], v[0]) for n, (m, v) in good.items()}),
        "last_batch": joined({n: (m[-1], v[-1]) for n, (m, v) in good.items()}),
        "old_statistics_before": averaged(batchwise(EVALUATION)),
        "old_statistics_before_biased": averaged(batchwise(EVALUATION, correction=0)),
        "old_statistics_before_pooled": joined({n: (x.mean(1), x.var(1)) for n, x in before_pooled.items()}),
        "layer_by_layer": joined(in_turn),
        "outputs": averaged(batchwise(RECALIBRATION, outputs=True)),
        "sums": right * len(sizes),
        "mean_only": torch.cat([right[:half], old[half:]]),
        "variance_only": torch.cat([old[:half], right[half:]]),
        "root": torch.cat([right[:half], right[half:].sqrt()]),
        "exchanged": torch.cat([right[half:], right[:half]]),
        "halfway": (old + right) / 2,
    }  # fmt: skip
    return known


@check("recalibrate_batchnorm", points=4)
def averages_over_the_batches(student: Any, draw: Draw) -> None:
    """Running mean and variance become the plain average, over the batches, of the batch's mean and unbiased variance."""
    network = Network(draw)
    for later in _both_ways(student, network, "recalibrate_batchnorm"):
        _has_statistics(_answer(later), network)


@check("recalibrate_batchnorm", points=3)
def forgets_the_old_statistics(student: Any, draw: Draw) -> None:
    """Nothing of the old running statistics is left, and every batch counts the same, whatever momentum the layers have."""
    for momenta in ((0.05, 0.9, 0.5), (None, None, None)):
        network = Network(draw, "flat", momenta)
        seen = _answer(_work(student.together(), student, "recalibrate_batchnorm", network, [False]))
        _has_statistics(seen, network)


@check("recalibrate_batchnorm", points=4)
def nothing_is_dropped_meanwhile(student: Any, draw: Draw) -> None:
    """Everything but batch norm is in evaluation mode meanwhile: dropout of the library, and layers of your own."""
    network = Network(draw, "nested")
    for later in _both_ways(student, network, "recalibrate_batchnorm"):
        _has_statistics(_answer(later), network)


@check("recalibrate_batchnorm", points=2)
def recalibrates_every_batch_norm(student: Any, draw: Draw) -> None:
    """Every batch norm layer gets new statistics, of vectors and of maps, at any depth, in the model that was given."""
    network = Network(draw, "nested")
    seen = _answer(_work(student.together(), student, "recalibrate_batchnorm", network, [True]))
    got, old = _statistics(seen, network), network.given
    left = [n for n in network.names if all(_same(a.float(), b.float()) for a, b in zip(got[n], old[n], strict=True))]
    known = {
        "all": network.names, "1d": ["head.bn"], "2d": network.names[:2], "all_but_first": network.names[1:],
    }  # fmt: skip
    code = next((name for name, names in known.items() if names == left), "other")
    expect.that(not left, f"left:{code}", f"these layers have the statistics that they had: {', '.join(left)}")


@check("recalibrate_batchnorm", points=2)
def puts_modes_and_momenta_back(student: Any, draw: Draw) -> None:
    """Afterwards each module is in the mode it was in, and each batch norm layer has the momentum it had."""
    _modes_are_back(student, draw, "recalibrate_batchnorm")
    network = Network(draw, "nested", (0.3, None, 0.05))
    seen = _answer(_work(student.together(), student, "recalibrate_batchnorm", network, [True]))
    before, after = seen.before["momenta"], seen.after.get("momenta")
    if after != before:
        now = after if isinstance(after, list) else []
        code = str(now[0]).lower() if len(set(map(str, now))) == 1 else "other"
        said = (
            f"momenta were {before} before and are {now} afterwards: ordinary training would go on with the wrong ones"
        )
        raise expect.Failure(f"momentum:{code}", said)


@check("recalibrate_batchnorm", points=2)
def changes_nothing_else(student: Any, draw: Draw) -> None:
    """Weights and biases, also those of batch norm, gradients and hooks are what they were, and torch's grad mode too."""
    _leaves_the_rest(student, draw, "recalibrate_batchnorm")


@check("recalibrate_batchnorm", points=1)
def recalibrates_the_same_twice(student: Any, draw: Draw) -> None:
    """Doing it again changes nothing; batches may come as lists, as those of torch's DataLoader do."""
    network = Network(draw)
    later = _work(student.together(), student, "recalibrate_batchnorm", network, [True], as_lists=True, calls=2)
    _has_statistics(_answer(later, calls=2), network, "twice")


# -- run_ablation --------------------------------------------------------------------------------------------------------


@fixture
def ablated(
    run_ablation: Any,
    names: list[str],
    settings: list[Any],
    metrics: list[str],
    values: list[Any],
    seeds: list[int],
    kind: str,
) -> dict[str, Any]:
    """Let `run_ablation` work with a `build` that looks its metrics up, and report the table and how `build` was called.

    Args:
        values: for each configuration, for each seed, the metrics' values.
        kind: "list", "tuple" or "range": what the seeds come as.
    """
    calls: list[Any] = []

    def build(configuration: Any, seed: Any) -> dict[str, float]:
        place = [settings.index(configuration)] if configuration in settings else []
        exchanged = not place and type(configuration) is int and seed in settings
        named = isinstance(configuration, str) and configuration in names and not place
        which = place[0] if place else "exchanged" if exchanged else "name" if named else "unknown"
        number = seeds.index(seed) if type(seed) is int and seed in seeds else str(seed)[:20]
        calls.append([which, number])
        if isinstance(which, str) or isinstance(number, str):
            return {metric: 0.5 + 0.01 * len(calls) + 0.1 * i for i, metric in enumerate(metrics)}
        return dict(zip(metrics, values[which][number], strict=True))

    given = dict(zip(names, settings, strict=True))
    handed = {"list": list, "tuple": tuple, "range": lambda s: range(s[0], s[-1] + 1)}[kind](seeds)
    table = run_ablation(build, given, handed)
    return {
        "table": table,
        "kind": type(table).__name__,
        "calls": calls,
        "changed": list(given) != names or list(handed) != seeds,
    }


@fixture
def ablated_with_metrics_of_their_own(run_ablation: Any, seeds: list[int]) -> Any:
    """Let `run_ablation` work with a `build` that measures more of one configuration; return the metrics in the table."""

    def build(configuration: Any, seed: Any) -> dict[str, float]:
        more = ["ece"] if configuration == {"more": True} else []
        return {metric: 0.5 + 0.1 * i for i, metric in enumerate(["loss", "accuracy", *more])}

    table = run_ablation(build, {"plain": {}, "measured": {"more": True}, "again": {}}, seeds)
    return {name: list(row) for name, row in table.items()}


@fixture
def builds_before_it_refuses(run_ablation: Any, seeds: list[int]) -> int:
    """Return how often `run_ablation` builds before it raises a ValueError."""
    import contextlib

    calls = []

    def build(configuration: Any, seed: Any) -> dict[str, float]:
        calls.append(seed)
        return {"loss": 0.5}

    with contextlib.suppress(ValueError):
        run_ablation(build, {"plain": {}, "both": {"p": 0.25}}, seeds)
    return len(calls)


@dataclass(frozen=True)
class Ablation:
    """Configurations, seeds, and the metrics of each pair, (configuration, seed, metric)."""

    names: list[str]
    settings: list[Any]
    metrics: list[str]
    values: Tensor
    seeds: list[int]

    def of(self, name: str, metric: str) -> Tensor:
        return self.values[self.names.index(name), :, self.metrics.index(metric)]


def _ablation(draw: Draw, seeds: int = 5, consecutive: bool = False) -> Ablation:
    """Draw what a sweep may have found: names out of order, settings of every kind, three metrics of different sizes."""
    names = ["none", "both", "dropout 0.3", "a little decay"]
    settings: list[Any] = [{}, {"p": 0.25, "decay": [0.1, 0.2]}, 0.3, ("decay", 0.01)]
    order = draw.permutation(4).tolist()
    if order == sorted(order, key=lambda i: names[i]):
        order.reverse()
    names, settings = [names[i] for i in order], [settings[i] for i in order]
    metrics = ["validation_loss", "accuracy", "gap"]
    level = torch.tensor([0.6, 0.8, 0.2], dtype=torch.float64)
    values = level * (1 + 0.3 * draw.signed(4, seeds, 3, dtype=torch.float64) / 1.5)
    start = draw.integer(20, 60)
    drawn = [start + i for i in range(seeds)] if consecutive else draw.sizes(seeds, 20, 90)
    if not consecutive and drawn == sorted(drawn):
        drawn.reverse()
    return Ablation(names, settings, metrics, values, drawn)


@check("run_ablation", points=4)
def gives_mean_and_spread(student: Any, draw: Draw) -> None:
    """The table has, for each configuration and metric, the mean over the seeds and the sample standard deviation (n - 1)."""
    ablation = _ablation(draw)
    _has_table(_ablate(student, ablation), ablation)


@check("run_ablation", points=3)
def builds_each_pair_once(student: Any, draw: Draw) -> None:
    """Build is called with a configuration and a seed, as they were given, once for each pair."""
    for kind, consecutive in (("list", False), ("range", True)):
        ablation = _ablation(draw, consecutive=consecutive)
        _calls_are_right(_ablate(student, ablation, kind), ablation)


@check("run_ablation", points=2)
def keeps_the_order(student: Any, draw: Draw) -> None:
    """The configurations come in the order in which they were given, each by its name, and every metric is there."""
    ablation = _ablation(draw)
    seen = _ablate(student, ablation)
    table = _table_of(seen)
    got = list(table)
    if got != ablation.names:
        known = {
            "sorted": sorted(ablation.names), "reversed": ablation.names[::-1], "metrics": ablation.metrics,
            "one_row": got if len(got) == 1 else None,
        }  # fmt: skip
        code = next(
            (n for n, v in known.items() if got == v),
            "same_names" if sorted(got) == sorted(ablation.names) else "other",
        )
        raise expect.Failure(
            f"rows:{code}", f"the rows should be {', '.join(ablation.names)}, got {', '.join(map(str, got[:8]))}"
        )
    for name in ablation.names:
        row = table[name]
        expect.that(
            isinstance(row, dict), f"row_{_kind(row)}", "a configuration's row should be {metric: (mean, spread)}"
        )
        missing = [m for m in ablation.metrics if m not in row]
        extra = [m for m in row if m not in ablation.metrics]
        code = "none" if len(missing) == 3 else "some" if missing else "more"
        shown = ", ".join(map(str, list(row)[:8])) or "none"
        said = f"each row should have the metrics {', '.join(ablation.metrics)}, got {shown}"
        expect.that(not missing and not extra, f"metrics:{code}", said)
    target = expect.function(student.run_ablation, "run_ablation")
    rows = student.fixture(ablated_with_metrics_of_their_own)(target, ablation.seeds)
    rows = rows if isinstance(rows, dict) else {}
    for name in ("plain", "measured", "again"):
        row = rows.get(name)
        wanted = ["loss", "accuracy"] + ["ece"] * (name == "measured")
        got = sorted(map(str, row)) if isinstance(row, list) else []
        said = f"build returned {', '.join(wanted)} for one of three configurations, its row has {', '.join(got) or 'none'}"
        expect.that(got == sorted(wanted), f"own_metrics:{name}", said)


@check("run_ablation", points=2)
def refuses_a_single_seed(student: Any, draw: Draw) -> None:
    """With fewer than two seeds there is no spread: a ValueError, before anything is built. Two are enough."""
    two = _ablation(draw, seeds=2)
    _has_table(_ablate(student, two), two, "two")
    for count, code in ((1, "one_seed"), (0, "no_seed")):
        few = _ablation(draw, seeds=2)
        few = Ablation(few.names, few.settings, few.metrics, few.values[:, :count], few.seeds[:count])
        later = _ablate_later(student, few)
        expect.raised("ValueError", later.get, (), f"run_ablation with {count or 'no'} seed{'s' * (not count)}", code)
    target = expect.function(student.run_ablation, "run_ablation")
    built = student.fixture(builds_before_it_refuses)(target, [draw.integer(20, 60)])
    said = "one seed is refused, but only after build was called: it may take an hour"
    expect.that(built == 0, "one_seed:built", said)


@check("run_ablation", points=1)
def takes_seeds_of_any_kind(student: Any, draw: Draw) -> None:
    """Seeds may come as a tuple or a range, in any order; configurations and seeds are left as they are."""
    for kind, consecutive in (("tuple", False), ("range", True)):
        ablation = _ablation(draw, seeds=3, consecutive=consecutive)
        seen = _ablate(student, ablation, kind)
        _has_table(seen, ablation, kind)
        expect.that(
            seen.get("changed") is False, "input:changed", "the configurations or the seeds were changed by the call"
        )


# -- shared --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What a call did: what it returned, and the model before and after."""

    kinds: list[str]
    every: list[list[Any]]
    before: dict[str, Any]
    after: dict[str, Any]
    grad_mode: bool

    @property
    def items(self) -> list[Any]:
        return self.every[0]


def _work(plan: Any, student: Any, exercise: str, network: Network, modes: Sequence[bool], **options: Any) -> Later:
    """Plan a call of the exercise on a network."""
    target = expect.function(getattr(student, exercise), exercise)
    later: Later = plan.call(student.fixture(worked_on), target, network.rows, network.batches, list(modes), **options)
    return later


def _both_ways(student: Any, network: Network, exercise: str = "variance_shift") -> list[Later]:
    """Plan the same call on a model in training mode and on one in evaluation mode."""
    plan = student.together()
    return [_work(plan, student, exercise, network, [mode]) for mode in (True, False)]


def _answer(later: Later, calls: int = 1) -> Seen:
    """Read what the fixture reports, believing nothing."""
    got = later.get()
    fits = isinstance(got, dict) and isinstance(got.get("results"), list) and len(got["results"]) == calls
    fits = fits and all(isinstance(got.get(part), dict) for part in ("before", "after"))
    fits = fits and all(isinstance(r, dict) and isinstance(r.get("items"), list) for r in got["results"])
    fits = fits and all(
        isinstance(i, list) and len(i) == 2 and isinstance(i[0], str) for r in got["results"] for i in r["items"]
    )
    before = got["before"] if fits else {}
    fits = fits and all(isinstance(before.get(p), dict) for p in ("buffers", "parameters", "gradients"))
    fits = fits and all(isinstance(before.get(p), list) for p in ("modes", "momenta", "trains"))
    expect.that(fits, "report", _MEDDLED)
    return Seen(
        [str(r.get("kind")) for r in got["results"]], [r["items"] for r in got["results"]],
        before, got["after"], got.get("grad_mode") is True,
    )  # fmt: skip


def _is_table(seen: Seen, call: int = 0) -> None:
    kind = seen.kinds[call]
    said = "None (is a return missing?)" if kind == "NoneType" else f"a {kind}"
    expect.that(kind == "dict", f"type:{kind}", f"the result should be a dictionary {{layer: ratios}}, got {said}")


def _values(seen: Seen, network: Network, call: int = 0) -> Tensor:
    """Expect a tensor (C,) for each batch norm layer; return them one after the other. What else is there is not looked at."""
    _is_table(seen, call)
    found = dict(seen.every[call])
    parts = []
    for name in network.names:
        expect.that(name in found, "keys:missing", f"there is no entry for the batch norm layer “{name}”")
        channels = len(network.given[name][0])
        value = found[name]
        expect.that(
            not (isinstance(value, Tensor) and value.dim() > 1 and len(value) == channels),
            "entry_shape:positions",
            f"the entry for “{name}” should have shape ({channels},), one number a channel: it has one for each position",
        )
        try:
            parts.append(expect.tensor(value, f"the entry for “{name}”", shape=(channels,)).double())
        except expect.Failure as failure:
            raise expect.Failure(f"entry_{failure.code}", failure.message) from None
    return torch.cat(parts)


def _has_shifts(seen: Seen, network: Network) -> None:
    """Expect the ratios of all layers; what known mistakes make of them is computed where they are off."""
    got, right = _values(seen, network), _right_shifts(network)
    known = {} if _near(got, right) else _wrong_shifts(network)
    expect.close(got, right, "the ratio of variances (all layers' channels in a row)", "value", *_CLOSE, known)


def _near(got: Tensor, right: Tensor) -> bool:
    return bool(((got - right).abs() <= _CLOSE[1] + _CLOSE[0] * right.abs()).all())


def _statistics(seen: Seen, network: Network) -> Statistics:
    """Return the running statistics after a call."""
    buffers = seen.after.get("buffers")
    expect.that(isinstance(buffers, dict), "report", _MEDDLED)
    found = {}
    for name, (mean, _) in network.given.items():
        pair = []
        for part in ("running_mean", "running_var"):
            value = buffers.get(f"{name}.{part}")
            expect.that(isinstance(value, Tensor), "buffers:lost", f"“{name}” has no {part} any more")
            pair.append(expect.tensor(value, f"{part} of “{name}”", shape=mean.shape).double())
        found[name] = (pair[0], pair[1])
    return found


def _has_statistics(seen: Seen, network: Network, code: str = "statistics") -> None:
    got = _statistics(seen, network)
    joined = torch.cat([network.joined({n: pair[i] for n, pair in got.items()}) for i in (0, 1)])
    right = _right_statistics(network)
    known = {} if _near(joined, right) else _wrong_statistics(network)
    expect.close(joined, right, "running means, then variances (all layers' in a row)", code, *_CLOSE, known)


def _modes_are_back(student: Any, draw: Draw, exercise: str) -> None:
    """Expect the modes that were there before, for models all in one mode and for mixed ones."""
    network, mixed = Network(draw), [False, True, True, False, True]
    starts = {"evaluation": [False], "training": [True], "mixed": mixed, "otherwise": [not m for m in mixed]}
    plan = student.together()
    laters = {name: _work(plan, student, exercise, network, modes) for name, modes in starts.items()}
    left = []
    for name, later in laters.items():
        seen = _answer(later)
        now = seen.after.get("modes")
        if now != seen.before["modes"]:
            modes = set(now) if isinstance(now, list) else set()
            left.append(f"{name}>{'training' if modes == {True} else 'evaluation' if modes == {False} else 'mixed'}")
    expect.that(
        not left,
        f"modes:{','.join(left)}",
        "a model did not get its modes back: whoever trains or evaluates it next does not know"
        if left and not left[0].startswith(("mixed", "otherwise"))
        else "a model that had some parts in training and others in evaluation mode did not get each part's own mode back",
    )


def _leaves_the_rest(student: Any, draw: Draw, exercise: str) -> None:
    """Expect hooks, parameters, gradients and grad mode to be what they were."""
    network = Network(draw, "nested")
    seen = _answer(_work(student.together(), student, exercise, network, [True]))
    hooks, now = seen.before.get("hooks"), seen.after.get("hooks")
    expect.that(isinstance(hooks, int) and isinstance(now, int), "report", _MEDDLED)
    expect.that(
        now == hooks,
        f"hooks:{'left' if now > hooks else 'lost'}",
        f"the model had {hooks} hooks before the call and has {now} afterwards",
    )
    for part, code in (("parameters", "parameters"), ("gradients", "gradients")):
        before, after = seen.before[part], seen.after.get(part)
        expect.that(isinstance(after, dict), "report", _MEDDLED)
        wrong = [n for n, value in before.items() if not _same(value, after.get(n))]
        gone = part == "gradients" and all(after.get(n) is None for n in wrong)
        norms = all(n.startswith(tuple(network.names)) for n in wrong)
        what = "lost" if gone else "of_norms" if norms and part == "parameters" else "changed"
        expect.that(not wrong, f"{code}:{what}", f"the call changed {part} of the model: {', '.join(wrong[:3])}")
    trains = seen.after.get("trains")
    expect.that(
        trains == seen.before["trains"],
        "requires_grad:changed",
        "requires_grad of the parameters is not what it was: the model would train other parts than before",
    )
    expect.that(seen.grad_mode, "grad_mode:off", "after the call, gradients are switched off for the whole program")


def _same(wanted: Any, got: Any) -> bool:
    """Whether a value is what it was, None included."""
    if not isinstance(wanted, Tensor) or not isinstance(got, Tensor):
        return wanted is None and got is None
    return wanted.shape == got.shape and wanted.dtype == got.dtype and bool((wanted == got).all())


def _kind(value: Any) -> str:
    return f"type:{value.reference.kind if isinstance(value, Remote) else type(value).__name__}"


def _ablate_later(student: Any, ablation: Ablation, kind: str = "list") -> Later:
    target = expect.function(student.run_ablation, "run_ablation")
    later: Later = student.together().call(
        student.fixture(ablated), target, ablation.names, ablation.settings, ablation.metrics,
        ablation.values.tolist(), ablation.seeds, kind,
    )  # fmt: skip
    return later


def _ablate(student: Any, ablation: Ablation, kind: str = "list") -> dict[str, Any]:
    got = _ablate_later(student, ablation, kind).get()
    expect.that(isinstance(got, dict) and isinstance(got.get("calls"), list), "report", _MEDDLED)
    return dict(got)


def _table_of(seen: Mapping[str, Any]) -> dict[str, Any]:
    table, kind = seen.get("table"), str(seen.get("kind"))
    said = "None (is a return missing?)" if kind == "NoneType" else f"a {kind}"
    expect.that(
        isinstance(table, dict), f"type:{kind}", f"the result should be {{configuration: {{metric: pair}}}}, got {said}"
    )
    return dict(table)  # type: ignore[arg-type]


def _calls_are_right(seen: Mapping[str, Any], ablation: Ablation) -> None:
    """Expect `build` to have been called once for each pair of a configuration and a seed."""
    calls = [tuple(c) if isinstance(c, (list, tuple)) and len(c) == 2 else ("unknown", "") for c in seen["calls"]]
    odd = next((which for which, _ in calls if isinstance(which, str)), None)
    said = {
        "name": "build got the name of a configuration where it should get the configuration itself",
        "exchanged": "build got the seed first: its arguments are the configuration, then the seed",
    }.get(odd or "", "build got a configuration that is none of those given")
    expect.that(odd is None, f"build:{odd}", said)
    strange = sorted({str(n) for _, n in calls if isinstance(n, str)})
    counted = strange == [str(i) for i in range(len(strange))]
    expect.that(
        not strange,
        f"seeds:{'counted' if counted and len(strange) > 1 else 'other'}",
        f"build got seeds that are not among those given ({', '.join(map(str, ablation.seeds))}): {', '.join(strange[:5])}",
    )
    wanted = {(i, s) for i in range(len(ablation.names)) for s in range(len(ablation.seeds))}
    times = {pair: calls.count(pair) for pair in wanted}
    most, least = max(times.values()), min(times.values())
    if most == least == 1:
        return
    skipped = {pair for pair, n in times.items() if n == 0}
    seeds = {s for _, s in skipped}
    if not skipped:
        code = (
            str(most)
            if most == least
            else "one_pair"
            if list(times.values()).count(least) == len(times) - 1
            else "varies"
        )
        what = f"some pairs were built {most} times: each is a training"
    else:
        everywhere = len(seeds) < len(ablation.seeds) and len(skipped) == len(seeds) * len(ablation.names)
        code = "same_seed" if everywhere and most > 1 else "skips_seeds" if everywhere else "skips_configurations"
        what = f"{len(skipped)} pairs of a configuration and a seed were never built"
    raise expect.Failure(f"times:{code}", what)


def _has_table(seen: Mapping[str, Any], ablation: Ablation, code: str = "") -> None:
    """Expect mean and sample standard deviation for all configurations and metrics; extra entries are not looked at."""
    table = _table_of(seen)
    means, spreads, right = [], [], []
    for name in ablation.names:
        expect.that(name in table, f"{code or 'rows'}:missing", f"there is no row for the configuration {name!r}")
        row = table[name]
        expect.that(
            isinstance(row, dict), f"row_{_kind(row)}", "a configuration's row should be {metric: (mean, spread)}"
        )
        for metric in ablation.metrics:
            expect.that(
                metric in row, f"{code or 'metrics'}:missing_metric", f"the row {name!r} has no metric {metric!r}"
            )
            pair = row[metric]
            good = isinstance(pair, (tuple, list)) and len(pair) == 2
            shown = f"pair:{len(pair)}" if isinstance(pair, (tuple, list)) else f"pair_{_kind(pair)}"
            expect.that(good, shown, f"an entry should be a pair (mean, spread), got {expect._describe(pair)}")
            means.append(expect.scalar(pair[0], "the mean"))
            spreads.append(expect.scalar(pair[1], "the spread"))
            right.append(ablation.of(name, metric))
    values = torch.stack(right)  # (rows, seeds)
    mean, spread = torch.tensor(means, dtype=torch.float64), torch.tensor(spreads, dtype=torch.float64)
    count = values.shape[1]
    running = values.view(len(ablation.names), -1, count)
    so_far = torch.stack([running[: i + 1].transpose(0, 1).flatten(1).mean(1) for i in range(len(running))]).flatten()
    known_means = {
        "median": values.median(1).values, "last": values[:, -1], "first": values[:, 0], "largest": values.amax(1),
        "smallest": values.amin(1), "sum": values.sum(1), "one_less": values.sum(1) / (count - 1), "spread": values.std(1),
        "over_all": running.mean((0, 2)).expand(len(running), -1).flatten(), "accumulated": so_far,
        "difference": (running.mean(2) - running[:1].mean(2)).flatten(),
        "root_mean_square": values.square().mean(1).sqrt(), "geometric": values.log().mean(1).exp(),
        **{f"rounded_{d}": torch.round(values.mean(1), decimals=d) for d in (2, 3, 4)},
    }  # fmt: skip
    known_spreads = {
        "population": values.std(1, correction=0), "variance": values.var(1),
        "population_variance": values.var(1, correction=0),
        "standard_error": values.std(1) / count**0.5, "range": values.amax(1) - values.amin(1), "mean": values.mean(1),
        "population_error": values.std(1, correction=0) / count**0.5,
        "mean_deviation": (values - values.mean(1, keepdim=True)).abs().mean(1), "zero": torch.zeros_like(spread),
        "interval": 1.96 * values.std(1) / count**0.5, "two": 2 * values.std(1),
        "accumulated": torch.stack(
            [running[: i + 1].transpose(0, 1).flatten(1).std(1) for i in range(len(running))]
        ).flatten(),
        **{f"rounded_{d}": torch.round(values.std(1), decimals=d) for d in (2, 3, 4)},
    }  # fmt: skip
    prefix = f"{code}_" if code else ""
    expect.close(
        mean, values.mean(1), "the mean over the seeds (all entries in a row)", f"{prefix}mean", 1e-5, 1e-6, known_means
    )
    expect.close(
        spread,
        values.std(1),
        "the spread over the seeds (all entries in a row)",
        f"{prefix}spread",
        1e-5,
        1e-6,
        known_spreads,
    )
