"""Replicates of one cell: what the metrics say of two samplers on shared latents, as arrays."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..metrics import FrechetReference, Moments, estimate, paired_difference
from ..metrics.kernel import ESTIMATOR as KERNEL
from ..metrics.kernel import kid, kid_difference
from ..metrics.moments import FloatArray
from ..scale import ESTIMATOR
from .problem import LEVELS, MARGIN, PILOT, Problem, Side

Metric = Literal["fd", "kid"]
Arrays = Mapping[str, FloatArray]
"""Name to values ``(replicates, levels)``."""

KID_REFERENCE = 500
"""Reference samples of the kernel distance, drawn anew in each replicate: it takes both sides as samples."""


VERSION = 1
"""Of what is replicated: to be raised where families, maps, draws or the arrays that are kept change."""


@dataclass(frozen=True)
class Cell:
    """What is replicated.

    Attributes:
        metric: fd or kid.
        family: of features.
        d: features.
        n: samples.
    """

    metric: Metric
    family: str
    d: int
    n: int

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.metric}-{self.family}-{self.d}-{self.n}"

    @property
    def identity(self) -> str:
        """What replicates must share to be counted together, beside the cell."""
        metric = ESTIMATOR if self.metric == "fd" else f"{KERNEL}; {KID_REFERENCE} reference samples"
        levels = ", ".join(f"{level:g}" for level in LEVELS)
        return f"calibration/{VERSION}; {metric}; levels {levels}; margin {MARGIN:g}; floor of {PILOT}"

    @property
    def cost(self) -> int:
        """Grows with the time that a replicate takes."""
        return self.n * self.d * (self.d if self.metric == "fd" else KID_REFERENCE + self.n)

    @cached_property
    def problem(self) -> Problem:
        """The population and the truth."""
        return Problem.make(self.family, self.d, self.n)

    def replicates(self, numbers: Iterable[int]) -> Arrays:
        """Replicates by their numbers; each depends on the cell and its own number only.

        ``value`` and ``se`` of the first sampler, ``value_b`` and ``se_b`` of the second, ``difference`` (first less second) and
        ``difference_se``; for FD ``raw`` and ``flagged`` of the first, and its noise to first order, ``first``; for KID the ends of its
        interval, ``low`` and ``high``.
        """
        trial = _frechet if self.metric == "fd" else _kernel
        rows = [self._levels(trial, number) for number in numbers]
        return {name: np.array([[level[name] for level in row] for row in rows]) for name in rows[0][0]}

    def _levels(self, trial: Callable[..., dict[str, float]], number: int) -> list[dict[str, float]]:
        rng = np.random.default_rng([6, zlib.crc32(self.name.encode()), number])
        x = self.problem.population.draw(rng, self.n)
        context = Moments.of(x) if self.metric == "fd" else self.problem.population.draw(rng, KID_REFERENCE)
        return [trial(self.problem.reference, x, context, pair) for pair in self.problem.pairs]


def _frechet(reference: FrechetReference, x: FloatArray, moments: Moments, pair: tuple[Side, Side]) -> dict[str, float]:
    """One level of one replicate, FD."""
    a, b = (estimate(reference, side.move(x)) for side in pair)
    difference, difference_se = paired_difference(a, b)
    first = pair[0].first_order(pair[0].move.moments(moments))
    return {
        "value": a.value, "se": a.se, "value_b": b.value, "se_b": b.se, "difference": difference, "difference_se": difference_se,
        "raw": a.raw, "flagged": float(bool(a.flag)), "first": first,
    }  # fmt: skip


def _kernel(reference: FrechetReference, x: FloatArray, y: FloatArray, pair: tuple[Side, Side]) -> dict[str, float]:  # noqa: ARG001
    """One level of one replicate, KID against the reference samples ``y``."""
    a, b = (kid(side.move(x), y) for side in pair)
    difference, difference_se = kid_difference(a, b)
    return {
        "value": a.value, "se": a.se, "value_b": b.value, "se_b": b.se, "difference": difference, "difference_se": difference_se,
        "low": a.low, "high": a.high,
    }  # fmt: skip
