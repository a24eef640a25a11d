"""Executors, which run tasks in this process, in worker processes, on a cluster or by a plugin.

All imports of this module are quick.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from ....lazy import lazy
from ...sampling.failure import error_in_words
from .executor import Call, Executor, Failure, InProcess, Serial, Task, Tell, TellOf
from .pool import Pool
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


ENTRY_POINTS = "samplerbench.executors"

BUILT_IN = {"worker": Worker, "in-process": InProcess}
"""Built-in executors; the first is the default."""


def executors() -> list[str]:
    """Return the names of all executors, without importing any package."""
    return list(dict.fromkeys([*BUILT_IN, *(point.name for point in _entry_points())]))


def make_executor(spec: str) -> Executor:
    """Make an executor from ``name`` or ``name:argument``, where the argument may be an address.

    Raises:
        ValueError: no executor or several have the name, or the executor cannot be loaded or made.
    """
    name, colon, rest = spec.partition(":")
    points = [point for point in _entry_points() if point.name == name]
    origins = ["samplerbench itself"] if name in BUILT_IN else []
    for point in points:
        package = (
            f"{point.dist.name} {point.dist.version}" if point.dist else "an installed package"
        )
        origins.append(f"{package} ({point.value})")
    if len(origins) > 1:
        several = " and ".join(origins)
        raise ValueError(f"executors of one name, {name!r}: {several}; uninstall all but one")
    if not origins:
        close = difflib.get_close_matches(name, executors(), n=1)
        hint = f"did you mean {close[0]!r}? The" if close else "the"
        raise ValueError(
            f"there is no executor {name!r}; {hint} executors are: {', '.join(executors())}"
        )
    if colon and (not rest or name in BUILT_IN):
        fault = "takes nothing behind a colon" if rest else "has nothing behind its colon"
        raise ValueError(f"executor {spec!r} {fault}; write {name}")
    origin = origins[0]
    try:
        make = BUILT_IN[name] if name in BUILT_IN else points[0].load()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"executor {name!r} of {origin} failed to load: {error_in_words(error)}"
        ) from error
    try:
        executor = make(rest) if colon else make()
    except (Exception, SystemExit) as error:
        raise ValueError(f"executor {spec} of {origin} failed: {error_in_words(error)}") from error
    if not isinstance(executor, Executor):
        base = f"{Executor.__module__}.{Executor.__qualname__}"
        raise ValueError(
            f"executor {spec} of {origin} made a {type(executor).__name__}, which is no {base}"
        )
    return executor


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
