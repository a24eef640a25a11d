"""Runs one shard of one cell: samples [start, stop), batch by batch, counted, checked and reduced to what metrics need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models import Denoiser
from ..models.denoiser import Bound
from ..models.reference import Reference
from ..samplers import Noise, NoNoise, SampleNoise
from ..samplers.brownian import BrownianNoise
from .cell import Cell
from .meter import Meter
from .metrics.moments import Moments

Arrays = dict[str, NDArray]

CONVERGED_IDS = 2**31
"""Sample numbers from here on belong to converged samples: their latents are disjoint from those of every run."""

_FLOAT16_MAX = 6e4
_LARGEST = 1e30  # beyond this, squares leave float32: as good as infinite


class Failure(Exception):  # noqa: N818 - it becomes the status of a row
    """A cell that cannot be completed: the status and the reason of its row."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Batch(NamedTuple):
    """Samples with their counts."""

    x: Tensor
    nfe: float
    depth: int


def latents(model: Denoiser, ids: Tensor, seed: int, dtype: torch.dtype) -> tuple[Tensor, SampleNoise]:
    """The states at sigma_max of these samples, and their noise: the same for every sampler."""
    noise = SampleNoise(seed, ids, model.event, dtype)
    return model.sigma_max * noise.initial(), noise


def begin(model: Denoiser, cell: Cell, ids: Tensor) -> tuple[Tensor, Noise]:
    """The states at the first level of the cell's grid, and what its sampler draws noise from."""
    x, white = latents(model, ids, cell.seed, getattr(torch, cell.dtype))
    brownian = BrownianNoise(cell.seed, ids, model.event, cell.sigma_max, cell.sigma_min, white.dtype)
    noise = {"white": white, "brownian": brownian, None: NoNoise()}[cell.noise]
    return cell.start(x), noise


def sample_batch(model: Denoiser, meter: Meter, bound: Bound, cell: Cell, ids: Tensor) -> Batch:
    """Sample ``ids`` with the cell's sampler. ``model`` is metered by ``meter`` and bound in ``bound``.

    Raises:
        Failure: the counted evaluations differ from what the sampler says, or the result has the wrong shape or dtype.
    """
    assert cell.grid is not None
    x, noise = begin(model, cell, ids)
    meter.reset()
    out = cell.sampler.sample(bound, x, cell.grid, noise)
    if not isinstance(out, Tensor) or out.shape != x.shape or out.dtype != x.dtype:
        got = f"{tuple(out.shape)} {out.dtype}" if isinstance(out, Tensor) else type(out).__name__
        raise Failure("failed", f"sample() returned {got}, expected {tuple(x.shape)} {x.dtype}")
    nfe, says = meter.rows / len(ids), cell.sampler.nfe(cell.grid)
    if says is not None and nfe != says * model.passes:
        raise Failure("failed", f"counted {nfe:g} evaluations per sample, but nfe() says {says * model.passes}")
    return Batch(out, nfe, meter.calls)


def sample_shard(
    model: Denoiser, reference: Reference | None, cell: Cell, start: int, stop: int, device: str, keep: int, endpoints: int,
    progress: Callable[[int], None],
) -> Arrays:  # fmt: skip
    """Samples ``start`` … ``stop - 1`` of a cell.

    Args:
        model: on ``device``.
        reference: gives the features; None for a model without any.
        cell: what to run.
        start: first sample number.
        stop: one past the last.
        device: where the state lives.
        keep: samples below this number are kept as pictures.
        endpoints: samples below this number are kept whole, for ``rmse``.
        progress: told the number of samples after each batch.

    Returns:
        ``features`` (n, d), their exact ``moments_*`` in float64 where n >= d, ``endpoint`` (k, *event), ``picture``;
        ``sizes``, ``nfe`` and ``clamped`` of the batches, and the largest ``depth``; with labels, ``own_label`` (n,): whether a sample
        lies in its class.

    Raises:
        Failure: see :func:`sample_batch`; or a sample is not finite.
    """
    meter = Meter()
    metered = meter.attach(model)
    features, kept, clamped, own, nfe, sizes, depth = [], [], [], [], [], [], 0
    for ids, first, last in batches(cell, start, stop):
        ids = ids.to(device)
        bound = metered.bind(ids, cell.seed)
        batch = sample_batch(metered, meter, bound, cell, ids)
        rows = slice(first - int(ids[0]), last - int(ids[0]))
        x = batch.x[rows]
        bad = int((~(x.abs() < _LARGEST)).flatten(1).any(1).sum())
        if bad:
            raise Failure("diverged", f"{bad} of {len(x)} samples are not finite (first batch with any: samples {first} on)")
        nfe.append(batch.nfe)
        sizes.append(len(x))
        depth = max(depth, batch.depth)
        if first < max(keep, endpoints):
            kept.append(x[: max(keep, endpoints) - first].cpu().numpy())
        if reference is not None:
            scored, share = clamp(x, reference.clamp)
            features.append(reference.extractor(scored))
            clamped.append(share)
        labels = bound.labels[rows] if model.classes and bound.labels is not None else None
        modes = model.mode_of(x) if labels is not None else None
        if modes is not None:
            own.append((modes == labels).cpu().numpy())
        progress(len(x))
    whole = np.concatenate(kept) if kept else np.empty((0, *model.event))
    arrays: Arrays = {
        "nfe": np.array(nfe),
        "sizes": np.array(sizes),
        "depth": np.array(depth),
        "endpoint": whole[: max(0, endpoints - start)],
        "picture": whole[: max(0, keep - start)].astype(np.float32),
    }
    if own:
        arrays["own_label"] = np.concatenate(own)
    if features:
        rows = np.concatenate(features)
        exact = rows.shape[1] <= len(rows)  # moments beside the features, unless they would outweigh them
        half = exact and bool(np.abs(rows).max() < _FLOAT16_MAX)
        arrays |= {"features": rows.astype(np.float16 if half else np.float32), "clamped": np.array(clamped)}
        if exact:
            arrays |= {f"moments_{name}": value for name, value in Moments.of(rows).as_dict().items()}
    return arrays


def batches(cell: Cell, start: int, stop: int) -> Iterator[tuple[Tensor, int, int]]:
    """Batches that cover samples ``start`` … ``stop - 1``: the sample numbers to run, and which of them count.

    A sampler that couples a batch always runs whole batches of the same members, so that its samples do not depend on how many were
    asked for, or on interruptions.
    """
    size = cell.batch_size
    if cell.sampler.batch_coupled:
        for first in range(start // size * size, stop, size):
            yield torch.arange(first, first + size), max(first, start), min(first + size, stop)
    else:
        for first in range(start, stop, size):
            last = min(first + size, stop)
            yield torch.arange(first, last), first, last


def clamp(x: Tensor, limits: tuple[float, float] | None) -> tuple[Tensor, float]:
    """Samples inside the data range, and the share of values that were outside."""
    if limits is None:
        return x, 0.0
    inside = x.clamp(*limits)
    return inside, float((inside != x).double().mean())
