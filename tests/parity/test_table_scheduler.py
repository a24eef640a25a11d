"""The folder for diffusers: its pipelines load it, and give the images of our samplers from the same latents."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import tiny_text
import torch
from moved_tables import moved
from test_exports_diffusers import SAMPLES, SCHEDULERS, SHAPE

import samplerbench
from samplerbench.benchmarks.advice.exports import export_folder, missing
from samplerbench.models.guidance import ClassifierFree
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import Grid, SampleNoise, karras, make, names

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]
WITHIN = 1e-4
"""Largest difference of images, relative to their largest value."""


def write(folder: Path, sampler, grid: Grid, model):
    """The folder's class and content, and its remark."""
    made = export_folder("diffusers", sampler, grid, model, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return made


def scheduler_of(folder: Path, monkeypatch):
    """The scheduler, as a script imports it."""
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("table_scheduler", None)
    from table_scheduler import TableScheduler

    return TableScheduler.from_pretrained(folder)


def start_of(made) -> float:
    """By what a remark wants the latents scaled."""
    if "begins with standard normal noise" not in made.remark:
        return 1.0
    return json.loads(made.files["scheduler_config.json"])["init_noise_sigma"]


@pytest.fixture(params=SCHEDULERS)
def pixels(request, tmp_path, net):
    """A pipeline of pixels, and our model of its folder."""
    name, settings = SCHEDULERS[request.param]
    pipe = diffusers.DDPMPipeline(net, getattr(diffusers, name)(**settings))
    pipe.save_pretrained(tmp_path / "pipeline")
    pipe.set_progress_bar_config(disable=True)
    return pipe, load(tmp_path / "pipeline", {})


@pytest.mark.slow
def test_table_scheduler__every_linear_sampler_in_the_pipeline_of_pixels(
    pixels, monkeypatch, tmp_path
):
    """Stochastic samplers too, with our draws in the place of the library's."""
    pipe, model = pixels
    own, wrong, grid = pipe.scheduler, {}, karras(6, model.sigma_min, min(model.sigma_max, 100.0))
    linear = [name for name in names() if not missing("comfyui-node", make(name), model)]
    beyond = ("edm_stochastic", "euler_churn")  # the model's levels
    cases = [(make(name), grid) for name in linear if name not in beyond]
    for sampler, levels in [*cases, moved("dpmpp_2m", grid)]:
        made = write(tmp_path / "tuned", sampler, levels, model)
        scheduler = scheduler_of(tmp_path / "tuned", monkeypatch).check(own)
        noise = SampleNoise(0, torch.arange(SAMPLES), SHAPE, torch.float64)
        draws, first = Numbered(noise), levels.sigma[0] * noise.initial()
        ours = sampler.sample(model.bind(noise.ids, 0), first, levels, draws)
        latents = iter([start_of(made) * noise.initial()])
        for module, source in ((type(pipe).__module__, latents), ("table_scheduler", draws.made())):
            monkeypatch.setattr(
                sys.modules[module], "randn_tensor", lambda *_, of=source, **__: next(of).float()
            )
        pipe.scheduler = Kept(scheduler)
        pipe(batch_size=SAMPLES, num_inference_steps=len(scheduler.timesteps), output_type="pt")
        off = float((ours - pipe.scheduler.state).abs().max() / ours.abs().max())
        if not off < WITHIN:
            wrong[sampler.name] = off
    assert not wrong, wrong
    assert len(cases) > 70


class Kept:
    """A scheduler that keeps its last state, which a pipeline clamps."""

    def __init__(self, scheduler) -> None:
        self.scheduler = scheduler

    def __getattr__(self, name):
        return getattr(self.scheduler, name)

    def step(self, *args, **options):
        output = self.scheduler.step(*args, **options)
        self.state = output.prev_sample
        return output


class Numbered:
    """Our noise, with the draws in the order in which a sampler asks for them first."""

    def __init__(self, noise: SampleNoise) -> None:
        self.noise, self.seen = noise, {}

    def at(self, step, cur, nxt):
        def draw(number=0, *, cur=None, nxt=None):
            made = self.noise.at(step, 1, 0)(number)
            return self.seen.setdefault((step, number), made)

        return draw

    def made(self):
        return iter(self.seen.values())


@pytest.mark.parametrize("spec", ["dpmpp_2m", "unipc_2", "auto", "heun"])
@pytest.mark.parametrize(
    ("name", "scale"), [("sd", 4.0), ("xl", 2.0), ("sd3", 3.0), ("flux", 1.0), ("sana", 1.0)]
)
def test_table_scheduler__latents_of_pipelines_of_text_are_ours(
    tmp_path, monkeypatch, name, scale, spec
):
    pytest.importorskip("transformers", reason="pipelines of text import transformers")
    path, settings, tables = tiny_text.saved(tmp_path, name)
    model = load(path, settings)
    guided = model if scale == 1 else ClassifierFree(model, scale)
    sampler, grid = make(spec), karras(8, model.sigma_min, model.sigma_max)
    made = write(path / "scheduler", sampler, grid, guided)
    index = json.loads((path / "model_index.json").read_text())
    index["scheduler"] = ["table_scheduler", "TableScheduler"]
    (path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="trust_remote_code"):
        diffusers.DiffusionPipeline.from_pretrained(path)
    nothing = {part: None for part, kind in index.items() if kind == [None, None]}
    pipe = diffusers.DiffusionPipeline.from_pretrained(path, trust_remote_code=True, **nothing)
    again = tmp_path / "again"
    pipe.save_pretrained(again)
    assert {each.name for each in (again / "scheduler").iterdir()} == set(made.files)
    pipe = diffusers.DiffusionPipeline.from_pretrained(again, trust_remote_code=True, **nothing)
    origin = pipe.scheduler.config.made_for
    assert origin["solver"] == spec
    assert origin["guidance"] == scale
    by_size = guided.own_shift() if name == "flux" else None
    assert by_size is None or 1 < by_size < 3.2
    assert origin["shift"] == {"sd3": 3.0, "sana": 3.0}.get(name, by_size)
    assert latents_are_ours(pipe, made, sampler, grid, guided, tables, scale, name) < WITHIN


def latents_are_ours(pipe, made, sampler, grid, guided, tables, scale, name) -> float:
    noise = torch.randn(3, *guided.event, generator=torch.Generator().manual_seed(0))
    sent = noise * start_of(made)
    given = {key: table[[0, 1, 2]] for key, table in tables.items() if "negative" not in key}
    if scale > 1:
        given |= {k: t.repeat(3, *[1] * (t.ndim - 1)) for k, t in tables.items() if "negative" in k}
    given["guidance_scale"] = scale
    if name == "flux":
        given["guidance_scale"] = guided.spec.scalars["guidance"]
        sent = pipe._pack_latents(sent, 3, *guided.event)
    sizes = dict.fromkeys(("height", "width"), guided.event[1] * pipe.vae_scale_factor)
    if name == "sana":
        sizes["use_resolution_binning"] = False
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match=r"this table needs num_inference_steps=\d+, not 7$"):
        pipe(**given, latents=sent.clone(), **sizes, num_inference_steps=7, output_type="latent")
    steps = len(pipe.scheduler.config.rows)
    theirs = pipe(
        **given, latents=sent.clone(), **sizes, num_inference_steps=steps, output_type="latent"
    ).images
    if name == "flux":
        theirs = pipe._unpack_latents(theirs, 8, 8, 1)
    ours = sampler.sample(guided.bind(torch.arange(3), 0), grid.sigma[0] * noise.double(), grid)
    return float((ours - theirs).abs().max() / ours.abs().max())


@pytest.fixture
def folder(tmp_path, net):
    """A pipeline of noise with a table of times, and the folder of a table for it."""
    pipe = diffusers.DDIMPipeline(net, diffusers.DDIMScheduler(clip_sample=False))
    pipe.save_pretrained(tmp_path / "pipeline")
    made = samplerbench.export(
        to="diffusers",
        steps=5,
        model=str(tmp_path / "pipeline"),
        sampler="ipndm",
        out=tmp_path / "tuned",
    )
    assert made["files"] == [
        str(tmp_path / "tuned" / n) for n in ("scheduler_config.json", "table_scheduler.py")
    ]
    return pipe, tmp_path / "tuned", made


def test_table_scheduler__the_printed_lines_run_in_ddim_s_pipeline(folder):
    pipe, _, made = folder
    pipe.set_progress_bar_config(disable=True)
    sys.modules.pop("table_scheduler", None)
    exec(made["code"], {"pipe": pipe})
    steps = int(re.search(r"num_inference_steps=(\d+)", made["code"])[1])
    images = pipe(batch_size=2, num_inference_steps=steps, output_type="np").images
    assert images.shape == (2, 8, 8, 1)


def test_table_scheduler__refuses_in_a_sentence(folder, monkeypatch):
    _, path, _ = folder
    scheduler = scheduler_of(path, monkeypatch)
    others = [
        (diffusers.DDIMScheduler(prediction_type="v_prediction"), "('v_prediction', None)"),
        (diffusers.FlowMatchEulerDiscreteScheduler(), "('flow_prediction', None)"),
        (diffusers.EDMEulerScheduler(), "('epsilon', 0.5)"),
        (diffusers.DDIMScheduler(beta_schedule="scaled_linear"), "needs noise level"),
    ]
    for other, words in others:
        with pytest.raises(ValueError, match="this table needs") as refused:
            scheduler.check(other)
        assert words in str(refused.value)
    for schedulers in ("EulerDiscreteScheduler", "UniPCMultistepScheduler", "PNDMScheduler"):
        assert scheduler.check(getattr(diffusers, schedulers)()) is scheduler
    with pytest.raises(
        ValueError, match="this table needs prediction_type 'epsilon', not 'sample'"
    ):
        type(scheduler).from_pretrained(path, prediction_type="sample")
    with pytest.raises(ValueError, match="image to image"):
        scheduler.set_begin_index(2)
    scheduler.set_timesteps(5)
    x = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match="image to image"):
        scheduler.step(x, scheduler.timesteps[2], x)


def test_table_scheduler__draws_by_a_generator_and_a_variance_is_left_out(
    folder, monkeypatch, tmp_path
):
    model = load(tmp_path / "pipeline", {})
    made = write(tmp_path / "sde", make("euler_churn"), karras(4, 0.1, 50.0), model)
    scheduler = scheduler_of(tmp_path / "sde", monkeypatch)
    start = json.loads(made.files["scheduler_config.json"])["init_noise_sigma"]
    assert (
        start > 50.0 / (1 + 50.0**2) ** 0.5 * 0.9999
    )  # with the noise before the first evaluation
    x, runs = torch.randn(1, 1, 8, 8), []
    for seed in (0, 0, 1):
        scheduler.set_timesteps(4)
        generator, state = torch.Generator().manual_seed(seed), x
        for t in scheduler.timesteps:
            output = torch.cat([0.1 * state, 9 * state], 1)
            state = scheduler.step(output, t, state, generator=generator).prev_sample
        runs.append(state)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert runs[0].shape == x.shape
