"""Quantities of a model and its data: MMSE curves, mutual information, posterior covariances,
path divergences.
"""
