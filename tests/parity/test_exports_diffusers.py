"""Lines for diffusers, pasted: its own pipelines give the images of our samplers, from the same latents."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from moved_tables import MOVED, moved
from torch import Tensor

from samplerbench.benchmarks.advice.exports import export, missing
from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import Grid, SampleNoise, karras, make, names, uniform_lambda

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.slow, pytest.mark.filterwarnings("default")]

SAMPLES, SHAPE = 3, (1, 8, 8)
WITHIN = 1e-4
"""Largest difference of images, relative to their largest value."""
LINEAR = {"clip_sample": False}
SD = LINEAR | {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
FLOW = "FlowMatchEulerDiscreteScheduler"
SCHEDULERS = {
    "noise, linear": ("DDPMScheduler", LINEAR),
    "noise, scaled linear": ("DDIMScheduler", SD | {"steps_offset": 1}),
    "v": ("DDIMScheduler", SD | {"prediction_type": "v_prediction"}),
    "image": ("DDPMScheduler", LINEAR | {"prediction_type": "sample"}),
    "flow": (FLOW, {"shift": 3.0, "use_dynamic_shifting": True}),
    "edm": ("EDMEulerScheduler", {}),
}
"""What saved pipelines come with."""


@pytest.fixture(scope="module", params=SCHEDULERS)
def saved(request, tmp_path_factory, net):
    """A pipeline of pixels, and our model of its folder."""
    folder = tmp_path_factory.mktemp("pipeline")
    name, settings = SCHEDULERS[request.param]
    pipe = diffusers.DDPMPipeline(net, getattr(diffusers, name)(**settings))
    pipe.save_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return SimpleNamespace(pipe=pipe, model=load(folder, {}), scheduler=pipe.scheduler)


def grids(model) -> Iterator[Grid]:
    """Karras's, even in log sigma, of random steps, of one and of two steps; to 0 and to the lowest level."""
    low, high = model.sigma_min, min(model.sigma_max, 160.0)
    yield karras(8, low, high, to_zero=True)
    yield karras(17, low, high, to_zero=False)
    yield uniform_lambda(6, low, high, to_zero=True)
    yield Grid((high, high / 2.5, 2.0, 1.9, 0.4, 0.0))
    yield Grid((high, 0.7, 0.0))
    yield Grid((high, 0.0))


class Drawn:
    """Our noise in the place of the library's, step by step."""

    def __init__(self, noise: SampleNoise, start: float) -> None:
        self.noise, self.step, self.start = noise, -1, start

    def __call__(self, *_, **__) -> Tensor:
        self.step += 1
        if self.step == 0:
            return (self.start * self.noise.initial()).float()
        return self.noise.at(self.step - 1, 1, 0)().float()


def pasted(saved, made, noise: SampleNoise, monkeypatch) -> Tensor:
    """The last state of the pipeline after the lines, with latents scaled where the remark asks for it."""
    code, start = made.code, 1.0
    if "begins with standard normal noise" in made.remark:
        start = float(re.search(r"init_noise_sigma = (\S+)", code).group(1))
    pipe = saved.pipe
    pipe.scheduler = saved.scheduler
    exec(code, {"pipe": pipe})
    drawn, states, step = Drawn(noise, start), [], pipe.scheduler.step

    def kept(*args, **options):
        states.append(step(*args, **options).prev_sample)
        return SimpleNamespace(prev_sample=states[-1])

    monkeypatch.setattr(pipe.scheduler, "step", kept)
    for module in (type(pipe).__module__, "diffusers.schedulers.scheduling_dpmsolver_multistep"):
        monkeypatch.setattr(sys.modules[module], "randn_tensor", drawn)
    pipe(batch_size=SAMPLES, num_inference_steps=len(noise.ids), output_type="pt")
    return states[-1]


EXPORTED = [
    *names(),
    "dpmpp_2m(last=[2, 1])",
    "dpmpp_2m(last=[1])",
    "dpmpp_2m_sde(solver_type='heun')",
    "dpmpp_2m_sde(eta=0.0)",
    "unipc_3(last=[2, 1])",
    "unipc_2(variant='bh1', prediction='noise')",
    "unipc_2(corrector=False)",
    "zab_3(first=[1, 1])",
    "ipndm(through_zero=True)",
    "ipndm(analytic_first=True)",
]


@pytest.mark.parametrize("spec", EXPORTED)
def test_images_are_ours(saved, monkeypatch, spec):
    sampler, model = make(spec), saved.model
    if missing("diffusers", sampler, model):
        with pytest.raises(ValueError, match="cannot export"):
            export("diffusers", sampler, karras(3, 0.1, 5.0), model, "folder")
        return
    for grid in grids(model):
        check(saved, sampler, grid, monkeypatch)


def check(saved, sampler, grid: Grid, monkeypatch) -> None:
    """The pipeline's images are ours."""
    model, noise = saved.model, SampleNoise(0, torch.arange(SAMPLES), SHAPE, torch.float64)
    made = export("diffusers", sampler, grid, model, "folder")
    ours = sampler.sample(model.bind(noise.ids, 0), grid.sigma[0] * noise.initial(), grid, noise)
    theirs = pasted(saved, made, noise, monkeypatch)
    off = ((ours - theirs).abs().max() / ours.abs().max()).item()
    print(sampler.name, len(grid), off, made.remark)  # shown by -rP
    assert off < WITHIN, (len(grid), off, made.remark, made.code)


@pytest.mark.parametrize("spec", MOVED)
def test_images_of_fitted_coefficients_are_ours(saved, monkeypatch, spec):
    for given in (one for one in grids(saved.model) if one.to_zero and len(one) > 2):
        check(saved, *moved(spec, given), monkeypatch)


@pytest.mark.parametrize("spec", ["ddim", "unipc_2", "heun", "lms", "ipndm"])
def test_images_of_a_network_with_a_learned_variance_are_ours(tmp_path, monkeypatch, net, spec):
    twice = diffusers.UNet2DModel.from_config({**net.config, "out_channels": 2}).eval()
    scheduler = diffusers.DDPMScheduler(**LINEAR, variance_type="learned_range")
    pipe = diffusers.DDPMPipeline(twice, scheduler)
    pipe.save_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    model = load(tmp_path, {})
    saved = SimpleNamespace(pipe=pipe, model=model, scheduler=scheduler)
    check(saved, make(spec), karras(4, model.sigma_min, model.sigma_max), monkeypatch)
