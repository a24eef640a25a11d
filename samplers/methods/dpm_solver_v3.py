"""DPM-Solver-v3: exponential Adams methods whose linear part was measured on the model.

The statistics l and s are from :mod:`~samplerbench.samplers.auto.statistics`. In lam = -log sigma, the
deviation y of the state from the mean of the process follows dy/dlam = -l y - n with a remainder n. Let L and S
be the integrals of l and s, and g = exp(-S) n, which changes slowly because dn/dlam is near s n. Then

    exp(L_t) y_t = exp(L_0) y_0 - int_0^t exp(L + S) g dlam.

A step replaces g by a polynomial in lam through history entries: n at several levels, which steps
leave for later steps. The mean at the end of the step is then added to y. Constant statistics give
older methods: l = 1 and s = 0 the data prediction (DPM-Solver++, UniPC), l = 0 and s = -1 the noise
prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..auto.statistics import Array, ConstantStatistics, Statistics
from ..base import FOUND
from ..buffers import take_buffer
from ..families.multistep import lower_last
from ..grid import Grid
from ..loop import GridSampler
from ..registry import register
from ..types import Denoise, Source, StepNoise

Coefficient = float | Tensor
"""Number for all dimensions, or tensor ``(*event)``."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)


class StatisticsRow(NamedTuple):
    """Coefficients of a step per dimension: y <- a y + sum_j b_j n_{i-j}; x <- d if b is empty.

    Attributes:
        sigma: level at which the denoiser is evaluated.
        keep: 1 - l, with l the statistic in the module's docstring, at ``sigma``.
        state, image: means of the states and of the denoised images at ``sigma``.
        nxt: mean of the states at the end of the step, where the state is ``nxt`` + y.
        a: weight of the deviation y = x - ``state``.
        b: weights of the entries n = (1 - l) y - (d - image), newest first. They include the
            correction of the step before.
    """

    sigma: float
    keep: Coefficient
    state: Coefficient
    image: Coefficient
    nxt: Coefficient
    a: Coefficient
    b: tuple[Coefficient, ...]


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolverV3(GridSampler):
    """DPM-Solver-v3: multistep, with statistics of the model that a harness measures once.

    Without them it integrates the data prediction (l = 1 and s = 0), like a multistep DPM-Solver++.

    Attributes:
        points: evaluations through which a step's polynomial goes, 1, 2 or 3.
        corrector: "plain" corrects a step of order k > 1: a polynomial goes through the next
            evaluation's entry and k - 1 older ones. "pseudo" takes one entry more, also for k = 1,
            and has at most order 2. "" corrects nothing. The authors advise "plain" up to 6 steps
            on small images, "pseudo" on large.
        pseudo: True for pseudo-order of the predictor: each derivative is a divided difference of
            as few entries as it needs. Without a corrector the order is at most 2. The authors
            advise it at 5 steps.
        last: orders that the last steps must not exceed, such as the authors' (2, 1).
        found: the statistics; None without a model. The harness sets it; users do not.
    """

    name = "dpm_solver_v3"
    source = Source(
        "zheng2023dpmsolverv3",
        "Alg. 1 and 2, section 3.3 (pseudo-order)",
        "https://arxiv.org/abs/2310.13268v3",
        deviations=(
            "statistics are splines in lam, so that steps end at any level",
            "the mean of the process stands for b, which it equals",
            "the step to sigma = 0 is x <- d; orders fall before it only if asked to (last)",
        ),
    )
    needs_look: ClassVar[bool] = True
    needs_statistics: ClassVar[bool] = True
    points: int = 3
    corrector: Literal["", "plain", "pseudo"] = "pseudo"
    pseudo: bool = False
    last: tuple[int, ...] = ()
    found: Statistics | ConstantStatistics | None = field(default=None, metadata=FOUND)

    def __post_init__(self) -> None:
        if self.points not in (1, 2, 3) or self.corrector not in ("", "plain", "pseudo"):
            raise ValueError(
                f"{self.name}: points is 1, 2 or 3 and corrector '', 'plain' or 'pseudo', got "
                f"{self.points} and {self.corrector!r}"
            )
        if not all(isinstance(k, int) and k >= 1 for k in self.last):
            raise ValueError(
                f"{self.name}: last must list orders >= 1, such as (2, 1), got {self.last}"
            )

    @property
    def order(self) -> int:  # type: ignore[override]
        if self.corrector == "pseudo":
            return 2
        # a plain corrector makes up for a predictor whose order is one less
        return min(self.points, 2) if self.pseudo and not self.corrector else self.points

    @property
    def history(self) -> int:  # type: ignore[override]
        return self.points if self.corrector else self.points - 1

    @property
    def event(self) -> tuple[int, ...] | None:
        """Shape of a sample of the model that was measured; None for any shape."""
        return None if self.found is None else self.found.event

    @property
    def facts(self) -> dict[str, Any]:
        return {} if self.found is None else {"pilot_evaluations": self.found.evaluations}

    def fitted(self, found: Statistics | ConstantStatistics) -> DPMSolverV3:
        return replace(self, found=found)

    def profile(self, grid: Grid) -> list[int]:
        """Return the order of each step's predictor; 1 for the step to 0."""
        orders = lower_last([min(i + 1, self.points) for i in range(len(grid))], self.last)
        return [*orders[:-1], 1] if grid.to_zero else orders

    def plan(self, grid: Grid) -> list[StatisticsRow]:
        orders, levels = self.profile(grid), grid.sigma
        means = self._statistics.interpolate(np.array(grid.positive))
        rows = []
        for i, (cur, nxt) in enumerate(grid.intervals()):
            if nxt == 0:  # x <- d
                a, b, end = 0.0, [], 0.0
            else:
                nodes = levels[i - orders[i] + 1 : i + 1][::-1]
                a, weights = self._step_weights(nodes, nxt, pseudo=self.pseudo)
                change = self._correction(levels[: i + 1], orders[i - 1]) if i else []
                b = [a * c - w for c, w in zip_longest(change, weights, fillvalue=0.0)]
                end = means.state[i + 1]
            own = (1 - means.linear[i], means.state[i], means.image[i], end, a)
            weights = tuple(map(_coefficient, b))
            rows.append(StatisticsRow._make([cur, *map(_coefficient, own), weights]))
        return rows

    def step(
        self,
        x: Tensor,
        row: StatisticsRow,
        past: tuple[Tensor, ...],
        denoise: Denoise,
        noise: StepNoise,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        if self.event not in (None, tuple(x.shape[1:])):
            raise ValueError(
                f"{self.name}: the statistics are for samples of shape {self.event}, not "
                f"{tuple(x.shape[1:])}; measure those of this model"
            )
        d = denoise(x, row.sigma)
        if not row.b:
            return d, None
        keep, state, image, nxt, a = (_like(x, c) for c in row[1:-1])
        y = torch.sub(x, state, out=take_buffer(x))
        newest = torch.mul(y, keep, out=take_buffer(x)).sub_(d).add_(image)
        x = y.mul_(a).add_(nxt)
        for weight, entry in zip(row.b, (newest, *past), strict=False):
            if isinstance(share := _like(x, weight), Tensor):
                x.addcmul_(entry, share)
            else:
                x.add_(entry, alpha=share)
        return x, newest

    @property
    def _statistics(self) -> Statistics | ConstantStatistics:
        return ConstantStatistics() if self.found is None else self.found

    def _correction(self, levels: Sequence[float], order: int) -> list[Array]:
        """Return weights of entries, newest first, that correct y at ``levels[-1]``; [] for none.

        A step of order ``order`` ended there. ``levels`` are the grid's from its first on, falling.
        """
        pseudo = self.corrector == "pseudo"
        count = order + int(pseudo)
        if not self.corrector or count < 2:
            return []
        *before, now = levels
        nodes = (before[-1], now, *before[-2::-1])[:count]
        old, new, *older = self._step_weights(nodes, now, pseudo=pseudo)[1]
        weights = [new, old, *older]
        predicted = self._step_weights(before[::-1][:order], now, pseudo=self.pseudo)[1]
        zero = np.zeros_like(new)
        return [p - w for p, w in zip_longest([zero, *predicted], weights, fillvalue=zero)]

    def _step_weights(
        self, nodes: Sequence[float], nxt: float, *, pseudo: bool
    ) -> tuple[Array, list[Array]]:
        """Return a and w of y_t = a y_0 - sum_j w_j n_j, for a step from ``nodes[0]`` to ``nxt``.

        n_j is the entry at ``nodes[j]``. g, in Newton's form, sums divided differences of the first
        k + 1 entries times prod_{i<k} (lam - lam_i). ``pseudo`` makes the product (lam - lam_0)^k.
        """
        lam, end = -np.log(np.array(nodes)), -np.log(nxt)
        inside = lam[0] + (end - lam[0]) * (1 + _NODES) / 2
        at = self._statistics.interpolate(np.exp(-np.array([*lam, end, *inside])))
        count = len(nodes)
        grown, raised = (part - part[0] for part in (at.grown, at.raised))
        column = (-1, *[1] * (grown.ndim - 1))
        kernel = np.exp(grown[count + 1 :] - grown[count] + raised[count + 1 :])
        kernel = kernel * ((end - lam[0]) / 2 * _WEIGHTS).reshape(column)
        weights = [np.zeros_like(grown[0]) for _ in nodes]
        product = np.ones_like(inside)
        for k in range(count):
            moment = (kernel * product.reshape(column)).sum(0)
            for j in range(k + 1):
                others = np.delete(lam[: k + 1], j)
                weights[j] = weights[j] + moment / np.prod(lam[j] - others)
            product = product * (inside - lam[0 if pseudo else k])
        scaled = [w * np.exp(-r) for w, r in zip(weights, raised, strict=False)]
        return np.exp(-grown[count]), scaled


def _coefficient(value: Array | float) -> Coefficient:
    """Return a coefficient in the form for a row: an array as a tensor, a number as a float."""
    return torch.from_numpy(value) if np.ndim(value) else float(value)


def _like(x: Tensor, value: Coefficient) -> Coefficient:
    """Return a tensor coefficient on the device and in the dtype of ``x``; a float unchanged."""
    return value.to(x) if isinstance(value, Tensor) else value
