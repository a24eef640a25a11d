"""Targets of tuning: a sampler for a number of steps, on a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...models import Denoiser
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import untabulable
from ...samplers.spec import label_of
from ..planning.budget import cost_of, steps_within
from ..planning.schedules import make_schedule
from ..planning.tuned.entry import What
from ..planning.tuned.schedule import untunable
from ..planning.tuned.spacing import MOST_STEPS


class Target(NamedTuple):
    """Sampler to tune for a number of steps."""

    sampler: Sampler
    steps: int

    @property
    def label(self) -> str:
        """Sampler as the command line writes it."""
        return label_of(self.sampler)


MOST_TABULATED = 30
"""Steps of a table: as many denoised images are kept, and its numbers grow with their square."""


def check(target: Target, what: What = "grid") -> None:
    """Refuse what has no levels to tune, or no coefficients.

    Raises:
        ValueError: the sampler is stochastic, adaptive, or has levels of its own, or the one step
            is the jump; where coefficients are tuned, it is no linear method of one evaluation a
            step, or the steps are too many.
    """
    if reason := untunable(target.sampler):
        raise ValueError(
            f"sampler {target.label} cannot be tuned: it {reason}; give a "
            "deterministic sampler on a fixed grid, such as heun"
        )
    if target.steps > MOST_STEPS:
        raise ValueError(
            f"{target.steps} steps of {target.label} are too many to tune; give at most {MOST_STEPS}"
        )
    if target.steps < 2:
        raise ValueError(f"one step of {target.label} has no level to tune; give more")
    if what == "grid":
        return
    if target.steps > MOST_TABULATED:
        raise ValueError(
            f"coefficients of {target.steps} steps of {target.label} are too many to tune; give at "
            f"most {MOST_TABULATED} steps, or --what grid"
        )
    levels = Grid((*(2.0**-i for i in range(target.steps)), 0.0))
    if reason := untabulable(target.sampler, levels):
        raise ValueError(
            f"sampler {target.label} has no coefficients to tune: it {reason}; give a multistep "
            "method such as dpmpp_2m, or --what grid"
        )


def targets_of(
    samplers: Sequence[Any],
    model: Denoiser,
    steps: Sequence[int] | None,
    budgets: Sequence[int] | None,
    what: What = "grid",
) -> list[Target]:
    """Return each sampler once for each number of steps, or for the most steps that each budget buys.

    Raises:
        ValueError: what is no target (:func:`check`), or a budget that buys no step.
    """
    karras = make_schedule("karras")
    targets: dict[Target, None] = {}
    for sampler in samplers:
        for size in steps or budgets or ():
            # an adaptive sampler is refused below, with the reason
            fits = sampler.adaptive or steps is not None
            count = size if fits else steps_within(size, cost_of(model, sampler, karras, "zero"))
            if count is None:
                raise ValueError(
                    f"--nfe {size}: one step of {sampler.name} costs more; give a larger budget"
                )
            target = Target(sampler, count)
            check(target, what)
            targets[target] = None
    return list(targets)
