"""Translation of rows of published FIDs to sampler, schedule and end of the grid, if possible.

A row is run as its source ran it. Two families of sources state enough for that:

* the repository diff-sampler, whose tables papers repeat. Grids end at sigma_min. Its README
  and launch scripts name each solver's grid, which is used if a paper does not state it;
* arXiv:2404.14507 (Align Your Steps), with a last step to 0 as in its quick-start guide.

If a source counts an odd number of evaluations for a method with two a step that ends at sigma_min,
its first stage was analytic. Methods with coefficients or levels learned for one network are
excluded, and so are methods whose source does not state their settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from samplerbench.benchmarks.suites import format_spec
from samplerbench.results.published import GRIDS, Published

from . import authors  # noqa: F401 - makes the authors' variants known

End = Literal["zero", "sigma_min"]

DIFF_SAMPLER = (
    "diff-sampler (arXiv:2312.00094)",
    "arXiv:2312.00094",
    "arXiv:2405.11326",
    "arXiv:2507.14797",
)
"""Sources whose tables come from the repository diff-sampler."""

AYS = ("arXiv:2404.14507",)


@dataclass(frozen=True)
class Method:
    """Sampling method of a paper, as sampler and schedule of this library.

    Attributes:
        name: name in the study's tables.
        sampler: spec of the sampler.
        schedule: spec of the schedule.
        end: end of the grid.
        plain: spec of the sampler without the thresholding of the authors' code; None if that has
            none.
    """

    name: str
    sampler: str
    schedule: str
    end: End
    plain: str | None = None

    def sampler_for(self, *, thresholded: bool) -> str:
        """Return the sampler's spec, with the thresholding of the authors' code or without."""
        return self.sampler if thresholded or self.plain is None else self.plain


@dataclass(frozen=True)
class _Solver:
    """Solver of the diff-sampler family.

    Attributes:
        sampler: name of the sampler.
        grid: published table's name of the grid, if a source does not state it.
        afs: name of the sampler with an analytic first step; "" for none.
        plain: as in :class:`Method`.
    """

    sampler: str
    grid: str = "polynomial rho=7"
    afs: str = ""
    plain: str | None = None


_DPMPP = _Solver(
    "authors_dpmpp_3m", "logSNR", plain=format_spec({"name": "dpmpp_3m_published", "last": [2, 1]})
)
_UNIPC = _Solver("authors_unipc_3", "logSNR", plain="unipc_3_published")

FAMILY: Mapping[str, _Solver] = {
    "Euler": _Solver("euler"),
    "DDIM": _Solver("euler"),
    "Heun": _Solver("heun", afs="authors_heun_afs"),
    "DPM-Solver-2": _Solver("dpm_2", afs="authors_dpm_2_afs"),
    "DPM-Solver++(3M)": _DPMPP,
    "UniPC-3": _UNIPC,
    "UniPC": _UNIPC,
    "DEIS-tAB3": _Solver("deis_tab_4", "quadratic time"),
    "iPNDM-4": _Solver("ipndm"),
    "iPNDM": _Solver("ipndm"),
    "iPNDM_v-4": _Solver("ipndm_v_published"),
}
"""Solvers of diff-sampler by published name. DEIS-tAB3 has degree 3 there, that is four points."""

TITLES = {"DDIM": "Euler", "iPNDM": "iPNDM-4", "UniPC": "UniPC-3"}
"""Name of a method in the study, by its other published names."""

PLAIN: Mapping[str, str] = {
    "DDIM": "euler",
    "DPM-Solver++(2M)": "dpmpp_2m",
    "SDE-DPM-Solver++(2M)": "dpmpp_2m_sde",
    "Stochastic DDIM": "ddpm",
    "ER-SDE-Solver-1": "er_sde_1",
    "ER-SDE-Solver-2": "er_sde_2",
    "ER-SDE-Solver-3": "er_sde_3_published",
}
"""Samplers by their names in the tables of Align Your Steps."""

LEFT_OUT = {
    "its levels or coefficients were learned or searched for one network": (
        "AMED-Solver",
        "AMED-Plugin",
        "AMED-Plugin (iPNDM)",
        "AMED-Plugin (DPM-Solver-2)",
        "AdaSDE",
        "DPM-Plugin",
        "EPD-Solver",
        "EPD-Plugin",
        "DPM-Solver-v3",
        "EVODiff",
        "SDM",
        "S4S-Alt",
        "Differentiable Solver Search",
        "GGDM+PRED",
    ),
    "parallel evaluations are counted once": ("ParaDiGMS",),
}
"""Solvers that cannot be run as published, by the reason."""

UNSAID = "its source does not say grid, end or first step"


def method_of(row: Published) -> Method | None:
    """Return a row's method; None if it cannot be run as its source ran it."""
    if not row.nfe:
        return None
    if row.paper in AYS:
        return _plain_method(row)
    if row.paper in DIFF_SAMPLER and row.end != "zero":
        return _method_of_family(row)
    return None


def why_not_runnable(row: Published) -> str:
    """Return the reason why a row has no method here."""
    return next((why for why, solvers in LEFT_OUT.items() if row.solver in solvers), UNSAID)


def _method_of_family(row: Published) -> Method | None:
    solver, grid = FAMILY.get(row.solver), row.grid
    if solver is None:
        return None
    grid = grid or solver.grid
    two_stages = bool(solver.afs)
    first = row.afs == "yes" or (two_stages and int(row.nfe) % 2 == 1)
    if first and not two_stages:
        return None
    title = TITLES.get(row.solver, row.solver)
    return Method(
        name=f"{title}, {grid}{', analytic first step' if first else ''}, to sigma_min",
        sampler=solver.afs if first else solver.sampler,
        schedule=GRIDS[grid],
        end="sigma_min",
        plain=solver.plain,
    )


def _plain_method(row: Published) -> Method | None:
    sampler = PLAIN.get(row.solver)
    if sampler is None or row.grid not in GRIDS:
        return None
    title = TITLES.get(row.solver, row.solver)
    return Method(f"{title}, {row.grid}, to 0", sampler, GRIDS[row.grid], "zero")


def suite_axes(methods: Iterable[Method], *, thresholded: bool) -> dict[str, Any]:
    """Return the axes of a suite whose product contains the methods."""
    chosen = sorted(methods, key=lambda method: method.name)
    return {
        "samplers": list(dict.fromkeys(m.sampler_for(thresholded=thresholded) for m in chosen)),
        "schedules": list(dict.fromkeys(m.schedule for m in chosen)),
        "end": list(dict.fromkeys(m.end for m in chosen)),
    }
