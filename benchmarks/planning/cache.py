"""What was measured once on a model and is kept between runs: one JSON file per key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...models.checkpoints.answers import cache_folder
from ...results.run_directory.disk.files import read_json, write_json
from ..suites.spec import canonical


def default_cache() -> Path:
    """Where searches are kept between runs: $SAMPLERBENCH_CACHE, else ``~/.cache/samplerbench``."""
    return cache_folder()


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
    stored = read_json(path) if path else None
    if not isinstance(stored, dict) or stored.get("key") != key:
        stored = {"key": dict(key), **measure()}
        if path:
            write_json(path, stored)
    return stored
