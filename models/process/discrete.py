"""Process of a network that was trained at a table of times: DDPM and its descendants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .continuous import FloatArray, Process


@dataclass(frozen=True, kw_only=True)
class Discrete(Process):
    """Variance preserving at the times 0, 1, … of a table, with the levels between them on straight
    lines of log sigma (as k-diffusion's ``DiscreteSchedule`` has them).

        alpha = 1 / sqrt(1 + level²),   sigma = level alpha.

    Below the first level and above the last finite one, time stands still.

    Attributes:
        levels: of the times, > 0 and rising, two at least; the last may be infinite, if
            alphas_cumprod ends at 0.
    """

    levels: tuple[float, ...]
    t_min: float = 0.0
    t_max: float = 0.0

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.levels, self.levels[1:], strict=False))
        if len(self.levels) < 2 or not (self.levels[0] > 0 and rising):
            raise ValueError(
                f"Discrete: need two levels or more, > 0 and rising, got {len(self.levels)} levels "
                f"from {self.levels[0] if self.levels else None}"
            )
        if self.t_max == 0:
            object.__setattr__(self, "t_max", float(len(self.levels) - 1))
        super().__post_init__()

    @classmethod
    def of_betas(cls, betas: FloatArray) -> Discrete:
        """Make the process of the rates ``(T,)`` of a DDPM (Ho et al. 2020, arXiv:2006.11239, eq. 4): the
        level at n is sqrt(1 / alphas_cumprod_n - 1).
        """
        signal_power = np.cumprod(1 - np.asarray(betas, dtype=np.float64))
        with np.errstate(divide="ignore"):
            return cls(levels=tuple(np.sqrt(np.maximum(1 / signal_power - 1, 0)).tolist()))

    @property
    def _finite(self) -> FloatArray:
        levels = np.asarray(self.levels)
        return levels[np.isfinite(levels)]

    def _alpha(self, t: FloatArray) -> FloatArray:
        return 1 / np.hypot(1, self._level_at(t))

    def _sigma(self, t: FloatArray) -> FloatArray:
        level = self._level_at(t)
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(level), 1.0, level / np.hypot(1, level))

    def _level_at(self, t: FloatArray) -> FloatArray:
        logs = np.log(self._finite)
        level = np.exp(np.interp(t, np.arange(len(logs)), logs))
        return np.where(t > len(logs) - 1, np.inf, level)

    def _t_of(self, level: FloatArray) -> FloatArray:
        logs = np.log(self._finite)
        with np.errstate(divide="ignore"):
            time = np.interp(np.log(level), logs, np.arange(float(len(logs))))
        return np.where(np.isinf(level), float(len(self.levels) - 1), time)
