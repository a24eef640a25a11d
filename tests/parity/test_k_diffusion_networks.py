"""Our networks of k-diffusion against the library's, with the same weights.

Its second transformer is in clones only, where $SAMPLERBENCH_PEERS names the folder that they are in.
"""

import pytest
import torch

from samplerbench.models.nets.k_image_v1 import KImageV1
from samplerbench.models.nets.k_transformers import KTransformerV1, KTransformerV2
from samplerbench.samplers.peers.k_diffusion import package_folder
from samplerbench.samplers.peers.locate import import_without_package

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch):
    monkeypatch.setenv("K_DIFFUSION_USE_COMPILE", "0")


def library(module):
    """A module of its networks."""
    try:
        return import_without_package(package_folder("k-diffusion"), f"models.{module}")
    except ValueError as absent:
        pytest.skip(str(absent))
    except ModuleNotFoundError:
        pytest.skip(f"there is no clone of k-diffusion in $SAMPLERBENCH_PEERS: {module}")


def stirred(network):
    """With weights that are nowhere 0."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return network.eval()


def assert_equal(ours, theirs, shape, labels=None):
    ours.load_state_dict(theirs.state_dict())
    x, sigma = torch.randn(2, 3, *shape), torch.tensor([0.3, 4.0])
    given = {} if labels is None else {"class_cond": labels}
    with torch.no_grad():
        found, right = ours(x, sigma.log() / 4, labels), theirs(x, sigma, **given)
    assert right.std() > 0.05
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("patch", [1, 2])
def test_image_v1(patch):
    models = pytest.importorskip("k_diffusion.models")
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


@pytest.mark.parametrize(("patch", "classes"), [((2, 2), 0), ((4, 2), 5)])
def test_image_transformer_v1(patch, classes):
    """Also places that are no squares."""
    torch.manual_seed(0)
    theirs = stirred(
        library("image_transformer_v1").ImageTransformerDenoiserModelV1(
            n_layers=2, d_model=128, d_ff=96, in_features=3, out_features=3, patch_size=patch,
            num_classes=classes,
        )
    )  # fmt: skip
    theirs.blocks[0].self_attn.qk_norm.scale.data[0] = 9.0  # above what it is clamped to
    ours = KTransformerV1(channels=3, width=128, hidden=96, depth=2, patch=patch, labels=classes)
    assert_equal(ours, theirs, (16, 8), torch.tensor([4, 0]) if classes else None)


@pytest.mark.parametrize("classes", [0, 5])
def test_image_transformer_v2_in_windows_and_everywhere(classes):
    """Windows of odd layers are moved, also those of the way up, which are counted on."""
    torch.manual_seed(0)
    v2 = library("image_transformer_v2")
    levels = [
        v2.LevelSpec(3, 32, 48, v2.ShiftedWindowAttentionSpec(16, 4), 0.0),
        v2.LevelSpec(1, 48, 64, v2.NoAttentionSpec(), 0.0),
        v2.LevelSpec(2, 64, 96, v2.GlobalAttentionSpec(32), 0.0),
    ]
    theirs = stirred(
        v2.ImageTransformerDenoiserModelV2(
            levels, v2.MappingSpec(2, 32, 64, 0.0), 3, 3, (2, 2), classes
        )
    )
    ours = KTransformerV2(
        channels=3, patch=(2, 2), widths=[32, 48, 64], depths=[3, 1, 2], hidden=[48, 64, 96],
        attention=[
            {"type": "shifted-window", "d_head": 16, "window_size": 4},
            {"type": "none"},
            {"type": "global", "d_head": 32},
        ],
        embedding=32, embedding_hidden=64, embedding_depth=2, labels=classes,
    )  # fmt: skip
    assert_equal(ours, theirs, (32, 16), torch.tensor([4, 0]) if classes else None)


def test_image_transformer_v2_in_neighbourhoods_of_all_places():
    """Weights of the library's have the same names, whatever attends; what neighbourhoods are is tested
    by their definition, since the library needs NATTEN for them.
    """
    torch.manual_seed(0)
    v2 = library("image_transformer_v2")

    def theirs(attention):
        levels = [v2.LevelSpec(2, 32, 48, attention, 0.0)]
        return v2.ImageTransformerDenoiserModelV2(
            levels, v2.MappingSpec(1, 32, 64, 0.0), 3, 3, (2, 2)
        )

    everywhere = stirred(theirs(v2.GlobalAttentionSpec(16)))
    theirs(v2.NeighborhoodAttentionSpec(16, 7)).load_state_dict(everywhere.state_dict())
    ours = KTransformerV2(
        channels=3, patch=(2, 2), widths=[32], depths=[2], hidden=[48],
        attention=[{"type": "neighborhood", "d_head": 16, "kernel_size": 7}],
        embedding=32, embedding_hidden=64, embedding_depth=1,
    )  # fmt: skip
    assert_equal(ours, everywhere, (14, 14))
