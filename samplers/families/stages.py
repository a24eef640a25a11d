"""Exponential Runge-Kutta methods for the data prediction, in lam = -log(sigma): the linear
part of dx/dlam = d - x is solved exactly.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, SupportsFloat

import numpy as np
from torch import Tensor

from ..buffers import take_buffer
from ..grid import Grid
from ..loop import GridSampler
from ..numerics import blend
from ..types import Denoise, StepNoise

Evaluate = Callable[[Any, float], Any]


class Stage(NamedTuple):
    """Stage: d_k = denoise(a x + sum_j b_j d_j, sigma) with d_j of earlier stages."""

    sigma: float
    a: float
    b: tuple[float, ...]


class StagesRow(NamedTuple):
    """A step: x <- x + before z_0, then the stages, then x <- a x + sum_j b_j d_j + after z_1."""

    stages: tuple[Stage, ...]
    a: float
    b: tuple[float, ...]
    before: float = 0.0
    after: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LinearStages(GridSampler):
    """A single-step method that is linear in the state and in the denoised images: write
    :meth:`update`.

    The plan runs ``update`` once per interval on coefficient vectors (float64, one entry for x and
    one per evaluation) in place of tensors. So all algebra of the paper collapses to the fewest
    passes over the state. The same method runs on tensors too, and a test holds the two equal.
    """

    @abstractmethod
    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state at ``nxt`` > 0 from the state ``x`` at ``cur``.

        It uses + - * / with floats and ``denoise(y, sigma)`` only.
        """

    def row(self, cur: float, nxt: float, *, before: float = 0.0, after: float = 0.0) -> StagesRow:
        """Return coefficients of the step from ``cur`` to ``nxt``.

        The step to 0 is one evaluation, x <- d, for every method.
        """
        if nxt == 0:
            return StagesRow((Stage(cur, 1.0, ()),), 0.0, (1.0,), before)
        trace = _Trace()
        a, b = trace.split(self.update(trace.x, trace.denoise, cur, nxt))
        return StagesRow(tuple(trace.stages), a, b, before, after)

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Return one row per step."""
        return [self.row(cur, nxt) for cur, nxt in grid.intervals()]

    def nfe(self, grid: Grid) -> int:
        """Return the evaluations per sample: the stages of the plan."""
        return sum(len(row.stages) for row in self.plan(grid))

    def step(
        self,
        x: Tensor,
        row: StagesRow,
        past: tuple[()],  # noqa: ARG002
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, None]:
        """Apply the row."""
        if row.before:
            x = x.add_(noise(0), alpha=row.before)
        x, _ = run_stages(x, row, denoise)
        if row.after:
            x = x.add_(noise(1), alpha=row.after)
        return x, None


def run_stages(x: Tensor, row: StagesRow, denoise: Denoise) -> tuple[Tensor, list[Tensor]]:
    """Take a step without noise, ``x`` in place; return the state and the denoised images."""
    images: list[Tensor] = []
    for stage in row.stages:
        y = blend(x, stage.a, stage.b, images, take_buffer(x)) if stage.b else x
        images.append(denoise(y, stage.sigma))
    return blend(x, row.a, row.b, images, x), images


class _Weights:
    """A sum of the state and denoised images by its weights: entry 0 weighs x, entry k the k-th
    image.

    It refuses what does not keep a sum one: a clip, say, would act on the weights, and be lost.
    """

    __array_ufunc__ = None  # so that a NumPy number on the left leaves the operation to this class

    def __init__(self, of: np.ndarray) -> None:
        self.of = of

    def __add__(self, other: object) -> _Weights:
        if isinstance(other, int) and other == 0:  # what sum() begins with
            return self
        return _Weights(self.of + self._as_weights(other))

    __radd__ = __add__

    def __sub__(self, other: object) -> _Weights:
        return _Weights(self.of - self._as_weights(other))

    def __mul__(self, number: SupportsFloat) -> _Weights:
        return _Weights(self.of * float(number))

    __rmul__ = __mul__

    def __truediv__(self, number: SupportsFloat) -> _Weights:
        return _Weights(self.of / float(number))

    def __neg__(self) -> _Weights:
        return _Weights(-self.of)

    def _as_weights(self, other: object) -> np.ndarray:
        if not isinstance(other, _Weights):
            raise TypeError(f"update adds {other!r} to a state: {_ONLY}")
        return other.of

    def __float__(self) -> float:
        raise TypeError(f"update multiplies by a state, or divides by one: {_ONLY}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"update uses {name!r} of a state: {_ONLY}")


_ONLY = (
    "a LinearStages has + and - of states, * and / with floats, and denoise(y, sigma); "
    "write another method as a GridSampler"
)


class _Trace:
    """Records an update on weights."""

    # evaluations a step: the length of the vectors is fixed before the update says how many it
    # takes
    MOST = 32

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.x = self._unit_weights(0)

    def denoise(self, y: _Weights, sigma: float) -> _Weights:
        a, b = self.split(y)
        if not self.stages and (a, b) != (1.0, ()):
            raise ValueError("the first evaluation of a step must be at the state itself")
        if len(self.stages) == self.MOST:
            raise ValueError(
                f"a step of LinearStages has at most {self.MOST} "
                "evaluations; write a method with more as a GridSampler"
            )
        self.stages.append(Stage(float(sigma), a, b))
        return self._unit_weights(len(self.stages))

    def split(self, y: _Weights) -> tuple[float, tuple[float, ...]]:
        """Return the weight of x and the weights of the evaluations so far."""
        return float(y.of[0]), tuple(float(v) for v in y.of[1 : len(self.stages) + 1])

    def _unit_weights(self, k: int) -> _Weights:
        unit = np.zeros(self.MOST + 1)
        unit[k] = 1.0
        return _Weights(unit)


_CAP = math.sqrt(2) - 1
_MOST_ASYMPTOTIC = 16 * _CAP
"""Most churn with an order: with more, steps from sigma_hat do not shrink before N is large."""


@dataclass(frozen=True, kw_only=True)
class Churned(LinearStages):
    """Add noise up to sigma_hat = (1 + gamma) sigma, then one step of the method down to the next
    level.

    gamma = min(churn / N, sqrt(2) - 1) for levels in [s_min, s_max], else 0; the noise added has
    standard deviation s_noise sqrt(sigma_hat² - sigma²). The step to 0 is churned like any other.
    The defaults are EDM's for ImageNet-64.

    With s_noise = 1, noise takes exact samples at sigma to exact samples at sigma_hat: the
    distribution has no error but the method's, and the weak order is the method's order.

    Attributes:
        churn: S_churn >= 0, total amount of noise; 0 is the deterministic method.
        s_min, s_max: levels between which noise is added.
        s_noise: inflation of the noise, > 0; with a value other than 1 the method converges to a
            slightly wrong distribution.

    Class attributes:
        solver_order: order of the deterministic method.
    """

    solver_order: ClassVar[int]
    churn: float = 40.0
    s_min: float = 0.05
    s_max: float = 50.0
    s_noise: float = 1.003

    def __post_init__(self) -> None:
        if self.churn < 0 or self.s_noise < 0 or not 0 <= self.s_min <= self.s_max:
            raise ValueError(
                f"{self.name}: need churn >= 0, s_noise > 0 and 0 <= s_min <= s_max, got {self}"
            )
        if self.churn > 0 and self.s_noise == 0:
            raise ValueError(
                f"{self.name}: s_noise = 0 raises the level without its "
                "noise; set churn = 0 for the deterministic method"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Return True if noise is drawn: churn > 0."""
        return self.churn > 0

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """The method's, if s_noise is 1 and 16 steps show the order; None otherwise."""
        shows = not self.churn or (self.s_noise == 1 and self.churn <= _MOST_ASYMPTOTIC)
        return self.solver_order if shows else None

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Return one row per step, from sigma_hat after the churn."""
        most = min(self.churn / len(grid), _CAP)
        rows = []
        for cur, nxt in grid.intervals():
            hat = cur * (1 + (most if self.s_min <= cur <= self.s_max else 0.0))
            rows.append(self.row(hat, nxt, before=self.s_noise * math.sqrt(hat**2 - cur**2)))
        return rows


class Tableau(NamedTuple):
    """Coefficients of one step; the weights of the first evaluation follow from the others.

    Attributes:
        c: where the second, third, … evaluation is, as fractions of the step in lam.
        a: for each of them, the weights of the second, third, … evaluation before it.
        b: the weights of the second, third, … evaluation in the result.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ExponentialRungeKutta(LinearStages):
    """Exponential Runge-Kutta method: with s_k = cur^{1 - c_k} nxt^{c_k}, d_1 = denoise(x, cur), h
    the step in lam,

    d_k = denoise((s_k / cur) x + (1 - s_k / cur) d_1 + h sum_j a_kj (d_j - d_1), s_k) for k = 2, …;
    x <- (nxt / cur) x + (1 - nxt / cur) d_1 + h sum_k b_k (d_k - d_1).

    The differences d_j - d_1 make every stage exact for constant d (Hochbruck & Ostermann 2010).
    """  # noqa: D415

    @abstractmethod
    def tableau(self, h: float) -> Tableau:
        """Return the coefficients for a step of length ``h`` > 0 in lam."""

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state after a step of the class's formulas."""
        h = math.log(cur / nxt)
        c, a, b = self.tableau(h)
        first = denoise(x, cur)
        differences: list[Any] = []

        def state(level: float, weights: tuple[float, ...]) -> Any:
            exact = level / cur * x + (1 - level / cur) * first
            return sum((h * w * diff for w, diff in zip(weights, differences, strict=True)), exact)

        for c_k, a_k in zip(c, a, strict=True):
            level = cur ** (1 - c_k) * nxt**c_k
            differences.append(denoise(state(level, a_k), level) - first)
        return state(nxt, b)
