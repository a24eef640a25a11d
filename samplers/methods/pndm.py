"""PNDM, PLMS and iPNDM, which use the Adams-Bashforth weights of equal steps on any grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar

from ..families.linear import LinearRow, eps_row
from ..families.multistep import Multistep, StartRow
from ..families.stages import LinearStages
from ..grid import Grid
from ..loop import GridSampler
from ..registry import get, register, register_family
from ..types import Source
from . import deis as _deis  # noqa: F401 - registers deis_rrk_4
from .edm import Heun

_paper = partial(Source, "liu2022pndm", url="https://arxiv.org/abs/2202.09778v2")

EQUAL_STEPS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True, kw_only=True)
class IPNDM(Multistep):
    """Improved PNDM (iPNDM), multistep in eps: x <- x + (nxt - cur) sum_j w_j eps_{i-j}.

    w are the Adams-Bashforth weights of equal steps. On levels that are uniform in sigma, the order
    is the number of points. On other levels the weights miss the first moment of the history by a
    term proportional to the difference of neighbouring steps. The steps of a smooth schedule become
    equal as it is refined, which leaves second order. Even so, the method is among the best below
    15 evaluations. Where steps stay unequal, alternating or random, the method is of first order.
    """

    source: ClassVar[Source] = Source(
        "zhang2023deis",
        "iPNDM; authors' code, method ipndm",
        "https://arxiv.org/abs/2204.13902v4",
        deviations=(
            "declared at its order on smooth schedules, 2; it is 1 where steps stay unequal",
        ),
    )
    through_zero: bool = False

    def weights(self, levels: Sequence[float], nxt: float) -> Sequence[float]:  # noqa: ARG002
        """Return the weights w of eps at ``levels``, newest first, in a step to ``nxt``."""
        return EQUAL_STEPS[len(levels) - 1]

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        return eps_row(levels, [(nxt - levels[0]) * w for w in self.weights(levels, nxt)])


register_family(IPNDM, "ipndm_1", points=1, order=1, same_as="euler")
register_family(IPNDM, "ipndm_2", points=2, order=2)
register_family(IPNDM, "ipndm_3", points=3, order=2)
register_family(IPNDM, "ipndm", points=4, order=2)


@register
@dataclass(frozen=True, kw_only=True)
class IPNDMVPublished(IPNDM):
    """Adams-Bashforth for unequal steps in sigma, with three slips of diff-sampler and ComfyUI.

    ``zab_4`` has the right weights. A missing pair of parentheses and a wrong sign leave third
    order on equal steps and on steps of one ratio. A ratio of the wrong steps makes the sum of w
    differ from 1 on all other levels. So the order is 2 on other smooth schedules, and 0, without
    convergence, where steps alternate in length.
    """

    name = "ipndm_v_published"
    points = 4
    source = Source(
        "zhou2024amed",
        "authors' code, diff-solvers-main, ipndm_v_sampler; ComfyUI, sample_ipndm_v",
        "https://github.com/zju-pi/diff-sampler",
        deviations=("no order is declared, since it depends on the schedule: 3, 2 or 0",),
    )

    def weights(self, levels: Sequence[float], nxt: float) -> Sequence[float]:
        h, *before = (to - level for to, level in pairwise([nxt, *levels]))
        if not before:
            return (1.0,)
        r = h / before[0] / 2
        w = [1 + r, -r]
        if len(levels) > 2:
            a, b = before[:2]
            third = (1 - h / (3 * (h + a)) * (h * (h + a)) / (a * (a + b))) / 2
            w = [w[0] + third, w[1] - (1 + a / b) * third, a / b * third]
        if len(levels) > 3:
            a, b, c = before
            fourth = (1 - h / (3 * (h + a))) / 2 + (1 - h / (2 * (h + a))) * h / (6 * (h + a + b))
            fourth *= h * (h + a) * (h + a + b) / (a * (a + b) * (a + b + c))
            far = a * (a + b) / (b * (b + c))
            w[0] += fourth
            w[1] -= (1 + a / b + far) * fourth
            w[2] += (a / b + far * (1 + b / c)) * fourth
            w.append(-far * a / b * fourth)
        return w


@register
@dataclass(frozen=True, kw_only=True)
class GradientEstimation(IPNDM):
    """Gradient estimation (FoGE): x <- x + (nxt - cur) [gamma eps_i + (1 - gamma) eps_{i-1}].

    The first step is Euler's. Gamma = 1 is Euler's method. Gamma = 3/2 is ``ipndm_2``; no other
    gamma has second order on smooth schedules.

    Attributes:
        gamma: weight of the newest eps, finite.
    """

    name = "gradient_estimation"
    points = 2
    source = Source(
        "permenter2024gradient", "Alg. 2; section 5", "https://arxiv.org/abs/2306.04848v4"
    )
    gamma: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.gamma):
            raise ValueError(f"{self.name}: gamma must be finite, got {self.gamma}")

    @property
    def order(self) -> int:  # type: ignore[override]
        return 2 if self.gamma == 3 / 2 else 1

    def weights(self, levels: Sequence[float], nxt: float) -> Sequence[float]:  # noqa: ARG002
        return (self.gamma, 1 - self.gamma) if len(levels) == 2 else (1.0,)


@dataclass(frozen=True, kw_only=True)
class PseudoNumerical(GridSampler):
    """Base class of PNDM and PLMS: first steps of ``starter``, then iPNDM; the step to 0 is x <- d.

    ``ramp`` lists how many values of eps each first step combines; 0 stands for a single step of
    ``starter``. Steps beyond the list combine 4. Every step keeps eps at its beginning for later
    ones. The order is 2 on smooth schedules, like :class:`IPNDM`.
    """

    order = 2
    history = 3
    ramp: ClassVar[tuple[int, ...]]
    starter: ClassVar[LinearStages]

    def profile(self, grid: Grid) -> list[int]:
        ramp = [*self.ramp, *[4] * len(grid)][: len(grid)]
        orders = [k or self.starter.order or 0 for k in ramp]
        return [*orders[:-1], 1] if grid.to_zero else orders

    def plan(self, grid: Grid) -> list[StartRow | LinearRow]:
        """Return a row per step: ``starter``'s if ``ramp`` has 0 and nxt > 0, else iPNDM's."""
        ramp = [*self.ramp, *[4] * len(grid)]
        steady = get("ipndm")(first=tuple(max(k, 1) for k in ramp)).plan(grid)
        starts = (k == 0 and nxt > 0 for k, (_, nxt) in zip(ramp, grid.intervals(), strict=False))
        return [
            StartRow(self.starter.row(*interval), p=1.0, q=-1.0) if start else row
            for start, row, interval in zip(starts, steady, grid.intervals(), strict=True)
        ]

    def nfe(self, grid: Grid) -> int:
        starts = (row.stages.stages for row in self.plan(grid) if isinstance(row, StartRow))
        return len(grid) + sum(len(stages) - 1 for stages in starts)

    step = Multistep.step  # type: ignore[assignment]


@register
@dataclass(frozen=True, kw_only=True)
class PNDM(PseudoNumerical):
    """PNDM: three Runge-Kutta steps, then iPNDM of 4 points; N > 3 steps take N + 9 evaluations."""

    name = "pndm"
    ramp = (0, 0, 0)
    starter = get("deis_rrk_4")()
    source = _paper(
        "Alg. 2, F-PNDM",
        deviations=(
            "the middle of a start step is the mean of its sigmas, at which the classical "
            "weights are right, not that of its times",
        ),
    )


@register
@dataclass(frozen=True, kw_only=True)
class PLMS(PseudoNumerical):
    """Pseudo linear multistep (PLMS): a Heun step, then iPNDM. N > 1 steps: N + 1 evaluations."""

    name = "plms"
    ramp = (0, 2, 3)
    starter = Heun()
    source = _paper("eq. (12) with the start of Stable Diffusion's PLMSSampler")
