"""Folders of diffusers, sampled by the library's own pipelines and by us with their presets, from the
same noise; and networks called as its pipelines call them.
"""

from __future__ import annotations

import math
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint.families.diffusers import network, recognise
from samplerbench.models.loaders.checkpoint.families.diffusers.preset import levels_of
from samplerbench.models.loaders.checkpoint.loading import load
from samplerbench.models.wrappers import Clipped
from samplerbench.samplers import Grid, NoNoise, make

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


def ours(model, steps: int, spec=None) -> Tensor:
    """The same latents with the preset of the folder."""
    spec = spec or model.spec
    grid = Grid(levels_of(spec, steps))
    first = grid.sigma[0]
    scale = math.sqrt(1 + first**2) if spec.preset["start"] == "unit" else first
    latents = scale * LATENTS.double()
    bound = model.bind(torch.arange(SAMPLES), 0)
    return make(spec.preset["sampler"]).sample(bound, latents, grid, NoNoise())


def images(state: Tensor) -> Tensor:
    return (state / 2 + 0.5).clamp(0, 1)


def pixels(spec) -> float:
    """The scale of the state that the scheduler ends with, where that is not at level 0."""
    return 1 / math.sqrt(1 + spec.sigma_min**2) if spec.preset["end"] == "sigma_min" else 1.0


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
    found = ours(model, steps) * pixels(model.spec)
    assert (found - state).abs().max() < 1e-4 * max(1.0, state.abs().max().item())
    assert (images(found) - made).abs().max() < 1e-4


def test_ddim_that_clamps_what_it_goes_on_with(tmp_path, monkeypatch):
    from diffusers.pipelines.ddim import pipeline_ddim

    pipeline = diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path)
    state, _ = theirs(pipeline, pipeline_ddim, monkeypatch, 10, use_clipped_model_output=True)
    model = load(tmp_path, {})
    bound = model.spec.preset["clip"]
    found = ours(Clipped(model, -bound, bound), 10, model.spec)
    assert (found - state).abs().max() < 1e-4


def test_a_flow(tmp_path, monkeypatch):
    from diffusers.pipelines.ddpm import pipeline_ddpm

    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline = diffusers.DDPMPipeline(unet(), scheduler)
    pipeline.save_pretrained(tmp_path)
    state, made = theirs(pipeline, pipeline_ddpm, monkeypatch, 10)
    # they start where there is no signal at all, and we at the level 1e4 unless we are told more
    assert (images(ours(load(tmp_path, {}), 10)) - made).abs().max() < 5e-4
    found = ours(load(tmp_path, {"process.t_max": "1", "sigma_max": "1e6"}), 10)
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


class OneCall:
    """A scheduler of one time that keeps what the network gave for it, and ends the pipeline there."""

    def __init__(self, time: int, config) -> None:
        self.timesteps, self.config, self.init_noise_sigma = torch.tensor([time]), config, 1.0
        self.output: Tensor | None = None

    def set_timesteps(self, *_, **__) -> None: ...

    def scale_model_input(self, x: Tensor, *_: object) -> Tensor:
        return x

    def step(self, output: Tensor, *_: object, **__: object) -> None:
        self.output = output
        raise StopIteration


def captured(pipeline, module, monkeypatch, time: int, **call) -> Tensor:
    """What the pipeline takes its network's output for, at our latents."""
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: LATENTS.clone())
    once = OneCall(time, pipeline.scheduler.config)
    object.__setattr__(pipeline, "scheduler", once)
    with suppress(StopIteration):
        pipeline(**call)
    assert once.output is not None
    return once.output


def test_the_call_of_a_unet(tmp_path, monkeypatch):
    from diffusers.pipelines.ddpm import pipeline_ddpm

    pipeline = diffusers.DDPMPipeline(unet(), diffusers.DDPMScheduler())
    pipeline.save_pretrained(tmp_path)
    output = captured(pipeline, pipeline_ddpm, monkeypatch, 321, batch_size=SAMPLES)
    opened = open_checkpoint(tmp_path)
    called = network(recognise(opened), opened)
    with torch.no_grad():
        assert torch.equal(called(LATENTS, torch.full((SAMPLES,), 321.0), None), output)


def test_the_call_of_a_dit(tmp_path, monkeypatch):
    from diffusers.pipelines.dit import pipeline_dit

    pipeline = diffusers.DiTPipeline(dit(), autoencoder(), diffusers.DDIMScheduler(**V))
    pipeline.save_pretrained(tmp_path)
    labels = [1, 207, 999]
    call = {"class_labels": labels, "guidance_scale": 3.0}
    output = captured(pipeline, pipeline_dit, monkeypatch, 321, **call)[:SAMPLES]
    model = load(tmp_path, {})
    guided = ClassifierFree(model, 3.0)
    sigma = float(model.process.level(321.0))
    x = LATENTS.double() * math.sqrt(1 + sigma**2)
    d = guided.denoise(x, sigma, torch.tensor(labels))
    expected = x / (1 + sigma**2) - sigma / math.sqrt(1 + sigma**2) * output.double()
    assert (d - expected).abs().max() < 1e-5


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
