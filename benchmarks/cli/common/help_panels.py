"""Help texts: commands and options in panels, and types of values in plain words."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from .console import out

WHAT = "What to run"
WHERE = "Where it runs"
EXECUTION = "Execution and limits"
STATISTICS = "Samples and statistics"
TIMING = "Timing"
OUTPUT = "Output"
PANELS = (WHAT, WHERE, OUTPUT, STATISTICS, EXECUTION, TIMING)
EVERYDAY = (WHAT, WHERE, OUTPUT)  # panels that ``--help`` always shows
FEW = 10  # number of options up to which they are one list, without panels
FOLDED = 6  # number of options beyond EVERYDAY, from which on only ``--help-all`` shows them
_UNCUT = 1000  # more characters than any summary of a command has


def _heading(name: str) -> str:
    has_colours = out.is_terminal and not out.is_dumb_terminal and not out.no_color
    return typer.style(name, bold=True) if has_colours else name


def _plain_type(match: re.Match[str]) -> str:
    """Return N, NUMBER, PATH or TEXT for typer's name of a type, or a list of choices unchanged."""
    name, plain = match[1], {"|": match[1], "int": "N", "float": "NUMBER", "ath": "PATH"}
    return next((word for part, word in plain.items() if part in name), "TEXT")


def _plain_record(parameter: Any, record: tuple[str, str]) -> tuple[str, str]:
    """Return a help line (option, text) with plain names of types, without the allowed range."""
    name, text = re.sub("<(.*)>", _plain_type, record[0]), record[1]
    if parameter.param_type_name == "argument":
        name = name.partition(" ")[0].upper()
    text = re.sub(r"(; |(?<=\[))[-+.\de]*(<=)?x[<>]=[-+.\de]+", "", text)
    return name, text.replace("  []", "").replace("[; ", "[")


class PanelCommand(TyperCommand):
    """Command whose help groups many options in panels; ``--help-all`` shows the rarer panels."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; with ``--help-all``, print the help with all panels and exit."""
        if "--help-all" in args:
            ctx.meta["help_all"] = True
            typer.echo(ctx.get_help())
            raise typer.Exit
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line, with arguments in capitals."""
        return [re.sub("[{}]", "", word).upper() for word in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section of the help for each panel that is shown."""
        panels: dict[str, list[tuple[str, str]]] = {}
        has_panels = len(self.params) > FEW
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None) or WHAT
                name = panel if has_panels and parameter.name != "help" else "Options"
                name = "Arguments" if parameter.param_type_name == "argument" else name
                panels.setdefault(name, []).append(_plain_record(parameter, record))
        rest = [name for name in PANELS if name in panels and name not in EVERYDAY]
        folded = sum(len(panels[name]) for name in rest) >= FOLDED
        shown = not folded or ctx.meta.get("help_all")
        order = ["Arguments", *PANELS, "Options"]
        for name in sorted(panels, key=order.index):
            if name not in rest or shown:
                with formatter.section(_heading(name)):
                    formatter.write_dl(panels[name])
        if not shown:
            names = ", ".join(f"{name.lower()} ({len(panels[name])})" for name in rest)
            with formatter.section(_heading("More options")):
                formatter.write_dl([("--help-all", f"Show all: {names}.")])


class PanelGroup(TyperGroup):
    """Command line whose help shows the commands in panels, in the order of their registration."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the panels of commands, then the options."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Other commands"
                line = (name, command.get_short_help_str(_UNCUT))
                panels.setdefault(panel, []).append(line)
        width = max(len(name) for lines in panels.values() for name, _ in lines)
        for panel, lines in panels.items():
            with formatter.section(_heading(panel)):
                formatter.write_dl([(f"{name:<{width}}", text) for name, text in lines])
        records = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx)]
        with formatter.section(_heading("Options")):
            formatter.write_dl([record for record in records if record is not None])
