"""Names that papers give our samplers and schedules: the one table of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..record import Record
from ..values import text


@dataclass(frozen=True)
class Solver:
    """A sampler of ours under a name of the papers.

    Attributes:
        sampler: registry name.
        name: column ``solver`` of the published table.
        options: non-default options with which it is the papers' method.
        exact: whether it is another method with other options, and not to be compared then.
        remark: in what it differs from what the papers ran; "" if in nothing that is known.
    """

    sampler: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    remark: str = ""


_ORDERS = "the papers' code lowers the order in the last steps"
_FACTOR = "the papers' code lacks a factor 2 in the third-order term, ours has it"
_NOT_SAID = "the source does not say which variant"
_TAB = "the source does not say whether its 3 is the degree or the number of points"

SOLVERS = (
    Solver("euler", "Euler"),
    Solver("euler", "DDIM"),
    Solver("ddim", "Euler", exact=True),
    Solver("ddim", "DDIM", exact=True),
    Solver("ddim", "Stochastic DDIM", {"eta": 1.0}, exact=True),
    Solver("dpm_solver_1", "DDIM"),
    Solver("ddpm", "Stochastic DDIM"),
    Solver("euler_ancestral", "Stochastic DDIM"),
    Solver("heun", "Heun"),
    Solver("torchdiffeq_heun2", "Heun"),
    Solver("edm_stochastic", "EDM stochastic"),
    Solver("dpm_2", "DPM-Solver-2"),
    Solver("dpm_solver_2", "DPM-Solver-2"),
    Solver("dpm_solver_2", "DPM-Solver", remark=_NOT_SAID),
    Solver("dpm_solver_3", "DPM-Solver", remark=_NOT_SAID),
    Solver("dpm_solver_fast", "DPM-Solver", remark=_NOT_SAID),
    Solver("dpmpp_2m", "DPM-Solver++(2M)"),
    Solver("dpmpp_2m", "DPM-Solver++", remark=_NOT_SAID),
    Solver("dpmpp_3m_published", "DPM-Solver++(3M)", {"last": [2, 1]}),
    Solver("dpmpp_3m", "DPM-Solver++(3M)", {"last": [2, 1]}, remark=_FACTOR),
    Solver("dpmpp_2m_sde", "SDE-DPM-Solver++(2M)"),
    Solver("unipc_3_published", "UniPC-3"),
    Solver("unipc_3_published", "UniPC", remark=_NOT_SAID),
    Solver("unipc_2_published", "UniPC", remark=_NOT_SAID),
    Solver("unipc_3", "UniPC-3", remark=_ORDERS),
    Solver("deis_tab_3", "DEIS-tAB3", remark=_TAB),
    Solver("deis_tab_4", "DEIS-tAB3", remark=_TAB),
    Solver("deis_tab_3", "DEIS", remark=_NOT_SAID),
    Solver("deis_tab_4", "DEIS", remark=_NOT_SAID),
    Solver("ipndm", "iPNDM-4"),
    Solver("ipndm", "iPNDM"),
    Solver(
        "zab_4",
        "iPNDM_v-4",
        remark="from the third step on the papers' code has other weights than "
        "Adams-Bashforth's for unequal steps",
    ),
    Solver("er_sde_1", "ER-SDE-Solver-1"),
    Solver("er_sde_2", "ER-SDE-Solver-2"),
    Solver("er_sde_3_published", "ER-SDE-Solver-3"),
    Solver("er_sde_3", "ER-SDE-Solver-3", remark="its slope is the parabola's, not the secant's"),
    Solver("paradigms", "ParaDiGMS"),
    Solver("restart", "Restart"),
    Solver("sa_solver", "SA-Solver"),
    Solver("rk45", "RK45"),
    Solver("scipy_rk45", "RK45"),
)
"""Entries of one sampler stand together by method. A method of the papers that is not here, such as
a learned one, has no sampler of ours.
"""

GRIDS = {
    "polynomial rho=7": "karras",
    "logSNR": "uniform_lambda",
    "uniform time": "uniform_time",
    "quadratic time": "quadratic_time",
    "AYS": "align_your_steps",
    "GITS": "gits",
}
"""Column ``grid`` of the published table to the schedule, at its default options."""


def options_of(row: Record) -> dict[str, Any]:
    """The non-default options of a row's sampler."""
    try:
        options = json.loads(text(row, "params") or "{}")
    except (ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}


def solvers_of(row: Record) -> list[Solver]:
    """The papers' names of a row's sampler; none if no paper of the table has it."""
    options = {k: v for k, v in options_of(row).items() if k != "analytic_first"}
    return [
        solver
        for solver in SOLVERS
        if solver.sampler == text(row, "sampler")
        and not (solver.exact and options != solver.options)
    ]
