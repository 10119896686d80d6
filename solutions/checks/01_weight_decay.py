"""Graded-only checks of 01_weight_decay: the same work is done by the learner's function and by the reference's."""

from __future__ import annotations

from typing import Any

import torch

from autograder import expect
from autograder.checks import check
from autograder.draw import Draw
from autograder.student import Fixture, fixture, local_student

_MEDDLED = "your code interfered with the check, so its answer could not be read"


def _reference(reference: Any, work: Fixture, name: str, *args: Any) -> Any:
    """Return what a fixture makes of the reference solution, here."""
    here = local_student({name: getattr(reference, name)})
    return here.fixture(work)(getattr(here, name), *args)


@fixture
def penalties(
    l2_penalty: Any, values: list[torch.Tensor], weight_decay: float
) -> list[dict[str, Any]]:
    seen = []
    for given in (values, values[:1], values[1:]):
        params = [torch.nn.Parameter(value.clone()) for value in given]
        output = l2_penalty((p for p in params), weight_decay)
        # As users do: together with a loss, and through backward().
        (output + sum((p * p.sign()).sum() for p in params)).backward()
        seen.append({"output": output.detach(), "gradients": [p.grad for p in params]})
    return seen


@check("l2_penalty", points=1)
def penalty_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Value and gradient are the reference's, for many shapes and any weight_decay, also beside a loss."""
    shapes = [draw.sizes(dimensions, 2, 6) for dimensions in (2, 1, 4, draw.integer(1, 3))]
    values = [draw.signed(*shape) for shape in shapes]
    for decay, suffix in ((draw.uniform(2.0, 3.0), ""), (0.0, "_at_zero")):
        run = student.fixture(penalties)
        seen = run(expect.function(student.l2_penalty), values, decay)
        right = _reference(reference, penalties, "l2_penalty", values, decay)
        expect.that(isinstance(seen, list) and len(seen) == len(right), "report", _MEDDLED)
        for got, wanted in zip(seen, right, strict=True):
            good = isinstance(got, dict) and isinstance(got.get("gradients"), list)
            expect.that(
                good and len(got["gradients"]) == len(wanted["gradients"]), "report", _MEDDLED
            )
            expect.close(
                expect.scalar(got.get("output"), "the penalty"),
                float(wanted["output"]),
                f"the penalty with weight_decay = {decay:.3g}",
                f"value{suffix}",
                1e-5,
                1e-5,
            )
            for gradient, target in zip(got["gradients"], wanted["gradients"], strict=True):
                what = "the gradient of a loss and the penalty"
                expect.close(gradient, target, what, f"gradient{suffix}", 1e-5, 1e-5)


@fixture
def trained(
    step: Any,
    takes_state: bool,
    values: list[torch.Tensor],
    rounds: list[dict[str, Any]],
) -> list[list[torch.Tensor]]:
    params = [torch.nn.Parameter(value.clone()) for value in values]
    memory: Any = {} if takes_state else None
    path = []
    for each in rounds:
        for p, gradient in zip(params, each["gradients"]):  # noqa: B905
            p.grad = None if gradient is None else gradient.clone()
        if takes_state:
            step(iter(params), memory, **each["options"])
        else:
            memory = step(iter(params), buffers=memory, **each["options"])
        path.append([p.detach().clone() for p in params])
    return path


def _agrees(
    student: Any, name: str, draw: Draw, reference: Any, settings: list[dict[str, Any]]
) -> None:
    """Expect eight steps with each of the settings to lead where those of the reference lead."""
    for options in settings:
        shapes = [draw.sizes(dimensions, 2, 6) for dimensions in (1, 2, 3, 4)]
        values = [draw.signed(*shape) for shape in shapes]
        rounds = [
            {
                # The last of them never has a gradient; those of the others rise and fall.
                "gradients": [*(scale * draw.signed(*shape) for shape in shapes[:-1]), None],
                "options": {**options, "lr": draw.uniform(0.02, 0.06)},
            }
            for scale in (1.0, 1.0, 5.0, 0.3, 0.3, 1.0, 0.5, 1.0)
        ]
        work = student.fixture(trained)
        takes_state = name == "adamw_step"
        path = work(expect.function(getattr(student, name)), takes_state, values, rounds)
        right = _reference(reference, trained, name, takes_state, values, rounds)
        good = isinstance(path, list) and len(path) == len(right)
        good = good and all(isinstance(row, list) and len(row) == len(values) for row in path)
        expect.that(good, "report", _MEDDLED)
        for number, (row, targets) in enumerate(zip(path, right, strict=True), start=1):
            for index, (value, target) in enumerate(zip(row, targets, strict=True)):
                what = f"parameter {index} after step {number}"
                expect.close(value, target, what, "path", 2e-5, 2e-5)


@check("sgd_step", points=2)
def sgd_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Eight steps with momentum and decay, or with one of them, lead where the reference leads."""
    momentum, decay = draw.uniform(0.6, 0.9), draw.uniform(0.6, 0.9)
    settings = [
        {"momentum": momentum, "weight_decay": decay},
        {"momentum": momentum},
        {"weight_decay": decay},
    ]
    _agrees(student, "sgd_step", draw, reference, settings)


@check("adamw_step", points=2)
def adamw_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """Eight steps, with settings of many sizes, lead where the reference leads."""
    settings = [
        {
            "betas": (draw.uniform(0.6, 0.9), draw.uniform(0.9, 0.99)),
            "eps": eps,
            "weight_decay": decay,
        }
        for decay, eps in ((draw.uniform(0.6, 0.9), 1e-8), (0.0, draw.uniform(0.2, 0.3)))
    ]
    _agrees(student, "adamw_step", draw, reference, settings)


@fixture
def split_of(
    split_weight_decay: Any, widths: list[int], twice: bool, weight_decay: float
) -> dict[str, Any]:
    from itertools import pairwise

    from torch import nn

    blocks = []
    for number, (before, after) in enumerate(pairwise(widths)):
        norm = nn.GroupNorm(1, after) if number % 2 else nn.BatchNorm2d(after)
        bias = bool(number % 2)
        blocks.append(nn.Sequential(nn.Conv2d(before, after, 3, bias=bias), norm, nn.ReLU()))
    body = nn.Sequential(*blocks)
    model = nn.ModuleDict({"body": body, "head": nn.Linear(widths[-1], 3)})
    if twice:
        model["again"] = body
    names = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, list[str]] = {"decayed": [], "spared": []}
    for group in split_weight_decay(model, weight_decay):
        kind = "spared" if group["weight_decay"] == 0 else "decayed"
        # torch.optim takes pairs of name and parameter, too.
        params = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        found[kind] += [names.get(id(p), "a stranger") for p in params]
    return found


@check("split_weight_decay", points=2)
def split_agrees_with_the_reference(student: Any, draw: Draw, reference: Any) -> None:
    """For networks of any size, the two groups hold what the reference's hold."""
    for twice in (False, True):
        widths, decay = draw.sizes(draw.integer(3, 5), 2, 9), draw.uniform(0.2, 0.4)
        work = student.fixture(split_of)
        seen = work(expect.function(student.split_weight_decay), widths, twice, decay)
        right = _reference(reference, split_of, "split_weight_decay", widths, twice, decay)
        for kind, names in right.items():
            got = seen.get(kind) if isinstance(seen, dict) else None
            expect.that(isinstance(got, list), "report", _MEDDLED)
            got = sorted(map(str, got))
            expect.that(
                got == sorted(names),
                f"{kind}:{'shared' if twice else 'plain'}",
                f"these should be {kind}: {', '.join(sorted(names))}; got {', '.join(got)[:400]}",
            )
