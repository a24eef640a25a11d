"""Which package may import which, read from the source: no import is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    """The modules of a package; templates are no modules, and benchmarks of the library import it by its installed names, as tests do."""
    return [path for path in sorted((ROOT / package).rglob("*.py")) if not {"templates", "perf"} & set(path.parts)]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_packages_import_in_one_direction(package):
    assert sources(package)
    for path in sources(package):
        broken = FORBIDDEN[package].intersection(imported(path, path.read_text(encoding="utf-8")))
        assert not broken, f"{path.relative_to(ROOT)} imports {', '.join(sorted(broken))}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_siblings_are_imported_relatively(package):
    """An absolute import of the project inside it breaks editors and type checkers, which see the folders."""
    for path in sources(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] not in {"samplerbench", *PROJECT}, path.relative_to(ROOT)


@pytest.mark.parametrize(
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
def test_the_reader_of_imports(folder, statement, name):
    assert list(imported(ROOT / folder / "x.py", statement)) == [name]
