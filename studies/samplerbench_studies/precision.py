"""Rounding of networks and states: ``python -m samplerbench_studies.precision FOLDER``.

Eight samplers run on three exact problems and two networks, with the network, the state or both in bfloat16, into runs in
FOLDER, which continue. Three tables answer: which samplers amplify rounding, at how many evaluations does bfloat16 cost
more than one evaluation less, and does a state in full precision suffice? ``--figure FILE`` draws the errors.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import samplerbench
from samplerbench.results import markdown_table
from samplerbench.results.comparison import Entry, Pair, judge, judge_table, read_source
from samplerbench.results.quantities import find

EXACT = ("gmm-2d", "gmm-64d", "wavelet")
NETWORKS = ("fashion", "fashion-latent")
SAMPLERS = (
    "euler", "heun", "dpmpp_2m", "dpmpp_3m", "unipc_2", "unipc_3", "ipndm", "deis_tab_3",
)  # fmt: skip
MANY = (5, 7, 8, 9, 10, 11, 12, 15, 16, 19, 20, 23, 24, 31, 32, 39, 40, 47, 48, 63, 64)
FEW = (8, 9, 15, 16, 31, 32)
SLOW = ("wavelet", *NETWORKS)
BUDGETS: dict[str, tuple[int, ...]] = {m: FEW if m in SLOW else MANY for m in (*EXACT, *NETWORKS)}
SAMPLES: dict[str, int] = {m: 48 if m in SLOW else 512 for m in (*EXACT, *NETWORKS)}
"""Budgets, of which neighbours are compared, and numbers of samples: fewer on slow models."""
SHOWN = (8, 16, 32)
AMPLIFIED = (8, 16)
VARIANTS: dict[str, tuple[str, str | None]] = {
    "full": ("", None),
    "network": ("network_dtype='bfloat16'", None),
    "state": ("", "bfloat16"),
    "both": ("network_dtype='bfloat16'", "bfloat16"),
}
"""Options of the model, and dtype of the state, of each variant."""
OF_EXACT = {
    "float32": ("network_dtype='float32'", None),
    "noise": ("network_dtype='bfloat16',network_predicts='noise'", None),
    "velocity": ("network_dtype='bfloat16',network_predicts='velocity'", None),
    "level exact": ("network_dtype='bfloat16',network_level_dtype='float32'", None),
}
OF_NETWORKS = {
    "float16": ("network_dtype='float16'", None),
    "float8": ("network_dtype='float8_e4m3fn'", None),
}
Rows = dict[tuple[str, str, str, int], Entry]
"""Rows by model, variant, sampler and budget."""


def measure(folder: Path, models: Sequence[str]) -> Rows:
    """Return the rows of all variants of these models, from the folder as far as they are there."""
    rows: Rows = {}
    variants = VARIANTS | (OF_EXACT if models[0] in EXACT else OF_NETWORKS)
    for model in models:
        for variant, (options, dtype) in variants.items():
            spec = f"{model}({options})" if options else model
            settings: dict[str, Any] = {
                "models": [spec],
                "samplers": list(SAMPLERS),
                "schedules": ["karras"],
                "nfe": list(BUDGETS[model] if variant in VARIANTS else SHOWN),
                "samples": SAMPLES[model],
                "reference_samples": SAMPLES[model],
                "metrics": ["rmse", "rounding_error", "rounding_share"],
            }
            if dtype:
                settings["dtype"] = dtype
            out = folder / f"{model}-{variant}".replace(" ", "-")
            samplerbench.run(settings, out, timing=False)
            for entry in read_source(out).entries:
                record = entry.record
                budget = int(str(record["budget"]))
                rows[model, variant, str(record["sampler"]), budget] = entry
    return rows


def number(entry: Entry, column: str) -> float:
    """Return a number of a row; NaN without one."""
    value = entry.record.get(column)
    return math.nan if value is None else float(str(value))


def largest_weights(sampler: str, steps: int) -> float:
    """Return the largest sum of absolute weights that evaluations have in a state of a linear sampler.

    The sum of the weights is 1 at most, so more than 1 means negative weights. The denoiser's own dependence on states
    is left out.
    """
    model, made, states = samplerbench.make_model("gmm-64d"), samplerbench.make(sampler), []

    def unit(x: torch.Tensor, _sigma: object) -> torch.Tensor:
        states.append(x[0].clone())  # samplers reuse memory
        return torch.eye(x.shape[1], dtype=x.dtype)[len(states) - 1].expand_as(x)

    for n in range(steps, 0, -1):
        grid = samplerbench.karras(n, model.sigma_min, model.sigma_max)
        nfe = made.nfe(grid)
        if nfe is not None and nfe <= steps:
            made.sample(unit, torch.zeros(1, nfe, dtype=torch.float64), grid)
            break
    return max(float(x.abs().sum()) for x in states)


def errors(rows: Rows, models: Sequence[str]) -> Iterator[list[str]]:
    """Yield errors in full precision, and the rounding of each variant, at the shown budgets."""
    others = [v for v in VARIANTS | OF_EXACT | OF_NETWORKS if v != "full"]
    others = [v for v in others if any(key[:2] == (models[0], v) for key in rows)]
    yield ["model", "sampler", "evaluations", "typical error", *(f"rounding: {v}" for v in others)]
    for model in models:
        for sampler in SAMPLERS:
            for budget in SHOWN:
                key = (sampler, budget)
                if (full := rows.get((model, "full", *key))) is None:
                    continue
                rounding = [number(rows[model, v, *key], "rounding_error") for v in others]
                cells = [number(full, "typical_error"), *rounding]
                yield [model, sampler, str(budget), *(f"{cell:.2g}" for cell in cells)]


def amplification(rows: Rows, models: Sequence[str]) -> Iterator[list[str]]:
    """Yield each sampler's rounding over Euler's, beside the weights of its evaluations in states."""
    sums = (f"sum of weights, {n} evaluations" for n in AMPLIFIED)
    yield ["sampler", *sums, *(f"{model}, {n}" for model in models for n in AMPLIFIED)]
    for sampler in SAMPLERS:
        ratios = (
            number(rows[model, "network", sampler, n], "rounding_error")
            / number(rows[model, "network", "euler", n], "rounding_error")
            for model in models
            for n in AMPLIFIED
        )
        sums = (largest_weights(sampler, n) for n in AMPLIFIED)
        yield [sampler, *(f"{value:.2f}" for value in (*sums, *ratios))]


def verdicts(pairs: Sequence[Pair]) -> list[str]:
    """Return a verdict on the candidate of each pair, by typical errors, corrected for all pairs."""
    judged = [judge(pair, find("typical_error")) for pair in pairs]
    return [str(v) for v in judge_table([item and item.evidence for item in judged])]


def one_evaluation(rows: Rows, models: Sequence[str]) -> Iterator[list[str]]:
    """Yield, for each variant, the budgets at which it is better or worse than one evaluation less."""
    for variant in ("full", "network", "both", "float16", "float8", "noise", "velocity"):
        pairs: dict[tuple[str, str, int], Pair] = {}
        for (model, name, sampler, budget), entry in rows.items():
            less = rows.get((model, "full", sampler, budget - 1))
            if name == variant and model in models and less is not None and sampler != "heun":
                pairs[model, sampler, budget] = Pair(less, entry)
        given = dict(zip(pairs, verdicts(list(pairs.values())), strict=True))
        for model in models:
            for sampler in SAMPLERS:
                found = {n: v for (m, s, n), v in given.items() if (m, s) == (model, sampler)}
                if found:
                    texts = (
                        ", ".join(str(n) for n, v in sorted(found.items()) if v == word)
                        for word in ("better", "worse")
                    )
                    yield [variant, model, sampler, *(text or "–" for text in texts)]


def state(rows: Rows, models: Sequence[str]) -> Iterator[list[str]]:
    """Yield counts of verdicts: each variant against full precision, and both against the network."""
    comparisons = (("network", "full"), ("state", "full"), ("both", "full"), ("both", "network"))
    yield ["model", "candidate", "baseline", "better", "equivalent", "worse", "undecided"]
    for model in models:
        for candidate, baseline in comparisons:
            keys = [key[2:] for key in rows if key[:2] == (model, candidate)]
            pairs = [Pair(rows[model, baseline, *k], rows[model, candidate, *k]) for k in keys]
            given = verdicts(pairs)
            words = ("better", "equivalent", "worse")
            counts = [sum(v == word for v in given) for word in words]
            yield [model, candidate, baseline, *map(str, (*counts, len(given) - sum(counts)))]


def draw(rows: Rows, models: Sequence[str], path: Path) -> None:
    """Draw errors against evaluations in full precision, and with network, state and both in bfloat16."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(models), figsize=(3 * len(models), 3.2), layout="constrained"
    )
    colours = {"euler": "C7", "dpmpp_2m": "C0", "unipc_3": "C3"}
    styles = {"full": "-", "network": "--", "state": ":", "both": "-."}
    for axis, model in zip(axes, models, strict=True):
        for sampler, colour in colours.items():
            for variant, style in styles.items():
                points = sorted(
                    (n, number(entry, "typical_error"))
                    for (m, v, s, n), entry in rows.items()
                    if (m, v, s) == (model, variant, sampler)
                )
                label = f"{sampler}, {variant}" if axis is axes[0] else None
                axis.plot(*zip(*points, strict=True), style, color=colour, label=label, lw=1.3)
        axis.set(xscale="log", yscale="log", title=model, xlabel="evaluations")
        axis.set_xticks([8, 16, 32], ["8", "16", "32"], minor=False)
        axis.xaxis.set_minor_formatter(lambda *_: "")
    axes[0].set_ylabel("typical error")
    figure.legend(loc="outside lower center", ncols=len(colours) * 2, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--only", choices=("exact", "networks"), help="one kind of models")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    groups: list[tuple[Sequence[str], Rows]] = []
    if args.only != "networks":
        groups.append((EXACT, measure(args.folder, EXACT)))
    if args.only != "exact":
        groups.append((NETWORKS, measure(args.folder, NETWORKS)))
    tables: tuple[Callable[[Rows, Sequence[str]], Iterator[list[str]]], ...] = (
        errors, amplification, state,
    )  # fmt: skip
    for table in tables:
        for models, rows in groups:
            head, *lines = table(rows, models)
            print(f"\n{(table.__doc__ or '').splitlines()[0]}\n\n{markdown_table(head, lines)}")
    head = ["variant", "model", "sampler", "better at", "worse at"]
    for models, rows in groups:
        print(f"\n{markdown_table(head, list(one_evaluation(rows, models)))}")
    if args.figure:
        every = {key: entry for _, rows in groups for key, entry in rows.items()}
        draw(every, [m for models, _ in groups for m in models], args.figure)


if __name__ == "__main__":
    main()
