"""Python code of numbers and calls, and of ``model(x, sigma)`` that calls a user's network.

``model(x, sigma)`` is the clean image at x = x0 + sigma z.
"""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ....models.adapters import NativeDenoiser, NetworkTime
from ....models.denoiser import Denoiser
from ....models.loaders.python_file import FileModel
from ....models.process import EDM, VE, Discrete, RectifiedFlow, Trigonometric
from ....samplers.spec import parse_spec

WIDTH = 100
"""Largest number of characters in a line, unless a word is longer."""
OWN_DRAWS = "the draws are the library's own, so images differ one by one, and not as a whole"


def list_code(name: str, values: Iterable[float]) -> str:
    """Return the code that assigns a list of numbers, each with all its digits.

    >>> list_code("SIGMAS", [14.6, 0.0])
    'SIGMAS = [14.6, 0.0]'
    """
    return wrap_in_brackets(f"{name} = [", [repr(value) for value in values], "]")


def literal(value: object) -> str:
    """Return the code of a plain value, with texts in double quotes.

    >>> literal("heun"), literal(0.5), literal(math.inf)
    ('"heun"', '0.5', 'float("inf")')
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def call_code(function: str, arguments: Mapping[str, Any], *first: str) -> str:
    """Return the code of a call: ``first`` are positional arguments as code, ``arguments`` others.

    >>> call_code("sample", {"eta": 0.0}, "model", "x")
    'sample(model, x, eta=0.0)'
    """
    words = [*first, *(f"{key}={literal(value)}" for key, value in arguments.items())]
    return wrap_in_brackets(f"{function}(", words, ")")


def wrap_in_brackets(begin: str, words: list[str], end: str) -> str:
    """Return words with commas between ``begin`` and ``end``, on several lines if too long.

    >>> wrap_in_brackets("x = (", ["1", "2"], ")")
    'x = (1, 2)'
    """
    line = f"{begin}{', '.join(words)}{end}"
    if len(line) <= WIDTH:
        return line
    filled = textwrap.fill(
        f"{', '.join(words)},", WIDTH, initial_indent="    ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{begin}\n{filled}\n{end}"


def step_code(weights: Iterable[float], *numbers: str) -> str:
    """Return the code of a step, ``(*numbers, (*weights)),``; ``numbers`` are given as code."""
    return wrap_in_brackets("(", [*numbers, repr(tuple(weights))], "),")


_PRESERVING = "(1 + s**2) ** -0.5"
_PROCESSES = {
    RectifiedFlow: ("1 / (1 + s)", "sigma / (1 + sigma)"),
    EDM: ("(s**2 + DATA**2) ** -0.5", "sigma"),
    VE: ("1.0", "sigma"),
    Trigonometric: (_PRESERVING, "sigma.atan() / (torch.pi / 2)"),
    Discrete: (_PRESERVING, "(log_sigmas.to(sigma)[:, None] - sigma.log()).abs().argmin(0)"),
}
"""Code, by process, of the data's scale alpha at levels s and the native time at levels sigma."""
_PREDICTIONS = {
    "x0": ("the clean image", "out"),
    "eps": ("the noise", "x - s * out"),
    "v": ("v", "alpha * (alpha * x - s * out)"),
    "flow": ("noise less data", "alpha * (x - s * out)"),
    "edm": ("F (the network inside EDMPrecond)", "DATA * alpha * (DATA * alpha * x + s * out)"),
}
"""Output in words and code of the clean image, by prediction."""
_TABLE = "log_sigmas = (1 / alphas_cumprod - 1).log() / 2  # alphas_cumprod: of its training"
_NOISE = "# noise: standard normal, of the samples' shape"
_CLAMP = "; clamp samples to {:g} … {:g} before you save them"


def model_wrapper_code(model: Denoiser, spec: str) -> list[str]:
    """Return code: a comment on ``noise``, and ``model(x, sigma)``, which calls a user's ``net``.

    ``spec`` is a value of ``--model``; of ``file.py:factory``, the model is what the factory returns. If the
    network's formula is unknown, a comment says what ``model`` has to return.
    """
    limits = model.limits if model.decoded_event == model.event else None
    noise = _NOISE + (_CLAMP.format(*limits) if limits else "")
    float32, ids = (None, torch.float32), torch.arange(1)
    if (
        isinstance(model, FileModel)
        and ".py:" in spec  # and no object of a session
        and model.network_dtype in float32
        and model.draw_labels(ids, 0) is None
    ):
        return [*_factory_code(spec), noise]
    if not isinstance(model, NativeDenoiser) or not _has_formula(model):
        return [noise, "# model(x, sigma): the clean image (k_diffusion.external)"]
    (alpha, time), (output, clean) = _PROCESSES[type(model.process)], _PREDICTIONS[model.prediction]
    of = {"t": time, "level": "sigma", "log_level": "sigma.log()"}[model.time.of]
    takes = [("x", "alpha * x"), ("t", time_code(model.time, of))]
    if "torchcfm" in " ".join(getattr(getattr(model, "spec", None), "evidence", ())):
        takes.reverse()
    if model.classes or model.conditions:
        takes.append(("y", "y"))
    names, codes = (", ".join(part) for part in zip(*takes, strict=True))
    half = f".chunk(2, 1)[{int(model.half == 'second')}]" if model.half else ""
    if model.factor < 0:
        output = "data less noise" if model.prediction == "flow" else f"minus {output}"
    entry = getattr(getattr(model, "spec", None), "weights", {}).get("entry", "")
    code = [
        "",
        f"# net({names}): your network{f' with the weights {entry}' if entry else ''}"
        f"{', with labels y' * ('y' in names)}, whose output is {output}",
        *[_TABLE] * ("log_sigmas" in of),
        "def model(x, sigma):  # the clean image",
        "    s = sigma.reshape(-1, *[1] * (x.dim() - 1))",
        f"    alpha = {alpha}",
        f"    out = {product_code(model.factor, f'net({codes}){half}')}",
        f"    return {clean}",
        *("", "", noise),
    ]
    return [line.replace("DATA", repr(getattr(model.process, "sigma_data", 1))) for line in code]


def _factory_code(spec: str) -> list[str]:
    options = dict(parse_spec(spec))
    path, _, name = options.pop("name").rpartition(":")
    return [
        "import runpy",
        "import sys",
        "",
        f"sys.path.append({literal(str(Path(path).parent))})",
        f"factory = runpy.run_path({literal(path)})[{literal(name)}]",
        call_code("model = factory", options),
        "",
    ]


def _has_formula(model: NativeDenoiser) -> bool:
    process, prediction, times = model.process, model.prediction, model.times
    kind, levels = type(process), getattr(process, "levels", ())
    fits = {"flow": kind is RectifiedFlow, "v": kind in (Trigonometric, Discrete)}
    known = kind in _PROCESSES and prediction in _PREDICTIONS and fits.get(prediction, True)
    usual = model.nearest == "time" and getattr(process, "noise_scale", 1) == 1
    every = [*range(len(levels))] == ([] if times is None else times.tolist())
    return known and usual and every and model.boundary is None


def time_code(time: NetworkTime, of: str) -> str:
    """Return the code ``offset + scale * of`` of a network's time input; ``of`` is code."""
    scaled = product_code(time.scale, of)
    sign = "-" if time.scale < 0 else "+"
    return f"{time.offset:.12g} {sign} {scaled.removeprefix('-')}" if time.offset else scaled


def product_code(factor: float, code: str) -> str:
    """Return the code ``factor * code``, or only ``code`` or ``-code`` for a factor of 1 or -1."""
    return {1.0: code, -1.0: f"-{code}"}.get(factor, f"{factor!r} * {code}")
