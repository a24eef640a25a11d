"""Fingerprints of samplers, models and feature extractors, which detect changed code."""

from ...results.run_directory.behaviour_fingerprint import Fingerprint, Numbers, difference
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
