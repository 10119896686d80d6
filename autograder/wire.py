"""The only language judge and student processes share: framed msgpack with raw tensor buffers.

A frame is two big-endian lengths, a msgpack header and the concatenated bytes of every tensor the header names. Header
and tensors have separate limits, because a megabyte of nested empty lists costs far more memory once decoded than a
megabyte of floats does. Nothing here can run code on load: what is not plain data cannot be said.

Tensors go through the socket and not through shared memory. The largest that a check sends are 0.2 MB, which is little to copy
beside the wake-up that any message costs; that shared memory would gain little is an estimate, not a measurement. A copy would
still have to be made before anything is believed, since the other side could write to it, or cut it short, while it is read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy
import torch

MAX_HEADER = 1 << 20
MAX_TENSORS = 64 << 20
MAX_DIMENSIONS = 8
MAX_DEPTH = 40
"""Honest answers nest at most half as deep: see `probes`."""

_AHEAD = 1 << 16
"""Bytes of a stream's buffer. Tensors that do not fit in half of it are read to where they stay."""

_MOST_PARTS = 64
"""Pieces of a message that are handed to the kernel as they are; more are joined first."""

Buffer = bytes | bytearray | memoryview

_LENGTHS = struct.Struct(">II")
_TENSOR, _REFERENCE, _TUPLE, _DTYPE = 1, 2, 3, 4
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip
_DTYPE_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class WireError(Exception):
    """A message that breaks the format or its limits."""


class Unencodable(WireError):
    """A value that is not plain data."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that stays in the student process; `kind` is its type's name, for messages only."""

    id: int
    kind: str


def encode(message: object) -> bytes:
    """Return the frame for `message`: None, bool, int, float, str, list, tuple, dict with str keys, Tensor, dtype, Reference.

    Raises:
        Unencodable: a value is of another type.
        WireError: the frame would exceed MAX_HEADER or MAX_TENSORS.
    """
    return b"".join(encode_parts(message))


def encode_parts(message: object) -> list[Buffer]:
    """Return the frame for `message` in pieces: lengths and header, then the memory of each tensor, which is not copied.

    Raises: see `encode`.
    """
    buffers: list[Buffer] = []
    size = 0

    def extension(value: object) -> msgpack.ExtType:
        nonlocal size
        # Exact types: a subclass may run its own code when it is read.
        if type(value) is torch.Tensor or type(value) is torch.nn.Parameter:
            raw, count, fields = _dump_tensor(value)
            if size + count > MAX_TENSORS:
                raise WireError(f"a message may carry {MAX_TENSORS >> 20} MiB of tensors, this one holds more")
            fields.append(size)
            buffers.append(raw)
            size += count
            return msgpack.ExtType(_TENSOR, msgpack.packb(fields))
        if type(value) is tuple:
            return msgpack.ExtType(_TUPLE, pack(list(value)))
        if type(value) is Reference:
            return msgpack.ExtType(_REFERENCE, msgpack.packb([value.id, value.kind]))
        if type(value) is torch.dtype and value in _DTYPE_NAMES:
            return msgpack.ExtType(_DTYPE, _DTYPE_NAMES[value].encode())
        raise Unencodable(f"{type(value).__name__} is not plain data")

    def pack(value: object) -> bytes:
        try:
            packed: bytes = msgpack.packb(value, default=extension, strict_types=True)
        except (ValueError, OverflowError, RecursionError, UnicodeError) as error:
            raise Unencodable(f"not plain data: {error}") from None
        return packed

    header = pack(message)
    if len(header) > MAX_HEADER:
        raise WireError(f"a message may be {MAX_HEADER >> 20} MiB besides its tensors, this one is larger")
    return [_LENGTHS.pack(len(header), size) + header, *buffers]


def send(parts: list[Buffer], write: Callable[[list[Buffer]], int]) -> None:
    """Write all `parts` with `write`, which returns how many bytes it took, as `os.writev` does."""
    if len(parts) > _MOST_PARTS:
        parts = [b"".join(parts)]
    waiting = [part for part in parts if len(part)]
    while waiting:
        count = write(waiting)
        while waiting and count >= len(waiting[0]):
            count -= len(waiting.pop(0))
        if count:
            waiting[0] = memoryview(waiting[0])[count:]


def _dump_tensor(tensor: torch.Tensor) -> tuple[Buffer, int, list[Any]]:
    dtype, shape = tensor.dtype, list(tensor.shape)
    if tensor.layout is not torch.strided or tensor.is_meta or dtype not in _DTYPE_NAMES or len(shape) > MAX_DIMENSIONS:
        raise Unencodable(f"a tensor of layout {tensor.layout}, dtype {dtype}, {len(shape)} dimensions")
    size = tensor.numel() * dtype.itemsize
    if size > MAX_TENSORS:
        raise WireError(f"a tensor of shape {tuple(shape)} is too large to send")
    fields = [_DTYPE_NAMES[dtype], shape, tensor.requires_grad]
    if not size:
        return b"", 0, fields
    if dtype is torch.bfloat16:  # which numpy lacks
        tensor = tensor.detach().view(torch.int16)
    array = tensor.numpy(force=True)  # detached, on the CPU, nothing conjugate; the same memory if it was so already
    if not array.flags.c_contiguous:
        array = numpy.ascontiguousarray(array)
    return array.reshape(-1).view(numpy.uint8).data, size, fields


class Reader:
    """Frames from a stream, which are read with few system calls: what follows a frame's lengths most often came with them.

    Args:
        receive: fills a part of a buffer and returns its size, 0 at the end of the stream, as `socket.recv_into` does.
    """

    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        self._receive = receive
        self._ahead = memoryview(bytearray(_AHEAD))
        self._first = self._last = 0

    @property
    def ahead(self) -> int:
        """The number of bytes that came after the last frame."""
        return self._last - self._first

    def frame(self) -> Any:
        """Decode the next frame.

        Raises:
            EOFError: the stream ended before.
            WireError: see `read_frame`.
        """
        return read_frame(self._exactly)

    def _exactly(self, count: int) -> bytearray:
        while self.ahead < count <= _AHEAD // 2:
            if self._first:
                self._ahead[: self.ahead] = self._ahead[self._first : self._last]
                self._first, self._last = 0, self.ahead
            self._last += self._some(self._ahead[self._last :])
        taken = min(count, self.ahead)
        pieces = bytearray(self._ahead[self._first : self._first + taken])
        self._first += taken
        # In steps: whoever promises much and sends little costs as little memory.
        while len(pieces) < count:
            filled = len(pieces)
            pieces.extend(bytes(min(count - filled, 1 << 20)))
            with memoryview(pieces) as whole:
                while filled < len(whole):
                    filled += self._some(whole[filled:])
        return pieces

    def _some(self, part: memoryview) -> int:
        count = self._receive(part)
        if not count:
            raise EOFError
        return count


def read_frame(read: Callable[[int], Buffer]) -> Any:
    """Decode the next frame from `read(n)`, which returns exactly n bytes or raises.

    Where these are a bytearray, the caller keeps no other reference to it: a tensor may lie in its memory.

    Raises:
        WireError: the frame breaks the format or a limit. The stream cannot be used afterwards.
    """
    header_size, tensor_size = _LENGTHS.unpack(read(_LENGTHS.size))
    if header_size > MAX_HEADER or tensor_size > MAX_TENSORS:
        raise WireError(f"a message of {header_size + tensor_size} bytes is larger than allowed")
    header = read(header_size)
    return _decode(header, memoryview(read(tensor_size)))


def decode(frame: bytes) -> Any:
    """Decode one whole frame. Raises WireError as `read_frame` does, also for missing or surplus bytes."""
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        piece = frame[position : position + count]
        if len(piece) != count:
            raise WireError("the message ends too early")
        position += count
        return piece

    message = read_frame(read)
    if position != len(frame):
        raise WireError("the message has surplus bytes")
    return message


def _decode(header: Buffer, tensors: memoryview) -> Any:
    position, depth = 0, 0

    def extension(code: int, data: bytes) -> Any:
        nonlocal position
        if code == _TENSOR:
            # Each tensor's bytes follow those of the one before, so that none can be claimed twice.
            tensor, position = _load_tensor(msgpack.unpackb(data), tensors, position)
            return tensor
        if code == _TUPLE:
            return tuple(unpack(data))
        if code == _REFERENCE:
            identity, kind = unpack(data)
            if type(identity) is not int or type(kind) is not str:
                raise WireError("a malformed reference")
            return Reference(identity, kind[:100])
        if code == _DTYPE:
            return _DTYPES[data.decode()]
        raise WireError(f"unknown extension {code}")

    def unpack(data: Buffer) -> Any:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:  # each level of extensions is a level of the C stack
            raise WireError("a message that is nested too deeply")
        try:
            return msgpack.unpackb(data, ext_hook=extension, strict_map_key=True)
        finally:
            depth -= 1

    try:
        message = unpack(header)
        if position != len(tensors):
            raise WireError("tensors that nothing refers to")
        _check_depth(message)
        return message
    except WireError:
        raise
    # msgpack names a dozen exceptions for malformed bytes, and a malformed field can fail in as many ways above.
    except Exception as error:
        raise WireError(f"a malformed message: {type(error).__name__}") from None


def _check_depth(message: Any) -> None:
    """Refuse what is nested deeper than MAX_DEPTH, without recursion."""
    level = [message]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if type(value) in (list, tuple):
                below.extend(v for v in value if type(v) in (list, tuple, dict))
            elif type(value) is dict:
                below.extend(v for v in value.values() if type(v) in (list, tuple, dict))
        if not below:
            return
        level = below
    raise WireError("a message that is nested too deeply")


def _load_tensor(fields: Any, tensors: memoryview, position: int) -> tuple[torch.Tensor, int]:
    """Return the tensor whose bytes begin at `position`, and where they end."""
    name, shape, requires_grad, offset = fields
    dtype = _DTYPES[name]
    if len(shape) > MAX_DIMENSIONS:
        raise WireError(f"a tensor of impossible shape {shape!r:.100}")
    count = 1
    for n in shape:
        if type(n) is not int or n < 0:
            raise WireError(f"a tensor of impossible shape {shape!r:.100}")
        count *= n
    if type(offset) is not int or type(requires_grad) is not bool:
        raise WireError("a malformed tensor")
    itemsize = dtype.itemsize
    size = count * itemsize
    # Empty ones too: whoever builds a tensor of the remaining sizes would need that much.
    if (count or math.prod(max(n, 1) for n in shape)) > MAX_TENSORS:
        raise WireError(f"a tensor of impossible shape {shape!r:.100}")
    if offset != position or offset + size > len(tensors):
        raise WireError("a tensor that lies outside its message")
    # bool memory other than 0 and 1 is undefined behaviour, so it is made from the bytes instead of aliasing them.
    stored = torch.uint8 if dtype is torch.bool else dtype
    if not count:
        flat = torch.empty(0, dtype=stored)
    elif tensors.readonly or offset % itemsize:
        flat = torch.frombuffer(bytearray(tensors[offset : offset + size]), dtype=stored)
    else:
        flat = torch.frombuffer(tensors, dtype=stored, count=count, offset=offset)
    tensor = (flat != 0 if dtype is torch.bool else flat).reshape(shape)
    if requires_grad and (dtype.is_floating_point or dtype.is_complex):
        tensor.requires_grad_()
    return tensor, offset + size
