"""The same weights in every format are the same model, the converted one among them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers_folders import pipeline
from edm_cases import SIDE
from small_programs import Small, to_exported, to_onnx
from test_edm import CASES, pickled
from torch import nn
from typer.testing import CliRunner

from samplerbench.benchmarks.cli import app
from samplerbench.models import make_model
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load, specify_checkpoint, write_converted
from samplerbench.models.nets.adm_unet import ADMUNet
from samplerbench.samplers import NoNoise, SampleNoise, karras, make

CLASSES = 3
NETWORK = {
    "in_channels": 1,
    "out_channels": 1,
    "embedding": 32,
    "stem": 32,
    "widths": (32, 64),
    "blocks": 1,
    "attention": (1,),
    "heads": 4,
    "classes": CLASSES,
}
ASKED = "schedule=linear&attention=4-heads&size=8"
PROGRAM = f"training=linear-eps&classes={CLASSES}"


def samples(model):
    """Three, of labels that their numbers draw."""
    ids = torch.arange(3)
    latents = SampleNoise(1, ids, model.event, torch.float64).initial()
    grid = karras(4, model.sigma_min, model.sigma_max)
    return make("dpmpp_2m").sample(model.bind(ids, 0), model.sigma_max * latents, grid, NoNoise())


def filled_at_random(network: nn.Module) -> nn.Module:
    """Some weights begin at 0."""
    torch.manual_seed(6)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def unet():
    return filled_at_random(ADMUNet(**NETWORK))


@pytest.fixture(scope="module")
def original(unet, tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "ema.pt"
    torch.save(unet.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def truth(original):
    return samples(make_model(f"{original}?{ASKED}"))


def old_pt(unet: nn.Module, path: Path) -> Path:
    torch.save({"ema": unet.state_dict()}, path, _use_new_zipfile_serialization=False)
    return path


def as_safetensors(unet: nn.Module, path: Path) -> Path:
    safetensors.torch.save_file(unet.state_dict(), path)
    return path


def as_program(unet: nn.Module, path: Path) -> Path:
    return to_exported(unet, path, torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 2]))


def as_onnx(unet: nn.Module, path: Path) -> Path:
    return to_onnx(unet, path, torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 2]))


FORMATS = {
    "old.pt": (old_pt, ASKED),
    "net.safetensors": (as_safetensors, ASKED),
    "net.pt2": (as_program, PROGRAM),
    "net.onnx": (as_onnx, PROGRAM),
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_weights_in_another_format_give_the_same_samples(unet, truth, tmp_path, name):
    if name == "net.onnx" and not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        pytest.skip("onnx or onnxruntime is not installed")
    write, asked = FORMATS[name]
    model = make_model(f"{write(unet, tmp_path / name)}?{asked}")
    torch.testing.assert_close(samples(model), truth, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    out = tmp_path_factory.mktemp("converted") / "mine"
    found = CliRunner().invoke(app, ["convert", f"{original}?{ASKED}", str(out)])
    assert found.exit_code == 0, found.output
    assert f"run it with --model {out}" in " ".join(found.output.split())
    return out


def test_a_converted_checkpoint_is_the_same_model(original, truth, folder):
    model = make_model(str(folder))
    assert torch.equal(samples(model), truth)
    assert model.identity != make_model(f"{original}?{ASKED}").identity
    spec = model.spec
    assert spec.family == "converted"
    assert spec.evidence[0] == "it was converted from ema.pt, of the family openai"
    assert (spec.source("process"), spec.source("classes")) == ("schedule=linear", "file")
    assert make_model(f"{folder}?labels=balanced").spec.labels == "balanced"


def test_the_card_says_what_is_known_and_nothing_of_this_machine(original, folder):
    text = (folder / "card.json").read_text()
    card = json.loads(text)
    assert card["original"] == {
        "name": "ema.pt",
        "family": "openai",
        "sha256": open_checkpoint(original).sha256,
    }
    assert card["specification"]["process"]["schedule"] == "linear"
    assert card["specification"]["sources"]["process"] == "schedule=linear"
    assert str(original.parent) not in text


def test_what_is_converted_twice_is_the_same(folder, truth, tmp_path):
    write_converted(folder, {}, None, tmp_path / "again")
    assert torch.equal(samples(make_model(str(tmp_path / "again"))), truth)


@pytest.mark.parametrize("name", CASES)
def test_a_pickle_is_converted_without_executing_it(tmp_path, name):
    """The source in it raises."""
    case = CASES[name]
    raw = filled_at_random(case.network(**case.arguments))
    path = pickled(tmp_path / "net.pkl", case, raw)
    write_converted(path, {}, None, tmp_path / "mine")
    before, after = load(path, {}), load(tmp_path / "mine", {})
    x = torch.randn(2, 1, SIDE, SIDE, dtype=torch.float64)
    labels = torch.tensor([0, before.classes]) if before.classes else None
    for sigma in (0.05, 4.0):
        assert torch.equal(after.denoise(x, sigma, labels), before.denoise(x, sigma, labels))
    assert (before.sigma_min, before.sigma_max) == (after.sigma_min, after.sigma_max)


def test_what_is_open_must_be_said(original, tmp_path):
    with pytest.raises(ValueError, match="does not say everything: schedule="):
        write_converted(original, {"attention": "4-heads", "size": "8"}, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(folder):
    with pytest.raises(ValueError, match="is there already and not empty; give another folder"):
        write_converted(folder, {}, None, folder)


def test_programs_and_folders_of_diffusers_stay_as_they_are(tmp_path):
    path = to_exported(Small(), tmp_path / "net.pt2", torch.randn(2, 1, 8, 8), torch.rand(2))
    with pytest.raises(CheckpointError, match="is a program, which brings its own network; use it"):
        write_converted(path, {}, None, tmp_path / "out")
    with pytest.raises(CheckpointError, match="is a diffusers folder, which is data already"):
        write_converted(pipeline(tmp_path / "ddpm"), {}, None, tmp_path / "out")


def edited(find: str, new: str):
    def change(folder: Path) -> None:
        card = folder / "card.json"
        text = card.read_text()
        assert find in text
        card.write_text(text.replace(find, new))

    return change


def halved(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


WRONG = {
    "version": (edited('"version": 1', '"version": 2'), "its card is of version 2, and 1 is read"),
    "field": (edited('"prediction": "eps"', '"prediction": "epsi"'), "card.json is damaged .*epsi"),
    "unknown field": (edited('"half"', '"whole"'), "card.json is damaged .*convert the original"),
    "network": (edited('"ADMUNet"', '"Exec"'), "there is no network 'Exec' here"),
    "sizes": (edited('"stem": 32', '"stem": 64'), "the weights do not fit"),
    "weights": (halved, "cut short or damaged"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors is missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_folder_is_one_sentence(original, tmp_path, name):
    given = dict(pair.split("=") for pair in ASKED.split("&"))
    write_converted(original, given, None, tmp_path / "mine")
    change, said = WRONG[name]
    change(tmp_path / "mine")
    with pytest.raises(CheckpointError, match=said) as refused:
        load(tmp_path / "mine", {})
    assert "\n" not in str(refused.value)


def test_a_folder_with_another_card_is_not_taken_for_one(tmp_path):
    (tmp_path / "card.json").write_text('{"name": "mine"}')
    with pytest.raises(CheckpointError, match="of no known family"):
        specify_checkpoint(open_checkpoint(tmp_path))
