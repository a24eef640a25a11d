"""Data of a model for metrics: reference features, modes, training set, exact coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...models.cards.card import load_card
from ...models.denoiser import Denoiser, innermost_model
from ...models.exact.base import ExactModel
from ...models.exact.wavelet import Wavelet
from ...models.reference import Reference
from ..metrics.estimators.rows import FloatArray
from ..metrics.kernel import MOST
from ..metrics.memorisation import memorised_threshold
from ..metrics.precision_recall import DENSITY, MANIFOLD
from ..metrics.precision_recall import MOST as MOST_NEIGHBOURS
from ..metrics.sliced_wasserstein import PROJECTIONS, SEED

FRECHET_ESTIMATOR = "frechet/3 fixed reference, fourth-moment debiased, leverage, extrapolated"
"""Version of the Fréchet distances, changed with every change of a value or an error."""


@dataclass(frozen=True)
class ScoringReference:
    """Reference of a model, and features ``(m, d)`` of converged samples (few-step map: None)."""

    reference: Reference
    converged_features: FloatArray | None

    @cached_property
    def identity(self) -> str:
        """Text that identifies the reference: scores with equal texts are comparable."""
        sets = (
            f"sets/1 as many held-out samples: kid and swd({PROJECTIONS}, seed {SEED}) up to {MOST}, "
            f"precision, recall({MANIFOLD}), density, coverage({DENSITY}) up to {MOST_NEIGHBOURS}"
        )
        extractor = self.reference.extractor.identity
        reference = f"reference {self.reference.identity}"
        converged = 0 if self.converged_features is None else len(self.converged_features)
        return "; ".join((FRECHET_ESTIMATOR, extractor, reference, f"{converged} converged", sets))


Value = TypeVar("Value")

_CARDS = {"digits-cloud": "digits-cloud", "digits": "digits-cloud", "fashion-kde": "fashion-kde"}
"""Card by model name, with the model's training images in the tensor ``pixels``."""


class TrainingSet:
    """Training examples ``(m, d)`` of a model, and held-out data ``(k, d)`` or None."""

    def __init__(self, examples: NDArray[np.float64], held_out: NDArray[np.float64] | None) -> None:
        self.examples, self.held_out = examples, held_out

    @cached_property
    def threshold(self) -> float:
        """Ratio of distances to the nearest two examples below which samples are memorised."""
        return memorised_threshold(self.examples, self.held_out)


def training_set(model: Denoiser) -> TrainingSet | None:
    """Return the training set of a built-in model, guided or not; None if no card has its images.

    ``digits`` was trained on seven of every nine images (``models.cards.datasets.digits``), and the
    other two are held out. Other models with a training set have no held-out data.
    """
    name = model.name.partition("(")[0]
    card = load_card(_CARDS[name]) if name in _CARDS else None
    if card is None or card.event != model.event:
        return None
    low, high = card.data["range"]
    pixels = card.tensors()["pixels"].double().flatten(1).numpy()
    images = low + pixels * ((high - low) / card.data["levels"])
    if name != "digits":
        return TrainingSet(images, None)
    test = np.arange(len(images)) % 9 >= 7
    return TrainingSet(images[~test], images[test])


@dataclass(frozen=True)
class ModelData:
    """Data of one model that its cells share; each item is computed once."""

    model: Denoiser
    device: str
    _known: dict[object, object] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: object, make: Callable[[], Value]) -> Value:
        """Return the result of ``make()``, which is called once per ``key``; cells share it."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]  # pyright: ignore[reportReturnType] - what this key's maker gives

    @cached_property
    def exact(self) -> ExactModel | None:
        """Exact model inside all wrappers, on the CPU; None if the innermost model is not exact."""
        inner = innermost_model(self.model)
        return inner.to("cpu") if isinstance(inner, ExactModel) else None

    @cached_property
    def training(self) -> TrainingSet | None:
        """Training set; None if it is not shipped."""
        return training_set(self.model)

    @cached_property
    def mixtures(self) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """:attr:`.Wavelet.mixtures` of the model; None for models without coefficients."""
        return self.exact.mixtures if isinstance(self.exact, Wavelet) else None
