"""Diffusion of binary data: its forward process, exact reverse conditionals, a trained reverse
model and its sampler.
"""
