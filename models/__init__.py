"""Models that samplers are benchmarked on: exact denoisers and pretrained score networks."""

from typing import TYPE_CHECKING

from ..lazy import lazy
from .cards.card import Card, CardError, card_names, load_card
from .denoiser import Bound, Denoiser, Wrapper
from .guidance import ClassifierFree
from .reference import Extractor, Identity, Reference, Statistics
from .registry import make_model, model_names, use_model

if TYPE_CHECKING:
    from .mmse import (
        Estimate,
        MMSECurve,
        denoising_loss,
        estimate_mean,
        exact_mmse,
        gammas,
        normal_like,
    )
    from .objects import from_function, from_network

__all__ = [
    "Bound",
    "Card",
    "CardError",
    "ClassifierFree",
    "Denoiser",
    "Estimate",
    "Extractor",
    "Identity",
    "MMSECurve",
    "Reference",
    "Statistics",
    "Wrapper",
    "card_names",
    "denoising_loss",
    "estimate_mean",
    "exact_mmse",
    "from_function",
    "from_network",
    "gammas",
    "load_card",
    "make_model",
    "model_names",
    "normal_like",
    "use_model",
]

_HOMES = {
    "mmse": "Estimate MMSECurve denoising_loss estimate_mean exact_mmse gammas normal_like",
    "objects": "from_function from_network",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
