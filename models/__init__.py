"""Models that samplers are benchmarked on: exact ones with a known answer, and pretrained score
networks.
"""

from typing import TYPE_CHECKING

from ..lazy import lazy
from .cards.card import Card, CardError, card_names, load_card
from .denoiser import Bound, Denoiser, Wrapper
from .guidance import ClassifierFree
from .reference import Extractor, Identity, Reference, Statistics
from .registry import make_model, model_names, use_model

if TYPE_CHECKING:
    from .objects import from_function, from_network

__all__ = [
    "Bound",
    "Card",
    "CardError",
    "ClassifierFree",
    "Denoiser",
    "Extractor",
    "Identity",
    "Reference",
    "Statistics",
    "Wrapper",
    "card_names",
    "from_function",
    "from_network",
    "load_card",
    "make_model",
    "model_names",
    "use_model",
]

_HOMES = {"from_function": "objects", "from_network": "objects"}

__getattr__, __dir__ = lazy(__name__, _HOMES)
