"""Gaussians and mixtures against brute force: quadrature, dense formulas, derivatives and exact
samples.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from looping import each
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from samplerbench.models.exact.base import exact_fingerprint
from samplerbench.models.exact.gaussian import Gaussian
from samplerbench.models.exact.mixture import GaussianMixture
from samplerbench.models.exact.problems import gaussian, gmm_2d, gmm_64d, orthogonal_matrix


@dataclass
class Parameters:
    """A random mixture, and the same as dense covariances."""

    weights: Tensor
    means: Tensor
    factors: Tensor
    noise: Tensor

    @property
    def covariances(self) -> Tensor:
        isotropic = self.noise.square()[:, None, None] * torch.eye(
            self.means.shape[1], dtype=torch.float64
        )
        return self.factors @ self.factors.mT + isotropic

    def model(self, classes: Tensor | None = None) -> GaussianMixture:
        d = self.means.shape[1]
        return GaussianMixture(
            "test", (d,), self.weights, self.means, self.factors, self.noise, classes
        )

    def noisy(self, sigma: float) -> MixtureSameFamily:
        cov = self.covariances + sigma**2 * torch.eye(self.means.shape[1], dtype=torch.float64)
        return MixtureSameFamily(Categorical(self.weights), MultivariateNormal(self.means, cov))


def parameters(k: int, d: int, r: int, seed: int) -> Parameters:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return Parameters(normal(k).exp(), normal(k, d), normal(k, d, r) / 2, 0.1 + normal(k).abs() / 4)


def quadrature_posterior(
    prior: MixtureSameFamily, x: Tensor, sigma: float, side: int
) -> tuple[Tensor, Tensor]:
    """Posterior mean and covariance by the trapezoidal rule (spectrally accurate here) on a
    grid over [-6, 6]^d.
    """
    d = len(x)
    axis = torch.linspace(-6, 6, side, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * d).reshape(-1, d)
    weight = (prior.log_prob(grid) - (grid - x).square().sum(1) / (2 * sigma**2)).softmax(0)
    mean = weight @ grid
    return mean, (grid - mean).mT @ (weight[:, None] * (grid - mean))


@each(("d", "r", "side"), [(1, 0, 4001), (1, 1, 4001), (2, 1, 601), (2, 2, 601)])
@each("sigma", [0.2, 1.5])
def test_gaussian_mixture__posterior_equals_quadrature(
    d: int, r: int, side: int, sigma: float
) -> None:
    problem = parameters(3, d, r, seed=d + r)
    model = problem.model()
    x = torch.linspace(-1.5, 2, d, dtype=torch.float64)
    mean, cov = quadrature_posterior(problem.noisy(0.0), x, sigma, side)
    found_mean, found_cov = model.posterior(x[None], sigma)
    torch.testing.assert_close(found_mean[0], mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found_cov[0], cov, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.denoise(x[None], sigma), found_mean, rtol=0, atol=0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    k=st.integers(1, 5),
    d=st.integers(1, 7),
    share=st.floats(0, 1),
    level=st.floats(-3, 4),
    seed=st.integers(0, 99),
)
def test_low_rank_formulas_equal_dense_ones(
    k: int, d: int, share: float, level: float, seed: int
) -> None:
    problem, sigma = parameters(k, d, round(share * d), seed), math.exp(level)
    model = problem.model()
    x = torch.randn(4, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * (
        1 + sigma
    )
    noisy = problem.noisy(sigma)
    torch.testing.assert_close(model.log_density(x, sigma), noisy.log_prob(x), rtol=1e-9, atol=1e-9)
    joint = noisy.mixture_distribution.logits + noisy.component_distribution.log_prob(x[:, None])
    torch.testing.assert_close(
        model.responsibilities(x, sigma), joint.softmax(1), rtol=1e-8, atol=1e-10
    )
    gain = problem.covariances @ torch.linalg.inv(
        problem.covariances + sigma**2 * torch.eye(d, dtype=torch.float64)
    )
    each = problem.means + torch.einsum("kde,nke->nkd", gain, x[:, None] - problem.means)
    torch.testing.assert_close(
        model.denoise(x, sigma), (joint.softmax(1)[:, :, None] * each).sum(1), rtol=1e-8, atol=1e-9
    )


@each("make", [gaussian, gmm_2d, gmm_64d])
@each("sigma", [0.02, 0.5, 10.0])
def test_gaussian_mixture__tweedie(make, sigma: float) -> None:
    """The denoiser is x + sigma^2 grad log p, and the posterior covariance sigma^2 times the
    denoiser's derivative.
    """
    model = make()
    x = model.sample(3, seed=1) + sigma * torch.randn(
        3, *model.event, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    x.requires_grad_()
    (score,) = torch.autograd.grad(model.log_density(x, sigma).sum(), x)
    mean, cov = model.posterior(x.detach(), sigma)
    torch.testing.assert_close(mean, (x + sigma**2 * score).detach(), rtol=1e-9, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: model.denoise(x, sigma).sum(0), x.detach()
    ).transpose(0, 1)
    torch.testing.assert_close(cov, sigma**2 * jacobian, rtol=1e-7, atol=1e-9 * sigma**2)


def test_mixture_of_one_component_is_a_gaussian() -> None:
    reference = gaussian()
    mean, cov = (torch.from_numpy(moment) for moment in reference.moments())
    values, vectors = torch.linalg.eigh(cov)
    factors = vectors * (values - values[0]).clamp(min=0).sqrt()
    model = GaussianMixture(
        "one", (16,), torch.ones(1), mean[None], factors[None], values[:1].sqrt()
    )
    x = 3 * torch.randn(5, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.denoise(x, 0.7), reference.denoise(x, 0.7), rtol=1e-11, atol=1e-11
    )
    torch.testing.assert_close(
        model.log_density(x, 0.7), reference.log_density(x, 0.7), rtol=1e-11, atol=1e-11
    )
    for found, expected in zip(
        (*model.posterior(x, 0.7), *map(torch.from_numpy, model.moments())),
        (*reference.posterior(x, 0.7), mean, cov),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(
        model.endpoint(80 * x), reference.endpoint(80 * x), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("make", [gaussian, gmm_2d, gmm_64d])
def test_moments_are_those_of_exact_samples(make) -> None:
    model, n = make(), 50_000
    x = model.sample(n, seed=3).numpy()
    mean, cov = model.moments()
    centred = x - mean
    assert (np.abs(x.mean(0) - mean) < 5 * x.std(0) / math.sqrt(n)).all()
    products = np.einsum("na,nb->abn", centred[:, :8], centred[:, -8:])
    assert (np.abs(products.mean(2) - cov[:8, -8:]) < 5 * products.std(2) / math.sqrt(n)).all()
    assert (
        np.abs(np.square(centred).mean(0) - np.diag(cov))
        < 5 * np.square(centred).std(0) / math.sqrt(n)
    ).all()
    reference = model.reference()
    np.testing.assert_array_equal(reference.cov, cov)
    assert reference.held_out(7).shape == (7, model.dim)


def test_samples_are_drawn_by_the_factors_themselves() -> None:
    """Singular vectors of equal singular values are any basis: which one, the number of threads
    decided, and so the held-out samples.
    """
    factor, mean = (
        torch.eye(6, dtype=torch.float64)[:, :3]
        * 2.0
        @ orthogonal_matrix(3, np.random.default_rng(5)),
        torch.arange(6.0, dtype=torch.float64),
    )
    model = GaussianMixture(
        "one", (6,), torch.ones(1), mean[None], factor[None], torch.tensor([0.1])
    )
    rng = np.random.default_rng((7, 0)).spawn(2)[1]
    z = torch.from_numpy(rng.standard_normal((50, 9)))
    torch.testing.assert_close(
        model.sample(50, seed=7), mean + z[:, :3] @ factor.T + 0.1 * z[:, 3:], rtol=0, atol=1e-7
    )


def test_held_out_samples_do_not_depend_on_the_number_of_threads() -> None:
    drawn = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            drawn.append(gmm_64d().data(1000, 2_000_001))
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [gaussian, gmm_2d, gmm_64d])
def test_samples_are_seeded(make) -> None:
    model = make()
    assert torch.equal(model.sample(9, seed=5), make().sample(9, seed=5))
    torch.testing.assert_close(
        model.sample(9, seed=5)[:4], model.sample(4, seed=5), rtol=0, atol=1e-12
    )
    assert not torch.equal(model.sample(9, seed=5), model.sample(9, seed=6))
    assert all(not torch.equal(model.held_out(9), model.sample(9, seed=seed)) for seed in (0, 1))


def test_modes_are_the_components_that_drew_the_samples() -> None:
    """The frequency of each mode is its weight, because the modes of gmm-2d hardly overlap."""
    model, n = gmm_2d(), 20_000
    frequency = model.mode_of(model.sample(n, seed=0)).bincount(minlength=7) / n
    weights = torch.tensor([0.24, 0.20, 0.16, 0.14, 0.12, 0.09, 0.05])
    assert ((frequency - weights).abs() < 5 * (weights * (1 - weights) / n).sqrt() + 1e-3).all()


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_a_label_restricts_the_mixture_to_its_class(sigma: float) -> None:
    problem, classes = parameters(6, 4, 2, seed=8), torch.tensor([0, 2, 1, 0, 2, 2])
    model = problem.model(classes)
    x = 2 * torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mixed = torch.tensor([2, 0, 1, 2, 0])
    for label in range(3):
        rows = classes == label
        alone = Parameters(
            problem.weights[rows], problem.means[rows], problem.factors[rows], problem.noise[rows]
        ).model()
        given_label = torch.full((5,), label)
        torch.testing.assert_close(
            model.denoise(x, sigma, given_label), alone.denoise(x, sigma), rtol=1e-11, atol=1e-11
        )
        torch.testing.assert_close(
            model.log_density(x, sigma, given_label),
            alone.log_density(x, sigma),
            rtol=1e-11,
            atol=1e-11,
        )
        chosen = mixed == label
        torch.testing.assert_close(
            model.denoise(x, sigma, mixed)[chosen],
            alone.denoise(x, sigma)[chosen],
            rtol=1e-11,
            atol=1e-11,
        )
    assert model.classes == 3
    assert torch.equal(model.denoise(x, sigma, torch.full((5,), 3)), model.denoise(x, sigma))


def test_the_mode_of_a_model_with_classes_is_its_likeliest_class() -> None:
    """Even where the likeliest component is of another class."""
    problem = Parameters(
        torch.tensor([0.4, 0.3, 0.3]),
        torch.tensor([[0.0], [1.0], [0.9]], dtype=torch.float64),
        torch.zeros(3, 1, 0, dtype=torch.float64),
        torch.ones(3, dtype=torch.float64),
    )
    x = torch.tensor([[-3.0], [0.4], [3.0]], dtype=torch.float64)
    assert problem.model().mode_of(x).tolist() == [0, 0, 1]
    assert problem.model(torch.tensor([0, 1, 1])).mode_of(x).tolist() == [0, 1, 1]


def test_a_rotation_is_exactly_orthogonal_and_dense() -> None:
    matrix = orthogonal_matrix(16, np.random.default_rng(16))
    assert torch.equal(matrix.T @ matrix, torch.eye(16, dtype=torch.float64))
    assert (matrix != 0).all()


def test_identity_follows_the_parameters() -> None:
    def parameters(shift: float) -> tuple[torch.Tensor, ...]:
        return torch.tensor([shift, 0.0]), torch.eye(2), torch.ones(2)

    identity = Gaussian("g", *parameters(0.0)).identity
    assert identity == exact_fingerprint("g", 1, *parameters(0.0))
    assert len({identity, Gaussian("g", *parameters(1e-9)).identity}) == 2
    assert identity != exact_fingerprint("g", 2, *parameters(0.0))
