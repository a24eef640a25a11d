"""From a cell's shards to the quality columns of its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import Denoiser
from ..models.reference import Reference
from ..results.record import Record
from .doubling import Endpoints
from .metrics.endpoint import endpoint_error, flip_fraction
from .metrics.frechet import FrechetReference, estimate, floor, population_estimate
from .metrics.moments import Moments
from .sampling import Arrays

ESTIMATOR = "frechet/1 fixed reference, fourth-moment debiased"


@dataclass(frozen=True)
class Scale:
    """What the samples of one model are scored against, shared by all its cells."""

    reference: Reference
    converged: NDArray[np.float64]

    @cached_property
    def fixed(self) -> FrechetReference:
        """The reference as the fixed truth."""
        return FrechetReference(self.reference.mean, self.reference.cov, self.reference.n)

    @cached_property
    def _floors(self) -> dict[int, float | None]:
        return {}

    def floor(self, n: int) -> float | None:
        """Plug-in distance of ``n`` held-out samples, carried to ``n`` by its bias if there are fewer; None if there are none."""
        if n not in self._floors:
            held_out = self.reference.held_out(n)
            self._floors[n] = floor(self.fixed, held_out, n) if len(held_out) > 1 else None
        return self._floors[n]

    @property
    def identity(self) -> str:
        """What numbers must share to be comparable."""
        return f"{ESTIMATOR}; {self.reference.extractor.identity}; reference {self.reference.identity}; {len(self.converged)} converged"


def distribution_columns(scale: Scale, shards: Sequence[Arrays], samples: int) -> tuple[Record, NDArray]:
    """The Fréchet columns and the influence of each sample, from shards in order that cover [0, ``samples``)."""
    features = np.concatenate([shard["features"] for shard in shards]).astype(np.float64)[:samples]
    whole = sum(int(shard.get("moments_n", -1)) for shard in shards) == samples
    moments = reduce(Moments.merge, map(_moments, shards)) if whole else Moments.of(features)
    fixed = estimate(scale.fixed, features, moments)
    population = population_estimate(features, scale.converged)
    record: Record = {
        "fid_proxy": fixed.value,
        "fid_proxy_se": fixed.se,
        "fid_proxy_raw": fixed.raw,
        "fid_proxy_floor": scale.floor(samples),
        "fid_flag": fixed.flag,
        "fd_conv": population.value,
        "fd_conv_se": population.se,
        "clamped": _mean_over_batches(shards, "clamped"),
        "estimator": scale.identity,
    }
    return record, fixed.influence


def _moments(shard: Arrays) -> Moments:
    prefix = "moments_"
    return Moments.from_dict({key.removeprefix(prefix): value for key, value in shard.items() if key.startswith(prefix)})


def endpoint_columns(model: Denoiser, truth: Endpoints, shards: Sequence[Arrays], device: str) -> Record:
    """The four ``rmse`` columns, over how many samples, and how well the reference itself is resolved."""
    x = kept(shards)[: len(truth.x)]
    error = endpoint_error(x.reshape(len(x), -1), truth.x[: len(x)].reshape(len(x), -1))
    record: Record = {"rmse": error.rmse, "rmse_se": error.rmse_se, "rmse_median": error.rmse_median}
    record |= {"rmse_samples": len(x), "rmse_resolution": truth.resolution}
    if truth.modes is not None:
        modes = model.mode_of(torch.from_numpy(x).to(device))
        assert modes is not None
        record["flip_fraction"] = flip_fraction(modes.cpu().numpy(), truth.modes[: len(x)])
    return record


def strong_columns(truth: Endpoints, shards: Sequence[Arrays]) -> Record:
    """The distance to the pathwise limits, and how far off the limits themselves may be."""
    x = kept(shards)[: len(truth.x)]
    error = endpoint_error(x, truth.x[: len(x)])
    return {"strong_error": error.rmse, "strong_error_se": error.rmse_se, "strong_resolution": truth.resolution}


def _mean_over_batches(shards: Sequence[Arrays], name: str) -> float:
    """The mean over samples of what was measured per batch."""
    values, sizes = (np.concatenate([shard[key] for shard in shards]) for key in (name, "sizes"))
    return float(np.average(values, weights=sizes))


def label_columns(shards: Sequence[Arrays], samples: int) -> Record:
    """The share of conditional samples that lie in their own class; nothing for unconditional ones."""
    if not all("own_label" in shard for shard in shards):
        return {}
    return {"label_agreement": float(np.concatenate([shard["own_label"] for shard in shards])[:samples].mean())}


def kept(shards: Sequence[Arrays]) -> NDArray:
    """The samples that were kept whole, in order."""
    return np.concatenate([shard["endpoint"] for shard in shards])


def count_columns(shards: Sequence[Arrays]) -> Record:
    """Counted evaluations: the mean over samples, and the longest sequential chain."""
    return {"nfe": _mean_over_batches(shards, "nfe"), "depth": max(int(s["depth"]) for s in shards)}
