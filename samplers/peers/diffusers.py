"""Schedulers of diffusers, called in a loop as its pipelines do.

``sigmas`` and ``timesteps`` are set by hand, in float64: a timestep is the level, on flows 1000
times the flow's time. ``set_timesteps`` would round to training times or to float32. A table of
training times is given one entry for each level of evaluation.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, ClassVar, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from ..grid import Grid
from ..types import Source
from .base import Peer, PeerBatch, define_peer
from .locate import import_installed, version_of_package

TABLE = ("DDIM", "DDPM", "PNDM")
"""Schedulers that index a table of training times."""
TWICE = (
    *("HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete", "DPMSolverSDE"),
    "FlowMatchHeunDiscrete",
)
"""Schedulers that evaluate twice a step, and once in the step to 0."""
FLOW = (
    *("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete", "FlowMatchLCM", "FlowMapEulerDiscrete"),
    "LTXEulerAncestralRF",
)
"""Schedulers of flows, on states (1 - t) x0 + t z, for a network that predicts z - x0."""


class SchedulerCoordinates(NamedTuple):
    """Relation of a scheduler's states, timesteps and network output to ours.

    Attributes:
        scale: factor from our state to the scheduler's, as a function of our level.
        levels: our noise level of each of the scheduler's timesteps.
        output: function (denoised image d, the scheduler's state, level) to the network output.
    """

    scale: Callable[[float], float]
    levels: Sequence[float]
    output: Callable[[Tensor, Tensor, float], Tensor]


def set_scheduler_levels(scheduler: Any, kind: str, grid: Grid) -> SchedulerCoordinates:
    """Set our levels in a scheduler after ``set_timesteps(len(grid))``; return its coordinates.

    ``kind`` is the name of its class without "Scheduler".

    Raises:
        ValueError: the scheduler can only end at 0, and the grid does not.
    """
    if kind in TABLE:
        return _place_training_times(scheduler, grid)
    if kind == "IPNDM":
        return _place_ipndm(scheduler, grid)
    evaluated = list(grid.sigma[:-1])
    scheduler.sigmas = _as_tensor(grid.sigma)
    if kind in TWICE:
        if not grid.to_zero:
            raise ValueError(f"diffusers' {kind}Scheduler always steps to 0; use end = zero")
        evaluated = _place_interleaved(scheduler, kind, grid)
    scheduler.timesteps = _as_tensor(evaluated)
    if kind in FLOW:
        scheduler.sigmas = scheduler.sigmas / (1 + scheduler.sigmas)
        scheduler.timesteps = 1000.0 * scheduler.timesteps / (1 + scheduler.timesteps)
        return SchedulerCoordinates(lambda s: 1 / (1 + s), evaluated, _flow_output)
    output = _direction_output
    if kind.startswith(("EDM", "Cosine")):
        output = partial(_edm_raw_output, scheduler.config.sigma_data)
    elif hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        return SchedulerCoordinates(_vp_alpha, evaluated, _noise_output)
    return SchedulerCoordinates(lambda _: 1.0, evaluated, output)


def _place_interleaved(scheduler: Any, kind: str, grid: Grid) -> list[float]:
    """Set the levels of a scheduler that evaluates twice a step; return all levels evaluated."""
    sigma = _as_tensor(grid.sigma)
    down = _place_ancestral(scheduler, sigma) if kind == "KDPM2AncestralDiscrete" else sigma[1:]
    scheduler.sigmas = torch.cat([sigma[:1], sigma[1:].repeat_interleave(2), sigma[-1:]])
    second = torch.exp((sigma[:-1].log() + down.log()) / 2)
    if kind.endswith("HeunDiscrete"):
        second = down
    second[-1] = 0.0
    if kind == "KDPM2Discrete":
        scheduler.sigmas_interpol = torch.cat([sigma[:1], second.repeat_interleave(2), sigma[-1:]])
    elif kind == "KDPM2AncestralDiscrete":
        scheduler.sigmas_interpol = torch.cat([second.repeat_interleave(2), sigma[-1:]])
    pairs = [level for pair in zip(grid.sigma[:-1], second.tolist(), strict=True) for level in pair]
    return pairs[:-1]


def _place_ancestral(scheduler: Any, sigma: Tensor) -> Tensor:
    """Set ``sigmas_up`` and ``sigmas_down`` of an ancestral scheduler; return levels ``down``."""
    up = (sigma[1:] ** 2 * (sigma[:-1] ** 2 - sigma[1:] ** 2) / sigma[:-1] ** 2).sqrt()
    down = (sigma[1:] ** 2 - up**2).sqrt()
    zero = sigma.new_zeros(1)
    scheduler.sigmas_up = torch.cat([up.repeat_interleave(2), zero])
    scheduler.sigmas_down = torch.cat([down.repeat_interleave(2), zero])
    return down


def _place_training_times(scheduler: Any, grid: Grid) -> SchedulerCoordinates:
    """Replace a scheduler's training times by our levels; return its coordinates."""
    alphas = _as_tensor([_vp_alpha(s) ** 2 for s in grid.sigma])
    scheduler.alphas_cumprod = alphas[:-1].flip(0)
    scheduler.final_alpha_cumprod = scheduler.one = alphas[-1]
    rising = grid.sigma[-2::-1]
    levels = [rising[int(t)] for t in scheduler.timesteps]
    return SchedulerCoordinates(_vp_alpha, levels, _noise_output)


def _place_ipndm(scheduler: Any, grid: Grid) -> SchedulerCoordinates:
    """Set IPNDM's ``alphas``, ``betas`` (alpha sigma) and timesteps; return its coordinates."""
    scheduler.alphas = _as_tensor([_vp_alpha(s) for s in grid.sigma])
    scheduler.betas = _as_tensor([_vp_alpha(s) * s for s in grid.sigma])
    scheduler.timesteps = _as_tensor(grid.sigma[:-1])
    return SchedulerCoordinates(_vp_alpha, grid.sigma[:-1], _velocity_output)


def _direction_output(d: Tensor, x: Tensor, s: float) -> Tensor:
    return (x - d) / s


def _noise_output(d: Tensor, x: Tensor, s: float) -> Tensor:
    """Return the noise eps of x = alpha (d + s eps)."""
    return (x / _vp_alpha(s) - d) / s


def _velocity_output(d: Tensor, x: Tensor, s: float) -> Tensor:
    """Return the velocity alpha eps - alpha s d of x = alpha (d + s eps)."""
    return _vp_alpha(s) * (_noise_output(d, x, s) - s * d)


def _flow_output(d: Tensor, x: Tensor, s: float) -> Tensor:
    """Return the velocity z - x0 of x = (1 - t) x0 + t z, with t = s / (1 + s)."""
    return (x - d) * ((1 + s) / s)


def _edm_raw_output(sigma_data: float, d: Tensor, x: Tensor, s: float) -> Tensor:
    """Return the raw output F of EDM's d = c_skip x + c_out F."""
    total = s * s + sigma_data**2
    return (d - sigma_data**2 / total * x) * math.sqrt(total) / (s * sigma_data)


def _vp_alpha(sigma: float) -> float:
    """Return the scale of variance-preserving states at level ``sigma``."""
    return 1 / math.sqrt(1 + sigma * sigma)


def _as_tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LIBRARY = "diffusers"
_SOURCE = Source(
    "vonplaten2022diffusers",
    "schedulers",
    "https://github.com/huggingface/diffusers",
    deviations=(
        "the scheduler's sigmas and timesteps are those of our grid, in float64, set "
        "after set_timesteps",
        "options that make levels or training times are not offered: the grid says them",
        "DEISMultistepScheduler and SASolverScheduler, which give NaN in a step to 0, "
        "stop at the last positive level, and then x <- d",
        "PNDMScheduler starts without Runge-Kutta steps (skip_prk_steps), which need "
        "training times between the grid's levels",
        "SASolverScheduler's tau_func is a constant, the field tau, since its default is "
        "a window of training times",
        "the churn of flow schedulers is not offered: FlowMatchEulerDiscreteScheduler ignores it, and "
        "FlowMatchHeunDiscreteScheduler adds noise without less of the signal, which leaves the flow's path",
    ),
)

SCHEDULERS = (
    *TWICE,
    *TABLE,
    "EulerDiscrete",
    "EulerAncestralDiscrete",
    "LMSDiscrete",
    "DPMSolverMultistep",
    "DPMSolverSinglestep",
    "DEISMultistep",
    "UniPCMultistep",
    "SASolver",
    "EDMEuler",
    "EDMDPMSolverMultistep",
    "IPNDM",
    *(kind for kind in FLOW if kind not in TWICE),
    "CosineDPMSolverMultistep",
)
"""Schedulers that can take a grid, without the suffix "Scheduler"."""
_NOT_OFFERED = {
    "self",
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_flow_sigmas",
    "flow_shift",
    "lambda_min_clipped",
    "timestep_spacing",
    "steps_offset",
    "rescale_betas_zero_snr",
    "interpolation_type",
    "timestep_type",
    "sigma_min",
    "sigma_max",
    "sigma_data",
    "sigma_schedule",
    "rho",
    "final_sigmas_type",
    "use_dynamic_shifting",
    "shift",
    "base_shift",
    "max_shift",
    "base_image_seq_len",
    "max_image_seq_len",
    "invert_sigmas",
    "scale_factors",
    "upscale_mode",
    "time_shift_type",
    "shift_terminal",
    "set_alpha_to_one",
    "noise_sampler_seed",
    "tau_func",
    "solver_p",
    "skip_prk_steps",
    "use_lu_lambdas",
    "clip_sample",
    "clip_sample_range",
}
_CANNOT_REACH_ZERO = ("DEISMultistep", "SASolver")
_NOISY = ("Ancestral", "DDPM", "DPMSolverSDE", "LCM", "Cosine")
"""Parts of names of schedulers that always draw noise, except where an option eta decides."""
_STEP_OPTIONS = {
    "eta",
    "order",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "use_clipped_model_output",
}


@dataclass(frozen=True, kw_only=True)
class DiffusersScheduler(Peer):
    """Scheduler of diffusers on our levels; fields are options of its class and of its ``step``."""

    always_noise: ClassVar[bool]
    step_options: ClassVar[tuple[str, ...]]

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        amounts = ("eta", "s_churn", "tau", "stochastic_sampling")
        is_sde = str(getattr(self, "algorithm_type", "")).startswith("sde")
        return self.always_noise or is_sde or any(getattr(self, key, 0) for key in amounts)

    def run(self, batch: PeerBatch, x: Tensor, levels: Tensor) -> Tensor:
        grid = Grid(tuple(levels.tolist()))
        scheduler = self._make_scheduler(grid)
        coordinates = set_scheduler_levels(scheduler, self.kind, grid)
        if hasattr(scheduler, "noise_sampler"):
            scheduler.noise_sampler = batch.draw
        extra = {key: self.options[key] for key in self.step_options}
        x = x * coordinates.scale(grid.sigma[0])
        with batch.replace_torch_noise():
            steps = zip(scheduler.timesteps, coordinates.levels, strict=True)
            for i, (t, level) in enumerate(steps):
                if self.kind not in FLOW:
                    scheduler.scale_model_input(x, t)
                d = batch.denoised(x / coordinates.scale(level), level)
                batch.step = i // 2 if self.kind in TWICE else i
                x = scheduler.step(coordinates.output(d, x, level), t, x, **extra).prev_sample
        return x / coordinates.scale(grid.sigma[-1])

    @property
    def kind(self) -> str:
        """Name of the class without "Scheduler"."""
        return self.target.removesuffix("Scheduler")

    def _make_scheduler(self, grid: Grid) -> Any:
        cls = getattr(load_library(self.name), self.target)
        takes = inspect.signature(cls.__init__).parameters
        options = {
            key: list(v) if isinstance(v, tuple) else v
            for key, v in self.options.items()
            if key in takes
        }
        fixed = {
            "final_sigmas_type": "zero" if grid.to_zero else "sigma_min",
            "clip_sample": False,
            "skip_prk_steps": True,
            "tau_func": lambda _: getattr(self, "tau", 0.0),
        }
        options |= {key: value for key, value in fixed.items() if key in takes}
        if self.kind in TABLE:
            options["num_train_timesteps"] = len(grid)
        if self.kind == "CosineDPMSolverMultistep":
            options["prediction_type"] = "epsilon"
        with _silence_diffusers():
            scheduler = cls(**options)
            scheduler.set_timesteps(len(grid))
        return scheduler


@contextlib.contextmanager
def _silence_diffusers() -> Iterator[None]:
    logger = logging.getLogger("diffusers")
    with warnings.catch_warnings(), mock.patch.object(logger, "level", logging.ERROR):
        warnings.simplefilter("ignore")
        yield


def load_library(name: str) -> ModuleType:
    """Return the module ``diffusers.schedulers``; an error without it names the peer ``name``."""
    return import_installed(name, "diffusers.schedulers")


def names() -> list[str]:
    """Return the names of the schedulers of the installed diffusers that can take a grid."""
    known = dir(load_library(LIBRARY))  # not hasattr, which would import each scheduler
    return sorted(name for kind in SCHEDULERS if (name := f"{kind}Scheduler") in known)


def make_class(name: str) -> type[Peer]:
    """Return the :class:`Peer` subclass ``diffusers:SCHEDULER``, with its options as fields."""
    target = name.partition(":")[2]
    cls = getattr(load_library(name), target)
    takes = inspect.signature(cls.__init__).parameters
    options = {key: p.default for key, p in takes.items() if key not in _NOT_OFFERED}
    takes = inspect.signature(cls.step).parameters
    kind = target.removesuffix("Scheduler")
    offered = () if kind in FLOW else _STEP_OPTIONS
    steps = {key: p.default for key, p in takes.items() if key in offered}
    if target == "SASolverScheduler":
        options["tau"] = 1.0
    return define_peer(
        DiffusersScheduler,
        name,
        {**options, **steps},
        source=_SOURCE,
        origin=version_of_package(LIBRARY),
        steps_to_zero=kind not in _CANNOT_REACH_ZERO,
        step_options=tuple(steps),
        always_noise="eta" not in options and any(word in target for word in _NOISY),
    )
