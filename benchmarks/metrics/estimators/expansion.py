r"""Expansion of the Fréchet distance to a fixed reference: value, influence and bias.

    FD = |mu2 - mu1|² + tr Sigma1 + tr Sigma2 - 2 tr (Sigma1 Sigma2)^½                       (Dowson and Landau 1982)

With Sigma1 = R R^T the last trace is sum_i s_i, where M = R^T Sigma2 R = Q diag(s²) Q^T. This is a
symmetric eigenproblem, which needs no complex number and no matrix square root.

**First order.** Let c = x - mu2 and z = diag(1/s) Q^T R^T c (whitened: E z z^T = I). Moving a
fraction t of the mass to x changes mu2 by t c and Sigma2 by t (c c^T - Sigma2), to first order in
t. It changes tr M^½ by tr(½ M^{-½} dM). Hence the influence function

    IF(x) = a(x) - E a,    a(x) = 2 (mu2 - mu1)^T c + |c|² - sum_i s_i z_i².

**Second order.** The unbiased covariance has E[dM] = 0. So the bias comes from |d mu2|², which
gives tr(Sigma2) / N, and from the curvature of the root. The second derivative of tr f(M) along E
is sum_ij E_ij² f'[λi, λj], with E in the eigenbasis of M and f'[,] the divided difference of f'.
For f = sqrt this divided difference is -1 / (2 s_i s_j (s_i + s_j)). Here E_ij = s_i s_j (mean of
z_i z_j - δ_ij), whose variance is s_i² s_j² (E[z_i² z_j²] - δ_ij) / N. Hence

    bias = E q(x) / N,    q(x) = |c|² + ½ sum_ij w_ij (z_i z_j - δ_ij)²,    w_ij = s_i s_j / (s_i + s_j).

Fourth moments are estimated from the samples: the Gaussian value 1 + 2 δ_ij would leave 20-50 % of
the bias for heavy tails. With N - 1 in place of N the bias would change by a part in N. The next
order of the bias is larger, a part in N / d. A covariance with 1/N would shift the plug-in by
(sum_i s_i - tr Sigma2) / N, which is as large as the bias for small d.

**Small eigenvalues.** No quotient in these formulas can blow up, since w_ij <= min(s_i, s_j). So a
direction in which Sigma2 nearly vanishes adds nearly nothing. A sampler that collapses Sigma2 is
measured as well as any other. :func:`resolved` leaves out eigenvalues at the level of rounding.

**Leverage: terms beyond second order.** A sample x with whitened coordinates z is part of the
covariance that x is compared with. Without its mass 1/n the cross term is S (I - z z^T / n) S with
S = diag(s). If the s_i are equal, or there is only one s_i, the root is known. With the leverage g
= |z|² / n, r = sqrt(1 - g) and p = sum_i s_i z_i²,

* the influence of x on the distance of the *others* has p / r, not p, which adds p (1 - r) / r;
* the mass of x adds (p / n) (1 - r) / (r (1 + r)) to the distance beyond first order.

Their leading terms, p g / 2 and p g / (4 n), are the second-order terms: 2 q / n in the influence
and q / n² in the bias. If the s_i differ, the leading terms agree for

    g = 2 sum_ij w_ij z_i² z_j² / (n p),

which is at most |z|² / n < 1, since w_ij <= (s_i + s_j) / 4.

The series in g fails for heavy tails, whose largest samples have g > ½ at 15 samples a feature. For
light tails all samples have a leverage of about d / n. Their terms form a power series in 1 / n,
which the extrapolation of :mod:`.frechet` removes better, as it includes pairs of samples. So the
terms of a sample of mean leverage are subtracted here.

**Covariance of the other samples.** Without its own mass, x is compared with the root of the
covariance of the other n - 1 samples. The inverse root of a sample covariance S (I + D) S with E D
= 0 is too large: E (I + D)^{-½} = I + 3/8 E D². For elliptical samples and equal s_i this is I (1 +
3/8 G), with G the mean leverage weighted by p. The influence along the radius, where heavy tails
vary, is then too small: 3/8 G p is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FloatArray, Moments, Rows
from .second_order import Blocks, Noise, compute_noise


def leverage_corrections(along: FloatArray, pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return terms ``(n,)`` for bias and influence that are due to each sample's leverage (module).

    Add the sum of the first to the bias; subtract the second from the influence. Terms of a sample
    of mean leverage are left out, and the second includes -3/8 G p. ``along`` is p, and ``pairs``
    is sum_ij w_ij z_i² z_j².
    """
    n, whole = len(along), float(along.sum())
    if whole == 0:
        return np.zeros(n), np.zeros(n)
    leverage = 2 * np.divide(pairs, n * along, out=np.zeros(n), where=along > 0)
    mean = 2 * float(pairs.sum()) / (n * whole)
    of_each, of_mean = _higher_order_factors(leverage), _higher_order_factors(np.array(mean))
    bias = along * (of_each[0] - of_mean[0]) / n
    return bias, along * (of_each[1] - of_mean[1] - 3 / 8 * mean)


def _higher_order_factors(leverage: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (1 - r) / (r (1 + r)) - g / 4 and (1 - r) / r - g / 2 (module), g = ``leverage``."""
    r = np.sqrt(1 - np.minimum(leverage, 1 - 1e-12))
    return (1 - r) / (r * (1 + r)) - leverage / 4, (1 - r) / r - leverage / 2


SAMPLES_PER_FEATURE = 15
"""Fewest samples per feature for valid intervals (docs/explanation/calibration.md)."""

COLLAPSED = 2.0**-22
"""Ratio of variances below which samples differ by float16's rounding (half an ulp: 2**-11)."""


@dataclass(frozen=True, eq=False)
class FrechetReference:
    """Reference of a Fréchet distance: its moments, and a factor of ``cov``, computed once.

    Attributes:
        mean: ``(d,)`` float64.
        cov: ``(d, d)`` float64, symmetric and positive semi-definite; may be rank-deficient.
        n: size of the reference set, which no estimate uses; None for exact moments.
    """

    mean: FloatArray
    cov: FloatArray
    n: int | None = None

    def __post_init__(self) -> None:
        d = len(self.mean)
        if self.mean.shape != (d,) or self.cov.shape != (d, d):
            raise ValueError(
                "a reference needs a mean (d,) and a covariance (d, d), not "
                f"{self.mean.shape} and {self.cov.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cov).all()):
            raise ValueError(
                "the reference moments are not finite: rebuild them from finite features"
            )

    @classmethod
    def of(cls, moments: Moments) -> FrechetReference:
        """Return a reference with the moments of a finite set."""
        return cls(moments.mean, moments.cov, moments.n)

    @cached_property
    def factor(self) -> FloatArray:
        """Factor R ``(d, rank)`` with R R^T = cov: scaled eigenvectors without the null space.

        Raises:
            ValueError: an eigenvalue is negative beyond the rounding of float32 moments.
        """
        values, vectors = np.linalg.eigh(self.cov)
        if values.min(initial=0.0) < -1e-5 * values.max(initial=0.0):
            raise ValueError(
                "the reference covariance is not positive semi-definite: "
                "rebuild it from the features"
            )
        keep = resolved(values)
        return vectors[:, keep] * np.sqrt(values[keep])

    @property
    def rank(self) -> int:
        """Number of directions in which the reference varies."""
        return self.factor.shape[1]

    def distance(self, mean: FloatArray, trace: float, cross: float) -> float:
        """Return the Fréchet distance to a set of samples with the given ``mean`` ``(d,)``.

        ``trace`` is tr Sigma2 of the set, and ``cross`` is tr (Sigma1 Sigma2)^½ (see module).
        """
        shift = mean - self.mean
        return float(shift @ shift + np.trace(self.cov) + trace - 2 * cross)


class Side(NamedTuple):
    """Plug-in Fréchet distance of a set of samples, and the effects of its finite size.

    Attributes:
        raw: plug-in value.
        bias: estimated bias of ``raw``: second order, and :func:`leverage_corrections`.
        influence: influence of each sample ``(n,)`` on the distance, mean 0, less 2 q / n and the
            leverage term (:mod:`.frechet`).
        flags: reasons not to trust an interval.
        noise: moments of the distance's noise, for an interval; None unless requested.
    """

    raw: float
    bias: float
    influence: FloatArray
    flags: tuple[str, ...]
    noise: Noise | None = None

    @property
    def debiased(self) -> float:
        """Value without the estimated bias: ``raw`` - ``bias``."""
        return self.raw - self.bias


def expand(
    reference: FrechetReference, rows: Rows, moments: Moments, with_noise: bool = False
) -> Side:
    """Return the distance of ``rows`` ``(n, d)`` to a fixed reference, with bias and influences.

    ``moments`` are the moments of ``rows``. ``with_noise`` requests :attr:`Side.noise`.
    """
    check_dimensions(reference, moments)
    n = moments.n
    trace = float(np.trace(moments.cov))
    s, blocks = _whiten(reference, moments, rows)
    away = moments.mean - reference.mean
    weights = np.outer(s, s) / np.add.outer(s, s)
    shift, square, along, pairs = np.empty((4, n))
    for where, centred, z in blocks():
        z2 = z * z
        shift[where] = centred @ away
        square[where] = np.einsum("ij,ij->i", centred, centred)
        along[where] = z2 @ s
        pairs[where] = np.einsum("ij,ij->i", z2 @ weights, z2)
    q = square + 0.5 * pairs - 0.5 * along + 0.25 * s.sum()  # w_ii = s_i / 2
    more_bias, more_influence = leverage_corrections(along, pairs)
    influence = 2 * shift + square - along - 2 * q / n - more_influence
    influence -= influence.mean()
    raw = reference.distance(moments.mean, trace, float(s.sum()))
    bias = float(q.mean()) / n + float(more_bias.sum())
    second = compute_noise(influence, blocks, weights, q) if with_noise else None
    return Side(raw, bias, influence, _flags(reference, n, trace, len(s)), second)


def _whiten(reference: FrechetReference, moments: Moments, rows: Rows) -> tuple[FloatArray, Blocks]:
    """Return s ``(k,)`` (see module), and a function that yields (slice, centred samples, z).

    If n <= rank, they come from the ``(n, n)`` matrix A A^T / (n - 1), A being centred samples · R.
    It has the eigenvalues s² of M, and the unit eigenvectors z / sqrt(n - 1).
    """
    n, rank = moments.n, reference.rank
    if n > rank:
        values, vectors = np.linalg.eigh(reference.factor.T @ moments.cov @ reference.factor)
        keep = resolved(values)
        s = np.sqrt(values[keep])
        along = reference.factor @ (vectors[:, keep] / s)

        def by_map() -> Iterator[tuple[slice, FloatArray, FloatArray]]:
            for where, block in rows.blocks():
                centred = block - moments.mean
                yield where, centred, centred @ along

        if n > rows.size:
            return s, by_map
        cached = list(by_map())
        return s, lambda: iter(cached)
    centred = rows[:] - moments.mean  # here samples are no more than directions
    projected = centred @ reference.factor
    values, vectors = np.linalg.eigh(projected @ projected.T / (n - 1))
    keep = resolved(values)
    z = vectors[:, keep] * np.sqrt(n - 1)
    return np.sqrt(values[keep]), lambda: iter([(slice(0, n), centred, z)])


def resolved(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return a mask ``(d,)`` of eigenvalues above rounding error, d eps times the largest one."""
    return values > len(values) * np.finfo(np.float64).eps * values.max(initial=0.0)


def _flags(reference: FrechetReference, n: int, trace: float, resolved: int) -> tuple[str, ...]:
    """Return the reasons not to trust the interval, a short phrase each."""
    flags = []
    wanted = SAMPLES_PER_FEATURE * reference.rank
    if n < wanted:
        flags.append(
            f"N = {n} is below {SAMPLES_PER_FEATURE} d = {wanted}: the remaining "
            "bias may exceed the error"
        )
    if n > reference.rank > resolved:
        flags.append(f"samples vary in {resolved} of {reference.rank} directions")
    if trace <= COLLAPSED * np.trace(reference.cov):
        flags.append("samples are all but identical")
    return tuple(flags)


def check_dimensions(reference: FrechetReference, moments: Moments) -> None:
    """Raise a ValueError if the moments and the reference have different numbers of features."""
    if reference.mean.shape != moments.mean.shape:
        raise ValueError(
            f"features of {len(moments.mean)} dimensions cannot be compared with a "
            f"reference of {len(reference.mean)}: use one extractor"
        )
