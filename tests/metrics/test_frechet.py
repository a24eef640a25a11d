"""Fréchet distance: closed forms, invariances, and the first- and second-order terms against
brute force.
"""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from samplerbench.benchmarks.metrics import (
    FrechetReference,
    Moments,
    estimate,
    frechet_distance,
    paired_difference,
    population_estimate,
)
from samplerbench.benchmarks.metrics.estimators.expansion import expand
from samplerbench.benchmarks.metrics.estimators.rows import rows_of

exact = settings(derandomize=True, deadline=None, max_examples=20)


def rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def with_moments(mean: np.ndarray, cov: np.ndarray) -> Moments:
    """Moments that have exactly this mean and unbiased covariance."""
    return Moments(2, mean, cov)


def sample(seed: int, n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


def reference(seed: int, d: int) -> FrechetReference:
    return FrechetReference.of(Moments.of(sample(seed, 3 * d, d)))


def leverage(g) -> tuple:
    """Beyond the second order: of the bias in units of p / n, of the influence in units of p."""
    return (2 - g) / (g * np.sqrt(1 - g)) - 2 / g - g / 4, 1 / np.sqrt(1 - g) - 1 - g / 2


def brute_force(
    reference: FrechetReference, x: np.ndarray
) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Value, bias, influence and what is given back in it, as texts write them: roots and
    quotients, one pair of directions at a time.
    """
    n, mu, cov = len(x), x.mean(axis=0), np.cov(x.T).reshape(x.shape[1], x.shape[1])
    values, Q = np.linalg.eigh(reference.factor.T @ cov @ reference.factor)
    keep = values > 1e-10 * values.max()
    s, Q = np.sqrt(values[keep]), Q[:, keep]
    y = (x - mu) @ reference.factor @ Q
    T = reference.factor @ Q @ np.diag(1 / s) @ Q.T @ reference.factor.T
    influence = np.array(
        [
            2 * (mu - reference.mean) @ (p - mu) + (p - mu) @ (np.eye(len(mu)) - T) @ (p - mu)
            for p in x
        ]
    )
    own, pairs, along = np.sum((x - mu) ** 2, axis=1), np.zeros(n), np.sum(y**2 / s, axis=1)
    for i in range(len(s)):
        for j in range(len(s)):
            own += (
                0.5
                * (y[:, i] * y[:, j] - (i == j) * s[i] * s[j]) ** 2
                / (s[i] * s[j] * (s[i] + s[j]))
            )
            pairs += y[:, i] ** 2 * y[:, j] ** 2 / (s[i] * s[j] * (s[i] + s[j]))
    each, mean = leverage(2 * pairs / (n * along)), leverage(2 * pairs.sum() / (n * along.sum()))
    given_back = 3 / 8 * 2 * pairs.sum() / (n * along.sum()) * along
    influence += given_back - 2 * own / n - along * (each[1] - mean[1])
    bias = own.mean() / n + float(along @ (each[0] - mean[0])) / n
    shift = mu - reference.mean
    value = shift @ shift + np.trace(reference.cov) + np.trace(cov) - 2 * s.sum()
    return float(value), float(bias), influence - influence.mean(), given_back - given_back.mean()


@exact
@given(st.integers(0, 99), st.integers(1, 6))
def test_commuting_gaussians(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, mean_a, mean_b = rng.exponential(size=(4, d))
    Q = rotation(rng, d)
    value = frechet_distance(
        FrechetReference(mean_a, (Q * a) @ Q.T), with_moments(mean_b, (Q * b) @ Q.T)
    )
    assert value == pytest.approx(
        np.sum((mean_a - mean_b) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-10
    )


def test_scalars_differ_by_means_and_standard_deviations() -> None:
    value = frechet_distance(
        FrechetReference(np.array([1.0]), np.array([[4.0]])),
        with_moments(np.array([4.0]), np.array([[25.0]])),
    )
    assert value == pytest.approx(9 + 9, rel=1e-14)


@exact
@given(st.integers(0, 99), st.integers(1, 6))
def test_invariances(seed: int, d: int) -> None:
    """One rotation and shift of both sides changes nothing.

    A scale c multiplies value, bias and error by c².
    """
    rng = np.random.default_rng(seed)
    x, y, Q = sample(seed, 40, d), sample(seed + 1, 40, d), rotation(rng, d)

    def numbers(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        e = estimate(FrechetReference.of(Moments.of(a)), b)
        return np.array([e.raw, e.value, e.bias, e.se])

    plain = numbers(x, y)
    np.testing.assert_allclose(numbers(x @ Q + 3, y @ Q + 3), plain, rtol=1e-8)
    np.testing.assert_allclose(numbers(5 * x, 5 * y), 25 * plain, rtol=1e-10)


@exact
@given(st.integers(0, 99), st.integers(1, 8), st.integers(2, 12))
def test_distance_is_symmetric_and_zero_to_itself(seed: int, d: int, n: int) -> None:
    a, b = Moments.of(sample(seed, n, d)), Moments.of(sample(seed + 1, n + 3, d))
    forth, back = (
        frechet_distance(FrechetReference.of(a), b),
        frechet_distance(FrechetReference.of(b), a),
    )
    assert forth == pytest.approx(back, rel=1e-9)
    assert forth > 0
    assert abs(frechet_distance(FrechetReference.of(a), a)) < 1e-10 * np.trace(a.cov)


def test_cross_term_is_the_nuclear_norm_of_the_factors_and_the_trace_of_the_matrix_root() -> None:
    ref, moments = reference(0, 7), Moments.of(sample(1, 30, 7))
    value = frechet_distance(ref, moments)

    def from_cross(cross: float) -> float:
        return ref.distance(moments.mean, float(np.trace(moments.cov)), cross)

    factor_2 = FrechetReference.of(moments).factor
    assert value == pytest.approx(
        from_cross(scipy.linalg.svdvals(ref.factor.T @ factor_2).sum()), rel=1e-12
    )
    assert value == pytest.approx(
        from_cross(np.trace(scipy.linalg.sqrtm(ref.cov @ moments.cov)).real), rel=1e-8
    )


def test_factor_of_a_rank_deficient_reference_drops_the_null_space() -> None:
    ref = FrechetReference.of(Moments.of(sample(0, 5, 12)))
    assert ref.rank == 4
    np.testing.assert_allclose(ref.factor @ ref.factor.T, ref.cov, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(400, 5), (40, 12), (13, 12), (12, 12), (7, 12), (2, 12)])
def test_both_sides_of_the_eigenproblem_agree_with_brute_force(n: int, d: int) -> None:
    """n <= d takes the n x n side, where Sigma2 is singular and the formulas hold on its range."""
    ref, x = reference(n, d), sample(n + 1, n, d)
    e = estimate(ref, x)
    value, bias, influence, _ = brute_force(ref, x)
    assert e.raw == pytest.approx(value, rel=1e-9)
    assert e.raw == pytest.approx(frechet_distance(ref, Moments.of(x)), rel=1e-9)
    order = np.random.default_rng(0).permutation(n)
    halves = (
        [value - bias for value, bias, *_ in (brute_force(ref, x[order[k::2]]) for k in (0, 1))]
        if n >= 4
        else [value - bias]
    )
    assert e.value == pytest.approx((4 * (value - bias) - np.mean(halves)) / 3, rel=1e-8)
    assert expand(ref, rows_of(x), Moments.of(x)).bias == pytest.approx(bias, rel=1e-8)
    assert e.raw - e.value == pytest.approx(e.bias, rel=1e-9)
    np.testing.assert_allclose(
        e.influence, influence, rtol=1e-7, atol=1e-8 * np.abs(influence).max()
    )
    assert e.se == pytest.approx(influence.std(ddof=1) / np.sqrt(n), rel=1e-8)


@pytest.mark.parametrize("d", [1, 5])
def test_influence_is_the_derivative_of_the_distance_at_the_other_samples(d: int) -> None:
    """Mixing a mass t of one point into all other samples moves their distance by t IF: no sample
    is compared with itself.

    But for the inflation of the others' inverse root, which no derivative at them can know and the
    influence is freed of.
    """
    ref, x, t = reference(3, d), sample(4, 200, d), 1e-5
    influence = estimate(ref, x).influence - brute_force(ref, x)[-1]

    def derivative(i: int) -> float:
        others = np.delete(x, i, axis=0)
        mean, cov = others.mean(axis=0), np.cov(others.T, bias=True).reshape(d, d)
        c = x[i] - mean
        ends = [
            frechet_distance(ref, with_moments(mean + t * c, (1 - t) * (cov + t * np.outer(c, c))))
            for t in (t, -t)
        ]
        return (ends[0] - ends[1]) / (2 * t)

    derivatives = np.array([derivative(i) for i in range(len(x))])
    # To the next order. With their own terms, 2 to 3 % of the largest, some would be off by twice
    # the tolerance.
    np.testing.assert_allclose(
        influence, derivatives - derivatives.mean(), atol=0.012 * np.abs(derivatives).max()
    )


@pytest.mark.parametrize("classes", [2, 10])
def test_classes_that_take_turns_are_like_classes_in_any_order(classes: int) -> None:
    """Every second sample of two classes in turn is of one class, far from the others."""
    rng = np.random.default_rng(9)
    x = 2 * rng.standard_normal((classes, 4))[np.arange(1000) % classes] + rng.standard_normal(
        (1000, 4)
    )
    ref = FrechetReference.of(Moments.of(x + 0.2))
    turns, shuffled = estimate(ref, x), estimate(ref, x[rng.permutation(1000)])
    assert turns.raw == pytest.approx(shuffled.raw, rel=1e-9)
    assert abs(turns.value - shuffled.value) < shuffled.se
    assert abs(population_estimate(x, x[::-1] + 0.2).value - shuffled.value) < 3 * shuffled.se


@pytest.mark.parametrize("unit", [1e-70, 1e-12, 1e12, 1e40])
def test_units_do_not_matter(unit: float) -> None:
    ref, x = reference(0, 4), sample(1, 200, 4)
    scaled = FrechetReference(unit * ref.mean, unit**2 * ref.cov)
    for plain, other in (
        (estimate(ref, x), estimate(scaled, unit * x)),
        (population_estimate(x, 2 * x), population_estimate(unit * x, 2 * unit * x)),
    ):
        numbers = [(e.value, e.se, e.low, e.high) for e in (plain, other)]
        np.testing.assert_allclose(np.array(numbers[1]) / unit**2, numbers[0], rtol=1e-6)


def test_bias_is_that_of_the_jackknife() -> None:
    """Delete-one jackknife: no formula, no moments, the same answer to next order in 1 / n."""
    n, d = 600, 3
    ref, x = reference(5, d), np.random.default_rng(6).standard_t(8, size=(n, d)) @ sample(7, d, d)
    e = expand(ref, rows_of(x), Moments.of(x))
    without = np.array(
        [frechet_distance(ref, Moments.of(np.delete(x, i, axis=0))) for i in range(n)]
    )
    assert e.bias == pytest.approx((n - 1) * (without.mean() - e.raw), rel=0.05)
    pseudo_values = (n - 1) * (without.mean() - without)
    np.testing.assert_allclose(pseudo_values, e.influence, atol=0.05 * np.abs(e.influence).max())


def test_bias_of_gaussian_features_has_a_closed_form() -> None:
    """(1/N) [tr Sigma2 + ½ sum_ij s_i s_j / (s_i + s_j) + ¼ sum_i s_i]."""
    n, d = 100_000, 4
    x = sample(8, n, d)
    ref = reference(9, d)
    s = scipy.linalg.svdvals(ref.factor.T @ FrechetReference.of(Moments.of(x)).factor)
    expected = (
        np.trace(np.cov(x.T)) + 0.5 * (np.outer(s, s) / np.add.outer(s, s)).sum() + 0.25 * s.sum()
    ) / n
    assert expand(ref, rows_of(x), Moments.of(x)).bias == pytest.approx(expected, rel=0.01)


def test_full_precision_moments_decide_the_value_of_rounded_features() -> None:
    ref, x = reference(10, 6), sample(11, 100, 6)
    stored = estimate(ref, x.astype(np.float16), Moments.of(x[:30]).merge(Moments.of(x[30:])))
    full = estimate(ref, x)
    assert stored.raw == pytest.approx(full.raw, rel=1e-12)
    assert stored.value == stored.raw - stored.bias
    assert stored.n == 100
    assert (stored.bias, stored.se) == pytest.approx((full.bias, full.se), rel=1e-2)


def test_rounding_of_stored_features_is_not_taken_for_a_heavy_tail() -> None:
    """A spread of 1e-6 where float16 resolves 1e-3: z from rounded features and s from exact
    moments would be off by 1e3.
    """
    rng = np.random.default_rng(12)
    ref = FrechetReference(np.zeros(6), np.eye(6))
    x = 1.0 + 1e-6 * rng.standard_normal((500, 6))
    x[:, 0] += rng.standard_normal(500)
    e = estimate(ref, (x + 1e-3 * rng.standard_normal(x.shape)).astype(np.float16), Moments.of(x))
    assert e.raw == pytest.approx(frechet_distance(ref, Moments.of(x)), rel=1e-12)
    assert 0 < e.bias < 3 * estimate(ref, x).bias


COLLAPSES = {
    "constant": lambda x: np.zeros_like(x),
    "rounding": lambda x: np.full_like(x, 0.1) + 1e-16 * x,
    "tiny": lambda x: 1e-9 * x,
    "rank one": lambda x: x[:, :1] * np.ones(x.shape[1]),
    "two values": lambda x: np.sign(x[:, :1]) * np.ones(x.shape[1]),
}


@pytest.mark.parametrize("collapse", COLLAPSES)
def test_collapsed_samples_give_finite_numbers_and_a_flag(collapse: str) -> None:
    """What one step from pure noise does to a sampler's covariance."""
    ref = FrechetReference(np.ones(6), np.diag(np.arange(1.0, 7)))
    e = estimate(ref, COLLAPSES[collapse](np.random.default_rng(12).standard_normal((500, 6))))
    assert np.isfinite([e.raw, e.value, e.bias, e.se]).all()
    assert np.isfinite(e.influence).all()
    assert 0 <= e.bias < 0.05 * e.raw
    assert e.flag


def test_a_constant_is_at_the_known_distance_without_error() -> None:
    ref = FrechetReference(np.ones(3), np.diag([1.0, 2.0, 3.0]))
    e = estimate(ref, np.zeros((100, 3)))
    assert (e.raw, e.value, e.se) == (9.0, 9.0, 0.0)
    assert e.flag == "samples vary in 0 of 3 directions; samples are all but identical"


def test_bias_and_error_are_continuous_as_a_direction_vanishes() -> None:
    """No explosion of 1 / s on the way to rank deficiency, and no jump at the cut-off."""
    x, ref = (
        np.random.default_rng(13).standard_normal((400, 4)),
        FrechetReference(np.zeros(4), np.eye(4)),
    )
    tiny = [
        estimate(ref, x * [1, 1, 1, scale]) for scale in (1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 0.0)
    ]
    np.testing.assert_allclose([e.bias for e in tiny], tiny[-1].bias, rtol=2e-3)
    np.testing.assert_allclose([e.se for e in tiny], tiny[-1].se, rtol=2e-3)
    assert [bool(e.flag) for e in tiny] == [False, False, False, False, True, True, True]


def test_flag_names_what_is_wrong_and_only_that() -> None:
    ref = FrechetReference(np.zeros(4), np.eye(4))
    x = np.random.default_rng(14).standard_normal((60, 4))
    assert estimate(ref, x).flag == ""
    assert estimate(ref, x[:59]).flag == (
        "N = 59 is below 15 d = 60: the remaining bias may exceed the error"
    )
    assert "below" in estimate(ref, x[:3]).flag
    # features that never fire ask for no samples
    dead = FrechetReference(np.zeros(4), np.diag([1.0, 1.0, 0.0, 0.0]))
    assert estimate(dead, x[:30]).flag == ""


def test_a_run_paired_with_itself_differs_by_nothing() -> None:
    ref, x = reference(16, 4), sample(17, 100, 4)
    assert paired_difference(estimate(ref, x), estimate(ref, x)) == (0.0, 0.0)
    assert paired_difference(population_estimate(x, x[:50]), population_estimate(x, x[:50])) == (
        0.0,
        0.0,
    )


def test_shared_reference_samples_pair_too() -> None:
    x, y = sample(18, 100, 4), sample(19, 150, 4)
    a, b = population_estimate(x, y), population_estimate(2 * x, y)
    assert a.reference_influence is not None
    assert b.reference_influence is not None
    variance = (
        np.var(a.influence - b.influence, ddof=1) / 100
        + np.var(a.reference_influence - b.reference_influence, ddof=1) / 150
    )
    delta, se = paired_difference(a, b)
    assert delta == a.value - b.value
    assert se**2 == pytest.approx(variance, rel=1e-12)


def test_populations_swap_sides_and_either_side_can_raise_the_flag() -> None:
    x, y = sample(20, 100, 4), sample(21, 150, 4)
    forth, back = population_estimate(x, y), population_estimate(y, x)
    for name in ("raw", "value", "bias", "se"):
        assert getattr(forth, name) == pytest.approx(getattr(back, name), rel=1e-9)
    assert (forth.n, len(forth.influence), forth.flag) == (100, 100, "")
    assert "N = 50 is below" in population_estimate(x, y[:50]).flag
    assert "N = 50 is below" in population_estimate(x[:50], y).flag


def test_mistakes_are_refused() -> None:
    ref, x = reference(18, 4), sample(19, 100, 4)
    with pytest.raises(ValueError, match="5 dimensions"):
        frechet_distance(ref, Moments.of(sample(20, 100, 5)))
    with pytest.raises(ValueError, match="at least two"):
        estimate(ref, x[:1])
    with pytest.raises(ValueError, match="no samples"):
        estimate(ref, x[:0])
    with pytest.raises(ValueError, match="not finite"):
        estimate(ref, np.full((10, 4), np.inf))
    with pytest.raises(ValueError, match="not those of the moments"):
        estimate(ref, x, Moments.of(x[:50]))
    with pytest.raises(ValueError, match="100 and 50"):
        paired_difference(estimate(ref, x), estimate(ref, x[:50]))
    with pytest.raises(ValueError, match="one estimator"):
        paired_difference(estimate(ref, x), population_estimate(x, x))
    with pytest.raises(ValueError, match="100 and 50"):
        paired_difference(population_estimate(x, x), population_estimate(x, x[:50]))
    with pytest.raises(ValueError, match="mean"):
        FrechetReference(np.zeros(3), np.eye(4))
    with pytest.raises(ValueError, match="not finite"):
        FrechetReference(np.zeros(2), np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="semi-definite"):
        _ = FrechetReference(np.zeros(2), np.diag([1.0, -0.1])).factor
