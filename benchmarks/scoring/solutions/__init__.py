"""Reference solutions: ends of the probability flow, or of paths of the reverse SDE."""
