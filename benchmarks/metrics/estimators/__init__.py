"""Mathematics that several metrics share: moments, Fréchet and kernel distances, errors."""
