r"""Race of configurations on more and more latents, which drops those shown to be worse.

Let e_i be the distance of sample i from the converged endpoint of its latent. The error of a configuration is the
geometric mean exp(mean log e_i). A root mean square would depend on one latent in a hundred. Such a latent lies near
a boundary of the flow, and ends elsewhere with every sampler of few steps (docs/how-to/advise.md).

All configurations run on latents 0 … n_1 - 1. The survivors run on the next latents, up to n_2 = 2 n_1, and so on.
After round k, one-sided paired tests drop configurations that are worse than the leader. The level of a test is

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha.

If the leader were fixed beforehand, all rounds together would drop an equal configuration with probability <= alpha
(:func:`samplerbench.results.comparison.significance.level_of_test`). The same latents choose the leader, so
the probability is larger. A field is a group of configurations, such as the samplers of a library. A configuration
stays in the race while it may be the best of one of its fields.

Configurations with distances a_i and b_i differ by the mean of log(a_i / b_i), with the standard error of a mean. A
latent's effect on both cancels. Intervals are Student's, with n - 1 degrees of freedom. The first round compares
hundreds of configurations with the luckiest, on four latents. By chance, the standard deviation of four differences
may be far too small. So the test (:func:`is_worse`) moderates the variance with the prior :data:`PRIOR`, of
:data:`PRIOR_FREEDOM` degrees of freedom (Smyth 2004, doi:10.2202/1544-6115.1027, section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...results.comparison.significance import level_of_test
from .answer import Value

Squares = NDArray[np.float64]
"""Squared distances ``(n,)`` of samples to endpoints, mean over dimensions; inf if not finite."""

EXACT = np.finfo(float).tiny
"""Smallest squared distance that counts, so that logarithms are finite. Smaller ones are raised to it."""
PRIOR, PRIOR_FREEDOM = 0.3, 4
"""Prior standard deviation of log distance ratios (0.2 to 0.5 on networks); degrees of freedom."""


class LogEstimate(NamedTuple):
    """Mean of ``n`` logarithms with its standard error."""

    value: float
    se: float
    n: int

    def interval(self) -> Value:
        """Return exp(``value``) with its 95 % interval, flagged if ``se`` is not finite."""
        if self.n < 2 or not math.isfinite(self.value):
            value = math.inf if math.isnan(self.value) else math.exp(self.value)
            return Value(value, 0.0, math.inf, "too few samples, or some are not finite")
        reach = float(stats.t.ppf(0.975, self.n - 1)) * self.se
        low, high = (math.exp(min(self.value + sign * reach, 700.0)) for sign in (-1, 1))
        return Value(math.exp(self.value), low, high)


def log_distances(squares: Squares) -> NDArray[np.float64]:
    """Return the logarithms ``(n,)`` of distances, given their squares ``(n,)``."""
    return 0.5 * np.log(np.maximum(squares, EXACT))


def geometric_mean(squares: Squares) -> float:
    """Return the error of a configuration: the geometric mean of its distances."""
    return float(np.exp(log_distances(squares).mean()))


def log_error(squares: Squares) -> LogEstimate:
    """Return the logarithm of a configuration's error, with its standard error."""
    return _log_estimate_of(log_distances(squares))


def log_ratio(a: Squares, b: Squares) -> LogEstimate:
    """Return the mean of log(distance of a / distance of b), on the latents that both have."""
    n = min(len(a), len(b))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        return _log_estimate_of(log_distances(a[:n]) - log_distances(b[:n]))


def is_worse(a: Squares, b: Squares, level: float) -> bool:
    """Return True if a one-sided test at ``level`` shows ``a`` to have the larger error."""
    ratio = log_ratio(a, b)
    if ratio.value == math.inf:
        return True
    if not ratio.value > 0 or ratio.n < 2:
        return False
    own = ratio.n - 1
    freedom = own + PRIOR_FREEDOM
    variance = (own * ratio.n * ratio.se**2 + PRIOR_FREEDOM * PRIOR**2) / freedom
    return ratio.value / math.sqrt(variance / ratio.n) > float(stats.t.ppf(1 - level, freedom))


def _log_estimate_of(terms: NDArray[np.float64]) -> LogEstimate:
    n = len(terms)
    has_spread = n > 1 and bool(np.isfinite(terms).all())
    se = float(terms.std(ddof=1) / math.sqrt(n)) if has_spread else math.inf
    return LogEstimate(float(terms.mean()), se, n)


LEVEL = 0.05
"""alpha: sum of the levels of the tests of all rounds."""
HOPELESS = 4.0
"""Multiple of the best error. Configurations above it at two budgets in a row are given up."""

Measurements = TypeVar("Measurements", bound=Sized)
"""Measurements of one configuration. Their length is the number of latents."""

Measure = Callable[[Sequence[int], int, int], Iterable[tuple[int, Measurements | None]]]
"""Function of configurations' numbers, ``start`` and ``stop``. It yields each number with its
measurements on latents ``start`` … ``stop - 1``, or None for a failure.
"""

Late = Callable[[], bool]
"""Function that returns True once the time is up."""

Keep = Callable[[Sequence[int], Mapping[int, Any], int], set[int]]
"""Function of a field's configurations (best first), measurements and round; returns survivors."""


def never() -> bool:
    """Return False: the time is never up."""
    return False


def keep_not_worse(
    ranked: Sequence[int], values: Mapping[int, Squares], round_number: int
) -> set[int]:
    """Return members of ``ranked`` not shown to be worse than its first, after round ``round_number``."""
    level, leader = level_of_test(round_number, 1, LEVEL), values[ranked[0]]
    return {number for number in ranked if not is_worse(values[number], leader, level)}


def is_hopeful(errors: Sequence[float], best: Sequence[float]) -> bool:
    """Return False if the errors at the last two budgets exceed HOPELESS times the best errors."""
    last = list(zip(errors, best, strict=True))[-2:]
    return len(last) < 2 or any(error <= HOPELESS * least for error, least in last)


def append_squares(before: Squares | None, more: Squares) -> Squares:
    """Return ``before`` followed by ``more``, or ``more`` alone if ``before`` is None."""
    return more if before is None else np.concatenate([before, more])


@dataclass
class Race(Generic[Measurements]):
    """Race of configurations, which have numbers as names. A call runs the race.

    Attributes:
        fields: configurations of each field in order of trial, by the name of the field.
        latents_by_round: total number of latents after each round, rising.
        measure, keep: functions as :data:`Measure` and :data:`Keep` describe.
        score: function from measurements to a score; the smallest score is best.
        join: function that joins earlier measurements (None if there are none) with further measurements.
        late: function that returns True if the time is up; called after each round.
        to_the_end: True to measure on all latents, even if each field has one survivor earlier.
        least: number of latents up to which rounds continue even if the time is up.
        measurements: measurements by configuration, dropped ones included.
        failed: configurations that have no samples.
        same: by merged configuration, the earlier configuration of equal distances that races in its place.
    """

    fields: Mapping[str, Sequence[int]]
    latents_by_round: Sequence[int]
    measure: Measure[Measurements]
    keep: Keep = keep_not_worse
    score: Callable[[Any], float] = geometric_mean
    join: Callable[[Any, Any], Any] = append_squares
    late: Late = never
    to_the_end: bool = False
    least: int = 0
    measurements: dict[int, Measurements] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    same: dict[int, int] = field(default_factory=dict)
    _alive: dict[str, set[int]] = field(default_factory=dict, repr=False)

    def __call__(self) -> None:
        """Run the race until each field has one survivor, or latents or time are used up."""
        self._alive = {name: set(ids) for name, ids in self.fields.items()}
        order, start = list(dict.fromkeys(n for ids in self.fields.values() for n in ids)), 0
        for round_number, stop in enumerate(self.latents_by_round, 1):
            self._measure(order, start, stop)
            if round_number == 1:
                self._merge(order)
            reached = {n for n in order if len(self.measurements.get(n, ())) == stop}
            self.drop_unmeasured()
            for name, mine in self._alive.items():
                present = sorted(mine & reached, key=self._rank)
                if present:
                    kept = self.keep(present, self.measurements, round_number)
                    # configurations on fewer latents, for lack of time, may be as good
                    self._alive[name] = kept | (mine - reached)
            order = sorted(set().union(*self._alive.values()), key=self._rank)
            over = self.late() and stop >= self.least
            is_decided = all(len(mine) <= 1 for mine in self._alive.values())
            if not reached or over or (is_decided and not self.to_the_end):
                return
            start = stop

    def drop_unmeasured(self) -> None:
        """Remove configurations without measurements from all fields."""
        for mine in self._alive.values():
            mine &= set(self.measurements)

    def survivors(self, name: str) -> list[int]:
        """Return the survivors of a field, sorted by number of latents, falling, then by score."""
        return sorted(self._alive[name], key=lambda n: (-len(self.measurements[n]), *self._rank(n)))

    def _rank(self, number: int) -> tuple[float, int]:
        return self.score(self.measurements[number]), number

    def _measure(self, order: Sequence[int], start: int, stop: int) -> None:
        for number, measurement in self.measure(order, start, stop):
            if measurement is None:
                self.failed.add(number)
                self.measurements.pop(number, None)
            else:
                self.measurements[number] = self.join(self.measurements.get(number), measurement)

    def _merge(self, order: Sequence[int]) -> None:
        """Merge each configuration into an earlier one with the same fields and distances."""
        first: dict[tuple[bytes, frozenset[str]], int] = {}
        for number in [n for n in order if n in self.measurements]:
            standing = self.measurements[number]
            if not isinstance(standing, np.ndarray):
                return
            mine = frozenset(name for name, numbers in self.fields.items() if number in numbers)
            other = first.setdefault((standing.tobytes(), mine), number)
            if other != number:
                self.same[number] = other
                del self.measurements[number]
