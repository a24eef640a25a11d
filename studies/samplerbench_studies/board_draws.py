"""Scores on other instances of the frozen suite: ``python -m samplerbench_studies.board_draws FOLDER --draws 20``.

Solvers run on parts that are drawn from consecutive values. If intervals hold, the area of a draw differs from the mean
over draws by more than its interval says in about 5 % of draws, and the order of two solvers changes as often as the
bootstrap of one draw says. Problems run as drawn: moved ones give the same errors for these solvers.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from samplerbench.benchmarks.frozen import draw_part, measure_exact, solve_entry
from samplerbench.results.board import evaluations_to_targets, score

SOLVERS = (
    ("euler", "karras"),
    ("heun", "karras"),
    ("dpmpp_2m", "uniform_lambda"),
    ("unipc_2", "uniform_lambda"),
    ("ipndm", "uniform_time"),
)


def measure_draw(number: int, folder: Path) -> dict[str, list[list[float | None]]]:
    """Return evaluations to targets of each solver on a draw, from the folder if they are there."""
    path = folder / f"draw-{number}.json"
    if path.exists():
        return json.loads(path.read_text())
    part = draw_part(f"draw-{number}", f"{number:016x}")
    moved = {(instance.name, True) for instance in part.instances}
    found = {}
    for sampler, schedule in SOLVERS:
        curves = measure_exact(solve_entry(sampler, schedule), part, skip=moved)
        rows = [evaluations_to_targets((curve, curve), "error") for curve in curves]
        found[f"{sampler} on {schedule}"] = [
            [None if np.isinf(n) else float(n) for n in row] for row in rows
        ]
    path.write_text(json.dumps(found))
    return found


def main() -> None:
    """Print areas with intervals, their coverage, and chances of swaps beside their frequency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    problems = draw_part().instances
    draws = []
    for number in range(1, args.draws + 1):
        found = measure_draw(number, args.folder)
        rows = {
            name: np.array([[np.inf if n is None else n for n in row] for row in values])
            for name, values in found.items()
        }
        draws.append({name: score(values, problems) for name, values in rows.items()})
    print(
        "| solver | mean area | deviation of draws | mean half width | draws whose interval has the mean |"
    )
    print("|---|---|---|---|---|")
    for name in draws[0]:
        areas = np.array([draw[name].area for draw in draws])
        intervals = [draw[name].interval for draw in draws]
        half = np.mean([(i.high - i.low) / 2 for i in intervals])
        covered = sum(i.low <= areas.mean() <= i.high for i in intervals)
        print(
            f"| {name} | {areas.mean():.3f} | {areas.std(ddof=1):.4f} | {half:.4f} | {covered} of {len(draws)} |"
        )
    print("\n| first | second | draws in which the second is ahead | mean chance of one draw |")
    print("|---|---|---|---|")
    order = sorted(draws[0], key=lambda name: -np.mean([draw[name].area for draw in draws]))
    for first, second in itertools.pairwise(order):
        swaps = sum(draw[second].area > draw[first].area for draw in draws)
        chance = np.mean([draw[first].chance_behind(draw[second]) for draw in draws])
        print(f"| {first} | {second} | {swaps} of {len(draws)} | {chance:.3f} |")


if __name__ == "__main__":
    main()
