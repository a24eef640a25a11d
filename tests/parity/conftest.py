import warnings

import pytest
import torch


@pytest.fixture(scope="module")
def peer():
    """k-diffusion's own sampling module, from a clone or from the installed package."""
    from samplerbench.samplers.peers.k_diffusion import load_sampling

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_sampling("k-diffusion")
    except ValueError as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def net():
    """diffusers' U-Net of small images, untrained: how it is called and stepped does not depend on it."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(16,), layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4,
        add_attention=False,
    ).eval()  # fmt: skip
