"""The noise level at which the class of a sample is decided."""

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
"""A class is decided from the level on at which its probability stays above this."""


class GuidedRun(NamedTuple):
    """Samples under one guidance scale.

    Attributes:
        levels: of the grid but for the last, 0.
        states: ``(levels, n, *event)``.
        end: ``(n, *event)`` the samples.
        labels: ``(n,)`` what was asked for.
        own: ``(n,)`` whether a sample lies in its class.
    """

    levels: Sequence[float]
    states: Tensor
    end: Tensor
    labels: Tensor
    own: Tensor


class ClassCourse(NamedTuple):
    """The exact model's class probabilities at the states of a run, ``(levels, n)`` each.

    Attributes:
        own: probability of the class that was asked for.
        left: effective number of classes.
    """

    own: FloatArray
    left: FloatArray


def class_course(model: ExactModel, run: GuidedRun) -> ClassCourse:
    """An exact model's class probabilities at the states of a run."""
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
    """The level from which on a sample's class stays likelier than not, ``(n,)``.

    NaN where it never does.
    """
    # how many of the last levels are sure without a break
    sure = (own[::-1] > EVEN).cumprod(0).sum(0)
    levels = np.array([*run.levels, math.nan])
    return levels[np.where(sure > 0, len(run.levels) - sure, len(run.levels))]


def mean_decision(decided: FloatArray) -> Interval:
    """Geometric mean level of decision, over the samples that are decided.

    NaN if fewer than half are.
    """
    return bootstrap(lambda rows: mean_level(decided[rows]), len(decided))


def mean_level(decided: FloatArray) -> float:
    """See :func:`mean_decision`."""
    known = decided[np.isfinite(decided)]
    return float(np.exp(np.log(known).mean())) if 2 * len(known) > len(decided) else math.nan


def decision_ratio(plain: FloatArray, guided: FloatArray) -> Interval:
    """Geometric mean ratio of the levels of decision, over the latents that are decided in both
    runs; NaN if fewer than half are.

    Means of either run alone would be of different latents: those that only guidance decides would
    pass for the effect of guidance.
    """
    return mean_decision(guided / plain)


def undecided_share(plain: FloatArray, guided: FloatArray) -> float:
    """Share of the latents that :func:`decision_ratio` leaves out."""
    return 1 - float(np.isfinite(guided / plain).mean())
