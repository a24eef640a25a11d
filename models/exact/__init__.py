"""Models whose denoiser, density, samples and probability-flow endpoints are known exactly."""
