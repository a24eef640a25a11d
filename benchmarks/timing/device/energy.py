"""Energy per sample: a counter read before and after some seconds of the sampler alone."""

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
    """Return the energy of one call, of the whole device, with its idle power.

    Args:
        work: the call; repeated for at least ``seconds``.
        joules: reads the energy counter, J; None without one.
        finish: returns when the device has finished its work.
        seconds: length of the window; the counter moves every few hundredths of a second, so a
            second is the least that makes sense.
        clock: seconds.

    Returns:
        J per call; None without a counter.
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
