"""Pickling of tasks for another process, and the loop of a worker process that runs them.

All imports of this module are quick.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...sampling.failure import Failure, error_in_words
from .executor import Task, Tell, ignore_progress, result_or_failure, run_prepared

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

TRACE_SIGNAL = signal.SIGUSR1  # at this signal, a worker writes the stacks of its threads

_LATEST: dict[bytes, WorkerContext] = {}
"""Latest context of this process, by its pickled setting, so that later tasks reuse its models."""


def packed(task: Task, setting: WorkerConfig) -> tuple[bytes, bytes] | None:
    """Return the pickled (setting, task), arguments of :func:`unpacked` in another process.

    The result is None if pickling fails, as for a task whose class a notebook defines.
    """
    try:
        return _pickled(setting), _pickled(task)
    except Exception:
        return None


def unpacked(setting: bytes, task: bytes) -> tuple[Task, WorkerContext]:
    """Return a prepared task and its context from the pickles of :func:`packed`.

    Raises a ValueError if the setting or the task cannot be loaded or prepared.
    """
    from .worker_context import WorkerContext

    try:
        if setting not in _LATEST:
            _LATEST.clear()  # before models are loaded: memory never holds two contexts
            config: WorkerConfig = pickle.loads(setting)
            config.apply()
            _LATEST[setting] = WorkerContext(config)
        context = _LATEST[setting]
        loaded: Task = pickle.loads(task)
        loaded.prepare(context)
    except BaseException as error:  # a file of the user's that exits, among others
        _LATEST.clear()
        # a ValueError is a sentence; another error's message, such as 'x', needs its class
        sentence = " ".join(str(error).split()) if isinstance(error, ValueError) else ""
        raise ValueError(sentence or error_in_words(error)) from error
    return loaded, context


def packed_result(task: Task, context: WorkerContext, tell: Tell = ignore_progress) -> bytes:
    """Run a prepared task, and return its pickled result or its pickled :class:`Failure`."""
    try:
        result = result_or_failure(run_prepared, task, context, tell)
    except BaseException as error:  # an interrupt that the task raised itself
        result = Failure("failed", error_in_words(error))
    try:
        return _pickled(result)
    except Exception as error:
        reason = f"its result cannot be sent to another process ({error})"
        return _pickled(Failure("failed", reason))


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def serve_tasks(tasks: int, lifeline: int, traces: int) -> None:
    """Run tasks in a worker process until the pipe is closed or the parent ends.

    A request is the result of :func:`packed`. The answers are ``("begun", None)`` once the task is
    prepared, ``("progress", news)``, and ``("done", packed result)``. If the task cannot be
    prepared, the only answer is ``("unprepared", sentence)``.

    Args:
        tasks: file descriptor of the pipe for requests and answers.
        lifeline: file descriptor of a pipe that closes when the parent ends.
        traces: file descriptor of the file in which :data:`TRACE_SIGNAL` writes stacks.
    """
    threading.Thread(target=_end_with_the_parent, args=(lifeline,), daemon=True).start()
    for signum in (signal.SIGINT, signal.SIGTERM):  # else an exception, as if the task raised it
        signal.signal(signum, signal.SIG_DFL)
    faulthandler.enable(traces)
    faulthandler.register(TRACE_SIGNAL, traces)
    with suppress(OSError):  # when memory runs out, the kernel ends this process, not its parent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    from . import worker_context  # noqa: F401 - imports torch while the parent is still planning

    pipe, process = Connection(tasks), os.getpid()

    def send(kind: str, value: object = None) -> None:
        if os.getpid() != process:  # a child that a sampler forked, which must not answer
            os._exit(0)
        pipe.send((kind, value))

    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            task, context = unpacked(*request)
        except ValueError as error:
            send("unprepared", str(error))
            continue
        send("begun")
        send("done", packed_result(task, context, lambda news: send("progress", news)))


def _end_with_the_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the parent has closed its end, however it ended
    os._exit(0)
