"""Measurements of row 7: one-step networks, big steps of samplers, and steps of equal error."""

from __future__ import annotations

from typing import NamedTuple

from .effort import Effort
from .equal_steps import EqualStepsResult, measure_equal_steps
from .one_shot import Networks, OneShotResults, measure_one_shot
from .stability import StabilityResult, measure_stability


class MemorisingResult(NamedTuple):
    """Measurements of row 7.

    Attributes:
        networks: results of networks from noise to image in one step.
        sampler: stiffness of the sampler's equation, and failures of big steps.
        even: results on the grid of steps with equal errors.
    """

    networks: OneShotResults
    sampler: StabilityResult
    even: EqualStepsResult


def measure(effort: Effort, networks: Networks | None = None) -> MemorisingResult:
    """Measure row 7 by the three functions that it calls.

    Args:
        effort: effort of the measurement.
        networks: as in :func:`.one_shot.measure_one_shot`.
    """
    return MemorisingResult(
        measure_one_shot(effort, networks), measure_stability(effort), measure_equal_steps(effort)
    )
