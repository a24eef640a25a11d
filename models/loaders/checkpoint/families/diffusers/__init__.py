"""Folders of Hugging Face's diffusers: a network and the scheduler that it was trained with.

Read are pipelines of one network: those that need no text (DDPM, latent diffusion, DiT), those that
take embeddings of prompts (:mod:`.calls`), and any other by running it (:mod:`.capture`); also early
ones with all files in one folder, and a network alone beside its scheduler's file. What a folder is can
be told without the library; its network is the library's own.
"""

from .library import network
from .preset import own_sampling
from .recognition import recognise
from .steps import native_levels

__all__ = ["native_levels", "network", "own_sampling", "recognise"]
