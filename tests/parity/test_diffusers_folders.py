"""Folders of diffusers, sampled by the library's own pipelines and by us with their presets, from the
same noise; and networks called as its pipelines call them.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from own_pipeline import pipeline_sampled
from torch import Tensor

from samplerbench.models.checkpoints.diffusers.library import make_captured_network
from samplerbench.models.checkpoints.diffusers.steps import steps_of
from samplerbench.models.checkpoints.families.diffusers import network, recognise
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import Grid, make

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SAMPLES = 3
LATENTS = torch.randn(SAMPLES, 1, 8, 8, generator=torch.Generator().manual_seed(3))
"""Of the size of both networks."""


def unet(**changed) -> torch.nn.Module:
    """Untrained, as all networks here: how they are called and stepped does not depend on it."""
    torch.manual_seed(0)
    settings = {
        "sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (16,),
        "down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",),
        "layers_per_block": 1, "norm_num_groups": 4, "add_attention": False,
    }  # fmt: skip
    return diffusers.UNet2DModel(**settings | changed).eval()


def dit() -> torch.nn.Module:
    """With the 1000 classes that the pipeline takes for granted."""
    torch.manual_seed(0)
    made = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, num_layers=1, sample_size=8, in_channels=1,
        out_channels=2, patch_size=2, num_embeds_ada_norm=1000,
    )  # fmt: skip
    return made.eval()


def autoencoder() -> torch.nn.Module:
    return diffusers.AutoencoderKL(block_out_channels=(4,), norm_num_groups=4, latent_channels=1)


def theirs(pipeline, module, monkeypatch, steps: int, **call) -> tuple[Tensor, Tensor]:
    """What a pipeline makes of our latents: its last state, and its images in [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: LATENTS.clone())
    states, step = [], pipeline.scheduler.step

    def kept(*args, **options):
        states.append(step(*args, **options).prev_sample)
        return SimpleNamespace(prev_sample=states[-1])

    monkeypatch.setattr(pipeline.scheduler, "step", kept)
    images = pipeline(num_inference_steps=steps, output_type="pt", **call).images
    return states[-1], images


def ours(model, steps: int) -> Tensor:
    """The same latents as ``--sampler pipeline`` samples them."""
    return pipeline_sampled(model, LATENTS, steps)


def images(state: Tensor) -> Tensor:
    return (state / 2 + 0.5).clamp(0, 1)


V = {"prediction_type": "v_prediction", "clip_sample": False}
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (V, 10),
        (V | {"timestep_spacing": "trailing"}, 10),
        (V | {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}, 7),
        (V | {"set_alpha_to_one": False}, 5),
        (V | SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, 10),
        (V | {"beta_schedule": "squaredcos_cap_v2", "steps_offset": 1}, 10),
        ({"prediction_type": "sample", "clip_sample": False}, 10),
        ({"clip_sample": False, "beta_end": 0.004}, 10),
    ],
)
def test_ddim(tmp_path, monkeypatch, settings, steps):
    from diffusers.pipelines.ddim import pipeline_ddim

    pipeline = diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler(**settings))
    pipeline.save_pretrained(tmp_path)
    pipeline.scheduler = diffusers.DDIMScheduler(**settings)  # the pipeline changes that of others
    state, made = theirs(pipeline, pipeline_ddim, monkeypatch, steps)
    model = load(tmp_path, {})
    assert model.spec.preset["differs"] == []
    found = ours(model, steps)
    assert (found - state).abs().max() < 1e-4 * max(1.0, state.abs().max().item())
    assert (images(found) - made).abs().max() < 1e-4


@pytest.mark.parametrize("bound", [1.0, 0.5])
def test_ddim_that_clamps_d_but_not_the_noise(tmp_path, monkeypatch, bound):
    from diffusers.pipelines.ddim import pipeline_ddim

    scheduler = diffusers.DDIMScheduler(clip_sample_range=bound)
    pipeline = diffusers.DDIMPipeline(unet(), scheduler)
    pipeline.save_pretrained(tmp_path)
    state, made = theirs(pipeline, pipeline_ddim, monkeypatch, 10)
    found = ours(load(tmp_path, {}), 10)
    assert (found - state).abs().max() < 1e-4
    assert (images(found) - made).abs().max() < 1e-4
    plain = make("ddim").sample(
        load(tmp_path, {}).bind(torch.arange(SAMPLES), 0),
        LATENTS * 157.4,
        Grid(steps_of(load(tmp_path, {}).spec, 10).levels_to_end),
    )
    assert (plain - state).abs().max() > 0.1  # it clamps indeed


@pytest.mark.parametrize("settings", [{}, {"shift_terminal": 0.1}], ids=["plain", "terminal"])
def test_a_flow(tmp_path, monkeypatch, settings):
    from diffusers.pipelines.ddpm import pipeline_ddpm

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, **settings)
    pipeline = diffusers.DDPMPipeline(unet(), scheduler)
    pipeline.save_pretrained(tmp_path)
    state, made = theirs(pipeline, pipeline_ddpm, monkeypatch, 10)
    found = ours(load(tmp_path, {}), 10)
    assert (found - state).abs().max() < 1e-4 * max(1.0, state.abs().max().item())
    assert (images(found) - made).abs().max() < 1e-4


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_edm(tmp_path, prediction):
    """The pipelines of pixels do not scale what the network sees, so the loop is written out."""
    net, scheduler = unet(), diffusers.EDMEulerScheduler(prediction_type=prediction)
    diffusers.DDPMPipeline(net, scheduler).save_pretrained(tmp_path)
    scheduler.set_timesteps(10)
    x = LATENTS * scheduler.init_noise_sigma
    with torch.no_grad():
        for t in scheduler.timesteps:
            output = net(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(output, t, x).prev_sample
    found = ours(load(tmp_path, {}), 10)
    assert (found - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())


def call_by_pipeline(path, settings, labels=None):
    """The network of a folder as we call it, and as its pipeline does, at our latents."""
    opened = open_checkpoint(path)
    spec = recognise(opened).with_settings(settings)
    ours, theirs = network(spec, opened), make_captured_network(spec, opened)
    times = torch.tensor([321.0, 7.0, 321.0])  # the pipeline runs once for each
    with torch.no_grad():
        return ours(LATENTS, times, labels), theirs(LATENTS, times, labels)


def test_the_call_of_a_unet(tmp_path):
    diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    direct, captured = call_by_pipeline(tmp_path, {})
    assert (direct - captured).abs().max() < 1e-6
    assert (direct[0] - direct[1]).abs().max() > 1e-3


def test_the_call_of_a_dit(tmp_path):
    pipeline = diffusers.DiTPipeline(dit(), autoencoder(), diffusers.DDIMScheduler(**V))
    pipeline.save_pretrained(tmp_path)
    direct, captured = call_by_pipeline(tmp_path, {}, torch.tensor([1, 207, 1000]))
    assert (direct[:, :1] - captured).abs().max() < 1e-6  # it leaves out the variances


def test_guidance_of_a_dit(tmp_path):
    """The library guides all channels, as plain guidance here does."""
    pipeline = diffusers.DiTPipeline(dit(), autoencoder(), diffusers.DDIMScheduler(**V))
    pipeline.save_pretrained(tmp_path)
    model, labels = load(tmp_path, {}), torch.tensor([1, 207, 999])
    opened = open_checkpoint(tmp_path)
    called = make_captured_network(replace(model.spec, scalars={"guidance_scale": 3.0}), opened)
    output = called(LATENTS, torch.full((SAMPLES,), 321.0), labels)
    sigma = float(model.process.level(321.0))
    x = LATENTS.double() * math.sqrt(1 + sigma**2)
    d = ClassifierFree(model, 3.0).denoise(x, sigma, labels)
    expected = x / (1 + sigma**2) - sigma / math.sqrt(1 + sigma**2) * output.double()
    assert (d - expected).abs().max() < 1e-5


def dance(path):
    """A pipeline whose call is unknown: sound, of one dimension."""
    torch.manual_seed(0)
    net = diffusers.UNet1DModel(
        sample_size=64, sample_rate=64, in_channels=2, out_channels=2, extra_in_channels=64, norm_num_groups=4,
        down_block_types=("DownBlock1DNoSkip", "DownBlock1D"), block_out_channels=(32, 32),
        up_block_types=("UpBlock1D", "UpBlock1DNoSkip"),
        time_embedding_type="fourier", use_timestep_embedding=False, flip_sin_to_cos=True,
    )  # fmt: skip
    net.save_pretrained(path / "unet")
    diffusers.DDPMScheduler(clip_sample=False).save_pretrained(path / "scheduler")
    parts = {"unet": "UNet1DModel", "scheduler": "DDPMScheduler"}
    index = {"_class_name": "DanceDiffusionPipeline"}
    index |= {k: ["diffusers", v] for k, v in parts.items()}
    (path / "model_index.json").write_text(json.dumps(index))
    return net.eval()


def test_a_pipeline_that_nobody_wrote_is_run_itself(tmp_path):
    net = dance(tmp_path)
    with pytest.raises(ValueError, match=r"of which shape.*event="):
        load(tmp_path, {})
    with pytest.raises(ValueError, match=r"draws noise of shape \(2, 64\).*event="):
        load(tmp_path, {"event": "[2,32]"}).denoise(torch.zeros(1, 2, 32), 1.0, None)
    model = load(tmp_path, {"event": "[2,64]"})
    said = " ".join(model.spec.evidence)
    assert "DanceDiffusionPipeline calls its UNet1DModel is unknown" in said
    assert "loop capture" in said
    x = torch.randn(3, 2, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sigma = float(model.process.level(99.0))
    level = torch.tensor([sigma, 2.0, sigma], dtype=torch.float64)
    d = model.denoise(x, level, None)
    with torch.no_grad():
        p = net((x[:1] / math.sqrt(1 + sigma**2)).float(), torch.tensor([99])).sample
    assert (d[:1] - (x[:1] - sigma * p)).abs().max() < 1e-5
    assert torch.equal(model.to("cpu").denoise(x, level, None), d)
    assert (
        make("heun")
        .sample(model.bind(torch.arange(3), 0), x, Grid((5.0, 1.0, 0.1)))
        .isfinite()
        .all()
    )


def test_a_latent_model_is_sampled_in_latents_and_scored_in_the_pipelines_images(
    tmp_path, monkeypatch
):
    from diffusers.pipelines.dit import pipeline_dit

    pipeline = diffusers.DiTPipeline(dit(), autoencoder(), diffusers.DDIMScheduler(**V))
    pipeline.save_pretrained(tmp_path)
    model = load(tmp_path, {})
    labels = model.draw_labels(torch.arange(SAMPLES), 0).tolist()
    call = {"class_labels": labels, "guidance_scale": 1.0}
    pipeline.vae.eval()
    state, images = theirs(pipeline, pipeline_dit, monkeypatch, 10, **call)
    latents = ours(model, 10)
    assert (latents - state).abs().max() < 1e-4
    decoded = model.decode(latents)
    assert decoded.shape == images.shape == (SAMPLES, *model.decoded_event)
    assert ((decoded / 2 + 0.5).clamp(0, 1) - images).abs().max() < 1e-4
    assert not model.name.endswith("-latents")
    assert load(tmp_path, {"decode": "0"}).name.endswith("-latents")


@pytest.mark.parametrize("embedding", ["fourier", "positional"])
def test_score_sde_ve__a_step_of_the_scheduler_follows_our_denoiser(tmp_path, embedding):
    net = unet(time_embedding_type=embedding, center_input_sample=True)
    scheduler = diffusers.ScoreSdeVeScheduler(sigma_max=50.0)
    diffusers.ScoreSdeVePipeline(net, scheduler).save_pretrained(tmp_path)
    model = load(tmp_path, {})
    assert (model.limits, model.sigma_min, model.sigma_max) == ((0.0, 1.0), 0.01, 50.0)
    scheduler.set_timesteps(20)
    scheduler.set_sigmas(20)
    for i in (0, 7, 18):
        sigma, following = (
            float(scheduler.discrete_sigmas[19 - i]),
            scheduler.discrete_sigmas[18 - i],
        )
        x = 0.5 + sigma * LATENTS
        with torch.no_grad():
            output = net(x, scheduler.discrete_sigmas[19 - i].expand(SAMPLES)).sample
        mean = scheduler.step_pred(output, scheduler.timesteps[i], x).prev_sample_mean
        slope = (model.denoise(x, sigma, None) - x) / sigma**2
        expected = x + (sigma**2 - float(following) ** 2) * slope
        assert (mean - expected).abs().max() <= 1e-5 * mean.abs().max()
