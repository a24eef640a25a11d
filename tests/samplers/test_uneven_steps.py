"""Orders on steps that stay unequal, however many there are."""

import math

import numpy as np
import pytest
from looping import each

from samplerbench.benchmarks.conformance.order import rms, slope
from samplerbench.benchmarks.conformance.problems import INTERIOR, problems
from samplerbench.samplers import Grid, make

STEPS = (64, 128, 256, 512)


def random_steps(n, seed):
    """Steps in lam of random lengths, so that neighbours are in ratios between 1/2 and 2."""
    low, high = INTERIOR
    done = np.cumsum(np.random.default_rng(seed).uniform(1, 2, n))
    return Grid((high, *(high * (low / high) ** u for u in done[:-1] / done[-1]), low))


def error(sampler, problem, n):
    """Over eight such grids."""
    ends = [sampler.sample(problem, problem.start, random_steps(n, seed)) for seed in range(8)]
    return math.hypot(*(rms(end, problem.truth(INTERIOR[0])) for end in ends))


@each(
    ("name", "order"),
    [("ipndm_2", 1), ("ipndm_3", 1), ("ipndm", 1), ("zab_2", 2), ("dpmpp_2m", 2)],
)
@each("problem", problems(), ids=lambda problem: problem.name)
def test_multistep__weights_of_equal_steps_are_of_first_order_on_random_ones(name, order, problem):
    sampler = make(name)
    assert sampler.order == 2
    assert slope(STEPS, [error(sampler, problem, n) for n in STEPS]) == pytest.approx(
        order, abs=0.25
    )
