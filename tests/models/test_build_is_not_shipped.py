"""What trains networks and writes cards stays in a checkout: nothing that is installed needs it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("samplers", "models", "benchmarks", "results")


def shipped() -> list[Path]:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [
        path
        for path in files
        if path.parent != ROOT / "models" / "build" and "templates" not in path.parts
    ]


def imports_build(path: Path, text: str) -> bool:
    """Whether a module imports the folder ``models/build``, or something in it."""
    package = ("samplerbench", *path.relative_to(ROOT).parent.parts)
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            found += [
                f"{base}{node.module + '.' if node.module else ''}{alias.name}"
                for alias in node.names
            ]
    return any(f"{name}.".startswith("samplerbench.models.build.") for name in found)


def test_nothing_that_ships_imports_it():
    assert len(shipped()) > 300
    assert not [
        str(path.relative_to(ROOT))
        for path in shipped()
        if imports_build(path, path.read_text(encoding="utf-8"))
    ]


def test_the_reader_of_imports_sees_each_way():
    card = ROOT / "models" / "cards" / "card.py"
    for statement in (
        "from ..build import train",
        "from .. import build",
        "from ..build.train import Recipe",
    ):
        assert imports_build(card, statement)
    assert imports_build(card, "import samplerbench.models.build.train")
    assert not imports_build(card, "from ..denoiser import Denoiser")
