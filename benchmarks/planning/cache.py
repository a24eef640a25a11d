"""What was measured once on a model and is kept between runs: one file per key.

A key holds the digest of what the model does (:func:`behaviour_of`), for an identity does not say
what a model takes from its environment. Each file has a digest of its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...models import Denoiser
from ...models.checkpoints.answers import cache_folder
from ...models.loaders.reading import reading
from ...models.loaders.user_files import difference_of, file_hash
from ...results.run_directory.disk.files import jsonable, read_json, read_npz, write_json, write_npz
from ...results.run_directory.fingerprint import Fingerprint, difference, hash_of
from ..sampling.fingerprint import first_fingerprint
from ..suites.spec import canonical

BEHAVIOUR, DIGEST = "behaviour", "digest"
"""Item of a key, and of a file, with the digest of what a model does, and of all other items."""

_found: WeakKeyDictionary[Denoiser, dict[str, str]] = WeakKeyDictionary()


def default_cache() -> Path:
    """Where searches are kept between runs: $SAMPLERBENCH_CACHE, else ``~/.cache/samplerbench``."""
    return cache_folder()


def forget_searches(cache: Path) -> None:
    """Put what was searched for models out of the way, into a folder of the cache."""
    kinds = ("auto", "gits", "mmse", "features", "model", "opened")
    for path in [path for kind in kinds for path in cache.glob(f"{kind}-*")]:
        (cache / "past").mkdir(exist_ok=True)
        path.replace(cache / "past" / path.name)


def behaviour_of(cache: Path | None, model: Denoiser, device: str = "cpu") -> str:
    """Return the digest of the record in a cache that a model's fingerprint equals, of a new one
    where there is none; "" where nothing is kept, or for a model that fails.
    """
    known = _found.setdefault(model, {})
    if cache is None or str(cache) in known:
        return known.get(str(cache), "")
    try:
        now = first_fingerprint(model, device)
    except Exception:  # of a user's model, whose rows will say so
        return ""
    name = hashlib.sha256(model.identity.encode()).hexdigest()[:12]
    folder, number = Path() if model.read is None else model.read.folder, 0
    while True:
        digest = hash_of([now.to_json(), number])
        path = cache / f"model-{name}-{number}.json"
        stored = _sound(read_json(path))
        if stored is None:
            _write(path, {"made": now.to_json(), BEHAVIOUR: digest})
            break
        try:
            same = not difference(Fingerprint.from_json(stored.get("made")), now)
        except ValueError:
            same = False
        if same and not difference_of(folder, _opened(cache, str(stored[BEHAVIOUR]))):
            digest = str(stored[BEHAVIOUR])
            break
        number += 1
    known[str(cache)] = digest
    return digest


def remembered(
    cache: Path | None, name: str, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What ``measure`` gives, from ``cache`` if it is there under this key.

    Args:
        cache: folder of the files; None measures every time and keeps nothing.
        name: what the files' names begin with.
        key: everything that the result depends on, as JSON values.
        measure: gives JSON values under other names than ``key``.
    """
    path = (
        cache
        and cache / f"{name}-{hashlib.sha256(canonical(dict(key)).encode()).hexdigest()[:16]}.json"
    )
    stored = _sound(read_json(path)) if path else None
    if stored is None or stored.get("key") != key:
        with reading() as seen:
            stored = {"key": dict(key), **measure()}
        if path and cache:
            _note(cache, str(key.get(BEHAVIOUR, "")), seen.paths)
            _write(path, stored)
    return stored


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays that :func:`write_arrays` wrote; None where they are missing or others."""
    stored = read_npz(path)
    digest = None if stored is None else stored.pop(DIGEST, None)
    return stored if stored is not None and str(digest) == _digest_of(stored) else None


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays with a digest of all of them."""
    write_npz(path, {**arrays, DIGEST: np.array(_digest_of(arrays))})


def _digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {arrays[name].shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def _write(path: Path, value: Mapping[str, Any]) -> None:
    write_json(path, {**value, DIGEST: hash_of(jsonable(value))})


def _sound(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """The content of a file whose digest is right."""
    if stored is None:
        return None
    digest = stored.pop(DIGEST, None)
    return stored if digest == hash_of(stored) else None


def _note(cache: Path, behaviour: str, paths: frozenset[str]) -> None:
    """Keep the files that a model opened while it was measured: it is another one when they are."""
    inside = str(cache.absolute())
    opened = {p: file_hash(p) or "" for p in sorted(paths) if not p.startswith(inside)}
    if opened and behaviour:
        _write(cache / f"opened-{behaviour}-{hash_of(opened)}.json", {"opened": opened})


def _opened(cache: Path, behaviour: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(cache.glob(f"opened-{behaviour}-*.json")):
        found |= (_sound(read_json(path)) or {}).get("opened", {})
    return found
