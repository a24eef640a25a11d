"""Schedules for a fair comparison of samplers: best common, their authors', or tuned ones.

One half of the samples chooses the best of K schedules, and the other half measures this schedule.
The smallest of K noisy values is biased (the winner's curse). A new measurement has no such bias.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ..quantities import Quantity
from ..table.curves import is_tuned
from ..values import Record, text
from .estimates import Estimate
from .pairing import Entry, Source

SOLVER = ("sampler", "params", "start", "end", "sigma_max", "dtype", "seed", "execution", "slot")
"""Columns in which rows of one model agree if only their schedules differ."""

Halves = Callable[[Entry], tuple[Estimate, Estimate, str]]
"""Function from an entry to estimates on both halves of its samples, and the second half's flag."""


def common_schedules_by_model(source: Source) -> dict[str, list[str]]:
    """Return, by model, the untuned schedules that all its samplers share in a run.

    Samplers that take no schedule do not count. Raises a ValueError if a model has fewer than two
    such schedules, or no sampler takes one.
    """
    planned: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in (*(entry.record for entry in source.entries), *source.failed):
        if _takes_schedule(row) and not is_tuned(row):
            planned[text(row, "model")][text(row, "sampler"), text(row, "params")].add(
                text(row, "schedule")
            )
    shared = {
        model: sorted(set.intersection(*solvers.values())) for model, solvers in planned.items()
    }
    poor = next((model for model, schedules in shared.items() if len(schedules) < 2), None)
    if poor is not None or not shared:
        has = "have no schedule"
        if poor is not None:
            has = f"on {poor} share {shared[poor][0] if shared[poor] else 'no schedule'} only"
        raise ValueError(
            f"the samplers of {source} {has}; run the suite with --schedule "
            "A --schedule B to choose among some"
        )
    return shared


def entries_at_best_schedules(
    source: Source, schedules: Mapping[str, Collection[str]], quantity: Quantity, halves: Halves
) -> list[Entry]:
    """Return one entry for each model, sampler and budget: at the best of the common schedules.

    The best schedule has the lowest value on the first half of the samples. The estimates of all
    returned entries are from the second half, also for samplers that take no schedule.
    """
    groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in source.entries:
        row = entry.record
        measured = row.get(quantity.name) is not None and row.get("slot") is not None
        if measured and (
            not _takes_schedule(row) or row["schedule"] in schedules.get(text(row, "model"), ())
        ):
            groups[(text(row, "model"), *(text(row, name) for name in SOLVER))].append(entry)
    chosen = []
    for entries in groups.values():
        scored = [(entry, *halves(entry)) for entry in entries]
        entry, _, reported, flag = min(
            scored, key=lambda item: item[1].value if math.isfinite(item[1].value) else math.inf
        )
        record = {**entry.record, **({quantity.flag: flag} if quantity.flag else {})}
        chosen.append(replace(entry, record=record, estimates={quantity.name: reported}))
    return chosen


def entries_at_schedules(
    entries: Sequence[Entry], names: Mapping[str, Collection[str]]
) -> list[Entry]:
    """Return the entries whose schedule's name, without parameters, is in ``names[sampler]``."""
    rows = [(entry, text(entry.record, "schedule").partition("(")[0]) for entry in entries]
    return [entry for entry, name in rows if name in names.get(text(entry.record, "sampler"), ())]


def entries_at_tuned_levels(source: Source) -> list[Entry]:
    """Return the entries at tuned schedules.

    Raises:
        ValueError: no entry has a tuned schedule, a sampler has several for equal options and
            steps, or the samplers of a model were tuned in different ways.
    """
    entries = [entry for entry in source.entries if is_tuned(entry.record)]
    if not entries:
        raise ValueError(
            f"{source} has no row at a tuned schedule; make one with "
            "samplerbench tune, and run it with --schedule tuned"
        )
    levels_of: dict[tuple[str, ...], tuple[str, ...]] = {}
    settings_of: dict[str, tuple[str, ...]] = {}
    for row in (entry.record for entry in entries):
        model = text(row, "model")
        solver = tuple(text(row, name) for name in ("model", *SOLVER, "steps"))
        levels = text(row, "schedule"), text(row, "tuning_digest")
        if levels_of.setdefault(solver, levels) != levels:
            raise ValueError(
                f"{source} has {text(row, 'sampler')} at several tuned "
                "schedules; run one in a folder of its own"
            )
        settings = tuple(
            text(row, f"tuning_{name}") for name in ("what", "loss", "objective", "latents", "seed")
        )
        if any(settings) and settings_of.setdefault(model, settings) != settings:
            raise ValueError(
                f"{source} has samplers on {model} that were tuned in "
                "different ways; tune them all by one command"
            )
    return entries


def _takes_schedule(row: Record) -> bool:
    return row.get("schedule") != "own" and row.get("steps") is not None
