"""Sampling with degradations: a fully degraded picture is restored in small steps.

Cold diffusion (Bansal et al. 2022, arXiv:2208.09392) restores x̂ = R(x, s) and goes to the next
severity s' < s by one of two rules.

* Algorithm 1, ``naive``: x ← D(x̂, s'). All of x is replaced, with the errors of R in it.
* Algorithm 2, ``improved``: x ← x - D(x̂, s) + D(x̂, s'). An error of R counts only by how much its
  two degradations differ. For D(x, s) = x + s e it drops out.

**Algorithm 2 with noise is DDIM.** Let D(x, s; z) = a(s) x + b(s) z and take for z the noise that
the state has if x̂ is right, ẑ = (x - a(s) x̂) / b(s). Then D(x̂, s; ẑ) = x, the first two terms of
Algorithm 2 cancel, and both algorithms are

    x ← a(s') x̂ + b(s') ẑ,

which is DDIM with eta = 0 (Song et al. 2020, arXiv:2010.02502, eq. 12). With a = 1 and b = σ it
reads x ← x + (σ' - σ) (x - x̂) / σ: Euler's method on the probability flow. With the noise of the
start *kept* in place of ẑ they differ, from each other and from DDIM.

**With an exact restorer, nothing but a companion brings variety.** See docs/explanation/why-steps.md, row 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from samplerbench.models import load_card
from samplerbench_studies import CARDS

from ...models.degradation import DEGRADATIONS, Blend, Degradation
from ...models.restorer import Restorer

Restore = Callable[[Tensor, Tensor], Tensor]
"""Function of degraded pictures ``(n, C, side, side)`` and severities that restores pictures."""
BATCH = 64


class Process(NamedTuple):
    """Degradation with the function that restores pictures from it."""

    degradation: Degradation
    restore: Restore


class State(NamedTuple):
    """State of pictures during restoration.

    Attributes:
        x: pictures ``(n, C, side, side)``.
        severity: severity s, a scalar.
        companion: companion of each picture, ``(n, ...)``.
    """

    x: Tensor
    severity: Tensor
    companion: Tensor


Rule = Callable[[Degradation, State, Tensor, Tensor], Tensor]
"""Function of degradation, state, restored pictures and next severity to the next pictures."""


def naive(degradation: Degradation, state: State, restored: Tensor, following: Tensor) -> Tensor:
    """Return the next pictures by algorithm 1 of cold diffusion."""
    return degradation(restored, following, state.companion)


def improved(degradation: Degradation, state: State, restored: Tensor, following: Tensor) -> Tensor:
    """Return the next pictures by algorithm 2 of cold diffusion."""
    worn = degradation(restored, state.severity, state.companion)
    return state.x - worn + degradation(restored, following, state.companion)


def estimated(
    degradation: Degradation, state: State, restored: Tensor, following: Tensor
) -> Tensor:
    """Return the next pictures by either algorithm, with an estimated companion.

    It is the companion of the state if the restored picture is right. With noise, this is DDIM.

    Raises:
        TypeError: the degradation is not :class:`Blend`, so a state does not determine its
            companion.
    """
    if not isinstance(degradation, Blend):
        raise TypeError("only what a picture is blended with can be estimated from the blend")
    seen = (state.x - (1 - state.severity) * restored) / state.severity
    return degradation(restored, following, seen)


def severities(steps: int) -> list[float]:
    """Return severities from 1 to 0 in equal steps."""
    return [1 - k / steps for k in range(steps + 1)]


@torch.inference_mode()
def rebuild(
    process: Process, rule: Rule, x: Tensor, companion: Tensor, levels: Sequence[float]
) -> Tensor:
    """Return the pictures at the last severity, from pictures at the first.

    Args:
        process: degradation and its restoration.
        rule: rule that uses the restored picture.
        x: pictures ``(n, C, side, side)`` at the first severity.
        companion: companions ``(n, ...)``.
        levels: descending severities.
    """
    done = []
    for part, own in zip(x.split(BATCH), companion.split(BATCH), strict=True):
        for here, there in pairwise(levels):
            now, then = (torch.tensor(level, dtype=x.dtype) for level in (here, there))
            restored = process.restore(part, now.expand(len(part)))
            part = rule(process.degradation, State(part, now, own), restored, then)
        done.append(part)
    return torch.cat(done)


def processes() -> dict[str, Process]:
    """Return a process for each degradation of the shipped network, by name."""
    card = load_card("restorer", CARDS)
    kinds = card.architecture["kinds"]
    net = Restorer(kinds, **card.architecture["net"])
    net.load_state_dict(card.tensors())
    net = net.to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]

    def restorer(place: int) -> Restore:
        def restore(x: Tensor, severity: Tensor) -> Tensor:
            kind = torch.full((len(x),), place)
            return net(x.contiguous(memory_format=torch.channels_last), severity, kind)

        return restore

    return {name: Process(DEGRADATIONS[name], restorer(k)) for k, name in enumerate(kinds)}
