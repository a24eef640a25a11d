"""Measurements of row 7 on networks from noise to image in one step.

Outputs for training noises are compared with outputs for other noises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from samplerbench.models import Denoiser
from samplerbench.samplers import NoNoise, make

from ...analysis.pairs import COUPLINGS, FRESH, NUMBERS, keys, one_shot
from ...arrays import FloatArray
from ..statistics.intervals import Interval, bootstrap
from ..statistics.spread import total_variance, variance_kept
from .effort import Effort
from .generating import BATCH, SAMPLES, DistanceToData, grid_of, unlabelled

EVALUATIONS = 12
"""Evaluations of a path from a noise to its image, as in the training of the networks."""
KNOWN = min(NUMBERS)
"""Number of training pairs that all networks share."""
SHOWN = 3
"""Number of outputs of each kind stored as pictures."""

Networks = Mapping[str, Mapping[int, Callable[[Tensor], Tensor]]]
"""Networks by coupling and number of pairs."""


class OneShotResult(NamedTuple):
    """Results of a network fitted on a number of pairs.

    Attributes:
        pairs: number of training pairs.
        known: squared error on training pairs, over the variance of the data: 0 for a memorised
            image, 1 for the mean.
        fresh: squared error on other pairs, over the variance of the data.
        spread: variance of the outputs for other noises, over the variance of the data.
        distance: Fréchet distance of these outputs to the data.
        pictures: outputs for the first :data:`SHOWN` training noises, and for as many others, ``(2
            SHOWN, *event)``.
    """

    pairs: int
    known: Interval
    fresh: Interval
    spread: Interval
    distance: Interval
    pictures: NDArray[np.float32]


class OneShotResults(NamedTuple):
    """Results of all networks, with values for comparison.

    Attributes:
        networks: results by coupling, in rising order of pairs.
        mean: Fréchet distance to the data of the mean image alone.
        paths: Fréchet distance to the data of the ends of paths, the networks' targets.
        targets: ends of the paths from the noises of the pictures, ``(2 SHOWN, *event)``.
        flags: reasons against trusting the distances' intervals.
    """

    networks: Mapping[str, Sequence[OneShotResult]]
    mean: float
    paths: Interval
    targets: NDArray[np.float32]
    flags: Sequence[str]


def shipped() -> Networks:
    """Return the networks of the card."""
    return {coupling: {n: one_shot(coupling, n) for n in NUMBERS} for coupling in COUPLINGS}


def measure_one_shot(effort: Effort, networks: Networks | None = None) -> OneShotResults:
    """Measure errors on training pairs and on other pairs, and outputs for other noises.

    Args:
        effort: effort of the measurement; paths of ``fashion-mppca`` couple the pairs.
        networks: networks in place of the shipped ones, fitted on pairs of :func:`keys` and
            :func:`ends`.
    """
    model, n = effort.model("fashion-mppca"), effort.samples(SAMPLES, 192)
    noise = keys(FRESH, n, model.event)
    images, fresh = ends(model, keys(COUPLINGS["coupled"], KNOWN, model.event)), ends(model, noise)
    to_data, total = DistanceToData(model, n), total_variance(model)

    def distance(x: Tensor) -> Interval:
        found = to_data(x)
        return Interval.normal(found.value, found.se)

    def measured(coupling: str, pairs: int, net: Callable[[Tensor], Tensor]) -> OneShotResult:
        known = keys(COUPLINGS[coupling], KNOWN, model.event)
        with torch.no_grad():
            inside, outside = net(known), net(noise)
        return OneShotResult(
            pairs,
            error(inside, images, total),
            # an independent pair has the image of another noise
            error(outside, fresh if coupling == "coupled" else fresh.roll(1, 0), total),
            variance_kept(outside.flatten(1).double().numpy(), total),
            distance(outside),
            torch.cat([inside[:SHOWN], outside[:SHOWN]]).float().numpy(),
        )

    moments = model.moments()
    assert moments is not None  # total_variance has seen to it
    mean = torch.from_numpy(moments[0].reshape(1, *model.event)).expand(n, *model.event)
    return OneShotResults(
        {
            coupling: [measured(coupling, pairs, net) for pairs, net in sorted(nets.items())]
            for coupling, nets in (networks or shipped()).items()
        },
        to_data(mean + 1e-6 * torch.randn_like(mean)).value,
        distance(fresh),
        torch.cat([images[:SHOWN], fresh[:SHOWN]]).float().numpy(),
        to_data.flags,
    )


@torch.no_grad()
def ends(model: Denoiser, noise: Tensor) -> Tensor:
    """Return the ends ``(n, *event)`` of the paths from noises, by ``ipndm`` without a class."""
    grid, solver = grid_of(model, EVALUATIONS), make("ipndm")
    parts = []
    for z in noise.to(model.dtype).split(BATCH):
        bound = model.bind(torch.arange(len(z)), 0, unlabelled(model, len(z)))
        parts.append(solver.sample(bound, model.sigma_max * z, grid, NoNoise()))
    return torch.cat(parts)


def error(x: Tensor, images: Tensor, total: float) -> Interval:
    """Return the mean squared distance of outputs to images, over the total variance of the
    data.
    """
    each: FloatArray = (x - images).flatten(1).double().square().sum(1).numpy() / total
    return bootstrap(lambda rows: float(each[rows].mean()), len(each))
