"""State that the stages of a run of ``advise`` share, and its clock."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..running.executors import Executor
from .request import AdviceRequest, CurrentConfiguration

COMPARED = 0.93
"""Share of the time limit at which comparisons end, and timings and pictures begin."""


class OutOfTime(KeyboardInterrupt):
    """Exception that breaks off a stage whose time is over."""


class Clock:
    """Clock of a run of ``minutes`` from ``begun``, a ``time.monotonic()`` value; None for now."""

    def __init__(self, minutes: float, begun: float | None = None) -> None:
        self.minutes = minutes
        self._begin = time.monotonic() if begun is None else begun

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begin

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(60 * self.minutes - self.spent, 0.0)

    def late_after(self, share: float) -> Callable[[], bool]:
        """Return a function that returns True once a share of the time limit is over."""
        return lambda: self.spent >= 60 * self.minutes * share

    @contextmanager
    def raise_when_over(self, share: float) -> Iterator[None]:
        """Interrupt the block with :class:`OutOfTime` once a share of all the time is over.

        Only the main thread can be interrupted. In other threads the block runs to its end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ring(_number: int, _frame: Any) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(60 * self.minutes * share - self.spent, 1e-3))
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


Progress = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """State of a run of ``advise``: its arguments, and the user's present sampler as ``now``."""

    request: AdviceRequest
    out: Path
    clock: Clock
    executor: Executor
    now: CurrentConfiguration
    library: str
    ms: float | None
    progress: Progress
