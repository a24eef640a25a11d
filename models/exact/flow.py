"""Integration of an exact model's probability-flow ODE to near rounding error, with step control
per sample.

A solver that treats the batch as one system controls the mean error: one sample near a boundary
between modes hides among a hundred easy ones, and every sample depends on its companions. Here each
sample has its own time and step. The arithmetic between two evaluations is elementwise, and no
transcendental function is vectorised (whose remainder loops may round differently), so a sample's
result is bit-identical in any batch.

Coordinates. With ``s`` the scale of the data, ``sigma = s sinh t`` and ``r = sqrt(sigma^2 + s^2) =
s cosh t``, the state ``y = x / r`` follows, because ``dsigma/dt = r`` and ``dr/dt = sigma``,

    dy/dt = (x - d) / sigma - x sigma / r^2 = (x s^2 / r^2 - d) / sigma.

``y`` is of order 1 at every level, so an error in it counts alike at all of them, and the
right-hand side vanishes for data N(0, s^2 I). ``t`` is like log sigma above ``s`` and like sigma
below, where x(sigma) has nothing more to resolve: fewer steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

FIRST_STEP = 0.1
SMALLEST_STEP = 1e-9


def flow_rows(
    denoise: Callable[[Tensor, Tensor, Tensor], Tensor],
    x: Tensor,
    sigma_from: float,
    sigma_to: float,
    scale: float,
    tolerance: float,
) -> Tensor:
    """Carry rows along dx/dsigma = (x - d) / sigma by DOP853 (Hairer, Nørsett and Wanner, II.10).

    Args:
        denoise: ``denoise(x, sigma, which)`` gives the denoised rows; row k is ``which[k]``.
        x: ``(batch, d)`` float64, the states at ``sigma_from``.
        sigma_from: level > 0.
        sigma_to: level > 0.
        scale: ``s`` above, > 0.
        tolerance: error allowed in a step, relative to 1 + |y|.

    Raises:
        ArithmeticError: the error stays large at the smallest step.
    """

    def slope_of(t: Tensor, y: Tensor) -> Tensor:
        sigma = scale * map_each(math.sinh, t)
        r = torch.sqrt(sigma * sigma + scale * scale)
        x = y * r[:, None]
        return (x * (scale / r).square()[:, None] - denoise(x, sigma, which)) / sigma[:, None]

    start, stop = math.asinh(sigma_from / scale), math.asinh(sigma_to / scale)
    out = torch.empty_like(x)
    which = torch.arange(len(x), device=x.device)
    y = x / math.hypot(sigma_from, scale)
    t = torch.full((len(x),), start, dtype=x.dtype, device=x.device)
    h = torch.full_like(t, math.copysign(FIRST_STEP, stop - start))
    slope = slope_of(t, y) if len(x) else y
    from scipy.integrate import DOP853  # slow to import, and a forecast ends before it

    while len(which):
        last = h.abs() >= (stop - t).abs()
        h = torch.where(last, stop - t, h)
        stages = [slope]
        for c, row in zip(DOP853.C[1:], DOP853.A[1:], strict=True):
            stages.append(slope_of(t + c * h, y + h[:, None] * weighted_sum(row, stages)))
        y_new = y + h[:, None] * weighted_sum(DOP853.B, stages)
        t_new = torch.where(last, torch.full_like(t, stop), t + h)
        stages.append(slope_of(t_new, y_new))
        error = step_error(stages, h, tolerance * (1 + torch.maximum(y.abs(), y_new.abs())))
        good = error < 1
        y = torch.where(good[:, None], y_new, y)
        slope = torch.where(good[:, None], stages[-1], slope)
        t = torch.where(good, t_new, t)
        out[which] = y
        h = h * map_each(step_factor, error)
        unfinished = ~(good & last)
        which, y, slope, t, h = (v[unfinished] for v in (which, y, slope, t, h))
        if bool((h.abs() < SMALLEST_STEP).any()):
            raise ArithmeticError("the probability flow did not converge; are the states finite?")
    return out * math.hypot(sigma_to, scale)


def flow_states(
    denoise: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x: Tensor,
    labels: Tensor | None,
    sigma_from: float,
    sigma_to: float,
    scale: float,
    tolerance: float,
) -> Tensor:
    """Carry states ``(batch, *event)`` with labels, like :func:`flow_rows`, in their dtype."""

    def denoise_rows(rows: Tensor, sigma: Tensor, which: Tensor) -> Tensor:
        states = rows.reshape(-1, *x.shape[1:])
        return denoise(states, sigma, labels if labels is None else labels[which]).flatten(1)

    rows = x.flatten(1).double()
    ends = flow_rows(denoise_rows, rows, sigma_from, sigma_to, scale, tolerance)
    return ends.reshape(x.shape).to(x.dtype)


def weighted_sum(weights: Iterable[float], stages: list[Tensor]) -> Tensor:
    """Return the sum of ``weights[j] * stages[j]``, in order, with one rounding per operation."""
    total = torch.zeros_like(stages[0])
    for weight, stage in zip(weights, stages, strict=False):
        if weight:
            total += float(weight) * stage
    return total


def step_error(stages: list[Tensor], h: Tensor, allowed: Tensor) -> Tensor:
    """Return DOP853's error of each row in units of ``allowed``, in the maximum norm."""
    from scipy.integrate import DOP853

    fifth, third = (
        (weighted_sum(weights, stages).abs() / allowed).amax(1)
        for weights in (DOP853.E5, DOP853.E3)
    )
    norm = torch.sqrt(fifth * fifth + 0.01 * third * third)
    return h.abs() * fifth * (fifth / norm.clamp(min=1e-300))


def step_factor(error: float) -> float:
    """Return the factor of the step after an error, of an eighth-order method, in [0.2, 5]."""
    if not error < math.inf:
        return 0.2
    return min(5.0, max(0.2, 0.9 * max(error, 1e-12) ** -0.125))


def map_each(function: Callable[[float], float], values: Tensor) -> Tensor:
    """Return ``function`` of each number of a 1-D tensor, one by one: the same bits in any place."""
    return torch.tensor(
        [function(value) for value in values.tolist()], dtype=values.dtype, device=values.device
    )
