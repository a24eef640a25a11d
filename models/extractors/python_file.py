"""Feature extractors by name: ``pixels``, ``inception:WEIGHTS``, or ``file.py:factory`` for one of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..loaders.reading import reading
from ..loaders.source_file import SourceFunction, digest_of, source_function
from ..reference import Extractor, FloatArray, Identity

CHUNK = 64
"""Samples that an extractor sees at a time."""

_PROBES = 4

NAMES = "pixels, inception:WEIGHTS or file.py:factory"


def make_extractor(spec: str, event: tuple[int, ...], clamp: tuple[float, float] | None) -> Extractor:
    """The extractor that ``spec`` names, for samples of one shape.

    Args:
        spec: ``pixels`` for the samples themselves; ``inception:WEIGHTS`` for the 2048 features of the FID, with the weights file of
            torch-fidelity (:mod:`.inception`); ``path/to/file.py:factory``, a function of the user's without arguments that
            returns a callable from samples ``(n, *event)`` to features ``(n, dim)``, tensors or arrays.
        event: shape of one sample.
        clamp: range of the data, which images are in when they come; None if there is none.

    Raises:
        ValueError: no such extractor or file, or one that makes no features of such samples.
    """
    if spec == "pixels":
        return Identity(event)
    if spec.startswith("inception:"):
        from .inception import Inception

        return Inception(Path(spec.removeprefix("inception:")), event, clamp)
    if ".py" in spec:
        return FileExtractor(source_function(spec, "extractor"), event, clamp)
    raise ValueError(f"unknown extractor {spec!r}; there are card (what the model's card names), card:32 (32 axes of that), {NAMES}")


class FileExtractor:
    """A user's extractor.

    Its identity has the hash of every file that it is made of, so that numbers of two versions are never compared, nor those of two sets
    of weights behind one text. What no file says is told by what it does (:mod:`samplerbench.benchmarks.fingerprint`).

    Args:
        source: the factory.
        event: shape of one sample.
        clamp: range of the data, or None.

    Raises:
        ValueError: the factory raises, or what it returns is no extractor: a sample's features depend on the others in its batch, or are
            other numbers each time.
    """

    def __init__(self, source: SourceFunction, event: tuple[int, ...], clamp: tuple[float, float] | None) -> None:
        self._call, self.read, _ = source.call()
        if not callable(self._call):
            raise ValueError(f"{source.called} returned {type(self._call).__name__}; it must return a callable from samples to features")
        self.identity = source.called  # until it is known what it reads
        low, high = clamp or (-1.0, 1.0)
        noise = torch.rand(_PROBES, *event, generator=torch.Generator().manual_seed(0)) * (high - low) + low
        with reading() as seen:  # weights may be loaded at the first call
            found, alone = self._features(noise.clone()), self._features(noise[:1].clone())
        self.read |= seen.paths
        self.identity = f"{source.called}-{digest_of(self.read)}"
        if not np.allclose(found[:1], alone, rtol=1e-3, atol=1e-4 * np.abs(found).max()):
            raise ValueError(
                f"extractor {self.identity} gave a sample other features in another batch, or at another time; "
                "put its network in eval mode, and seed what it draws"
            )
        self.dim = found.shape[1]

    def __call__(self, x: Tensor) -> FloatArray:
        """Features ``(n, dim)`` float64 of samples ``(n, *event)``, which come as float32 copies, on their device.

        Raises:
            ValueError: a feature is not finite, or there are not n rows of them.
        """
        parts = [self._features(part.float().clone()) for part in x.split(CHUNK)] if len(x) else []
        return np.concatenate(parts) if parts else np.empty((0, self.dim))

    @torch.no_grad()
    def _features(self, x: Tensor) -> FloatArray:
        try:
            found = self._call(x)
            features = np.asarray(found.detach().cpu() if isinstance(found, Tensor) else found, dtype=np.float64)
        except Exception as error:
            raise ValueError(f"extractor {self.identity} raised {type(error).__name__} on samples {tuple(x.shape)}: {error}") from error
        if features.ndim != 2 or len(features) != len(x):
            raise ValueError(f"extractor {self.identity} gave {features.shape} for samples {tuple(x.shape)}; it must give (n, features)")
        if not np.isfinite(features).all():
            raise ValueError(f"extractor {self.identity} gave features that are not finite")
        return features
