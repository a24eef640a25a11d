"""Test doubles for the checks: latents and noise by sample number, and a denoiser that records its
calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...samplers import Denoise, Noise, NoNoise, SampleNoise, Sampler

SEED = 2024


def noise_for(
    sampler: Sampler, ids: Tensor, event: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> tuple[Noise, Tensor]:
    """Return the noise of samples ``ids`` (a refusal if the sampler declares none) and their latents."""
    source = SampleNoise(SEED, ids, event, dtype)
    return (source if sampler.stochastic else NoNoise()), source.initial()


def same(a: Tensor, b: Tensor) -> bool:
    """Return True if two tensors are equal bit for bit; NaN equals NaN, which is another check's business."""
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


@dataclass
class Log:
    """Calls that a recorder saw.

    Attributes:
        calls: number of evaluations, of however many rows.
        rows: rows evaluated, all calls together.
        levels: the levels of each call, one or one a row.
        answers: every answer with a copy made when it was given, if they are kept.
    """

    calls: int = 0
    rows: int = 0
    levels: list[float] = field(default_factory=list)
    answers: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def tampered(self) -> int:
        """Number of answers that were modified after they were given."""
        return sum(not same(answer, copy) for answer, copy in self.answers)


@dataclass(frozen=True)
class Recorder:
    """Denoiser that records calls of another; implements :class:`~samplerbench.samplers.types.Denoise`.

    Subsets share the log.

    Attributes:
        inner: the denoiser.
        keep: whether to keep the answers.
        log: what was seen.
    """

    inner: Denoise
    keep: bool = False
    log: Log = field(default_factory=Log)

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the inner denoiser's answer, and record the call."""
        self.log.calls += 1
        self.log.rows += len(x)
        self.log.levels += (
            sigma.tolist() if isinstance(sigma, Tensor) and sigma.ndim else [float(sigma)]
        )
        answer = self.inner(x, sigma)
        if self.keep:
            self.log.answers.append((answer, answer.clone()))
        return answer

    def take(self, rows: Tensor) -> Recorder:
        """Return the recorder of a subset of the batch."""
        return Recorder(self.inner.take(rows), self.keep, self.log)
