"""Styles of samplers in all figures: a colour for the family, a symbol for the method, a dash for
the order.

A pure function of the sampler's name and origin, so that a sampler looks the same in every plot of
every report. A sampler of the reader's own, a plugin, is what the figure was made for: it has the
most vivid colour, and is drawn thicker and on top of the others. The colours stay apart for readers
with protanopia, deuteranopia and tritanopia (at least 0.07 in OKLab) and from the page (contrast at
least 3 on white, 4.5 on the dark page). Symbols and dashes carry what colour alone must not.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32


class Family(NamedTuple):
    """Methods that share a colour, hexadecimal on a white page and on a dark one.

    ``methods`` are beginnings of names, without their digits; each has a symbol of its own.
    """

    name: str
    colour: str
    dark: str
    methods: tuple[str, ...] = ()


class Style(NamedTuple):
    """Style of a sampler in figures.

    Attributes:
        symbol: Plotly's name of the marker; ``-open`` for a variant of a method.
        dash: Plotly's name of the line: solid for order 2 and where the name gives none, dotted for
            order 1.
        own: True for the reader's own, to be drawn thicker and on top.
    """

    family: str
    colour: str
    dark: str
    symbol: str
    dash: str
    own: bool = False


OWN = Family("Your own (plugins)", "#c300ff", "#ff00c3")
"""Samplers that are neither built in nor another library's."""

OTHERS = Family("Other libraries", "#8f8978", "#9f9884")

FAMILIES = (
    OWN,
    Family("Euler, DDIM", "#2c2d32", "#e8edf0", ("euler", "ddim", "torchdiffeq_euler")),
    Family(
        "Heun, Runge–Kutta",
        "#b07c10",
        "#f0c03f",
        (
            "heun",
            "dpm",
            "deis_rrk",
            "stork",
            "torchdiffeq_heun",
            "torchdiffeq_midpoint",
            "torchdiffeq_rk",
            "paradigms",
        ),
    ),
    Family(
        "DPM-Solver",
        "#259ed5",
        "#a4dbff",
        ("dpm_solver_m", "dpm_solver", "dpm_solver_fast", "zeab", "reab"),
    ),
    Family(
        "DPM-Solver++",
        "#074ca2",
        "#2c94dd",
        ("dpmpp_m", "dpmpp_s", "res_m", "res_s", "xeab", "dpmpp"),
    ),
    Family("UniPC", "#8b3eca", "#b69cff", ("unipc",)),
    Family(
        "Adams–Bashforth",
        "#0a795c",
        "#4dcb8e",
        ("ipndm", "deis_tab", "deis_rhoab", "lms", "plms", "pndm", "zab", "vab", "deis"),
    ),
    Family(
        "Stochastic",
        "#c83126",
        "#fe7b3d",
        (
            *("ddpm", "euler_ancestral", "euler_churn", "euler_maruyama", "edm_stochastic"),
            *("dpm_ancestral", "dpmpp_m_sde", "consistency", "dpmpp_sde", "dpmpp_s_ancestral"),
            *("er_sde", "seeds", "sa_solver", "restart", "reverse_diffusion"),
            "predictor_corrector",
        ),
    ),
    Family("Adaptive", "#842c3f", "#bb627e", ("rk", "dpm_solver_adaptive", "scipy", "torchdiffeq")),
    Family("Auto", "#d939a6", "#ff90cd", ("auto", "warped_ab")),
    OTHERS,
)
"""Families in the order of legends."""

SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "x",
    "star",
    "pentagon",
    "cross",
    "hexagon",
    "triangle-down",
)
"""Plotly's names of symbols, by a method's place in its family."""

DASHES = {"": "solid", "1": "dot", "2": "solid", "3": "dash", "4": "dashdot", "5": "longdash"}
"""The first digit of a name, mostly its order, and Plotly's name of the line.

All others are ``longdashdot``.
"""

VARIANT = "_published"
"""End of the name of a variant of a method."""


def style(sampler: str, origin: str = "") -> Style:
    """Return the style of a sampler, the same in every figure.

    Args:
        sampler: registry name, or another library's (``diffusers:UniPCMultistepScheduler``).
        origin: where a sampler that is not built in comes from, as in the table. Where it is not
            known, a name of no family is taken for a plugin's.

    >>> style("dpmpp_3m")
    Style(family='DPM-Solver++', colour='#074ca2', dark='#2c94dd', symbol='circle', dash='dash', own=False)
    """
    kin, place = _family_and_position(sampler, origin)
    digit = re.search(r"\d", sampler)
    if kin.methods:
        dash = DASHES.get(digit[0] if digit else "", "longdashdot")
    else:
        dash = tuple(DASHES.values())[crc32(sampler.encode()) % len(DASHES)]
    is_open = sampler.endswith(VARIANT) or place >= len(SYMBOLS)
    symbol = SYMBOLS[place % len(SYMBOLS)] + "-open" * is_open
    return Style(kin.name, kin.colour, kin.dark, symbol, dash, kin is OWN)


def _family_and_position(sampler: str, origin: str) -> tuple[Family, int]:
    """Return the family with the longest matching prefix, and its index there; else by a hash."""
    # dpmpp_2m_sde is dpmpp_m_sde: the method without its order
    stem = re.sub(r"_+", "_", re.sub(r"\d", "", sampler.removesuffix(VARIANT))).strip("_")
    matches = [
        (len(method), kin, place)
        for kin in FAMILIES
        for place, method in enumerate(kin.methods)
        if f"{stem}_".startswith(f"{method}_")
    ]
    if origin or not matches:
        return (OTHERS if ":" in sampler else OWN), crc32(sampler.encode()) % len(SYMBOLS)
    _, kin, place = max(matches, key=lambda match: match[0])
    return kin, place
