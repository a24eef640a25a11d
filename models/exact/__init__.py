"""Exact models: denoiser, density, samples and endpoints of the probability-flow ODE are known."""

from .base import ExactModel
from .cloud import PointCloud
from .gaussian import Gaussian
from .kde import KernelDensity
from .mixture import GaussianMixture
from .mppca import MPPCA

__all__ = ["MPPCA", "ExactModel", "Gaussian", "GaussianMixture", "KernelDensity", "PointCloud"]
