"""Distances in distribution: the Fréchet distance of a configuration's samples to converged samples, in the
model's feature space, for stochastic samplers too, which no reference solution belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...models.reference import Reference
from ..metrics.estimators.frechet import FrechetEstimate, paired_difference, population_estimate
from ..running.interim import level_at
from ..scoring.references import CARD
from ..scoring.solutions.endpoints import CONVERGED_STEPS
from .answer import Value
from .measuring import Bench, Late
from .race import LEVEL
from .request import AdviceRequest, Entry
from .tasks import POOLED, Axes, leading_axes

COUNTS = (128, 256, 512)
"""Samples after each round."""
CONVERGED = (1024, 512, 256)
"""Converged samples, half of which give the axes: as many of these as there is time for."""
START = 1 << 20
"""First sample number: latents that no race uses."""


@dataclass
class Space:
    """The features in which distributions of a model's samples are compared.

    Attributes:
        name: what a task takes them with.
        axes: on which they are projected.
        converged: ``(m, k)`` projected features of converged samples.
    """

    name: str
    axes: Axes
    converged: NDArray[np.float64]


def converged_count(bench: Bench, seconds: float) -> int:
    """Return the number of converged samples that half the time allows, or 0; a card's are free."""
    if _converged_of_card(bench.asked) is not None:
        return CONVERGED[0] if seconds > 0 else 0
    counts = [n for n in CONVERGED if n * CONVERGED_STEPS / bench.rate <= seconds / 2]
    return counts[0] if counts else 0


def space_of(bench: Bench, count: int) -> Space:
    """Return the feature space of a model: its own, or its images, with its card's converged samples where
    there are any, else ``count`` of its own.

    Raises:
        Failure: the model has no converged samples.
    """
    model_run = bench.asked
    name = "model" if model_run.features is not None else POOLED
    own = _converged_of_card(model_run)
    features = bench.truth.converged_features(count, name) if own is None else own
    half = len(features) // 2
    axes = leading_axes(features[:half])
    return Space(name, axes, axes(features[half:]))


def _converged_of_card(model_run: AdviceRequest) -> NDArray[np.float64] | None:
    reference: Reference | None = (
        model_run.model.reference() if model_run.extractor == CARD else None
    )
    return None if reference is None else reference.loaded().converged


@dataclass
class Distances:
    """Distances of configurations at one budget, from one set of latents.

    Attributes:
        bench: where they are measured.
        space: in what.
    """

    bench: Bench
    space: Space
    _features: dict[int, NDArray] = field(default_factory=dict, repr=False)

    def __call__(
        self, entries: Sequence[Entry], keep: int, late: Late
    ) -> Mapping[int, FrechetEstimate]:
        """Return the distance of each configuration that there was time for, by its number.

        Args:
            entries: to be measured.
            keep: the first so many are never dropped.
            late: whether the time is up.
        """
        alive, start, estimates = list(range(len(entries))), 0, dict[int, FrechetEstimate]()
        for look, stop in enumerate(COUNTS, 1):
            self._measure(entries, alive, start, stop, late)
            estimates |= {
                n: population_estimate(self._features[n], self.space.converged)
                for n in alive
                if len(self._features.get(n, ())) == stop
            }
            reached = [n for n in alive if n in estimates and estimates[n].n == stop]
            if late() or not reached:
                break
            leader = min(reached, key=lambda n: estimates[n].value)
            level = level_at(look, 1, LEVEL)
            alive = [
                n
                for n in reached
                if n < keep or not farther(estimates[n], estimates[leader], level)
            ]
            start = stop
        return estimates

    def _measure(
        self, entries: Sequence[Entry], alive: Sequence[int], start: int, stop: int, late: Late
    ) -> None:
        some = [entries[n] for n in alive]
        outcomes = self.bench.features(some, START + start, START + stop, self.space.name, late)
        for which, features in outcomes:
            number = alive[which]
            if features is None:
                self._features.pop(number, None)
                continue
            rows = self.space.axes(features)
            before = self._features.get(number)
            if start == 0:
                self._features[number] = rows
            elif before is not None and len(before) == start:
                self._features[number] = np.concatenate([before, rows])


def farther(a: FrechetEstimate, b: FrechetEstimate, level: float) -> bool:
    """Return True if ``a`` is shown to be farther from the converged samples than ``b``, on the same
    latents: a one-sided test at ``level``.
    """
    if a.n != b.n:
        return False
    difference, se = paired_difference(a, b)
    return difference > 0 and difference > float(stats.norm.ppf(1 - level)) * se


def value_of(estimate: FrechetEstimate) -> Value:
    """Return a distance as an answer has it."""
    return Value(estimate.value, estimate.low, estimate.high, estimate.flag)
