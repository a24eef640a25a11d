r"""A measured value with what each sample contributes to it, and the difference of two of them from
shared latents.

To first order every quality metric is a mean over samples: value = truth + mean IF(x_i). Fréchet
distances and KID come with their influence values; a root mean square r = sqrt(mean e²) has, by the
delta method, IF_i = (e_i² - r²) / (2 r). So one formula serves them all: with N_a and N_b samples,
of which the first n come from the same latents,

    Var(value_b - value_a) = Var_a / N_a + Var_b / N_b - 2 n Cov_ab / (N_a N_b),

where the covariance is that of the n shared samples. With N_a = N_b = n it is Var(IF_b - IF_a) / n;
with n = 0, two independent runs.

Where latents are shared but influence values are missing, as in a table alone, the covariance may
have either sign: a sampler whose samples spread too little and one whose spread too much have
opposite influences. Then the error is at most se_a + se_b, each at least as long as the longer half
of its interval: the rule of intervals that do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..intervals import bounds
from ..quantities import Quantity, judged
from ..record import Record
from ..text import Z95
from ..values import number, text


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured value.

    Attributes:
        value: the value.
        se: its standard error; None if it is not known.
        influence: ``(n,)`` first-order contribution of each sample, in the order of the samples;
            None if it was not kept.
        reference: ``(m,)`` that of each reference sample, where the reference is a sample too.
        reach: the longer half of its 95 % interval in units of 1.96, where the interval is not
            ``value`` ± 1.96 ``se``.
    """

    value: float
    se: float | None
    influence: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    reach: float = 0.0

    def same(self, other: Estimate) -> bool:
        """Whether two estimates are equal bit by bit, influence values included where both kept
        them.
        """
        sides = ((self.influence, other.influence), (self.reference, other.reference))
        kept = all(a is None or b is None or np.array_equal(a, b) for a, b in sides)
        return kept and (self.value, self.se) == (other.value, other.se)


@dataclass(frozen=True)
class Difference:
    """``b - a`` of two estimates.

    Attributes:
        value: the difference.
        se: its standard error; None if it is not known.
        paired: on how many samples from the same latents it rests; 0 for two independent runs.
    """

    value: float
    se: float | None
    paired: int


def default_quantity(
    rows: Iterable[Record], among: Sequence[Quantity] | None = None
) -> Quantity | None:
    """The quantity that the rows of one model are judged by unless somebody asks for another.

    None if none has a value.

    The first of ``among``, or of all that verdicts can be about, that has one; but where that is a
    distance to the data, and the model's own error dominates it in some row, the distance to
    converged samples of the same model, if it was measured.
    """
    rows = list(rows)
    among = judged() if among is None else among
    there = [
        quantity for quantity in among if any(row.get(quantity.name) is not None for row in rows)
    ]
    conv = next((quantity for quantity in there if quantity.name == "fd_conv"), None)
    if conv is not None and there[0].to_data and any(dominated(row) for row in rows):
        return conv
    return next(iter(there), None)


def dominated(row: Record) -> bool:
    """Whether the model's own error dominates a row's distance to the data."""
    return row.get("dominated") is True or text(row, "dominated").lower() in ("true", "yes", "1")


def estimate_of(row: Record, arrays: Mapping[str, NDArray], quantity: Quantity) -> Estimate | None:
    """What a row and its ``influence.npz`` say of a quantity; None if the row has no value."""
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
    if quantity.root and influence is not None:
        influence = (
            (np.square(influence) - value**2) / (2 * value)
            if value > 0
            else np.zeros_like(influence)
        )
    reach = max((abs(end - value) / Z95 for end in bounds(row, quantity.name) or ()), default=0.0)
    return Estimate(value, number(row, quantity.se), influence, reference, reach)


def difference(a: Estimate, b: Estimate, *, same_latents: bool | None) -> Difference:
    """``b - a`` and its standard error.

    Args:
        a: an estimate.
        b: another one.
        same_latents: whether sample i of both starts from the same latent: if so, the error is
            paired where both kept what each sample contributes. False for independent runs. None
            where nobody knows: then, as where influence values are missing, the error is the
            largest that it can be.
    """
    value = b.value - a.value
    if same_latents and a.influence is not None and b.influence is not None:
        sides = [(a.influence, b.influence)]
        if a.reference is not None and b.reference is not None:
            sides.append((a.reference, b.reference))
        variance = sum(_variance(*side) for side in sides)
        return Difference(
            value, math.sqrt(variance) if math.isfinite(variance) else None, min(map(len, sides[0]))
        )
    if a.se is None or b.se is None:
        return Difference(value, None, 0)
    return Difference(
        value,
        math.hypot(a.se, b.se)
        if same_latents is False
        else max(a.se, a.reach) + max(b.se, b.reach),
        0,
    )


def _variance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Variance of mean b - mean a, the first min(len) entries being pairs.

    Not finite for fewer than two.
    """
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
