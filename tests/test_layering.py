"""Which package, and which floor of ``benchmarks``, may import which, read from the source: no
import is executed.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import product
from pathlib import Path

import pytest
from looping import each

ROOT = Path(__file__).parents[1]
PROJECT = {"samplers", "models", "benchmarks", "results"}
FORBIDDEN = {
    "samplers": {"models", "benchmarks", "results"},
    "models": {"samplers", "benchmarks", "results"},
    "results": {"samplers", "models", "benchmarks", "torch"},
    "benchmarks": set(),
}


def imported(path: Path, text: str) -> Iterator[str]:
    """Top-level names that a module imports; a package of the project by its own name."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            outer = ("samplerbench", *package)
            base = list(outer[: len(outer) - node.level + 1]) if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            found = [[*module, alias.name] for alias in node.names]
        else:
            continue
        for parts in found:
            yield parts[1] if parts[0] == "samplerbench" and len(parts) > 1 else parts[0]


def sources(package: str) -> list[Path]:
    """The modules of a package.

    Templates are no modules, and benchmarks of the library import it by its installed names, as
    tests do.
    """
    return [
        path
        for path in sorted((ROOT / package).rglob("*.py"))
        if not {"templates", "perf"} & set(path.parts)
    ]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_in_one_direction(package):
    assert sources(package)
    for path in sources(package):
        broken = FORBIDDEN[package].intersection(imported(path, path.read_text(encoding="utf-8")))
        assert not broken, f"{path.relative_to(ROOT)} imports {', '.join(sorted(broken))}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_siblings_are_imported_relatively(package):
    """An absolute import of the project inside it breaks editors and type checkers, which see
    the folders.
    """
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] not in {"samplerbench", *PROJECT}, (
                    path.relative_to(ROOT)
                )


@each(
    ("folder", "statement", "name"),
    [
        ("samplers", "from ..models import card", "models"),
        ("samplers", "from .. import models", "models"),
        ("samplers/methods", "from ...models.exact import base", "models"),
        ("samplers/methods", "from ..base import Sampler", "samplers"),
        ("samplers", "from . import grid", "samplers"),
        ("results", "from samplerbench.models.card import Card", "models"),
        ("results", "import samplerbench.benchmarks", "benchmarks"),
        ("results", "def f():\n    import torch.nn", "torch"),
    ],
)
def test_imports__the_reader_of_imports(folder, statement, name):
    assert list(imported(ROOT / folder / "x.py", statement)) == [name]


FLOORS = {
    "metrics": 0,
    "suites": 1,
    "sampling": 2,
    "identity": 3,
    "planning": 3,
    "scoring": 4,
    "timing": 4,
    "running": 5,
    "tuning": 5,
    "conformance": 5,
    "frozen": 6,
    "advice": 6,
    "cli": 8,
}
"""The floors of ``benchmarks``: a folder imports from its own and from lower ones."""

INTERFACE = ("api.py", "arguments.py", "checking.py", "exporting.py")
"""Modules of the Python interface: between the folders that it uses and the command line."""

MOST = 24
"""Entries of a folder; ``__init__.py`` and ``py.typed`` are in every one and not counted."""


def imports_of(path: Path) -> Iterator[tuple[int, Path]]:
    """The modules of the project that a module imports: the line, and the file (the
    ``__init__.py`` of a package).
    """
    yield from imports_in(path, path.read_text(encoding="utf-8"))


def imports_in(path: Path, text: str) -> Iterator[tuple[int, Path]]:
    """:func:`imports_of` a module with this text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for alias in node.names:
                places = (
                    place / f"{alias.name}.py",
                    place / alias.name / "__init__.py",
                    place.with_suffix(".py"),
                    place / "__init__.py",
                )
                found = next((file for file in places if file.exists()), None)
                if found is not None:
                    yield node.lineno, found


def floor_of(path: Path) -> int:
    """The floor of a module of ``benchmarks``.

    The package itself is above all.
    """
    first = path.relative_to(ROOT / "benchmarks").parts[0]
    return FLOORS.get(first, 7 if first in INTERFACE else max(FLOORS.values()) + 1)


def upward(path: Path, text: str) -> Iterator[str]:
    """The lines of a module that import from a floor above its own."""
    house = ROOT / "benchmarks"
    for line, target in imports_in(path, text):
        if target.is_relative_to(house) and floor_of(target) > floor_of(path):
            here, there = path.relative_to(house), target.relative_to(house)
            yield (
                f"{here}:{line} (floor {floor_of(path)}) imports {there} (floor {floor_of(target)})"
            )


def test_nothing_imports_a_floor_above_its_own():
    """``pytest -s`` prints the table."""
    folders = [
        path.name
        for path in (ROOT / "benchmarks").iterdir()
        if (path / "__init__.py").exists() and path.name != "perf"
    ]
    assert set(folders) == set(FLOORS)
    for name, floor in FLOORS.items():
        print(
            f"{floor}  {name:<12} {len(entries(ROOT / 'benchmarks' / name)):>2} "
            f"entries, {len(sources(f'benchmarks/{name}')):>2} modules"
        )
    broken = [
        line
        for path in sources("benchmarks")
        for line in upward(path, path.read_text(encoding="utf-8"))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("file", "statement", "broken"),
    [
        (
            "scoring/x.py",
            "from ..running.runner import run",
            ["scoring/x.py:1 (floor 4) imports running/runner.py (floor 5)"],
        ),
        (
            "scoring/x.py",
            "def f():\n    from .. import cli",
            ["scoring/x.py:2 (floor 4) imports cli/__init__.py (floor 8)"],
        ),
        ("running/x.py", "from ..scoring.scorer import Scorer", []),
        ("cli/x.py", "from ..api import run", []),
        (
            "advice/x.py",
            "from ..api import run",
            ["advice/x.py:1 (floor 6) imports api.py (floor 7)"],
        ),
        ("running/executors/x.py", "from ..runner import run", []),
    ],
)
def test_a_line_that_breaks_the_floors_is_named(file, statement, broken):
    assert list(upward(ROOT / "benchmarks" / file, statement)) == broken


def entries(folder: Path) -> list[str]:
    """What a reader sees in a folder."""
    beside = {"__init__.py", "py.typed", "__pycache__"}
    return [
        path.name
        for path in folder.iterdir()
        if path.name not in beside and not path.name.startswith(".")
    ]


def folders(package: str) -> list[Path]:
    """A package and the packages in it."""
    return sorted(
        path.parent
        for path in (ROOT / package).rglob("__init__.py")
        if "templates" not in path.parts
    )


@pytest.mark.parametrize("package", sorted(PROJECT))
def test_no_folder_is_crowded(package):
    crowded = {
        str(path.relative_to(ROOT)): len(entries(path))
        for path in folders(package)
        if len(entries(path)) > MOST
    }
    assert not crowded, crowded


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules or folders that import each other in a circle; none if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def graph_of(package: str, *, folders: bool) -> dict[str, set[str]]:
    """Which modules of a package a module imports, in functions and for types too; or which
    folders in it a folder does.
    """
    graph: dict[str, set[str]] = {}
    for path in sources(package):
        for target in (path, *(to for _, to in imports_of(path))):
            ends = [str((p.parent if folders else p).relative_to(ROOT)) for p in (path, target)]
            inside = target.is_relative_to(ROOT / package)
            if inside and not (folders and package in ends):
                graph.setdefault(ends[0], set()).update(set(ends[1:]) - set(ends[:1]))
    return graph


@pytest.mark.slow
@each(
    ("package", "folders"),
    list(product(("benchmarks", "results", "models", "samplers"), (False, True))),
)
def test_package__nothing_imports_itself_by_a_detour(package, folders):
    graph = graph_of(package, folders=folders)
    assert len(graph) >= (len(FLOORS) if package == "benchmarks" else 5)
    assert not circle(graph), " imports ".join(circle(graph))


def test_a_circle_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


def exports(init: Path) -> set[str]:
    """The names in ``__all__`` of a package; of a list that is computed, those of its imports."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            if isinstance(node.value, ast.List) and all(
                isinstance(name, ast.Constant) for name in node.value.elts
            ):
                return set(ast.literal_eval(node.value))
            return set(importlib.import_module("samplerbench").__all__)
    return set()


def reaching_inside(path: Path, text: str) -> Iterator[str]:
    """The lines of a module that import from samplerbench what no package of it exports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found = [("", alias.name) for alias in node.names if "samplerbench." in alias.name]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found = [(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for module, name in found:
            outer, *inner = (module or name).split(".")
            if outer != "samplerbench":
                continue
            init = ROOT.joinpath(*(inner or [outer]), "__init__.py")
            if not module or not init.exists() or name not in exports(init):
                yield f"{path.name}:{node.lineno} imports {name} of {module or name}"


def test_studies_import_what_packages_export():
    """A package is a folder with ``__init__.py``, and exports the names in its ``__all__``."""
    modules = sorted((ROOT / "studies" / "samplerbench_studies").rglob("*.py"))
    assert len(modules) > 100
    broken = [
        line for path in modules for line in reaching_inside(path, path.read_text(encoding="utf-8"))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("from samplerbench import run", []),
        ("import samplerbench", []),
        ("from samplerbench.benchmarks.metrics import kid", []),
        ("from ..arrays import FloatArray", []),
        ("from samplerbench.benchmarks.metrics.kernel import kid", ["kid of samplerbench."]),
        ("def f():\n    from samplerbench.results import report", ["x.py:2 imports report of"]),
        ("from samplerbench.samplers import _HOMES", ["_HOMES of samplerbench.samplers"]),
        ("import samplerbench.samplers.grid", ["samplerbench.samplers.grid"]),
    ],
)
def test_a_line_of_a_study_that_reaches_inside_is_named(statement, broken):
    found = list(reaching_inside(Path("x.py"), statement))
    assert len(found) == len(broken)
    assert all(part in line for part, line in zip(broken, found, strict=True))


def test_exports_exist_and_are_documented():
    """Each name in ``__all__`` is there; a class or function of the package has a docstring."""
    for package in sorted(PROJECT):
        for folder in folders(package):
            if "perf" in folder.parts or not exports(folder / "__init__.py"):
                continue
            module = importlib.import_module(
                ".".join(("samplerbench", *folder.relative_to(ROOT).parts))
            )
            for name in module.__all__:
                value = getattr(module, name)
                if inspect.isfunction(value) or inspect.isclass(value):
                    assert inspect.getdoc(value), f"{module.__name__}.{name}"
