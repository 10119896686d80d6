"""The warm process: imports what the course needs once, then forks a child for every submission.

Runs inside the sandbox as `python -m autograder.sandbox.warm FD`, FD being its control socket. For each OPEN, which brings
a new socket along, it forks; the child confines itself and answers probes on that socket until the judge hangs up. KILL
kills the oldest child and empties /tmp; END does so too, but lets it end by itself for a moment, and says how it did; TIME
asks for the processor time that the oldest child has used, and GRANT gives it more. The warm process itself never reads a
byte of a learner's, and has nothing worth stealing.

While one child works the next one is made and waits. It is out of the other's reach: the filter leaves no call that touches
another process, there is no /proc, nothing is mapped by both, and the waiting child opens no file.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import gc
import importlib
import linecache
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from autograder import wire
from autograder.probes import Message, ProbeServer, describe_error, new_namespace, seed_everything
from autograder.sandbox import seccomp
from autograder.sandbox.limits import Limits

OPEN, END, KILL, TIME, GRANT = b"o", b"e", b"k", b"t", b"g"
ALIVE, CROWDED, LOST, SPENT = -1, -2, -3, -4
"""In place of a wait status: the child was still running when it was ended; it was killed for the number of its files; this
process is gone, and the child with it; the child was killed for its processor time, having caught the kernel's signal."""
GONE = -1.0
"""In place of a processor time: there is no such child any more."""
COMMAND = struct.Struct(">cQ")
"""One of the above, and a number: for OPEN the address space the process starts with, in bytes; for GRANT seconds. Of one
size, since they may queue up. GRANT is not answered."""

BROKEN_SERVER, OUT_OF_MEMORY = 70, 71
"""Exit statuses of a child whose own server failed, after sysexits.h's EX_SOFTWARE and EX_OSERR."""

_CHANNEL_FD = 3
_GRACE_S = 0.1
_LOOK_EVERY_S = 0.05
_CAN_GRANT = hasattr(resource, "prlimit")
_LARGE, _MADV_COLLAPSE = 21, 25
"""The binary logarithm of a large page's size, and what Linux's headers call so."""
_REHEARSALS = 20
"""Python specialises code that ran eight times."""
_LAZY = ("numpy.random", "torch.fx.experimental.symbolic_shapes")
"""What numpy and torch import at the first seed and the first gradient, sympy with it: a quarter of a second that no fork
should spend."""


class Channel:
    """Frames over a file descriptor, with read and write alone: the filter allows no socket calls."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._reader = wire.Reader(lambda part: os.readv(fd, [part]))

    def receive(self) -> Any:
        return self._reader.frame()

    def send(self, message: object) -> None:
        try:
            parts = wire.encode_parts(message)
        except wire.WireError as error:
            parts = wire.encode_parts({"error": describe_error(error)})
        wire.send(parts, lambda pieces: os.writev(self._fd, pieces))


def main() -> None:
    """Warm up, say so, then serve the judge until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the judge's business
    # The judge may have many files open, and its number for this socket be one that `_become_student` leaves open.
    control = socket.socket(fileno=fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD_CLOEXEC, 0))
    os.close(int(sys.argv[1]))
    settings = wire.Reader(control.recv_into).frame()
    limits = Limits(**settings["limits"])
    _warm_up(settings["preload"])
    scratch, bpf = Path(settings["scratch"]), base64.b64decode(settings["filter"])
    null = os.open(os.devnull, os.O_RDWR)
    control.sendall(wire.encode({"ready": os.getpid()}))
    os.chdir(scratch)
    children: list[int] = []  # the one that the judge speaks to, and the one that waits for its turn
    # Of the first: the processor seconds that it may use, and what it was killed for having too much of.
    allowed: int = limits.cpu_s
    excess: int | None = None
    while True:
        if children:
            # Without isolation the scratch folder is one of many in its file system, whose files are not all the learner's.
            found = _watch(control, children[0], allowed, scratch if bpf else None, limits.files)
            excess = excess or found
        data, fds, _, _ = socket.recv_fds(control, COMMAND.size, 1)
        if not data:
            return
        command, number = COMMAND.unpack(data)
        if command == OPEN:
            child = os.fork()
            if child == 0:
                _become_student(fds[0], null, limits, number, bpf)
            os.close(fds[0])
            children.append(child)
            control.sendall(wire.encode({"pid": child}))
        elif command == TIME:
            control.sendall(wire.encode({"seconds": _seconds(children[0]) if children else GONE}))
        elif command == GRANT:
            allowed += number
            if children:
                _allow(children[0], allowed)
        else:
            status = _end(children.pop(0), _GRACE_S if command == END else 0) if children else ALIVE
            status = excess or status
            allowed, excess = limits.cpu_s, None
            control.sendall(wire.encode({"status": status, "clean": _sweep(scratch)}))


def _warm_up(preload: list[str]) -> None:
    """Import modules, and do once what every child would have to do."""
    for name in (*preload, *_LAZY):
        # A course may name a module that this machine lacks, or that fails; the cell that needs it will say so.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # One thread: a fork copies only the calling one, and a pool's locks would stay locked for ever.
    torch.set_num_threads(1)
    for _ in range(_REHEARSALS):
        for _ in _rehearsal():
            pass
    seed_everything(0)
    gc.collect()
    if sys.platform == "linux":
        _collapse()
    gc.freeze()


def _collapse() -> None:
    """Have the kernel keep in pages of 2 MB what lies in memory by now.

    A fork copies an entry for each page, and the end of a child frees one: with pages of 4 KB that is 17 ms a submission, with
    large ones 9. Linux 6.1 and later can, see madvise(2); of others the call is refused, and nothing is lost.
    """
    libc = ctypes.CDLL(None)
    libc.sbrk.restype = ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def collapsed(number: int) -> bool:
        refused: int = libc.madvise(number << _LARGE, 1 << _LARGE, _MADV_COLLAPSE)
        return not refused

    number = (libc.sbrk(0) >> _LARGE) - 1  # of malloc's heap from its end, and of where Python's objects are
    while collapsed(number):
        number -= 1
    for number in {id(thing) >> _LARGE for thing in gc.get_objects()}:
        collapsed(number)


def _rehearse_until_asked(fd: int) -> None:
    """Rehearse once more while nobody asks for anything, and end in the state that this process began with.

    A fork copies a page of memory when it first writes to it: some thousand pages for a submission, which is time better
    spent before its turn comes.
    """
    for _ in _rehearsal():
        if select.select([fd], [], [], 0)[0]:
            break
    gc.collect()
    linecache.clearcache()
    seed_everything(0)


def _rehearsal() -> Iterator[None]:
    """Answer a few probes and call what checks call most, piece by piece."""
    server = ProbeServer({})
    cell = "import torch\nclass Layer(torch.nn.Module):\n    def forward(self, x): return x * (torch.rand(2, 1) < 0.5)"

    def probe(**message: Any) -> Any:
        answer = server.answer(wire.decode(wire.encode(message)))
        return wire.decode(wire.encode(answer))["value"]

    probe(op="several", messages=[{"op": "run", "name": "rehearsal", "source": cell}, {"op": "seed", "seed": 1}])
    layer = probe(op="call", target=probe(op="get", name="Layer"), args=[], kwargs={})["output"]
    yield
    probe(op="call", target=layer, args=[torch.ones(2, 3)], kwargs={})
    probe(op="forget", keep=[])
    server.answer({"op": "run", "name": "rehearsal", "source": "raise ValueError"})
    linecache.clearcache()
    yield
    yield from _operations()


def _operations() -> Iterator[None]:
    """Call operations of networks: the first convolution of a process costs a millisecond more than the next.

    The first gradient of one costs thirty. Where torch has an accelerator, gradients start threads, and it refuses to compute
    any in a fork of a process that did; there, children find their own.
    """
    functional = torch.nn.functional
    gradients = not torch.accelerator.is_available()
    maps = torch.ones(8, 12, 5, 7, requires_grad=gradients)
    rows, labels = torch.ones(4, 12, requires_grad=gradients), torch.zeros(4, dtype=torch.int64)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(12, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3, groups=2),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5),
    )  # fmt: skip
    for mode in (True, False):
        losses = [
            functional.cross_entropy(network.train(mode)(maps), torch.zeros(8, dtype=torch.int64)),
            functional.cross_entropy(torch.nn.Linear(12, 5)(rows), labels),
            -functional.log_softmax(rows @ rows.mT, dim=1).mean(),
            torch.einsum("ij,kj->ik", rows, rows).softmax(dim=1).sum(),
            (maps * (torch.rand_like(maps) < 0.5) / 0.5).mean(dim=(0, 2, 3)).sum(),
        ]
        yield
        if gradients:
            torch.autograd.grad(torch.stack(losses).sum(), [maps, rows, *network.parameters()])
        yield
    with torch.no_grad():
        rows.argmax(dim=1)
        torch.bernoulli(maps / 2)
        maps.half() * 2
        maps.double().sum()
        maps.var(dim=(0, 2, 3))


def _become_student(fd: int, null: int, limits: Limits, baseline: int, bpf: bytes) -> None:
    """Turn a fresh fork into a confined student process. Never returns."""
    status = 1
    try:
        # Out of the way first, so that no dup2 below closes what the next one needs.
        fd, null = fcntl.fcntl(fd, fcntl.F_DUPFD, 100), fcntl.fcntl(null, fcntl.F_DUPFD, 100)
        for target in (0, 1, 2):
            os.dup2(null, target)
        os.dup2(fd, _CHANNEL_FD)
        os.closerange(_CHANNEL_FD + 1, 1024)  # the control socket among them, whose number is low
        _limit(limits, baseline)
        _rehearse_until_asked(_CHANNEL_FD)
        if bpf:
            seccomp.install(bpf)
        _serve(Channel(_CHANNEL_FD))
        status = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 0  # the judge hung up: all is said
    except MemoryError:
        status = OUT_OF_MEMORY
    except BaseException:  # what the server is made of was changed by the learner's code
        status = BROKEN_SERVER
    finally:
        os._exit(status)


def _limit(limits: Limits, baseline: int) -> None:
    """Set the limits that bind this process for good. `baseline` is the address space it starts with, in bytes.

    That on processor time is the soft one alone, which the warm process can raise (see `_allow`) and this one cannot: the
    filter leaves it no call that sets a limit. At it the kernel sends SIGXCPU; `_watch` ends who catches that and goes on.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    if _CAN_GRANT:
        resource.setrlimit(resource.RLIMIT_CPU, (_at_most(limits.cpu_s, most), most))
    for kind, value in (
        (resource.RLIMIT_AS, baseline + limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        bounded = _at_most(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some; only --unsandboxed runs there
            resource.setrlimit(kind, (bounded, bounded))
    # A write past RLIMIT_FSIZE then fails with an error the learner sees instead of killing the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _at_most(value: int, hard: int) -> int:
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _allow(child: int, seconds: int) -> None:
    """Let a child use that many processor seconds in all."""
    if _CAN_GRANT:
        with contextlib.suppress(ProcessLookupError):
            _, most = resource.prlimit(child, resource.RLIMIT_CPU)
            resource.prlimit(child, resource.RLIMIT_CPU, (_at_most(seconds, most), most))


def _serve(channel: Channel) -> None:
    """Answer probes until the judge hangs up."""

    def ask_judge(name: str, **question: Any) -> Any:
        channel.send({"ask": name, **question})
        reply = channel.receive()
        if "raise" in reply:
            import builtins

            kind = getattr(builtins, reply["raise"], ValueError)
            raise kind(reply["message"])
        return reply

    server = ProbeServer(new_namespace(), ask_judge)
    while True:
        message: Message = channel.receive()
        try:
            answer = server.answer(message)
        except KeyboardInterrupt as error:  # raised by the learner's own code: there is no keyboard here
            answer = {"error": describe_error(error)}
        channel.send(answer)


def _watch(control: socket.socket, child: int, seconds: int, scratch: Path | None, files: int) -> int | None:
    """Wait for the judge's next word; meanwhile kill a child that has too much of something, and return what: see CROWDED.

    Processor time: where the kernel's signal did not end it. Files: each costs a kilobyte of the kernel's memory, which no
    limit counts, and time when it is swept.
    """
    excess = None
    while not select.select([control], [], [], _LOOK_EVERY_S)[0]:
        if _seconds(child) > seconds + 1:
            excess = excess or SPENT
        elif scratch is not None:
            space = os.statvfs(scratch)
            if space.f_files - space.f_ffree > files:
                excess = CROWDED
        if excess is not None:
            os.kill(child, signal.SIGKILL)  # still our child, alive or not, until `_end` has waited for it
    return excess


def _seconds(child: int) -> float:
    """Return the processor seconds that a child and all its threads have used, as the kernel counts them.

    There is no /proc to read them from. A process has a clock, though, and where its id comes from is the kernel's interface:
    see clock_getcpuclockid(3), which Python does not have.
    """
    try:
        if sys.platform == "linux":
            return time.clock_gettime(~child << 3 | 2)
        import psutil

        used = psutil.Process(child).cpu_times()
        return float(used.user + used.system)
    except Exception:  # it has ended, in one of the words that each system has for it
        return GONE


def _end(child: int, grace: float) -> int:
    """Wait a moment for a child whose judge hung up, then kill it. Returns its wait status, or ALIVE if it was killed."""
    deadline = time.monotonic() + grace
    while grace:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > deadline:
            break
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return ALIVE


def _sweep(scratch: Path) -> bool:
    """Empty the scratch folder. False if something is left, and this process should not serve another submission."""
    try:
        os.chmod(scratch, 0o700)  # a learner may have changed it
        for entry in list(os.scandir(scratch)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return not any(os.scandir(scratch))


if __name__ == "__main__":
    main()
