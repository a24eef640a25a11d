"""Readers of diffusers folders: they make a denoiser of network, scheduler and decoder.

The library makes the network and the decoder. Recognising a folder does not need the library.
"""
