"""Solvers that were found at one guidance scale, scored at every scale.

    python -m samplerbench_studies.fitted.guidance_transfer --model emoji-flow --scales 1,3,5 --nfe 6 --out DIR

``nfe`` counts evaluations without guidance, which doubles them. Solvers are found at each scale by
:mod:`.finding`, in ``DIR/MODEL``. ``samplerbench.run`` scores all of them at each scale, beside usual
samplers, in ``DIR/runs/SCALE``. What is there is not found again. Two Markdown tables are printed:
typical errors of the solvers by the scale of the search, with verdicts against the solver that was
found at the scored scale, and typical errors of the usual samplers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch

import samplerbench
from samplerbench.results import markdown_table
from samplerbench.results.comparison import Entry, Pair, judge, judge_table, read_source
from samplerbench.results.quantities import find

from .finding import find_solvers, slug
from .scoring import published

METHODS = ("auto", "ld3", "advise")
"""Methods of :mod:`.methods` whose solvers are carried from scale to scale."""
NAMES = {"auto": "`auto`", "ld3": "fitted levels (LD3)", "advise": "fitted levels and coefficients"}
USUAL = ("euler", "dpmpp_2m", "unipc_2", "ipndm", "deis_tab_3")
SCHEDULES = ("karras", "uniform_time(process='flow')", "flow_shift(shift=3.0)")
"""Samplers of one evaluation a step, and schedules, that users have without a search."""
Errors = dict[tuple[str, str], Entry]
"""Rows of a run by sampler and schedule."""


def spec_at(model: str, scale: float) -> str:
    """Return the model under guidance; at scale 1, the conditional model, which costs half as much."""
    return model if scale == 1 else f"{model}(guidance={scale:g})"


def score(
    model: str, scales: Sequence[float], nfe: int, samples: int, out: Path
) -> dict[float, Errors]:
    """Return the rows of each scale, of all solvers and the usual samplers."""
    files = [
        out / slug(spec_at(model, scale)) / f"{method}-0-{nfe}.json"
        for method, scale in product(METHODS, scales)
    ]
    rows: dict[float, Errors] = {}
    for scale in scales:
        settings = {
            "models": [spec_at(model, scale)],
            "nfe": [nfe if scale == 1 else 2 * nfe],
            "samples": samples,
            "reference_samples": samples,
            "metrics": ["rmse"],
        }
        folder = out / "runs" / f"{scale:g}"
        tables = {"samplers": ["tabulated"], "schedules": [published(path) for path in files]}
        for parts in (tables, {"samplers": list(USUAL), "schedules": list(SCHEDULES)}):
            samplerbench.run(settings | parts, folder, timing=False)
        rows[scale] = {
            (str(entry.record["sampler"]), str(entry.record["schedule"])): entry
            for entry in read_source(folder).entries
        }
    return rows


def error_of(entry: Entry) -> float:
    """Return the typical error of a row."""
    return float(str(entry.record["typical_error"]))


def transfer_table(
    rows: dict[float, Errors], model: str, scales: Sequence[float], nfe: int, out: Path
) -> str:
    """Return typical errors with verdicts, corrected for all comparisons of the table."""

    def entry(method: str, found: float, scored: float) -> Entry:
        path = out / slug(spec_at(model, found)) / f"{method}-0-{nfe}.json"
        return rows[scored]["tabulated", published(path)]

    cells = [c for c in product(METHODS, scales, scales) if c[1] != c[2]]
    pairs = [
        judge(
            Pair(entry(method, scored, scored), entry(method, found, scored)), find("typical_error")
        )
        for method, found, scored in cells
    ]
    verdicts = dict(
        zip(cells, judge_table([pair and pair.evidence for pair in pairs]), strict=True)
    )
    lines = []
    for method, found in product(METHODS, scales):
        line = [NAMES[method], f"{found:g}"]
        for scored in scales:
            verdict = verdicts.get((method, found, scored))
            error = f"{error_of(entry(method, found, scored)):.4g}"
            line.append(f"{error} ({verdict})" if verdict else error)
        lines.append(line)
    return markdown_table(["solver", "found at w", *(f"error at w = {w:g}" for w in scales)], lines)


def usual_table(rows: dict[float, Errors], scales: Sequence[float]) -> str:
    """Return typical errors of the usual samplers, the best at the first scale first, with ranks."""
    names = sorted(
        (key for key in rows[scales[0]] if key[0] != "tabulated"),
        key=lambda key: error_of(rows[scales[0]][key]),
    )
    lines = []
    for key in names:
        line = [f"{key[0]} on {key[1]}"]
        for scale in scales:
            errors = {other: error_of(rows[scale][other]) for other in names}
            rank = sorted(errors.values()).index(errors[key]) + 1
            line.append(f"{errors[key]:.4g} ({rank})")
        lines.append(line)
    return markdown_table(["sampler", *(f"error at w = {w:g} (rank)" for w in scales)], lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="emoji-flow", help="model with classes")
    parser.add_argument("--scales", default="1,3,5", help="guidance scales")
    parser.add_argument("--nfe", type=int, default=6, help="evaluations; guidance doubles them")
    parser.add_argument("--latents", type=int, default=16, help="latents to find solvers on")
    parser.add_argument("--samples", type=int, default=64, help="latents to score them on")
    parser.add_argument("--out", type=Path, default=Path("guidance"))
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    scales = [float(text) for text in args.scales.split(",")]
    for scale in scales:
        spec = spec_at(args.model, scale)
        find_solvers(spec, args.out, [args.nfe], 0, args.latents, only=METHODS)
    rows = score(args.model, scales, args.nfe, args.samples, args.out)
    print(transfer_table(rows, args.model, scales, args.nfe, args.out))
    print(usual_table(rows, scales), sep="\n\n")


if __name__ == "__main__":
    main()
