"""A sample does not depend on its batch."""

from __future__ import annotations

import torch
from torch import Tensor

from ...samplers import Sampler, karras
from .check import Check
from .problems import Rational
from .runs import noise_for, same

GRID = karras(6, 0.02, 10.0)
IDS = torch.tensor([3, 11, 0, 7, 5, 2, 8])  # a shuffled batch, with gaps


def check_batch(sampler: Sampler) -> list[Check]:
    """Each of seven samples alone, bit for bit what it is in the batch; measured only where the sampler says that it couples them."""
    together = _sample(sampler, IDS)
    alone = torch.cat([_sample(sampler, one) for one in IDS.split(1)])
    equal, moved = same(together, alone), float((together - alone).abs().max())
    detail = "bit-identical alone and in a batch of 7" if equal else f"a sample alone differs by {moved:.1e}"
    if sampler.batch_coupled:
        return [Check("batch independence", True, f"{detail} (declared batch_coupled)", {"moved": moved}, asserted=False)]
    return [Check("batch independence", equal, detail, {"moved": moved})]


def _sample(sampler: Sampler, ids: Tensor) -> Tensor:
    noise, latents = noise_for(sampler, ids, (5,))
    return sampler.sample(Rational(), latents * GRID.sigma[0], GRID, noise)
