"""Cache of the answers of ``check-model`` to open questions, settings that a checkpoint lacks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from .specification import CHECK, Specification


def cache_folder() -> Path:
    """Return the folder of the cache: $SAMPLERBENCH_CACHE, or else ``~/.cache/samplerbench``."""
    return Path(os.environ.get("SAMPLERBENCH_CACHE") or Path.home() / ".cache" / "samplerbench")


def with_cached_answers(spec: Specification, content: str) -> Specification:
    """Return a copy of ``spec`` with answers from the cache for the file's hash ``content``."""
    try:
        answers = json.loads(_answers_file(spec, content).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return spec
    for question, answer in answers.items() if isinstance(answers, dict) else ():
        if answer in spec.open.get(question, {}):
            spec = spec.answered(question, answer, CHECK)
    return spec


def cache_answers(spec: Specification, content: str, answers: Mapping[str, str]) -> None:
    """Cache ``answers``, by open question of ``spec``, for the file's hash ``content``."""
    path = _answers_file(spec, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(answers)), encoding="utf-8")


def _answers_file(spec: Specification, content: str) -> Path:
    return cache_folder() / f"checkpoint-{spec.family}-{content[:32]}.json"
