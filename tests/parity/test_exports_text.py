"""Lines for diffusers, pasted into pipelines of text to image: the latents of our samplers."""

from __future__ import annotations

import re

import pytest
import tiny_text
import torch
from test_diffusers_folders import LATENTS, autoencoder, dit, theirs

from samplerbench.benchmarks.advice.exports import export
from samplerbench.models.checkpoints.diffusers.library import make_captured_network
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import karras, make

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("transformers", reason="pipelines of text import transformers")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SAMPLERS = ("euler", "dpmpp_2m", "unipc_2", "xeab_2", "ipndm", "heun", "auto")


def start_of(made) -> float:
    """By what a remark wants the latents scaled."""
    if "begins with standard normal noise" not in made.remark:
        return 1.0
    return float(re.search(r"init_noise_sigma = (\S+)", made.code).group(1))


@pytest.mark.parametrize("spec", SAMPLERS)
@pytest.mark.parametrize(
    ("name", "scale"), [("sd", 4.0), ("xl", 2.0), ("sd3", 3.0), ("flux", 1.0), ("sana", 1.0)]
)
def test_latents_are_ours(tmp_path, name, scale, spec):
    path, settings, tables = tiny_text.saved(tmp_path, name)
    model = load(path, settings)
    pipe, rows = make_captured_network(model.spec, open_checkpoint(path)).pipeline, [0, 1, 2]
    guided = model if scale == 1 else ClassifierFree(model, scale)
    grid = karras(8, model.sigma_min, model.sigma_max, to_zero=True)
    made = export("diffusers", make(spec), grid, guided, "folder")
    exec(made.code, {"pipe": pipe})
    noise = torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    sent = noise * start_of(made)
    given = {key: table[rows] for key, table in tables.items() if not key.startswith("negative")}
    if scale > 1:
        given |= {k: t.repeat(3, *[1] * (t.ndim - 1)) for k, t in tables.items() if "negative" in k}
    given["guidance_scale"] = scale if name != "flux" else model.spec.scalars["guidance"]
    sizes = dict.fromkeys(("height", "width"), model.event[1] * pipe.vae_scale_factor)
    if name == "flux":
        sent = pipe._pack_latents(sent, 3, *model.event)
    if name == "sana":
        sizes["use_resolution_binning"] = False
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(**given, latents=sent.clone(), **sizes, output_type="latent").images
    if name == "flux":
        theirs = pipe._unpack_latents(theirs, 8, 8, 1)
    bound = guided.bind(torch.arange(3), 0)
    ours = make(spec).sample(bound, grid.sigma[0] * noise.double(), grid)
    off = ((ours - theirs).abs().max() / ours.abs().max()).item()
    print(name, spec, off, made.remark)  # shown by -rP
    assert off < 1e-4
    assert theirs.std() > 0.1


def test_the_librarys_own_argument_gives_other_images(tmp_path):
    """Why lines are needed: EulerDiscrete takes sigmas, and tells the network times between those that it
    was trained at; the multistep scheduler takes none.
    """
    import diffusers

    path, settings, tables = tiny_text.saved(tmp_path, "sd")
    model = load(path, settings)
    pipe = make_captured_network(model.spec, open_checkpoint(path)).pipeline
    pipe.set_progress_bar_config(disable=True)
    noise = torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    grid = karras(8, model.sigma_min, model.sigma_max)
    given = {"prompt_embeds": tables["prompt_embeds"][:3], "height": 8, "width": 8}
    given |= {"latents": noise, "guidance_scale": 1.0, "output_type": "latent"}
    config = pipe.scheduler.config
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        config, timestep_spacing="linspace"
    )
    theirs = pipe(sigmas=list(grid.sigma), **given).images
    ours = make("euler").sample(model.bind(torch.arange(3), 0), grid.sigma[0] * noise, grid)
    off = ((ours - theirs).abs().max() / ours.abs().max()).item()
    print("EulerDiscrete with sigmas=", off)  # shown by -rP
    assert off > 1e-3
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(config)
    with pytest.raises(ValueError, match="does not support custom"):
        pipe(sigmas=list(grid.sigma), **given)


@pytest.mark.parametrize("spec", SAMPLERS)
def test_a_pipeline_of_classes_whose_network_learned_a_variance(tmp_path, monkeypatch, spec):
    import diffusers
    from diffusers.pipelines.dit import pipeline_dit

    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="v_prediction", variance_type="learned_range"
    )
    pipe = diffusers.DiTPipeline(dit(), autoencoder(), scheduler)
    pipe.save_pretrained(tmp_path)
    pipe.vae.eval()
    model = load(tmp_path, {})
    grid = karras(8, model.sigma_min, model.sigma_max)
    made = export("diffusers", make(spec), grid, model, "folder")
    exec(made.code, {"pipe": pipe})
    bound = model.bind(torch.arange(len(LATENTS)), 0)
    call = {"class_labels": bound.labels.tolist(), "guidance_scale": 1.0}
    state, _ = theirs(pipe, pipeline_dit, monkeypatch, 8, **call)
    # it has no argument for latents, so where they are to be scaled ours are scaled back
    latents = LATENTS.double() / start_of(made)
    ours = make(spec).sample(bound, grid.sigma[0] * latents, grid)
    assert (ours - state).abs().max() < 1e-4 * ours.abs().max()
