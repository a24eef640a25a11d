"""Parts that commands share: options, output on the console, and executors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....lazy import lazy

if TYPE_CHECKING:
    from .console import error_console, print_rows, say
    from .executor_options import cores, workers
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
    "cores": "executor_options",
    "integers": "options",
    "load_plugins": "options",
    "print_rows": "console",
    "say": "console",
    "workers": "executor_options",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
