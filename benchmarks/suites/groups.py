"""Names that stand for many samplers in a suite or after ``--sampler``."""

from __future__ import annotations

from collections.abc import Iterable

from ... import samplers
from ...samplers import Grid
from .suite import Spec

FIXED_GRID = "fixed-grid"
_GRID = Grid((80.0, 1.0, 0.0))


def expanded(specs: Iterable[Spec]) -> list[Spec]:
    """The specs, with ``fixed-grid`` replaced by every sampler that takes the steps of a grid."""
    return [one for spec in specs for one in (fixed_grid() if spec == FIXED_GRID else [spec])]


def fixed_grid() -> list[str]:
    """Registered samplers whose cost a grid decides, each computation once: without names that
    are ``same_as`` another, sorted.
    """
    return [
        name
        for name in sorted(samplers.names())
        if not (cls := samplers.get(name)).adaptive
        and not cls.same_as
        and samplers.make(name).nfe(_GRID) is not None
    ]
