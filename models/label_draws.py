"""Draws of labels, by the number of the sample and a seed alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX2 = 0x94D049BB133111EB - 2**64


def labels_for(ids: Tensor, seed: int, weights: Sequence[float]) -> Tensor:
    """Return int64 labels ``(batch,)`` by id and seed: k with probability ∝ ``weights[k]`` >= 0."""
    edges = torch.tensor(weights, dtype=torch.float64, device=ids.device).cumsum(0)
    places = torch.searchsorted(edges, _uniform_by_id(ids, seed) * edges[-1], right=True)
    return places.clamp_(max=len(weights) - 1)


def _uniform_by_id(ids: Tensor, seed: int) -> Tensor:
    """Return pseudorandom numbers in [0, 1) by SplitMix64 (doi:10.1145/2660193.2660195)."""
    key = _mix_bits(torch.full_like(ids, (seed + 2**63) % 2**64 - 2**63) + _GOLDEN)
    return ((_mix_bits(key + _GOLDEN * (ids + 1)) >> 11) & (2**53 - 1)).double() * 2.0**-53


def _mix_bits(z: Tensor) -> Tensor:
    # int64 products wrap modulo 2^64 as unsigned ones do; the masks make right shifts unsigned
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _MIX1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _MIX2
    return z ^ ((z >> 31) & (2**33 - 1))
