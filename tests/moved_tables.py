"""Samplers with coefficients of their own, as a fit to a model leaves them."""

import numpy as np

from samplerbench.benchmarks.advice.candidates import resolve_levels
from samplerbench.benchmarks.tuning.free_parameters import FreeParameters
from samplerbench.samplers import make

MOVED = ("auto", "dpmpp_2m", "ipndm", "dpmpp_2m(analytic_first=True)")


def moved(spec, grid):
    """A sampler with other coefficients than its own, and the levels that they are for."""
    sampler, levels = resolve_levels(make(spec), grid)
    free = FreeParameters(sampler, levels, 0.5 * levels.sigma[-2], levels.sigma[0], "coefficients")
    return free.sampler_at(0.1 * np.random.default_rng(len(grid)).normal(size=free.size)), levels
