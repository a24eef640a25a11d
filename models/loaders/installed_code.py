"""Installed packages that a user's files import, as facts: their versions, and the code of the named modules."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterable
from functools import cache

from .local_code import imported_names
from .user_files import file_hash, is_users, module_file

_OWN = __name__.partition(".")[0]
_BASE = frozenset({_OWN, "torch", "numpy"})
"""Packages of every run, whose versions are in ``run.json``."""


def installed_code(files: Iterable[str]) -> dict[str, str]:
    """Return the version of each installed package that source files import, and a digest of the
    modules of it that they name.

    Python's own modules, torch and numpy are left out.
    """
    modules = {
        name
        for file in sorted(files)
        for name in imported_names(file, "")
        if name.partition(".")[0] not in _BASE and _is_installed(name)
    }
    packages = sorted({name.partition(".")[0] for name in modules})
    return {
        f"installed {package}": " ".join(
            [_version(package)]
            + [
                digest[:12]
                for name in sorted(modules)
                if name.partition(".")[0] == package
                and (digest := file_hash(module_file(name) or ""))
            ]
        )
        for package in packages
    }


def _is_installed(name: str) -> bool:
    """Return True for a loaded module of a folder for installed packages."""
    file = module_file(name)
    return file is not None and "-packages" in file and name in sys.modules and not is_users(file)


def _version(package: str) -> str:
    """Return the versions of a package's distributions."""
    distributions = _distributions().get(package, [package])
    return " and ".join(f"{name} {_version_of(name)}" for name in sorted(set(distributions)))


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "of no known version"


@cache
def _distributions() -> dict[str, list[str]]:
    """Distributions by the packages that they install."""
    return dict(importlib.metadata.packages_distributions())
