"""Class labels drawn per sample: a function of the seed and the sample's number, whatever the batch or the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN, _MIX1, _MIX2 = 0x9E3779B97F4A7C15 - 2**64, 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def labels_for(ids: Tensor, seed: int, weights: Sequence[float]) -> Tensor:
    """Independent labels, label k with a probability proportional to ``weights[k]``.

    Args:
        ids: ``(batch,)`` int64 sample numbers.
        seed: root seed, 0 <= seed < 2^64.
        weights: one weight >= 0 a class, such as the class counts of the training set.

    Returns:
        ``(batch,)`` int64 labels on the device of ``ids``.
    """
    edges = torch.tensor(weights, dtype=torch.float64, device=ids.device).cumsum(0)
    return torch.searchsorted(edges, _uniform(ids, seed) * edges[-1], right=True).clamp_(max=len(weights) - 1)


def _uniform(ids: Tensor, seed: int) -> Tensor:
    """Float64 in [0, 1) from the mixing function of SplitMix64 (Steele et al. 2014, doi:10.1145/2660193.2660195), nested: seed, id."""
    key = _mix(torch.full_like(ids, (seed + 2**63) % 2**64 - 2**63) + _GOLDEN)
    return ((_mix(key + _GOLDEN * (ids + 1)) >> 11) & (2**53 - 1)).double() * 2.0**-53


def _mix(z: Tensor) -> Tensor:
    # int64 products wrap modulo 2^64 as the unsigned originals do; the masks make the right shifts unsigned too.
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _MIX1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _MIX2
    return z ^ ((z >> 31) & (2**33 - 1))
