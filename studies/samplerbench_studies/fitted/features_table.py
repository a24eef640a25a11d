"""Tables of solvers fitted in one feature space and scored in another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from samplerbench.results import format_number, markdown_table

UNTUNED, CLAMPED = "untuned", "clamped"
"""Names of the solver without a fit, and of the fit in pixels that are clamped to the data's range."""


def interval(values: Sequence[float], errors: Sequence[float] = ()) -> tuple[float, float]:
    """Return the mean of ``values``, one a seed, and the half width of its 95 % interval.

    ``errors`` are their standard errors by the scored latents. All seeds share these latents, so the
    errors do not average out.
    """
    n, spread = len(values), 0.0
    if n > 1:
        spread = student.ppf(0.975, n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    shared = 1.96 * float(np.mean(errors)) if len(errors) else 0.0
    return float(np.mean(values)), math.hypot(spread, shared)


def _words(values: Sequence[float], errors: Sequence[float] = ()) -> str:
    return " ± ".join(map(format_number, interval(values, errors)))


def summary(rows: Sequence[Mapping[str, str]]) -> str:
    """Return two tables: ratios to the untuned sampler, and the shares of a gain in features.

    A gain is log(untuned / tuned) of the mean distance or of the paired Fréchet distance. In a feature
    space it is the sum of four: the gain of the fit in pixels ("solver"), and what the fits in clamped
    pixels, in the other features, and in the space's own features gain, each beyond the one before.
    """
    cells = {
        (r["model"], int(r["nfe"]), r["fit"], r["score"], int(r["seed"])): r
        for r in rows
        if r["fit"] != UNTUNED
    }
    ratios, shares = [], []
    for model, n, fitted, score in dict.fromkeys(key[:4] for key in cells):
        own = [cells[key] for key in cells if key[:4] == (model, n, fitted, score)]
        line = [
            _words([float(r[f"{c}_ratio"]) for r in own], [float(r[f"{c}_ratio_se"]) for r in own])
            for c in ("distance", "fd")
        ]
        ratios.append((model, n, fitted, score, len(own), *line))
        if fitted == score != "pixels":
            shares += [
                (model, n, score, column, *_shares(cells, (model, n, score), column))
                for column in ("distance", "fd")
            ]
    head = ("model", "NFE", "fit in", "score in", "fits", "distance ratio", "FD ratio")
    parts = (
        "model",
        "NFE",
        "space",
        "score",
        "gain",
        "solver",
        "clamping",
        "other features",
        "own",
    )
    return f"{markdown_table(head, ratios)}\n\n{markdown_table(parts, shares)}"


def _shares(
    cells: Mapping[tuple[str, int, str, str, int], Mapping[str, str]],
    where: tuple[str, int, str],
    column: str,
) -> list[Any]:
    """Return the gain in a space, and its four parts, over seeds; "-" where a distance is below 0."""
    model, n, space = where
    (other,) = {key[2] for key in cells} - {"pixels", CLAMPED, space} or {space}
    fits, gains = ("pixels", CLAMPED, other, space), []
    for seed in sorted({key[4] for key in cells}):
        found = [cells.get((model, n, fit, space, seed)) for fit in fits]
        values = [float(r[f"{column}_ratio"]) for r in found if r is not None]
        if len(values) == len(fits) and min(values) > 0:
            gains.append(-np.log(values))
    if not gains:
        return ["-"] * 5
    parts = np.diff(np.array(gains), axis=1, prepend=0.0)
    return [_words(each) for each in (parts.sum(1), *parts.T)]
