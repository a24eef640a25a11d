"""Comparison of rankings of samplers: this suite's columns on small models, and published FIDs.

The published FIDs are of the same methods on other networks.
"""
