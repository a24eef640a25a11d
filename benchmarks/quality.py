"""From a cell's shards to the quality columns of its row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from ..models import Denoiser
from ..models.reference import Identity, Reference
from ..results.record import Record
from .metrics.fd_infinity import PARTS, fd_infinity
from .metrics.frechet import FrechetEstimate, estimate, population_estimate
from .metrics.moments import FloatArray, Moments
from .quality_sets import set_columns
from .sampling import Arrays
from .scale import Scale


def features_of(shards: Sequence[Arrays], samples: int) -> FloatArray:
    """The features ``(samples, d)`` of shards in order that cover [0, ``samples``)."""
    return np.concatenate([shard["features"] for shard in shards]).astype(np.float64)[:samples]


def distribution_columns(scale: Scale, shards: Sequence[Arrays], samples: int) -> tuple[Record, Arrays]:
    """The columns of distances between distributions, and the influence of each sample on them.

    Args:
        scale: what the samples are compared with.
        shards: in order, covering [0, ``samples``).
        samples: how many samples the cell has.
    """
    features = features_of(shards, samples)
    record, arrays = _frechet_columns(scale, shards, features)
    sets, influences = set_columns(scale.real, features)
    return record | sets, arrays | influences


def _frechet_columns(scale: Scale, shards: Sequence[Arrays], features: FloatArray) -> tuple[Record, Arrays]:
    samples, d = features.shape
    whole = sum(int(shard.get("moments_n", -1)) for shard in shards) == samples
    moments = reduce(Moments.merge, map(_moments, shards)) if whole else Moments.of(features)
    fixed = estimate(scale.fixed, features, moments)
    population = population_estimate(features, scale.converged)
    lowest = scale.floor(samples)
    record: Record = {
        "fid_proxy": fixed.value,
        "fid_proxy_se": fixed.se,
        "fid_proxy_low": fixed.low,
        "fid_proxy_high": fixed.high,
        "fid_proxy_raw": fixed.raw,
        "fid_proxy_floor": lowest and lowest.value,
        "fid_proxy_floor_se": lowest and lowest.se,
        "fid_flag": fixed.flag,
        "fd_conv": population.value,
        "fd_conv_se": population.se,
        "fd_conv_low": population.low,
        "fd_conv_high": population.high,
        "fd_conv_flag": population.flag,
        "fd_inf": fd_infinity(scale.fixed, features) if samples // PARTS > d else None,
        "fid_proxy_converged": scale.model_error.value,
        "fid_proxy_converged_se": scale.model_error.se,
        "fid_proxy_converged_low": scale.model_error.low,
        "fid_proxy_converged_high": scale.model_error.high,
        "dominated": dominated(population, scale.model_error),
        "clamped": _mean_over_batches(shards, "clamped"),
        "estimator": scale.identity,
    }
    assert population.reference_influence is not None
    influences = {"influence": fixed.influence, "fd_conv": population.influence, "fd_conv_reference": population.reference_influence}
    return record, influences


def dominated(to_converged: FrechetEstimate, model_error: FrechetEstimate) -> bool | None:
    """Whether the model's own error is the larger part of what a distance to the data is made of.

    With e the sampler's error, ``to_converged``, and m the model's, the distance to the data is m + e and a cross term of at most
    2 sqrt(m e), of either sign: where e < m that term can outweigh e, so that a sampler may look better for being further from the
    solution. A model that is not measurably wrong dominates nothing; None where the converged samples are too few to tell.
    """
    if model_error.flag:
        return None
    return model_error.low > 0 and model_error.value > to_converged.value


def _moments(shard: Arrays) -> Moments:
    prefix = "moments_"
    return Moments.from_dict({key.removeprefix(prefix): value for key, value in shard.items() if key.startswith(prefix)})


def known_samples(model: Denoiser, reference: Reference | None, shards: Sequence[Arrays], samples: int) -> NDArray:
    """As many samples ``(n, *event)`` as there are: all of them where the features are the samples themselves, else those kept whole."""
    if reference is not None and isinstance(reference.extractor, Identity):
        return features_of(shards, samples).reshape(-1, *model.event)
    return kept(shards)[:samples]


def _mean_over_batches(shards: Sequence[Arrays], name: str) -> float:
    """The mean over samples of what was measured per batch."""
    values, sizes = (np.concatenate([shard[key] for shard in shards]) for key in (name, "sizes"))
    return float(np.average(values, weights=sizes))


def label_columns(shards: Sequence[Arrays], samples: int) -> Record:
    """The share of conditional samples that lie in their own class; nothing for unconditional ones."""
    if not all("own_label" in shard for shard in shards):
        return {}
    return {"label_agreement": float(np.concatenate([shard["own_label"] for shard in shards])[:samples].mean())}


def kept(shards: Sequence[Arrays], name: str = "endpoint") -> NDArray:
    """Samples 0 … k - 1 as they were kept whole, or as a ``picture``.

    A shard keeps what was asked for when it was sampled. Where more is asked for later, later shards keep samples whose predecessors are
    gone; they end at the gap, because a row of the result must be the sample of that number.
    """
    ends = [place for place, shard in enumerate(shards, 1) if len(shard[name]) < shard["sizes"].sum()]
    return np.concatenate([shard[name] for shard in shards[: min(ends, default=None)]])


def count_columns(shards: Sequence[Arrays]) -> Record:
    """Counted evaluations: the mean over samples, and the longest sequential chain."""
    return {"nfe": _mean_over_batches(shards, "nfe"), "depth": max(int(s["depth"]) for s in shards)}
