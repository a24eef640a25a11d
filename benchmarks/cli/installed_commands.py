"""Commands of installed packages: the entry points ``samplerbench.commands``.

An entry point names a function whose signature typer reads. A module-level ``EXAMPLES``, a tuple of
command lines, stands under its help.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import entry_points

import typer

from .usage import format_examples

GROUP = "samplerbench.commands"
STUDIES = ("explain", "calibrate", "frontier", "validate")
"""Commands of the distribution ``samplerbench-studies``."""


def add_installed_commands(app: typer.Typer) -> None:
    """Add the commands of installed packages, and a hint for studies that are missing.

    A package that cannot be imported is reported in one line, and costs its own commands only.
    """
    missing = set(STUDIES)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            command = entry.load()
        except Exception as error:
            logging.getLogger("samplerbench").warning(
                "the command %s of %s cannot be loaded: %s", entry.name, entry.value, error
            )
            continue
        examples = getattr(sys.modules[command.__module__], "EXAMPLES", ())
        app.command(entry.name, epilog=format_examples(examples) if examples else None)(command)
        missing.discard(entry.name)
    for name in missing:
        anything = {
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "help_option_names": [],
        }
        app.command(name, hidden=True, context_settings=anything)(_explain_missing)


def _explain_missing(context: typer.Context) -> None:
    raise ValueError(
        f"{context.info_name} is a study, which the wheel does not hold; get the repository and "
        "run: pip install -e studies"
    )
