"""Styles of samplers in all figures: colour by family, symbol by method, dash by order.

A style depends only on the sampler's name and origin, so that a sampler looks the same everywhere.
The reader's own samplers (plugins) have the most vivid colour, and are drawn thicker and on top.
Colours differ by at least 0.07 in OKLab for readers with protanopia, deuteranopia and tritanopia.
Their contrast to the page is at least 3 on white and 4.5 on the dark page.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32


class Family(NamedTuple):
    """Family of methods that share a hexadecimal colour: ``colour``, or ``dark`` on a dark page.

    ``methods`` are prefixes of sampler names after removal of digits. Each method has a symbol.
    """

    name: str
    colour: str
    dark: str
    methods: tuple[str, ...] = ()


class Style(NamedTuple):
    """Style of a sampler in figures.

    Attributes:
        symbol: Plotly's name of the marker. It ends with ``-open`` for a ``_published`` variant,
            and for methods after the tenth of a family.
        dash: Plotly's name of the line style (:data:`DASHES`).
        own: True for a plugin's sampler, to be drawn thicker and on top.
    """

    family: str
    colour: str
    dark: str
    symbol: str
    dash: str
    own: bool = False


OWN = Family("Your own (plugins)", "#c300ff", "#ff00c3")
"""Family of samplers that are neither built in nor from another library."""

OTHERS = Family("Other libraries", "#8f8978", "#9f9884")

FAMILIES = (
    OWN,
    Family("Euler, DDIM", "#2c2d32", "#e8edf0", ("euler", "ddim", "torchdiffeq_euler")),
    Family(
        "Heun, Runge–Kutta",
        "#b07c10",
        "#f0c03f",
        (
            *("heun", "dpm", "deis_rrk", "stork", "torchdiffeq_heun", "torchdiffeq_midpoint"),
            *("torchdiffeq_rk", "paradigms", "rk_midpoint", "rk_heun", "rk_ralston", "rk_ssp"),
            *("rk_three_eighths", "rk_dormand_prince", "heunpp", "flow_time"),
        ),
    ),
    Family(
        "DPM-Solver",
        "#259ed5",
        "#a4dbff",
        ("dpm_solver_m", "dpm_solver", "dpm_solver_fast", "zeab", "reab", "dpm_solver_v"),
    ),
    Family(
        "DPM-Solver++",
        "#074ca2",
        "#2c94dd",
        (
            *("dpmpp_m", "dpmpp_s", "res_m", "res_s", "xeab", "dpmpp", "etdrk", "etdrk_krogstad"),
            *("etdrk_strehmel_weiner", "etdrk_friedli", "etdrk_minchev", "etdrk_lawson"),
            *("etdrk_hochbruck_ostermann", "etdrk_thirds", "skip"),
        ),
    ),
    Family("UniPC", "#8b3eca", "#b69cff", ("unipc", "pec", "pecec")),
    Family(
        "Adams–Bashforth",
        "#0a795c",
        "#4dcb8e",
        (
            *("ipndm", "deis_tab", "deis_rhoab", "lms", "plms", "pndm", "zab", "vab", "deis"),
            "gradient_estimation",
        ),
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
"""Families, in the order in which legends list them."""

SYMBOLS = (
    *("circle", "square", "diamond", "triangle-up", "x"),
    *("star", "pentagon", "cross", "hexagon", "triangle-down"),
)
"""Plotly's names of symbols, by the index of a method in its family."""

DASHES = {"": "solid", "1": "dot", "2": "solid", "3": "dash", "4": "dashdot", "5": "longdash"}
"""Plotly's line by the first digit (mostly the order) in a name; other digits: longdashdot."""

VARIANT = "_published"
"""Suffix of the names of variants that follow the published code of a method."""


def style(sampler: str, origin: str = "") -> Style:
    """Return the style of a sampler, the same in every figure.

    Args:
        sampler: registry name, or another library's (``diffusers:UniPCMultistepScheduler``).
        origin: column ``origin`` of the table; "" for a built-in sampler. A name that fits no
            family counts as a plugin's or, with a colon, as another library's.

    >>> style("dpmpp_3m")
    Style(family='DPM-Solver++', colour='#074ca2', dark='#2c94dd', symbol='circle', dash='dash', own=False)
    """
    family, place = _family_and_position(sampler, origin)
    digit = re.search(r"\d", sampler)
    if family.methods:
        dash = DASHES.get(digit[0] if digit else "", "longdashdot")
    else:
        dash = tuple(DASHES.values())[crc32(sampler.encode()) % len(DASHES)]
    is_open = sampler.endswith(VARIANT) or place >= len(SYMBOLS)
    symbol = SYMBOLS[place % len(SYMBOLS)] + "-open" * is_open
    return Style(family.name, family.colour, family.dark, symbol, dash, family is OWN)


def _family_and_position(sampler: str, origin: str) -> tuple[Family, int]:
    """Return a sampler's family, and its method's index there (a hash for an unknown method)."""
    # the method without its order: dpmpp_m_sde for dpmpp_2m_sde
    stem = re.sub(r"_+", "_", re.sub(r"\d", "", sampler.removesuffix(VARIANT))).strip("_")
    matches = [
        (len(method), family, place)
        for family in FAMILIES
        for place, method in enumerate(family.methods)
        if f"{stem}_".startswith(f"{method}_")
    ]
    if origin or not matches:
        return (OTHERS if ":" in sampler else OWN), crc32(sampler.encode()) % len(SYMBOLS)
    _, family, place = max(matches, key=lambda match: match[0])
    return family, place
