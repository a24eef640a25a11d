"""Command line. Exit codes: 0 done, 1 a check or all work failed, 2 bad input, 3 not decided.

Each built-in command is a function in a module of this package. Slow modules, such as torch and
pandas, are imported inside the functions, so that help and completion are quick.
"""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from .common.console import WarningHandler, say
from .common.help_panels import PanelCommand, PanelGroup
from .compare import compare, gate
from .doctor import doctor
from .frozen import board, submit
from .models import check_model, convert, reference
from .run import plan, run, samples
from .samplers import check, cite, export, list_command, new_metric, new_solver
from .search import advise, tune
from .status import status
from .usage import MACHINE, add_installed_commands, epilog, run_app
from .views import figures, report, show

__all__ = ["app", "main"]

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="samplerbench", cls=PanelGroup, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback(invoke_without_command=True, context_settings=_HELP, epilog=epilog(""))
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Benchmark diffusion samplers: quality and cost against the number of steps."""
    if version:
        from importlib.metadata import version as installed

        say(f"samplerbench {installed('samplerbench')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_PANELS = {
    "Everyday": (run, show, report, compare, advise, check_model, list_command),
    "Runs": (plan, status, samples, figures, gate),
    "Frozen suite": (submit, board),
    "Extend": (new_solver, check, new_metric, convert, export, tune, cite, reference),
    MACHINE: (doctor,),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        _name = _command.__name__.removesuffix("_command").replace("_", "-")
        app.command(_name, cls=PanelCommand, epilog=epilog(_name), rich_help_panel=_panel)(_command)
add_installed_commands(app)


def main() -> None:
    """Run the command line, and exit with its code."""
    # torch's import makes a million lasting objects; collections that walk them take a tenth of the
    # start
    gc.set_threshold(200_000)
    for stream in (sys.stdout, sys.stderr):  # a path's letters may be unknown to the terminal
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    logger = logging.getLogger("samplerbench")
    logger.setLevel(logging.INFO)
    logger.addHandler(WarningHandler())
    code = run_app(app)
    gc.freeze()  # the collection at the exit would take a quarter of a second
    # the function registered last runs first: an interrupt while libraries clean up at the exit would
    # print their tracebacks
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)
