"""Integration of an exact model's probability-flow ODE to near rounding error, sample by sample.

A solver that treats the batch as one system controls the batch's mean error. This hides the large
error of one sample near a boundary between modes, and every result depends on the other samples.
Here each sample has its own time and step. The arithmetic between two evaluations is elementwise.
No transcendental function is vectorised, since remainder loops may round differently. A sample's
result is thus bit-identical in any batch.

Coordinates. Let ``s`` be the scale of the data, ``sigma = s sinh t`` and ``r = sqrt(sigma^2 + s^2)
= s cosh t``, so that ``dsigma/dt = r`` and ``dr/dt = sigma``. The state ``y = x / r`` then obeys

    dy/dt = (x - d) / sigma - x sigma / r^2 = (x s^2 / r^2 - d) / sigma.

``y`` is of order 1 at every level, so one tolerance for ``y`` suits all levels. The right-hand
side vanishes for data N(0, s^2 I). ``t`` grows like log sigma above ``s``, and like sigma below. At
levels below ``s``, x(sigma) has no detail left to resolve, and the solver takes fewer steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

FIRST_STEP = 0.1
SMALLEST_STEP = 1e-9

# fmt: off
NODES = (
    0.0, 0.05260015195876773, 0.0789002279381516, 0.1183503419072274, 0.2816496580927726,
    0.3333333333333333, 0.25, 0.3076923076923077, 0.6512820512820513, 0.6, 0.8571428571428571,
    1.0,
)
"""Times of DOP853's stages as fractions of a step (all tables: Hairer, Nørsett and Wanner, II.10)."""

STAGES = (
    (0.05260015195876773,),
    (0.0197250569845379, 0.0591751709536137),
    (0.02958758547680685, 0.0, 0.08876275643042054),
    (0.2413651341592667, 0.0, -0.8845494793282861, 0.924834003261792),
    (0.037037037037037035, 0.0, 0.0, 0.17082860872947386, 0.12546768756682242),
    (0.037109375, 0.0, 0.0, 0.17025221101954405, 0.06021653898045596, -0.017578125),
    (0.03709200011850479, 0.0, 0.0, 0.17038392571223998, 0.10726203044637328,
     -0.015319437748624402, 0.008273789163814023),
    (0.6241109587160757, 0.0, 0.0, -3.3608926294469414, -0.868219346841726, 27.59209969944671,
     20.154067550477894, -43.48988418106996),
    (0.47766253643826434, 0.0, 0.0, -2.4881146199716677, -0.590290826836843, 21.230051448181193,
     15.279233632882423, -33.28821096898486, -0.020331201708508627),
    (-0.9371424300859873, 0.0, 0.0, 5.186372428844064, 1.0914373489967295, -8.149787010746927,
     -18.52006565999696, 22.739487099350505, 2.4936055526796523, -3.0467644718982196),
    (2.273310147516538, 0.0, 0.0, -10.53449546673725, -2.0008720582248625, -17.9589318631188,
     27.94888452941996, -2.8589982771350235, -8.87285693353063, 12.360567175794303,
     0.6433927460157636),
)
"""Weights of the earlier stages in each stage but the first."""

WEIGHTS = (
    0.054293734116568765, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003,
    -5.801203960010585, 0.3111643669578199, -0.1521609496625161, 0.20136540080403034,
    0.04471061572777259,
)
"""Weights of the stages in the step, of order 8."""

FIFTH = (
    0.01312004499419488, 0.0, 0.0, 0.0, 0.0, -1.2251564463762044, -0.4957589496572502,
    1.6643771824549864, -0.35032884874997366, 0.3341791187130175, 0.08192320648511571,
    -0.022355307863886294,
)
THIRD = (
    -0.18980075407240762, 0.0, 0.0, 0.0, 0.0, 4.450312892752409, 1.8915178993145003,
    -5.801203960010585, -0.4226823213237919, -0.1521609496625161, 0.20136540080403034,
    0.02265179219836082,
)
"""Weights of the stages in the error estimates of orders 5 and 3."""
# fmt: on


def flow_states(
    denoise: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    x: Tensor,
    labels: Tensor | None,
    sigma_from: float,
    sigma_to: float,
    scale: float,
    tolerance: float,
) -> Tensor:
    """Return states carried along the probability flow dx/dsigma = (x - d) / sigma by DOP853.

    Args:
        denoise: ``denoise(x, sigma, labels)`` gives the denoised states of some of the rows.
        x: ``(batch, *event)``, the states at ``sigma_from``; the result has their dtype.
        labels: ``(batch,)``, or None.
        sigma_from: level > 0.
        sigma_to: level > 0.
        scale: scale of the data, > 0; ``s`` in the module's docstring.
        tolerance: error of y = x / sqrt(sigma^2 + s^2) allowed in a step, relative to 1 + |y|.

    Raises:
        ArithmeticError: the error stays large at the smallest step.
    """

    def slope_of(t: Tensor, y: Tensor) -> Tensor:
        sigma = scale * apply_one_by_one(math.sinh, t)
        r = torch.sqrt(sigma * sigma + scale * scale)
        rows = y * r[:, None]
        of_rows = labels if labels is None else labels[unfinished_rows]
        d = denoise(rows.reshape(-1, *x.shape[1:]), sigma, of_rows).flatten(1)
        return (rows * (scale / r).square()[:, None] - d) / sigma[:, None]

    start, stop = math.asinh(sigma_from / scale), math.asinh(sigma_to / scale)
    rows = x.flatten(1).double()
    with torch.inference_mode(not torch.is_grad_enabled()):
        out = torch.empty_like(rows)
        unfinished_rows = torch.arange(len(x), device=x.device)
        y = rows / math.hypot(sigma_from, scale)
        t = torch.full((len(x),), start, dtype=y.dtype, device=x.device)
        h = torch.full_like(t, math.copysign(FIRST_STEP, stop - start))
        slope = slope_of(t, y) if len(x) else y
        while len(unfinished_rows):
            last = h.abs() >= (stop - t).abs()
            h = torch.where(last, stop - t, h)
            stages = [slope]
            for c, row in zip(NODES[1:], STAGES, strict=True):
                stages.append(slope_of(t + c * h, y + h[:, None] * weighted_sum(row, stages)))
            y_new = y + h[:, None] * weighted_sum(WEIGHTS, stages)
            t_new = torch.where(last, torch.full_like(t, stop), t + h)
            stages.append(slope_of(t_new, y_new))
            error = step_error(stages, h, tolerance * (1 + torch.maximum(y.abs(), y_new.abs())))
            good = error < 1
            y = torch.where(good[:, None], y_new, y)
            slope = torch.where(good[:, None], stages[-1], slope)
            t = torch.where(good, t_new, t)
            out[unfinished_rows] = y
            h = h * apply_one_by_one(step_factor, error)
            unfinished = ~(good & last)
            unfinished_rows, y, slope, t, h = (
                v[unfinished] for v in (unfinished_rows, y, slope, t, h)
            )
            if bool((h.abs() < SMALLEST_STEP).any()):
                raise ArithmeticError(
                    "the probability flow did not converge; are the states finite?"
                )
        ends = out * math.hypot(sigma_to, scale)
    return ends.clone().reshape(x.shape).to(x.dtype)


def weighted_sum(weights: Iterable[float], stages: list[Tensor]) -> Tensor:
    """Return the sum of ``weights[j] * stages[j]``, in order, with one rounding per operation."""
    total = torch.zeros_like(stages[0])
    for weight, stage in zip(weights, stages, strict=False):
        if weight:
            total += weight * stage
    return total


def step_error(stages: list[Tensor], h: Tensor, allowed: Tensor) -> Tensor:
    """Return DOP853's largest error in each row's step, as a multiple of ``allowed``: ``(n,)``."""
    fifth, third = (
        (weighted_sum(weights, stages).abs() / allowed).amax(1) for weights in (FIFTH, THIRD)
    )
    norm = torch.sqrt(fifth * fifth + 0.01 * third * third)
    return h.abs() * fifth * (fifth / norm.clamp(min=1e-300))


def step_factor(error: float) -> float:
    """Return the next step's length over the last one's, in [0.2, 5], given its :func:`step_error`."""
    if not error < math.inf:
        return 0.2
    return min(5.0, max(0.2, 0.9 * max(error, 1e-12) ** -0.125))


def apply_one_by_one(function: Callable[[float], float], values: Tensor) -> Tensor:
    """Return ``function`` of each number of a 1-D tensor, with the same bits at any position."""
    return torch.tensor(
        [function(value) for value in values.tolist()], dtype=values.dtype, device=values.device
    )
