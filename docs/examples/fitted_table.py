"""Solver that fits a table of coefficients to the model: a file for ``samplerbench submit``.

    samplerbench submit fitted_table.py --out submissions/fitted_table.json

A multistep method gives the first table. Each of its steps gets a linear least-squares fit from the
solver's own states to a teacher's, as in S4S (arXiv:2502.17423), but without gradients. ``tune`` tries
two spacings of levels, two methods and three strengths of the fit. The least distance on its latents wins.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from samplerbench.samplers import (
    Grid,
    LinearMultistep,
    LinearRow,
    Source,
    make,
    tabulate,
    uniform_lambda,
)

LATENTS = 64
TEACHER_STEPS = 400
END_POINTS = 4
"""Number of images from which the end of a path is extrapolated."""
ORDER, FLOOR = 3, 0.3
"""Difference of images that spaces the levels, and the least density of levels over the mean one."""
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
    fine = uniform_lambda(TEACHER_STEPS, sigma_min, sigma_max)
    states, images = [draw(LATENTS)], []

    def denoise_and_keep(x, sigma):
        images.append(denoise(x, sigma))
        return images[-1]

    teacher = make("zeab_4")
    teacher.sample(denoise_and_keep, states[0], fine, 0, on_step=lambda _i, _s, x: states.append(x))
    states[-1] = end_of_path(fine.positive, images)
    best = None
    spacings = uniform_lambda(nfe, sigma_min, sigma_max), spaced_by_images(fine, images, nfe)
    for spacing, method in product(spacings, ("dpmpp_2m", "zeab_4")):
        places = nearest_places(fine, spacing)
        grid = Grid(tuple(fine.sigma[i] for i in places))
        rows, targets = tabulate(make(method), grid), [states[i] for i in places]
        for ridge in (None, *RIDGES):
            table, ends = roll_out(denoise, grid, rows, targets, ridge)
            miss = float((ends - states[-1]).flatten(1).norm(dim=1).median())
            if best is None or miss < best[0]:
                best = miss, table, grid
    return FittedTable(table=best[1]), best[2]


def end_of_path(levels, images):
    """Return the image at level 0, by a polynomial in sigma^2 through images at the lowest levels.

    Along a path, the denoised image is x0 + O(sigma^2). The levels are about sigma_min 2^(k / 2).
    """
    lowest = min(levels)
    places = [
        int(np.argmin(np.abs(np.log(levels) - np.log(lowest) - k * np.log(2) / 2)))
        for k in range(END_POINTS)
    ]
    squares = [levels[i] ** 2 for i in places]
    weights = [
        np.prod([other / (other - own) for other in squares if other != own]) for own in squares
    ]
    return sum(float(w) * images[i] for w, i in zip(weights, places, strict=True))


def spaced_by_images(fine, images, nfe):
    """Return levels that lie densest where the images' differences of third order are large.

    A multistep method's error in a step of length h grows as h^ORDER times this derivative.
    """
    change = torch.stack(images).flatten(2).diff(ORDER, dim=0).norm(dim=2).median(1).values.cpu()
    smooth = np.convolve(np.pad(change.double().numpy(), 9, mode="edge"), np.ones(19) / 19, "valid")
    density = smooth ** (1 / (ORDER + 1))
    total = np.concatenate([[0.0], np.cumsum(density + FLOOR * density.mean() + 1e-300)])
    lam = np.linspace(fine.lam[0], fine.lam[-2], len(total))
    levels = np.exp(-np.interp(np.linspace(0, total[-1], nfe), total, lam))
    return Grid((*levels, 0.0))


def nearest_places(fine, grid):
    """Return indices of the levels of ``fine`` nearest to those of ``grid``, all different."""
    places, levels = [0], grid.positive
    for left, level in zip(range(len(levels) - 1, 0, -1), levels[1:], strict=True):
        nearest = min(range(len(fine)), key=lambda i: abs(fine.sigma[i] / level - 1))
        places.append(min(max(nearest, places[-1] + 1), len(fine) - left))
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
