"""Worker's side: a process that reads tasks from a pipe, runs them in turn, and ends with its
parent.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from multiprocessing.connection import Connection

from .remote import packed_result, unpacked
from .vitals import offer_to_the_killer

WHERE = signal.SIGUSR1
"""Signal that makes the process write its place in the code."""


def serve(tasks: int, lifeline: int, traces: int) -> None:
    """Run tasks until the pipe is closed.

    A request is the result of :func:`.packed`. Answers are ``("begun", None)`` when all is loaded
    and the time counts, ``("progress", news)``, and at last ``("done", packed result)`` or, for a
    task that could not begin, ``("unprepared", sentence)``.

    Args:
        tasks: file descriptor of the pipe.
        lifeline: file descriptor that ends when the parent does.
        traces: file descriptor of the file for :data:`WHERE` and for crashes.
    """
    threading.Thread(target=_end_with_the_parent, args=(lifeline,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # else an exception, as if the task raised it
    faulthandler.enable(traces)
    faulthandler.register(WHERE, traces)
    offer_to_the_killer()
    from . import worker_context  # noqa: F401 - torch, while the parent is still planning

    pipe, process = Connection(tasks), os.getpid()

    def send(kind: str, value: object = None) -> None:
        if os.getpid() != process:  # a fork that a sampler let return: its answers are void
            os._exit(0)
        pipe.send((kind, value))

    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            task, task_world = unpacked(*request)
        except ValueError as error:
            send("unprepared", str(error))
            continue
        send("begun")
        send("done", packed_result(task, task_world, lambda news: send("progress", news)))


def _end_with_the_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the parent has closed its end, however it ended
    os._exit(0)
