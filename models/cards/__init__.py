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
    "": "datasets",
    "datasets": "PROVENANCE digits fashion_mnist",
    "network": "LatentNetwork NetworkDenoiser",
    "reference": "FashionExtractor clamped_features extractor_of",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
