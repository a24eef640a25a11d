"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""

from typing import TYPE_CHECKING

from ...lazy import lazy
from .card import AXES, CARDS, CONVERGED, MOMENTS, REFERENCE, WEIGHTS

if TYPE_CHECKING:
    from . import datasets
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
    "datasets": "",
    "FashionExtractor": "features",
    "LatentNetwork": "latent",
    "NetworkDenoiser": "network",
    "clamped_features": "reference",
    "extractor_of": "reference",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
