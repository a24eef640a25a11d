r"""A measured value with what each sample contributes to it, and the difference of two of them from shared latents.

To first order every quality metric is a mean over samples: value = truth + mean IF(x_i). Fréchet distances and KID come with their
influence values; a root mean square r = sqrt(mean e²) has, by the delta method, IF_i = (e_i² - r²) / (2 r). So one formula serves them all:
with N_a and N_b samples, of which the first n come from the same latents,

    Var(value_b - value_a) = Var_a / N_a + Var_b / N_b - 2 n Cov_ab / (N_a N_b),

where the covariance is that of the n shared samples. With N_a = N_b = n it is Var(IF_b - IF_a) / n; with n = 0, two independent runs.

Where latents are shared but influence values are missing, as in a table alone, the covariance may have either sign: a sampler whose samples
spread too little and one whose spread too much have opposite influences. Then the error is at most se_a + se_b, each at least as long as
the longer half of its interval: the rule of intervals that do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bounds import bounds
from .record import Record
from .text import Z95
from .values import number, text


@dataclass(frozen=True)
class Quantity:
    """A column that two rows can be compared by; lower is better in all of them.

    Attributes:
        name: column of the value.
        se: column of its standard error.
        key: array of ``influence.npz`` with one value per sample.
        reference: array with one value per reference sample, where the reference side is a sample too; "" where it is fixed.
        root: whether the arrays hold distances e_i, of which the value is the root mean square.
        resolution: column that says how small a value can be told from 0; "" if there is none.
        to_data: whether it measures a distance to the data, in which the model's own error is contained.
        flag: column that says why the standard error is not to be trusted; "" if there is none.
    """

    name: str
    se: str
    key: str
    reference: str = ""
    root: bool = False
    resolution: str = ""
    to_data: bool = False
    flag: str = ""


QUANTITIES: tuple[Quantity, ...] = (
    Quantity("fid_proxy", "fid_proxy_se", "influence", resolution="fid_proxy_floor_se", to_data=True, flag="fid_flag"),
    Quantity("fd_conv", "fd_conv_se", "fd_conv", reference="fd_conv_reference", resolution="fid_proxy_floor_se", flag="fd_conv_flag"),
    Quantity("kid", "kid_se", "kid", reference="kid_reference", to_data=True),
    Quantity("rmse", "rmse_se", "distance", root=True, resolution="rmse_resolution"),
    Quantity("strong_error", "strong_error_se", "strong", root=True, resolution="strong_resolution"),
)
"""What can be compared, the first that a run has being the default."""

FLAGS = {quantity.name: quantity.flag for quantity in QUANTITIES if quantity.flag}
"""The columns that say why an interval is not to be trusted, by the columns of the values."""


def flag_of(row: Record, name: str) -> str:
    """Why the interval of column ``name`` is not to be trusted; "" if it is, or has none."""
    return text(row, FLAGS[name]) if name in FLAGS else ""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A measured value.

    Attributes:
        value: the value.
        se: its standard error; None if it is not known.
        influence: ``(n,)`` first-order contribution of each sample, in the order of the samples; None if it was not kept.
        reference: ``(m,)`` that of each reference sample, where the reference is a sample too.
        reach: the longer half of its 95 % interval in units of 1.96, where the interval is not ``value`` ± 1.96 ``se``.
    """

    value: float
    se: float | None
    influence: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    reach: float = 0.0

    def same(self, other: Estimate) -> bool:
        """Whether the numbers are the same, bit by bit, and what each sample contributes as well, where both kept it."""
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


def quantity_of(name: str) -> Quantity:
    """The quantity of a column: one of :data:`QUANTITIES`, or else the column with ``NAME_se`` for its error and nothing per sample."""
    return next((quantity for quantity in QUANTITIES if quantity.name == name), Quantity(name, f"{name}_se", ""))


def spoken(rows: Iterable[Record], among: Sequence[Quantity] = QUANTITIES) -> Quantity | None:
    """The quantity that the rows of one model are judged by unless somebody asks for another; None if none has a value.

    The first of ``among`` that has one; but where that is a distance to the data, and the model's own error dominates it in some row,
    the distance to converged samples of the same model, if it was measured.
    """
    rows = list(rows)
    there = [quantity for quantity in among if any(row.get(quantity.name) is not None for row in rows)]
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
        None if key not in arrays else np.asarray(arrays[key], np.float64) for key in (quantity.key, quantity.reference)
    )
    if quantity.reference and reference is None:  # one side alone would understate the error
        influence = None
    if quantity.root and influence is not None:
        influence = (np.square(influence) - value**2) / (2 * value) if value > 0 else np.zeros_like(influence)
    reach = max((abs(end - value) / Z95 for end in bounds(row, quantity.name) or ()), default=0.0)
    return Estimate(value, number(row, quantity.se), influence, reference, reach)


def difference(a: Estimate, b: Estimate, *, same_latents: bool | None) -> Difference:
    """``b - a`` and its standard error.

    Args:
        a: an estimate.
        b: another one.
        same_latents: whether sample i of both starts from the same latent: if so, the error is paired where both kept what each sample
            contributes. False for independent runs. None where nobody knows: then, as where influence values are missing, the error is
            the largest that it can be.
    """
    value = b.value - a.value
    if same_latents and a.influence is not None and b.influence is not None:
        sides = [(a.influence, b.influence)]
        if a.reference is not None and b.reference is not None:
            sides.append((a.reference, b.reference))
        variance = sum(_variance(*side) for side in sides)
        return Difference(value, math.sqrt(variance) if math.isfinite(variance) else None, min(map(len, sides[0])))
    if a.se is None or b.se is None:
        return Difference(value, None, 0)
    return Difference(value, math.hypot(a.se, b.se) if same_latents is False else max(a.se, a.reach) + max(b.se, b.reach), 0)


def _variance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Variance of mean b - mean a, the first min(len) entries being pairs; not finite for fewer than two."""
    n = min(len(a), len(b))
    if n < 2:
        return math.nan
    if len(a) == len(b):
        return float((b - a).var(ddof=1)) / n
    covariance = float(np.cov(a[:n], b[:n])[0, 1])
    return max(0.0, float(a.var(ddof=1)) / len(a) + float(b.var(ddof=1)) / len(b) - 2 * n * covariance / (len(a) * len(b)))
