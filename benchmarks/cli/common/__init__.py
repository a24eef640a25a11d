"""What the commands share: options, what is printed and how, and the process of a run."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .console import err as error_console
    from .console import print_rows, say
    from .isolation import cores, workers
    from .options import JobsOption, OutOption, PeersPath, Plugins, integers, load_plugins

__all__ = [
    "JobsOption",
    "OutOption",
    "PeersPath",
    "Plugins",
    "cores",
    "error_console",
    "integers",
    "load_plugins",
    "print_rows",
    "say",
    "workers",
]

_HOMES = {
    "error_console": "console",
    "JobsOption": "options",
    "OutOption": "options",
    "PeersPath": "options",
    "Plugins": "options",
    "cores": "isolation",
    "integers": "options",
    "load_plugins": "options",
    "print_rows": "console",
    "say": "console",
    "workers": "isolation",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "error_console":
        return import_module(".console", __name__).err
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
