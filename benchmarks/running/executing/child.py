"""The worker's side: a process that reads tasks from a pipe, runs them one after the other, and
ends when its parent does.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from .executor import Failure, attempted
from .vitals import offer_to_the_killer

WHERE = signal.SIGUSR1
"""Asks the process to write where it is in its code."""


def serve(tasks: int, lifeline: int, traces: int) -> None:
    """Run tasks until the pipe is closed.

    A request is the pickled setting, or None where it is still the last one, and the pickled task.
    Answers are ``("begun", None)`` when all is loaded and the time counts, ``("progress", count)``,
    and at last ``("done", result)``, ``("failure", failure)`` or, where the task could not begin,
    ``("unprepared", sentence)``.

    Args:
        tasks: file descriptor of the pipe.
        lifeline: file descriptor that ends when the parent does.
        traces: file descriptor of the file for :data:`WHERE` and for crashes.
    """
    threading.Thread(target=_end_with_the_parent, args=(lifeline,), daemon=True).start()
    faulthandler.enable(traces)
    faulthandler.register(WHERE, traces)
    offer_to_the_killer()
    from .world import Setting, World  # torch, while the parent is still planning

    pipe, world = Connection(tasks), None
    while True:
        try:
            setting_sent, task_sent = pipe.recv()
        except EOFError:
            return
        try:
            if setting_sent is not None:
                setting: Setting = pickle.loads(setting_sent)
                setting.apply()
                world = World(setting)
            assert world is not None
            task = pickle.loads(task_sent)
            task.prepare(world)
        except BaseException as error:  # a file of the user's that exits, among others
            pipe.send(("unprepared", " ".join(f"{error}".split()) or type(error).__name__))
            continue
        pipe.send(("begun", None))
        _answer(pipe, _result(task, world, pipe))


def _result(task: Any, world: Any, pipe: Connection) -> tuple[str, Any]:
    try:
        return "done", attempted(task, world, lambda count: pipe.send(("progress", count)))
    except Failure as failure:
        return "failure", failure
    except (
        BaseException
    ) as error:  # KeyboardInterrupt, or an exception that is meant to pass all nets
        return "failure", Failure(
            "failed", " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        )


def _answer(pipe: Connection, answer: tuple[str, Any]) -> None:
    try:
        sent = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        sent = pickle.dumps(
            (
                "failure",
                Failure("failed", f"its result cannot be sent to another process ({error})"),
            )
        )
    pipe.send_bytes(sent)


def _end_with_the_parent(lifeline: int) -> None:
    os.read(lifeline, 1)  # returns when the parent has closed its end, however it ended
    os._exit(0)
