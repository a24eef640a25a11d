"""Training of networks, fits of exact models, and what writes cards: all that made the shipped
models.
"""
