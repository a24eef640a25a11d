"""The look of each curve of a report: its sampler's, and for a second curve of the same sampler a variant of its marker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ..palette import FAMILIES, style

VARIANTS = ("", "-open", "-dot", "-open-dot")
"""Endings of Plotly's markers."""


class Look(NamedTuple):
    """How a curve is drawn.

    Attributes:
        family: index in :data:`..palette.FAMILIES`, and of the CSS colour ``--family-N``.
        symbol, dash: Plotly's names of marker and line.
    """

    family: int
    symbol: str
    dash: str


def looks(curves: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """A look for every curve of a report.

    Args:
        curves: pairs (curve, sampler) of all plots together, so that a curve looks the same in each.
    """
    names = [family.name for family in FAMILIES]
    result: dict[str, Look] = {}
    seen: Counter[str] = Counter()
    for curve, sampler in sorted(set(curves)):
        own = style(sampler)
        symbol = own.symbol.removesuffix("-open") + VARIANTS[seen[sampler] % len(VARIANTS)] if seen[sampler] else own.symbol
        result[curve] = Look(names.index(own.family), symbol, own.dash)
        seen[sampler] += 1
    return result


def family_css() -> str:
    """The families' colours as CSS variables, for a light page and a dark one."""
    return "".join(f"--family-{index}:light-dark({family.colour},{family.dark});" for index, family in enumerate(FAMILIES))
