"""Where the time of many GPUs goes: a row for each number of them and each layout of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .arithmetic import Arithmetic
from .costs import Costs
from .engine import FILES, GONE, LOST, SHARD, START, WRITE, Outcome
from .files import Rules
from .one_writer import OneWriter
from .sharing import Sharing
from .work import BUDGETS, SAMPLERS, Work

__all__ = [
    "BACK_SECONDS",
    "BUDGETS",
    "COLUMNS",
    "SAMPLERS",
    "SHARD_SECONDS",
    "WRITE_SECONDS",
    "in_words",
    "rows",
]

SHARD_SECONDS, WRITE_SECONDS = 0.05, 0.02
"""Seconds that a shard takes to be sent and received, and to be written: assumed. What they are on a
machine, :mod:`.measure` finds.
"""

BACK_SECONDS = 300.0
"""After which a node that failed is there again."""

SHARED, ALL_SCORE, ONE_WRITER, BEFORE = (
    "shared directory",
    "the same, all score",
    "one writer",
    "as it was before",
)
"""Layouts: processes that share a run directory, of which one scores; the same if each scored its part,
which the program does not do; one process that hands out, writes and scores, with many workers; and
the first one by the rules that the program had before this study.
"""

COLUMNS = {
    "gpus": "GPUs",
    "layout": "layout",
    "makespan": "seconds",
    "arithmetic": "by arithmetic",
    "efficiency": "efficiency",
    "start": "start",
    "shard": "shards",
    "files": "files",
    "failures": "failures",
    "tail": "tail",
    "alone": "one alone",
}
"""Of a table, by the key of a row; those after the efficiency are what is lost, as shares of all GPUs'
time.
"""


def rows(
    work: Work, gpus: Sequence[int], costs: Costs, seed: int = 0, *, before: bool = False
) -> Iterator[dict[str, Any]]:
    """Rows of a table, as they are simulated.

    Args:
        work: the cells of the run.
        gpus: numbers of GPUs, each >= 1.
        costs: what everything takes.
        seed: of speeds and failures.
        before: whether the rules of before are simulated, too.
    """
    for count in gpus:
        spread = replace(costs, scorers=count)
        yield _row(SHARED, Sharing(work, count, costs, seed).outcome(), work, costs)
        yield _row(ALL_SCORE, Sharing(work, count, spread, seed).outcome(), work, spread)
        one = OneWriter(work, count, costs, seed)
        yield _row(ONE_WRITER, one.outcome(), work, costs) | {
            "arithmetic": None,
            "waiting": one.waiting,
        }
        if before:
            old = _as_planned(work)
            rules = Rules(lists=False, patient=False, turns=False)
            yield _row(BEFORE, Sharing(old, count, costs, seed, rules).outcome(), old, costs) | {
                "arithmetic": None
            }


def _as_planned(work: Work) -> Work:
    """The same cells in the order of the plan."""
    return Work(work.samples, work.samplers, work.budgets, work.batch, sorted=False)


def _row(layout: str, outcome: Outcome, work: Work, costs: Costs) -> dict[str, Any]:
    whole = outcome.workers * outcome.makespan
    share = {
        name: sum(outcome.spent.get(kind, 0.0) for kind in kinds) / whole
        for name, kinds in {
            "start": [START],
            "shard": [SHARD, WRITE],
            "files": [FILES],
            "failures": [LOST, GONE],
        }.items()
    }
    rounds = -(-work.cells // costs.scorers)
    share["alone"] = (costs.references / costs.rate + rounds * costs.score) / outcome.makespan
    tail = 1.0 - outcome.efficiency - sum(share.values())
    return {
        "gpus": outcome.workers,
        "layout": layout,
        "shards": len(work.shards),
        "makespan": outcome.makespan,
        "arithmetic": Arithmetic.of(work, outcome.workers, costs).makespan,
        "efficiency": outcome.efficiency,
        **share,
        "tail": tail,
    }


def in_words(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its shares in per cent, and seconds to a tenth."""
    shares = {"efficiency", "start", "shard", "files", "failures", "tail", "alone"}
    return {
        name: f"{value:.1%}"
        if name in shares
        else f"{value:,.1f}"
        if name in ("makespan", "arithmetic") and value is not None
        else value
        for name, value in row.items()
    }
