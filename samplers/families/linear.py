"""Steps that are linear in state, earlier evaluations and noise, as rows of coefficients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..buffers import take_buffer
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import blend
from ..types import Denoise, StepNoise


class LinearRow(NamedTuple):
    """Coefficients of step i: x <- a x + sum_j b_j m_{i-j} + c z.

    Step i leaves the history entry m_i = p x_i + q d_i for later steps.

    Attributes:
        sigma: level at which the denoiser is evaluated.
        a: weight of the state.
        b: weights of the entries, newest first; at most ``history + 1``.
        c: standard deviation of the fresh noise.
        p, q: (0, 1) makes the entry the denoised image; (1, -1) makes it x - d = sigma eps.
        gain: if not None, the step makes no evaluation but has d = gain x.
    """

    sigma: float
    a: float
    b: tuple[float, ...]
    c: float = 0.0
    p: float = 0.0
    q: float = 1.0
    gain: float | None = None


class UnguidedRow(NamedTuple):
    """Another sampler's ``row``, whose step sees unguided images; ``cfgpp`` adds the guidance."""

    row: Any


def jump(sigma: float) -> LinearRow:
    """Return the coefficients of x <- d, the usual step from ``sigma`` to 0: one evaluation."""
    return LinearRow(sigma, a=0.0, b=(1.0,))


def eps_row(levels: Sequence[float], weights: Sequence[float]) -> LinearRow:
    """Return the coefficients of x <- x + sum_j w_j eps_j, with eps = (x - d) / sigma.

    ``levels`` and ``weights`` list the last evaluations, newest first.
    """
    b = tuple(w / level for w, level in zip(weights, levels, strict=True))
    return LinearRow(levels[0], a=1.0, b=b, p=1.0, q=-1.0)


def add_to_state(row: LinearRow, weights: Sequence[float]) -> LinearRow:
    """Return ``row`` with x replaced by x + sum_j w_j m_j, with history entries m_j newest first."""
    pairs = zip_longest(weights, row.b, fillvalue=0.0)
    return row._replace(b=tuple(row.a * w + b for w, b in pairs))


def linear_step(
    x: Tensor, row: LinearRow, past: tuple[Tensor, ...], denoise: Denoise, noise: StepNoise
) -> tuple[Tensor, Tensor]:
    """Overwrite ``x`` by step ``row`` on entries ``past``, newest first; return x and its entry."""
    if any(row.b[len(past) + 1 :]):
        raise ValueError(
            f"a step from sigma = {row.sigma:.4g} has {len(row.b)} weights b, but {len(past)} earlier "
            "entries are kept; set the class attribute history to the largest number that a step "
            "reads, and let first steps read fewer"
        )
    d = denoise(x, row.sigma) if row.gain is None else x * row.gain
    entry = compute_history_entry(x, d, row.p, row.q)
    x = blend(x, row.a, row.b, (entry, *past), x)
    if row.c:
        x = x.add_(noise(), alpha=row.c)
    return x, entry


def compute_history_entry(x: Tensor, d: Tensor, p: float, q: float) -> Tensor:
    """Return the history entry p x + q d: ``d`` itself, without a copy, if p = 0 and q = 1."""
    if p == 0 and q == 1:
        return d
    if p == 1:
        return torch.sub(x, d, alpha=-q, out=take_buffer(x))
    return torch.mul(x, p, out=take_buffer(x)).add_(d, alpha=q)


@dataclass(frozen=True, kw_only=True)
class LinearMultistep(GridSampler):
    """Base class of linear methods with one evaluation a step; define :meth:`plan` only."""

    @abstractmethod
    def plan(self, grid: Grid) -> list[LinearRow]:
        """Return one :class:`LinearRow` per step."""

    def step(
        self,
        x: Tensor,
        row: LinearRow,
        past: tuple[Tensor, ...],
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the next state, and the history entry p x + q d; None if history is 0."""
        x, entry = linear_step(x, row, past, denoise, noise)
        return x, entry if self.history else None
