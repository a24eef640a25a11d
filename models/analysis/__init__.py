"""Quantities of a model and its data: MMSE curves, mutual information, posterior covariances,
path divergences.
"""

from .estimate import Estimate, estimate_mean
from .mmse import denoising_loss, exact_mmse, normal_like
from .mmse_curve import MMSECurve, gammas

__all__ = [
    "Estimate",
    "MMSECurve",
    "denoising_loss",
    "estimate_mean",
    "exact_mmse",
    "gammas",
    "normal_like",
]
