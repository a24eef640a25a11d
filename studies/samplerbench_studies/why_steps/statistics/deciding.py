"""Noise level at which the class of a sample is decided."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from samplerbench.models.exact import ExactModel

from ...analysis.candidates import class_probabilities, effective_number
from ...arrays import FloatArray
from .intervals import Interval, bootstrap

EVEN = 0.5
"""Probability above which a class must stay to count as decided."""


class GuidedRun(NamedTuple):
    """Samples under one guidance scale.

    Attributes:
        levels: levels of the grid except the last, 0.
        states: states ``(levels, n, *event)``.
        end: samples ``(n, *event)``.
        labels: requested classes ``(n,)``.
        own: flags ``(n,)``, True if a sample lies in the requested class.
    """

    levels: Sequence[float]
    states: Tensor
    end: Tensor
    labels: Tensor
    own: Tensor


class ClassCourse(NamedTuple):
    """Exact class probabilities at the states of a run, ``(levels, n)`` each.

    Attributes:
        own: probability of the requested class.
        left: effective number of classes that are still possible, from 1.
    """

    own: FloatArray
    left: FloatArray


def class_course(model: ExactModel, run: GuidedRun) -> ClassCourse:
    """Return an exact model's class probabilities at the states of a run."""
    found = [
        class_probabilities(model, x, sigma)
        for x, sigma in zip(run.states, run.levels, strict=True)
    ]
    own = torch.stack(
        [probability[torch.arange(len(run.labels)), run.labels] for probability in found]
    )
    left = torch.stack([effective_number(probability) for probability in found])
    return ClassCourse(own.numpy(), left.numpy())


def decision(own: FloatArray, run: GuidedRun) -> FloatArray:
    """Return the level from which on each sample's class is more likely than 1/2, ``(n,)``.

    ``own`` is :attr:`ClassCourse.own`. The level is NaN for 1/2 or less at the last level.
    """
    # how many of the last levels are sure without a break
    sure = (own[::-1] > EVEN).cumprod(0).sum(0)
    levels = np.array([*run.levels, math.nan])
    return levels[np.where(sure > 0, len(run.levels) - sure, len(run.levels))]


def mean_decision(decided: FloatArray) -> Interval:
    """Return the geometric mean level of decision with its interval, over decided samples.

    It is NaN if at most half are decided.
    """
    return bootstrap(lambda rows: mean_level(decided[rows]), len(decided))


def mean_level(decided: FloatArray) -> float:
    """Return the value of :func:`mean_decision` without its interval."""
    known = decided[np.isfinite(decided)]
    return float(np.exp(np.log(known).mean())) if 2 * len(known) > len(decided) else math.nan


def decision_ratio(plain: FloatArray, guided: FloatArray) -> Interval:
    """Return the geometric mean ratio of the levels of decision, over latents decided in both runs.

    It is NaN if at most half are. Means of each run would be over different latents, and the
    latents that only guidance decides would bias the ratio.
    """
    return mean_decision(guided / plain)


def undecided_share(plain: FloatArray, guided: FloatArray) -> float:
    """Return the share of latents that :func:`decision_ratio` omits."""
    return 1 - float(np.isfinite(guided / plain).mean())
