"""Whatever a learner's code returns or raises, a check ends with a verdict on it and is never broken itself."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from autograder.checks import Status, run_check
from autograder.course import Unit
from autograder.probes import random_state_kept
from autograder.student import StudentGone, local_student
from tests.test_bank import COURSE, EXERCISES, reference


class _Flag(enum.IntEnum):
    ON = 1


class _Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even its message raises")


class _Tensor(torch.Tensor):
    pass


def _cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "none": None, "true": True, "int": 3, "zero": 0, "huge": 10**400, "large": 2**63, "float": 0.5, "nan": float("nan"),
    "inf": float("inf"), "text": "tensor", "surrogate": "\ud800", "bytes": b"x", "list": [1.0, 2.0], "empty": [],
    "tuple": (torch.ones(2), None), "dict": {"a": 1}, "int_keys": {1: 2}, "set": {1}, "cycle": _cycle(), "deep": _deep(),
    "flag": _Flag.ON, "complex": 1j, "object": object(), "function": len, "type": int, "module": torch, "dtype": torch.int8,
    "numpy": numpy.ones((3, 4)), "numpy_scalar": numpy.float32(0.5), "numpy_float": numpy.float64("nan"),
    "scalar_tensor": torch.tensor(0.5), "bool_tensor": torch.tensor(True), "nan_tensor": torch.tensor(float("nan")),
    "one": torch.ones(1), "empty_tensor": torch.empty(0), "no_channels": torch.empty(4, 0, 3, 3),
    "nan_maps": torch.full((16, 24, 5, 7), torch.nan), "inf_maps": torch.full((16, 24, 5, 7), torch.inf),
    "complex_maps": torch.ones(16, 24, 5, 7, dtype=torch.complex64), "complex_scalar": torch.tensor(1j),
    "int_maps": torch.ones(16, 24, 5, 7, dtype=torch.int64), "half": torch.ones(3, dtype=torch.float16),
    "many_dims": torch.ones([1] * 12), "sparse": torch.ones(3, 3).to_sparse(), "meta": torch.ones(3, device="meta"),
    "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "subclass": _Tensor([1.0]),
    "parameter": nn.Parameter(torch.ones(2)), "float8": torch.ones(2).to(torch.float8_e5m2), "layer": nn.Linear(2, 2),
    "layers": nn.ModuleList([nn.ReLU()]), "generator": (i for i in range(3)), "stub": NotImplemented,
    "expanded": torch.zeros(1).expand(1 << 40), "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
}  # fmt: skip

_ONES = torch.ones(2)
SHAPED: dict[str, Callable[[Any], Any]] = {
    "same": lambda x: x, "zeros": lambda x: x * 0, "nan": lambda x: x * torch.nan, "inf": lambda x: x / 0,
    "complex": lambda x: x * 1j, "bool": lambda x: x > 0, "int": lambda x: (x * 100).long(), "first": lambda x: x[0],
    "none_kept": lambda x: x[:0], "flat": lambda x: x.flatten(), "more": lambda x: x[None], "mean": lambda x: x.mean(),
    "list": lambda x: x.tolist(), "pair": lambda x: (x, x), "numpy": lambda x: x.detach().numpy(),
    "double": lambda x: x.double(), "transposed": lambda x: x.transpose(0, -1),
    "half_nan": lambda x: torch.where(x > 0, x, torch.nan),
    "noise": lambda x: torch.rand_like(x.double()), "huge": lambda x: x.double() * 1e300, "tiny": lambda x: x.double() * 1e-300,
    "int8": lambda x: x.to(torch.int8), "resized": lambda x: x.resize_(0) if not x.requires_grad else x,
    "in_place": lambda x: x.detach().zero_(), "half_zero": lambda x: x * (x > 0), "detached": lambda x: x.detach(),
}  # fmt: skip

ERRORS: list[BaseException] = [
    ValueError("no"), NotImplementedError(), TypeError(), RuntimeError("\ud800"), SystemExit(0), _Odd(), StopIteration(3),
    AssertionError(), RecursionError(), MemoryError(), asyncio.CancelledError(), ExceptionGroup("several", [ValueError()]),
]  # fmt: skip


class _Layer(nn.Module):
    """A module that takes any arguments and answers as told."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.answer(*args, **kwargs)


class _Broken(_Layer):
    """A module whose modes and parameters are junk."""

    eval = None  # type: ignore[assignment]
    train = 3  # type: ignore[assignment]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        return [("w", 3), ("v", "text")]


def _raiser(error: BaseException) -> Callable[..., Any]:
    def raising(*args: Any, **kwargs: Any) -> Any:
        raise error

    return raising


def _answers() -> dict[str, Any]:
    """Return what a learner may have bound to the exercise's name."""
    found: dict[str, Any] = {}
    for name, value in VALUES.items():
        found[f"is {name}"] = value
        found[f"returns {name}"] = lambda *args, _value=value, **kwargs: _value
        found[f"layer returns {name}"] = lambda *args, _value=value, **kwargs: _Layer(lambda *a, **k: _value)
    for name, change in SHAPED.items():
        found[f"changes {name}"] = lambda x=_ONES, *args, _change=change, **kwargs: _change(x)
        found[f"layer changes {name}"] = lambda *args, _change=change, **kwargs: _Layer(lambda x: _change(x))
    for error in ERRORS:
        found[f"raises {type(error).__name__}"] = _raiser(error)
        found[f"layer raises {type(error).__name__}"] = lambda *args, _error=error, **kwargs: _Layer(_raiser(_error))
    found["broken layer"] = lambda *args, **kwargs: _Broken(lambda x: x)
    found["layer in a layer"] = lambda *args, **kwargs: nn.Sequential(nn.Sequential(_Layer(lambda x: x * 0)))
    found["abstract"] = nn.Module
    return found


ANSWERS = _answers()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("unit", "exercise"), EXERCISES)
def test_no_answer_breaks_a_check(unit: Unit, exercise: str) -> None:
    broken, unharmed = [], []
    for name, answer in ANSWERS.items():
        student = local_student({**vars(reference(unit.stem)), exercise: answer})
        results = []
        for check in unit.checks(exercise):
            with random_state_kept():
                try:
                    outcome = run_check(check, student, "junk", reference(unit.stem))
                except StudentGone:
                    continue
            results.append(outcome)
            if outcome.status is Status.BROKEN:
                broken.append((name, check.name, outcome.message))
        if results and all(o.status is Status.PASSED for o in results):
            unharmed.append(name)
    assert broken == []
    assert unharmed == [], "junk that earns every point"


def test_the_fuzz_covers_every_unit() -> None:
    stems = {p.stem for p in (Path(__file__).parent.parent / "solutions" / "mistakes").glob("*.py")}
    assert stems == set(COURSE.units)
    assert all(isinstance(reference(stem), SimpleNamespace) for stem in stems)
