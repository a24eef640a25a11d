"""Models that samplers are benchmarked on: exact ones with a known answer, and pretrained score
networks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cards.card import Card, CardError, card_names, load_card
from .denoiser import Bound, Denoiser, Wrapper
from .guidance import ClassifierFree
from .reference import Extractor, Identity, Reference, Statistics
from .registry import make_model, model_names, use_model

if TYPE_CHECKING:
    from .analysis import (
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
    "objects": ("from_function", "from_network"),
    "analysis": (
        "Estimate",
        "MMSECurve",
        "denoising_loss",
        "estimate_mean",
        "exact_mmse",
        "gammas",
        "normal_like",
    ),
}


def __getattr__(name: str) -> Any:
    """Import what few need when it is asked for; ``__version__`` is the distribution's."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("samplerbench")
