"""Few-step maps of diffusers, consistency models and latent ones: the library's own loops and ours give
the same images.
"""

from __future__ import annotations

import pytest
import tiny_text
import torch
from own_pipeline import Drawn, pipeline_sampled

from samplerbench.models import make_model
from samplerbench.models.checkpoints.checkpoint_denoiser import process_of
from samplerbench.models.checkpoints.diffusers.steps import steps_of
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import Grid, make

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

LABELS = torch.tensor([0, 1, 3])


@pytest.fixture(scope="module")
def pipeline():
    torch.manual_seed(0)
    network = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(32, 32),
        norm_num_groups=8,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        num_class_embeds=4,
    )
    scheduler = diffusers.CMStochasticIterativeScheduler(clip_denoised=False)
    return diffusers.ConsistencyModelPipeline(network, scheduler)


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_samples_are_the_librarys(pipeline, tmp_path, steps):
    pipeline.save_pretrained(tmp_path / "cm")
    model = make_model(str(tmp_path / "cm"))
    assert (model.kind, model.spec.source("prediction")) == ("map", "family")
    scheduler, network = pipeline.scheduler, pipeline.unet.eval()
    scheduler.set_timesteps(num_inference_steps=steps)
    x = 80 * torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    generator, theirs = torch.Generator().manual_seed(2), x
    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(theirs, t), t, class_labels=LABELS).sample
        theirs = scheduler.step(output, t, theirs, generator=generator).prev_sample
    grid = Grid(tuple(scheduler.sigmas.double().tolist()))
    bound = model.bind(torch.arange(3), 0, LABELS)
    ours = make("consistency").sample(bound, x, grid, Drawn(2, x))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


LATENTS = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    """A pipeline of the library of an untrained latent consistency model, ours, and embeddings."""
    pytest.importorskip("transformers", reason="pipelines of text import transformers")
    path, settings, tables = tiny_text.saved(tmp_path_factory.mktemp("lcm"), "lcm")
    theirs = diffusers.LatentConsistencyModelPipeline.from_pretrained(
        path, text_encoder=None, tokenizer=None, safety_checker=None
    )
    theirs.set_progress_bar_config(disable=True)
    settings["decoder.shift"] = "0"  # the pipeline heeds the scale alone
    return theirs, load(path, settings), tables["prompt_embeds"][:3]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_images_of_a_latent_consistency_model_are_the_pipelines(latent, steps):
    """The pipeline itself, to its decoded images."""
    theirs, model, prompts = latent
    assert (model.kind, model.map_end, model.spec.boundary["scale"]) == ("map", 0.0, 10.0)
    assert model.spec.scalars == {"guidance": 8.5}
    given = {"prompt_embeds": prompts, "num_inference_steps": steps, "height": 8, "width": 8}
    made = theirs(
        **given,
        latents=LATENTS.clone(),
        generator=torch.Generator().manual_seed(2),
        output_type="pt",
    ).images
    ours = pipeline_sampled(model, LATENTS, steps, Drawn(2, LATENTS))
    images = (model.decode(ours.float()) / 2 + 0.5).clamp(0, 1)
    assert made.std() > 0.01
    torch.testing.assert_close(images, made, rtol=0, atol=1e-4)
    latents = theirs(
        **given,
        latents=LATENTS.clone(),
        generator=torch.Generator().manual_seed(2),
        output_type="latent",
    ).images
    torch.testing.assert_close(ours.float(), latents, rtol=0, atol=1e-4)


def test_the_levels_are_those_of_the_distillation(latent):
    theirs, model, _ = latent
    process = process_of(model.spec)
    for steps in range(1, 51):
        theirs.scheduler.set_timesteps(steps)
        *ours, low = steps_of(model.spec, steps).levels_to_end
        assert process.t_of(torch.tensor(ours).numpy()).round().tolist() == (
            theirs.scheduler.timesteps.tolist()
        )
        assert low == model.sigma_min
    with pytest.raises(ValueError, match="need 1 to 50 steps"):
        steps_of(model.spec, 51)


def test_the_scale_of_guidance_and_the_boundary_are_the_librarys(latent, tmp_path):
    """Told another scale, and with a state that counts for more: 0.01 in place of 10."""
    theirs, model, prompts = latent
    path, settings, _ = tiny_text.saved(tmp_path, "lcm")
    changed = {**settings, "scalars.guidance": "3", "boundary.scale": "0.01"}
    other = load(path, changed)
    assert other.identity != model.identity
    ours = [pipeline_sampled(m, LATENTS, 4, Drawn(2, LATENTS)).float() for m in (model, other)]
    scheduler = diffusers.LCMScheduler(timestep_scaling=0.01)
    made = diffusers.LatentConsistencyModelPipeline(**theirs.components | {"scheduler": scheduler})
    made.set_progress_bar_config(disable=True)
    made = made(
        prompt_embeds=prompts, num_inference_steps=4, height=8, width=8, guidance_scale=3.0,
        latents=LATENTS.clone(), generator=torch.Generator().manual_seed(2), output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(ours[1], made, rtol=0, atol=1e-4)
    assert (ours[0] - ours[1]).abs().max() > 0.1
    x = model.sigma_min * LATENTS.double()
    end = model.bind(torch.arange(3), 0)(x, model.sigma_min)
    torch.testing.assert_close(end, x * model.process.alpha(0.0), rtol=0, atol=1e-9)
