"""Features of real samples, computed once and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ....models.loaders.reading import reading
from ....models.loaders.user_files import difference_of, file_hash
from ....models.reference import Extractor, FloatArray
from ....results.run_directory.disk.files import read_npz, write_npz
from ...identity import Fingerprint, difference, extractor_fingerprint
from ...metrics.estimators.moments import Moments
from ...sampling.shard import clamp
from .data import RealData

MADE_BY = "made_by"
"""Array of cached features with the fingerprint of their extractor."""
OPENED = "opened"
"""Array with the files opened meanwhile; if they change, so does the extractor."""

Limits = tuple[float, float] | None


class Measured(NamedTuple):
    """Features of real samples.

    Attributes:
        mean: ``(d,)`` of the reference set.
        cov: ``(d, d)``.
        held_out: ``(m, d)`` of other samples.
        data: name and hash of the samples.
    """

    mean: FloatArray
    cov: FloatArray
    held_out: FloatArray
    data: str


def measured(extractor: Extractor, real: RealData, limits: Limits, cache: Path) -> Measured:
    """Return the moments of real samples' features, and the features of held-out ones, cached by
    extractor.
    """
    data = _name_with_digest(real.name, *real[:2])

    def make() -> dict[str, np.ndarray]:
        moments = Moments.of(extractor(clamp(real.reference, limits)[0]))
        held_out = extractor(clamp(real.held_out, limits)[0])
        return {"mean": moments.mean, "cov": moments.cov, "held_out": held_out}

    event = tuple(real.reference.shape[1:])
    stored = _cache(extractor, event, limits, cache, data, make)
    return Measured(stored["mean"], stored["cov"], stored["held_out"], data)


def features_of(
    extractor: Extractor, samples: Tensor, name: str, limits: Limits, cache: Path
) -> FloatArray:
    """Return the features ``(n, d)`` of real samples, cached by extractor."""

    def make() -> dict[str, np.ndarray]:
        return {"features": extractor(clamp(samples, limits)[0])}

    event, data = tuple(samples.shape[1:]), _name_with_digest(name, samples)
    return _cache(extractor, event, limits, cache, data, make)["features"]


def _name_with_digest(name: str, *parts: Tensor) -> str:
    """Return a name for samples with a digest of their values."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    return f"{name}-{digest.hexdigest()[:16]}"


def _cache(
    extractor: Extractor,
    event: tuple[int, ...],
    limits: Limits,
    cache: Path,
    data: str,
    make: Callable[[], dict[str, np.ndarray]],
) -> Mapping[str, np.ndarray]:
    """Return the result of ``make``, from the cache if this extractor made the stored one."""
    name = hashlib.sha256(f"{data} {extractor.identity} {limits}".encode()).hexdigest()[:16]
    path, now = cache / f"features-{name}.npz", extractor_fingerprint(extractor, event, limits)
    stored = read_npz(path)
    if stored is None or _is_outdated(stored, now):
        with reading() as recorder:
            stored = make()
        opened = {file: file_hash(file) or "" for file in sorted(recorder.paths)}
        about = {MADE_BY: now.to_json(), OPENED: opened}
        write_npz(path, stored | {name: np.array(json.dumps(it)) for name, it in about.items()})
    return stored


def _is_outdated(stored: Mapping[str, np.ndarray], now: Fingerprint) -> bool:
    """Return True if cached features cannot be shown to come from an extractor that equals the
    present one.
    """
    try:
        before = Fingerprint.from_json(json.loads(str(stored[MADE_BY])))
        opened = json.loads(str(stored[OPENED])) if OPENED in stored else {}
        return bool(difference(before, now) or difference_of(Path(), opened))
    except (KeyError, ValueError, AttributeError):
        return True
