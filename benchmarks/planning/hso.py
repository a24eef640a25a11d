"""Schedule ``hso``: levels that minimise an error estimate, with a penalty on close times."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...models.process import VE, Process
from ...samplers import Grid, Source, karras
from ...samplers.grid import check_range
from ...samplers.schedules import schedule
from .dmn import MOST, Array, image_error

ENDS = np.linspace(0.03, 0.01, 9)
"""Process times from which the last positive level is chosen."""
PENALTY = 1e9
"""Weight of :func:`spacing_penalty` in the choice of the last positive level."""

_RHO = 7.0  # of the start
_DIFFERENCE = 1e-5  # of central differences in lam


@schedule(
    Source(
        "zhu2026hso",
        "the authors' stages_step_optim.py, objective 'midpoint'",
        "https://arxiv.org/abs/2511.11688v2",
        (
            "The authors' evolution also searches rho of the start between 3 and 16. Every rho leads "
            "to the same minimum, so rho is 7.",
            "The first level is sigma_max, which the latents have; the authors search it between "
            "t = 0.96 and 1.",
            "The last positive level is the best of nine. It is sigma_min where that is higher, and "
            "where the grid does not go to 0.",
            "L-BFGS-B finds the minimum; the authors' method is trust-constr.",
        ),
    )
)
def hso(
    n: int, sigma_min: float, sigma_max: float, *, process: Process, to_zero: bool = True
) -> Grid:
    """Levels that minimise a midpoint error proxy (``midpoint_proxy``); no model is needed.

    An inner search finds the inner noise levels of least proxy for a last positive level. An outer
    search chooses this last level, at a process time between 0.01 and 0.03, by the proxy plus
    :data:`PENALTY` times a penalty (:func:`spacing_penalty`).

    Args:
        n: number of steps, of which at most :data:`.dmn.MOST` may end at a positive level.
        sigma_min: lower bound of the last positive level.
        sigma_max: first level.
        process: noising process, which the harness takes by name: "vp_linear", "vp_cosine" or "flow".
        to_zero: True for a last step to 0, which is not optimised. False to end at ``sigma_min``.

    Raises:
        ValueError: the process is a :class:`.VE`, the range is invalid, or steps are too many.
    """
    check_range(n, sigma_min, sigma_max)
    if isinstance(process, VE):
        raise ValueError(
            "hso has no minimum for process 've', where all levels have the same proxy; choose "
            "'vp_linear', 'vp_cosine' or 'flow'"
        )
    steps, end = (n - 1, (0.0,)) if to_zero else (n, ())
    if steps > MOST:
        raise ValueError(
            f"hso optimises at most {MOST} steps, not {steps}; take fewer, or another schedule"
        )
    if steps == 0:
        return Grid((sigma_max, *end))
    lasts = np.maximum(process.level(ENDS), sigma_min) if to_zero else np.array([sigma_min])
    lasts = lasts[lasts < sigma_max].tolist() or [sigma_min]
    found = [_minimise(steps, last, sigma_max, process) for last in dict.fromkeys(lasts)]
    fitness = [proxy + PENALTY * spacing_penalty(levels, n, process) for proxy, levels in found]
    return Grid((*found[int(np.argmin(fitness))][1], *end))


def midpoint_proxy(lam: Array, process: Process) -> Array:
    """Return sum_i e(m_i) (e^lam_{i+1} - e^lam_i), where m_i is the middle of step i in lam.

    ``lam`` ``(..., N + 1)`` has rising values of -log(sigma); the result is ``(...)``. The assumed
    error e of an image is sigma_t² / alpha_t (:func:`.dmn.image_error`).
    """
    errors = image_error((lam[..., 1:] + lam[..., :-1]) / 2, process, 2.0)
    return (errors * np.diff(np.exp(lam))).sum(-1)


def spacing_penalty(levels: tuple[float, ...], evaluations: int, process: Process) -> float:
    """Return sum_i max(0, least - gap_i)² over the gaps of ``levels`` in process time.

    ``levels`` are positive. ``least`` falls linearly from 0.15 at 4 ``evaluations`` to 0.01 at 20.
    """
    least = np.interp(evaluations, [4, 20], [0.15, 0.01])
    gaps = -np.diff(process.t_of(np.array(levels)))
    return float(np.square(np.maximum(least - gaps, 0)).sum())


@lru_cache(maxsize=1024)
def _minimise(
    steps: int, last: float, sigma_max: float, process: Process
) -> tuple[float, tuple[float, ...]]:
    """Return the least proxy of ``steps`` steps from ``sigma_max`` to ``last``, and the levels."""
    from scipy.optimize import minimize  # here, since few runs need it

    start = -np.log(karras(steps, last, sigma_max, rho=_RHO, to_zero=False).sigma)

    def proxy(inner: Array) -> Array:
        ends = [np.full_like(inner[..., :1], level) for level in start[[0, -1]]]
        return midpoint_proxy(np.concatenate([ends[0], np.sort(inner), ends[1]], -1), process)

    def slopes(inner: Array) -> Array:
        moves = _DIFFERENCE * np.eye(steps - 1)
        return (proxy(inner + moves) - proxy(inner - moves)) / (2 * _DIFFERENCE)

    found = start[1:-1]
    if steps > 1:
        found = minimize(
            proxy,
            found,
            jac=slopes,
            method="L-BFGS-B",
            bounds=[(start[0], start[-1])] * (steps - 1),
            options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000},
        ).x
    levels = (sigma_max, *np.exp(-np.sort(found)).tolist(), last)
    return float(proxy(found)), levels
