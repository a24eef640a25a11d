"""Cache of ``check-model``: passed checks, and settings found for checkpoints that lack them.

Such a setting is an open question of a :class:`.Specification`, such as ``schedule``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..denoiser import Denoiser, innermost_model

if TYPE_CHECKING:
    from .specification import Specification


def cache_folder() -> Path:
    """Return the folder of the cache: $SAMPLERBENCH_CACHE, or else ``~/.cache/samplerbench``."""
    return Path(os.environ.get("SAMPLERBENCH_CACHE") or Path.home() / ".cache" / "samplerbench")


def with_cached_answers(spec: Specification, content: str) -> Specification:
    """Return ``spec`` with cached answers to its open questions; ``content`` is the file's hash."""
    try:
        answers = json.loads(_answers_file(spec, content).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return spec
    from .specification import CHECK  # not above: many use the folder alone

    for question, answer in answers.items() if isinstance(answers, dict) else ():
        if isinstance(answer, str) and answer in spec.open.get(question, {}):
            spec = spec.with_answer(question, answer, CHECK)
    return spec


def cache_answers(spec: Specification, content: str, answers: Mapping[str, str]) -> None:
    """Cache ``answers``, by question, for checkpoints with the hash ``content``."""
    path = _answers_file(spec, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(answers)), encoding="utf-8")


def _answers_file(spec: Specification, content: str) -> Path:
    return cache_folder() / f"checkpoint-{spec.family}-{content[:32]}.json"


def note_passed_check(model: Denoiser) -> None:
    """Cache that a model passed ``check-model``; do nothing for a model made without a file."""
    if path := _passed_file(model):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def has_passed_check(model: Denoiser) -> bool:
    """Return True if ``model``, without guidance, passed ``check-model`` with the same files."""
    path = _passed_file(model)
    return path is not None and path.exists()


def _passed_file(model: Denoiser) -> Path | None:
    """Return the file that marks a passed check; None for a model made without a file."""
    network = innermost_model(model)
    if hasattr(network, "spec"):  # a checkpoint, whose identity contains the hash of its files
        files = {}
    elif model.read is None:
        return None
    else:  # the identity may be the user's text
        files = dict(model.read.hashes)
    from .checkpoint_denoiser import digest_of_value

    return cache_folder() / f"passed-{digest_of_value([network.identity, files])[:16]}"
