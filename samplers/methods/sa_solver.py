"""SA-Solver: stochastic Adams predictor and corrector for the data prediction, in lam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from ..families.exponential import data_weights, sde_row
from ..families.linear import LinearRow
from ..families.multistep import Multistep
from ..grid import Grid
from ..registry import register
from ..types import Source


@register
@dataclass(frozen=True, kw_only=True)
class SASolver(Multistep):
    """Stochastic Adams predictor and corrector, in one evaluation a step.

    Predictor and corrector are both x_nxt = e^{-(1 + kappa) h} x + sum_j w_j d_j + noise, with the
    same noise and kappa = tau² (``samplers/families/exponential.py``). The predictor integrates the
    polynomial through the last ``predictor`` evaluations. d is evaluated at its result, and the
    corrector integrates the polynomial through that d and ``corrector`` - 1 earlier ones. The next
    step adds the difference of both, a sum of evaluations, with its own weight of the state.

    The sampler's state is the predicted one. A row corrects it, then predicts, in one linear step;
    the last prediction stays as it is.

    Attributes:
        predictor: evaluations that the predictor interpolates, 1 to 4.
        corrector: evaluations that the corrector interpolates, the newest included, 1 to
            ``predictor`` + 1; 0 for no corrector.
        tau: noise where it is on, >= 0; 0 is the probability flow, 1 the reverse SDE.
        tau_start, tau_end: a step has noise if the level where it ends is in [tau_end, tau_start].
    """

    name = "sa_solver"
    source = Source(
        "xue2023sasolver",
        "eq. (15) and (18), with the defaults of the authors' code",
        "https://arxiv.org/abs/2309.05019v3",
        deviations=(
            "the rescaling of appendix D, which changes order 2 only, is left out",
            "the last steps keep their order by default; the authors lower it, which is last=(2, 1)",
            "the step to sigma = 0 is x <- d from the predicted state",
            "corrector counts all evaluations that it interpolates, as in the authors' "
            "code; the paper's count is one less",
            "declared at the measured weak order, at most 2, where there is noise",
        ),
    )
    predictor: int = 3
    corrector: int = 4
    tau: float = 1.0
    tau_start: float = 1.0
    tau_end: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.predictor <= 4:
            raise ValueError(f"sa_solver: predictor must be 1 to 4, got {self.predictor}")
        if not 0 <= self.corrector <= self.predictor + 1:
            raise ValueError(
                "sa_solver: corrector must be 0 to predictor + 1 = "
                f"{self.predictor + 1}, got {self.corrector}"
            )
        if not 0 <= self.tau < math.inf:
            raise ValueError(
                "sa_solver: tau must be >= 0 (0 is deterministic, 1 the "
                f"reverse SDE), got {self.tau}"
            )
        if not 0 <= self.tau_end <= self.tau_start:
            raise ValueError(
                "sa_solver: need 0 <= tau_end <= tau_start, got "
                f"tau_end={self.tau_end} and tau_start={self.tau_start}"
            )

    @property
    def points(self) -> int:  # type: ignore[override]
        return self.predictor

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of earlier evaluations that a step uses; the corrector makes it one more."""
        return self.predictor if self.corrector else self.predictor - 1

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        return self.tau > 0

    @property
    def order(self) -> int:  # type: ignore[override]
        order = self.corrector or self.predictor
        return min(order, 2) if self.stochastic else order

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        cur, kappa = levels[0], self._kappa(nxt)
        return sde_row(cur, nxt, kappa, data_weights(cur, nxt, levels, kappa))

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows = super().plan(grid)
        if not self.corrector:
            return rows
        steps = enumerate(pairwise(rows), 2)
        return [
            rows[0],
            *(self._start_from_corrected(row, last, grid.sigma[:i]) for i, (last, row) in steps),
        ]

    def _start_from_corrected(
        self, row: LinearRow, predicted: LinearRow, sigma: Sequence[float]
    ) -> LinearRow:
        """Return ``row`` plus the correction of the row ``predicted`` before it, unless a = 0."""
        if row.a == 0:
            return row
        before, level = sigma[-2:]
        count = min(self.corrector, len(predicted.b) + 1)
        corrector = data_weights(before, level, sigma[-count:][::-1], self._kappa(level))
        pairs = zip_longest(corrector, (0.0, *predicted.b), fillvalue=0.0)
        shift = [new - old for new, old in pairs]
        b = tuple(w + row.a * s for w, s in zip_longest(row.b, shift, fillvalue=0.0))
        return row._replace(b=b)

    def _kappa(self, nxt: float) -> float:
        """Return kappa = tau² for a step that ends at ``nxt`` in [tau_end, tau_start], else 0."""
        return self.tau**2 if self.tau_end <= nxt <= self.tau_start else 0.0
