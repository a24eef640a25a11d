"""Noise from one Brownian path per sample: runs with other numbers of steps see the same path, so
that strong errors can be measured.

The clock. With tau = 1 / sigma^2 and y = x / sigma^2, the time-reversed noising process

    dx = 2 (x - d) / sigma dsigma + sqrt(2 sigma |dsigma|) dw

loses its linear term: dy = d dtau + dW, where W is a standard Brownian motion in tau. (dtau = -2
dsigma / sigma^3, so that dx / sigma^2 - 2 x dsigma / sigma^3 leaves -2 d dsigma / sigma^3 = d dtau,
and the noise has variance 2 sigma |dsigma| / sigma^4 = dtau.) A path that starts at sigma_max from
x = sigma_max z has y = z / sigma_max, distributed as W(1 / sigma_max^2): the latent is W there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..noise import SampleNoise
from ..types import StepNoise
from .tree import SNAP, BrownianTree


@dataclass(frozen=True)
class BrownianNoise:
    """The noise of one batch as increments of its paths.

    Implements :class:`~samplerbench.samplers.types.Noise`.

    Unnormalised increments over adjacent intervals add up on any grid. A sampler of the reverse SDE
    that multiplies the increment over (cur, nxt) by nxt sqrt(1 - (nxt / cur)^2) has added nxt^2
    (W(tau_nxt) - W(tau_cur)) to x: the exact noise, where d is constant.

    Attributes:
        seed: root seed, 0 <= seed < 2^64; the latents equal :class:`SampleNoise`'s with the same
            seed.
        ids: ``(batch,)`` int64 sample numbers in [0, 2^32), on the device where the noise is
            wanted.
        event: shape of one sample.
        sigma_max, sigma_floor: the levels between which there is a path, sigma_max > sigma_floor >
            0.
        dtype: dtype of the tensors returned; the path itself is float64.

    Raises:
        ValueError: on use, levels that make no range.
    """

    seed: int
    ids: Tensor
    event: tuple[int, ...]
    sigma_max: float
    sigma_floor: float
    dtype: torch.dtype = torch.float32

    def initial(self) -> Tensor:
        """The latents: standard normal ``(batch, *event)``, to be scaled by sigma_max."""
        return self._white.initial()

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:
        """Noise of step ``step``: the increment over the step for draw 0, or over an explicit
        interval for any draw.

        Further draws of the step, and intervals that the path does not cover (to 0, or upwards),
        are answered with white noise.
        """
        white = self._white.at(step, cur, nxt)
        whole = cur, nxt

        def answer(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:
            if cur is not None and nxt is not None:
                return self.increment(cur, nxt) if self._covers(cur, nxt) else white(draw)
            return self.increment(*whole) if draw == 0 and self._covers(*whole) else white(draw)

        return answer

    def take(self, rows: Tensor) -> BrownianNoise:
        """The paths of a subset or of repeats of the batch."""
        return replace(self, ids=self.ids[rows])

    def increment(self, cur: float, nxt: float) -> Tensor:
        """(W(tau_nxt) - W(tau_cur)) / sqrt(tau_nxt - tau_cur), a standard normal ``(batch,
        *event)``; both levels inside the range.
        """
        before = self.tree.value(cur)
        return ((self.tree.value(nxt) - before) / math.sqrt(nxt**-2 - cur**-2)).to(self.dtype)

    @cached_property
    def tree(self) -> BrownianTree:
        """The paths."""
        return BrownianTree(self.seed, self.ids, self.event, self.sigma_max, self.sigma_floor)

    @cached_property
    def _white(self) -> SampleNoise:
        return SampleNoise(self.seed, self.ids, self.event, self.dtype)

    def _covers(self, cur: float, nxt: float) -> bool:
        return self.sigma_max * (1 + SNAP) >= cur > nxt >= self.sigma_floor * (1 - SNAP)
