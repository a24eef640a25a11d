"""Distances from endpoints to spans of a run's evaluations: shared coefficients, or each latent's own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.tuning import TuningProblem
from samplerbench.samplers import Grid, NoNoise, Sampler

from ..arrays import FloatArray

NEGLIGIBLE = 1e-12
"""Singular value, relative to the largest, below which a direction is not in a span."""
RENEWED = 40
"""Times that the weights of latents are renewed in a shared fit for the median."""
NEAREST = 0.1
"""Share of the median distance below which distances get no larger weights."""


class Trajectories(NamedTuple):
    """Runs of a sampler from N latents, flattened, float64.

    Attributes:
        basis: ``(N, n + 1, d)``: the latent at sigma_max, and the images of the n evaluations.
        samples: ``(N, d)`` ends of the runs.
        endpoints: ``(N, d)`` ends of the probability flow.
        dim: number of dimensions of a sample, over which distances are RMS.
    """

    basis: Tensor
    samples: Tensor
    endpoints: Tensor
    dim: int

    @property
    def distances(self) -> FloatArray:
        """Distances ``(N,)`` of the samples, RMS over dimensions."""
        return self.rms(self.samples - self.endpoints)

    def with_coefficients(self, numbers: Tensor) -> FloatArray:
        """Return the distances ``(N,)`` of combinations with coefficients ``(n + 1,)``."""
        ends = torch.einsum("k,skd->sd", numbers, self.basis)
        return self.rms(ends - self.endpoints)

    def rms(self, differences: Tensor) -> FloatArray:
        """Return the RMS over dimensions ``(N,)`` of rows ``(N, d)``."""
        return (differences.square().sum(1) / self.dim).sqrt().numpy()

    def compressed(self) -> Trajectories:
        """Return the runs in coordinates of each latent's own vectors, with the same distances."""
        vectors = torch.cat([self.basis, self.samples[:, None], self.endpoints[:, None]], 1)
        if vectors.shape[1] >= vectors.shape[2]:
            return self
        rotated = torch.linalg.qr(vectors.mT, mode="r").R.mT
        return Trajectories(rotated[:, :-2], rotated[:, -2], rotated[:, -1], self.dim)


@torch.no_grad()
def trajectories(problem: TuningProblem, sampler: Sampler, grid: Grid) -> Trajectories:
    """Return the runs of a deterministic sampler from the latents of a problem."""
    bases, samples = [], []
    for ids, x in problem.batches:
        bound, images = problem.model.bind(ids, problem.seed), [x]

        def denoise(x: Tensor, sigma: Any, bound: Any = bound, images: Any = images) -> Tensor:
            image = bound(x, sigma)
            images.append(image.clone())  # samplers may write over it
            return image

        samples.append(sampler.sample(denoise, x, grid, NoNoise()).flatten(1))
        bases.append(torch.stack([image.flatten(1) for image in images], 1))
    parts = torch.cat(bases), torch.cat(samples), problem.endpoints.flatten(1)
    return Trajectories(*(part.double().cpu() for part in parts), dim=parts[1].shape[1])


def per_sample_residuals(runs: Trajectories) -> FloatArray:
    """Return the distance ``(N,)`` of each endpoint to the span of its own latent and images."""
    runs = runs.compressed()
    rows = runs.basis / runs.basis.norm(dim=2, keepdim=True).clamp_min(1e-300)
    _, sizes, axes = torch.linalg.svd(rows, full_matrices=False)
    axes = axes * (sizes > NEGLIGIBLE * sizes[:, :1])[:, :, None]
    rest = runs.endpoints[:, :, None]
    for _ in range(2):  # the second pass removes the rounding of the first
        rest = rest - axes.mT @ (axes @ rest)
    return runs.rms(rest[:, :, 0])


def shared_coefficients(
    runs: Trajectories, targets: Tensor, weights: FloatArray | None = None
) -> Tensor:
    """Return the coefficients ``(n + 1,)`` of least weighted squares over all latents.

    Args:
        runs: trajectories with the latents and images to combine.
        targets: ``(N, d)`` vectors to approximate.
        weights: ``(N,)`` weights of the latents' squared distances; None for equal ones.
    """
    columns = runs.basis.transpose(1, 2)
    if weights is not None:
        root = torch.from_numpy(np.sqrt(weights / weights.max()))
        columns, targets = columns * root[:, None, None], targets * root[:, None]
    columns = columns.reshape(-1, columns.shape[2])
    scale = columns.norm(dim=0).clamp_min(1e-300)
    solved = torch.linalg.lstsq(columns / scale, targets.reshape(-1, 1), driver="gelsd")
    return solved.solution[:, 0] / scale


def least_shared(runs: Trajectories, criterion: str) -> Tensor:
    """Return the coefficients ``(n + 1,)`` of the lowest distance found, by a criterion.

    By "rms" they are the minimum. By "median" they are the best of the run's own coefficients, the
    minimum by RMS, and reweighted least squares from both, which lower the geometric mean.
    """
    runs = runs.compressed()
    found = [shared_coefficients(runs, runs.endpoints)]
    if criterion == "rms":
        return found[0]
    found.append(shared_coefficients(runs, runs.samples))
    for numbers in tuple(found):
        distances = runs.with_coefficients(numbers)
        for _ in range(RENEWED):
            least = max(NEAREST * float(np.median(distances)), 1e-300)
            found.append(
                shared_coefficients(runs, runs.endpoints, np.maximum(distances, least) ** -2.0)
            )
            distances = runs.with_coefficients(found[-1])
    return min(found, key=lambda numbers: summarise(runs.with_coefficients(numbers), criterion))


def summarise(distances: FloatArray, criterion: str) -> float:
    """Return the RMS or the median of distances; infinite if one is not finite."""
    if not np.isfinite(distances).all():
        return float("inf")
    mean = np.median(distances) if criterion == "median" else np.sqrt(np.square(distances).mean())
    return float(mean)


def residuals(runs: Trajectories, criterion: str) -> tuple[float, float, float]:
    """Return the runs' own distance, the shared and the per-sample residual, by a criterion."""
    own = summarise(runs.distances, criterion)
    shared = summarise(runs.with_coefficients(least_shared(runs, criterion)), criterion)
    return own, min(own, shared), summarise(per_sample_residuals(runs), criterion)
