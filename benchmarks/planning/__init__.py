"""From a suite to cells: what a budget buys, and schedules by formula, searched on a model, or
tuned for a sampler.
"""
