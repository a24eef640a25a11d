"""``--sampler pipeline`` on given latents."""

from __future__ import annotations

import torch
from torch import Tensor

from samplerbench.benchmarks.planning.planner import configure_pipeline
from samplerbench.benchmarks.suites.cell import Start
from samplerbench.samplers import NoNoise, karras, make
from samplerbench.samplers.types import Noise


class Drawn:
    """Noise of torch's generator, as the library draws it."""

    def __init__(self, seed: int, like: Tensor) -> None:
        self.generator, self.like = torch.Generator().manual_seed(seed), like

    def at(self, step, cur, nxt):
        return lambda draw=0, *, cur=None, nxt=None: torch.randn(
            self.like.shape, generator=self.generator
        )


def pipeline_sampled(
    model, latents: Tensor, steps: int, noise: Noise | None = None, sampler: str = "pipeline"
) -> Tensor:
    """Samples of standard normal latents, the first those of sample 0."""
    top = model.sigma_max
    grid = karras(steps, model.sigma_min, top)  # as the planner makes it: its levels are not used
    start = Start("noise", top, top)
    made, reason = configure_pipeline(make(sampler), model, grid, start)
    assert not reason, reason
    bound = model.bind(torch.arange(len(latents)), 0)
    return made.sample(bound, top * latents.double(), grid, noise or NoNoise())
