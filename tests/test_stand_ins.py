"""Right versions that stand in for a learner's faulty ones: their values, modes and gradients are the judge's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autograder.sandbox import Sandbox
from autograder.sandbox.stand_ins import NotOffered, StandIns
from autograder.student import Student, StudentError, fixture


class Halve(nn.Module):
    """Halves in training; a layer without parameters, as one that drops is."""

    def __init__(self, p: float = 0.5, *, name: str = "halve") -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p={p}")
        self.p, self.name = p, name

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        y = x * (1 - self.p) if self.training else x
        return y if scale is None else y * scale


def scaled(x: Tensor, by: Tensor) -> Tensor:
    return x * by


@fixture
def used(make: Any, x: torch.Tensor, scale: torch.Tensor) -> Any:
    class Outer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = make(p=0.25)

        def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return x + self.inner(x * x, scale=scale)

    outer = Outer()
    x, scale = x.clone().requires_grad_(), scale.clone().requires_grad_()
    trained = outer(x, scale)
    trained.sum().backward()
    evaluated = outer.eval()(x, scale).detach()
    with torch.no_grad():
        plain = outer(x, scale)
    return {
        "trained": trained.detach(), "evaluated": evaluated, "gradients": [x.grad, scale.grad], "p": outer.inner.p,
        "state": len(outer.state_dict()), "plain": plain.requires_grad, "type": type(outer.inner).__name__,
    }  # fmt: skip


@pytest.fixture
def student(mini_sandbox: Sandbox) -> Student:
    process = mini_sandbox.open()
    process.stand_ins = {"Halve": Halve, "scaled": scaled}
    student = Student(process)
    student.replace("Halve", module=True)
    student.replace("scaled")
    return student


def test_a_layer_stands_in_with_its_modes_and_gradients(student: Student) -> None:
    x, scale = torch.tensor([1.0, 2.0, -3.0]), torch.tensor([2.0, 0.5, 1.0])
    found = student.fixture(used)(student.Halve, x, scale)
    assert torch.equal(found["trained"], x + 0.75 * x * x * scale)
    assert torch.equal(found["evaluated"], x + x * x * scale)
    assert torch.equal(found["gradients"][0], 1 + 1.5 * x * scale)
    assert torch.equal(found["gradients"][1], 0.75 * x * x)
    assert (found["p"], found["state"], found["plain"], found["type"]) == (0.25, 0, False, "Halve")
    with pytest.raises(StudentError, match=r"ValueError: p=2"):
        student.Halve(p=2)


def test_a_gradient_passes_through_a_function_that_stands_in(student: Student) -> None:
    x, by = torch.tensor([1.0, 2.0]).requires_grad_(), torch.tensor([3.0, 4.0])
    seen = student.observe(student.scaled, x, by, cotangent=torch.tensor([1.0, 10.0]))
    assert seen.differentiable
    assert seen.output.tolist() == [3, 8]
    assert seen.gradients[0].tolist() == [3, 40]
    assert seen.gradients[1] is None


ODD: tuple[dict[str, Any], ...] = (
    {"ask": "other", "args": [], "kwargs": {}},
    {"ask": ["Halve"], "args": [], "kwargs": {}},
    {"ask": "Halve", "args": (), "kwargs": {}},
    {"ask": "Halve", "args": [], "kwargs": []},
    {"ask": "Halve", "args": [], "kwargs": {}, "made": 1, "training": True},
    {"ask": "Halve", "args": [], "kwargs": {}, "made": -1, "training": True},
    {"ask": "Halve", "args": [], "kwargs": {}, "made": True, "training": True},
    {"ask": "Halve", "args": [torch.ones(1)], "kwargs": {}, "made": 0, "training": 1},
    {"ask": "scaled", "gradient": 7, "cotangent": torch.ones(1)},
    {"ask": "scaled", "gradient": "1", "cotangent": torch.ones(1)},
    {"ask": "scaled", "gradient": 1, "cotangent": [1.0]},
    {"ask": "scaled", "gradient": 1},
)


@pytest.mark.parametrize("asked", ODD, ids=range(len(ODD)))
def test_nothing_else_is_answered(asked: dict[str, Any]) -> None:
    answers, right = StandIns(), {"Halve": Halve, "scaled": scaled}
    assert answers.answer(right, {"ask": "Halve", "args": [0.2], "kwargs": {}})["value"] == {"p": 0.2, "name": "halve"}
    x = torch.ones(1, requires_grad=True)
    assert answers.answer(right, {"ask": "scaled", "args": [x, x.detach()], "kwargs": {}})["call"] == 1
    with pytest.raises(NotOffered):
        answers.answer(right, asked)


def test_only_so_many_graphs_and_layers_are_kept() -> None:
    answers, right = StandIns(), {"Halve": Halve, "scaled": scaled}
    x = torch.ones(1, requires_grad=True)
    for _ in range(StandIns.MOST_GRAPHS + 1):
        last = answers.answer(right, {"ask": "scaled", "args": [x, x.detach()], "kwargs": {}})["call"]
    question = {"ask": "scaled", "cotangent": torch.ones(1)}
    assert answers.answer(right, question | {"gradient": last})["value"][0].tolist() == [1]
    with pytest.raises(NotOffered):
        answers.answer(right, question | {"gradient": 1})
    for _ in range(StandIns.MOST_MADE):
        answers.answer(right, {"ask": "Halve", "args": [], "kwargs": {}})
    with pytest.raises(NotOffered):
        answers.answer(right, {"ask": "Halve", "args": [], "kwargs": {}})
