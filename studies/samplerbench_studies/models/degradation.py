"""Ways of removing the information in a picture, a little or all of it: the degradations
D(x, s) of cold diffusion (Bansal et al. 2022, arXiv:2208.09392), and noise beside them.

D(x, 0) = x, and D(x, 1) says nothing of x, or only how light it is on average. Between them D is
continuous in the severity s and affine in x. Some degradations need a *companion*, drawn once for
each picture and kept while the severity changes: what it is blended with, or where snow falls
first.
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
    """A way of removing information."""

    @abstractmethod
    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """D(x, s), in the dtype of ``x``.

        Args:
            x: pictures ``(n, C, side, side)``, in [-1, 1].
            severity: s in [0, 1], ``(n,)`` or a scalar, in the dtype of ``x``.
            companion: what :meth:`companions` drew, ``(n, ...)``.
        """

    def companions(self, n: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """What goes with each of ``n`` pictures, ``(n, ...)`` float32; nothing, ``(n, 0)``, unless
        a kind of degradation has something.
        """
        return torch.zeros(n, 0)


@dataclass(frozen=True)
class Separable(Degradation):
    """D(x, s) = A(s) x A(s)ᵀ, the same for columns and rows.

    Attributes:
        matrix: from severities ``(n,)`` to matrices ``(n, side, side)`` of their dtype.
    """

    matrix: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:  # noqa: ARG002
        """See :meth:`Degradation.__call__`."""
        a = self.matrix(severity.expand(len(x)))[:, None]
        return a @ x @ a.mT


def blur_matrix(severity: Tensor, side: int = SIDE, finest: float = 0.5, widest: float = 40.0):
    """Gaussian blur along an axis with mirrors at its ends, ``(n, side, side)``.

    Its standard deviation is ``finest`` ((1 + widest / finest)^s - 1) pixels: 0 at s = 0, about 4.0
    at 1/2, and ``widest`` at 1, where all but the mean is below 1e-4 of what it was. Cosines
    (DCT-II) are its eigenvectors.
    """
    width = finest * ((1 + widest / finest) ** severity - 1)
    k = torch.arange(side, dtype=severity.dtype)
    cosines = torch.cos(math.pi / side * k[:, None] * (k + 0.5)) * math.sqrt(2 / side)
    cosines[0] *= math.sqrt(0.5)
    kept = torch.exp(-0.5 * (math.pi / side * k * width[:, None]) ** 2)
    return cosines.T @ (kept[:, :, None] * cosines)


def pixel_matrix(severity: Tensor, side: int = SIDE) -> Tensor:
    """Means over blocks along an axis, ``(n, side, side)``: of 1, 2, 4 … pixels, centred, at equal
    distances in s, and in between a mixture of the two next to it.

    Blocks of the last size hold all pixels. Each size is made of two of the one before, so that
    nothing comes back.
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
    """A disc of mid-grey (0) that grows from the centre until it covers all.

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

    The companion is when each pixel is covered, uniform in [0, 1].

    Attributes:
        edge: from when to when a pixel whitens, in severities.
        flake: standard deviation of the blur that makes flakes of single pixels.
    """

    edge: float = 0.15
    flake: float = 0.8

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """See :meth:`Degradation.__call__`."""
        reach = severity.expand(len(x))[:, None, None, None] * (1 + self.edge)
        covered = ((reach - companion.to(x.dtype)) / self.edge).clamp(0, 1)
        return x + covered * (1 - x)

    def companions(self, n: int, generator: torch.Generator) -> Tensor:
        """Ranks of smooth noise, ``(n, 1, side, side)``."""
        smooth = blur_matrix(torch.ones(1), finest=self.flake, widest=self.flake)[0]
        noise = smooth @ torch.randn(n, 1, SIDE, SIDE, generator=generator) @ smooth.T
        scale = torch.outer(smooth.norm(dim=1), smooth.norm(dim=1))
        return torch.special.ndtr(noise / scale)


@dataclass(frozen=True)
class Blend(Degradation):
    """D(x, s) = (1 - s) x + s z with another picture z, the companion.

    With z from a Gaussian this is diffusion itself, at the noise level s / (1 - s).

    Attributes:
        others: from a number and a generator to as many pictures ``(n, 1, side, side)`` float32.
    """

    others: Callable[[int, torch.Generator], Tensor]

    def __call__(self, x: Tensor, severity: Tensor, companion: Tensor) -> Tensor:
        """See :meth:`Degradation.__call__`."""
        s = severity.expand(len(x)).reshape(-1, *(1 for _ in x.shape[1:]))
        return (1 - s) * x + s * companion.to(x.dtype)

    def companions(self, n: int, generator: torch.Generator) -> Tensor:
        """The other pictures."""
        return self.others(n, generator)


def handwritten(n: int, generator: torch.Generator) -> Tensor:
    """Handwritten digits in [-1, 1], ``(n, 1, side, side)`` float32, drawn from those of the card
    ``digits-cloud`` with replacement and enlarged from 8 x 8 pixels.
    """
    pixels = load_card("digits-cloud").tensors()["pixels"]
    chosen = pixels[torch.randint(len(pixels), (n,), generator=generator)].float() / 8 - 1
    return F.interpolate(chosen, size=(SIDE, SIDE), mode="bilinear")


def white_noise(n: int, generator: torch.Generator) -> Tensor:
    """Standard normal pixels, ``(n, 1, side, side)`` float32."""
    return torch.randn(n, 1, SIDE, SIDE, generator=generator)


DEGRADATIONS: Mapping[str, Degradation] = {
    "blur": Separable(blur_matrix),
    "mask": Mask(),
    "noise": Blend(white_noise),
    "blend": Blend(handwritten),
    "snow": Snow(),
    "pixels": Separable(pixel_matrix),
}
"""By name, for pictures of 28 x 28 pixels."""
