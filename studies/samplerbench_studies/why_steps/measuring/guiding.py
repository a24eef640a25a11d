"""Measurements of row 13: level of decision, fidelity and diversity of guided samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from samplerbench.benchmarks.metrics import binomial_interval
from samplerbench.benchmarks.sampling import latents
from samplerbench.models import ClassifierFree, Denoiser
from samplerbench.samplers import GridSampler, integrate, make

from ..statistics.deciding import (
    ClassCourse,
    GuidedRun,
    class_course,
    decision,
    decision_ratio,
    mean_decision,
    undecided_share,
)
from ..statistics.intervals import Interval, bootstrap
from .effort import Effort
from .generating import BATCH, exact_model, grid_of

SCALES = (1.0, 2.0, 4.0)
"""Guidance scales; 1 is the conditional model without guidance."""
STEPS = {"fashion-mppca": 32, "fashion": 12}
SAMPLES = {"fashion-mppca": 480, "fashion": 240}


class Outcome(NamedTuple):
    """Fidelity and diversity of the samples at one guidance scale.

    Attributes:
        fidelity: share of samples that lie in their class.
        variance: variance inside classes, relative to guidance 1.
    """

    fidelity: Interval
    variance: Interval


class GuidanceResult(NamedTuple):
    """Measurements of row 13; mappings are by guidance scale.

    Attributes:
        levels: levels of the exact model's grid except the last.
        courses: class probabilities of the exact model along the levels.
        decided: level at which the class of the exact model is decided.
        earlier: ratio of these levels at the largest scale and at 1, on the same latents.
        dropped: share of latents that this ratio omits.
        outcomes: fidelity and diversity by model.
    """

    levels: Sequence[float]
    courses: Mapping[float, ClassCourse]
    decided: Mapping[float, Interval]
    earlier: Interval
    dropped: float
    outcomes: Mapping[str, Mapping[float, Outcome]]


def measure(effort: Effort) -> GuidanceResult:
    """Measure row 13: an exact model and a network at three scales, from the same latents."""
    exact = exact_model(effort, "fashion-mppca")
    runs = {
        name: guided_runs(effort.model(name), effort.samples(SAMPLES[name], BATCH), steps)
        for name, steps in STEPS.items()
    }
    courses = {scale: class_course(exact, run) for scale, run in runs["fashion-mppca"].items()}
    decided = {
        scale: decision(course.own, runs["fashion-mppca"][scale])
        for scale, course in courses.items()
    }
    plain, guided = decided[SCALES[0]], decided[SCALES[-1]]
    outcomes = {
        name: {
            scale: Outcome(fidelity(run), diversity(run, of[SCALES[0]]))
            for scale, run in of.items()
        }
        for name, of in runs.items()
    }
    levels = runs["fashion-mppca"][SCALES[0]].levels
    decisions = {scale: mean_decision(levels) for scale, levels in decided.items()}
    return GuidanceResult(
        levels,
        courses,
        decisions,
        decision_ratio(plain, guided),
        undecided_share(plain, guided),
        outcomes,
    )


def guided_runs(model: Denoiser, n: int, steps: int) -> dict[float, GuidedRun]:
    """Return a run at each guidance scale."""
    return {scale: guided_run(model, scale, n, steps) for scale in SCALES}


@torch.no_grad()
def guided_run(model: Denoiser, scale: float, n: int, steps: int) -> GuidedRun:
    """Run Euler's method under guidance, with equally frequent classes, and record all states."""
    guided = model if scale == 1 else ClassifierFree(model, scale)
    labels, grid, sampler = torch.arange(n) % model.classes, grid_of(model, steps), make("euler")
    assert isinstance(sampler, GridSampler)
    parts = []
    for ids in torch.arange(n).split(BATCH):
        x, noise = latents(model, ids, 0, model.dtype)
        states = [x]
        bound = guided.bind(ids, 0, labels[ids])
        integrate(
            sampler,
            bound,
            x,
            grid,
            noise,
            on_step=lambda _i, _level, x, states=states: states.append(x),
        )
        parts.append(torch.stack(states))
    states = torch.cat(parts, 1)
    modes = model.mode_of(states[-1])
    return GuidedRun(grid.sigma[:-1], states[:-1], states[-1], labels, labels == modes)


def fidelity(run: GuidedRun) -> Interval:
    """Return the share of samples that lie in their class."""
    hits, n = int(run.own.sum()), len(run.own)
    return Interval(hits / n, *binomial_interval(hits, n))


def diversity(run: GuidedRun, plain: GuidedRun) -> Interval:
    """Return the variance inside classes, relative to another run from the same latents."""
    x, y, labels = (
        run.end.double().flatten(1).numpy(),
        plain.end.double().flatten(1).numpy(),
        run.labels.numpy(),
    )
    return bootstrap(
        lambda rows: inside(x[rows], labels[rows]) / inside(y[rows], labels[rows]),
        len(x),
        draws=100,
    )


def inside(x: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over classes of their total variance.

    Classes of fewer than two samples are omitted.
    """
    return float(
        np.mean(
            [
                x[labels == k].var(0, ddof=1).sum()
                for k in np.unique(labels)
                if (labels == k).sum() > 1
            ]
        )
    )
