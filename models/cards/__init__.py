"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import datasets
    from .card import AXES, CARDS, CONVERGED, MOMENTS, REFERENCE, WEIGHTS
    from .features import FashionExtractor
    from .latent import LatentNetwork
    from .network import NetworkDenoiser
    from .reference import clamped_features, extractor_of

__all__ = [
    "AXES",
    "CARDS",
    "CONVERGED",
    "MOMENTS",
    "REFERENCE",
    "WEIGHTS",
    "FashionExtractor",
    "LatentNetwork",
    "NetworkDenoiser",
    "clamped_features",
    "datasets",
    "extractor_of",
]

_HOMES = {
    "AXES": "card",
    "CARDS": "card",
    "CONVERGED": "card",
    "FashionExtractor": "features",
    "LatentNetwork": "latent",
    "MOMENTS": "card",
    "NetworkDenoiser": "network",
    "REFERENCE": "card",
    "WEIGHTS": "card",
    "clamped_features": "reference",
    "extractor_of": "reference",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name == "datasets":
        return import_module(".datasets", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
