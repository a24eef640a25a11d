"""Measurements of row 7 on networks that go from noise to image in one step: what they make of
noises that they were fitted on, and of others.
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
"""Of a path that couples a noise and an image; the networks were fitted on such paths."""
KNOWN = min(NUMBERS)
"""Pairs that every network was fitted on."""
SHOWN = 3
"""Outputs of each kind that are kept as pictures."""

Networks = Mapping[str, Mapping[int, Callable[[Tensor], Tensor]]]
"""By coupling and number of pairs."""


class OneShotResult(NamedTuple):
    """A network that was fitted on so many pairs.

    Attributes:
        pairs: how many.
        known: squared error on pairs that it was fitted on, over the variance of the data: 0 for an
            image that is known by heart, 1 for the mean.
        fresh: the same on pairs that it was not fitted on.
        spread: variance of what it makes of fresh noise, over that of the data.
        distance: Fréchet distance of that to the data.
        pictures: what it makes of the first :data:`SHOWN` noises that it was fitted on, and of as
            many others, ``(2 SHOWN, *event)``.
    """

    pairs: int
    known: Interval
    fresh: Interval
    spread: Interval
    distance: Interval
    pictures: NDArray[np.float32]


class OneShotResults(NamedTuple):
    """All networks, and what they are compared with.

    Attributes:
        networks: by coupling, in rising order of pairs.
        mean: Fréchet distance to the data of the mean image alone.
        paths: that of the ends of paths, which the networks were fitted on.
        targets: ends of the paths from the noises of the pictures, ``(2 SHOWN, *event)``.
        flags: of the distances.
    """

    networks: Mapping[str, Sequence[OneShotResult]]
    mean: float
    paths: Interval
    targets: NDArray[np.float32]
    flags: Sequence[str]


def shipped() -> Networks:
    """The networks of the card."""
    return {coupling: {n: one_shot(coupling, n) for n in NUMBERS} for coupling in COUPLINGS}


def measure_one_shot(effort: Effort, networks: Networks | None = None) -> OneShotResults:
    """Errors on known and on fresh pairs, and what fresh noise gives.

    Args:
        effort: how much; ``fashion-mppca`` is the model whose paths couple the pairs.
        networks: in place of the shipped ones, fitted on pairs of :func:`keys` and :func:`ends`.
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
    """The ends ``(n, *event)`` of the paths from these noises, by ``ipndm``; the model is told no
    class.
    """
    grid, solver = grid_of(model, EVALUATIONS), make("ipndm")
    parts = []
    for z in noise.to(model.dtype).split(BATCH):
        bound = model.bind(torch.arange(len(z)), 0, unlabelled(model, len(z)))
        parts.append(solver.sample(bound, model.sigma_max * z, grid, NoNoise()))
    return torch.cat(parts)


def error(x: Tensor, images: Tensor, total: float) -> Interval:
    """Mean squared distance of outputs to images, over the total variance of the data."""
    each: FloatArray = (x - images).flatten(1).double().square().sum(1).numpy() / total
    return bootstrap(lambda rows: float(each[rows].mean()), len(each))
