"""Tables of steps as files: solver and model, rows for a library's states, and JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ....models.denoiser import Denoiser, Wrapper
from ....models.guidance import AlteringWrapper, ClassifierFree
from ....models.guidance_formulas import LinearGuidance
from ....results.run_directory.layout import explain_write_errors
from ....samplers import Sampler
from ....samplers.spec import label_of
from .equivalents import StepTable, name_and_options

NumberRow = tuple[float, float, tuple[float, ...], tuple[float, ...]]
"""Row in a library's coordinates: level or time, then a, b and c of :class:`.equivalents.StepRow`."""


class Folder(NamedTuple):
    """Texts of files by name, lines that use the folder, and a remark (see :class:`.Export`)."""

    files: Mapping[str, str]
    code: str
    remark: str

    def write(self, library: str, path: Path) -> dict[str, Any]:
        """Write the files into ``path``; return ``library``, ``code``, ``remark`` and ``files``."""
        with explain_write_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                (path / name).write_text(text, encoding="utf-8")
        files = [str(path / name) for name in self.files]
        return {"library": library, "code": self.code, "remark": self.remark, "files": files}


def describe_origin(sampler: Sampler, model: Denoiser) -> dict[str, Any]:
    """Return a table's solver, model, shift and guidance scale (None if it is no single number)."""
    return {
        "solver": label_of(sampler),
        "fitted": name_and_options(sampler) is None,
        "model": model.name,
        "shift": model.own_shift(),
        "guidance": _guidance_of(model),
    }


def _guidance_of(model: Denoiser) -> float | None:
    scale: float | None = 1.0
    while isinstance(model, Wrapper):
        if isinstance(model, AlteringWrapper):
            formula = model.formula if isinstance(model, ClassifierFree) else None
            scale = formula.scale if type(formula) is LinearGuidance else None
        model = model.inner
    return scale


def rescale_rows(
    steps: StepTable, scale: Callable[[float], float], level: Callable[[float], float], end: float
) -> list[NumberRow]:
    """Return a table's rows for states of another scale.

    The state before a row is multiplied by ``scale(sigma)``, the state after the last row by
    ``end``. ``level`` turns sigma into a row's level or time.
    """
    scales = [*(scale(row.sigma) for row in steps.rows), end]
    return [
        (level(row.sigma), row.a * then / now, _scaled(row.b, then), _scaled(row.c, then))
        for row, now, then in zip(steps.rows, scales, scales[1:], strict=False)
    ]


def _scaled(weights: tuple[float, ...], factor: float) -> tuple[float, ...]:
    return tuple(factor * weight for weight in weights)


def read_template(name: str) -> str:
    """Return the text of a file in the folder ``templates``, to be written next to a table."""
    return (Path(__file__).parents[1] / "templates" / name).read_text(encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for each key; ``rows`` come last, with a line for each row."""
    keys = [f"{json.dumps(key)}: {json.dumps(content[key])}" for key in content if key != "rows"]
    rows = ",\n".join(map(json.dumps, content["rows"]))
    return ",\n".join(["{" + keys[0], *keys[1:], f'"rows": [\n{rows}\n]}}'])
