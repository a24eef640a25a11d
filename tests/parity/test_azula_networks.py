"""Our transformers of JiT and LightningDiT against azula's JiT, with the same weights."""

import pytest
import torch
from torch import nn

from samplerbench.models.nets.dit import RotaryDiT

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SHAPE = {"side": 16, "in_channels": 3, "out_channels": 3, "patch": 4, "width": 32, "depth": 3}
SHAPE |= {"heads": 2, "labels": 6, "normed": True, "rms": True, "swiglu": True, "rotary": True}
NARROW = 48
"""Numbers of a patch, so that the two layers of JiT's stem are any one layer."""


def theirs(told: int, start: int) -> nn.Module:
    """With weights that are nowhere 0."""
    module = pytest.importorskip("azula.plugins.jit._src.model", exc_type=ImportError)
    torch.manual_seed(0)
    made = module.JiT(
        input_size=16, patch_size=4, in_channels=3, hidden_size=32, depth=3, num_heads=2,
        num_classes=5, bottleneck_dim=NARROW, in_context_len=told, in_context_start=start,
    )  # fmt: skip
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made.eval()


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    x, t, labels = torch.randn(3, 3, 16, 16), torch.tensor([0.05, 0.5, 1.0]), [0, 4, 5]
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        found = ours.eval()(x, t, torch.tensor(labels))
        right = theirs(x, t, torch.tensor(labels))
    assert right.std() > 0.1
    torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def hidden(network: nn.Module) -> int:
    return network.state_dict()["blocks.0.mlp.w3.weight"].shape[1]


@pytest.mark.parametrize(("told", "start"), [(4, 1), (0, 3)])
def test_jit(told, start):
    library = theirs(told, start)
    ours = RotaryDiT(**SHAPE, hidden=hidden(library), narrow=NARROW, told=told, told_from=start)
    ours.load_state_dict(library.state_dict())
    assert_equal(ours, library)


@pytest.mark.parametrize("normed", [True, False])
def test_lightning_dit(normed):
    """It is JiT without tokens of the label, on one layer of patches, and here and there without the
    norms of queries and keys.
    """
    library = theirs(0, 3)
    if not normed:
        for block in library.blocks:
            block.attn.q_norm = block.attn.k_norm = nn.Identity()
    ours = RotaryDiT(**SHAPE | {"normed": normed}, hidden=hidden(library))
    weights = dict(library.state_dict())
    narrow = weights.pop("x_embedder.proj1.weight")
    wide, bias = (weights.pop(f"x_embedder.proj2.{name}") for name in ("weight", "bias"))
    weights["x_embedder.proj.weight"] = torch.einsum("oi,ichw->ochw", wide[:, :, 0, 0], narrow)
    weights["x_embedder.proj.bias"] = bias
    own = ours.state_dict()
    weights |= {name: own[name] for name in own if name.startswith("feat_rope")}
    ours.load_state_dict(weights)
    assert_equal(ours, library)
