"""Choice by few latents: how often the first configuration there is among the best on all latents.

    python -m samplerbench_studies.advising.choosing DIR/distances.jsonl

From the latents of a sweep, n are drawn repeatedly. The configuration with the smallest root mean
square of distances, or geometric mean, on these n is compared with the best on all latents.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from samplerbench.results import markdown_table

from .criteria import CRITERIA, Distances

COUNTS = (16, 64, 128)
DRAWS = 400
CLOSE = 1.1
"""Largest ratio to the smallest error that counts as close."""


def read_distances(path: Path) -> dict[int, Distances]:
    """Return distances ``(configurations, latents)`` by budget.

    Only the configurations measured on the most latents are included.

    Raises:
        ValueError: there are none.
    """
    rows: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        sampler, schedule, budget, found = json.loads(line)
        rows[sampler, schedule, budget] += found
    most = max(map(len, rows.values()), default=0)
    if not most:
        raise ValueError(f"{path} has no distances; a sweep writes it")
    whole: dict[int, list[list[float]]] = defaultdict(list)
    for (_, _, budget), found in rows.items():
        if len(found) == most and np.isfinite(found).all():
            whole[budget].append(found)
    return {budget: np.array(found) for budget, found in sorted(whole.items()) if len(found) > 1}


def shares_of_good_choices(
    distances: Distances, seed: int = 0
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yield criterion, number of latents, and how often that choice is within :data:`CLOSE` of the
    best.
    """
    rng = np.random.default_rng(seed)
    least = {name: score(distances) for name, score in CRITERIA.items()}
    for name, score in CRITERIA.items():
        for n in COUNTS:
            hits = dict.fromkeys(CRITERIA, 0)
            for _ in range(DRAWS):
                pick = score(
                    distances[:, rng.choice(distances.shape[1], n, replace=False)]
                ).argmin()
                for by, whole in least.items():
                    hits[by] += bool(whole[pick] <= CLOSE * whole.min())
            yield name, n, {by: count / DRAWS for by, count in hits.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="distances.jsonl of a sweep")
    rows = [
        [str(budget), str(len(distances)), name, str(n), *(f"{share:.0%}" for share in by.values())]
        for budget, distances in read_distances(parser.parse_args().file).items()
        for name, n, by in shares_of_good_choices(distances)
    ]
    print(markdown_table(["NFE", "of", "chosen by", "latents", *CRITERIA], rows))


if __name__ == "__main__":
    main()
