"""Dynamic programming against brute force, and the costs that it works on."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.samplers.schedules.optimised import cheapest_path, euler_costs


def price(cost, path, weight):
    return sum(weight**k * cost[i, j] for k, (i, j) in enumerate(pairwise(path)))


@given(st.integers(2, 8), st.data(), st.sampled_from([0.5, 1.0, 1.15]))
def test_the_path_is_the_cheapest_of_all(size, data, weight):
    cost = np.random.default_rng(data.draw(st.integers(0, 99))).uniform(0, 1, (size, size))
    for count in range(1, size):
        path = cheapest_path(cost, count, weight)
        every = [(0, *inner, size - 1) for inner in combinations(range(1, size - 1), count - 1)]
        assert tuple(path) in every
        assert price(cost, path, weight) == pytest.approx(
            min(price(cost, other, weight) for other in every)
        )


def test_of_equal_paths_the_one_with_the_earlier_nodes():
    assert cheapest_path(np.ones((6, 6)), 3) == [0, 1, 2, 5]


@pytest.mark.parametrize("count", [0, 4, -1])
def test_a_path_that_cannot_be_is_a_sentence(count):
    with pytest.raises(ValueError, match=rf"a path over 4 nodes has 1 to 3 steps, not {count}"):
        cheapest_path(np.ones((4, 4)), count)


def test_a_straight_trajectory_costs_nothing():
    levels = (4.0, 2.0, 1.0, 0.5)
    start, slope = (
        torch.randn(5, 2, 3, dtype=torch.float64),
        torch.randn(5, 2, 3, dtype=torch.float64),
    )
    states = [start + level * slope for level in levels]
    cost = euler_costs(states, [slope] * 3, levels)
    above = np.triu_indices(4, k=1)
    assert cost[above] == pytest.approx(0, abs=1e-12)
    assert not cost[np.tril_indices(4)].any()


def test_a_cost_is_the_mean_distance():
    levels = (3.0, 1.0)
    states = [torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])]
    # the second is met exactly: 0 - 2 · -0.5 = 1
    slopes = [torch.tensor([[0.0, 0.0], [0.0, -0.5]])]
    assert euler_costs(states, slopes, levels)[0, 1] == pytest.approx(2.5)
