"""Scaffold of a plugin package, with a working sampler or metric that the user replaces."""

from __future__ import annotations

import importlib.util
import keyword
import shlex
from pathlib import Path
from string import Template
from typing import Literal

from ....results.quantities import column_names
from ....samplers import names as sampler_names
from ...metrics.metric import metrics

_TEMPLATES = Path(__file__).parent / "templates"
_SUFFIX = ".tmpl"

Kind = Literal["solver", "metric"]

_STEPS: dict[Kind, tuple[str, ...]] = {
    "solver": (
        "pip install -e {package}",
        "samplerbench check {name}",
        "samplerbench run quick --sampler {name}",
    ),
    "metric": (
        "pip install -e {package}",
        "pytest {package}",
        "samplerbench list metrics",
        "samplerbench run smoke --no-timing --out {name}-run",
        "samplerbench show {name}-run --metric {name}",
    ),
}


def new_package(kind: Kind, name: str, folder: Path | str = ".") -> Path:
    """Write a plugin package: an entry point, a working file, its test, a README. Return its folder.

    Args:
        kind: "solver" or "metric".
        name: name of the package and of its sampler or metric; an unused lower-case identifier.
        folder: parent of the package's folder, created if it does not exist.

    Raises:
        ValueError: the name is not usable, or the folder already exists.
    """
    plain = name.isascii() and name.isidentifier() and name == name.lower()
    if not plain or keyword.iskeyword(name) or name.startswith("_"):
        wants = f"a {kind} needs a lower-case Python name such as my_{kind}"
        raise ValueError(f"{wants}, got {name!r}; use a-z, 0-9 and _")
    taken = {"sampler": sampler_names, "metric": metrics, "column": column_names}
    for noun in ("sampler",) if kind == "solver" else ("metric", "column"):
        if name in taken[noun]():
            raise ValueError(f"a {noun} called {name!r} already exists; choose another name")
    if importlib.util.find_spec(name) is not None:
        reason = f"a Python module called {name!r} is already installed"
        raise ValueError(f"{reason}; choose another name")
    target = Path(folder) / name
    if target.exists():
        raise ValueError(f"{target} already exists; choose another name or folder")
    values = {
        "name": name,
        "upper": name.upper(),
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "words": name.replace("_", " ").strip().capitalize(),
    }
    templates = _TEMPLATES / kind
    for source in sorted(templates.rglob(f"*{_SUFFIX}")):
        inside = str(source.relative_to(templates)).replace("__name__", name).removesuffix(_SUFFIX)
        path = target / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        text = Template(source.read_text(encoding="utf-8")).substitute(values)
        path.write_text(text, encoding="utf-8")
    return target


def next_steps(kind: Kind, name: str, package: Path) -> list[str]:
    """Return the commands that install, check and run a new package, in order."""
    quoted = shlex.quote(str(package))
    return [step.format(name=name, package=quoted) for step in _STEPS[kind]]
