"""Samplers by scipy and torchdiffeq, on the probability-flow ODE dx/dlam = d(x, e^-lam) - x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..base import Declared
from ..families.adaptive import Tolerant
from ..grid import Grid
from ..registry import register_family
from ..types import Denoise, Noise, Source

_DIFFEQ = Source("chen2018neuralode", "torchdiffeq", "https://github.com/rtqichen/torchdiffeq")
# method: order, evaluations a step
_FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun2": (2, 2), "heun3": (3, 3), "rk4": (4, 4)}
# Without fehlberg2, whose error is a hundred times its tolerance: docs/explanation/findings.md.
_ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5", "dopri8")


@dataclass(frozen=True, kw_only=True)
class ScipyODE(Tolerant):
    """Method of scipy.integrate.solve_ivp from the grid's first to its last positive level.

    States are float64 on the CPU, but the denoiser gets the dtype and device of ``x``. Explicit
    methods integrate the whole batch as one system, so that a sample depends on its batch. Implicit
    methods integrate one sample after the other, since their linear algebra grows at least with the
    square of a system's size. If scipy fails, a RuntimeError is raised.
    """

    method: ClassVar[str]
    source: ClassVar[Source] = Source(
        "virtanen2020scipy",
        "scipy.integrate.solve_ivp",
        "https://doi.org/10.1038/s41592-019-0686-2",
    )

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        first, last = grid.positive[0], grid.positive[-1]
        if first > last:
            rows = torch.arange(len(x), device=x.device)
            groups = [rows] if self.batch_coupled else rows.split(1)
            x = torch.cat([self._solve_ivp(denoise.take(k), x[k], first, last) for k in groups])
        return denoise(x, last) if grid.to_zero else x

    def _solve_ivp(self, denoise: Denoise, x: Tensor, first: float, last: float) -> Tensor:
        from scipy.integrate import solve_ivp

        def slope(lam: float, y: np.ndarray) -> np.ndarray:
            state = torch.from_numpy(y).reshape(x.shape).to(x)
            return (denoise(state, math.exp(-lam)) - state).double().cpu().numpy().ravel()

        span = (-math.log(first), -math.log(last))
        start = x.double().cpu().numpy().ravel()
        result = solve_ivp(
            slope, span, start, method=self.method, rtol=self.rtol, atol=self.atol, t_eval=span[1:]
        )
        if not result.success:
            raise RuntimeError(f"{self.name}: {result.message}")
        return torch.from_numpy(result.y[:, -1].copy()).reshape(x.shape).to(x)


def _integrate_with_torchdiffeq(
    denoise: Denoise, x: Tensor, levels: tuple[float, ...], **options: Any
) -> Tensor:
    """Return the state at the last of ``levels`` from ``x`` at the first; times are float64."""
    from torchdiffeq import odeint

    def slope(lam: Tensor, y: Tensor) -> Tensor:
        return denoise(y, math.exp(-float(lam))) - y

    lam = torch.tensor([-math.log(s) for s in levels], dtype=torch.float64, device=x.device)
    path = odeint(slope, x, lam, **options)
    assert isinstance(path, Tensor)  # a tuple only for a tuple state
    return path[-1]


@dataclass(frozen=True, kw_only=True)
class TorchdiffeqFixed(Declared):
    """Fixed-step Runge-Kutta method of torchdiffeq, with one step per interval of the grid."""

    method: ClassVar[str]
    source: ClassVar[Source] = _DIFFEQ

    def nfe(self, grid: Grid) -> int:
        return _FIXED[self.method][1] * (len(grid.positive) - 1) + int(grid.to_zero)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        if len(grid.positive) > 1:
            x = _integrate_with_torchdiffeq(denoise, x, grid.positive, method=self.method)
        return denoise(x, grid.sigma[-2]) if grid.to_zero else x


@dataclass(frozen=True, kw_only=True)
class TorchdiffeqAdaptive(Tolerant):
    """Adaptive method of torchdiffeq from the grid's first to its last positive level.

    It chooses its own steps between these levels. The error norm is taken over the whole batch, so
    that a sample depends on the others of its batch.
    """

    method: ClassVar[str]
    source: ClassVar[Source] = _DIFFEQ
    batch_coupled: ClassVar[bool] = True

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        first, last = grid.positive[0], grid.positive[-1]
        if first > last:
            # step_t makes a step end at the last level. Otherwise the last step goes past it, to
            # unknown levels, and the end comes from a less accurate interpolant.
            stop = torch.tensor([-math.log(last)], dtype=torch.float64, device=x.device)
            tolerance = {"rtol": self.rtol, "atol": self.atol}
            options = {"dtype": torch.float64, "step_t": stop}
            x = _integrate_with_torchdiffeq(
                denoise, x, (first, last), method=self.method, **tolerance, options=options
            )
        return denoise(x, last) if grid.to_zero else x


def _register_method(base: type, library: str, method: str, **declared: object) -> None:
    """Register a subclass of ``base`` under the name ``LIBRARY_METHOD``, such as ``scipy_rk45``."""
    name, title = f"{library}_{method.lower()}", f"{library.capitalize()}_{method}"
    register_family(base, name, title=title, method=method, **declared)


for _method in ("RK23", "RK45", "DOP853"):
    _register_method(ScipyODE, "scipy", _method, batch_coupled=True)
for _method in ("LSODA", "BDF", "Radau"):
    _register_method(ScipyODE, "scipy", _method)
for _method, (_order, _) in _FIXED.items():
    _register_method(TorchdiffeqFixed, "torchdiffeq", _method, order=_order)
for _method in _ADAPTIVE:
    _register_method(TorchdiffeqAdaptive, "torchdiffeq", _method)
