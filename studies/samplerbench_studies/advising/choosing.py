"""By what to choose: how often the configuration that is first on a few latents is among the best on all.

    python -m samplerbench_studies.advising.choosing DIR/distances.jsonl

Of the configurations that a sweep measured on all its latents, ``n`` of these are drawn again and again, and
the first by the root mean square of its distances, or by their geometric mean, is looked at on all.
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
"""Times the least that is close enough."""


def read_distances(path: Path) -> dict[int, Distances]:
    """Return by budget the distances ``(configurations, latents)`` of the configurations measured
    on the most latents.

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
    """Yield for each criterion and number of latents how often its choice is within :data:`CLOSE`
    of the best.
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
