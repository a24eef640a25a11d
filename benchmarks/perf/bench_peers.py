"""Benchmarks of samplers here and in other libraries (peers): 50 steps, with a free denoiser.

Every group has ``axpy2``, which makes two fused passes over the state in place, 50 times.
``samplerbench.benchmarks.perf.table`` prints all other times as multiples of it. Peers run without
this library's adapters. Peers that are not installed are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from samplerbench import samplers
from samplerbench.samplers import Grid, NoNoise, karras

STEPS, EVENT = 50, (3, 32, 32)
GRID = karras(STEPS, 0.002, 80.0)
OURS = (
    "euler",
    "dpmpp_2m",
    "dpmpp_3m",
    "xeab_4",
    "unipc_2",
    "unipc_3",
    "zab_2",
    "zab_3",
    "ipndm",
    "vab_4",
    "dpm_solver_2m",
    "deis_tab_3",
    "heun",
)
Whole = Callable[[Tensor, Tensor], object]
"""Function (start state, output) that samples with a denoiser that always returns ``output``."""


def ours(name: str, grid: Grid = GRID) -> Whole:
    sampler, noise = samplers.make(name), NoNoise()
    return lambda x, d: sampler.sample(lambda y, sigma: d, x, grid, noise)  # type: ignore[arg-type]  # noqa: ARG005


def k_diffusion(function: str) -> Whole:
    from samplerbench.samplers.peers.k_diffusion import load_sampling

    call, sigmas = getattr(load_sampling("k-diffusion"), function), torch.tensor(GRID.sigma)
    return lambda x, d: call(lambda y, sigma, **_: d, x, sigmas, disable=True)  # noqa: ARG005


def diffusers(scheduler: str, **options: object) -> Whole:
    import diffusers as library

    def whole(x: Tensor, d: Tensor) -> Tensor:
        stepper = getattr(library, scheduler)(prediction_type="sample", **options)
        stepper.set_timesteps(STEPS)
        for t in stepper.timesteps:
            stepper.scale_model_input(x, t)
            x = stepper.step(d, t, x).prev_sample
        return x

    return whole


def azula(sampler: str, **options: object) -> Whole:
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import VESchedule
    from azula.sample import __dict__ as known

    class Free(Denoiser):
        def __init__(self, d: Tensor) -> None:
            super().__init__()
            self.schedule, self.d = VESchedule(), d

        def forward(self, x_t: Tensor, t: Tensor, **kwargs: object) -> DiracPosterior:  # noqa: ARG002
            return DiracPosterior(mean=self.d)

    return lambda x, d: known[sampler](Free(d), steps=STEPS, silent=True, **options)(x)


_K_DIFFUSION = ("sample_euler", "sample_heun", "sample_lms", "sample_dpmpp_2m")
_DIFFUSERS = (
    ("EulerDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {"solver_order": 2}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("UniPCMultistepScheduler", {"solver_order": 3}),
    ("DEISMultistepScheduler", {"solver_order": 3}),
)
PEERS: dict[str, tuple[str, Callable[[], Whole]]] = {
    **{f"k-diffusion {f}": ("k_diffusion", partial(k_diffusion, f)) for f in _K_DIFFUSION},
    **{
        " ".join(["diffusers", f, *map(str, o.values())]): ("diffusers", partial(diffusers, f, **o))
        for f, o in _DIFFUSERS
    },
    "azula EulerSampler": ("azula", partial(azula, "EulerSampler")),
    "azula xEABSampler 3": ("azula", partial(azula, "xEABSampler", order=3)),
}


@pytest.fixture(params=[64, 1], ids=lambda n: f"batch {n}")
def state(request, benchmark) -> Tensor:
    benchmark.group = f"{STEPS} steps, {request.param} x 3 x 32 x 32, float32"
    return torch.randn(request.param, *EVENT, generator=torch.Generator().manual_seed(0))


def measure(benchmark, whole: Whole, state: Tensor) -> None:
    d = torch.randn_like(state)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        benchmark.pedantic(
            whole,
            args=(state, d),
            rounds=15,
            iterations=3 if len(state) > 1 else 20,
            warmup_rounds=2,
        )


def test_axpy2(benchmark, state: Tensor) -> None:
    def whole(x: Tensor, d: Tensor) -> None:
        for _ in range(STEPS):
            x.mul_(0.5).add_(d, alpha=0.5)

    measure(benchmark, whole, state)


@pytest.mark.parametrize("name", OURS)
def test_ours(benchmark, state: Tensor, name: str) -> None:
    measure(benchmark, ours(name), state)


@pytest.mark.parametrize("name", PEERS)
def test_peer(benchmark, state: Tensor, name: str) -> None:
    module, make = PEERS[name]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    measure(benchmark, make(), state)
