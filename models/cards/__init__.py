"""Model cards of the shipped models, their weights and reference statistics, and the code that
reads them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "FashionExtractor": "features",
    "LatentNetwork": "latent",
    "NetworkDenoiser": "network",
    "clamped_features": "reference",
    "extractor_of": "reference",
}


def __getattr__(name: str) -> Any:
    """Import what builds networks when it is asked for: listings read cards alone."""
    if name == "datasets":
        return import_module(f"{__name__}.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
