"""Executors of tasks: in this process, in worker processes that may crash or hang, or by installed
packages.

All imports of this module are quick.
"""

from .executor import Call, Executor, Failure, InProcess, Serial, Task, Tell, TellOf
from .known import ENTRY_POINTS, executors, make_executor
from .pool import Pool
from .remote import packed, packed_result, unpacked
from .worker import Worker

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
    "executors",
    "make_executor",
    "packed",
    "packed_result",
    "unpacked",
]
