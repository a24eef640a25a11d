"""Fair comparison of a run's samplers: each at its best, its authors' or its tuned schedule.

One half of the samples chooses the best of K schedules, and the other half measures this schedule.
The smallest of K noisy values is biased (the winner's curse). A new measurement has no such bias.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...results.comparison.compare import Comparison, choose_quantities, compare_matches
from ...results.comparison.endpoint_distances import summarise_distances, why_carried_by_few
from ...results.comparison.estimates import Estimate, estimate_of
from ...results.comparison.pairing import (
    Entry,
    Source,
    match_with_sampler,
    quantities_in_all,
    read_source,
)
from ...results.quantities import Quantity, judged
from ...results.run_directory.run_dir import RunDir
from ...results.table.curves import is_tuned
from ...results.values import Record, number, text
from ..metrics.estimators.frechet import FrechetReference, estimate
from ..planning.authors import AUTHORS
from ..planning.model_loading import load_model
from ..scoring.feature_references import CARD, load_references
from ..suites.suite import extractors_of

HALVED = ("fid_proxy", "typical_error", "rmse")
"""Metrics that can be measured on half of a cell's samples, from data in a run directory."""


Fair = Literal["best", "author", "tuned"]
"""Way to choose the schedule at which each sampler is compared."""


def compare_fairly(
    run: Path, baseline: str, metrics: Sequence[str], margin: float, fair: Fair
) -> Comparison:
    """Compare the samplers of a run with ``baseline``, each at the schedule that ``fair`` chooses.

    "best": on one half of the samples, one metric of :data:`HALVED` chooses among schedules that all samplers have, and
    the other half is compared. "author": schedules of :data:`.authors.AUTHORS`. "tuned": levels that were tuned for the
    sampler on other latents. ``margin`` is the share of the baseline's value that does not matter.

    Raises a ValueError if the run lacks the schedules that ``fair`` needs, or nothing is left to
    compare. With "best", also if a metric cannot be measured on half of the samples.
    """
    source = read_source(run)
    if fair == "best":
        quantity, schedules = _metric_for_choice(source, metrics), common_schedules_by_model(source)
        if quantity.apart:
            halves: Halves = partial(distance_halves, quantity=quantity)
        else:
            references = _references_by_model(source)
            halves = partial(frechet_halves, run=RunDir.open(run), references=references)
        entries = entries_at_best_schedules(source, schedules, quantity, halves)
        metrics = (quantity.name,)
    elif fair == "tuned":
        entries = entries_at_tuned_levels(source)
    else:
        entries = entries_at_schedules(source.entries, AUTHORS)
        if not entries:
            raise ValueError(
                f"{source} has no sampler at its author's schedule; run it with --schedule karras --schedule "
                "uniform_lambda"
            )
    pairs = match_with_sampler(entries, baseline, any_schedule=True)
    comparison = compare_matches(source, source, pairs, metrics, margin, baseline=baseline)
    if not comparison.lines:
        raise ValueError(
            f"{source} has nothing to compare with {baseline} in this way; run another sampler at the same budget"
        )
    return comparison


def _metric_for_choice(source: Source, metrics: Sequence[str]) -> Quantity:
    """Return the metric that chooses schedules; raise ValueError for several or not in HALVED."""
    measured = quantities_in_all([source], judged())
    if whole := {quantity.name for quantity in measured} & set(metrics) - set(HALVED):
        raise ValueError(f"{min(whole)} cannot be halved; choose from {', '.join(HALVED)}")
    chosen = choose_quantities(metrics, [one for one in measured if one.name in HALVED])
    if len(chosen) > 1:
        options = " or ".join(f"--metric {quantity.name}" for quantity in chosen)
        raise ValueError(f"schedules are chosen by one metric: give {options}")
    return chosen[0]


def frechet_halves(
    entry: Entry, run: RunDir, references: Mapping[str, FrechetReference]
) -> tuple[Estimate, Estimate, str]:
    """Return the Fréchet distance on each half of a cell's features.

    The last item says why the second distance is unreliable; "" if it is not.
    """
    fixed = references[text(entry.record, "model")]
    halves = _split_in_halves(_stored_features(entry, run))
    first, second = (estimate(fixed, half) for half in halves)
    measured_on = Estimate(second.value, second.se, second.influence)
    return Estimate(first.value, first.se), measured_on, second.flag


def distance_halves(entry: Entry, quantity: Quantity) -> tuple[Estimate, Estimate, str]:
    """Return a metric on halves of a cell's stored distances; last item as in ``frechet_halves``."""
    distances = entry.arrays.get(quantity.influence)
    if distances is None:
        raise ValueError(
            f"cell {text(entry.record, 'cell')} keeps no distances of single samples; run the suite again to have "
            "it scored"
        )
    first, second = (half.astype(np.float64) for half in _split_in_halves(distances))
    flag = why_carried_by_few(second) if quantity.flag else ""
    halves = [_estimate_of_half(half, entry.record, quantity) for half in (first, second)]
    return halves[0], halves[1], flag


def _estimate_of_half(distances: NDArray[np.float64], row: Record, quantity: Quantity) -> Estimate:
    distance = number(row, quantity.apart) or 0.0
    estimate = summarise_distances(distances, distance, quantity.summary)
    half: Record = {
        quantity.name: estimate.value,
        quantity.se: estimate.se,
        f"{quantity.name}_low": estimate.low,
        f"{quantity.name}_high": estimate.high,
        quantity.apart: distance,
    }
    estimated = estimate_of(half, {quantity.influence: distances}, quantity)
    assert estimated is not None
    return estimated


def _split_in_halves(samples: NDArray) -> tuple[NDArray, NDArray]:
    """Return the first and the second half of samples. Raises a ValueError for fewer than four."""
    if len(samples) < 4:
        raise ValueError(f"{len(samples)} samples cannot be halved; run at least four")
    return samples[: len(samples) // 2], samples[len(samples) // 2 :]


def _stored_features(entry: Entry, run: RunDir) -> NDArray:
    """Return a cell's stored features, in the order of samples. Raises a ValueError without any."""
    cell, samples = text(entry.record, "cell"), int(number(entry.record, "samples") or 0)
    shards = [run.read_shard(cell, *span) or {} for span in run.shard_ranges(cell, samples)]
    if not shards or any("features" not in shard for shard in shards):
        raise ValueError(
            f"cell {cell} has no features stored, so that it cannot be halved; run the suite again, or use "
            "--metric rmse"
        )
    return np.concatenate([shard["features"] for shard in shards])[:samples]


def _references_by_model(source: Source) -> dict[str, FrechetReference]:
    """Return references by model; raise ValueError if the run was scored by other references."""
    scored = [e for e in source.entries if number(e.record, "fid_proxy") is not None]
    names = sorted({text(e.record, "model") for e in scored})
    models = {name: load_model(name).model for name in names}
    identities = source.run.get("models") or {}
    for name, model in models.items():
        if identities.get(name, model.identity) != model.identity:
            raise ValueError(
                f"model {name} is {model.identity} here, but {identities[name]} was run; run the suite again with "
                "this model"
            )
    suite = source.run.get("suite") or {}
    default = str(suite.get("extractor", CARD))  # for models of an earlier run into the folder
    extractors = dict.fromkeys(models, default) | extractors_of(suite)
    loaded = load_references(models, extractors, suite.get("reference", suite.get("real")))
    references = {name: reference for name, reference in loaded.items() if reference is not None}
    for entry in scored:
        name = text(entry.record, "model")
        reference = references.get(name)
        if reference is None:
            raise ValueError(
                f"model {name} was scored against a reference, and has none here; run the suite again in a folder of "
                "its own"
            )
        scored_on = text(entry.record, "estimator").split("; ")
        for part in (reference.extractor.identity, f"reference {reference.identity}"):
            if part not in scored_on:
                raise ValueError(
                    f"{text(entry.record, 'curve')} was scored in another feature space, or against other data, than "
                    f"{part} here; run the suite again in a folder of its own"
                )
    return {name: FrechetReference(r.mean, r.cov) for name, r in references.items()}


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
            solver = text(row, "sampler"), text(row, "params")
            planned[text(row, "model")][solver].add(text(row, "schedule"))
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

    Raises a ValueError if no entry has a tuned schedule, a sampler has several for equal options
    and steps, or the samplers of a model were tuned in different ways.
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
