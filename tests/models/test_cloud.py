"""Point clouds against sums of squared differences in extended precision, automatic
differentiation, and a flow known in closed form.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from samplerbench.benchmarks.planning import planner
from samplerbench.benchmarks.running.model_check import labels_if_known
from samplerbench.benchmarks.sampling.shard import sample_shard
from samplerbench.benchmarks.suites.suite import Suite
from samplerbench.models.exact.cloud import PointCloud, digits_cloud
from samplerbench.models.guidance import ClassifierFree

LABELS = torch.tensor([0, 0, 1, 2, 1, 0, 2])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def digits() -> PointCloud:
    return digits_cloud()


@pytest.fixture(scope="module")
def few() -> PointCloud:
    return PointCloud("few", normal(7, 3, seed=1), LABELS)


def brute_force(points: np.ndarray, x: np.ndarray, sigma: float) -> tuple[np.ndarray, float]:
    """Denoised point and log-density of one state, in 80-bit floats where the platform has them."""
    points, x, level = points.astype(np.longdouble), x.astype(np.longdouble), np.longdouble(sigma)
    exponent = -((points - x) ** 2).sum(1) / (2 * level**2)
    weight = np.exp(exponent - exponent.max())
    density = (
        exponent.max()
        + np.log(weight.mean())
        - len(x) * (np.log(level) + np.log(2 * np.longdouble(np.pi)) / 2)
    )
    return (weight @ points / weight.sum()).astype(np.float64), float(density)


@pytest.mark.parametrize("sigma", [0.002, 0.03, 0.1, 0.3, 1.0, 10.0, 80.0])
def test_denoiser_and_density_keep_their_accuracy_at_every_level(
    digits: PointCloud, sigma: float
) -> None:
    points = digits._points
    first = torch.arange(6)
    second = torch.cdist(points[first], points).fill_diagonal_(math.inf).argmin(1)
    # halfway, two points compete at every level
    share = torch.tensor([0.0, 0.0, 0.25, 0.5, 0.5, 0.5], dtype=torch.float64)[:, None]
    x = torch.lerp(points[first], points[second], share) + sigma * normal(6, 64)
    labels = torch.tensor([0, 1, 2, 9, 10, 10])
    for condition in (None, labels):
        shaped = x.reshape(6, 1, 8, 8)
        d, density = (
            digits.denoise(shaped, sigma, condition),
            digits.log_density(shaped, sigma, condition),
        )
        for k in range(6):
            allowed = (
                points
                if condition is None or labels[k] == 10
                else points[digits._log_prior[labels[k]].isfinite()]
            )
            want, log_p = brute_force(allowed.numpy(), x[k].numpy(), sigma)
            np.testing.assert_allclose(d[k].reshape(64).numpy(), want, rtol=0, atol=3e-14)
            # eps |x - y| |y| / sigma^2
            assert density[k].item() == pytest.approx(log_p, abs=2e-12 / min(sigma, 1))


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_tweedie(few: PointCloud, sigma: float) -> None:
    """The score of the log-density gives d, and d's Jacobian gives the posterior covariance."""
    x = (normal(5, 3) * (1 + sigma)).requires_grad_()
    for labels in (None, torch.tensor([0, 1, 2, 3, 0])):
        (score,) = torch.autograd.grad(few.log_density(x, sigma, labels).sum(), x)
        torch.testing.assert_close(
            few.denoise(x, sigma, labels), x + sigma**2 * score, rtol=0, atol=1e-13 * (1 + sigma)
        )
    row = x.detach()[:1]
    jacobian = torch.autograd.functional.jacobian(lambda x: few.denoise(x, sigma), row).reshape(
        3, 3
    )
    mean, cov = few.posterior(row, sigma)
    assert torch.equal(mean, few.denoise(row, sigma))
    torch.testing.assert_close(cov[0], sigma**2 * jacobian, rtol=0, atol=1e-13)


def test_responsibilities_sum_to_one_over_the_allowed_points(few: PointCloud) -> None:
    p = few.responsibilities(normal(3, 3), 0.5, torch.tensor([0, 2, 3]))
    torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=torch.float64))
    assert torch.equal(p[:2] > 0, torch.tensor([[0], [2]]) == LABELS)
    assert (p[2] > 0).all()


def test_moments_and_samples_are_those_of_the_points(digits: PointCloud) -> None:
    points = digits._points.numpy()
    mean, cov = digits.moments()
    np.testing.assert_allclose(mean, points.mean(0), atol=1e-14)
    np.testing.assert_allclose(cov, (points - mean).T @ (points - mean) / 1797, atol=1e-14)
    drawn = digits.sample(4000, seed=3)
    index = digits.mode_of(drawn)
    assert torch.equal(digits._points[index].reshape(drawn.shape), drawn)
    # with replacement
    assert len(index.unique()) == pytest.approx(1797 * (1 - math.exp(-4000 / 1797)), abs=60)
    assert torch.equal(digits.sample(9, seed=3), drawn[:9])


def test_every_point_is_its_own_mode(digits: PointCloud) -> None:
    points = digits._points.reshape(-1, 1, 8, 8)
    assert torch.equal(digits.mode_of(points + 0.02 * normal(*points.shape)), torch.arange(1797))


def test_classes_of__labels_of_the_points_also_under_guidance(few: PointCloud) -> None:
    guided = ClassifierFree(few, 2.0)
    labels = guided.bind(torch.arange(40), 0).labels
    assert labels is not None
    modes = guided.mode_of(few.flow(normal(40, 3), 1.0, 0.0, labels))
    assert torch.equal(guided.classes_of(modes), labels)
    assert not torch.equal(modes, labels)
    assert labels_if_known(guided, few.points)[0].equal(LABELS)
    bare = PointCloud("bare", few.points)
    assert torch.equal(bare.classes_of(modes), modes)


def test_sample_shard__guided_samples_of_points_lie_in_their_own_class(few: PointCloud) -> None:
    models = {"few": ClassifierFree(few, 2.0)}
    suite = {"name": "own", "models": ("few",), "samplers": ("heun",), "steps": (12,), "samples": 8}
    (cell,) = planner.plan(Suite(**suite), models, {"few": None})
    arrays = sample_shard(models["few"], None, cell, 0, 8, "cpu", 0, 8, lambda _: None)
    assert arrays["own_label"].all()


@pytest.mark.parametrize(("gap", "centre"), [(0.2, -1.5), (2.0, 0.5)])
def test_flow_between_two_points_on_a_line(gap: float, centre: float) -> None:
    """Two points, a line: by symmetry a state ends in the point on its side.

    Its quantile is kept on the way.
    """
    model = PointCloud("pair", torch.tensor([[centre - gap], [centre + gap]], dtype=torch.float64))
    z = torch.tensor([[-3.0], [-0.4], [-0.01], [0.003], [1.0], [2.5]], dtype=torch.float64)
    middle = model.flow(centre + 10 * z, 10.0, gap)
    assert torch.equal(model.flow(middle, gap, 0.0), centre + gap * z.sign())

    def cdf(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return (
            torch.special.ndtr((x - centre - gap) / sigma)
            + torch.special.ndtr((x - centre + gap) / sigma)
        ) / 2

    torch.testing.assert_close(cdf(middle, gap), cdf(centre + 10 * z, 10.0), rtol=0, atol=1e-6)


def test_digits_flow_to_a_digit_of_the_label_asked_for(digits: PointCloud) -> None:
    points, classes = digits._points[:128], digits._log_prior[:10, :128].isfinite().long().argmax(0)
    model = PointCloud("first digits", points.reshape(-1, 1, 8, 8), classes)
    labels = torch.tensor([3, 7, 10])
    end = model.flow(2 * normal(3, 1, 8, 8), 2.0, 0.0, labels)
    index = model.mode_of(end)
    assert torch.equal(points[index].reshape(end.shape), end)
    assert torch.equal(classes[index][:2], labels[:2])


@pytest.mark.parametrize("size", [1, 7, 256])
def test_a_sample_is_bit_identical_at_every_batch_size(digits: PointCloud, size: int) -> None:
    labels = torch.arange(256) % 11
    for sigma in (0.05, 0.4, 20.0):
        x = digits.sample(256, seed=0) + sigma * normal(256, 1, 8, 8)
        whole, density = digits.denoise(x, sigma, labels), digits.log_density(x, sigma)
        order = torch.randperm(256, generator=torch.Generator().manual_seed(1))[: max(size, 5)]
        for rows in order.split(size):
            assert torch.equal(digits.denoise(x[rows], sigma, labels[rows]), whole[rows])
            assert torch.equal(digits.log_density(x[rows], sigma), density[rows])


def test_the_card_holds_the_digits(digits: PointCloud) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(digits._points.numpy(), pixels / 8 - 1)
    member = digits._log_prior[:10].isfinite()
    np.testing.assert_array_equal(member.long().argmax(0).numpy(), labels)
    assert (member.sum(0) == 1).all()
    assert digits.classes == 10
    assert digits.event == (1, 8, 8)
