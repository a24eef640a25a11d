"""How many steps a budget of evaluations buys."""

from __future__ import annotations

from bisect import bisect_right

from ..models import Denoiser
from ..samplers import Sampler
from .schedules import Schedule


def steps_within(
    budget: int, model: Denoiser, sampler: Sampler, schedule: Schedule, end: str, sigma_start: float | None = None
) -> int | None:
    """The largest number of steps from ``sigma_start`` (or sigma_max) whose evaluations fit in a budget; None if not even one does."""

    def cost(n: int) -> int:
        says = sampler.nfe(schedule.sketch(n, model.sigma_min, sigma_start or model.sigma_max, to_zero=end == "zero"))
        if says is None:
            raise ValueError(
                f"sampler {sampler.name!r} cannot say what it costs (nfe() gives None), so give --steps; or, if it ignores the "
                "steps, let it declare adaptive = True"
            )
        return model.passes * says

    return bisect_right(range(1, budget + 2), budget, key=cost) or None  # an analytic first step costs nothing
