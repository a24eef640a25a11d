"""Mathematics of the metrics: moments, Fréchet distances and intervals."""
