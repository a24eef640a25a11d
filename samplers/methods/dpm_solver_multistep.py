"""Multistep DPM-Solver and DPM-Solver++, as the papers and as their authors' code have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from ..families.exponential import data_moments, noise_moments
from ..families.linear import LinearRow, eps_row
from ..families.multistep import SelfStarting
from ..numerics import monomial_weights
from ..registry import register
from ..types import Source
from .adams_exponential import DataEAB, NoiseEAB

_paper = partial(Source, "lu2022dpmpp", url="https://arxiv.org/abs/2211.01095v2")
_FACTOR_RESTORED = "the second divided difference has the factor 2 that the published code lacks"
_MEASURED_ORDER = "declared at its measured order, 2"


def midpoint_weights(levels: Sequence[float], nxt: float, total: float) -> tuple[float, ...]:
    """Return ``total`` times 1 + w and -w, with w = h / (2 h_prev); ``total`` for a single level.

    (1 + w) m_i - w m_{i-1} extrapolates history entries, which steps leave for later steps, to the
    middle of the step. h is the step to ``nxt`` in lam, and h_prev the step before: ``levels`` are
    newest first.
    """
    if len(levels) == 1:
        return (total,)
    w = math.log(levels[0] / nxt) / (2 * math.log(levels[1] / levels[0]))
    return total * (1 + w), -total * w


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver2M(SelfStarting):
    """DPM-Solver-2M: x <- x + (nxt - cur) [(1 + w) eps_i - w eps_{i-1}], w = h / (2 h_prev).

    h is the step in lam = -log(sigma), and h_prev the step before.
    """

    name = "dpm_solver_2m"
    order = 2
    points = 2
    source = _paper(
        "Alg. 2, for the noise prediction; authors' code, "
        "multistep_dpm_solver_second_update, algorithm_type dpmsolver"
    )

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        return eps_row(levels, midpoint_weights(levels, nxt, nxt - levels[0]))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp2M(SelfStarting):
    """DPM-Solver++(2M): x <- r x + (1 - r) [(1 + w) d_i - w d_{i-1}], r = nxt / cur.

    w = h / (2 h_prev), with h the step in lam and h_prev the step before.
    """

    name = "dpmpp_2m"
    order = 2
    points = 2
    source = _paper("Alg. 2")

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        r = nxt / levels[0]
        return LinearRow(levels[0], r, midpoint_weights(levels, nxt, 1 - r))


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3M(NoiseEAB):
    """DPM-Solver-3, multistep: the parabola through the last three eps, integrated exactly."""

    name = "dpm_solver_3m"
    order = 3
    points = 3
    source = _paper(
        "authors' code, multistep_dpm_solver_third_update, algorithm_type dpmsolver",
        deviations=(_FACTOR_RESTORED,),
    )


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp3M(DataEAB):
    """DPM-Solver++(3M): the parabola through the last three d, integrated exactly."""

    name = "dpmpp_3m"
    order = 3
    points = 3
    source = _paper(
        "authors' code, multistep_dpm_solver_third_update, algorithm_type dpmsolver++",
        deviations=(_FACTOR_RESTORED,),
    )


def half_curvature_weights(levels: Sequence[float], moments: list[float]) -> list[float]:
    """Return weights of the entries at most three ``levels`` in their polynomial's integral in lam.

    Half of a parabola's curvature is left out. ``moments[k]`` is the integral of (lam - lam_cur)^k / k!.
    """
    lam = [-math.log(level / levels[0]) for level in levels]
    return monomial_weights(lam, [*moments[:2], *(moment / 2 for moment in moments[2:])])


@register
@dataclass(frozen=True, kw_only=True)
class DPMSolver3MPublished(NoiseEAB):
    """Formula of the authors' code for order 3, which lacks half of the curvature and has order 2.

    x <- x - nxt [h phi_1 eps + h phi_2 (h D1) + h phi_3 (h² D2)], with D1 the slope of the parabola
    at the newest value. D2 is half of the second derivative; third order needs the whole. The half
    can help below 20 evaluations. The second step is the 2M method's.
    """

    name = "dpm_solver_3m_published"
    order = 2
    points = 3
    source = replace(DPMSolver3M.source, deviations=(_MEASURED_ORDER,))

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        if len(levels) < 3:
            return DPMSolver2M().row(levels, nxt)
        return eps_row(levels, half_curvature_weights(levels, noise_moments(levels[0], nxt, 3)))


@register
@dataclass(frozen=True, kw_only=True)
class DPMpp3MPublished(DataEAB):
    """DPM-Solver++(3M) of the authors' code and diffusers: :class:`DPMSolver3MPublished` for d."""

    name = "dpmpp_3m_published"
    order = 2
    points = 3
    source = replace(DPMpp3M.source, deviations=(_MEASURED_ORDER,))

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        if len(levels) < 3:
            return DPMpp2M().row(levels, nxt)
        weights = half_curvature_weights(levels, data_moments(levels[0], nxt, 3))
        return LinearRow(levels[0], nxt / levels[0], tuple(weights))
