"""Mathematics of the metrics: moments, Fréchet distances, nearest neighbours and intervals."""
