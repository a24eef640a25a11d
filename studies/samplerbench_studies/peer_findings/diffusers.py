"""Findings about diffusers: levels by its own set_timesteps, steps to 0, and churn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from samplerbench.benchmarks.conformance import INTERIOR, Rational, ThreeModes, rms
from samplerbench.samplers import SampleNoise, karras, make
from samplerbench.samplers.peers import load_peer_module

from .libraries import Counted


def levels() -> Iterator[str]:
    """5. diffusers: levels that rise, repeat, start too high, or are rounded; a coefficient with
    the wrong sign.
    """
    library = load_peer_module("diffusers:EulerDiscreteScheduler")
    euler = library.EulerDiscreteScheduler(
        use_karras_sigmas=True, sigma_min=0.002, sigma_max=80.0, final_sigmas_type="sigma_min"
    )
    euler.set_timesteps(10)
    yield (
        "EulerDiscrete, sigma_min=0.002, final_sigmas_type='sigma_min': the last two "
        f"levels are {_show(euler.sigmas[-2:])}"
    )
    deis = library.DEISMultistepScheduler(use_karras_sigmas=True)
    deis.set_timesteps(10)
    yield (
        f"DEIS, karras: the last two levels are {_show(deis.sigmas[-2:])}, for "
        f"{len(deis.timesteps)} evaluations"
    )
    edm = library.EDMEulerScheduler(sigma_max=80.0)
    edm.set_timesteps(10)
    yield (
        f"EDMEuler: init_noise_sigma is {float(edm.init_noise_sigma):.6f} for a first "
        f"level of {float(edm.sigmas[0]):g}"
    )
    dpm = library.DPMSolverMultistepScheduler(use_karras_sigmas=True)
    dpm.set_timesteps(30)
    rounded = ((1 - dpm.alphas_cumprod) / dpm.alphas_cumprod).sqrt()[dpm.timesteps]
    off = float((rounded / dpm.sigmas[:-1] - 1).abs().max())
    yield (
        f"DPMSolverMultistep, karras, 30 steps: timesteps are {dpm.timesteps.dtype}, "
        f"whose levels are up to {off:.1%} off the sigmas"
    )
    yield from _third_order_sde()


def _third_order_sde() -> Iterator[str]:
    noise, problem = SampleNoise(1, torch.arange(10), (2,), torch.float64), ThreeModes()
    theirs = {"name": "diffusers:DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"}
    for n in (20, 80, 320):
        grid = karras(n, *INTERIOR, to_zero=False)
        specs = (
            {**theirs, "solver_order": 3},
            {**theirs, "solver_order": 2},
            "dpmpp_3m_sde_published",
        )
        third, second, right = (
            make(spec).sample(problem, problem.start.clone(), grid, noise) for spec in specs
        )
        yield (
            f"sde-dpmsolver++, {n} steps, from dpmpp_3m_sde_published: order 3 "
            f"{rms(third, right):.1e}, order 2 {rms(second, right):.1e}"
        )
    h = 0.1
    written = (1 - math.exp(-2 * h) - 2 * h) / (2 * h) ** 2 - 0.5
    formula = -((math.exp(-2 * h) - 1 + 2 * h) / (2 * h) ** 2 - 0.5)
    yield (
        f"its weight of D2 at h = {h}: {written:.4f} as written, {formula:.4f} by the "
        "formula, whose limit is 0"
    )


def _show(levels: Tensor) -> str:
    return ", ".join(f"{float(s):.4g}" for s in levels)


def steps_to_zero() -> Iterator[str]:
    """9. diffusers' UniPC with bh1 gives NaN in the step to 0, which is its default end; DEIS and
    SA-Solver cannot make that step.
    """
    library = load_peer_module("diffusers:UniPCMultistepScheduler")
    for name, options in (
        ("UniPCMultistepScheduler", {"solver_type": "bh1"}),
        ("UniPCMultistepScheduler", {"solver_type": "bh2"}),
        ("DEISMultistepScheduler", {}),
        ("SASolverScheduler", {}),
    ):
        scheduler = getattr(library, name)(**options)
        scheduler.set_timesteps(20)
        y = torch.ones(1, 3, 2, 2)
        for t in scheduler.timesteps:
            y = scheduler.step(y / 2, t, y).prev_sample
        yield (
            f"{name}({options}), 20 steps of its own: last level "
            f"{float(scheduler.sigmas[-1]):g}, result {float(y.flatten()[0]):g}"
        )


def churn() -> Iterator[str]:
    """10. diffusers' churn evaluates the network before it adds the noise: at sigma, on the state
    without noise.
    """
    for name in ("diffusers:EulerDiscreteScheduler", "k-diffusion:sample_euler"):
        grid = karras(4, 0.1, 10.0)
        noise = SampleNoise(1, torch.arange(2), (2,), torch.float64)
        counted = Counted(Rational())
        make({"name": name, "s_churn": 4.0}).sample(
            counted, torch.full((2, 2), 10.0, dtype=torch.float64), grid, noise
        )
        yield (
            f"{name}, s_churn=4: levels {_show(torch.tensor(grid.sigma))}; evaluated at "
            f"{_show(torch.tensor(counted.levels))}"
        )
