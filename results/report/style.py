"""The look of each curve of a report: its sampler's, and for a second curve of the same sampler a variant of its marker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..palette import FAMILIES, style

VARIANTS = ("", "-open", "-dot", "-open-dot")
"""Endings of Plotly's markers."""


class Look(NamedTuple):
    """How a curve is drawn.

    Attributes:
        family: index in :data:`..palette.FAMILIES`, and of the CSS colour ``--family-N``.
        symbol, dash: Plotly's names of marker and line.
        own: whether its sampler is the reader's own: drawn thicker and on top.
    """

    family: int
    symbol: str
    dash: str
    own: bool = False


def looks(curves: Iterable[tuple[str, str]], origins: Mapping[str, str] | None = None) -> dict[str, Look]:
    """A look for every curve of a report.

    Args:
        curves: pairs (curve, sampler) of all plots together, so that a curve looks the same in each.
        origins: where samplers that are not built in come from, by name.
    """
    names = [family.name for family in FAMILIES]
    result: dict[str, Look] = {}
    seen: Counter[str] = Counter()
    for curve, sampler in sorted(set(curves)):
        usual = style(sampler, (origins or {}).get(sampler, ""))
        symbol = usual.symbol.removesuffix("-open") + VARIANTS[seen[sampler] % len(VARIANTS)] if seen[sampler] else usual.symbol
        result[curve] = Look(names.index(usual.family), symbol, usual.dash, usual.own)
        seen[sampler] += 1
    return result


def family_css() -> str:
    """The families' colours as CSS variables, for a light page and a dark one."""
    return "".join(f"--family-{index}:light-dark({family.colour},{family.dark});" for index, family in enumerate(FAMILIES))
