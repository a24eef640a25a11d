"""Ancestral sampling of binomial diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .binomial import reverse_flip
from .network import Predictor

BATCH = 96


@torch.no_grad()
def ancestral(
    predict: Predictor, signals: Sequence[float], n: int, event: tuple[int, ...], seed: int = 0
) -> Tensor:
    """Samples 0 … n - 1: from fair coins, step by step, each from p(earlier | later).

    Args:
        predict: the reverse model.
        signals: of the times at which it stops, falling from 1 (the samples) to 0 (coins), as
            from :func:`.binomial.signals`: any subset of the times of a longer chain.
        n: how many.
        event: shape of one.
        seed: sample i begins with the same coins whatever n and the signals are.

    Returns:
        ``(n, *event)`` float32 of 0 and 1.

    Raises:
        ValueError: the signals do not fall from 1 to 0.
    """
    if signals[0] != 1 or signals[-1] != 0 or any(b >= a for a, b in pairwise(signals)):
        raise ValueError(f"signals must fall from 1 to 0, got {tuple(signals)}")
    parts = []
    for start in range(0, n, BATCH):
        rng = np.random.default_rng((seed, start))
        keep = min(BATCH, n - start)

        def coins(rng: np.random.Generator = rng, keep: int = keep) -> Tensor:
            return torch.from_numpy(rng.random((BATCH, *event)))[:keep]

        x = (coins() < 0.5).float()
        for b, a in pairwise(reversed(signals)):
            flip = reverse_flip(predict(x, torch.full((keep,), b, dtype=torch.float64)), a, b)
            x = torch.where(coins() < flip, 1 - x, x)
        parts.append(x)
    return torch.cat(parts)
