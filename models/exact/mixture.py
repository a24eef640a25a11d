"""Mixtures of K Gaussians in d dimensions with rank-r plus isotropic covariances, at O(K d r)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cards.card import load_card
from ..cards.reference import card_reference, value_range
from ..denoiser import level_per_row
from .base import ExactModel, FloatArray, exact_fingerprint, row_stable_matmul, to_numpy


class ComponentTerms(NamedTuple):
    """Terms in the formulas of :class:`GaussianMixture`, for n rows x and K components."""

    x: Tensor  # (n, d): the rows, relative to the mean of the mixture
    coords: Tensor  # (n, K, r): U_k^T (x - mu_k)
    square: Tensor  # (n, 1): sigma^2
    across: Tensor  # (n, K): s_k^2 + sigma^2
    along: Tensor  # (n, K, r): v_k + sigma^2
    log_joint: Tensor  # (n, K): log w_k + log N(x; mu_k, Sigma_k + sigma^2 I)


class GaussianMixture(ExactModel):
    """Mixture of Gaussians: x0 ~ sum_k w_k N(mu_k, W_k W_k^T + s_k^2 I).

    Let U_k be the left singular vectors of W_k, v_k = (singular values)^2 + s_k^2 and c = x - mu_k.
    Then the covariance Sigma_k of component k has variance v_kj along column j of U_k, and s_k^2 in
    every other direction. So (Woodbury's identity, already diagonalised)

        log N(x; mu_k, Sigma_k + sigma^2 I) = -1/2 [ sum_j (U_k^T c)_j^2 / (v_kj + sigma^2) + (|c|^2 - |U_k^T c|^2) / (s_k^2 + sigma^2)
                                              + sum_j log(v_kj + sigma^2) + (d - r) log(s_k^2 + sigma^2) + d log 2 pi ]
        E[x0 | x, k] = g_k x + (1 - g_k) mu_k + U_k [ (v_k / (v_k + sigma^2) - g_k) U_k^T c ],        g_k = s_k^2 / (s_k^2 + sigma^2)

    and d = sum_k p(k | x) E[x0 | x, k]. All projections of a chunk are one matrix product, and the
    sum over k is another.

    Args:
        name: name in tables.
        event: shape of a sample, of d elements.
        weights: ``(K,)`` > 0; normalised here.
        means: ``(K, d)``.
        factors: ``(K, d, r)``, the W_k, with any r from 0 to d.
        noise: ``(K,)`` standard deviations s_k > 0.
        component_class: ``(K,)`` int64 class of each component, every class from 0 up having at
            least one; None for a model without labels. A label restricts the mixture to that
            class's components; label ``classes`` means no label.
    """

    def __init__(
        self,
        name: str,
        event: tuple[int, ...],
        weights: Tensor,
        means: Tensor,
        factors: Tensor,
        noise: Tensor,
        component_class: Tensor | None = None,
    ) -> None:
        self.name, self.event = name, event
        labelled = () if component_class is None else (component_class,)
        self.identity = exact_fingerprint(name, 1, weights, means, factors, noise, *labelled)
        self.classes = 0 if component_class is None else int(component_class.max()) + 1
        self.scale = float(noise.min())
        self.component_class = component_class
        weights, means, noise = (t.double() for t in (weights, means, noise))
        vectors, singular, _ = torch.linalg.svd(factors.double(), full_matrices=False)
        self._rank = factors.shape[2]
        # Vectors of equal singular values depend on the number of threads, so no draw uses them.
        self._factors = factors.double()
        self._weights = weights / weights.sum()
        by_label = self._weights[None]  # (classes + 1, K); the last row is for no label
        if component_class is not None:
            inside = (component_class == torch.arange(self.classes)[:, None]) * self._weights
            by_label = torch.cat([inside / inside.sum(1, keepdim=True), by_label])
        self._log_weights = by_label.log()
        self._floor = noise.square()
        self._variances = singular.square() + self._floor[:, None]
        self._above = self._variances - self._floor[:, None]
        # Coordinates relative to the mean of the mixture: |c|^2 is a difference of large numbers
        # far from the origin.
        self._centre = self._weights @ means
        means = means - self._centre
        self._norms = means.square().sum(1)
        # (K (r + 1), d)
        self._basis = torch.cat([vectors.transpose(1, 2), means[:, None]], 1).reshape(-1, self.dim)
        self._offsets = (vectors.transpose(1, 2) @ means[:, :, None])[:, :, 0]

    def denoise_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return E[x0 | x] of rows by the formula in :class:`GaussianMixture`."""
        terms = self._component_terms(x, sigma, labels)
        chosen = terms.log_joint.softmax(1)
        keep, gain = self._posterior_gains(terms.square, terms.across, terms.along)
        along = chosen[:, :, None] * gain * terms.coords
        towards = (chosen * (1 - keep))[:, :, None]
        mixed = row_stable_matmul(torch.cat([along, towards], 2).reshape(len(x), -1), self._basis)
        return (chosen * keep).sum(1, keepdim=True) * terms.x + mixed + self._centre

    def log_density_rows(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
        """Return the log-density of noisy rows, by the log-sum-exp over the components."""
        return self._component_terms(x, sigma, labels).log_joint.logsumexp(1)

    @property
    def weights(self) -> Tensor:
        """Probability of each component, ``(K,)`` float64."""
        return self._weights

    def responsibilities(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return each component's p(k | x) at ``sigma`` >= 0, ``(batch, K)`` float64."""
        return self.evaluate_in_chunks(
            lambda *rows: self._component_terms(*rows).log_joint.softmax(1), x, sigma, labels
        )

    def mode_of(self, x: Tensor) -> Tensor:
        """Return each sample's likeliest class, or component without classes, ``(batch,)``."""
        chosen = self.responsibilities(x, 0.0)
        if self.component_class is None:
            return chosen.argmax(1)
        of_class = chosen.new_zeros(len(x), self.classes)
        return of_class.index_add_(1, self.component_class, chosen).argmax(1)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Return ``n`` samples mu + W z + s z', each of a component drawn by its weight.

        Up to rounding, the first m samples do not depend on ``n``.
        """
        for_component, for_position = rng.spawn(2)
        tensors = (self._weights, self._floor, self._factors, self._basis, self._centre)
        weights, floor, factors, basis, centre = to_numpy(*tensors)
        component = np.searchsorted(weights.cumsum(), for_component.random(n), side="right")
        component = np.minimum(component, len(weights) - 1)
        normal = for_position.standard_normal((n, self._rank + self.dim))
        means = basis.reshape(len(weights), self._rank + 1, self.dim)[:, -1]
        x = np.empty((n, self.dim))
        for k in np.unique(component):
            rows = component == k
            x[rows] = (
                normal[rows, : self._rank] @ factors[k].T
                + means[k]
                + np.sqrt(floor[k]) * normal[rows, self._rank :]
            )
        return x + centre

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Return the mean and the covariance sum_k w_k (Sigma_k + (mu_k - mean)(mu_k - mean)^T)."""
        spread = torch.cat([self._above, torch.ones_like(self._floor)[:, None]], 1)
        weighted = (self._weights[:, None] * spread).reshape(-1, 1) * self._basis
        eye = torch.eye(self.dim, dtype=torch.float64, device=self._basis.device)
        cov = self._basis.T @ weighted + (self._weights @ self._floor) * eye
        return self._centre.cpu().numpy(), cov.cpu().numpy()

    def posterior(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return mean ``(batch, d)`` and covariance ``(batch, d, d)`` of x0 given ``x``.

        Given component k, the covariance is sigma^2 Sigma_k (Sigma_k + sigma^2 I)^{-1}.
        """
        chosen = self.responsibilities(x, sigma)
        mean = self.evaluate_in_chunks(self.denoise_rows, x, sigma, None)
        level = level_per_row(sigma, x)
        flat = x.reshape(len(x), self.dim).double() - self._centre
        basis = self._basis.reshape(-1, self._rank + 1, self.dim)
        vectors, means = basis[:, :-1], basis[:, -1]
        square = level.square()[:, None]
        keep, gain = self._posterior_gains(square, *self._noisy_variances(square))
        coords = torch.einsum("kjd,nd->nkj", vectors, flat) - self._offsets
        centres = (
            keep[:, :, None] * flat[:, None]
            + (1 - keep)[:, :, None] * means
            + torch.einsum("nkj,kjd->nkd", gain * coords, vectors)
        )
        deviations = centres + self._centre - mean[:, None]
        along = torch.einsum(
            "nkj,kjd,kje->nde", chosen[:, :, None] * gain * square[:, :, None], vectors, vectors
        )
        between = torch.einsum("nk,nkd,nke->nde", chosen, deviations, deviations)
        isotropic = (chosen * keep).sum(1, keepdim=True) * square
        eye = torch.eye(self.dim, dtype=torch.float64, device=x.device)
        return mean, along + between + isotropic[:, :, None] * eye

    def posterior_trace(
        self, x: Tensor, sigma: float | Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Return E[|x0|² | x] - |d|², with x0 and d measured from the mixture's mean.

        Let u = x - mean, c = U_k^T (u - mu_k) and gain = v_k / (v_k + sigma²) - g_k. Then
        E[x0 | x, k] is m_k = g_k u + (1 - g_k) mu_k + U_k gain c, and

            |m_k|² = g_k² |u|² + (1 - g_k)² |mu_k|² + 2 g_k (1 - g_k) u·mu_k
                     + sum_j gain_j c_j [gain_j c_j + 2 (g_k c_j + (U_k^T mu_k)_j)].
        """

        def trace_per_row(x: Tensor, sigma: Tensor, labels: Tensor | None) -> Tensor:
            terms = self._component_terms(x, sigma, labels)
            chosen = terms.log_joint.softmax(1)
            keep, gain = self._posterior_gains(terms.square, terms.across, terms.along)
            across = row_stable_matmul(terms.x, self._basis.T).reshape(*keep.shape, -1)[:, :, -1]
            along = gain * terms.coords
            along_terms = (
                along * (along + 2 * (keep[:, :, None] * terms.coords + self._offsets))
            ).sum(2)
            size = (
                keep.square() * terms.x.square().sum(1, keepdim=True)
                + (1 - keep).square() * self._norms
                + 2 * keep * (1 - keep) * across
                + along_terms
            )
            within = terms.square * (gain.sum(2) + self.dim * keep)
            d = self.denoise_rows(x, sigma, labels) - self._centre
            return (chosen * (size + within)).sum(1) - d.square().sum(1)

        return self.evaluate_in_chunks(trace_per_row, x, sigma, labels)

    def _component_terms(self, x: Tensor, sigma: Tensor, labels: Tensor | None) -> ComponentTerms:
        """Return the :class:`ComponentTerms` of ``(n, d)`` rows."""
        x = x - self._centre
        products = row_stable_matmul(x, self._basis.T).reshape(len(x), -1, self._rank + 1)
        coords = products[:, :, :-1] - self._offsets
        squares, square = coords.square(), sigma.square()[:, None]
        across, along = self._noisy_variances(square)
        rest = (
            x.square().sum(1, keepdim=True) - 2 * products[:, :, -1] + self._norms - squares.sum(2)
        )
        quadratic = (squares / along).sum(2) + rest.clamp(min=0) / across
        volume = (
            along.log().sum(2)
            + (self.dim - self._rank) * across.log()
            + self.dim * math.log(2 * math.pi)
        )
        prior = self._log_weights[-1] if labels is None else self._log_weights[labels]
        log_joint = prior - 0.5 * (quadratic + volume)
        return ComponentTerms(x, coords, square, across, along, log_joint)

    def _noisy_variances(self, square: Tensor) -> tuple[Tensor, Tensor]:
        """Return s_k^2 + sigma^2 ``(n, K)``, v_k + sigma^2 ``(n, K, r)``, by sigma^2 ``(n, 1)``."""
        return self._floor + square, self._variances + square[:, :, None]

    def _posterior_gains(
        self, square: Tensor, across: Tensor, along: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return g_k ``(n, K)`` and v_k / (v_k + sigma^2) - g_k ``(n, K, r)``.

        The arguments are sigma^2 and :meth:`_noisy_variances`.
        """
        return self._floor / across, self._above * square[:, :, None] / (along * across[:, :, None])


class MPPCA(GaussianMixture):
    """Mixture of probabilistic PCA (Tipping and Bishop, Neural Computation 11:443, 1999), float64.

    ``tensors`` are ``weights``, ``means``, ``factors``, ``noise`` and ``component_class`` of a
    :class:`GaussianMixture`, as ``samplerbench_studies.training.fit_mppca`` stores them. If one is
    missing, a ValueError is raised.
    """

    tolerance = 1e-9

    def __init__(self, name: str, event: tuple[int, ...], tensors: Mapping[str, Tensor]) -> None:
        parts = ("weights", "means", "factors", "noise", "component_class")
        if missing := set(parts) - set(tensors):
            raise ValueError(
                f"model {name} lacks the tensors {', '.join(sorted(missing))}; "
                "fit it again with samplerbench_studies.training.fit_mppca"
            )
        super().__init__(name, event, *(tensors[part] for part in parts))


def fashion_mppca() -> MPPCA:
    """Return the model ``fashion-mppca``: 28 × 28, ten classes of ten components each.

    ``samplerbench_studies.training.fit_mppca`` fitted it to Fashion-MNIST.
    """
    card = load_card("fashion-mppca")
    model = MPPCA(card.name, card.event, card.tensors())
    model.limits = value_range(card)
    model.make_reference = cache(lambda: card_reference(card, model.held_out))
    return model
