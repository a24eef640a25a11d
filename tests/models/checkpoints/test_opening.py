"""Files that are opened, and the one sentence for each that cannot be."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from looping import each

from samplerbench.models import make_model
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.checkpoints.pickles import ObjectStandIn
from samplerbench.models.loaders.checkpoint import specify_checkpoint

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


class Runs:
    """Leaves a file where it is unpickled by anybody who executes it."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


def test_tensors_come_out_of_every_container(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "a.safetensors", {"config": "{}"})
    torch.save({"ema": WEIGHTS, "step": 7}, tmp_path / "a.pt")
    torch.save(WEIGHTS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    opened = open_checkpoint(tmp_path / "a.safetensors")
    assert (opened.container, opened.metadata) == ("safetensors", {"config": "{}"})
    new, old = open_checkpoint(tmp_path / "a.pt"), open_checkpoint(tmp_path / "old.pth")
    assert new.value["step"] == 7
    for found in (opened.value, new.value["ema"], old.value):
        assert found.keys() == WEIGHTS.keys()
        assert all(torch.equal(found[k], WEIGHTS[k]) for k in WEIGHTS)


def test_what_lies_beside_the_weights_is_read_and_does_nothing(tmp_path):
    beside = {
        "args": argparse.Namespace(lr=1e-4, schedule="linear"),
        "loss": np.float64(0.25),
        "seen": np.arange(3),
        "dtype": torch.float16,
    }
    torch.save({"model": WEIGHTS, **beside}, tmp_path / "a.pt")
    found = open_checkpoint(tmp_path / "a.pt").value
    assert isinstance(found["args"], ObjectStandIn)
    assert found["args"].state == {"lr": 1e-4, "schedule": "linear"}
    assert found["loss"] == 0.25
    assert found["seen"].tolist() == [0, 1, 2]
    assert found["dtype"] == torch.float16


@pytest.mark.parametrize("container", ["pickle", "torch", "old torch"])
def test_code_in_a_pickle_does_not_run(tmp_path, container):
    made, path = tmp_path / "made", tmp_path / "a.pt"
    value = {"model": WEIGHTS, "more": Runs(made)}
    if container == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=container == "torch")
    with pytest.raises(CheckpointError, match=r"pickle with code: it names \w+\.system") as refused:
        open_checkpoint(path)
    assert "safetensors" in str(refused.value)
    assert not made.exists()
    if container == "pickle":  # and it would have
        pickle.loads(path.read_bytes())
        assert made.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "builtins.getattr", "runpy.run_path", "sys.exit"]
)
def test_functions_of_python_are_refused(tmp_path, name):
    module, _, function = name.partition(".")
    path = tmp_path / "a.pkl"
    path.write_bytes(
        b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"X\x01\x00\x00\x001\x85R."
    )
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        open_checkpoint(path)


def _cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def _zip_of_others(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.png", b"x")


def _scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


WRONG = {
    "empty.pt": (lambda p: p.write_bytes(b""), "is empty; download it again"),
    "a.pt.part": (lambda p: p.write_bytes(b"PK"), "did not finish"),
    "lfs.safetensors": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "git lfs pull",
    ),
    "page.ckpt": (lambda p: p.write_text("<!DOCTYPE html><title>Log in</title>"), "is a web page"),
    "notes.txt": (lambda p: p.write_text("weights, see drive"), "is a text file; a checkpoint is"),
    "cut.safetensors": (
        lambda p: p.write_bytes(_cut(safetensors.torch.save(WEIGHTS))),
        "cut short or damaged",
    ),
    "others.zip": (_zip_of_others, "other things .cat.png"),
    "script.pt": (_scripted, "is a TorchScript program"),
    "short.pkl": (lambda p: p.write_bytes(b"\x80"), "is cut short"),
    "bytes.bin": (lambda p: p.write_bytes(bytes(range(128, 256)) * 9), "is of no known format"),
}


@each("name", WRONG)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_open_checkpoint__a_wrong_file_is_one_sentence(tmp_path, name):
    write, said = WRONG[name]
    write(tmp_path / name)
    with pytest.raises(CheckpointError, match=said) as refused:
        open_checkpoint(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("new", [True, False])
def test_a_torch_file_that_is_cut_short_is_one_sentence(tmp_path, new):
    path = tmp_path / "a.pt"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CheckpointError, match="cut short"):
            open_checkpoint(path)


@pytest.mark.parametrize("path", ["none.pt", "a" * 300, "~nobody_of_this_name/a.pt"])
def test_what_is_not_there_is_said(path):
    with pytest.raises(CheckpointError, match="there is no file or folder"):
        make_model(f"checkpoint:{path}")
    what = "file or folder" if path.endswith(".pt") else "model"
    with pytest.raises(ValueError, match=f"there is no {what}"):
        make_model(path)


def test_the_content_of_a_folder_is_that_of_its_files(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "a.bin").write_bytes(b"1")
    first = open_checkpoint(tmp_path).sha256
    assert first == open_checkpoint(tmp_path).sha256
    (tmp_path / "unet" / "a.bin").write_bytes(b"2")
    assert first != open_checkpoint(tmp_path).sha256


def weights(*names: str, behind: str = "") -> dict[str, torch.Tensor]:
    return {behind + name: torch.ones(2) for name in names}


SD3 = (
    "joint_blocks.0.context_block.adaLN_modulation.1.bias",
    "joint_blocks.0.x_block.mlp.fc1.weight",
)
SD3 += ("context_embedder.weight", "pos_embed", "t_embedder.mlp.0.weight", "x_embedder.proj.weight")
SD3 += (
    "y_embedder.mlp.0.weight",
    "final_layer.linear.weight",
    "final_layer.adaLN_modulation.1.weight",
)
FLUX = ("double_blocks.0.img_attn.norm.key_norm.scale", "double_blocks.0.img_attn.qkv.weight")
FLUX += ("single_blocks.0.linear1.weight", "img_in.weight", "guidance_in.in_layer.weight")
FLUX += ("final_layer.linear.weight", "time_in.in_layer.weight", "txt_in.weight")
VAE = ("encoder.down.0.block.0.norm1.weight", "decoder.up.0.block.0.norm1.weight")
CLIP = "clip_l.transformer.text_model.embeddings.position_embedding.weight"
DDPM = ("temb.dense.0.weight", "conv_in.weight", "down.0.block.0.norm1.weight")
DDPM += ("down.0.block.0.temb_proj.weight", "down.1.attn.0.q.weight", "mid.block_1.norm1.weight")
DDPM += ("up.0.block.2.nin_shortcut.weight", "norm_out.weight", "conv_out.weight")
INSIDE = "model.diffusion_model."
STATES = [weights(*DDPM, behind="module."), {"state": {}, "param_groups": []}, 3, 4]
ORIGINS = {
    "LoRA": (weights("lora_unet_down.lora_down.weight"), "fuse_lora"),
    "a ControlNet": (
        weights(
            "control_model.input_blocks.0.0.weight",
            "control_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        ),
        "the network that it steers",
    ),
    "Stable Diffusion 3": (
        weights(*SD3, behind=INSIDE)
        | weights(*VAE, behind="first_stage_model.")
        | weights(CLIP, behind="text_encoders."),
        "from_single_file",
    ),
    "Stable Diffusion 3 in a single": (weights(*SD3), "the transformer alone"),
    "FLUX": (weights(*FLUX), "the transformer alone"),
    "FLUX in a single": (
        weights(*FLUX, behind=INSIDE)
        | weights(*VAE, behind="vae.")
        | weights(CLIP, behind="text_encoders."),
        "from_single_file",
    ),
    "HunyuanVideo": (
        weights("double_blocks.0.img_attn_qkv.weight", "single_blocks.0.linear1.weight"),
        "from_single_file",
    ),
    "AuraFlow": (
        weights("double_layers.0.attn.w2q.weight", "cond_seq_linear.weight"),
        "from_single_file",
    ),
    "Lumina 2 or Z-Image": (
        weights(
            "cap_embedder.1.weight",
            "noise_refiner.0.attention.k_norm.weight",
            "layers.0.attention.qkv.weight",
        ),
        "from_single_file",
    ),
    "Wan": (
        weights("head.modulation", "patch_embedding.weight", "time_projection.1.weight"),
        "from_single_file",
    ),
    "LTX-Video": (
        weights("patchify_proj.weight", "transformer_blocks.27.scale_shift_table", behind=INSIDE),
        "from_single_file",
    ),
    "PixArt": (
        {
            "state_dict": weights(
                "x_embedder.proj.weight",
                "t_embedder.mlp.0.weight",
                "t_block.1.weight",
                "y_embedder.y_proj.fc1.weight",
                "blocks.0.cross_attn.q_linear.weight",
            )
        },
        "convert_pixart_sigma_to_diffusers.py",
    ),
    "Stable Diffusion or latent": (
        {
            "state_dict": weights(
                "input_blocks.0.0.weight",
                "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                behind=INSIDE,
            )
            | weights(*VAE, behind="first_stage_model.")
        },
        "from_single_file",
    ),
    "a U-Net of diffusers": (
        weights("down_blocks.0.resnets.0.conv1.weight", "time_embedding.linear_1.weight"),
        "config.json",
    ),
    "an autoencoder of latents": (weights(*VAE), "decoder.folder"),
    "an autoencoder": (
        weights(
            "encoder.down_blocks.0.resnets.0.conv1.weight",
            "decoder.up_blocks.0.resnets.0.conv1.weight",
        ),
        "decoder.folder",
    ),
    "a port of DDPM .*pesser": (weights(*DDPM), " convert it with .*convert_ddpm_original"),
    "a port of DDPM": (
        [*STATES, weights(*DDPM)],
        "without module.*convert_ddpm_original",
    ),
    "a port of DDPM .*ermongroup": (STATES, "without module.*convert_ddpm_original"),
    "no network that is known": (weights("enc1.weight"), "wrap the network"),
}
"""Files by their likely origin: the names of their tensors as they were published, and the remedy."""


@each("what", ORIGINS)
def test_probe__an_unknown_file_is_recognised_by_its_keys(tmp_path, what):
    held, remedy = ORIGINS[what]
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(
        CheckpointError, match=f"of no known family.*are those of {what}.*;.*{remedy}"
    ) as refused:
        specify_checkpoint(open_checkpoint(tmp_path / "a.pt"))
    table = held[0] if isinstance(held, list) else held.get("state_dict", held)
    assert next(iter(table)) in str(refused.value)


def test_probe__a_folder_with_a_file_says_to_give_the_file(tmp_path):
    safetensors.torch.save_file(WEIGHTS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"give the file itself, as in .*model\.safetensors"):
        specify_checkpoint(open_checkpoint(tmp_path))


def anonymous() -> int:
    """Memory of this process that is of no file, in MiB."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the system does not say how much memory is of no file")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) >> 10


def test_open_checkpoint__weights_stay_in_the_file_until_they_are_used(tmp_path):
    optimiser = {"state": {0: {"exp_avg": torch.arange(1 << 24, dtype=torch.float32)}}}
    torch.save({"model": WEIGHTS, "opt": optimiser}, tmp_path / "a.pt")
    del optimiser
    before = anonymous()
    value = open_checkpoint(tmp_path / "a.pt").value
    assert anonymous() - before < 32  # of 64
    assert float(value["opt"]["state"][0]["exp_avg"][12345]) == 12345


def test_open_checkpoint__a_file_keeps_its_weights_when_it_is_gone(tmp_path):
    torch.save(WEIGHTS, tmp_path / "a.pt")
    value = open_checkpoint(tmp_path / "a.pt").value
    (tmp_path / "a.pt").unlink()
    assert torch.equal(value["a.weight"], WEIGHTS["a.weight"])
