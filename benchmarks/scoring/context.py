"""Data of one cell for metrics (:class:`..metrics.metric.Context`), read lazily from its shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...models.exact.wavelet import haar_transform
from ...models.reference import Reference
from ...results.values import Record
from ..metrics.estimators.rows import (
    VALUES,
    FloatArray,
    InMemoryRows,
    Moments,
    Pieces,
    Rows,
    block_size,
    rows_of,
)
from ..metrics.metric import Endpoints, Need
from ..sampling.shard import BATCH, MODES, PRECISE, Arrays, clamp, features_are_samples
from .converged_endpoints import modes_of_samples
from .data import ModelData, ScoringReference

if TYPE_CHECKING:  # a protocol's property accepts no cached_property
    cached_property = property
else:
    from functools import cached_property


_GATHERED = {"features", "moments_n", "moments_mean", "moments_m2"}


class GatheredShards(NamedTuple):
    """Arrays of one cell's samples, read from its shards: files of consecutive samples.

    Attributes:
        parts: arrays of each shard by name, in sample order, without features and moments.
        features: features ``(n, d)`` of the n samples to score; None if the shards store none.
        moments: moments of ``features``; None if not stored, or of another number of samples.
    """

    parts: Sequence[Arrays]
    features: Rows | None
    moments: Moments | None


def gather_shards(
    shards: Iterable[Arrays], samples: int, again: Callable[[], Iterator[NDArray]] | None = None
) -> GatheredShards:
    """Return the arrays of ``shards``, each read once, and features of ``samples`` samples.

    Features too large for memory are read again in each pass: ``again()`` yields the features of
    each shard, in order. If ``again`` is None, all features stay in memory.
    """
    parts, features_in_memory, merged, covered, values = [], [], None, 0, 0
    shape: tuple[int, ...] | None = None
    is_too_large = False
    for shard in shards:
        parts.append({key: shard[key] for key in shard if key not in _GATHERED})
        features = shard.get("features")
        if features is None:
            continue
        shape, values = (samples, *features.shape[1:]), values + features.size
        features_in_memory.append(features)
        is_too_large = again is not None and values > VALUES
        if is_too_large:
            features_in_memory.clear()
        if "moments_n" in shard:
            moments = Moments.from_dict(
                {name: shard[f"moments_{name}"] for name in ("n", "mean", "m2")}
            )
            merged, covered = merged.merge(moments) if merged else moments, covered + moments.n
    if shape is None:
        return GatheredShards(parts, None, None)
    rows = (
        Pieces(shape, again)
        if again is not None and is_too_large
        else InMemoryRows(np.concatenate(features_in_memory).astype(np.float64)[:samples])
    )
    return GatheredShards(parts, rows, merged if covered == samples else None)


def read_consecutive_samples(
    shards: Iterable[Arrays], name: str = "endpoint", most: int | None = None
) -> NDArray:
    """Return the samples 0, 1, … in the array ``name`` of shards, at most ``most``, without a gap.

    A shard may store only its first samples in ``name``. Reading ends after such a shard.
    """
    arrays, count = [], 0
    for shard in shards:
        arrays.append(shard[name])
        count += len(shard[name])
        if len(shard[name]) < shard["sizes"].sum() or (most is not None and count >= most):
            break
    return np.concatenate(arrays)[:most]


def count_columns(shards: Sequence[Arrays]) -> Record:
    """Return columns: mean ``nfe``, largest ``depth`` and, if stored, smallest ``batch_used``."""
    columns: Record = {
        "nfe": mean_over_batches(shards, "nfe"),
        "depth": max(int(s["depth"]) for s in shards),
    }
    fitted = [int(shard[BATCH]) for shard in shards if BATCH in shard]
    return columns | ({"batch_used": min(fitted)} if fitted else {})


def mean_over_batches(shards: Sequence[Arrays], name: str) -> float:
    """Return the mean over samples of the array ``name``, which has one value per batch."""
    values, sizes = (np.concatenate([shard[key] for shard in shards]) for key in (name, "sizes"))
    return float(np.average(values, weights=sizes))


Value = TypeVar("Value")


@dataclass(frozen=True)
class CellContext:
    """Samples of one cell, and references to compare them with (:class:`..metrics.metric.Context`).

    Attributes:
        shards: features and other arrays that the cell's shards store.
        count: number of samples to score; the shards may have more.
        data: source of the model's modes, training set and coefficients, shared by its cells.
        scoring_reference: real and converged features; None for a model without a reference.
        endpoints: converged endpoints of the latents; None for samples that do not converge.
        follows_path: True if ``endpoints`` has limits along Brownian paths, False for the ODE.
    """

    shards: GatheredShards
    count: int
    data: ModelData
    scoring_reference: ScoringReference | None
    endpoints: Endpoints | None
    follows_path: bool

    @cached_property
    def met_needs(self) -> frozenset[Need]:
        """Kinds of data (:data:`.Need`) that this cell can give to metrics."""
        availability: dict[Need, bool] = {
            "samples": True,
            "features": self.scoring_reference is not None,
            "modes": self.data.exact is not None or bool(self.classes),
            "training set": self.data.training is not None,
            "coefficients": self.data.mixtures is not None,
            self._solved: self.endpoints is not None,
            "run in full precision": PRECISE in self.shards.parts[0],
            "labels": all("own_label" in shard for shard in self.shards.parts),
        }
        return frozenset(need for need, is_met in availability.items() if is_met)

    @property
    def feature_rows(self) -> Rows:
        return _require(self.shards.features, "features")

    @cached_property
    def features(self) -> FloatArray:
        return np.asarray(self.feature_rows)

    @cached_property
    def moments(self) -> Moments:
        return self.shards.moments or rows_of(self.feature_rows).moments

    @property
    def reference(self) -> Reference:
        return _require(self.scoring_reference, "features").reference

    @property
    def converged(self) -> FloatArray | None:
        return _require(self.scoring_reference, "features").converged_features

    def held_out(self, n: int) -> FloatArray:
        reference = self.reference
        return self.once(("held out", n), lambda: reference.held_out(n))

    def held_out_rows(self, n: int) -> Rows:
        d, blocks = len(self.reference.mean), self.reference.statistics.held_out_blocks
        size = block_size((n, d))
        if n <= size or blocks is None:
            return InMemoryRows(self.held_out(n))
        return Pieces((n, d), partial(blocks, n, size))  # drawn again for each pass

    @cached_property
    def known(self) -> NDArray:
        return np.asarray(self.known_rows)

    @cached_property
    def known_rows(self) -> Rows:
        model, features = self.data.model, self.shards.features
        scale = self.scoring_reference
        if features and scale and features_are_samples(model, scale.reference.extractor):
            return features.map_blocks(lambda x: x.reshape(-1, *model.event), model.event)
        return InMemoryRows(self.whole)

    @cached_property
    def whole(self) -> NDArray:
        return read_consecutive_samples(self.shards.parts)[: self.count]

    @cached_property
    def precise(self) -> NDArray:
        stored = [shard[PRECISE] for shard in self.shards.parts if PRECISE in shard]
        _require(stored or None, "run in full precision")
        return np.concatenate(stored)[: len(self.whole)]

    def exact_samples(self, n: int) -> NDArray | None:
        exact = self.data.exact
        return None if exact is None else exact.held_out(n).numpy()

    @property
    def classes(self) -> int:
        return self.data.model.classes

    def modes(self, x: NDArray) -> NDArray[np.int64] | None:
        return modes_of_samples(self.data.model, x, self.data.device)

    @property
    def own_modes(self) -> NDArray[np.int64] | None:
        parts = self.shards.parts
        if any(MODES in shard for shard in parts):
            known = [
                shard[MODES] if MODES in shard else self.modes(shard["endpoint"])
                for shard in parts
                if MODES in shard or len(shard["endpoint"])
            ]
        else:
            known = [self.modes(x) for _, x in self.known_rows.blocks()]
        classified = [modes for modes in known if modes is not None]
        return np.concatenate(classified)[: self.count] if classified else None

    @property
    def own_label(self) -> NDArray[np.bool_]:
        masks = [_require(shard.get("own_label"), "labels") for shard in self.shards.parts]
        return np.concatenate(masks)[: self.count]

    @property
    def training(self) -> tuple[FloatArray, float]:
        examples = _require(self.data.training, "training set")
        return examples.examples, examples.threshold

    @property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return _require(self.data.mixtures, "coefficients")

    def coefficients(self, x: NDArray) -> FloatArray:
        return haar_transform(torch.from_numpy(x).double()).flatten(1).numpy()

    @property
    def solution(self) -> Endpoints:
        return _require(self.endpoints, self._solved)

    @property
    def limits(self) -> tuple[float, float] | None:
        return self.data.model.decoded_limits

    def images(self, x: NDArray) -> Tensor:
        decoded = self.data.model.decode(torch.from_numpy(x).to(self.data.device))
        return clamp(decoded, self.limits)[0]

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        return self.data.once(key, make)

    @property
    def _solved(self) -> Need:
        return "path limit" if self.follows_path else "reference solution"


def _require(value: Value | None, need: Need) -> Value:
    """Return ``value``; raise a ValueError if it is None, as the metric does not list ``need``."""
    if value is None:
        raise ValueError(f"a metric that asks for this must say that it needs {need!r}")
    return value
