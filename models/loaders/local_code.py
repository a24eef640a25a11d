"""The source files that a user's module is made of: its own, and the local modules it imports."""

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
    """SHA-256 of each file of a module's own code, by its path from the folder of the module, or of
    its package.

    Modules of the package that the module belongs to count wherever they are installed; those of
    ``own``, where it is given.
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
    """Files of a module and of all loaded modules of the user's that it imports, by what the
    sources say, in functions too.

    Args:
        module: where to begin.
        package: first name of modules that count wherever they are installed; None for that of a
            module inside a package.
    """
    if package is None:
        package = module.__name__.partition(".")[0] if "." in module.__name__ else ""
    seen: dict[str, str] = {}
    todo = [module.__name__]
    while todo:
        name = todo.pop()
        file = module_file(name)
        own = bool(package) and name.partition(".")[0] == package
        if name in seen or file is None or not ((own and os.path.isfile(file)) or is_users(file)):
            continue
        seen[name] = file
        todo += [found for found in imported_names(file, _package_of(name)) if found in sys.modules]
    return sorted(set(seen.values()))


def _package_of(name: str) -> str:
    """The package that relative imports of a module start from."""
    return str(getattr(sys.modules[name], "__package__", "") or "")


def imported_names(file: str, package: str) -> list[str]:
    """Every module that a source file may import: all prefixes of dotted names, and what
    ``from`` takes, which may be a module.
    """
    stamp = file_hash(file)
    return list(_imports(file, package, stamp)) if stamp and file.endswith(".py") else []


@lru_cache(maxsize=1024)
def _imports(file: str, package: str, stamp: str) -> tuple[str, ...]:  # noqa: ARG001 - the stamp tells an edited file
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _named(node, package)))


def _named(node: ast.AST, package: str) -> Iterator[str]:
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
