"""Folders of Hugging Face's diffusers: network, scheduler and decoder in this project's terms.

The library makes the network and the decoder. Recognising a folder does not need the library.
"""
