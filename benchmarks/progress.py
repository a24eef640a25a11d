"""What a run tells its user while it works."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class Reporter:
    """A progress bar in a terminal, a line every half minute elsewhere.

    The bar counts expected network evaluations, the only unit in which cells are comparable; beside it stand cells and samples per second.
    """

    def __init__(self, console: Console, cells: int, evaluations: float) -> None:
        self._console = console
        self._cells, self._done, self._samples = cells, 0, 0
        self._begin = self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("starting", total=max(evaluations, 1e-9), note="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        """What is being done now."""
        self._bar.update(self._task, description=text)
        self._line(text)

    def samples(self, count: int, evaluations: float) -> None:
        """``count`` more samples are done, which cost ``evaluations`` in the plan's estimate."""
        self._samples += count
        rate = self._samples / max(time.monotonic() - self._begin, 1e-9)
        note = f"{self._done}/{self._cells} cells, {rate:.0f} samples/s"
        self._bar.update(self._task, advance=evaluations, note=note)
        self._line(note)

    def cell_done(self) -> None:
        """One more cell is complete."""
        self._done += 1

    def _line(self, text: str) -> None:
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said > 30:
            self._said = now
            self._console.print(text, markup=False)
