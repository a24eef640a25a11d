"""State that the stages of a run of ``advise`` share, with its clock."""

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


class OutOfTime(KeyboardInterrupt):
    """The time of a stage is over, and what runs is broken off."""


class Clock:
    """Clock of a run in minutes, which began when it is made, or before, by ``time.monotonic()``."""

    def __init__(self, minutes: float, begun: float | None = None) -> None:
        self.minutes = minutes
        self._begin = time.monotonic() if begun is None else begun

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begin

    @property
    def left(self) -> float:
        """Seconds that are left, >= 0."""
        return max(60 * self.minutes - self.spent, 0.0)

    def until(self, share: float) -> Callable[[], bool]:
        """Return a function that returns True once a share of all the time is over."""
        return lambda: self.spent >= 60 * self.minutes * share

    @contextmanager
    def raise_when_over(self, share: float) -> Iterator[None]:
        """Raise :class:`OutOfTime` within the block once a share of all the time is over.

        Only the main thread can be interrupted so; in others the block takes the time that it takes.
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
    """State of a run of ``advise``, with arguments of :func:`.advise`; ``now`` is what is used now."""

    request: AdviceRequest
    out: Path
    clock: Clock
    executor: Executor
    now: CurrentConfiguration
    library: str
    ms: float | None
    progress: Progress
