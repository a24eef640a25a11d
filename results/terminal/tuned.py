"""What the tuned rows of a comparison cost, in a terminal, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..comparison.verdicts import Line
from ..table.tuned import NAME, Tuning
from ..text import short

_HEADINGS = ("sampler", "NFE", "teacher", "search", "s", "gap", "other model, untuned → tuned")


def print_tuning(lines: Iterable[Line], console: Console) -> None:
    """Print the tuning of every tuned row of a comparison, baselines included; nothing if there is none."""
    rows = {}
    for line in lines:
        sides = ((line.baseline, line.baseline_tuning), (line.sampler, line.tuning))
        rows |= {(line.model, sampler, line.budget): tuning for sampler, tuning in sides if tuning is not None}
    for model in dict.fromkeys(key[0] for key in rows):
        heading = Text(f"{model} · what the tuning took", style="not italic bold")
        table = Table(title=heading, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for place, name in enumerate(_HEADINGS):
            table.add_column(name, justify="right" if 0 < place < len(_HEADINGS) - 1 else "left", overflow="fold", no_wrap=place > 0)
        for (_, sampler, budget), tuning in sorted(((k, v) for k, v in rows.items() if k[0] == model), key=lambda item: _order(item[0])):
            table.add_row(_untitled(sampler), "–" if budget is None else str(budget), *_cells(tuning))
        console.print(table)
        console.print()
    if rows:
        console.print(Text(_NOTE, style="dim"))


_NOTE = (
    "Teacher and search are network evaluations, all training latents together; no row scores these latents. "
    "The gap is (tuned / untuned error on other latents) / (the same on the training latents) - 1."
)


def _untitled(curve: str) -> str:
    """A curve's name without its schedule, which is the same for all here."""
    return " · ".join(part for part in curve.split(" · ") if part.partition("(")[0] != NAME)


def _order(key: tuple[str, str, int | None]) -> tuple[int, str]:
    return (key[2] or 0, key[1])


def _cells(tuning: Tuning) -> tuple[str, ...]:
    other = f"{tuning.other}: {short(tuning.other_untuned)} → {short(tuning.other_error)}"
    return f"{tuning.teacher:,}", f"{tuning.search:,}", short(tuning.seconds), f"{tuning.gap:+.0%}", other
