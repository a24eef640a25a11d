"""Empirical statistics of a model along its process, for ``dpm_solver_v3``.

In lam = -log sigma the probability flow is dx/dlam = d - x. Its mean m(lam) follows the mean denoised
image. The deviations y = x - m and e = d - E[d] follow

    dy/dlam = -l y - n,        n = (1 - l) y - e,

with any l. The paper's choices make n small, and make it grow in a known way:

* l = 1 - E[diag(dd/dx)], a number for each dimension and level, minimises E|dn/dx|² (Frobenius norm).
* s minimises E|dn/dlam - s n|² along the flow: s = E[n dn/dlam] / E[n²].

The paper's third statistic is b = E[f'] - s E[f], with f = n + E[f] the undeviated n. It is the mean of the
process: with it, exp(-int s) f - int exp(-int s) b equals exp(-int s) n and a constant. So the mean path
stands in its place here, and the mean of the samples is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..types import Denoise
from .probe import NUDGE, Array, FlowPaths, sample_trajectories, spline_weights

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

NEGLIGIBLE = 1e-6
"""Share of the variance of the denoised image below which that of n is rounding, and s is near 0."""


class StatisticsAt(NamedTuple):
    """Statistics at ``q`` levels, ``(q, *event)`` each.

    Attributes:
        linear: l.
        grown, raised: integrals of l and of s over lam, from the first level of the statistics.
        state, image: means of the states and of the denoised images.
    """

    linear: Array
    grown: Array
    raised: Array
    state: Array
    image: Array


@dataclass(frozen=True, eq=False)
class Statistics(FlowPaths):
    """Statistics of a model on L + 1 levels, splines in lam between these, and the path of the mean.

    The mean is the one path (K = 1) of :class:`FlowPaths`, in R = dim coordinates.

    Attributes:
        linear, slope: ``(L + 1, dim)``, l and s in the module's words.
        event: shape of a sample.
        evaluations: network evaluations that the statistics took.
    """

    linear: Array
    slope: Array
    event: tuple[int, ...]
    evaluations: int = 0

    def interpolate(self, levels: Array) -> StatisticsAt:
        """Return the statistics at ``levels`` ``(q,)`` > 0; beyond both ends those of the ends."""
        lam = -np.log(levels)
        inside = np.clip(lam, self._lam[0], self._lam[-1])
        values, sums, beyond = self._spline(inside), self._integral(inside), lam - inside
        linear, slope = values @ self.linear, values @ self.slope
        grown, raised = (
            sums @ own + beyond[:, None] * end
            for own, end in ((self.linear, linear), (self.slope, slope))
        )
        image, state = (part[:, 0] for part in self.at(levels))
        parts = (linear, grown, raised, state, image)
        return StatisticsAt(*(part.reshape(-1, *self.event) for part in parts))

    @cached_property
    def _integral(self) -> BSpline:
        return self._spline.antiderivative()


@dataclass(frozen=True)
class ConstantStatistics:
    """Statistics without a model: constant l and s, means 0.

    l = 1 and s = 0 give the data prediction (DPM-Solver++), l = 0 and s = -1 the noise prediction.
    """

    event: ClassVar[None] = None
    evaluations: ClassVar[int] = 0
    linear: float = 1.0
    slope: float = 0.0

    def interpolate(self, levels: Array) -> StatisticsAt:
        """Return the statistics at ``levels`` ``(q,)``."""
        lam, zero = -np.log(levels), np.zeros(len(levels))
        return StatisticsAt(zero + self.linear, self.linear * lam, self.slope * lam, zero, zero)


@torch.no_grad()
def measure_statistics(
    denoise: Denoise, latents: Tensor, sigma_min: float, sigma_max: float, probes: int
) -> Statistics:
    """Measure the statistics of a model on the trajectories of some latents.

    Args:
        denoise: the bound denoiser of these latents.
        latents: ``(K, *event)`` standard normals.
        sigma_min: the model's lowest level, > 0.
        sigma_max: the model's highest level.
        probes: evaluations for the Jacobian's diagonal, for each trajectory and level.

    Raises:
        FloatingPointError: the trajectories of half of the latents or more are not finite.
    """
    levels, rows, x, d = sample_trajectories(denoise, latents, sigma_min, sigma_max)
    diagonal = _mean_diagonals(denoise.take(rows), x, d, levels, latents[0], probes)
    state, image = x.mean(1, keepdim=True), d.mean(1, keepdim=True)
    y, e = (x - state).cpu().numpy(), (d - image).cpu().numpy()
    n = diagonal[:, None] * y - e
    lam = -np.log(levels)
    change = np.tensordot(spline_weights(lam).derivative()(lam), n, 1)
    square = np.square(n).mean(1) + NEGLIGIBLE * np.square(e).mean((1, 2))[:, None]
    slope = (n * change).mean(1) / square
    residual = n * (change - slope[:, None] * n)
    slope = _shrink(slope, np.square(residual).mean(1) / len(rows) / np.square(square))
    first, denoised, event = state[0].cpu().numpy(), image.cpu().numpy(), tuple(latents.shape[1:])
    return Statistics(levels, first, denoised, 1 - diagonal, slope, event)


def _shrink(values: NDArray[Any], noise: NDArray[Any]) -> NDArray[Any]:
    """Return the values ``(…, dim)`` of the dimensions, shrunk to their mean (James & Stein 1961).

    ``noise`` ``(…, dim)`` has the variances of the estimates. Three dimensions or fewer are not shrunk.
    """
    dim, mean = values.shape[-1], values.mean(-1, keepdims=True)
    total = np.square(values - mean).sum(-1, keepdims=True)
    lost = max(dim - 3, 0) * noise.mean(-1, keepdims=True)
    share = 1 - lost / np.maximum(total, lost + np.finfo(float).tiny)
    return mean + (values - mean) * share


def _mean_diagonals(
    denoise: Denoise, x: Tensor, d: Tensor, levels: Array, like: Tensor, probes: int
) -> Array:
    """Return the mean diagonal ``(L + 1, dim)`` of the Jacobian at each level.

    A probe is v (d(x + h v) - d(x)) / h, with signs v from the rows of a Hadamard matrix. All rows
    together give the diagonal of a matrix exactly, and each level and trajectory has other rows.
    """
    count, dim = x.shape[1:]
    probes = min(probes, _hadamard_size(dim))
    rng = np.random.default_rng(0)
    diagonals: list[NDArray[np.float64]] = []
    for i, level in enumerate(levels.tolist()):
        signs = torch.from_numpy(_signs(count * probes, dim, rng)).to(x.device)
        h, means = NUDGE * level, torch.zeros_like(x[i])
        for v in signs.reshape(count, probes, dim).unbind(1):
            moved = (x[i] + h * v).reshape(count, *like.shape).to(like.dtype)
            means += v * (denoise(moved, level).flatten(1).double() - d[i]) / (h * probes)
        noise = means.var(0) / count
        diagonals.append(_shrink(means.mean(0).cpu().numpy(), noise.cpu().numpy()))
    return np.stack(diagonals)


def _signs(count: int, dim: int, rng: np.random.Generator) -> Array:
    """Return ``(count, dim)`` signs: rows of Hadamard matrices, with random signs of columns."""
    size = _hadamard_size(dim)
    rows = np.concatenate([rng.permutation(size) for _ in range(-(-count // size))])[:count]
    parity = rows[:, None] & np.arange(dim)
    for shift in (32, 16, 8, 4, 2, 1):
        parity ^= parity >> shift
    return (1.0 - 2.0 * ((parity ^ rng.integers(0, 2, dim)) & 1)).astype(np.float64)


def _hadamard_size(dim: int) -> int:
    """Return the smallest power of two, at least 2, with room for ``dim`` columns."""
    return 1 << max(dim - 1, 1).bit_length()
