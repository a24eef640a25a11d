"""Exact problems of a frontier: the four of the package, or a randomly drawn part of a family.

``auto`` was developed on the training part, and checked on the validation part. The sealed part is
for the final evaluation. It has other seeds and a wider range: more dimensions, smaller and larger
scales, other ranges of levels, and a kind (sheet) that the other parts lack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from samplerbench.benchmarks.suites import format_spec

HOME = ("gmm-2d", "gmm-64d", "fashion-mppca", "wavelet")
"""Exact models that come with the package."""

Part = Literal["training", "validation", "sealed"]


class RandomPart(NamedTuple):
    """Bounds and seed for drawing the problems of a part; most parameters are log-uniform.

    Attributes:
        seed: seed of the part.
        each: number of problems of each kind.
        kinds: kinds in :data:`samplerbench.models.exact.problems.KINDS`.
        dims: bounds of the number of dimensions, for all kinds.
        stds: bounds of the data's standard deviation.
        ranges: pairs (sigma_max, sigma_min), used in turn.
    """

    seed: int
    each: int
    kinds: Sequence[str]
    dims: tuple[int, int]
    stds: tuple[float, float]
    ranges: Sequence[tuple[float, float]]


_USUAL = ("spectrum", "tails", "curve", "modes", "points")
PARTS: dict[Part, RandomPart] = {
    "training": RandomPart(1, 2, _USUAL, (2, 64), (0.1, 1.5), ((80.0, 0.002), (14.6, 0.03))),
    "validation": RandomPart(2, 2, _USUAL, (2, 128), (0.1, 2.0), ((14.6, 0.03), (80.0, 0.002))),
    "sealed": RandomPart(
        3,
        4,
        (*_USUAL, "sheet"),
        (2, 1024),
        (0.05, 3.0),
        ((80.0, 0.002), (14.6, 0.03), (148.0, 0.03), (1e4, 0.002), (157.0, 0.01)),
    ),
}
LARGEST = {"spectrum": 256, "curve": 16, "sheet": 64, "points": 256}
"""Largest number of dimensions by kind, to limit the time."""
WIDE = 1.5
"""Largest standard deviation of the data for ranges that start at sigma = 14.6."""


def problem_specs(part: Part) -> list[str]:
    """Return the specs of a part's models, always the same."""
    drawn = PARTS[part]
    rng = np.random.default_rng(drawn.seed)
    specs = []
    for i in range(drawn.each * len(drawn.kinds)):
        kind, (high, low) = drawn.kinds[i % len(drawn.kinds)], drawn.ranges[i % len(drawn.ranges)]
        dim = round(_log_uniform(rng, *drawn.dims))
        std = min(_log_uniform(rng, *drawn.stds), WIDE if high < 20 else np.inf)
        options = {
            "dim": min(dim, LARGEST.get(kind, dim)),
            "std": float(f"{std:.3g}"),
            "seed": 100 * drawn.seed + i,
            "sigma_min": low,
            "sigma_max": high,
        }
        specs.append(format_spec({"name": f"family:{kind}", **options}))
    return specs


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
