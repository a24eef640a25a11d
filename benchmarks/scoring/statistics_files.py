"""Precomputed statistics of real samples, moments or features, in the field's file formats.

| file | holds |
|---|---|
| EDM's ``.npz``, also MAR's and JiT's | ``mu``, ``sigma`` |
| this project's (``samplerbench reference``) | ``mu``, ``sigma``, ``extractor``, ``n`` |
| EDM2's ``.pkl`` | ``fid`` and ``fd_dinov2``, each with ``mu`` and ``sigma`` |
| ADM's ``VIRTUAL_*.npz`` | ``mu``, ``sigma``; ``mu_s``, ``sigma_s`` of spatial features; ``arr_0``, images |
| clean-fid's ``NAME_MODE_SPLIT_RES.npz`` | ``mu``, ``sigma``; ``feats`` in the file ``…_kid.npz`` |
| torch-fidelity's cache ``.pt`` | ``mu``, ``sigma``; or a tensor of features |
| score_sde's ``*_stats.npz`` | ``pool_3``, features |

All covariances are divided by N - 1, and few of the files store N. No code in a file is executed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_magic
from torch import Tensor

from ...models.checkpoints.opening import CheckpointError, open_checkpoint
from ...models.reference import Extractor, FloatArray
from ..metrics.estimators.rows import Moments
from .real_files import Limits, open_arrays, why_unreadable

INCEPTION = "inception-v3-2048"
"""Feature space of the FID: the original network with its original resizing."""
SPATIAL = "inception-v3-spatial-2023"
"""Feature space of ADM's sFID."""

_CLEAN_FID = re.compile(
    r"_(clean|legacy_tensorflow|legacy_pytorch)(_clip_vit_b_32)?_[a-z0-9+]+_(\d+|na)(_kid)?$"
)
_TORCH_FIDELITY = re.compile(
    r"-(inception-v3-compat|vgg16|clip-[a-z0-9-]+?|dinov2-vit-[a-z]-14)-(?:stat-fid|features)-(\w+)$"
)


@dataclass(frozen=True, eq=False)
class RealStatistics:
    """Statistics of real samples in one feature space; invalid moments raise a ValueError.

    Attributes:
        mean: ``(d,)`` float64.
        cov: ``(d, d)`` float64.
        n: number of samples; None if unknown.
        space: name of the feature space, such as :data:`INCEPTION`; "" if unknown.
        extractor: exact identity of the features (:func:`features_identity`); "" if unknown.
        features: features ``(n, d)`` of the same samples; None if only moments are known.
    """

    mean: FloatArray
    cov: FloatArray
    n: int | None = None
    space: str = ""
    extractor: str = ""
    features: np.ndarray | None = None

    def __post_init__(self) -> None:
        d = len(self.mean) if self.mean.ndim == 1 else 0
        if d == 0 or self.cov.shape != (d, d):
            raise ValueError(
                f"a mean of shape {self.mean.shape} and a covariance of shape {self.cov.shape} do "
                "not belong together"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.cov).all()):
            raise ValueError("the moments are not finite")
        if not np.allclose(self.cov, self.cov.T, rtol=1e-4, atol=1e-6 * np.abs(self.cov).max()):
            raise ValueError("the covariance is not symmetric")


@dataclass(frozen=True, eq=False)
class StatisticsFile:
    """Contents of a file: ``statistics`` of real samples, one for each feature space.

    ``images`` is the shape of the file's array of images ``arr_0`` (ADM's); None without images.
    """

    path: Path
    statistics: tuple[RealStatistics, ...]
    images: tuple[int, ...] | None = None

    def choose_statistics(self, extractor: Extractor, limits: Limits) -> RealStatistics:
        """Return the first statistics that fit an extractor's features of samples in ``limits``.

        They fit if they have as many features, and the same identity and space where these are
        known. Raises a ValueError if none fit.
        """
        name, dims = self.path.name, [len(each.mean) for each in self.statistics]
        exact, space = features_identity(extractor, limits), getattr(extractor, "space", "")
        fitting = [each for each in self.statistics if len(each.mean) == extractor.dim]
        if not fitting:
            raise ValueError(
                f"--reference {name} has statistics of {' and '.join(map(str, dims))} features, but "
                f"{extractor.identity} gives {extractor.dim}; give the extractor that it was made with"
            )
        right = [
            each
            for each in fitting
            if each.extractor in ("", exact) and ("" in (each.space, space) or each.space == space)
        ]
        if not right:
            origin = fitting[0].extractor or fitting[0].space
            raise ValueError(
                f"--reference {name} has statistics of {origin}, but the features are those of "
                f"{exact if fitting[0].extractor else space}, and distances between two feature "
                "spaces mean nothing; give the extractor that it was made with"
            )
        return right[0]

    def has_images_of(self, event: tuple[int, ...]) -> bool:
        """Return True if the file has images of the shape ``event`` (channels, h, w)."""
        if self.images is None or len(event) != 3:
            return False
        channels, height, width = event
        grey = channels == 1 and self.images[1:] == (height, width)
        return grey or self.images[1:] == (height, width, channels)


def features_identity(extractor: Extractor, limits: Limits) -> str:
    """Return text that identifies an extractor's features of samples in the range ``limits``."""
    if made_of := getattr(extractor, "made_of", ""):
        return made_of
    values = f" of values in [{limits[0]:g}, {limits[1]:g}]" if limits else ""
    return f"{extractor.identity}{values}"


def read_statistics(source: str) -> StatisticsFile | None:
    """Read the statistics in a file; None for a source without any, such as an array of samples.

    ``source`` is a value of ``--reference``. An ``.npz`` that cannot be opened also gives None.
    Raises a ValueError for invalid statistics, or for a pickle or ``.pt`` file without any.
    """
    path = Path(source)
    if not path.is_file() or path.suffix not in (".npz", ".pkl", ".pickle", ".pt", ".pth"):
        return None
    try:
        return _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)
    except CheckpointError as error:
        raise ValueError(f"--reference: {error}") from None
    except Exception as error:  # a damaged file can raise anything
        words = why_unreadable(error)
        raise ValueError(
            f"--reference {path.name} has no statistics that can be used: {' '.join(words.split())}"
        ) from error


def _read_npz(path: Path) -> StatisticsFile | None:
    try:
        stored = open_arrays(path)
        keys = set(stored)
    except Exception:  # reading the samples reports the error
        return None
    with stored:
        if "mu" in keys and "sigma" in keys:
            return _read_moments(path, stored, keys)
        name = next((name for name in ("pool_3", "feats") if name in keys), None)
        if name is None:
            return None
        space = INCEPTION if name == "pool_3" else _clean_fid_space(_CLEAN_FID.search(path.stem))
        return StatisticsFile(path, (_statistics_of_features(stored[name], space),))


def _read_moments(path: Path, stored: Mapping[str, Any], keys: set[str]) -> StatisticsFile:
    """Read ``mu``, ``sigma`` and, if present, ADM's spatial statistics or clean-fid's features."""
    images = _stored_shape(path) if "arr_0" in keys else None
    spatial = {"mu_s", "sigma_s"} <= keys
    clean = _CLEAN_FID.search(path.stem)
    space = INCEPTION if images or spatial else _clean_fid_space(clean)
    kid_file = path.with_name(f"{path.stem}_kid.npz")
    features = open_arrays(kid_file)["feats"] if clean and kid_file.is_file() else None
    first = RealStatistics(
        *_float_moments(stored["mu"], stored["sigma"]),
        n=int(stored["n"]) if "n" in keys else None,
        space=space,
        extractor=str(stored["extractor"]) if "extractor" in keys else "",
        features=features,
    )
    if not spatial:
        return StatisticsFile(path, (first,), images)
    second = RealStatistics(*_float_moments(stored["mu_s"], stored["sigma_s"]), space=SPATIAL)
    return StatisticsFile(path, (first, second), images)


def _stored_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of ``arr_0`` without reading the array, which can take gigabytes."""
    with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as array:
        read_magic(array)
        return read_array_header_1_0(array)[0]


def _clean_fid_space(name: re.Match[str] | None) -> str:
    """Return the feature space in a file name of clean-fid; "" for other names (None)."""
    if name is None:
        return ""
    mode, clip = name[1].replace("_", "-"), name[2]
    if not clip and mode == "legacy-tensorflow":
        return INCEPTION
    return f"{'clip-vit-b-32' if clip else INCEPTION}-clean-fid-{mode}"


def _read_pickle(path: Path) -> StatisticsFile:
    """Read EDM2's pickle or torch-fidelity's cache, without executing code in the file."""
    value = open_checkpoint(path).value
    match = _TORCH_FIDELITY.search(path.stem)
    space = "" if match is None else _torch_fidelity_space(match[1], match[2])
    if isinstance(value, Tensor):
        return StatisticsFile(path, (_statistics_of_features(value.numpy(), space),))
    parts: Mapping[Any, Any] = value if isinstance(value, Mapping) else {}
    if {"mu", "sigma"} <= set(parts):
        parts = {space: parts}
    count = parts.get("num_images")
    n = None if count is None else int(count)
    spaces = {"fid": INCEPTION, "fd_dinov2": "dinov2-vit-l-14-edm2"}
    known = tuple(
        RealStatistics(
            *_float_moments(part["mu"], part["sigma"]), n, spaces.get(str(name), str(name))
        )
        for name, part in parts.items()
        if isinstance(part, Mapping) and {"mu", "sigma"} <= set(part)
    )
    if not known:
        raise ValueError(
            "statistics are mu and sigma, or a tensor of features; images go into a folder, .npy or .npz"
        )
    return StatisticsFile(path, known)


def _torch_fidelity_space(network: str, layer: str) -> str:
    if network == "inception-v3-compat":
        return INCEPTION if layer == "2048" else f"inception-v3-{layer}"
    return f"{network}-torch-fidelity"


def _float_moments(mean: Any, cov: Any) -> tuple[FloatArray, FloatArray]:
    return np.asarray(mean, np.float64), np.asarray(cov, np.float64)


def _statistics_of_features(features: np.ndarray, space: str) -> RealStatistics:
    if features.ndim != 2 or features.dtype.kind != "f" or len(features) < 2:
        raise ValueError(
            f"an array {features.shape} of {features.dtype} is no table (samples, features) of numbers"
        )
    moments = Moments.of(features)
    return RealStatistics(moments.mean, moments.cov, len(features), space, features=features)


def write_statistics(
    path: Path, features: FloatArray, extractor: Extractor, limits: Limits
) -> None:
    """Write the moments of ``features`` ``(n, d)`` for :func:`read_statistics` and EDM's scripts.

    The file is ``.npz`` with float64 ``mu`` ``(d,)`` and ``sigma`` ``(d, d)``, divided by n - 1. It
    also has ``n`` and ``extractor``, which other readers ignore.
    """
    moments = Moments.of(features)
    cov = moments.cov  # fails for one sample, before the file is opened
    with path.open("wb") as file:
        np.savez(
            file,
            mu=moments.mean,
            sigma=cov,
            n=moments.n,
            extractor=features_identity(extractor, limits),
        )
