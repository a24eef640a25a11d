"""A task on its way: packed where it is asked for, unpacked and run in another process, and its
result packed there. What an executor adds is how the bytes travel.

What is imported here is quick to import.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

from .executor import Failure, Task, Tell, attempted, result_of, silent

if TYPE_CHECKING:
    from .world import WorkerConfig, WorkerContext

_LATEST: dict[bytes, WorkerContext] = {}
"""The world of this process by the setting that made it, so that tasks share their models."""


def packed(task: Task, setting: WorkerConfig) -> tuple[bytes, bytes] | None:
    """How another process is to be set, and the task, for :func:`unpacked` there.

    None for a task of a class that only this process knows, such as one of a notebook.
    """
    try:
        return _bytes(setting), _bytes(task)
    except Exception:
        return None


def unpacked(setting: bytes, task: bytes) -> tuple[Task, WorkerContext]:
    """A task that another process packed, prepared, and the world that it runs in. This process is
    set as the other one says.

    Raises:
        ValueError: it could not be prepared.
    """
    from .world import WorkerContext

    try:
        if setting not in _LATEST:
            _LATEST.clear()  # before models are loaded, so that memory never holds those of two
            there = pickle.loads(setting)
            there.apply()
            _LATEST[setting] = WorkerContext(there)
        world = _LATEST[setting]
        found: Task = pickle.loads(task)
        found.prepare(world)
    except BaseException as error:  # a file of the user's that exits, among others
        _LATEST.clear()
        raise ValueError(" ".join(f"{error}".split()) or type(error).__name__) from error
    return found, world


def packed_result(task: Task, world: WorkerContext, tell: Tell = silent) -> bytes:
    """The pickled result of a prepared task, or the :class:`Failure` in its place."""
    try:
        result = result_of(partial(attempted, task, world, tell))
    except BaseException as error:  # one that is meant to pass all nets
        words = " ".join(f"{type(error).__name__}: {error}".split())
        result = Failure("failed", words.removesuffix(":"))
    try:
        return _bytes(result)
    except Exception as error:
        reason = f"its result cannot be sent to another process ({error})"
        return _bytes(Failure("failed", reason))


def _bytes(value: Any) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
