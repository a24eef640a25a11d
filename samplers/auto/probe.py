"""Probe of a model: a few trajectories on a fine grid, and the denoiser's response to errors.

A solver's errors on a trajectory are sums of the denoised images d(sigma) along it. The space that
these span has few dimensions, because d is smooth in sigma. Each trajectory gets an orthonormal
basis of its own, by principal components about 0. States, images and Jacobians are stored in its
coordinates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..grid import Grid
from ..noise import NoNoise
from ..registry import make
from ..types import Denoise

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

Array = NDArray[np.float64]

SOLVER = "dpmpp_3m"
"""Sampler for the trajectories: one evaluation a step, and stable at low noise."""
PER_E_FOLD = 5.0
"""Number of fine levels for each factor e between sigma_max and sigma_min."""
FEWEST, MOST = 32, 128
"""Bounds of the number of fine steps."""
STRIDE = 2
"""The Jacobian is measured at every ``STRIDE``-th fine level, and interpolated between them."""
DIRECTIONS = ((-1, 1), (-9, -2), (-25, -10))
"""Pairs of fine levels, counted from the present one. The changes of d between the two levels of
each pair are the directions in which the Jacobian is measured: the error of a step here, and errors
made before.
"""
RANK = 24
"""Number of dimensions of a trajectory's basis, at most."""
NUDGE = 0.02
"""Length of the error whose response is measured, in units of the noise."""
FILLING = 1e-6
"""Share of a coordinate axis that is added to each direction, so that none is zero or a copy."""
NEGLIGIBLE = 1e-14
"""Share of a trajectory's square below which a principal component is rounding."""


class Response(NamedTuple):
    """Jacobian U A U^T + r (1 - U U^T) of d in the state, at M levels of K trajectories.

    Attributes:
        along: U ``(M, K, R, m)``, directions in the coordinates of the trajectory.
        known: A - r ``(M, K, m, m)``, symmetric.
        rest: r ``(M, K)``, in all other directions.
    """

    along: Array
    known: Array
    rest: Array

    def __call__(self, which: NDArray[np.int64], error: Array) -> Array:
        """Return the change of d by errors ``(P, K, R)`` of the state at P levels ``which``."""
        along = self.along[which]
        inside = np.matmul(error[..., None, :], along)
        inside = np.matmul(inside, self.known[which])
        inside = np.matmul(inside, along.swapaxes(2, 3))[..., 0, :]
        return inside + self.rest[which][..., None] * error


@dataclass(frozen=True, eq=False)
class FlowPaths:
    """Paths of the probability flow between levels, from their denoised images.

    Attributes:
        levels: ``(L + 1,)`` from sigma_max down to sigma_min, even in log sigma.
        first: ``(K, R)`` the states at the first level.
        denoised: ``(L + 1, K, R)`` the denoised images along the paths.
    """

    levels: Array
    first: Array
    denoised: Array

    def at(self, levels: Array) -> tuple[Array, Array]:
        """Return denoised images and states, ``(…, K, R)`` each, at ``levels`` ``(…)``.

        d is a spline in lam = -log sigma, and x = sigma (x_0 / sigma_0 + int d e^lam dlam) its
        exact solution, by quadrature between the nodes.
        """
        flat = np.clip(-np.log(levels.ravel()), self._lam[0], self._lam[-1])
        below = np.clip(np.searchsorted(self._lam, flat, side="right") - 1, 0, len(self._lam) - 2)
        points, weights = _panel_quadrature(self._lam[below], flat)
        basis = self._spline(np.concatenate([flat, points.ravel()]))
        d = basis[: len(flat)] @ self._flat
        inside = (basis[len(flat) :].reshape(*points.shape, -1) * weights[..., None]).sum(1)
        y = (self._integrals[below] + inside) @ self._flat + self.first.reshape(-1) / self.levels[0]
        shape = (*levels.shape, *self.first.shape)
        return d.reshape(shape), (y * levels.reshape(-1, 1)).reshape(shape)

    @cached_property
    def _lam(self) -> Array:
        return -np.log(self.levels)

    @cached_property
    def _flat(self) -> Array:
        return self.denoised.reshape(len(self.levels), -1)

    @cached_property
    def _spline(self) -> BSpline:
        return spline_weights(self._lam)

    @cached_property
    def _integrals(self) -> Array:
        """Weights of d at the nodes in the integral of d e^lam dlam from the first node to each."""
        panels = _panel_integrals(self._lam, self._spline)
        return np.concatenate([np.zeros((1, len(self._lam))), panels.cumsum(0)])


@dataclass(frozen=True, eq=False)
class ProbeData(FlowPaths):
    """Result of a probe: K trajectories, each in the R coordinates of its own basis.

    Attributes:
        response: the Jacobian of d in the state, at every ``STRIDE``-th level.
        dim: numbers in a sample.
        spread: standard deviation of the data, estimated from the ends of the trajectories.
        rows: ``(K,)`` indices of the latents whose trajectories are finite.
        state, image: ``(K, dim)`` the last state and its denoised image, in all dimensions.
    """

    response: Response
    dim: int
    spread: float
    rows: NDArray[np.int64]
    state: Array
    image: Array

    def response_at(self, levels: Array, error: Array) -> Array:
        """Return the change of d by errors ``(P, K, R)`` of the state at ``levels`` ``(P,)``."""
        place = (-np.log(levels) - self._lam[0]) / (self._lam[1] - self._lam[0]) / STRIDE
        below = np.clip(place.astype(int), 0, len(self.response.rest) - 2)
        share = np.clip(place - below, 0, 1)[:, None, None]
        return (1 - share) * self.response(below, error) + share * self.response(below + 1, error)

    def distances_from_ends(self, end: Tensor, *, to_zero: bool) -> Array:
        """Return the distances ``(K,)`` of samples ``end`` from the probe's, by the same latents.

        ``end`` is ``(K, *event)``. A distance is a root mean square over the dimensions.
        """
        truth = self.image if to_zero else self.state
        return np.sqrt(np.square(end.flatten(1).double().cpu().numpy() - truth).mean(1))


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


def _panel_quadrature(start: Array, stop: Array) -> tuple[Array, Array]:
    """Return quadrature points and weights ``(n, 5)`` of int f(lam) e^lam dlam over each interval."""
    half = (stop - start)[:, None] / 2
    points = start[:, None] + half * (1 + _NODES)
    return points, half * _WEIGHTS * np.exp(points)


def spline_weights(lam: Array) -> BSpline:
    """Return a spline: at any lam, the weights of the nodes in a spline interpolation to lam."""
    from scipy.interpolate import make_interp_spline  # here: few runs have a use for it

    return make_interp_spline(lam, np.eye(len(lam)), k=5)


def _panel_integrals(lam: Array, spline: BSpline) -> Array:
    """Return weights of the nodes' values in int d e^lam dlam from each node to the next."""
    points, weights = _panel_quadrature(lam[:-1], lam[1:])
    return (spline(points.ravel()).reshape(*points.shape, -1) * weights[..., None]).sum(1)


@torch.no_grad()
def probe_model(denoise: Denoise, latents: Tensor, sigma_min: float, sigma_max: float) -> ProbeData:
    """Probe a model along the trajectories of some latents, within [sigma_min, sigma_max].

    Args:
        denoise: the bound denoiser of these latents.
        latents: ``(K, *event)`` standard normals.
        sigma_min: the model's lowest level, > 0.
        sigma_max: the model's highest level.

    Raises:
        FloatingPointError: the trajectories of half of the latents or more are not finite.
    """
    levels, rows, x, d = sample_trajectories(denoise, latents, sigma_min, sigma_max)
    basis = _orthonormal_basis(torch.cat([x[:1] / sigma_max * d.std(), d]).transpose(0, 1))
    response = _measure_response(denoise.take(rows), x, d, basis, levels, latents[0])
    spread = float((d[-1] - d[-1].mean(0)).square().mean().sqrt())
    return ProbeData(
        levels,
        torch.einsum("kd,kdr->kr", x[0], basis).cpu().numpy(),
        torch.einsum("lkd,kdr->lkr", d, basis).cpu().numpy(),
        response,
        math.prod(latents.shape[1:]),
        max(spread, sigma_min),
        rows.cpu().numpy(),
        x[-1].cpu().numpy(),
        d[-1].cpu().numpy(),
    )


class Trajectories(NamedTuple):
    """Trajectories of K latents on L + 1 levels.

    Attributes:
        levels: ``(L + 1,)`` from sigma_max down to sigma_min, even in log sigma.
        rows: ``(K,)`` indices of the latents whose trajectories are finite.
        x, d: ``(L + 1, K, dim)`` float64, states and denoised images.
    """

    levels: Array
    rows: Tensor
    x: Tensor
    d: Tensor


@torch.no_grad()
def sample_trajectories(
    denoise: Denoise, latents: Tensor, sigma_min: float, sigma_max: float
) -> Trajectories:
    """Return fine trajectories of a model; arguments and errors are those of :func:`probe_model`."""
    fine = max(FEWEST, min(MOST, math.ceil(PER_E_FOLD * math.log(sigma_max / sigma_min))))
    levels = np.geomspace(sigma_max, sigma_min, fine + 1)
    x, d = _correct_trajectories(
        denoise,
        *_integrate_trajectories(denoise, sigma_max * latents, levels.tolist()),
        levels,
        latents,
    )
    good = x.isfinite().all(2).all(0) & d.isfinite().all(2).all(0)
    if 2 * int(good.sum()) <= len(good):
        raise FloatingPointError("the trajectories of a look at it are not finite")
    rows = good.nonzero().flatten()
    return Trajectories(levels, rows, x[:, rows], d[:, rows])


def _integrate_trajectories(
    denoise: Denoise, x: Tensor, levels: list[float]
) -> tuple[Tensor, Tensor]:
    """Integrate along ``levels``; return states and denoised images, ``(L + 1, K, dim)`` float64."""
    states: list[Tensor] = []
    images: list[Tensor] = []

    def record(x: Tensor, sigma: float | Tensor) -> Tensor:
        d = denoise(x, sigma)
        states.append(x.flatten(1).double().clone())
        images.append(d.flatten(1).double().clone())
        return d

    end = make(SOLVER).sample(record, x, Grid(tuple(levels)), NoNoise())
    record(end, levels[-1])
    return torch.stack(states), torch.stack(images)


def _correct_trajectories(
    denoise: Denoise, x: Tensor, d: Tensor, levels: Array, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the trajectories after one sweep of deferred correction (Dutt et al. 2000).

    A solver's first steps are of low order. Their error dominates where the denoised images change
    from the first level on, as on a range that begins at a few standard deviations of the data.
    Without the sweep, rules would be fitted to that error.
    """
    lam = -np.log(levels)
    panels = torch.from_numpy(_panel_integrals(lam, spline_weights(lam))).to(d.device)
    increments = torch.einsum("ln,nkd->lkd", panels, d)
    states, images = [x[0]], [d[0]]
    for i in range(len(levels) - 1):
        low = float(levels[i + 1])
        y = states[-1] / float(levels[i]) + increments[i]
        y += (1 / low - 1 / float(levels[i])) * (images[-1] - d[i])
        states.append(low * y)
        image = denoise(states[-1].reshape(like.shape).to(like.dtype), low)
        images.append(image.flatten(1).double().clone())
    return torch.stack(states), torch.stack(images)


def _orthonormal_basis(curves: Tensor) -> Tensor:
    """Return orthonormal bases ``(K, dim, R)`` of the span of the curves ``(K, n, dim)``.

    The columns are the largest principal components about 0, then zeros if the span has fewer
    dimensions.
    """
    count, _, dim = curves.shape
    if dim <= RANK:
        return torch.eye(dim, dtype=curves.dtype, device=curves.device).expand(count, dim, dim)
    square, vectors = torch.linalg.eigh(curves @ curves.transpose(1, 2))
    square, vectors = square[:, -RANK:], vectors[:, :, -RANK:]
    is_significant = square > NEGLIGIBLE * square[:, -1:]
    scale = torch.where(is_significant, square, torch.ones_like(square)).rsqrt() * is_significant
    return curves.transpose(1, 2) @ (vectors * scale[:, None, :])


def _measure_response(
    denoise: Denoise, x: Tensor, d: Tensor, basis: Tensor, levels: Array, like: Tensor
) -> Response:
    """Measure the Jacobian of d at the states ``x``; both are ``(L + 1, K, dim)``.

    U spans the :data:`DIRECTIONS`. A is the symmetric part of U^T J U, from differences along U.
    (The J of an exact denoiser, d = x + sigma² grad log p, is symmetric.) In all other directions J
    is taken as r, the mean of A's diagonal.
    """
    count, dim = x.shape[1:]
    responses: list[tuple[Tensor, Tensor, Tensor]] = []
    for i in range(0, len(levels), STRIDE):
        level = float(levels[i])
        along = _response_directions(d, i)
        nudge = NUDGE * level * math.sqrt(dim)
        change = torch.stack(
            [
                denoise((x[i] + nudge * u).reshape(count, *like.shape).to(like.dtype), level)
                .flatten(1)
                .double()
                .sub_(d[i])
                for u in along.unbind(2)
            ],
            2,
        ).div_(nudge)
        jacobian = along.transpose(1, 2) @ change
        jacobian = (jacobian + jacobian.transpose(1, 2)) / 2
        rest = jacobian.diagonal(dim1=1, dim2=2).mean(1)
        identity = torch.eye(along.shape[2], dtype=jacobian.dtype, device=jacobian.device)
        responses.append(
            (basis.transpose(1, 2) @ along, jacobian - rest[:, None, None] * identity, rest)
        )
    parts = (torch.stack(part).cpu().numpy() for part in zip(*responses, strict=True))
    return Response(*parts)


def _response_directions(d: Tensor, i: int) -> Tensor:
    """Return an orthonormal basis ``(K, dim, m)`` of :data:`DIRECTIONS` at fine level ``i``."""
    _, count, dim = d.shape
    if dim <= len(DIRECTIONS):
        return torch.eye(dim, dtype=d.dtype, device=d.device).expand(count, dim, dim)
    last = len(d) - 1
    changes = []
    for before, after in DIRECTIONS:
        stop = min(max(i + after, 1), last)
        changes.append(d[stop] - d[max(min(i + before, stop - 1), 0)])
    vectors = torch.stack(changes, 2)
    # where d stands still, or two of them are one, any direction will do
    some = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    vectors = vectors / torch.where(some > 0, some, torch.ones_like(some))
    filling = torch.zeros_like(vectors)
    for j in range(vectors.shape[2]):
        filling[:, (i + j) % dim, j] = FILLING
    return torch.linalg.qr(vectors + filling)[0]
