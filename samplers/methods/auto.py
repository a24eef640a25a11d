"""``auto``, the default sampler: a rule that is found for each model and number of evaluations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from ..base import FOUND, Declared
from ..grid import Grid
from ..pilot.rule import Fitted, Rule, read_rule, typical
from ..registry import get, register
from ..types import Denoise, Noise
from .warped import SOURCE, WarpedAB


@register
@dataclass(frozen=True, kw_only=True)
class Auto(Declared):
    """The default for any model and budget: :class:`.WarpedAB` with levels, order, constants and
    both ends by a rule that is found for the model.

    A harness looks at the model once and has the rule found (:mod:`samplerbench.samplers.pilot`).
    Without that, it is a fourth-order rule for data of standard deviation 0.5. N steps cost N
    evaluations, none outside the range of the grid.

    Attributes:
        rule: text of a rule that an earlier run found (``rules`` of its ``run.json``), which is used
            as it is, without a search; "" searches.
        found: the rule and what it cost; None without a look at the model. It is found, not given.
    """

    name = "auto"
    order = 2
    own_grid = True
    translates = False
    source = SOURCE
    USUAL: ClassVar[float] = 0.5
    """Standard deviation of data in the field's usual scaling."""
    FAR: ClassVar[float] = 40.0
    """Standard deviations from which on an unknown model's first step is deferred."""
    rule: str = ""
    found: Fitted | None = field(default=None, metadata=FOUND)

    def __post_init__(self) -> None:
        if self.rule:
            read_rule(self.rule)  # refuses a wrong text

    @property
    def needs_look(self) -> bool:
        """Return True if the rule is to be searched."""
        return not self.rule

    def fitted(self, found: Fitted) -> Auto:
        """Return this sampler with the rule that was found for a model and a grid."""
        return replace(self, found=found)

    @property
    def facts(self) -> dict[str, Any]:
        """Columns of a row in addition to its configuration."""
        if self.found is None:
            return {}
        return {"pilot_evaluations": self.found.evaluations, "rule": self.found.rule.text}

    def levels(self, grid: Grid) -> Grid:
        """Return the levels that are used in place of ``grid``'s."""
        if len(grid) == 1:
            return grid
        return self._rule(grid).grid(len(grid), grid.sigma[0], _lowest(grid), to_zero=grid.to_zero)

    def profile(self, grid: Grid) -> list[int]:
        """Orders of the steps on :meth:`levels`, a deferred first one included."""
        return self.method(grid).profile(self.levels(grid))

    def nfe(self, grid: Grid) -> int:
        """Return the number of evaluations: one a step of the given grid."""
        return len(grid)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        """Integrate on :meth:`levels`."""
        return self.method(grid).solve(denoise, x, self.levels(grid), noise)

    def method(self, grid: Grid) -> WarpedAB:
        """Return the method that integrates on :meth:`levels`."""
        rule = self._rule(grid)
        skips = rule.deferred and len(grid) > 1
        return get(f"warped_ab_{rule.points}")(
            analytic_first=skips,
            corrector=rule.corrected,
            deferred=skips,
            through_zero=grid.to_zero and len(grid) > 1,
            end=_lowest(grid) if grid.to_zero else 0.0,
            spread=rule.spread,
            knee=rule.knee * rule.spread,
            scale=rule.scale * rule.spread,
            power=rule.power,
            exponent=rule.exponent,
        )

    def _rule(self, grid: Grid) -> Rule:
        if self.rule:
            return read_rule(self.rule)
        if self.found is not None:
            return self.found.rule
        rule = typical(self.USUAL)
        return rule._replace(deferred=grid.sigma[0] >= self.FAR * rule.spread)


def _lowest(grid: Grid) -> float:
    """The last positive level of a grid."""
    return grid.sigma[-2] if grid.to_zero else grid.sigma[-1]
