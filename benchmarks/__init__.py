"""The harness: what runs, how it is measured, and the command line.

>>> from samplerbench.benchmarks import check_sampler
>>> check_sampler("euler", fast=True).passed
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conformance import Check, Conformance, check_sampler
    from .planning.schedules import make_schedule
    from .sampling.chance import unseeded_draws
    from .suites.suite import Suite, load_suite

    __version__: str

__all__ = ["Check", "Conformance", "Suite", "check_sampler", "load_suite", "make_schedule", "unseeded_draws"]

_HOMES = {
    "Check": "conformance",
    "Conformance": "conformance",
    "Suite": "suites.suite",
    "check_sampler": "conformance",
    "load_suite": "suites.suite",
    "make_schedule": "planning.schedules",
    "unseeded_draws": "sampling.chance",
}


def __getattr__(name: str) -> Any:
    """What the package offers, imported when it is asked for: torch and pydantic take their time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("samplerbench")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
