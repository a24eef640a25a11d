"""Whether a checkpoint's mapping to E[x0 | x] is right, and which of several possible ones is."""

from .checking import Checked, check_checkpoint
from .images import read_images, read_latents

__all__ = ["Checked", "check_checkpoint", "read_images", "read_latents"]
