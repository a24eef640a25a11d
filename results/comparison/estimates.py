r"""Measured values with their influence per sample, and differences of two such values.

To first order every quality metric is a mean over samples: value = truth + mean IF(x_i), where IF
is the influence function. Let N_a and N_b samples be given, the first n of them from the same
latents. Then

    Var(value_b - value_a) = Var_a / N_a + Var_b / N_b - 2 n Cov_ab / (N_a N_b),

where the covariance is over the n shared samples. For N_a = N_b = n this is Var(IF_b - IF_a) / n.
For n = 0 the runs are independent.

Summaries of distances (:mod:`.endpoint_distances`) are functions of means. The root mean square r
is the root of a mean q of squares. The log of the typical error g is a trimmed mean of logarithms.
The error of a difference of means allows for unseen flips, and is multiplied by an exact slope:
r_b - r_a = (q_b - q_a) / (r_a + r_b), and g_b - g_a = (log g_b - log g_a) times the logarithmic
mean of g_a and g_b. The delta method's error is used if it is larger, since a slope ignores a
common factor of both values. Means of images allow for unseen flips too. If all samples of two
samplers coincide, those that were not drawn may differ: the range of the influence takes the place
of a flip's.

If latents may be shared but influence values are missing, the covariance may have either sign. Then
the error is se_a + se_b, the largest possible error. Each se is at least the longer half of its
interval, divided by 1.96.

A variance over n samples or pairs has n - 1 degrees of freedom. A sum of variances v_i with n_i has
(sum v_i)^2 / sum(v_i^2 / n_i) (Satterthwaite 1946).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..printed_values import interval_bounds
from ..quantities import Quantity, Summary, judged
from ..text import Z95
from ..values import Record, number
from .endpoint_distances import IMAGINARY_FLIPS, TRIM, largest_flip_square, typical_error
from .sample_shares import count_changes, share_error
from .significance import half_width_95


@dataclass(frozen=True, eq=False)
class Estimate:
    """Measured value with its errors and its influence per sample.

    Attributes:
        value: the value, in the units of the quantity.
        se: standard error, >= 0; None if unknown.
        influence: ``(n,)`` contribution of each sample, in order, to the mean that gives the value;
            squares for a root mean square, logarithms for a typical error. None if not stored.
        reference: ``(m,)`` contribution of each reference sample; None if there are none.
        reach: standard error that the longer half of the stored 95 % interval implies; 0 without one.
        summary: statistic over the samples.
        jump: ``influence`` of a flip, a sample that ends in another mode; its distance from other samples
            for a mean with :attr:`.Quantity.apart`; 0 for other means, and for shares.
        df: degrees of freedom of ``se``, > 0; inf for many.
    """

    value: float
    se: float | None
    influence: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    reach: float = 0.0
    summary: Summary = "mean"
    jump: float = 0.0
    df: float = math.inf

    def same(self, other: Estimate) -> bool:
        """Return True if value, error and the arrays that both have are exactly equal."""
        sides = ((self.influence, other.influence), (self.reference, other.reference))
        arrays_agree = all(a is None or b is None or np.array_equal(a, b) for a, b in sides)
        return arrays_agree and (self.value, self.se) == (other.value, other.se)


@dataclass(frozen=True)
class Difference:
    """Difference ``b - a`` of two estimates; ``se`` is None if unknown, and has ``df`` degrees of freedom.

    ``paired`` counts the samples from shared latents; 0 if the estimates were not paired.
    For shares of samples, ``changed`` counts the samples with the property in ``b`` alone, and the
    samples with the property in ``a`` alone. For other values it is None.
    """

    value: float
    se: float | None
    paired: int
    changed: tuple[int, int] | None = None
    df: float = math.inf

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of ``value``; None if ``se`` is."""
        reach = None if self.se is None else half_width_95(self.df) * self.se
        return None if reach is None else (self.value - reach, self.value + reach)


def default_quantity(
    rows: Iterable[Record], among: Sequence[Quantity] | None = None
) -> Quantity | None:
    """Return the quantity that rows of one model are compared by; None if none has a value.

    This is the first quantity of ``among`` (None: all quantities with verdicts) that has a value in
    some row. If this is a distance to the data, and the model's own error dominates it in some row,
    a measured ``fd_conv`` takes its place.
    """
    rows = list(rows)
    among = judged() if among is None else among
    measured = [
        quantity for quantity in among if any(row.get(quantity.name) is not None for row in rows)
    ]
    conv = next((quantity for quantity in measured if quantity.name == "fd_conv"), None)
    if conv is not None and measured[0].to_data and any(is_dominated(row) for row in rows):
        return conv
    return next(iter(measured), None)


def is_dominated(row: Record) -> bool:
    """Return True if a row records that the model's error dominates its distance to the data."""
    return row.get("dominated") is True


def estimate_of(row: Record, arrays: Mapping[str, NDArray], quantity: Quantity) -> Estimate | None:
    """Return a quantity's estimate from a row and its ``influence.npz``; None without a value."""
    value = number(row, quantity.name)
    if value is None:
        return None
    influence, reference = (
        None if key not in arrays else np.asarray(arrays[key], np.float64)
        for key in (quantity.influence, quantity.reference_influence)
    )
    # influence of the samples alone would understate the error
    if quantity.reference_influence and reference is None:
        influence = None
    stored = number(row, f"{quantity.name}_low") is not None
    ends = interval_bounds(row, quantity.name) if stored else None
    df = max(number(row, "samples") or math.inf, 2) - 1
    unit = Z95 if quantity.summary == "mean" else half_width_95(df)
    reach = max((abs(end - value) / unit for end in ends or ()), default=0.0)
    se, jump = number(row, quantity.se), 0.0
    if quantity.summary != "mean" and se is not None:
        se = max(se, reach)  # the longer half of the interval allows for unseen flips
    if influence is not None and quantity.apart:
        scale = number(row, quantity.apart) or 0.0
        if quantity.summary == "mean":
            jump = float(np.abs(influence - scale).max())
            se = None if se is None else math.hypot(se, IMAGINARY_FLIPS * jump / len(influence))
        elif quantity.summary == "typical":
            _, influence, jump, _ = typical_error(influence, scale)
        else:
            influence, jump = np.square(influence), largest_flip_square(influence, scale)
    return Estimate(value, se, influence, reference, reach, quantity.summary, jump, df)


def difference(a: Estimate, b: Estimate, *, same_latents: bool | None) -> Difference:
    """Return ``b - a`` with its standard error.

    ``same_latents`` is True if sample i of both starts from the same latent, False for independent
    runs, None if unknown. The error is paired, from influence values, if the latents are the same
    and both sides have these values. For independent runs, it is the root of the sum of both
    squared errors. In all other cases it is the sum of both errors, the largest possible error.

    A paired difference of shares uses only the samples that both sides have. A paired difference of
    means does so if this lowers its error.
    """
    value = b.value - a.value
    if same_latents and a.influence is not None and b.influence is not None:
        sides = [(a.influence, b.influence)]
        if a.reference is not None and b.reference is not None:
            sides.append((a.reference, b.reference))
        paired = min(map(len, sides[0]))
        if a.summary == "share":
            changed = count_changes(a.influence, b.influence)
            if len(a.influence) != len(b.influence):
                value = (changed[0] - changed[1]) / paired
            return Difference(value, share_error(*changed, paired), paired, changed)
        ours, theirs = shared = (a.influence[:paired], b.influence[:paired])
        if a.summary == "mean" and (
            _variance_of_difference(*shared) < _variance_of_difference(*sides[0])
        ):
            value += theirs.mean() - b.influence.mean() - ours.mean() + a.influence.mean()
            sides[0] = shared
        variances = [_variance_of_difference(*side) for side in sides]
        counts = [min(map(len, side)) for side in sides]
        if a.summary == "typical":  # the omitted values do not count (Yuen 1974)
            counts[0] -= 2 * int(TRIM * paired)
        df = _joint_df(variances, [count - 1 for count in counts])
        variance = sum(variances)
        jump = max(a.jump, b.jump)
        if not jump and not variance:  # samples that were not drawn may differ
            jump = max(map(float, map(np.ptp, shared)))
        unseen = IMAGINARY_FLIPS * jump / paired
        if a.summary == "mean":
            variance += unseen**2
        else:
            by_delta = _variance_of_difference(
                _secant_slope(a, a) * a.influence, _secant_slope(b, b) * b.influence
            )
            variance = max(_secant_slope(a, b) ** 2 * (variance + unseen**2), by_delta)
        se = math.sqrt(variance) if math.isfinite(variance) else None
        return Difference(value, se, paired, df=df)
    if a.se is None or b.se is None:
        return Difference(value, None, 0)
    if same_latents is False:
        df = _joint_df([a.se * a.se, b.se * b.se], [a.df, b.df])
        return Difference(value, math.hypot(a.se, b.se), 0, df=df)
    se = max(a.se, a.reach) + max(b.se, b.reach)
    return Difference(value, se, 0, df=min(a.df, b.df))


def _joint_df(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Return the degrees of freedom of a sum of independent variances; inf for a sum of 0, inf or NaN."""
    total = sum(variances)
    if not 0 < total < math.inf:
        return math.inf
    # shares, since squares of a diverged sampler's variances are beyond the largest number
    squares = sum((v / total) ** 2 / df for v, df in zip(variances, dfs, strict=True) if df > 0)
    return 1 / squares if squares > 0 else math.inf


def _secant_slope(a: Estimate, b: Estimate) -> float:
    """Return the slope (b - a) / (m_b - m_a) of two summaries of distances over their means m.

    The means are of squares or logarithms. For equal summaries, the slope is the derivative.
    """
    low, high = sorted((a.value, b.value))
    if a.summary == "root mean square":
        return 1 / (low + high) if high > 0 else 0.0
    ratio = math.log(high / low) if low > 0 else 0.0
    return (high - low) / ratio if ratio > 1e-6 else high


def _variance_of_difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the variance of mean(b) - mean(a), with a[i] and b[i] paired; NaN below two pairs."""
    n = min(len(a), len(b))
    if n < 2:
        return math.nan
    if len(a) == len(b):
        return float((b - a).var(ddof=1)) / n
    covariance = float(np.cov(a[:n], b[:n])[0, 1])
    return max(
        0.0,
        float(a.var(ddof=1)) / len(a)
        + float(b.var(ddof=1)) / len(b)
        - 2 * n * covariance / (len(a) * len(b)),
    )
