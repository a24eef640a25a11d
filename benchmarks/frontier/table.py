"""Rows of the frontier's table, and the table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .candidates import Candidate
from .measure import Errors

CRITERIA = ("median", "rms")
RESAMPLES = 400


def row(
    model: str, budget: int, side: str, criterion: str, candidate: Candidate, nfe: int, errors: Errors, rivals: Mapping[str, Errors]
) -> dict[str, Any]:  # fmt: skip
    """One winner: its errors on the scoring half, and the ratio to the best of ours there, with a paired 95 % interval."""
    ratio, low, high = compare(errors, rivals["ours"], criterion) if "ours" in rivals else (None, None, None)
    return {
        "model": model,
        "budget": budget,
        "criterion": criterion,
        "side": side,
        "sampler": candidate.spec,
        "schedule": "its own" if candidate.side == "auto" else candidate.schedule.label,
        "nfe": nfe,
        "median": errors.median,
        "rms": errors.rms,
        "flip_fraction": errors.flip_fraction,
        "ratio_to_ours": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "samples": len(errors.distance),
    }


def compare(errors: Errors, other: Errors, criterion: str) -> tuple[float, float, float]:
    """The ratio errors / other in the criterion, with the 95 % interval of a bootstrap over the samples that both share."""
    rng = np.random.default_rng(0)
    n = len(errors.distance)

    def value(e: Errors, which: np.ndarray | slice) -> float:
        distance, kept = e.distance[which], ~e.flipped[which]
        return float(np.median(distance)) if criterion == "median" else float(np.sqrt(np.mean(np.square(distance[kept]))))

    draws = [rng.integers(0, n, n) for _ in range(RESAMPLES)]
    ratios = [value(errors, which) / value(other, which) for which in draws]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return value(errors, slice(None)) / value(other, slice(None)), float(low), float(high)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the table shows, a sentence each: the worst cases of ours against the peers, and of the default against the best."""
    lines = []
    for criterion in CRITERIA:
        peers = [r for r in rows if r["criterion"] == criterion and r["side"] == "peers" and r["ratio_to_ours"]]
        if peers:
            worst = min(peers, key=lambda r: r["ratio_to_ours"])
            mean = float(np.exp(np.mean([np.log(r["ratio_to_ours"]) for r in peers])))
            lines.append(
                f"{criterion}: the best peer's error is {mean:.2f} times the best of ours (geometric mean), at least "
                f"{worst['ratio_to_ours']:.2f} times ({worst['model']}, {worst['budget']} evaluations)."
            )
    autos = [r for r in rows if r["criterion"] == "median" and r["side"] == "auto" and r["ratio_to_ours"]]
    if autos:
        best = {(r["model"], r["budget"]): r["median"] for r in rows if r["criterion"] == "median" and r["side"] != "auto"}
        for r in rows:
            if r["criterion"] == "median" and r["side"] != "auto":
                key = r["model"], r["budget"]
                best[key] = min(best[key], r["median"])
        ratios = {(r["model"], r["budget"]): r["median"] / best[r["model"], r["budget"]] for r in autos}
        model, budget = max(ratios, key=lambda key: ratios[key])
        mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
        lines.append(
            f"auto: {mean:.2f} times the best median of all configurations (geometric mean), at most {max(ratios.values()):.2f} times "
            f"({model}, {budget} evaluations)."
        )
    return lines
