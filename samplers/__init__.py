"""Samplers for diffusion models: the mathematics, and nothing else."""
