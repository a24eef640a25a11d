"""Schedules searched on a model's own trajectories, once per model: GITS, and equal errors of all Euler steps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.denoiser import Denoiser
from ...samplers import GridSampler, NoNoise, SampleNoise, Source, integrate, karras, make
from ...samplers.schedules import schedule
from ...samplers.schedules.optimised import Equalised, Searched, euler_costs
from ..sampling.counting import Meter
from .cache import cached_result, search_key

SEARCH_IDS = 2**30
"""First sample number of schedule searches: no scored or converged sample has one."""

_SEED = 0
_VERSION = 1  # raised when the same options would give other costs


@schedule(
    Source(
        "chen2024gits",
        "Alg. 1 and section 4",
        "https://arxiv.org/abs/2405.11326v1",
        (
            "A jump costs the Euclidean distance of an Euler step from the teacher's "
            "state; the authors' code prefers deviations.",
            "Trajectories start from latents with fixed numbers, which no scored sample "
            "uses; the authors' code draws random ones.",
            "To 0, the last step goes from sigma_min to 0 and is not searched; nor is an "
            "analytical first step.",
        ),
    ),
    needs_model=True,
)
def gits(
    *, teacher: str = "ipndm", teacher_steps: int = 64, latents: int = 64, weight: float = 1.15
) -> GitsSearch:
    """The levels of a fine karras grid that dynamic programming finds cheapest on the model's own trajectories.

    Args:
        teacher: the deterministic sampler on a fixed grid that gives the trajectories.
        teacher_steps: its steps from sigma_max to sigma_min, >= 2; the search can use at most as many.
        latents: how many trajectories, >= 1.
        weight: > 0; a jump counts ``weight`` times more than the one before. The authors' coefficient.

    Raises:
        ValueError: an option out of range, or another kind of teacher.
    """
    return GitsSearch(teacher=teacher, teacher_steps=teacher_steps, latents=latents, weight=weight)


@dataclass(frozen=True, kw_only=True)
class GitsSearch:
    """Options of a search (see :func:`gits`); its schedule's name is for messages."""

    teacher: str
    teacher_steps: int
    latents: int
    weight: float
    name: str = "gits"

    def __post_init__(self) -> None:
        if self.teacher_steps < 2 or self.latents < 1 or not self.weight > 0:
            raise ValueError(
                f"{self.name} needs teacher_steps >= 2, latents >= 1 and weight > 0, got {self.teacher_steps}, "
                f"{self.latents} and {self.weight}"
            )
        solver = make(self.teacher)
        if not isinstance(solver, GridSampler) or solver.stochastic:
            raise ValueError(
                f"{self.name}: teacher {self.teacher!r} must be a deterministic "
                "sampler on a fixed grid, such as ipndm"
            )

    def on(self, model: Denoiser, cache: Path | None = None, device: str = "cpu") -> Searched:
        """Return the costs of a model on ``device``, from the cache folder if they are there; raise ValueError if the
        teacher's trajectories are not finite.
        """
        # the costs do not depend on it
        key = {k: v for k, v in asdict(self).items() if k not in ("weight", "name")}
        key |= search_key(model, cache, device, _SEED, _VERSION)
        stored = cached_result(cache, "gits", key, lambda: self._measure(model, device))
        return Searched(
            tuple(stored["levels"]), np.array(stored["cost"]), self.weight, stored["evaluations"]
        )

    @torch.no_grad()
    def _measure(self, model: Denoiser, device: str) -> dict[str, Any]:
        """Measure the fine grid, the cost of every jump on it, and all evaluations."""
        grid = karras(self.teacher_steps, model.sigma_min, model.sigma_max, to_zero=False)
        ids = torch.arange(SEARCH_IDS, SEARCH_IDS + self.latents, device=device)
        meter = Meter()
        bound = meter.attach(model).bind(ids, _SEED)
        x = model.sigma_max * SampleNoise(_SEED, ids, model.event, model.dtype).initial()
        states: list[Tensor] = [x]
        teacher = make(self.teacher)
        assert isinstance(teacher, GridSampler)  # as __post_init__ has seen to

        def keep(_i: int, _level: float, state: Tensor) -> None:
            states.append(state)

        integrate(teacher, bound, x, grid, NoNoise(), on_step=keep)
        slopes = [
            (state - bound(state, level)) / level
            for state, level in zip(states[:-1], grid.sigma, strict=False)
        ]
        cost = euler_costs(states, slopes, grid.sigma)
        if not np.isfinite(cost).all():
            raise ValueError(
                f"{self.name}: the trajectories of {self.teacher} on model "
                f"{model.name} are not finite; choose another teacher"
            )
        return {"levels": list(grid.sigma), "cost": cost.tolist(), "evaluations": meter.rows}


@schedule(
    Source(
        "chen2024gits",
        "section 4, cost of a jump",
        "https://arxiv.org/abs/2405.11326v1",
        (
            "The paper minimises the sum of the costs; here the largest is as small as can be, "
            "the classical equidistribution of the local error.",
            "Errors are measured on the teacher's path and not carried on to its end.",
            "To 0, the last step goes from sigma_min to 0 and is not searched.",
        ),
    ),
    needs_model=True,
)
def equal_error(
    *, teacher: str = "ipndm", teacher_steps: int = 64, latents: int = 64
) -> EqualErrorSearch:
    """The levels of a fine karras grid between which Euler steps, each from the model's own trajectory, err as
    equally as can be.

    The options are those of :func:`gits`, but for the weight.

    Raises:
        ValueError: as :func:`gits`.
    """
    options = {"teacher_steps": teacher_steps, "latents": latents}
    return EqualErrorSearch(teacher=teacher, **options, weight=1.0, name="equal_error")


@dataclass(frozen=True, kw_only=True)
class EqualErrorSearch(GitsSearch):
    """Options of a search (see :func:`equal_error`), with the costs of ``gits``, which both share in the cache."""

    def on(self, model: Denoiser, cache: Path | None = None, device: str = "cpu") -> Equalised:
        """Return the search on a model, as :meth:`GitsSearch.on`."""
        search = super().on(model, cache, device)
        return Equalised(search.levels, search.cost, search.weight, search.evaluations, self.name)
