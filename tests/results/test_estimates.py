from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplerbench.results.comparison.endpoint_distances import typical_error
from samplerbench.results.comparison.estimates import Estimate, difference, estimate_of
from samplerbench.results.comparison.significance import Evidence
from samplerbench.results.quantities import judged

BY_NAME = {quantity.name: quantity for quantity in judged()}


def of(values, reference=None):
    values = np.asarray(values, float)
    return Estimate(
        float(values.mean()),
        float(values.std(ddof=1)) / len(values) ** 0.5,
        values - values.mean(),
        reference,
    )


@given(st.integers(2, 40), st.integers(0, 2**31))
def test_equal_samples_pair_as_the_mean_of_differences(n, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, n))
    gap = difference(of(a), of(b), same_latents=True)
    assert gap.value == pytest.approx((b - a).mean(), abs=1e-12)
    assert gap.se == pytest.approx((b - a).std(ddof=1) / n**0.5, rel=1e-9, abs=1e-12)
    assert gap.paired == n


def test_other_latents_add_their_variances():
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    gap = difference(of(a), of(b), same_latents=False)
    assert gap.se == pytest.approx(np.hypot(of(a).se, of(b).se))
    assert gap.paired == 0


def test_difference__of_coinciding_samples_allows_for_those_that_were_not_drawn():
    a = of(np.random.default_rng(0).normal(size=50))
    gap = difference(a, a, same_latents=True)
    assert (gap.value, gap.se) == (0.0, pytest.approx(2.5 * np.ptp(a.influence) / 50))


def test_runs_of_different_lengths_have_the_error_that_repetition_measures():
    """400 repetitions of 300 and 120 correlated samples, the first 120 shared."""
    rng = np.random.default_rng(1)
    gaps = []
    for _ in range(400):
        shared = rng.normal(size=300)
        a, b = shared + 0.3 * rng.normal(size=300), (shared + 0.3 * rng.normal(size=300))[:120]
        gaps.append(difference(of(a), of(b), same_latents=True))
    true = np.std([gap.value for gap in gaps])
    assert np.mean([gap.se for gap in gaps]) == pytest.approx(true, rel=0.12)
    assert {gap.paired for gap in gaps} == {120}


def test_difference__surplus_samples_of_one_side_do_not_undo_the_pairing():
    """16,384 and 1,024 samples that agree to 5 %: the shared ones decide, as if nobody had more."""
    rng = np.random.default_rng(2)
    gaps, shared_alone = [], []
    for _ in range(60):
        latents = rng.normal(size=16384)
        b = (1.01 * latents + 0.05 * rng.normal(size=16384))[:1024]
        gaps.append(difference(of(latents), of(b), same_latents=True))
        shared_alone.append(difference(of(latents[:1024]), of(b), same_latents=True))
    assert [gap.value for gap in gaps] == pytest.approx([gap.value for gap in shared_alone])
    assert gaps[0].se == pytest.approx(shared_alone[0].se)
    assert np.mean([gap.se for gap in gaps]) == pytest.approx(
        np.std([gap.value for gap in gaps]), rel=0.25
    )


def test_difference__of_shares_is_that_of_the_shared_samples():
    a = Estimate(0.5, 0.1, np.array([1.0, 0, 1, 0, 0, 0, 1, 1]), summary="share")
    b = Estimate(0.5, 0.2, np.array([1.0, 1, 0, 0]), summary="share")
    gap = difference(a, b, same_latents=True)
    assert (gap.value, gap.changed, gap.paired) == (0.0, (1, 1), 4)


def test_difference__of_root_mean_squares_is_that_of_squares():
    """r_b - r_a = (q_b - q_a) / (r_a + r_b), with two and a half imaginary flips."""
    e = np.abs(np.random.default_rng(0).normal(size=(2, 200))) + 0.5
    values = np.sqrt(np.mean(e**2, axis=1))
    a, b = (
        estimate_of(
            {"rmse": value, "rmse_se": 0.1, "endpoint_distance": 2.0},
            {"distance": distances},
            BY_NAME["rmse"],
        )
        for value, distances in zip(values, e, strict=True)
    )
    found = difference(a, b, same_latents=True)
    jump = 2.5 * max(4.0, (e**2).max()) / 200
    error = np.hypot((e[1] ** 2 - e[0] ** 2).std(ddof=1) / 200**0.5, jump)
    assert found.value == pytest.approx(values[1] - values[0])
    assert found.se == pytest.approx(error / values.sum(), rel=1e-12)


def test_estimate_of__perfect_samples_have_an_rmse_without_error():
    row = {"rmse": 0.0, "rmse_se": 0.0, "endpoint_distance": 0.0}
    found = estimate_of(row, {"distance": np.zeros(5)}, BY_NAME["rmse"])
    assert not found.influence.any()
    assert difference(found, found, same_latents=True).se == 0.0


def test_difference__of_typical_errors_is_on_logarithms():
    """A sampler that is 2 % off another on every latent: only flips that were not seen blur it."""
    e = np.exp(np.random.default_rng(1).normal(size=400))
    rows = [{"typical_error": 1.0, "typical_error_se": 0.05, "endpoint_distance": 3.0}] * 2
    rows[1] = rows[1] | {"typical_error": 1.02}
    a, b = (
        estimate_of(row, {"distance": values}, BY_NAME["typical_error"])
        for row, values in zip(rows, (e, 1.02 * e), strict=True)
    )
    found = difference(a, b, same_latents=True)
    slope = 0.02 / np.log(1.02)
    assert found.se == pytest.approx(slope * 2.5 * typical_error(e, 3.0).jump / 400, rel=1e-9)
    assert difference(a, b, same_latents=False).se == pytest.approx(np.hypot(0.05, 0.05))


def test_difference__of_shares_counts_the_pairs_that_changed():
    a, b = np.zeros(100), np.zeros(100)
    a[:3], b[2:9] = 1.0, 1.0
    rows = [{"flip_fraction": x.mean(), "flip_fraction_se": 0.02} for x in (a, b)]
    found = difference(
        *(
            estimate_of(row, {"flipped": x}, BY_NAME["flip_fraction"])
            for row, x in zip(rows, (a, b), strict=True)
        ),
        same_latents=True,
    )
    assert (found.changed, found.paired) == ((6, 2), 100)
    assert found.value == pytest.approx(0.04)


def test_the_reference_side_counts_and_its_absence_unpairs():
    quantity, (a, b, ra, rb) = BY_NAME["fd_conv"], np.random.default_rng(0).normal(size=(4, 30))
    rows = [{"fd_conv": 1.0, "fd_conv_se": 0.1}, {"fd_conv": 2.0, "fd_conv_se": 0.2}]
    both = [
        estimate_of(row, {"fd_conv": x, "fd_conv_reference": r}, quantity)
        for row, x, r in zip(rows, (a, b), (ra, rb), strict=True)
    ]
    paired = difference(*both, same_latents=True)
    assert paired.se == pytest.approx(np.sqrt(((b - a).var(ddof=1) + (rb - ra).var(ddof=1)) / 30))
    alone = [
        estimate_of(row, {"fd_conv": x}, quantity) for row, x in zip(rows, (a, b), strict=True)
    ]
    assert difference(*alone, same_latents=True).paired == 0
    # covariance of either sign
    assert difference(*alone, same_latents=True).se == pytest.approx(0.1 + 0.2)
    assert difference(*alone, same_latents=False).se == pytest.approx(np.hypot(0.1, 0.2))


def test_without_influence_values_the_longer_half_of_an_interval_counts():
    """0 to 3 about 1 with an error of 0.5: its upper half is 2, as of an error of 1.02."""
    skewed = {"fid_proxy": 1.0, "fid_proxy_se": 0.5, "fid_proxy_low": 0.0, "fid_proxy_high": 3.0}
    plain = {"fid_proxy": 2.0, "fid_proxy_se": 0.1}
    a, b = (estimate_of(row, {}, BY_NAME["fid_proxy"]) for row in (skewed, plain))
    assert difference(a, b, same_latents=None).se == pytest.approx(2 / 1.959964 + 0.1, rel=1e-5)


def test_unknown_errors_stay_unknown():
    assert difference(Estimate(1.0, None), Estimate(2.0, 0.1), same_latents=True).se is None
    one = Estimate(1.0, None, np.zeros(1))
    assert difference(one, one, same_latents=True).se is None
    assert estimate_of({"kid": None}, {}, BY_NAME["kid"]) is None


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("same_latents", [True, False])
def test_difference_of_few_samples_is_claimed_as_often_as_the_level_says(n, same_latents):
    draws, false = 4000, 0
    for a, b in np.random.default_rng(n).normal(size=(draws, 2, n)):
        few = [replace(of(values), df=n - 1) for values in (a, b)]
        gap = difference(*few, same_latents=same_latents)
        claimed = Evidence(gap.value, gap.se, 0.0, df=gap.df).p_difference <= 0.05
        low, high = gap.interval
        assert claimed == (not low <= 0 <= high)
        false += claimed
    assert false / draws < 0.05 + 3 * (0.05 * 0.95 / draws) ** 0.5
    assert false / draws > (0.03 if same_latents else 0.005)


def test_difference_has_the_degrees_of_freedom_of_its_larger_variance():
    few, many = np.array([0.0, 2.0, 4.0]), np.linspace(-1e-3, 1e-3, 5000)
    gap = difference(of(many, few), of(many[::-1], few[::-1]), same_latents=True)
    assert gap.df == pytest.approx(2, rel=1e-3)  # of three reference samples
    typical = replace(of(np.arange(10.0)), value=1.0, summary="typical")
    other = replace(typical, influence=typical.influence[::-1])
    assert difference(typical, other, same_latents=True).df == 5  # two of ten omitted at each end


def test_difference__of_a_diverged_sampler_has_an_error_and_degrees_of_freedom():
    influence = np.random.default_rng(0).random((2, 50)) * 1e85  # its variance squared is > 1e308
    a, b = (Estimate(1e60, 1e80, array, df=49) for array in influence)
    gap = difference(a, b, same_latents=True)
    assert gap.df == pytest.approx(49)
    assert gap.se == pytest.approx((influence[1] - influence[0]).std(ddof=1) / 50**0.5)
    assert difference(a, b, same_latents=False).df == pytest.approx(98)
    far = difference(a, replace(b, se=1e160), same_latents=False)
    assert far.se == 1e160
