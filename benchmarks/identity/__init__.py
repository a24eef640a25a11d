"""Fingerprints of samplers, models and feature extractors, which detect changed code."""
