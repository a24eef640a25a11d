"""Cards, weights and reference statistics of the shipped models, and their readers."""

from typing import TYPE_CHECKING

from ...lazy import lazy
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
    "datasets": "",
    "NetworkDenoiser": "network",
    "PROVENANCE": "datasets",
    "clamped_features": "reference",
    "digits": "datasets",
    "extractor_of": "reference",
    "fashion_mnist": "datasets",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
