"""Code and data that are made in a checkout, not shipped: training networks, fitting exact
models, writing cards.
"""
