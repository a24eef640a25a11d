"""Timings of the library itself: the JSON that pytest-benchmark writes, as a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .text import markdown_table

_YARDSTICK = "test_axpy2"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def read_perf(paths: Path | str | Sequence[Path | str]) -> pd.DataFrame:
    """Return one row per benchmark and file.

    Args:
        paths: files written by ``pytest --benchmark-json=FILE``.

    Returns:
        Columns ``name``, ``group`` (text, empty if none), ``min``, ``median``, ``iqr`` (seconds a
        call), ``ops`` (calls a second), ``rounds``, ``machine``, ``commit`` and ``datetime``
        (text), sorted by group and median.

    Raises:
        ValueError: a file is missing or is not pytest-benchmark's.
    """
    files = [Path(paths)] if isinstance(paths, Path | str) else [Path(path) for path in paths]
    columns = [
        "name",
        "group",
        "min",
        "median",
        "iqr",
        "ops",
        "rounds",
        "machine",
        "commit",
        "datetime",
    ]
    rows = pd.DataFrame([row for path in files for row in _rows(path)], columns=columns)
    return rows.sort_values(["group", "median", "name"], ignore_index=True)


def perf_markdown(frame: pd.DataFrame) -> str:
    """The table of :func:`read_perf` in Markdown, with readable times and the machines below it.

    In a group with a benchmark of the yardstick ``axpy2``, the minima of all are given as multiples
    of its minimum.
    """
    columns = ("group", "benchmark", "min", "median", "IQR", "calls/s", "x axpy2")
    records = frame.to_dict("records")
    unit = {row["group"]: row["min"] for row in records if _YARDSTICK in row["name"]}
    lines = [
        (
            row["group"],
            row["name"],
            *(_time(row[key]) for key in ("min", "median", "iqr")),
            f"{row['ops']:,.4g}",
            _ratio(row, unit),
        )
        for row in records
    ]
    machines = [machine for machine in dict.fromkeys(frame["machine"]) if machine]
    return markdown_table(columns, lines) + (
        f"\nMeasured on {'; '.join(machines)}.\n" if machines else ""
    )


def _rows(path: Path) -> list[dict[str, object]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        machine, commit = content.get("machine_info") or {}, content.get("commit_info") or {}
        cpu = machine.get("cpu") or {}
        name = ", ".join(
            str(part)
            for part in (cpu.get("brand_raw") or machine.get("machine"), machine.get("system"))
            if part
        )
        return [
            {"name": item["name"], "group": item.get("group") or "", "machine": name}
            | {key: float(item["stats"][key]) for key in ("min", "median", "iqr", "ops")}
            | {
                "rounds": int(item["stats"]["rounds"]),
                "commit": commit.get("id") or "",
                "datetime": content.get("datetime") or "",
            }
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


def _ratio(row: Mapping[Hashable, Any], unit: Mapping[str, float]) -> str:
    return f"{row['min'] / unit[row['group']]:.2f}" if row["group"] in unit else ""


def _time(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def main() -> None:
    """``python -m samplerbench.results.perf FILE…`` prints the table."""
    print(perf_markdown(read_perf(sys.argv[1:])))


if __name__ == "__main__":
    main()
