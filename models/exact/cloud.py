"""Distributions of points, bare or with a Gaussian around each: exact models of memorised data."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..cards.card import Card, load_card
from ..cards.reference import card_reference, value_range
from ..denoiser import level_per_row
from .base import ExactModel, FloatArray, exact_fingerprint, row_stable_matmul


class PointCloud(ExactModel):
    r"""Distribution in which x0 is one of N points y_j, each equally likely.

        d(x, sigma) = sum_j p(j | x) y_j,     p(j | x) ∝ exp(-|x - y_j|^2 / (2 sigma^2))

    The expansion |x|^2 - 2 x·y + |y|^2 gives all distances by one matrix product. But the rounding
    error of |y|^2 is divided by sigma^2. So distances are expanded about c, the point nearest to x:

        |x - y_j|^2 = |x - c|^2 - 2 (x - c)·(y_j - c) + |c - y_j|^2.

    The last term is computed once, from differences, and the other terms are as small as sigma. On
    8 × 8 digits, the error of d is then at most 1e-14 at every level; the first expansion has an
    error of 7e-13 at sigma = 0.05.

    Given a class label, the sum is over the points of that class.

    Args:
        name: name in tables.
        points: ``(N, *event)``, at least two and distinct.
        labels: ``(N,)`` int64 classes of the points, every class from 0 up having at least one;
            None for a model without labels.
        apart: ``(N, N)`` squared distances between the points; None to compute them by sums of
            squared differences.
    """

    # An endpoint is one of N points: an error matters only if it decides between two.
    tolerance = 1e-8

    def __init__(
        self,
        name: str,
        points: Tensor,
        labels: Tensor | None = None,
        *,
        apart: Tensor | None = None,
    ) -> None:
        self.name, self.event = name, tuple(points.shape[1:])
        self.labels, self.classes = labels, 0 if labels is None else int(labels.max()) + 1
        self.identity = exact_fingerprint(name, 1, points, *(() if labels is None else (labels,)))
        self._points = points.reshape(len(points), -1).double()
        self._norms = self._points.square().sum(1)
        self._apart = pairwise_squared_distances(self._points) if apart is None else apart
        # log p(j) by label, (classes + 1, N); the last row is for no label
        member = torch.ones(self.classes + 1, len(points), dtype=torch.float64)
        if labels is not None:
            member[:-1] = labels == torch.arange(self.classes)[:, None]
        self._log_prior = (member / member.sum(1, keepdim=True)).log()
        # The density has no width of its own. Below a fraction of the smallest gap between points,
        # every flow line leads straight to one.
        gaps = self._apart + torch.diag(torch.full((len(points),), math.inf, dtype=torch.float64))
        self.scale = float(gaps.min().sqrt()) / 8

    @property
    def points(self) -> Tensor:
        """The N points, ``(N, *event)`` float64."""
        return self._points.reshape(-1, *self.event)

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return E[x0 | x] of rows by the formula in :class:`PointCloud`."""
        return row_stable_matmul(self._log_joint(x, sigma, labels).softmax(1), self._points)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the log-density of noisy rows; NaN at sigma = 0, where points have no density."""
        joint = self._log_joint(x, sigma, labels)
        return joint.logsumexp(1) - self.dim * (sigma.log() + 0.5 * math.log(2 * math.pi))

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` points drawn with replacement; the first m do not depend on ``n``."""
        return self._points.cpu().numpy()[(rng.random(n) * len(self._points)).astype(np.int64)]

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the points' mean ``(d,)`` and their covariance ``(d, d)``, divided by N."""
        points = self._points.cpu().numpy()
        return points.mean(0), np.cov(points, rowvar=False, bias=True).reshape(self.dim, -1)

    def responsibilities(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return each point's p(j | x), ``(batch, N)`` float64, at ``x`` and ``sigma`` > 0."""
        return self.evaluate_in_chunks(
            lambda *rows: self._log_joint(*rows).softmax(1), x, sigma, labels
        )

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``(batch, d)`` and covariance ``(batch, d, d)`` of points by p(j | x)."""
        mean = self.evaluate_in_chunks(self.denoise_rows, x, sigma, None)
        cov = []
        for m, weights in zip(mean, self.responsibilities(x, sigma), strict=True):
            offset = (self._points - m) * weights.sqrt()[:, None]
            cov.append(offset.T @ offset)
        return mean, torch.stack(cov) if cov else mean.new_zeros(0, self.dim, self.dim)

    def posterior_trace(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return sum_j p(j | x) |y_j - c|² - |d - c|², with c the likeliest of the points y_j.

        Both terms vanish where only one point is likely.
        """

        def trace_per_row(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            chosen = self._log_joint(x, sigma, labels).softmax(1)
            likeliest = chosen.argmax(1)
            offset = row_stable_matmul(chosen, self._points) - self._points[likeliest]
            return ((chosen * self._apart[likeliest]).sum(1) - offset.square().sum(1)).clamp(min=0)

        return self.evaluate_in_chunks(trace_per_row, x, sigma, labels)

    def flow_to_zero(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        """Return the end of the flow from a small ``sigma``: the nearest point with the label."""
        return self._points[self._index_of_nearest(x, sigma, labels)].reshape(x.shape).to(x.dtype)

    def mode_of(self, x: Tensor) -> Tensor:
        """Return the index of the nearest point, ``(batch,)`` int64 in [0, N)."""
        return self._index_of_nearest(x, 1.0, None)

    def classes_of(self, modes: Tensor) -> Tensor:
        """Return the class of each point index in ``modes``; without classes, ``modes`` itself."""
        return modes if self.labels is None else self.labels[modes]

    def _index_of_nearest(self, x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        return self.evaluate_in_chunks(
            lambda *rows: self._log_joint(*rows).argmax(1), x, sigma, labels
        )

    def _log_joint(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return log p(j) - |x - y_j|^2 / (2 sigma^2), ``(n, N)``; -inf for other classes."""
        prior = self._log_prior[-1] if labels is None else self._log_prior[labels]
        near = (row_stable_matmul(x, self._points.T) - 0.5 * self._norms).argmax(1)
        centre = self._points[near]
        offset = x - centre
        along = row_stable_matmul(offset, self._points.T) - (offset * centre).sum(1, keepdim=True)
        square = offset.square().sum(1, keepdim=True) - 2 * along + self._apart[near]
        return prior - square / (2 * sigma.square()[:, None])


def pairwise_squared_distances(points: Tensor) -> Tensor:
    """Return squared distances ``(N, N)`` of points: accurate, by sums of squared differences."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()


def digits_cloud() -> PointCloud:
    """Return the model ``digits-cloud``: the 1 797 handwritten digits of scikit-learn, 8 × 8."""
    card = load_card("digits-cloud")
    tensors, (low, high) = card.tensors(), card.data["range"]
    points = low + tensors["pixels"].double() * ((high - low) / card.data["levels"])
    return PointCloud(card.name, points, tensors["labels"].long())


class KernelDensity(ExactModel):
    """Distribution of x0 = y + width z, with y one of N points and z standard normal.

    The data at noise level sigma are the bare points at level s = sqrt(sigma^2 + width^2). So all
    quantities follow from the denoiser d_c of the cloud:

        d(x, sigma) = g x + (1 - g) d_c(x, s),     g = width^2 / s^2.

    Then x - d = (sigma / s)^2 (x - d_c), and ds / dsigma = sigma / s. The probability flow is thus
    the cloud's own, dx/ds = (x - d_c) / s, from sqrt(sigma_max^2 + width^2) down to ``width``.

    Args:
        cloud: model of the bare points; gives this model its name, classes and ``tolerance``.
        width: standard deviation of the kernel, in the units of the data, > 0.

    Raises:
        ValueError: the width is not positive and finite.
    """

    def __init__(self, cloud: PointCloud, width: float) -> None:
        if not (isinstance(width, int | float) and 0 < width < math.inf):
            raise ValueError(
                f"model {cloud.name}: width must be a positive number, got "
                f"{width!r}; digits-cloud has bare points"
            )
        self.name, self.event, self.classes = cloud.name, cloud.event, cloud.classes
        self.width, self.scale, self.tolerance = float(width), float(width), cloud.tolerance
        self.identity = f"{cloud.identity}(width={self.width:.15g})"
        self._cloud = cloud

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return E[x0 | x] of rows by the formula in :class:`KernelDensity`."""
        level, keep = self._cloud_level(sigma)
        return keep * x + (1 - keep) * self._cloud.denoise_rows(x, level, labels)

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the cloud's log-density at level sqrt(sigma^2 + width^2), even for sigma = 0."""
        return self._cloud.log_density_rows(x, self._cloud_level(sigma)[0], labels)

    @property
    def labels(self) -> Tensor | None:
        """Class of each point, ``(N,)`` int64; None for a model without classes."""
        return self._cloud.labels

    def responsibilities(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return each point's p(j | x), ``(batch, N)`` float64, at ``x`` and ``sigma`` >= 0."""
        return self._cloud.responsibilities(
            x, self._cloud_level(level_per_row(sigma, x))[0], labels
        )

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` points with noise around them; the first m do not depend on ``n``."""
        for_point, for_noise = rng.spawn(2)
        points = self._cloud.draw(n, for_point)
        return points + self.width * for_noise.standard_normal((n, self.dim))

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the points' mean ``(d,)``, and their covariance ``(d, d)`` plus width^2 I."""
        mean, cov = self._cloud.moments()
        return mean, cov + self.width**2 * np.eye(self.dim)

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``(batch, d)`` and covariance ``(batch, d, d)`` of x0 given ``x``.

        Given the point y, they are g x + (1 - g) y and g sigma^2 I, with the g of the class.
        """
        square = level_per_row(sigma, x).square()
        level, keep = self._cloud_level(square.sqrt())
        centre, cov = self._cloud.posterior(x, level)
        eye = torch.eye(self.dim, dtype=torch.float64, device=x.device)
        mean = keep * x.flatten(1).double() + (1 - keep) * centre
        within = (keep[:, 0] * square)[:, None, None] * eye
        return mean, (1 - keep[..., None]).square() * cov + within

    def posterior_trace(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return the variance between the points plus the variance within a kernel."""
        square = level_per_row(sigma, x).square()
        level, keep = self._cloud_level(square.sqrt())
        between = self._cloud.posterior_trace(x, level, labels)
        return (1 - keep[:, 0]).square() * between + self.dim * keep[:, 0] * square

    def flow(
        self, x: Tensor, sigma_from: float, sigma_to: float, labels: Tensor | None = None
    ) -> Tensor:
        """Return the cloud's flow between levels sqrt(sigma^2 + width^2); see the base class."""
        return self._cloud.flow(
            x, math.hypot(sigma_from, self.width), math.hypot(sigma_to, self.width), labels
        )

    def mode_of(self, x: Tensor) -> Tensor:
        """Return the nearest point's class, or its index without classes, ``(batch,)`` int64."""
        return self._cloud.classes_of(self._cloud.mode_of(x))

    def _cloud_level(self, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return s = sqrt(sigma^2 + width^2) ``(n,)``, and g = width^2 / s^2 ``(n, 1)``."""
        square = sigma.square() + self.width**2
        return square.sqrt(), (self.width**2 / square)[:, None]


def fashion_kde(width: float = 0.1) -> KernelDensity:
    """Return the model ``fashion-kde``: 2 500 images of Fashion-MNIST under kernels of ``width``.

    Samples are scored against real images in the features of the model ``fashion``. Held-out images
    are likeliest at a width of 0.3. Below 0.008, one grey level, samples copy the points.
    """
    card = load_card("fashion-kde")
    model = KernelDensity(image_cloud_of_card(card), width)
    model.limits = value_range(card)
    model.make_reference = cache(lambda: card_reference(card))
    return model


def image_cloud_of_card(card: Card) -> PointCloud:
    """Return the point cloud of a card's labelled images, which are stored as grey levels.

    Squared distances in grey levels are whole numbers below 2^53, so a matrix product is exact.
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
