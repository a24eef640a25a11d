"""Samples of one shard of a cell, drawn by batches, checked, and reduced to data for metrics."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.denoiser import HALF, Denoiser
from ...models.reference import Extractor, Identity
from ...models.rounding import in_full_precision
from ..suites.cell import Cell
from .engine import Engine, engine_of
from .failure import Failure

Arrays = dict[str, NDArray]

CONVERGED_IDS = 2**31  # first sample number of converged samples; runs never use these latents

SHARD = 512
"""Smallest size of a whole shard; also the largest dimension of features with stored moments."""

BATCH = "batch"
"""Name of a shard's array with its batch size, if that was reduced for lack of memory."""

PRECISE = "precise"
"""Name of a shard's array with the samples of the same run in full precision."""

MODES = "modes"
"""Name of a shard's array with the modes of all its samples, if it does not store all of them."""

_FLOAT16_MAX = 6e4
_MOST_ROUNDING = 1e-3
"""Largest rounding error of a feature in float16, as a share of its variance."""
_LARGEST = 1e30  # squares of larger values overflow float32


class FeatureExtraction(NamedTuple):
    """Extractor of features, and the range to which its samples are clamped; None for no range."""

    extractor: Extractor
    clamp: tuple[float, float] | None


def sample_shard(
    model: Denoiser,
    reference: FeatureExtraction | None,
    cell: Cell,
    start: int,
    stop: int,
    device: str,
    keep: int,
    endpoints: int,
    progress: Callable[[int], None],
    *,
    precise: bool = True,
) -> Arrays:
    """Draw samples ``start`` … ``stop - 1`` of a cell on ``device``, and return arrays by name.

    ``reference`` gives the features of decoded samples; None gives none. ``progress`` gets the number of samples of
    each batch. ``precise`` is False to leave out samples in full precision.

    Returns:
        ``endpoint`` (k, *event): samples with numbers < ``endpoints``. ``picture``, float32: with numbers < ``keep``.
        ``precise``, for a cell in low precision: ``endpoint`` of the same run in full precision. For each batch:
        ``sizes``, ``nfe`` and, with features, the share of ``clamped`` values. ``depth``: most sequential calls. With
        features: ``features`` (n, d), float16 or float32, and for d <= :data:`SHARD` exact float64 ``moments_*``.
        ``own_label`` (n,), if the model can classify samples: True for one in the class of its label. ``modes`` (n,),
        if it can and the shard keeps neither all samples nor their values as features.

    Raises:
        Failure: the engine raises one, a value is not below 1e30, or the sampler draws from a global generator, which
            only other libraries' samplers may.
    """
    engine = engine_of(model, cell)
    precise_engine = precise_engine_of(model, cell) if precise and start < endpoints else None
    features, stored, unrounded, clamped, nfe, sizes, depth = [], [], [], [], [], [], 0
    label_matches: list[NDArray] = []
    modes_of_batches: list[NDArray] = []
    # else the values of all samples are stored, and scoring classifies them
    needs_modes = stop > endpoints and not (
        reference and features_are_samples(model, reference.extractor)
    )
    if not type(cell.sampler).__module__.startswith("samplerbench."):
        # one that seeds a global generator itself would leave the state that it left before
        _ = torch.rand(1), np.random.random(), random.random()  # noqa: NPY002
    for ids, first, last in batches_of_shard(cell, start, stop):
        ids = ids.to(device)
        bound = engine.bind(ids)
        with unseeded_draws() as draws:
            batch = engine.sample(bound, ids)
        if draws.sentence and ":" not in cell.sampler.name:  # other libraries may
            raise Failure("failed", f"{cell.sampler.name} {draws.sentence}")
        rows = slice(first - int(ids[0]), last - int(ids[0]))
        x = batch.x[rows].float() if batch.x.dtype in HALF else batch.x[rows]
        bad = int((~(x.abs() < _LARGEST)).flatten(1).any(1).sum())
        if bad:
            where = f"first batch with any: samples {first} on"
            raise Failure("diverged", f"{bad} of {len(x)} samples are not finite ({where})")
        nfe.append(batch.nfe)
        sizes.append(len(x))
        depth = max(depth, batch.depth)
        if first < max(keep, endpoints):
            stored.append(x[: max(keep, endpoints) - first].cpu().numpy())
        if precise_engine is not None and first < endpoints:
            same = precise_engine.sample(precise_engine.bind(ids), ids).x[rows]
            unrounded.append(same[: endpoints - first].cpu().numpy())
        if reference is not None:
            scored, share = clamp(model.decode(x), reference.clamp)
            features.append(reference.extractor(scored))
            clamped.append(share)
        labels = bound.labels[rows] if model.classes and bound.labels is not None else None
        modes = model.mode_of(x) if needs_modes or labels is not None else None
        if modes is not None and needs_modes:
            modes_of_batches.append(modes.cpu().numpy())
        if modes is not None and labels is not None:
            label_matches.append((model.classes_of(modes) == labels).cpu().numpy())
        progress(len(x))
    whole = np.concatenate(stored) if stored else np.empty((0, *model.event))
    arrays: Arrays = {
        "nfe": np.array(nfe),
        "sizes": np.array(sizes),
        "depth": np.array(depth),
        "endpoint": whole[: max(0, endpoints - start)],
        "picture": whole[: max(0, keep - start)].astype(np.float32),
    }
    optional = {PRECISE: unrounded, "own_label": label_matches, MODES: modes_of_batches}
    arrays |= {name: np.concatenate(parts) for name, parts in optional.items() if parts}
    if features:
        matrix = np.concatenate(features)
        # moments are stored too, unless they would be larger than the features
        exact = matrix.shape[1] <= SHARD
        half = exact and _fits_float16(matrix)
        arrays["features"] = matrix.astype(np.float16 if half else np.float32)
        arrays["clamped"] = np.array(clamped)
        if exact:
            from ..metrics.estimators.rows import Moments  # metrics come after samples

            moments = Moments.of(matrix).as_dict()
            arrays |= {f"moments_{name}": value for name, value in moments.items()}
    return arrays


def _fits_float16(rows: NDArray) -> bool:
    """Return True if each feature of ``(n, d)`` keeps its differences in float16, also far from 0."""
    if not np.abs(rows).max() < _FLOAT16_MAX:
        return False
    error = np.square(rows - rows.astype(np.float16)).sum(axis=0)
    return bool((error <= _MOST_ROUNDING * np.square(rows - rows.mean(axis=0)).sum(axis=0)).all())


def features_are_samples(model: Denoiser, extractor: Extractor) -> bool:
    """Return True if the features are the values of the samples themselves."""
    return isinstance(extractor, Identity) and model.decoder is None


def is_low_precision(model: Denoiser, dtype: str | None) -> bool:
    """Return True if a model, or states of a dtype (None for the model's), are in low precision."""
    in_half = dtype is not None and getattr(torch, dtype) in HALF
    return in_half or in_full_precision(model) is not model


def precise_engine_of(model: Denoiser, cell: Cell) -> Engine | None:
    """Return an engine for the same cell in full precision; None if the cell has it already."""
    if not is_low_precision(model, cell.dtype):
        return None
    precise = in_full_precision(model)
    dtype = precise.dtype if getattr(torch, cell.dtype) in HALF else getattr(torch, cell.dtype)
    name = str(dtype).removeprefix("torch.")
    return Engine(precise, replace(cell, dtype=name, execution="eager"))


def whole_shard_size(batch: int) -> int:
    """Return the size of a whole shard: the smallest multiple of ``batch`` >= :data:`SHARD`."""
    return batch * -(-SHARD // batch)


def batches_of_shard(cell: Cell, start: int, stop: int) -> Iterator[tuple[Tensor, int, int]]:
    """Yield (sample numbers, first, end) of each batch that a shard needs.

    Only samples first … end - 1 of the batch belong to the shard.

    A sampler that couples a batch always runs whole batches of the same members. So its samples do
    not depend on the number of samples, or on interruptions. Compiled programs and recordings have
    one shape, so their batches are whole too.
    """
    size, whole = cell.batch_size, cell.sampler.batch_coupled or cell.execution != "eager"
    for first in range(start // size * size if whole else start, stop, size):
        last = min(first + size, stop)
        yield torch.arange(first, first + size if whole else last), max(first, start), last


def clamp(x: Tensor, limits: tuple[float, float] | None) -> tuple[Tensor, float]:
    """Return samples clamped to ``limits`` if not None, and the share of values outside them."""
    if limits is None:
        return x, 0.0
    inside = x.clamp(*limits)
    return inside, float((inside != x).double().mean())


class GlobalDraws:
    """Snapshot of the global random generators, which detects later draws from them."""

    def __init__(self) -> None:
        self._before = _generator_states()

    @property
    def sources(self) -> list[str]:
        """Names of generators drawn from since the snapshot, apart from a GPU first used later."""
        return [
            name
            for name, state in _generator_states().items()
            if name in self._before and state != self._before[name]
        ]

    @property
    def sentence(self) -> str:
        """Sentence on the generators drawn from, with the remedy; "" for none."""
        sources = " and ".join(self.sources)
        return f"draws from {sources}; use the noise that it is handed, noise()" if sources else ""


@contextmanager
def unseeded_draws() -> Iterator[GlobalDraws]:
    """Detect draws in the block from the global generators of torch, numpy and Python.

    Such draws depend on earlier code and not on a run's seed. The generators are not restored,
    since another part of the program may be using them.

    >>> with unseeded_draws() as draws:
    ...     _ = torch.randn(1)
    >>> draws.sentence
    "draws from torch's global generator; use the noise that it is handed, noise()"
    """
    yield GlobalDraws()


def _generator_states() -> dict[str, bytes]:
    """Return the state of each generator, without waiting for a device."""
    states = {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "numpy's global generator": pickle.dumps(np.random.get_state()),  # noqa: NPY002 - it is what must stay still
        "Python's global generator": pickle.dumps(random.getstate()),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            state = torch.cuda.get_rng_state(device).numpy().tobytes()
            states[f"torch's global generator of cuda:{device}"] = state
    return states
