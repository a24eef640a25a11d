"""Folders of Hugging Face's diffusers: network, scheduler and decoder, in the library's terms and in ours.

Pipelines of one network are read: without text (DDPM, latent diffusion, DiT), with embeddings of
prompts, and any other by running it (:mod:`.calls`); also early ones with all files in one folder, and a
network with its scheduler's file. Recognition needs no library; the network is its own.
"""
