"""Rules of ``auto``: which levels a number of steps has, and by which formula they are joined."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from ..grid import Grid


@dataclass(frozen=True)
class Warp:
    """g(sigma) = log(1 + (sigma / scale)^power)^exponent, a coordinate on noise levels.

    It is a power of sigma below ``scale``, a power of its logarithm above. Uniform steps in g are
    like Karras' where the data's details form, and spread over high noise, where every denoiser is
    nearly Gaussian, as sparsely as a power of log sigma does. With power 2 and exponent 1/2 or 1/4
    it is, but for factors, the time of a linear variance-preserving process or its square root.

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
        """Return the coordinate g(sigma), which increases from 0 at sigma = 0."""
        return math.log1p((sigma / self.scale) ** self.power) ** self.exponent

    def inverse(self, g: float) -> float:
        """Return the level at coordinate ``g``."""
        return self.scale * math.expm1(g ** (1 / self.exponent)) ** (1 / self.power)


HIGHEST_LAST = 0.5
"""The last level with an evaluation is at most this share of the first."""

_KIND = re.compile(r"([1-4])(d?)(c?)")
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?")


class Rule(NamedTuple):
    """Rule: all choices of :class:`~samplerbench.samplers.methods.warped.Auto`.

    Attributes:
        points: evaluations that a step uses, at most: 1 to 4.
        deferred: the first step shares the evaluation of the second
            (:mod:`~samplerbench.samplers.methods.warped`), and the one that is saved buys one
            more step.
        corrected: the evaluation at the end of a step first corrects the step
            (:class:`~samplerbench.samplers.methods.warped.WarpedAB`). Always with one point.
        spread: standard deviation of the data, in their units: the length that knee, scale and
            last are in proportion to.
        knee: k / spread, of the velocity that is a polynomial.
        scale: s / spread, of the coordinate g (:class:`Warp`)
            in which it is one, and in which the levels are at equal distances.
        power, exponent: the coordinate's.
        first: length of the first step in g, in units of the others'. It is of first order, so
            where the data are seen from the first level on, a short one costs least.
        last: the last level with an evaluation on the way to 0, in units of ``spread``; 0 for the
            level that equal steps in g to 0 have. It is never below the model's sigma_min.
    """

    points: int
    deferred: bool
    corrected: bool
    spread: float
    knee: float
    scale: float
    power: float
    exponent: float
    first: float
    last: float

    @property
    def order(self) -> int:
        """Order of convergence: 2 to 5."""
        return self.points + self.corrected

    @property
    def text(self) -> str:
        """Text that :func:`read_rule` reads: kind (``4d``, ``2dc``), then the seven numbers."""
        kind = f"{self.points}{'d' * self.deferred}{'c' * self.corrected}"
        return " ".join([kind, *map(repr, self[3:])])

    @property
    def warp(self) -> Warp:
        """The coordinate g."""
        return Warp(self.scale * self.spread, self.power, self.exponent)

    def grid(self, n: int, start: float, sigma_min: float, *, to_zero: bool) -> Grid:
        """Return the levels of ``n`` evaluations from ``start`` to 0 or to ``sigma_min``.

        The first level of a deferred step is one more.

        Raises:
            ValueError: they do not fall, as where the steps are smaller than rounding.
        """
        count = n + int(self.deferred)
        if not to_zero:
            return Grid((start, *self._inner_levels(count, start, sigma_min), sigma_min))
        if count == 1:
            return Grid((start, 0.0))
        natural = self.warp.inverse(self.warp(start) / count)
        last = min(max(self.last * self.spread or natural, sigma_min), HIGHEST_LAST * start)
        return Grid((start, *self._inner_levels(count - 1, start, last), last, 0.0))

    def _inner_levels(self, steps: int, start: float, last: float) -> list[float]:
        """Return the inner levels of ``steps`` equal steps in g, the first shorter or longer."""
        g = self.warp
        top, low = g(start), g(last)
        shares = ((self.first + i) / (self.first + steps - 1) for i in range(steps - 1))
        return [g.inverse(top + (low - top) * share) for share in shares]


class Fitted(NamedTuple):
    """Rule for one model and one grid, with its cost.

    Attributes:
        rule: found.
        evaluations: of the model that this took, all latents together: of the look, which other
            grids on the model share, and of trials.
    """

    rule: Rule
    evaluations: int


def typical(spread: float) -> Rule:
    """Return the rule for a model of which only the standard deviation of the data is known.

    Fourth order, a deferred first step, and constants that a search on four exact problems found.
    """
    return Rule(4, True, False, spread, 3.0, 0.18, 1.07, 0.63, 1.0, 0.0)


def read_rule(text: str) -> Rule:
    """Return the rule of a text, number for number (:attr:`Rule.text`).

    Raises:
        ValueError: it is no rule.
    """
    first, *words = text.split(" ")
    kind, numbers = _KIND.fullmatch(first), [float(w) for w in words if _NUMBER.fullmatch(w)]
    if (
        kind is None
        or not len(words) == len(numbers) == len(Rule._fields) - 3
        or not all(map(math.isfinite, numbers))
        or not min(numbers[:-1]) > 0
        or kind[1] + kind[3] == "1"  # one point is always corrected
    ):
        raise ValueError(
            f"cannot read the rule {text[:80]!r}; copy one from rules in a run.json, "
            f"such as {typical(0.5).text!r}"
        )
    return Rule(int(kind[1]), bool(kind[2]), bool(kind[3]), *numbers)
