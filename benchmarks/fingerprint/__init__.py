"""What numbers are made of, pinned by what it does: fingerprints of samplers, models and extractors."""

from .record import Fingerprint, Numbers, difference
from .sampler import sampler_fingerprint

__all__ = ["Fingerprint", "Numbers", "difference", "sampler_fingerprint"]
