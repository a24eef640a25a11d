"""Configurations to compare: samplers of fixed cost, their options, schedules, order of trial."""

from __future__ import annotations

from dataclasses import fields
from itertools import product
from typing import Any

from ... import samplers
from ...samplers import Grid
from ...samplers.spec import parse_spec
from ..planning.native import NATIVE
from ..suites.cell import Cell

SCHEDULES = (
    "karras(rho=4.0)",
    "karras",
    "karras(rho=15.0)",
    "uniform_lambda",
    "uniform_time",
    "uniform_time(power=2.0)",
)
FLOW_SCHEDULES = (
    *("uniform_time(process='flow')", "flow_shift(shift=2.0)", "flow_shift(shift=3.0)"),
    "beta57(table='flow')",
)

OPTIONS: dict[str, tuple[Any, ...]] = {
    "analytic_first": (False, True),
    "deferred": (False, True),
    "through_zero": (False, True),
    "prediction": ("data", "noise"),
    "variant": ("bh1", "bh2"),
    "method": ("heun", "dpm_2", "dpmpp_2m", "ipndm", "ipndm_v_published", "xeab_2"),
}
"""Values to try for options of samplers, by the name of the option."""

EXCLUDED = (
    *("torchdiffeq_", "scipy_", "torchsde_", "paradigms", "auto"),
    *("etdrk_", "rk_", "pec_", "pecec_", "heunpp2", "skip"),
)
"""Prefixes of samplers not tried: other libraries, copies, ``auto``, ``skip``, many stages."""
IN_FLOW_TIME = "flow_time"
"""Sampler that is tried on flows only."""

FIRST = (
    "dpmpp_2m", "unipc_2", "ipndm", "deis_tab_3", "unipc_3", "dpmpp_3m_published", "euler", "heun",
    "dpm_solver_2m", "zab_3", "zeab_2", "ipndm_3", "deis_tab_2", "xeab_2", "reab_2", "warped_ab_2",
    "dpm_2", "dpm_solver_2", "zab_4", "unipc_3_published",
)  # fmt: skip
"""Samplers to try first: the usual ones of libraries, the best of results/reference/frontier."""
FIRST_SCHEDULES = (NATIVE, "karras", "uniform_lambda", "uniform_time")
TRIAL_GRID = Grid((80.0, 1.0, 0.0))


def is_candidate(name: str) -> bool:
    """Return False for external, stochastic, adaptive, coupled, alias and ``EXCLUDED`` samplers."""
    sampler = samplers.make(name)
    own = not samplers.origin(name) and not name.startswith(EXCLUDED)
    return own and not (
        sampler.adaptive or sampler.stochastic or sampler.batch_coupled or sampler.same_as
    )


def variants(name: str) -> list[dict[str, Any]]:
    """Return the specs of a sampler with all valid combinations of :data:`OPTIONS`."""
    keys = sorted({f.name for f in fields(samplers.get(name))} & set(OPTIONS))
    specs = []
    for values in product(*(OPTIONS[key] for key in keys)):
        spec = {"name": name, **dict(zip(keys, values, strict=True))}
        try:
            samplers.make(spec)
        except ValueError:  # not a valid combination
            continue
        specs.append(spec)
    return specs


def is_stochastic_candidate(spec: Any) -> bool:
    """Return True for stochastic samplers of fixed cost; False for coupled, alias, map samplers."""
    s = samplers.make(parse_spec(spec))
    free = s.adaptive or s.same_as or s.for_maps or s.batch_coupled
    return bool(s.stochastic) and s.nfe(TRIAL_GRID) is not None and not free


def usual_first_key(cell: Cell) -> tuple[int, int, int]:
    """Return a sort key that puts plain and usual configurations first."""
    name, schedule = cell.sampler.name, cell.schedule.label
    place = FIRST_SCHEDULES.index(schedule) if schedule in FIRST_SCHEDULES else len(FIRST_SCHEDULES)
    return len(cell.params), place, FIRST.index(name) if name in FIRST else len(FIRST)
