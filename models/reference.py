"""What a model's samples are compared with: features, the moments of the truth in them, held-out and converged samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

FloatArray = NDArray[np.float64]
Moments = tuple[FloatArray, FloatArray]
"""Mean ``(d,)``, or means ``(classes, d)``, and covariance ``(d, d)`` of flattened samples."""


class Extractor(Protocol):
    """Maps samples to the feature space of the Fréchet distance."""

    identity: str
    """Name, preprocessing and content hash; a number is comparable only with numbers of the same identity."""
    dim: int
    """Number of features."""

    def __call__(self, x: Tensor) -> FloatArray:
        """Features ``(n, dim)`` of samples ``(n, *event)``."""
        ...


class Identity:
    """The samples themselves, flattened, as features (exact models)."""

    def __init__(self, event: tuple[int, ...]) -> None:
        self.dim = int(np.prod(event))
        self.identity = f"identity-{self.dim}"

    def __call__(self, x: Tensor) -> FloatArray:
        """``(n, *event)`` to ``(n, prod(event))`` float64."""
        return x.detach().cpu().double().reshape(len(x), -1).numpy()


@dataclass(frozen=True)
class Reference:
    """The truth about a model's data, in the feature space of ``extractor``.

    Attributes:
        extractor: maps samples to features.
        mean: ``(d,)`` float64 and
        cov: ``(d, d)`` float64, the moments of the reference set (or of the exact distribution).
        n: size of the reference set; None if the moments are exact.
        held_out: ``held_out(n)`` gives features ``(min(n, available), d)`` of real or exact samples that are not in the reference set:
            fewer than ``n`` rows where there are fewer, and none, ``(0, d)``, where the moments are all that is known of the truth.
        identity: data set, preprocessing, extractor and reference hash in one string.
        converged: ``(m, d)`` features of converged samples of the *same model*, from latents that no run uses; None: to be computed.
        clamp: data range that samples are clamped to before the extractor, or None.
    """

    extractor: Extractor
    mean: FloatArray
    cov: FloatArray
    n: int | None
    held_out: Callable[[int], FloatArray]
    identity: str
    converged: FloatArray | None = None
    clamp: tuple[float, float] | None = None

    @property
    def moments(self) -> Moments | None:
        """Those of the data, if the features are the samples themselves."""
        return (self.mean, self.cov) if isinstance(self.extractor, Identity) else None
