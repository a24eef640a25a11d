"""Lines for Python with this library: the model, the sampler with search results, the levels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import indent
from typing import Any

from ....models.denoiser import Denoiser, innermost_model
from ....models.registry import is_session_model
from ....samplers import Grid, Sampler, found_for_model, non_default, plugin_file
from ....samplers.families.tabulated import Tabulated
from ....samplers.registry import origin
from ....samplers.spec import parse_spec
from .code_text import WIDTH, call_code, literal, wrap_in_brackets

TITLE, SOLVERS = "samplerbench (Python)", ()


def missing(sampler: Sampler, model: Denoiser) -> str:  # noqa: ARG001
    """Return "": this library has every sampler."""
    return ""


def lines(sampler: Sampler, grid: Grid, model: Denoiser, spec: str) -> tuple[str, str]:
    """Return the lines, and a remark for a model that is an object, or "".

    Raises a ValueError for ``pipeline`` not fitted to a model.
    """
    if getattr(sampler, "of_checkpoint", False) and getattr(sampler, "found", None) is None:
        raise ValueError(
            f"{sampler.name} stands for the scheduler of a checkpoint, which is looked up for a model: "
            "give it fitted"
        )
    options = dict(parse_spec(spec))
    name = options.pop("name")
    made = call_code("model = make_model", options, literal(name))
    file = plugin_file(sampler.name)
    # the origin of an installed plugin is its distribution
    installed = bool(origin(sampler.name)) and ":" not in sampler.name
    loading = [f"load_file({literal(str(file))})"] if file else ["load_plugins()"] * installed
    classes: dict[type, None] = {}
    solver = _sampler_code(sampler, classes)
    placed = type(innermost_model(model)).place_noise is not Denoiser.place_noise
    first = "model.place_noise(noise.initial())" if placed else "noise.initial()"
    names = ["Grid", "SampleNoise", *(call.partition("(")[0] for call in loading), "make"]
    code = [
        "import torch",
        "from samplerbench.models import make_model",
        f"from samplerbench.samplers import {', '.join(names)}",
        *_import_lines(classes),
        "",
        *loading,
        made,
        f"sampler = {solver}",
        wrap_in_brackets("grid = Grid((", [repr(level) for level in grid.sigma], "))"),
        "",
        "ids, seed = torch.arange(16), 0  # the numbers of the samples, and the root of all noise",
        "noise = SampleNoise(seed, ids, model.event, model.dtype)",
        f"x = grid.sigma[0] * {first}",
        "samples = sampler.sample(model.bind(ids, seed), x, grid, noise)",
        "images = model.decode(samples)",
    ]
    remarks = []
    if is_session_model(name):
        remarks.append(
            f"model {name} is an object of your session; where you run the lines, call "
            f"samplerbench.models.use_model({literal(name)}, model) before make_model"
        )
    if not loading and not type(sampler).__module__.startswith("samplerbench."):
        remarks.append(
            f"sampler {sampler.name} is a class of your session; register it where you run the lines"
        )
    return "\n".join(code), "; ".join(remarks)


def _sampler_code(sampler: Any, classes: dict[type, None]) -> str:
    """Return the code of a sampler; add the classes that it names to ``classes``."""
    if isinstance(sampler, Tabulated):
        return _value_code(sampler, classes)
    call = call_code("make", dict(non_default(sampler)), literal(sampler.name))
    found = next(iter(found_for_model(sampler).values()), None)
    return call if found is None else f"{call}.fitted({_value_code(found, classes)})"


def _import_lines(classes: Iterable[type]) -> Iterator[str]:
    modules: dict[str, list[str]] = {}
    for cls in classes:
        modules.setdefault(cls.__module__, []).append(cls.__name__)
    for module, names in modules.items():
        yield f"from {module} import {', '.join(names)}"


def _value_code(value: Any, classes: dict[type, None]) -> str:
    if isinstance(value, Tabulated):
        classes[type(value)] = None
        table = _value_code(value.table, classes)
        arguments = {"stands_for": _sampler_code(value.stands_for, classes), "table": table}
    elif hasattr(value, "_fields"):
        classes[type(value)] = None
        arguments = {name: _value_code(part, classes) for name, part in value._asdict().items()}
    elif isinstance(value, tuple):
        words = [_value_code(part, classes) for part in value]
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
