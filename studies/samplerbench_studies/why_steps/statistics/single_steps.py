"""Measurements of row 3 on single reverse steps: divergences by shape and by covariance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from samplerbench.models.exact import ExactModel

from ...analysis.transition import transition_kl
from .intervals import Interval

RATIOS, FAST_RATIOS = (1.1, 1.3, 1.6, 2.0, 3.0, 5.0, 10.0), (1.1, 2.0, 5.0)
DRAWS = {"gmm-2d": (8000, 1000), "gmm-64d": (1000, 128), "fashion-mppca": (32, 16)}
"""Numbers of pairs of states in a full and in a fast run, by model.

The last model has dense covariances in 784 dimensions.
"""


class Transition(NamedTuple):
    """Loss of one step from level sqrt(ratio) to 1 / sqrt(ratio), in nats.

    Attributes:
        ratio: ratio of the two levels.
        total: divergence of the exact reverse conditional from the isotropic Gaussian of the
            sampler.
        shape: part of ``total`` that remains for the best Gaussian.
    """

    ratio: float
    total: Interval
    shape: Interval

    @property
    def share(self) -> Interval:
        """``shape`` over the value of ``total``."""
        return Interval(*(end / self.total.value for end in self.shape))


def transitions(model: ExactModel, ratios: Sequence[float], samples: int) -> list[Transition]:
    """Return exact divergences of steps of several sizes about sigma = 1, where images form."""

    def one(ratio: float) -> Transition:
        found = transition_kl(model, math.sqrt(ratio), 1 / math.sqrt(ratio), samples)
        return Transition(ratio, *(Interval.of(part) for part in (found.total, found.shape)))

    return [one(ratio) for ratio in ratios]
