"""Noising processes x_t = alpha(t) x0 + sigma(t) z in their native time.

Samplers never see a process: they work in canonical coordinates x = x_t / alpha(t), at the level
sigma(t) / alpha(t). A process is needed to call a network in the coordinates of its training
(:mod:`samplerbench.models.adapters`), and to place a grid evenly in native time.

The formulas avoid cancellation: they are accurate to rounding down to t = 0 and up to levels of 1e4
and more.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Real = TypeVar("Real", float, FloatArray)


@dataclass(frozen=True, kw_only=True)
class Process(ABC):
    """Noising process x_t = alpha(t) x0 + sigma(t) z; its level sigma / alpha rises strictly in t.

    ``alpha``, ``sigma``, ``level`` and ``t_of`` map floats to floats and float64 arrays to arrays.

    Attributes:
        t_min, t_max: the native times between which the process is sampled, 0 <= t_min < t_max. The
            level may be infinite at ``t_max``.

    Raises:
        ValueError: the times, or parameters of a subclass, are out of range.
    """

    t_min: float
    t_max: float

    def __post_init__(self) -> None:
        if not 0 <= self.t_min < self.t_max:
            raise ValueError(
                f"{type(self).__name__}: need 0 <= t_min < t_max, got "
                f"t_min={self.t_min}, t_max={self.t_max}"
            )

    def alpha(self, t: Real) -> Real:
        """Return the scale of the data at native time ``t``."""
        return _as_kind_of(t, self._alpha(np.asarray(t, dtype=np.float64)))

    def sigma(self, t: Real) -> Real:
        """Return the standard deviation of the noise in x_t at native time ``t``."""
        return _as_kind_of(t, self._sigma(np.asarray(t, dtype=np.float64)))

    def level(self, t: Real) -> Real:
        """Return the canonical noise level sigma(t) / alpha(t); infinite where alpha(t) = 0."""
        time = np.asarray(t, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return _as_kind_of(t, np.divide(self._sigma(time), self._alpha(time)))

    def t_of(self, level: Real) -> Real:
        """Return the native time of a ``level`` >= 0, by the inverse of :meth:`level`.

        An infinite level has the time 1 in :class:`RectifiedFlow` and :class:`Trigonometric`, and
        the last time in :class:`Discrete`. In other processes, its time is inf or nan.
        """
        with np.errstate(invalid="ignore"):
            return _as_kind_of(level, self._t_of(np.asarray(level, dtype=np.float64)))

    @abstractmethod
    def _alpha(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _sigma(self, t: FloatArray) -> FloatArray: ...

    @abstractmethod
    def _t_of(self, level: FloatArray) -> FloatArray: ...


def _as_kind_of(given: Real, value: FloatArray) -> Real:
    """Return ``value`` as a Python float if ``given`` is one, else as a new array."""
    # in place of a float, an array would promote the dtype of what it multiplies
    return cast(Real, value.copy() if isinstance(given, np.ndarray) else float(value))


@dataclass(frozen=True, kw_only=True)
class VE(Process):
    """Variance exploding process: alpha = 1, sigma = t.

    Its states are in canonical coordinates (Karras et al. 2022, arXiv:2206.00364, Table 1).

    >>> VE().t_of(3.0)
    3.0
    """

    t_min: float = 0.002
    t_max: float = 80.0

    def _alpha(self, t: FloatArray) -> FloatArray:
        return np.ones_like(t)

    def _sigma(self, t: FloatArray) -> FloatArray:
        return t

    def _t_of(self, level: FloatArray) -> FloatArray:
        return level


@dataclass(frozen=True, kw_only=True)
class EDM(VE):
    """Variance exploding process, scaled to unit variance: alpha = 1 / sqrt(t² + sigma_data²).

    The level is t, and alpha is EDM's c_in (Karras et al. 2022, arXiv:2206.00364, Table 1).

    >>> EDM().alpha(1.2)
    0.7692307692307692

    Attributes:
        sigma_data: standard deviation of the data, > 0.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_data > 0:
            raise ValueError(f"EDM: need sigma_data > 0, got {self.sigma_data}")

    def _alpha(self, t: FloatArray) -> FloatArray:
        return 1 / np.hypot(t, self.sigma_data)

    def _sigma(self, t: FloatArray) -> FloatArray:
        return t / np.hypot(t, self.sigma_data)


@dataclass(frozen=True, kw_only=True)
class VPLinear(Process):
    """VP process with a linear rate (Song et al. 2021, arXiv:2011.13456, eq. 11 and app. C).

    The rate is beta(t) = beta_min + beta_d t; with B(t) = ∫ beta = beta_d t² / 2 + beta_min t,

        alpha = exp(-B / 2),   sigma = sqrt(1 - exp(-B)),   level² = exp(B) - 1.

    ``t_of`` solves B(t) = log(1 + level²), quadratic in t, by a formula without cancellation.

    >>> VPLinear().alpha(0.0), VPLinear().sigma(0.0)
    (1.0, 0.0)

    Attributes:
        beta_d: growth of the rate over unit time, >= 0.
        beta_min: rate at t = 0, > 0.
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.beta_d >= 0 and self.beta_min > 0):
            raise ValueError(
                "VPLinear: need beta_d >= 0 and beta_min > 0, got "
                f"beta_d={self.beta_d}, beta_min={self.beta_min}"
            )

    def _rate_integral(self, t: FloatArray) -> FloatArray:
        return t * (self.beta_min + 0.5 * self.beta_d * t)

    def speeds(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives of alpha and of sigma by the native time ``t`` > 0."""
        alpha_speed = self._speed(t)
        return alpha_speed, -self._alpha(t) * alpha_speed / self._sigma(t)

    def _speed(self, t: FloatArray) -> FloatArray:
        return -0.5 * (self.beta_min + self.beta_d * t) * self._alpha(t)

    def _alpha(self, t: FloatArray) -> FloatArray:
        return np.exp(-0.5 * self._rate_integral(t))

    def _sigma(self, t: FloatArray) -> FloatArray:
        return np.sqrt(-np.expm1(-self._rate_integral(t)))

    def _t_of(self, level: FloatArray) -> FloatArray:
        return self._time_of(np.log1p(level**2))

    def _time_of(self, integral: FloatArray) -> FloatArray:
        """Return the time at which the integral B of the rate equals ``integral``."""
        root = np.sqrt(self.beta_min**2 + 2 * self.beta_d * integral)
        return 2 * integral / (self.beta_min + root)


@dataclass(frozen=True, kw_only=True)
class SubVP(VPLinear):
    """Sub-VP process, of less variance than VP (Song et al. 2021, arXiv:2011.13456, eq. 14).

    With B(t) as in :class:`VPLinear` (Song et al., app. C),

        alpha = exp(-B / 2),   sigma = 1 - exp(-B),   level = 2 sinh(B / 2).

    >>> SubVP().sigma(0.0)
    0.0
    """

    def speeds(self, t: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives of alpha and of sigma = 1 - alpha² by the native time ``t``."""
        alpha_speed = self._speed(t)
        return alpha_speed, -2 * self._alpha(t) * alpha_speed

    def _sigma(self, t: FloatArray) -> FloatArray:
        return -np.expm1(-self._rate_integral(t))

    def _t_of(self, level: FloatArray) -> FloatArray:
        return self._time_of(2 * np.arcsinh(level / 2))


@dataclass(frozen=True, kw_only=True)
class Cosine(Process):
    """VP process along a cosine, in continuous time (Nichol & Dhariwal 2021, arXiv:2102.09672).

    By the paper's eq. 17, with phi(t) = (t + s) / (1 + s) · pi / 2 from phi0 = phi(0) to pi / 2,

        alpha = cos(phi) / cos(phi0),   sigma² = 1 - alpha² = sin(phi - phi0) sin(phi + phi0) / cos²(phi0).

    ``t_of`` follows from tan²(phi) - tan²(phi0) = level² / cos²(phi0) and the tangent of a
    difference. alpha(1) = 0, so ``t_max`` must be below 1. The default 0.9946, a level of 119, is
    the start in DPM-Solver (arXiv:2206.00927).

    >>> Cosine().sigma(0.0)
    0.0

    Attributes:
        s: offset that keeps the levels near t = 0 from being vanishingly small, > 0.
    """

    s: float = 0.008
    t_min: float = 1e-3
    t_max: float = 0.9946

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.s > 0 and self.t_max < 1):
            raise ValueError(
                "Cosine: need s > 0 and t_max < 1 (the level is infinite at "
                f"1), got s={self.s}, t_max={self.t_max}"
            )

    @property
    def _rate(self) -> float:
        return 0.5 * math.pi / (1 + self.s)

    def _alpha(self, t: FloatArray) -> FloatArray:
        # cos(phi) = sin(pi/2 - phi), and pi/2 - phi = rate (1 - t) does not round near t = 1
        return np.sin(self._rate * (1 - t)) / math.cos(self._rate * self.s)

    def _sigma(self, t: FloatArray) -> FloatArray:
        product = np.sin(self._rate * t) * np.sin(self._rate * (t + 2 * self.s))
        return np.sqrt(product) / math.cos(self._rate * self.s)

    def _t_of(self, level: FloatArray) -> FloatArray:
        sin0, cos0 = math.sin(self._rate * self.s), math.cos(self._rate * self.s)
        tan, tan0 = np.sqrt(level**2 + sin0**2) / cos0, sin0 / cos0
        rise = (level / cos0) ** 2 / (tan + tan0)
        return np.arctan2(rise, 1 + tan * tan0) / self._rate


@dataclass(frozen=True, kw_only=True)
class RectifiedFlow(Process):
    """Straight path x_t = (1 - t) x0 + t nu z, with level nu t / (1 - t).

    It is the path of rectified flow (Liu et al. 2023, arXiv:2209.03003) and the conditional
    optimal-transport path of flow matching (Lipman et al. 2023, arXiv:2210.02747, section 4.1).
    Here t = 1 is noise, as in diffusion; in both papers it is data. The level is infinite at t = 1,
    so the default ``t_max`` is the time of the level 1e4 nu.

    >>> RectifiedFlow().t_of(1.0)
    0.5

    Attributes:
        noise_scale: nu, the standard deviation of the noise at t = 1, > 0. It is 1 in both papers;
            models of large images use more (Li & He 2025, arXiv:2511.13720).
    """

    noise_scale: float = 1.0
    t_min: float = 1e-3
    t_max: float = 1e4 / (1 + 1e4)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.noise_scale > 0 and self.t_max <= 1):
            raise ValueError(
                "RectifiedFlow: need noise_scale > 0 and t_max <= 1 (the level is infinite at 1), "
                f"got noise_scale={self.noise_scale}, t_max={self.t_max}"
            )

    def _alpha(self, t: FloatArray) -> FloatArray:
        return 1 - t

    def _sigma(self, t: FloatArray) -> FloatArray:
        return self.noise_scale * t

    def _t_of(self, level: FloatArray) -> FloatArray:
        return np.where(np.isinf(level), 1.0, level / (self.noise_scale + level))


@dataclass(frozen=True, kw_only=True)
class Trigonometric(Process):
    """Path along a circle: alpha = cos(pi t / 2), sigma = sin(pi t / 2), level = tan(pi t / 2).

    It is the GVP path of interpolants (Albergo et al. 2023, arXiv:2303.08797; Ma et al. 2024, SiT,
    arXiv:2401.08740, Table 1), and the path of v-diffusion with the angle pi t / 2. The level is
    infinite at t = 1.

    >>> Trigonometric().sigma(0.0)
    0.0
    """

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.t_max > 1:
            raise ValueError(f"Trigonometric: need t_max <= 1, got t_max={self.t_max}")

    def _alpha(self, t: FloatArray) -> FloatArray:
        return np.sin(0.5 * math.pi * (1 - t))  # cos(pi t / 2), exact at t = 1

    def _sigma(self, t: FloatArray) -> FloatArray:
        return np.sin(0.5 * math.pi * t)

    def _t_of(self, level: FloatArray) -> FloatArray:
        return np.arctan(level) * (2 / math.pi)


@dataclass(frozen=True, kw_only=True)
class Discrete(Process):
    """Variance preserving process with a table of levels at times 0, 1, …; log-linear in between.

        alpha = 1 / sqrt(1 + level²),   sigma = level alpha.

    The interpolation is as in k-diffusion's ``DiscreteSchedule``. A finite level outside the table's
    range has the time of the nearest finite level. ``t_max`` = 0 stands for the last time.

    Attributes:
        levels: rising noise levels > 0 at the times 0, 1, …, at least two. The last is infinite if
            the table alphas_cumprod ends at 0. No interpolation leads to it: the level is infinite
            right after the time of the last finite one.
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
        """Make the process of two or more DDPM rates ``betas`` > 0 (Ho et al. 2020, eq. 4)."""
        signal_power = np.cumprod(1 - np.asarray(betas, dtype=np.float64))
        with np.errstate(divide="ignore"):
            return cls(levels=tuple(np.sqrt(np.maximum(1 / signal_power - 1, 0)).tolist()))

    @cached_property
    def _finite_logs(self) -> tuple[FloatArray, FloatArray]:
        """Times 0, 1, … of the finite levels, and the natural logarithms of these levels."""
        table = np.asarray(self.levels)
        logs = np.log(table[np.isfinite(table)])
        return np.arange(float(len(logs))), logs

    def _alpha(self, t: FloatArray) -> FloatArray:
        return 1 / np.hypot(1, self._level_at(t))

    def _sigma(self, t: FloatArray) -> FloatArray:
        level = self._level_at(t)
        with np.errstate(invalid="ignore"):
            return np.where(np.isinf(level), 1.0, level / np.hypot(1, level))

    def _level_at(self, t: FloatArray) -> FloatArray:
        places, logs = self._finite_logs
        level = np.exp(np.interp(t, places, logs))
        return np.where(t > places[-1], np.inf, level)

    def _t_of(self, level: FloatArray) -> FloatArray:
        places, logs = self._finite_logs
        with np.errstate(divide="ignore"):
            time = np.interp(np.log(level), logs, places)
        return np.where(np.isinf(level), float(len(self.levels) - 1), time)
