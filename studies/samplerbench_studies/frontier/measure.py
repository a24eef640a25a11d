"""Distances of a configuration's samples to the exact endpoints of the same latents."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.benchmarks.planning import Pilot, default_cache
from samplerbench.benchmarks.running.executors import Tell, WorkerContext
from samplerbench.models import Denoiser
from samplerbench.samplers import Grid, NoNoise, SampleNoise, Sampler

from .candidates import Candidate

BATCH = 256

End = Literal["zero", "sigma_min"]
ENDS: tuple[End, ...] = ("zero", "sigma_min")


@dataclass(frozen=True)
class Errors:
    """Distance of each sample to its endpoint (RMS over dimensions), and flags of flipped samples.

    Attributes:
        distance: ``(n,)`` float64; infinite if the sample is not finite.
        flipped: ``(n,)`` bool, True if the sample ended in another mode.
    """

    distance: NDArray[np.float64]
    flipped: NDArray[np.bool_]

    @property
    def median(self) -> float:
        """Median distance over all samples."""
        return float(np.median(self.distance))

    @property
    def rms(self) -> float:
        """RMS distance of the samples that are not flipped; infinite if all are."""
        kept = self.distance[~self.flipped]
        return float(np.sqrt(np.mean(np.square(kept)))) if len(kept) else np.inf

    @property
    def flip_fraction(self) -> float:
        """Share of the samples that ended in another mode."""
        return float(self.flipped.mean())

    def rows(self, which: slice) -> Errors:
        """Return the errors of the samples in the slice ``which``."""
        return Errors(self.distance[which], self.flipped[which])


@dataclass(frozen=True)
class ExactProblem:
    """Exact model with latents and their exact endpoints.

    Attributes:
        name: name of the model.
        model: model on the CPU.
        seed: seed of the latents.
        end: end of the grids, "zero" or "sigma_min".
        endpoints: ``(n, *event)`` endpoints of samples 0 … n - 1: the states at sigma_min on the
            exact probability flow, or for "zero" the denoised images there.
    """

    name: str
    model: Denoiser
    seed: int
    end: End
    endpoints: Tensor

    @cached_property
    def modes(self) -> Tensor | None:
        """Mode of each endpoint ``(n,)``; None for a model without modes."""
        return self.model.mode_of(self.endpoints)

    def errors(self, x: Tensor, start: int) -> Errors:
        """Return the errors of samples ``x`` ``(k, *event)``, numbered from ``start``."""
        which = slice(start, start + len(x))
        distance = (x - self.endpoints[which]).flatten(1).square().mean(1).sqrt()
        flipped = ~x.flatten(1).isfinite().all(1)
        if self.modes is not None:
            flipped |= self.model.mode_of(x.nan_to_num()) != self.modes[which]  # type: ignore[arg-type]
        return Errors(distance.nan_to_num(nan=np.inf).double().numpy(), flipped.numpy())


@dataclass(frozen=True)
class SampleTask:
    """Task that samples a configuration from some latents.

    Attributes:
        model: name of the model.
        seed: seed of the latents.
        candidate: the configuration.
        budget: evaluations per sample.
        end: end of the grid.
        start, stop: range of sample numbers, without ``stop``.
    """

    model: str
    seed: int
    candidate: Candidate
    budget: int
    end: End
    start: int
    stop: int

    def prepare(self, context: WorkerContext) -> None:
        """Load the model."""
        context.load(self.model)

    @torch.no_grad()
    def __call__(self, context: WorkerContext, tell: Tell) -> NDArray | None:  # noqa: ARG002
        """Return samples ``(n, *event)``; None if there is no grid or the sampler raises an
        error.
        """
        model = context.load(self.model).model
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the peers' own
                grid = largest_grid_within(self.candidate, self.budget, model, self.end)
                if grid is None:
                    return None
                sampler = Pilot(model, default_cache()).fitted(self.candidate.sampler, grid)
                x = [
                    self._sample(sampler, model, grid, ids)
                    for ids in torch.arange(self.start, self.stop).split(BATCH)
                ]
                return torch.cat(x).numpy()
        except (ValueError, RuntimeError, IndexError, ZeroDivisionError):
            return None

    def _sample(self, sampler: Sampler, model: Denoiser, grid: Grid, ids: Tensor) -> Tensor:
        latents = model.sigma_max * SampleNoise(self.seed, ids, model.event, model.dtype).initial()
        return sampler.sample(model.bind(ids, self.seed), latents, grid, NoNoise())


def largest_grid_within(
    candidate: Candidate, budget: int, model: Denoiser, end: End
) -> Grid | None:
    """Return the largest grid whose evaluations fit in ``budget``; None if one step does not fit.

    Raises:
        ValueError: the schedule has no such grid, or a peer's code fails on it.
    """

    def made(n: int) -> Grid:
        return candidate.schedule(n, model.sigma_min, model.sigma_max, to_zero=end == "zero")

    n = bisect_right(range(1, budget + 2), budget, key=lambda n: candidate.sampler.nfe(made(n)))
    return made(n) if n else None
