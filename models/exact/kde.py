"""Kernel density estimates: N points, each with a Gaussian of one width; width 0 would memorise the data."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..cards.card import Card, load_card
from ..cards.reference import card_reference, value_range
from ..denoiser import per_row
from ..reference import Reference
from .base import ExactModel, FloatArray
from .cloud import PointCloud


class KernelDensity(ExactModel):
    """x0 = y + width z, where y is one of N points and z is standard normal.

    The data at noise level sigma are the bare points at s = sqrt(sigma^2 + width^2), so all
    quantities follow from the cloud's d_c:

        d(x, sigma) = g x + (1 - g) d_c(x, s),     g = width^2 / s^2.

    Then x - d = (sigma / s)^2 (x - d_c), and with ds / dsigma = sigma / s the probability flow is
    the cloud's own, dx/ds = (x - d_c) / s, from sqrt(sigma_max^2 + width^2) down to ``width``
    instead of 0.

    Args:
        cloud: the points; the model has the ``tolerance`` of its flow.
        width: standard deviation of the kernel, in the units of the data, > 0.
        reference: makes the reference in a feature space; without it, or if it gives None, the
            samples themselves are compared.

    Raises:
        ValueError: the width is not positive and finite.
    """

    def __init__(
        self,
        cloud: PointCloud,
        width: float,
        *,
        reference: Callable[[], Reference | None] = lambda: None,
    ) -> None:
        if not (isinstance(width, int | float) and 0 < width < math.inf):
            raise ValueError(
                f"model {cloud.name}: width must be a positive number, got "
                f"{width!r}; digits-cloud has bare points"
            )
        self.name, self.event, self.classes = cloud.name, cloud.event, cloud.classes
        self.width, self.scale, self.tolerance = float(width), float(width), cloud.tolerance
        self.identity = f"{cloud.identity}(width={self.width:.15g})"
        self._cloud = cloud
        self._reference = reference

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Evaluate the formula of the class."""
        level, keep = self._level(sigma)
        return keep * x + (1 - keep) * self._cloud.denoise_rows(x, level, labels)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the cloud's log-density at s; finite at sigma = 0."""
        return self._cloud.log_density_rows(x, self._level(sigma)[0], labels)

    @property
    def labels(self) -> Tensor | None:
        """Class of each point, ``(N,)`` int64; None for a model without classes."""
        return self._cloud.labels

    def responsibilities(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """p(j | x) of states ``x`` ``(batch, *event)`` at ``sigma`` >= 0, ``(batch, N)`` float64."""
        return self._cloud.responsibilities(x, self._level(per_row(sigma, x))[0], labels)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Draw a point and noise around it. The first m of n samples do not depend on n."""
        for_point, for_noise = rng.spawn(2)
        return self._cloud.draw(n, for_point) + self.width * for_noise.standard_normal(
            (n, self.dim)
        )

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the points' moments, with width^2 more variance in every direction."""
        mean, cov = self._cloud.moments()
        return mean, cov + self.width**2 * np.eye(self.dim)

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Law of total covariance: given y, x0 has mean g x + (1 - g) y, covariance g sigma^2 I."""
        square = per_row(sigma, x).square()
        level, keep = self._level(square.sqrt())
        centre, cov = self._cloud.posterior(x, level)
        eye = torch.eye(self.dim, dtype=torch.float64, device=x.device)
        mean = keep * x.flatten(1).double() + (1 - keep) * centre
        return mean, (1 - keep[..., None]).square() * cov + (keep[:, 0] * square)[
            :, None, None
        ] * eye

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """See :meth:`ExactModel.flow`: the cloud's flow between the levels s."""
        return self._cloud.flow(
            x, math.hypot(sigma_from, self.width), math.hypot(sigma_to, self.width), labels
        )

    def reference(self) -> Reference | None:
        """Return the given reference, or exact moments of the samples themselves."""
        return self._reference() or super().reference()

    def mode_of(self, x: Tensor) -> Tensor:
        """Return the class of the nearest point (or its number, without classes), ``(batch,)`` int64."""
        nearest = self._cloud.mode_of(x)
        return nearest if self._cloud.labels is None else self._cloud.labels[nearest]

    def observed(self, seen: Callable[[int], object]) -> Self:
        """Observe the cloud's flow, which is the one integrated (:meth:`ExactModel.observed`)."""
        twin = copy.copy(self)
        twin._cloud = self._cloud.observed(seen)
        return twin

    def to(self, device: torch.device | str) -> Self:
        """Return a copy of this model with its points on ``device``."""
        twin = copy.copy(self)
        twin._cloud = self._cloud.to(device)
        return twin

    def _level(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level s of each row ``(n,)``, and g ``(n, 1)``."""
        square = sigma.square() + self.width**2
        return square.sqrt(), (self.width**2 / square)[:, None]


def fashion_kde(width: float = 0.1) -> KernelDensity:
    """``fashion-kde``: 2 500 training images of Fashion-MNIST, 28 × 28, ten classes, with a
    Gaussian of ``width`` around each.

    Its samples are scored like samples of ``fashion``: against real images, in the same features.
    Held-out images are likeliest at a width of 0.3, with visible noise; below 0.008, a grey level,
    samples are copies.

    Raises:
        CardError: the pixels do not match the card.
        ValueError: the width is not positive.
    """

    @cache
    def reference() -> Reference | None:
        real = card_reference(load_card("fashion"))
        return None if real is None else real.of_another_model()

    card = load_card("fashion-kde")
    model = KernelDensity(image_cloud(card), width, reference=reference)
    model.limits = value_range(card)
    return model


def image_cloud(card: Card) -> PointCloud:
    """Return the points of a card with ``pixels`` ``(N, *event)`` uint8, grey levels of which ``levels`` is
    the highest, and ``labels``.

    Squared distances between grey levels are whole numbers below 2^53, which a matrix product gives
    without an error.
    """
    tensors = card.tensors()
    low, high = card.data["range"]
    unit = (high - low) / card.data["levels"]
    grey = tensors["pixels"].double()
    flat = grey.reshape(len(grey), -1)
    norms = flat.square().sum(1)
    distances = (norms[:, None] + norms - 2 * flat @ flat.T) * unit**2
    cloud = PointCloud(card.name, low + grey * unit, tensors["labels"].long(), apart=distances)
    cloud.tolerance = 1e-9
    return cloud
