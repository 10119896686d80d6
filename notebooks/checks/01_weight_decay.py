"""Public checks of 01_weight_decay.

Nothing here is a matter of chance: what a step must give is worked out here in float64, and so is what each known mistake
gives, from the same inputs. A right answer in float32 is off by a few 1e-7 (by 2e-8 more where powers of the betas are kept in
float32); the nearest mistake by 1e-4 or more. `tests/units/test_01_weight_decay.py` holds the checks to this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from autograder import expect
from autograder.checks import Exercise, check
from autograder.draw import Draw
from autograder.evidence import bars
from autograder.student import fixture

_LIBRARY = (
    "SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "Adagrad", "RMSprop", "SparseAdam", "Adafactor", "ASGD",
    "sgd", "adam", "adamw", "_single_tensor_sgd", "_multi_tensor_sgd", "_fused_sgd", "_fused_sgd_", "_single_tensor_adam",
    "_multi_tensor_adam", "_fused_adam", "_fused_adam_", "_fused_adamw_",
)  # fmt: skip

EXERCISES = (
    Exercise(
        "l2_penalty",
        hints=(
            "The squared norm of a tensor is the sum of the squares of its entries, whatever its shape. What is to be added up "
            "over the tensors: squares, or norms?",
            "Walk through params once, adding each tensor's sum of squares; then multiply by weight_decay and by one half. "
            "What would a second walk through a generator find?",
            "p.square().sum() is one tensor's share, and Python's sum() adds up the shares of all. Stay with tensors from "
            "beginning to end: .item(), .data, detach() and no_grad() would cut off the gradient.",
        ),
    ),
    Exercise(
        "sgd_step",
        hints=(
            "For one parameter there are three lines: add the decay to the gradient, let the momentum remember the sum, move "
            "the parameter. Which of these must not write into p.grad?",
            "Work under torch.no_grad(). Keep a dictionary from parameter to buffer. The first time a parameter is met its "
            "buffer is a copy of the gradient (with the decay in it); later it is multiplied by momentum and the new one is "
            "added.",
            "Where p.grad is None, go on to the next. Else take p.grad + weight_decay * p, a new tensor; with momentum, put "
            "momentum * old + new in the dictionary; then subtract lr times that with p.sub_, and return the dictionary.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "adamw_step",
        hints=(
            "Keep three things for each parameter: two moving averages and the number of steps so far. The decay touches none "
            "of them: which of the two terms of the formula is it?",
            "Under torch.no_grad(): take the entry of this parameter out of state, or zeros and 0 if there is none. Count the "
            "step first, then both averages, then divide each by 1 - beta ** t.",
            "The denominator is the root of the corrected second average, plus eps outside of the root. First multiply p by "
            "1 - lr * weight_decay in place, then subtract lr times the ratio; put the averages and the count back into state.",
        ),
        forbids=_LIBRARY,
    ),
    Exercise(
        "split_weight_decay",
        hints=(
            "What do all biases and all parameters of normalization layers of a CNN have in common in their shapes, and the "
            "weights of convolutions and linear layers not?",
            "model.parameters() goes through all depths and gives each parameter once, also one that two modules share. Leave "
            "out those that are frozen, and sort the rest by their number of dimensions.",
            'A group is a dictionary with the keys "params", a list, and "weight_decay". Those with two dimensions or more go '
            "to the group with your weight_decay, those with fewer to the group with 0.0.",
        ),
    ),
)

# Sizes of which none broadcasts to another, with a bias, a matrix and a kernel of a convolution among them.
SHAPES = ((3, 4), (5,), (2, 3, 2, 2))
OTHERS = ((7,), (2, 6))


# -- l2_penalty ----------------------------------------------------------------------------------------------------------


@fixture
def penalty(l2_penalty: Any, values: list[torch.Tensor], weight_decay: float, kind: str, positional: bool) -> Any:
    params = [torch.nn.Parameter(value.clone()) for value in values]
    module = torch.nn.ParameterList(params)
    given = {
        "list": params, "tuple": tuple(params), "generator": (p for p in params), "model": module.parameters(),
        "dictionary": dict(enumerate(params)).values(), "map": map(torch.Tensor.requires_grad_, params),
    }[kind]  # fmt: skip
    output = l2_penalty(given, weight_decay) if positional else l2_penalty(params=given, weight_decay=weight_decay)
    reached, gradients = False, None
    if isinstance(output, torch.Tensor) and output.requires_grad:
        reached = True
        gradients = list(torch.autograd.grad(output.sum(), params, allow_unused=True))
    return {
        "output": output,
        "reached": reached,
        "gradients": gradients,
        "after": [p.detach() for p in params],
        "grads": [p.grad for p in params],
        "leaves": all(p.is_leaf and p.requires_grad for p in params),
    }


@check("l2_penalty", points=3)
def penalty_is_half_the_squares(student: Any, draw: Draw) -> None:
    """The penalty is one half times weight_decay times the sum of the squares of all entries of all tensors, one number."""
    for shapes in (SHAPES, ((4, 3),)):
        values, decay = [draw.signed(*shape) for shape in shapes], draw.uniform(0.2, 0.4)
        output = _penalty(student, values, decay)["output"]
        right = 0.5 * decay * sum(float((v.double() ** 2).sum()) for v in values)
        _is(output, right, "the penalty", _wrong_penalties(values, decay))


@check("l2_penalty", points=2)
def penalty_pulls_by_decay_times_weight(student: Any, draw: Draw) -> None:
    """It can be differentiated: its gradient is weight_decay times w, for every parameter."""
    values, decay = [draw.signed(*shape) for shape in SHAPES], draw.uniform(0.2, 0.4)
    seen = _penalty(student, values, decay, positional=False)
    expect.that(
        seen["reached"] is True,
        "gradient:none",
        "the penalty should carry a gradient back to the parameters, but it is cut off from them",
    )
    gradients = seen["gradients"] if isinstance(seen["gradients"], list) else []
    expect.that(len(gradients) == len(values), "report", _MEDDLED)
    for index, (gradient, value) in enumerate(zip(gradients, values, strict=True)):
        what = f"the gradient of parameter {index}"
        expect.that(gradient is not None, "gradient:some", f"{what} is missing: the penalty does not depend on it")
        w = value.double()
        wrong = {
            "half": 0.5 * decay * w, "double": 2 * decay * w, "sign": decay * w.sign(), "half_sign": 0.5 * decay * w.sign(),
            "plain": w, "mean": decay * w / w.numel(), "unit": decay * w / w.norm(), "half_unit": 0.5 * decay * w / w.norm(),
            "squared": decay**2 * w, "minus": -decay * w, "average": decay * w / len(values),
        }  # fmt: skip
        expect.close(gradient, decay * w, what, "gradient", 1e-5, 1e-5, candidates=wrong)


@check("l2_penalty", points=1)
def penalty_takes_any_iterable(student: Any, draw: Draw) -> None:
    """The params may be any iterable: a list, a tuple, a generator such as model.parameters(), the values of a dictionary."""
    values, decay = [draw.signed(*shape) for shape in SHAPES], draw.uniform(0.2, 0.4)
    # Whether the penalty of a list is right is for others to say: here those of the same tensors are to be the same.
    of_list = expect.scalar(_penalty(student, values, decay)["output"], "the penalty")
    for kind in ("tuple", "dictionary", "map", "generator", "model"):
        output = _penalty(student, values, decay, kind)["output"]
        _is(output, of_list, f"the penalty of a {kind}, like that of a list,", {"nothing": 0.0})


@check("l2_penalty", points=1)
def penalty_touches_nothing(student: Any, draw: Draw) -> None:
    """It is a tensor of no dimensions; the parameters and their .grad stay as they are."""
    values, decay = [draw.signed(*shape) for shape in SHAPES], draw.uniform(0.2, 0.4)
    seen = _penalty(student, values, decay)
    output = expect.tensor(seen["output"], "the penalty")
    expect.that(output.dim() == 0, f"shape:{output.dim()}", f"it should have no dimensions, got {tuple(output.shape)}")
    after = seen["after"] if isinstance(seen["after"], list) else []
    expect.that(len(after) == len(values), "report", _MEDDLED)
    for index, (before, now) in enumerate(zip(values, after, strict=True)):
        expect.unchanged(before, now, f"parameter {index}")
    expect.that(
        seen["grads"] == [None] * len(values), "grad:written", "the call wrote into .grad, which is backward's to fill"
    )
    expect.that(seen["leaves"] is True, "leaf:lost", "the call changed requires_grad of the parameters")


def _penalty(
    student: Any, values: list[Tensor], decay: float, kind: str = "list", positional: bool = True
) -> dict[str, Any]:
    run = student.fixture(penalty)
    seen = run(expect.function(student.l2_penalty), values, decay, kind, positional)
    expect.that(isinstance(seen, dict) and seen.keys() >= {"output", "reached", "gradients"}, "report", _MEDDLED)
    return dict(seen)


def _is(output: Any, right: float, what: str, wrong: Mapping[str, float]) -> None:
    """Expect a number, up to a relative 1e-5; of those that come out wrong the nearest to be known gives the code."""
    got = expect.scalar(output, what)

    def near(value: float) -> bool:
        return abs(got - value) <= 1e-5 * (1 + abs(value))

    if not near(right):
        name = next((name for name, value in wrong.items() if near(value)), "other")
        raise expect.Failure(f"value:{name}", f"{what} should be {right:.6g}, got {got:.6g}")


def _wrong_penalties(values: Sequence[Tensor], decay: float) -> dict[str, float]:
    """Return what known mistakes give, by name. Of matrices the spectral norm is another one than the root of the squares."""
    wide = [v.double() for v in values]
    squares = [float((v**2).sum()) for v in wide]
    norms = [s**0.5 for s in squares]
    total, sizes = sum(squares), [v.numel() for v in wide]
    matrix = [float(torch.linalg.matrix_norm(v, 2)) if v.dim() == 2 else s for v, s in zip(wide, norms, strict=True)]
    return {
        "no_half": decay * total,
        "norms": decay * sum(norms), "half_norms": 0.5 * decay * sum(norms),
        "whole_norm": decay * total**0.5, "half_whole_norm": 0.5 * decay * total**0.5,
        "square_of_sum": 0.5 * decay * sum(norms) ** 2,
        "mean": 0.5 * decay * sum(s / n for s, n in zip(squares, sizes, strict=True)),
        "mean_no_half": decay * sum(s / n for s, n in zip(squares, sizes, strict=True)),
        "mean_of_all": 0.5 * decay * total / sum(sizes), "average": 0.5 * decay * total / len(values),
        "absolute": decay * sum(float(v.abs().sum()) for v in wide),
        "half_absolute": 0.5 * decay * sum(float(v.abs().sum()) for v in wide),
        "sums": 0.5 * decay * sum(float(v.sum()) ** 2 for v in wide),
        "plain": 0.5 * total, "decay_squared": 0.5 * decay**2 * total, "minus": -0.5 * decay * total,
        "spectral": 0.5 * decay * sum(m**2 for m in matrix),
        "last": 0.5 * decay * squares[-1], "first": 0.5 * decay * squares[0],
        "no_biases": 0.5 * decay * sum(s for s, v in zip(squares, wide, strict=True) if v.dim() > 1),
        "quarter": 0.25 * decay * total, "fourth_power": 0.5 * decay * sum(s**2 for s in squares),
    }  # fmt: skip


# -- steps ---------------------------------------------------------------------------------------------------------------


@fixture
def steps(step: Any, takes_state: bool, groups: list[dict[str, Any]], in_place: bool) -> dict[str, Any]:
    """Each group has `values`, `kind` and `rounds`: (gradients, arguments, options, whether to start afresh)."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    facts, path, graph_seen = set(), [[] for _ in groups], set()

    def has_graph(value: Any) -> bool:
        if id(value) in graph_seen or len(graph_seen) > 10_000:
            return False
        graph_seen.add(id(value))
        if isinstance(value, torch.Tensor):
            return value.grad_fn is not None
        if isinstance(value, dict):
            return any(has_graph(v) for pair in value.items() for v in pair)
        if isinstance(value, (list, tuple, set)):
            return any(has_graph(v) for v in value)
        own = getattr(value, "__dict__", None) if type(value).__module__ == "__main__" else None
        return any(has_graph(v) for v in own.values()) if isinstance(own, dict) else False

    def note_library(optimizer: Any, *_: Any) -> None:
        facts.add(f"library:{type(optimizer).__name__[:40]}")

    held = [[torch.nn.Parameter(value.clone()) for value in group["values"]] for group in groups]
    memories: list[Any] = [{} if takes_state else None for _ in groups]
    hook = register_optimizer_step_pre_hook(note_library)
    try:
        for number in range(max(len(group["rounds"]) for group in groups)):
            for index, (group, params) in enumerate(zip(groups, held)):  # noqa: B905
                gradients, arguments, options, afresh = group["rounds"][number]
                for p, gradient in zip(params, gradients):  # noqa: B905
                    if gradient is not None and in_place and p.grad is not None:
                        p.grad.zero_()
                        p.grad.add_(gradient)
                    else:
                        p.grad = None if gradient is None else gradient.clone()
                given = list(params)
                as_iterable = {"list": given, "tuple": tuple(given), "generator": (p for p in given)}[group["kind"]]
                if afresh:
                    memories[index] = {} if takes_state else None
                if takes_state:
                    before = len(memories[index])
                    returned = step(as_iterable, memories[index], *arguments, **options)
                    if before == len(memories[index]) == 0 and isinstance(returned, dict) and returned:
                        facts.add("state:returned")
                elif memories[index] is None:
                    returned = memories[index] = step(as_iterable, *arguments, **options)
                else:
                    returned = memories[index] = step(as_iterable, *arguments, buffers=memories[index], **options)
                if returned is None:
                    facts.add("returned:none")
                if len(given) != len(params) or any(a is not b for a, b in zip(given, params)):  # noqa: B905
                    facts.add("object:replaced")
                if any(not p.is_leaf or not p.requires_grad for p in params):
                    facts.add("leaf:lost")
                graph_seen.clear()
                if has_graph(memories[index]) or has_graph(returned):
                    facts.add("graph:kept")
                for p, gradient in zip(params, gradients):  # noqa: B905
                    if gradient is None:
                        if p.grad is not None:
                            facts.add("grad:made")
                    elif p.grad is None:
                        facts.add("grad:cleared")
                    elif p.grad.shape != gradient.shape or not bool((p.grad == gradient).all()):
                        facts.add("grad:written")
                path[index].append([p.detach().clone() for p in params])
    finally:
        hook.remove()
    return {"path": path, "facts": sorted(facts)}


_MEDDLED = "your code interfered with the check, so its answer could not be read"
_FACTS = {
    "object:replaced": "the list that you are given should hold the same parameters afterwards, but others were put in their "
    "place: the model still has the old ones",
    "leaf:lost": "the parameters should stay what they were, leaves that want a gradient, but afterwards they are not",
    "grad:cleared": ".grad should be left alone, but it was set to None: clearing it is the caller's part",
    "grad:made": ".grad of a parameter without a gradient should stay None, but something was put there",
    "grad:written": ".grad should be left alone, but its values are others after the step: some operation wrote into it",
    "graph:kept": "what is remembered from step to step hangs on a graph of all steps before, which grows without end",
    "state:returned": "the state you were given is still empty, and another dictionary was returned: the caller goes on with "
    "the one it made, so write into that",
}
_STATE = ("state:returned",)


@dataclass(frozen=True)
class Round:
    """One step of one group: gradients, and what the step is called with; `lr` and the like are for the arithmetic here."""

    gradients: Sequence[Tensor | None]
    lr: float
    momentum: float = 0.0
    decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    arguments: Sequence[Any] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    afresh: bool = False


@dataclass(frozen=True)
class Group:
    """Parameters and the rounds they go through."""

    values: Sequence[Tensor]
    rounds: Sequence[Round]
    kind: str = "list"


Path = list[list[Tensor]]
Arithmetic = Callable[[Group], Path]


def _run(
    student: Any, step: Any, takes_state: bool, groups: Sequence[Group], in_place: bool = False
) -> tuple[list[Path], set[str]]:
    """Return the parameters of each group after each round, and what else was seen."""
    sent = [
        {
            "values": list(g.values),
            "kind": g.kind,
            "rounds": [[list(r.gradients), list(r.arguments), dict(r.options), r.afresh] for r in g.rounds],
        }
        for g in groups
    ]
    reply = student.fixture(steps)(expect.function(step), takes_state, sent, in_place)
    good = isinstance(reply, dict) and isinstance(reply.get("path"), list) and isinstance(reply.get("facts"), list)
    expect.that(good and len(reply["path"]) == len(groups), "report", _MEDDLED)
    for path, group in zip(reply["path"], groups, strict=True):
        fits = isinstance(path, list) and len(path) == len(group.rounds)
        fits = fits and all(isinstance(row, list) and len(row) == len(group.values) for row in path)
        expect.that(fits, "report", _MEDDLED)
    facts = {fact for fact in reply["facts"] if isinstance(fact, str)}
    library = sorted(fact for fact in facts if fact.startswith("library:"))
    if library:
        name = library[0].removeprefix("library:")
        raise expect.Failure(
            "library:optimizer", f"the step should be your own, but it calls an optimizer of a library, {name}"
        )
    return reply["path"], facts


def _follows(
    paths: Sequence[Path],
    groups: Sequence[Group],
    right: Arithmetic,
    wrong: Mapping[str, Arithmetic],
    precise: bool = False,
) -> None:
    """Expect each group's parameters to be what `right` says after each round; a path that `wrong` gives names the mistake."""
    tolerance = 1e-6 if precise else 1e-5
    for number, (path, group) in enumerate(zip(paths, groups, strict=True)):
        which = f" of group {number + 1}" if len(groups) > 1 else ""
        wanted = right(group)
        for step, (row, targets) in enumerate(zip(path, wanted, strict=True)):
            for index, (value, target) in enumerate(zip(row, targets, strict=True)):
                what = f"parameter {index}{which} after step {step + 1}"
                try:
                    expect.close(value, target, what, "value", tolerance, tolerance)
                except expect.Failure as failure:
                    if failure.code != "value":
                        raise
                    name = next((n for n, f in wrong.items() if _same(path, f(group), tolerance)), "other")
                    still = torch.equal(value, path[step - 1][index] if step else group.values[index])
                    said = f"{what[:1].upper()}{what[1:]} did not move: " if still else ""
                    raise expect.Failure(
                        f"value:{name}", said + failure.message, [_picture(path, wanted, index)]
                    ) from None


def _same(path: Path, wanted: Path, tolerance: float) -> bool:
    for row, targets in zip(path, wanted, strict=True):
        for value, target in zip(row, targets, strict=True):
            if not isinstance(value, Tensor) or value.shape != target.shape:
                return False
            if not bool(((value.double() - target).abs() <= 2 * tolerance * (1 + target.abs())).all()):
                return False
    return True


def _picture(path: Path, wanted: Path, index: int) -> Any:
    """Draw the entry of one parameter that ends furthest from where it should."""
    entry = int((path[-1][index].double() - wanted[-1][index]).abs().nan_to_num(0).argmax())
    places = [float(step) for step in range(1, len(path) + 1)]
    seen, right = ([float(row[index].flatten()[entry]) for row in rows] for rows in (path, wanted))
    return bars(f"One weight of parameter {index} after each step.", [("seen", places, seen), ("right", places, right)],
                "step", "value")  # fmt: skip


# -- sgd_step ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sgd:
    """One way of taking steps: the right one, unless something is changed. All of it on one parameter, in float64.

    Attributes:
        pull: what joins the gradient, given w and the decay.
        remember: the next buffer, given the old one (None at first), the gradient with the decay in it, and the momentum.
        aim: what is stepped along, given the new buffer, that gradient and the momentum.
        apart: what w is multiplied by for a decay of its own, given lr and the decay; `after`: whether the step comes first.
        gain: what the direction is multiplied by, given lr.
        lr_first: lr multiplies what enters the buffer, not the buffer.
        none_decays: a parameter without a gradient decays all the same.
        keeps: buffers are kept from step to step.
        forgets_nothing: and even where the caller starts afresh.
        by_rank: buffers are numbered among the parameters that have a gradient.
        appended: a parameter whose place is beyond the end of the list of buffers gets a new one at the end.
        none_is_zero: a gradient that is missing is taken for zeros.
        starts: a buffer is the gradient, without the decay, before it is updated for the first time.
        first_lost: where there are no buffers yet, they are made as zeros, and nothing else is done.
    """

    pull: Callable[[Tensor, float], Tensor] = lambda w, decay: decay * w
    remember: Callable[[Tensor | None, Tensor, float], Tensor] = lambda old, d, mu: d if old is None else mu * old + d
    aim: Callable[[Tensor, Tensor, float], Tensor] = lambda buffer, d, mu: buffer
    apart: Callable[[float, float], float] = lambda lr, decay: 1.0
    after: bool = False
    gain: Callable[[float], float] = lambda lr: -lr
    lr_first: bool = False
    none_decays: bool = False
    keeps: bool = True
    forgets_nothing: bool = False
    by_rank: bool = False
    appended: bool = False
    none_is_zero: bool = False
    starts: bool = False
    first_lost: bool = False

    def __call__(self, group: Group) -> Path:
        values, path = [w.double() for w in group.values], []
        memory: dict[int, Tensor] = {}
        for r in group.rounds:
            if r.afresh and not self.forgets_nothing:
                memory = {}
            if self.first_lost and not memory:
                memory = {index: torch.zeros_like(w) for index, w in enumerate(values)}
                path.append(list(values))
                continue
            rank = 0
            for index, (w, given) in enumerate(zip(values, r.gradients, strict=True)):
                if given is None and not self.none_is_zero:
                    values[index] = (1 - r.lr * r.decay) * w if self.none_decays else w
                    continue
                key, rank = (rank if self.by_rank else index), rank + 1
                key = min(key, len(memory)) if self.appended else key
                d = (torch.zeros_like(w) if given is None else given.double()) + self.pull(w, r.decay)
                d = r.lr * d if self.lr_first else d
                old = given.double() if self.starts and given is not None and key not in memory else memory.get(key)
                buffer = self.remember(old, d, r.momentum) if r.momentum else d
                if self.keeps and r.momentum:
                    memory[key] = buffer
                scale, factor = (-1.0 if self.lr_first else self.gain(r.lr)), self.apart(r.lr, r.decay)
                move = scale * (self.aim(buffer, d, r.momentum) if r.momentum else d)
                values[index] = factor * (w + move) if self.after else factor * w + move
            path.append(list(values))
        return path


def _none(w: Tensor, decay: float) -> Tensor:
    return torch.zeros_like(w)


def _average(old: Tensor | None, d: Tensor, mu: float) -> Tensor:
    return (1 - mu) * d if old is None else mu * old + (1 - mu) * d


_SGD = _Sgd()
_SGD_WRONG: dict[str, Arithmetic] = {
    "unchanged": _Sgd(gain=lambda lr: 0.0),
    "ascent": _Sgd(gain=lambda lr: lr),
    "no_lr": _Sgd(gain=lambda lr: -1.0),
    "no_decay": _Sgd(pull=_none),
    "half": _Sgd(pull=lambda w, decay: 0.5 * decay * w),
    "double": _Sgd(pull=lambda w, decay: 2 * decay * w),
    "minus": _Sgd(pull=lambda w, decay: -decay * w),
    "sign": _Sgd(pull=lambda w, decay: decay * w.sign()),
    "unit": _Sgd(pull=lambda w, decay: decay * w / w.norm()),
    "penalty": _Sgd(pull=lambda w, decay: 0.5 * decay * w.square().sum() + _none(w, decay)),
    "decoupled": _Sgd(pull=_none, apart=lambda lr, decay: 1 - lr * decay),
    "after": _Sgd(pull=_none, apart=lambda lr, decay: 1 - lr * decay, after=True),
    "without_lr": _Sgd(pull=_none, apart=lambda lr, decay: 1 - decay),
    "without_lr_after": _Sgd(pull=_none, apart=lambda lr, decay: 1 - decay, after=True),
    "twice": _Sgd(apart=lambda lr, decay: 1 - lr * decay),
    "no_momentum": _Sgd(keeps=False),
    "average": _Sgd(remember=_average),
    "dampened": _Sgd(remember=lambda old, d, mu: d if old is None else mu * old + (1 - mu) * d),
    "exchanged": _Sgd(remember=lambda old, d, mu: mu * d if old is None else (1 - mu) * old + mu * d),
    "nesterov": _Sgd(aim=lambda buffer, d, mu: d + mu * buffer),
    "lr_in_buffer": _Sgd(lr_first=True),
    "first_twice": _Sgd(remember=lambda old, d, mu: (1 + mu) * d if old is None else mu * old + d),
    "starts": _Sgd(starts=True),
    "first_scaled": _Sgd(remember=lambda old, d, mu: mu * d if old is None else mu * old + d),
    "no_fading": _Sgd(remember=lambda old, d, mu: d if old is None else old + d),
    "all_scaled": _Sgd(remember=lambda old, d, mu: d if old is None else mu * (old + d)),
    "averaged_decoupled": _Sgd(pull=_none, remember=_average, apart=lambda lr, decay: 1 - lr * decay),
    "none_decays": _Sgd(none_decays=True),
    "none_is_zero": _Sgd(none_is_zero=True),
    "old_buffers": _Sgd(forgets_nothing=True),
    "appended": _Sgd(
        appended=True
    ),  # before the next, which it may be alike; where that one is seen first, it is right
    "by_rank": _Sgd(by_rank=True),
    "first_lost": _Sgd(first_lost=True),
}


def _last_gradient_only(group: Group) -> Path:
    """The buffer is the gradient before, not the buffer before."""
    columns = []
    for index, value in enumerate(group.values):
        w, before, path = value.double(), torch.zeros_like(value).double(), []
        for r in group.rounds:
            given = r.gradients[index]
            if given is not None:
                d = given.double() + r.decay * w
                w, before = w - r.lr * (d + r.momentum * before), d
            path.append(w)
        columns.append(path)
    return [list(row) for row in zip(*columns, strict=True)]


def _exchanged_arguments(group: Group) -> Path:
    rounds = [replace(r, momentum=r.decay, decay=r.momentum) for r in group.rounds]
    return _SGD(replace(group, rounds=rounds))


_SGD_WRONG["last_only"] = _last_gradient_only
_SGD_WRONG["positions"] = _exchanged_arguments


def _aliased(in_place: bool) -> Arithmetic:
    """The buffer is the very tensor of the gradient, which the caller overwrites."""

    def path(group: Group) -> Path:
        columns = []
        for index, value in enumerate(group.values):
            w, buffer, found = value.double(), None, []
            for number, r in enumerate(group.rounds):
                g = r.gradients[index]
                assert g is not None, "only where every round has a gradient"
                d = g.double()
                if number == 0:
                    buffer = d
                elif in_place:
                    buffer = 2 * r.momentum * d
                else:
                    buffer = d + r.momentum * (d if number == 1 else buffer)  # type: ignore[operator]
                w = w - r.lr * buffer
                found.append(w)
            columns.append(found)
        return [list(row) for row in zip(*columns, strict=True)]

    return path


def _sgd_rounds(
    draw: Draw, shapes: Sequence[Sequence[int]], count: int, momentum: float = 0.0, decay: float = 0.0
) -> list[Round]:
    """Return rounds whose learning rate changes from one to the next, as a schedule's does; all is given by name."""
    rounds = []
    for number in range(count):
        lr = draw.uniform(0.05, 0.1) * (2 if number % 2 else 1)
        named = {"momentum": momentum, "weight_decay": decay}
        options = {"lr": lr, **{name: value for name, value in named.items() if value}}
        rounds.append(Round([draw.signed(*s) for s in shapes], lr, momentum, decay, options=options))
    return rounds


def _sgd(
    student: Any, groups: Sequence[Group], wrong: Mapping[str, Arithmetic] = _SGD_WRONG, in_place: bool = False
) -> set[str]:
    paths, facts = _run(student, student.sgd_step, False, groups, in_place)
    try:
        _follows(paths, groups, _SGD, wrong)
    except expect.Failure as failure:
        if failure.code == "value:no_momentum" and "returned:none" in facts:
            said = f"{failure.message}: nothing was returned, so nothing is handed to the next step"
            raise expect.Failure("value:not_returned", said, failure.evidence) from None
        raise
    return facts


@check("sgd_step", points=2)
def sgd_follows_the_gradient(student: Any, draw: Draw) -> None:
    """Without momentum and decay, a step is w - lr * gradient, in place, and lr may change from step to step."""
    values = [draw.signed(*shape) for shape in SHAPES]
    _sgd(student, [Group(values, _sgd_rounds(draw, SHAPES, 3))])


@check("sgd_step", points=3)
def sgd_decay_joins_the_gradient(student: Any, draw: Draw) -> None:
    """With decay, the gradient is that of loss and L2 penalty together: w - lr * (gradient + weight_decay * w)."""
    values = [draw.signed(*shape) for shape in SHAPES]
    _sgd(student, [Group(values, _sgd_rounds(draw, SHAPES, 3, decay=draw.uniform(0.6, 0.9)))])


@check("sgd_step", points=3)
def sgd_momentum_remembers(student: Any, draw: Draw) -> None:
    """With momentum, a buffer starts as the gradient, then is momentum * buffer + gradient; the step is w - lr * buffer."""
    values = [draw.signed(*shape) for shape in SHAPES]
    _sgd(student, [Group(values, _sgd_rounds(draw, SHAPES, 4, momentum=draw.uniform(0.6, 0.9)))])


@check("sgd_step", points=3)
def sgd_decay_goes_through_the_momentum(student: Any, draw: Draw) -> None:
    """With both, the decay is part of what the buffer remembers; arguments may be given by position."""
    values, momentum, decay = [draw.signed(*s) for s in SHAPES], draw.uniform(0.6, 0.8), draw.uniform(0.3, 0.5)
    rounds = [
        replace(r, arguments=(r.lr, momentum, decay), options={})
        for r in _sgd_rounds(draw, SHAPES, 4, momentum=momentum, decay=decay)
    ]
    _sgd(student, [Group(values, rounds)])


@check("sgd_step", points=2)
def sgd_keeps_groups_apart(student: Any, draw: Draw) -> None:
    """Groups with settings and buffers of their own do not disturb each other; a generator will do; None starts afresh."""
    first = Group(
        [draw.signed(*s) for s in OTHERS],
        _sgd_rounds(draw, OTHERS, 4, draw.uniform(0.6, 0.7), draw.uniform(0.3, 0.4)),
        "generator",
    )
    second = Group(
        [draw.signed(*s, dtype=torch.float64) for s in OTHERS],
        [
            replace(r, gradients=[g.double() if g is not None else None for g in r.gradients])
            for r in _sgd_rounds(draw, OTHERS, 4, draw.uniform(0.8, 0.9), draw.uniform(0.5, 0.6))
        ],
        "tuple",
    )
    groups = [
        replace(g, rounds=[*g.rounds[:2], replace(g.rounds[2], afresh=True), g.rounds[3]]) for g in (first, second)
    ]
    _separately(groups, lambda some: _sgd(student, some))


@check("sgd_step", points=1)
def sgd_skips_what_has_no_gradient(student: Any, draw: Draw) -> None:
    """A parameter whose .grad is None stays as it is, its buffer too, also if it has a gradient in other steps."""
    shapes = ((3, 4), (3, 4), (3, 4))  # alike, so that a mix-up of buffers shows in the values
    momentum, decay = draw.uniform(0.6, 0.8), draw.uniform(0.3, 0.5)
    for present in (FIRST_ALWAYS, FIRST_LATE):
        rounds = _sparse(_sgd_rounds(draw, shapes, 4, momentum, decay), present)
        _sgd(student, [Group([draw.signed(*s) for s in shapes], rounds)])


@check("sgd_step", points=2)
def sgd_touches_nothing_else(student: Any, draw: Draw) -> None:
    """Parameters stay the same objects, .grad keeps its values and its memory is not kept, and no graph is built."""
    momentum, decay = draw.uniform(0.6, 0.8), draw.uniform(0.3, 0.5)
    for kwargs, in_place in (
        ({"momentum": momentum, "decay": decay}, False),
        ({"momentum": momentum}, True),
        ({}, False),
    ):
        group = Group([draw.signed(*s) for s in SHAPES], _sgd_rounds(draw, SHAPES, 3, **kwargs))
        paths, facts = _run(student, student.sgd_step, False, [group], in_place)
        if (
            in_place
        ):  # as zero_grad(set_to_none=False) and backward() do; other wrong paths are not for this check to tell
            for alias in (True, False):
                expect.that(
                    not _same(paths[0], _aliased(alias)(group), 1e-5),
                    "buffer:is_gradient",
                    "the buffer is the very tensor of .grad: when the caller clears it in place and backward fills it again, "
                    "what was remembered is gone",
                )
        _nothing_else(facts)


# Which of three parameters have a gradient in each of four rounds.
FIRST_ALWAYS = ((True, False, False), (True, True, False), (True, False, True), (True, True, True))
FIRST_LATE = ((False, True, True), (True, True, False), (True, False, True), (True, True, True))


def _sparse(rounds: Sequence[Round], present: Sequence[Sequence[bool]] = FIRST_ALWAYS) -> list[Round]:
    """Return rounds in which some parameters have no gradient."""
    return [
        replace(r, gradients=[g if there else None for g, there in zip(r.gradients, row, strict=True)])
        for r, row in zip(rounds, present, strict=True)
    ]


def _separately(groups: Sequence[Group], attempt: Callable[[Sequence[Group]], Any]) -> None:
    """Expect groups to go right together; if each does alone, and without a new start, say so."""
    try:
        attempt(groups)
    except expect.Failure as failure:
        if failure.code != "value:other":
            raise
        try:
            for group in groups:
                attempt([replace(group, rounds=[replace(r, afresh=False) for r in group.rounds])])
        except expect.Failure:
            raise failure from None
        said = f"{failure.message}; alone each group goes right, so something that is remembered is shared by them"
        raise expect.Failure("groups:mixed", said, failure.evidence) from None


def _nothing_else(facts: set[str]) -> None:
    for fact, sentence in _FACTS.items():
        expect.that(fact not in facts, fact, sentence)


# -- adamw_step ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Adam:
    """One way of taking steps: the right one, unless something is changed. All of it on one parameter, in float64.

    Attributes:
        first: the next first average, given the old one, the gradient and beta.
        second: the next second average, likewise.
        corrects: whether the first and the second average are corrected.
        ratio: the direction, given the corrected averages, eps and the correction of the second.
        pull: what joins the gradient, given w and the decay.
        apart: what w is multiplied by, given lr and the decay; `after` says whether the step comes first.
        inside: whether decay * w joins the numerator instead.
        count: the step's number, given the right one, the parameter's place and their number.
        gain: what the direction is multiplied by, given lr.
        starts: the averages start as the first gradient and its square.
        largest: the root is taken of the largest average so far.
        exchanged: each beta has the other's place.
        own_count: each parameter counts its own steps.
        none_decays, keeps, forgets_nothing, by_rank, appended, none_is_zero, first_lost: as for `_Sgd`.
    """

    first: Callable[[Tensor, Tensor, float], Tensor] = lambda m, g, beta: beta * m + (1 - beta) * g
    second: Callable[[Tensor, Tensor, float], Tensor] = lambda v, g, beta: beta * v + (1 - beta) * g * g
    corrects: tuple[bool, bool] = (True, True)
    ratio: Callable[[Tensor, Tensor, float, float], Tensor] = lambda m, v, eps, c: m / (v.sqrt() + eps)
    pull: Callable[[Tensor, float], Tensor] = _none
    apart: Callable[[float, float], float] = lambda lr, decay: 1 - lr * decay
    after: bool = False
    inside: bool = False
    count: Callable[[int, int, int], int] = lambda t, place, number: t
    gain: Callable[[float], float] = lambda lr: -lr
    keeps: bool = True
    starts: bool = False
    largest: bool = False
    exchanged: bool = False
    own_count: bool = True
    none_decays: bool = False
    forgets_nothing: bool = False
    by_rank: bool = False
    appended: bool = False
    none_is_zero: bool = False
    first_lost: bool = False

    def __call__(self, group: Group) -> Path:
        values, path = [w.double() for w in group.values], []
        memory: dict[int, tuple[Tensor, Tensor, Tensor, int]] = {}
        steps = 0
        for r in group.rounds:
            if r.afresh and not self.forgets_nothing:
                memory, steps = {}, 0
            beta1, beta2 = r.betas[::-1] if self.exchanged else r.betas
            rank, steps = 0, steps + 1
            if self.first_lost and not memory:
                memory = {index: (*[torch.zeros_like(w)] * 3, 0) for index, w in enumerate(values)}
                path.append(list(values))
                continue
            for index, (w, given) in enumerate(zip(values, r.gradients, strict=True)):
                if given is None and not self.none_is_zero:
                    values[index] = (1 - r.lr * r.decay) * w if self.none_decays else w
                    continue
                key, rank = (rank if self.by_rank else index), rank + 1
                key, zero = min(key, len(memory)) if self.appended else key, torch.zeros_like(w)
                g = (zero if given is None else given.double()) + self.pull(w, r.decay)
                m, v, most, t = memory.get(key, (zero, zero, zero, 0))
                if self.starts and not t:
                    m, v = g, g * g
                else:
                    m, v = self.first(m, g, beta1), self.second(v, g, beta2)
                most, t = torch.maximum(most, v), t + 1
                if self.keeps:
                    memory[key] = m, v, most, t
                number = self.count(t if self.own_count else steps, index, len(values))
                c1, c2 = (1 - b**number if on else 1.0 for b, on in zip((beta1, beta2), self.corrects, strict=True))
                top = m / c1 + (r.decay * w if self.inside else 0)
                u = self.ratio(top, (most if self.largest else v) / c2, r.eps, c2)
                factor, move = self.apart(r.lr, r.decay), self.gain(r.lr) * u
                values[index] = factor * (w + move) if self.after else factor * w + move
            path.append(list(values))
        return path


def _one_decay(factor: float) -> Callable[[float, float], float]:
    return lambda lr, decay: 1 - factor * lr * decay


_PLAIN: Callable[[float, float], float] = _one_decay(0.0)

_ADAMW = _Adam()
_ADAMW_WRONG: dict[str, Arithmetic] = {
    "unchanged": _Adam(gain=lambda lr: 0.0, apart=_PLAIN),
    "ascent": _Adam(gain=lambda lr: lr),
    "no_lr": _Adam(gain=lambda lr: -1.0),
    "decay_only": _Adam(gain=lambda lr: 0.0),
    "not_kept": _Adam(keeps=False),
    "no_correction": _Adam(corrects=(False, False)),
    "no_correction_first": _Adam(corrects=(False, True)),
    "no_correction_second": _Adam(corrects=(True, False)),
    "count_stays": _Adam(count=lambda t, place, number: 1),
    "count_ahead": _Adam(count=lambda t, place, number: t + 1),
    "count_per_parameter": _Adam(count=lambda t, place, number: (t - 1) * number + place + 1),
    "eps_inside": _Adam(ratio=lambda m, v, eps, c: m / (v + eps).sqrt()),
    "eps_early": _Adam(ratio=lambda m, v, eps, c: m / (v.sqrt() + eps / c**0.5)),
    "eps_squared": _Adam(ratio=lambda m, v, eps, c: m / (v + eps * eps).sqrt()),
    "no_eps": _Adam(ratio=lambda m, v, eps, c: m / v.sqrt()),
    "eps_default": _Adam(ratio=lambda m, v, eps, c: m / (v.sqrt() + 1e-8)),
    "no_root": _Adam(ratio=lambda m, v, eps, c: m / (v + eps)),
    "no_scale": _Adam(ratio=lambda m, v, eps, c: m),
    "no_momentum": _Adam(first=lambda m, g, beta: g, corrects=(False, True)),
    "exchanged": _Adam(exchanged=True),
    "sum_first": _Adam(first=lambda m, g, beta: beta * m + g),
    "sum_second": _Adam(second=lambda v, g, beta: beta * v + g * g),
    "sums": _Adam(first=lambda m, g, beta: beta * m + g, second=lambda v, g, beta: beta * v + g * g),
    "no_square": _Adam(second=lambda v, g, beta: beta * v + (1 - beta) * g.abs()),
    "complement": _Adam(
        first=lambda m, g, beta: (1 - beta) * m + beta * g, second=lambda v, g, beta: (1 - beta) * v + beta * g * g
    ),
    "starts": _Adam(starts=True),
    "starts_uncorrected": _Adam(starts=True, corrects=(False, False)),
    "largest": _Adam(largest=True),
    "l2": _Adam(pull=lambda w, decay: decay * w, apart=_PLAIN),
    "l2_half": _Adam(pull=lambda w, decay: 0.5 * decay * w, apart=_PLAIN),
    "both": _Adam(pull=lambda w, decay: decay * w),
    "inside": _Adam(inside=True, apart=_PLAIN),
    "no_decay": _Adam(apart=_PLAIN),
    "without_lr": _Adam(apart=lambda lr, decay: 1 - decay),
    "half": _Adam(apart=_one_decay(0.5)),
    "double": _Adam(apart=_one_decay(2.0)),
    "minus": _Adam(apart=_one_decay(-1.0)),
    "after": _Adam(after=True),
    "none_decays": _Adam(none_decays=True),
    "none_is_zero": _Adam(none_is_zero=True),
    "old_state": _Adam(forgets_nothing=True),
    "appended": _Adam(appended=True),
    "appended_one_count": _Adam(appended=True, own_count=False),
    "by_rank": _Adam(by_rank=True),
    "first_lost": _Adam(first_lost=True, own_count=False),
    "positions": lambda group: _ADAMW(
        replace(group, rounds=[replace(r, eps=r.decay, decay=r.eps) for r in group.rounds])
    ),
}


def _adam_rounds(
    draw: Draw, shapes: Sequence[Sequence[int]], count: int, decay: float = 0.0, eps: float = 1e-8
) -> list[Round]:
    """Return rounds whose learning rate changes from one to the next; all is given by name.

    The second gradients are large and those after it small, so that the average of the squares falls again.
    """
    betas = (draw.uniform(0.7, 0.8), draw.uniform(0.9, 0.95))
    rounds = []
    for number in range(count):
        lr, scale = draw.uniform(0.05, 0.1) * (2 if number % 2 else 1), (1.0, 4.0, 0.4, 0.6)[number]
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": decay}
        gradients = [scale * draw.signed(*s) for s in shapes]
        rounds.append(Round(gradients, lr, decay=decay, betas=betas, eps=eps, options=options))
    return rounds


def _adamw(
    student: Any, groups: Sequence[Group], wrong: Mapping[str, Arithmetic] = _ADAMW_WRONG, precise: bool = False
) -> set[str]:
    paths, facts = _run(student, student.adamw_step, True, groups)
    _follows(paths, groups, _ADAMW, wrong, precise)
    return facts


@check("adamw_step", points=4)
def adamw_moves_by_the_corrected_ratio(student: Any, draw: Draw) -> None:
    """Without decay, a step is lr times the corrected average gradient over the root of the corrected average square."""
    _adamw(student, [Group([draw.signed(*shape) for shape in SHAPES], _adam_rounds(draw, SHAPES, 4))])


@check("adamw_step", points=4)
def adamw_decay_is_decoupled(student: Any, draw: Draw) -> None:
    """The decay multiplies the weights by 1 - lr * weight_decay and has no part in the averages."""
    rounds = _adam_rounds(draw, SHAPES, 4, decay=draw.uniform(0.6, 0.9))
    _adamw(student, [Group([draw.signed(*shape) for shape in SHAPES], rounds)])


@check("adamw_step", points=2)
def adamw_eps_is_added_to_the_root(student: Any, draw: Draw) -> None:
    """The eps is added after the root is taken, and after the correction."""
    rounds = _adam_rounds(draw, SHAPES, 4, eps=draw.uniform(0.3, 0.5))
    _adamw(student, [Group([draw.signed(*shape) for shape in SHAPES], rounds)])


@check("adamw_step", points=2)
def adamw_has_the_usual_defaults(student: Any, draw: Draw) -> None:
    """Called with params and state alone, it takes lr = 1e-3, betas = (0.9, 0.999), eps = 1e-8 and weight_decay = 1e-2."""
    # Gradients of 1e-7 show an eps of 1e-8. In ten steps a decay of 1e-2 moves a weight by 5e-5 or more.
    scales = (1.0, 1e-7)
    shapes = SHAPES[:2]
    values = [draw.signed(*s, dtype=torch.float64) for s in shapes]
    rounds = [
        Round([c * draw.signed(*s, dtype=torch.float64) for s, c in zip(shapes, scales, strict=True)], 1e-3, decay=1e-2)
        for _ in range(10)
    ]
    others = {
        "lr": {"lr": 1e-2}, "decay_0": {"decay": 0.0}, "decay_0.1": {"decay": 0.1}, "decay_1e-4": {"decay": 1e-4},
        "betas": {"betas": (0.9, 0.99)}, "betas_0.95": {"betas": (0.9, 0.95)}, "eps_1e-7": {"eps": 1e-7},
        "eps_1e-6": {"eps": 1e-6}, "eps_1e-5": {"eps": 1e-5},
    }  # fmt: skip

    def with_other(settings: Mapping[str, Any]) -> Arithmetic:
        return lambda group: _ADAMW(replace(group, rounds=[replace(r, **settings) for r in group.rounds]))

    known = {f"default_{name}": with_other(settings) for name, settings in others.items()}
    _adamw(student, [Group(values, rounds)], {**known, **_ADAMW_WRONG}, precise=True)


@check("adamw_step", points=2)
def adamw_keeps_groups_apart(student: Any, draw: Draw) -> None:
    """Groups with settings and state of their own do not disturb each other; a generator will do; {} starts afresh."""
    groups = []
    for kind, dtype in (("generator", torch.float32), ("tuple", torch.float64)):
        rounds = _adam_rounds(draw, OTHERS, 4, decay=draw.uniform(0.6, 0.9), eps=draw.uniform(0.05, 0.1))
        rounds = [
            replace(r, gradients=[g.to(dtype) if g is not None else None for g in r.gradients], options={},
                    arguments=(r.lr, r.betas, r.eps, r.decay))
            for r in rounds
        ]  # fmt: skip
        rounds[2] = replace(rounds[2], afresh=True)
        groups.append(Group([draw.signed(*s, dtype=dtype) for s in OTHERS], rounds, kind))
    _separately(groups, lambda some: _adamw(student, some))


@check("adamw_step", points=1)
def adamw_skips_what_has_no_gradient(student: Any, draw: Draw) -> None:
    """A parameter whose .grad is None stays as it is, its averages too, also if it has a gradient in other steps."""
    shapes = ((3, 4), (3, 4), (3, 4))  # alike, so that a mix-up of averages shows in the values
    decay = draw.uniform(0.6, 0.9)
    for present in (FIRST_ALWAYS, FIRST_LATE):
        rounds = _sparse(_adam_rounds(draw, shapes, 4, decay=decay), present)
        group = Group([draw.signed(*s) for s in shapes], rounds)
        paths, _ = _run(student, student.adamw_step, True, [group])
        # PyTorch counts the steps of each parameter; one count for all of them is as good a reading of "t".
        one_count = _Adam(own_count=False)
        right = one_count if _same(paths[0], one_count(group), 1e-5) else _ADAMW
        _follows(paths, [group], right, _ADAMW_WRONG)


@check("adamw_step", points=2)
def adamw_touches_nothing_else(student: Any, draw: Draw) -> None:
    """Parameters stay the same objects, .grad keeps its values, no graph is built, and state is the dictionary given."""
    for decay in (draw.uniform(0.6, 0.9), 0.0):
        group = Group([draw.signed(*s) for s in SHAPES], _adam_rounds(draw, SHAPES, 2, decay=decay))
        _nothing_else(_run(student, student.adamw_step, True, [group])[1])


# -- split_weight_decay --------------------------------------------------------------------------------------------------


@fixture
def split(split_weight_decay: Any, name: str, weight_decay: float) -> dict[str, Any]:
    from torch import nn

    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(4))

    class Nested(nn.Module):
        """Names that mislead, layers inside of layers, a matrix of its own, kinds of layers that are easily forgotten."""

        def __init__(self) -> None:
            super().__init__()
            self.mixing, self.shift = nn.Parameter(torch.ones(3, 4)), Shift()
            self.normal_branch = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Sequential(nn.GroupNorm(1, 3), nn.ReLU()))
            self.unbiased = nn.ModuleDict({"up": nn.ConvTranspose2d(3, 2, 2, bias=False), "last": nn.Linear(3, 2)})
            self.head = nn.ModuleList([nn.Bilinear(2, 3, 4), nn.Conv1d(1, 2, 2), nn.LayerNorm(4)])

    class Tied(nn.Module):
        """Two layers with one weight, and two layers that stand in two places."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(4, 3, bias=False), nn.Linear(4, 3)
            self.decoder.weight = self.encoder.weight
            self.shared, self.norm = nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)
            self.stages = nn.ModuleList([nn.Sequential(self.shared, self.norm), nn.Sequential(self.shared, self.norm)])

    def plain() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, bias=False), nn.GroupNorm(2, 6),
            nn.Flatten(), nn.Linear(24, 5), nn.LayerNorm(5), nn.Linear(5, 3),
        )  # fmt: skip

    def frozen() -> nn.Module:
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5), nn.Linear(5, 3))
        for p in (*model[0].parameters(), model[1].weight, model[2].weight, model[3].bias):
            p.requires_grad_(False)
        return model

    model = {"plain": plain, "nested": Nested, "tied": Tied, "frozen": frozen}[name]()
    held = {id(p): p for p in model.parameters()}
    order = list(held)
    wanted = {i: p.requires_grad for i, p in held.items()}
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        for own, p in module.named_parameters(path, recurse=False):
            owners.setdefault(id(p), [type(module).__name__, own])
    modes = [m.training for m in model.modules()]
    result = split_weight_decay(model, weight_decay)

    groups = []
    for group in result if isinstance(result, (list, tuple)) else ():
        if not isinstance(group, dict):
            groups.append({"kind": type(group).__name__[:40]})
            continue
        params, decay = group.get("params"), group.get("weight_decay")
        kind = type(params).__name__[:40]
        if isinstance(params, torch.Tensor):
            params = [params]
        try:
            listed = list(params)[:1000] if params is not None else []
            once = len(list(params)[:1000] if params is not None else []) < len(listed)
        except TypeError:
            listed, once = [], False
        # torch.optim takes pairs of name and parameter, too.
        listed = [p[1] if isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) else p for p in listed]
        places = [order.index(id(p)) if id(p) in held else type(p).__name__[:40] for p in listed]
        known = isinstance(decay, (int, float)) and not isinstance(decay, bool)
        groups.append({"kind": "dict", "params": places, "listed": kind, "decay": float(decay) if known else None,
                       "has": "weight_decay" in group, "once": once})  # fmt: skip
    now = {id(p): p.requires_grad for p in model.parameters()}
    changed = "modes" if modes != [m.training for m in model.modules()] else ""
    for i, trains in wanted.items():
        if now.get(i) != trains:
            changed = "frozen" if trains else "thawed"
    return {
        "kind": type(result).__name__[:40],
        "groups": groups,
        "parameters": [[*owners[i], held[i].dim(), wanted[i]] for i in order],
        "changed": changed,
    }


@check("split_weight_decay", points=2)
def split_makes_two_groups(student: Any, draw: Draw) -> None:
    """The result is two groups that torch.optim takes: a list of parameters each, one with your weight_decay, one with 0."""
    seen = _split(student, "plain", draw.uniform(0.2, 0.4))
    once = next((str(group.get("listed")) for group in seen["groups"] if group.get("once") is not False), "")
    expect.that(
        not once,
        "params:once",
        f'"params" of each group should be a list of parameters, got a {once}, which is empty after it was walked through once',
    )
    empty = [name for name in ("decayed", "spared") if not seen[name]]
    expect.that(not empty, f"empty:{'+'.join(empty)}", f"a group is empty: nothing is {' or '.join(empty)}")


@check("split_weight_decay", points=4)
def split_spares_biases_and_norms(student: Any, draw: Draw) -> None:
    """Weights of convolutions and linear layers decay; biases and everything of normalization layers do not."""
    _sorted(_split(student, "plain", draw.uniform(0.2, 0.4)))


@check("split_weight_decay", points=2)
def split_finds_every_parameter(student: Any, draw: Draw) -> None:
    """Every trainable parameter is there once, at any depth, in layers of any kind, whatever it is called."""
    _sorted(_split(student, "nested", draw.uniform(0.2, 0.4)))


@check("split_weight_decay", points=2)
def split_counts_shared_parameters_once(student: Any, draw: Draw) -> None:
    """A parameter that two layers share, and a layer that stands in two places, are there once."""
    _sorted(_split(student, "tied", draw.uniform(0.2, 0.4)))


@check("split_weight_decay", points=1)
def split_serves_partly_frozen_models(student: Any, draw: Draw) -> None:
    """Where some parameters are frozen, every one that still trains is there, also beside a frozen one; and it stays so."""
    seen = _split(student, "frozen", draw.uniform(0.2, 0.4))
    _sorted(seen)
    changed = str(seen.get("changed"))
    said = "the model was changed: its modes, or requires_grad of its parameters, are not what they were"
    expect.that(not changed, f"model:{changed}", said)


def _split(student: Any, name: str, decay: float) -> dict[str, Any]:
    """Return what was seen, with "decayed" and "spared": the places of the parameters of both groups."""
    seen = student.fixture(split)(expect.function(student.split_weight_decay), name, decay)
    good = isinstance(seen, dict) and isinstance(seen.get("groups"), list) and isinstance(seen.get("parameters"), list)
    good = good and all(isinstance(p, list) and len(p) == 4 for p in seen["parameters"])
    expect.that(good, "report", _MEDDLED)
    kind, groups = str(seen.get("kind")), seen["groups"]
    expect.that(kind in ("list", "tuple"), f"type:{kind}", f"the result should be a list of two groups, got {kind}")
    expect.that(len(groups) == 2, f"groups:{min(len(groups), 3)}", f"there should be two groups, got {len(groups)}")
    for group in groups:
        inner = str(group.get("kind"))
        expect.that(inner == "dict", f"group:{inner}", f"a group should be a dictionary, got {inner}")
        expect.that(isinstance(group.get("params"), list), "report", _MEDDLED)
        expect.that(
            group.get("has") is True,
            "decay:missing",
            'each group should say its own "weight_decay", also the one with 0: else the optimizer puts its default there',
        )
        listed = str(group.get("listed"))
        expect.that(
            listed not in ("set", "NoneType", "dict", "str"),
            f"params:{listed}",
            f'"params" of each group should be a list of parameters, got {listed}',
        )
        stranger = next((p for p in group["params"] if not isinstance(p, int)), None)
        expect.that(
            stranger is None,
            f"params:{stranger}",
            f"a group should hold the model's own parameters, the very objects, but it holds something else: a {stranger}",
        )
    decays = [g["decay"] if isinstance(g["decay"], float) else float("nan") for g in groups]
    spared, decayed = sorted(range(2), key=lambda i: abs(decays[i]))
    named = {"half": decay / 2, "double": 2 * decay, "zero": 0.0, "0.01": 0.01, "0.1": 0.1, "squared": decay**2}
    got = next((n for n, v in named.items() if abs(decays[decayed] - v) < 1e-9), "other")
    expect.that(
        abs(decays[decayed] - decay) < 1e-9,
        f"decay:{got}",
        f"one group should have weight_decay = {decay:.4g}, the number given; the two have {decays[0]:.4g} and {decays[1]:.4g}",
    )
    expect.that(
        decays[spared] == 0,
        f"decay:spared_{'same' if decays[spared] == decays[decayed] else 'other'}",
        f"one group should have weight_decay = 0; the two have {decays[0]:.4g} and {decays[1]:.4g}",
    )
    return {**seen, "decayed": groups[decayed]["params"], "spared": groups[spared]["params"]}


def _sorted(seen: Mapping[str, Any]) -> None:
    """Expect each trainable parameter once, in the right one of the groups."""
    wrong: dict[str, list[str]] = {"missing": [], "twice": [], "decays": [], "spares": []}
    trained = 0
    for place, (owner, name, dimensions, trains) in enumerate(seen["parameters"]):
        decayed, spared = seen["decayed"].count(place), seen["spared"].count(place)
        # Not whole names: they would tell apart what is the same mistake.
        norm, own = "Norm" in owner, str(name).rpartition(".")[2]
        # Of a matrix of the model's own, or a Bilinear, the rules by type say this or that: it need only be there.
        free = not norm and own != "bias" and owner not in ("Conv2d", "Linear")
        kind = f"{owner if norm else 'other' if free else 'layer'} {own if own in ('weight', 'bias') else 'weight'}"
        said = f"{owner}'s {own}"
        trained += bool(trains)
        if not trains:
            if decayed + spared > 1:
                wrong["twice"].append(f"{kind}|{said}")
        elif decayed + spared == 0:
            wrong["missing"].append(f"{kind}|{said}")
        elif decayed + spared > 1:
            wrong["twice"].append(f"{kind}|{said}")
        elif free:
            trained -= 1
        elif decayed and dimensions < 2:
            wrong["decays"].append(f"{kind}|{said}")
        elif spared and dimensions >= 2:
            wrong["spares"].append(f"{owner} {own}|{said}")
    sentences = {
        "missing": "these train, but are in neither group, so that an optimizer never moves them",
        "twice": "these are there more than once",
        "decays": "these should not decay, but are in the group that does",
        "spares": "these should decay, but are in the group that does not",
    }
    everything = len(wrong["decays"]) + len(wrong["spares"]) == trained
    expect.that(not everything, "assignment:inverted", "every parameter is in the other group than it should be")
    for what, found in wrong.items():
        kinds = sorted({each.partition("|")[0] for each in found})
        also = "".join(f",{other}" for other in wrong if other > what and wrong[other])
        expect.that(
            not found,
            f"{what}:{'+'.join(kinds)}{also}",
            f"{sentences[what]}: {', '.join(each.partition('|')[2] for each in found[:6])}{', …' if len(found) > 6 else ''}",
        )
