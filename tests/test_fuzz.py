"""Malformed notebooks and malformed messages by the thousand: each is answered with a mark or a clear sentence.

Every run makes the same examples, and their numbers are asserted, so that nobody lowers them unnoticed.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import random
import resource
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder import wire
from autograder.checks import Status, run_check
from autograder.course import Course
from autograder.judge import grade
from autograder.probes import Message, ProbeServer, random_state_kept
from autograder.report import Report, State
from autograder.sandbox import Limits, Sandbox, StudentProcess
from autograder.student import LocalTransport, Student, StudentGone
from autograder.submission import Unreadable, align, identify, read_notebook
from tests.conftest import linux

NOTEBOOKS, GRADED = 2_000, 2_000
"""Malformed notebooks through reading and aligning, and through the whole grader, whose sandbox runs what can be read."""
MESSAGES, TRANSPORTED, ANSWERED = 20_000, 10_000, 1_000
"""Malformed messages: decoded, sent over a socket to the judge's own transport, and seen by checks as answers to probes."""

BATCH = 20
"""Messages made of one of hypothesis's seeds, which take longer than a message does."""

seeds = st.integers(0, 2**32 - 1)


def examples(count: int) -> settings:
    return settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


# -- notebooks -----------------------------------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "x", "\ud800", "\0", "\u202e", "a" * 5000,
    [], {}, [[]], [None, 1, "x"], {"a": {"b": []}}, {"": None}, "code", "markdown", "double", "exercise", "setup",
    {"autograder": {"role": "exercise", "name": "double"}}, {"autograder": []}, ["def double(x):\n", 3, "    return 2 * x"],
)  # fmt: skip
TOKENS = (
    "(", ")", "[", "{", ":", "\n", "    ", "'", '"""', "\\", "%", "%%", "!", "?", "=", "lambda", "def double(x):", "return",
    "x", "class", "async", "await", "yield", "global x",
    "import", "0x", "1e999", "\t", "\r", "\x0c", "\ufeff", "\0", "f'{", "@",
    ";", "raise", "\ud83d", "é", "**", ":=", "match", "print(", "while 0:", "double", "quadruple", "torch",
)  # fmt: skip


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) of a document, which may be nested more deeply than Python can call."""
    waiting = [_items(value)]
    while waiting:
        for container, key in waiting[-1]:
            yield container, key
            waiting.append(_items(container[key]))
            break
        else:
            waiting.pop()


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return iter([(value, key) for key in keys])


def mutate_document(notebook: dict[str, Any], chance: random.Random) -> None:
    container, key = chance.choice(list(places(notebook)) or [({"a": 0}, "a")])
    match chance.randrange(8):
        case 0 | 1:
            container[key] = chance.choice(JUNK)
        case 2:
            del container[key]
        case 3 if isinstance(container, dict):
            container[chance.choice(("id", "source", "cells", "metadata", "worksheets", "input", "x"))] = chance.choice(
                JUNK
            )
        case 3:
            container.insert(chance.randrange(len(container) + 1), chance.choice(JUNK))
        case 4 if isinstance(notebook.get("cells"), list) and notebook["cells"]:
            chance.shuffle(notebook["cells"])
        case 5 if isinstance(notebook.get("cells"), list) and notebook["cells"]:
            notebook["cells"] += copy.deepcopy(chance.choices(notebook["cells"], k=3))
        case 6:  # formats 2 and 3
            cells = notebook.pop("cells", [])
            notebook["worksheets"] = [{"cells": cells}, chance.choice(JUNK)]
            notebook["nbformat"] = chance.choice((2, 3, "3"))
            for cell in cells if isinstance(cells, list) else []:
                if isinstance(cell, dict) and "source" in cell:
                    cell["input"] = cell.pop("source")
        case _:
            for _ in range(chance.choice((1, 50, 900, 100_000 if chance.random() < 0.02 else 3))):
                container[key] = [container[key]]
                if not isinstance(container[key][0], (dict, list)):
                    break


def mutate_code(notebook: dict[str, Any], chance: random.Random) -> None:
    """Change the code of a cell, token by token."""
    cells = [c for c in notebook.get("cells", []) if isinstance(c, dict) and c.get("cell_type") == "code"]
    if not cells:
        return
    cell = chance.choice(cells)
    source = cell.get("source")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(TOKENS) * chance.choice((1, 1, 1, 40)) + text[at + chance.randrange(4) :]
    cell["source"] = text


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case 2:
            return (
                data[:at]
                + chance.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\0", b"NaN", b"1" * 5000, b"\\ud800"))
                + data[at:]
            )
        case 3:
            return data + data
        case 4:
            return b"\xef\xbb\xbf" + data
        case 5:
            return data.replace(b'"cells"', b'"cells": [], "cells"', 1)
        case _:
            return data.replace(b"0", b"-Infinity", 3)


def malformed(base: dict[str, Any], seed: int) -> bytes:
    chance = random.Random(seed)
    notebook = copy.deepcopy(base)
    with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):  # of an earlier mutation's making
        for _ in range(chance.choice((1, 1, 2, 4))):
            chance.choice((mutate_document, mutate_code))(notebook, chance)
    try:
        data = json.dumps(notebook).encode()
    except (RecursionError, ValueError):
        data = b"[" * 100_000
    return mutate_bytes(data, chance) if chance.random() < 0.25 else data


def assert_answered(report: Report) -> None:
    assert report.state in (State.GRADED, State.UNREADABLE), report.sentence
    assert report.broken == []
    assert report.sentence
    assert 0 <= report.points <= report.max_points or report.state is State.UNREADABLE
    assert len(report.model_dump_json()) < 2_000_000


@pytest.fixture(scope="module")
def bases(course: Course, mini: Course) -> list[tuple[Course, dict[str, Any]]]:
    """A real submission to each unit of this course and to the small one, without the pictures."""
    found = [(of, json.loads(unit.solution_path.read_bytes())) for of in (course, mini) for unit in of.units.values()]
    for cell in (cell for _, notebook in found for cell in notebook["cells"] if cell["cell_type"] == "code"):
        cell["outputs"] = cell["outputs"][:1] if len(str(cell["outputs"])) < 2000 else []
    return found


def test_every_malformed_notebook_is_read_or_refused_in_a_sentence(bases: list[tuple[Course, dict[str, Any]]]) -> None:
    counts, said = {"read": 0, "refused": 0}, set[str]()

    @examples(NOTEBOOKS)
    @given(seeds)
    def fuzz(seed: int) -> None:
        course, base = bases[seed % len(bases)]
        try:
            cells, metadata = read_notebook(malformed(base, seed))
            submission = align(cells, identify(cells, metadata, course))
            assert set(submission.answers) == {e.name for e in submission.unit.exercises}
            counts["read"] += 1
        except Unreadable as problem:
            counts["refused"] += 1
            said.add(str(problem))

    fuzz()
    assert all(20 < len(sentence) < 500 for sentence in said)
    assert sum(counts.values()) >= NOTEBOOKS
    assert min(counts.values()) > NOTEBOOKS / 10, counts


@linux
@pytest.mark.timeout(900)
def test_every_malformed_notebook_gets_a_report(mini: Course) -> None:
    """The same through the real grader: code that was changed token by token runs in the sandbox."""
    base = json.loads(mini.unit("00_mini").solution_path.read_bytes())
    marks: list[float] = []
    limits = Limits(answer_s=2.0, total_s=10.0)
    with Sandbox([mini.notebooks], [], ["torch"], limits) as sandbox:

        @examples(GRADED)
        @given(seeds)
        def fuzz(seed: int) -> None:
            report = grade(malformed(base, seed), "fuzz", mini, sandbox, "fuzz", "00_mini.ipynb")
            assert_answered(report)
            marks.append(report.points)

        fuzz()
    assert len(marks) >= GRADED
    assert len(set(marks)) > 2  # some lost nothing, some everything, some a part


# -- messages ------------------------------------------------------------------------------------------------------------

_LENGTHS = struct.Struct(">II")
VALUES: tuple[Any, ...] = (
    {"value": None}, {"value": {"output": torch.ones(3, 4), "library": []}}, {"value": wire.Reference(3, "Linear")},
    {"error": {"types": ["ValueError", "Exception"], "message": "no", "where": "a", "line": 3, "source": "x"}},
    {"value": {"output": (1, 2.5, None, True, "x"), "library": ["a"], "gradients": [None], "arguments": [torch.arange(6)]}},
    {"value": {"parameters": {"w": torch.ones(2, requires_grad=True)}, "buffers": {}, "training": {"": True}}},
    {"value": [torch.float32, torch.tensor(True), torch.empty(0, 3), torch.ones(2, 2, dtype=torch.bfloat16)]},
    {"ask": "double", "args": [torch.ones(2), 0.5], "kwargs": {"p": 1}},
    {"ask": "double", "args": [torch.ones(2)], "kwargs": {}, "made": 0, "training": True},
    {"ask": "double", "gradient": 1, "cotangent": torch.ones(2)},
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63 - 1, 2**64 - 1, -(2**63), 1.5, float("nan"), "", "x" * 3000, b"bytes", [], {}, [[]] * 50, {"a": 1},
    msgpack.Timestamp(0), msgpack.ExtType(1, b""), msgpack.ExtType(2, b"\x92\x01\xa1x"), msgpack.ExtType(3, b"\x90"),
    msgpack.ExtType(4, b"float32"), msgpack.ExtType(4, b"\xff"), msgpack.ExtType(99, b"x"), msgpack.ExtType(2, b"\xc1"),
    msgpack.ExtType(1, msgpack.packb(["float32", [2], False, 0])), msgpack.ExtType(1, msgpack.packb(["int8", [-1], False, 0])),
    msgpack.ExtType(1, msgpack.packb(["bool", [2**40, 0], True, 0])), msgpack.ExtType(1, msgpack.packb(["x", "y", 1, None])),
)  # fmt: skip
FRAMES = [wire.encode(value) for value in VALUES]


def mutate_value(value: Any, chance: random.Random) -> Any:
    """Put something odd in a random place of a value that msgpack can say."""
    if isinstance(value, (list, dict)) and value and chance.random() < 0.75:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed = copy.copy(value)
        changed[key] = mutate_value(value[key], chance)
        return changed
    if isinstance(value, msgpack.ExtType) and value.code in (1, 2, 3) and chance.random() < 0.75:
        with contextlib.suppress(Exception):
            fields = msgpack.unpackb(value.data, strict_map_key=False)
            return msgpack.ExtType(value.code, msgpack.packb(mutate_value(fields, chance)))
    if chance.random() < 0.1:
        for _ in range(chance.choice((10, 45, 600))):
            value = [value]
        return value
    return chance.choice(ODD)


def mutate_frame(seed: int) -> bytes:
    chance = random.Random(seed)
    frame = chance.choice(FRAMES)
    head, tail = _LENGTHS.unpack(frame[:8])
    header, tensors = frame[8 : 8 + head], frame[8 + head :]
    match chance.randrange(8):
        case 0:  # bits
            changed = bytearray(frame)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            return bytes(changed)
        case 1:  # lengths that lie
            lies = (
                0,
                1,
                head - 1,
                head + 1,
                tail,
                2**31,
                2**32 - 1,
                wire.MAX_HEADER,
                wire.MAX_HEADER + 1,
                wire.MAX_TENSORS,
            )
            return _LENGTHS.pack(max(chance.choice(lies), 0), chance.choice(lies) % 2**32) + header + tensors
        case 2:  # the end is missing, or there is more
            return (
                frame[: chance.randrange(len(frame))]
                if chance.random() < 0.7
                else frame + frame[: chance.randrange(1, 9)]
            )
        case 3:  # bytes of the header taken out, put in, repeated
            at, count = chance.randrange(head), chance.randrange(1, 5)
            header = (
                header[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(5))) + header[at + count :]
            )
        case 4:  # tensors that are shorter or longer than is said
            tensors = tensors[: chance.randrange(tail + 1)] + bytes(chance.choice((0, 1, 8, 1000)))
        case _:
            value = msgpack.unpackb(header, strict_map_key=False)
            with contextlib.suppress(ValueError, OverflowError):
                header = msgpack.packb(mutate_value(value, chance))
    return _LENGTHS.pack(len(header), len(tensors)) + header + tensors


def test_every_malformed_message_is_decoded_or_refused() -> None:
    counts, said = {"decoded": 0, "refused": 0}, set[str]()

    @examples(MESSAGES // BATCH)
    @given(seeds)
    def fuzz(seed: int) -> None:
        for number in range(BATCH):
            try:
                wire.decode(mutate_frame(BATCH * seed + number))
                counts["decoded"] += 1
            except wire.WireError as error:
                counts["refused"] += 1
                said.add(str(error))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3 * (wire.MAX_TENSORS >> 10)  # kilobytes
    assert all(10 < len(sentence) < 300 for sentence in said)
    assert sum(counts.values()) >= MESSAGES
    assert min(counts.values()) > MESSAGES / 20, counts


class _Box:
    """What a transport asks of its sandbox, without a process behind it."""

    limits = Limits(answer_s=0.02)

    def end(self) -> int:
        return 0

    end_and_ask = end


def _reply(end: socket.socket, frame: bytes) -> None:
    """Answer one question with a frame, then hang up."""
    with contextlib.suppress(OSError):
        end.recv(1 << 16)
        end.sendall(frame)
        end.shutdown(socket.SHUT_WR)
        while end.recv(1 << 16):  # what a stand-in answers
            pass


@linux
def test_every_malformed_message_on_the_channel_is_an_answer_or_the_end() -> None:
    """Frames on the judge's end of a socket: an answer, or the sentence that ends the submission's process."""
    ends, said = list[str](), set[str]()

    def send(frame: bytes) -> None:
        mine, theirs = socket.socketpair()
        process = StudentProcess(_Box(), mine)  # type: ignore[arg-type]
        process.answer_s = 30
        process.stand_ins = {"double": lambda x, *args, **kwargs: x + x}
        answering = thread.submit(_reply, theirs, frame)
        try:
            assert isinstance(process.request({"op": "get", "name": "x"}), dict)
            ends.append("answer")
        except StudentGone as gone:
            ends.append(gone.code)
            said.add(str(gone))
        finally:
            mine.close()
            answering.result()
            theirs.close()

    @examples(TRANSPORTED // BATCH)
    @given(seeds)
    def fuzz(seed: int) -> None:
        for number in range(BATCH):
            send(mutate_frame(BATCH * seed + number))

    with ThreadPoolExecutor(1) as thread:
        fuzz()
    assert all(10 < len(sentence) < 500 for sentence in said)
    assert len(ends) >= TRANSPORTED
    assert {"answer", "protocol", "exit"} <= set(ends), set(ends)


class _Meddled(LocalTransport):
    """A transport to the small course's right answers, in process, that changes some of what comes back."""

    def __init__(self, namespace: dict[str, Any], seed: int) -> None:
        super().__init__(ProbeServer(namespace))
        self._chance = random.Random(seed)
        self.changed = 0

    def request(self, message: Message) -> Message:
        answer = self.server.answer(wire.decode(wire.encode(message)))
        frame = wire.encode(answer)
        if self._chance.random() < 0.3:
            self.changed += 1
            head, _ = _LENGTHS.unpack(frame[:8])
            value = mutate_value(msgpack.unpackb(frame[8 : 8 + head], strict_map_key=False), self._chance)
            try:
                header = msgpack.packb(value)
            except (ValueError, OverflowError):
                header = b"\xc1"
            frame = _LENGTHS.pack(len(header), len(frame) - 8 - head) + header + frame[8 + head :]
        try:
            reply = wire.decode(frame)
        except wire.WireError as error:
            raise StudentGone("protocol", str(error)) from None
        if type(reply) is not dict:  # as the sandbox's own transport sees to
            raise StudentGone("protocol", "an answer that is not a map")
        return reply


@pytest.mark.filterwarnings("ignore")
def test_no_malformed_answer_breaks_a_check(course: Course, mini: Course) -> None:
    """Answers that can be decoded and are not what was asked for: a verdict on them, or the end, and no check broken."""
    units = [unit for of in (course, mini) for unit in of.units.values()]
    checks = [(unit, check) for unit in units for e in unit.exercises for check in unit.checks(e.name)]
    turns = itertools.cycle(checks)  # every check has as many
    statuses: list[str] = []

    @examples(ANSWERED)
    @given(seeds)
    def fuzz(seed: int) -> None:
        unit, check = next(turns)
        meddled = _Meddled(dict(vars(unit.reference)), seed)
        try:
            with random_state_kept():
                outcome = run_check(check, Student(meddled), "fuzz", unit.reference)
            assert outcome.status is not Status.BROKEN, (unit.stem, check.name, seed, outcome.message)
            statuses.append(str(outcome.status))
        except StudentGone:
            statuses.append("gone")

    fuzz()
    assert len(statuses) >= max(ANSWERED, 3 * len(checks))
    assert {"gone", "failed", "passed", "raised"} <= set(statuses)
