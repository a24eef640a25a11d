"""``perturbed:MODEL``: a model plus a fixed smooth random field, an error of known size.

The data, the exact flow and the perturbed flow are all known. So one can measure whether a coarse
solution of the perturbed model's ODE can be better than its exact solution.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..checkpoints.specification import is_number
from ..denoiser import Denoiser, Pair, innermost_model, level_per_row
from ..exact.base import CHUNK, ExactModel, copy_on_device, pad_rows, row_stable_matmul
from ..exact.probability_flow import flow_states
from ..guidance import AlteringWrapper
from . import loader


@loader("perturbed", usage="perturbed:MODEL")
def load(
    rest: str,
    delta: float = 0.1,
    length: float = 0.5,
    seed: int = 0,
    spread: float | None = None,
    **options: Any,
) -> Perturbed:
    """Return the model called ``rest``, with an error of known size added.

    Args:
        rest: name of the inner model, the text after ``perturbed:``.
        delta: size of the error in standard deviations of the posterior, >= 0.
        length: correlation length of the error in standard deviations of the noisy data, > 0.
        seed: seed of the error, >= 0.
        spread: standard deviation of the data, root mean square over the dimensions; None for the inner model's own.
        **options: options of the inner model.

    Raises:
        ValueError: the inner model is unknown, an option is unknown or invalid, or the spread of the data is neither
            given nor known.
    """
    from ..registry import make_model

    try:
        inner = make_model(rest, **options)
    except ValueError as error:
        if not options:
            raise
        raise ValueError(
            f"perturbed: {error} (perturbed itself takes delta, length, seed and spread)"
        ) from error
    return Perturbed(
        inner, delta, _default_spread(inner) if spread is None else spread, length=length, seed=seed
    )


def _default_spread(model: Denoiser) -> float:
    from ..cards.network import NetworkDenoiser, NetworkFlow

    if isinstance(model, ExactModel):
        return math.sqrt(float(np.mean(np.diag(model.moments()[1]))))
    if isinstance(model, NetworkDenoiser | NetworkFlow):
        return float(model.card.architecture["sigma_data"])
    raise ValueError(
        f"perturbed: the data of model {model.name} have no known standard "
        "deviation per dimension; give it as spread=1.0"
    )


FEATURES = 64


class RandomField:
    """Smooth random field of mean square 1 in each dimension, by random Fourier features.

        f_i = sqrt(2 / M) sum_m A_mi cos(w_m · x / r + v_m log r + phi_m)

    with M = 64, r = sqrt(sigma^2 + spread^2), signs A, w ~ N(0, I / (d length^2)), v ~ N(0, 1) and
    uniform phases phi (Rahimi and Recht, NIPS 2007). The field's correlation between x and x' is
    about exp(-|x - x'|^2 / (2 d (length r)^2)). |f_i| <= sqrt(2 M).
    """

    def __init__(self, dim: int, spread: float, length: float, seed: int) -> None:
        rng = np.random.default_rng((seed, dim))
        self.spread = spread
        waves = rng.standard_normal((dim, FEATURES)) / (math.sqrt(dim) * length)
        clock = rng.standard_normal(FEATURES)
        phase = rng.uniform(0, 2 * math.pi, FEATURES)
        signs = rng.choice([-1.0, 1.0], (FEATURES, dim)) * math.sqrt(2 / FEATURES)
        arrays = (waves, clock, phase, signs)
        self._waves, self._clock, self._phase, self._signs = map(torch.from_numpy, arrays)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the field ``(n, d)`` at states ``(n, d)`` and levels ``(n,)``, row by row."""
        if not len(x):
            return torch.zeros_like(x)
        parts = [
            self._rows(pad_rows(rows), pad_rows(level))
            for rows, level in zip(x.split(CHUNK), sigma.split(CHUNK), strict=True)
        ]
        return torch.cat(parts)[: len(x)]

    def _rows(self, x: Tensor, sigma: Tensor) -> Tensor:
        r = torch.sqrt(sigma * sigma + self.spread**2)[:, None]
        return row_stable_matmul(
            torch.cos(row_stable_matmul(x / r, self._waves) + self._clock * r.log() + self._phase),
            self._signs,
        )


NEAR = 1e-6
"""Ratio of level to the model's scale at which d replaces x(0), with an error of order sigma^2."""


class Perturbed(AlteringWrapper):
    """Model whose denoiser is off by ``delta`` posterior standard deviations.

        d' = d + delta g(sigma) f(x, sigma),     g = sigma spread / sqrt(sigma^2 + spread^2)

    d is the inner model's denoised image, f a :class:`RandomField`, and g the posterior standard
    deviation of data N(m, spread^2 I). g is also the scale c_out of a network's output in EDM's
    preconditioning (Karras et al. 2022, arXiv:2206.00364, Table 1), so delta is the root mean
    square error of the raw output. As sigma falls to 0, d' tends to x, while eps = (x - d') / sigma
    keeps an error of size delta. Samples are scored against the inner model's data. A number that
    is out of range raises a ValueError.

    Args:
        inner, delta: any model, and the size of its error, >= 0.
        spread: standard deviation of the data in a dimension, > 0.
        length: correlation length in standard deviations of the noisy data, > 0.
        seed: seed of the field, >= 0.
    """

    def __init__(
        self, inner: Denoiser, delta: float, spread: float, *, length: float = 0.5, seed: int = 0
    ) -> None:
        _check_option("delta", delta, "a number >= 0", is_number(delta) and 0 <= delta < math.inf)
        for name, value in (("spread", spread), ("length", length)):
            _check_option(name, value, "a number > 0", is_number(value) and 0 < value < math.inf)
        _check_option("seed", seed, "a whole number >= 0", isinstance(seed, int) and seed >= 0)
        super().__init__(
            inner, f"delta={delta:.15g},spread={spread:.15g},length={length:.15g},seed={seed}"
        )
        self.name, self.identity = f"perturbed:{inner.name}", f"perturbed:{self.identity}"
        self.delta, self.infinite = delta, False
        self._field = RandomField(math.prod(inner.event), spread, length, seed)

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's denoised images with the error added, in ``x``'s dtype."""
        return self.inner.denoise(x, sigma, labels) + self.error(x, sigma).to(x.dtype)

    def denoise_both(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Pair:
        """Return the inner model's guided and free images, with the same error added to both."""
        error = self.error(x, sigma).to(x.dtype)
        guided, free = self.inner.denoise_both(x, sigma, labels)
        return guided + error, free + error

    def error(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Return the error ``(batch, *event)`` float64 that :meth:`denoise` adds at ``x``."""
        level = level_per_row(sigma, x)
        spread = self._field.spread
        size = self.delta * spread * level / torch.sqrt(level * level + spread**2)
        return (size[:, None] * self._field(x.flatten(1).double(), level)).reshape(x.shape)

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:
        """Return the end of this model's flow, to about 1e-10; None if ``inner`` is not exact."""
        exact = innermost_model(self.inner)  # a counter, of the same identity, may be around it
        if not isinstance(exact, ExactModel) or self.inner.identity != exact.identity:
            return None
        scale = exact.scale
        levels = self.sigma_max, NEAR * scale
        near = flow_states(self.denoise, x.double(), labels, *levels, scale, exact.tolerance)
        return self.denoise(near, NEAR * scale, labels).to(x.dtype)

    def to(self, device: torch.device | str) -> Self:
        """Return a copy of this model, with the inner model and the field on ``device``."""
        twin = self.rewrapped(self.inner.to(device))
        twin._field = copy_on_device(self._field, device)
        return twin


def _check_option(name: str, value: object, wanted: str, valid: bool) -> None:
    if not valid:
        raise ValueError(f"perturbed: {name} must be {wanted}, got {value!r}")
