"""Cache of measurements on models, shared by runs: one file per key.

A key contains the digest of the model's behaviour (:func:`behaviour_digest`). A model's identity is not
enough, since outputs may also depend on the environment. Each file contains a digest of its
content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...models.checkpoints.check_cache import cache_folder
from ...models.denoiser import Denoiser
from ...models.loaders.user_files import change_in_words, file_hash, record_files
from ...results.run_directory.behaviour_fingerprint import Fingerprint, difference, hash_of
from ...results.run_directory.files import read_json, read_npz, to_jsonable, write_json, write_npz
from ...samplers.spec import canonical_json
from ..identity.model import first_fingerprint

BEHAVIOUR, DIGEST = "behaviour", "digest"
"""Names of a cache key's item with :func:`behaviour_digest`, and of a file's item with the checksum."""

_behaviour_digests: WeakKeyDictionary[Denoiser, dict[str, str]] = WeakKeyDictionary()


default_cache = cache_folder


def set_measurements_aside(cache: Path) -> None:
    """Move cached measurements into the subfolder ``past``, so that models are measured again."""
    kinds = ("auto", "gits", "oss", "mmse", "features", "model", "opened")
    for path in [path for kind in kinds for path in cache.glob(f"{kind}-*")]:
        (cache / "past").mkdir(exist_ok=True)
        path.replace(cache / "past" / path.name)


def behaviour_digest(cache: Path | None, model: Denoiser, device: str = "cpu") -> str:
    """Return a digest of a model's outputs and files; "" without a cache or if the model raises."""
    digests, key = _behaviour_digests.setdefault(model, {}), f"{cache} {device}"
    if cache is None or key in digests:
        return digests.get(key, "")
    try:
        now = first_fingerprint(model, device)
    except Exception:  # raised by a user's model; its rows will give the reason
        return ""
    name = hashlib.sha256(model.identity.encode()).hexdigest()[:12]
    folder = Path() if model.read is None else model.read.folder
    digest = ""
    for number in count():
        digest = hash_of([now.to_json(), number])
        path = cache / f"model-{name}-{number}.json"
        stored = _checked_content(read_json(path))
        if stored is None:
            _write_with_digest(path, {"made": now.to_json(), BEHAVIOUR: digest})
            break
        try:
            same = not difference(Fingerprint.from_json(stored.get("made")), now)
        except ValueError:
            same = False
        if same and not change_in_words(folder, _files_opened(cache, str(stored[BEHAVIOUR]))):
            digest = str(stored[BEHAVIOUR])
            break
    digests[key] = digest
    return digest


def search_key(
    model: Denoiser, cache: Path | None, device: str, seed: int, version: int
) -> dict[str, Any]:
    """Return the cache key of a ``version`` of a search; callers add the search's options."""
    return {
        "model": model.name,
        "identity": model.identity,
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "dtype": str(model.dtype),
        "seed": seed,
        "version": version,
        BEHAVIOUR: behaviour_digest(cache, model, device),
    }


def cached_result(
    cache: Path | None, name: str, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return the items of ``measure()`` and an item "key", cached in the folder ``cache``.

    ``measure`` is called if the cache has no result for the key, or if ``cache`` is None. ``key``
    has JSON values for everything that the result depends on. ``name`` begins the file's name. A
    result from the cache has lists for tuples, and None for numbers that are not finite.
    """
    digest = hashlib.sha256(canonical_json(dict(key)).encode()).hexdigest()[:16]
    path = cache and cache / f"{name}-{digest}.json"
    stored = _checked_content(read_json(path)) if path else None
    if stored is None or stored.get("key") != key:
        with record_files() as recorder:
            stored = {"key": dict(key), **measure()}
        if path and cache:
            _record_opened(cache, str(key.get(BEHAVIOUR, "")), recorder.paths)
            _write_with_digest(path, stored)
    return stored


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays in a file of :func:`write_arrays`; None if it is missing or damaged."""
    stored = read_npz(path)
    digest = None if stored is None else stored.pop(DIGEST, None)
    return stored if stored is not None and str(digest) == _digest_of(stored) else None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to an ``.npz`` file, with a digest of all of them."""
    write_npz(path, {**arrays, DIGEST: np.array(_digest_of(arrays))})


def _digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {arrays[name].shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def _write_with_digest(path: Path, value: Mapping[str, Any]) -> None:
    write_json(path, {**value, DIGEST: hash_of(to_jsonable(value))})


def _checked_content(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a cached file's items without the digest; None if it is wrong, or no file was read."""
    if stored is None:
        return None
    digest = stored.pop(DIGEST, None)
    return stored if digest == hash_of(stored) else None


def _record_opened(cache: Path, behaviour: str, paths: frozenset[str]) -> None:
    """Store hashes of the files that a model opened, so that behaviour_digest notices new contents."""
    inside = str(cache.absolute())
    opened = {p: file_hash(p) or "" for p in sorted(paths) if not p.startswith(inside)}
    if opened and behaviour:
        _write_with_digest(cache / f"opened-{behaviour}-{hash_of(opened)}.json", {"opened": opened})


def _files_opened(cache: Path, behaviour: str) -> dict[str, str]:
    files: dict[str, str] = {}
    for path in sorted(cache.glob(f"opened-{behaviour}-*.json")):
        files |= (_checked_content(read_json(path)) or {}).get("opened", {})
    return files
