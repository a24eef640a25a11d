"""SA-Solver: stochastic Adams predictor and corrector for the data prediction, in lam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

from torch import Tensor

from ..families.exponential import data_weights, sde_row
from ..families.linear import LinearRow, add_to_state, linear_step
from ..families.multistep import Multistep, lower_last
from ..grid import Grid
from ..numerics import blend
from ..registry import register
from ..types import Denoise, Source, StepNoise

_paper = partial(Source, "xue2023sasolver", url="https://arxiv.org/abs/2309.05019v3")
_DEVIATIONS = (
    "the rescaling of appendix D, which changes order 2 only, is left out",
    "the last steps keep their order by default; the authors lower it, which is last=(2, 1)",
    "corrector counts all evaluations that it interpolates, as in the authors' "
    "code; the paper's count is one less",
    "declared at the measured weak order, at most 2, where there is noise",
)


@register
@dataclass(frozen=True, kw_only=True)
class SASolver(Multistep):
    """Stochastic Adams predictor and corrector, with one evaluation a step.

    Predictor and corrector are both x_nxt = e^{-(1 + kappa) h} x + sum_j w_j d_j + noise, with the
    same noise and kappa = tau² (``samplers/families/exponential.py``). The predictor integrates the
    polynomial through the last ``predictor`` evaluations. d is evaluated at the predictor's result,
    and the corrector integrates the polynomial through that d and ``corrector`` - 1 earlier ones.

    The sampler's state is the predicted one. The next step first corrects it, by the difference of
    both results, then predicts. Both are one linear step, since the difference is a sum of
    evaluations. The last prediction is not corrected.

    Attributes:
        predictor: evaluations that the predictor interpolates, 1 to 4.
        corrector: evaluations that the corrector interpolates, the newest included, 1 to
            ``predictor`` + 1; 0 for no corrector.
        last_corrector: largest numbers of evaluations in the correctors of the last steps. The last
            number has no effect, since the last step is not corrected. On grids to 0, ComfyUI has
            last=(2, 1, 1), last_corrector=(3, 2, 1, 1).
        tau: amount of noise, >= 0; 0 is the probability flow, 1 the reverse SDE.
        tau_start, tau_end: a step has noise if the level where it ends is in [tau_end, tau_start].
    """

    name = "sa_solver"
    source = _paper(
        "eq. (15) and (18), with the defaults of the authors' code",
        deviations=(
            *_DEVIATIONS,
            "the step to sigma = 0 is x <- d from the predicted state",
        ),
    )
    predictor: int = 3
    corrector: int = 4
    last_corrector: tuple[int, ...] = ()
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
        if not all(isinstance(k, int) and k >= 1 for k in self.last_corrector):
            raise ValueError(
                f"{self.name}: last_corrector must list numbers >= 1, such as (3, 2), got "
                f"{self.last_corrector}"
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
        shifts = [(), *self._corrections(rows, grid)]
        steps = zip(rows, shifts, strict=True)
        return [add_to_state(row, shift) if row.a else row for row, shift in steps]

    def _corrections(self, rows: Sequence[LinearRow], grid: Grid) -> list[tuple[float, ...]]:
        """Return, for each step but the last, the weights of d in the corrector's change.

        The first weight is for d at the end of the step; earlier d follow, newest first.
        """
        if not self.corrector:
            return [()] * (len(rows) - 1)
        most = [min(self.corrector, len(row.b) + 1) for row in rows]
        counts = lower_last(most, self.last_corrector)
        shifts = []
        for i, (row, count) in enumerate(zip(rows[:-1], counts, strict=False), 2):
            before, level = grid.sigma[i - 2 : i]
            nodes = grid.sigma[i - count : i][::-1]
            corrector = data_weights(before, level, nodes, self._kappa(level))
            pairs = zip_longest(corrector, (0.0, *row.b), fillvalue=0.0)
            shifts.append(tuple(new - old for new, old in pairs))
        return shifts

    def _kappa(self, nxt: float) -> float:
        """Return kappa = tau² for a step that ends at ``nxt`` in [tau_end, tau_start], else 0."""
        return self.tau**2 if self.tau_end <= nxt <= self.tau_start else 0.0


class _PECERow(NamedTuple):
    """Coefficients of a prediction to ``level``, and weights of d to correct it; () for none."""

    predictor: LinearRow
    level: float
    correction: tuple[float, ...]


@register
@dataclass(frozen=True, kw_only=True)
class SASolverPECE(SASolver):
    """SA-Solver that evaluates d at the corrected state too, and predicts from it.

    A step predicts, evaluates d at the end, and corrects by the polynomial through this d and
    earlier ones at corrected states. The last step only predicts. N steps take 2 N - 1 evaluations,
    or N without a corrector.
    """

    name = "sa_solver_pece"
    source = _paper(
        "eq. (15) and (18) in PECE mode; ComfyUI, sample_sa_solver_pece", deviations=_DEVIATIONS
    )

    def plan(self, grid: Grid) -> list[Any]:
        rows: list[LinearRow] = super(SASolver, self).plan(grid)
        corrections = [*self._corrections(rows, grid), ()]
        steps = zip(rows, grid.sigma[1:], corrections, strict=True)
        return [_PECERow(row, level, weights) for row, level, weights in steps]

    def nfe(self, grid: Grid) -> int:
        return super().nfe(grid) + (len(grid) - 1 if self.corrector else 0)

    def step(
        self,
        x: Tensor,
        row: _PECERow,
        past: tuple[Tensor, ...],
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, Tensor]:
        x, d = linear_step(x, row.predictor, past, denoise, noise)
        if row.correction:
            x = blend(x, 1.0, row.correction, (denoise(x, row.level), d, *past), x)
        return x, d
