"""Energy per sample: a counter read before and after some seconds of nothing but the sampler."""

from __future__ import annotations

import time
from collections.abc import Callable


def joules_per_call(
    work: Callable[[], object],
    joules: Callable[[], float | None],
    finish: Callable[[], object],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> float | None:
    """Energy of one call, of the whole device: its idle power is in it.

    Args:
        work: the call; repeated for at least ``seconds``.
        joules: the energy counter, J; None where there is none.
        finish: returns when the device has done what it was given.
        seconds: length of the window; the counter moves every few hundredths of a second, so a
            second is the least that makes sense.
        clock: seconds.

    Returns:
        J per call; None where the counter says nothing.
    """
    finish()
    before, begin, calls = joules(), clock(), 0
    if before is None:
        return None
    while clock() - begin < seconds:
        work()
        finish()
        calls += 1
    after = joules()
    return None if after is None else (after - before) / calls
