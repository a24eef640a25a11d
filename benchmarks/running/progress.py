"""Display of a run's progress."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PERIOD = 30.0  # seconds between lines where there is no terminal


class Reporter:
    """Progress bar in a terminal; elsewhere a line every half minute.

    The bar counts expected network evaluations, in which cells and references are comparable.
    """

    def __init__(self, console: Console, cells: int, evaluations: float) -> None:
        self._console = console
        self._cells, self._done, self._samples = cells, 0, 0
        self._reached, self._within = 0.0, 0.0
        self._begin = time.monotonic()
        self._text, self._stopped = "starting", threading.Event()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=max(evaluations, 1e-9), note="")
        self._lines: threading.Thread | None = None
        if not console.is_terminal:
            self._lines = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if self._lines:
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._stopped.set()
        if self._lines:
            self._lines.join()

    @contextmanager
    def track_part(self, text: str, evaluations: float = 0.0) -> Iterator[None]:
        """Show ``text`` during the block, in which the bar moves by ``evaluations`` in all."""
        if text:
            self.stage(text)
        self._within, end = evaluations, self._reached + evaluations
        yield
        self._within, self._reached = 0.0, end
        self._bar.update(self._task, completed=self._reached)

    def stage(self, text: str) -> None:
        """Show the name of the present stage."""
        self._text = text
        self._bar.update(self._task, description=text)

    def samples(self, count: int, evaluations: float) -> None:
        """Add ``count`` drawn samples, which the plan expected to take ``evaluations``."""
        self._samples += count
        self.evaluations(evaluations)

    def evaluations(self, count: float) -> None:
        """Add ``count`` evaluations, up to the estimate of a :meth:`track_part`."""
        count = min(count, self._within)
        self._within -= count
        self._reached += count
        rate = self._samples / max(time.monotonic() - self._begin, 1e-9)
        note = f"{self._done}/{self._cells} cells, {rate:.0f} samples/s"
        self._bar.update(self._task, completed=self._reached, note=note)

    def count_cell(self) -> None:
        """Count one more complete cell."""
        self._done += 1

    def _print_lines(self) -> None:
        while not self._stopped.wait(PERIOD):
            minutes, seconds = divmod(int(time.monotonic() - self._begin), 60)
            line = f"{minutes}:{seconds:02d} {self._text} ({self._done}/{self._cells} cells)"
            self._console.print(line, markup=False, soft_wrap=True)


class CellProgress:
    """Progress of several cells at a time in the bar of a :class:`Reporter`.

    A finished cell has moved the bar by its ``expected`` evaluations, however many it took.
    """

    def __init__(
        self, report: Reporter, names: Mapping[str, str], expected: Mapping[str, float]
    ) -> None:
        self._report, self._names = report, names
        self._left = {key: expected.get(key, 0.0) for key in names}

    def show_cell(self, key: str) -> None:
        """Show the cell of a shard that is about to be sampled; called in any thread."""
        self._report.stage(self._names[key])

    def samples(self, key: str, count: int, evaluations: float) -> None:
        """Add ``count`` samples of a cell; see :meth:`Reporter.samples`."""
        self._report.samples(count, self._share_within_estimate(key, evaluations))

    def done(self, key: str) -> None:
        """Count a cell that is complete or has failed, once."""
        if key in self._left:
            self._report.evaluations(self._share_within_estimate(key, math.inf))
            del self._left[key]
            self._report.count_cell()

    def _share_within_estimate(self, key: str, evaluations: float) -> float:
        """Subtract evaluations from the cell's remaining estimate; return how many it had left."""
        counted = min(evaluations, self._left.get(key, 0.0))
        if key in self._left:
            self._left[key] -= counted
        return counted
