"""Workers that grade side by side: a Dask cluster, local or somebody else's; or this process alone.

Whatever becomes of a worker, each job ends in exactly one result or in a sentence. A worker that dies is replaced and its
job done again. A job that takes its worker with it twice, the second time with nothing else under way, is given up, and
its report says so.
"""

from __future__ import annotations

import logging
import math
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


_STALE = OtherCourse("it has read the course before the last change")


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
        self._asked: dict[str, Future[str]] = {}
        self._ready: set[str] = set()  # the addresses that have opened this very course: no other is given work
        self._refused: dict[str, str] = {}  # why not
        self._look_at, self._deserted_since = 0.0, math.inf
        self._prepare()

    def grade(self, jobs: Iterable[Job], gave_up: GaveUp) -> Iterator[tuple[Job, Graded]]:
        suspects: list[Job] = []
        for job, result in self._run(iter(jobs), self._room):
            if isinstance(result, _Died):
                suspects.append(job)
            else:
                yield job, gave_up(job, result) if isinstance(result, str) else result
        # Of the jobs that a dead worker had, one may have killed it. Now each is alone, so that there is no doubt.
        for job, result in self._run(iter(suspects), lambda: min(1, self._room())):
            if isinstance(result, _Died):
                result = "the process that graded it was killed, time and again; is there enough memory?"
            yield job, gave_up(job, result) if isinstance(result, str) else result

    def _room(self) -> int:
        """Return how many jobs may be under way. Workers come and go, so they are looked for now and then."""
        if time.monotonic() >= self._look_at:
            self._look_for_workers()
        return _AHEAD * len(self._ready)

    def _addresses(self) -> list[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _run(self, jobs: Iterator[Job], room: Callable[[], int]) -> Iterator[tuple[Job, Graded | _Died | str]]:
        """Yield each job and its result, or that its worker died, or what went wrong."""
        under_way: dict[Future[Graded], tuple[Job, set[str]]] = {}  # and who may do it
        done: queue.SimpleQueue[Future[Graded]] = queue.SimpleQueue()
        more = True
        while more or under_way:
            while more and len(under_way) < room():
                job = next(jobs, None)
                if job is None:
                    more = False
                    break
                who = set(self._ready)
                future = self._client.submit(grade_here, self._assignment, job, workers=sorted(who), pure=False)
                under_way[future] = job, who
                future.add_done_callback(done.put)
            if under_way:
                future = self._next(done, under_way)
                job, who = under_way.pop(future)
                result = self._result(future, who)
                if isinstance(result, _Died):
                    self._look_at = 0.0
                yield job, result
            elif more:  # nobody is ready yet
                time.sleep(_ASK_EVERY_S)
                self._look_for_workers()

    def _next(
        self, done: queue.SimpleQueue[Future[Graded]], under_way: dict[Future[Graded], tuple[Job, set[str]]]
    ) -> Future[Graded]:
        """Wait for a job's end, or until all who may do one are gone."""
        while True:
            try:
                future = done.get(timeout=_COUNT_EVERY_S)
                if future in under_way:
                    return future
            except queue.Empty:
                self._look_for_workers()
                for future, (_, who) in under_way.items():
                    if not who & self._ready:
                        return future

    def _result(self, future: Future[Graded], who: set[str]) -> Graded | _Died | str:
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
                    if not who & self._ready:
                        return _Died()
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
        """See who is there. Those that came meanwhile open the course before they are given work.

        Raises:
            FleetError: there has been nobody for a while, or there is no scheduler.
        """
        if self._client.status in ("closing", "closed"):
            raise FleetError(f"the Dask scheduler at {self._place} is gone")
        if self._client.status != "running":
            return
        self._look_at = time.monotonic() + _COUNT_EVERY_S
        here = set(self._addresses())
        self._ready &= here
        for address in self._asked.keys() - here:  # who comes back there is somebody else
            del self._asked[address]
            self._refused.pop(address, None)
        for address in here - self._asked.keys():
            self._ask(address)
        for address, future in self._asked.items():
            if address in self._ready or address in self._refused or not future.done():
                continue
            try:
                stale = future.result(timeout=_COUNT_EVERY_S)
            except SandboxUnavailable as unavailable:
                self._refused[address] = str(unavailable)
            except Exception as error:  # another course, or it died of the question: the others go on
                self._refused[address] = _other_course(f"worker {address}", error)
            else:
                if stale:
                    self._refused[address] = _other_course(f"worker {address}", _STALE)
                else:
                    self._ready.add(address)
        if self._ready or any(not future.done() for future in self._asked.values()):
            self._deserted_since = math.inf
            return
        self._deserted_since = min(self._deserted_since, time.monotonic())
        if time.monotonic() - self._deserted_since > _DESERTED_S:
            why = next(iter(self._refused.values()), "")
            raise FleetError(why or f"all workers of {self._place} are gone, and no other came: start some")

    def _ask(self, address: str) -> None:
        future = self._client.submit(prepare_here, self._assignment, workers=[address], pure=False)
        self._asked[address] = future

    def _prepare(self) -> None:
        """Have every worker open its course and its sandbox, before it is given work."""
        try:
            self._client.wait_for_workers(1, timeout=_FIRST_WORKER_S)
        except TimeoutError:
            raise FleetError(
                f"the Dask scheduler at {self._place} has no workers: start some with `dask worker {self._place} "
                "--nthreads 1`, in the course's folder"
            ) from None
        answers = self._ask_all()
        stale = [address for address, said in answers.items() if said]
        if stale:
            try:
                self._client.restart_workers(stale)
            except Exception as error:  # without a nanny nobody starts them again
                raise FleetError(_other_course(f"worker {stale[0]}", error)) from None
            self._asked.clear()
            answers = self._ask_all()
            if any(answers.values()):
                raise FleetError(_other_course(self._place, OtherCourse("it could not be started anew")))
        self._ready = set(answers)

    def _ask_all(self) -> dict[str, str]:
        """Run `prepare_here` on every worker, those that come meanwhile too; return answers by address.

        Raises:
            FleetError: a worker has another course, or none answers.
            SandboxUnavailable: a worker cannot isolate learners' code.
        """
        from distributed import CancelledError, KilledWorker

        asked = self._asked
        answers: dict[str, str] = {}
        dead: set[str] = set()
        deadline = time.monotonic() + _READY_S
        while len(dead) <= _MOST_DEATHS and time.monotonic() < deadline:
            here = self._addresses()
            for address in here:
                if address not in asked:
                    self._ask(address)
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
