"""Degradations against what they say of themselves, and against other ways of computing them."""

from itertools import pairwise

import pytest
import torch
from scipy.ndimage import gaussian_filter

from samplerbench_studies.models.degradation import (
    DEGRADATIONS,
    Mask,
    blur_matrix,
    handwritten,
    pixel_matrix,
)

N = 3


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(N, 1, 28, 28, dtype=torch.float64, generator=generator) * 2 - 1


@pytest.fixture(params=DEGRADATIONS)
def degradation(request):
    return DEGRADATIONS[request.param]


@pytest.fixture
def companion(degradation):
    return degradation.companions(N, torch.Generator().manual_seed(4))


def test_severity_zero_leaves_everything(degradation, companion, x):
    torch.testing.assert_close(degradation(x, tensor(0.0)[0], companion), x, rtol=0, atol=1e-12)


def test_severity_one_leaves_at_most_the_mean(degradation, companion, x):
    """What another picture of the same lightness becomes is the same."""
    other = x.flip(-1)
    gone = [degradation(one, tensor(1.0)[0], companion) for one in (x, other)]
    torch.testing.assert_close(*gone, rtol=0, atol=1e-4)


def test_it_is_affine_in_the_picture(degradation, companion, x):
    s = tensor(0.2, 0.5, 0.9)
    mixed = degradation(0.3 * x + 0.7 * x.flip(0), s, companion)
    apart = 0.3 * degradation(x, s, companion) + 0.7 * degradation(x.flip(0), s, companion)
    torch.testing.assert_close(mixed, apart, rtol=0, atol=1e-12)


def test_it_is_continuous_and_takes_a_severity_for_each_picture(degradation, companion, x):
    levels = torch.linspace(0, 1, 401, dtype=torch.float64)
    path = torch.stack([degradation(x, s, companion) for s in levels])
    assert path.diff(dim=0).abs().max() < 0.15
    each = degradation(x, levels[[7, 201, 390]], companion)
    assert torch.equal(each, path[[7, 201, 390], [0, 1, 2]])


def test_blur_is_a_convolution_with_mirrors(x):
    severity = tensor(0.5)
    width = 0.5 * ((1 + 40 / 0.5) ** 0.5 - 1)
    a = blur_matrix(severity)[0]
    direct = gaussian_filter(x[0, 0].numpy(), width, mode="reflect", truncate=8.0)
    torch.testing.assert_close(a @ x[0, 0] @ a.T, torch.from_numpy(direct), rtol=0, atol=1e-6)


def test_pixels_are_means_of_blocks(x):
    sizes = pixel_matrix(torch.linspace(0, 1, 6, dtype=torch.float64))
    line = x[0, 0, :, 0]
    for k, matrix in enumerate(sizes):
        blocks = [
            line[max(0, start) : start + 2**k] for start in range(-2, 28, 2**k) if start + 2**k > 0
        ]
        direct = torch.cat([block.mean().expand(len(block)) for block in blocks])
        torch.testing.assert_close(matrix @ line, direct, rtol=0, atol=1e-12)
    for finer, coarser in pairwise(sizes):
        torch.testing.assert_close(coarser @ finer, coarser, rtol=0, atol=1e-12)


def test_nothing_that_is_covered_comes_back(x):
    seen = [Mask()(x, s, x).abs() for s in torch.linspace(0, 1, 33, dtype=torch.float64)]
    assert all((b <= a).all() for a, b in pairwise(seen))


def test_companions():
    generator = torch.Generator().manual_seed(0)
    when = DEGRADATIONS["snow"].companions(500, generator)
    assert when.mean().item() == pytest.approx(0.5, abs=0.01)
    assert when.var().item() == pytest.approx(1 / 12, rel=0.02)
    digits = handwritten(40, generator)
    assert digits.shape == (40, 1, 28, 28)
    assert digits.amin() >= -1
    assert digits.amax() <= 1
    assert len(digits.flatten(1).unique(dim=0)) > 30
