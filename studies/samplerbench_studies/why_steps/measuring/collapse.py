"""Measurements of row 6: variance, modes and copies in samples of few and many steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from samplerbench.benchmarks.metrics import (
    as_rows,
    binomial_interval,
    distance_ratio,
    duplicate_share,
)
from samplerbench.benchmarks.scoring import training_set

from ...arrays import FloatArray
from ..statistics.intervals import Interval
from ..statistics.spread import modes_kept, total_variance, variance_kept
from .effort import Effort
from .generating import generate, unlabelled

UNSEEN = 0.01
"""Share of unseen data that counts as near-copies, which defines the metric's threshold."""

COUNTS = (1, 2, 4, 8, 16, 32)
SAMPLES = {"gmm-2d": 2048, "digits-cloud": 2048, "digits": 2048, "fashion": 512}
LEAST = 96
MODES = ("gmm-2d", "fashion")
"""Models with meaningful modes."""


class CollapseResult(NamedTuple):
    """Measurements of row 6: shares by model, at each number of steps.

    Attributes:
        counts: numbers of steps.
        samples: number of samples by model, at each number of steps.
        variance: variance of the samples over the data's.
        modes: effective number of modes of the samples over the data's.
        copies: share of samples that are near-copies of a training example.
        distinct: share of samples that no other sample repeats.
    """

    counts: Sequence[int]
    samples: Mapping[str, int]
    variance: Mapping[str, Sequence[Interval]]
    modes: Mapping[str, Sequence[Interval]]
    copies: Mapping[str, Sequence[Interval]]
    distinct: Mapping[str, Sequence[float]]


def measure(effort: Effort) -> CollapseResult:
    """Measure row 6: sample four models with rising numbers of steps."""
    samples = {name: effort.samples(full, LEAST) for name, full in SAMPLES.items()}
    variance, modes, copies, distinct = {}, {}, {}, {}
    for name, n in samples.items():
        model = effort.model(name)
        runs = [generate(model, "euler", steps, n, labels=unlabelled(model, n)) for steps in COUNTS]
        rows = [as_rows(x.double().numpy()) for x in runs]
        variance[name] = [variance_kept(x, total_variance(model)) for x in rows]
        distinct[name] = [1 - duplicate_share(np.round(x, 6)) for x in rows]
        visited = [model.mode_of(x) for x in runs]
        if name in MODES and visited[0] is not None:
            modes[name] = [modes_kept(mode.numpy(), model) for mode in visited if mode is not None]
        if known := training_set(model):
            copies[name] = [copied(x, known.examples, known.threshold) for x in rows]
    return CollapseResult(COUNTS, samples, variance, modes, copies, distinct)


def copied(x: FloatArray, examples: FloatArray, threshold: float) -> Interval:
    """Return the share of samples that are near-copies.

    A near-copy's ratio of distances to the two nearest training examples is below ``threshold``,
    which a share :data:`UNSEEN` of unseen data is.
    """
    hits = int((distance_ratio(x, examples) < threshold).sum())
    return Interval(hits / len(x), *binomial_interval(hits, len(x)))
