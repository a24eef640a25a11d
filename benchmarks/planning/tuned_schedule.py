"""Schedule ``tuned``, the grids that ``samplerbench tune`` wrote; parametrisation of grids."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...models.denoiser import Denoiser
from ...samplers.base import Sampler
from ...samplers.families.tabulated import Tabulated, correction_weights, why_not_tabulable
from ...samplers.grid import Grid
from ...samplers.schedules import schedule
from ...samplers.spec import label_of
from ...samplers.types import Source
from ..identity.sampler import origin_or_digest

if TYPE_CHECKING:
    from .published_tables import PublishedTable
    from .tuned_file import Also, TunedEntry, What

LEAST = 1e-3
"""Smallest gap of levels, as a share of the range in log sigma; 1 % of a level for 80 to 0.002."""

MOST_STEPS = round(0.5 / LEAST)
"""Largest number of steps of a tuned grid, at which the smallest gaps fill half of the range."""


@dataclass(frozen=True)
class Spacing:
    """Grids of ``steps`` steps from sigma_max to 0, as functions of N = ``steps`` free numbers z.

    ``steps`` is 2 … :data:`MOST_STEPS`. A softmax of z gives N gaps in lam = -log sigma:

        gap_i = LEAST + (1 - N LEAST) exp(z_i) / sum_j exp(z_j),
        lam_i = lam_0 + (lam_end - lam_0) (gap_1 + ... + gap_i)

    The gaps fill the range from sigma_max to sigma_min, and the last one lies below the last positive level.
    A constant added to z changes nothing, so z has N - 1 degrees of freedom, one for each inner level.
    """

    steps: int
    sigma_min: float
    sigma_max: float

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= MOST_STEPS:
            raise ValueError(
                f"a grid of {self.steps} steps cannot be tuned; give between 2 and {MOST_STEPS} steps"
            )

    def grid(self, z: ArrayLike) -> Grid:
        """Return the grid at the free numbers ``z`` ``(steps,)``."""
        from scipy.special import softmax  # here, since few runs need it

        gaps = LEAST + (1 - self.steps * LEAST) * softmax(np.asarray(z, float))
        falls = np.exp(-self.width * np.cumsum(gaps)[:-1])
        return Grid((self.sigma_max, *(self.sigma_max * falls).tolist(), 0.0))

    def free_numbers(self, grid: Grid) -> NDArray[np.float64]:
        """Return the free numbers ``(steps,)`` of a grid of this spacing.

        Gaps below 2 ``LEAST`` are widened.
        """
        lam = np.log(self.sigma_max / np.array([*grid.sigma[:-1], self.sigma_min])) / self.width
        gaps = np.maximum(np.diff(lam), 2 * LEAST)
        return np.log(gaps / gaps.sum() - LEAST)

    @property
    def width(self) -> float:
        """Width of the range in log sigma."""
        return math.log(self.sigma_max / self.sigma_min)


def carry_grid(grid: Grid, source: Denoiser | PublishedTable, target: Denoiser) -> Grid:
    """Return a grid to 0, moved from ``source``'s range to ``target``'s, linearly in log sigma."""
    widths = [math.log(each.sigma_max / each.sigma_min) for each in (target, source)]
    share = widths[0] / widths[1]
    levels = (target.sigma_max * (s / source.sigma_max) ** share for s in grid.sigma[:-1])
    return Grid((*levels, 0.0))


@schedule(
    Source(
        "tong2025ld3",
        "section 3",
        "https://arxiv.org/abs/2405.15506v4",
        (
            "Levels are softmax gaps in log sigma; slopes come from finite differences, "
            "not from backpropagation, unless coefficients are tuned too.",
            "The distance is that to the converged endpoint of the same latent, never "
            "moved; a perceptual network measures it only where --loss names one.",
            "The time at which the network is evaluated is that of its step: no second "
            "set of times is learnt.",
        ),
    ),
    needs_model=True,
    needs_sampler=True,
)
def tuned(*, file: str = "tuned.json") -> Callable[[Denoiser, Path | None, str], TunedGrids]:
    """Levels that ``samplerbench tune`` found for a model, a sampler and a number of steps."""

    def read(model: Denoiser, _cache: Path | None, _device: str) -> TunedGrids:
        from .tuned_file import read_tuned  # few runs need it

        try:
            entries = read_tuned(Path(file))
        except OSError as error:
            what = f"schedule tuned: cannot read {file} ({error.strerror})"
            raise UntunedError(what, file) from error
        return TunedGrids(file, model.name, model.identity, entries)

    return read


class UntunedError(ValueError):
    """Error: ``file`` lacks levels. ``what`` says which; ``entries`` are all that the file has."""

    def __init__(self, what: str, file: str, entries: tuple[TunedEntry, ...] = ()) -> None:
        super().__init__(f"{what}; make it with samplerbench tune --out {shlex.quote(file)}")
        self.what, self.file, self.entries = what, file, entries


@dataclass(frozen=True)
class TunedGrids:
    """Tuned grids of a file for one model; ``sampler`` is None until :meth:`for_sampler`."""

    file: str
    model: str
    identity: str
    entries: tuple[TunedEntry, ...]
    sampler: Any = None

    def for_sampler(self, sampler: Sampler) -> TunedGrids:
        """Return the grids for a sampler. Raises a ValueError if the sampler cannot be tuned."""
        if reason := why_untunable(sampler):
            raise ValueError(
                f"schedule tuned has nothing for {label_of(sampler)}, which {reason}; "
                "leave it out, or run it on another schedule"
            )
        return replace(self, sampler=sampler)

    def __call__(self, n: int, sigma_min: float, sigma_max: float, *, to_zero: bool = True) -> Grid:
        """Return the grid of ``n`` steps; one step is a jump to 0, without levels to tune.

        Raises a ValueError if the file has no such grid, the range differs or ``to_zero`` is False.
        """
        if not to_zero:
            raise ValueError(
                f"the grids of {self.file} were tuned to end at 0; run them with end zero"
            )
        if n == 1:
            return Grid((sigma_max, 0.0))
        entry = self._entry(n)
        subject = entry.subject
        if (subject.sigma_min, subject.sigma_max) != (sigma_min, sigma_max):
            raise ValueError(
                f"{self.file} was tuned from {subject.sigma_max:g} down, not from {sigma_max:g}; "
                "run it without that start"
            )
        return Grid(entry.levels)

    def sampler_at(self, n: int) -> Sampler:
        """Return the sampler for ``n`` steps, with tuned coefficients if the file has any."""
        table = self._entry(n).table if n > 1 else None
        return self.sampler if table is None else Tabulated(stands_for=self.sampler, table=table)

    def facts(self, n: int) -> dict[str, Any]:
        """Return :attr:`.TunedEntry.facts` of the grid of ``n`` steps; {} for one step."""
        return self._entry(n).facts if n > 1 else {}

    def _entry(self, n: int) -> TunedEntry:
        label = label_of(self.sampler)
        wanted = (self.identity, label, origin_or_digest(self.sampler, n), n)
        if n > MOST_STEPS:
            raise ValueError(
                f"{n} steps of {label} are too many to tune; give at most {MOST_STEPS}, or another schedule"
            )
        for entry in reversed(self.entries):
            own = entry.subject
            if (own.identity, own.sampler, own.origin, own.steps) == wanted:
                return entry
        what = f"{self.file} has no grid of {n} steps for {label} on {self.model} as it is here"
        raise UntunedError(what, self.file, self.entries)


def why_untunable(sampler: Sampler) -> str:
    """Return the reason why a sampler has no levels to tune; "" if it has some."""
    reasons = {
        "draws noise, so that it has no endpoint to be compared with": sampler.stochastic,
        "makes its own steps": sampler.adaptive or sampler.batch_coupled,
        "has levels of its own": sampler.own_grid,
    }
    return next((words for words, true in reasons.items() if true), "")


MOST_TABULATED = 30
"""Largest number of steps with tuned coefficients, whose number grows as the square of steps."""


def check_tunable(
    sampler: Sampler, steps: int, what: What = "grid", also: Sequence[Also] = ()
) -> None:
    """Raise a ValueError if ``what`` or ``also`` has no numbers, or steps are too few or many."""
    if reason := why_untunable(sampler):
        raise ValueError(
            f"sampler {label_of(sampler)} cannot be tuned: it {reason}; give a deterministic sampler on a fixed grid, "
            "such as heun"
        )
    if steps > MOST_STEPS:
        raise ValueError(
            f"{steps} steps of {label_of(sampler)} are too many to tune; give at most {MOST_STEPS}"
        )
    if steps < 2:
        raise ValueError(f"one step of {label_of(sampler)} has no level to tune; give more")
    if what == "grid" and not also:
        return
    if steps > MOST_TABULATED:
        raise ValueError(
            f"coefficients of {steps} steps of {label_of(sampler)} are too many to tune; give at "
            f"most {MOST_TABULATED} steps, or --what grid without --also"
        )
    levels = Grid((*(2.0**-i for i in range(steps)), 0.0))
    if reason := why_not_tabulable(sampler, levels):
        raise ValueError(
            f"sampler {label_of(sampler)} has no coefficients to tune: it {reason}; give a multistep "
            "method such as dpmpp_2m, or --what grid without --also"
        )
    if what == "ratios":
        if steps < 3:
            raise ValueError(f"two steps of {label_of(sampler)} have no ratio to tune; give more")
        correction_weights(sampler, levels)
