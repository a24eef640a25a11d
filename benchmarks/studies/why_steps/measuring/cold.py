"""Measurements of row 12: pictures rebuilt from nothing, with noise and with other degradations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .....models.degradation import Blend
from ....metrics.estimators.frechet import FrechetEstimate, paired_difference
from ....metrics.estimators.moments import as_rows
from ....sampling.shard import clamp
from ....scoring.data import training_set
from ..statistics.alike import alike, reach_of
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import DistanceToData
from .restoring import Rule, estimated, improved, naive, processes, rebuild, severities

COUNTS, FAST = (1, 2, 5, 10, 30, 100), (1, 4, 16)
RULES: Mapping[str, Rule] = {"naive": naive, "improved": improved}
NOISE = "noise"
SHOWN = 8
"""Pictures that are kept."""
TRACE = 0.02
"""Standard deviation of the noise that is added to a start which has no chance in it."""


class Course(NamedTuple):
    """One degradation undone by one rule in ever more steps.

    Attributes:
        distances: Fréchet distance to the data at each number of steps.
        gain: that after one step less that after the most, from the same starts.
        behind: that after the most less that of noise.
        errors: squared distance to the pictures that were degraded, over the data's variance.
        variance: of the outputs over the data's.
        alike: share of the pairs of outputs that are alike, after the most steps.
        pictures: the first outputs at each number of steps, ``(steps, n, side, side)``.
    """

    distances: Sequence[Interval]
    gain: Interval
    behind: Interval
    errors: Sequence[Interval]
    variance: Sequence[Interval]
    alike: Interval
    pictures: NDArray[np.float32]


class ColdResult(NamedTuple):
    """The measurements of row 12.

    Attributes:
        counts: numbers of steps.
        courses: by degradation and rule; noise has one course, of both rules.
        starts: share of the pairs of fully degraded pictures that are alike.
        traces: outputs of the improved rule after the most steps, from starts with a trace of
            noise, by degradation.
        alike: share of the pairs of real pictures that are alike.
        variance: of the features of the data, in all.
        flags: of the distances.
    """

    counts: Sequence[int]
    courses: Mapping[str, Mapping[str, Course]]
    starts: Mapping[str, Interval]
    traces: Mapping[str, Interval]
    alike: float
    variance: float
    flags: Sequence[str]


def measure(effort: Effort) -> ColdResult:
    """Pictures that nobody trained on are degraded until nothing is left, and rebuilt."""
    counts, to_data = FAST if effort.fast else COUNTS, DistanceToData(effort.model("fashion"))
    real = pictures_of(effort)
    flat = as_rows(real.double().numpy())
    reach, total = reach_of(flat), float(flat.var(0, ddof=1).sum())
    n = effort.samples(256, 144)
    x0 = real[torch.randperm(len(real), generator=torch.Generator().manual_seed(0))[:n]]
    courses: dict[str, dict[str, Course]] = {}
    starts, traces = {}, {}
    known = processes()
    for name, process in sorted(known.items(), key=lambda one: one[0] != NOISE):
        companion = process.degradation.companions(n, torch.Generator().manual_seed(1))
        start = process.degradation(x0, torch.ones(()), companion)
        starts[name] = alike(as_rows(start.double().numpy()), reach)
    return ColdResult(
        counts, courses, starts, traces, alike(flat, reach).value, to_data.variance, to_data.flags
    )


def pictures_of(effort: Effort) -> Tensor:
    """Real pictures that ship and that the network has not seen, ``(m, 1, 28, 28)``.

    Raises:
        ValueError: the model in their place has no pictures.
    """
    model = effort.model("fashion-kde")
    known = training_set(model)
    if known is None or model.event != (1, 28, 28):
        raise ValueError(
            f"model {model.name} has no pictures of 28 x 28 pixels that could be degraded; "
            "put nothing in the place of fashion-kde"
        )
    return torch.from_numpy(known.examples).float().reshape(-1, *model.event)
