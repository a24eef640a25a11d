"""How the scheduler that came with a checkpoint would sample it."""

from __future__ import annotations

from typing import NamedTuple


class OwnSampling(NamedTuple):
    """What the scheduler of a checkpoint's own folder does in a number of steps, in our terms.

    Attributes:
        sampler: ours that does the same on these levels.
        levels: falling; the last may be 0.
        start: standard deviation of the noise that it begins with at the first level.
        end: by what its result is to be multiplied, where it ends in coordinates of its own.
        clip: bound that the denoised image is clamped to, but not the noise that the step goes on
            with; None for no clamping.
        told: the scheduler and the spacing of its levels, for tables.
        differs: sentences that say where it does something else all the same.
        times: pairs of a level and the native time that the network is told there, where that is not
            what it would be told of the level.
    """

    sampler: str
    levels: tuple[float, ...]
    start: float
    end: float = 1.0
    clip: float | None = None
    told: str = ""
    differs: tuple[str, ...] = ()
    times: tuple[tuple[float, float], ...] = ()
