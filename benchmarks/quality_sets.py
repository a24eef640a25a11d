"""Columns that compare a cell's features with as many real or exact ones: two samples, of which neither is the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..models.reference import Reference
from ..results.record import Record
from .metrics.kernel import LARGEST, SMALLEST, kid
from .metrics.moments import FloatArray
from .metrics.precision_recall import DENSITY, MANIFOLD, precision_recall
from .metrics.sliced_wasserstein import PROJECTIONS, SEED, sliced_wasserstein
from .sampling import Arrays

MOST = 10_000
"""Samples of a side of KID and SWD; the first are taken."""
MOST_NEIGHBOURS = 5_000
"""Samples of a side of precision, recall, density and coverage."""


@dataclass(frozen=True)
class RealSets:
    """Held-out features of a reference, by their number; drawn and compared with each other once."""

    reference: Reference

    @cached_property
    def _sets(self) -> dict[int, FloatArray]:
        return {}

    @cached_property
    def _floors(self) -> dict[int, float | None]:
        return {}

    def first(self, n: int) -> FloatArray:
        """The first ``n`` held-out features, or all that there are."""
        if n not in self._sets:
            self._sets[n] = self.reference.held_out(n)
        return self._sets[n]

    def swd_floor(self, n: int) -> float | None:
        """Sliced distance between the first ``n`` held-out samples and the next; None where there are not 2 n."""
        if n not in self._floors:
            both = self.first(2 * n)
            enough = len(both) == 2 * n
            self._floors[n] = sliced_wasserstein(both[n:], both[:n]).value if enough else None
        return self._floors[n]

    @property
    def identity(self) -> str:
        """What the columns compare, and how."""
        return (
            f"sets/1 as many held-out samples: kid and swd({PROJECTIONS}, seed {SEED}) up to {MOST}, "
            f"precision, recall({MANIFOLD}), density, coverage({DENSITY}) up to {MOST_NEIGHBOURS}"
        )


def set_columns(real: RealSets, features: NDArray[np.float64]) -> tuple[Record, Arrays]:
    """KID, sliced Wasserstein distance, precision, recall, density and coverage, and the influence of each sample on KID.

    Columns stay empty where there are too few samples or held-out ones, and KID's also where a feature is too large for its kernel.
    """
    record: Record = {}
    arrays: Arrays = {}
    x = features[:MOST]
    y = real.first(len(x))
    if min(len(x), len(y)) >= SMALLEST and np.abs(x).max() <= LARGEST:
        distance = kid(x, y)
        record |= {"kid": distance.value, "kid_se": distance.se, "kid_low": distance.low, "kid_high": distance.high}
        arrays |= {"kid": distance.influence, "kid_reference": distance.reference_influence}
    if min(len(x), len(y)) > 1:
        sliced = sliced_wasserstein(x, y)
        record |= {"swd": sliced.value, "swd_se": sliced.se, "swd_floor": real.swd_floor(len(x))}
    x, y = x[:MOST_NEIGHBOURS], y[:MOST_NEIGHBOURS]
    if len(x) > MANIFOLD and len(y) > DENSITY:
        record |= precision_recall(x, y)._asdict()
    return record, arrays
