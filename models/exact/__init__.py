"""Exact models: denoiser, density, samples and endpoints of the probability-flow ODE are known."""
