"""One Brownian path per sample: the law of the path, and that nothing but seed, sample and
level decides it.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from samplerbench.samplers import Grid, SampleNoise, karras, make, uniform_lambda
from samplerbench.samplers.brownian import DEPTH, BrownianNoise, BrownianTree

TOP, FLOOR = 80.0, 0.002
WIDE = torch.arange(1500)


def noise(ids=WIDE, event=(4,), seed=5):
    return BrownianNoise(seed, ids, event, TOP, FLOOR, torch.float64)


def levels(count, seed):
    """Falling levels at random places in the range, ends included."""
    u = np.sort(np.random.default_rng(seed).random(count))
    return [TOP, *(TOP * (FLOOR / TOP) ** v for v in u), FLOOR]


def test_covariances_are_those_of_brownian_motion_in_the_clock():
    at = levels(8, 0)
    w = (
        torch.stack([noise().tree.value(s).flatten() for s in at])
        * torch.tensor(at, dtype=torch.float64)[:, None]
    )
    found = w @ w.T / w.shape[1]
    tau = np.array(at) ** -2.0
    expected = np.minimum.outer(tau, tau) / np.sqrt(np.outer(tau, tau))
    assert float((found - torch.from_numpy(expected)).abs().max()) < 5 * math.sqrt(2 / w.shape[1])


def test_increments_of_a_grid_are_independent_standard_normals():
    z = torch.stack(
        [
            noise().at(i, cur, nxt)().flatten()
            for i, (cur, nxt) in enumerate(karras(9, FLOOR, TOP, to_zero=False).intervals())
        ]
    )
    z = torch.cat([z, noise().initial().flatten()[None]])
    correlation = z @ z.T / z.shape[1]
    assert float(
        (correlation - torch.eye(len(z), dtype=torch.float64)).abs().max()
    ) < 5 * math.sqrt(2 / z.shape[1])
    assert kstest(z.numpy().ravel(), "norm").pvalue > 1e-3


def test_a_leaf_holds_a_bridge():
    """Inside a leaf of the tree: the variance given both nodes is that of a Brownian bridge."""
    tree = noise().tree
    step = (FLOOR / TOP) ** (2.0**-DEPTH)
    a, p, b = (TOP * 0.5 * step**k for k in (0, 0.3, 1))
    # from a node on
    a, p, b = (s * (TOP * step ** round(math.log(0.5, step)) / (0.5 * TOP)) for s in (a, p, b))
    inside, length = p**-2 - a**-2, b**-2 - a**-2
    rest = tree.value(p) - torch.lerp(tree.value(a), tree.value(b), inside / length)
    assert float(rest.square().mean()) == pytest.approx(inside * (1 - inside / length), rel=0.1)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.floats(0, 1), min_size=3, max_size=4, unique_by=lambda u: round(u, 4)))
def test_increments_add_up_whatever_the_grid(places):
    source = noise(torch.arange(3), (2,))
    at = [TOP * (FLOOR / TOP) ** u for u in sorted(places)]
    parts = sum(
        source.increment(cur, nxt) * math.sqrt(nxt**-2 - cur**-2) for cur, nxt in pairwise(at)
    )
    whole = source.increment(at[0], at[-1]) * math.sqrt(at[-1] ** -2 - at[0] ** -2)
    assert float((parts - whole).abs().max()) < 1e-12 / at[-1]


def test_the_path_begins_at_the_latent():
    white = SampleNoise(5, WIDE, (4,), torch.float64).initial()
    assert torch.equal(noise().initial(), white)
    assert torch.equal(noise().tree.value(TOP), white / TOP)


def test_neither_batch_nor_order_of_questions_changes_a_bit():
    at = levels(7, 1)
    first = noise(torch.arange(32), (5,))
    every = [first.tree.value(s) for s in at]
    rows = torch.tensor([30, 2, 17, 2])
    for source in (noise(torch.arange(32), (5,)).take(rows), noise(rows, (5,))):
        for i in (6, 0, 8, 3, 3, 1, 7, 2):
            assert torch.equal(source.tree.value(at[i]), every[i][rows])
    assert not torch.equal(
        noise(rows, (5,), seed=6).tree.value(1.0), first.take(rows).tree.value(1.0)
    )


@pytest.mark.parametrize(
    ("k", "coarse", "fine"), [(0, 0, 5), (3, 2, 6), (7, 3, 3), (1, 1, DEPTH - 8)]
)
def test_a_block_is_the_path_at_its_levels(k, coarse, fine):
    tree = BrownianTree(0, torch.arange(3), (2, 2), 3.0, 0.15)
    at, block = tree.levels(k, coarse, fine), tree.block(k, coarse, fine)
    assert len(at) == len(block) == 2 ** (fine - coarse) + 1
    assert at[0] == pytest.approx(3.0 * 0.05 ** (k / 2**coarse))
    for i in range(0, len(at), max(1, len(at) // 9)):
        assert torch.equal(block[i], tree.value(at[i]))


def test_other_draws_and_intervals_without_a_path_are_white():
    source, white = (
        noise(torch.arange(4)),
        SampleNoise(5, torch.arange(4), (4,), torch.float64).at(2, 1.0, 0.5),
    )
    step = source.at(2, 1.0, 0.5)
    assert torch.equal(step(1), white(1))
    assert torch.equal(step(0, cur=0.5, nxt=1.0), white(0))
    assert torch.equal(source.at(2, FLOOR, 0.0)(), white(0))
    assert torch.equal(source.at(2, 2 * TOP, 1.0)(), white(0))
    assert torch.equal(source.at(2, 1.0, FLOOR / 2)(), white(0))
    assert torch.equal(step(), source.increment(1.0, 0.5))
    assert torch.equal(step(3, cur=0.9, nxt=0.6), source.increment(0.9, 0.6))


def test_an_interval_inside_a_leaf_has_the_variance_of_one_too():
    for cur, nxt in ((1.0, 0.9996), (1.0, 0.99999), (TOP, TOP * (1 - 1e-5))):
        assert float(noise().at(0, cur, nxt)().std()) == pytest.approx(1, abs=0.05)


def test_dtype_is_that_of_the_state():
    single = BrownianNoise(5, torch.arange(4), (2,), TOP, FLOOR)
    assert single.at(0, 80.0, 1.0)().dtype == single.initial().dtype == torch.float32
    assert single.tree.value(1.0).dtype == torch.float64


def test_a_range_that_is_none_is_one_sentence():
    with pytest.raises(
        ValueError, match=r"a Brownian path needs 0 < sigma_floor < " r"sigma_max, got 1.0 and 0.5"
    ):
        BrownianTree(0, torch.arange(2), (1,), 0.5, 1.0)


@pytest.mark.parametrize(
    "grid",
    [
        Grid((TOP, FLOOR)),
        karras(7, FLOOR, TOP, to_zero=False),
        uniform_lambda(40, FLOOR, TOP, to_zero=False),
    ],
)
def test_ddpm_follows_the_path_exactly_where_the_denoiser_is_constant(grid):
    """With d constant, y(tau) = y_0 + d (tau - tau_0) + W(tau) - W(tau_0): one end on any grid."""
    source, d = noise(torch.arange(6), (3,)), 0.7
    end = make("ddpm").sample(
        lambda x, sigma: torch.full_like(x, d), TOP * source.initial(), grid, source
    )
    exact = FLOOR**2 * (d * (FLOOR**-2 - TOP**-2) + source.tree.value(FLOOR))
    assert float((end - exact).abs().max()) < 1e-12
