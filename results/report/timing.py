"""Times in a report: time per sample at one budget, times by batch size, and throughput."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pandas as pd

from ..comparison.findings import BASELINE, Findings
from ..comparison.pairing import Entry, RunPaths, entries_by_index
from ..comparison.times import SpeedVerdict, speed_verdict
from ..table.curves import label_of_curve
from ..table.reading import run_names
from ..values import Record, number, text

REACH = 0.25
"""Largest relative distance of a raw time to the median in the drawing; others are at the edge."""


@dataclass(frozen=True)
class TimedRow:
    """Timed row of a table of times.

    ``model_share`` and ``own_share`` are the network's and the sampler's time, in % of the slowest
    row's time. ``spread`` has up to 200 raw times scaled to [0, 1], median at 0.5. ``speed`` and
    ``worse`` are relative to the baseline; ``worse`` is True for significantly worse quality.
    """

    row: Record
    model_share: float
    own_share: float
    spread: tuple[float, ...]
    speed: SpeedVerdict | None
    worse: bool


@dataclass(frozen=True)
class Timing:
    """Timed rows of one problem at one budget, the fastest first.

    ``columns`` are the names of the columns in which a row has a value that is neither 0 nor empty.
    """

    budget: int
    device: str
    rows: tuple[TimedRow, ...]
    columns: frozenset[str]
    against: str


def timing_of(
    rows: pd.DataFrame, homes: RunPaths | None = None, findings: Findings | None = None
) -> Timing | None:
    """Return the timing of one problem at the budget with the most timed rows; None without times."""
    timed = rows.loc[rows["status"] == "ok"].dropna(subset=["slot", "ms_per_sample"])
    if timed.empty:
        return None
    counts = Counter(timed["slot"])
    budget = int(max(counts, key=lambda slot: (counts[slot], slot)))
    chosen = timed.loc[timed["slot"] == budget].sort_values("ms_per_sample", kind="stable")
    longest = float(chosen["ms_per_sample"].iloc[-1]) or 1.0
    entries = entries_by_index(chosen, homes)
    baseline = findings.baseline if findings else BASELINE
    own = (place for place, entry in entries.items() if entry.is_of(baseline) and entry.timing)
    base, lines = next(own, None), []
    for place, entry in entries.items():
        speed, worse = None, False
        if base is not None and place != base:
            speed = speed_verdict(entries[base].timing, entry.timing)
            worse = _is_worse(findings, place, base)
        lines.append(_timed_row(entry, longest, speed, worse))
    records = [entry.record for entry in entries.values()]
    columns = {name for row in records for name, value in row.items() if value}
    against = "" if base is None or len(lines) == 1 else label_of_curve(entries[base].curve)
    names = (text(row, "timing_device_name") or text(row, "device") for row in records)
    device = ", ".join(filter(None, dict.fromkeys(names)))
    return Timing(budget, device, tuple(lines), frozenset(columns), against)


def _is_worse(findings: Findings | None, candidate: int, baseline: int) -> bool:
    entries = findings.group.entries if findings else {}
    if findings is None or not {candidate, baseline} <= entries.keys():
        return False
    return findings.group.verdict(entries[candidate], entries[baseline]) == "worse"


def times_by_batch_size(paths: Iterable[Path]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return column heads and lines of times at several batch sizes, from the runs' ``timing.csv``.

    Of several runs, the first column is the run's name.
    """
    lines = list(_csv_lines_by_run(paths, "timing.csv"))
    columns = (
        *("run",) * any(run for run, _ in lines),
        *("model", "sampler", "budget", "steps", "timing_batch_size", "ms_per_sample", "overhead"),
        *("peak_memory_mb", "timing_flag"),
    )
    records = (line | {"run": run} for run, line in lines)
    return columns, [tuple(line.get(name) or "" for name in columns) for line in records]


def _csv_lines_by_run(paths: Iterable[Path], name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield run and line of all files ``name`` (CSV) in ``paths``; "" is the name of the only run.

    Of a damaged file, the lines before the damage are used.
    """
    homes = list(paths)
    for run, path in zip(run_names(homes), homes, strict=True):
        if (path / name).is_file():
            with (
                (path / name).open(newline="", encoding="utf-8", errors="replace") as stream,
                suppress(csv.Error),
            ):
                yield from ((run * (len(homes) > 1), line) for line in csv.DictReader(stream))


@dataclass(frozen=True)
class Throughput:
    """Throughput by batch size, as ``points``, and the reason why the sweep ``ended``.

    A point is (batch size, samples per second, % of the largest throughput, True at the knee). The
    knee is the smallest batch with at least 90 % of the largest throughput.
    """

    title: str
    points: tuple[tuple[str, float, float, bool], ...]
    ended: str


def throughput_of(paths: Iterable[Path]) -> list[Throughput]:
    """Return the throughputs in the runs' ``throughput.csv``. Damaged ones are left out."""
    group: dict[tuple[str, ...], list[dict[str, str]]] = {}
    about = ("model", "sampler", "nfe", "timing_device_name", "ended")
    for run, line in _csv_lines_by_run(paths, "throughput.csv"):
        group.setdefault((run, *(line.get(name) or "" for name in about)), []).append(line)
    sweeps = []
    for (run, model, sampler, nfe, device, ended), lines in group.items():
        with suppress(KeyError, TypeError, ValueError, ArithmeticError):
            paces = [float(line["samples_per_second"]) for line in lines]
            points = tuple(
                (line["batch"], pace, 100 * pace / max(paces), line["knee"] == "True")
                for line, pace in zip(lines, paces, strict=True)
            )
            title = f"{model}, {sampler} at {float(nfe):g} NFE" + (f", {device}" if device else "")
            title = f"{run}: {title}" if run else title
            sweeps.append(Throughput(title, points, ended))
    return sweeps


def _timed_row(entry: Entry, longest: float, speed: SpeedVerdict | None, worse: bool) -> TimedRow:
    total = number(entry.record, "ms_per_sample") or 0.0
    model = number(entry.record, "model_ms_per_sample")
    inner = total if model is None else min(model, total)
    raw = entry.timing.get("raw_total_ms") or []
    middle = median(raw) if raw else 1.0
    places = (0.5 + (time / middle - 1) / (2 * REACH) for time in raw[:200] if middle > 0)
    spread = tuple(min(1.0, max(0.0, place)) for place in places)
    shares = 100 * inner / longest, 100 * (total - inner) / longest
    return TimedRow(entry.record, *shares, spread, speed, worse)
