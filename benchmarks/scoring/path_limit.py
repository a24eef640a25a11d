"""Pathwise limit of the reverse SDE: the end of a sample along its Brownian path for many steps.

In y = x / sigma^2 and tau = 1 / sigma^2 the SDE is dy = d dtau + dW (``samplers.brownian``). For
such additive noise SRA1 of Rössler 2010 (doi:10.1137/09076636X, section 5) has strong order 1.5:

    y <- y + h (f_1 + 2 f_2) / 3 + W_nxt - W_cur,    f_1 = d(x, cur),    f_2 = d at tau + 3 h / 4 and y + 3 h f_1 / 4 + 3 J / (2 h),

with J the integral of W - W_cur over the step, a trapezoidal sum over finer levels of the path.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...samplers import Denoise
from ...samplers.brownian import BrownianTree

SUBDIVISION = 4
"""log2 of the number of pieces of a step in the sum J, which leave a 16th of J's uncertainty."""
PIECES = 1 << SUBDIVISION
BLOCK = 1 << 23
"""Most values of a Brownian path in memory (64 MiB), unless a single step needs more."""


def path_limit(denoise: Denoise, tree: BrownianTree, x: Tensor, log2_steps: int) -> Tensor:
    """Return the reverse SDE's float64 states at ``tree.sigma_floor`` along the paths of ``tree``.

    ``x`` ``(batch, *event)`` are the states at ``tree.sigma_max``. There are 2^log2_steps steps,
    evenly spaced in log sigma; log2_steps is at most DEPTH - SUBDIVISION.
    """
    fine = log2_steps + SUBDIVISION
    coarse = next(c for c in range(fine + 1) if c == log2_steps or x.numel() << (fine - c) <= BLOCK)
    y = x.double() / tree.sigma_max**2
    for k in range(1 << coarse):
        levels, path = tree.levels(k, coarse, fine), tree.block(k, coarse, fine)
        for i in range(0, len(levels) - 1, PIECES):
            y = _step(denoise, y, levels[i : i + PIECES + 1], path[i : i + PIECES + 1])
    return y * tree.sigma_floor**2


def _step(denoise: Denoise, y: Tensor, levels: list[float], path: Tensor) -> Tensor:
    """Return y after one SRA1 step; ``path`` has the Brownian path at the step's ``levels``."""
    path = path - path[0]
    clock = torch.tensor(levels, dtype=torch.float64, device=y.device) ** -2
    area = torch.trapezoid(path, clock, dim=0)
    start, h = float(clock[0]), float(clock[-1] - clock[0])
    first = denoise(y / start, start**-0.5)
    inner = start + 0.75 * h
    second = denoise((y + 0.75 * h * first + 1.5 / h * area) / inner, inner**-0.5)
    return y + h / 3 * (first + 2 * second) + path[-1]
