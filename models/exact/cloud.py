"""Empirical distribution of a set of points: the denoiser of a model that memorised its training data."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..cards.card import Card, load_card
from .base import ExactModel, FloatArray, fingerprint, product


class PointCloud(ExactModel):
    r"""x0 is one of N points y_j, each equally likely.

        d(x, sigma) = sum_j p(j | x) y_j,     p(j | x) ∝ exp(-|x - y_j|^2 / (2 sigma^2))

    With |x - y|^2 expanded as |x|^2 - 2 x·y + |y|^2, all distances are one matrix product, but the
    rounding of |y|^2 is divided by sigma^2. So they are expanded about a point c next to x instead,
    the nearest:

        |x - y_j|^2 = |x - c|^2 - 2 (x - c)·(y_j - c) + |c - y_j|^2.

    The last term is computed from differences, once, and the others are as small as sigma. On 8 × 8
    digits d is then off by at most 1e-14 at every level, as it is by sums of squared differences at
    50 times the cost; the first expansion loses 7e-13 at sigma = 0.05, which the slope (x - d) /
    sigma multiplies by 20.

    A model with classes restricts itself to the points of a given label.

    Args:
        name: its name in tables.
        points: ``(N, *event)``, distinct.
        labels: ``(N,)`` int64 classes of the points, every class from 0 up having at least one;
            None for a model without labels.
        version: raised when the points change.
        apart: ``(N, N)`` squared distances between the points; None computes sums of squared
            differences.
    """

    # An endpoint is one of N points: an error matters only if it decides between two.
    tolerance = 1e-8

    def __init__(
        self,
        name: str,
        points: Tensor,
        labels: Tensor | None = None,
        *,
        version: int = 1,
        apart: Tensor | None = None,
    ) -> None:
        self.name, self.event = name, tuple(points.shape[1:])
        self.labels, self.classes = labels, 0 if labels is None else int(labels.max()) + 1
        self.identity = fingerprint(name, version, points, *(() if labels is None else (labels,)))
        self._points = points.reshape(len(points), -1).double()
        self._norms = self._points.square().sum(1)
        self._apart = square_distances(self._points) if apart is None else apart
        self._log_prior = _log_prior(len(points), labels, self.classes)
        # The density has no width of its own. Below a fraction of the smallest gap between points,
        # every flow line leads straight to one.
        gaps = self._apart + torch.diag(torch.full((len(points),), math.inf, dtype=torch.float64))
        self.scale = float(gaps.min().sqrt()) / 8

    @property
    def points(self) -> Tensor:
        """The N points, ``(N, *event)`` float64."""
        return self._points.reshape(-1, *self.event)

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Evaluate the formula of the class."""
        return product(self._log_joint(x, sigma, labels).softmax(1), self._points)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the log-density of the noisy marginal; there is none at sigma = 0."""
        joint = self._log_joint(x, sigma, labels)
        return joint.logsumexp(1) - self.dim * (sigma.log() + 0.5 * math.log(2 * math.pi))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Points drawn with replacement. The first m of n samples do not depend on n."""
        return self._points.cpu().numpy()[(rng.random(n) * len(self._points)).astype(np.int64)]

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the moments of the N points, divided by N: they are the distribution, not a sample of it."""
        points = self._points.cpu().numpy()
        return points.mean(0), np.cov(points, rowvar=False, bias=True)

    def responsibilities(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """p(j | x) of states ``x`` ``(batch, *event)`` at ``sigma`` > 0, ``(batch, N)`` float64."""

        def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            return self._log_joint(x, sigma, labels).softmax(1)

        return self.chunked(rows, x, sigma, labels)

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and covariance of the points under p(j | x)."""
        mean = self.chunked(self.denoise_rows, x, sigma, None)
        cov = []
        for m, weights in zip(mean, self.responsibilities(x, sigma), strict=True):
            offset = (self._points - m) * weights.sqrt()[:, None]
            cov.append(offset.T @ offset)
        return mean, torch.stack(cov) if cov else mean.new_zeros(0, self.dim, self.dim)

    def flow_to_zero(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the end of the flow: at a small ``sigma``, the nearest point."""
        return self._points[self._nearest(x, sigma, labels)].reshape(x.shape).to(x.dtype)

    def mode_of(self, x: Tensor) -> Tensor:
        """Return the number of the nearest point, ``(batch,)`` int64 in [0, N)."""
        return self._nearest(x, 1.0, None)

    def _nearest(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        def rows(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            return self._log_joint(x, sigma, labels).argmax(1)

        return self.chunked(rows, x, sigma, labels)

    def _log_joint(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the exponents log p(j) - |x - y_j|^2 / (2 sigma^2), ``(n, N)``.

        -inf for points of other classes.
        """
        prior = self._log_prior[-1] if labels is None else self._log_prior[labels]
        near = (product(x, self._points.T) - 0.5 * self._norms).argmax(1)
        centre = self._points[near]
        offset = x - centre
        along = product(offset, self._points.T) - (offset * centre).sum(1, keepdim=True)
        square = offset.square().sum(1, keepdim=True) - 2 * along + self._apart[near]
        return prior - square / (2 * sigma.square()[:, None])


def square_distances(points: Tensor) -> Tensor:
    """Return sums of squared differences of points ``(N, d)``, ``(N, N)``: accurate for close points, and
    slow.
    """
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()


def _log_prior(count: int, labels: Tensor | None, classes: int) -> Tensor:
    """Log-probability of each point under each label, then without one: ``(classes + 1, N)``."""
    member = torch.ones(classes + 1, count, dtype=torch.float64)
    if labels is not None:
        member[:-1] = labels == torch.arange(classes)[:, None]
    return (member / member.sum(1, keepdim=True)).log()


def digits_cloud() -> PointCloud:
    """``digits-cloud``: the 1 797 handwritten digits of scikit-learn, 8 × 8, whose pixels lie in
    the model's card.

    Raises:
        CardError: the pixels do not match the card.
    """
    return cloud_of(load_card("digits-cloud"))


def cloud_of(card: Card) -> PointCloud:
    """Return the point cloud of a card with ``pixels`` ``(N, *event)`` uint8, grey levels of which ``levels``
    is the highest, and ``labels``.
    """
    tensors = card.tensors()
    low, high = card.data["range"]
    points = low + tensors["pixels"].double() * ((high - low) / card.data["levels"])
    return PointCloud(card.name, points, tensors["labels"].long())
