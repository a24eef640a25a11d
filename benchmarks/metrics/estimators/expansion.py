r"""Expansion of the Fréchet distance to a fixed reference: value, influence and bias.

    FD = |mu2 - mu1|² + tr Sigma1 + tr Sigma2 - 2 tr (Sigma1 Sigma2)^½                       (Dowson and Landau 1982)

The reference has the moments mu1 and Sigma1, the N samples x have mu2 and Sigma2. With Sigma1 = R
R^T the last trace is sum_i s_i, where the s_i² are the eigenvalues of M = R^T Sigma2 R = Q diag(s²)
Q^T. This symmetric eigenproblem needs no complex number and no matrix square root.

**First order.** The influence IF(x) is the rate at which FD changes when mass moves to x. Let c = x
- mu2 and z = diag(1/s) Q^T R^T c (whitened: E z z^T = I). Moving a fraction t of the mass to x
changes mu2 by t c and Sigma2 by t (c c^T - Sigma2), to first order in t. A change dM of M changes
tr M^½ by tr(½ M^{-½} dM). Hence

    IF(x) = a(x) - E a,    a(x) = 2 (mu2 - mu1)^T c + |c|² - sum_i s_i z_i².

**Second order.** The bias is the mean of FD over sets of N samples, less the true FD. An unbiased
Sigma2 has E[dM] = 0. So the bias comes from |d mu2|², which gives tr(Sigma2) / N, and from the
curvature of the root. The second derivative of tr f(M) along a matrix H is sum_ij H_ij² f'[λi, λj],
with H in the eigenbasis of M and f'[,] the divided difference of f'. For f = sqrt it is -1 / (2 s_i
s_j (s_i + s_j)). Here H_ij = s_i s_j (mean of z_i z_j - δ_ij), whose variance is s_i² s_j² (E[z_i²
z_j²] - δ_ij) / N. Hence

    bias = E q(x) / N,    q(x) = |c|² + ½ sum_ij w_ij (z_i z_j - δ_ij)²,    w_ij = s_i s_j / (s_i + s_j).

Fourth moments are estimated from the samples: the Gaussian value 1 + 2 δ_ij would leave 20-50 % of
the bias for heavy tails. With N - 1 in place of N the bias would change by a part in N. The next
order of the bias is larger, a part in N / d. A covariance with 1/N would shift the plug-in by
(sum_i s_i - tr Sigma2) / N, which is as large as the bias for small d.

**Small eigenvalues.** No quotient in these formulas can blow up, since w_ij <= min(s_i, s_j). So a
direction in which Sigma2 nearly vanishes adds nearly nothing. A sampler that collapses Sigma2 is
measured as well as any other. :func:`resolved_eigenvalue_mask` leaves out eigenvalues at the level of rounding.

**Leverage: terms beyond second order.** Each sample x has the mass 1 / N in Sigma2, so an outlier
is compared with a covariance that it has inflated. Without x, M = S² becomes S (I - z z^T / N) S,
with S = diag(s). Its root is known if all s_i are equal, or if there is only one. With the leverage
g = |z|² / N, r = sqrt(1 - g) and p = sum_i s_i z_i²,

* IF(x) at the moments of the other samples has p / r in place of p: it is lower by p (1 - r) / r;
* the mass of x adds (p / N) (1 - r) / (r (1 + r)) to the distance beyond first order.

Of these, 2 q / N and q / N² already contain the parts of second order, p g / 2 and p g / (4 N). If
the s_i differ, the same holds for

    g = 2 sum_ij w_ij z_i² z_j² / (N p),

which is at most |z|² / N < 1, since w_ij <= (s_i + s_j) / 4.

The rest matters for heavy tails, where a few samples have g > ½ even at 15 samples a feature. For
light tails all samples have a leverage of about d / N. There the rest is a power series in 1 / N,
which the extrapolation of :mod:`.frechet` removes better, as it includes pairs of samples. So only
the difference to a sample of mean leverage is corrected here.

**Covariance of the other samples.** IF(x) at their moments contains the inverse root of their
covariance S (I + D) S, with E D = 0. This root is too large on average: E (I + D)^{-½} = I + 3/8 E
D². For elliptical samples and equal s_i it is I (1 + 3/8 G), with G the mean leverage weighted by
p. So IF(x) has too large a p, and 3/8 G p is added to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rows import FloatArray, Moments, Rows
from .second_order import BlockReader, DistanceNoise, compute_distance_noise


def leverage_corrections(along: FloatArray, pairs: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return corrections ``(n,)`` to bias and influence for samples of uneven leverage (module).

    Add the sum of the first to the bias, and subtract the second from the influences. The second
    includes -3/8 G p. ``along`` ``(n,)`` is p, and ``pairs`` ``(n,)`` is sum_ij w_ij z_i² z_j².
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
    """Return (1 - r) / (r (1 + r)) - g / 4, (1 - r) / r - g / 2 for g = ``leverage`` (module)."""
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
    """

    mean: FloatArray
    cov: FloatArray

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
        return cls(moments.mean, moments.cov)

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
        keep = resolved_eigenvalue_mask(values)
        return vectors[:, keep] * np.sqrt(values[keep])

    @property
    def rank(self) -> int:
        """Number of directions in which the reference varies."""
        return self.factor.shape[1]

    def distance(self, mean: FloatArray, trace: float, cross: float) -> float:
        """Return the Fréchet distance to samples of mean ``mean`` ``(d,)`` and covariance Sigma2.

        ``trace`` is tr Sigma2. ``cross`` is tr (Sigma1 Sigma2)^½, with Sigma1 this reference's.
        """
        shift = mean - self.mean
        return float(shift @ shift + np.trace(self.cov) + trace - 2 * cross)


class PlugInDistance(NamedTuple):
    """Plug-in Fréchet distance of a set of samples, and the effects of its finite size.

    Attributes:
        raw: plug-in value.
        bias: estimated bias of ``raw``: second order, and :func:`leverage_corrections`.
        influence: influence of each sample ``(n,)`` on the distance, mean 0, corrected so that
            sd / sqrt(n) is the distance's standard error (:mod:`.frechet`).
        flags: reasons not to trust an interval; empty if there are none.
        noise: moments of the distance's noise, for an interval; None unless requested.
    """

    raw: float
    bias: float
    influence: FloatArray
    flags: tuple[str, ...]
    noise: DistanceNoise | None = None

    @property
    def debiased(self) -> float:
        """Value without the estimated bias: ``raw`` - ``bias``."""
        return self.raw - self.bias


def expand(
    reference: FrechetReference, rows: Rows, moments: Moments, with_noise: bool = False
) -> PlugInDistance:
    """Return the distance of ``rows`` ``(n, d)`` to a fixed reference, with bias and influences.

    ``moments`` are the moments of ``rows``. ``with_noise`` requests :attr:`PlugInDistance.noise`.
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
    second = compute_distance_noise(influence, blocks, weights, q) if with_noise else None
    return PlugInDistance(raw, bias, influence, _flags(reference, n, trace, len(s)), second)


def _whiten(
    reference: FrechetReference, moments: Moments, rows: Rows
) -> tuple[FloatArray, BlockReader]:
    """Return s ``(k,)`` (module), and a function that yields (slice, c ``(m, d)``, z ``(m, k)``).

    For n <= rank, s and z come from the ``(n, n)`` matrix A A^T / (n - 1), with A the samples' c R.
    Its eigenvalues are those of M, the s², and its unit eigenvectors are z / sqrt(n - 1).
    """
    n, rank = moments.n, reference.rank
    if n > rank:
        values, vectors = np.linalg.eigh(reference.factor.T @ moments.cov @ reference.factor)
        keep = resolved_eigenvalue_mask(values)
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
    keep = resolved_eigenvalue_mask(values)
    z = vectors[:, keep] * np.sqrt(n - 1)
    return np.sqrt(values[keep]), lambda: iter([(slice(0, n), centred, z)])


def resolved_eigenvalue_mask(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return a mask ``(d,)`` of eigenvalues above rounding error, d eps times the largest one."""
    return values > len(values) * np.finfo(np.float64).eps * values.max(initial=0.0)


def _flags(reference: FrechetReference, n: int, trace: float, resolved: int) -> tuple[str, ...]:
    """Return the reasons not to trust an interval of ``n`` samples in ``resolved`` directions."""
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
