"""The table of published FIDs (``table.csv``), and the papers' names of our samplers."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..text import name_hint
from ..values import Record, text

TABLE = Path(__file__).parent / "table.csv"


@dataclass(frozen=True)
class Published:
    """Published FID and its protocol, as texts; "" for a fact that the source does not state.

    Attributes:
        model: name of the checkpoint, or the beginning of the name that the source states.
        dataset: data of the model, with size and kind.
        solver: the paper's name of the sampler.
        grid: the paper's name of the schedule, normalised.
        nfe: network evaluations per sample.
        depth: sequential evaluations, if the source counts these in place of ``nfe``.
        fid: the FID, with the digits of the source.
        paper, where, url: source, its table or file, and its address.
        samples: number of generated samples.
        seeds: seeds of the samples, or the choice among several sets.
        end: end of the grid, "zero" or "sigma_min".
        labels: "random" class labels, or "none" for an unconditional model.
        quantisation: conversion to 8 bits, "round" or "truncate".
        extractor: origin of the Inception code.
        thresholding: thresholding of data predictions, "dynamic" or "none".
        afs: "yes" if the first step is analytic, "no" if it is not.
        fit: cost of fitting the solver or its schedule to the model, in the source's words and units.
        also: further sources with the same FID.
        remark: further facts that a reader needs.
    """

    model: str
    dataset: str
    solver: str
    grid: str
    nfe: str
    depth: str
    fid: str
    paper: str
    where: str
    url: str
    samples: str
    seeds: str
    end: str
    labels: str
    quantisation: str
    extractor: str
    thresholding: str
    afs: str
    fit: str
    also: str
    remark: str

    @property
    def value(self) -> float:
        """FID as a number."""
        return float(self.fid)

    @property
    def flat(self) -> dict[str, Any]:
        """Fields as JSON values: counts and FID as numbers, None for facts missing in the source."""
        texts = asdict(self)
        counts = {name: int(texts[name]) for name in ("nfe", "depth", "samples") if texts[name]}
        fields = {name: value or None for name, value in texts.items()}
        return {**fields, **counts, "fid": self.value}

    @property
    def rounding(self) -> float:
        """Largest rounding error of the FID: half a unit of its last digit."""
        return 0.5 * 10.0 ** -len(self.fid.partition(".")[2])


@cache
def read_published_rows() -> tuple[Published, ...]:
    """Return all rows of the published table; read once."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(Published(**row) for row in csv.DictReader(file))


def model_names() -> dict[str, str]:
    """Return the names of the models in the published table, sorted, by their casefolded form."""
    return dict(sorted((row.model.casefold(), row.model) for row in read_published_rows()))


def check_model_name(name: str) -> str:
    """Return a model's name in the table's spelling; raise a ValueError if the table lacks it."""
    names = model_names()
    if name.casefold() not in names:
        raise ValueError(
            f"nothing is published here of a model {name!r}; give --published-model "
            f"NAME: {name_hint(name, names.values(), most=len(names))}"
        )
    return names[name.casefold()]


def published_model_of(spec: str) -> str | None:
    """Return the published name of the model or file in a spec; None if nothing is published.

    >>> published_model_of("edm:/data/edm-ffhq-64x64-uncond-vp.pkl"), published_model_of("gmm-2d")
    ('edm-ffhq-64x64-uncond-vp', None)
    """
    names = model_names()
    # the file before its folders
    parts = [spec, *reversed(re.split(r"[/\\:?]", spec))]
    stems = (stem for part in parts for stem in (part, re.sub(r"\.[A-Za-z]+$", "", part)))
    return next((names[stem.casefold()] for stem in stems if stem.casefold() in names), None)


def rows_of_model(name: str) -> list[Published]:
    """Return a model's published rows, including rows that state only the beginning of its name."""
    return [
        row
        for row in read_published_rows()
        if name == row.model or name.startswith(f"{row.model}-")
    ]


@dataclass(frozen=True)
class Solver:
    """One of our samplers under a name of the papers.

    Attributes:
        sampler: registry name of our sampler.
        name: value of ``solver`` in the published table.
        options: non-default options that make the sampler the papers' method.
        exact: True if the sampler with any other options is not comparable.
        remark: known difference from the papers' method; "" if there is none.
    """

    sampler: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    remark: str = ""


_ORDERS = "the papers' code lowers the order in the last steps"
_FACTOR = "the papers' code lacks a factor 2 in the third-order term, ours has it"
_NOT_SAID = "the source does not say which variant"
_BY_NFE = "the papers' code chooses corrector and pseudo-order by the number of evaluations"
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
    Solver("dpm_solver_v3", "DPM-Solver-v3", {"last": [2, 1]}, remark=_BY_NFE),
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
"""Our samplers under the papers' names, grouped by method."""

GRIDS = {
    "polynomial rho=7": "karras",
    "logSNR": "uniform_lambda",
    "uniform time": "uniform_time",
    "quadratic time": "quadratic_time",
    "AYS": "align_your_steps",
    "GITS": "gits",
    "DMN": "dmn",
}
"""Our schedule, with default options, by the value of ``grid`` in the published table."""


def options_of(row: Record) -> dict[str, Any]:
    """Return the non-default options of a row's sampler, from its ``params``."""
    try:
        options = json.loads(text(row, "params") or "{}")
    except (ValueError, RecursionError):
        return {}
    return options if isinstance(options, dict) else {}


def solvers_of(row: Record) -> list[Solver]:
    """Return the entries of :data:`SOLVERS` that fit a row's sampler and options."""
    options = {k: v for k, v in options_of(row).items() if k != "analytic_first"}
    return [
        solver
        for solver in SOLVERS
        if solver.sampler == text(row, "sampler")
        and not (solver.exact and options != solver.options)
    ]
