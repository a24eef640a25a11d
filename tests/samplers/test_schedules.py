"""Schedules against independent computations, and the limits and identities that connect them."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from looping import each
from scipy.special import betainc

from samplerbench.models.process import RectifiedFlow, VPLinear
from samplerbench.samplers import schedules as s
from samplerbench.samplers.schedules.discrete import table_levels
from samplerbench.samplers.schedules.optimised import (
    LISTS,
    cheapest_path,
    euler_costs,
    minimax_path,
    published_levels,
)

steps = st.integers(2, 40)
lows = st.floats(1e-3, 0.4)
highs = st.floats(1.0, 120.0)
VP = VPLinear()


@given(n=steps, low=lows, high=highs, rho=st.floats(0.3, 5.0))
def test_polyexponential_is_uniform_in_the_root_of_the_distance_in_lambda(n, low, high, rho):
    sigma = s.polyexponential(n, low, high, rho=rho, to_zero=False).sigma
    place = [(math.log(x / low) / math.log(high / low)) ** (1 / rho) for x in sigma[:-1]]
    assert place == pytest.approx([1 - i / n for i in range(n)], rel=1e-6)


@given(n=steps, low=lows, high=highs, to_zero=st.booleans())
def test_three_names_of_uniform_lambda(n, low, high, to_zero):
    limit = s.uniform_lambda(n, low, high, to_zero=to_zero).sigma
    assert s.polyexponential(n, low, high, to_zero=to_zero).sigma == pytest.approx(limit, rel=1e-12)
    assert s.edm_ve(n, low, high, to_zero=to_zero).sigma == pytest.approx(limit, rel=1e-12)


@given(n=steps, low=lows, high=highs)
def test_edm_vp_is_uniform_in_the_time_of_the_linear_process(n, low, high):
    ours, theirs = s.uniform_time(n, low, high, process=VP).sigma, s.edm_vp(n, low, high).sigma
    assert ours == pytest.approx(theirs, rel=1e-9)


@given(n=steps, low=lows, high=highs)
def test_quadratic_time_is_uniform_in_the_root_of_time(n, low, high):
    grid = s.quadratic_time(n, low, high, process=VP, to_zero=False)
    assert grid == s.uniform_time(n, low, high, process=VP, power=2.0, to_zero=False)
    gaps = np.diff([math.sqrt(VP.t_of(x)) for x in grid.sigma])
    assert gaps == pytest.approx(gaps.mean(), rel=1e-8)


@given(n=steps, low=lows, high=highs)
def test_a_flat_beta_distribution_is_uniform_in_time(n, low, high):
    flat = s.beta(n, low, high, process=VP, alpha=1.0, beta=1.0).sigma
    assert flat == pytest.approx(s.uniform_time(n, low, high, process=VP).sigma, rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (0.5, 0.5), (2.0, 0.7)])
def test_times_are_quantiles_of_the_beta_distribution(alpha, beta):
    low, high, n = 0.01, 100.0, 12
    first, last = VP.t_of(high), VP.t_of(low)
    sigma = s.beta(n, low, high, process=VP, alpha=alpha, beta=beta, to_zero=False).sigma
    share = [(VP.t_of(x) - last) / (first - last) for x in sigma]
    assert betainc(alpha, beta, share) == pytest.approx([1 - i / n for i in range(n + 1)], abs=1e-9)


@given(n=steps, low=lows, high=highs, shift=st.floats(0.3, 8.0))
def test_flow_shift_is_the_formula_of_the_paper(n, low, high, shift):
    def shifted(t):
        return shift * t / (1 + (shift - 1) * t)

    flow = RectifiedFlow()
    before = np.linspace(flow.t_of(high / shift), flow.t_of(low / shift), n + 1)
    sigma = s.flow_shift(n, low, high, shift=shift, to_zero=False).sigma
    assert [flow.t_of(x) for x in sigma] == pytest.approx([shifted(t) for t in before], rel=1e-9)
    unshifted = s.flow_shift(n, low, high, shift=1.0).sigma
    assert unshifted == pytest.approx(s.uniform_time(n, low, high, process=flow).sigma, rel=1e-9)


def test_sohl_dickstein_1503__is_the_product_of_its_rates():
    total = 50
    kept = np.cumprod([1 - 1 / (total - t + 1) for t in range(1, total)])  # t = T keeps nothing
    chain = np.sqrt((1 - kept) / kept)[::-1]
    sigma = s.sohl_dickstein_1503(len(chain) - 1, chain[-1], chain[0], to_zero=False).sigma
    assert sigma == pytest.approx(chain, rel=1e-12)


@pytest.mark.parametrize(
    ("table", "first", "last"), [("linear", 1e-4, 0.02), ("scaled_linear", 0.00085, 0.012)]
)
def test_table_levels__the_rates_are_those_of_the_papers(table, first, last):
    root = 1 if table == "linear" else 0.5
    beta = np.linspace(first**root, last**root, 1000) ** (1 / root)
    expected = np.sqrt(1 / np.cumprod(1 - beta) - 1)
    assert table_levels(table) == pytest.approx(expected, rel=1e-9)


def edm_recursion(low, high):
    """u_j of EDM's Table 1, column iDDPM, as written there, falling, inside [low, high]."""

    def abar(j):
        return math.sin(math.pi / 2 * j / (1000 * (0.008 + 1))) ** 2

    u = [0.0]
    for j in range(1000, 0, -1):
        u.append(math.sqrt((u[-1] ** 2 + 1) / max(abar(j - 1) / abar(j), 0.001) - 1))
    return [x for x in reversed(u) if low <= x <= high]


def test_the_cosine_table_is_the_recursion_of_edm():
    assert table_levels("cosine")[::-1] == pytest.approx(edm_recursion(1e-9, math.inf), rel=1e-6)


@pytest.mark.parametrize("n", [5, 9, 18, 40])
def test_edm_iddpm_is_the_recursion_of_the_paper(n):
    u = edm_recursion(0.002, 80.0)
    expected = [u[round((len(u) - 1) / (n - 1) * i)] for i in range(n)]
    sigma = s.edm_iddpm(n, 0.002, 80.0).sigma
    assert len(sigma) == n + 1
    assert sigma[1:-2] == pytest.approx(expected[1:-1], rel=1e-6)
    assert sigma == s.discrete_linspace(n, 0.002, 80.0, table="cosine").sigma


RANGE = table_levels("linear")[0], table_levels("linear")[-1]


@pytest.mark.parametrize(
    ("make", "times"),
    [
        (s.discrete_leading, [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]),
        (s.discrete_trailing, [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]),
        (s.discrete_linspace, [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]),
    ],
)
@pytest.mark.parametrize("interpolate", [False, True])
def test_trained_steps_are_those_of_the_paper(make, times, interpolate):
    sigma = make(10, *RANGE, interpolate=interpolate).sigma
    assert sigma[0] == RANGE[1]  # where latents are drawn, for leading too
    assert sigma[1:-1] == pytest.approx([table_levels("linear")[t] for t in times[1:]], rel=1e-12)


@pytest.mark.parametrize("make", [s.discrete_leading, s.discrete_trailing, s.discrete_linspace])
@pytest.mark.parametrize("shift", [-9e-5, -1e-7, -1e-14, 1e-14, 1e-7, 9e-5])
def test_trained_steps__are_those_of_a_model_whose_table_is_rounded(make, shift):
    levels = table_levels("scaled_linear")
    narrow = make(10, levels[0] * (1 + shift), levels[-1] * (1 - shift), table="scaled_linear")
    assert narrow.sigma[1:-2] == make(10, levels[0], levels[-1], table="scaled_linear").sigma[1:-2]


@pytest.mark.parametrize("n", [16, 32, 80])
def test_discrete_trailing__rounds_halves_as_the_paper_whose_first_row_is_1(n):
    rows = np.arange(1000, 0, -1000 / n).round().astype(int) - 1
    expected = [table_levels("linear")[row] for row in rows]
    assert s.discrete_trailing(n, *RANGE).sigma[:-1] == tuple(expected)


@pytest.mark.parametrize("make", [s.discrete_leading, s.discrete_trailing, s.discrete_linspace])
def test_rounding_moves_a_level_by_at_most_half_a_row_and_interpolation_by_none(make):
    log = np.log(table_levels("linear"))
    times = [
        np.interp(
            np.log(make(7, *RANGE, interpolate=x, to_zero=False).sigma[1:-1]), log, np.arange(1000)
        )
        for x in (False, True)
    ]
    assert np.abs(times[0] - times[0].round()).max() < 1e-6
    if make is not s.discrete_leading:  # leading rounds the stride, not the times
        assert 0.01 < np.abs(times[0] - times[1]).max() <= 0.5


@pytest.mark.parametrize("make", [s.discrete_leading, s.discrete_trailing, s.discrete_linspace])
def test_more_steps_than_rows_is_a_sentence(make):
    with pytest.raises(
        ValueError,
        match=r"^400 steps are too many for a beta table with "
        r"3\d\d levels between 0.5 and 3; take fewer",
    ):
        make(400, 0.5, 3.0)
    assert make(400, 0.5, 3.0, interpolate=True).sigma[399:] == (0.5, 0.0)


def test_discrete_leading__interpolated_levels_that_rise_are_a_sentence():
    with pytest.raises(ValueError, match=r"^2500 steps are too many for a beta table"):
        s.discrete_leading(2500, 0.02, 80.0, interpolate=True)


def test_a_range_beside_the_table_is_a_sentence():
    with pytest.raises(ValueError, match="has no two levels between 200 and 300"):
        s.discrete_linspace(3, 200.0, 300.0)
    with pytest.raises(
        ValueError, match="unknown beta table 'sd'; choose one of linear, scaled_linear, cosine"
    ):
        s.discrete_linspace(3, 0.1, 1.0, table="sd")


@pytest.mark.parametrize("model", LISTS)
def test_a_published_list_is_met_at_its_own_range_and_length(model):
    known = published_levels(model)
    assert s.align_your_steps(
        len(known) - 1, known[-1], known[0], model=model, to_zero=False
    ).sigma == pytest.approx(known, rel=1e-12)


@each("model", LISTS)
@each("n", [3, 7, 25])
def test_schedule__a_list_is_interpolated_in_the_logarithm_and_stretched(model, n):
    known = published_levels(model)
    places = np.linspace(0, 1, len(known))
    expected = np.exp(np.interp(np.linspace(0, 1, n + 1), places, np.log(known)))
    assert s.align_your_steps(
        n, known[-1], known[0], model=model, to_zero=False
    ).sigma == pytest.approx(expected, rel=1e-12)
    share = np.log(expected / known[-1]) / np.log(known[0] / known[-1])
    stretched = s.align_your_steps(n, 0.01, 50.0, model=model, to_zero=False).sigma
    assert np.log(np.array(stretched) / 0.01) / np.log(50 / 0.01) == pytest.approx(
        share, rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize(
    ("model", "printed"),
    [("sd15", (14.615, 6.475, 0.152, 0.029)), ("sdxl", (14.615, 6.315, 0.113, 0.029))],
)
def test_trained_steps_give_the_levels_that_the_guide_prints(model, printed):
    known = published_levels(model)
    assert (known[0], known[1], known[-2], known[-1]) == pytest.approx(printed, rel=0.02)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: s.polyexponential(3, 0.1, 1.0, rho=0.0), "rho must be positive"),
        (lambda: s.polyexponential(3, 0.0, 1.0), "need 0 < sigma_min"),
        (lambda: s.align_your_steps(3, 0.0, 1.0), "need 0 < sigma_min"),
        (lambda: s.karras(3, 0.1, 1.0, rho=math.nan), "rho must be positive"),
        (lambda: s.beta(3, 0.1, 1.0, process=VP, alpha=-1.0), "alpha and beta must be positive"),
        (lambda: s.flow_shift(3, 0.1, 1.0, shift=0.0), "shift must be positive"),
        (lambda: s.edm_vp(3, 0.1, 1.0, beta_d=0.0), "beta_d and beta_min must be positive"),
        (lambda: s.align_your_steps(3, 0.1, 1.0, model="sd"), "choose one of sd15, sdxl, svd"),
    ],
)
def test_wrong_options_are_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


def test_a_name_is_registered_once():
    def karras():
        pass

    with pytest.raises(ValueError, match="two schedules are called 'karras'"):
        s.schedule(s.SCHEDULES["karras"].source)(karras)


@settings(max_examples=30)
@given(n=steps, low=lows, high=highs)
def test_beta_gathers_steps_at_both_ends(n, low, high):
    t = np.array([VP.t_of(x) for x in s.beta(n + 2, low, high, process=VP, to_zero=False).sigma])
    gaps = -np.diff(t)
    assert gaps[0] < gaps.mean()
    assert gaps[-1] < gaps.mean()


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


def test_schedules__a_range_or_path_that_cannot_be_is_one_sentence():
    for schedule, low, high in (
        (s.uniform_lambda, 0.002, 0.0),
        (s.edm_ve, 0.002, 0.0),
        (s.flow_shift, -3.0, 80.0),
    ):
        with pytest.raises(ValueError, match="need 0 < sigma_min"):
            schedule(5, low, high)
    with pytest.raises(ValueError, match="1 to 0 steps"):
        minimax_path(np.zeros((1, 1)), 1)
