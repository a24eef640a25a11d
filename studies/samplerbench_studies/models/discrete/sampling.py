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
    """Return samples 0 … n - 1, drawn step by step from fair coins by p(earlier | later).

    Args:
        predict: the reverse model.
        signals: signals of the steps, falling from 1 (the samples) to 0 (coins), such as
            :func:`.binomial.signals` or a subset of a longer chain's.
        n: number of samples.
        event: shape of one sample.
        seed: seed; sample i starts from the same coins for any ``n`` and ``signals``.

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
