"""What a cell's shards hold, put together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ...models import Denoiser
from ...models.reference import Identity, Reference
from ...results.record import Record
from ..metrics.estimators.moments import FloatArray, Moments
from ..sampling.shard import BATCH, Arrays


def features_of(shards: Sequence[Arrays], samples: int) -> FloatArray:
    """The features ``(samples, d)`` of shards in order that cover [0, ``samples``)."""
    return np.concatenate([shard["features"] for shard in shards]).astype(np.float64)[:samples]


def moments_of(shards: Sequence[Arrays], features: FloatArray) -> Moments:
    """The moments of features, merged from those that the shards keep where these cover them."""
    whole = sum(int(shard.get("moments_n", -1)) for shard in shards) == len(features)
    return reduce(Moments.merge, map(_moments, shards)) if whole else Moments.of(features)


def _moments(shard: Arrays) -> Moments:
    prefix = "moments_"
    return Moments.from_dict(
        {key.removeprefix(prefix): value for key, value in shard.items() if key.startswith(prefix)}
    )


def known_samples(
    model: Denoiser, reference: Reference | None, shards: Sequence[Arrays], samples: int
) -> NDArray:
    """As many samples ``(n, *event)`` as there are: all of them where the features are the
    samples themselves, else those kept whole. Of a latent model they are latents.
    """
    features = reference is not None and isinstance(reference.extractor, Identity)
    if features and model.decoder is None:
        return features_of(shards, samples).reshape(-1, *model.event)
    return kept(shards)[:samples]


def kept(shards: Sequence[Arrays], name: str = "endpoint") -> NDArray:
    """Samples 0 … k - 1 as they were kept whole, or as a ``picture``.

    A shard keeps what was asked for when it was sampled. Where more is asked for later, later
    shards keep samples whose predecessors are gone; they end at the gap, because a row of the
    result must be the sample of that number.
    """
    ends = [
        place for place, shard in enumerate(shards, 1) if len(shard[name]) < shard["sizes"].sum()
    ]
    return np.concatenate([shard[name] for shard in shards[: min(ends, default=None)]])


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
