"""The learner's side of stand-ins: functions and layers that ask the judge, so that no reference lies in this process.

Gradients pass through them: the judge keeps the graph of a call, and is asked for its gradient when a backward pass comes by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor


class Ask(Protocol):
    """Sends a question about the right version called `name`, and returns the judge's reply."""

    def __call__(self, name: str, **question: Any) -> Mapping[str, Any]: ...


def function(name: str, ask: Ask, outgoing: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function whose values are the judge's. `outgoing` reduces arguments to what may travel."""

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return _answer(name, ask, outgoing, args, kwargs)

    stand_in.__name__ = name
    return stand_in


def layer(name: str, ask: Ask, outgoing: Callable[[Any], Any]) -> type[torch.nn.Module]:
    """Return a class of layers that live with the judge; here are their mode and their plain attributes, such as p."""

    class StandIn(torch.nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            reply = ask(name, args=outgoing(list(args)), kwargs=outgoing(kwargs))
            self._made = reply["made"]
            self.__dict__.update(reply["value"])

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return _answer(name, ask, outgoing, args, kwargs, made=self._made, training=bool(self.training))

    StandIn.__name__ = StandIn.__qualname__ = name
    return StandIn


def _answer(
    name: str, ask: Ask, outgoing: Callable[[Any], Any], args: tuple[Any, ...], kwargs: dict[str, Any], **more: Any
) -> Any:
    reply = ask(name, args=outgoing(list(args)), kwargs=outgoing(kwargs), **more)
    value = reply["value"]
    if "call" not in reply:
        return value
    wanted = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.requires_grad]

    def gradient(cotangent: Tensor) -> list[Tensor]:
        found: list[Tensor] = ask(name, gradient=reply["call"], cotangent=outgoing(cotangent))["value"]
        return found

    return _Joined.apply(gradient, value, *wanted)  # type: ignore[no-untyped-call]


class _Joined(torch.autograd.Function):
    """The judge's value, joined to the graph of the arguments that it was computed from."""

    @staticmethod
    def forward(ctx: Any, gradient: Callable[[Tensor], list[Tensor]], value: Tensor, *_wanted: Tensor) -> Tensor:
        ctx.gradient = gradient
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        return None, None, *ctx.gradient(cotangents[0])
