"""Schedulers of diffusers that step in x0 + sigma z: Heun, KDPM2 and LMS, for any pipeline.

They scale what the network sees by ``scale_model_input``, which some pipelines never call, and they begin
with noise of standard deviation sigma, which some never make. So the state is kept in the network's units
between the steps, and scaled within them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ....samplers import Grid, Sampler
from .configured import configured
from .coordinates import Coordinates
from .diffusers_solvers import orders_of
from .text import listed

ARGUMENTS = "self, num_inference_steps=None, device=None, timesteps=None, sigmas=None, mu=None"
"""Arguments of every ``set_timesteps``: pipelines check which of them exist."""
_TWICE = {"heun": "HeunDiscreteScheduler", "dpm_2": "KDPM2DiscreteScheduler"}
_ALSO = {"dpm_solver_2": "dpm_2"}
_LMS = ("lms", "zab_1", "zab_2", "zab_3", "zab_4")


class Scaled(NamedTuple):
    """A scheduler on levels.

    Attributes:
        name: its class.
        sigmas: its list of levels.
        evaluated: levels at which the network is called.
        between: KDPM2's second list; empty for the others.
        orders: of LMS's steps; empty for the others.
        steps: its ``num_inference_steps``.
    """

    name: str
    sigmas: tuple[float, ...]
    evaluated: tuple[float, ...]
    between: tuple[float, ...] = ()
    orders: tuple[int, ...] = ()
    steps: int = 0


def scaled_scheduler(sampler: Sampler, grid: Grid, of: Coordinates) -> Scaled | None:
    """Return the scheduler that takes a sampler's steps on a grid; None where none does."""
    canonical = configured(sampler)
    if canonical is None or canonical.options or of.kind != "table":
        return None
    name, levels = _ALSO.get(canonical.name, canonical.name), grid.sigma
    if name in _LMS and not {"analytic_first", "startup"} & set(canonical.ends):
        orders = tuple(orders_of(sampler, grid))
        return Scaled("LMSDiscreteScheduler", levels, levels[:-1], (), orders, len(grid))
    if name not in _TWICE or not grid.to_zero or of.model.prediction == "x0":
        return None
    twice = tuple(level for level in levels[1:-1] for _ in range(2))
    if name == "heun":
        evaluated = (levels[0], *twice)
        return Scaled(_TWICE[name], (*evaluated, 0.0), evaluated, (), (), len(grid))
    middles = [math.sqrt(cur * nxt) for cur, nxt in grid.intervals()]
    pairs = tuple(level for pair in zip(levels, middles, strict=False) for level in pair)
    between = (levels[0], *(level for level in middles for _ in range(2)), 0.0)
    sigmas = (levels[0], *twice, 0.0, 0.0, 0.0)
    return Scaled(_TWICE[name], sigmas, pairs[:-1], between, (), len(grid))


def scaled_lines(scheduler: Scaled, of: Coordinates, start: float) -> list[str]:
    """Return imports, lists and the class; ``start`` is the standard deviation of its noise."""
    lists: dict[str, tuple[Any, ...]] = {
        "SIGMAS": scheduler.sigmas,
        "BETWEEN": scheduler.between,
        "ORDERS": scheduler.orders,
        "TIMESTEPS": tuple(of.time(level) for level in scheduler.evaluated),
    }
    order = "order=ORDERS[self.step_index], " if scheduler.orders else ""
    return [
        "import torch",
        f"from diffusers import {scheduler.name}",
        "from diffusers.schedulers.scheduling_utils import SchedulerOutput",
        "",
        *(listed(name, values) for name, values in lists.items() if values),
        "",
        "",
        f"class OnLevels({scheduler.name}):",
        '    """The scheduler on the levels above, with states in the network\'s units."""',
        "",
        f"    init_noise_sigma = {start!r}",
        "",
        f"    def set_timesteps({ARGUMENTS}):",
        f"        super().set_timesteps({scheduler.steps}, device=device)",
        "        self.sigmas = torch.tensor(SIGMAS)",
        *(["        self.sigmas_interpol = torch.tensor(BETWEEN)"] if scheduler.between else []),
        "        self.timesteps = torch.tensor(TIMESTEPS, device=device)  # what the network is told",
        "        self.set_begin_index(0)",
        "",
        "    def scale_model_input(self, sample, timestep=None):",
        "        return sample",
        "",
        "    def step(self, model_output, timestep, sample, generator=None, return_dict=True):",
        "        x = sample.float()  # not in half precision",
        "        x = x / super().scale_model_input(torch.ones_like(x), timestep)",
        f"        x = super().step(model_output.float(), timestep, x, {order}return_dict=False)[0]",
        "        if self.step_index < len(TIMESTEPS):",
        "            x = super().scale_model_input(x, timestep)",
        "        x = x.to(sample.dtype)",
        "        return SchedulerOutput(prev_sample=x) if return_dict else (x,)",
    ]
