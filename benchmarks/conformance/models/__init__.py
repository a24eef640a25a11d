"""Checks that a model is E[x0 | x] or a few-step map, and a search for its wrong settings."""

from .checking import ModelCheck, check_checkpoint, check_denoiser
from .clean_samples import check_range, read_images, read_latents

__all__ = [
    "ModelCheck",
    "check_checkpoint",
    "check_denoiser",
    "check_range",
    "read_images",
    "read_latents",
]
