"""Whether a model's output is E[x0 | x], and which of several possible maps is."""

from .checking import Checked, check_checkpoint, check_denoiser
from .images import read_images, read_latents
from .samples import check_range

__all__ = [
    "Checked",
    "check_checkpoint",
    "check_denoiser",
    "check_range",
    "read_images",
    "read_latents",
]
