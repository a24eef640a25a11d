"""Diffusion of binary data: forward process, exact reverse conditionals, trained model, sampler."""
