"""Wavelet images against brute force: quadrature, automatic differentiation, an ODE solver, and
their own samples.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.stats import norm

from samplerbench.models.exact.wavelet import (
    BALANCE,
    Wavelet,
    haar_transform,
    inverse_haar_transform,
    log_cdf,
    octave_of_each,
    transport_mixture,
)

SMALL = Wavelet(side=4)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The transform


@pytest.mark.parametrize("side", [2, 4, 32])
def test_haar_is_orthogonal_and_inverted(side: int) -> None:
    basis = haar_transform(torch.eye(side**2, dtype=torch.float64).reshape(-1, side, side)).reshape(
        side**2, -1
    )
    torch.testing.assert_close(
        basis @ basis.T, torch.eye(side**2, dtype=torch.float64), rtol=0, atol=1e-15
    )
    x = normal(5, 3, side, side)
    torch.testing.assert_close(inverse_haar_transform(haar_transform(x)), x, rtol=0, atol=4e-15)
    whole = (8 * x).round()  # whole numbers halve without rounding: the inverse is exact
    assert torch.equal(inverse_haar_transform(haar_transform(whole)), whole)
    assert torch.equal(haar_transform(inverse_haar_transform(whole)), whole)


def test_haar_layout() -> None:
    flat = torch.full((8, 8), 3.0)
    assert haar_transform(flat)[0, 0] == 24
    assert haar_transform(flat).count_nonzero() == 1
    # changes from column to column: finest details across columns
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(8, 8)
    assert (
        haar_transform(stripes)[:4, 4:].count_nonzero()
        == haar_transform(stripes).count_nonzero()
        == 16
    )
    count = np.bincount(octave_of_each(32).ravel())
    assert count.tolist() == [4, 12, 48, 192, 768]
    assert (octave_of_each(32)[16:, :] == 4).all()


# The density


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_posterior_of_each_coefficient_by_quadrature(sigma: float) -> None:
    c = normal(1, 16, seed=1) * 2
    x = inverse_haar_transform(c.reshape(1, 1, 4, 4))
    mean, cov = SMALL.posterior(x, sigma)
    basis = haar_transform(torch.eye(16, dtype=torch.float64).reshape(-1, 4, 4)).reshape(16, 16).T
    got_mean, got_variance = basis @ mean[0], (basis @ cov[0] @ basis.T).diagonal()
    for i in range(16):
        weights, means, stds = (
            values[:, i].numpy() for values in (SMALL._weights, SMALL._means, SMALL._stds)
        )
        # the trapezoidal rule is exact to rounding for densities so smooth
        c0 = np.linspace(-20, 20, 40_001)
        joint = norm.pdf(c0[:, None], means, stds) @ weights * norm.pdf(float(c[0, i]), c0, sigma)
        total, first, second = (float((joint * c0**k).sum()) for k in range(3))
        assert got_mean[i] == pytest.approx(first / total, abs=1e-12)
        assert got_variance[i] == pytest.approx(second / total - (first / total) ** 2, abs=1e-11)
    off_diagonal = basis @ cov[0] @ basis.T - torch.diag(got_variance)
    assert off_diagonal.abs().max() < 1e-14


@pytest.mark.parametrize("sigma", [0.02, 0.7, 80.0])
def test_tweedie(sigma: float) -> None:
    """The score of the log-density gives d, and d's Jacobian gives the posterior covariance."""
    model = Wavelet(channels=2, side=4)
    x = (model.sample(3, seed=1) + sigma * normal(3, 2, 4, 4)).requires_grad_()
    (score,) = torch.autograd.grad(model.log_density(x, sigma).sum(), x)
    torch.testing.assert_close(
        model.denoise(x, sigma), x + sigma**2 * score, rtol=0, atol=1e-11 * max(1, sigma)
    )
    row = x.detach()[:1]
    jacobian = torch.autograd.functional.jacobian(lambda x: model.denoise(x, sigma), row).reshape(
        32, 32
    )
    mean, cov = model.posterior(row, sigma)
    torch.testing.assert_close(mean, model.denoise(row, sigma).reshape(1, 32), rtol=0, atol=0)
    torch.testing.assert_close(cov[0], sigma**2 * jacobian, rtol=0, atol=1e-11)


def test_log_density_is_the_product_of_the_coefficients() -> None:
    x, sigma = SMALL.sample(1, seed=3), 0.3
    c = haar_transform(x).reshape(-1).numpy()
    stds = np.hypot(SMALL._stds.numpy(), sigma)
    want = np.log((SMALL._weights.numpy() * norm.pdf(c, SMALL._means.numpy(), stds)).sum(0)).sum()
    assert SMALL.log_density(x, sigma).item() == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize(("channels", "side"), [(1, 2), (3, 8), (1, 32)])
def test_moments_have_the_promised_spread(channels: int, side: int) -> None:
    mean, cov = Wavelet(channels, side).moments()
    assert (np.trace(cov) + mean @ mean) / len(mean) == pytest.approx(0.25, rel=1e-12)


def test_samples_have_the_moments_and_the_density() -> None:
    n = 20_000
    x = SMALL.sample(n, seed=0)
    mean, cov = SMALL.moments()
    flat = x.reshape(n, -1).numpy()
    error = (flat.mean(0) - mean) / np.sqrt(np.diag(cov) / n)
    assert np.abs(error).max() < 4
    outer = (flat - mean)[:, :, None] * (flat - mean)[:, None, :]
    assert (np.abs(outer.mean(0) - cov) / (outer.std(0) / math.sqrt(n))).max() < 4.5
    # P(c < 0) of a coarse and of a fine coefficient, at the data and after noise
    noisy = haar_transform(x + 0.5 * normal(n, 1, 4, 4)).reshape(n, -1).numpy()
    stds = np.hypot(SMALL._stds.numpy(), 0.5)
    for place, at in ((0, 1.0), (15, 0.2)):
        p = math.exp(
            log_cdf(
                np.array(at),
                np.log(SMALL._weights[:, place].numpy()),
                SMALL._means[:, place].numpy(),
                stds[:, place],
            )
        )
        assert (noisy[:, place] < at).mean() == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))
    assert torch.equal(SMALL.sample(7, seed=0), x[:7])
    assert not torch.equal(SMALL.sample(7, seed=1), x[:7])


# The flow


def test_endpoint_agrees_with_dop853_at_1024_dimensions() -> None:
    model = Wavelet()
    x = 80 * normal(1, 1, 32, 32, seed=5)
    low = 1e-4

    def slope(lam: float, x: np.ndarray) -> np.ndarray:  # dx/dlam = d - x
        row = torch.from_numpy(x)[None]
        return (
            model.denoise_rows(row, torch.tensor([math.exp(-lam)], dtype=torch.float64), None) - row
        )[0].numpy()

    solution = solve_ivp(
        slope,
        (-math.log(80), -math.log(low)),
        x.reshape(-1).numpy(),
        method="DOP853",
        rtol=1e-10,
        atol=1e-11,
    )
    end = torch.from_numpy(solution.y[:, -1]).reshape(x.shape)
    assert (model.flow(x, 80.0, low) - end).abs().max() < 1e-8
    # the issue asks for 1e-7
    assert (model.endpoint(x) - model.flow_to_zero(end, low, None)).abs().max() < 1e-8


def test_flow_composes_and_returns() -> None:
    x = 80 * normal(20, 1, 4, 4)
    end = SMALL.endpoint(x)
    torch.testing.assert_close(
        SMALL.flow(SMALL.flow(x, 80.0, 0.7), 0.7, 0.0), end, rtol=0, atol=1e-13
    )
    torch.testing.assert_close(SMALL.flow(end, 1e-300, 80.0), x, rtol=0, atol=1e-10)
    torch.testing.assert_close(SMALL.flow(x, 3.0, 3.0), x, rtol=0, atol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    means=st.lists(st.floats(-5, 5), min_size=2, max_size=4),
    spread=st.floats(1e-2, 1.0),
    sigma=st.floats(0.0, 100.0),
    seed=st.integers(0, 1000),
)
def test_transport_matches_both_tails(
    means: list[float], spread: float, sigma: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(len(means)))[:, None] + 1e-6
    weights /= weights.sum()
    centre, source = np.array(means)[:, None], spread * rng.uniform(0.5, 2, (len(means), 1))
    target = np.hypot(source, sigma)
    # to 10 000 standard deviations out
    x = np.sort(np.append(rng.uniform(-8, 8, 40), [-60.0, 60.0]))[:, None]
    y = transport_mixture(x, weights, centre, source, target)
    for side in (1, -1):
        before = log_cdf(
            side * x, np.log(weights)[:, None], side * centre[:, None], source[:, None]
        )
        after = log_cdf(side * y, np.log(weights)[:, None], side * centre[:, None], target[:, None])
        # A rounding of y changes the logarithm by eps |y| times its slope, which is at most about
        # distance / target^2.
        rounding = 4e-16 * (np.abs(y) + 5) * (np.abs(y) + 5) / target.min() ** 2
        assert (np.abs(after - before) <= 1e-14 * (1 + np.abs(before)) + rounding)[
            before < math.log(0.5)
        ].all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    z=st.floats(-300, 300),
    mean=st.floats(-3, 3),
    source=st.floats(1e-3, 100),
    target=st.floats(1e-3, 100),
)
def test_transport_of_one_gaussian_is_affine(
    z: float, mean: float, source: float, target: float
) -> None:
    column = [np.array([[value]]) for value in (mean + source * z, 1.0, mean, source, target)]
    assert transport_mixture(*column)[0, 0] == pytest.approx(
        mean + target * z, rel=1e-13, abs=1e-13 * (1 + target / source) * (1 + abs(mean))
    )


def test_a_state_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(ArithmeticError, match="finite"):
        SMALL.endpoint(torch.full((1, 1, 4, 4), math.nan, dtype=torch.float64))


# As a model


@pytest.mark.parametrize("size", [1, 7, 256])
def test_a_sample_is_bit_identical_at_every_batch_size(size: int) -> None:
    model = Wavelet(side=8)
    x = 3 * normal(256, 1, 8, 8)
    for function in (
        lambda x: model.denoise(x, 0.9),
        lambda x: model.flow(x, 80.0, 0.0),
        lambda x: model.log_density(x, 0.4),
    ):
        reversed_whole = function(x.flip(0)).flip(0)
        for start in (0, 1, 90, 160, 249):
            rows = slice(start, start + size)
            assert torch.equal(function(x[rows]), reversed_whole[rows])


def test_modes_are_the_signs_of_the_coarse_coefficients() -> None:
    model = Wavelet(channels=2, side=8)
    for mode in (0, 1, 0b10100110, 255):
        c = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
        bits = [1.0 if mode >> k & 1 else -1.0 for k in range(8)]
        c[0, :, :2, :2] = torch.tensor(bits).reshape(2, 2, 2)
        assert model.mode_of(inverse_haar_transform(c)).tolist() == [mode]
    n = 4000
    modes = SMALL.mode_of(SMALL.sample(n, seed=0))
    assert len(modes.unique()) == 16
    bright = (modes % 2).double().mean().item()  # the first bit is the sign of the mean brightness
    assert bright == pytest.approx(BALANCE[0], abs=4 * math.sqrt(0.24 / n))


def test_names_and_mistakes() -> None:
    assert Wavelet().name == "wavelet"
    assert Wavelet().event == (1, 32, 32)
    assert Wavelet(channels=3, side=8).name == "wavelet(channels=3, side=8)"
    assert Wavelet(side=8).identity != Wavelet(side=16).identity
    assert Wavelet(channels=2, side=64).reference() is None
    for channels, side in ((0, 8), (1, 12), (1, 1)):
        with pytest.raises(ValueError, match="power of two"):
            Wavelet(channels, side)
