"""Network architectures, and networks with random weights for timing."""
