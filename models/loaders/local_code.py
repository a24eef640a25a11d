"""Source files of a user's module: its own, and the local modules that it imports."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from .user_files import file_hash, is_users, module_file, named_hashes


def code_of(module: ModuleType, own: str | None = None) -> dict[str, str]:
    """Return the SHA-256 of each file of a module's own code, by its path from the folder of the module or
    its package.

    Installed modules of the module's package count too, or of ``own`` if it is given.
    """
    files = modules_of(module, own)
    package = module.__name__.partition(".")[0]
    top = module_file(package) or module_file(module.__name__)
    folder = Path(top or ".").parent
    return named_hashes(
        files,
        folder.parent
        if "." in module.__name__ and top and os.path.basename(top) == "__init__.py"
        else folder,
    )


def modules_of(module: ModuleType, package: str | None = None) -> list[str]:
    """List the files of a module and of all loaded user modules that its sources import, in functions too.

    Args:
        module: to begin with.
        package: first name of modules that count even if installed; None for the module's own package.
    """
    if package is None:
        package = module.__name__.partition(".")[0] if "." in module.__name__ else ""
    files: dict[str, str] = {}
    todo = [module.__name__]
    while todo:
        name = todo.pop()
        file = module_file(name)
        own = bool(package) and name.partition(".")[0] == package
        if name in files or file is None or not ((own and os.path.isfile(file)) or is_users(file)):
            continue
        files[name] = file
        todo += [
            imported
            for imported in imported_names(file, _package_of(name))
            if imported in sys.modules
        ]
    return sorted(set(files.values()))


def _package_of(name: str) -> str:
    """Return the package that relative imports of a module start from."""
    return str(getattr(sys.modules[name], "__package__", "") or "")


def imported_names(file: str, package: str) -> list[str]:
    """List the modules that a source file may import: all prefixes of dotted names, and names after ``from``."""
    stamp = file_hash(file)
    return list(_imports(file, package, stamp)) if stamp and file.endswith(".py") else []


@lru_cache(maxsize=1024)
def _imports(file: str, package: str, stamp: str) -> tuple[str, ...]:  # noqa: ARG001 - the stamp tells an edited file
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(
        dict.fromkeys(name for node in ast.walk(tree) for name in _names_in(node, package))
    )


def _names_in(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _prefixes(alias.name)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".") if package else []
        base = (
            ".".join(
                [*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])]
            )
            if node.level
            else node.module or ""
        )
        yield from _prefixes(base)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[: i + 1]) for i in range(len(parts)) if parts[0])
