r"""Race: configurations are tried on more and more latents, and those that are shown to be worse than the
leader are dropped.

All run on latents 0 … n_1 - 1, the survivors on the next ones up to n_2 = 2 n_1, and so on. After
round k a configuration is dropped if a one-sided paired test says that it is worse than the leader, at the
level

    alpha_k = (6 / pi²) alpha / k²,        sum over all k: alpha,

so that one that is as good as the leaders is dropped, in any round, with a chance of alpha at most
(:func:`samplerbench.benchmarks.running.sequential.level_of_test`). A configuration can belong to several fields,
such as the samplers of a library: it stays as long as it may be the best of one of them.

With e_i the distance of sample i to the converged endpoint of its latent, the error is the geometric mean
exp(mean log e_i), and two configurations a and b differ by the mean of log(a_i / b_i), whose standard error
is a mean's. What a latent does to both alike cancels. Quantiles are Student's with n - 1 degrees of freedom.

A race begins with four latents, and compares each of hundreds with the luckiest. A few differences that happen
to be alike make a standard deviation that is far too small, so where a configuration is to be dropped
(:func:`is_worse`) the variance is moderated (Smyth 2004, doi:10.2202/1544-6115.1027, section 4): by
:data:`PRIOR_FREEDOM` degrees of freedom of :data:`PRIOR`, what good configurations differ by on networks.

A root mean square would be decided by the latent in a hundred that lies so near a boundary of the flow that it
ends elsewhere with every sampler of few steps (docs/advise.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..running.sequential import level_of_test
from .answer import Value

Squares = NDArray[np.float64]
"""``(n,)`` squared distances per dimension, of latents 0 … n - 1; infinite where a sample is."""

EXACT = 1e-24
"""Squares below this count as this."""
PRIOR, PRIOR_FREEDOM = 0.3, 4
"""Standard deviation of the logarithm of two configurations' distances; 0.2 to 0.5 was seen."""


class LogEstimate(NamedTuple):
    """Mean of logarithms with its standard error and its number of samples."""

    value: float
    se: float
    n: int

    def interval(self) -> Value:
        """Return the exponential of the mean with its 95 % interval; flagged where there is no error."""
        if self.n < 2 or not math.isfinite(self.value):
            value = math.exp(self.value) if math.isfinite(self.value) else math.inf
            return Value(value, 0.0, math.inf, "too few samples, or some are not finite")
        reach = float(stats.t.ppf(0.975, self.n - 1)) * self.se
        low, high = (math.exp(min(self.value + sign * reach, 700.0)) for sign in (-1, 1))
        return Value(math.exp(self.value), low, high)


def log_distances(squares: Squares) -> NDArray[np.float64]:
    """Return the logarithms ``(n,)`` of the distances."""
    return 0.5 * np.log(np.maximum(squares, EXACT))


def geometric_mean(squares: Squares) -> float:
    """Return the geometric mean of the distances, the error of a configuration."""
    return float(np.exp(log_distances(squares).mean()))


def log_error(squares: Squares) -> LogEstimate:
    """Return the logarithm of the error."""
    return _log_estimate_of(log_distances(squares))


def log_ratio(a: Squares, b: Squares) -> LogEstimate:
    """Return the logarithm of the ratio of the errors of ``a`` and ``b``, on the latents that both have."""
    n = min(len(a), len(b))
    with np.errstate(invalid="ignore"):  # infinite less infinite
        return _log_estimate_of(log_distances(a[:n]) - log_distances(b[:n]))


def is_worse(a: Squares, b: Squares, level: float) -> bool:
    """Return True if the error of ``a`` is shown to be larger than ``b``'s: a one-sided test at ``level``."""
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
"""alpha: the chance that one as good as the leaders is dropped."""
HOPELESS = 4.0
"""Multiple of the best error that, exceeded at two budgets in a row, excludes from larger ones."""

Standing = TypeVar("Standing", bound=Sized)
"""Measurements of a configuration, on as many latents as it is long."""

Measure = Callable[[Sequence[int], int, int], Iterable[tuple[int, Standing | None]]]
"""Measures configurations, by number, on latents ``start`` … ``stop - 1``, as far as there is time; None is a
failure.
"""


Keep = Callable[[Sequence[int], Mapping[int, Any], int], set[int]]
"""Rule for the survivors of one field: of its configurations ranked best first, their measurements, and the
number of the round.
"""


def keep_not_worse(ranked: Sequence[int], values: Mapping[int, Squares], look: int) -> set[int]:
    """Return the leader, and the configurations that are not shown to be worse."""
    level, leader = level_of_test(look, 1, LEVEL), values[ranked[0]]
    return {number for number in ranked if not is_worse(values[number], leader, level)}


def is_hopeful(errors: Sequence[float], best: Sequence[float]) -> bool:
    """Return True if the error of a configuration was near the least one at one of the last two budgets."""
    last = list(zip(errors, best, strict=True))[-2:]
    return len(last) < 2 or any(error <= HOPELESS * least for error, least in last)


def append_squares(before: Squares | None, more: Squares) -> Squares:
    """Append the squares of further latents to the known ones."""
    return more if before is None else np.concatenate([before, more])


@dataclass
class Race(Generic[Standing]):
    """One race.

    Attributes:
        fields: configurations by number, by the name of the field, in the order in which they are tried.
        rungs: numbers of latents, rising.
        measure, keep: see :data:`Measure` and :data:`Keep`.
        score: of the measurements, the less the better.
        join: puts further measurements to earlier ones.
        late: whether the time is up, asked after each round.
        to_the_end: whether a race goes on that is decided.
        least: latents that are looked at before the time that is up ends it.
        measurements: by configuration; those that were dropped keep theirs.
        failed: configurations that have no samples.
        same: those that make exactly the samples of another one, which is run in their place.
    """

    fields: Mapping[str, Sequence[int]]
    rungs: Sequence[int]
    measure: Measure[Standing]
    keep: Keep = keep_not_worse
    score: Callable[[Any], float] = geometric_mean
    join: Callable[[Any, Any], Any] = append_squares
    late: Callable[[], bool] = bool
    to_the_end: bool = False
    least: int = 0
    measurements: dict[int, Standing] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    same: dict[int, int] = field(default_factory=dict)
    _alive: dict[str, set[int]] = field(default_factory=dict, repr=False)

    def __call__(self) -> None:
        """Run it to its end: each field is decided, the latents are used up, or the time."""
        self._alive = {name: set(ids) for name, ids in self.fields.items()}
        order, start = list(dict.fromkeys(n for ids in self.fields.values() for n in ids)), 0
        for look, stop in enumerate(self.rungs, 1):
            self._measure(order, start, stop)
            if look == 1:
                self._merge(order)
            reached = {n for n in order if len(self.measurements.get(n, ())) == stop}
            self.drop_unmeasured()
            for name, mine in self._alive.items():
                present = sorted(mine & reached, key=self._rank)
                if present:
                    # where the time was up before one was measured as far, it is not shown to be worse
                    self._alive[name] = self.keep(present, self.measurements, look) | (
                        mine - reached
                    )
            order = sorted(set().union(*self._alive.values()), key=self._rank)
            over = self.late() and stop >= self.least
            is_decided = all(len(mine) <= 1 for mine in self._alive.values())
            if not reached or over or (is_decided and not self.to_the_end):
                return
            start = stop

    def drop_unmeasured(self) -> None:
        """Leave what was not measured out of all fields."""
        for mine in self._alive.values():
            mine &= set(self.measurements)

    def survivors(self, name: str) -> list[int]:
        """Return the survivors of a field, the ones on most latents first, and best first among these."""
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
        """Run what makes exactly the same samples once: the first of them, for each set of fields."""
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
