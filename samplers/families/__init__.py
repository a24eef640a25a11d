"""Base classes of methods: what a family of samplers shares, one family a file.

A method in ``methods/`` says the rest.
"""
