"""The wire carries plain data exactly, and answers anything else with WireError."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import msgpack
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder import wire

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


@given(PLAIN)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert same(wire.decode(wire.encode(value)), value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4, 5),
        torch.randn(3, 4).T,
        torch.randn(2, 3).bfloat16(),
        torch.randn(2, 3).half(),
        torch.randn(2, 3, dtype=torch.float64),
        torch.randn(2, 3, dtype=torch.complex64),
        torch.randn(2, 3, dtype=torch.complex64).conj(),
        torch.arange(6).reshape(2, 3),
        torch.tensor([True, False, True]),
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.tensor([math.nan, math.inf, -0.0]),
        torch.ones(1).expand(4, 5),
        torch.rand(1, 2)[:, 0],
    ],
    ids=lambda t: f"{t.dtype}-{tuple(t.shape)}",
)
def test_tensors_come_back_bit_for_bit(tensor: torch.Tensor) -> None:
    got = wire.decode(wire.encode({"x": tensor}))["x"]
    assert got.dtype == tensor.dtype
    assert got.shape == tensor.shape
    assert torch.equal(torch.nan_to_num(got), torch.nan_to_num(tensor.resolve_conj()))


def test_what_wants_a_gradient_still_does() -> None:
    got = wire.decode(wire.encode([torch.ones(2, requires_grad=True), torch.ones(2)]))
    assert [t.requires_grad for t in got] == [True, False]
    assert got[0].is_leaf


@pytest.mark.parametrize("value", [object(), {1, 2}, 2**70, b"x" * 3, torch.ones(2).to_sparse(), "\ud800", lambda: 0])
def test_what_is_not_plain_cannot_be_said(value: Any) -> None:
    if isinstance(value, bytes):
        assert wire.decode(wire.encode(value)) == value  # bytes are plain, if unused
        return
    with pytest.raises(wire.WireError):
        wire.encode(value)


def test_a_subclass_is_not_plain() -> None:
    class Mine(torch.Tensor):
        pass

    with pytest.raises(wire.Unencodable):
        wire.encode(torch.ones(2).as_subclass(Mine))


def test_limits_hold_on_both_sides() -> None:
    with pytest.raises(wire.WireError, match="MiB"):
        wire.encode("x" * (wire.MAX_HEADER + 1))
    with pytest.raises(wire.WireError, match="too large"):
        wire.encode(torch.empty(wire.MAX_TENSORS // 4 + 1))
    with pytest.raises(wire.WireError, match="larger than allowed"):
        wire.decode(b"\xff" * 16)
    half = torch.empty(wire.MAX_TENSORS // 4 - 100)
    with pytest.raises(wire.WireError, match="MiB of tensors"):
        wire.encode([half, half])


def _frame(header: object, tensors: bytes = b"") -> bytes:
    packed = msgpack.packb(header)
    return wire._LENGTHS.pack(len(packed), len(tensors)) + packed + tensors


def _tensor(*fields: object) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb(list(fields)))


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth else []


def _nested_tuples(depth: int) -> msgpack.ExtType:
    packed = b"\x90"
    for _ in range(depth):
        packed = msgpack.packb([msgpack.ExtType(3, packed)])
    return msgpack.ExtType(3, packed)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 7,
        _frame([])[:-1],
        _frame([]) + b"x",
        _frame({1: 2}),
        _frame(_tensor("float32", [2], False, 0)),  # no bytes behind it
        _frame(_tensor("float32", [2], False, -8), b"\0" * 8),
        _frame(_tensor("float32", [2], False, 4), b"\0" * 8),
        _frame(_tensor("float32", [2**40, 2**40], False, 0), b"\0" * 8),
        _frame(_tensor("float32", [2**62, 0], False, 0), b"\0" * 8),
        _frame(_tensor("float32", [-1], False, 0), b"\0" * 8),
        _frame(_tensor("float32", [True, 2], False, 0), b"\0" * 8),
        _frame(_tensor("float32", [1] * 9, False, 0), b"\0" * 8),
        _frame(_tensor("quint8", [2], False, 0), b"\0" * 8),
        _frame(_tensor("float32", [2], 1, 0), b"\0" * 8),
        _frame(_tensor("float32", "22", False, 0), b"\0" * 8),
        _frame(_tensor("float32"), b"\0" * 8),
        _frame(msgpack.ExtType(2, msgpack.packb(["1", "x"]))),
        _frame(msgpack.ExtType(2, msgpack.packb([1]))),
        _frame(msgpack.ExtType(3, b"\xc1")),
        _frame(msgpack.ExtType(3, b"\x01")),
        _frame(msgpack.ExtType(4, b"int128")),
        _frame(msgpack.ExtType(99, b"")),
        wire._LENGTHS.pack(1, 0) + b"\xc1",
        _frame([_tensor("float32", [2], False, 0)] * 2, b"\0" * 8),  # the same bytes claimed twice
        _frame(_tensor("float32", [2], False, 0), b"\0" * 16),  # bytes that nothing claims
        _frame(_tensor("float32", [2**14, 2**14, 0], False, 0)),  # empty, and yet huge for whoever builds on it
        _frame(_nested(60)),
        _frame(_nested_tuples(400)),  # each level of extensions is a level of the C stack
        wire._LENGTHS.pack(5000, 0) + b"\x91" * 5000,  # nested deeper than anything sensible
    ],
)
def test_malformed_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(frame)


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_noise_is_refused_or_plain(noise: bytes) -> None:
    frame = wire._LENGTHS.pack(len(noise), 0) + noise
    with contextlib.suppress(wire.WireError):
        wire.decode(frame)


def test_bool_bytes_other_than_0_and_1_become_true() -> None:
    got = wire.decode(_frame(_tensor("bool", [3], False, 0), b"\x00\x07\xff"))
    assert got.tolist() == [False, True, True]
