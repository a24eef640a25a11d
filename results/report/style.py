"""One look for each sampler in every plot: a colour for its family, a marker and a dash for itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FAMILIES = {
    "Euler and DDIM": ("euler", "ddim"),
    "Heun": ("heun", "deis_rrk"),
    "DPM-Solver": ("dpm_solver", "dpm_2", "zeab"),
    "DPM-Solver++": ("dpmpp", "dpm_pp", "xeab", "res"),
    "Linear multistep": ("ipndm", "deis", "unipc", "lms", "plms", "pndm", "zab", "vab", "reab", "stork", "warped", "auto"),
    "Stochastic": (
        "ddpm",
        "euler_maruyama",
        "euler_ancestral",
        "euler_churn",
        "edm_stochastic",
        "dpm_2_ancestral",
        "dpmpp_sde",
        "dpmpp_2m_sde",
        "dpmpp_3m_sde",
        "dpmpp_2s_ancestral",
        "er_sde",
        "seeds",
        "sa_solver",
        "restart",
        "reverse_diffusion",
        "predictor_corrector",
    ),
    "Adaptive": ("torchdiffeq", "scipy", "rk23", "rk45", "dpm_solver_adaptive"),
}
"""Family: the beginnings of its samplers' names. Those of no family here (plugins) share the last colour."""

OTHER = "Others"
COLOURS = (*FAMILIES, OTHER)
"""Families in the order of the CSS colours ``--family-0``, ``--family-1``, …"""

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "pentagon", "cross", "hexagon", "bowtie")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Look:
    """How a curve is drawn.

    Attributes:
        family: its name in the legend.
        colour: index of the family's colour.
        symbol, dash: Plotly's names of marker and line.
    """

    family: str
    colour: int
    symbol: str
    dash: str


def family(sampler: str) -> str:
    """The family of a sampler, by the longest beginning of its name that is known."""
    matches = [(len(prefix), name) for name, prefixes in FAMILIES.items() for prefix in prefixes if sampler.startswith(prefix)]
    return max(matches)[1] if matches else OTHER


def looks(curves: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """A look for every curve of a report.

    Args:
        curves: pairs (curve, sampler) of all plots together, so that a curve looks the same in each.
    """
    result: dict[str, Look] = {}
    used = dict.fromkeys(COLOURS, 0)
    for curve, sampler in sorted(set(curves)):
        kin = family(sampler)
        rank = used[kin]
        used[kin] += 1
        result[curve] = Look(kin, COLOURS.index(kin), SYMBOLS[rank % len(SYMBOLS)], DASHES[rank % len(DASHES)])
    return result
