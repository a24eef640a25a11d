"""Metrics' view of one cell (:class:`..metrics.metric.Context`), read lazily from its shards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...models.reference import Reference
from ..metrics.estimators.moments import FloatArray, Moments
from ..metrics.estimators.rows import Rows, rows_of
from ..metrics.metric import Context, Need
from . import shards as parts
from .data import Data
from .scale import Scale
from .solutions.doubling import Endpoints

Value = TypeVar("Value")


@dataclass(frozen=True)
class CellContext(Context):
    """Samples of one cell, and references to compare them with.

    Attributes:
        shards: their contents.
        samples: how many samples the cell has.
        data: about the model's data.
        scale: references of features; None for a model without a reference.
        truth: endpoints of the latents; None for samples without a limit.
        follows_path: True if ``truth`` holds limits of Brownian paths, False for the ODE.
    """

    shards: parts.Gathered
    samples: int
    data: Data
    scale: Scale | None
    truth: Endpoints | None
    follows_path: bool

    @cached_property
    def met(self) -> frozenset[Need]:
        """Needs of metrics that are met."""
        truth: Need = "path limit" if self.follows_path else "reference solution"
        availability: dict[Need, bool] = {
            "samples": True,
            "features": self.scale is not None,
            "modes": self.data.exact is not None or bool(self.classes),
            "training set": self.data.training is not None,
            "coefficients": self.data.mixtures is not None,
            truth: self.truth is not None,
            "labels": all("own_label" in shard for shard in self.shards.parts),
        }
        return frozenset(need for need, is_met in availability.items() if is_met)

    @property
    def count(self) -> int:
        return self.samples

    @property
    def features(self) -> FloatArray:
        return self._features

    @property
    def feature_rows(self) -> Rows:
        return _require(self.shards.features, "features")

    @property
    def moments(self) -> Moments:
        return self._moments

    @property
    def reference(self) -> Reference:
        return self._scale.reference

    @property
    def converged(self) -> FloatArray | None:
        return self._scale.converged

    def held_out(self, n: int) -> FloatArray:
        return self._scale.held_out(n)

    def held_out_rows(self, n: int) -> Rows:
        return self._scale.held_out_rows(n)

    @property
    def known(self) -> NDArray:
        return self._samples

    @property
    def known_rows(self) -> Rows:
        return self._known_rows

    @property
    def whole(self) -> NDArray:
        return self._whole

    def exact_samples(self, n: int) -> NDArray | None:
        exact = self.data.exact
        return None if exact is None else exact.held_out(n).numpy()

    @property
    def classes(self) -> int:
        return self.data.model.classes

    def modes(self, x: NDArray) -> NDArray[np.int64] | None:
        return self.data.modes(x)

    @property
    def own_label(self) -> NDArray[np.bool_]:
        return _require(parts.own_labels(self.shards.parts, self.samples), "labels")

    @property
    def training(self) -> tuple[FloatArray, float]:
        examples = _require(self.data.training, "training set")
        return examples.examples, examples.threshold

    @property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return _require(self.data.mixtures, "coefficients")

    def coefficients(self, x: NDArray) -> FloatArray:
        return self.data.coefficients(x)

    @property
    def solution(self) -> Endpoints:
        return _require(self.truth, "path limit" if self.follows_path else "reference solution")

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        return self.data.once(key, make)

    # -- read once -------------------------------------------------------------------------------

    @cached_property
    def _features(self) -> FloatArray:
        return np.asarray(self.feature_rows)

    @cached_property
    def _moments(self) -> Moments:
        return self.shards.moments or rows_of(self.feature_rows).moments

    @cached_property
    def _samples(self) -> NDArray:
        return np.asarray(self.known_rows)

    @cached_property
    def _known_rows(self) -> Rows:
        reference = self.scale and self.scale.reference
        return parts.known_samples(self.data.model, reference, self.shards, self.samples)

    @cached_property
    def _whole(self) -> NDArray:
        return parts.read_consecutive_samples(self.shards.parts)[: self.samples]

    @property
    def _scale(self) -> Scale:
        return _require(self.scale, "features")


def _require(value: Value | None, need: Need) -> Value:
    """Return a value, since its need is met.

    Raises:
        ValueError: a metric asked for data that are not among its needs.
    """
    if value is None:
        raise ValueError(f"a metric that asks for this must say that it needs {need!r}")
    return value
