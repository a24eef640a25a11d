"""Noise scale functions phi(sigma) of the extended reverse SDE (arXiv:2309.06169v1, appendix A.8)."""

from __future__ import annotations

import math
from collections.abc import Callable

LOG_SCALE: dict[str, Callable[[float], float]] = {
    "ode": lambda v: 0.0,  # noqa: ARG005
    "sde": lambda v: v,
    "sde_1": lambda v: math.log(math.exp(-math.exp(-v)) + 10),
    "sde_2": lambda v: 0.5 * v,
    "sde_3": lambda v: 1.5 * v,
    "sde_4": lambda v: -0.1 * v + math.log(math.log1p(100 * math.exp(1.5 * v)) / math.log(10)),
    "sde_5": lambda v: math.log(math.exp(math.exp(0.3 * v)) + 10),
}
"""log(phi(sigma) / sigma) as a function of log(sigma), by the paper's names. Where it falls, there is no such SDE."""
