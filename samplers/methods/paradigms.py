"""ParaDiGMS: Picard iteration on many steps at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from ..base import Declared
from ..grid import Grid
from ..numerics import as_column, level_tensor, row_rms
from ..registry import register
from ..types import Denoise, Noise, Source


@register
@dataclass(frozen=True, kw_only=True)
class Paradigms(Declared):
    """Picard iteration on a window of steps; the fixed point is Euler's (DDIM's) path on the grid.

    With t the window's first step, a sweep evaluates all increments f_j = (sigma_{j+1} - sigma_j)
    (x_j - d_j) / sigma_j at once, then sets x_{j+1} = x_t + f_t + … + f_j. The window moves past
    the states that a sweep changed by at most tol up_j in root mean square. up_j = sigma_{j+1}
    sqrt(1 - (sigma_{j+1} / sigma_j)²) is the standard deviation of DDPM's noise in step j. The
    window moves at least one step, as x_{t+1} cannot change again. Every sample has its own window.

    Attributes:
        window: largest number of steps evaluated at once, >= 1; 1 is Euler's method.
        tol: tolerance >= 0 of a sweep's changes; at 0 the result is Euler's.
    """

    name = "paradigms"
    source = Source(
        "shih2023paradigms",
        "ParaDiGMS, with the increments of DDIM",
        "https://arxiv.org/abs/2305.16317v3",
        deviations=(
            "the increments are those of x0 + sigma z in sigma, where DDIM is Euler's method",
            "the tolerance is on each sample, which moves on by itself, where the "
            "authors' code moves the batch with its slowest sample",
        ),
    )
    window: int = 16
    tol: float = 0.1

    def __post_init__(self) -> None:
        if not (isinstance(self.window, int) and self.window >= 1 and self.tol >= 0):
            raise ValueError(
                "paradigms: window must be a whole number >= 1 and tol >= "
                f"0, got {self.window} and {self.tol}"
            )

    def nfe(self, grid: Grid) -> None:  # noqa: ARG002
        return

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        """Return the states at the last level, once every sample's window has reached it."""
        done, p = [0] * len(x), min(self.window, len(grid))
        # (batch, p + 1, *event): x_t, x_{t+1}, … of each sample, with t in `done`
        states = x.unsqueeze(1).repeat_interleave(p + 1, 1)
        while min(done, default=len(grid)) < len(grid):
            increments = self._increments(denoise, states, grid, done).unbind(1)
            # not torch.cumsum, whose rounding may depend on the batch
            swept = torch.stack(list(accumulate(increments, initial=states[:, 0])), 1)
            changes = row_rms((swept - states).flatten(0, 1))
            strides = [
                self._count_finished(changes[k * (p + 1) :][: p + 1], grid.sigma[t:])
                for k, t in enumerate(done)
            ]
            keep = torch.tensor(
                [[min(j + stride, p) for j in range(p + 1)] for stride in strides], device=x.device
            )
            states = swept[torch.arange(len(x), device=x.device)[:, None], keep]
            done = [t + stride for t, stride in zip(done, strides, strict=True)]
        return states[:, 0].clone()

    def _increments(self, denoise: Denoise, states: Tensor, grid: Grid, done: list[int]) -> Tensor:
        """Return f_j ``(batch, p, *event)`` of the p steps from ``done[k]`` on; 0 past the grid."""
        p = states.shape[1] - 1
        jobs = [
            (k, j, *grid.sigma[t + j : t + j + 2])
            for k, t in enumerate(done)
            for j in range(min(p, len(grid) - t))
        ]
        k, j = torch.tensor([job[:2] for job in jobs], device=states.device).unbind(1)
        x = states[k, j]
        d = denoise.take(k)(x, level_tensor([cur for _, _, cur, _ in jobs], x))
        f = torch.zeros_like(states[:, 1:])
        f[k, j] = (x - d) * as_column([nxt / cur - 1 for _, _, cur, nxt in jobs], x)
        return f

    def _count_finished(self, changes: list[float], sigma: tuple[float, ...]) -> int:
        """Return the number of steps before the first state that changed too much.

        It is at least 1, but 0 after the last step.
        """
        most = min(len(changes), len(sigma)) - 1
        for j in range(1, most):
            cur, nxt = sigma[j - 1 : j + 1]
            if not changes[j] <= self.tol * nxt * math.sqrt(1 - (nxt / cur) ** 2):
                return j
        return most
