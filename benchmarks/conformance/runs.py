"""How the checks start a sampler: latents and noise by sample number."""

from __future__ import annotations

import torch
from torch import Tensor

from ...samplers import Noise, NoNoise, SampleNoise, Sampler

SEED = 2024


def noise_for(sampler: Sampler, ids: Tensor, event: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[Noise, Tensor]:
    """The noise of samples ``ids`` (one that refuses if the sampler declares none) and their standard normal latents."""
    source = SampleNoise(SEED, ids, event, dtype)
    return (source if sampler.stochastic else NoNoise()), source.initial()


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal bit for bit, where NaN equals NaN: what is not finite is another check's business."""
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
