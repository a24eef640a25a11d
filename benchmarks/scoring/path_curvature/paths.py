"""Curvature of probability-flow trajectories, a bound on the error of a single Euler step.

In canonical coordinates dx/dsigma = (x - d) / sigma, and a second derivative gives sigma x'' =
-dd/dsigma: a path is straight exactly where the denoised image d is constant. An Euler step
from S to 0 lands on d(S), and by Taylor's formula it misses

    x(0) - d(S) = int_0^S sigma x''(sigma) dsigma.

The **curvature** of a path is the same integral over the norm, in standard deviations s of the data
per dimension,

    1 / (s sqrt(D)) int_0^S sigma |x''| dsigma = 1 / (s sqrt(D)) int |dd/dlam| dlam :

the length of the way that d goes. It is 0 on a straight path, where a single step is exact, and
never less than the error of that step (:func:`jump`), which it equals where d goes straight on.
Its density in lam locates the bending. It is the same number in every parametrisation: scaling by
alpha and another time visit the same d in the same order.

Two measures of the literature do depend on the parametrisation.

* **deviation** (Chen et al. 2024, arXiv:2405.11326; ``cal_deviation`` of their code): the largest
  distance of x(sigma) from the chord between its ends, in these coordinates, and here in units of s
  sqrt(D). It is blind to the speed along the chord.
* **straightness** (S(Z) of Liu et al. 2022, arXiv:2209.03003; the curvature of Lee et al. 2023,
  arXiv:2301.12003): the mean over time of
  |y' - chord|², per dimension. Here y = x / (s + sigma) at t = sigma / (s + sigma), the rectified
  flow of data of unit variance, in which y' = (x - d) / sigma - d / s. Straight in x over sigma
  means straight in y over t: the two are related by a projective map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....samplers import Grid, NoNoise, make

SOLVER = "dpm_solver_3m"
"""Solver of third order, at one evaluation a node."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Path:
    """Paths of ``n`` samples.

    Attributes:
        sigma: ``(k,)`` levels of the nodes, falling, > 0.
        x, d: ``(k, n, D)`` states and denoised images there.
        end: ``(n, D)`` ends, at 0.
    """

    sigma: FloatArray
    x: FloatArray
    d: FloatArray
    end: FloatArray

    @property
    def dim(self) -> int:
        """Number of dimensions D."""
        return self.end.shape[-1]


def follow(denoise: Callable[[Tensor, float], Tensor], x: Tensor, grid: Grid) -> Path:
    """Follow the paths from the states ``x`` ``(n, *event)`` at the first level of a grid to 0, one
    evaluation a step.

    Args:
        denoise: bound denoiser.
        x: not modified.
        grid: levels.
    """
    evaluations: list[tuple[Tensor, Tensor]] = []

    def watched(x: Tensor, sigma: float) -> Tensor:
        d = denoise(x, sigma)
        evaluations.append((x.clone(), d))
        return d

    end = make(SOLVER).sample(watched, x, grid, NoNoise())  # pyright: ignore[reportArgumentType]
    states, images = (_flat(torch.stack(part), 2) for part in zip(*evaluations, strict=True))
    return Path(np.array(grid.sigma[:-1]), states, images, _flat(end, 1))


def arc_length(path: Path, unit: float, every: int = 1) -> FloatArray:
    """Return the arc length of d's polygon at the nodes ``(k, n)``, from 0 at the first, in
    ``unit`` per root dimension.

    Args:
        path: of ``k`` nodes.
        unit: s, > 0.
        every: stride of the nodes; the last is included.
    """
    nodes = np.unique([*range(0, len(path.sigma), every), len(path.sigma) - 1])
    steps = np.linalg.norm(np.diff(path.d[nodes], axis=0), axis=-1)
    return np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps, 0)]) / (unit * path.dim**0.5)


def jump(path: Path, unit: float) -> FloatArray:
    """Return the error of a single Euler step to 0, ``(n,)``, in ``unit`` per root dimension: at
    most the curvature.
    """
    return np.linalg.norm(path.end - path.d[0], axis=-1) / (unit * path.dim**0.5)


def deviation(path: Path, unit: float) -> FloatArray:
    """Return the largest distance from the chord, ``(n,)``, in ``unit`` per root dimension."""
    chord, away = path.x[0] - path.end, path.x - path.end
    along = (away * chord).sum(-1, keepdims=True) / np.square(chord).sum(-1, keepdims=True)
    return np.linalg.norm(away - along * chord, axis=-1).max(0) / (unit * path.dim**0.5)


def straightness(path: Path, unit: float) -> FloatArray:
    """Return the mean square of y' less the chord's slope over the path's times, per dimension,
    ``(n,)``; 0 is straight.
    """
    from scipy.integrate import trapezoid  # here: few runs have a use for it

    sigma = path.sigma[:, None, None]
    t = path.sigma / (unit + path.sigma)
    slope = (path.x - path.d) / sigma - path.d / unit
    chord = (path.x[0] / (unit + path.sigma[0]) - path.end / unit) / t[0]
    squares = np.square(slope - chord).mean(-1)
    whole = np.concatenate([squares, squares[-1:]])  # from the last node to 0 the slope stays
    return trapezoid(whole[::-1], np.append(t, 0.0)[::-1], axis=0) / t[0]


def _flat(x: Tensor, axis: int) -> FloatArray:
    return x.flatten(axis).double().cpu().numpy()
