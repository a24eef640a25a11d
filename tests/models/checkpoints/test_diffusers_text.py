"""Networks of text to image in folders of diffusers, with embeddings of prompts from a file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import tiny_text
import torch
from safetensors.torch import save_file
from test_diffusers_trained import KINDS, LEVELS, exact, noisy, trained
from torch import Tensor

from samplerbench.benchmarks.conformance.models.checking import check_checkpoint
from samplerbench.models import make_model
from samplerbench.models.checkpoints.families.diffusers import network, recognise
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.loaders.checkpoint import load

pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = pytest.mark.filterwarnings("default")

UNITS = {"sd3": 1000.0, "flux": 1.0, "sana": 500.0}


@pytest.fixture(scope="module", params=tiny_text.PIPELINES)
def case(request, tmp_path_factory):
    return request.param, *tiny_text.saved(tmp_path_factory.mktemp(request.param), request.param)


def test_the_folder_says_what_it_takes(case):
    name, path, _, _ = case
    spec = recognise(open_checkpoint(path))
    assert tuple(spec.embeddings["needs"]) == tiny_text.NEEDS[name]
    assert spec.event == ((4, 128, 128) if name == "flux" else (4, *spec.event[1:]))
    assert spec.time.get("scale", 1.0) == UNITS.get(name, 1.0)
    assert any("embeddings of prompts" in sentence for sentence in spec.evidence)
    assert spec.prediction == {"sd": "v", "xl": "eps", "lcm": "eps"}.get(name, "flow")
    assert spec.kind == ("map" if name == "lcm" else "denoiser")


def test_every_sample_has_its_prompt(case):
    _, path, settings, _ = case
    model = load(path, settings)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, *model.event, generator=generator).repeat(7, 1, 1, 1)
    d = model.bind(torch.arange(7), 0)(x, 1.5)
    torch.testing.assert_close(d[0], d[5], rtol=0, atol=1e-5)  # prompts 0 and 5 of 5 are one
    assert (d[0] - d[1]).abs().max() > 1e-3
    alone = model.bind(torch.tensor([3]), 0)(x[:1], 1.5)
    torch.testing.assert_close(alone[0], d[3], rtol=0, atol=1e-5)
    free = model.denoise(x[:1], 1.5, None)
    assert (free[0] - d[0]).abs().max() > 1e-3
    named = make_model(f"{path}?" + "&".join(f"{k}={v}" for k, v in settings.items()))
    assert named.identity == model.identity
    assert settings["embeddings"] in named.read.paths


def test_without_a_file_the_remedy_is_told(case):
    _, path, _, _ = case
    with pytest.raises(CheckpointError, match=r"takes embeddings \(prompt_embeds.*encode_prompt"):
        load(path, {})


def test_scalars_are_told_and_are_identity(tmp_path):
    path, settings, _ = tiny_text.saved(tmp_path, "flux")
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    usual, weak = load(path, settings), load(path, settings | {"scalars.guidance": "1"})
    assert usual.spec.scalars == {"guidance": 3.5}
    assert usual.identity != weak.identity
    at = [m.bind(torch.arange(2), 0)(x, 1.0) for m in (usual, weak)]
    assert (at[0] - at[1]).abs().max() > 1e-4


def test_sizes_in_pixels_follow_the_size_that_is_sampled(tmp_path):
    path, settings, _ = tiny_text.saved(tmp_path, "xl")
    for event, ids in (("[4,8,8]", [8, 8, 0, 0, 8, 8]), ("[4,16,8]", [16, 8, 0, 0, 16, 8])):
        model = load(path, settings | {"event": event})
        assert model.network.scalars["time_ids"] == ids
    model = load(path, settings | {"scalars.time_ids": "[512,512,0,0,512,512]"})
    assert model.network.scalars["time_ids"] == [512, 512, 0, 0, 512, 512]


def test_a_network_of_more_than_the_noisy_state_is_refused(tmp_path, monkeypatch):
    wide = ("StableDiffusionInpaintPipeline", "unet", lambda: tiny_text.unet(in_channels=9))
    monkeypatch.setitem(tiny_text.PIPELINES, "sd", wide)
    with pytest.raises(CheckpointError, match="takes 9 channels and makes 4"):
        recognise(open_checkpoint(tiny_text.folder(tmp_path, "sd")))


def test_tables_move_with_the_network(tmp_path):
    path, settings, tables = tiny_text.saved(tmp_path, "sd")
    opened = open_checkpoint(path)
    spec = load(path, settings).spec
    made = network(spec, opened).to(torch.float64)
    assert made.lookup(torch.tensor([1]))["prompt_embeds"].dtype == torch.float64
    both = torch.cat([tables["prompt_embeds"], tables["negative_prompt_embeds"]])
    assert torch.equal(made.lookup(torch.arange(6))["prompt_embeds"].float(), both)


class ByClass(torch.nn.Module):
    """A network of text, trained as one of classes: a class is the number of a prompt."""

    def __init__(self, net: torch.nn.Module, rows: Tensor) -> None:
        super().__init__()
        self.net, self.rows = net, rows

    def forward(self, x, timestep, class_labels, return_dict):
        return self.net(x, timestep, self.rows[class_labels], return_dict=False)


@pytest.fixture(scope="module")
def by_prompt(tmp_path_factory):
    """A folder and embeddings of a network that was trained here for seconds: eps, two prompts."""
    import diffusers

    path = tmp_path_factory.mktemp("by-prompt")
    rows = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    tables = {"prompt_embeds": rows[:2].clone(), "negative_prompt_embeds": rows[2:].clone()}
    save_file(tables, path / "prompts.safetensors")
    torch.manual_seed(0)
    net = tiny_text.unet(
        sample_size=4, in_channels=1, out_channels=1, block_out_channels=(16,),
        down_block_types=("CrossAttnDownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    trained(ByClass(net, rows), KINDS["eps"], classes=2, steps=250)
    net.save_pretrained(path / "unet")
    KINDS["eps"].scheduler().save_pretrained(path / "scheduler")
    parts = {"unet": "UNet2DConditionModel", "scheduler": "DDPMScheduler"}
    index = {"_class_name": "StableDiffusionPipeline", "text_encoder": [None, None]}
    index |= {k: ["diffusers", v] for k, v in parts.items()}
    (path / "model_index.json").write_text(
        json.dumps(index | {"_diffusers_version": diffusers.__version__})
    )
    return path


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_trained_network_denoises_towards_its_prompt(by_prompt, row):
    model = load(by_prompt, {"embeddings": str(by_prompt / "prompts.safetensors")})
    sigma = LEVELS[30].item()
    x0, x, of = noisy(sigma)
    given = of if row < 2 else torch.full_like(of, 2)
    best = (exact(x, sigma, of if row < 2 else None) - x0).square().mean()
    assert (model.denoise(x, sigma, given) - x0).square().mean() < 1.25 * best
    if row < 2:
        assert (model.denoise(x, sigma, 1 - of) - x0).square().mean() > 1.5 * best


def test_the_check_knows_a_right_map_by_prompts(by_prompt):
    opened = open_checkpoint(by_prompt)
    settings = {"embeddings": str(by_prompt / "prompts.safetensors")}
    spec = recognise(opened).with_settings(settings)
    x0, _, of = noisy(1.0, 64)
    found = check_checkpoint(spec, network(spec, opened), x0.float(), of)
    assert found.passed, [c for c in found.checks if not c.passed]
    wrong = check_checkpoint(
        spec.with_settings({"sign": "-1"}), network(spec, opened), x0.float(), of
    )
    assert not wrong.passed
    with pytest.raises(ValueError, match="which row of them belongs to which image"):
        check_checkpoint(replace(spec, null_label=False), network(spec, opened), x0.float())


def test_guidance_is_said_with_the_other_settings(by_prompt):
    spec = f"{by_prompt}?embeddings={by_prompt / 'prompts.safetensors'}"
    plain = make_model(spec)
    part = make_model(f"{spec}&guidance=2&guidance_is=w-1&guidance_interval=[0.5,5]")
    assert part.name.endswith("(guidance=3,0.5<sigma<=5)")
    assert (part.passes_at(1.0), part.passes_at(0.5)) == (2, 1)
    worse = make_model(spec, guidance=2, guide=spec)
    x, ids = noisy(1.0, 4)[1], torch.arange(4)
    d, free = plain.bind(ids, 0)(x, 1.0), plain.denoise(x, 1.0, None)
    torch.testing.assert_close(part.bind(ids, 0)(x, 1.0), free + 3 * (d - free))
    torch.testing.assert_close(worse.bind(ids, 0)(x, 1.0), d)  # it is its own guide
    assert plain.own_sampling(5) == part.own_sampling(5)
