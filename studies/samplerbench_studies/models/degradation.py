"""Degradations D(x, s) of cold diffusion (Bansal et al. 2022, arXiv:2208.09392), and noise.

D(x, 0) = x. D(x, 1) contains no information on x, except its mean brightness for some. D is
continuous in the severity s and affine in x. Some degradations need a *companion*, drawn once for
each picture and fixed while the severity changes: the picture to blend with, or the order in which
snow covers pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from samplerbench.models import load_card

SIDE = 28


class Degradation(ABC):
    """Interface of a degradation, which removes information from pictures."""

    @abstractmethod
    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """Return D(x, s), in the dtype of ``x``.

        Args:
            x: pictures ``(n, C, side, side)``, in [-1, 1].
            severity: s in [0, 1], ``(n,)`` or a scalar, in the dtype of ``x``.
            companion: companions ``(n, ...)`` drawn by :meth:`companions`.
        """

    def companions(self, n: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return companions of ``n`` pictures, ``(n, ...)`` float32; by default ``(n, 0)``."""
        return torch.zeros(n, 0)


@dataclass(frozen=True)
class Separable(Degradation):
    """Linear degradation D(x, s) = A(s) x A(s)ᵀ, the same for columns and rows.

    Attributes:
        matrix: function from severities ``(n,)`` to matrices ``(n, side, side)`` of the same dtype.
    """

    matrix: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:  # noqa: ARG002
        """See :meth:`Degradation.__call__`."""
        a = self.matrix(severity.expand(len(x)))[:, None]
        return a @ x @ a.mT


def blur_matrix(severity: Tensor, side: int = SIDE, finest: float = 0.5, widest: float = 40.0):
    """Return matrices of Gaussian blur along an axis with mirrored ends, ``(n, side, side)``.

    The standard deviation is ``finest`` ((1 + widest / finest)^s - 1) pixels: 0 at s = 0, about 4.0
    at 1/2, and ``widest`` at 1, where everything but the mean is scaled below 1e-4. The
    eigenvectors are cosines (DCT-II).
    """
    width = finest * ((1 + widest / finest) ** severity - 1)
    k = torch.arange(side, dtype=severity.dtype)
    cosines = torch.cos(math.pi / side * k[:, None] * (k + 0.5)) * math.sqrt(2 / side)
    cosines[0] *= math.sqrt(0.5)
    kept = torch.exp(-0.5 * (math.pi / side * k * width[:, None]) ** 2)
    return cosines.T @ (kept[:, :, None] * cosines)


def pixel_matrix(severity: Tensor, side: int = SIDE) -> Tensor:
    """Return matrices of means over centred blocks of 1, 2, 4 … pixels, ``(n, side, side)``.

    The sizes are at equal distances in s; in between, two neighbouring sizes are mixed. A block of
    the last size contains all pixels. Each block consists of two of the size before, so no
    information returns.
    """
    doublings = math.ceil(math.log2(side))
    place = (torch.arange(side) + (2**doublings - side) // 2)[:, None]
    sizes = []
    for k in range(doublings + 1):
        same = (place // 2**k == place.T // 2**k).to(severity.dtype)
        sizes.append(same / same.sum(dim=1, keepdim=True))
    levels = torch.stack(sizes)
    below = (severity * doublings).floor().clamp(0, doublings - 1)
    share = (severity * doublings - below)[:, None, None]
    return torch.lerp(levels[below.long()], levels[below.long() + 1], share)


@dataclass(frozen=True)
class Mask(Degradation):
    """Disc of mid-grey (0) that grows from the centre until it covers the picture.

    Attributes:
        edge: width of its soft edge, in pixels.
    """

    edge: float = 2.0

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:  # noqa: ARG002
        """See :meth:`Degradation.__call__`."""
        line = torch.arange(x.shape[-1], dtype=x.dtype) - (x.shape[-1] - 1) / 2
        distance = torch.hypot(line[:, None], line)
        radius = severity.expand(len(x)) * (distance.max() + self.edge)
        covered = (radius[:, None, None, None] - distance) / self.edge
        return x * (1 - covered.clamp(0, 1))


@dataclass(frozen=True)
class Snow(Degradation):
    """White flakes that cover more and more of a picture.

    The companion is the severity at which each pixel is covered, uniform in [0, 1].

    Attributes:
        edge: range of severities in which a pixel turns white.
        flake: standard deviation of the blur that turns single pixels into flakes.
    """

    edge: float = 0.15
    flake: float = 0.8

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """See :meth:`Degradation.__call__`."""
        reach = severity.expand(len(x))[:, None, None, None] * (1 + self.edge)
        covered = ((reach - companion.to(x.dtype)) / self.edge).clamp(0, 1)
        return x + covered * (1 - x)

    def companions(self, n: int, generator: torch.Generator) -> Tensor:
        """Return ranks of smooth noise, ``(n, 1, side, side)``."""
        smooth = blur_matrix(torch.ones(1), finest=self.flake, widest=self.flake)[0]
        noise = smooth @ torch.randn(n, 1, SIDE, SIDE, generator=generator) @ smooth.T
        scale = torch.outer(smooth.norm(dim=1), smooth.norm(dim=1))
        return torch.special.ndtr(noise / scale)


@dataclass(frozen=True)
class Blend(Degradation):
    """Blend D(x, s) = (1 - s) x + s z with another picture z, the companion.

    If z is standard normal, this is ordinary diffusion at noise level s / (1 - s).

    Attributes:
        others: function of (n, generator) that draws n pictures ``(n, 1, side, side)`` float32.
    """

    others: Callable[[int, torch.Generator], Tensor]

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """See :meth:`Degradation.__call__`."""
        s = severity.expand(len(x)).reshape(-1, *(1 for _ in x.shape[1:]))
        return (1 - s) * x + s * companion.to(x.dtype)

    def companions(self, n: int, generator: torch.Generator) -> Tensor:
        """Return other pictures ``(n, 1, side, side)``."""
        return self.others(n, generator)


def handwritten(n: int, generator: torch.Generator) -> Tensor:
    """Return handwritten digits ``(n, 1, side, side)`` float32 in [-1, 1].

    They are drawn from the card ``digits-cloud`` with replacement, and enlarged from 8 x 8 pixels.
    """
    pixels = load_card("digits-cloud").tensors()["pixels"]
    chosen = pixels[torch.randint(len(pixels), (n,), generator=generator)].float() / 8 - 1
    return F.interpolate(chosen, size=(SIDE, SIDE), mode="bilinear")


def white_noise(n: int, generator: torch.Generator) -> Tensor:
    """Return standard normal pixels, ``(n, 1, side, side)`` float32."""
    return torch.randn(n, 1, SIDE, SIDE, generator=generator)


DEGRADATIONS: Mapping[str, Degradation] = {
    "blur": Separable(blur_matrix),
    "mask": Mask(),
    "noise": Blend(white_noise),
    "blend": Blend(handwritten),
    "snow": Snow(),
    "pixels": Separable(pixel_matrix),
}
"""Degradations of pictures of 28 x 28 pixels, by name."""
