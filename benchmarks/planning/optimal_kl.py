"""Schedule ``optimal_kl``: levels of minimal path divergence in ancestral sampling, by search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.denoiser import Denoiser
from ...models.exact.base import ExactModel
from ...samplers import NoNoise, Source, karras, make
from ...samplers.schedules import schedule
from ...samplers.schedules.optimised import CheapestPathSearch, staircase_costs
from .cache import cached_result, search_key
from .gits import Search, bind_latents

_NODES = 65
_SEED = 0
_TEACHER, _TEACHER_STEPS = "dpmpp_2m", 32
_VERSION = 1  # raised when the same options would give other levels


@schedule(
    Source(
        "guo2005immse",
        "theorem 1 (I-MMSE)",
        "https://arxiv.org/abs/cs/0412108v1",
        (
            "The paper has the identity between information and MMSE; the divergence of "
            "a grid follows from it and Girsanov's theorem.",
            "On a network the denoising loss on its own samples stands in for the MMSE, "
            "which includes the error of the network.",
            "To 0, the last step goes from sigma_min to 0 and is not searched: its "
            "divergence is infinite.",
        ),
    ),
    needs_model=True,
)
def optimal_kl(*, fine_steps: int = 256, samples: int = 128, end: float = 0.0) -> Search:
    """Levels that minimise the path divergence of ddpm, by dynamic programming.

    The divergence is 1/2 sum_i int [mmse(gamma_i) - mmse(gamma)] dgamma, with gamma = 1 / sigma².

    Args:
        fine_steps: number of fine steps, >= 2: geometric from sigma_max to ``end``, and one from
            there to sigma_min if ``end`` lies above it. Levels are chosen from their ends.
        samples: number of samples over which the MMSE curve is averaged, >= 2.
        end: level where the search ends; one step without cost leads from there to sigma_min. At or
            below sigma_min, as with 0, the search ends at sigma_min.

    Raises:
        ValueError: an option is out of range.
    """
    if fine_steps < 2 or samples < 2 or not end >= 0:
        raise ValueError(
            "optimal_kl needs fine_steps >= 2, samples >= 2 and end >= 0, got "
            f"{fine_steps}, {samples} and {end}"
        )
    from ...models.mmse import MMSECurve, denoising_loss, exact_mmse, gammas  # few runs need it

    @torch.no_grad()
    def measure(model: Denoiser, device: str) -> dict[str, Any]:
        gamma = gammas(model.sigma_min, model.sigma_max, _NODES)
        if isinstance(model, ExactModel):
            curve = exact_mmse(model.to("cpu"), gamma, samples, _SEED)
            evaluations = samples * _NODES
        else:  # the denoising loss on samples that the network generates
            bound, x, meter = bind_latents(model, samples, _SEED, device)
            grid = karras(_TEACHER_STEPS, model.sigma_min, model.sigma_max)
            x0 = make(_TEACHER).sample(bound, x, grid, NoNoise())
            curve = denoising_loss(bound.model, x0, gamma, seed=_SEED, labels=bound.labels)
            evaluations = meter.rows
        if not np.isfinite(curve.draws).all():
            raise ValueError(
                f"optimal_kl: the denoising loss of model {model.name} is not "
                "finite; choose another schedule"
            )
        mmse = curve.falling_mean().tolist()
        return {"gamma": gamma.tolist(), "mmse": mmse, "evaluations": evaluations}

    def search(model: Denoiser, cache: Path | None, device: str) -> CheapestPathSearch:
        if end >= model.sigma_max:
            raise ValueError(
                f"optimal_kl: end={end:g} must lie below sigma_max = "
                f"{model.sigma_max:g} of model {model.name}"
            )
        key = {"samples": samples} | search_key(model, cache, device, _SEED, _VERSION)
        stored = cached_result(cache, "mmse", key, lambda: measure(model, device))
        curve = MMSECurve(np.array(stored["gamma"]), np.array(stored["mmse"])[None])
        stop = max(end, model.sigma_min)
        below = (model.sigma_min,) if stop > model.sigma_min else ()
        gamma = gammas(stop, model.sigma_max, fine_steps + 1 - len(below))
        mmse = np.minimum.accumulate(curve.at(gamma)[0])
        integral = np.array([0.0, *curve.integral(gamma[0], gamma[1:])[0]])
        levels = (model.sigma_max, *(gamma[1:-1] ** -0.5).tolist(), stop)
        cost = staircase_costs(levels, mmse, integral)
        if below:
            # only the step from the end leads to sigma_min, and it costs nothing
            cost = np.pad(cost, ((0, 1), (0, 1)), constant_values=np.inf)
            cost[-2, -1] = 0.0
        return CheapestPathSearch(
            (*levels, *below), cost, 1.0, stored["evaluations"], "optimal_kl", "fine_steps"
        )

    return search
