"""Folders of Hugging Face's diffusers: network, scheduler and decoder in this project's terms.

Pipelines of a single network are read. The network is called directly in pipelines without text (DDPM, latent
diffusion, DiT), and in known ones with embeddings of prompts. Any other pipeline is run for each call (:mod:`.calls`).
Early pipelines with all files in one folder, and networks with a scheduler's file, are read too. A folder is recognised
without the library, which makes the network and the decoder.
"""
