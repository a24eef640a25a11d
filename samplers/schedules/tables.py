"""Tables of rates beta_1 … beta_T of discrete-time models, as noise levels."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

STEPS = 1000
_LARGEST_RATE = 0.999
_OFFSET = 0.008


@cache
def rates(table: str) -> tuple[float, ...]:
    """The rates beta_t of a table of 1000 steps.

    Args:
        table: "linear" (DDPM, arXiv:2006.11239, section 4: 1e-4 to 0.02), "scaled_linear" (Stable
            Diffusion's configuration: sqrt(beta) linear, beta from 0.00085 to 0.012) or "cosine"
            (iDDPM, arXiv:2102.09672, eq. 17, beta at most 0.999).

    Raises:
        ValueError: another name.
    """
    if table == "linear":
        beta = np.linspace(1e-4, 0.02, STEPS)
    elif table == "scaled_linear":
        beta = np.linspace(0.00085**0.5, 0.012**0.5, STEPS) ** 2
    elif table == "cosine":
        signal = np.cos((np.arange(STEPS + 1) / STEPS + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
        beta = np.minimum(1 - signal[1:] / signal[:-1], _LARGEST_RATE)
    else:
        raise ValueError(
            f"unknown beta table {table!r}; choose one of linear, scaled_linear, cosine"
        )
    return tuple(beta.tolist())


@cache
def levels(table: str) -> tuple[float, ...]:
    """The noise levels sqrt((1 - abar) / abar) of a table, rising: entry t belongs to integer time
    t = 0 … 999.

    Raises:
        ValueError: no such table.
    """
    log_signal: NDArray[np.float64] = np.cumsum(np.log1p(-np.array(rates(table))))
    return tuple(np.sqrt(np.expm1(-log_signal)).tolist())
