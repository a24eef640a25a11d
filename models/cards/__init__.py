"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""

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
