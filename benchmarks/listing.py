"""What there is: samplers, schedules, models, metrics and suites, as rows of plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from .. import samplers
from ..models import make_model, model_names
from ..results.record import COLUMNS
from .schedules import SCHEDULES, options_of
from .suite import built_in, load_suite

Row = dict[str, Any]


def list_samplers() -> list[Row]:
    """Every registered sampler with what it declares."""
    rows = []
    for name in samplers.names():
        sampler = samplers.make(name)
        rows.append(
            {
                "name": name,
                "order": sampler.order,
                "kind": "stochastic" if sampler.stochastic else "deterministic",
                "control": "tolerance" if sampler.adaptive else "steps",
                "batch_coupled": sampler.batch_coupled,
                "same_as": sampler.same_as,
                "options": {f.name: f.default for f in fields(sampler)},
                "summary": (type(sampler).__doc__ or "").strip().splitlines()[0],
                "source": f"{sampler.source.key}: {sampler.source.where}",
                "url": sampler.source.url,
                "deviations": list(sampler.source.deviations),
                "origin": samplers.origin(name) or "built in",
            }
        )
    return rows


def list_schedules() -> list[Row]:
    """Every schedule with its options."""
    return [{"name": n, "options": options_of(n), "summary": (f.__doc__ or "").strip().splitlines()[0]} for n, f in SCHEDULES.items()]


def list_models() -> list[Row]:
    """Every built-in model."""
    rows = []
    for name in model_names():
        model = make_model(name)
        reference = model.reference()
        rows.append(
            {
                "name": name,
                "event": list(model.event),
                "classes": model.classes,
                "sigma_min": model.sigma_min,
                "sigma_max": model.sigma_max,
                "features": reference.extractor.identity if reference else None,
                "identity": model.identity,
            }
        )
    return rows


def list_metrics() -> list[Row]:
    """The measured columns of the table: its numbers and flags, less the ends of the grid, which are asked for."""
    asked = ("sigma_min", "sigma_max")
    return [{"name": c.name, "meaning": c.meaning} for c in COLUMNS if c.kind in ("number", "flag") and c.name not in asked]


def list_suites() -> list[Row]:
    """The built-in suites."""
    rows = []
    for name in built_in():
        suite = load_suite(name)
        models = [m.name if isinstance(m.name, str) else m.name["name"] for m in suite.models]
        rows.append(
            {"name": name, "models": models, "samplers": len(suite.samplers), "samples": suite.samples, "description": suite.description}
        )
    return rows


KINDS: dict[str, Callable[[], list[Row]]] = {
    "samplers": list_samplers,
    "schedules": list_schedules,
    "models": list_models,
    "metrics": list_metrics,
    "suites": list_suites,
}
