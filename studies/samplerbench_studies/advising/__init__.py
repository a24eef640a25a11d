"""Comparison of each recommendation of ``advise`` with an exhaustive sweep over the same
configurations, on latents that ``advise`` never used.
"""
