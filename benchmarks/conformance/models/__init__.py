"""Checks that a model's output is E[x0 | x], or the end of a few-step map, and which settings fit best."""

from .checking import Checked, check_checkpoint, check_denoiser
from .samples import check_range, read_images, read_latents

__all__ = [
    "Checked",
    "check_checkpoint",
    "check_denoiser",
    "check_range",
    "read_images",
    "read_latents",
]
