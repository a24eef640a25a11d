"""Base classes of samplers, which ``methods/`` completes, and samplers that wrap another sampler.

A family is a group of methods with the same kind of step; there is one family a file.
"""
