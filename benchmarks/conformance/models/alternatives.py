"""Usual mistakes: other maps than a specification's that a user could have meant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from ....models.checkpoints.programs import trainings
from ....models.checkpoints.specification import Specification

VP = ("vp_linear", "sub_vp", "vp_cosine", "discrete")
LINEAR = ("vp_linear", "sub_vp")
"""Processes with a linear rate."""
NAMED = ("linear", "scaled_linear", "cosine")
"""Schedules of betas."""
ENDS = {"scaled_linear": {"start": 0.00085, "end": 0.012}, "linear": {"start": 1e-4, "end": 0.02}}
USUAL_STEPS = 1000
CIRCLE = 2 / math.pi
"""Factor of ``v`` in the velocity along a circle."""
DATA = (0.25, 0.5, 1.0)
"""Standard deviations of the data that EDM's networks are trained for."""
PREDICTIONS = {
    **dict.fromkeys(VP, ("eps", "v", "x0", "score")),
    "flow": ("flow", "x0", "eps"),
    "ve": ("x0", "eps", "score"),
    "edm": ("edm", "x0", "eps"),
}
"""Predictions of each process; a map's own prediction, ``consistency``, has no other."""


def alternatives(spec: Specification) -> Iterator[tuple[str, Specification]]:
    """Yield other maps for the network of a ``spec`` without open settings, by the settings of each."""
    for settings, changes in _changes(spec):
        yield settings, replace(spec, **changes)


def _changes(spec: Specification) -> Iterator[tuple[str, dict[str, Any]]]:
    yield f"factor={-spec.factor:g}", {"factor": -spec.factor}
    if spec.half:
        other = "second" if spec.half == "first" else "first"
        yield f"half={other}", {"half": other}
    yield from ((_time_settings(time, spec), {"time": time}) for time in _times(spec))
    yield from _processes(spec)
    for prediction in PREDICTIONS.get(spec.process["name"], ()):
        if spec.prediction not in (prediction, "consistency"):
            yield f"prediction={prediction}", {"prediction": prediction}
    if spec.process["name"] == "flow":  # x0 - z with data at t = 1, and the reverse
        for time in list(_times(spec))[:1]:
            yield (
                f"factor={-spec.factor:g}&{_time_settings(time, spec)}",
                {"factor": -spec.factor, "time": time},
            )


def _times(spec: Specification) -> Iterator[Mapping[str, Any]]:
    """Yield times in another direction, or in other units."""
    time = {"of": "t", "scale": 1.0, "offset": 0.0, **spec.time}
    if time["of"] == "log_level":  # EDM gets a quarter of it, NCSN++ all
        for unit in (4.0, 0.25):
            yield {**time, "scale": time["scale"] * unit, "offset": time["offset"] * unit}
        yield {"of": "level", "scale": 1.0, "offset": 0.0}
    if time["of"] == "level":
        yield {"of": "log_level", "scale": 0.25, "offset": 0.0}
    if time["of"] != "t":
        return
    whole = abs(time["scale"])
    if spec.process["name"] == "discrete":
        whole *= steps_of(spec.process) - 1
    yield {**time, "scale": -time["scale"], "offset": 0.0 if time["scale"] < 0 else whole}
    units = [1000.0, 0.001]
    if spec.process["name"] == "discrete":  # numbers of steps in thousandths, or the reverse
        steps = steps_of(spec.process)
        units.append(USUAL_STEPS / steps if steps != USUAL_STEPS else 4.0)
    for unit in units:
        yield {**time, "scale": time["scale"] * unit, "offset": time["offset"] * unit}


def steps_of(process: Mapping[str, Any]) -> int:
    """Return the number of times of a table."""
    table = process.get("levels") or process.get("betas")
    return len(table) if table is not None else process.get("steps", USUAL_STEPS)


def _time_settings(time: Mapping[str, Any], spec: Specification) -> str:
    of = "" if time["of"] == spec.time.get("of", "t") else f"time.of={time['of']}&"
    return f"{of}time.scale={time['scale']:g}&time.offset={time['offset']:g}"


def raw_networks(spec: Specification) -> Iterator[tuple[str, Specification]]:
    """Yield readings of a user's ``model(x, sigma)`` as a network in its own coordinates.

    Args:
        spec: of the model as a network of E[x0 | x] whose time is the level.
    """
    for training, changes in trainings().items():
        if training != "denoiser":
            yield f"training={training}", replace(spec, **{**changes, "sigma_min": spec.sigma_min})


def _processes(spec: Specification) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield other schedules of betas, and noise of another scale."""
    process = spec.process
    if process["name"] == "discrete" and "betas" not in process:
        own = steps_of(process)
        process = {key: value for key, value in process.items() if key != "levels"}
        for steps, schedule in product(dict.fromkeys((own, USUAL_STEPS)), NAMED):
            if (steps, schedule) != (own, process.get("schedule")):
                changed = {**process, **ENDS.get(schedule, {}), "schedule": schedule}
                other = "" if steps == own else f"&process.steps={steps}"
                yield (
                    f"process.schedule={schedule}{other}",
                    {"process": {**changed, "steps": steps}},
                )
    if process["name"] in LINEAR:
        other = LINEAR[1 - LINEAR.index(process["name"])]
        yield f"process.name={other}", {"process": {**process, "name": other}}
    paths = {("flow", "flow"): ("trigonometric", "v", CIRCLE)}
    paths |= {("trigonometric", "v"): ("flow", "flow", 1 / CIRCLE)}
    if (process["name"], spec.prediction) in paths:
        name, prediction, factor = paths[process["name"], spec.prediction]
        changes = {"prediction": prediction, "factor": spec.factor * factor}
        yield f"process.name={name}", {"process": {"name": name}, **changes}
    if process["name"] == "flow":
        scale = 1.0 if process.get("noise_scale", 1.0) != 1.0 else 2.0
        yield f"process.noise_scale={scale:g}", {"process": {**process, "noise_scale": scale}}
    if process["name"] == "edm":
        for data in DATA:
            if data != process.get("sigma_data", 0.5):
                yield (
                    f"process.sigma_data={data:g}",
                    {"process": {**process, "sigma_data": data}},
                )
