"""Folders of Hugging Face's diffusers: a network and the scheduler that it was trained with.

Pipelines of one network are read: without text (DDPM, latent diffusion, DiT), with embeddings of
prompts (:mod:`.calls`), and any other by running it (:mod:`.capture`); also early ones with all files in
one folder, and a network with its scheduler's file. Recognition needs no library; the network is its own.
"""

from .library import network
from .preset import own_sampling
from .recognition import recognise
from .steps import native_levels

__all__ = ["native_levels", "network", "own_sampling", "recognise"]
