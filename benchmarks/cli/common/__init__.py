"""Parts that commands share: options, output on the console, and executors."""

from .console import err as error_console
from .console import print_rows, say
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
