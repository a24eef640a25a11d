"""Check of one law under any noise: a sampler has the same moments under white noise and on a
Brownian path.

A path answers two draws over intervals that overlap with correlated increments, white noise with
independent ones. A sampler that asks for such draws is two methods. Under white noise its order
may be lower than the published one, whose noise comes from a path.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from itertools import combinations, pairwise

from ...samplers import Sampler
from .check import Check
from .moments import Interval, Key, exact_moments, problem_for, white_units
from .problems import GRIDS

SAME = 1e-11
STEPS = (1, 8)


def check_noise(sampler: Sampler) -> list[Check]:
    """Compare the exact mean and covariance of one step and of eight under both kinds of noise."""
    problem, grids = problem_for(sampler), [make(n) for n in STEPS for make in GRIDS.values()]
    worst, overlaps, drawn = 0.0, [], False

    def path(draws: Iterable[Key]) -> dict[Key, dict[Hashable, float]]:
        nonlocal drawn
        keys = list(draws)
        drawn = drawn or bool(keys)
        overlaps.extend(overlapping(keys))
        return path_units(keys)

    for grid in grids:
        white, along = (exact_moments(sampler, problem, grid, of) for of in (white_units, path))
        if max(white.affine, along.affine) > 1e-9:
            worst = math.nan
            break
        distances = (white.mean - along.mean).abs().max(), (white.cov - along.cov).abs().max()
        worst = max(worst, *(float(error) for error in distances))
    data = {"error": worst, "overlapping": overlaps[:1]}
    if not drawn:
        return [
            Check(
                "noise",
                False,
                "stochastic = True, and it never draws: call noise() in the step, or declare "
                "stochastic = False",
                data,
            )
        ]
    if overlaps:
        (a, b), (c, d) = overlaps[0]
        return [
            Check(
                "noise",
                False,
                f"draws over {a:.4g} to {b:.4g} and over {c:.4g} to {d:.4g}, which overlap, are "
                "correlated on a path and independent as white noise: moments differ by "
                f"{worst:.1e}; draw over disjoint intervals and combine (on_one_path)",
                data,
            )
        ]
    if math.isnan(worst):
        return [Check("noise", True, "draws over disjoint intervals", data)]
    return [
        Check(
            "noise",
            worst < SAME,
            f"the same moments from white noise and from a path, to {worst:.0e}",
            data,
        )
    ]


def path_units(draws: Iterable[Key]) -> dict[Key, dict[Hashable, float]]:
    """Return the noise of a Brownian path in 1 / sigma²: a draw is the sum of the increments of the parts
    into which all intervals together cut its own; without an interval it is white.
    """
    keys = list(draws)
    levels = sorted({level for key in keys for level in _falling(key) or ()}, reverse=True)
    return {
        key: {
            (high, low): math.sqrt((low**-2 - high**-2) / (span[1] ** -2 - span[0] ** -2))
            for high, low in pairwise(levels)
            if span[0] >= high and low >= span[1]
        }
        if (span := _falling(key))
        else {key[:2]: 1.0}
        for key in keys
    }


def overlapping(draws: Iterable[Key]) -> list[tuple[Interval, Interval]]:
    """Return the pairs of intervals of different draws that have more than an end in common."""
    spans = [span for key in draws if (span := _falling(key))]
    return [
        (first, other)
        for first, other in combinations(spans, 2)
        if min(first[0], other[0]) > max(first[1], other[1]) * (1 + 1e-9)
    ]


def _falling(key: Key) -> Interval | None:
    """Return the interval of a draw, if it is one that a path covers."""
    span = key[2]
    return span if span and span[0] > span[1] > 0 else None
