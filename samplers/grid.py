"""Grids of noise levels, and the schedules that make them. Python floats throughout: a grid never touches a device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


@dataclass(frozen=True)
class Grid:
    """N steps = N intervals = N + 1 noise levels, strictly decreasing; only the last may be 0.

    Attributes:
        sigma: the levels (noise-to-signal standard deviation ratio, dimensionless).

    Raises:
        ValueError: fewer than two levels, a level that is not finite, negative or not below the one before.

    >>> Grid((80.0, 1.0, 0.0)).steps
    2
    """

    sigma: tuple[float, ...]

    def __post_init__(self) -> None:
        levels = tuple(float(s) for s in self.sigma)
        object.__setattr__(self, "sigma", levels)
        if len(levels) < 2:
            raise ValueError(f"a grid needs at least two noise levels, got {levels}")
        if not all(math.isfinite(s) for s in levels):
            raise ValueError(f"noise levels must be finite, got {levels}; start a process without signal at sigma = 1e4")
        if levels[-1] < 0 or any(nxt >= cur for cur, nxt in pairwise(levels)):
            raise ValueError(f"noise levels must fall strictly and stay >= 0, got {levels}")

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.sigma) - 1

    @property
    def steps(self) -> int:
        """Number of steps (intervals)."""
        return len(self)

    @property
    def lam(self) -> tuple[float, ...]:
        """``-log(sigma)`` of each level; ``inf`` where sigma is 0."""
        return tuple(-math.log(s) if s > 0 else math.inf for s in self.sigma)

    @property
    def to_zero(self) -> bool:
        """Whether the last level is 0."""
        return self.sigma[-1] == 0

    def intervals(self) -> list[tuple[float, float]]:
        """The pairs (cur, nxt), one a step."""
        return list(pairwise(self.sigma))


class Process(Protocol):
    """The part of a noising process that a schedule needs (see ``models.process``)."""

    def level(self, t: float, /) -> float:
        """sigma(t) / alpha(t)."""
        ...

    def t_of(self, level: float, /) -> float:
        """The t at which the process has this level."""
        ...


def _spaced(n: int, lo: float, hi: float, to_zero: bool, at: Callable[[float], float]) -> Grid:
    """``n`` steps from ``hi`` down: ``at(u)`` is the level at u in [0, 1]; with ``to_zero`` the last step goes from ``lo`` to 0."""
    if n < 1:
        raise ValueError(f"a grid needs at least 1 step, got {n}")
    if not 0 < lo < hi:
        raise ValueError(f"need 0 < sigma_min < sigma_max, got sigma_min={lo} and sigma_max={hi}")
    last = n - 1 if to_zero else n
    inner = [at(i / last) for i in range(1, last)]
    ends = ([lo] if last > 0 else []) + ([0.0] if to_zero else [])
    return Grid((hi, *inner, *ends))


def karras(n: int, sigma_min: float, sigma_max: float, *, rho: float = 7.0, to_zero: bool = True) -> Grid:
    """Levels uniform in sigma^(1/rho): Karras et al. 2022 (arXiv:2206.00364), eq. (5).

    Args:
        n: number of steps.
        sigma_min: last positive level.
        sigma_max: first level.
        rho: larger puts more steps at low noise; the limit of large rho is :func:`uniform_lambda`.
        to_zero: the last step goes from ``sigma_min`` to 0; the other ``n - 1`` span the range. ``n = 1`` is (sigma_max, 0).

    >>> karras(1, 0.002, 80.0).sigma
    (80.0, 0.0)
    """
    if rho <= 0:
        raise ValueError(f"rho must be positive, got {rho}")
    lo, hi = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _spaced(n, sigma_min, sigma_max, to_zero, lambda u: (hi + u * (lo - hi)) ** rho)


def uniform_lambda(n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
    """Levels uniform in lam = -log(sigma), "logSNR": Lu et al. 2022 (arXiv:2206.00927), section 3.2. Arguments as :func:`karras`."""
    return _spaced(n, sigma_min, sigma_max, to_zero, lambda u: sigma_max * (sigma_min / sigma_max) ** u)


def uniform_time(n: int, sigma_min: float, sigma_max: float, *, process: Process, power: float = 1.0, to_zero: bool = True) -> Grid:
    """Levels uniform in t^(1/power), where t is the native time of ``process``; power 2 is the quadratic schedule of DDIM.

    Ho et al. 2020 (arXiv:2006.11239) and Song et al. 2021 (arXiv:2010.02502, appendix D.2). Arguments as :func:`karras`.
    """
    if power <= 0:
        raise ValueError(f"power must be positive, got {power}")
    first, last = process.t_of(sigma_max) ** (1 / power), process.t_of(sigma_min) ** (1 / power)
    return _spaced(n, sigma_min, sigma_max, to_zero, lambda u: process.level((first + u * (last - first)) ** power))
