"""Answers that ``samplerbench check-model`` found to a file's open questions, cached by its hash
for runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from .specification import CHECK, Specification


def cache_folder() -> Path:
    """Return the cache folder: $SAMPLERBENCH_CACHE, else ``~/.cache/samplerbench``."""
    return Path(os.environ.get("SAMPLERBENCH_CACHE") or Path.home() / ".cache" / "samplerbench")


def with_answers(spec: Specification, content: str) -> Specification:
    """Return a specification with the cached answers for this content to its open questions."""
    try:
        answers = json.loads(_path(spec, content).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return spec
    for question, answer in answers.items() if isinstance(answers, dict) else ():
        if answer in spec.open.get(question, {}):
            spec = spec.answered(question, answer, CHECK)
    return spec


def keep_answers(spec: Specification, content: str, answers: Mapping[str, str]) -> None:
    """Cache the answers for this content."""
    path = _path(spec, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(answers)), encoding="utf-8")


def _path(spec: Specification, content: str) -> Path:
    return cache_folder() / f"checkpoint-{spec.family}-{content[:32]}.json"
