"""Sampling by the scheduler that came with a checkpoint."""

from __future__ import annotations

from typing import NamedTuple


class OwnSampling(NamedTuple):
    """Steps of a checkpoint's own scheduler, in terms of samplers and levels here.

    Attributes:
        sampler: the equivalent one on these levels.
        levels: falling; the last may be 0.
        start: standard deviation of the noise that it begins with at the first level.
        end: factor of its result, if it ends in coordinates of its own.
        clip: bound that the denoised image is clamped to, but not the noise that the step goes on
            with; None for no clamping.
        told: the scheduler and the spacing of its levels, for tables.
        differs: sentences on its remaining differences.
        times: pairs of a level and the network's native time there, if it is not the level's own.
    """

    sampler: str
    levels: tuple[float, ...]
    start: float
    end: float = 1.0
    clip: float | None = None
    told: str = ""
    differs: tuple[str, ...] = ()
    times: tuple[tuple[float, float], ...] = ()
