"""Explicit Runge-Kutta methods in sigma and exponential ones in lam, from ``tableaux.toml``."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from ..numerics import phi, weighted_sum
from ..types import Source, references
from .stages import Evaluate, LinearStages, Tableau

_TERM = re.compile(r"([+-]?)\s*([\d/]*)\s*(?:phi(\d)(?:\(([\d/]+)\))?)?")
_ADDRESS = re.compile(r"url\s*=\s*\{(.*)\}")
Weight = tuple[tuple[float, int, float], ...]
"""Sum of n phi_m(-c h), as triples (n, m, c); a constant n is n phi_0(0)."""


@dataclass(frozen=True, kw_only=True)
class SigmaRungeKutta(LinearStages):
    """Explicit Runge-Kutta method in sigma.

    With H = nxt - cur, eps_k is evaluated at x + H sum_j a_kj eps_j and cur + c_k H, and x <- x + H
    sum_k b_k eps_k. A stage at c = 1 is evaluated at ``nxt``, without rounding.

    Class attributes:
        c, a, b: its Butcher tableau without the first stage's zeros.
    """

    c: ClassVar[tuple[float, ...]]
    a: ClassVar[tuple[tuple[float, ...], ...]]
    b: ClassVar[tuple[float, ...]]

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state at ``nxt`` by the formulas in the docstring of the class."""
        slopes = [(x - denoise(x, cur)) / cur]
        for c_k, a_k in zip(self.c, self.a, strict=True):
            level = (1 - c_k) * cur + c_k * nxt
            y = x + (nxt - cur) * weighted_sum(a_k, slopes)
            slopes.append((y - denoise(y, level)) / level)
        return x + (nxt - cur) * weighted_sum(self.b, slopes)


def _parse_fractions(text: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, text.split(",")))


def _parse_weight(text: str) -> Weight:
    """Return the triples (:data:`Weight`) of a sum such as ``1/2 phi2(1/2) - phi3 + 1``."""
    found = (match for match in _TERM.findall(text) if match[1] or match[2])
    return tuple(
        (float(Fraction(sign + (n or "1"))), int(m or 0), float(Fraction(c or str(int(bool(m))))))
        for sign, n, m, c in found
    )


def _tableau_function(c: str, a: list[str], b: str) -> Callable[[Any, float], Tableau]:
    """Return the method ``tableau`` of an :class:`.ExponentialRungeKutta` from its formulas."""
    nodes = tuple(map(float, _parse_fractions(c)))
    rows = [tuple(map(_parse_weight, row.split(","))) if row else () for row in (*a, b)]

    def tableau(_: Any, h: float) -> Tableau:
        *stages, result = (
            tuple(math.fsum(n * phi(m, -c * h) for n, m, c in weight) for weight in row)
            for row in rows
        )
        return Tableau(nodes, tuple(stages), result)

    return tableau


def read_tableaux(section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the class attributes of each method in a section of ``tableaux.toml``.

    Args:
        section: "sigma", for :class:`SigmaRungeKutta`, or "exponential", for
            :class:`.ExponentialRungeKutta`.
    """
    file = Path(__file__).parents[1] / "tableaux.toml"
    for name, method in tomllib.loads(file.read_text(encoding="utf-8"))[section].items():
        key, where = method.pop("source")
        address = _ADDRESS.findall(references()[key])[0]
        declared = {"source": Source(key, where, address), "order": int(name[-1])}
        if section == "exponential":
            method = {"tableau": _tableau_function(**method)}
        else:
            rows = [_parse_fractions(row) for row in method["a"]]
            method["c"] = tuple(float(sum(row)) for row in rows)
            method["a"] = tuple(tuple(map(float, row)) for row in rows)
            method["b"] = tuple(map(float, _parse_fractions(method["b"])))
        yield name, declared | method
