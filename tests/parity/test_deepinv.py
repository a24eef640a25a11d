"""Our U-Nets of EDM checkpoints against deepinv's, with the same weights."""

import pytest
import torch

from samplerbench.models.nets.edm_unets import DhariwalUNet, SongUNet

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SHAPE = {"img_resolution": 16, "in_channels": 3, "out_channels": 3, "model_channels": 128}
"""deepinv normalises in 32 groups, as EDM does from 128 channels."""
SONG = {**SHAPE, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8]}
NCSN = {
    "embedding_type": "fourier",
    "channel_mult_noise": 2,
    "encoder_type": "residual",
    "resample_filter": [1, 3, 3, 1],
}


@pytest.fixture
def deepinv():
    """deepinv's models."""
    return pytest.importorskip("deepinv.models", exc_type=ImportError)


def equal(ours: torch.nn.Module, theirs: torch.nn.Module, classes: int) -> None:
    """Check the raw outputs, with weights that are nowhere zero."""
    generator = torch.Generator().manual_seed(3)
    weights = {
        name: tensor if "resample" in name or "freqs" in name
        else tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in theirs.state_dict().items()
    }  # fmt: skip
    theirs.load_state_dict(weights)
    ours.load_state_dict(weights)
    x = torch.randn(3, 3, 16, 16, generator=generator)
    noise = torch.tensor([-1.5, 0.0, 1.1])
    labels = torch.eye(classes + 1, classes)[[0, classes - 1, classes]] if classes else None
    with torch.no_grad():
        found = ours.eval()(x, noise, labels)
        expected = theirs.eval().forward_unet(x, noise, labels)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize(("kind", "more"), [("ddpm", {}), ("ncsn", NCSN)])
def test_song_unet(deepinv, kind, more, classes):
    theirs = deepinv.NCSNpp(
        model_type=kind, **SONG, label_dim=classes, augment_dim=9, pretrained=None
    )
    equal(SongUNet(**SONG, **more, label_dim=classes, augment_dim=9), theirs, classes)


@pytest.mark.parametrize("classes", [0, 4])
def test_dhariwal_unet(deepinv, classes):
    shape = {**SONG, "attn_resolutions": [16, 8]}
    theirs = deepinv.ADMUNet(**shape, label_dim=classes, pretrained=None)
    equal(DhariwalUNet(**shape, label_dim=classes), theirs, classes)
