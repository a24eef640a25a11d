"""Measurements of row 7: of one-step networks, of big steps of samplers, and of equal steps."""

from __future__ import annotations

from typing import NamedTuple

from .effort import Effort
from .equal_steps import EqualStepsResult, measure_equal_steps
from .one_shot import Networks, OneShotResults, measure_one_shot
from .stability import StabilityResult, measure_stability


class MemorisingResult(NamedTuple):
    """The measurements of row 7.

    Attributes:
        networks: that go from noise to image in one step.
        sampler: whether its equation is stiff, and how big steps fail.
        even: the grid on which steps err equally.
    """

    networks: OneShotResults
    sampler: StabilityResult
    even: EqualStepsResult


def measure(effort: Effort, networks: Networks | None = None) -> MemorisingResult:
    """See the three functions.

    Args:
        effort: how much.
        networks: see :func:`.one_shot.measure_one_shot`.
    """
    return MemorisingResult(
        measure_one_shot(effort, networks), measure_stability(effort), measure_equal_steps(effort)
    )
