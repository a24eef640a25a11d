"""Solver that fits a table of coefficients to the model: a file for ``samplerbench submit``.

    samplerbench submit fitted_table.py --out submissions/fitted_table.json

A multistep method gives the first table. Each of its steps gets a linear least-squares fit from the
solver's own states to a teacher's, as in S4S (arXiv:2502.17423), but without gradients. ``tune`` tries
two spacings of levels, two methods and three strengths of the fit. The least distance on its latents wins.
"""

from dataclasses import dataclass
from itertools import product

import torch

from samplerbench.samplers import (
    Grid,
    LinearMultistep,
    LinearRow,
    Source,
    karras,
    make,
    tabulate,
    uniform_lambda,
)

LATENTS = 64
TEACHER_STEPS = 400
BELOW = 100
"""The teacher goes on to sigma_min / BELOW, where the denoised image is the end of the path."""
MEMORY = 4
"""Number of earlier images in a fit."""
RIDGES = (1e-1, 1e-3, 1e-8)
"""Weights of the penalty on corrections, relative to the fit's columns."""


@dataclass(frozen=True, kw_only=True)
class FittedTable(LinearMultistep):
    """Steps x <- a x + sum_j b_j d_{i-j} by a table of (a, b); Euler's without a table."""

    name, order = "fitted_table", None
    source = Source("han2025s4s", "coefficients alone", "https://arxiv.org/abs/2502.17423")
    table: tuple[tuple[float, tuple[float, ...]], ...] = ()

    @property
    def history(self):
        """Number of earlier images that the last step reads."""
        return max(len(self.table) - 1, 0)

    def plan(self, grid):
        """Return the rows of the table on the levels of ``grid``."""
        table = self.table or [(nxt / cur, (1 - nxt / cur,)) for cur, nxt in grid.intervals()]
        return [LinearRow(s, a, b) for s, (a, b) in zip(grid.sigma[:-1], table, strict=True)]


def tune(denoise, draw, nfe, sigma_min, sigma_max):
    """Return the fitted sampler and its levels for ``nfe`` evaluations a sample."""
    fine = uniform_lambda(TEACHER_STEPS, sigma_min / BELOW, sigma_max)
    states = [draw(LATENTS)]
    make("zeab_4").sample(denoise, states[0], fine, 0, on_step=lambda _i, _s, x: states.append(x))
    best = None
    for spacing, method in product((uniform_lambda, karras), ("dpmpp_2m", "zeab_4")):
        places = nearest_places(fine, spacing(nfe, sigma_min, sigma_max))
        grid = Grid(tuple(fine.sigma[i] for i in places))
        for ridge in (None, *RIDGES):
            rows = tabulate(make(method), grid)
            table, ends = roll_out(denoise, grid, rows, [states[i] for i in places], ridge)
            miss = float((ends - states[-1]).flatten(1).norm(dim=1).median())
            if best is None or miss < best[0]:
                best = miss, table, grid
    return FittedTable(table=best[1]), best[2]


def nearest_places(fine, grid):
    """Return indices of the levels of ``fine`` nearest to those of ``grid``, all different."""
    places = [0]
    for level in grid.positive[1:]:
        nearest = min(range(len(fine)), key=lambda i: abs(fine.sigma[i] / level - 1))
        places.append(max(nearest, places[-1] + 1))
    return [*places, len(fine)]


def roll_out(denoise, grid, rows, targets, ridge):
    """Return the table and the last states of steps by ``rows``, each corrected towards its target.

    A correction adds sum_j w_j (d_{i-j} - d_i), which keeps the sum of a step's weights. ``ridge`` None
    leaves all steps as they are.
    """
    x, past, table = targets[0], [], []
    for (cur, _), row, target in zip(grid.intervals(), rows, targets[1:], strict=True):
        past.insert(0, denoise(x, cur))
        weights = [*row.b, *[0.0] * (len(past) - len(row.b))]
        x = row.a * x + sum(w * d for w, d in zip(weights, past, strict=True))
        if ridge is not None and len(past) > 1:
            differences = [d - past[0] for d in past[1 : 1 + MEMORY]]
            corrections = fit_weights(differences, target - x, ridge)
            for j, (w, difference) in enumerate(zip(corrections, differences, strict=True), 1):
                x = x + w * difference
                weights[0], weights[j] = weights[0] - w, weights[j] + w
        table.append((row.a, tuple(weights)))
    return tuple(table), x


def fit_weights(columns, target, ridge):
    """Return weights of the columns that bring most samples near the target.

    Samples are weighted anew with one over their distance, so that the sum of distances counts, not of
    squares: a few samples with large errors do not decide.
    """
    matrix = torch.stack([column.flatten(1) for column in columns], -1).double()  # (n, d, k)
    target = target.flatten(1).double()
    share = torch.ones(len(target), 1, dtype=torch.float64)
    for _ in range(6):
        left, right = (share[..., None] * matrix).flatten(0, 1), (share * target).flatten()
        scale = left.norm(dim=0).clamp(min=1e-300)
        penalty = ridge**0.5 * torch.eye(len(scale), dtype=torch.float64)
        left = torch.cat([left / scale, penalty])
        right = torch.cat([right, right.new_zeros(len(scale))])
        weights = torch.linalg.lstsq(left, right, driver="gelsd").solution / scale
        miss = (matrix @ weights - target).norm(dim=1, keepdim=True)
        share = (miss + 1e-3 * miss.median() + 1e-300).rsqrt()
    return weights.tolist()
