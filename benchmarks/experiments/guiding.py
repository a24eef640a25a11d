"""Sampling under guidance: when the class is decided, how often it is met, and how alike the samples are."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...models import Denoiser
from ...models.exact.base import ExactModel
from ...models.exact.candidates import class_probabilities, effective_number
from ...models.guidance import ClassifierFree
from ...samplers import integrate, make
from ...samplers.base import GridSampler
from ..batch import latents
from .generating import BATCH, grid_of
from .guidance_figures import Run
from .intervals import Interval, bootstrap

EVEN = 0.5
"""A class is decided from the level on at which its probability stays above this."""


@torch.no_grad()
def follow(model: Denoiser, scale: float, n: int, steps: int) -> Run:
    """Euler's method under guidance, every class alike, with the states on the way."""
    guided = model if scale == 1 else ClassifierFree(model, scale)
    labels, grid, sampler = torch.arange(n) % model.classes, grid_of(model, steps), make("euler")
    assert isinstance(sampler, GridSampler)
    parts = []
    for ids in torch.arange(n).split(BATCH):
        x, noise = latents(model, ids, 0, model.dtype)
        states = [x]
        bound = guided.bind(ids, 0, labels[ids])
        integrate(sampler, bound, x, grid, noise, on_step=lambda _i, _level, x, states=states: states.append(x))
        parts.append(torch.stack(states))
    states = torch.cat(parts, 1)
    modes = model.mode_of(states[-1])
    return Run(grid.sigma[:-1], states[:-1], states[-1], labels, labels == modes)


def convinced(model: ExactModel, run: Run) -> tuple[Tensor, Tensor]:
    """Probability of its own class given each state, ``(levels, n)``, and the effective number of classes left, alike."""
    found = [class_probabilities(model, x, sigma) for x, sigma in zip(run.states, run.levels, strict=True)]
    own = torch.stack([probability[torch.arange(len(run.labels)), run.labels] for probability in found])
    return own, torch.stack([effective_number(probability) for probability in found])


def decision(own: Tensor, run: Run) -> np.ndarray:
    """The level from which on a sample's class stays likelier than not, ``(n,)``; NaN where it never does."""
    sure = own.flip(0).gt(EVEN).int().cumprod(0).sum(0)  # how many of the last levels are sure without a break
    levels = np.array([*run.levels, math.nan])
    return levels[np.where(sure.numpy() > 0, len(run.levels) - sure.numpy(), len(run.levels))]


def middle(decided: np.ndarray) -> Interval:
    """Geometric mean level of decision, over the samples that are decided; NaN if fewer than half are."""
    return bootstrap(lambda rows: mean_level(decided[rows]), len(decided))


def mean_level(decided: np.ndarray) -> float:
    """See :func:`middle`."""
    known = decided[np.isfinite(decided)]
    return float(np.exp(np.log(known).mean())) if 2 * len(known) > len(decided) else math.nan


def ahead(plain: np.ndarray, guided: np.ndarray) -> Interval:
    """Geometric mean ratio of the levels of decision, over the latents that are decided in both runs; NaN if fewer than half are.

    Means of either run alone would be of different latents: those that only guidance decides would pass for the effect of guidance.
    """
    return middle(guided / plain)


def undecided(plain: np.ndarray, guided: np.ndarray) -> float:
    """Share of the latents that :func:`ahead` leaves out."""
    return 1 - float(np.isfinite(guided / plain).mean())


def fidelity(run: Run) -> Interval:
    """Share of the samples that lie in their class."""
    hits = run.own.double().numpy()
    return bootstrap(lambda rows: float(hits[rows].mean()), len(hits))


def diversity(run: Run, plain: Run) -> Interval:
    """Variance inside the classes over that of another run from the same latents."""
    x, y, labels = run.end.double().flatten(1).numpy(), plain.end.double().flatten(1).numpy(), run.labels.numpy()
    return bootstrap(lambda rows: inside(x[rows], labels[rows]) / inside(y[rows], labels[rows]), len(x), draws=100)


def inside(x: np.ndarray, labels: np.ndarray) -> float:
    """Mean over classes of the total variance inside them; classes of fewer than two samples have none to offer."""
    return float(np.mean([x[labels == k].var(0, ddof=1).sum() for k in np.unique(labels) if (labels == k).sum() > 1]))
