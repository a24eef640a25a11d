"""Folders of Hugging Face's diffusers: network, scheduler and decoder in this project's terms.

Pipelines of a single network are read. A network without text (DDPM, latent diffusion, DiT) is called
directly. So is a network with embeddings of prompts, if its calling convention is known. Any other pipeline runs at
each call of its network (:mod:`.calls`). Early pipelines with all files in one folder, and networks with a scheduler's
file, are read too. The library makes the network and the decoder; recognising a folder does not need the library.
"""
