"""Schedulers of diffusers that take exactly a sampler's steps, and coordinates of pipelines.

Our states are x = x0 + sigma z. The network of a pipeline takes the pipeline's state, which is ``scale`` times x:
alpha x for a variance preserving process, (1 - t) x for a flow, x / sqrt(sigma² + sigma_data²) for EDM.

Flags of a scheduler lower the orders of its last steps. Some flags do so only if there are few steps. So a sampler's
orders on a grid are compared with the orders that each combination of flags gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np

from ....models.adapters import NativeDenoiser, NetworkTime
from ....models.checkpoints.diffusers.preset import DPM, SHORT
from ....models.denoiser import Denoiser, innermost_model
from ....models.process import EDM, Discrete, RectifiedFlow
from ....samplers import Grid, Sampler
from ....samplers.spec import format_spec
from .code_text import product_code, time_code
from .equivalents import name_and_options

Kind = Literal["table", "flow", "edm"]
_EDM_TIME = NetworkTime(of="log_level", scale=0.25)


@dataclass(frozen=True)
class PipelineUnits:
    """Conversion of our states, levels and times to the units of a pipeline.

    ``kind`` is "table" for a network with a table of trained times, "flow" or "edm".
    """

    kind: Kind
    model: NativeDenoiser

    def scale(self, sigma: float) -> float:
        """Return the factor from a state x0 + sigma z to the pipeline's state."""
        if self.kind == "table":
            return 1 / math.hypot(1, sigma)
        if self.kind == "flow":
            return 1 / (1 + sigma)
        return 1 / math.hypot(sigma, self._process.sigma_data)

    def level(self, sigma: float) -> float:
        """Return the level in a scheduler's units: t for a flow, else sigma."""
        return sigma / (1 + sigma) if self.kind == "flow" else sigma

    def time(self, sigma: float) -> float:
        """Return the time that the scheduler gives to the network; for EDM it is ln(sigma) / 4."""
        if self.kind == "edm":
            return math.log(sigma) / 4
        if self.kind == "flow":
            return self.level(sigma) * round(1 / self._process.t_min)
        time = float(self._process.t_of(sigma))
        times = self.model.times
        return time if times is None else float(times[np.abs(times - time).argmin()])

    def denoising_weights(self, sigma: float) -> tuple[float, float]:
        """Return the weights p and q of the clean image d = p x + q output at x = x0 + sigma z."""
        alpha, prediction = self.scale(sigma), self.model.prediction
        if self.kind == "edm":
            data = self._process.sigma_data
            return (data * alpha) ** 2, sigma * data * alpha * self.model.factor
        if prediction == "eps":
            return 1.0, -sigma
        if prediction == "v":
            return alpha**2, -sigma * alpha
        return (alpha, -sigma * alpha) if prediction == "flow" else (0.0, 1.0)

    @property
    def network_call_code(self) -> str:
        """Expression of ``x`` and ``timestep`` that calls a user's ``net`` as the pipeline needs it.

        If ``net`` takes levels, the expression has the level ``sigma`` for ``timestep``. "" means that
        ``net`` can be called as it is.
        """
        if self.kind == "edm" or self.model.time.of != "t":
            if self.kind == "edm" and self.model.time == _EDM_TIME:
                return ""
            level = "sigma.log()" if self.model.time.of == "log_level" else "sigma"
            factor = 1.0 if self.kind == "edm" else self.model.factor  # the steps of EDM include it
            return product_code(factor, f"net(x, {time_code(self.model.time, level)})")
        given = self.time(1.0) / float(self._process.t_of(1.0)) if self.kind == "flow" else 1.0
        time = replace(self.model.time, scale=self.model.time.scale / given)
        code = product_code(self.model.factor, f"net(x, {time_code(time, 'timestep')})")
        return "" if code == "net(x, timestep)" else code

    @property
    def prediction_type(self) -> str:
        """``prediction_type`` of the network in diffusers."""
        if self.kind == "edm":
            return "epsilon" if self.model.factor > 0 else "v_prediction"
        return _WORDS[self.model.prediction]

    @property
    def _process(self) -> Any:
        return self.model.process


_WORDS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample", "flow": "flow_prediction"}


def pipeline_units_of(model: Denoiser) -> PipelineUnits:
    """Return the coordinates of a model; raise ValueError if diffusers has none for it."""
    network = innermost_model(model)
    if not isinstance(network, NativeDenoiser):
        raise ValueError(f"{model.name} is no network of diffusers")
    process, prediction = network.process, network.prediction
    if network.kind == "map":
        raise ValueError(
            f"{model.name} is a few-step map, which this library samples in its own way"
        )
    if isinstance(process, Discrete) and prediction in ("eps", "v", "x0"):
        return PipelineUnits("table", network)
    if isinstance(process, RectifiedFlow) and process.noise_scale == 1 and prediction == "flow":
        return PipelineUnits("flow", network)
    if isinstance(process, EDM) and prediction == "edm" and abs(network.factor) == 1:
        return PipelineUnits("edm", network)
    name = type(process).__name__
    raise ValueError(
        f"diffusers has no scheduler for the process {name} with prediction {prediction}"
    )


SCHEDULERS = ("DDIMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler")
"""Schedulers that users of a pipeline would try next, at the defaults of ``from_config``."""

_BY_DPM = {name: key for key, name in reversed(DPM.items())}
"""Algorithm, order and any solver type of DPMSolverMultistepScheduler, by our samplers."""
_BY_UNIPC = {f"unipc_{p}{end}": p for p in (1, 2, 3) for end in ("", "_published")}


class Scheduler(NamedTuple):
    """Name of a scheduler, ``from_config`` arguments, and whether ``step`` takes a generator."""

    name: str
    settings: dict[str, Any]
    generator: bool = True


def is_multistep_sde(sampler: Sampler) -> bool:
    """Return True if a stochastic sampler is one of the multistep SDE solvers of diffusers."""
    key = _multistep_key(sampler)
    return key is not None and key[0].startswith("sde")


def own_scheduler(sampler: Sampler, grid: Grid, kind: Kind) -> Scheduler | None:
    """Return the scheduler that takes a sampler's steps on a pipeline's states, or None."""
    if kind == "edm":
        return None
    key, canonical = _multistep_key(sampler), name_and_options(sampler)
    if key is not None:
        return _dpm_scheduler(key, sampler, grid, kind)
    if canonical is None or canonical.name not in _BY_UNIPC or "analytic_first" in canonical.ends:
        return None
    return _unipc_scheduler(_BY_UNIPC[canonical.name], canonical.options, sampler, grid, kind)


def _multistep_key(sampler: Sampler) -> Any:
    """Return algorithm, order and any solver type of diffusers' equal multistep solver, or None."""
    canonical = name_and_options(sampler)
    if canonical is None or set(canonical.ends) - {"first", "last"}:
        return None
    return _BY_DPM.get(format_spec({"name": canonical.name, **canonical.options}))


def _dpm_scheduler(key: Any, sampler: Sampler, grid: Grid, kind: Kind) -> Scheduler | None:
    algorithm, order, *solver = key
    if order == 1 and kind == "flow" and algorithm == "dpmsolver++":
        settings = {"shift": 1.0, "use_dynamic_shifting": False}
        return Scheduler("FlowMatchEulerDiscreteScheduler", settings)
    if algorithm == "dpmsolver" and (grid.to_zero or kind == "flow"):
        return None  # its step to 0 gives NaN, and it does not support flows
    for lowered, euler in product((False, True), repeat=2):
        if orders_of(sampler, grid) == _dpm_orders(grid, order, lowered, euler):
            settings = {
                "algorithm_type": algorithm,
                "solver_order": order,
                **({"solver_type": solver[0]} if solver else {}),
                "lower_order_final": lowered,
                "euler_at_final": euler,
                "final_sigmas_type": "zero" if grid.to_zero else "sigma_min",
            }
            return Scheduler("DPMSolverMultistepScheduler", settings)
    return None


def _dpm_orders(grid: Grid, order: int, lowered: bool, euler: bool) -> list[int]:
    """Return the steps' orders with lower_order_final = ``lowered``, euler_at_final = ``euler``."""
    n = len(grid)
    orders = [min(i + 1, order) for i in range(n)]
    short = lowered and n < SHORT
    if short and n > 1:
        orders[-2] = min(orders[-2], 2)
    if short or euler or grid.to_zero:
        orders[-1] = 1
    return orders


def _unipc_scheduler(
    order: int, options: dict[str, Any], sampler: Sampler, grid: Grid, kind: Kind
) -> Scheduler | None:
    data, variant = options.get("prediction", "data") == "data", options.get("variant", "bh2")
    if grid.to_zero and not (data and variant == "bh2"):
        return None  # its step to 0 gives NaN
    if kind == "flow" and not data:
        return None
    n = len(grid)
    for lowered in (True, False):
        orders = [min(i + 1, order, n - i if lowered else order) for i in range(n)]
        if orders_of(sampler, grid) == orders:
            settings = {
                "solver_order": order,
                "solver_type": variant,
                "predict_x0": data,
                "lower_order_final": lowered,
                "disable_corrector": [] if options.get("corrector", True) else list(range(n)),
                "final_sigmas_type": "zero" if grid.to_zero else "sigma_min",
            }
            return Scheduler("UniPCMultistepScheduler", settings, generator=False)
    return None


def orders_of(sampler: Any, grid: Grid) -> list[int]:
    """Return the orders of a sampler's steps on a grid; 1 for a sampler without history."""
    return list(sampler.profile(grid)) if hasattr(sampler, "profile") else [1] * len(grid)
