"""Wrappers that change the denoised image: static clipping and Imagen's dynamic thresholding."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Denoiser, Wrapper
from .reference import Reference


class Altered(Wrapper):
    """Base class of wrappers that change the denoised image: inner endpoints and converged samples
    do not hold for them.

    Args:
        inner: the model to wrap.
        what: the alteration in a word, such as ``guidance=2``; it becomes part of the name and of
            the identity.
    """

    def __init__(self, inner: Denoiser, what: str) -> None:
        super().__init__(inner)
        self.name = f"{inner.name}({what})"
        self.identity = f"{inner.identity}({what})"

    def endpoint(self, x: Tensor, labels: Tensor | None = None) -> Tensor | None:  # noqa: ARG002
        """Return None: only a solver finds the end."""
        return None

    def reference(self) -> Reference | None:
        """Return the inner model's data, without its converged samples."""
        reference = self.inner.reference()
        return None if reference is None else reference.of_another_model()


class Clipped(Altered):
    """Wrapper that clamps the denoised image to the data's range.

    Args:
        inner: the model to wrap.
        low, high: the range, low < high.

    Raises:
        ValueError: low >= high.
    """

    def __init__(self, inner: Denoiser, low: float = -1.0, high: float = 1.0) -> None:
        if not low < high:
            raise ValueError(f"clipping needs low < high, got {low} and {high}")
        super().__init__(inner, f"clip={low:.15g}:{high:.15g}")
        self.low, self.high = low, high

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's image, clamped."""
        return self.inner.denoise(x, sigma, labels).clamp_(self.low, self.high)


class DynamicThresholding(Altered):
    """Wrapper for Imagen's dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3), for
    data in [-1, 1].

    With s the given quantile of the magnitudes of d in one sample, but at least 1: clamp d to [-s,
    s] and divide it by s.

    Args:
        inner: the model to wrap.
        quantile: in (0, 1].

    Raises:
        ValueError: quantile outside (0, 1].
    """

    def __init__(self, inner: Denoiser, quantile: float = 0.995) -> None:
        if not 0 < quantile <= 1:
            raise ValueError(f"dynamic thresholding needs a quantile in (0, 1], got {quantile}")
        super().__init__(inner, f"threshold={quantile:.15g}")
        self.quantile = quantile

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the inner model's image, thresholded sample by sample."""
        d = self.inner.denoise(x, sigma, labels)
        s = torch.quantile(d.flatten(1).abs(), self.quantile, dim=1).clamp_(min=1.0)
        s = s.reshape(-1, *[1] * (d.ndim - 1))
        return d.clamp_(-s, s).div_(s)
