"""References for scoring: a model's own, or one in the feature space that a suite chooses."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...models.denoiser import Denoiser
from ...models.reference import Extractor, Identity, Reference, Statistics
from ...results.run_directory.behaviour_fingerprint import hash_of
from ..identity.model import MANY_ROWS, runs_users_code
from ..identity.reduced_numbers import reduce_row
from ..metrics.estimators.rows import FloatArray
from ..planning.cache import default_cache

if TYPE_CHECKING:
    from .statistics_files import RealStatistics, StatisticsFile

Made = TypeVar("Made")

CARD = "card"
"""Extractor name for each model's own feature space."""
PIXELS = "pixels"
"""Extractor name for the samples themselves, the default of small models without own features."""
STEP = 1e-7
"""Rounding of a user's numbers before they are hashed, as a share of the largest number."""
LARGEST_OWN = 4096
"""Most values of a sample for :data:`PIXELS` by default, as larger covariances take gigabytes."""


def load_references(
    models: Mapping[str, Denoiser],
    extractor: str | Mapping[str, str] = CARD,
    source: str | None = None,
    cache: Path | None = None,
) -> dict[str, Reference | None]:
    """Return the reference of each model by name; None for a model without one.

    Call it once, since it can cost tens of thousands of samples.

    Args:
        models: models by name.
        extractor: feature space of all models, or one per model by name. ``card`` is a model's own
            space. If a small model has no own space but draws its data, ``card`` means ``pixels``.
            For other names see :func:`.make_extractor`.
        source: source of real samples (:func:`.load_real_data`) or of their statistics
            (:func:`.read_statistics`), for feature spaces other than ``card``.
        cache: folder for features of real samples; None for the default folder.

    Raises:
        ValueError: a model's data or the real samples cannot be read, or no extractor has the name.
    """
    references = {}
    for name, model in models.items():
        own = _call_of_model(name, model.reference)
        spec = extractor if isinstance(extractor, str) else extractor[name]
        space, chosen = _choose_feature_space(name, model, own, spec), own
        if space != CARD:
            chosen = _reference_in_space(model, own, space, source, cache or default_cache())
        # loaded now, so that errors come before a run
        loaded = None if chosen is None else _call_of_model(name, chosen.load_statistics)
        if loaded is not None and runs_users_code(model):
            loaded = _call_of_model(name, partial(_pin_numbers, loaded))
        references[name] = loaded
    return references


def _pin_numbers(reference: Reference) -> Reference:
    """Return a user's reference with a hash of its moments and features in its identity."""
    some = (reference.mean, reference.cov.ravel(), reference.held_out(MANY_ROWS).ravel())
    values = np.array([x for part in some for x in reduce_row(part)])
    numbers = np.where(np.isfinite(values), values, 0.0)  # NaN and infinity fail a later check
    # rounded, since last digits depend on the machine
    steps = np.round(numbers / (np.abs(numbers).max(initial=0.0) or 1.0) / STEP).astype(int)
    return replace(reference, identity=f"{reference.identity} data {hash_of(steps.tolist())}")


def make_scoring_extractor(name: str, model: Denoiser, spec: str) -> Extractor | None:
    """Return the extractor of the reference that :func:`load_references` gives a model, or None."""
    own = _call_of_model(name, model.reference)
    space = _choose_feature_space(name, model, own, spec)
    if space == CARD:
        return own and own.extractor
    from ...models.extractors import Samples, make_extractor

    space_extractor = make_extractor(space, Samples(model.decoded_event, model.decoded_limits, own))
    return space_extractor.extractor if isinstance(space_extractor, Reference) else space_extractor


def _choose_feature_space(name: str, model: Denoiser, own: Reference | None, spec: str) -> str:
    """Return ``spec``; but PIXELS for CARD if ``own`` is None, and a small model draws its data."""
    if spec != CARD or own is not None or math.prod(model.decoded_event) > LARGEST_OWN:
        return spec
    from .real_data import HELD_OUT_SEED

    return spec if _call_of_model(name, lambda: model.data(1, HELD_OUT_SEED)) is None else PIXELS


def _call_of_model(name: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except Exception as error:  # a user's model can raise anything
        raise ValueError(
            f"model {name}: its reference cannot be made ({type(error).__name__}: {error})"
        ) from error


def _reference_in_space(
    model: Denoiser, own: Reference | None, spec: str, source: str | None, cache: Path
) -> Reference:
    """Return the reference of a model in the feature space ``spec``, which is not CARD."""
    from ...models.extractors import Samples, make_extractor
    from ...models.extractors.quantised import QuantisedExtractor

    samples = Samples(model.decoded_event, model.decoded_limits, own)
    try:
        extractor = make_extractor(spec, samples)
    except ValueError as error:
        raise ValueError(f"--extractor on model {model.name}: {error}") from error
    if isinstance(extractor, Reference):
        return extractor
    if isinstance(extractor, QuantisedExtractor):  # samples are quantised, real samples are not
        return extractor.reference(_reference_for(model, own, extractor.inner, source, cache))
    return _reference_for(model, own, extractor, source, cache)


def _reference_for(
    model: Denoiser, own: Reference | None, extractor: Extractor, source: str | None, cache: Path
) -> Reference:
    from .real_data import check_range, load_real_data, real_features
    from .real_files import evenly_spread_indices
    from .statistics_files import read_statistics

    limits, note = model.decoded_limits, ""
    if source is None and isinstance(extractor, Identity):
        if own is not None and isinstance(own.extractor, Identity):
            return own
        exact = _pixel_reference(model, own, extractor)
        if exact is not None:
            return exact
    file = read_statistics(source) if source is not None else None
    if file is not None:
        try:
            moments = file.choose_statistics(extractor, limits)
        except ValueError:
            if not file.images:
                raise
            note = (
                f"{file.path.name} has statistics of other features: the moments are of its images"
            )
        else:
            return _reference_of_statistics(file, moments, model, extractor, cache)
    data = load_real_data(model, source)
    if source is not None:
        check_range(data.reference, limits, f"--reference {source}")
    features, name = real_features(extractor, data, limits, cache)
    mean, cov, held_out = (features[key] for key in ("mean", "cov", "held_out"))
    # the model's own samples are in random order; files and data sets may be sorted by class
    places = slice if source is None else partial(evenly_spread_indices, len(held_out))
    statistics = Statistics(mean, cov, lambda n: held_out[places(n)])
    return Reference(
        extractor,
        len(data.reference),
        f"{name}{'' if source is None else '-spread'}-{extractor.identity}",
        lambda: statistics,
        clamp=limits,
        note=note,
    )


def _pixel_reference(
    model: Denoiser, own: Reference | None, extractor: Identity
) -> Reference | None:
    """Return a pixel reference with the exact moments of a model's data; None if unknown."""
    from .real_data import HELD_OUT_SEED

    moments = model.moments() if model.decoder is None else None
    if moments is None or own is None:
        return None
    means, within = np.atleast_2d(moments[0]), moments[1]
    if len(means) > 1 and model.class_weights is None:
        return None
    weights = np.ones(1) if len(means) == 1 else np.asarray(model.class_weights, float)
    weights = weights / weights.sum()
    mean = weights @ means
    cov = within + (means - mean).T @ ((means - mean) * weights[:, None])
    identity = f"moments-{hashlib.sha256(mean.tobytes() + cov.tobytes()).hexdigest()[:16]}"
    drawn = model.data(1, HELD_OUT_SEED) is not None

    def held_out(n: int) -> FloatArray:
        samples = model.data(n, HELD_OUT_SEED) if drawn else None
        return np.empty((0, extractor.dim)) if samples is None else extractor(samples)

    statistics = Statistics(mean, cov, held_out)
    return Reference(
        extractor,
        None if drawn else own.n,
        identity,
        lambda: statistics,
        clamp=None if drawn else own.clamp,
    )


def _reference_of_statistics(
    file: StatisticsFile, known: RealStatistics, model: Denoiser, extractor: Extractor, cache: Path
) -> Reference:
    """Return a reference with the statistics ``known`` of a file, which fit the extractor.

    Held-out features are features in the file, or features of its images. The moments include them,
    so ``disjoint`` is False, and there is no floor. If the file has neither, there are no held-out
    features. ``note`` names metrics without data.
    """
    from ...models.checkpoints.opening import hash_of_file
    from .real_data import features_of
    from .real_files import evenly_spread_indices, read_array

    path, features = file.path, known.features
    fits = model.decoded_limits is not None and file.has_images_of(model.decoded_event)

    def held_out(n: int) -> FloatArray:
        if features is not None:
            return features[evenly_spread_indices(len(features), n)].astype(np.float64)
        if not fits:
            return np.empty((0, extractor.dim))
        some = read_array(path, model.decoded_event, model.decoded_limits, n)
        return features_of(extractor, some, path.name, model.decoded_limits, cache)

    statistics = Statistics(known.mean, known.cov, held_out)
    return Reference(
        extractor,
        known.n,
        f"{path.name}-{hash_of_file(path)[:16]}-{extractor.identity}",
        lambda: statistics,
        clamp=model.decoded_limits,
        disjoint=features is None and not fits,
        note=f"{path.name} {_unmeasurable_in_words(file, known, fits)}",
    )


def _unmeasurable_in_words(file: StatisticsFile, known: RealStatistics, fits: bool) -> str:
    """Return words on metrics that ``file`` cannot give; ``fits`` is True if its images fit."""
    if known.features is not None or fits:
        data = "the features" if known.features is not None else "images"
        lacks = f"has {data} that its moments were made of, none beside them: no floor"
    else:
        other = " of the model's size" if file.images else ""
        lacks = f"has moments and no real samples{other}: no kid, precision, recall and their like, no floor"
    unknown = "" if known.n else ", and of how many samples they are is not said"
    return f"{lacks}; the noise of its moments is in no error{unknown}"
