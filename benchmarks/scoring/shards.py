"""Merged contents of a cell's shards: many features stay in their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...models import Denoiser
from ...models.reference import Identity, Reference
from ...results.record import Record
from ..metrics.estimators.moments import Moments
from ..metrics.estimators.rows import VALUES, HeldRows, Pieces, Rows
from ..sampling.shard import BATCH, Arrays


class Gathered(NamedTuple):
    """Contents of a cell's shards.

    Attributes:
        parts: content of each, in order, without features and moments.
        features: ``(n, d)`` of the samples; None for a model without features.
        moments: merged from the shards; None if these do not cover the samples.
    """

    parts: Sequence[Arrays]
    features: Rows | None
    moments: Moments | None


def gathered(
    shards: Iterable[Arrays], samples: int, again: Callable[[], Iterator[NDArray]] | None = None
) -> Gathered:
    """Gather the contents of a cell's shards, reading each once.

    Args:
        shards: in order, covering [0, ``samples``).
        samples: how many the cell has.
        again: yields their features once more, in order, to hold one block in memory; None to hold
            all.
    """
    parts, features_in_memory, merged, covered, values = [], [], None, 0, 0
    shape: tuple[int, ...] | None = None
    for shard in shards:
        parts.append({key: shard[key] for key in shard if not _is_large(key)})
        features = shard.get("features")
        if features is None:
            continue
        shape, values = (samples, *features.shape[1:]), values + features.size
        features_in_memory.append(features)
        if again is not None and values > VALUES:
            features_in_memory.clear()
        if "moments_n" in shard:
            moments = _moments(shard)
            merged, covered = merged.merge(moments) if merged else moments, covered + moments.n
    if shape is None:
        return Gathered(parts, None, None)
    rows = (
        Pieces(shape, again)
        if again is not None and values > VALUES
        else HeldRows(np.concatenate(features_in_memory).astype(np.float64)[:samples])
    )
    return Gathered(parts, rows, merged if covered == samples else None)


def _is_large(key: str) -> bool:
    return key == "features" or key.startswith("moments_")


def _moments(shard: Arrays) -> Moments:
    prefix = "moments_"
    return Moments.from_dict(
        {key.removeprefix(prefix): value for key, value in shard.items() if key.startswith(prefix)}
    )


def known_samples(
    model: Denoiser, reference: Reference | None, contents: Gathered, samples: int
) -> Rows:
    """Return the available samples ``(n, *event)``: all if the features are the samples, else those
    stored whole. A latent model has latents.
    """
    features = reference is not None and isinstance(reference.extractor, Identity)
    if features and model.decoder is None and contents.features is not None:
        return contents.features.each(lambda x: x.reshape(-1, *model.event), model.event)
    return HeldRows(read_consecutive_samples(contents.parts)[:samples])


def read_consecutive_samples(
    shards: Iterable[Arrays], name: str = "endpoint", most: int | None = None
) -> NDArray:
    """Return samples 0 … k - 1 as stored whole, or as a ``picture``; the first ``most``, which ends
    the reading early.

    A shard stores as many as its run requested. If a later run requests more, later shards store
    samples whose predecessors are gone. The result ends at this gap, because its rows must be the
    samples of that number.
    """
    arrays, count = [], 0
    for shard in shards:
        arrays.append(shard[name])
        count += len(shard[name])
        if len(shard[name]) < shard["sizes"].sum() or (most is not None and count >= most):
            break
    return np.concatenate(arrays)[:most]


def own_labels(shards: Sequence[Arrays], samples: int) -> NDArray[np.bool_] | None:
    """Return a mask of the conditional samples in their own class; None for others."""
    if not all("own_label" in shard for shard in shards):
        return None
    return np.concatenate([shard["own_label"] for shard in shards])[:samples]


def count_columns(shards: Sequence[Arrays]) -> Record:
    """Return counted evaluations, mean over samples, the longest sequential chain, and the smallest
    batch after memory ran out.
    """
    columns: Record = {
        "nfe": _mean_over_batches(shards, "nfe"),
        "depth": max(int(s["depth"]) for s in shards),
    }
    fitted = [int(shard[BATCH]) for shard in shards if BATCH in shard]
    return columns | ({"batch_used": min(fitted)} if fitted else {})


def clamped(shards: Sequence[Arrays]) -> float:
    """Return the share of values outside the data's range, which features clamp."""
    return _mean_over_batches(shards, "clamped")


def _mean_over_batches(shards: Sequence[Arrays], name: str) -> float:
    """Return the mean over samples of a value per batch."""
    values, sizes = (np.concatenate([shard[key] for shard in shards]) for key in (name, "sizes"))
    return float(np.average(values, weights=sizes))
