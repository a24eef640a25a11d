"""Display of a run's progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.text import Text

FIRST_LINE, LINE_PERIOD = 5.0, 30.0  # seconds to the first line, and between lines
_BAR = 20  # columns of the bar


class _StateColumn(ProgressColumn):
    """Text next to the progress bar, on one line, cut at its end to ``width`` characters."""

    def __init__(self, report: ProgressReporter, width: int) -> None:
        super().__init__()
        self._report, self._width = report, width

    def render(self, task: Task) -> Text:
        """Return the text: percentage, complete cells, time left and name of the stage."""
        state = self._report.state_in_words()
        text = Text(f"{task.percentage:3.0f}%  {state}  {task.description}")
        text.truncate(self._width, overflow="ellipsis")
        return text


class ProgressReporter:
    """Display of a run's progress and time left: a bar in a terminal, else a line every 30 s.

    ``cells`` has the expected network evaluations of each cell to complete, by key. The bar is full
    after ``evaluations``, of cells and references together. It is shown during a ``with`` block.
    """

    def __init__(self, console: Console, cells: Mapping[str, float], evaluations: float) -> None:
        self._console = console
        self._cells, self._left = len(cells), dict(cells)
        self._reached, self._within, self._total = 0.0, 0.0, evaluations
        self._begin, self._deadline = time.monotonic(), 0.0
        self.begin_model("", evaluations)
        self._text, self._stopped = "starting", threading.Event()
        self._bar = Progress(
            BarColumn(_BAR),
            _StateColumn(self, console.width - _BAR - 2),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=max(evaluations, 1e-9))
        self._lines = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Self:
        self._bar.start()
        if not self._console.is_terminal:
            self._lines.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._stopped.set()
        if not self._console.is_terminal:
            self._lines.join()

    def begin_model(self, name: str, evaluations: float) -> None:
        """Estimate the time left by the pace of this model's ``evaluations``, which begin now.

        Evaluations of another model take another time, so that their pace says nothing on this one.
        """
        self._model = (name, time.monotonic(), self._reached, self._reached + evaluations)

    @contextmanager
    def track_part(self, text: str, evaluations: float) -> Iterator[None]:
        """Show ``text`` during the block, in which the bar moves by ``evaluations`` in all."""
        self.set_stage(text)
        self._within, end = evaluations, self._reached + evaluations
        yield
        self._within = 0.0
        self._move(end - self._reached)

    def set_stage(self, text: str) -> None:
        """Show the name of the present stage; any thread may call this."""
        self._text = text
        self._bar.update(self._task, description=text)

    def add_evaluations(self, count: float) -> None:
        """Move the bar by ``count``, at most to the end of the part in :meth:`track_part`."""
        count = min(count, self._within)
        self._within -= count
        self._move(count)

    def add_cell_evaluations(self, cell: str, count: float) -> None:
        """Move the bar by ``count`` evaluations of a cell, up to its expected number."""
        if cell in self._left:
            counted = min(count, self._left[cell])
            self._left[cell] -= counted
            self._move(counted)

    def end_cell(self, cell: str) -> None:
        """Count a cell that is complete or has failed. Later calls for this cell do nothing."""
        self._move(self._left.pop(cell, 0.0))

    def _move(self, count: float) -> None:
        self._reached += count
        self._bar.update(self._task, completed=self._reached)

    def show_time_limit(self, seconds: float) -> None:
        """Show "up to ... left" from now on, counted down from ``seconds``."""
        self._deadline = time.monotonic() + seconds

    def state_in_words(self) -> str:
        """Return text such as ``3/8 cells, 1:05 left``, without the time while it is unknown.

        It is the time of the present model; its name follows if other models are to come.
        """
        now, words, (name, begin, start, end) = time.monotonic(), "", self._model
        if self._reached > start:
            pace = (now - begin) / (self._reached - start)
            words = f", {_clock(pace * max(0.0, end - self._reached))} left"
            if end < self._total * (1 - 1e-9):  # without rounding errors of sums
                words += f" of {name}"
        if self._deadline:
            words = f", up to {_clock(max(0.0, self._deadline - now))} left"
        return f"{self._cells - len(self._left)}/{self._cells} cells{words}"

    def _print_lines(self) -> None:
        wait = FIRST_LINE
        while not self._stopped.wait(wait):
            line = (
                f"{_clock(time.monotonic() - self._begin)} {self._text} ({self.state_in_words()})"
            )
            self._console.print(line, markup=False, soft_wrap=True)
            wait = LINE_PERIOD


def _clock(seconds: float) -> str:
    """Return seconds as ``1:05``, or ``1:02:05`` with hours."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
