"""Grids of noise levels, as Python floats: a grid never touches a device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Grid:
    """Grid of N steps: N + 1 noise levels, strictly decreasing, of which only the last may be 0.

    Attributes:
        sigma: the levels: standard deviations of the noise in x = x0 + sigma z.

    Raises:
        ValueError: there are fewer than two levels, or a level is negative, not finite, or not
            below the level before it.

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
            raise ValueError(
                f"noise levels must be finite, got {levels}; start a process "
                "without signal at sigma = 1e4"
            )
        if levels[-1] < 0 or any(nxt >= cur for cur, nxt in pairwise(levels)):
            raise ValueError(f"noise levels must fall strictly and stay >= 0, got {levels}")

    def __len__(self) -> int:
        """Return the number of steps."""
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
    def positive(self) -> tuple[float, ...]:
        """Levels above 0."""
        return tuple(s for s in self.sigma if s > 0)

    @property
    def to_zero(self) -> bool:
        """True if the last level is 0."""
        return self.sigma[-1] == 0

    def intervals(self) -> list[tuple[float, float]]:
        """Return the pairs (cur, nxt) of neighbouring levels, one a step."""
        return list(pairwise(self.sigma))


def as_grid(levels: Any) -> Grid:
    """Return ``levels``, a list, array or tensor, as a grid; a Grid is returned unchanged.

    >>> as_grid([80.0, 1.0, 0.0])
    Grid(sigma=(80.0, 1.0, 0.0))

    Raises:
        ValueError: ``levels`` is no flat list of numbers, or they make no valid :class:`Grid`.
    """
    if isinstance(levels, Grid):
        return levels
    # all numbers of a tensor leave its device at once
    values = levels.tolist() if hasattr(levels, "tolist") else levels
    if not isinstance(values, list | tuple) or not all(isinstance(value, Real) for value in values):
        is_tensor = hasattr(levels, "shape")
        shape = f"a tensor of shape {tuple(levels.shape)}" if is_tensor else repr(levels)
        raise ValueError(
            "a grid is a Grid, or a list or tensor of falling noise levels "
            f"such as [80.0, 1.0, 0.0]; got {shape}"
        )
    return Grid(tuple(values))


def check_range(n: int, sigma_min: float, sigma_max: float) -> None:
    """Raise a ValueError if ``n`` < 1 or if 0 < ``sigma_min`` < ``sigma_max`` does not hold."""
    if n < 1:
        raise ValueError(f"a grid needs at least 1 step, got {n}")
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"need 0 < sigma_min < sigma_max, got sigma_min={sigma_min} and sigma_max={sigma_max}"
        )


def spaced(
    n: int, sigma_min: float, sigma_max: float, to_zero: bool, at: Callable[[float], float]
) -> Grid:
    """Return a grid of ``n`` steps from ``sigma_max`` down, with the inner levels ``at(i / m)``.

    ``at`` is a falling function from u in (0, 1) to a level; it is not called for the two ends.
    Without ``to_zero``, m = ``n`` steps end at ``sigma_min``. With it, m = ``n`` - 1 steps end
    there and a last one goes to 0; for ``n`` = 1 the grid is (sigma_max, 0).

    Raises:
        ValueError: see :func:`check_range`.
    """
    check_range(n, sigma_min, sigma_max)
    last = n - 1 if to_zero else n
    inner = [at(i / last) for i in range(1, last)]
    ends = ([sigma_min] if last > 0 else []) + ([0.0] if to_zero else [])
    return Grid((sigma_max, *inner, *ends))
