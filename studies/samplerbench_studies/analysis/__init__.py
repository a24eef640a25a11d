"""Quantities of a model and its data: mutual information, posterior weights, path divergences."""
