"""Network architectures, and the shipped score networks as denoisers."""
