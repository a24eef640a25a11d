"""Wrapper of a user's extractor that checks its features and hashes its files."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..loaders.source_file import LoadedValue, with_default_dtype
from ..loaders.user_files import record_files
from ..reference import FloatArray

CHUNK = 64
"""Largest number of samples in a call of an extractor."""

_PROBES = 4


class CheckedExtractor:
    """Extractor of a user's file or of an installed package.

    ``identity`` consists of ``name`` and a hash of the extractor's files, so that results of two
    versions or sets of weights are never compared. Raises a ValueError if the loaded value is not
    callable, its features are not finite ``(n, dim)``, or a sample's features depend on its batch
    or differ between calls.
    """

    def __init__(
        self,
        loaded: LoadedValue,
        name: str,
        event: tuple[int, ...],
        limits: tuple[float, float] | None = None,
    ) -> None:
        self._call, self.read, self._default_dtype = loaded
        if not callable(self._call):
            problem = f"{name} returned {type(self._call).__name__}"
            raise ValueError(f"{problem}; it must return a callable from samples to features")
        self.space = str(getattr(self._call, "space", ""))
        self.identity = name  # until its files are known
        low, high = limits or (-1.0, 1.0)
        uniform = torch.rand(_PROBES, *event, generator=torch.Generator().manual_seed(0))
        noise = uniform * (high - low) + low
        with record_files() as files_read:  # weights may be loaded at the first call
            together, alone = self._features(noise.clone()), self._features(noise[:1].clone())
        self.read |= files_read.paths
        self.identity = f"{name}-{self.read.digest}"
        if not np.allclose(together[:1], alone, rtol=1e-3, atol=1e-4 * np.abs(together).max()):
            raise ValueError(
                f"extractor {self.identity} gave a sample other features in another batch, or at "
                "another time; put its network in eval mode, and seed what it draws"
            )
        self.dim = together.shape[1]

    def __call__(self, x: Tensor) -> FloatArray:
        """Return features ``(n, dim)`` float64; the user's code gets float32 copies of samples."""
        parts = [self._features(part.float().clone()) for part in x.split(CHUNK)] if len(x) else []
        return np.concatenate(parts) if parts else np.empty((0, self.dim))

    @torch.no_grad()
    def _features(self, x: Tensor) -> FloatArray:
        try:
            with with_default_dtype(self._default_dtype):
                result = self._call(x)
            result = result.detach().cpu() if isinstance(result, Tensor) else result
            features = np.asarray(result, dtype=np.float64)
        except Exception as error:
            raise ValueError(
                f"extractor {self.identity} raised {type(error).__name__} on "
                f"samples {tuple(x.shape)}: {error}"
            ) from error
        if features.ndim != 2 or len(features) != len(x):
            raise ValueError(
                f"extractor {self.identity} gave {features.shape} for "
                f"samples {tuple(x.shape)}; it must give (n, features)"
            )
        if not np.isfinite(features).all():
            raise ValueError(f"extractor {self.identity} gave features that are not finite")
        return features
