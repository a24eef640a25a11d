"""The configurations that are compared: every fixed-grid sampler with its options, and the peers' own
code, on the same schedules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import product
from typing import Any

from ... import samplers

SCHEDULES = (
    "karras(rho=4.0)",
    "karras",
    "karras(rho=15.0)",
    "uniform_lambda",
    "uniform_time",
    "uniform_time(power=2.0)",
)

OPTIONS: dict[str, tuple[Any, ...]] = {
    "analytic_first": (False, True),
    "deferred": (False, True),
    "through_zero": (False, True),
    "prediction": ("data", "noise"),
    "variant": ("bh1", "bh2"),
}
"""Options whose values are tried, wherever a sampler has them."""

EXCLUDED = ("torchdiffeq_", "scipy_", "torchsde_", "paradigms", "auto")
"""Adapters of other libraries, what equals another sampler to a tolerance, and the default,
which has a side of its own.
"""


def is_candidate(name: str) -> bool:
    """Whether a registered sampler is one of this library's own methods for the
    probability-flow ODE, under its first name.
    """
    sampler = samplers.make(name)
    own = not samplers.origin(name) and not name.startswith(EXCLUDED)
    return own and not (
        sampler.adaptive or sampler.stochastic or sampler.batch_coupled or sampler.same_as
    )


def variants(name: str) -> list[dict[str, Any]]:
    """The sampler's options that are tried, in all combinations that it takes."""
    keys = sorted({f.name for f in fields(samplers.get(name))} & set(OPTIONS))
    specs = [
        {"name": name, **dict(zip(keys, values, strict=True))}
        for values in product(*(OPTIONS[key] for key in keys))
    ]
    return [spec for spec in specs if _accepted(spec)]


def _accepted(spec: Mapping[str, Any]) -> bool:
    """Whether the sampler takes these options together."""
    try:
        samplers.make(spec)
    except ValueError:
        return False
    return True
