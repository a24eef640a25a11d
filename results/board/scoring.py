"""Scores of a board: evaluations to target, their distribution, its area, and ranks.

The evaluations to a target on a problem are the fewest at which the solver's error is at most the
target. An exact problem is measured as drawn and moved (rotated, scaled and shifted). The larger
error counts. A missing or failed result reaches no target. The solver's curve is the empirical
distribution of the evaluations over all (problem, target). The score is the area A below this curve
on a logarithmic axis from :data:`FEWEST` to :data:`MOST` evaluations, as a mean over kinds of
problems. A is 1 if FEWEST evaluations reach every target, and 0 if no target is reached. Then

    exp((A_b - A_a) log(MOST / FEWEST))

is the geometric mean of ratios of evaluations, solver a's over solver b's. Evaluations outside the
axis count as its ends.

Intervals come from a bootstrap over problems. The n problems of one kind are a stratum. Drawing
n - 1 of them makes the variance unbiased (Rao and Wu 1988, JASA 83, 231-241). All solvers share the
draws, so that differences are paired. There are few problems, so half an interval is the standard
deviation of the replicates times a quantile of Student's t. Each problem beyond the first of its
kind adds a degree of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..text import Interval
from .submission import Curve, Submission

FloatArray = NDArray[np.float64]

FEWEST, MOST = 4.0, 100.0
"""Evaluations a sample at the ends of the axis."""
EXACT_TARGETS = tuple(10.0 ** (-1 - k / 4) for k in range(21))
"""Errors over the standard deviation of the data, from 1e-1 to 1e-6, on exact problems."""
NETWORK_TARGETS = tuple(2.0**k for k in range(9, -1, -1))
"""Distances over the floor, from 512 to 1, on networks."""
REPLICATES = 2000
LEVEL = 0.05

Statistic = Literal["error", "distance"]
"""Column of a curve that is compared with targets."""


def targets_of(statistic: Statistic) -> tuple[float, ...]:
    """Return the targets of a statistic, falling."""
    return EXACT_TARGETS if statistic == "error" else NETWORK_TARGETS


def evaluations_to_targets(
    curves: Sequence[Curve], statistic: Statistic, production: float = math.inf
) -> FloatArray:
    """Return the fewest evaluations ``(targets,)`` that reach a problem's targets; inf for never.

    Args:
        curves: variants of one problem, as drawn and moved. The worst counts at each budget.
        statistic: "error" or "distance".
        production: number of samples over which the evaluations of a solver's search are spread.
    """
    targets = np.array(targets_of(statistic))
    costs = np.array([curve.total_cost(production) for curve in curves]).max(axis=0)
    columns = [getattr(curve, statistic) for curve in curves]
    if not all(columns):
        return np.full(len(targets), math.inf)
    values = np.array([[math.inf if v is None else v for v in column] for column in columns])
    reached = values.max(axis=0)[:, None] <= targets
    return np.where(reached, costs[:, None], math.inf).min(axis=0)


def area_of(evaluations: FloatArray) -> FloatArray:
    """Return the area below the curve, in [0, 1], of evaluations ``(…, targets)`` to targets."""
    with np.errstate(divide="ignore"):
        shares = np.log(MOST / evaluations) / math.log(MOST / FEWEST)
    return np.clip(shares, 0.0, 1.0).mean(axis=-1)


@dataclass(frozen=True, eq=False)
class Score:
    """Score of a solver.

    Attributes:
        evaluations: ``(problems, targets)``; inf for a target that is never reached.
        area: mean area over the kinds of problems.
        replicates: ``(REPLICATES,)`` areas of the bootstrap, whose draws all solvers share.
        freedom: degrees of freedom of the replicates' variance; 0 without an interval.
    """

    evaluations: FloatArray
    area: float
    replicates: FloatArray
    freedom: int

    @property
    def interval(self) -> Interval:
        """Area with its interval, within [0, 1]; the ends are NaN if ``freedom`` is 0."""
        reach = _reach(self.replicates, self.freedom)
        low, high = np.clip([self.area - reach, self.area + reach], 0.0, 1.0)
        return Interval(self.area, float(low), float(high))

    def relative_to(self, other: Score) -> Interval:
        """Return the ratio of evaluations, this solver's over the other's, with its interval."""
        span, difference = math.log(MOST / FEWEST), other.area - self.area
        reach = _reach(other.replicates - self.replicates, self.freedom)
        ends = difference, difference - reach, difference + reach
        return Interval(*(math.exp(span * end) for end in ends))

    def chance_behind(self, other: Score) -> float:
        """Return the chance, given the data, that ``other`` has the larger area on new problems.

        It is 0.5 if ``freedom`` is 0 or the areas are equal.
        """
        from scipy.stats import t  # here: pages need it, runs do not

        difference = self.replicates - other.replicates
        spread = float(difference.std())
        if not self.freedom or self.area == other.area:
            return 0.5
        if spread == 0:
            return float(self.area < other.area)
        return float(t.cdf((other.area - self.area) / spread, self.freedom))

    def reached_share(self, evaluations: float = MOST) -> float:
        """Return the share of all targets, in [0, 1], reached with at most ``evaluations``."""
        return float((self.evaluations <= evaluations).mean())


@dataclass(frozen=True)
class Problem:
    """Problem of a suite: its name on the board, and the kind that is its stratum."""

    name: str
    kind: str


def score(
    evaluations: FloatArray, problems: Sequence[Problem], within: float | None = None
) -> Score:
    """Return the score for evaluations to targets ``(problems, targets)``.

    If ``within`` is given, shares of targets reached in at most so many evaluations replace areas.
    """
    areas = area_of(evaluations) if within is None else (evaluations <= within).mean(axis=-1)
    kinds: dict[str, list[int]] = {}
    for place, problem in enumerate(problems):
        kinds.setdefault(problem.kind, []).append(place)
    rng = np.random.default_rng(2026)
    means, replicates = [], []
    for places in kinds.values():
        own = areas[places]
        drawn = rng.integers(len(own), size=(REPLICATES, max(1, len(own) - 1)))
        means.append(own.mean())
        replicates.append(own[drawn].mean(axis=1))
    freedom = len(problems) - len(kinds)
    return Score(evaluations, float(np.mean(means)), np.mean(replicates, axis=0), freedom)


def _reach(replicates: FloatArray, freedom: int) -> float:
    """Return half the width of a 95 % interval; NaN without a degree of freedom."""
    from scipy.stats import t  # here: pages need it, runs do not

    return float(replicates.std() * t.ppf(1 - LEVEL / 2, freedom)) if freedom else math.nan


def score_submission(
    submission: Submission,
    problems: Sequence[Problem],
    statistic: Statistic,
    production: float = math.inf,
) -> Score | None:
    """Return a submission's score; None for a stochastic solver if ``statistic`` is "error".

    A problem without measurements counts as one on which no target is reached. For "error", so does
    a problem that was measured only as drawn or only moved.
    """
    variants = 2 if statistic == "error" else 1
    if statistic == "error" and submission.solver.stochastic:
        return None
    curves: dict[str, list[Curve]] = {}
    for curve in submission.curves:
        curves.setdefault(curve.problem, []).append(curve)
    never = np.full(len(targets_of(statistic)), math.inf)
    rows = [
        evaluations_to_targets(curves[problem.name], statistic, production)
        if len(curves.get(problem.name, ())) >= variants
        else never
        for problem in problems
    ]
    return score(np.stack(rows), problems)


def ranks(scores: Mapping[str, Score]) -> dict[str, int]:
    """Return the rank of each solver, by name. The largest area has rank 1; ranks may be shared.

    By falling area, a solver significantly worse than the current rank's first begins a new rank.
    Bonferroni's rule holds the chance of any false decision at :data:`LEVEL`. The rule counts all
    pairs of solvers, since the data choose the compared pairs.
    """
    order = sorted(scores, key=lambda name: -scores[name].area)
    pairs = max(1, len(order) * (len(order) - 1) // 2)
    found: dict[str, int] = {}
    leader = ""
    for place, name in enumerate(order):
        chance = 2 * scores[leader].chance_behind(scores[name]) if leader else 0.0
        if chance <= LEVEL / pairs:
            leader = name
            found[name] = place + 1
        else:
            found[name] = found[leader]
    return found
