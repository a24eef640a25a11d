"""Which sampler, and how many steps, for a model: a race of configurations on its own latents."""

from .advising import advise
from .answer import Advice

__all__ = ["Advice", "advise"]
