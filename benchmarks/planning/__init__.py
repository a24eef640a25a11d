"""Plan of cells for a suite: steps within a budget; schedules by formula, searched on a model, or
tuned for a sampler.
"""
