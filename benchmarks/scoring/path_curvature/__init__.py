"""Curvature of a model's probability-flow trajectories, for runs that request it."""
