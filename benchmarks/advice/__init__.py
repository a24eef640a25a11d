"""Advice on a model's sampler and number of steps: a race of configurations on its own latents."""

from .advising import advise
from .answer import Advice

__all__ = ["Advice", "advise"]
