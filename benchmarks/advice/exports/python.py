"""Lines for Python with this library: the model, the sampler with search results, the levels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from textwrap import indent
from typing import Any

from ....models.denoiser import Denoiser
from ....samplers import Grid, Sampler, found_for_model, non_default, plugin_file
from ....samplers.families.tabulated import Tabulated
from ....samplers.registry import origin
from ....samplers.spec import parse_spec
from .literals import WIDTH, call_code, literal, wrap_in_brackets

TITLE, LANGUAGE, SOLVERS = "samplerbench (Python)", "python", ()


def missing(sampler: Sampler, model: Denoiser) -> str:  # noqa: ARG001
    """Return "": this library has every sampler."""
    return ""


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:  # noqa: ARG001
    """Return the lines and ""; raise a ValueError for sampler "pipeline" that is not fitted."""
    if getattr(sampler, "of_checkpoint", False) and getattr(sampler, "found", None) is None:
        raise ValueError(
            f"{sampler.name} stands for the scheduler of a checkpoint, which is looked up for a model: "
            "give it fitted"
        )
    options = dict(parse_spec(spec))
    made = call_code("model = make_model", options, literal(options.pop("name")))
    file = plugin_file(sampler.name)
    # the origin of an installed plugin is its distribution
    installed = bool(origin(sampler.name)) and ":" not in sampler.name
    loading = [f"load_file({literal(str(file))})"] if file else ["load_plugins()"] * installed
    names = ["Grid", "SampleNoise", *(call.partition("(")[0] for call in loading), "make"]
    return "\n".join(
        [
            "import torch",
            "from samplerbench.models import make_model",
            f"from samplerbench.samplers import {', '.join(names)}",
            *_import_lines(sampler),
            "",
            *loading,
            made,
            f"sampler = {_sampler_code(sampler)}",
            wrap_in_brackets("grid = Grid((", [repr(level) for level in grid.sigma], "))"),
            "",
            "ids, seed = torch.arange(16), 0  # the numbers of the samples, and the root of all noise",
            "noise = SampleNoise(seed, ids, model.event, model.dtype)",
            "x = grid.sigma[0] * noise.initial()",
            "samples = sampler.sample(model.bind(ids, seed), x, grid, noise)",
            "images = model.decode(samples)",
        ]
    ), ""


def _sampler_code(sampler: Any) -> str:
    if isinstance(sampler, Tabulated):
        return _value_code(sampler)
    call = call_code("make", dict(non_default(sampler)), literal(sampler.name))
    found = next(iter(found_for_model(sampler).values()), None)
    return call if found is None else f"{call}.fitted({_value_code(found)})"


def _import_lines(sampler: Any) -> Iterator[str]:
    """Yield the lines that import the classes in a sampler's fields, such as its search results."""
    own = isinstance(sampler, Tabulated)
    values = [sampler] if own else [getattr(sampler, f.name) for f in fields(sampler)]
    modules: dict[str, dict[str, None]] = {}
    for cls in (cls for value in values for cls in _classes_in(value)):
        module = cls.__module__.partition("samplerbench.")[2] or cls.__module__
        modules.setdefault(f"samplerbench.{module}", {})[cls.__name__] = None
    for module, names in modules.items():
        yield f"from {module} import {', '.join(names)}"


def _classes_in(value: Any) -> Iterator[type]:
    """Yield the classes of named tuples and samplers within a value, outermost first."""
    if isinstance(value, Tabulated):
        yield type(value)
        yield from _classes_in(value.table)
    elif isinstance(value, tuple):
        if hasattr(value, "_fields"):
            yield type(value)
        for inner in value:
            yield from _classes_in(inner)


def _value_code(value: Any) -> str:
    """Return the code of a value: a named tuple, a tuple, a tabulated sampler or a plain value."""
    if isinstance(value, Tabulated):
        table = _value_code(value.table)
        arguments = {"stands_for": _sampler_code(value.stands_for), "table": table}
    elif hasattr(value, "_fields"):
        arguments = {name: _value_code(part) for name, part in value._asdict().items()}
    elif isinstance(value, tuple):
        words = [_value_code(part) for part in value]
        flat = wrap_in_brackets("(", words, ",)" if len(words) == 1 else ")")
        plain = all("\n" not in word and len(word) < WIDTH for word in words)
        return flat if plain else "(\n" + indent(",\n".join(words), "    ") + ",\n)"
    else:
        return literal(value)
    words = [f"{key}={code}" for key, code in arguments.items()]
    line = f"{type(value).__name__}({', '.join(words)})"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    return f"{type(value).__name__}(\n" + indent(",\n".join(words), "    ") + ",\n)"
