"""Fréchet distances between samples and converged samples in the model's feature space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...models.reference import Reference
from ...results.comparison.significance import level_of_test
from ..metrics.estimators.frechet import FrechetEstimate, paired_difference, population_estimate
from ..scoring.converged_endpoints import CONVERGED_STEPS
from ..scoring.feature_references import CARD
from .answer import Value
from .exports import LIBRARIES
from .race import LEVEL, Late
from .request import Entry
from .run import COMPARISONS_END, AdviceRun, BudgetResult
from .tasks import POOLED

COUNTS = (128, 256, 512)
"""Number of each sampler's samples after each round."""
CONVERGED = (1024, 512, 256)
"""Numbers of converged samples. The largest that there is time for is used."""
START = 1 << 20
"""Sample id of the first latent; races use smaller ids."""
MOST = 32
"""Largest number of axes of a feature space. With 32, intervals hold from 480 samples on."""


@dataclass(frozen=True)
class FeatureSpace:
    """Feature space to measure distances in: leading principal axes of converged samples' features.

    Few axes are kept because a Fréchet distance in d features needs many times d samples. One half of the converged
    samples gives ``mean`` ``(d,)`` and ``axes`` ``(d, k)``. ``converged`` ``(m, k)`` has the other half on these axes.
    """

    name: str
    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    converged: NDArray[np.float64]

    def project(self, features: NDArray) -> NDArray[np.float64]:
        """Return the coordinates ``(n, k)`` of features ``(n, d)`` on the axes."""
        return (features - self.mean) @ self.axes


def make_feature_space(run: AdviceRun, seconds: float) -> FeatureSpace | None:
    """Return the feature space, from converged samples of the model's card or else from new ones.

    New samples take up to half of ``seconds``. The result is None if there is too little time.
    """
    request = run.request
    name = "model" if request.feature_extractor is not None else POOLED
    reference: Reference | None = request.model.reference() if request.extractor == CARD else None
    features = None if reference is None else reference.load_statistics().converged
    counts = [n for n in CONVERGED if n * CONVERGED_STEPS / run.rate <= seconds / 2]
    if seconds <= 0 or (features is None and not counts):
        return None
    run.progress("distances in distribution")
    if features is None:
        features = run.endpoints.converged_features(counts[0], name)
    half = len(features) // 2
    mean = features[:half].mean(0)
    _, values, rows = np.linalg.svd(features[:half] - mean, full_matrices=False)
    rank = int((values > 1e-6 * values[0]).sum()) if values[0] > 0 else 1
    axes = rows[: min(MOST, rank)].T
    return FeatureSpace(name, mean, axes, (features[half:] - mean) @ axes)


def estimate_distances(
    run: AdviceRun, space: FeatureSpace, entries: Sequence[Entry], keep: int, late: Late
) -> dict[int, FrechetEstimate]:
    """Measure Fréchet distances of entries to converged samples; return them by index.

    Rounds add samples until ``late()`` is True. Each round drops entries shown to be farther than the best,
    but none of the first ``keep``.
    """
    alive, start = list(range(len(entries))), 0
    known: dict[int, NDArray[np.float64]] = {}
    estimates: dict[int, FrechetEstimate] = {}
    for round_number, stop in enumerate(COUNTS, 1):
        some = {n: entries[n] for n in alive}
        outcomes = run.measure_features(some, START + start, START + stop, space.name, late)
        for number, features in outcomes:
            if features is None:
                known.pop(number, None)
            else:
                more = space.project(features)
                known[number] = np.concatenate([known[number], more]) if start else more
        reached = [n for n in alive if len(known.get(n, ())) == stop]
        estimates |= {n: population_estimate(known[n], space.converged) for n in reached}
        if late() or not reached:
            break
        best = min((estimates[n] for n in reached), key=lambda estimate: estimate.value)
        level = level_of_test(round_number, 1, LEVEL)
        alive = [n for n in reached if n < keep or not is_farther(estimates[n], best, level)]
        start = stop
    return estimates


def is_farther(a: FrechetEstimate, b: FrechetEstimate, level: float) -> bool:
    """Return True if a paired test shows ``a`` farther than ``b``; False for unequal ``n``."""
    if a.n != b.n:
        return False
    difference, se = paired_difference(a, b)
    return difference > 0 and difference > float(stats.norm.ppf(1 - level)) * se


def measure_distances(run: AdviceRun, results: Sequence[BudgetResult]) -> list[str]:
    """Set ``distances`` and ``nearest`` of ``results``; return sentences on lack of time, and failures."""
    first_round = COUNTS[0] * sum(one.budget * len(one.chosen) for one in results) / run.rate
    space = make_feature_space(run, run.clock.seconds_until(COMPARISONS_END) - first_round)
    if space is None:
        return ["There was no time to compare samples as whole sets (fd_conv)."]
    begin = run.clock.share_spent
    first = {one.budget: [e for e in one.chosen if e.can_run] for one in results}
    # features of all budgets' recommendations are stored before any stochastic sampler runs
    shares = _shares_of_time({n: n * len(entries) for n, entries in first.items()})
    for budget, some in first.items():
        late = run.clock.late_after(begin + 0.5 * shares[budget] * (COMPARISONS_END - begin))
        for start, stop in pairwise((0, *COUNTS)):
            bounds = START + start, START + stop
            outcomes = run.measure_features(dict(enumerate(some)), *bounds, space.name, late)
            some = [some[n] for n, features in outcomes if features is not None]
    begin, late_budgets, failed = run.clock.share_spent, [], dict[str, str]()
    shares = _shares_of_time({budget: budget for budget in first})
    nearest_by_budget: list[tuple[dict[str, Value], Entry | None]] = []
    for one in results:
        late = run.clock.late_after(begin + shares[one.budget] * (COMPARISONS_END - begin))
        entries, keep = [*first[one.budget]], len(first[one.budget])
        labels = {entry.label for entry in entries}
        entries += [e for e in run.request.stochastic_entries(one.budget) if e.label not in labels]
        estimates = estimate_distances(run, space, entries, keep, late)
        lacking = [e for n, e in enumerate(entries) if n not in estimates]
        failed |= {why: e.label for e in lacking if (why := run.failures.get(e.cell.key))}
        if any(e.cell.key not in run.failures for e in lacking):
            late_budgets.append(one.budget)
        best, level = one.leaders[LIBRARIES[0]].label, LEVEL / max(len(estimates), 1)
        own = next((e for n, e in estimates.items() if entries[n].label == best), None)
        nearer = [n for n, e in estimates.items() if own is not None and is_farther(own, e, level)]
        nearest = min(nearer, key=lambda n: estimates[n].value, default=None)
        values = {
            entries[n].label: Value(e.value, e.low, e.high, e.flag) for n, e in estimates.items()
        }
        nearest_by_budget.append((values, None if nearest is None else entries[nearest]))
    for one, (values, nearest) in zip(results, nearest_by_budget, strict=True):
        one.distances, one.nearest = values, nearest
    sentences = [f"Samples of {label} have no fd_conv: {why}." for why, label in failed.items()][:2]
    if late_at := ", ".join(map(str, late_budgets)):
        no_time = "there was no time to compare all samplers that add noise (fd_conv)"
        sentences.insert(0, f"With {late_at} evaluations {no_time}.")
    return sentences


def _shares_of_time(weights: Mapping[int, float]) -> dict[int, float]:
    """Return the end of each key's turn, if turns of lengths ``weights`` fill 0 … 1 in order."""
    total = sum(weights.values())
    return {key: at / total for key, at in zip(weights, accumulate(weights.values()), strict=True)}
