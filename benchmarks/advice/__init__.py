"""Which sampler, and how many steps, for a model: a race of configurations on its own latents."""
