r"""Measured values with their influence per sample, and differences of two values from shared
latents.

To first order every quality metric is a mean over samples: value = truth + mean IF(x_i). Fréchet
distances and KID come with their influence values. So one formula serves them all: with N_a and N_b
samples, of which the first n come from the same latents,

    Var(value_b - value_a) = Var_a / N_a + Var_b / N_b - 2 n Cov_ab / (N_a N_b),

where the covariance is over the n shared samples. With N_a = N_b = n it is Var(IF_b - IF_a) / n;
with n = 0, two independent runs.

Summaries of distances are means on a scale of their own: a root mean square r of the squares, a
typical error g of trimmed logarithms (:mod:`.distances`). Their differences are taken there, where
the law is tame, and brought back by an exact slope: r_b - r_a = (q_b - q_a) / (r_a + r_b), and
g_b - g_a = (log g_b - log g_a) times the logarithmic mean of the two. Flips that the samples do not
show are allowed for in either. A slope does not see that both values may be off by one factor, so
the error is the delta method's where that is larger.

Where latents are shared but influence values are missing, as in a table alone, the covariance may
have either sign. Samplers whose samples spread too little and too much have opposite influences.
Then the error is at most se_a + se_b, each at least as long as the longer half
of its interval: the rule of intervals that do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..intervals import interval_bounds
from ..quantities import Quantity, Summary, judged
from ..record import Record
from ..text import Z95
from ..values import number
from .distances import IMAGINARY_FLIPS, largest_flip_square, typical_error
from .shares import count_changes, share_error


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured value, with its standard error if that is known.

    Attributes:
        influence: ``(n,)`` contribution of each sample, in the order of the samples, on the scale
            on which the value is a mean; None if it was not kept.
        reference: ``(m,)`` contribution of each reference sample, if the reference is a sample too.
        reach: the longer half of its 95 % interval in units of 1.96, if not symmetric.
        summary: how the value sums up its samples, which says on what scale it is a mean.
        jump: what a sample that ends in another mode may add to the sum over samples, on the scale.
    """

    value: float
    se: float | None
    influence: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    reach: float = 0.0
    summary: Summary = "mean"
    jump: float = 0.0

    def same(self, other: Estimate) -> bool:
        """Return True if two estimates are equal bit by bit, influence values of both included."""
        sides = ((self.influence, other.influence), (self.reference, other.reference))
        arrays_agree = all(a is None or b is None or np.array_equal(a, b) for a, b in sides)
        return arrays_agree and (self.value, self.se) == (other.value, other.se)


@dataclass(frozen=True)
class Difference:
    """``b - a`` of two estimates; its error is None if not known.

    ``paired`` counts the samples from the same latents that it rests on; 0 for independent runs.
    ``changed``: of two shares, the samples with the property in ``b`` alone, and in ``a`` alone.
    """

    value: float
    se: float | None
    paired: int
    changed: tuple[int, int] | None = None


def default_quantity(
    rows: Iterable[Record], among: Sequence[Quantity] | None = None
) -> Quantity | None:
    """Return the default quantity of the rows of one model; None if none has a value.

    It is the first quantity of ``among`` (None: all judged ones) that some row has a value of. One
    exception: if that quantity is a distance to the data, the model's own error dominates some row, and
    ``fd_conv`` is in ``among`` and measured, it is ``fd_conv``.
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
    """Return True if the model's own error dominates a row's distance to the data."""
    return row.get("dominated") is True


def estimate_of(row: Record, arrays: Mapping[str, NDArray], quantity: Quantity) -> Estimate | None:
    """Return the estimate of a quantity from a row and its ``influence.npz``; None without a value."""
    value = number(row, quantity.name)
    if value is None:
        return None
    influence, reference = (
        None if key not in arrays else np.asarray(arrays[key], np.float64)
        for key in (quantity.influence, quantity.reference_influence)
    )
    # one side alone would understate the error
    if quantity.reference_influence and reference is None:
        influence = None
    reach = max(
        (abs(end - value) / Z95 for end in interval_bounds(row, quantity.name) or ()), default=0.0
    )
    se, jump = number(row, quantity.se), 0.0
    if quantity.summary != "mean" and se is not None:
        se = max(se, reach)  # unpaired, flips that were not seen count too
    if influence is not None and quantity.apart:
        scale = number(row, quantity.apart) or 0.0
        if quantity.summary == "typical":
            _, influence, jump, _ = typical_error(influence, scale)
        else:
            influence, jump = np.square(influence), largest_flip_square(influence, scale)
    return Estimate(value, se, influence, reference, reach, quantity.summary, jump)


def difference(a: Estimate, b: Estimate, *, same_latents: bool | None) -> Difference:
    """Return ``b - a`` with its standard error.

    With ``same_latents`` sample i of both starts from the same latent: the error is paired where
    both kept what each sample contributes. False is for independent runs. None is for what is not
    known: then, as without influence values, the error is the largest possible.
    """
    value = b.value - a.value
    if same_latents and a.influence is not None and b.influence is not None:
        sides = [(a.influence, b.influence)]
        if a.reference is not None and b.reference is not None:
            sides.append((a.reference, b.reference))
        paired = min(map(len, sides[0]))
        if a.summary == "share":
            changed = count_changes(a.influence, b.influence)
            return Difference(value, share_error(*changed, paired), paired, changed)
        variance = sum(_variance_of_difference(*side) for side in sides)
        if a.summary != "mean":
            unseen = IMAGINARY_FLIPS * max(a.jump, b.jump) / paired
            by_delta = _variance_of_difference(
                _derivative_of_value(a) * a.influence, _derivative_of_value(b) * b.influence
            )
            variance = max(_secant_slope(a, b) ** 2 * (variance + unseen**2), by_delta)
        return Difference(value, math.sqrt(variance) if math.isfinite(variance) else None, paired)
    if a.se is None or b.se is None:
        return Difference(value, None, 0)
    if same_latents is False:
        return Difference(value, math.hypot(a.se, b.se), 0)
    return Difference(value, max(a.se, a.reach) + max(b.se, b.reach), 0)


def _secant_slope(a: Estimate, b: Estimate) -> float:
    """Return the difference of two summaries of distances over that of their underlying means."""
    low, high = sorted((a.value, b.value))
    if a.summary == "root mean square":
        return 1 / (low + high) if high > 0 else 0.0
    ratio = math.log(high / low) if low > 0 else 0.0
    return (high - low) / ratio if ratio > 1e-6 else high


def _derivative_of_value(a: Estimate) -> float:
    """Return the derivative of a summary of distances by the mean that it is computed from."""
    if a.summary == "root mean square":
        return 1 / (2 * a.value) if a.value > 0 else 0.0
    return a.value


def _variance_of_difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the variance of mean b - mean a, the first min(len) entries paired; NaN for under 2."""
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
