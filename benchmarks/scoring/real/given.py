"""A reference of statistics that somebody computed: the moments, and whatever else their file has.

Fréchet distances need the moments only. What compares samples with samples (the kernel distance,
precision and recall) needs features of real ones: those of the file, or of the images in it. The
floor, what as many real samples get, needs ones that the moments were not made of, so no such file
gives it. The size of the set behind the moments is in no estimate: the reference is the fixed
truth, as in published numbers, and its own noise is in no error.
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
from .statistics import Known, StatisticsFile


def given_reference(
    file: StatisticsFile, known: Known, model: Denoiser, extractor: Extractor, cache: Path
) -> Reference:
    """What the samples of a model are compared with.

    Args:
        file: that the statistics are from.
        known: those of the extractor's features (:meth:`.StatisticsFile.of`).
        model: whose samples.
        extractor: gives their features.
        cache: folder where features of the file's images are kept.
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


def _note(file: StatisticsFile, known: Known, fits: bool) -> str:
    """What cannot be measured, and why."""
    if known.features is not None or fits:
        what = "the features" if known.features is not None else "images"
        lacks = f"has {what} that its moments were made of, none beside them: no floor"
    else:
        other = " of the model's size" if file.images else ""
        lacks = f"has moments and no real samples{other}: no kid, precision, recall and their like, no floor"
    unknown = "" if known.n else ", and of how many samples they are is not said"
    return f"{lacks}; the noise of its moments is in no error{unknown}"


def _spread(available: int, n: int) -> NDArray[np.int_]:
    """Places of ``n`` of the samples, or of all, evenly: those of one class may stand together."""
    return np.linspace(0, available - 1, min(n, available)).round().astype(int)


def _hash(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
