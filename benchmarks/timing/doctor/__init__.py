"""Facts about this machine, its counters, and a verdict on times taken with it."""

from .examine import Diagnosis, examine

__all__ = ["Diagnosis", "examine"]
