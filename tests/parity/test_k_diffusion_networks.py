"""Our network of k-diffusion's image_v1 against the library's, with the same weights."""

import pytest
import torch

from samplerbench.models.nets.k_image_v1 import KImageV1

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("patch", [1, 2])
def test_image_v1(patch):
    models = pytest.importorskip("k_diffusion.models", exc_type=ImportError)
    torch.manual_seed(0)
    shape = [2, 1], [32, 64], [False, True]
    theirs = models.ImageDenoiserModelV1(3, 32, *shape, mapping_cond_dim=9, patch_size=patch)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    ours = KImageV1(
        channels=3,
        embedding=32,
        depths=shape[0],
        widths=shape[1],
        attention=shape[2],
        patch=patch,
        conditions=9,
    )
    ours.load_state_dict(theirs.state_dict())
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.3, 4.0])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, sigma.log() / 4), theirs(x, sigma), rtol=1e-5, atol=1e-5)
