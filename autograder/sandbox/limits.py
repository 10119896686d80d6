"""What one submission may use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Resource limits of one student process. All are enforced by the kernel but the wall-clock ones, which the judge
    enforces, and that on the number of files. That on processor time moves with what the judge grants.

    Attributes:
        total_s: wall-clock seconds for a submission, all its answers together.
        answer_s: wall-clock seconds for one answer, a cell or a probe. The reference needs milliseconds; the rest is
            for a machine under load.
        cpu_s: processor seconds in all, besides those that the judge grants.
        memory: bytes of address space beyond what the warm process already has.
        file_size: bytes of one file.
        scratch: bytes of the private /tmp.
        files: files and folders in it. The warm process counts them, since no limit of the kernel's does.
        open_files: open file descriptors.
        processes: processes and threads of the sandbox's user (no effect where the grader runs as root).
    """

    total_s: float = 60.0
    answer_s: float = 5.0
    cpu_s: int = 60
    memory: int = 1 << 30
    file_size: int = 16 << 20
    scratch: int = 64 << 20
    files: int = 10_000
    open_files: int = 64
    processes: int = 4096
