"""Tables of a calibration as CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from samplerbench.results import csv_lines, format_number, markdown_table
from samplerbench.results.run_directory import write_text

from .verdict import Row, findings_as_sentences, missed_criteria

TITLES = {
    "fd": "Fréchet distance",
    "fd_conv": "Fréchet distance between two sets of samples",
    "kid": "Kernel distance",
}


def write_calibration(rows: Sequence[Row], folder: Path) -> Path:
    """Write all rows as ``calibration.csv``, and findings with a table as ``calibration.md``.

    Returns:
        The path of ``calibration.md``.
    """
    header = list(rows[0])
    lines = csv_lines(header, ([row[key] for key in header] for row in rows))
    write_text(folder / "calibration.csv", lines)
    parts = [
        "# Calibration of the intervals",
        "",
        *(f"- {sentence}" for sentence in findings_as_sentences(rows)),
        "",
    ]
    for metric in dict.fromkeys(row["metric"] for row in rows):
        parts += [
            f"## {TITLES[metric]}",
            "",
            _markdown([row for row in rows if row["metric"] == metric]),
        ]
    write_text(folder / "calibration.md", "\n".join(parts))
    return folder / "calibration.md"


def _markdown(rows: Sequence[Row]) -> str:
    columns = (
        "family",
        "d",
        "N",
        "true (floors)",
        "bias left",
        "coverage",
        "SE / true",
        "Δ coverage",
        "Δ SE / true",
        "pairing gain",
        "false",
        "power",
        "flagged",
        "misses",
    )
    return markdown_table(columns, [_table_cells(row) for row in rows])


def _table_cells(row: Row) -> list[str]:
    left = "–" if row["bias_left"] is None else f"{row['bias_left']:.1%} ± {row['bias_noise']:.1%}"
    return [
        row["family"],
        str(row["d"]),
        str(row["n"]),
        f"{row['level']:g}",
        left,
        f"{row['coverage']:.1%}",
        format_number(row["se_ratio"]),
        f"{row['difference_coverage']:.1%}",
        format_number(row["difference_se_ratio"]),
        format_number(row["pairing_gain"]),
        f"{row['false_rate']:.1%}",
        f"{row['power']:.1%}",
        "yes" if row["flagged"] else "",
        "; ".join(missed_criteria(row)),
    ]
