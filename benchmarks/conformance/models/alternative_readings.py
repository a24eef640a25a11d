"""Alternative readings of a network: denoisers with one setting changed, to find wrong settings.

:func:`alternative_specifications` changes settings of a checkpoint. Other functions change the
images, or the network's input or output.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....models.adapters import NativeDenoiser
from ....models.checkpoints.processes import SCHEDULE_ENDS
from ....models.checkpoints.specification import Specification
from ....models.denoiser import Denoiser, Wrapper
from .reading_comparison import Candidate, Readings

VP_PROCESSES = ("vp_linear", "sub_vp", "vp_cosine", "discrete")
LINEAR_PROCESSES = ("vp_linear", "sub_vp")
"""Processes whose beta(t) is linear."""
SCHEDULES = ("linear", "scaled_linear", "cosine")
"""Schedules of betas to try for a discrete process."""
USUAL_STEPS = 1000
CIRCLE_FACTOR = 2 / math.pi
"""Factor that turns the velocity of a trigonometric flow into ``v``."""
SIGMA_DATA = (0.25, 0.5, 1.0)
"""Usual values of EDM's ``sigma_data``."""
PREDICTIONS = {
    **dict.fromkeys(VP_PROCESSES, ("eps", "v", "x0", "score")),
    "flow": ("flow", "x0", "eps"),
    "ve": ("x0", "eps", "score"),
    "edm": ("edm", "x0", "eps"),
}
"""Predictions to try by process. A network that predicts ``consistency`` has no alternatives."""


def alternative_specifications(spec: Specification) -> Iterator[tuple[str, Specification]]:
    """Yield (settings, specification) for each usual mistake in a setting of ``spec``.

    All settings of ``spec`` must have values. ``settings`` is a text with the changed settings, such
    as "half=first".
    """
    yield f"factor={-spec.factor:g}", replace(spec, factor=-spec.factor)
    if spec.half:
        other = "second" if spec.half == "first" else "first"
        yield f"half={other}", replace(spec, half=other)
    times = [(_time_settings(time, spec), time) for time in _other_times(spec)]
    yield from ((settings, replace(spec, time=time)) for settings, time in times)
    yield from ((text, replace(spec, **changes)) for text, changes in _other_processes(spec))
    for prediction in PREDICTIONS.get(spec.process["name"], ()):
        if spec.prediction not in (prediction, "consistency"):
            yield f"prediction={prediction}", replace(spec, prediction=prediction)
    if spec.process["name"] == "flow":  # x0 - z with data at t = 1, or the reverse
        for settings, time in times[:1]:
            both = replace(spec, factor=-spec.factor, time=time)
            yield f"factor={-spec.factor:g}&{settings}", both


def readings_of_specifications(
    specifications: Iterable[tuple[str, Specification]], make: Callable[[Specification], Denoiser]
) -> Readings:
    """Yield (settings, model) of each specification; leave out those that ``make`` refuses."""
    for settings, spec in specifications:
        try:
            model = make(spec)
        except (ValueError, TypeError):  # such as a prediction that the process lacks
            continue
        yield settings, model


def _other_times(spec: Specification) -> Iterator[Mapping[str, Any]]:
    """Yield alternatives to the field ``time``: other units, direction or function of the level."""
    time = {"of": "t", "scale": 1.0, "offset": 0.0, **spec.time}
    if time["of"] == "log_level":  # EDM's network gets a quarter of the logarithm, NCSN++'s all
        for unit in (4.0, 0.25):
            yield {**time, "scale": time["scale"] * unit, "offset": time["offset"] * unit}
        yield {"of": "level", "scale": 1.0, "offset": 0.0}
    if time["of"] == "level":
        yield {"of": "log_level", "scale": 0.25, "offset": 0.0}
    if time["of"] != "t":
        return
    whole, units = abs(time["scale"]), [1000.0, 0.001]
    if spec.process["name"] == "discrete":  # step numbers out of another usual number of steps
        steps = steps_of_table(spec.process)
        whole *= steps - 1
        units.append(USUAL_STEPS / steps if steps != USUAL_STEPS else 4.0)
    yield {**time, "scale": -time["scale"], "offset": 0.0 if time["scale"] < 0 else whole}
    for unit in units:
        yield {**time, "scale": time["scale"] * unit, "offset": time["offset"] * unit}


def steps_of_table(process: Mapping[str, Any]) -> int:
    """Return the number of steps of a discrete process, from its fields in a specification."""
    table = process.get("levels") or process.get("betas")
    return len(table) if table is not None else process.get("steps", USUAL_STEPS)


def _time_settings(time: Mapping[str, Any], spec: Specification) -> str:
    of = "" if time["of"] == spec.time.get("of", "t") else f"time.of={time['of']}&"
    return f"{of}time.scale={time['scale']:g}&time.offset={time['offset']:g}"


def _other_processes(spec: Specification) -> Iterator[tuple[str, dict[str, Any]]]:
    process = spec.process
    if process["name"] == "discrete" and "betas" not in process:
        own = steps_of_table(process)
        process = {key: value for key, value in process.items() if key != "levels"}
        for steps, schedule in product(dict.fromkeys((own, USUAL_STEPS)), SCHEDULES):
            if (steps, schedule) != (own, process.get("schedule")):
                ends = {**SCHEDULE_ENDS.get(schedule, {}), "schedule": schedule, "steps": steps}
                other = "" if steps == own else f"&process.steps={steps}"
                yield f"process.schedule={schedule}{other}", {"process": {**process, **ends}}
    if process["name"] in LINEAR_PROCESSES:
        other = LINEAR_PROCESSES[1 - LINEAR_PROCESSES.index(process["name"])]
        yield f"process.name={other}", {"process": {**process, "name": other}}
    paths = {("flow", "flow"): ("trigonometric", "v", CIRCLE_FACTOR)}
    paths |= {("trigonometric", "v"): ("flow", "flow", 1 / CIRCLE_FACTOR)}
    if (process["name"], spec.prediction) in paths:
        name, prediction, factor = paths[process["name"], spec.prediction]
        changes = {"prediction": prediction, "factor": spec.factor * factor}
        yield f"process.name={name}", {"process": {"name": name}, **changes}
    if process["name"] == "flow":
        scale = 1.0 if process.get("noise_scale", 1.0) != 1.0 else 2.0
        yield f"process.noise_scale={scale:g}", {"process": {**process, "noise_scale": scale}}
    if process["name"] == "edm":
        for data in SIGMA_DATA:
            if data != process.get("sigma_data", 0.5):
                yield f"process.sigma_data={data:g}", {"process": {**process, "sigma_data": data}}


Call = Callable[[Tensor, float], Tensor]
"""Denoiser with bound labels: a function of ``(x, sigma)``."""

SCALE_RATIO = 4 / 3
"""Smallest ratio of the best and the stated output scale, larger to smaller, that is reported."""
STEADY_RATIO = 1.25
"""Largest ratio between best factors at different levels for which one factor fits all.

Only levels between the quartiles of the factors count.
"""


class ChangedDenoiser(Wrapper):
    """Model that returns ``change(call, x, sigma)``; ``call(x, sigma)`` is the inner denoiser."""

    def __init__(self, inner: Denoiser, change: Callable[[Call, Tensor, float], Tensor]) -> None:
        super().__init__(inner)
        self.change = change

    def denoise(self, x: Tensor, sigma: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the changed output; ``sigma`` must be a number, or a tensor of one element."""
        return self.change(lambda y, s: self.inner.denoise(y, s, labels), x, float(sigma))


def readings_of_image_format(model: Denoiser, clean: Tensor) -> Readings:
    """Yield (settings, denoiser) for images of another value range or layout."""
    for settings, scale, shift in _other_ranges(clean):
        yield settings, ChangedDenoiser(model, partial(_denoise_rescaled, scale, shift))
    if len(model.event) != 3:
        return
    channels, height, width = model.event
    flips: dict[str, Callable[[Tensor], Tensor]] = {}
    if height == width > 1:
        flips["height and width of the {} swapped"] = partial(torch.transpose, dim0=-1, dim1=-2)
    if channels == 3:
        flips["the channels of the {} reversed (BGR)"] = partial(torch.flip, dims=(1,))
    for settings, flip in flips.items():
        both = ChangedDenoiser(model, lambda d, x, s, flip=flip: flip(d(flip(x), s)))
        yield settings.format("images"), both
        output = ChangedDenoiser(model, lambda d, x, s, flip=flip: flip(d(x, s)))
        if isinstance(model, NativeDenoiser):
            output = with_changes(model, network=lambda *of, flip=flip: flip(model.network(*of)))
        yield settings.format("output"), output


def with_changes(model: NativeDenoiser, **attributes: Any) -> NativeDenoiser:
    """Return a copy of the model with other values of some attributes."""
    twin = copy.copy(model)
    vars(twin).update(attributes)
    return twin


def _other_ranges(clean: Tensor) -> Iterator[tuple[str, float, float]]:
    """Yield (description, scale, shift), where scale * x + shift maps images to another range."""
    low, high = float(clean.min()), float(clean.max())
    ranges = {"[0, 1]": (0.0, 1.0), "[-1, 1]": (-1.0, 1.0), "[0, 255]": (0.0, 255.0)}
    for own, (start, end) in ranges.items():
        if start - 0.02 * (end - start) <= low and high <= end * 1.02:
            for name, (a, b) in ranges.items():
                if name != own:
                    scale = (b - a) / (end - start)
                    yield f"the images, {own}, taken to {name}", scale, a - scale * start
            return


def _denoise_rescaled(scale: float, shift: float, d: Call, x: Tensor, s: float) -> Tensor:
    """Return E[x0 | x] from a denoiser ``d`` that was trained on images scale * x0 + shift."""
    return (d(scale * x + shift, scale * s) - shift) / scale


def readings_of_scale(stated: Candidate) -> Readings:
    """Yield (settings, denoiser) with a rescaled output, if a factor fits better at all levels."""
    model = stated.model
    if isinstance(model, NativeDenoiser):
        opposite = with_changes(model, factor=-model.factor)

        def without_output(x: Tensor, level: float, labels: Tensor | None, d: Tensor) -> Tensor:
            return (d + opposite.denoise(x, level, labels)) / 2

        if c := _best_multiple(stated, without_output):
            factor = c * model.factor
            yield f"factor={factor:.3g}", with_changes(model, factor=factor)
        return
    for noun, base in {"": torch.zeros_like, "noise in the ": torch.clone}.items():
        if c := _best_multiple(stated, lambda x, *_, base=base: base(x)):
            scaled = partial(_denoise_with_scaled_output, c, base)
            yield f"the {noun}output divided by {1 / c:.3g}", ChangedDenoiser(model, scaled)


def _denoise_with_scaled_output(
    c: float, base: Callable[[Tensor], Tensor], d: Call, x: Tensor, s: float
) -> Tensor:
    return base(x) + c * (d(x, s) - base(x))


def _best_multiple(stated: Candidate, without_output: Callable[..., Tensor]) -> float | None:
    """Return the factor of the network's output that fits clean samples best; None if about 1.

    The result is also None if the best factor varies with the level, or is not positive. The
    factor c makes b + c (d - b) of the denoised samples d. Here b, which
    ``without_output(x, level, labels, d)`` returns, is the part without the network's output.
    """
    generator = torch.Generator().manual_seed(0)
    (clean, labels), factors = stated.few_samples, []
    for level in stated.fit.levels.tolist():
        z = torch.randn(clean.shape, generator=generator, dtype=torch.float64).to(clean)
        x = clean + level * z
        d = stated.model.denoise(x, level, labels)
        base = without_output(x, level, labels, d).double()
        part = d.double() - base
        factors.append(float(((clean - base) * part).sum() / part.square().sum()))
    quarter = len(factors) // 4
    middle = np.sort(factors)[quarter : len(factors) - quarter]
    c = float(np.median(middle))
    if not (np.isfinite(factors).all() and middle[0] > 0 and middle[-1] < STEADY_RATIO * middle[0]):
        return None
    return c if max(c, 1 / c) > SCALE_RATIO else None


def readings_of_network(model: NativeDenoiser) -> Readings:
    """Yield (settings, denoiser) of two usual mistakes in the scale of the network's input."""
    for power, scaling in ((0, "unscaled, x0 + sigma z"), (2, "scaled without the square root")):
        yield f"the network's input {scaling}", _with_scaled_input(model, power)


def _with_scaled_input(model: NativeDenoiser, power: int) -> Denoiser:
    """Return a model whose network gets its input times (the data's scale) ** (``power`` - 1)."""
    time, process = model.time, model.process

    def network(x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
        native = (t.double().cpu().numpy() - time.offset) / time.scale
        if time.of != "t":
            native = process.t_of(native if time.of == "level" else np.exp(native))
        alpha = torch.from_numpy(process.alpha(native)).to(x_t)
        scale = alpha.reshape(-1, *[1] * (x_t.ndim - 1)) ** (power - 1)
        return model.network(x_t * scale, t, labels)

    return with_changes(model, network=network)
