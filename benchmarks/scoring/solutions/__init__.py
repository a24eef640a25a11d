"""Reference solutions: where the probability flow, or the path of the reverse SDE, ends."""
