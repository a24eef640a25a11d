"""Text-to-image networks, called by us and by diffusers' own pipelines."""

from __future__ import annotations

import pytest
import tiny_text
import torch
from own_pipeline import pipeline_sampled
from safetensors.torch import load_file, save_file

from samplerbench.models.checkpoints.diffusers.library import make_captured_network
from samplerbench.models.checkpoints.opening import CheckpointError, open_checkpoint
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint import load

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("transformers", reason="pipelines of text import transformers")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

TIME = 321.0
OF_SD = ("PNDMScheduler", tiny_text.SD | {"skip_prk_steps": True, "steps_offset": 1})
OF_XL = (
    "EulerDiscreteScheduler",
    tiny_text.SD | {"timestep_spacing": "leading", "steps_offset": 1},
)
TOLD = {"flux": TIME / 1000, "sana": TIME * 0.5}


@pytest.mark.parametrize("name", tiny_text.PIPELINES)
def test_the_call_is_the_pipelines_own(tmp_path, name):
    path, settings, _ = tiny_text.saved(tmp_path, name)
    model = load(path, settings)
    called = make_captured_network(model.spec, open_checkpoint(path))
    x = torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([4, 0, 2])
    with torch.no_grad():
        direct = model.network(x, torch.full((3,), TOLD.get(name, TIME)), rows)
        captured = called(x, torch.full((3,), TIME), rows)
    assert (direct - captured).abs().max() < 1e-6
    assert (direct[0] - direct[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "scale", "steps", "scheduler"),
    [
        ("sd", 4.0, 10, None),
        ("sd3", 3.0, 8, None),
        ("flux", 1.0, 6, None),
        ("xl", 2.0, 9, None),
        ("sd", 4.0, 10, OF_SD),
        ("sd", 4.0, 7, ("DDIMScheduler", tiny_text.SD)),  # without what the pipeline itself changes
        ("xl", 2.0, 9, OF_XL),
        ("sd", 4.0, 8, ("DPMSolverMultistepScheduler", tiny_text.SD | {"use_karras_sigmas": True})),
        ("sd", 4.0, 8, ("UniPCMultistepScheduler", tiny_text.SD)),
    ],
)
def test_latents_are_those_of_the_pipeline(tmp_path, monkeypatch, name, scale, steps, scheduler):
    """v-prediction and noise with DDIM, flows with a shift, and with one by the size of the state; noise
    with the schedulers that Stable Diffusion 1 and XL come with, and two that many put in their place.
    """
    if scheduler is not None:
        monkeypatch.setitem(tiny_text.SCHEDULERS, name, scheduler)
    path, settings, tables = tiny_text.saved(tmp_path, name)
    model = load(path, settings)
    called = make_captured_network(model.spec, open_checkpoint(path))
    pipeline, rows = called.pipeline, [0, 1, 2]
    latents = torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    given = {key: table[rows] for key, table in tables.items() if not key.startswith("negative")}
    if scale > 1:
        given |= {k: t.repeat(3, *[1] * (t.ndim - 1)) for k, t in tables.items() if "negative" in k}
        given["guidance_scale"] = scale
    else:
        given["guidance_scale"] = model.spec.scalars["guidance"]
    sent = latents
    if name == "flux":
        sent = pipeline._pack_latents(latents, 3, *model.event)
    theirs = pipeline(
        **given, latents=sent.clone(), num_inference_steps=steps, height=8, width=8,
        output_type="latent",
    ).images  # fmt: skip
    if name == "flux":
        theirs = pipeline._unpack_latents(theirs, 8, 8, 1)
    guided = model if scale == 1 else ClassifierFree(model, scale)
    ours = pipeline_sampled(guided, latents, steps)
    assert (ours - theirs).abs().max() < 1e-4 * max(1.0, theirs.abs().max().item())
    assert theirs.std() > 0.1


def pixart() -> torch.nn.Module:
    import diffusers

    return diffusers.PixArtTransformer2DModel(
        sample_size=8, in_channels=4, out_channels=8, num_layers=1, num_attention_heads=2,
        attention_head_dim=8, cross_attention_dim=16, caption_channels=8, patch_size=2,
        use_additional_conditions=False,
    )  # fmt: skip


def test_a_text_pipeline_that_nobody_wrote(tmp_path, monkeypatch):
    """PixArt's, whose network learned a variance that the pipeline leaves out."""
    monkeypatch.setitem(
        tiny_text.PIPELINES, "pixart", ("PixArtSigmaPipeline", "transformer", pixart)
    )
    monkeypatch.setitem(tiny_text.SCHEDULERS, "pixart", tiny_text.SCHEDULERS["xl"])
    monkeypatch.setitem(tiny_text.NEEDS, "pixart", tiny_text.NEEDS["sana"])
    path, settings, tables = tiny_text.saved(tmp_path, "pixart")
    model = load(path, settings)
    assert "the way in which a PixArtSigmaPipeline" in " ".join(model.spec.evidence)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    sigma = float(model.process.level(TIME))
    d = model.bind(torch.tensor([6, 2]), 0)(x, sigma)
    net = model.network.pipeline.transformer
    rows = torch.tensor([1, 2])
    with torch.no_grad():
        p = net(
            x / (1 + sigma**2) ** 0.5,
            encoder_hidden_states=tables["prompt_embeds"][rows],
            encoder_attention_mask=tables["prompt_attention_mask"][rows],
            timestep=torch.full((2,), TIME),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
        ).sample[:, :4]
    assert (d - (x - sigma * p)).abs().max() < 1e-4
    with pytest.raises(CheckpointError, match="takes no strength; its arguments are: prompt"):
        load(path, settings | {"scalars.strength": "1"})
    weights = path / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors.pop("proj_out.weight")
    save_file(tensors, weights)
    with pytest.raises(CheckpointError, match=r"1 tensors are missing.*proj_out.weight"):
        load(path, settings)
