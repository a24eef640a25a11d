"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .card import AXES, CARDS, CONVERGED, MOMENTS, REFERENCE, WEIGHTS

if TYPE_CHECKING:
    from . import datasets
    from .datasets import PROVENANCE, digits, fashion_mnist
    from .network import LatentNetwork, NetworkDenoiser
    from .reference import FashionExtractor, clamped_features, extractor_of

__all__ = [
    "AXES",
    "CARDS",
    "CONVERGED",
    "MOMENTS",
    "PROVENANCE",
    "REFERENCE",
    "WEIGHTS",
    "FashionExtractor",
    "LatentNetwork",
    "NetworkDenoiser",
    "clamped_features",
    "datasets",
    "digits",
    "extractor_of",
    "fashion_mnist",
]

_HOMES = {
    "FashionExtractor": "reference",
    "LatentNetwork": "network",
    "NetworkDenoiser": "network",
    "PROVENANCE": "datasets",
    "clamped_features": "reference",
    "digits": "datasets",
    "extractor_of": "reference",
    "fashion_mnist": "datasets",
}


def __getattr__(name: str) -> Any:
    """Import what builds networks when it is asked for: listings read cards alone."""
    if name == "datasets":
        return import_module(f"{__name__}.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
