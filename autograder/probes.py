"""The student's side: runs the learner's cells and answers probes about what they defined.

The same class serves both worlds. In the notebook it is called directly; at grading it is all that runs in the sandbox
(see `autograder.sandbox.warm`). It holds no check, no reference solution and no mark, so a learner's code that takes it
over has gained nothing but the chance to answer in its place.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import gc
import itertools
import linecache
import mmap
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, cast

import numpy
import torch
from torch.overrides import TorchFunctionMode

from autograder import asking
from autograder.wire import Reference

Message = dict[str, Any]

TEXT_LIMIT = 2000
_DEPTH_LIMIT = 20
_RESERVE = 16 << 20
"""Bytes held back, so that there is room to say that the memory is used up."""


class ProbeServer:
    """Answers the judge's messages about one namespace.

    Args:
        namespace: the globals in which cells run and exercises are looked up.
        ask: carries the questions of stand-ins to the judge.
        overlay: objects found before the namespace's own, by name.
    """

    def __init__(
        self,
        namespace: MutableMapping[str, Any],
        ask: asking.Ask | None = None,
        overlay: Mapping[str, Any] | None = None,
    ) -> None:
        self._namespace = namespace
        self._overlay = dict(overlay or {})
        self._ask = ask
        self._objects: dict[int, Any] = {}
        self._watched: frozenset[str] = frozenset()
        self._reserve: mmap.mmap | None = None
        self._identities = itertools.count(1)  # never reused, so a stale reference cannot name a new object

    def answer(self, message: Message) -> Message:
        """Return `{"value": …}`, or `{"error": …}` when the learner's code raised."""
        operation = getattr(self, f"_do_{message.pop('op')}")
        try:
            self._hold_back()
            return {"value": operation(**message)}
        except (KeyboardInterrupt, GeneratorExit):
            raise
        # The learner's code may raise anything, SystemExit included.
        except BaseException as error:
            self._give_way()
            return {"error": describe_error(error)}

    def _hold_back(self) -> None:
        """Hold the reserve. Mapped, not allocated: pages that nobody touches cost nothing, however often they come and go."""
        if self._reserve is None:
            try:
                self._reserve = mmap.mmap(-1, _RESERVE)
            except OSError as error:
                raise MemoryError("no memory is left") from error

    def _give_way(self) -> None:
        """Give the reserve up, so that there is memory to say what happened."""
        if self._reserve is not None:
            self._reserve.close()
            self._reserve = None

    # -- operations --------------------------------------------------------------------------------------------------

    def _do_several(self, messages: list[Message]) -> Any:
        """Carry out one operation after the other, up to the first that fails; return what the last one returns."""
        value = None
        for message in messages:
            value = getattr(self, f"_do_{message.pop('op')}")(**message)
        return value

    def _do_run(self, name: str, source: str) -> None:
        """Run one cell. Lines of `source` are registered so that tracebacks and `inspect` can show them."""
        filename = f"<{name}>"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        tree = ast.parse(source, filename)
        exec(compile(tree, filename, "exec"), self._namespace)  # type: ignore[arg-type]

    def _do_make(self, name: str, source: str) -> Any:
        """Make a function of the judge's own, in a namespace of its own.

        Its lines are none of the learner's, so no traceback shows them: the file name is not one of a cell.
        """
        namespace: dict[str, Any] = {"__name__": "fixture", "torch": torch}
        code = compile(source, f"fixture {name}", "exec", __future__.annotations.compiler_flag, dont_inherit=True)
        exec(code, namespace)
        return self._export(namespace[name])

    def _do_seed(self, seed: int) -> None:
        seed_everything(seed)

    def _do_replace(self, name: str, module: bool = False) -> None:
        """Make `name` a function, or a class of layers, that asks the judge: no reference ever lies in this process."""
        if self._ask is None:
            raise RuntimeError("there is no judge to ask here")
        make = asking.layer if module else asking.function
        self._namespace[name] = make(name, self._ask, _outgoing)

    def _do_get(self, name: str) -> Any:
        if name in self._overlay:
            return self._export(self._overlay[name])
        if name not in self._namespace:
            raise NameError(f"name '{name}' is not defined")
        return self._export(self._namespace[name])

    def _do_attribute(self, target: Reference, name: str) -> Any:
        return self._export(getattr(self._resolve(target), name))

    def _do_watch(self, names: tuple[str, ...]) -> None:
        """Note from now on which of these library functions are called."""
        self._watched = frozenset(names)

    def _do_forget(self, keep: list[int]) -> None:
        """Drop all objects but those of these identities."""
        self._objects = {identity: self._objects[identity] for identity in keep if identity in self._objects}
        gc.collect(1)

    def _do_call(
        self,
        target: Reference,
        args: list[Any],
        kwargs: dict[str, Any],
        observe: bool = False,
        cotangent: torch.Tensor | None = None,
    ) -> Any:
        """Call an object. With `observe`, also report what became of the arguments, gradients and modules."""
        function = self._resolve(target)
        args = [self._resolve(a) for a in args]
        kwargs = {k: self._resolve(v) for k, v in kwargs.items()}
        watcher = _Watcher(self._watched)
        # Anomalies of the caller's notebook (no_grad, a mode) must not reach the learner's function.
        with torch.enable_grad(), watcher if self._watched else contextlib.nullcontext():
            output = function(*args, **kwargs)
        if not observe:
            return {"output": self._export(output), "library": sorted(watcher.seen)}
        gradients: list[Any] = [None] * len(args)
        reached = isinstance(output, torch.Tensor) and output.requires_grad
        if cotangent is not None and reached:
            wanted = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor) and a.requires_grad]
            found = torch.autograd.grad(
                cast(torch.Tensor, output), [args[i] for i in wanted], cotangent.to(output), allow_unused=True
            )
            for i, gradient in zip(wanted, found, strict=True):
                gradients[i] = gradient
        return {
            "output": self._export(output),
            "library": sorted(watcher.seen),
            "gradients": self._export(gradients),
            "arguments": self._export(args),
        }

    def _do_plan(self, steps: list[Message], inputs: list[torch.Tensor]) -> Any:
        """Make calls one after the other; return for each its reply, `{"error": …}`, or `{"after": n}` if step n failed before.

        Args:
            steps: arguments of `_do_call`. References with an id below zero are places: see `place`.
            inputs: tensors that steps name by their places, so that one that many take travels once.
        """
        replies: list[Message] = []
        for step in steps:
            failed = [n for n in _steps_named(step) if "output" not in replies[n]]
            if failed:
                replies.append({"after": replies[failed[0]].get("after", failed[0])})
                continue
            try:
                self._hold_back()
                replies.append(self._do_call(**_filled_in(step, inputs, replies)))
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                self._give_way()
                replies.append({"error": describe_error(error)})
        return replies

    def _do_repeat(self, target: Reference, args: list[Any], kwargs: dict[str, Any], times: int) -> Any:
        """Call an object several times, each time with arguments of its own."""
        calls = [self._do_call(target, _copied(args), _copied(kwargs)) for _ in range(times)]
        return {
            "outputs": _stacked([call["output"] for call in calls]),
            "library": sorted(set().union(*(call["library"] for call in calls))),
        }

    def _do_module(self, target: Reference) -> Any:
        """Report a module's parameters, buffers and modes by name."""
        module = self._resolve(target)
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"expected an instance of torch.nn.Module, got {type(module).__name__}")
        return self._export(
            {
                "parameters": dict(module.named_parameters()),
                "buffers": dict(module.named_buffers()),
                "training": {name: m.training for name, m in module.named_modules()},
            }
        )

    # -- objects -----------------------------------------------------------------------------------------------------

    def _resolve(self, value: Any) -> Any:
        return mapped(value, lambda v: self._objects[v.id] if type(v) is Reference else v)

    def _export(self, value: Any) -> Any:
        return _outgoing(value, self._keep)

    def _keep(self, value: object) -> Reference:
        identity = next(self._identities)
        self._objects[identity] = value
        return Reference(identity, type(value).__name__[:100])


def _stacked(outputs: list[Any]) -> Any:
    """Return tensors that are alike as one, which travels faster than hundreds; anything else as it is."""
    kinds = {(o.shape, o.dtype, o.layout) if type(o) is torch.Tensor else None for o in outputs}
    if len(kinds) != 1 or None in kinds or outputs[0].layout is not torch.strided:
        return outputs
    return torch.stack([o.detach() for o in outputs])


def _outgoing(value: Any, keep: Callable[[object], Reference] | None = None, depth: int = 0) -> Any:
    """Reduce `value` to what the wire can say: plain data and tensors by value, all else through `keep`."""
    if value is None or type(value) in (bool, str, torch.dtype, Reference):
        return value
    if isinstance(value, torch.Tensor):
        plain = value.detach().as_subclass(torch.Tensor)
        return plain.requires_grad_(value.requires_grad) if plain.is_floating_point() else plain
    if isinstance(value, numpy.generic):
        value = value.item()
    # An IntEnum is an int, but only the exact types may cross.
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and abs(int(value)) < 2**63:
        return int(value)
    if depth < _DEPTH_LIMIT:
        if isinstance(value, tuple):
            return tuple(_outgoing(v, keep, depth + 1) for v in value)
        if type(value) is list:
            return [_outgoing(v, keep, depth + 1) for v in value]
        if isinstance(value, dict) and all(type(k) is str for k in value):
            return {k: _outgoing(v, keep, depth + 1) for k, v in value.items()}
    if keep is None:
        raise TypeError(f"a {type(value).__name__} cannot be passed here")
    return keep(value)


def place(index: int, of_step: bool) -> Reference:
    """Return what stands in a plan for its input number `index`, or for what its step of that number returns."""
    return Reference(-1 - 2 * index - of_step, "step" if of_step else "input")


def _filled_in(value: Any, inputs: list[torch.Tensor], replies: list[Message]) -> Any:
    """Put what they stand for in the place of places: a copy of an input, so that no call finds what another wrote."""

    def fill(v: Any) -> Any:
        if type(v) is not Reference or v.id >= 0:
            return v
        index, of_step = divmod(-1 - v.id, 2)
        return replies[index]["output"] if of_step else _copied(inputs[index])

    return mapped(value, fill)


def _steps_named(value: Any) -> Iterator[int]:
    """Yield the numbers of the steps whose places are in a value."""
    if type(value) is Reference and value.id < 0 and value.id % 2 == 0:
        yield (-1 - value.id) // 2
    elif type(value) in (list, tuple, dict):
        for each in value.values() if type(value) is dict else value:
            yield from _steps_named(each)


def _copied(value: Any) -> Any:
    """Return plain data with tensors of its own, so that no call finds what the one before wrote into them."""
    return mapped(
        value,
        lambda v: v.detach().clone().requires_grad_(v.requires_grad) if isinstance(v, torch.Tensor) else v,
    )


def mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return plain data with `leaf` of everything in it that is no list, tuple or dictionary. Not for what a learner made."""
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(v, leaf) for v in value)
    if isinstance(value, dict):
        return {k: mapped(v, leaf) for k, v in value.items()}
    return leaf(value)


class _Watcher(TorchFunctionMode):
    """Notes which of the watched torch functions were called, by name, and which of the watched arguments were given.

    An argument is watched as "name=". Functions that are written in Python hand their arguments on by name, however they
    were given: `nn.CrossEntropyLoss` and `F.cross_entropy`, for instance.
    """

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self._names = names
        self._arguments = frozenset(name[:-1] for name in names if name.endswith("="))
        self.seen: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Thousands of calls a submission come through here.
        name = getattr(func, "__name__", "")
        if name in self._names:
            self.seen.add(name)
        if not kwargs:
            return func(*args)
        for argument in self._arguments & kwargs.keys():
            if _asks(kwargs[argument]):
                self.seen.add(f"{argument}=")
        return func(*args, **kwargs)


def _asks(value: Any) -> bool:
    """Whether an argument asks for something: False, None and 0 do not. Of other types none is asked, lest it lies."""
    return value is not None and not (type(value) in (bool, int, float) and value == 0)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return type, base types, message and the line in the learner's cell, as plain bounded data."""
    try:
        message = str(error)[:TEXT_LIMIT]
    except BaseException:  # an exception whose __str__ raises is still an exception
        message = ""
    where, line = "", 0
    if isinstance(error, SyntaxError):
        # Its own text repeats file and line.
        where, line, message = str(error.filename or ""), error.lineno or 0, str(error.msg)[:TEXT_LIMIT]
    else:
        for frame, number in traceback.walk_tb(error.__traceback__):
            if (
                frame.f_code.co_filename.startswith(("<", "/tmp/ipykernel_"))
                and "frozen" not in frame.f_code.co_filename
            ):
                where, line = frame.f_code.co_filename, number
    source = linecache.getline(where, line).strip() if where else ""
    return {
        "types": [t.__name__[:100] for t in type(error).__mro__][:20],
        "message": message.encode("utf-8", "replace").decode(),
        "where": where.strip("<>")[:200],
        "line": int(line),
        "source": source[:200],
    }


def seed_everything(seed: int) -> None:
    """Seed random, numpy and torch."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    seed_torch(seed)


def seed_torch(seed: int) -> None:
    """Do what torch.manual_seed does, without the time it takes where there is no accelerator.

    For every kind of device it formats its own stack trace, in case the seed proves wrong later: 0.1 ms, and 10 ms the
    first time in a fork, which then reads the sources of all that is on the stack.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the random state of random, numpy and torch (every device) afterwards."""
    python_state, numpy_state = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)
            numpy.random.set_state(numpy_state)


def new_namespace() -> dict[str, Any]:
    """Return the globals of a fresh `__main__`, so that classes defined in it behave as in a notebook."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    namespace = module.__dict__
    namespace["get_ipython"] = _NoIPython
    return namespace


class _NoIPython:
    """What `get_ipython()` returns where there is no IPython: magics of the learner's cells do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None
