"""What a cell's shards hold, put together: features stay in their files where they are many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...models import Denoiser
from ...models.reference import Identity, Reference
from ...results.record import Record
from ..metrics.estimators.moments import Moments
from ..metrics.estimators.rows import VALUES, Held, Pieces, Rows
from ..sampling.shard import BATCH, Arrays


class Gathered(NamedTuple):
    """The shards of a cell.

    Attributes:
        parts: what each holds, in order, without features and moments.
        features: ``(n, d)`` of the samples; None for a model without features.
        moments: those that the shards keep, merged; None where these do not cover the samples.
    """

    parts: Sequence[Arrays]
    features: Rows | None
    moments: Moments | None


def gathered(
    shards: Iterable[Arrays], samples: int, again: Callable[[], Iterator[NDArray]] | None = None
) -> Gathered:
    """What a cell's shards hold, each read once and let go.

    Args:
        shards: in order, covering [0, ``samples``).
        samples: how many the cell has.
        again: gives their features once more, in order, so that more than a block of them need not
            be kept; None to keep them all.
    """
    parts, held, merged, covered, values = [], [], None, 0, 0
    shape: tuple[int, ...] | None = None
    for shard in shards:
        parts.append({key: shard[key] for key in shard if not _is_large(key)})
        features = shard.get("features")
        if features is None:
            continue
        shape, values = (samples, *features.shape[1:]), values + features.size
        held.append(features)
        if again is not None and values > VALUES:
            held.clear()
        if "moments_n" in shard:
            moments = _moments(shard)
            merged, covered = merged.merge(moments) if merged else moments, covered + moments.n
    if shape is None:
        return Gathered(parts, None, None)
    rows = (
        Pieces(shape, again)
        if again is not None and values > VALUES
        else Held(np.concatenate(held).astype(np.float64)[:samples])
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
    model: Denoiser, reference: Reference | None, found: Gathered, samples: int
) -> Rows:
    """As many samples ``(n, *event)`` as there are: all of them where the features are the
    samples themselves, else those kept whole. Of a latent model they are latents.
    """
    features = reference is not None and isinstance(reference.extractor, Identity)
    if features and model.decoder is None and found.features is not None:
        return found.features.each(lambda x: x.reshape(-1, *model.event), model.event)
    return Held(kept(found.parts)[:samples])


def kept(shards: Iterable[Arrays], name: str = "endpoint", most: int | None = None) -> NDArray:
    """Samples 0 … k - 1 as they were kept whole, or as a ``picture``; of ``most``, if given, which
    ends the reading early.

    A shard keeps what was asked for when it was sampled. Where more is asked for later, later
    shards keep samples whose predecessors are gone; they end at the gap, because a row of the
    result must be the sample of that number.
    """
    found, count = [], 0
    for shard in shards:
        found.append(shard[name])
        count += len(shard[name])
        if len(shard[name]) < shard["sizes"].sum() or (most is not None and count >= most):
            break
    return np.concatenate(found)[:most]


def own_labels(shards: Sequence[Arrays], samples: int) -> NDArray[np.bool_] | None:
    """Whether each conditional sample is in the class it was asked for; None for others."""
    if not all("own_label" in shard for shard in shards):
        return None
    return np.concatenate([shard["own_label"] for shard in shards])[:samples]


def count_columns(shards: Sequence[Arrays]) -> Record:
    """Counted evaluations: the mean over samples, and the longest sequential chain; and the smallest
    batch, where memory held no whole ones.
    """
    columns: Record = {
        "nfe": _mean_over_batches(shards, "nfe"),
        "depth": max(int(s["depth"]) for s in shards),
    }
    fitted = [int(shard[BATCH]) for shard in shards if BATCH in shard]
    return columns | ({"batch_used": min(fitted)} if fitted else {})


def clamped(shards: Sequence[Arrays]) -> float:
    """The share of values that lay outside the data's range, and were clamped for the features."""
    return _mean_over_batches(shards, "clamped")


def _mean_over_batches(shards: Sequence[Arrays], name: str) -> float:
    """The mean over samples of what was measured per batch."""
    values, sizes = (np.concatenate([shard[key] for shard in shards]) for key in (name, "sizes"))
    return float(np.average(values, weights=sizes))
