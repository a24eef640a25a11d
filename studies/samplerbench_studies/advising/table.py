"""Ratios of recommended to best errors by model and budget, as Markdown.

python -m samplerbench_studies.advising.table results/reference/advice/*.csv
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from .against import ANY, Row, read_rows

GOOD = 1.1
"""Largest ratio of errors for which a recommendation counts as good as the best."""


def ratio_table(rows: Sequence[Row], criterion: str, library: str = ANY) -> str:
    """Return a Markdown table of the ratios of all seeds by budget, the good ones counted.

    The last column has the minutes of ``advise``.
    """
    mine = [row for row in rows if (row.library, row.criterion) == (library, criterion)]
    budgets = sorted({row.budget for row in mine})
    lines = [
        f"| model | {' | '.join(map(str, budgets))} | within {GOOD:g} | largest | minutes |",
        f"|---|{'---|' * (len(budgets) + 3)}",
    ]
    for model in dict.fromkeys(row.model for row in mine):
        its = [row for row in mine if row.model == model]
        cells = [_ratios_in_words(row for row in its if row.budget == budget) for budget in budgets]
        took = [row.minutes for row in its]
        ends = f"{min(took):.1f}" if len(set(took)) == 1 else f"{min(took):.1f} to {max(took):.1f}"
        largest = max(row.ratio for row in its)
        lines.append(
            f"| `{model}` | {' | '.join(cells)} | {_count_good(its)} | {largest:.2f} | {ends} |"
        )
    name, good, known = best_constant_choice(mine)
    for who, share in (("all", _count_good(mine)), (f"always {name}", f"{good} of {known} known")):
        lines.append(f"| {who} | {' | '.join('' for _ in budgets)} | {share} | | |")
    return "\n".join(lines)


def best_constant_choice(rows: Iterable[Row]) -> tuple[str, int, int]:
    """Return the fixed configuration that is good in most rows, with that number and the known
    rows.

    A table has the errors of best and recommended configurations only; all other errors are
    unknown.
    """
    rows, errors = list(rows), defaultdict[tuple[str, int], dict[str, float]](dict)
    for row in rows:
        found = {row.recommended: row.error, row.best: row.smallest}
        errors[row.model, row.budget] |= {
            _without_schedule_of_auto(name): value for name, value in found.items()
        }
    ratios = defaultdict(list)
    for row in rows:
        for name, error in errors[row.model, row.budget].items():
            ratios[name].append(error / row.smallest)
    counts = {name: (sum(r <= GOOD for r in some), len(some)) for name, some in ratios.items()}
    name = max(counts, key=counts.__getitem__)
    return name, *counts[name]


def _without_schedule_of_auto(name: str) -> str:
    """Return a configuration's name, without the schedule for ``auto``, which ignores it."""
    return "auto" if name.startswith("auto on ") else name


def _ratios_in_words(rows: Iterable[Row]) -> str:
    return " ".join(f"{row.ratio:.2f}" for row in sorted(rows, key=lambda row: row.seed))


def _count_good(rows: Sequence[Row]) -> str:
    return f"{sum(row.ratio <= GOOD for row in rows)} of {len(rows)}"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=Path, nargs="+", help="CSV files of the study")
    tables = parser.parse_args().tables
    for path in tables:
        if not path.is_file():
            parser.error(f"there is no {path}; the study writes it after its first race")
    rows = [row for path in tables for row in read_rows(path)]
    for library, criterion in dict.fromkeys((row.library, row.criterion) for row in rows):
        print(f"Users of {library}, by {criterion}:\n\n{ratio_table(rows, criterion, library)}\n")


if __name__ == "__main__":
    main()
