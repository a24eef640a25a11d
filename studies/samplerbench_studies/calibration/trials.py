"""Replicates of one cell: values of the metrics for two samplers on shared latents, as arrays."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from samplerbench.benchmarks.metrics import KERNEL_ESTIMATOR as KERNEL
from samplerbench.benchmarks.metrics import (
    SAMPLES_PER_FEATURE,
    FrechetEstimate,
    KernelEstimate,
    Moments,
    estimate,
    kid,
    population_estimate,
)
from samplerbench.benchmarks.scoring import FRECHET_ESTIMATOR
from samplerbench.results.comparison import Estimate as Judged
from samplerbench.results.comparison import difference

from ..arrays import FloatArray
from .families import FAMILIES
from .pairs import LEVELS, MARGIN, PILOT, SamplerPairs, SimulatedSampler

Metric = Literal["fd", "fd_conv", "kid"]
Estimate = FrechetEstimate | KernelEstimate
Pair = tuple[SimulatedSampler, SimulatedSampler]
Arrays = Mapping[str, FloatArray]
"""Values ``(replicates, levels)`` by name."""

REFERENCE: Mapping[Metric, int] = {"fd_conv": 2000, "kid": 500}
"""Number of reference samples of each replicate, by metric between two sets of samples."""

VERSION = 1
"""Version of the replicates, increased if families, maps, draws or stored arrays change."""


@dataclass(frozen=True)
class Case:
    """Cell of the calibration: metric, family, number of features and number of samples.

    Attributes:
        metric: "fd", the Fréchet distance to exact moments; "fd_conv", to samples; or "kid".
        family: family of features.
        d: number of features.
        n: number of samples.
    """

    metric: Metric
    family: str
    d: int
    n: int

    @property
    def name(self) -> str:
        """Name of the cell, and of its file without the suffix."""
        return f"{self.metric}-{self.family}-{self.d}-{self.n}"

    @property
    def identity(self) -> str:
        """Text of version and estimator; only replicates with equal text are combined."""
        estimator = KERNEL if self.metric == "kid" else FRECHET_ESTIMATOR
        metric = (
            f"{estimator}; {REFERENCE[self.metric]} reference samples"
            if self.metric in REFERENCE
            else estimator
        )
        levels = ", ".join(f"{level:g}" for level in LEVELS)
        source = FAMILIES[self.family](self.d).source
        return (
            f"calibration/{VERSION}; {metric}; levels {levels}; margin {MARGIN:g}; floor of {PILOT}"
        ) + (source and f"; {source}")

    @property
    def enough(self) -> bool:
        """True if there are enough samples per feature for intervals."""
        return self.n >= SAMPLES_PER_FEATURE * self.d

    @property
    def cost(self) -> int:
        """Number that grows with the time of a replicate."""
        rows = self.n + REFERENCE.get(self.metric, 0)
        return rows * self.d * (rows if self.metric == "kid" else self.d)

    @property
    def samplers(self) -> SamplerPairs:
        """Compared samplers with their true distances."""
        return _sampler_pairs(self.family, self.d, self.n)

    def replicates(self, numbers: Iterable[int]) -> Arrays:
        """Return the replicates with these numbers; each depends on the cell and its number only.

        The arrays are ``value`` and ``se`` of the first sampler, ``value_b`` and ``se_b`` of the
        second, ``difference`` (first less second) and ``difference_se``. ``low`` and ``high`` are
        the ends of the first sampler's interval. FD also has ``raw``, its plug-in value,
        ``flagged``, and ``first``, its first-order noise.
        """
        trial = {
            "fd": _frechet_numbers,
            "fd_conv": _two_sample_frechet_numbers,
            "kid": _kernel_numbers,
        }[self.metric]
        rows = [self._levels(trial, number) for number in numbers]
        return {
            name: np.array([[level[name] for level in row] for row in rows]) for name in rows[0][0]
        }

    def _levels(
        self, trial: Callable[..., dict[str, float]], number: int
    ) -> list[dict[str, float]]:
        rng = np.random.default_rng([6, zlib.crc32(self.name.encode()), number])
        x = self.samplers.population.draw(rng, self.n)
        other = (
            self.samplers.population.draw(rng, REFERENCE[self.metric])
            if self.metric in REFERENCE
            else None
        )
        return [trial(self.samplers, x, other, pair) for pair in self.samplers.pairs]


@lru_cache(maxsize=1)  # some hold 100 MB; the chunks of a cell follow each other
def _sampler_pairs(family: str, d: int, n: int) -> SamplerPairs:
    return SamplerPairs.make(family, d, n)


def _frechet_numbers(
    samplers: SamplerPairs,
    x: FloatArray,
    y: None,  # noqa: ARG001
    pair: Pair,
) -> dict[str, float]:
    """Return FD's values at one level of one replicate, against the exact reference."""
    a, b = (estimate(samplers.reference, one.move(x)) for one in pair)
    first = pair[0].first_order(Moments.of(pair[0].move(x)))
    return _numbers_of_pair(a, b) | _bias_numbers(a, first)


def _two_sample_frechet_numbers(
    samplers: SamplerPairs,  # noqa: ARG001
    x: FloatArray,
    y: FloatArray,
    pair: Pair,
) -> dict[str, float]:
    """Return FD's values at one level of one replicate, against the reference samples ``y``."""
    a, b = (population_estimate(one.move(x), y) for one in pair)
    first = pair[0].first_order(Moments.of(pair[0].move(x))) + pair[0].first_order_of_reference(
        Moments.of(y)
    )
    return _numbers_of_pair(a, b) | _bias_numbers(a, first)


def _kernel_numbers(
    samplers: SamplerPairs,  # noqa: ARG001
    x: FloatArray,
    y: FloatArray,
    pair: Pair,
) -> dict[str, float]:
    """Return KID's values at one level of one replicate, against the reference samples ``y``."""
    a, b = (kid(one.move(x), y) for one in pair)
    return _numbers_of_pair(a, b)


def _numbers_of_pair(a: Estimate, b: Estimate) -> dict[str, float]:
    """Return two values, and their difference as verdicts compute it."""
    gap = difference(_as_results_estimate(b), _as_results_estimate(a), same_latents=True)
    assert gap.se is not None
    assert gap.paired
    return {
        "value": a.value,
        "se": a.se,
        "low": a.low,
        "high": a.high,
        "value_b": b.value,
        "se_b": b.se,
        "difference": gap.value,
        "difference_se": gap.se,
    }


def _as_results_estimate(found: Estimate) -> Judged:
    """Return an estimate in the class of :mod:`samplerbench.results`, as a run stores it."""
    return Judged(found.value, found.se, found.influence, found.reference_influence)


def _bias_numbers(a: FrechetEstimate, first: float) -> dict[str, float]:
    return {"raw": a.raw, "flagged": float(bool(a.flag)), "first": first}
