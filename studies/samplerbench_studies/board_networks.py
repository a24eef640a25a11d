"""Ranks of formulas on exact problems and on networks: ``python -m samplerbench_studies.board_networks FOLDER``.

FOLDER has submissions to the frozen suite. Formulas that draw no noise and have both networks are ranked by their
areas: on exact problems by distances to endpoints, on a network by the Fréchet distance to its converged samples.
Samplers of other libraries are left out, since most are the same formulas once more.
"""

from __future__ import annotations

import argparse
import math
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from samplerbench.benchmarks.frozen import draw_part
from samplerbench.results.board import Submission, evaluations_to_targets, read_submission, score

NETWORKS = ("fashion", "emoji-flow")
REPLICATES = 2000


def areas_of(submission: Submission) -> list[float]:
    """Return the areas on exact problems and on each network; NaN without all of its curves."""
    instances = draw_part("public").instances
    curves = {name: [c for c in submission.curves if c.problem == name] for name in NETWORKS}
    exact = [[c for c in submission.curves if c.problem == one.name] for one in instances]
    areas = [math.nan] * (1 + len(NETWORKS))
    if all(len(variants) == 2 for variants in exact):
        rows = [evaluations_to_targets(variants, "error") for variants in exact]
        areas[0] = score(np.stack(rows), instances).area
    for place, name in enumerate(NETWORKS, 1):
        if curves[name]:
            row = evaluations_to_targets(curves[name], "distance")
            areas[place] = score(row[None], instances[:1]).area
    return areas


def rank_correlation(pairs: NDArray[np.float64]) -> float:
    """Return Spearman's correlation of the two columns of ``pairs``."""
    return float(np.corrcoef(rankdata(pairs, axis=0), rowvar=False)[0, 1])


def main() -> None:
    """Print rank correlations with 95 % intervals over formulas, and each network's best five."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = [read_submission(path) for path in sorted(parser.parse_args().folder.glob("*.json"))]
    plain = [
        submission
        for submission in found
        if submission.track == "plain"
        and not submission.solver.stochastic
        and ":" not in submission.solver.sampler
    ]
    areas = np.array([areas_of(submission) for submission in plain])
    names = np.array([submission.solver.name for submission in plain])
    whole = np.isfinite(areas).all(axis=1)
    areas, names = areas[whole], names[whole]
    print(f"{len(areas)} formulas")
    rng = np.random.default_rng(0)
    for a, b in combinations(range(areas.shape[1]), 2):
        value = rank_correlation(areas[:, [a, b]])
        draws = rng.integers(len(areas), size=(REPLICATES, len(areas)))
        found_again = [rank_correlation(areas[rows][:, [a, b]]) for rows in draws]
        low, high = np.quantile(found_again, (0.025, 0.975))
        pair = " and ".join(("exact problems", *NETWORKS)[k] for k in (a, b))
        print(f"{pair}: rank correlation {value:.2f} [{low:.2f}, {high:.2f}]")
    for place, network in enumerate(NETWORKS, 1):
        best = np.argsort(-areas[:, place], kind="stable")[:5]
        print(f"{network}: " + ", ".join(f"{names[k]} {areas[k, place]:.3f}" for k in best))


if __name__ == "__main__":
    main()
