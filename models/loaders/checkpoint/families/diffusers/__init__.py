"""Folders of Hugging Face's diffusers: a network and the scheduler that it was trained with.

Read are pipelines of one network that needs no text (DDPM, latent diffusion, DiT), also early ones
with all files in one folder, and such a network alone beside its scheduler's file. What a folder is
can be told without the library; its network is the library's own.
"""

from .library import network
from .recognition import recognise

__all__ = ["network", "recognise"]
