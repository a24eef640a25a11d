"""Columns about the samples themselves, for models about whose data more is known than features: modes, training set, coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..models import Denoiser
from ..models.denoiser import Wrapper
from ..models.exact.base import ExactModel
from ..models.exact.haar import haar
from ..models.exact.wavelet import Wavelet, mixtures
from ..results.record import Record
from .metrics.coefficients import coefficient_distances
from .metrics.coverage import against_counts, mode_counts
from .metrics.memorisation import duplicate_share, memorisation
from .metrics.moments import FloatArray
from .training import TrainingSet, training_set

MODE_SAMPLES = 10_000
"""Exact samples whose modes those of a cell are held against."""
MOST_COEFFICIENTS = 4_000
"""Samples of which the coefficients are compared; the first are taken."""


@dataclass(frozen=True)
class Data:
    """What is known about the data of one model, found out once."""

    model: Denoiser
    device: str

    @cached_property
    def exact(self) -> ExactModel | None:
        """The exact model at the heart of this one, on the CPU; None if there is none."""
        inner = self.model
        while isinstance(inner, Wrapper):
            inner = inner.inner
        return inner.to("cpu") if isinstance(inner, ExactModel) else None

    @cached_property
    def training(self) -> TrainingSet | None:
        """The training set, where it is shipped."""
        return training_set(self.model)

    @cached_property
    def exact_modes(self) -> NDArray[np.int64] | None:
        """Modes of exact samples; None where none can be drawn, or have no modes."""
        return None if self.exact is None else self.modes(self.exact.held_out(MODE_SAMPLES).numpy())

    @cached_property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Weights, means and standard deviations ``(2, d)`` of the coefficients of a ``wavelet``."""
        if not isinstance(self.exact, Wavelet):
            return None
        channels, side, _ = self.exact.event
        weights, means, stds = (np.tile(values.reshape(2, -1), (1, channels)) for values in mixtures(side))
        return weights, means, stds

    @cached_property
    def _floors(self) -> dict[int, float]:
        return {}

    def modes(self, x: NDArray) -> NDArray[np.int64] | None:
        """Modes ``(n,)`` of samples ``(n, *event)``."""
        modes = self.model.mode_of(torch.from_numpy(x).to(self.device))
        return None if modes is None else modes.cpu().numpy()

    def coefficient_distance(self, x: NDArray) -> float:
        """Root mean square over coefficients of the distances to their exact distributions, in standard deviations."""
        assert self.mixtures is not None
        coefficients = haar(torch.from_numpy(x).double()).flatten(1).numpy()
        return float(np.sqrt(coefficient_distances(coefficients, *self.mixtures).mean()))

    def coefficient_floor(self, n: int) -> float:
        """The same of ``n`` exact samples."""
        assert self.exact is not None
        if n not in self._floors:
            self._floors[n] = self.coefficient_distance(self.exact.held_out(n).numpy())
        return self._floors[n]


def sample_columns(data: Data, x: NDArray, kept: NDArray) -> Record:
    """Modes visited, near-copies of training examples, exact repeats, and distances of coefficients; empty where nothing is known.

    Args:
        data: about the model.
        x: ``(n, *event)`` as many samples as are known, perhaps rounded to the precision of stored features.
        kept: ``(k, *event)`` those that were kept whole.
    """
    record: Record = {**_mode_columns(data, x)} if len(x) else {}
    if len(kept):
        record["duplicates"] = duplicate_share(kept)
    if len(x) and data.training is not None:
        near = memorisation(x, data.training.examples, data.training.threshold)
        record |= {"memorised": near.share, "memorised_low": near.low, "memorised_high": near.high}
    if len(x) and data.mixtures is not None:
        first = x[:MOST_COEFFICIENTS]
        record |= {"w2_coefficients": data.coefficient_distance(first), "w2_coefficients_floor": data.coefficient_floor(len(first))}
    return record


def _mode_columns(data: Data, x: NDArray) -> Record:
    """Coverage of the modes, and its test where exact samples tell how often each should be visited.

    Nothing tells how often real images fall into the classes of an imperfect classifier, so a network's classes are not tested.
    """
    if data.exact is None and not data.model.classes:
        return {}
    modes, exact = data.modes(x), data.exact_modes
    if modes is None:
        return {}
    if exact is None:
        return {"mode_coverage": float((mode_counts(modes, data.model.classes) > 0).mean())}
    k = int(max(modes.max(), exact.max())) + 1
    found = against_counts(mode_counts(modes, k), mode_counts(exact, k))
    return {"mode_coverage": found.covered, "mode_p": found.p}
