"""Counter-based noise: the normals of sample i in step k depend only on (seed, i, k, draw).

A sample therefore does not change with its batch, its worker or the number of other samples. Every
sampler starts sample i from the same latent, so that comparisons are paired.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, SupportsInt

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .types import StepNoise

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF
_INITIAL = 0  # counter word of the initial latent; step k uses k + 1


_SMALL = 1 << 15
"""Blocks of four normals below which NumPy is faster on the CPU than torch with its threads."""


def philox(counter: tuple[Any, Any, Any, Any], seed: int) -> tuple[Any, Any, Any, Any]:
    """Return random integers of Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405).

    Args:
        counter: four int64 tensors, or arrays, that broadcast together, each with values in [0,
            2^32). Numbers are accepted too.
        seed: the 64-bit key.

    Returns:
        Four tensors, or arrays, of random integers in [0, 2^32), bit-identical on every device.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):
        # int64 products wrap modulo 2^64, as both words need (the high one after the mask)
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def normal(seed: int, ids: Tensor, word: int | Tensor, draw: int, count: int) -> Tensor:
    """Return standard normals ``(len(ids), count)`` float64: Box-Muller on 32-bit uniforms.

    Args:
        seed: 64-bit key.
        ids: int64 sample numbers in [0, 2^32).
        word: 0 for the initial latent, k + 1 for step k (from 0); one number or ``(len(ids), 1)``.
        draw: number of the draw within the step.
        count: normals per sample.
    """
    blocks = -(-count // 4)
    block, row = torch.arange(blocks, device=ids.device)[None, :], ids[:, None]
    if ids.device.type == "cpu" and len(ids) * blocks < _SMALL:
        words = word.numpy() if isinstance(word, Tensor) else word
        arrays = philox((block.numpy(), words, draw, row.numpy()), seed)
        bits = tuple(map(torch.from_numpy, arrays))
    else:
        bits = philox((block, word, draw, row), seed)
    u0, u1, u2, u3 = ((b.double() + 0.5) * 2.0**-32 for b in bits)
    radius = [(u.log_().mul_(-2)).sqrt_() for u in (u0, u2)]
    angle = [u.mul_(2 * math.pi) for u in (u1, u3)]
    parts = [f(a) * r for r, a in zip(radius, angle, strict=True) for f in (torch.cos, torch.sin)]
    return torch.stack(parts, dim=2).reshape(len(ids), 4 * blocks)[:, :count]


@dataclass(frozen=True)
class SampleNoise:
    """Counter-based noise of one batch (:class:`~samplerbench.samplers.types.Noise`).

    Attributes:
        seed: root seed, 0 <= seed < 2^64.
        ids: ``(batch,)`` int64 sample numbers in [0, 2^32), on the device where the noise is
            wanted.
        event: shape of one sample.
        dtype: dtype of the tensors returned (the normals are computed in float64 and then cast).
    """

    seed: int
    ids: Tensor
    event: tuple[int, ...]
    dtype: torch.dtype = torch.float32

    def initial(self) -> Tensor:
        """Return the latents: standard normal ``(batch, *event)``, to be scaled by sigma_max."""
        return self._draw_normals(_INITIAL, 0)

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:  # noqa: ARG002
        """Return the white noise of step ``step`` (from 0); ``cur`` and ``nxt`` are not read."""
        return lambda draw=0, *, cur=None, nxt=None: self._draw_normals(step + 1, draw)  # noqa: ARG005

    def take(self, rows: Tensor) -> SampleNoise:
        """Return the noise of the samples ``rows``: int64 batch indices, which may repeat."""
        return replace(self, ids=self.ids[rows])

    def _draw_normals(self, word: int, draw: int) -> Tensor:
        z = normal(self.seed, self.ids, word, draw, math.prod(self.event))
        return z.reshape(-1, *self.event).to(self.dtype)


def noise_like(x: Tensor, noise: SupportsInt | torch.Generator) -> SampleNoise:
    """Return the noise of a batch like ``x`` ``(batch, *event)``, whose sample k has the number k.

    ``noise`` is the seed, or a generator on the CPU that draws the seed.
    """
    if isinstance(noise, torch.Generator):
        noise = int(torch.randint(2**63 - 1, (), generator=noise))
    ids = torch.arange(len(x), device=x.device)
    return SampleNoise(int(noise), ids, tuple(x.shape[1:]), x.dtype)


class NoNoise:
    """Noise whose draws raise an error.

    Args:
        sampler: the sampler that would draw noise, for the error message.
    """

    def __init__(self, sampler: Any = None) -> None:
        self._sampler = sampler

    def at(self, step: int, cur: float, nxt: float) -> StepNoise:  # noqa: ARG002
        """Return a function that raises ValueError for a stochastic sampler, else RuntimeError."""

        def refuse(draw: int = 0, *, cur: float | None = None, nxt: float | None = None) -> Tensor:  # noqa: ARG001
            if self._sampler is not None and self._sampler.stochastic:
                raise ValueError(
                    f"sampler {self._sampler.name!r} draws noise; pass "
                    "noise=0, or another seed, a torch.Generator, or SampleNoise(seed, ids, event, dtype)"
                )
            whose = "a sampler" if self._sampler is None else f"sampler {self._sampler.name!r}"
            raise RuntimeError(
                f"step {step} of {whose} that declares stochastic = False asked for noise"
            )

        return refuse
