"""Criteria for intervals without a flag, and the criteria that each row of the table misses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .summary import TABLE

BIAS_LEFT = 0.15
"""Largest bias after correction, as a share of the plug-in bias."""

BIAS_LEFT_HEAVY = 0.25
""":data:`BIAS_LEFT` for Student's t with 5 degrees of freedom, which lacks eighth moments."""

COVERAGE = (0.92, 0.98)
"""Bounds of the coverage of 95 % intervals.

Near a true distance of 0 the upper bound does not apply: first-order errors are too large there.
"""

SE_RATIO = 1.6
"""Largest mean standard error, in standard deviations of the values."""

NAMES = {"fd": "FD", "fd_conv": "fd_conv", "kid": "KID"}

Row = Mapping[str, Any]


def rows_with_enough_samples(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with enough samples per feature."""
    return [row for row in rows if row["enough"]]


def missed_criteria(row: Row) -> list[str]:
    """Return a phrase for each criterion that a row misses; none for a row with too few samples."""
    if not row["enough"]:
        return []
    checks = {
        f"bias left {_percent(row['bias_left'])}": row["bias_left"] is None
        or abs(row["bias_left"]) <= largest_bias_share(row),
        f"coverage {_percent(row['coverage'])}": is_coverage_within_bounds(row, "coverage"),
        f"coverage of the difference {_percent(row['difference_coverage'])}": is_coverage_within_bounds(
            row, "difference_coverage"
        ),
        f"error {row['se_ratio']:.2f} times too large": row["se_ratio"] <= SE_RATIO,
        f"error of the difference {row['difference_se_ratio']:.2f} times too large": row[
            "difference_se_ratio"
        ]
        <= SE_RATIO,
    }
    return [phrase for phrase, met in checks.items() if not met]


def largest_bias_share(row: Row) -> float:
    """Return the largest permitted bias of a row, as a share of the plug-in bias."""
    return BIAS_LEFT_HEAVY if row["family"] == "t5" else BIAS_LEFT


def is_coverage_within_bounds(row: Row, column: str) -> bool:
    """Return True if a coverage is within its bounds."""
    return row[column] >= COVERAGE[0] and (row["level"] == 0 or row[column] <= COVERAGE[1])


def findings_as_sentences(rows: Sequence[Row]) -> list[str]:
    """Return sentences on criteria and rows that miss one, by metric; then on too few samples."""
    lines = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        mine = [row for row in rows_with_enough_samples(rows) if row["metric"] == metric]
        if mine:
            lines += _sentences_on_metric(NAMES[metric], mine)
    outside = [row for row in rows if not row["enough"]]
    if outside:
        low = min(min(row["coverage"], row["difference_coverage"]) for row in outside)
        unflagged = sum(not row["flagged"] for row in outside if row["metric"] == "fd")
        lines.append(
            f"Below 15 samples a feature ({len(outside)} rows) coverage goes down to {_percent(low)}"
            + (
                f"; {unflagged} rows of FD there are not flagged."
                if unflagged
                else "; all rows of FD there are flagged."
            )
        )
    return lines


def _sentences_on_metric(name: str, rows: Sequence[Row]) -> list[str]:
    groups = {
        "away from 0": [row for row in rows if row["level"] > 0],
        "at a true distance of 0": [row for row in rows if row["level"] == 0],
    }
    covered = " and ".join(
        f"{_range_in_words(some, 'coverage')} {where}" for where, some in groups.items() if some
    )
    missing = {_row_in_words(row): phrases for row in rows if (phrases := missed_criteria(row))}
    lines = [
        f"{name}: {len(rows) - len(missing)} of {len(rows)} rows with at least 15 samples "
        "a feature meet every criterion.",
        f"{name}: 95 % intervals cover {covered}; those of differences {_range_in_words(rows, 'difference_coverage')}.",
        f"{name}: the mean standard error is {_ratios_in_words(rows, 'se_ratio')} of the true one, "
        "that of differences "
        f"{_ratios_in_words(rows, 'difference_se_ratio')}; pairing divides the variance of a "
        f"difference by {_ratios_in_words(rows, 'pairing_gain')}.",
        f"{name}: a sampler is called better or worse than itself from other latents in "
        f"{_range_in_words(rows, 'false_rate')} of the comparisons"
        f"{_sentence_on_correction(rows)}.",
    ]
    if rows[0]["bias_left"] is not None:
        worst = max(rows, key=lambda row: abs(row["bias_left"]))
        lines.append(
            f"{name}: at most {_percent(abs(worst['bias_left']))} of the plug-in "
            f"bias is left ({_row_in_words(worst)})."
        )
    if name == "KID" and any(row["family"] == "t5" for row in rows):
        lines.append(
            "KID: t5 has no sixth moments, so that the cubic kernel has no "
            "variance: no interval of this form can be right there."
        )
    return lines + [
        f"{name}: missed by {who}: {', '.join(phrases)}." for who, phrases in missing.items()
    ]


def _sentence_on_correction(rows: Sequence[Row]) -> str:
    """Return a sentence on false verdicts in tables after correction, over all rows."""
    shares = [row["false_tables"] for row in rows if row["false_tables"] is not None]
    if not shares:
        return ""
    return (
        f"; corrected over tables of {TABLE} lines, in {_percent(sum(shares) / len(shares))} "
        "of the tables, any line counting"
    )


def _row_in_words(row: Row) -> str:
    return f"{row['family']}, d = {row['d']}, N = {row['n']}, {row['level']:g} floors"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _range_in_words(rows: Sequence[Row], column: str) -> str:
    values = [row[column] for row in rows]
    return f"{_percent(min(values))} to {_percent(max(values))}"


def _ratios_in_words(rows: Sequence[Row], column: str) -> str:
    values = [row[column] for row in rows]
    return f"{min(values):.2g} to {max(values):.2g}"
