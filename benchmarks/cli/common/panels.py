"""Help in panels: the everyday options of a command first, the rest under ``--help-all``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

WHAT = "What to run"
WHERE = "Where it runs"
EXECUTION = "Execution and limits"
STATISTICS = "Samples and statistics"
TIMING = "Timing"
OUTPUT = "Output"
PANELS = (WHAT, WHERE, OUTPUT, STATISTICS, EXECUTION, TIMING)
EVERYDAY = (WHAT, WHERE, OUTPUT)
"""Panels of ``--help``."""
FOLDED = 6
"""Options from which on the other panels are left to ``--help-all``."""


class PanelCommand(TyperCommand):
    """Command whose options stand in panels; options without a panel are shown always."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Print all panels and end where ``--help-all`` is among the arguments."""
        if "--help-all" in args:
            ctx.meta["help_all"] = True
            typer.echo(ctx.get_help())
            raise typer.Exit
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if parameter.param_type_name == "argument" else "Options"
                name = getattr(parameter, "rich_help_panel", None) or default
                panels.setdefault(name, []).append(record)
        rest = [name for name in PANELS if name in panels and name not in EVERYDAY]
        folded = sum(len(panels[name]) for name in rest) >= FOLDED
        shown = not folded or ctx.meta.get("help_all")
        order = ["Arguments", *PANELS, "Options"]
        for name in sorted(panels, key=order.index):
            if name not in rest or shown:
                with formatter.section(name):
                    formatter.write_dl(panels[name])
        if not shown:
            names = ", ".join(f"{name.lower()} ({len(panels[name])})" for name in rest)
            with formatter.section("More options"):
                formatter.write_dl([("--help-all", f"Show all: {names}.")])
