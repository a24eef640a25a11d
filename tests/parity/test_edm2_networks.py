"""Our network of EDM2 checkpoints against NVIDIA's, with the same weights, where $SAMPLERBENCH_PEERS names
a folder with a clone of its repository.
"""

import importlib
import sys

import pytest
import torch

from samplerbench.models.nets.edm2_unet import EDM2UNet
from samplerbench.samplers.peers.locate import find_clone

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SHAPE = {"img_resolution": 16, "img_channels": 3, "model_channels": 16, "channel_mult": [1, 2, 3]}
SHAPE |= {"num_blocks": 2, "attn_resolutions": [8, 4], "channels_per_head": 16}
OTHER = {"channel_mult_noise": 2, "channel_mult_emb": 4, "label_balance": 0.4, "res_balance": 0.2}
OTHER |= {"concat_balance": 0.7, "attn_balance": 0.4, "clip_act": 2.0, "dropout": 0.1}


@pytest.fixture
def theirs(monkeypatch):
    """Its module of networks; what it imports is forgotten afterwards."""
    folder = find_clone("edm2")
    if folder is None:
        pytest.skip("there is no clone of edm2 in $SAMPLERBENCH_PEERS")
    before = set(sys.modules)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("training.networks_edm2")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("training", "torch_utils", "dnnlib"):
            del sys.modules[name]


@pytest.mark.parametrize("classes", [0, 5])
@pytest.mark.parametrize("more", [{}, OTHER], ids=["as published", "other balances"])
def test_the_unet(theirs, classes, more):
    torch.manual_seed(0)
    library = theirs.UNet(**SHAPE, **more, label_dim=classes).eval()
    with torch.no_grad():
        for name, weight in library.named_parameters():
            weight.copy_(torch.randn_like(weight) if "gain" not in name else torch.tensor(0.7))
    ours = EDM2UNet(**SHAPE, **more, label_dim=classes).eval()
    ours.load_state_dict(library.state_dict())
    x, noise = torch.randn(3, 3, 16, 16), torch.tensor([-1.5, 0.0, 1.1])
    labels = torch.eye(classes + 1, classes)[[0, 4, 5]] if classes else None
    with torch.no_grad():
        found, right = ours(x, noise, labels), library(x, noise, labels)
    assert right.std() > 0.1
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def test_the_preconditioned_denoiser_of_a_file(theirs, tmp_path):
    """A file in its layout that NVIDIA's own classes wrote, read by us and called by them."""
    import pickle

    from samplerbench.models.loaders.checkpoint import load

    torch.manual_seed(1)
    net = theirs.Precond(
        **SHAPE, label_dim=4, use_fp16=False, sigma_data=0.5, logvar_channels=8
    ).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    encoders = importlib.import_module("training.encoders")
    path = tmp_path / "net.pkl"
    held = {"ema": net, "encoder": encoders.StandardRGBEncoder(), "dataset_kwargs": {}}
    path.write_bytes(pickle.dumps(held))
    model = load(path, {})
    for sigma in (0.02, 0.7, 50.0):
        x = sigma * torch.randn(2, 3, 16, 16)
        labels = torch.tensor([3, 4])
        with torch.no_grad():
            right = net(x, torch.full((2,), sigma), torch.eye(5, 4)[labels])
        found = model.denoise(x, sigma, labels)
        torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5 * max(1.0, sigma))


def test_latents_become_its_encoders_images(theirs, tmp_path):
    """Its own class around a small autoencoder; what it saves as bytes is the truncation of ours."""
    import pickle

    from samplerbench.models.loaders.checkpoint import load

    diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
    torch.manual_seed(1)
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4,), norm_num_groups=4, latent_channels=4, scaling_factor=0.18215
    ).eval()
    vae.save_pretrained(tmp_path / "vae")
    encoder = importlib.import_module("training.encoders").StabilityVAEEncoder()
    shape = SHAPE | {"img_channels": 4, "num_blocks": 1}
    net = theirs.Precond(**shape, label_dim=0, use_fp16=False).eval()
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({"ema": net, "encoder": encoder}))
    model = load(path, {"decoder.folder": str(tmp_path / "vae")})
    latents = 0.5 * torch.randn(3, 4, 16, 16)
    encoder._vae = vae
    with torch.no_grad():
        right = encoder.decode(latents)
    found = model.decode(latents).clamp(*model.decoded_limits).mul(255)
    assert right.float().std() > 1
    # a value on the edge of two bytes may fall to either side
    assert (found - right.float() - 0.5).abs().max() < 0.51
