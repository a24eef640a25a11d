"""Canonical name of a configured sampler: the registered one that it equals, with its options."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

from ....samplers import Sampler, non_default
from ....samplers.families.tabulated import Tabulated

ENDS = ("first", "last", "through_zero", "startup", "analytic_first")
"""Options of multistep methods that say what they do at the ends of a grid."""


class Configured(NamedTuple):
    """Canonical name and options of a sampler.

    Attributes:
        name: its registry name, or of a sampler that it equals.
        options: all its options that are not at their defaults, but :data:`ENDS`.
        ends: options of :data:`ENDS` that are not at their defaults.
    """

    name: str
    options: dict[str, Any]
    ends: dict[str, Any]


def configured(sampler: Sampler) -> Configured | None:
    """Return the name and options of a sampler; None where coefficients or a rule were found for a model."""
    if isinstance(sampler, Tabulated) or any(f.metadata.get("found") for f in fields(sampler)):
        return None
    changed = non_default(sampler)
    ends = {key: changed.pop(key) for key in ENDS if key in changed}
    for twin, settings, name in _TWINS:
        if sampler.name == twin and settings.items() <= changed.items():
            return Configured(name, {k: v for k, v in changed.items() if k not in settings}, ends)
    plain = not changed and not ends
    return Configured((plain and sampler.same_as) or sampler.name, changed, ends)


_TWINS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("ddim", {"eta": 1.0}, "ddpm"),
    ("euler_ancestral", {"eta": 0.0}, "euler"),
    ("dpmpp_2s_ancestral", {"eta": 0.0}, "dpmpp_2s"),
    ("dpm_2_ancestral", {"eta": 0.0}, "dpm_2"),
    ("dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}, "xeab_2"),
    ("dpmpp_2m_sde", {"eta": 0.0}, "dpmpp_2m"),
)
"""Samplers that equal another with certain options."""
