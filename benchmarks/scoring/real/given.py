"""Reference from precomputed statistics: the moments, and all else in their file.

Fréchet distances need the moments only. Comparisons of samples with samples (the kernel distance,
precision and recall) need features of real ones, stored in the file or from its images. The floor
needs real samples outside the moments, so no such file gives it. The reference is the fixed truth,
as in published numbers: neither the size of its set nor its noise enters an estimate or an error.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....models import Denoiser, Reference
from ....models.reference import Extractor, FloatArray, Statistics
from .features import features_of
from .reading import read_array
from .statistics import RealStatistics, StatisticsFile


def given_reference(
    file: StatisticsFile, known: RealStatistics, model: Denoiser, extractor: Extractor, cache: Path
) -> Reference:
    """Return the reference of a model's samples from a file of statistics.

    Args:
        file: of the statistics.
        known: statistics of the extractor's features (:meth:`.StatisticsFile.of`).
        model: of the samples.
        extractor: gives their features.
        cache: folder for features of the file's images.
    """
    path, features = file.path, known.features
    fits = model.decoded_limits is not None and file.has_images_of(model.decoded_event)

    def held_out(n: int) -> FloatArray:
        if features is not None:
            return features[_spread(len(features), n)].astype(np.float64)
        if not fits:
            return np.empty((0, extractor.dim))
        some = read_array(path, model.decoded_event, model.decoded_limits, n)
        return features_of(extractor, some, path.name, model.decoded_limits, cache)

    statistics = Statistics(known.mean, known.cov, held_out)
    return Reference(
        extractor,
        known.n,
        f"{path.name}-{_hash(path)}-{extractor.identity}",
        lambda: statistics,
        clamp=model.decoded_limits,
        disjoint=features is None and not fits,
        note=f"{path.name} {_note(file, known, fits)}",
    )


def _note(file: StatisticsFile, known: RealStatistics, fits: bool) -> str:
    """Describe the metrics that cannot be measured, and the reason."""
    if known.features is not None or fits:
        data = "the features" if known.features is not None else "images"
        lacks = f"has {data} that its moments were made of, none beside them: no floor"
    else:
        other = " of the model's size" if file.images else ""
        lacks = f"has moments and no real samples{other}: no kid, precision, recall and their like, no floor"
    unknown = "" if known.n else ", and of how many samples they are is not said"
    return f"{lacks}; the noise of its moments is in no error{unknown}"


def _spread(available: int, n: int) -> NDArray[np.int_]:
    """Return places of ``n`` samples, or of all, evenly: classes may stand together."""
    return np.linspace(0, available - 1, min(n, available)).round().astype(int)


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
