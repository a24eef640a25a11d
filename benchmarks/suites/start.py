"""Starts: from noise alone, from noise about the data's mean, or along a Gaussian's probability
flow, which costs no evaluation.

Far above the spread of the data, a denoiser sees little of them but mean and covariance. For x0 ~
N(mean, sum_k c_k u_k u_k^T) the flow from level S to level s has a closed form,

    x(s) = mean + sum_k sqrt((c_k + s^2) / (c_k + S^2)) u_k u_k^T (x(S) - mean),

and replaces the first steps of any sampler (Wang and Vastola 2024, arXiv:2412.09726: analytical
teleportation). A class-conditional network has a mean for each class, and the covariance about
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...models import Denoiser
from ...models.exact.gaussian import Gaussian
from ...models.reference import Moments
from .suite import StartName

SPREADS = 3.0
"""The Gaussian flow ends at this many standard deviations of the data along their first principal
axis.

Of 20, 10, 5, 3, 2 and 1.5, on five exact models with ipndm and dpmpp_2m at 5, 10 and 20
evaluations: rmse falls to 0.57 of its value without a start on geometric average, and rises by 6 %
at most. At 1.5 the Gaussian's own error dominates.
"""
LARGEST = 4096
"""Largest number of dimensions for which a covariance is diagonalised."""


@dataclass(frozen=True, eq=False)
class Start:
    """Map from latents to first states.

    Attributes:
        name: "noise", "mean" or "gaussian".
        sigma_max: where the latents lie.
        sigma: where the states lie, and grids begin; for "noise" and "mean" sigma_max, or the first
            level of the model's own scheduler.
        means: ``(1, *event)``, or ``(classes, *event)`` for a class-conditional model; for "mean"
            and "gaussian".
        gaussian: with the first mean and the data's covariance, for start "gaussian".
        skip: why the model has no such start (then ``sigma`` is sigma_max); "" if it has.
    """

    name: StartName
    sigma_max: float
    sigma: float
    means: Tensor | None = None
    gaussian: Gaussian | None = None
    skip: str = ""

    def states(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return states at ``sigma`` from ``x`` ``(batch, *event)`` at ``sigma_max``.

        They are bit-identical in any batch.

        Args:
            x: not modified.
            labels: ``(batch,)`` classes of the samples, needed where there is a mean for each.
        """
        if self.gaussian is None and self.sigma != self.sigma_max:
            x = x * (self.sigma / self.sigma_max)
        if self.means is None:
            return x
        means = self.means.to(x)
        mean = means if len(means) == 1 else means[labels]
        if self.gaussian is None:
            return x + mean
        shift = mean - means[:1]
        return (
            self.gaussian.flow((x - shift).flatten(1), self.sigma_max, self.sigma).reshape(x.shape)
            + shift
        )


def make_start(name: StartName, model: Denoiser, level: float | None, device: str) -> Start:
    """Make the start of this name for a model.

    Args:
        name: "noise", "mean" or "gaussian".
        model: a denoiser.
        level: where the Gaussian flow ends; None takes :data:`SPREADS` standard deviations, or
            sigma_max if that is less.
        device: where the states live.
    """
    top = model.sigma_max
    if name == "noise":
        return Start(name, top, top)
    moments = moments_of(model)
    if moments is None:
        return Start(
            name,
            top,
            top,
            skip=f"start {name} needs the data's mean and "
            f"covariance, which model {model.name} does not "
            "know",
        )
    means, cov = torch.from_numpy(moments[0]).reshape(-1, *model.event), moments[1]
    if name == "mean":
        return Start(name, top, top, means)
    variances, basis = np.linalg.eigh(cov)
    sigma = min(SPREADS * float(variances[-1]) ** 0.5, top) if level is None else level
    if not model.sigma_min < sigma <= top:
        reason = (
            f"the start level {sigma:g} is not within the levels of model "
            f"{model.name}, {model.sigma_min:g} to {top:g}"
        )
        return Start(name, top, top, skip=reason)
    gaussian = Gaussian(
        "start",
        means[0].flatten(),
        torch.from_numpy(basis),
        torch.from_numpy(variances.clip(min=0)),
    )
    return Start(name, top, sigma, means, gaussian.to(device))


def moments_of(model: Denoiser) -> Moments | None:
    """Return mean(s) and covariance of a model's data; None if unknown, or too large to
    diagonalise.
    """
    return model.moments() if math.prod(model.event) <= LARGEST else None
