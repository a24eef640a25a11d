"""Configurations to compare: samplers of fixed cost, their options, schedules, order of trial.

A configuration that was fitted to a model is a cell with a :class:`FittedSchedule`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, NamedTuple

from ... import samplers
from ...samplers import Grid, Sampler
from ...samplers.families.tabulated import Table, TableRow, Tabulated, tabulate, why_not_tabulable
from ...samplers.spec import canonical_json, parse_spec
from ..planning.native import NATIVE
from ..suites.cell import Cell
from .answer import TUNED_LEVELS

BATCH = 64
"""Batch size of configurations and of the reference solver."""
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
    """Return True for a sampler that races try.

    It is of this package and deterministic. It is not adaptive, no alias, not coupled over the
    batch, and not in :data:`EXCLUDED`.
    """
    if samplers.origin(name) or name.startswith(EXCLUDED):
        return False
    sampler = samplers.make(name)
    return not (sampler.adaptive or sampler.stochastic or sampler.batch_coupled or sampler.same_as)


def variants(name: str) -> list[dict[str, Any]]:
    """Return the specs of a sampler with all valid combinations of :data:`OPTIONS`."""
    keys = sorted({f.name for f in fields(samplers.get(name))} & set(OPTIONS))
    specs = []
    for values in product(*(OPTIONS[key] for key in keys)):
        spec = {"name": name, **dict(zip(keys, values, strict=True))}
        with suppress(ValueError):  # not a valid combination
            samplers.make(spec)
            specs.append(spec)
    return specs


def is_stochastic_candidate(spec: Any) -> bool:
    """Return True if stochastic and of fixed cost, but not batch-coupled, an alias or for maps."""
    s = samplers.make(parse_spec(spec))
    has_fixed_cost = not s.adaptive and s.nfe(TRIAL_GRID) is not None
    return (
        bool(s.stochastic) and has_fixed_cost and not (s.same_as or s.for_maps or s.batch_coupled)
    )


def usual_first_key(cell: Cell) -> tuple[int, int, int]:
    """Return a sort key: fewest options first, then usual schedules, then usual samplers."""
    name, schedule = cell.sampler.name, cell.schedule.label
    place = FIRST_SCHEDULES.index(schedule) if schedule in FIRST_SCHEDULES else len(FIRST_SCHEDULES)
    return len(cell.params), place, FIRST.index(name) if name in FIRST else len(FIRST)


class FittedNumbers(NamedTuple):
    """Noise levels from sigma_max to 0, and a table of coefficients, None for the sampler's own."""

    levels: tuple[float, ...]
    table: Table | None

    @classmethod
    def of(cls, sampler: Sampler, grid: Grid) -> FittedNumbers:
        """Return a grid's levels, and the table of a :class:`.Tabulated` sampler or else None."""
        return cls(grid.sigma, sampler.table if isinstance(sampler, Tabulated) else None)

    @classmethod
    def read(cls, levels: Sequence[float], rows: Sequence[Sequence[float]]) -> FittedNumbers:
        """Read levels and :attr:`rows` from JSON values. Without rows, ``table`` is None."""
        table = tuple(TableRow(a, tuple(b)) for a, *b in rows)
        return cls(tuple(levels), table or None)

    @property
    def rows(self) -> list[list[float]]:
        """Each step's weights: of the state, then of images, newest first; [] without a table."""
        return [[row.a, *row.b] for row in self.table or ()]


@dataclass(frozen=True)
class FittedSchedule:
    """Schedule of a fitted cell, as a label and a digest of its levels and coefficients.

    ``label`` is :data:`.TUNED_LEVELS` if levels were fitted. If not, it is the label of the cell's schedule, or ""
    for a sampler that sets its own levels.
    """

    label: str
    digest: str

    def facts(self, n: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the digest as ``tuning_digest``, for the key of a cell."""
        return {"tuning_digest": self.digest}

    def without_search_results(self) -> FittedSchedule:
        """Return the schedule itself, which has no search results."""
        return self


def tuned_cell(cell: Cell, numbers: FittedNumbers) -> Cell:
    """Return a cell with fitted levels and coefficients in place of its own."""
    digest = hashlib.sha256(canonical_json([numbers.levels, numbers.rows]).encode()).hexdigest()[:8]
    sampler, grid = resolve_levels(cell.sampler, cell.grid) if cell.grid else (cell.sampler, None)
    if numbers.table is not None:
        sampler = Tabulated(stands_for=_without_search_results(cell.sampler), table=numbers.table)
    is_own_grid = grid is not None and grid.sigma == numbers.levels
    label = ("" if cell.sampler.own_grid else cell.schedule.label) if is_own_grid else TUNED_LEVELS
    grid, schedule = Grid(numbers.levels), FittedSchedule(label, digest)
    return replace(cell, sampler=sampler, grid=grid, steps=len(grid), schedule=schedule)


def resolve_levels(sampler: Sampler, grid: Grid) -> tuple[Sampler, Grid]:
    """Return a sampler and a grid that take the same steps.

    A sampler that sets its own levels becomes its table of weights on them, if it has one. Others are unchanged.
    """
    if not (sampler.own_grid and hasattr(sampler, "method")):
        return sampler, grid
    levels, method = sampler.levels(grid), sampler.method(grid)  # type: ignore[attr-defined]
    if why_not_tabulable(method, levels):
        return sampler, grid
    bare = _without_search_results(sampler)
    return Tabulated(stands_for=bare, table=tabulate(method, levels)), levels


def _without_search_results(sampler: Sampler) -> Sampler:
    return replace(sampler, found=None) if getattr(sampler, "found", None) else sampler  # type: ignore[call-arg]
