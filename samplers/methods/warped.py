"""``auto``, the default sampler, and its methods: Adams-Bashforth in a warped noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor

from ..auto.rule import Fitted, Rule, Warp, read_rule, typical
from ..base import FOUND, Declared
from ..families.linear import LinearRow, add_to_state, jump
from ..families.multistep import Multistep, Startup, adams_row, history_weights
from ..grid import Grid
from ..loop import integrate
from ..numerics import integrate_panels
from ..registry import get, register, register_family
from ..types import Denoise, Noise, Source

M1, M0 = 1 + 0j, 1j
"""History entries of steps 1 and 0 as complex weights: real for entry 1, imaginary for entry 0."""


def defer_first_step(rows: Sequence[LinearRow]) -> list[LinearRow]:
    """Return a plan that redoes its first step, made without an evaluation, in the second step.

    The first row guesses d = gain x. The second row evaluates d at the state that the guess gives,
    and replaces the first step by Euler's with this d. Entry i is what step i leaves for later
    steps. Rows that read entry 1 also read entry 0.

    Args:
        rows: linear rows, the first with a ``gain``, the second without. A single row is unchanged.
    """
    if len(rows) < 2:
        return list(rows)
    first, second = rows[:2]
    assert first.gain is not None
    entry = first.p + first.q * first.gain
    x0, provided = M0 / entry, (first.a + first.b[0] * entry) * M0 / entry
    d = (M1 - second.p * provided) / second.q
    ratio = second.sigma / first.sigma
    x1 = ratio * x0 + (1 - ratio) * d
    m0, m1 = first.p * x0 + first.q * d, second.p * x1 + second.q * d
    deferred = [first]
    for i, row in enumerate(rows[1:], 1):
        if len(row.b) >= i:  # the row reads entry 1
            b1, b0 = row.b[i - 1], row.b[i] if len(row.b) > i else 0.0
            # only the second row starts at the provided state
            shift = row.a * (x1 - provided) if i == 1 else 0j
            entries = b1 * m1 + b0 * m0 + shift
            row = row._replace(b=(*row.b[: i - 1], entries.real, entries.imag))
        deferred.append(row)
    return deferred


TO_ZERO = 40.0
"""Finite log(cur / nxt) for the quadrature of a step to 0; its truncation is below rounding."""
SOURCE = Source(
    "zhang2023deis",
    "rhoAB-DEIS, with another memo, variable and kernel",
    "https://arxiv.org/abs/2204.13902v4",
    deviations=(
        "the velocity is remembered, as a polynomial in the warped level: "
        "docs/explanation/auto.md derives and measures it",
    ),
)


@dataclass(frozen=True, kw_only=True)
class WarpedAB(Multistep):
    """Warped Adams-Bashforth: the velocity v is a polynomial in a warped level g(sigma).

    With y = k x / (k + sigma) and u = sigma / (k + sigma), dy/du = v = [x - (1 + sigma / k) d] k /
    sigma. On levels at equal distances in g the extrapolation is the classical Adams-Bashforth
    method's, with the exact kernel in place of a constant. So it is as stable as on a uniform grid.

    Attributes:
        knee: k > 0 of the process y = (1 - u) x0 + k u z.
        scale, power, exponent: parameters of the :class:`~samplerbench.samplers.auto.rule.Warp` g.
        corrector: True if an evaluation corrects the previous step, by a polynomial that goes
            through its history entry too, as in UniPC (:mod:`.unipc`). This raises the order by
            one. A deferred first step already uses that evaluation, so it is not corrected.
        deferred: True to redo the first step by :func:`defer_first_step`; needs ``analytic_first``.
            ``spread`` then only sets the state at which the second step evaluates.
        spread: s > 0, the data's standard deviation; an analytic step has eps = x / hypot(s, sigma).
        end: level >= 0 for a step to 0 with ``through_zero``. The step's result is the denoised
            image at ``end``, extrapolated from higher levels. This equals x(0) if ``end`` is 0 or below the
            data's finest detail. A step to 0 from ``end`` or below is x <- d.
    """

    source: ClassVar[Source] = SOURCE
    through_zero: bool = False
    startup: Startup = "ramp"
    knee: float = 1.5
    scale: float = 0.09
    power: float = 1.07
    exponent: float = 0.63
    corrector: bool = False
    deferred: bool = False
    spread: float = 1.0
    end: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deferred and not self.analytic_first:
            raise ValueError(
                f"{self.name}: deferred is about the analytic first step; set analytic_first too"
            )
        if self.corrector and self.startup != "ramp":
            raise ValueError(
                f"{self.name}: the corrector needs entries of all steps; leave out startup="
                f"{self.startup!r}"
            )
        if not (0 < self.knee < math.inf and 0 < self.spread < math.inf and self.end >= 0):
            raise ValueError(
                f"{self.name}: knee and spread must be positive and end not negative, got "
                f"{self.knee}, {self.spread} and {self.end}"
            )
        self.warp  # noqa: B018 - refuses bad values

    @property
    def warp(self) -> Warp:
        return Warp(self.scale, self.power, self.exponent)

    @property
    def order(self) -> int:  # type: ignore[override]
        return self.points + int(self.corrector)

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of history entries that a step may use; corrector and deferral each add one."""
        return self.points - 1 + int(self.corrector) + int(self.deferred)

    def plan(self, grid: Grid) -> list[Any]:
        rows = super().plan(grid)
        if self._skips_first(grid):
            cur = rows[0].sigma
            rows[0] = rows[0]._replace(gain=1 - cur / math.hypot(self.spread, cur))
        if self.corrector:
            orders = self.profile(grid)
            for i in range(2 if self.deferred else 1, len(rows)):
                before = grid.sigma[i - orders[i - 1] : i][::-1]
                rows[i] = self._add_correction(rows[i], before)
        return defer_first_step(rows) if self.deferred else rows

    def _add_correction(self, row: LinearRow, before: Sequence[float]) -> LinearRow:
        """Return ``row`` with a correction of the step before, which read entries at ``before``."""
        cur, levels = before[0], (row.sigma, *before)
        moments = self.moments(cur, row.sigma, len(levels))
        through = history_weights(self, levels, cur, moments)
        scaled = (w * self.entry_coefficients(s)[1] for w, s in zip(through, levels, strict=True))
        weights = (0.0, *adams_row(self, before, row.sigma).b)
        return add_to_state(row, [c - w for c, w in zip(scaled, weights, strict=True)])

    def entry_coefficients(self, sigma: float) -> tuple[float, float]:
        return 1 + sigma / self.knee, self.knee / sigma

    def decay(self, cur: float, nxt: float) -> float:
        return (self.knee + nxt) / (self.knee + cur)

    def variable(self, sigma: float) -> float:
        return self.warp(sigma)

    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return (k + nxt) int_cur^nxt (g - g(cur))^j / j! dsigma / (k + sigma)², j < ``count``."""
        g, k, origin = self.warp, self.knee, self.warp(cur)
        h = math.log(cur / nxt) if nxt > 0 else TO_ZERO

        def moment(j: int) -> float:
            def kernel(s: float) -> float:
                sigma = cur * math.exp(-s)
                return (g(sigma) - origin) ** j / math.factorial(j) * sigma / (k + sigma) ** 2

            return -(k + nxt) * integrate_panels(kernel, 0.0, h)

        return [self.decay(cur, nxt) - 1, *(moment(j) for j in range(1, count))]

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        return adams_row(self, levels, nxt) if nxt > 0 or not self.end else self._image_row(levels)

    def _image_row(self, levels: Sequence[float]) -> LinearRow:
        """Return the coefficients of a step to the denoised image at ``end``, by extrapolated v."""
        cur, ratio = levels[0], self.end / self.knee
        if cur <= self.end:
            return jump(cur)
        step = adams_row(self, levels, self.end)
        distance = self.variable(self.end) - self.variable(cur)
        powers = [distance**j / math.factorial(j) for j in range(len(levels))]
        ahead = history_weights(self, levels, cur, powers)
        weights = (
            (b - w * self.entry_coefficients(level)[1] * ratio) / (1 + ratio)
            for b, w, level in zip(step.b, ahead, levels, strict=True)
        )
        return step._replace(a=step.a / (1 + ratio), b=tuple(weights))


for _k in (1, 2, 3, 4):
    _same = "euler" if _k == 1 else ""  # a straight line, in any variable
    register_family(WarpedAB, f"warped_ab_{_k}", points=_k, same_as=_same)


@register
@dataclass(frozen=True, kw_only=True)
class Auto(Declared):
    """Default sampler for any model and budget: :class:`.WarpedAB` with a rule found for the model.

    The rule sets levels, order, constants, and the first and last step. A harness probes the model
    once and searches for the rule (:mod:`samplerbench.samplers.auto`). Without a harness, a
    fourth-order rule for data of standard deviation 0.5 is used. N steps cost N evaluations, none
    outside the grid's range.

    Attributes:
        rule: text of a rule that an earlier run found (column ``rule`` of its table), used without
            a search; "" searches.
        found: the rule and the cost of its search; None without a probe. The harness sets it; users
            do not.
    """

    name = "auto"
    order = 2
    own_grid = True
    translates = False
    source = SOURCE
    USUAL: ClassVar[float] = 0.5
    """Standard deviation of data in the field's usual scaling."""
    FAR: ClassVar[float] = 40.0
    """Ratio of first level to spread from which the default rule defers its first step."""
    rule: str = ""
    found: Fitted | None = field(default=None, metadata=FOUND)

    def __post_init__(self) -> None:
        if self.rule:
            read_rule(self.rule)  # refuses a wrong text

    @property
    def needs_look(self) -> bool:
        return not self.rule

    def fitted(self, found: Fitted) -> Auto:
        return replace(self, found=found)

    @property
    def facts(self) -> dict[str, Any]:
        if self.found is None:
            return {}
        return {"pilot_evaluations": self.found.evaluations, "rule": self.found.rule.text}

    def levels(self, grid: Grid) -> Grid:
        """Return the rule's grid between the ends of ``grid``; a grid of one step is unchanged.

        It has one step more than ``grid`` if the rule's first step takes no evaluation (deferred).
        """
        if len(grid) == 1:
            return grid
        ends = grid.sigma[0], grid.positive[-1]
        return self._rule_for(grid).grid(len(grid), *ends, to_zero=grid.to_zero)

    def profile(self, grid: Grid) -> list[int]:
        """Return the order of each step on :meth:`levels`, which may have one step more."""
        return self.method(grid).profile(self.levels(grid))

    def nfe(self, grid: Grid) -> int:
        return len(grid)

    def solve(self, denoise: Denoise, x: Tensor, grid: Grid, noise: Noise) -> Tensor:
        return integrate(self.method(grid), denoise, x, self.levels(grid), noise)

    def method(self, grid: Grid) -> WarpedAB:
        """Return the multistep method, set by the rule, that integrates over :meth:`levels`."""
        rule = self._rule_for(grid)
        skips = rule.deferred and len(grid) > 1
        return get(f"warped_ab_{rule.points}")(
            analytic_first=skips,
            corrector=rule.corrected,
            deferred=skips,
            through_zero=grid.to_zero and len(grid) > 1,
            end=grid.positive[-1] if grid.to_zero else 0.0,
            spread=rule.spread,
            knee=rule.knee * rule.spread,
            scale=rule.scale * rule.spread,
            power=rule.power,
            exponent=rule.exponent,
        )

    def _rule_for(self, grid: Grid) -> Rule:
        """Return the option ``rule``, else the rule found for the model, else a typical one."""
        if self.rule:
            return read_rule(self.rule)
        if self.found is not None:
            return self.found.rule
        rule = typical(self.USUAL)
        return rule._replace(deferred=grid.sigma[0] >= self.FAR * rule.spread)
