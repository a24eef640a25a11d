"""Table in Markdown of the library's own timings, from the JSON files of pytest-benchmark."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...results.text import markdown_table

_YARDSTICK = "test_axpy2"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def read_perf(paths: Sequence[Path | str]) -> list[dict[str, Any]]:
    """Return one row per benchmark and file, sorted by group and median.

    Args:
        paths: files written by ``pytest --benchmark-json=FILE``.

    Returns:
        Rows with ``name``, ``group`` (empty if none), ``min``, ``median``, ``iqr`` (seconds a call),
        ``ops`` (calls a second) and ``machine``.

    Raises:
        ValueError: a file cannot be read or is not pytest-benchmark's.
    """
    rows = [row for path in paths for row in _rows(Path(path))]
    return sorted(rows, key=lambda row: (row["group"], row["median"], row["name"]))


def perf_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of :func:`read_perf` as a Markdown table, with the machines below it.

    In a group with the yardstick ``axpy2``, one column has the minima in units of the minimum of
    ``axpy2``.
    """
    columns = ("group", "benchmark", "min", "median", "IQR", "calls/s", "x axpy2")
    unit = {row["group"]: row["min"] for row in rows if _YARDSTICK in row["name"]}
    lines = [
        (
            row["group"],
            row["name"],
            *(_time(row[key]) for key in ("min", "median", "iqr")),
            f"{row['ops']:,.4g}",
            f"{row['min'] / unit[row['group']]:.2f}" if row["group"] in unit else "",
        )
        for row in rows
    ]
    machines = [machine for machine in dict.fromkeys(row["machine"] for row in rows) if machine]
    return markdown_table(columns, lines) + (
        f"\nMeasured on {'; '.join(machines)}.\n" if machines else ""
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        machine = content.get("machine_info") or {}
        brand = (machine.get("cpu") or {}).get("brand_raw") or machine.get("machine")
        name = ", ".join(str(part) for part in (brand, machine.get("system")) if part)
        return [
            {"name": item["name"], "group": item.get("group") or "", "machine": name}
            | {key: float(item["stats"][key]) for key in ("min", "median", "iqr", "ops")}
            for item in content["benchmarks"]
        ]
    except OSError as error:
        raise ValueError(
            f"cannot read {path} ({error.strerror}); run `make perf` to make it"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a JSON file of pytest-benchmark; write one with "
            "pytest --benchmark-json=FILE"
        ) from error


def _time(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


if __name__ == "__main__":
    print(perf_markdown(read_perf(sys.argv[1:])))
