"""Measurements of row 2: number of possible clean samples, and information, by noise level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from samplerbench.benchmarks.metrics import binomial_interval
from samplerbench.models import (
    Denoiser,
    Estimate,
    MMSECurve,
    denoising_loss,
    estimate_mean,
    exact_mmse,
    gammas,
    normal_like,
)
from samplerbench.models.exact import ExactModel

from ...analysis.candidates import class_probabilities, effective_number, responsibilities
from ...analysis.information import information
from ...arrays import FloatArray
from ..statistics.intervals import Interval
from .effort import Effort
from .generating import generate

LEVELS = tuple(np.geomspace(80, 0.02, 25).tolist())
SHOWN = LEVELS[::2]
"""Levels at which information is computed."""
FARTHEST = 1e4
"""First level of exact models' curves, where the information is below 0.001 nat."""
RISE = 0.05
"""Smallest rise in nats of a path's entropy that counts, far above rounding."""


class PathEntropies(NamedTuple):
    """Posterior entropies of the clean sample along true noisy paths, from high to low levels.

    Attributes:
        levels: L falling levels.
        entropy: ``(n, L)`` entropies in nats.
        most: log of the number of candidates.
    """

    levels: FloatArray
    entropy: FloatArray
    most: float

    def number(self, place: int) -> Interval:
        """Return the effective number of candidates at level ``place``, exp of the mean entropy."""
        found = estimate_mean(self.entropy[:, place])
        return Interval(*(math.exp(end) for end in Interval.normal(found.value, found.error)))

    def rising(self) -> int:
        """Return the number of paths whose entropy rises by over :data:`RISE` above an earlier
        value.
        """
        lowest = np.minimum.accumulate(self.entropy, axis=1)
        return int((self.entropy[:, 1:] - lowest[:, :-1] > RISE).any(1).sum())

    def known(self, place: int) -> Interval:
        """Return the mutual information of state and candidate: log K less the mean entropy.

        The K candidates are equally likely.
        """
        found = estimate_mean(self.most - self.entropy[:, place])
        return Interval.normal(found.value, found.error)


class CandidatesResult(NamedTuple):
    """Measurements of row 2.

    Attributes:
        points: entropies over the points of a cloud.
        components, classes: entropies over components and classes of a mixture.
        information: mutual information of each model, at :data:`SHOWN`.
        rising: share of the cloud's paths with a rise of the entropy.
    """

    points: PathEntropies
    components: PathEntropies
    classes: PathEntropies
    information: Mapping[str, Sequence[Estimate]]
    rising: Interval


def measure(effort: Effort) -> CandidatesResult:
    """Measure row 2: entropies along true paths, and information from MMSE curves."""
    cloud, mixture = (
        cast(ExactModel, effort.model(name)) for name in ("digits-cloud", "fashion-mppca")
    )
    n = effort.samples(1024, 128)
    points = entropies_along_paths(cloud, LEVELS, n)
    hits = points.rising()
    curves = {
        "fashion-mppca": (mixture, 512),
        "fashion": (effort.model("fashion"), 192),
        "digits-cloud": (cloud, 1024),
    }
    nodes = 33 if effort.fast else 65
    information = {
        name: known(model, curve_of(model, LEVELS[-1], effort.samples(full, 48), nodes), SHOWN)
        for name, (model, full) in curves.items()
    }
    return CandidatesResult(
        points,
        entropies_along_paths(mixture, LEVELS, n),
        entropies_along_paths(mixture, LEVELS, n, classes=True),
        information,
        Interval(hits / n, *binomial_interval(hits, n)),
    )


def true_path(x0: Tensor, levels: Sequence[float], seed: int = 0) -> list[Tensor]:
    """Return states at falling levels of the noising process: x = x0 + W(gamma) / gamma.

    W is one Brownian path per sample.
    """
    total, walk, states = 0.0, torch.zeros_like(x0), []
    for stream, level in enumerate(levels):
        gamma = level**-2
        walk = walk + math.sqrt(gamma - total) * normal_like(x0, seed, stream + 1)
        total = gamma
        states.append(x0 + walk / gamma)
    return states


def entropies_along_paths(
    model: ExactModel, levels: Sequence[float], samples: int, *, classes: bool = False
) -> PathEntropies:
    """Return the entropy of the components, points or classes of an exact model along true paths.

    Raises:
        ValueError: the model has no components, or no classes.
    """
    x0 = model.sample(samples, 0)
    ask = class_probabilities if classes else responsibilities
    found = [ask(model, x, level) for x, level in zip(true_path(x0, levels), levels, strict=True)]
    entropy = torch.stack([torch.log(effective_number(rows)) for rows in found], 1)
    return PathEntropies(np.asarray(levels), entropy.numpy(), math.log(found[0].shape[1]))


def curve_of(model: Denoiser, lowest: float, samples: int, nodes: int) -> MMSECurve:
    """Return the MMSE curve down to a level.

    For a network it is the denoising loss on its own samples, an upper bound.
    """
    if isinstance(model, ExactModel):
        return exact_mmse(model, gammas(lowest, FARTHEST, nodes), samples)
    x0 = generate(model, "dpmpp_2m", 32, samples)
    return denoising_loss(
        model,
        x0,
        gammas(lowest, model.sigma_max, nodes),
        labels=model.draw_labels(torch.arange(samples), 0),
    )


def known(model: Denoiser, curve: MMSECurve, levels: Sequence[float]) -> list[Estimate]:
    """Return I(x0; x_sigma) in nats at each level, from the curve.

    For a model with classes it is conditional on the class.

    Raises:
        ValueError: the model does not know its moments.
    """
    moments = model.moments()
    if moments is None:
        raise ValueError(f"model {model.name} does not know its covariance; give it moments()")
    variances = np.linalg.eigvalsh(moments[1]).astype(np.float64)
    return [information(curve, level, variances) for level in levels]
