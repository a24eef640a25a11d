"""Kernel density estimates against the same mixture written as Gaussians, the generic flow, and
the images that the card names.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from samplerbench.models import make_model
from samplerbench.models.cards.card import load_card
from samplerbench.models.exact.base import CHUNK, ExactModel
from samplerbench.models.exact.cloud import (
    KernelDensity,
    PointCloud,
    image_cloud_of_card,
    pairwise_squared_distances,
)
from samplerbench.models.exact.mixture import GaussianMixture

LABELS = torch.tensor([0, 0, 1, 2, 1, 0, 2])
WIDTH = 0.4
LEVELS = pytest.mark.parametrize("sigma", [0.05, 0.7, 20.0])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def few() -> KernelDensity:
    return KernelDensity(PointCloud("few", normal(7, 3, seed=1), LABELS), WIDTH)


@pytest.fixture(scope="module")
def twin() -> GaussianMixture:
    """The same density, from the formulas of a mixture of Gaussians."""
    full = lambda value: torch.full((7,), value, dtype=torch.float64)  # noqa: E731
    return GaussianMixture(
        "twin", (3,), full(1.0), normal(7, 3, seed=1), torch.zeros(7, 3, 0), full(WIDTH), LABELS
    )


@pytest.fixture(scope="module")
def fashion() -> PointCloud:
    return image_cloud_of_card(load_card("fashion-kde"))


def close(found: torch.Tensor, want: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, want, rtol=tolerance, atol=tolerance)


@LEVELS
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1, 2, 3, 0])])
def test_it_is_the_mixture_of_gaussians(few, twin, sigma, labels) -> None:
    x = (1 + sigma) * normal(5, 3)
    close(few.denoise(x, sigma, labels), twin.denoise(x, sigma, labels))
    close(few.log_density(x, sigma, labels), twin.log_density(x, sigma, labels))


@LEVELS
def test_its_posterior_is_the_mixture_s(few, twin, sigma) -> None:
    x = (1 + sigma) * normal(5, 3)
    for found, want in zip(few.posterior(x, sigma), twin.posterior(x, sigma), strict=True):
        close(found, want)
    levels = torch.tensor([sigma, 2 * sigma, 1.0, 0.1, 3.0], dtype=torch.float64)
    close(few.posterior(x, levels)[0], few.denoise(x, levels))


def test_it_has_a_density_at_sigma_zero(few, twin) -> None:
    close(few.log_density(normal(5, 3), 0.0), twin.log_density(normal(5, 3), 0.0))


def test_moments_and_samples(few, twin) -> None:
    for found, want in zip(few.moments(), twin.moments(), strict=True):
        np.testing.assert_allclose(found, want, atol=1e-14)
    mean, cov = few.moments()
    drawn = few.sample(20_000, seed=5)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=5 * math.sqrt(cov.max() / 20_000))
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.05)
    assert torch.equal(few.sample(9, seed=5), drawn[:9])


@pytest.mark.parametrize(("start", "end"), [(10.0, 0.0), (2.0, 0.3), (0.3, 2.0)])
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1, 2, 3])])
def test_its_flow_solves_its_own_equation(few, start, end, labels) -> None:
    """The flow through the cloud against the integration of its own denoiser."""
    x = start * normal(4, 3)
    close(few.flow(x, start, end, labels), ExactModel.flow(few, x, start, end, labels), 1e-7)


def test_flow_of_one_point_is_a_contraction() -> None:
    one = KernelDensity(
        PointCloud(
            "one",
            torch.zeros(1, 2, dtype=torch.float64),
            apart=torch.zeros(1, 1, dtype=torch.float64),
        ),
        0.5,
    )
    one._cloud.scale = 1.0  # there is no gap between points to take it from
    x = 10 * normal(3, 2)
    close(one.flow(x, 10.0, 0.0), x * 0.5 / math.hypot(10, 0.5), 1e-7)


def test_bits_do_not_depend_on_the_batch(few) -> None:
    x, labels = normal(256, 3), torch.arange(256) % 4
    whole = few.denoise(x, 0.5, labels)
    for size in (1, 7, CHUNK + 1):
        rows = slice(100, 100 + size)
        assert torch.equal(few.denoise(x[rows], 0.5, labels[rows]), whole[rows])


def test_a_mode_is_the_class_of_the_nearest_point(few) -> None:
    assert torch.equal(few.mode_of(few._cloud._points + 0.01), LABELS)
    bare = KernelDensity(PointCloud("bare", normal(7, 3, seed=1)), WIDTH)
    assert torch.equal(bare.mode_of(bare._cloud._points + 0.01), torch.arange(7))


def test_it_moves_with_its_points(few) -> None:
    moved = few.to("meta")
    assert moved._cloud._points.device.type == "meta"
    assert few._cloud._points.device.type == "cpu"


def test_the_width_is_part_of_the_identity(few) -> None:
    assert (
        KernelDensity(few._cloud, 2 * WIDTH).identity
        != few.identity
        == KernelDensity(few._cloud, WIDTH).identity
    )


@pytest.mark.parametrize("width", [0, -1.0, math.inf, math.nan, "wide"])
def test_a_width_that_makes_no_sense_is_refused(few, width) -> None:
    with pytest.raises(ValueError, match="width must be a positive number, got"):
        KernelDensity(few._cloud, width)


@pytest.mark.slow
def test_distances_between_images_are_exact(fashion) -> None:
    """Whole numbers of grey levels: the matrix product's must be sums of squared differences."""
    unit = 2 / 255
    np.testing.assert_allclose(
        fashion._apart / unit**2, (fashion._apart / unit**2).round(), rtol=1e-13, atol=1e-9
    )
    np.testing.assert_allclose(
        fashion._apart[:50, :50],
        pairwise_squared_distances(fashion._points[:50]),
        rtol=1e-13,
        atol=0,
    )


def test_the_card_holds_the_first_images_of_each_class(fashion) -> None:
    from samplerbench.models.cards.datasets import FASHION_DIR, fashion_mnist

    assert fashion.labels.bincount().tolist() == [250] * 10
    assert fashion.event == (1, 28, 28)
    if not FASHION_DIR.is_dir():
        pytest.skip("needs the data set: Debian's dataset-fashion-mnist")
    images, labels = fashion_mnist("train")
    for k in (0, 9):
        want = images[labels == k][:250].double().flatten(1)
        torch.testing.assert_close(fashion._points[fashion.labels == k], want, rtol=0, atol=1e-6)


def test_images_are_scored_like_those_of_the_network() -> None:
    reference, network = make_model("fashion-kde").reference(), make_model("fashion").reference()
    assert reference.identity == network.identity
    assert np.array_equal(reference.mean, network.mean)
    assert reference.converged is None
    assert network.converged is not None
