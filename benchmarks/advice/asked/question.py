"""Dependencies of a race's numbers other than the configuration: model, latents and sampling code."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import torch

from .... import models, samplers
from ... import metrics, planning, sampling, scoring, tuning
from .subject import Asked

PACKAGES = (samplers, models, metrics, planning, sampling, scoring, tuning)


def question_of(model_run: Asked) -> dict[str, Any]:
    """Return these dependencies as JSON values."""
    model = model_run.model
    return {
        "model": model_run.spec,
        "identity": model.identity,
        "extractor": model_run.features.identity if model_run.features else None,
        "range": [model.sigma_min, model.sigma_max],
        "dtype": str(model.dtype),
        "device": model_run.device,
        "seed": model_run.seed,
        "batch": model_run.batch,
        "torch": torch.__version__,
        "code": _code(),
        "plugins": [
            hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
            for file in samplers.plugin_files()
        ],
    }


@cache
def _code() -> str:
    """Return a digest of the files that make samples and distances."""
    digest = hashlib.sha256()
    folders = [Path(str(package.__file__)).parent for package in PACKAGES]
    race = Path(__file__).parents[1]
    for folder in (*folders, race / "asked", race / "racing"):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            digest.update(f"{folder.name}/{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
