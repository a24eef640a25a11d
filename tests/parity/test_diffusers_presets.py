"""Schedulers of diffusers in a pipeline's loop, and ``--sampler pipeline`` on the folder that they were
saved in: the same images from the same noise.
"""

from __future__ import annotations

import sys

import pytest
import torch
from own_pipeline import pipeline_sampled

from samplerbench.models.loaders.checkpoint import load
from samplerbench.samplers import SampleNoise, make

diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")
# a library's warnings are its own
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("default")]

SAMPLES, SHAPE = 3, (1, 8, 8)
LATENTS = torch.randn(SAMPLES, *SHAPE, generator=torch.Generator().manual_seed(3))
SD = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
V = SD | {"prediction_type": "v_prediction"}
PNDM = SD | {"skip_prk_steps": True}
"""Without v, which it refuses: noise, as in Stable Diffusion 1."""
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING = {"timestep_spacing": "trailing"}
KARRAS = {"use_karras_sigmas": True}
TO_MIN = {"final_sigmas_type": "sigma_min"}
NOISE = TO_MIN | {"algorithm_type": "dpmsolver"}
ZERO_SNR = {"rescale_betas_zero_snr": True}
CLIPPED = {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
CONTINUOUS = {"timestep_type": "continuous", "sigma_min": 0.002, "sigma_max": 700.0}


CASES = [
    # Stable Diffusion 1's own
    ("PNDM", PNDM | {"steps_offset": 1}, 10, "plms"),
    ("PNDM", PNDM, 17, "plms"),
    ("DPMSolverMultistep", V, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | LEADING, 17, "dpmpp_2m"),
    ("DPMSolverMultistep", V | TRAILING | {"solver_order": 3}, 8, "dpmpp_3m_published(last=[2, 1])"),
    ("DPMSolverMultistep", V | {"solver_order": 1}, 8, "euler"),
    ("DPMSolverMultistep", V | {"solver_type": "heun"}, 8, "xeab_2(last=[2, 1])"),
    ("DPMSolverMultistep", V | TO_MIN | {"euler_at_final": True}, 17, "dpmpp_2m(last=[1])"),
    ("DPMSolverMultistep", V | TO_MIN | {"lower_order_final": False}, 8, "dpmpp_2m"),
    ("DPMSolverMultistep", V | KARRAS, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | KARRAS | TO_MIN, 8, "dpmpp_2m(last=[2])"),
    ("DPMSolverMultistep", V | {"use_lu_lambdas": True}, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | ZERO_SNR | TRAILING, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | CLIPPED, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | NOISE, 8, "dpm_solver_2m(last=[2, 1])"),
    ("DPMSolverMultistep", V | NOISE | {"solver_type": "heun"}, 8, "zeab_2(last=[2, 1])"),
    ("DPMSolverMultistep", V | NOISE | {"solver_order": 3}, 17, "dpm_solver_3m_published"),
    ("DPMSolverMultistep", V | {"algorithm_type": "sde-dpmsolver++"}, 8, "dpmpp_2m_sde(last=[2, 1])"),
    ("DPMSolverMultistep", FLOW | {"flow_shift": 3.0}, 8, "dpmpp_2m(last=[2, 1])"),
    ("DPMSolverSinglestep", V, 7, "singlestep_on_grid"),
    ("DPMSolverSinglestep", V | {"solver_order": 3, "solver_type": "heun"}, 9, "singlestep_on_grid"),
    ("DPMSolverSinglestep", V | {"solver_order": 3} | KARRAS, 8, "singlestep_on_grid"),
    ("DPMSolverSinglestep", V | NOISE | {"solver_order": 3}, 6, "singlestep_on_grid"),
    ("UniPCMultistep", V, 9, "unipc_2(variant='bh2', last=[2, 1])"),
    ("UniPCMultistep", V | TRAILING | {"solver_order": 3}, 9, "unipc_3(variant='bh2', last=[2, 1])"),
    ("UniPCMultistep", V | KARRAS, 9, "unipc_2(variant='bh2', last=[2, 1])"),
    ("UniPCMultistep", V | TO_MIN | {"predict_x0": False, "solver_type": "bh1"}, 9, "unipc_2(prediction"),
    ("UniPCMultistep", FLOW | {"flow_shift": 5.0}, 9, "unipc_2(variant='bh2', last=[2, 1])"),
    ("DEISMultistep", V, 8, "zeab_2(last=[2, 1])"),
    ("DEISMultistep", V | KARRAS | {"solver_order": 3}, 17, "zeab_3"),
    ("LMSDiscrete", V, 8, "lms"),
    ("LMSDiscrete", V | KARRAS | LEADING, 8, "lms"),
    ("EulerDiscrete", V, 7, "euler"),
    ("EulerDiscrete", V | LEADING, 7, "euler"),
    ("EulerDiscrete", V | KARRAS, 7, "euler"),
    ("EulerDiscrete", V | KARRAS | CONTINUOUS, 7, "euler"),
    ("EulerDiscrete", V | ZERO_SNR | TRAILING | TO_MIN, 7, "euler"),
    ("HeunDiscrete", V | {"use_exponential_sigmas": True}, 5, "heun"),
    ("HeunDiscrete", V | {"use_beta_sigmas": True} | TRAILING, 5, "heun"),
    ("KDPM2Discrete", V | KARRAS, 5, "dpm_2"),
    ("EulerAncestralDiscrete", V, 6, "euler_ancestral"),
    ("DDPM", V, 10, "ddpm"),
    ("DDPM", V | TRAILING | {"clip_sample": False}, 7, "ddpm"),
    ("DDPM", V | {"variance_type": "fixed_large"}, 10, "ddpm_large"),
    ("EDMDPMSolverMultistep", {}, 8, "dpmpp_2m(last=[2, 1])"),
    ("EDMDPMSolverMultistep", {"solver_order": 3, "prediction_type": "v_prediction"}, 17, "dpmpp_3m"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "steps", "sampler"), CASES)
def test_images_are_those_of_the_library(
    tmp_path, monkeypatch, net, kind, settings, steps, sampler
):
    cls = getattr(diffusers, f"{kind}Scheduler")
    diffusers.DDPMPipeline(net, cls(**settings)).save_pretrained(tmp_path)
    model = load(tmp_path, {})
    own = model.own_sampling(steps)
    assert own.sampler.startswith(sampler)
    noise = SampleNoise(0, torch.arange(SAMPLES), SHAPE, torch.float64)
    scheduler = cls(**settings)
    scheduler.set_timesteps(steps)
    x, at = LATENTS * scheduler.init_noise_sigma, 0

    def drawn(*_, **__):
        return noise.at(at, *own.levels[at : at + 2])().float()

    monkeypatch.setattr(sys.modules[cls.__module__], "randn_tensor", drawn, raising=False)
    with torch.no_grad():
        for at, t in enumerate(scheduler.timesteps):  # noqa: B007
            output = net(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(output, t, x).prev_sample
    found = pipeline_sampled(model, LATENTS, steps, noise)
    assert (found - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())
    bound = model.bind(torch.arange(SAMPLES), 0)
    plain = make("euler").sample(bound, LATENTS.double() * own.start, own.levels) * own.end
    alone = sampler == "euler" and not own.times
    assert alone or (plain - x).abs().max() > 1e-3  # it is told apart from the simplest of all


@pytest.mark.parametrize("name", ["DDIM", "DPMSolverMultistep", "UniPCMultistep"])
def test_pipeline__another_scheduler_is_what_from_config_makes_of_the_folder(tmp_path, net, name):
    kept = diffusers.DDPMScheduler(clip_sample=False, beta_schedule="squaredcos_cap_v2")
    diffusers.DDPMPipeline(net, kept).save_pretrained(tmp_path)
    pipe = diffusers.DDPMPipeline.from_pretrained(tmp_path)
    scheduler = getattr(diffusers, f"{name}Scheduler").from_config(pipe.scheduler.config)
    scheduler.set_timesteps(8)
    x = LATENTS * scheduler.init_noise_sigma
    with torch.no_grad():
        for t in scheduler.timesteps:
            output = net(scheduler.scale_model_input(x, t), t).sample
            x = scheduler.step(output, t, x).prev_sample
    model = load(tmp_path, {})
    found = pipeline_sampled(model, LATENTS, 8, None, f"pipeline(scheduler='{name}Scheduler')")
    assert (found - x).abs().max() < 1e-4 * max(1.0, x.abs().max().item())


def test_pipeline__refuses_a_scheduler_of_other_networks(tmp_path, net):
    diffusers.DDPMPipeline(net, diffusers.DDPMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="samples no network that was trained for DDPMScheduler"):
        load(tmp_path, {}).own_sampling(8, "FlowMatchEulerDiscreteScheduler")
