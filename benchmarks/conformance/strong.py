"""Strong order: how fast a stochastic sampler's error along a Brownian path falls.

On the mixture, since on a Gaussian errors may cancel, and on a uniform grid in lam, on which the
tree has the noise of every N at hand. The root mean square over paths has heavy tails (a path near
a watershed may go the other way), so slopes scatter by about 0.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ...samplers import Sampler
from ...samplers.brownian import BrownianNoise
from ..scoring.path_limit import path_limit
from .check import Check
from .order import MARGIN, rms, slope
from .problems import GRIDS, INTERIOR, problems
from .recorder import SEED

PATHS = 512
STEPS = (16, 32, 64, 128)
LOG2_LIMIT_STEPS = 8
"""The limit is off by 4e-4, a twentieth of what first-order methods are at 256 steps."""


def check_strong(sampler: Sampler) -> list[Check]:
    """Check that the slope of the pathwise error against N is near the declared strong order.

    The truth is the limit of the reverse SDE. A sampler that declares no order may follow another
    SDE, so how far it moves from N to 2 N steps is measured too, and neither is judged. One for
    few-step maps follows none.
    """
    if sampler.for_maps:
        return []
    declared = getattr(sampler, "strong_order", None)
    ends = [_end(sampler, n) for n in STEPS]
    errors = [rms(end, _limit()) for end in ends]
    order = slope(STEPS, errors)
    data: dict[str, Any] = {
        "N": STEPS,
        "error": errors,
        "to_reverse_sde": order,
        "strong_order": order,
    }
    if declared is not None:
        return [
            Check(
                "strong order",
                abs(order - declared) < MARGIN,
                f"{order:.2f}, declared {declared:g}",
                data,
            )
        ]
    moves = [
        rms(end, finer)
        for end, finer in zip(ends, [*ends[1:], _end(sampler, 2 * STEPS[-1])], strict=True)
    ]
    own = slope(STEPS, moves)
    data |= {"own_limit": moves, "strong_order": own}
    detail = (
        f"{own:.2f} towards its own limit, {order:.2f} towards the reverse SDE's, none declared"
    )
    return [Check("strong order", True, detail, data, asserted=False)]


@dataclass(frozen=True)
class _Paths(BrownianNoise):
    """Paths that cache their increments: most samplers ask for the same intervals."""

    _increments: dict[tuple[float, float], Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def increment(self, cur: float, nxt: float) -> Tensor:
        """Return a copy of the cached increment, since a step may overwrite its noise."""
        if (cur, nxt) not in self._increments:
            self._increments[cur, nxt] = super().increment(cur, nxt)
        return self._increments[cur, nxt].clone()


@cache
def _noise() -> BrownianNoise:
    """Return the noise of all samplers, made once a process."""
    return _Paths(SEED, torch.arange(PATHS), (2,), INTERIOR[1], INTERIOR[0], torch.float64)


def _end(sampler: Sampler, n: int) -> Tensor:
    noise = _noise()
    return sampler.sample(
        problems()[1], INTERIOR[1] * noise.initial(), GRIDS["uniform_lambda"](n), noise
    )


@cache
def _limit() -> Tensor:
    """Return the limit of all paths, made once a process."""
    noise = _noise()
    return path_limit(problems()[1], noise.tree, INTERIOR[1] * noise.initial(), LOG2_LIMIT_STEPS)
