"""Fingerprints of models and feature extractors: outputs for fixed noise, and file hashes."""

from __future__ import annotations

import importlib.metadata
import math
import re
import sys
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from weakref import WeakKeyDictionary

import torch

from ...models.denoiser import Denoiser, wrapped_models
from ...models.loaders.source_file import imported_names
from ...models.loaders.user_files import (
    FilesRead,
    file_hash,
    is_users_file,
    module_file,
    record_files,
)
from ...models.networks import parameter_dtype
from ...models.reference import Extractor, Identity
from ...results.run_directory.behaviour_fingerprint import FILE, Fact, Fingerprint, Numbers
from ...samplers.noise import SampleNoise
from ...samplers.peers.locate import version_of_package
from .reduced_numbers import reduce_rows

_BASE = frozenset({__name__.partition(".")[0], "torch", "numpy"})
"""Packages that every run imports; their versions are in ``run.json``."""

LEVELS, ROWS, SEED = 5, 2, 0
PROBES = 4
LOUDER = 8.0  # range of the second noise for data without a range
MANY_ROWS, LARGE = 16, 1024
"""Number of samples at each level of a cell's grid, for samples of at most LARGE numbers."""
AT_LEVEL = "output for many samples at sigma "
"""Prefix of the names of a model's outputs at the levels of its cells, in its fingerprint."""

_ABSOLUTE = re.compile(
    r"(?<![\w.])(?:~|[A-Za-z]:)?[/\\](?:[^\s\"',;()/\\]+[/\\])+(?=[^\s\"',;()/\\])"
)


_first_fingerprints: WeakKeyDictionary[Denoiser, dict[str, Fingerprint]] = WeakKeyDictionary()


def first_fingerprint(model: Denoiser, device: str = "cpu") -> Fingerprint:
    """Return a model's fingerprint, made once per device.

    A second fingerprint could differ, since the model may cache files during the first.
    """
    by_device = _first_fingerprints.setdefault(model, {})
    if device not in by_device:
        by_device[device] = model_fingerprint(model, device)
    return by_device[device]


@torch.no_grad()
def model_fingerprint(model: Denoiser, device: str = "cpu") -> Fingerprint:
    """Return the fingerprint of an eager (not compiled) model, with its wrappers, on ``device``.

    It contains outputs for :data:`ROWS` samples at :data:`LEVELS` levels from sigma_max to
    sigma_min. It also contains hashes of the model's files, and of files that the model opens for
    these outputs. Exceptions of the model pass through.
    """
    ids, precision = torch.arange(ROWS, device=device), coarsest_dtype(model)
    values: dict[str, Numbers] = {}
    ratio = model.sigma_min / model.sigma_max
    inner = [model.sigma_max * ratio ** (i / (LEVELS - 1)) for i in range(1, LEVELS - 1)]
    with record_files() as recorder:
        bound = model.bind(ids, SEED)
        z = SampleNoise(SEED, ids, model.event, model.dtype).initial()
        for sigma in (model.sigma_max, *inner, model.sigma_min):
            values[f"output at sigma {sigma:.4g}"] = reduce_rows(
                bound(z * math.sqrt(1 + sigma * sigma), sigma), precision, device
            )
        if model.decoder is not None:
            values["decoded noise"] = reduce_rows(model.decode(z.float()), torch.float32, device)
    exact: dict[str, Fact] = {
        "identity": without_folders(model.identity),
        "event": str(tuple(model.event)),
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "number of classes": model.classes,
        "limits": str(model.limits),
        "evaluations a call": model.passes,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    if model.decoder is not None:
        exact["decoded event"] = str(tuple(model.decoder.event))
        exact["decoded limits"] = str(model.decoder.limits)
    if model.read is not None and runs_users_code(model):
        exact |= imported_package_versions(model.read.paths | recorder.paths)
    return Fingerprint(
        "model", without_folders(model.name), file_facts(model.read, recorder.paths) | exact, values
    )


def runs_users_code(model: Denoiser) -> bool:
    """Return True if a model calls a user's code, or code of an installed package."""
    return any(layer.users_code for layer in wrapped_models(model))


@torch.no_grad()
def outputs_at(
    model: Denoiser, levels: Iterable[float], dtype: torch.dtype, device: str
) -> dict[str, Numbers]:
    """Return outputs of a model for fixed noise: a short list of numbers by the name of each level.

    The outputs at a level are of the same :data:`MANY_ROWS` samples. If samples have more than
    :data:`LARGE` elements, they are of :data:`ROWS` samples, which differ between levels. States
    have ``dtype``, even if it is not the model's.
    """
    outputs, few = {}, math.prod(model.event) > LARGE
    precision = max(coarsest_dtype(model), dtype, key=lambda each: torch.finfo(each).eps)
    state = "" if dtype == model.dtype else f" in {str(dtype).removeprefix('torch.')}"
    for sigma in levels:
        # depends on this level alone, so that the other levels do not change the rows
        first = int(1e6 * math.log(sigma)) % (MANY_ROWS // ROWS) * ROWS if few else 0
        ids = torch.arange(first, first + (ROWS if few else MANY_ROWS), device=device)
        z = SampleNoise(SEED, ids, model.event, dtype).initial()
        d = model.bind(ids, SEED)(z * math.sqrt(1 + sigma * sigma), sigma)
        outputs[f"{AT_LEVEL}{sigma:.12g}{state}"] = reduce_rows(d[None], precision, device)
    return outputs


def file_facts(read: FilesRead | None, later: frozenset[str]) -> dict[str, Fact]:
    """Return {FILE + name: SHA-256} of the files in ``read`` and ``later``; {} without ``read``."""
    if read is None:
        return {}
    return {FILE + name: digest for name, digest in (read | later).hashes.items()}


def coarsest_dtype(model: Denoiser) -> torch.dtype:
    """Return the least precise dtype among a model's states and all of its networks."""
    dtypes = [model.dtype]
    for layer in wrapped_models(model):
        dtypes += [parameter_dtype(value) for value in vars(layer).values()]
        dtypes.append(getattr(layer, "network_dtype", None))
    return max(filter(None, dtypes), key=lambda dtype: torch.finfo(dtype).eps)


def without_folders(text: str) -> str:
    """Return a text without the folders of absolute paths, which differ between machines."""
    return _ABSOLUTE.sub("", text)


def extractor_fingerprint(
    extractor: Extractor,
    event: tuple[int, ...],
    limits: tuple[float, float] | None,
    device: str = "cpu",
) -> Fingerprint:
    """Return the fingerprint of an extractor: its features of :data:`PROBES` samples of noise.

    The fingerprint of a user's extractor also has features of :data:`MANY_ROWS` other samples, with
    larger values if ``limits`` is None. An ``Identity``, whose features are the samples, has none.
    Exceptions of the extractor pass through.
    """
    identity = without_folders(extractor.identity)
    exact: dict[str, Fact] = {
        "identity": identity,
        "dim": extractor.dim,
        "event": str(tuple(event)),
        "limits": str(limits),
    }
    if isinstance(extractor, Identity):
        return Fingerprint("extractor", identity, exact, {})
    read = getattr(extractor, "read", None)
    with record_files() as recorder, torch.no_grad():
        features = extractor(probe_noise(event, limits).to(device))
        values = {"features of fixed noise": reduce_rows(features, torch.float32, device)}
        if read is not None:
            many = extractor(probe_noise(event, limits, MANY_ROWS, LOUDER).to(device))
            values["features of many samples"] = reduce_rows(many[None], torch.float32, device)
    exact = file_facts(read, recorder.paths) | exact
    return Fingerprint("extractor", identity, exact, values)


def probe_noise(
    event: tuple[int, ...],
    limits: tuple[float, float] | None,
    count: int = PROBES,
    louder: float = 1.0,
) -> torch.Tensor:
    """Return float32 noise ``(count, *event)``: half of the samples white, half running sums.

    Values are within ``limits``; if ``limits`` is None, within [-``louder``, ``louder``].
    """
    low, high = limits or (-louder, louder)
    noise = SampleNoise(SEED, torch.arange(count), event, torch.float64).initial()
    flat = noise.flatten(1)
    smooth = flat.cumsum(1) / torch.arange(1, flat.shape[1] + 1).sqrt()
    mixed = torch.cat([flat[: count // 2], smooth[count // 2 :]]).reshape(noise.shape)
    return ((low + high) / 2 + (high - low) / 4 * mixed).clamp(low, high).to(torch.float32)


def imported_package_versions(files: Iterable[str]) -> dict[str, str]:
    """Return versions of installed packages that files import, with digests of their modules."""
    imported = {name for file in files for name in imported_names(file, "")}
    installed = sorted(filter(_is_installed, imported))
    versions = {}
    for package, names in groupby(installed, key=lambda name: name.partition(".")[0]):
        if package in _BASE:
            continue
        hashes = (file_hash(module_file(name) or "") for name in names)
        digests = [digest[:12] for digest in hashes if digest]
        providers = sorted(set(_distributions().get(package, [package])))
        known = (version_of_package(name) or f"{name} of no known version" for name in providers)
        versions[f"installed {package}"] = " ".join([" and ".join(known), *digests])
    return versions


def _is_installed(name: str) -> bool:
    file = module_file(name)
    return (
        file is not None and "-packages" in file and name in sys.modules and not is_users_file(file)
    )


_distributions = cache(importlib.metadata.packages_distributions)
