"""Advice on a model's sampler and number of steps, from a race of configurations on its latents."""

from .advising import advise
from .answer import TUNED_LEVELS, Advice, Budget, Choice
from .candidates import (
    SCHEDULES,
    FittedNumbers,
    is_candidate,
    resolve_levels,
    tuned_cell,
    variants,
)
from .race import Race, is_hopeful
from .request import FIELDS, OWN_FIELDS, make_request

__all__ = [
    "FIELDS",
    "OWN_FIELDS",
    "SCHEDULES",
    "TUNED_LEVELS",
    "Advice",
    "Budget",
    "Choice",
    "FittedNumbers",
    "Race",
    "advise",
    "is_candidate",
    "is_hopeful",
    "make_request",
    "resolve_levels",
    "tuned_cell",
    "variants",
]
