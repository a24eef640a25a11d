"""Our networks of OpenAI's U-Net and of DiT against diffusers', with the same weights by other names."""

import pytest
import torch

from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.models.nets.dit import DiT
from samplerbench.models.nets.edm_layers import SinusoidalEmbedding

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]


@pytest.fixture
def diffusers():
    """The library."""
    return pytest.importorskip("diffusers", exc_type=ImportError)


def random(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights that are nowhere zero."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: tensor + 0.03 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in network.state_dict().items()
    }


RES = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def of_unet(ours: dict[str, torch.Tensor], levels: int, blocks: int) -> dict[str, torch.Tensor]:
    """Our weights by diffusers' names."""
    places = {"middle_block.0": "mid_block.resnets.0", "middle_block.2": "mid_block.resnets.1"}
    places["middle_block.1"] = "mid_block.attentions.0"
    for level in range(levels):
        for i in range(blocks + 1):
            inner, outer = 1 + level * (blocks + 1) + i, level * (blocks + 1) + i
            down = f"resnets.{i}" if i < blocks else "downsamplers.0"
            places[f"input_blocks.{inner}.0"] = f"down_blocks.{level}.{down}"
            places[f"input_blocks.{inner}.1"] = f"down_blocks.{level}.attentions.{i}"
            places[f"output_blocks.{outer}.0"] = f"up_blocks.{level}.resnets.{i}"
            attends = f"output_blocks.{outer}.1.qkv.weight" in ours
            if attends:
                places[f"output_blocks.{outer}.1"] = f"up_blocks.{level}.attentions.{i}"
            places[f"output_blocks.{outer}.{1 + attends}"] = f"up_blocks.{level}.upsamplers.0"
            if attends:
                places[f"output_blocks.{outer}.1"] = f"up_blocks.{level}.attentions.{i}"
    tops = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2"}
    tops |= {"input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}
    theirs = {}
    for name, tensor in ours.items():
        stem, _, kind = name.rpartition(".")
        place = ".".join(name.split(".")[: 3 if not name.startswith("middle") else 2])
        part = stem.removeprefix(place).lstrip(".")
        if stem in tops:
            theirs[f"{tops[stem]}.{kind}"] = tensor
        elif name == "label_emb.weight":
            theirs["class_embedding.weight"] = tensor
        elif part == "qkv":
            for to, third in zip(
                "qkv", tensor.flatten(1 if kind == "weight" else 0).chunk(3), strict=True
            ):
                theirs[f"{places[place]}.to_{to}.{kind}"] = third
        elif part in ("proj_out", "norm"):
            to = {"proj_out": "to_out.0", "norm": "group_norm"}[part]
            theirs[f"{places[place]}.{to}.{kind}"] = (
                tensor.flatten(1) if kind == "weight" and part == "proj_out" else tensor
            )
        else:
            theirs[f"{places[place]}.{RES.get(part, {'op': 'conv'}.get(part, part))}.{kind}"] = (
                tensor
            )
    return theirs


@pytest.mark.parametrize("resample_blocks", [True, False])
@pytest.mark.parametrize("scale_shift", [True, False])
def test_the_unet_is_that_of_diffusers(diffusers, resample_blocks, scale_shift):
    torch.manual_seed(4)
    ours = ADMUNet(
        in_channels=3,
        out_channels=6,
        embedding=32,
        stem=32,
        classes=10,
        widths=(32, 64),
        blocks=2,
        attention=(1,),
        head_width=16,
        together=True,
        resample_blocks=resample_blocks,
        scale_shift=scale_shift,
    )
    kinds = "Resnet" if resample_blocks else ""
    theirs = diffusers.UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        layers_per_block=2,
        num_class_embeds=10,
        block_out_channels=(32, 64),
        attention_head_dim=16,
        down_block_types=("ResnetDownsampleBlock2D" if kinds else "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "ResnetUpsampleBlock2D" if kinds else "UpBlock2D"),
        attn_norm_num_groups=32,  # else its middle has no normalisation under scale_shift
        downsample_type="resnet" if kinds else "conv",
        upsample_type="resnet" if kinds else "conv",
        resnet_time_scale_shift="scale_shift" if scale_shift else "default",
    )
    weights = random(ours)
    ours.load_state_dict(weights)
    theirs.load_state_dict(of_unet(weights, 2, 2))
    torch.manual_seed(5)
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([0.0, 37.0, 999.0])
    labels = torch.tensor([0, 4, 9])
    with torch.no_grad():
        torch.testing.assert_close(
            ours.eval()(x, t, labels), theirs.eval()(x, t, labels).sample, rtol=1e-5, atol=1e-5
        )


def of_dit(ours: dict[str, torch.Tensor], depth: int) -> dict[str, torch.Tensor]:
    """Our weights by diffusers' names."""
    names = {"x_embedder.proj": "pos_embed.proj", "final_layer.linear": "proj_out_2"}
    names["final_layer.adaLN_modulation.1"] = "proj_out_1"
    theirs = {}
    for i in range(depth):
        block, theirs_block = f"blocks.{i}", f"transformer_blocks.{i}"
        names |= {
            f"{block}.adaLN_modulation.1": f"{theirs_block}.norm1.linear",
            f"{block}.attn.proj": f"{theirs_block}.attn1.to_out.0",
            f"{block}.mlp.fc1": f"{theirs_block}.ff.net.0.proj",
            f"{block}.mlp.fc2": f"{theirs_block}.ff.net.2",
        }
        for kind in ("weight", "bias"):
            for to, third in zip("qkv", ours[f"{block}.attn.qkv.{kind}"].chunk(3), strict=True):
                theirs[f"{theirs_block}.attn1.to_{to}.{kind}"] = third
            for j, layer in ((0, "linear_1"), (2, "linear_2")):
                theirs[f"{theirs_block}.norm1.emb.timestep_embedder.{layer}.{kind}"] = ours[
                    f"t_embedder.mlp.{j}.{kind}"
                ]
        table = ours["y_embedder.embedding_table.weight"]
        theirs[f"{theirs_block}.norm1.emb.class_embedder.embedding_table.weight"] = table
    for name, tensor in ours.items():
        stem, _, kind = name.rpartition(".")
        if stem in names:
            theirs[f"{names[stem]}.{kind}"] = tensor
    return theirs


def test_the_transformer_is_that_of_diffusers(diffusers):
    torch.manual_seed(4)
    ours = DiT(
        side=8,
        in_channels=4,
        out_channels=8,
        patch=2,
        width=48,
        depth=2,
        heads=3,
        hidden=192,
        labels=11,
    )
    theirs = diffusers.DiTTransformer2DModel(
        num_attention_heads=3,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
    ).eval()
    weights = random(ours)
    # diffusers' sinusoids end at 1e-4 itself; those of the published checkpoints stop one short
    ours.t_embedder.embed = SinusoidalEmbedding(256, reaches_end=True)
    weights["pos_embed"] = theirs.pos_embed.pos_embed.clone()
    ours.load_state_dict(weights)
    missing, unexpected = theirs.load_state_dict(of_dit(weights, 2), strict=False)
    assert (unexpected, [n for n in missing if "pos_embed.pos_embed" not in n]) == ([], [])
    torch.manual_seed(5)
    x, t, labels = torch.randn(3, 4, 8, 8), torch.tensor([0, 37, 999]), torch.tensor([0, 4, 10])
    with torch.no_grad():
        found = ours.eval()(x, t.float(), labels)
        wanted = theirs(x, timestep=t, class_labels=labels).sample
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
