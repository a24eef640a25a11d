"""Mathematics behind the metrics: moments, Fréchet distances, nearest neighbours, noise, errors."""
