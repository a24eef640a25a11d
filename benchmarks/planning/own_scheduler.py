"""``--sampler pipeline``: what the scheduler that came with a model would do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from ...models import Denoiser
from ...models.own_sampling import OwnSampling
from ...samplers import Grid, Sampler, make
from ...samplers.methods.pipeline import Preset
from ..suites.start import Start
from .maps import mismatch

log = logging.getLogger("samplerbench")


def as_its_scheduler(
    sampler: Any, model: Denoiser, grid: Grid, start: Start
) -> tuple[Sampler, str]:
    """``pipeline`` with what the model's own scheduler does in as many steps as a grid has.

    What it does otherwise all the same is logged, once a model.

    Returns:
        The sampler, and why there is nothing to run: no scheduler came with the model, or nothing of
        ours does what it does; "" if there is.
    """
    if start.name != "noise":
        return sampler, f"a model's own scheduler begins with noise, not with start {start.name}"
    try:
        own = _own(sampler, model, len(grid))
    except ValueError as error:
        return sampler, f"pipeline: {error}"
    if own is None:
        return sampler, (
            f"no scheduler came with model {model.name}: pipeline is for folders of diffusers"
        )
    if reason := mismatch(model, make(own.sampler)):
        return sampler, reason
    if own.differs:
        _tell(model.name, own.told, own.differs)
    preset = Preset(
        own.sampler,
        own.levels,
        own.start,
        own.end,
        own.clip,
        own.told,
        own.times,
        model.map_end,
    )
    return sampler.fitted(preset), ""


def _own(sampler: Any, model: Denoiser, steps: int) -> OwnSampling | None:
    """Return what a model's scheduler does, or the one that ``pipeline`` puts in its place."""
    other = sampler.scheduler
    return model.own_sampling(steps, other) if other else model.own_sampling(steps)


def cost_of_its_scheduler(sampler: Any, model: Denoiser) -> Callable[[int], int]:
    """A function that gives the evaluations per sample of ``pipeline`` in a number of steps; a step that
    goes nowhere counts, as it does in the scheduler.
    """

    @cache
    def cost(n: int) -> int:
        try:
            own = _own(sampler, model, n)
        except ValueError:  # that there is nothing to run is told of the cell
            own = None
        says = None if own is None else make(own.sampler).nfe(Grid(own.levels))
        return model.passes * max(n, says or n)

    return cost


@cache
def _tell(model: str, told: str, differs: tuple[str, ...]) -> None:
    log.warning("pipeline on %s is not quite its %s: %s", model, told, "; ".join(differs))
