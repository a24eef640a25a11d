"""Base classes of adaptive samplers, which choose step sizes for each sample by a tolerance."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ..base import Declared
from ..grid import Grid
from ..numerics import level_tensor, row_rms
from ..types import Denoise, Noise

_SHRINK, _GROW = 0.2, 10.0
_SMALLEST = 1e-5
"""Shortest step in lam = -log(sigma); with shorter ones a run would need a million steps."""


class Attempt(NamedTuple):
    """Result of a step before it is accepted or rejected.

    Attributes:
        x: ``(rows, *event)`` states after the step.
        error: ``(rows, *event)`` estimated error divided by the tolerance.
        d: the denoised image at ``x``; None if the step did not evaluate there.
    """

    x: Tensor
    error: Tensor
    d: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Tolerant(Declared):
    """Base class of samplers that a tolerance controls, with the options ``rtol`` and ``atol``.

    Attributes:
        rtol, atol: relative and absolute tolerance, > 0.
    """

    adaptive: ClassVar[bool] = True
    translates: ClassVar[bool] = False  # the tolerance depends on |x|
    rtol: float = 1e-3
    atol: float = 1e-3

    def __post_init__(self) -> None:
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(
                f"{self.name}: rtol and atol must be positive, got {self.rtol} and {self.atol}"
            )

    def nfe(self, grid: Grid) -> None:  # noqa: ARG002
        """Return None, since only a run can count the evaluations."""
        return


@dataclass(frozen=True, kw_only=True)
class AdaptiveSampler(Tolerant, ABC):
    """Base class of samplers with adaptive steps in lam = -log(sigma); define :meth:`attempt`.

    E is the root mean square of a step's error over the sample's elements, in units of the
    tolerance. A step is accepted if E is at most 1. The next length is then multiplied by safety
    E^{-(1 - beta) / k} F^{beta / k}, cut to [0.2, 10]. k is ``error_order``. F is the value of E in
    the previous accepted step. A rejected step is repeated with the same first evaluation, its
    length multiplied by safety E^{-1 / k}, at least by 0.2. The last step ends at the grid's last
    positive level; a step from there to 0 is x <- d.

    Attributes:
        h_init: first step in lam, > 0.
        safety: factor of the step that the controller proposes, in (0, 1].

    Class attributes:
        error_order: k; the error of one step falls like h^k.
        beta: weight of the previous error F in the proportional-integral controller; 0 ignores F.
    """

    error_order: ClassVar[int]
    beta: ClassVar[float] = 0.0
    h_init: float = 0.05
    safety: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.h_init > 0 and 0 < self.safety <= 1):
            raise ValueError(
                f"{self.name}: need h_init > 0 and 0 < safety <= 1, got "
                f"{self.h_init} and {self.safety}"
            )

    @abstractmethod
    def attempt(
        self, x: Tensor, d: Tensor, cur: list[float], nxt: list[float], denoise: Denoise
    ) -> Attempt:
        """Return the result of one step of each sample: row k goes from ``cur[k]`` to ``nxt[k]``.

        ``d`` is denoise(x, cur). Neither ``x`` nor ``d`` is modified.
        """

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:  # noqa: ARG002
        """Return the states at the last level; positive levels between the two ends are not used.

        Raises:
            ValueError: ``rtol`` is below ten times the machine epsilon of the dtype of ``x``.
            RuntimeError: no step of some sample meets the tolerance.
        """
        if self.rtol < (least := 10 * torch.finfo(x.dtype).eps):
            raise ValueError(
                f"{self.name}: rtol must be at least {least:.1e} for states "
                f"of {x.dtype}, got {self.rtol}"
            )
        x, d, last = x.clone(), torch.empty_like(x), grid.positive[-1]
        samples = [_Progress(grid.sigma[0], self.h_init) for _ in x]
        while active := [k for k, s in enumerate(samples) if s.level > last]:
            if stale := [k for k in active if not samples[k].d_is_known]:
                rows = torch.tensor(stale, device=x.device)
                levels = level_tensor([samples[k].level for k in stale], x)
                d[rows] = denoise.take(rows)(x[rows], levels)
            cur = [samples[k].level for k in active]
            nxt = [samples[k].next_level(last) for k in active]
            rows = torch.tensor(active, device=x.device)
            attempt = self.attempt(x[rows], d[rows], cur, nxt, denoise.take(rows))
            errors = row_rms(attempt.error)
            for k, level, error in zip(active, nxt, errors, strict=True):
                self._accept_or_reject(samples[k], level, error, d_is_known=attempt.d is not None)
            good = torch.tensor([error <= 1 for error in errors], device=x.device)
            x[rows[good]] = attempt.x[good]
            if attempt.d is not None:
                d[rows[good]] = attempt.d[good]
        return denoise(x, last) if grid.to_zero else x

    def _accept_or_reject(
        self, sample: _Progress, level: float, error: float, *, d_is_known: bool
    ) -> None:
        """Accept the step if ``error`` <= 1; set the next length; RuntimeError if that is tiny."""
        k, h = self.error_order, math.log(sample.level / level)
        if error <= 1:
            present = max(error, 1e-10) ** (-(1 - self.beta) / k)
            factor = self.safety * present * sample.error ** (self.beta / k)
            sample.h = h * min(max(factor, _SHRINK), _GROW)
            sample.level, sample.d_is_known, sample.error = level, d_is_known, max(error, 1e-4)
            return
        factor = self.safety * error ** (-1 / k) if math.isfinite(error) else _SHRINK
        sample.h, sample.d_is_known = h * max(factor, _SHRINK), True
        if sample.h < _SMALLEST:
            raise RuntimeError(
                f"{self.name}: no step at sigma = {sample.level:.4g} meets the tolerance; "
                "raise rtol and atol, and check that the denoiser gives finite values"
            )


@dataclass
class _Progress:
    """Progress of one sample: its level, its next step, and the last accepted error."""

    level: float
    h: float
    d_is_known: bool = False
    error: float = 1.0

    def next_level(self, last: float) -> float:
        """Return the level at the end of the next step: ``last`` if the step would reach it."""
        is_last = math.log(self.level / last) <= self.h * (1 + 1e-9)
        return last if is_last else self.level * math.exp(-self.h)
