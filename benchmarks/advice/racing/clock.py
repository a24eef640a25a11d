"""The time that was given, and what it is for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Clock:
    """Counts from when it is made.

    Attributes:
        minutes: that were given.
        now: seconds of a clock that never goes back.
    """

    minutes: float
    now: Callable[[], float] = time.monotonic
    _begin: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._begin.append(self.now())

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self.now() - self._begin[0]

    @property
    def left(self) -> float:
        """Seconds that are left, >= 0."""
        return max(60 * self.minutes - self.spent, 0.0)

    def until(self, share: float) -> Callable[[], bool]:
        """Whether a share of all the time is over, to be asked again and again."""
        return lambda: self.spent >= 60 * self.minutes * share
