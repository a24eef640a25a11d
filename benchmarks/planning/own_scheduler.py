"""``--sampler pipeline``: the scheduler that came with a model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from ...models.denoiser import Denoiser, OwnSampling
from ...samplers import Grid, Sampler, make
from ...samplers.methods.pipeline import Preset
from ..suites.cell import Start
from .models import mismatch

log = logging.getLogger("samplerbench")


def as_its_scheduler(
    sampler: Any, model: Denoiser, grid: Grid, start: Start
) -> tuple[Sampler, str]:
    """Configure ``pipeline`` like the model's own scheduler, with as many steps as a grid has.

    Remaining differences are logged, once a model.

    Returns:
        The sampler, and the reason to skip it: no scheduler came with the model, or none of our
            samplers equals it; "" for none.
    """
    if start.name != "noise":
        return sampler, f"a model's own scheduler begins with noise, not with start {start.name}"
    try:
        own = _own_sampling(sampler, model, len(grid))
    except ValueError as error:
        return sampler, f"pipeline: {error}"
    if own is None:
        return sampler, (
            f"no scheduler came with model {model.name}: pipeline is for folders of diffusers"
        )
    if reason := mismatch(model, make(own.sampler)):
        return sampler, reason
    if own.differs:
        _warn_of_differences(model.name, own.told, own.differs)
    ends = (own.start, own.end, own.clip, own.told, own.times, model.map_end)
    return sampler.fitted(Preset(own.sampler, own.levels, *ends)), ""


def _own_sampling(sampler: Any, model: Denoiser, steps: int) -> OwnSampling | None:
    """Return the behaviour of a model's scheduler, or of the scheduler that ``pipeline`` names."""
    other = sampler.scheduler
    return model.own_sampling(steps, other) if other else model.own_sampling(steps)


def cost_of_its_scheduler(sampler: Any, model: Denoiser) -> Callable[[int], int]:
    """Return the evaluations per sample of ``pipeline`` as a function of its steps, idle ones included."""

    @cache
    def cost(n: int) -> int:
        try:
            own = _own_sampling(sampler, model, n)
        except ValueError:  # the cell gives the reason
            own = None
        says = None if own is None else make(own.sampler).nfe(Grid(own.levels))
        return model.passes * max(n, says or n)

    return cost


@cache
def _warn_of_differences(model: str, scheduler: str, differs: tuple[str, ...]) -> None:
    log.warning("pipeline on %s is not quite its %s: %s", model, scheduler, "; ".join(differs))
