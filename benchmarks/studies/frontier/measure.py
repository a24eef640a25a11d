"""Distances of a configuration's samples to the exact endpoints of the same latents."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....models import Denoiser
from ....samplers import Grid, NoNoise, SampleNoise
from .candidates import Candidate

BATCH = 256


@dataclass(frozen=True)
class Errors:
    """Per-sample distances to the endpoint (RMS over dimensions), and who ended in another mode.

    Attributes:
        distance: ``(n,)`` float64; infinite where the sample is not finite.
        flipped: ``(n,)`` bool.
    """

    distance: NDArray[np.float64]
    flipped: NDArray[np.bool_]

    @property
    def median(self) -> float:
        """Over all samples."""
        return float(np.median(self.distance))

    @property
    def rms(self) -> float:
        """Over the samples that ended in the mode where they belong; infinite if there are none."""
        kept = self.distance[~self.flipped]
        return float(np.sqrt(np.mean(np.square(kept)))) if len(kept) else np.inf

    @property
    def flip_fraction(self) -> float:
        """Share of the samples that did not."""
        return float(self.flipped.mean())

    def rows(self, which: slice) -> Errors:
        """Those of some samples."""
        return Errors(self.distance[which], self.flipped[which])


@dataclass(frozen=True)
class ExactProblem:
    """A model with latents and their exact endpoints.

    Attributes:
        model: on the CPU.
        seed: of the latents.
        endpoints: ``(n, *event)`` of samples 0 … n - 1.
    """

    model: Denoiser
    seed: int
    endpoints: Tensor

    @cached_property
    def modes(self) -> Tensor | None:
        """The modes of the endpoints."""
        return self.model.mode_of(self.endpoints)

    def grid(self, candidate: Candidate, budget: int) -> Grid | None:
        """The largest grid to 0 whose evaluations fit in ``budget``.

        None if one step does not, or if the peer refuses it.
        """

        def made(n: int) -> Grid:
            return candidate.schedule(n, self.model.sigma_min, self.model.sigma_max)

        n = bisect_right(range(1, budget + 2), budget, key=lambda n: candidate.sampler.nfe(made(n)))
        return made(n) if n else None

    @torch.no_grad()
    def errors(self, candidate: Candidate, budget: int, start: int, stop: int) -> Errors | None:
        """Errors of samples ``start`` … ``stop - 1``.

        None if there is no grid or the sampler raises on it.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the peers' own
                grid = self.grid(candidate, budget)
                if grid is None:
                    return None
                x = torch.cat(
                    [
                        self._sample(candidate, grid, ids)
                        for ids in torch.arange(start, stop).split(BATCH)
                    ]
                )
        except (ValueError, RuntimeError, IndexError, ZeroDivisionError):
            return None
        truth = self.endpoints[start:stop]
        distance = (x - truth).flatten(1).square().mean(1).sqrt().nan_to_num(nan=np.inf)
        flipped = ~x.flatten(1).isfinite().all(1)
        if self.modes is not None:
            flipped |= self.model.mode_of(x.nan_to_num()) != self.modes[start:stop]  # type: ignore[arg-type]
        return Errors(distance.double().numpy(), flipped.numpy())

    def _sample(self, candidate: Candidate, grid: Grid, ids: Tensor) -> Tensor:
        latents = (
            self.model.sigma_max
            * SampleNoise(self.seed, ids, self.model.event, self.model.dtype).initial()
        )
        return candidate.sampler.sample(self.model.bind(ids, self.seed), latents, grid, NoNoise())
