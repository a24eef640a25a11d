"""Exact models, whose denoiser, density, samples and ODE endpoints are known."""

from typing import TYPE_CHECKING

from ...lazy import lazy
from .base import ExactModel

if TYPE_CHECKING:
    from .cloud import KernelDensity, PointCloud
    from .gaussian import Gaussian
    from .mixture import MPPCA, GaussianMixture

__all__ = ["MPPCA", "ExactModel", "Gaussian", "GaussianMixture", "KernelDensity", "PointCloud"]

_HOMES = {
    "cloud": "KernelDensity PointCloud",
    "gaussian": "Gaussian",
    "mixture": "MPPCA GaussianMixture",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
