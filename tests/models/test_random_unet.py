"""The networks for wall time: the same everywhere, bounded, and refused where their shape makes
no sense.
"""

import pytest
import torch

from samplerbench.models import make_model, model_names
from samplerbench.models.nets.unet import SIGMA_DATA, RandomUNet, UNet, randomise


@pytest.mark.parametrize("side", [32, 64])
def test_it_is_a_model_of_the_registry_without_a_reference(side):
    model = make_model(f"random-unet-{side}", width=16)
    assert f"random-unet-{side}" in model_names()
    assert model.event == (3, side, side)
    assert model.reference() is None
    assert model.draw_labels(torch.arange(2), 0) is None


def test_its_weights_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = RandomUNet(32, 16)
    torch.manual_seed(2)
    second = RandomUNet(32, 16)
    for one, other in zip(first._net.parameters(), second._net.parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first.denoise(x, 1.0, None), second.denoise(x, 1.0, None))


def test_no_weight_is_left_at_zero_and_all_have_the_variance_of_their_fan_in():
    net = UNet(in_channels=3, channels=(32, 64), embedding=128, patch=1, labels=0)
    randomise(net, torch.Generator().manual_seed(0))
    for parameter in net.parameters():
        if parameter.ndim > 1 and parameter.numel() > 1000:
            assert float(parameter.detach().var()) * parameter[0].numel() == pytest.approx(
                1.0, abs=0.2
            )


@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_the_denoiser_is_preconditioned_and_bounded(sigma):
    """With F of order one, D = c_skip x + c_out F: x itself at small noise, no larger than the
    data's spread at large noise.
    """
    model = make_model("random-unet-32", width=16)
    x = sigma * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    d = model.denoise(x, sigma, None)
    c_out = sigma * SIGMA_DATA / (sigma**2 + SIGMA_DATA**2) ** 0.5
    f = (d - SIGMA_DATA**2 / (sigma**2 + SIGMA_DATA**2) * x) / c_out
    assert 0.1 < float(f.std()) < 10
    assert d.dtype == x.dtype


def test_a_batch_of_levels_is_the_levels_one_by_one():
    model = make_model("random-unet-32", width=16)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    both = model.denoise(x, torch.tensor([0.5, 2.0]), None)
    for row, sigma in enumerate((0.5, 2.0)):
        torch.testing.assert_close(
            both[row : row + 1], model.denoise(x[row : row + 1], sigma, None), rtol=1e-4, atol=1e-5
        )


def test_to_leaves_the_original_where_it_is():
    model = RandomUNet(32, 16)
    twin = model.to("meta")
    assert {p.device.type for p in twin._net.parameters()} == {"meta"}
    assert {p.device.type for p in model._net.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("side", "width", "sentence"),
    [(31, 16, "even side, got 31"), (32, 20, "16 divides, got 20"), (32, 0, "got 0")],
)
def test_shapes_that_make_no_sense_are_refused(side, width, sentence):
    with pytest.raises(ValueError, match=sentence):
        RandomUNet(side, width)
