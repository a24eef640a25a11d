"""The probability-flow ODE by scipy's solve_ivp, integrated in lam = -log(sigma): dx/dlam =
d(x, e^-lam) - x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..families.adaptive import Tolerant
from ..grid import Grid
from ..registry import register
from ..types import Denoise, Noise, Source

_EXPLICIT = ("RK23", "RK45", "DOP853")
_IMPLICIT = ("LSODA", "BDF", "Radau")


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


def _define(method: str, *, batch_coupled: bool) -> None:
    """Register ``scipy_METHOD``; the class lives in this module, so that it can be pickled."""
    body = {"name": f"scipy_{method.lower()}", "method": method, "batch_coupled": batch_coupled}
    body |= {"__module__": __name__, "__doc__": ScipyODE.__doc__}
    cls = dataclass(frozen=True, kw_only=True)(type(f"Scipy_{method}", (ScipyODE,), body))
    globals()[cls.__name__] = register(cls)


for _method in _EXPLICIT:
    _define(_method, batch_coupled=True)
for _method in _IMPLICIT:
    _define(_method, batch_coupled=False)
