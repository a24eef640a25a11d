"""Executor in a worker process, which survives tasks that crash, hang or exhaust memory.

If :meth:`Worker.start` may fork, the worker is a fork of this process, which saves importing torch.
Otherwise it is a new interpreter, since OpenMP and CUDA do not survive a fork. The worker has its
own process group. An interrupt in the terminal reaches only the parent, and :meth:`Worker.close`
also ends the processes that a sampler started.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from threading import Event
from time import monotonic, sleep
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

from .executor import Failure, InProcess, Serial, Task, Tell, ignore_progress
from .process_state import (
    ForkedProcess,
    count_kernel_kills,
    default_memory_limit,
    describe_exit,
    is_stopped,
    memory_of,
    place_in_code,
)
from .transport import TRACE_SIGNAL, packed, serve_tasks

if TYPE_CHECKING:
    from .worker_context import WorkerContext

TICK = 0.1  # seconds between checks of a silent worker

GAP = 1.0  # a longer time between two checks, in seconds, means that this process was paused
STOPPED = 3600.0  # most seconds of a stopped worker that do not count towards its time limit
PATIENCE = 2.0  # seconds for a dying worker to report its place in the code

FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that an operator, a scheduler or the kernel sends, and samplers do not."""

GPUS = ("/dev/nvidiactl", "/dev/kfd")  # devices of CUDA's and ROCm's drivers

SHRINK = 8  # batch divisor after an out-of-memory kill: large, because each retry costs a process


class _Process(NamedTuple):
    """Running worker: process, pipe, lifeline (closing it ends the worker), stack traces' file."""

    process: subprocess.Popen[bytes] | ForkedProcess
    pipe: Connection
    lifeline: int
    traces: IO[bytes]


@dataclass(eq=False)
class _WorkerEnd(Exception):  # noqa: N818
    """End of the worker process, which the clause ``ending`` describes, and its cause.

    ``killed`` is True if another process ended the worker, ``memory`` if the kernel killed it
    because memory ran out; None if unknown.
    """

    ending: str
    killed: bool = False
    memory: bool | None = False


class Worker(Serial):
    """Executor in a worker process, which is replaced when it dies.

    Tasks that cannot be pickled run in this process. ``memory`` is the bytes that the worker may hold:
    0 for no limit, None for :func:`default_memory_limit`. Setting the event ``given_up`` stops the
    running task, as an interrupt does. ``environment`` has environment variables for the worker.
    """

    keeps_limits = True

    def __init__(
        self,
        memory: int | None = None,
        given_up: Event | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._memory = default_memory_limit() if memory is None else memory
        self._given_up, self._environment = given_up, dict(environment or {})
        self._worker: _Process | None = None
        self._kills: int | None = None  # kernel's kills for lack of memory before the task
        self._begun: float | None = None  # time when the task began; None while it is prepared

    def start(self, *, fork: bool = False) -> None:
        """Start the worker process early, unless it runs already.

        ``fork`` allows a fork where it is safe; this process must have computed nothing yet.
        """
        if self._worker is not None and self._worker.process.poll() is None:
            return
        self.close()
        ours, theirs = Pipe()
        death, lifeline = os.pipe()
        traces = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        handed = (theirs.fileno(), death, traces.fileno())
        try:
            if fork and can_fork():
                # Python 3.12 warns of OpenBLAS's threads, which stop before a fork and start again
                warnings.filterwarnings(
                    "ignore", "This process .* is multi-threaded", DeprecationWarning
                )
                process = ForkedProcess(os.fork())
                if process.pid == 0:
                    ours.close()
                    os.close(lifeline)
                    self._serve_as_fork(*handed)
                with suppress(OSError):  # the child sets it too, since either may run first
                    os.setpgid(process.pid, process.pid)
            else:
                process = self._start_interpreter(handed)
        finally:
            theirs.close()
            os.close(death)
        self._worker = _Process(process, ours, lifeline, traces)

    def _start_interpreter(self, handed: tuple[int, int, int]) -> subprocess.Popen[bytes]:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from {__package__}.transport import "
            f"serve_tasks; serve_tasks{handed}"
        )
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=handed,
            env={**os.environ, **self._environment},
            process_group=0,
        )

    def _serve_as_fork(self, *handed: int) -> NoReturn:
        """Serve tasks in a forked child, then exit: it must never return to the parent's code."""
        code = 1
        try:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.environ.update(self._environment)
            serve_tasks(*handed)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def run(
        self,
        task: Task,
        context: WorkerContext,
        *,
        tell: Tell = ignore_progress,
        limit: float | None = None,
    ) -> Any:
        """Run one task in the worker process; see :meth:`.Executor.run`."""
        sent = packed(task, context.setting)
        if sent is None:
            return InProcess().run(task, context, tell=tell, limit=limit)
        return self.run_packed(sent, tell, limit)

    def run_packed(self, sent: tuple[bytes, bytes], tell: Tell, limit: float | None) -> Any:
        """Run a :func:`.packed` task, and return its result; ``limit`` is in seconds or None.

        A worker that ends before the task begins, or that another process kills, is replaced once.

        Raises:
            Failure: the task failed, ended its worker, or exceeded the time or memory limit.
            ValueError: the task could not be prepared.
        """
        for last in (False, True):
            try:
                self.start()
                assert self._worker is not None
                self._kills, self._begun = count_kernel_kills(), None
                with suppress(OSError):  # the worker has ended: _wait describes how
                    self._worker.pipe.send(sent)
                return self._wait(self._worker, tell, limit)
            except _WorkerEnd as gone:
                # the task gets a second try if the worker ended before it began, perhaps by an
                # earlier task, or if another process killed the worker
                self.close()
                begun = self._begun is not None
                if begun and (gone.memory or not gone.killed):
                    raise Failure("crashed", gone.ending, SHRINK if gone.memory else 0) from None
                if begun and last:
                    reason = f"{gone.ending}, twice; the same command tries it again"
                    shrink = 0 if gone.memory is False else SHRINK
                    raise Failure("killed", reason, shrink) from None
                if last:
                    again = "run the same command again"
                    remedy = again if gone.killed else "--no-isolation runs without one"
                    raise ValueError(
                        f"a worker could not load the model: {gone.ending}, twice; {remedy}"
                    ) from None
            except (Failure, ValueError):
                raise
            except BaseException:  # an interrupt: the task's result is not awaited any more
                self.close()
                raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the worker process and its children at once."""
        worker, self._worker = self._worker, None
        if worker is not None:
            with suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            worker.pipe.close()
            os.close(worker.lifeline)
            worker.traces.close()

    def _wait(self, worker: _Process, tell: Tell, limit: float | None) -> Any:
        before, stopped = monotonic(), 0.0
        while True:
            if worker.pipe.poll(TICK):
                try:
                    kind, value = worker.pipe.recv()
                    result = pickle.loads(value) if kind == "done" else None
                except (EOFError, OSError):
                    raise self._describe_end(worker) from None
                except Exception:
                    ending = "its process wrote into the connection to its parent, and was ended"
                    raise _WorkerEnd(ending) from None
                if kind == "begun":
                    self._begun = monotonic()
                elif kind == "progress":
                    tell(value)
                elif kind == "unprepared":
                    raise ValueError(value)
                elif isinstance(result, Failure):
                    raise result
                else:
                    return result
            elif worker.process.poll() is not None:
                raise self._describe_end(worker)
            if self._given_up is not None and self._given_up.is_set():
                raise KeyboardInterrupt
            now, since = monotonic(), before
            before = now
            if self._memory and memory_of(worker.process.pid) > self._memory:
                held = f"its process held more than {self._memory / 2**30:.3g} GiB of memory"
                remedy = "and was ended; --retry --memory-limit GIB allows more"
                self._end(worker, "crashed", f"{held}{{place}}, {remedy}", SHRINK)
            if self._begun is None:
                continue
            # a pause of either process does not count, up to STOPPED if the task caused it
            gap = now - since > GAP
            if gap or (stopped < STOPPED and is_stopped(worker.process.pid)):
                self._begun = min(now, self._begun + now - since)
                stopped += 0 if gap else now - since
            spent = now - self._begun
            if limit and spent > limit and not worker.pipe.poll():  # pending messages come first
                remedy = "--retry --time-limit SECONDS gives it longer"
                self._end(worker, "timed out", f"no result after {spent:.0f} s{{place}}; {remedy}")

    def _end(self, worker: _Process, status: str, reason: str, shrink: int = 0) -> None:
        """End the worker and raise a Failure; the task's place in the code replaces ``{place}``."""
        worker.process.send_signal(TRACE_SIGNAL)
        until, size = monotonic() + PATIENCE, -1
        while monotonic() < until and (grown := os.fstat(worker.traces.fileno()).st_size) != size:
            size = grown if grown else -1
            sleep(TICK)
        place = _place_of_task(worker.traces)
        self.close()
        raise Failure(status, reason.format(place=place), shrink)

    def _describe_end(self, worker: _Process) -> _WorkerEnd:
        try:
            code = worker.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # it closed the pipe and lives on
            return _WorkerEnd("its process closed the connection to its parent, and was ended")
        memory = False
        if code == -signal.SIGKILL:
            before, now = self._kills, count_kernel_kills()
            memory = None if before is None or now is None else now > before
        ending = f"its process {describe_exit(code, memory)}{_place_of_task(worker.traces)}"
        return _WorkerEnd(ending, killed=-code in FROM_OUTSIDE, memory=memory)


def can_fork() -> bool:
    """Return True if forks of this process can compute, after importing the modules that they need.

    Outside Linux, with several threads or a GPU, it returns False and imports nothing. New
    interpreters are then needed, and import torch at the same time as this process.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or any(map(os.path.exists, GPUS)):
        return False
    import torch

    from . import tasks  # noqa: F401 - with all that forks need

    for stream in filter(None, (sys.stdout, sys.stderr)):  # a closed one is None
        stream.flush()  # else forks write it again
    return not torch.cuda.is_available()


def _place_of_task(traces: IO[bytes]) -> str:
    traces.seek(0)
    return place_in_code(traces.read().decode(errors="replace"))
