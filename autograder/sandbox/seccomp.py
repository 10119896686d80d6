"""The system calls a student's process may make: what computing on tensors needs, and nothing that starts or reaches
another process, opens a socket, or outlives a submission.

An allow list: a call the kernel learns tomorrow is refused tomorrow. Refused calls fail with EPERM, which Python shows as
PermissionError, rather than killing the process, so that the learner sees which line asked for it.
"""

from __future__ import annotations

import ctypes
import errno
import tempfile

_ALLOWED = """
read write readv writev pread64 pwrite64 close close_range lseek fstat newfstatat stat lstat statx statfs fstatfs
access faccessat faccessat2 open openat creat getdents getdents64 readlink readlinkat getcwd chdir fchdir dup dup2
dup3 fsync fdatasync truncate ftruncate fallocate fadvise64 copy_file_range sendfile rename renameat renameat2 mkdir
mkdirat rmdir unlink unlinkat link linkat symlink symlinkat chmod fchmod fchmodat umask utime utimes utimensat
futimesat pipe pipe2 select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd
eventfd2 mmap munmap mremap mprotect madvise brk mincore msync get_mempolicy membarrier rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack restart_syscall pause alarm getitimer setitimer
nanosleep clock_gettime clock_getres clock_nanosleep gettimeofday time times futex sched_yield sched_getaffinity
sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min set_robust_list get_robust_list
set_tid_address rseq getcpu arch_prctl getpid getppid gettid getuid geteuid getgid getegid getgroups getresuid
getresgid getpgrp getpgid getsid getrlimit getrusage sysinfo uname getrandom capget exit exit_group wait4
""".split()

_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX: harmless questions
_FCNTLS = (0, 1, 2, 3, 4, 1030)  # duplicate, and a descriptor's flags: no locks, leases, owners or signals
_PRCTLS = (15, 16)  # PR_SET_NAME, PR_GET_NAME
_CLONE_THREAD = 0x00010000


_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


def compile_filter() -> bytes:
    """Return the filter as a BPF program. Made in the judge, since the sandbox has neither ldconfig nor libseccomp.

    Raises:
        OSError: libseccomp or pyseccomp is missing.
    """
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError) as error:
        raise OSError(str(error)) from None

    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))

    def allow(name: str, *conditions: object) -> None:
        try:
            rules.add_rule(seccomp.ALLOW, name, *conditions)
        except (OSError, ValueError):  # an architecture without this call needs no rule for it
            return

    for name in _ALLOWED:
        allow(name)
    for request in _IOCTLS:
        allow("ioctl", seccomp.Arg(1, seccomp.EQ, request))
    for command in _FCNTLS:
        allow("fcntl", seccomp.Arg(1, seccomp.EQ, command))
    for option in _PRCTLS:
        allow("prctl", seccomp.Arg(0, seccomp.EQ, option))
    # Threads, yes; processes, no. clone3 hides its flags in memory, where no filter can look: ENOSYS makes libc use clone.
    allow("clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    # Reading one's own limits, as resource.getrlimit does; the third argument would set them.
    allow("prlimit64", seccomp.Arg(0, seccomp.EQ, 0), seccomp.Arg(2, seccomp.EQ, 0))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(bpf: bytes) -> None:
    """Load a compiled filter for this process, its threads and all it will ever be. It cannot be taken off.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(bpf) // 8, bpf)  # an instruction is 8 bytes
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel refused the system call filter")
