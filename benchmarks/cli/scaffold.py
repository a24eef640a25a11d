"""A new plugin package with a working sampler in it, to be changed into one's own."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path
from string import Template

from ...samplers import names

_TEMPLATE = Path(__file__).parent / "templates" / "solver"
_SUFFIX = ".tmpl"


def new_solver(name: str, folder: Path | str = ".") -> Path:
    """Write a plugin package ``folder/name``: pyproject.toml with the entry point, the sampler, its test and a README.

    Args:
        name: registry name of the sampler and name of the package: a lower-case Python identifier that is not taken.
        folder: where the package's folder goes; made if it does not exist.

    Returns:
        The package's folder.

    Raises:
        ValueError: the name is not usable, or the folder already exists.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()) or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(f"a solver needs a lower-case Python name such as my_solver, got {name!r}; use a-z, 0-9 and _")
    if name in names():
        raise ValueError(f"a sampler called {name!r} already exists; choose another name")
    if importlib.util.find_spec(name) is not None:
        raise ValueError(f"a Python module called {name!r} is already installed; choose another name")
    target = Path(folder) / name
    if target.exists():
        raise ValueError(f"{target} already exists; choose another name or folder")
    values = {"name": name, "cls": "".join(part.capitalize() for part in name.split("_"))}
    for source in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        inside = str(source.relative_to(_TEMPLATE)).replace("__name__", name).removesuffix(_SUFFIX)
        path = target / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    return target


def next_steps(name: str, package: Path) -> list[str]:
    """The commands that take a new package to a result, in order."""
    return [f"pip install -e {package}", f"samplerbench check {name}", f"samplerbench run quick --sampler {name}"]
