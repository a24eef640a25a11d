"""Transport of tasks: packed by the caller, unpacked and run in another process, and the result
packed there. An executor adds the transport of the bytes.

All imports of this module are quick.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

from .executor import Failure, Task, Tell, attempted, result_of, silent

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

_LATEST: dict[bytes, WorkerContext] = {}
"""World of this process by the setting that made it: tasks share its models."""


def packed(task: Task, setting: WorkerConfig) -> tuple[bytes, bytes] | None:
    """Return the pickled setting of another process, and the pickled task, for :func:`unpacked` in
    it.

    It is None for a task of a class that only this process knows, such as one of a notebook.
    """
    try:
        return _bytes(setting), _bytes(task)
    except Exception:
        return None


def unpacked(setting: bytes, task: bytes) -> tuple[Task, WorkerContext]:
    """Unpack and prepare a task from another process, apply its setting, and return the task with
    its world.

    Raises:
        ValueError: it could not be prepared.
    """
    from .worker_context import WorkerContext

    try:
        if setting not in _LATEST:
            _LATEST.clear()  # before models are loaded: memory never holds two worlds
            world_setting = pickle.loads(setting)
            world_setting.apply()
            _LATEST[setting] = WorkerContext(world_setting)
        world = _LATEST[setting]
        loaded: Task = pickle.loads(task)
        loaded.prepare(world)
    except BaseException as error:  # a file of the user's that exits, among others
        _LATEST.clear()
        raise ValueError(" ".join(f"{error}".split()) or type(error).__name__) from error
    return loaded, world


def packed_result(task: Task, world: WorkerContext, tell: Tell = silent) -> bytes:
    """Return the pickled result of a prepared task, or the :class:`Failure` in its place."""
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
