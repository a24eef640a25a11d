"""Definition of the frozen suite: settings, digest, the check for changes, and words on runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from ...results.board import scoring
from ...results.run_directory.behaviour_fingerprint import Fingerprint, Numbers, difference
from ...samplers import SampleNoise
from ...samplers.spec import canonical_json, format_spec, parse_spec
from ..identity.model import model_fingerprint
from ..planning.model_loading import load_model
from ..suites.files import load_suite
from ..suites.suite import Suite
from . import constants
from .instances import draw_part
from .measuring import network_reference

RECORD = Path(__file__).with_name(f"{constants.VERSION}.json")
"""Record of :func:`settings` and :func:`fingerprints`. A change of it is another version of the suite."""
FREE_KEYS = frozenset(
    {"name", "description", "models", "samplers", "schedules", "timing", "keep", "metrics"}
    | {"execution", "device", "batch_size", "path_curvature", "reference_samples"}
)
"""Keys that change no number of the suite, or that a run may choose."""
MODEL_KEYS = {"samples", "steps", "nfe", "extractor"}
"""Keys of single models that change numbers."""


def settings() -> dict[str, Any]:
    """Return the constants of the suite, except sizes of problems, as JSON values by name."""
    return {
        "version": constants.VERSION,
        "kinds": list(constants.KINDS),
        "problems of a kind": constants.PER_KIND,
        "ranges": {name: list(ends) for name, ends in constants.RANGES.items()},
        "budgets": list(constants.BUDGETS),
        "tolerances": [float(f"{value:.6g}") for value in constants.TOLERANCES.values()],
        "samples": constants.SAMPLES,
        "networks": list(constants.NETWORKS),
        "budgets on networks": list(constants.NETWORK_BUDGETS),
        "samples of networks": constants.NETWORK_SAMPLES,
        "axes": constants.AXES,
        "evaluations": [scoring.FEWEST, scoring.MOST],
        "targets": [float(f"{value:.6g}") for value in scoring.EXACT_TARGETS],
        "targets on networks": list(scoring.NETWORK_TARGETS),
    }


def fingerprints() -> dict[str, Any]:
    """Return latents, outputs and networks' smallest significant distances, as JSON by name.

    Numbers are compared within tolerances, since rounding differs between machines.
    """
    part = draw_part()
    z = SampleNoise(part.seed, torch.arange(4), (8,), torch.float64).initial()
    latents = Numbers(tuple(z.flatten().tolist()), 0.0, 1e-9)
    made = [Fingerprint("model", "latents", {}, {"numbers": latents})]
    for instance in part.instances:
        specs = {instance.name: instance.spec, f"{instance.name} moved": instance.moved}
        for name, spec in specs.items():
            model = model_fingerprint(load_model(spec).model)
            # the identity is a hash of rounded parameters, which linear algebra makes
            facts = {**model.exact, "spec": spec}
            del facts["identity"]
            made.append(Fingerprint("model", name, facts, _every_fifth(model.values)))
    for name in constants.NETWORKS:
        model = model_fingerprint(load_model(name).model)
        floor = Numbers((network_reference(name).floor,), 1e-4, 0.0)
        values = {**_every_fifth(model.values), "floor": floor}
        made.append(Fingerprint("model", name, model.exact, values))
    return {fingerprint.name: fingerprint.to_json() for fingerprint in made}


def _every_fifth(values: Mapping[str, Numbers]) -> dict[str, Numbers]:
    """Return every fifth number of each fingerprint, which is enough to notice a change."""
    return {name: Numbers(v.numbers[::5], v.rtol, v.atol) for name, v in values.items()}


@cache
def digest() -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the file :data:`RECORD`."""
    return hashlib.sha256(RECORD.read_bytes()).hexdigest()[:16]


def differences() -> list[str]:
    """Return differences of the present code, networks and libraries from the record; [] if none.

    Each difference is a clause that names the setting, problem or network.
    """
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    now = settings()
    found = [
        f"{name} are {now.get(name)}, not {value}"
        for name, value in record["settings"].items()
        if now.get(name) != value
    ]
    made = fingerprints()
    for name, before in record["fingerprints"].items():
        if name not in made:
            found.append(f"{name} is gone")
        elif why := difference(Fingerprint.from_json(before), Fingerprint.from_json(made[name])):
            found.append(f"{name}: {why}")
    return found


def check_frozen() -> str:
    """Return the version and digest of the suite, such as "sb-2026.1 (0123456789abcdef)".

    Raises:
        ValueError: something has changed; the message names the first three differences.
    """
    if changed := differences():
        more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise ValueError(
            f"this is not {constants.VERSION}: {'; '.join(changed[:3])}{more}. Install the released package, or "
            "torch and numpy within its ranges"
        )
    return f"{constants.VERSION} ({digest()})"


def suite_of_part(suite: Suite, part: str = constants.PUBLIC, beacon: str = "") -> Suite:
    """Return the frozen suite on a part's problems and latents; raise ValueError if invalid."""
    if part == constants.PUBLIC and not beacon:
        return suite
    drawn = draw_part(part, beacon)
    specs = [spec for instance in drawn.instances for spec in (instance.spec, instance.moved)]
    return suite.replaced(models=[*constants.NETWORKS, *specs], seed=drawn.seed)


def describe_run(suite: Suite, part: str = constants.PUBLIC, beacon: str = "") -> str:
    """Return version, digest and part of the frozen suite, or how the run's suite differs."""
    frozen = suite_of_part(load_suite(constants.SUITE), part, beacon)
    ours, theirs = suite.model_dump(mode="json"), frozen.model_dump(mode="json")
    changed = [key for key in ours if key not in FREE_KEYS and ours[key] != theirs[key]]
    known = {
        canonical_json(parse_spec(e.name)): e.model_dump(include=MODEL_KEYS) for e in frozen.models
    }
    changed += [
        f"model {format_spec(parse_spec(entry.name))}"
        for entry in suite.models
        if known.get(canonical_json(parse_spec(entry.name))) != entry.model_dump(include=MODEL_KEYS)
    ]
    if changed:
        return f"This run is not {constants.VERSION}: {', '.join(changed)} differ from it."
    try:
        return f"{check_frozen()}, part {part}"
    except ValueError as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}"
