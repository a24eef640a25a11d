"""Coverage, bias and false verdicts of a cell, one row of the calibration's table per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from samplerbench.results.comparison import Estimate, Evidence, claim, difference, judge_table

from ..arrays import FloatArray
from .pairs import LEVELS
from .trials import Arrays, Case

Z95 = 1.959963984540054
"""Half-width of a 95 % normal interval in standard errors."""
TABLE = 10
"""Number of rows of a table whose verdicts are corrected together."""


def summarise(cell: Case, arrays: Arrays) -> list[dict[str, Any]]:
    """Return the table's rows of a cell, one for each level.

    * ``bias_left``: mean error of the values as a share of the plug-in bias (FD only);
    * ``bias_noise``: standard error of ``bias_left``;
    * ``coverage``: share of 95 % intervals that contain the true value;
    * ``se_ratio``: mean standard error over the values' standard deviation;
    * the same columns for the difference of two samplers on shared latents;
    * ``pairing_gain``: variance of the unpaired difference over the paired one's;
    * ``false_rate``: how often a sampler is "better" or "worse" than itself on other latents;
    * ``false_tables``: share of tables of ``TABLE`` such rows, corrected by Holm's method, with a
      false row;
    * ``power``: how often the second sampler, which is worse, is called "worse".

    Differences and verdicts come from ``samplerbench.results.comparison``.
    """
    at = [{name: values[:, i] for name, values in arrays.items()} for i in range(len(LEVELS))]
    who = {
        "metric": cell.metric,
        "family": cell.family,
        "d": cell.d,
        "n": cell.n,
        "enough": cell.enough,
    }
    return [
        {**who, "level": level, **_line_of_level(cell, at[i], i)} for i, level in enumerate(LEVELS)
    ]


def _line_of_level(cell: Case, arrays: Arrays, i: int) -> dict[str, Any]:
    a, b = (side.kid if cell.metric == "kid" else side.fd for side in cell.samplers.pairs[i])
    value, se, gap, error = (
        arrays[name] for name in ("value", "se", "difference", "difference_se")
    )
    unpaired = value.var(ddof=1) + arrays["value_b"].var(ddof=1)
    other = evidence_from_other_latents(value, se)
    return {
        "true": a,
        **_bias_columns(arrays, a),
        "coverage": float(np.mean((arrays["low"] <= a) & (a <= arrays["high"]))),
        "se_ratio": float(se.mean() / value.std(ddof=1)),
        "true_difference": a - b,
        "difference_coverage": coverage_share(gap - (a - b), error),
        "difference_se_ratio": float(error.mean() / gap.std(ddof=1)),
        "pairing_gain": float(unpaired / gap.var(ddof=1)),
        "false_rate": float(np.mean([claim(line) in ("better", "worse") for line in other])),
        "false_tables": share_of_false_tables(other),
        "power": float(
            np.mean(
                [claim(Evidence(*line, 0.0)) == "better" for line in zip(gap, error, strict=True)]
            )
        ),
        "replicates": len(value),
    }


def _bias_columns(arrays: Arrays, true: float) -> dict[str, Any]:
    """Return columns of the bias before and after correction.

    The exactly known first-order noise, of mean 0, is subtracted from the means.
    """
    if "raw" not in arrays:
        return {"flagged": False, "plug_in_bias": None, "bias_left": None, "bias_noise": None}
    plug_in = float(np.mean(arrays["raw"] - arrays["first"]) - true)
    left = arrays["value"] - arrays["first"] - true
    return {
        "flagged": bool(arrays["flagged"].any()),
        "plug_in_bias": plug_in,
        "bias_left": float(left.mean() / plug_in),
        "bias_noise": float(left.std(ddof=1) / np.sqrt(len(left)) / plug_in),
    }


def coverage_share(error: FloatArray, se: FloatArray) -> float:
    """Return the share of errors, estimates less the true value, within 1.96 standard errors."""
    return float(np.mean(np.abs(error) <= Z95 * se))


def evidence_from_other_latents(value: FloatArray, se: FloatArray) -> list[Evidence]:
    """Return evidence from replicates i - 1 and i, cyclically: independent runs of one sampler."""
    found = [Estimate(*each) for each in zip(value.tolist(), se.tolist(), strict=True)]
    gaps = [
        difference(b, a, same_latents=False)
        for a, b in zip([found[-1], *found[:-1]], found, strict=True)
    ]
    return [Evidence(gap.value, gap.se or 0.0, 0.0) for gap in gaps]


def share_of_false_tables(evidence: Sequence[Evidence]) -> float | None:
    """Return the share of tables with a false "better" or "worse"; None without a table.

    Args:
        evidence: evidence of rows without true difference. Neighbours share a replicate, so only
            every second one is used.
    """
    lines = evidence[1::2]
    tables = [lines[start : start + TABLE] for start in range(0, len(lines) - TABLE + 1, TABLE)]
    wrong = [
        any(verdict in ("better", "worse") for verdict in judge_table(table)) for table in tables
    ]
    return sum(wrong) / len(wrong) if wrong else None
