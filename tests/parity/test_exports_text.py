"""Lines for diffusers, pasted into pipelines of text to image: the latents of our samplers."""

from __future__ import annotations

import re

import pytest
import tiny_text
import torch

from samplerbench.benchmarks.exports import export
from samplerbench.models.checkpoints.opening import open_checkpoint
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint.families.diffusers.library import called_by_pipeline
from samplerbench.models.loaders.checkpoint.loading import load
from samplerbench.samplers import karras, make

pytest.importorskip("diffusers", reason="diffusers is not installed")
pytest.importorskip("transformers", reason="pipelines of text import transformers")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SAMPLERS = ("euler", "dpmpp_2m", "unipc_2", "xeab_2", "ipndm", "heun", "auto")


@pytest.mark.parametrize("spec", SAMPLERS)
@pytest.mark.parametrize(
    ("name", "scale"), [("sd", 4.0), ("xl", 2.0), ("sd3", 3.0), ("flux", 1.0), ("sana", 1.0)]
)
def test_latents_are_ours(tmp_path, name, scale, spec):
    path, settings, tables = tiny_text.saved(tmp_path, name)
    model = load(path, settings)
    pipe, rows = called_by_pipeline(model.spec, open_checkpoint(path)).pipeline, [0, 1, 2]
    guided = model if scale == 1 else ClassifierFree(model, scale)
    grid = karras(8, model.sigma_min, model.sigma_max, to_zero=True)
    made = export("diffusers", make(spec), grid, guided, "folder")
    exec(made.code, {"pipe": pipe})
    noise = torch.randn(3, *model.event, generator=torch.Generator().manual_seed(0))
    sent = noise
    if "begins with standard normal noise" in made.remark:
        sent = noise * float(re.search(r"init_noise_sigma = (\S+)", made.code).group(1))
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
