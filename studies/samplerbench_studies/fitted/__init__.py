"""Solvers fitted to a model, compared on equal terms."""
