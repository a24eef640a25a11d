"""The curvature of a model's probability-flow trajectories, for runs that ask for it."""
