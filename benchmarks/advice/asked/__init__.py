"""Question of ``advise``: the model, the present sampler, and the configurations to compare."""
