"""Answers of ``advise``, as values that are written and read."""

from .advice import (
    SCHEMA,
    TUNED_LEVELS,
    Advice,
    Alternative,
    Best,
    Budget,
    Choice,
    Lines,
    Value,
    configuration,
)

__all__ = [
    "SCHEMA",
    "TUNED_LEVELS",
    "Advice",
    "Alternative",
    "Best",
    "Budget",
    "Choice",
    "Lines",
    "Value",
    "configuration",
]
