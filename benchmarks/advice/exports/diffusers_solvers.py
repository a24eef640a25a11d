"""Schedulers of diffusers that take the very steps of a sampler, with their settings.

The library lowers orders at the end of a run by flags, some of which depend on the number of steps. So a
sampler's orders on a grid are compared with the orders that each combination of flags gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from ....models.checkpoints.diffusers.preset import DPM, SHORT
from ....samplers import Grid, Sampler
from .configured import configured
from .coordinates import Kind

_DPM = "DPMSolverMultistepScheduler"
_UNIPC = "UniPCMultistepScheduler"
_FLOW = "FlowMatchEulerDiscreteScheduler"
_BY_DPM = {name: key for key, name in reversed(DPM.items())} | {
    "dpmpp_2m_sde(solver_type='heun')": ("sde-dpmsolver++", 2, "heun")
}
"""Our samplers to algorithm, order and, where it matters, solver of its multistep scheduler."""
_BY_UNIPC = {f"unipc_{p}{end}": p for p in (1, 2, 3) for end in ("", "_published")}


class Scheduler(NamedTuple):
    """A scheduler with settings.

    Attributes:
        name: its class.
        settings: what ``from_config`` is given.
        generator: whether its steps take a generator of noise.
    """

    name: str
    settings: dict[str, Any]
    generator: bool = True


def draws_like_ours(sampler: Sampler) -> bool:
    """Return True if a stochastic sampler is one of the library's own multistep SDE solvers."""
    key = _key(sampler)
    return key is not None and key[0].startswith("sde")


def own_scheduler(sampler: Sampler, grid: Grid, kind: Kind) -> Scheduler | None:
    """Return the scheduler that takes a sampler's steps on a grid; None where the library has none."""
    if kind == "edm":
        return None
    key, canonical = _key(sampler), configured(sampler)
    if key is not None:
        return _of_dpm(key, sampler, grid, kind)
    if canonical is None or canonical.name not in _BY_UNIPC or "analytic_first" in canonical.ends:
        return None
    return _of_unipc(_BY_UNIPC[canonical.name], canonical.options, sampler, grid, kind)


def _key(sampler: Sampler) -> Any:
    """Return algorithm, order and solver of the multistep scheduler that a sampler is; None if it is not."""
    canonical = configured(sampler)
    if canonical is None or set(canonical.ends) - {"first", "last"}:
        return None
    eta_1 = {k: v for k, v in canonical.options.items() if k != "solver_type"}
    if eta_1:
        return None
    solver = canonical.options.get("solver_type")
    return _BY_DPM.get(
        canonical.name if solver is None else f"{canonical.name}(solver_type={solver!r})"
    )


def _of_dpm(key: Any, sampler: Sampler, grid: Grid, kind: Kind) -> Scheduler | None:
    algorithm, order, *solver = key
    if order == 1 and kind == "flow" and algorithm == "dpmsolver++":
        return Scheduler(_FLOW, {"shift": 1.0, "use_dynamic_shifting": False})
    if algorithm == "dpmsolver" and (grid.to_zero or kind == "flow"):
        return None  # not a number in the step to 0, and no flow
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
            return Scheduler(_DPM, settings)
    return None


def _dpm_orders(grid: Grid, order: int, lowered: bool, euler: bool) -> list[int]:
    """Return the orders of the multistep scheduler's steps."""
    n = len(grid)
    orders = [min(i + 1, order) for i in range(n)]
    short = lowered and n < SHORT
    if short and n > 1:
        orders[-2] = min(orders[-2], 2)
    if short or euler or grid.to_zero:
        orders[-1] = 1
    return orders


def _of_unipc(
    order: int, options: dict[str, Any], sampler: Sampler, grid: Grid, kind: Kind
) -> Scheduler | None:
    data, variant = options.get("prediction", "data") == "data", options.get("variant", "bh2")
    if grid.to_zero and not (data and variant == "bh2"):
        return None  # not a number in the step to 0
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
            return Scheduler(_UNIPC, settings, generator=False)
    return None


def orders_of(sampler: Any, grid: Grid) -> list[int]:
    """Return the orders of a sampler's steps; 1 where it has no history."""
    return list(sampler.profile(grid)) if hasattr(sampler, "profile") else [1] * len(grid)


def names() -> Iterator[str]:
    """Yield our samplers that one of the library's schedulers equals, on some grids at least."""
    yield from _BY_DPM
    yield from _BY_UNIPC
