"""A coordinate on noise levels, between a power of sigma and one of log(sigma), and grids of equal
steps in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..grid import Grid


@dataclass(frozen=True)
class Warp:
    """g(sigma) = log(1 + (sigma / scale)^power)^exponent: a power of sigma below ``scale``, a power
    of its logarithm above.

    Uniform steps in g are like Karras' where the data's details form, and spread over high noise,
    where every denoiser is nearly Gaussian, as sparsely as a power of log sigma does. With power 2
    and exponent 1/2 or 1/4 it is, but for factors, the time of a linear variance-preserving process
    or its square root.

    Attributes:
        scale: noise level > 0 at which one regime becomes the other; a quarter of the standard
            deviation of the data or so.
        power, exponent: > 0.
    """

    scale: float
    power: float
    exponent: float

    def __post_init__(self) -> None:
        if not min(self.scale, self.power, self.exponent) > 0:
            raise ValueError(
                "a warp needs scale, power and exponent above 0, got "
                f"{self.scale}, {self.power} and {self.exponent}"
            )

    def __call__(self, sigma: float) -> float:
        """The coordinate, increasing from 0 at sigma = 0."""
        return math.log1p((sigma / self.scale) ** self.power) ** self.exponent

    def inverse(self, g: float) -> float:
        """The level at a coordinate."""
        return self.scale * math.expm1(g ** (1 / self.exponent)) ** (1 / self.power)

    def grid(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """``n`` equal steps from ``sigma_max`` to 0, or to ``sigma_min``.

        None of the levels between is below ``sigma_min``.

        Where equal steps to 0 would go below ``sigma_min`` before the last, that level is
        ``sigma_min`` and the steps above it are equal.
        """
        top, low = self(sigma_max), self(sigma_min)
        if not to_zero:
            return self._levels(n, low, sigma_min, sigma_max, ())
        if n == 1:
            return Grid((sigma_max, 0.0))
        natural = top / n
        if natural > low:
            return self._levels(n - 1, natural, self.inverse(natural), sigma_max, (0.0,))
        return self._levels(n - 1, low, sigma_min, sigma_max, (0.0,))

    def _levels(
        self, n: int, low: float, last: float, sigma_max: float, end: tuple[float, ...]
    ) -> Grid:
        """``n`` equal steps in g down to ``low``, which is the level ``last``."""
        top = self(sigma_max)
        inner = (self.inverse(top + (low - top) * i / n) for i in range(1, n))
        return Grid((sigma_max, *inner, last, *end))
