"""Models that only studies use: restorers of degraded images, one-shot generators, binomial diffusion."""
