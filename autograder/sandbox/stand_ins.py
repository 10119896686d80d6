"""The judge's side of stand-ins: right versions of exercises, which a learner's code may call and never sees.

See `autograder.asking` for the other side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Right = Mapping[str, Callable[..., Any]]
"""Right versions by the names of exercises."""

_PLAIN = (bool, int, float, str)


class NotOffered(Exception):
    """The learner's process asked for something that no stand-in of ours asks for."""


class StandIns:
    """Answers what stand-ins ask. Objects and graphs that they may come back to are kept here, only so many of them."""

    MOST_MADE = 1_000
    MOST_GRAPHS = 100

    def __init__(self) -> None:
        self._made: list[nn.Module] = []
        self._graphs: dict[int, tuple[Tensor, list[Tensor]]] = {}
        self._calls = 0

    def answer(self, right: Right, asked: dict[str, Any]) -> dict[str, Any]:
        """Call a right version, a layer that was made of one, or the gradient of an earlier call.

        Returns:
            {"value": …}, with {"call": number} where a gradient may be asked for; {"made": number, "value": attributes}
            for a class of modules; {"value": gradients}, one for each tensor of the call that wanted one, in order.

        Raises:
            NotOffered: nothing of ours asks that.
        """
        name = asked.get("ask")
        if type(name) is not str or name not in right:
            raise NotOffered
        if "gradient" in asked:
            return {"value": self._gradient(asked["gradient"], asked.get("cotangent"))}
        args, kwargs = asked.get("args"), asked.get("kwargs")
        if type(args) is not list or type(kwargs) is not dict:
            raise NotOffered
        if "made" in asked:
            return self._result(self._layer(asked["made"], asked.get("training")), args, kwargs)
        if not is_module(right[name]):
            return self._result(right[name], args, kwargs)
        if len(self._made) >= self.MOST_MADE:
            raise NotOffered
        layer = right[name](*args, **kwargs)
        self._made.append(layer)
        shown = {
            k: v for k, v in vars(layer).items() if type(v) in _PLAIN and not k.startswith("_") and k != "training"
        }
        return {"made": len(self._made) - 1, "value": shown}

    def _layer(self, number: Any, training: Any) -> nn.Module:
        if type(number) is not int or not 0 <= number < len(self._made) or type(training) is not bool:
            raise NotOffered
        return self._made[number].train(training)

    def _result(self, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        wanted = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.requires_grad]
        value = function(*args, **kwargs)
        if not (wanted and isinstance(value, Tensor) and value.requires_grad):
            return {"value": value}
        self._calls += 1
        self._graphs[self._calls] = value, wanted
        if len(self._graphs) > self.MOST_GRAPHS:
            del self._graphs[min(self._graphs)]
        return {"value": value.detach(), "call": self._calls}

    def _gradient(self, call: Any, cotangent: Any) -> list[Tensor]:
        if type(call) is not int or call not in self._graphs or not isinstance(cotangent, Tensor):
            raise NotOffered
        value, wanted = self._graphs[call]
        found = torch.autograd.grad(value, wanted, cotangent.to(value), retain_graph=True, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for g, w in zip(found, wanted, strict=True)]


def is_module(right: object) -> bool:
    """Whether a right version is a class of layers, so that a layer stands in and not a function."""
    return isinstance(right, type) and issubclass(right, nn.Module)
