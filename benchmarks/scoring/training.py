"""The data that a model was trained on, where the project ships them: what memorisation is measured against."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...models import Denoiser
from ...models.cards.card import load_card
from ..metrics.memorisation import memorised_threshold

_CARDS = {"digits-cloud": "digits-cloud", "digits": "digits-cloud", "fashion-kde": "fashion-kde"}
"""Model to the card whose ``pixels`` hold its training images."""


class TrainingSet:
    """Training examples ``(m, d)``, and data of the same kind ``(k, d)`` that the model has not seen, or None."""

    def __init__(self, examples: NDArray[np.float64], held_out: NDArray[np.float64] | None) -> None:
        self.examples, self.held_out = examples, held_out

    @cached_property
    def threshold(self) -> float:
        """The ratio of distances below which a sample counts as memorised."""
        return memorised_threshold(self.examples, self.held_out)


def training_set(model: Denoiser) -> TrainingSet | None:
    """The training set of a built-in model, guided or not; None where it is not shipped.

    ``digits`` was trained on seven of every nine images (``models.cards.datasets.digits``), and the other two are held out.
    The clouds hold all the images that there are, so each is held out from the others in turn.
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
