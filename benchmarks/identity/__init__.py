"""Fingerprints of samplers, models and feature extractors, which detect changed code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy
from ...results.run_directory.behaviour_fingerprint import Fingerprint, Numbers, difference

if TYPE_CHECKING:
    from .model import (
        extractor_fingerprint,
        first_fingerprint,
        model_fingerprint,
        outputs_at,
        runs_users_code,
    )
    from .sampler import origin_of, sampler_fingerprint

__all__ = [
    "Fingerprint",
    "Numbers",
    "difference",
    "extractor_fingerprint",
    "first_fingerprint",
    "model_fingerprint",
    "origin_of",
    "outputs_at",
    "runs_users_code",
    "sampler_fingerprint",
]

_HOMES = {
    "model": "extractor_fingerprint first_fingerprint model_fingerprint outputs_at runs_users_code",
    "sampler": "origin_of sampler_fingerprint",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
