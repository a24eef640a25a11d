"""Base classes of samplers, which ``methods/`` completes, and samplers that wrap another.

A family here is a class of methods with the same kind of step, one a file.
"""
