"""Frozen suite as an ordinary suite of ``run``: suites of its parts, and the check of a run."""

from __future__ import annotations

from ...samplers.spec import canonical_json, format_spec, parse_spec
from ..suites.files import load_suite
from ..suites.suite import Suite
from .constants import NETWORKS, PUBLIC, SUITE, VERSION
from .definition import check_frozen
from .instances import draw_part

FREE = frozenset(
    {"name", "description", "models", "samplers", "schedules", "timing", "keep", "metrics"}
    | {"execution", "device", "batch_size", "path_curvature", "reference_samples"}
)
"""Keys that change no number of the suite, or that a run may choose."""
OF_MODEL = {"samples", "steps", "nfe", "extractor"}
"""Keys of single models that change numbers."""


def suite_of_part(suite: Suite, part: str = PUBLIC, beacon: str = "") -> Suite:
    """Return the frozen suite on a part's problems and latents; raise ValueError if invalid."""
    if part == PUBLIC and not beacon:
        return suite
    drawn = draw_part(part, beacon)
    specs = [spec for instance in drawn.instances for spec in (instance.spec, instance.moved)]
    return suite.replaced(models=[*NETWORKS, *specs], seed=drawn.seed)


def describe_run(suite: Suite, part: str = PUBLIC, beacon: str = "") -> str:
    """Return version, digest and part of the frozen suite, or how the run's suite differs."""
    frozen = suite_of_part(load_suite(SUITE), part, beacon)
    ours, theirs = suite.model_dump(mode="json"), frozen.model_dump(mode="json")
    changed = [key for key in ours if key not in FREE and ours[key] != theirs[key]]
    known = {
        canonical_json(parse_spec(e.name)): e.model_dump(include=OF_MODEL) for e in frozen.models
    }
    changed += [
        f"model {format_spec(parse_spec(entry.name))}"
        for entry in suite.models
        if known.get(canonical_json(parse_spec(entry.name))) != entry.model_dump(include=OF_MODEL)
    ]
    if changed:
        return f"This run is not {VERSION}: {', '.join(changed)} differ from it."
    try:
        return f"{check_frozen()}, part {part}"
    except ValueError as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
