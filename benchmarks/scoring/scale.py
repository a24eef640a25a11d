"""References of one model that all its cells share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial

from ...models.reference import Reference
from ..metrics.estimators.moments import FloatArray
from ..metrics.estimators.rows import HeldRows, Pieces, Rows, block_size
from ..metrics.kernel import MOST
from ..metrics.precision_recall import DENSITY, MANIFOLD
from ..metrics.precision_recall import MOST as MOST_NEIGHBOURS
from ..metrics.sliced_wasserstein import PROJECTIONS, SEED

FRECHET_ESTIMATOR = "frechet/3 fixed reference, fourth-moment debiased, leverage, extrapolated"
"""Version of the Fréchet distances, raised with every change of a value or an error."""


@dataclass(frozen=True)
class Scale:
    """Reference of a model, and its converged samples.

    Attributes:
        reference: features of real or exact samples.
        converged: ``(m, d)`` features of converged samples of the model; None for a few-step map,
            which has none.
    """

    reference: Reference
    converged: FloatArray | None
    _held_out: dict[int, FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def held_out(self, n: int) -> FloatArray:
        """Return the first ``n`` held-out features, or all; drawn once."""
        if n not in self._held_out:
            self._held_out[n] = self.reference.held_out(n)
        return self._held_out[n]

    def held_out_rows(self, n: int) -> Rows:
        """Return :meth:`held_out`, a block at a time; many rows are drawn again for each pass."""
        d = len(self.reference.mean)
        size = block_size((n, d))
        blocks = self.reference.statistics.held_out_blocks
        if n <= size or blocks is None:
            return HeldRows(self.held_out(n))
        return Pieces((n, d), partial(blocks, n, size))

    @cached_property
    def identity(self) -> str:
        """Identity that comparable numbers share."""
        sets = (
            f"sets/1 as many held-out samples: kid and swd({PROJECTIONS}, seed {SEED}) up "
            f"to {MOST}, "
            f"precision, recall({MANIFOLD}), density, coverage({DENSITY}) up to {MOST_NEIGHBOURS}"
        )
        extractor = self.reference.extractor.identity
        reference = f"reference {self.reference.identity}"
        converged = 0 if self.converged is None else len(self.converged)
        return "; ".join((FRECHET_ESTIMATOR, extractor, reference, f"{converged} converged", sets))
