"""Executors, which run tasks in this process, in worker processes, on a cluster or by a plugin.

All imports of this module are quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy
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


# worker_context imports the models
__getattr__, __dir__ = lazy(__name__, {"worker_context": "WorkerConfig WorkerContext"})
