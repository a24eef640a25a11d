"""Grids and coefficients that are tuned for a sampler on a model: its samples end where the
probability flow ends (docs/tuning.md).

They are tuned for each sampler and number of steps by themselves, on latents that no run scores and by the
distance to converged endpoints alone: no feature extractor takes part.
"""
