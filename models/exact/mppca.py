"""Mixtures of probabilistic PCA as image models: a realistic spectrum, with exact scores,
classes and guidance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from torch import Tensor

from ..cards.card import load_card
from ..cards.reference import card_reference, value_range
from ..reference import Reference
from .mixture import GaussianMixture


class MPPCA(GaussianMixture):
    """Mixture of probabilistic PCA (Tipping and Bishop, Neural Computation 11:443, 1999) from tensors, in
    float64.

    Args:
        name: its name in tables.
        event: shape of a sample, of d numbers.
        tensors: ``weights`` ``(K,)``, ``means`` ``(K, d)``, ``factors`` ``(K, d, r)``, ``noise``
            ``(K,)`` (standard deviations) and ``component_class`` ``(K,)`` int64, as
            ``samplerbench_studies.training.fit_mppca`` stores them; other keys are ignored.
        reference: makes the reference in the feature space of the model's card; without it, or if
            it gives None, the samples themselves are compared.
        version: raised when the tensors change.

    Raises:
        ValueError: a tensor is missing.
    """

    tolerance = 1e-9

    def __init__(
        self,
        name: str,
        event: tuple[int, ...],
        tensors: Mapping[str, Tensor],
        *,
        reference: Callable[[], Reference | None] = lambda: None,
        version: int = 1,
    ) -> None:
        if missing := {"weights", "means", "factors", "noise", "component_class"} - set(tensors):
            raise ValueError(
                f"model {name} lacks the tensors {', '.join(sorted(missing))}; "
                "fit it again with samplerbench_studies.training.fit_mppca"
            )
        super().__init__(
            name,
            event,
            tensors["weights"],
            tensors["means"],
            tensors["factors"],
            tensors["noise"],
            tensors["component_class"],
            version=version,
        )
        self._reference = reference

    def reference(self) -> Reference | None:
        """Return the given reference, or exact moments of the samples themselves."""
        return self._reference() or super().reference()


def fashion_mppca() -> MPPCA:
    """``fashion-mppca``: fitted to Fashion-MNIST by ``samplerbench_studies.training.fit_mppca``.

    28 × 28, ten classes of ten components each.
    """
    card = load_card("fashion-mppca")

    @cache
    def reference() -> Reference | None:
        return card_reference(card, model.held_out)

    model = MPPCA(card.name, card.event, card.tensors(), reference=reference)
    model.limits = value_range(card)
    return model
