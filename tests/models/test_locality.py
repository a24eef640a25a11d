"""Locality against linear denoisers whose kernels are known, and exact covariances."""

import math

import pytest
import torch
import torch.nn.functional as F

from samplerbench.models import Denoiser, make_model
from samplerbench.models.exact.wavelet import Wavelet
from samplerbench.models.mmse import normal_like
from samplerbench_studies.analysis.locality import receptive_radius, sensitivity


class Blur(Denoiser):
    """Averages 3 × 3 neighbourhoods, so a pixel sees 9 inputs, 4 at distance 1, 4 at sqrt(2)."""

    name, event, identity = "blur", (1, 9, 9), "blur"

    def denoise(self, x, sigma, labels):
        return F.avg_pool2d(x, 3, 1, 1)


def test_a_blur_sees_its_neighbourhood():
    x = torch.randn(2, 1, 9, 9)
    rows = sensitivity(Blur(), x, 1.0)
    expected = torch.zeros(9, 9)
    expected[3:6, 3:6] = 1 / 9
    torch.testing.assert_close(rows[0, 0], expected)
    assert float(receptive_radius(rows)) == pytest.approx(math.sqrt((4 * 1 + 4 * 2) / 9), rel=1e-6)


def test_the_pixel_can_be_chosen_and_moves_the_field_along():
    rows = sensitivity(Blur(), torch.randn(1, 1, 9, 9), 1.0, (2, 6))
    assert float(receptive_radius(rows, (2, 6))) == pytest.approx(math.sqrt(12 / 9), rel=1e-6)
    assert float(receptive_radius(rows, (2, 3))) == pytest.approx(math.sqrt(12 / 9 + 9), rel=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 3.0])
def test_for_an_exact_model_it_is_a_row_of_the_covariance(sigma):
    model = Wavelet(side=8)
    x0 = model.sample(2, 0)
    x = x0 + sigma * normal_like(x0, 0)
    row = model.posterior(x, sigma)[1][:, 4 * 8 + 4].reshape(x.shape) / sigma**2
    torch.testing.assert_close(sensitivity(model, x, sigma), row, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["fashion-mppca", "fashion"])
def test_much_noise_makes_the_denoiser_look_far(name):
    model, images = make_model(name), make_model("fashion-mppca").sample(4, 0)
    x0 = images.to(model.dtype)
    labels = None if name == "fashion-mppca" else torch.full((4,), model.classes)
    near, far = (
        float(
            receptive_radius(
                sensitivity(model, x0 + sigma * normal_like(x0, 0), sigma, labels=labels)
            )
        )
        for sigma in (0.05, 5.0)
    )
    assert near < 3 < 5 < far < 20


def test_what_is_no_image_or_no_pixel_is_refused():
    with pytest.raises(ValueError, match="needs images"):
        sensitivity(Blur(), torch.zeros(1, 9), 1.0)
    with pytest.raises(ValueError, match="outside images of 9 × 9"):
        sensitivity(Blur(), torch.zeros(1, 1, 9, 9), 1.0, (9, 0))
    with pytest.raises(ValueError, match="has no receptive field"):
        receptive_radius(torch.zeros(1, 1, 9, 9))
