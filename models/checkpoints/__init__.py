"""Checkpoints that people have: what one is, how that is known, and the Denoiser that it makes.

:func:`probe` says what a file or folder is, :func:`load` makes a model of it. Nothing of a file is
executed.
"""

from .loading import build, load, probe
from .opening import CheckpointError, Opened, open_checkpoint
from .specification import Specification

__all__ = [
    "CheckpointError",
    "Opened",
    "Specification",
    "build",
    "load",
    "open_checkpoint",
    "probe",
]
