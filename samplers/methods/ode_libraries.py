"""The probability-flow ODE by torchdiffeq, integrated in lam = -log(sigma): dx/dlam = d(x,
e^-lam) - x.
"""

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
from ..registry import register
from ..types import Denoise, Noise, Source

_SCIPY_EXPLICIT = ("RK23", "RK45", "DOP853")
_SCIPY_IMPLICIT = ("LSODA", "BDF", "Radau")


@dataclass(frozen=True, kw_only=True)
class ScipyODE(Tolerant):
    """scipy.integrate.solve_ivp, in float64 on the CPU for any dtype and device of the state.

    The explicit methods integrate the whole batch as one system, so that a sample depends on the
    others of its batch. The implicit ones, whose linear algebra grows with the square of the
    system, integrate one sample after the other.
    """

    name: ClassVar[str]
    method: ClassVar[str]
    source: ClassVar[Source] = Source(
        "virtanen2020scipy",
        "scipy.integrate.solve_ivp",
        "https://doi.org/10.1038/s41592-019-0686-2",
    )

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        """Integrate over the positive levels, then step to 0 if the grid does (x <- d)."""
        levels = [s for s in grid.sigma if s > 0]
        if len(levels) > 1:
            groups = (
                [torch.arange(len(x))]
                if self.batch_coupled
                else list(torch.arange(len(x)).split(1))
            )
            x = torch.cat(
                [
                    self._ivp(
                        denoise.take(rows.to(x.device)), x[rows.to(x.device)], levels[0], levels[-1]
                    )
                    for rows in groups
                ]
            )
        return denoise(x, levels[-1]) if grid.to_zero else x

    def _ivp(self, denoise: Denoise, x: Tensor, first: float, last: float) -> Tensor:
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


def _define_scipy(method: str, *, batch_coupled: bool) -> None:
    """Register ``scipy_METHOD``; the class lives in this module, so that it can be pickled."""
    body = {"name": f"scipy_{method.lower()}", "method": method, "batch_coupled": batch_coupled}
    body |= {"__module__": __name__, "__doc__": ScipyODE.__doc__}
    cls = dataclass(frozen=True, kw_only=True)(type(f"Scipy_{method}", (ScipyODE,), body))
    globals()[cls.__name__] = register(cls)


for _method in _SCIPY_EXPLICIT:
    _define_scipy(_method, batch_coupled=True)
for _method in _SCIPY_IMPLICIT:
    _define_scipy(_method, batch_coupled=False)


_SOURCE = Source("chen2018neuralode", "torchdiffeq", "https://github.com/rtqichen/torchdiffeq")
# method: order, evaluations a step
_FIXED = {"euler": (1, 1), "midpoint": (2, 2), "heun2": (2, 2), "heun3": (3, 3), "rk4": (4, 4)}
# Without fehlberg2, whose error is a hundred times its tolerance: docs/findings.md.
_ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5", "dopri8")


def _integrate(denoise: Denoise, x: Tensor, levels: tuple[float, ...], **options: Any) -> Tensor:
    """The state at the last of the positive ``levels``.

    The time is float64 for any dtype of the state.
    """
    from torchdiffeq import odeint

    def slope(lam: Tensor, y: Tensor) -> Tensor:
        return denoise(y, math.exp(-float(lam))) - y

    lam = torch.tensor([-math.log(s) for s in levels], dtype=torch.float64, device=x.device)
    path = odeint(slope, x, lam, **options)
    assert isinstance(path, Tensor)  # a tuple only for a tuple state
    return path[-1]


def _finish(denoise: Denoise, x: Tensor, grid: Grid) -> Tensor:
    """The step to sigma = 0, where lam is infinite: x <- d."""
    return denoise(x, grid.sigma[-2]) if grid.to_zero else x


def _positive(grid: Grid) -> tuple[float, ...]:
    return tuple(s for s in grid.sigma if s > 0)


@dataclass(frozen=True, kw_only=True)
class TorchdiffeqFixed(Declared):
    """A fixed-step Runge-Kutta method of torchdiffeq on the grid's own levels."""

    name: ClassVar[str]
    method: ClassVar[str]
    source: ClassVar[Source] = _SOURCE

    def nfe(self, grid: Grid) -> int:
        """Stages times intervals, and one for the step to 0."""
        return _FIXED[self.method][1] * (len(_positive(grid)) - 1) + int(grid.to_zero)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        """Integrate over the positive levels, then step to 0 if the grid does."""
        levels = _positive(grid)
        if len(levels) > 1:
            x = _integrate(denoise, x, levels, method=self.method)
        return _finish(denoise, x, grid)


@dataclass(frozen=True, kw_only=True)
class TorchdiffeqAdaptive(Tolerant):
    """An adaptive method of torchdiffeq from the grid's first to its last positive level.

    The steps between are its own.

    The error norm is taken over the whole batch, so that a sample depends on the others of its
    batch.
    """

    name: ClassVar[str]
    method: ClassVar[str]
    source: ClassVar[Source] = _SOURCE
    batch_coupled: ClassVar[bool] = True

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        """Integrate over the positive levels, then step to 0 if the grid does."""
        levels = _positive(grid)
        if len(levels) > 1:
            ends = (levels[0], levels[-1])
            # step_t: land on the last level. Otherwise the last step goes past it, to levels that
            # the model need not know, and the end is read from an interpolant that is less accurate
            # than the method.
            options = {
                "dtype": torch.float64,
                "step_t": torch.tensor([-math.log(ends[1])], dtype=torch.float64, device=x.device),
            }
            x = _integrate(
                denoise,
                x,
                ends,
                method=self.method,
                rtol=self.rtol,
                atol=self.atol,
                options=options,
            )
        return _finish(denoise, x, grid)


def _define(base: type, method: str, **declared: object) -> None:
    """Register ``torchdiffeq_METHOD``.

    The class lives in this module, so that it can be pickled.
    """
    body = {
        "name": f"torchdiffeq_{method}",
        "method": method,
        "__module__": __name__,
        "__doc__": base.__doc__,
        **declared,
    }
    cls = dataclass(frozen=True, kw_only=True)(type(f"Torchdiffeq_{method}", (base,), body))
    globals()[cls.__name__] = register(cls)


for _method, (_order, _) in _FIXED.items():
    _define(TorchdiffeqFixed, _method, order=_order)
for _method in _ADAPTIVE:
    _define(TorchdiffeqAdaptive, _method)
