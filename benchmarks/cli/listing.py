"""Rows of ``samplerbench list``: samplers, models, feature spaces, metrics and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from ... import samplers
from ...models import model_names
from ...models.checkpoints.families import family_facts, family_names
from ...models.extractors import EXTRACTORS
from ...models.loaders import LOADERS
from ...models.registry import make_model
from ...results.quantities import columns
from ...samplers.base import default_of, plain
from ...samplers.peers import available
from ...samplers.schedules import SCHEDULES
from ..conformance.measured import nfe_per_step, shipped_entries
from ..metrics import metrics
from ..planning.authors import authors_schedules_of
from ..planning.schedules import schedule_options
from ..suites.files import built_in_suite_files, load_suite

Row = dict[str, Any]


def list_samplers() -> list[Row]:
    """Return a row per sampler: declared facts, measured orders, options, author's schedules."""
    return [_sampler_row(name, shipped_entries().get(name, {})) for name in samplers.names()]


def _sampler_row(name: str, entry: Mapping[str, Any]) -> Row:
    sampler, usage = _make_or_class(name), authors_schedules_of(name)
    return {
        "name": name,
        "order": None if isinstance(sampler.order, property) else sampler.order,
        **{key: entry.get(key) for key in ("measured", "weak", "strong")},
        "nfe_per_step": None if isinstance(sampler, type) else nfe_per_step(sampler),
        "kind": "stochastic" if sampler.stochastic else "deterministic",
        "control": "tolerance" if sampler.adaptive else "steps",
        "batch_coupled": sampler.batch_coupled,
        "same_as": sampler.same_as,
        "options": {
            f.name: "required" if default_of(f) is MISSING else plain(default_of(f))
            for f in fields(sampler)
            if not f.metadata.get("found")
        },
        "summary": _summary(samplers.get(name)),
        "source": f"{sampler.source.key} {sampler.source.where}",
        "url": sampler.source.url,
        "deviations": list(sampler.source.deviations),
        "author_schedules": list(usage.schedules) if usage else [],
        "author_schedules_source": f"{usage.key} {usage.where}" if usage else None,
        "origin": samplers.origin(name) or "built in",
    }


def _make_or_class(name: str) -> Any:
    """Return a sampler with default options; its class if these are not enough to make it."""
    try:
        return samplers.make(name)
    except ValueError:
        return samplers.get(name)


def _summary(documented: object) -> str:
    return " ".join((documented.__doc__ or "").partition("\n\n")[0].split())


def list_peers() -> list[Row]:
    """Return a row per sampler of another library that can run here."""
    return [{"name": name} for name in available()]


def list_schedules() -> list[Row]:
    """Return a row per schedule, with its options and source."""
    return [
        {
            "name": name,
            "options": schedule_options(name),
            "same_as": entry.same_as,
            "needs_model": entry.needs_model,
            "summary": entry.summary,
            "source": f"{entry.source.key}: {entry.source.where}",
            "url": entry.source.url,
            "deviations": list(entry.source.deviations),
        }
        for name, entry in SCHEDULES.items()
    ]


def list_models() -> list[Row]:
    """Return a row per built-in model, for ``perturbed:gmm-2d``, and per prefix of plugins' models.

    Plugins' models are named ``prefix:name``. The plugins are not imported.
    """
    models = ((name, make_model(name)) for name in (*model_names(), "perturbed:gmm-2d"))
    rows = [
        {
            "name": name,
            "event": list(model.event),
            "classes": model.classes,
            "sigma_min": model.sigma_min,
            "sigma_max": model.sigma_max,
            "features": known.extractor.identity if (known := model.reference()) else None,
            "identity": model.identity,
            "origin": "built in",
        }
        for name, model in models
    ]
    unknown = dict.fromkeys(rows[0])
    return rows + [
        unknown | {"name": f"{scheme}:…", "origin": origin}
        for scheme, origin in LOADERS.installed().items()
    ]


def list_extractors() -> list[Row]:
    """Return a row per feature space: built-in ones, then packages', which are not imported."""
    own = [
        {"name": scheme.usage, "features": _summary(scheme.load), "origin": "built in"}
        for scheme in EXTRACTORS.built_in()
    ]
    return own + [
        {"name": f"{scheme}:…", "features": f"as {origin} says", "origin": origin}
        for scheme, origin in EXTRACTORS.installed().items()
    ]


def list_metrics() -> list[Row]:
    """Return a row per result column; ``metric`` names its metric, None if every run has it."""
    settings = ("sigma_min", "sigma_max")
    measured_by = {
        column.name: name
        for name, metric in metrics().items()
        for quantity in metric.quantities
        for column in quantity.columns
    }
    return [
        {"name": c.name, "metric": measured_by.get(c.name), "meaning": c.meaning_and_unit}
        for c in columns()
        if c.kind in ("number", "flag") and c.name not in settings
    ]


def list_suites() -> list[Row]:
    """Return a row per built-in suite."""
    suites = {name: load_suite(name) for name in built_in_suite_files()}
    return [
        {
            "name": name,
            "models": [m.name if isinstance(m.name, str) else m.name["name"] for m in suite.models],
            "samplers": len(suite.samplers),
            "samples": suite.samples,
            "description": suite.description,
        }
        for name, suite in suites.items()
    ]


def list_families() -> list[Row]:
    """Return a row per checkpoint family: its files, settings to state, and unsupported files."""
    return [
        {"name": name, **{key.lower(): unmark(fact) for key, fact in family_facts(name).items()}}
        for name in family_names()
    ]


def unmark(docstring: str) -> str:
    """Return a docstring's text without backticks and Sphinx roles.

    >>> unmark("``size``, as :mod:`.openai` asks")
    'size, as openai asks'
    """
    return re.sub(r":\w+:`\.?([^`]*)`|``", r"\1", docstring)


KINDS: dict[str, Callable[[], list[Row]]] = {
    "samplers": list_samplers,
    "schedules": list_schedules,
    "models": list_models,
    "families": list_families,
    "extractors": list_extractors,
    "metrics": list_metrics,
    "suites": list_suites,
    "peers": list_peers,
}

COLUMNS: dict[str, dict[str, str]] = {
    "samplers": {"order": "order", "measured": "measured", "nfe_per_step": "per step"}
    | {"same_as": "same as"},
    "schedules": {"summary": "levels"},
    "models": {"event": "shape", "classes": "classes", "sigma_min": "sigma_min"}
    | {"sigma_max": "sigma_max"},
    "families": {"say": "say behind the path"},
    "suites": {"samples": "samples", "description": "description"},
    "metrics": {"meaning": "meaning"},
}
"""Headings of the printed columns after the name, by kind; other kinds print all columns."""

INSTALLED = "of other packages"

NEXT: dict[str, tuple[tuple[str, ...], ...]] = {
    "samplers": (
        ("check", "NAME"),
        ("run", "quick", "--sampler", "NAME"),
        ("cite", "NAME"),
    ),
    "schedules": (("run", "quick", "--schedule", "NAME"),),
    "models": (("check-model", "NAME"), ("run", "quick", "--model", "NAME")),
    "families": (("check-model", "FILE", "--images", "images/"),),
    "extractors": (("run", "quick", "--model", "MODEL", "--extractor", "NAME"),),
    "metrics": (("show", "RUN", "--metric", "NAME"), ("new-metric", "my_metric")),
    "suites": (("plan", "NAME"), ("run", "NAME")),
    "peers": (("run", "quick", "--sampler", "NAME"),),
}
"""Commands to type after each listing."""


def group_rows(kind: str, rows: Sequence[Row]) -> Iterator[tuple[str, list[Row], dict[str, str]]]:
    """Yield (heading, printed rows, column headings by key) for each group of a listing."""
    columns = COLUMNS.get(kind, {})
    if "theirs" in rows[0]:  # translations; few programs have labels with names
        first = "label" if any(row["label"] for row in rows) else "theirs"
        rows = [{"name": row[first], **row} for row in rows]
        keys = [key for key in rows[0] if key not in ("name", first)]
        columns = {key: key for key in keys if any(row[key] for row in rows)}
    columns = columns or {key: key for key in rows[0] if key not in ("name", "origin")}
    groups: dict[str, list[Row]] = {"deterministic": [], "built-in models": []}  # these come first
    for row in rows:
        groups.setdefault(_group(kind, row), []).append(_printed_row(kind, row))
    width = max(len(text) for row in rows for text in (row["name"], *groups))
    for heading, lines in groups.items():
        padded = [{**line, "name": f"{line['name']:<{width}}"} for line in lines]
        if padded:
            yield heading, padded, {"origin": "package"} if heading == INSTALLED else columns


def _group(kind: str, row: Row) -> str:
    if kind == "samplers" and "kind" in row:
        return "adaptive steps" if row["control"] == "tolerance" else row["kind"]
    if kind == "schedules" and "needs_model" in row:
        return "needs a model" if row["needs_model"] else "any range of levels"
    if kind == "metrics":
        return row["metric"] or "of every run"
    if kind == "suites":
        own = any(model.startswith("checkpoint:") for model in row["models"])
        return "own checkpoint" if own else "built-in models"
    if kind == "models":
        return "name" if row["event"] else INSTALLED
    return "name"


def _printed_row(kind: str, row: Row) -> Row:
    """Return a row as a terminal shows it, such as with the shape as ``3x32x32``."""
    if kind == "samplers" and row.get("measured") is None and row.get("weak") is not None:
        return {**row, "measured": f"weak {row['weak']}"}
    if kind == "schedules" and "same_as" in row:
        same = f" Same as {row['same_as']}." if row["same_as"] else ""
        return {**row, "summary": f"{row['summary']}{same} [{row['source']}]"}
    if kind == "models" and row["event"]:
        return {**row, "event": "x".join(map(str, row["event"]))}
    return row
