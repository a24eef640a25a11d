"""Readings of a user's own model: an adapter's other settings, and the usual mistakes of a call
``model(x, sigma)`` that is written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from torch import Tensor

from ....models import Denoiser
from ....models.adapters import NativeDenoiser
from ....models.checkpoints.mapping import PROCESSES, Checkpoint
from ....models.checkpoints.specification import Specification
from ....models.loaders.python_file import Renamed
from ....models.process import Discrete, Process
from .alternatives import alternatives, raw_networks, steps_of
from .judging import Readings
from .readings import Call, Read


def native_of(model: Denoiser) -> Denoiser:
    """Return the adapter that a Python file returned, of any other model itself."""
    inner = model.inner if isinstance(model, Renamed) else model
    return inner if isinstance(inner, NativeDenoiser) else model


def readings_of_user_model(model: Denoiser) -> Readings:
    """Yield other readings of a model that is no checkpoint.

    Args:
        model: an adapter, or anything that is called.
    """
    if not isinstance(model, NativeDenoiser):
        for words, change in _CALLS.items():
            yield words, partial(Read, model, change)

        def network(x_t: Tensor, t: Tensor, labels: Tensor | None) -> Tensor:
            return model.denoise(x_t, t, labels)

        spec = _specification(model, {"name": "ve"}, "x0")
        for name, of in raw_networks(spec):
            yield f"an adapter of {name}", partial(_adapt, network, of)
        return
    process = _plain_process(model.process)
    if process is None:
        return
    spec = _specification(
        model,
        process,
        model.prediction,
        factor=model.factor,
        half=model.half or "",
        time=asdict(model.time),
        boundary={} if model.boundary is None else asdict(model.boundary),
    )
    for name, of in alternatives(spec):
        yield name, partial(_readapt, model, spec, of)


def _specification(
    model: Denoiser, process: dict[str, Any], prediction: str, **more: Any
) -> Specification:
    rows = {"rows": model.conditions} if model.conditions else {}
    return Specification(
        family="python",
        network={},
        weights={"file": ""},
        event=model.event,
        process=process,
        prediction=prediction,
        sigma_min=model.sigma_min,
        sigma_max=model.sigma_max,
        limits=model.limits,
        classes=model.classes,
        null_label=model.null_label,
        labels="balanced" if model.classes or rows else "none",
        embeddings=rows,
        kind=model.kind,
        **more,
    )


def _plain_process(process: Process) -> dict[str, Any] | None:
    """Return a process as a specification has it; None for a user's own."""
    if type(process) is Discrete:
        return {"name": "discrete", "levels": list(process.levels)}
    names = {kind: name for name, kind in PROCESSES.items() if isinstance(kind, type)}
    name = names.get(type(process))
    return None if name is None else {"name": name, **asdict(process)}


def _adapt(network: Callable[..., Tensor], of: Specification) -> Denoiser:
    return Checkpoint(of, network, "model", "")


def _readapt(model: NativeDenoiser, stated: Specification, of: Specification) -> Denoiser:
    twin = Checkpoint(of, model.network, model.name, "")
    twin.network_dtype, twin.dtype = model.network_dtype, model.dtype
    if steps_of(of.process) == steps_of(stated.process):
        twin.times, twin.nearest = model.times, model.nearest
    return twin


def _alpha(s: float) -> float:
    """Return the scale of the data where the variance is preserved."""
    return 1 / math.hypot(1, s)


def _unswap(d: Call, x: Tensor, s: float, data: float = 0.5) -> Tensor:
    total = math.hypot(s, data)
    skip, out = (data / total) ** 2, data * s / total
    return skip * x + out / skip * (d(x, s) - out * x)


_CALLS: dict[str, Callable[[Call, Tensor, float], Tensor]] = {
    "the opposite sign": lambda d, x, s: -d(x, s),
    "the opposite sign of the noise": lambda d, x, s: 2 * x - d(x, s),
    "the output as the noise": lambda d, x, s: x - s * d(x, s),
    "the output as the noise, of x / sqrt(1 + sigma²)": lambda d, x, s: x - s * d(_alpha(s) * x, s),
    "the output as the score": lambda d, x, s: x + s**2 * d(x, s),
    "the output as v": lambda d, x, s: _alpha(s) ** 2 * x - s * _alpha(s) * d(x, s),
    "the output as v, of x / sqrt(1 + sigma²)": lambda d, x, s: (
        _alpha(s) ** 2 * x - s * _alpha(s) * d(_alpha(s) * x, s)
    ),
    "the output as the velocity, of x / (1 + sigma)": lambda d, x, s: (
        (x - s * d(x / (1 + s), s)) / (1 + s)
    ),
    "its noise times sqrt(1 + sigma²)": lambda d, x, s: x + (d(x, s) - x) / _alpha(s),
    "its noise times sigma": lambda d, x, s: x + (d(x, s) - x) * s,
    "the output times sqrt(1 + sigma²)": lambda d, x, s: d(x, s) / _alpha(s),
    "x / sqrt(1 + sigma²) given to the network": lambda d, x, s: (
        x + d(_alpha(s) * x, s) - _alpha(s) * x
    ),
    "x / sqrt(1 + sigma²) given in place of x": lambda d, x, s: d(_alpha(s) * x, s),
    "x sqrt(1 + sigma²) given to the network (a root is missing)": lambda d, x, s: (
        x + d(x / _alpha(s), s) - x / _alpha(s)
    ),
    "c_skip and c_out swapped": _unswap,
    "a quarter of the logarithm of the level": lambda d, x, s: d(x, math.log(s) / 4),
    "half the level": lambda d, x, s: d(x, s / 2),
    "twice the level": lambda d, x, s: d(x, 2 * s),
    "the square root of the level": lambda d, x, s: d(x, math.sqrt(s)),
    "the square of the level": lambda d, x, s: d(x, s * s),
    "1000 times the level": lambda d, x, s: d(x, 1000 * s),
    "a thousandth of the level": lambda d, x, s: d(x, s / 1000),
    "exp of the level": lambda d, x, s: d(x, math.exp(min(s, 80.0))),
}
"""Readings by words that follow "with"."""
