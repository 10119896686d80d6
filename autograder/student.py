"""The judge's side: a handle through which checks reach the learner's work, wherever it runs.

`student.SpatialDropout2d(p=0.3)` looks like an ordinary call. What crosses to the student's process is a probe, and what
comes back is plain data or a `Remote`, a handle to an object that stays there. A check written once against this handle
gives the same verdict in the notebook (`local_student`) and across the wire (`autograder.sandbox`).
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch

from autograder import wire
from autograder.cells import STILL_TO_DO
from autograder.probes import TEXT_LIMIT, Message, ProbeServer, describe_error, mapped, place

T = TypeVar("T")


class StudentError(Exception):
    """The learner's code raised. `types` are the names of the exception's class and its bases, nearest first."""

    def __init__(self, types: list[str], message: str, where: str = "", line: int = 0, source: str = "") -> None:
        super().__init__(f"{types[0]}: {message}" if message else types[0])
        self.types, self.message, self.where, self.line, self.source = types, message, where, line, source

    @classmethod
    def from_wire(cls, error: Any) -> StudentError:
        """Build from `probes.describe_error`'s answer, believing nothing about its shape."""
        if not isinstance(error, dict):
            return cls(["Exception"], "")
        named = error.get("types")
        types = [t[:100] for t in named[:20] if type(t) is str] if type(named) is list else []
        text = {k: v[:TEXT_LIMIT] if type(v := error.get(k)) is str else "" for k in ("message", "where", "source")}
        line = error.get("line")
        return cls(
            types or ["Exception"], text["message"], text["where"], line if type(line) is int else 0, text["source"]
        )

    @property
    def not_started(self) -> bool:
        """A stub that the build made was reached; torch and learners raise NotImplementedError for reasons of their own."""
        return "NotImplementedError" in self.types and self.message.endswith(STILL_TO_DO)

    def sentence(self) -> str:
        """Say what was raised, and on which line of the learner's cell."""
        place = f" (line {self.line}: `{self.source}`)" if self.line and self.source else ""
        if "MemoryError" in self.types or "can't allocate memory" in self.message:
            return f"your code ran out of memory{place}"
        if self.types[0] == "WireError":  # the answer is at fault, and no line of the learner's raised anything
            return f"what your code returned could not be read: {self.message}"
        refused = "PermissionError" in self.types and "Operation not permitted" in self.message
        why = ": at grading there is no network, and no other process to start or reach" if refused else ""
        return f"your code raised {self}{place}{why}"


class StudentGone(Exception):
    """The student process cannot answer any more: it crashed, hung or broke the protocol."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Fixture:
    """A check's own function that runs where the learner's code does: see `fixture`."""

    name: str
    source: str = field(repr=False)


def fixture(function: Callable[..., Any]) -> Fixture:
    """Declare a function of a check module to run in the learner's process, on what cannot travel.

    Models, optimizer steps and loaders live there: `student.fixture(f)(student.sgd_step, …)` calls the learner's function as
    often as it likes, in one message, and returns plain data. It knows `torch` and what it imports itself, nothing of its
    module, and it must not hold what a learner may not see. What it returns is believed no more than any other answer.
    """
    lines = inspect.getsource(function).splitlines()  # now: the file may change later, this module will not
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))
    return Fixture(function.__name__, "\n".join(lines[start:]) + "\n")


_MALFORMED = "your code interfered with the check, so its answer could not be read"


class Transport(Protocol):
    """Carries a message to a `ProbeServer` and brings its answer. Raises StudentGone."""

    def request(self, message: Message) -> Message: ...

    def seconds(self) -> float:
        """Return the processor seconds that the learner's process has used so far, measured from outside of it."""

    def grant(self, seconds: float, processor: float = 0.0) -> None:
        """Give a submission more time, by the clock, and its process more processor time."""

    def wait(self, seconds: float) -> None:
        """Let so much time, which the judge took, not count against a submission's."""


@dataclass
class LocalTransport:
    """Calls a ProbeServer in this process, through the same encoding, so that nothing is shared by accident."""

    server: ProbeServer

    def request(self, message: Message) -> Message:
        answer = self.server.answer(wire.decode(wire.encode(message)))
        try:
            frame = wire.encode(answer)
        except wire.WireError as error:
            frame = wire.encode({"error": describe_error(error)})
        return dict(wire.decode(frame))

    def seconds(self) -> float:
        return time.process_time()

    def grant(self, seconds: float, processor: float = 0.0) -> None:
        """There is no limit here."""

    def wait(self, seconds: float) -> None:
        """There is no limit here."""


@dataclass(frozen=True)
class Observation:
    """What one observed call did.

    Attributes:
        output: the value returned.
        arguments: the positional arguments after the call.
        gradients: for each positional argument, d(output * cotangent).sum() / d(argument), or None.
        differentiable: whether the output was connected to an argument that wanted a gradient.
    """

    output: Any
    arguments: list[Any]
    gradients: list[Any]
    differentiable: bool


@dataclass
class Student:
    """The learner's namespace: `student.name` is the object called `name` there.

    What needs no answer travels with the next request that does, and a name is looked up once until a cell runs: each message
    is a pair of context switches.

    Attributes:
        watch: names of library functions that an exercise may not call.
        library: those of them that were called so far.
        kept: what `once` has found so far.
        failed: the statements of this exercise's checks that did not hold, so far.
    """

    _transport: Transport
    watch: tuple[str, ...] = ()
    library: set[str] = field(default_factory=set)
    kept: dict[str, tuple[Any, Exception | None]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _watched: tuple[str, ...] = ()
    _waiting: list[Message] = field(default_factory=list)
    _found: dict[str, Remote] = field(default_factory=dict)
    _fixtures: dict[Fixture, Remote] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy, pickle and friends ask for these; the learner's work has none
            raise AttributeError(name)
        if name in self._found:
            return self._found[name]
        value = self._receive(self._request({"op": "get", "name": name}))
        if isinstance(value, Remote):
            self._found[name] = value
        return value

    def seed(self, seed: int) -> None:
        """Seed random, numpy and torch where the learner's code runs. A failure shows at the next request."""
        self._waiting.append({"op": "seed", "seed": seed})

    def run(self, name: str, source: str) -> None:
        """Run a cell. Raises StudentError when it raises."""
        self._found.clear()
        self._request({"op": "run", "name": name, "source": source})

    def fixture(self, declared: Fixture) -> Remote:
        """Return a function of the check's own, made where the learner's code runs; see the decorator `fixture`."""
        if declared not in self._fixtures:
            made = self._receive(self._request({"op": "make", "name": declared.name, "source": declared.source}))
            if not isinstance(made, Remote):
                raise StudentGone("protocol", _MALFORMED)
            self._fixtures[declared] = made
        return self._fixtures[declared]

    def replace(self, name: str, module: bool = False) -> None:
        """Let the judge answer calls of `name`, or of layers made of it, from now on (the transport must know how)."""
        self._found.clear()
        self._request({"op": "replace", "name": name, "module": module})

    def forget(self) -> None:
        """Drop every object held for this handle but fixtures and those found by name; other Remotes made so far are void."""
        keep = [remote.reference.id for remote in (*self._found.values(), *self._fixtures.values())]
        self._waiting = [{"op": "forget", "keep": keep}]  # whatever nobody has waited for by now, nobody will

    def once(self, name: str, find: Callable[[], T]) -> T:
        """Return what `find` returns, or raise what it raised: it is called once for all checks of an exercise.

        For what takes long, such as training. Where it lost the process it is not tried again in the next one.
        """
        if name not in self.kept:
            try:
                self.kept[name] = find(), None
            except Exception as error:
                if isinstance(error, StudentGone) and error.code == "lost":
                    raise  # no fault of the learner's: the judge begins again
                self.kept[name] = None, error
        value, failed = self.kept[name]
        if failed is not None:
            raise failed.with_traceback(None)
        found: T = value
        return found

    def seconds(self) -> float:
        """Return the processor seconds that the learner's process has used so far: nothing in it can change the number."""
        return self._transport.seconds()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let what the judge computes meanwhile not count against the submission's time."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._transport.wait(time.monotonic() - started)

    def grant(self, seconds: float, processor: float = 0.0) -> None:
        """Give the submission more time than others have: what it is asked to do takes longer.

        Args:
            seconds: by the clock, for whatever is left of the submission.
            processor: of processor time, for the process that its code runs in now.
        """
        self._transport.grant(seconds, processor)

    def observe(self, target: Remote, *args: Any, cotangent: torch.Tensor | None = None, **kwargs: Any) -> Observation:
        """Call `target` and report its arguments afterwards and, given a cotangent, the gradients."""
        return self._observation(self._call(target, args, kwargs, observe=True, cotangent=cotangent), len(args))

    def _observation(self, reply: dict[str, Any], count: int) -> Observation:
        output, arguments, gradients = reply.get("output"), reply.get("arguments"), reply.get("gradients")
        if (
            not (isinstance(arguments, list) and isinstance(gradients, list))
            or not len(arguments) == len(gradients) == count
        ):
            raise StudentGone("protocol", _MALFORMED)
        reached = isinstance(output, torch.Tensor) and output.requires_grad
        return Observation(self._receive(output), self._receive(arguments), self._receive(gradients), reached)

    def repeat(self, target: Remote, times: int, *args: Any, **kwargs: Any) -> list[Any]:
        """Call `target` several times with the same arguments, each time their own copy; return what it returns."""
        reply = self._call(target, args, kwargs, op="repeat", times=times)
        outputs = reply.get("outputs")
        if isinstance(outputs, torch.Tensor) and outputs.dim():
            outputs = list(outputs.detach().unbind())
        if not isinstance(outputs, list) or len(outputs) != times:
            raise StudentGone("protocol", _MALFORMED)
        return [self._receive(output) for output in outputs]

    def together(self) -> Plan:
        """Return a plan: calls that are made one after the other and travel in one message."""
        return Plan(self)

    def module(self, target: Any) -> dict[str, dict[str, Any]]:
        """Return {"parameters": {name: Tensor}, "buffers": {…}, "training": {module name: bool}}.

        Raises:
            StudentError: the object is no torch.nn.Module.
        """
        reply = self._request({"op": "module", "target": _outgoing(target)})
        if not isinstance(reply, dict) or not all(
            isinstance(reply.get(k), dict) for k in ("parameters", "buffers", "training")
        ):
            raise StudentGone("protocol", _MALFORMED)
        return reply

    def _call(
        self, target: Remote, args: Any, kwargs: Mapping[str, Any], op: str = "call", **options: Any
    ) -> dict[str, Any]:
        self._keep_watch()
        reply = self._request(
            {
                "op": op,
                "target": target.reference,
                "args": _outgoing(list(args)),
                "kwargs": _outgoing(dict(kwargs)),
                **options,
            }
        )
        return self._seen(reply)

    def _keep_watch(self) -> None:
        if self._watched != self.watch:
            self._waiting.insert(0, {"op": "watch", "names": self.watch})  # first, so that no failure comes before it
            self._watched = self.watch

    def _seen(self, reply: Any) -> dict[str, Any]:
        """Note what the reply to a call says of the library."""
        if not isinstance(reply, dict) or not isinstance(reply.get("library"), list):
            raise StudentGone("protocol", _MALFORMED)
        self.library.update(name for name in self.watch if name in reply["library"])
        return reply

    def _request(self, message: Message) -> Any:
        if self._waiting:
            message = {"op": "several", "messages": [*self._waiting, message]}
            self._waiting = []
        reply = self._transport.request(message)
        if "error" in reply:
            raise StudentError.from_wire(reply["error"])
        return reply.get("value")

    def _receive(self, value: Any) -> Any:
        return mapped(value, self._received)

    def _received(self, value: Any) -> Any:
        if isinstance(value, wire.Reference):
            return Remote(self, value)
        return value.detach() if isinstance(value, torch.Tensor) else value


class Plan:
    """Calls that travel together. Nothing is sent until the first answer is asked for.

        plan = student.together()
        layer = plan.call(student.SpatialDropout2d, p=0.3)
        y = plan.call(layer, x)
        y.get()

    They are made in the order in which they were planned, each with tensors of its own. What one returns may be the target
    or an argument of a later one. None is left out because another failed, but those that were to use what it returns:
    it is the answers that raise, each its own.
    """

    def __init__(self, student: Student) -> None:
        self._student = student
        self._steps: list[Message] = []
        self._inputs: dict[int, torch.Tensor] = {}
        self._replies: list[Any] | None = None

    def call(self, target: Remote | Later, /, *args: Any, **kwargs: Any) -> Later:
        """Plan a call of an object, or of what an earlier step will return."""
        return self._add(target, args, kwargs, lambda reply: self._student._receive(reply.get("output")))

    def observe(
        self, target: Remote | Later, /, *args: Any, cotangent: torch.Tensor | None = None, **kwargs: Any
    ) -> Later:
        """Plan what `Student.observe` does."""
        return self._add(
            target, args, kwargs, lambda reply: self._student._observation(reply, len(args)),
            observe=True, cotangent=cotangent,
        )  # fmt: skip

    def _add(
        self,
        target: Remote | Later,
        args: Any,
        kwargs: Any,
        read: Callable[[dict[str, Any]], Any],
        **options: Any,
    ) -> Later:
        if self._replies is not None:
            raise RuntimeError("this plan was carried out: make another")
        self._steps.append(
            {
                "target": self._noted(target),
                "args": self._noted(list(args)),
                "kwargs": self._noted(dict(kwargs)),
                **options,
            }
        )
        return Later(self, len(self._steps) - 1, read)

    def _noted(self, value: Any) -> Any:
        """Put each tensor among the inputs, once, and its place into the step; likewise the place of what a step returns."""

        def note(v: Any) -> Any:
            if isinstance(v, Later):
                return place(v.step, of_step=True)
            if isinstance(v, torch.Tensor):
                self._inputs.setdefault(id(v), v)  # held there, so that no other tensor gets its id
                return place(list(self._inputs).index(id(v)), of_step=False)
            return v.reference if isinstance(v, Remote) else v

        return mapped(value, note)

    def _reply(self, step: int) -> dict[str, Any]:
        student = self._student
        if self._replies is None:
            student._keep_watch()
            message = {"op": "plan", "steps": self._steps, "inputs": list(self._inputs.values())}
            replies = student._request(message)
            if not isinstance(replies, list) or len(replies) != len(self._steps):
                raise StudentGone("protocol", _MALFORMED)
            self._replies = replies
        reply = self._replies[step]
        if isinstance(reply, dict) and isinstance(reply.get("after"), int) and 0 <= reply["after"] < step:
            return self._reply(reply["after"])  # whose error it is
        if isinstance(reply, dict) and "error" in reply:
            raise StudentError.from_wire(reply["error"])
        return student._seen(reply)


@dataclass(frozen=True)
class Later:
    """The answer to a step of a plan."""

    plan: Plan = field(repr=False)
    step: int
    _read: Callable[[dict[str, Any]], Any] = field(repr=False)

    def get(self) -> Any:
        """Return what the call returned, as the call itself does. Raises StudentError, StudentGone."""
        return self._read(self.plan._reply(self.step))


class Remote:
    """An object in the student's process. Calls and attributes are probes."""

    def __init__(self, student: Student, reference: wire.Reference) -> None:
        self._student = student
        self.reference = reference

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._student._receive(self._student._call(self, args, kwargs).get("output"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._student._receive(
            self._student._request({"op": "attribute", "target": self.reference, "name": name})
        )

    def __repr__(self) -> str:
        return f"<{self.reference.kind} in the student's process>"


def local_student(namespace: MutableMapping[str, Any], overlay: Mapping[str, Any] | None = None) -> Student:
    """Return a handle to objects of this process. `overlay` takes precedence over `namespace`."""
    return Student(LocalTransport(ProbeServer(namespace, overlay=overlay)))


def _outgoing(value: Any) -> Any:
    return mapped(value, lambda v: v.reference if isinstance(v, Remote) else v)
