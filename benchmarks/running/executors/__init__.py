"""Executors, which run tasks in this process, in worker processes, on a cluster or by a plugin.

All imports of this module are quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .executor import Call, Executor, Failure, InProcess, Serial, Task, Tell, TellOf
from .pool import Pool
from .registry import ENTRY_POINTS, executors, make_executor
from .transport import packed, packed_result, unpacked
from .worker import Worker

if TYPE_CHECKING:
    from .worker_context import WorkerConfig, WorkerContext

__all__ = [
    "ENTRY_POINTS",
    "Call",
    "Executor",
    "Failure",
    "InProcess",
    "Pool",
    "Serial",
    "Task",
    "Tell",
    "TellOf",
    "Worker",
    "WorkerConfig",
    "WorkerContext",
    "executors",
    "make_executor",
    "packed",
    "packed_result",
    "unpacked",
]


def __getattr__(name: str) -> object:
    """Import ``WorkerConfig`` or ``WorkerContext`` at first use: their module imports the models."""
    if name not in ("WorkerConfig", "WorkerContext"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import worker_context

    return getattr(worker_context, name)
