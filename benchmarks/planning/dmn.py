"""Schedule ``dmn``: levels that minimise an error bound of an exponential multistep method."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...models.process import Process
from ...samplers.grid import Grid, check_range
from ...samplers.schedules import schedule, uniform_lambda, uniform_time
from ...samplers.types import Source

Array = NDArray[np.float64]
Errors = Callable[[Array], Array]
"""Function from lam of any shape to the assumed error of the denoised image there."""

MOST = 40
"""Largest number of steps between positive levels; the search for 40 takes several seconds."""

_LEAST = 1e-3  # smallest gap in lam, as a share of the range
_DIFFERENCE = 1e-6  # of central differences in lam
_ITERATIONS = 100


@schedule(
    Source(
        "xue2024dmn",
        "section 3.3 and the authors' step_optim.py",
        "https://arxiv.org/abs/2402.17376v1",
        (
            "As in the authors' code, not in the paper, the first `order` steps and the last step "
            "are counted apart: their errors do not cancel with others. "
            "A comment in the code allows cancellation from 8 steps on. Its minimum is then degenerate.",
            "SLSQP finds a minimum in which errors may vanish exactly; the authors' trust-region "
            "method stops before it from 7 steps on.",
            "To 0, the last step goes from sigma_min to 0 and is not optimised.",
        ),
    )
)
def dmn(
    n: int,
    sigma_min: float,
    sigma_max: float,
    *,
    process: Process,
    power: float = 1.0,
    start: str = "lambda",
    order: int = 3,
    to_zero: bool = True,
) -> Grid:
    """Levels that minimise an error bound of an exponential multistep method; needs no model.

    The method interpolates denoised images in lam = -log(sigma). The error of an image is assumed
    to be at most sigma_t^power / alpha_t, in the scaling of the process (:func:`bound_terms`).

    Args:
        n: number of steps, of which at most :data:`MOST` may end at a positive level.
        sigma_min: last positive level.
        sigma_max: first level.
        process: noising process, which the harness takes by name: "vp_linear", "vp_cosine", "flow" or "ve".
            With power 1, only the start "time" depends on the process.
        power: exponent of the image's error, 0 … 10. The authors take 1 for pixels, 2 for latents.
        start: first guess, uniform in lam ("lambda") or in the process's time ("time").
        order: order of the method, 1 … 3. The method's first and last steps have lower orders.
        to_zero: True to end with a step to 0, which is not optimised. False to end at ``sigma_min``.

    Raises:
        ValueError: an option or the range is invalid, or there are too many steps.
    """
    check_range(n, sigma_min, sigma_max)
    if start not in ("lambda", "time") or order not in (1, 2, 3) or not 0 <= power <= 10:
        raise ValueError(
            "dmn needs start 'lambda' or 'time', order 1, 2 or 3 and power between 0 and 10, got "
            f"{start!r}, {order} and {power}"
        )
    steps, end = (n - 1, (0.0,)) if to_zero else (n, ())
    if steps > MOST:
        raise ValueError(
            f"dmn optimises at most {MOST} steps, not {steps}; take fewer, or another schedule"
        )
    if steps == 0:
        return Grid((sigma_max, *end))
    return Grid((*_minimise(steps, sigma_min, sigma_max, process, power, start, order), *end))


def image_error(lam: Array, process: Process, power: float) -> Array:
    """Return sigma_t^power / alpha_t, an image's assumed error, at lam = log(alpha_t / sigma_t)."""
    level = np.exp(-lam)
    return level**power * process.alpha(process.t_of(level)) ** (power - 1)


def bound_terms(lam: Array, errors: Errors, order: int) -> Array:
    """Return the terms whose absolute values sum to the error bound of a multistep method.

    With the denoised image d, the exact solution of the probability flow is

        e^lam_N x_N = e^lam_0 x_0 + int_{lam_0}^{lam_N} e^lam d(lam) dlam

    In step s = 0 … N - 1 a polynomial through k = min(``order``, s + 1, N - s) images stands for d. The
    error of image j is multiplied by w_sj, the integral of e^lam times the image's Lagrange polynomial.
    Image j has the term errors(lam_j) sum_s w_sj. This sum leaves out the first ``order`` steps and the last.
    One more term sums, over the steps left out, the root of sum_j (errors(lam_j) w_sj)².

    Args:
        lam: ``(batch, N + 1)`` rising values of -log(sigma), N >= 1.
        errors: function from lam to the assumed error of an image.
        order: largest number of images in a step, >= 1.

    Returns:
        ``(batch, N + 1)``: terms of the N images, then the term of the steps left out.
    """
    steps = np.arange(lam.shape[1] - 1)
    last = len(steps) - 1
    points = np.minimum(np.minimum(steps + 1, len(steps) - steps), order)
    terms = np.zeros_like(lam)
    for k in range(1, points.max() + 1):
        of_order = np.flatnonzero(points == k)
        images = of_order[:, None] - np.arange(k)
        parts = _lagrange_integrals(lam, of_order, images) * errors(lam[:, images])
        for i, s in enumerate(of_order):
            if s < order or s == last:
                terms[:, -1] += np.sqrt((parts[:, i] ** 2).sum(1))
            else:
                terms[:, images[i]] += parts[:, i]
    return terms


def _lagrange_integrals(lam: Array, steps: NDArray[np.intp], images: NDArray[np.intp]) -> Array:
    """Return the integrals of e^lam l_j over ``steps`` ``(s,)``, as ``(batch, s, k)``.

    l_j is the Lagrange polynomial of node j. ``images`` ``(s, k)`` are indices of nodes in ``lam``.
    """
    begin = lam[:, steps]
    h, powers = lam[:, steps + 1] - begin, np.arange(images.shape[1])
    moments = [np.expm1(h)]  # int_0^h e^u u^j du, by parts
    for j in powers[1:]:
        moments.append(np.exp(h) * h**j - j * moments[-1])
    nodes = (lam[:, images] - begin[:, :, None])[:, :, None, :] ** powers[:, None]
    weights = np.linalg.solve(nodes, np.stack(moments, -1)[..., None])[..., 0]
    return weights * np.exp(begin)[:, :, None]


@lru_cache(maxsize=1024)
def _minimise(
    steps: int,
    sigma_min: float,
    sigma_max: float,
    process: Process,
    power: float,
    start: str,
    order: int,
) -> tuple[float, ...]:
    """Return the ``steps + 1`` levels of least bound, or the first guess if none lower is found.

    The bound has kinks where terms vanish, and the minimum lies on kinks. So the search minimises
    sum_j y_j over lam and over numbers y_j with -y_j <= term_j <= y_j.
    """
    from scipy.optimize import minimize  # here, since few runs need it

    ends = (steps, sigma_min, sigma_max)
    first = (
        uniform_lambda(*ends, to_zero=False)
        if start == "lambda"
        else uniform_time(*ends, process=process, to_zero=False)
    ).sigma
    inner = steps - 1
    if not inner:
        return first
    guess = -np.log(first)
    width = guess[-1] - guess[0]
    errors = partial(image_error, process=process, power=power)
    scale = np.abs(bound_terms(guess[None], errors, order)).sum()

    def scaled_terms(free: Array) -> Array:
        low, high = (np.full((len(free), 1), guess[i]) for i in (0, -1))
        return bound_terms(np.hstack([low, free, high]), errors, order) / scale

    def slopes(free: Array) -> Array:
        moves = _DIFFERENCE * np.eye(inner)
        up, down = np.split(scaled_terms(np.vstack([free + moves, free - moves])), 2)
        return (up - down).T / (2 * _DIFFERENCE)

    def constraints(z: Array) -> Array:
        terms = scaled_terms(z[None, :inner])[0]
        gaps = np.diff(np.hstack([guess[0], z[:inner], guess[-1]]))
        return np.hstack([z[inner:] - terms, z[inner:] + terms, gaps - _LEAST * width])

    def constraint_slopes(z: Array) -> Array:
        by_level, unit = slopes(z[:inner]), np.eye(steps + 1)
        of_gaps = np.eye(steps, inner) - np.eye(steps, inner, -1)
        no_bound = np.zeros((steps, steps + 1))
        return np.block([[-by_level, unit], [by_level, unit], [of_gaps, no_bound]])

    weights = np.repeat([0.0, 1.0], [inner, steps + 1])
    found = minimize(
        lambda z: weights @ z,
        np.hstack([guess[1:-1], np.abs(scaled_terms(guess[None, 1:-1])[0])]),
        jac=lambda _: weights,
        method="SLSQP",
        constraints={"type": "ineq", "fun": constraints, "jac": constraint_slopes},
        options={"maxiter": _ITERATIONS, "ftol": 1e-12},
    ).x[:inner]
    levels = (sigma_max, *np.exp(-found).tolist(), sigma_min)
    falls = all(upper > lower for upper, lower in pairwise(levels))
    return levels if falls and np.abs(scaled_terms(found[None])).sum() < 1 else first
