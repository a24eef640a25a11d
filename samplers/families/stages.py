"""Single-step methods with several evaluations, such as exponential Runge-Kutta methods in lam."""

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
    """Evaluation in a step: d_k = denoise(a x + sum_j b_j d_j, sigma), with earlier images d_j."""

    sigma: float
    a: float
    b: tuple[float, ...]


class StagesRow(NamedTuple):
    """Coefficients of a step of several evaluations, with standard normals z_0 and z_1.

    x <- x + before z_0; ``stages`` give d_1, d_2, …; then x <- a x + sum_j b_j d_j + after z_1.
    """

    stages: tuple[Stage, ...]
    a: float
    b: tuple[float, ...]
    before: float = 0.0
    after: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LinearStages(GridSampler):
    """Base class of single-step methods linear in state and images; define :meth:`update`.

    The plan runs ``update`` once per interval on coefficient vectors (float64, one entry for x and
    one per evaluation) in place of tensors. So all algebra of the paper collapses to the fewest
    passes over the state. ``update`` also runs on tensors, and a test compares both results.
    """

    @abstractmethod
    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state at ``nxt`` > 0 from the state ``x`` at ``cur``.

        It uses + - * / with floats and ``denoise(y, sigma)`` only. The first ``y`` is ``x`` itself.
        """

    def row(
        self, cur: float, nxt: float, *, before: float = 0.0, after: float = 0.0, **options: Any
    ) -> StagesRow:
        """Return the coefficients of the step from ``cur`` to ``nxt``; the step to 0 is x <- d.

        ``before`` and ``after`` are standard deviations of noise; a step to 0 has none after it.
        ``options`` are passed to :meth:`update`.
        """
        if nxt == 0:
            return StagesRow((Stage(cur, 1.0, ()),), 0.0, (1.0,), before)
        row = trace_step(lambda x, denoise: self.update(x, denoise, cur, nxt, **options))
        return row._replace(before=before, after=after)

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Return the coefficients of each step."""
        return [self.row(cur, nxt) for cur, nxt in grid.intervals()]

    def nfe(self, grid: Grid) -> int:
        """Return the number of evaluations per sample: all stages of all steps."""
        return sum(len(row.stages) for row in self.plan(grid))

    def step(
        self,
        x: Tensor,
        row: StagesRow,
        past: tuple[()],  # noqa: ARG002
        denoise: Denoise,
        noise: StepNoise,
    ) -> tuple[Tensor, None]:
        """Return the states after the step ``row``, and no history entry for later steps."""
        if row.before:
            x = x.add_(noise(0), alpha=row.before)
        x, _ = run_stages(x, row, denoise)
        if row.after:
            x = x.add_(noise(1), alpha=row.after)
        return x, None


def run_stages(
    x: Tensor, row: StagesRow, denoise: Denoise, past: tuple[Tensor, ...] = ()
) -> tuple[Tensor, list[Tensor]]:
    """Return the state after ``row`` without its noise, and the images d_j; overwrite ``x``.

    Images of earlier steps, ``past``, come first in the weights of ``row`` and in the result.
    """
    images = list(past)
    for stage in row.stages:
        y = blend(x, stage.a, stage.b, images, take_buffer(x)) if stage.b else x
        images.append(denoise(y, stage.sigma))
    return blend(x, row.a, row.b, images, x), images


class _Weights:
    """Weights of a linear combination of the state x and the denoised images.

    Entry 0 weighs x, entry k the k-th image. Operations that are not linear, such as a clip, raise
    an error, since they would act on the weights.
    """

    __array_ufunc__ = None  # so that a NumPy number on the left leaves the operation to this class

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def __add__(self, other: object) -> _Weights:
        if isinstance(other, int) and other == 0:  # what sum() begins with
            return self
        return _Weights(self.weights + self._as_weights(other))

    __radd__ = __add__

    def __sub__(self, other: object) -> _Weights:
        return _Weights(self.weights - self._as_weights(other))

    def __mul__(self, number: SupportsFloat) -> _Weights:
        return _Weights(self.weights * float(number))

    __rmul__ = __mul__

    def __truediv__(self, number: SupportsFloat) -> _Weights:
        return _Weights(self.weights / float(number))

    def __neg__(self) -> _Weights:
        return _Weights(-self.weights)

    def _as_weights(self, other: object) -> np.ndarray:
        if not isinstance(other, _Weights):
            raise TypeError(f"update adds {other!r} to a state: {_ALLOWED_OPERATIONS}")
        return other.weights

    def __float__(self) -> float:
        raise TypeError(f"update multiplies by a state, or divides by one: {_ALLOWED_OPERATIONS}")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"update uses {name!r} of a state: {_ALLOWED_OPERATIONS}")


_ALLOWED_OPERATIONS = (
    "a LinearStages has + and - of states, * and / with floats, and denoise(y, sigma); "
    "write another method as a GridSampler"
)


_MOST_EVALUATIONS = 32
"""Most evaluations a step, which fixes the vectors' length before the update is known."""


def trace_step(update: Callable[[Any, Evaluate], Any]) -> StagesRow:
    """Return the coefficients of a step ``update(x, denoise)``, which runs on :class:`_Weights`."""
    stages: list[Stage] = []
    units = [_Weights(unit) for unit in np.eye(_MOST_EVALUATIONS + 1)]

    def split(y: _Weights) -> tuple[float, tuple[float, ...]]:
        state, *images = y.weights[: len(stages) + 1].tolist()
        return state, tuple(images)

    def denoise(y: _Weights, sigma: float) -> _Weights:
        a, b = split(y)
        if not stages and a != 1:
            raise ValueError("the first evaluation of a step must be at the state itself")
        if len(stages) == _MOST_EVALUATIONS:
            raise ValueError(
                f"a step of LinearStages has at most {_MOST_EVALUATIONS} "
                "evaluations; write a method with more as a GridSampler"
            )
        stages.append(Stage(float(sigma), a, b))
        return units[len(stages)]

    a, b = split(update(units[0], denoise))
    return StagesRow(tuple(stages), a, b)


_LARGEST_GAMMA = math.sqrt(2) - 1
_LARGEST_CHURN_WITH_ORDER = 16 * _LARGEST_GAMMA
"""Largest ``churn`` with a declared order: above 16 steps, its gamma is below the cap."""


@dataclass(frozen=True, kw_only=True)
class Churned(LinearStages):
    """Base class of EDM's churn: noise up to sigma_hat = (1 + gamma) sigma, then a step down.

    With N steps, gamma = min(churn / N, sqrt(2) - 1) at levels in [s_min, s_max], else 0. The noise
    has standard deviation s_noise sqrt(sigma_hat² - sigma²). The step to 0 is churned like any
    other. The defaults are EDM's for ImageNet-64.

    With s_noise = 1, the noise turns exact samples at sigma into exact samples at sigma_hat. The
    distribution then has no error but the method's, so the method's order is the weak order.

    Attributes:
        churn: S_churn >= 0, total amount of noise; 0 is the deterministic method.
        s_min, s_max: levels between which noise is added.
        s_noise: factor of the noise, > 0; with a value other than 1 the method converges to a
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
        if not (self.churn >= 0 and 0 < self.s_noise < math.inf and 0 <= self.s_min <= self.s_max):
            raise ValueError(
                f"{self.name}: need churn >= 0, s_noise > 0 and 0 <= s_min <= s_max, got {self}; "
                "churn = 0 is the deterministic method"
            )

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True if churn > 0."""
        return self.churn > 0

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """``solver_order``; None if churn > 16 (sqrt(2) - 1), or if churn > 0 and s_noise != 1."""
        has_order = not self.churn or (
            self.s_noise == 1 and self.churn <= _LARGEST_CHURN_WITH_ORDER
        )
        return self.solver_order if has_order else None

    def plan(self, grid: Grid) -> list[StagesRow]:
        """Return the coefficients of each step: noise up to sigma_hat, then the step from there."""
        most = min(self.churn / len(grid), _LARGEST_GAMMA)
        rows = []
        for cur, nxt in grid.intervals():
            hat = cur * (1 + (most if self.s_min <= cur <= self.s_max else 0.0))
            rows.append(self.row(hat, nxt, before=self.s_noise * math.sqrt(hat**2 - cur**2)))
        return rows


class Tableau(NamedTuple):
    """Coefficients of a step but for its first evaluation, whose weights make constant d exact.

    Attributes:
        c: nodes of the second, third, … evaluation: fractions of the step in lam.
        a: a tuple for each node, the weights of the second, third, … evaluation before it.
        b: the weights of the second, third, … evaluation in the result.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ExponentialRungeKutta(LinearStages):
    """Base class of exponential Runge-Kutta methods; define :meth:`tableau`.

    With s_k = cur^{1 - c_k} nxt^{c_k}, d_1 = denoise(x, cur) and h the step in lam,
    d_k = denoise((s_k / cur) x + (1 - s_k / cur) d_1 + h sum_j a_kj (d_j - d_1), s_k) for k = 2, …;
    x <- (nxt / cur) x + (1 - nxt / cur) d_1 + h sum_k b_k (d_k - d_1).

    The differences d_j - d_1 make every stage exact for constant d (Hochbruck & Ostermann 2010).
    """

    @abstractmethod
    def tableau(self, h: float) -> Tableau:
        """Return the coefficients of a step of length ``h`` > 0 in lam."""

    def update(self, x: Any, denoise: Evaluate, cur: float, nxt: float) -> Any:
        """Return the state at ``nxt`` by the formulas in the docstring of the class."""
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
