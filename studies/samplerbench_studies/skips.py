"""Skipped evaluations beside as many steps without skips, at equal evaluations.

    python -m samplerbench_studies.skips FOLDER --models gmm-64d wavelet

``FOLDER/MODEL`` is a run directory, which continues. Each model gets a table of ratios of typical
errors, a sampler with skips over each of three others: itself without skips on the same schedule;
the best sampler without skips on two schedules, chosen on the same samples; and itself without
skips on the levels that are evaluated, so that only the steps between them differ. With Euler's
method and reuse the third ratio is 1. Verdicts are corrected for a model's ratios of one kind.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import samplerbench
from samplerbench.results import markdown_table
from samplerbench.results.comparison import Entry, Pair, judge, judge_table, read_source
from samplerbench.results.quantities import find
from samplerbench.samplers import Grid, Source, karras, make, non_default
from samplerbench.samplers.schedules import flow_shift, schedule

SPECTRUM = "family:spectrum(dim=64, std=0.5, seed=1)"
SAMPLES = {SPECTRUM: 256, "gmm-64d": 256, "wavelet": 32, "fashion": 32, "emoji-flow": 32}
SAMPLERS = ("euler", "dpmpp_2m", "unipc_2", "deis_tab_3")
PLAIN = (*SAMPLERS, "ipndm", "heun")
"""Samplers without skips, of which one is the best."""
CACHES: dict[str, dict[str, Any]] = {
    "every 2, reuse": {"pattern": "every 2"},
    "every 3, reuse": {"pattern": "every 3"},
    "change 2, reuse": {"pattern": "change 2", "last": 1},
    "every 2, degree 1": {"pattern": "every 2", "taylor": 1},
    "every 3, degree 1": {"pattern": "every 3", "taylor": 1},
    "change 2, degree 1": {"pattern": "change 2", "taylor": 1},
}
BASES = {"karras": "uniform_lambda", "flow_shift(shift=1.0)": "flow_shift"}
"""Schedules of models and of flows, each with a second one for samplers without skips."""
OTHERS = ("itself without skips", "best without skips", "itself on its levels")
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "≈", "inconclusive": "?", "no verdict": "-"}
Rows = dict[tuple[str, str, str, str], Entry]
"""Rows by sampler, its options as JSON, schedule and budget."""


def evaluated(
    n: int, sigma_min: float, sigma_max: float, *, by: str = "", to_zero: bool = True
) -> Grid:
    """Levels of the largest grid of ``karras`` of which a pattern evaluates ``n``.

    ``by`` is ``PATTERN, LAST``, with ``, flow`` for even times of a flow in place of ``karras``.
    """
    pattern, last, *flow = by.split(", ")
    held, levels = make("skip", sampler="euler", pattern=pattern, last=int(last)), []

    def grid(steps: int) -> Grid:
        rule = partial(flow_shift, shift=1.0) if flow else karras
        return rule(steps, sigma_min, sigma_max, to_zero=to_zero)

    def record(x: Tensor, sigma: float) -> Tensor:
        levels.append(float(sigma))
        return torch.zeros_like(x)

    steps = next(k for k in count(n) if (held.nfe(grid(k + 1)) or 0) > n)
    held.sample(record, torch.zeros(1, 1), grid(steps))
    return Grid((*levels, grid(steps).sigma[-1]))


def levels_of(cache: dict[str, Any], base: str) -> str:
    """Return the spec of the schedule of the levels that a cache evaluates."""
    words = [cache["pattern"], str(cache.get("last", 0)), *["flow"] * (base != "karras")]
    return f"evaluated(by={', '.join(words)!r})"


def measure(model: str, out: Path, budgets: Sequence[int], base: str) -> Rows:
    """Run what the model's folder lacks; return its rows."""
    folder = out / model.partition("(")[0].replace(":", "-")
    size, caches = SAMPLES.get(model, 64), CACHES.values()
    settings = {"models": [model], "nfe": list(budgets), "metrics": ["rmse"]}
    settings |= {"samples": size, "reference_samples": size}
    for samplers, schedules in (
        ([{"name": "skip", "sampler": s, **c} for c in caches for s in SAMPLERS], [base]),
        (PLAIN, [base, BASES[base]]),
        (SAMPLERS, list(dict.fromkeys(levels_of(cache, base) for cache in caches))),
    ):
        parts = {"samplers": list(samplers), "schedules": schedules}
        samplerbench.run(settings | parts, folder, timing=False)
    keys = ("sampler", "params", "schedule", "budget")
    entries = read_source(folder).entries
    return {tuple(str(entry.record[key]) for key in keys): entry for entry in entries}  # type: ignore[misc]


def error_of(entry: Entry) -> float:
    """Return the typical error of a row."""
    return float(str(entry.record["typical_error"]))


def compare_row(rows: Rows, label: str, name: str, n: str, base: str) -> list[Pair]:
    """Return the pairs of a sampler with skips and each of its three others at a budget."""
    options = non_default(make("skip", sampler=name, **CACHES[label]))
    params = json.dumps(options, sort_keys=True, separators=(",", ":"))
    plain = [rows[p, "{}", s, n] for p in PLAIN for s in (base, BASES[base])]
    own, on_its_levels = (rows[name, "{}", s, n] for s in (base, levels_of(CACHES[label], base)))
    skips = rows["skip", params, base, n]
    return [Pair(other, skips) for other in (own, min(plain, key=error_of), on_its_levels)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", default=list(SAMPLES))
    parser.add_argument("--nfe", nargs="+", type=int, default=[6, 8, 12, 16])
    args = parser.parse_args()
    schedule(Source("samplerbench", "the levels at which skip evaluates", ""))(evaluated)
    total: Counter[tuple[str, int, str]] = Counter()
    lines = [(label, name) for label in CACHES for name in SAMPLERS]
    for model in args.models:
        base = list(BASES)["flow" in model]
        rows = measure(model, args.folder, args.nfe, base)
        cells = [(*line, str(n)) for line in lines for n in args.nfe]
        texts = dict.fromkeys(cells, "")
        by_cell = [compare_row(rows, *cell, base) for cell in cells]
        for kind, pairs in enumerate(zip(*by_cell, strict=True)):
            judged = [judge(pair, find("typical_error")) for pair in pairs]
            verdicts = judge_table([item and item.evidence for item in judged])
            for cell, pair, verdict in zip(cells, pairs, verdicts, strict=True):
                ratio = error_of(pair.candidate) / error_of(pair.baseline)
                texts[cell] += " / " * (kind > 0) + f"{ratio:.2f} {SIGNS[verdict]}"
                total[cell[0], kind, verdict] += 1
        body = [(*line, *(texts[*line, str(n)] for n in args.nfe)) for line in lines]
        table = markdown_table(["cache", "sampler", *map(str, args.nfe)], body)
        print(f"### {model}\n\n{table}\n", flush=True)
    body = []
    for label in CACHES:
        kinds = [{sign: total[label, k, v] for v, sign in SIGNS.items()} for k in range(3)]
        body.append([label, *(" ".join(f"{n} {s}" for s, n in k.items() if n) for k in kinds)])
    print(markdown_table(["cache", *OTHERS], body))


if __name__ == "__main__":
    main()
