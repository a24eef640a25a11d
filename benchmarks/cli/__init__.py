"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad usage or input.

A command is a function in one of the modules here. What is slow to import, torch above all, is imported in the functions, so that
help and completion are quick.
"""

from __future__ import annotations

import os
import sys

import typer

from .calibrating import calibrate
from .checking import check
from .comparing import compare, gate
from .console import err
from .doctoring import doctor
from .explaining import explain
from .exporting import export
from .figures import figures
from .lists import list_command
from .results import report, show, status
from .running import plan, run
from .sundry import cite, new_solver
from .tuning import tune

__all__ = ["app", "main"]

app = typer.Typer(
    name="samplerbench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Benchmark diffusion samplers: quality and cost against the number of steps.",
)  # fmt: skip
for _name, _command in {
    "run": run, "plan": plan, "status": status, "report": report, "show": show, "figures": figures, "compare": compare, "gate": gate,
    "tune": tune, "list": list_command, "check": check, "calibrate": calibrate,
    "new-solver": new_solver, "export": export, "cite": cite,
    "doctor": doctor, "explain": explain,
}.items():  # fmt: skip
    app.command(_name)(_command)


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2, never a traceback (unless SAMPLERBENCH_TRACEBACK is set)."""
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("SAMPLERBENCH_TRACEBACK"):
            raise
        sentence = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else str(error)
        err.print(f"error: {sentence}", markup=False, soft_wrap=True)
        sys.exit(2)
