"""Exact models, whose denoiser, density, samples and ODE endpoints are known."""

from .base import ExactModel
from .cloud import KernelDensity, PointCloud
from .gaussian import Gaussian
from .mixture import MPPCA, GaussianMixture

__all__ = ["MPPCA", "ExactModel", "Gaussian", "GaussianMixture", "KernelDensity", "PointCloud"]
