"""Workers that grade side by side: a Dask cluster, local or somebody else's; or this process alone.

Whatever becomes of a worker, each job ends in exactly one result or in a sentence. A worker that dies is replaced and its
job done again. A job that takes its worker with it twice, the second time with nothing else under way, is given up, and
its report says so.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Protocol

from autograder.sandbox import SandboxUnavailable
from autograder.worker import Assignment, Graded, Job, OtherCourse, Worker, grade_here, prepare_here

if TYPE_CHECKING:
    from distributed import Client, Future

_AHEAD = 2
"""Jobs under way for each worker: one that it does, one that waits there, so that it is never idle."""
_DASK = {
    "distributed.scheduler.allowed-failures": 0,  # a job whose worker died comes back to us: see `_OnDask.grade`
    "distributed.admin.low-level-log-length": 100,  # what happened to each job, which nobody will read
    "distributed.admin.system-monitor.log-length": 100,
    "distributed.admin.large-graph-warning-threshold": "1GB",  # a submission is at most submission.MAX_BYTES
    "distributed.comm.timeouts.connect": "10s",
    "distributed.scheduler.http.routes": [],  # no pages: they would be open to everybody on this machine
    "distributed.worker.http.routes": [],
}


class FleetError(Exception):
    """The workers cannot be had, or are gone; the message says why and what to do."""


_FIRST_WORKER_S, _READY_S, _DESERTED_S = 30, 180, 60
_COUNT_EVERY_S, _ASK_EVERY_S = 5, 0.05
_MOST_DEATHS = 3

_SCHEMES = ("", "tcp", "tls")

GaveUp = Callable[[Job, str], Graded]
"""Makes the report on a job that could not be done, and the reason."""


class Fleet(Protocol):
    """Something that grades jobs: see `in_process` and `on_dask`."""

    def grade(self, jobs: Iterable[Job], gave_up: GaveUp) -> Iterator[tuple[Job, Graded]]:
        """Yield each job with its result, as they come. Jobs are taken as there is room for them.

        Raises:
            FleetError: the workers are gone. What was yielded before stands.
        """
        ...


class _InProcess:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def grade(self, jobs: Iterable[Job], gave_up: GaveUp) -> Iterator[tuple[Job, Graded]]:
        for job in jobs:
            yield job, self._worker.grade(job)


class _Died:
    """In place of a result: the worker that had the job died."""


class _OnDask:
    def __init__(self, client: Client, assignment: Assignment, place: str) -> None:
        self._client, self._assignment, self._place = client, assignment, place
        self._workers, self._count_at = 1, 0.0
        self._deserted_since: float | None = None
        self._prepare()

    def grade(self, jobs: Iterable[Job], gave_up: GaveUp) -> Iterator[tuple[Job, Graded]]:
        suspects: list[Job] = []
        for job, result in self._run(iter(jobs), self._room):
            if isinstance(result, _Died):
                suspects.append(job)
            else:
                yield job, gave_up(job, result) if isinstance(result, str) else result
        # Of the jobs that a dead worker had, one may have killed it. Now each is alone, so that there is no doubt.
        for job, result in self._run(iter(suspects), lambda: 1):
            if isinstance(result, _Died):
                result = "the process that graded it was killed, time and again; is there enough memory?"
            yield job, gave_up(job, result) if isinstance(result, str) else result

    def _room(self) -> int:
        """Return how many jobs may be under way. Workers come and go, so they are counted now and then."""
        if time.monotonic() >= self._count_at:
            self._count_at = time.monotonic() + _COUNT_EVERY_S
            self._workers = max(1, len(self._addresses()))
        return _AHEAD * self._workers

    def _addresses(self) -> list[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _run(self, jobs: Iterator[Job], room: Callable[[], int]) -> Iterator[tuple[Job, Graded | _Died | str]]:
        """Yield each job and its result, or that its worker died, or what went wrong."""
        under_way: dict[Future[Graded], Job] = {}
        done: queue.SimpleQueue[Future[Graded]] = queue.SimpleQueue()
        more = True
        while more or under_way:
            while more and len(under_way) < room():
                job = next(jobs, None)
                if job is None:
                    more = False
                    break
                future = self._client.submit(grade_here, self._assignment, job, pure=False)
                under_way[future] = job
                future.add_done_callback(done.put)
            if under_way:
                future = self._next(done)
                yield under_way.pop(future), self._result(future)

    def _next(self, done: queue.SimpleQueue[Future[Graded]]) -> Future[Graded]:
        """Wait for a job's end, as long as there is somebody at work."""
        while True:
            try:
                return done.get(timeout=_COUNT_EVERY_S)
            except queue.Empty:
                self._look_for_workers()

    def _result(self, future: Future[Graded]) -> Graded | _Died | str:
        from distributed import CancelledError, KilledWorker

        try:
            while True:
                try:
                    result: Graded = future.result(timeout=_COUNT_EVERY_S)
                    return result
                except TimeoutError:
                    if future.status == "error":
                        raise  # the job's own
                    self._look_for_workers()  # the worker that held the result is gone, and it is made again
        except KilledWorker:
            return _Died()
        except CancelledError:
            raise FleetError(f"the Dask scheduler at {self._place} is gone") from None
        except OtherCourse as other:
            raise FleetError(_other_course(self._place, other)) from None
        except SandboxUnavailable as unavailable:
            raise FleetError(str(unavailable)) from None
        except FleetError:
            raise
        # A fault of ours, which one submission brings out: the class goes on, unless there is nobody left to ask.
        except Exception as error:
            if self._client.status != "running":
                raise FleetError(f"the Dask scheduler at {self._place} is gone") from None
            return f"{type(error).__name__}: {error}"[:500]
        finally:
            future.release()

    def _look_for_workers(self) -> None:
        """Give up when there have been none for a while. Raises FleetError."""
        if self._client.status != "running" or self._addresses():
            self._deserted_since = None
            return
        self._deserted_since = self._deserted_since or time.monotonic()
        if time.monotonic() - self._deserted_since > _DESERTED_S:
            raise FleetError(f"all workers of {self._place} are gone, and no other came: start some")

    def _prepare(self) -> None:
        """Have every worker open its course and its sandbox, before it is given work."""
        try:
            self._client.wait_for_workers(1, timeout=_FIRST_WORKER_S)
        except TimeoutError:
            raise FleetError(
                f"the Dask scheduler at {self._place} has no workers: start some with `dask worker {self._place} "
                "--nthreads 1`, in the course's folder"
            ) from None
        stale = [address for address, said in self._ask_all().items() if said]
        if stale:
            try:
                self._client.restart_workers(stale)
            except Exception as error:  # without a nanny nobody starts them again
                raise FleetError(_other_course(f"worker {stale[0]}", error)) from None
            if any(self._ask_all().values()):
                raise FleetError(_other_course(self._place, OtherCourse("it could not be started anew")))

    def _ask_all(self) -> dict[str, str]:
        """Run `prepare_here` on every worker, those that come meanwhile too; return answers by address.

        Raises:
            FleetError: a worker has another course, or none answers.
            SandboxUnavailable: a worker cannot isolate learners' code.
        """
        from distributed import CancelledError, KilledWorker

        asked: dict[str, Future[str]] = {}
        answers: dict[str, str] = {}
        dead: set[str] = set()
        deadline = time.monotonic() + _READY_S
        while len(dead) <= _MOST_DEATHS and time.monotonic() < deadline:
            here = self._addresses()
            for address in here:
                if address not in asked:
                    asked[address] = self._client.submit(prepare_here, self._assignment, workers=[address], pure=False)
            for address in [a for a, future in asked.items() if a not in answers and a not in dead and future.done()]:
                try:
                    answers[address] = asked[address].result()
                except OtherCourse as other:
                    raise FleetError(_other_course(f"worker {address}", other)) from None
                except SandboxUnavailable:
                    raise
                except (KilledWorker, CancelledError):  # another may have taken its place
                    dead.add(address)
                except Exception as error:
                    raise FleetError(_other_course(f"worker {address}", error)) from None
            alive = set(here) - dead
            if alive and alive <= answers.keys():
                return {address: answers[address] for address in alive}
            time.sleep(_ASK_EVERY_S)
        raise FleetError(
            f"the workers of {self._place} could not open the course: have they this folder, these requirements, and are "
            "they this user's?"
        )


def _other_course(place: str, other: Exception) -> str:
    return (
        f"{place} has another course, engine or package than this machine ({other}): give it the same folder and "
        "requirements, restart it, then run the same command again"
    )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def in_process(assignment: Assignment) -> Iterator[Fleet]:
    """Grade in this process, one job after the other: to see with a debugger what a worker does.

    Raises:
        SandboxUnavailable: see `Sandbox`.
    """
    with Worker(assignment) as worker:
        yield _InProcess(worker)


@contextmanager
def on_dask(assignment: Assignment, workers: int | None = None, scheduler: str | None = None) -> Iterator[Fleet]:
    """Grade on a Dask cluster.

    Args:
        workers: start this many on this machine; one a core by default.
        scheduler: the address of a scheduler that is there, such as tcp://host:8786, in place of workers of our own.

    Raises:
        FleetError: no scheduler or no worker answers, or a worker's course is not the same.
        SandboxUnavailable: a worker cannot isolate learners' code.
    """
    import dask
    from distributed import Client, LocalCluster

    for name in logging.root.manager.loggerDict:  # what matters is said in a sentence of ours
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_DASK):
        if scheduler is not None:
            _must_answer(scheduler)
            try:
                client = Client(scheduler, timeout="10s", set_as_default=False)
            # What is wrong with a scheduler, or with the settings for TLS, comes as any exception at all.
            except Exception as error:
                raise FleetError(f"no Dask scheduler answers at {scheduler} ({error})") from None
            with client:
                yield _OnDask(client, assignment, scheduler)
            return
        # TLS with certificates made for this run: without, whoever has an account here could send workers code of theirs.
        with (
            LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                security=True,
                protocol="tls",
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            # The thread that starts workers hides Ctrl-C from them, which a terminal sends to all: it is this process's.
            # Python's resource tracker, should it start from that thread, would undo it.
            resource_tracker.ensure_running()
            cluster.sync(_hide_ctrl_c)
            cluster.scale(workers or cores())
            try:
                client.wait_for_workers(workers or cores(), timeout=_READY_S)
            except TimeoutError:
                raise FleetError(
                    f"not all workers started within {_READY_S} seconds: is this machine very busy?"
                ) from None
            yield _OnDask(client, assignment, "this machine")


def address_of(scheduler: str) -> tuple[str, int]:
    """Return the host and port of a Dask scheduler. Raises FleetError."""
    scheme, _, place = scheduler.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme not in _SCHEMES or not host or not port.isdecimal() or int(port) > 65535:
        raise FleetError(f"{scheduler!r} is not the address of a Dask scheduler, which looks like tcp://host:8786")
    return host.strip("[]"), int(port)


def _must_answer(scheduler: str) -> None:
    """Knock before Dask does, which takes long to give up, and leaves half a client behind."""
    address = address_of(scheduler)
    try:
        socket.create_connection(address, timeout=10).close()
    except (OSError, UnicodeError) as error:  # the latter of a host that no name can be
        raise FleetError(
            f"no Dask scheduler answers at {scheduler} ({error}): start one with `dask scheduler`, or leave --scheduler "
            "out to use this machine"
        ) from None


async def _hide_ctrl_c() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
