"""Reference solutions by doubling the steps, until more would change no number in the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ....results.run_directory.run_dir import RunDir

MARGIN = 1e-5
"""An rmse below this (data units per dimension) is not resolved in float32 by any steps."""


@dataclass(frozen=True)
class Endpoints:
    """Converged endpoints ``x`` ``(k, *event)`` of samples 0 … k - 1, their modes (or None), and
    their error (RMS).
    """

    x: NDArray
    modes: NDArray | None
    steps: int
    resolution: float


class Doubling(NamedTuple):
    """Stopping rule for doubling the steps of a reference solution.

    Attributes:
        first, last: the fewest and the most steps.
        negligible: doubling the steps once more would move it by less than this share of the
            smallest error in the table.
        gain: factor by which the next doubling moves it less than the last.
    """

    first: int
    last: int
    negligible: float
    gain: float


def doubled(
    run: RunDir,
    tag: str,
    solve: Callable[[int], Tensor],
    measured: Sequence[NDArray],
    rule: Doubling,
) -> Endpoints:
    """Return the first ``solve(steps)`` that one more doubling of the steps hardly moves.

    The run directory stores every solution.
    """

    def kept(steps: int) -> NDArray:
        name = f"{tag}-{steps}"
        stored = run.read_reference(name)
        if stored is None:
            stored = {"x": solve(steps).cpu().numpy()}
            run.write_reference(name, stored)
        return stored["x"]

    return solve_by_doubling(kept, measured, rule, _first_steps(run, tag, rule.first))


def solve_by_doubling(
    solve: Callable[[int], NDArray], measured: Sequence[NDArray], rule: Doubling, first: int
) -> Endpoints:
    """Return the first ``solve(steps)`` that one more doubling moves little, relative to its
    distance to ``measured``.
    """
    steps, previous = first, None
    while True:
        x = solve(steps)
        if previous is not None:
            resolution = _rms(x - previous) / rule.gain
            smallest = min(
                [_rms(other - x[: len(other)]) for other in measured if len(other)], default=np.inf
            )
            if resolution <= max(rule.negligible * smallest, MARGIN) or steps >= rule.last:
                return Endpoints(x, None, steps, resolution)
        previous, steps = x, 2 * steps


def _first_steps(run: RunDir, tag: str, fewest: int) -> int:
    """Return the first number of steps: half of the most stored, to keep references from becoming
    coarser.
    """
    return max(fewest, max(run.reference_steps(tag), default=0) // 2)


def _rms(difference: NDArray) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
