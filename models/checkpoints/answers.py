"""Answers that ``samplerbench check-model`` found to what a file leaves open, kept by the hash of the
file, so that a run may use them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from .specification import CHECK, Specification


def cache_folder() -> Path:
    """Where what was once found is kept: $SAMPLERBENCH_CACHE, else ``~/.cache/samplerbench``."""
    return Path(os.environ.get("SAMPLERBENCH_CACHE") or Path.home() / ".cache" / "samplerbench")


def with_answers(spec: Specification, content: str) -> Specification:
    """A specification with the answers that are kept for this content, as far as it asks."""
    try:
        kept = json.loads(_path(spec, content).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return spec
    for question, answer in kept.items() if isinstance(kept, dict) else ():
        if answer in spec.open.get(question, {}):
            spec = spec.answered(question, answer, CHECK)
    return spec


def keep_answers(spec: Specification, content: str, answers: Mapping[str, str]) -> None:
    """Keep the answers for this content."""
    path = _path(spec, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(answers)), encoding="utf-8")


def _path(spec: Specification, content: str) -> Path:
    return cache_folder() / f"checkpoint-{spec.family}-{content[:32]}.json"
