"""Tables of the study: scores and verdicts of every solver, and a line for each method.

    python -m samplerbench_studies.fitted.table --out DIR --csv scores.csv

``scores.csv`` has a row for each solver that was scored. Its column ``total`` counts the evaluations
of the search, and of the converged samples that it needs. The Markdown that is printed comes from
this file alone (``--csv scores.csv`` without ``--out``).
"""

from __future__ import annotations

import argparse
import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from samplerbench.results import markdown_table
from samplerbench.results.comparison import Entry, Pair, judge, judge_table, read_source
from samplerbench.results.quantities import find

from .methods import TAUGHT
from .scoring import V3

_FILE = re.compile(r"/([\w-]+)-(\d+)-\d+\.json'")
RIVALS = ("auto", "untuned")
"""Methods that all others are compared with, at equal evaluations and with the same seed."""
SCORES = ("typical_error", "rmse", "rmse_median", "fd_conv")
"""Columns of the scores, each with the ends of its interval."""
QUANTITIES = ("typical_error", "fd_conv")
"""Columns that verdicts are given on."""
NAMES = {
    "log-snr": "DPM-Solver++(2M), uniform log-SNR",
    "ipndm": "iPNDM, EDM's levels",
    "untuned": "best untuned (of 84; of 112 on a flow)",
    "untuned-grid": "DPM-Solver++(2M), best schedule",
    "dmn": "DMN",
    "hso": "HSO",
    "optimal_kl": "least path divergence",
    "gits": "GITS, DPM-Solver++(2M)",
    "gits-ipndm": "GITS, iPNDM (authors')",
    "oss": "OSS, DPM-Solver++(2M)",
    "oss-euler": "OSS, Euler (authors')",
    V3: "DPM-Solver-v3, best setting",
    "auto": "auto",
    "ld3": "LD3 (levels)",
    "ld3-network": "LD3 (levels, network levels)",
    "bns": "BNS, S4S (levels, coefficients)",
    "bns-network": "BNS with network levels",
    "unipc": "UniPC-2, uniform log-SNR",
    "dc-solver": "DC-Solver (ratios of UniPC-2)",
    "dyweight": "DyWeight (all, free sums)",
    "transferred": "NeuralSolver (fitted on another model)",
    "auto-coefficients": "auto, fitted coefficients",
    "advise": "advise (auto, fitted levels and coefficients)",
    "advise-network": "advise with network levels",
}
"""Names of the methods in tables and figures."""

FEWEST_LATENTS = 12
"""Fewest latents of a table fitted to them that is a bound."""


def method_and_seed(entry: Entry) -> tuple[str, int] | None:
    """Return method and seed of a row; None for a row of something else."""
    if entry.record["sampler"] == V3:
        return V3, 0
    schedule = str(entry.record["schedule"])
    match = _FILE.search(schedule)
    if match is None:
        return None
    return "transferred" if "carry=True" in schedule else match[1], int(match[2])


def _typical_error(entry: Entry) -> float:
    return float(str(entry.record["typical_error"]))


Row = Mapping[str, str]
"""Row of scores: values as text by column, "" for a missing one."""


def rows_of_run(run: Path, solvers: Path) -> Iterator[Row]:
    """Yield the row of each scored solver of a model."""
    with (solvers / "costs.csv").open(encoding="utf-8", newline="") as file:
        costs = {(r["method"], int(r["seed"]), int(r["nfe"])): r for r in csv.DictReader(file)}
    entries: dict[tuple[str, int, int], Entry] = {}
    for entry in sorted(read_source(run).entries, key=_typical_error, reverse=True):
        if found := method_and_seed(entry):
            key = (*found, int(str(entry.record["budget"])))
            if (
                key in entries and found[0] != V3
            ):  # of the settings of DPM-Solver-v3, the best stays
                raise ValueError(f"{run} has two rows of {'-'.join(map(str, key))}; score it anew")
            entries[key] = entry
    pairs, places = [], []
    for quantity, rival, (key, entry) in product(QUANTITIES, RIVALS, entries.items()):
        method, seed, n = key
        other = entries.get((rival, seed, n))
        if other is not None and method != rival:
            pairs.append(judge(Pair(other, entry), find(quantity)))
            places.append((key, f"{quantity}_against_{rival}"))
    verdicts = judge_table([pair and pair.evidence for pair in pairs])
    given = {place: str(verdict) for place, verdict in zip(places, verdicts, strict=True)}
    columns = [f"{quantity}_against_{rival}" for quantity in QUANTITIES for rival in RIVALS]
    for key, entry in entries.items():
        record, cost = entry.record, costs.get(key, {})
        row: dict[str, Any] = dict(zip(("method", "seed", "nfe"), key, strict=True))
        row |= {name: record.get(name) for name in ("model", "samples")}
        row |= {name: cost.get(name) for name in ("latents", "search", "teacher", "seconds")}
        search = _text(cost.get("search") or record.get("pilot_evaluations"))
        taught = int(cost.get("teacher") or 0) if key[0] in TAUGHT else 0
        row |= {"search": search, "total": int(search) + taught if search else None}
        ends = ("", "_low", "_high")
        row |= {f"{name}{end}": record.get(f"{name}{end}") for name in SCORES for end in ends}
        row |= {column: given.get((key, column)) for column in columns}
        yield {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_scores(path: Path) -> list[Row]:
    """Return the rows of a file of scores, with text as values."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(row: Row, column: str) -> float:
    """Return a value of a row; NaN if it is missing."""
    return float(row.get(column) or "nan")


def geometric_means(rows: Iterable[Row], column: str) -> dict[int, float]:
    """Return the geometric mean over seeds of a column > 0, by number of evaluations."""
    logs: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if number(row, column) > 0:
            logs[int(row["nfe"])].append(math.log(number(row, column)))
    return {n: math.exp(sum(own) / len(own)) for n, own in sorted(logs.items())}


def summary(scores: Sequence[Row]) -> str:
    """Return a Markdown table with a line for each method."""
    rows = []
    for method in _methods(scores):
        own = [row for row in scores if row["method"] == method]
        cells = [cell for rival in RIVALS for cell in _against(scores, own, rival)]
        total = [number(row, "total") for row in own if row.get("total")]
        rows.append([NAMES[method], *cells, f"{median(total):,.0f}" if total else ""])
    head = ["method"]
    for rival in ("auto", "the best untuned"):
        head += [f"error over that of {rival}", "ahead, level, behind, open"]
    return markdown_table([*head, "evaluations to find it"], rows)


def _methods(scores: Sequence[Row]) -> list[str]:
    present = {row["method"] for row in scores}
    return [method for method in NAMES if method in present]


def _against(scores: Sequence[Row], own: Sequence[Row], rival: str) -> list[str]:
    """Return the geometric mean of the ratios of typical errors, and the counts of verdicts."""
    errors = {_place(row): number(row, "typical_error") for row in scores if row["method"] == rival}
    logs = [
        math.log(number(row, "typical_error") / errors[_place(row)])
        for row in own
        if _place(row) in errors
    ]
    given = Counter(row.get(f"typical_error_against_{rival}") for row in own)
    counts = [given[verdict] for verdict in ("better", "equivalent", "worse", "inconclusive")]
    ratio = f"{math.exp(sum(logs) / len(logs)):.2f}" if logs else ""
    return [ratio, ", ".join(map(str, counts)) if any(counts) else ""]


def _place(row: Row) -> tuple[str, str, str]:
    return row["model"], row["seed"], row["nfe"]


def at_equal_totals(scores: Sequence[Row], limits: Sequence[int]) -> str:
    """Return a Markdown table of errors over that of ``log-snr``, by the evaluations that finding may take.

    Of the scores of a method with several numbers of latents, those with the largest total within the
    limit count. Geometric means over the models and budgets that have several, where all of these are
    within the limit.
    """
    latents: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in scores:
        latents[_place(row)].add(row["latents"])
    plain = {
        _place(r): number(r, "typical_error")
        for r in scores
        if r["method"] == "log-snr" and len(latents[_place(r)] - {""}) > 1
    }
    rows = []
    for method in _methods(scores):
        own = [r for r in scores if r["method"] == method and r.get("total") and _place(r) in plain]
        ratios = []
        for limit in limits:
            within = sorted((r for r in own if number(r, "total") <= limit), key=_total)
            last = {_place(r): number(r, "typical_error") / plain[_place(r)] for r in within}
            whole = len(last) == len(plain)
            ratios.append(
                f"{math.exp(sum(map(math.log, last.values())) / len(last)):.3f}" if whole else ""
            )
        if any(ratios):
            rows.append([NAMES[method], *ratios])
    return markdown_table(["method", *(f"{limit:,}" for limit in limits)], rows)


def of_use(bounds: Sequence[Row]) -> list[Row]:
    """Return the rows with the median of enough latents; fewer do not bound what others allow."""
    return [r for r in bounds if r["criterion"] == "median" and int(r["latents"]) >= FEWEST_LATENTS]


def shares_of_gap(scores: Sequence[Row], bounds: Sequence[Row]) -> str:
    """Return a Markdown table of the share of the gap to the bound that each method closes.

    The gap is the logarithm of the best untuned error over that of a table fitted to other latents
    (column ``oracle_fresh`` of the rows of :mod:`.bound` with the median). Means over budgets.
    """
    oracle = {(row["model"], row["nfe"]): number(row, "oracle_fresh") for row in of_use(bounds)}
    best = {_place(r): number(r, "typical_error") for r in scores if r["method"] == "untuned"}
    models = [
        m for m in dict.fromkeys(r["model"] for r in scores) if any(m == k[0] for k in oracle)
    ]
    rows = []
    for method in _methods(scores):
        shares: dict[str, list[float]] = defaultdict(list)
        for row in (r for r in scores if r["method"] == method):
            least, untuned = oracle.get((row["model"], row["nfe"])), best.get(_place(row))
            if least and untuned:
                gain = math.log(untuned / number(row, "typical_error"))
                shares[row["model"]].append(gain / math.log(untuned / least))
        if shares:
            means = [sum(own) / len(own) if (own := shares[m]) else math.nan for m in models]
            rows.append([NAMES[method], *("" if math.isnan(m) else f"{m:.0%}" for m in means)])
    return markdown_table(["method", *map(short_name, models)], rows)


def short_name(model: str) -> str:
    """Return the name of a model without folders and options."""
    return model.partition("?")[0].rpartition("/")[2].partition("(")[0].removeprefix("family:")


def _total(row: Row) -> float:
    return number(row, "total")


def by_model(scores: Sequence[Row], budgets: Sequence[int]) -> str:
    """Return a Markdown table of typical errors: a line for each model and method, means over seeds."""
    rows = []
    for model in dict.fromkeys(row["model"] for row in scores):
        for method in _methods(scores):
            own = [r for r in scores if (r["model"], r["method"]) == (model, method)]
            means = geometric_means(own, "typical_error")
            if means:
                errors = [f"{means[n]:.3g}" if n in means else "" for n in budgets]
                rows.append([short_name(model), NAMES[method], *errors])
    return markdown_table(["model", "method", *map(str, budgets)], rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        help="folder of the solvers and their runs (repeatable)",
    )
    parser.add_argument("--totals", default="", help="evaluations that finding a solver may take")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--nfe", default="4,5,6,8,10,15")
    parser.add_argument("--bound", type=Path, help="rows of the bound, for shares of the gap to it")
    args = parser.parse_args()
    budgets = [int(n) for n in args.nfe.split(",")]
    if args.out:
        runs = [run for out in args.out for run in sorted((out / "runs").iterdir())]
        every = (row for run in runs for row in rows_of_run(run, run.parents[1] / run.name))
        rows = [row for row in every if int(row["nfe"]) in budgets]
        with args.csv.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    scores = [row for row in read_scores(args.csv) if int(row["nfe"]) in budgets]
    if args.bound:
        print(shares_of_gap(scores, read_scores(args.bound)))
        return
    if args.totals:
        print(at_equal_totals(scores, [int(limit) for limit in args.totals.split(",")]))
        return
    print(summary(scores), by_model(scores, budgets), sep="\n\n")


if __name__ == "__main__":
    main()
