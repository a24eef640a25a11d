"""The pictures of a report: samples from the same latents, and trajectories."""
