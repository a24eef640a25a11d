"""Folders of Hugging Face's diffusers: network, scheduler and decoder, translated to this project's terms.

Pipelines of a single network are read. Those without text (DDPM, latent diffusion, DiT) and known ones with embeddings
of prompts are called directly. Any other pipeline is run for each call (:mod:`.calls`). Early pipelines with all files
in one folder, and networks with a scheduler's file, are read too. A folder is recognised without the library, which
only makes the network.
"""
