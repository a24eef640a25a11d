"""The mathematics that several metrics share: moments, Fréchet and kernel distances, and their
errors.
"""
