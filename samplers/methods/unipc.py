"""UniPC: an exponential Adams-Bashforth predictor with an Adams-Moulton corrector.

The corrector costs no evaluation of its own. A step evaluates the denoiser at the predicted state;
that evaluation corrects the state, then predicts the next one. Predictor and corrector differ only
in the weights of the history entries m, which steps leave for later steps. So the correction of
the previous step, sum_j C_j m_{i-j}, is added at the start of step i. The whole method is a
:class:`~samplerbench.samplers.LinearRow` a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ..base import check_choice
from ..families.exponential import data_moments, noise_moments
from ..families.linear import LinearRow, add_to_state, eps_row
from ..families.multistep import Multistep
from ..grid import Grid
from ..numerics import monomial_weights
from ..registry import register_family
from ..types import Source


@dataclass(frozen=True, kw_only=True)
class UniPC(Multistep):
    """UniPC: UniP-p with UniC-p, together of order p + 1, in the data or the noise prediction.

    Both integrate a polynomial of m, which is d or eps, from lam_i to lam_i + h. UniP's polynomial
    goes through the last p values, UniC's also through the value at the end. Integrals are exact,
    but one difference of values has the weight -B(h) / 2 for d, -nxt B(h) / 2 for eps. It is
    (m_i - m_{i-1}) h / h_{i-1} in UniP-2, and the end's value minus the start's in UniC-1.

    Attributes:
        prediction: quantity m, the denoised image ("data") or eps ("noise").
        last: orders that the last steps must not exceed. Libraries ship (2, 1), the default of
            unipc_2_published and unipc_3_published.
        variant: B(h) is -h ("bh1") or e^{-h} - 1 ("bh2") for the data prediction, with the sign of
            h changed for the noise prediction.
        corrector: True for UniP with UniC, False for UniP-p alone, of order p.
    """

    source: ClassVar[Source] = Source(
        "zhao2023unipc",
        "UniP-p (Corollary 3.2) and UniC-p (Theorem 3.1), multistep",
        "https://arxiv.org/abs/2302.04867v4",
        deviations=(
            "the step to sigma = 0 is x <- d; orders fall before it only if asked to (last)",
        ),
    )
    prediction: Literal["data", "noise"] = "data"
    variant: Literal["bh1", "bh2"] = "bh2"
    corrector: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "prediction", "data", "noise")
        check_choice(self, "variant", "bh1", "bh2")

    @property
    def order(self) -> int:  # type: ignore[override]
        return self.points + int(self.corrector)

    @property
    def history(self) -> int:  # type: ignore[override]
        return self.points if self.corrector else self.points - 1

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return UniP's step to ``nxt``, uncorrected, on entries at ``levels``, newest first."""
        weights = self._predictor_weights(levels, nxt)
        if self.prediction == "data":
            return LinearRow(levels[0], nxt / levels[0], tuple(weights))
        return eps_row(levels, weights)

    def plan(self, grid: Grid) -> list[LinearRow]:
        rows = super().plan(grid)
        if not self.corrector:
            return rows
        orders = self.profile(grid)
        for i in range(1, len(rows)):
            if grid.sigma[i + 1] > 0:  # the step to 0 does not read the state
                before = grid.sigma[i - orders[i - 1] : i][::-1]
                rows[i] = self._add_correction(rows[i], before)
        return rows

    def _add_correction(self, row: LinearRow, before: Sequence[float]) -> LinearRow:
        """Return ``row`` with a correction of the step before; ``before`` has that step's levels, newest first."""
        corrector = self._corrector_weights(before, row.sigma)
        predictor = (0.0, *self._predictor_weights(before, row.sigma))
        change = [c - p for c, p in zip(corrector, predictor, strict=True)]
        if self.prediction == "noise":
            change = [w / level for w, level in zip(change, (row.sigma, *before), strict=True)]
        return add_to_state(row, change)

    def _predictor_weights(self, levels: Sequence[float], nxt: float) -> list[float]:
        """Return UniP's weights of the values d or eps at ``levels`` in the step to ``nxt``."""
        if len(levels) == 2:
            rate = math.log(levels[1] / levels[0]) / math.log(levels[0] / nxt)
            slope = self._integral_weight(levels[0], nxt) / rate
            return [self._moments(levels[0], nxt, 1)[0] + slope, -slope]
        return self._polynomial_weights(levels, levels[0], nxt)

    def _corrector_weights(self, levels: Sequence[float], nxt: float) -> list[float]:
        """Return UniC's weights of the values d or eps at ``nxt``, then at ``levels``."""
        if len(levels) == 1:
            half = self._integral_weight(levels[0], nxt)
            return [half, self._moments(levels[0], nxt, 1)[0] - half]
        return self._polynomial_weights((nxt, *levels), levels[0], nxt)

    def _polynomial_weights(self, levels: Sequence[float], cur: float, nxt: float) -> list[float]:
        """Return weights at ``levels`` in the polynomial's integral from ``cur`` to ``nxt``."""
        lam = [math.log(cur / level) for level in levels]
        return monomial_weights(lam, self._moments(cur, nxt, len(levels)))

    def _integral_weight(self, cur: float, nxt: float) -> float:
        """Return the weight of the difference in UniP-2 and UniC-1, by the class's formula."""
        h = math.log(cur / nxt)
        if self.prediction == "data":
            return (h if self.variant == "bh1" else -math.expm1(-h)) / 2
        return -nxt * (h if self.variant == "bh1" else math.expm1(h)) / 2

    def _moments(self, cur: float, nxt: float, count: int) -> list[float]:
        return (data_moments if self.prediction == "data" else noise_moments)(cur, nxt, count)


for _points in (1, 2, 3):
    register_family(UniPC, f"unipc_{_points}", points=_points)
for _points in (2, 3):
    register_family(
        UniPC,
        f"unipc_{_points}_published",
        points=_points,
        last=(2, 1),
        order=2,
        source=replace(
            UniPC.source,
            where="authors' code, lower_order_final=True; diffusers, UniPCMultistepScheduler",
            deviations=(
                "the step to sigma = 0 is x <- d, as in diffusers; the authors' code has "
                "another step of first order before it, which is last=(2, 1, 1)",
                "declared at its measured order, 2, which the last step leaves: it is of first "
                "order and uncorrected, unless it leads to sigma = 0",
            ),
        ),
    )
