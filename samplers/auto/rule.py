"""Rules of ``auto``: the levels of a grid for any number of steps, and the formula of each step."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from ..grid import Grid


@dataclass(frozen=True)
class Warp:
    """Coordinate on noise levels: g(sigma) = log(1 + (sigma / scale)^power)^exponent.

    Below ``scale`` it is a power of sigma, so uniform steps in g resemble Karras' where the data's
    details form. Above ``scale`` it is a power of log sigma, so the steps are sparse at high noise,
    where every denoiser is nearly Gaussian. With power 2 and exponent 1/2 (or 1/4) g is
    proportional to the time (or its square root) of a linear variance-preserving process.

    Attributes:
        scale: noise level > 0 between the two regimes, about a quarter of the standard deviation of
            the data.
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
"""Largest ratio of the last level with an evaluation to the first level."""

_KIND = re.compile(r"([1-4])(d?)(c?)")
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?")


class Rule(NamedTuple):
    """Rule of :class:`~samplerbench.samplers.methods.warped.Auto`: its grid and formula for a
    model.

    Attributes:
        points: largest number of evaluations that a step combines, 1 to 4.
        deferred: True if the first step reuses the evaluation of the second
            (:func:`~samplerbench.samplers.methods.warped.defer_first_step`). The saved evaluation
            pays for one more step.
        corrected: True if the evaluation at the end of a step also corrects the step
            (:class:`~samplerbench.samplers.methods.warped.WarpedAB`). Always True with one point.
        spread: standard deviation of the data, the unit of knee, scale and last.
        knee: k / spread, with k of the velocity v = [x - (1 + sigma / k) d] k / sigma.
        scale: scale / spread of the coordinate g (:class:`Warp`). The method takes v as a
            polynomial in g, and the levels are equidistant in g.
        power, exponent: parameters of g.
        first: length in g of the first step, relative to the others. That step is of first order,
            so a short one is best where the first level is not pure noise.
        last: last level with an evaluation on a grid to 0, in units of ``spread``, at least the
            model's sigma_min. 0 takes the level from equal steps in g down to 0.
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
        """Text for :func:`read_rule`: ``points`` with d (deferred), c (corrected), then numbers."""
        kind = f"{self.points}{'d' * self.deferred}{'c' * self.corrected}"
        return " ".join([kind, *map(repr, self[3:])])

    @property
    def warp(self) -> Warp:
        """Coordinate g, in the units of the data."""
        return Warp(self.scale * self.spread, self.power, self.exponent)

    def grid(self, n: int, start: float, sigma_min: float, *, to_zero: bool) -> Grid:
        """Return the levels of ``n`` evaluations from ``start`` to 0 or to ``sigma_min``.

        With a deferred first step, the grid has ``n + 1`` steps.

        Raises:
            ValueError: the levels do not fall, such as if the steps are smaller than rounding.
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
        """Return the levels between ``start`` and ``last``, equidistant in g but for the first
        step.
        """
        g = self.warp
        top, low = g(start), g(last)
        shares = ((self.first + i) / (self.first + steps - 1) for i in range(steps - 1))
        return [g.inverse(top + (low - top) * share) for share in shares]


class Fitted(NamedTuple):
    """Rule for one model and one grid, with the cost of its search.

    Attributes:
        rule: the rule.
        evaluations: model evaluations of the search over all latents: those of the probe, which
            other grids on the model share, and those of trials.
    """

    rule: Rule
    evaluations: int


def typical(spread: float) -> Rule:
    """Return the default rule for a model, given only the standard deviation of the data.

    It has fourth order, a deferred first step, and constants from a search on four exact problems.
    """
    return Rule(4, True, False, spread, 3.0, 0.18, 1.07, 0.63, 1.0, 0.0)


def read_rule(text: str) -> Rule:
    """Return the rule with the given :attr:`Rule.text`; no number is rounded.

    Raises:
        ValueError: the text is not a rule.
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
