"""What the samples of each model are scored against: the model's own reference, or one in the feature space that a suite names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..models import Denoiser, Reference
from ..models.extractors import make_extractor
from ..models.projection import projected
from ..models.reference import MOST_OUTSIDE, Extractor, Identity, Statistics
from ..results.files import read_npz, write_npz
from .gits import default_cache
from .metrics.moments import FloatArray, Moments
from .real_data import HELD_OUT_SEED, RealData, real_data
from .sampling import clamp

Made = TypeVar("Made")

CARD = "card"
"""The extractor that leaves each model its own; ``card:32`` reduces that to 32 features."""


def load_references(
    models: Mapping[str, Denoiser], extractor: str | Mapping[str, str] = CARD, real: str | None = None, cache: Path | None = None
) -> dict[str, Reference | None]:
    """What the samples of each model are scored against; made once, since it can cost tens of thousands of samples.

    Args:
        models: by name.
        extractor: feature space, of all models or by name; ``card`` leaves each model its own, ``card:N`` its first N axes
            (:mod:`samplerbench.models.projection`), others are those of :func:`.make_extractor`.
        real: where real samples come from in another feature space (:func:`.real_data`).
        cache: folder where features of real samples are kept; None for the default one.

    Raises:
        ValueError: a user's model cannot give its samples or moments, or there is no such extractor, or nothing to compare with.
    """
    references = {}
    for name, model in models.items():
        own = _tried(name, model.reference)
        spec = extractor if isinstance(extractor, str) else extractor[name]
        chosen = own if spec == CARD else _rescored(model, own, spec, real, cache or default_cache())
        references[name] = None if chosen is None else _tried(name, chosen.loaded)  # now, not at the end of a run
    return references


def _tried(name: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except Exception as error:  # of a user's model
        raise ValueError(f"model {name}: its reference cannot be made ({type(error).__name__}: {error})") from error


def _rescored(model: Denoiser, own: Reference | None, spec: str, real: str | None, cache: Path) -> Reference:
    """The reference of a model in another feature space."""
    limits = model.limits
    try:
        if spec.startswith(f"{CARD}:"):
            return _reduced(own, spec)
        extractor = make_extractor(spec, model.event, limits)
    except ValueError as error:
        raise ValueError(f"--extractor on model {model.name}: {error}") from error
    if real is None and isinstance(extractor, Identity):
        exact = own if own is not None and isinstance(own.extractor, Identity) else _of_moments(model, own, extractor)
        if exact is not None:
            return exact
    data = real_data(model, real)
    if real is not None:
        _check_range(data, limits, real)
    return _measured(extractor, data, limits, cache)


def _reduced(own: Reference | None, spec: str) -> Reference:
    """A model's own reference in its first axes.

    Raises:
        ValueError: ``spec`` has no number, or the model no reference, or no axes are known for its features.
    """
    count = spec.removeprefix(f"{CARD}:")
    if not (count.isascii() and count.isdigit() and 0 < int(count) < 10**6):
        raise ValueError(f"{spec!r} asks for no number of features; write {CARD}:N with a whole number, such as {CARD}:32")
    if own is None:
        raise ValueError(f"{spec!r} reduces the model's own features, and it has none; use another extractor, such as pixels")
    return projected(own, int(count))


def _check_range(data: RealData, limits: tuple[float, float] | None, source: str) -> None:
    """Refuse images in another range than the model's, which clamping would make black and white.

    Raises:
        ValueError: more than :data:`.MOST_OUTSIDE` of the values lie outside.
    """
    outside = clamp(data.reference, limits)[1]
    if limits is not None and outside > MOST_OUTSIDE:
        raise ValueError(
            f"{outside:.0%} of the values of --real {source} are outside the data's range [{limits[0]:g}, {limits[1]:g}]; scale them to it"
        )


def _of_moments(model: Denoiser, own: Reference | None, extractor: Identity) -> Reference | None:
    """A reference in pixels from the moments that a model knows of its data; None if it knows none.

    A model that draws its data has held-out samples too, and no range: its moments are those of values that were never clamped.
    """
    moments = model.moments()
    if moments is None or own is None:
        return None
    means, within = np.atleast_2d(moments[0]), moments[1]
    if len(means) > 1 and model.class_weights is None:
        return None
    weights = np.ones(1) if len(means) == 1 else np.asarray(model.class_weights, float)
    weights /= weights.sum()
    mean = weights @ means
    cov = within + (means - mean).T @ ((means - mean) * weights[:, None])
    identity = f"moments-{hashlib.sha256(mean.tobytes() + cov.tobytes()).hexdigest()[:16]}"
    drawn = model.data(1, HELD_OUT_SEED) is not None

    def held_out(n: int) -> FloatArray:
        samples = model.data(n, HELD_OUT_SEED) if drawn else None
        return np.empty((0, extractor.dim)) if samples is None else extractor(samples)

    statistics = Statistics(mean, cov, held_out)
    return Reference(extractor, None if drawn else own.n, identity, lambda: statistics, clamp=None if drawn else own.clamp)


def _measured(extractor: Extractor, real: RealData, limits: tuple[float, float] | None, cache: Path) -> Reference:
    """The moments of real samples' features, and the features of held-out ones, from the cache if they are there."""
    digest = hashlib.sha256()
    for part in real[:2]:
        digest.update(repr(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    data = f"{real.name}-{digest.hexdigest()[:16]}"
    path = cache / f"features-{hashlib.sha256(f'{data} {extractor.identity} {limits}'.encode()).hexdigest()[:16]}.npz"
    stored = read_npz(path)
    if stored is None:
        moments = Moments.of(extractor(clamp(real.reference, limits)[0]))
        stored = {"mean": moments.mean, "cov": moments.cov, "held_out": extractor(clamp(real.held_out, limits)[0])}
        write_npz(path, stored)
    statistics = Statistics(stored["mean"], stored["cov"], lambda n: stored["held_out"][:n])
    return Reference(extractor, len(real.reference), f"{data}-{extractor.identity}", lambda: statistics, clamp=limits)
