"""Tables of numbers as files: what a table was made for, its rows in a library's coordinates, and its text."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

from ....models.denoiser import Denoiser, Wrapper, innermost_model
from ....models.guidance import Altered, ClassifierFree
from ....samplers import Sampler
from ....samplers.spec import label_of
from .equivalents import Steps, name_and_options
from .literals import WIDTH

NumberRow = tuple[float, float, tuple[float, ...], tuple[float, ...]]
"""Row in a library's coordinates: level or time, then a, b and c of :class:`.equivalents.Row`."""


class Folder(NamedTuple):
    """Texts of files by name, lines that use the folder, and a remark as of an :class:`.Export`."""

    files: Mapping[str, str]
    code: str
    remark: str


def describe_origin(sampler: Sampler, model: Denoiser) -> dict[str, Any]:
    """Return what a table was made for: solver, model, shift of the model's times, and guidance scale.

    ``fitted`` says that the numbers depend on the model. ``guidance`` is 1 without guidance, and None if it is not
    classifier-free.
    """
    return {
        "solver": label_of(sampler),
        "fitted": name_and_options(sampler) is None,
        "model": model.name,
        "shift": _shift_of(model),
        "guidance": _guidance_of(model),
    }


def _shift_of(model: Denoiser) -> float | None:
    preset = getattr(getattr(innermost_model(model), "spec", None), "preset", {})
    settings = preset.get("settings", {})
    if settings.get("use_dynamic_shifting"):
        return None
    return settings.get("shift", settings.get("flow_shift"))


def _guidance_of(model: Denoiser) -> float | None:
    scale: float | None = 1.0
    while isinstance(model, Wrapper):
        if isinstance(model, Altered):
            scale = model.scale if isinstance(model, ClassifierFree) else None
        model = model.inner
    return scale


def rows_in(
    steps: Steps,
    scale: Callable[[float], float],
    level: Callable[[float], float],
    end: float,
) -> list[NumberRow]:
    """Return rows for states that are ``scale(sigma)`` times ours before a row, and ``end`` times ours at last."""
    scales = [*(scale(row.sigma) for row in steps.rows), end]
    return [
        (
            level(sigma),
            a * then / now,
            tuple(then * weight for weight in b),
            tuple(then * weight for weight in c),
        )
        for (sigma, a, b, c), now, then in zip(steps.rows, scales, scales[1:], strict=False)
    ]


def template(name: str) -> str:
    """Return the text of a file that goes beside a table."""
    return (files(__package__.rpartition(".")[0]) / "templates" / name).read_text(encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """Return JSON with a line a key, and lists of numbers over several.

    >>> print(json_text({"solver": "euler", "rows": [(1.0, 0.0, (1.0,), ())]}))
    {
    "solver": "euler",
    "rows": [
    [1.0, 0.0, [1.0], []]
    ]
    }
    """
    lines = (f"{json.dumps(key)}: {_json_value(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _json_value(value: Any) -> str:
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | tuple):
        return "[\n" + ",\n".join(map(_json_value, value)) + "\n]"
    text = json.dumps(value)
    return textwrap.fill(text, WIDTH) if isinstance(value, list | tuple) else text


def file_stem(*words: object) -> str:
    """Return a file's name of words, without characters that a file system may refuse."""
    return re.sub(r"[^\w.=-]+", "-", "-".join(map(str, words))).strip("-.")[:80]
