"""What the samples of one model are scored against: truths that all its cells share, and their identity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models.reference import Reference
from .metrics.frechet import FrechetEstimate, FrechetReference, estimate, floor
from .quality_sets import RealSets

ESTIMATOR = "frechet/3 fixed reference, fourth-moment debiased, leverage, extrapolated"
"""To be raised with every change that moves a value or an error: replicates of another one are not reused."""


class Floor(NamedTuple):
    """What perfect samples would get, and its standard error."""

    value: float
    se: float


@dataclass(frozen=True)
class Scale:
    """What the samples of one model are scored against, shared by all its cells."""

    reference: Reference
    converged: NDArray[np.float64]

    @cached_property
    def fixed(self) -> FrechetReference:
        """The reference as the fixed truth."""
        return FrechetReference(self.reference.mean, self.reference.cov, self.reference.n)

    @cached_property
    def model_error(self) -> FrechetEstimate:
        """Distance of the converged samples to the data: what no sampler can take away."""
        return estimate(self.fixed, self.converged)

    @cached_property
    def real(self) -> RealSets:
        """The held-out features."""
        return RealSets(self.reference)

    @cached_property
    def _floors(self) -> dict[int, Floor | None]:
        return {}

    def floor(self, n: int) -> Floor | None:
        """Plug-in distance of ``n`` held-out samples, carried to ``n`` by its bias if there are fewer; None if there are none."""
        if n not in self._floors:
            rows = self.real.first(n)
            self._floors[n] = Floor(floor(self.fixed, rows, n), estimate(self.fixed, rows).se) if len(rows) > 1 else None
        return self._floors[n]

    @property
    def identity(self) -> str:
        """What numbers must share to be comparable."""
        what = (ESTIMATOR, self.reference.extractor.identity, f"reference {self.reference.identity}", f"{len(self.converged)} converged")
        return "; ".join((*what, self.real.identity))
