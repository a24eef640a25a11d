"""Findings that use a library's own interface in place of our harness."""

from __future__ import annotations

import contextlib
import io
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torchdiffeq import odeint

from samplerbench.benchmarks.conformance import INTERIOR, Rational, ThreeModes, rms
from samplerbench.samplers import Grid, NoNoise, karras, make
from samplerbench.samplers.peers import VarianceExploding, load_peer_module


def unipc_dtype() -> Iterator[str]:
    """Yield sentences on both UniPC codes with a dtype that is not the default."""
    x = torch.ones(2, 3, 1, 1, dtype=torch.float64)
    module = load_peer_module("UniPC:multistep")
    solver = module.UniPC(
        lambda y, t: y / (1 + t.reshape(-1, 1, 1, 1)), VarianceExploding(), variant="bh2"
    )
    yield raises(
        "official, float64 state, float32 default",
        lambda: solver.sample(x, steps=5, t_start=1.0, t_end=0.1, order=3),
    )
    torch.set_default_dtype(torch.float64)
    try:
        scheduler = load_peer_module("diffusers:UniPCMultistepScheduler").UniPCMultistepScheduler(
            solver_order=3
        )
        scheduler.set_timesteps(5)

        def run(y: Tensor) -> Tensor:
            for t in scheduler.timesteps:
                y = scheduler.step(y / 2, t, y).prev_sample
            return y

        yield raises("diffusers, float64 state, float64 default", lambda: run(x))
        scheduler.set_timesteps(5)
        yield raises("diffusers, float32 state, float64 default", lambda: run(x.float()))
    finally:
        torch.set_default_dtype(torch.float32)


def raises(what: str, run: Callable[[], Any]) -> str:
    """Return a sentence with the error that a call raises, or that it runs."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            run()
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"
    return f"{what}: runs"


def tab_consistency() -> Iterator[str]:
    """Yield the error of tab's sums of weights, which a consistent method sums to the step."""
    module = load_peer_module("diff-sampler:deis_sampler", "solver_utils")
    levels = torch.tensor(karras(10, 0.002, 80.0).sigma[:-1], dtype=torch.float64)
    rows = module.get_deis_coeff_list(levels, 4, deis_mode="tab")
    off = [
        abs(float(sum(row)) / float(nxt - cur) - 1)
        for row, cur, nxt in zip(rows, levels, levels[1:], strict=False)
        if len(row)
    ]
    yield (
        "tab, order 4, 10 steps from 80 to 0.002: sums of the weights are off by up to "
        f"{max(off):.2%} of the step"
    )


class Counted:
    """Denoiser that counts its evaluations and records their levels."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.levels: list[float] = []

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Count and denoise."""
        self.levels.append(float(torch.as_tensor(sigma).flatten()[0]))
        return self.inner(x, sigma)

    def take(self, rows: Tensor) -> Counted:  # noqa: ARG002
        """Return the same denoiser for any rows."""
        return self


def torchdiffeq_in_sigma() -> Iterator[str]:
    """6. torchdiffeq's adaptive solvers, integrated in sigma, step past the end and interpolate
    back.
    """
    problem, grid = ThreeModes(), Grid((80.0, 0.002))
    start = problem.start * 80 / INTERIOR[1]
    truth = make("dpm_solver_3m").sample(
        problem, start.clone(), karras(2000, 0.002, 80.0, to_zero=False), NoNoise()
    )
    ends = torch.tensor(grid.sigma, dtype=torch.float64)
    for method, tolerance in itertools.product(("bosh3", "dopri5"), (1e-1, 1e-2, 1e-3)):
        counted, ours = Counted(problem), Counted(problem)
        run = partial(
            odeint, _slope(counted), start, ends, method=method, rtol=tolerance, atol=tolerance
        )
        error = _error(run, truth)
        end = make({"name": f"torchdiffeq_{method}", "rtol": tolerance, "atol": tolerance}).sample(
            ours, start.clone(), grid, NoNoise()
        )
        theirs = (
            f"in sigma {error} with {len(counted.levels)} evaluations, lowest level "
            f"{min(counted.levels):.2g}"
        )
        yield (
            f"{method}, tolerance {tolerance:g}: {theirs}; in lam with step_t error "
            f"{rms(end, truth):.1e} with {len(ours.levels)}"
        )


def _slope(denoise: Counted) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda s, y: (y - denoise(y, float(s))) / s


def _error(run: Callable[[], Any], truth: Tensor) -> str:
    try:
        return f"error {rms(run()[-1], truth):.1e}"
    except Exception as problem:
        return type(problem).__name__


class _Draws(TorchFunctionMode):
    count = 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.count += func in (torch.randn_like, torch.randn)
        return func(*args, **(kwargs or {}))


def unused_noise() -> Iterator[str]:
    """7. k-diffusion and EDM draw a batch of noise in every step even where none is used; two
    samplers fail on one step.
    """
    sampling = load_peer_module("k-diffusion:sample_heun")
    x, levels = torch.ones(2, 3, 8, 8) * 80, torch.tensor(karras(10, 0.002, 80.0).sigma)
    for name in ("sample_euler", "sample_heun", "sample_dpm_2"):
        with _Draws() as draws:
            getattr(sampling, name)(Rational(), x, levels, disable=True)
        yield f"k-diffusion {name}, s_churn = 0, 10 steps: {draws.count} draws of a batch"
    for name in ("sample_dpmpp_2m_sde", "sample_dpmpp_3m_sde"):
        one_step = partial(getattr(sampling, name), Rational(), x, levels[-2:], disable=True)
        yield raises(f"k-diffusion {name} on one step", one_step)
    for noise, sampler in (("BrownianTree", None), ("randn", lambda *_: torch.randn_like(x))):
        began = time.process_time()
        sampling.sample_dpmpp_2m_sde(Rational(), x, levels, disable=True, noise_sampler=sampler)
        yield (
            f"k-diffusion sample_dpmpp_2m_sde, 10 steps of 2 x 3 x 8 x 8, {noise}: {1e3 * (time.process_time() - began):.0f} "
            ""
            "ms"
        )
