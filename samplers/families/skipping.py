"""``skip``: a sampler that leaves out evaluations, as caches of a network's whole output do."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from ..buffers import take_buffer
from ..grid import Grid
from ..loop import GridSampler, cached_plan, integrate
from ..numerics import blend
from ..registry import make, register
from ..registry import make_once as _make
from ..types import Denoise, FunctionDenoiser, Source, StepNoise
from .linear import UnguidedRow, compute_history_entry

TRIAL = Grid(tuple(2.0 ** (-i / 4) for i in range(33)))
"""Grid on which samplers are tried, longer than the period of a sensible pattern."""
DIGITS = 9
"""Decimals of differences of clock values and angles, so that rounding errors decide nothing."""
PATTERN = re.compile(r"every ([1-9]\d{0,3})|change (\d{1,4}(?:\.\d{1,9})?)|1[01]*")


class EvaluatedCall(NamedTuple):
    """Denoiser call that is evaluated; its history entry p x + q d is stored for forecasts.

    It replaces the ``stale`` newest entries, from evaluations at levels not above its own.
    """

    p: float
    q: float
    stale: int


class ForecastCall(NamedTuple):
    """Denoiser call that is not made: its image is a x + sum_j b_j m_j, entries m newest first."""

    a: float
    b: tuple[float, ...]


class SkipRow(NamedTuple):
    """Coefficients ``row`` of the inner sampler's step, and ``answers`` to its denoiser calls.

    A call is evaluated (:class:`EvaluatedCall`), or its result is extrapolated (:class:`ForecastCall`).
    """

    row: Any
    answers: tuple[EvaluatedCall | ForecastCall, ...]


@register
@dataclass(frozen=True, kw_only=True)
class Skip(GridSampler):
    """Steps of another sampler, with some network outputs extrapolated from earlier ones.

    Where the pattern leaves out an evaluation, a polynomial in the variable ``clock`` gives the
    output. It passes through at most the last ``taylor`` + 1 outputs that were evaluated, so degree
    0 is reuse. The denoised image follows from this output and the present state. The order is at
    most taylor + 1, and at most m + 1 with m evaluations before the first forecast.

    Euler's method with reuse is Euler's method on the levels that are evaluated. With forecasts it
    approximates Adams-Bashforth on these levels, its integral by a Riemann sum.

    ``change K`` is TeaCache's rule with another measure. TeaCache adds up relative L1 changes of
    the network's modulated input, rescaled by a fitted polynomial. When the sum passes a threshold,
    it evaluates and resets the sum. Its mean over a batch would make a sample depend on others.
    Here the input is (x0 + sigma z) / sqrt(1 + sigma²), with x0 and z of unit variance. It moves by
    2 sin(|phi - phi'| / 2) in the root mean square, with tan(phi) = sigma. Small moves add up to
    |phi - phi'|. The threshold is the least that evaluates at most 1 / K of the calls, rounded up.

    Attributes:
        sampler: spec of a sampler with steps along a grid.
        pattern: ``every N`` (one call in N is evaluated), ``change K`` (see above), or digits that
            repeat, such as ``110`` (1 evaluates, 0 forecasts).
        taylor: degree of the polynomial, 0 to 4.
        output: ``noise`` (x - d) / sigma, ``data`` d, or a flow's ``velocity`` (x - d) / sigma - d.
            Fresh noise is in no earlier output, so stochastic samplers need ``data``.
        clock: the polynomial's variable: ``step``, the index in the grid; ``log_snr``, -log sigma.
        first, last: numbers of first (>= 1) and last (>= 0) calls that are always evaluated; TeaCache: 1, 1.
    """

    name = "skip"
    source = Source(
        "liu2025taylorseer",
        "cal_type and taylor_formula of the authors' code; ``change``: TeaCache, arXiv:2411.19108",
        "https://arxiv.org/abs/2503.06923",
        deviations=(
            "the output of the network is held, not of its blocks; ``change`` reads levels alone",
            "the polynomial interpolates; TaylorSeer's derivatives are differences, of first order",
        ),
    )
    sampler: str = "dpmpp_2m"
    pattern: str = "every 2"
    taylor: int = 0
    output: Literal["noise", "data", "velocity"] = "noise"
    clock: Literal["step", "log_snr"] = "step"
    first: int = 1
    last: int = 0

    def __post_init__(self) -> None:
        found, inner = PATTERN.fullmatch(self.pattern), make(self.sampler)
        if not found or (found[2] and float(found[2]) < 1):
            raise ValueError(
                "skip: pattern must be 'every N', 'change K' with a number K >= 1, or digits such as "
                f"'110' that begin with 1, got {self.pattern!r}"
            )
        kinds = self.output in ("noise", "data", "velocity") and self.clock in ("step", "log_snr")
        if not (kinds and 0 <= self.taylor <= 4 and self.first >= 1 and self.last >= 0):
            raise ValueError(
                "skip: output is 'noise', 'data' or 'velocity', clock 'step' or 'log_snr', taylor 0 to "
                f"4, first >= 1 and last >= 0, got {self}"
            )
        if reason := _refusal_reason(inner, self.output):
            raise ValueError(f"skip cannot leave out evaluations of {self.sampler}: it {reason}")

    @property
    def order(self) -> int | None:  # type: ignore[override]
        """Order of ``sampler``, lowered by forecasts; None with forecasts in multi-stage steps."""
        early = replace(self, first=min(self.first, 5), last=0)  # taylor + 1 is at most 5
        p, rows = _make(self.sampler).order, cached_plan(early, TRIAL)
        tried = made = [type(answer) is EvaluatedCall for row in rows for answer in row.answers]
        if not self.pattern.startswith("change"):
            made = early._choose(range(5 + len(self.pattern)))
        elif float(self.pattern.split()[1]) > 1:  # the first change may be too small
            made = [*[True] * early.first, False]
        if p is None or all(made):
            return p
        # stages have lower orders by themselves, and a forecast at a level seen before has no error
        return min(p, self.taylor + 1, made.index(False) + 1) if len(tried) == len(rows) else None

    @property
    def history(self) -> int:  # type: ignore[override]
        """Number of history entries that steps of ``sampler`` read, at least 1 to hold outputs."""
        return max(_make(self.sampler).history, 1)

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """True if ``sampler`` draws noise."""
        return _make(self.sampler).stochastic

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """True if moving the data by a constant moves the samples of ``sampler`` by it."""
        return _make(self.sampler).translates

    def nfe(self, grid: Grid) -> int:
        """Return the number of evaluations per sample, forecasts not counted."""
        return sum(type(a) is EvaluatedCall for row in cached_plan(self, grid) for a in row.answers)

    def plan(self, grid: Grid) -> list[SkipRow]:
        """Return, for each step, the inner sampler's row with the answers to its denoiser calls."""
        inner, lams = _make(self.sampler), [-math.log(level) for level in grid.positive]
        calls = _levels_called(inner, grid)
        made = iter(self._choose(list(chain(*calls))))
        places = range(len(lams)) if self.clock == "step" else lams
        points: list[tuple[float, float]] = []  # place and level of the entries, newest first

        def answer(level: float) -> EvaluatedCall | ForecastCall:
            place = float(np.interp(-math.log(level), lams, places))
            if not next(made):
                return self._forecast(points, place, level)
            stale = sum(round(place - point, DIGITS) <= 0 for point, _ in points)
            points[:] = [(place, level), *points[stale:]][: self.taylor + 1]
            return EvaluatedCall(*self._entry_coefficients(level), stale)

        rows = zip(cached_plan(inner, grid), calls, strict=True)
        return [SkipRow(row, tuple(map(answer, levels))) for row, levels in rows]

    def _choose(self, levels: Sequence[float]) -> list[bool]:
        """Return, for each of the evaluations at ``levels``, True if it is made."""
        n, found = len(levels), cast(re.Match[str], PATTERN.fullmatch(self.pattern))
        always = [i < self.first or i >= n - self.last for i in range(n)]
        if found[2]:
            return _choose_by_change(levels, always, math.ceil(n / float(found[2])))
        digits = "1" + "0" * (int(found[1]) - 1) if found[1] else self.pattern
        begin = self.first - 1 if found[1] else 0
        return [must or digits[(i - begin) % len(digits)] == "1" for i, must in enumerate(always)]

    def _entry_coefficients(self, level: float) -> tuple[float, float]:
        """Return (p, q) of the entry p x + q d: d for "data", else level times :attr:`output`."""
        if self.output == "data":
            return 0.0, 1.0
        return 1.0, -1.0 - (level if self.output == "velocity" else 0.0)

    def _forecast(
        self, points: list[tuple[float, float]], place: float, level: float
    ) -> ForecastCall:
        (p, q), scales = self._entry_coefficients(level), self.output != "data"
        weights = (
            math.prod((place - other) / (own - other) for other, _ in points if other != own)
            * (level / at if scales else 1.0)
            for own, at in points
        )
        return ForecastCall(-p / q, tuple(weight / q for weight in weights))

    def step(
        self, x: Tensor, row: SkipRow, past: tuple[Any, ...], denoise: Denoise, noise: StepNoise
    ) -> tuple[Tensor, Any]:
        """Return the next state and the pair (history entry of ``sampler``, entries of outputs)."""
        outputs: tuple[Tensor, ...] = past[0][1] if past else ()
        answers = iter(row.answers)

        def answer(x: Tensor, sigma: float | Tensor) -> Tensor:
            nonlocal outputs
            planned = next(answers)
            if isinstance(planned, ForecastCall):
                return blend(x, planned.a, planned.b, outputs, take_buffer(x))
            d, older = denoise(x, sigma), outputs[planned.stale :]
            outputs = (compute_history_entry(x, d, planned.p, planned.q), *older)[: self.taylor + 1]
            return d

        entries = tuple(entry for entry, _ in past[: _make(self.sampler).history])
        x, entry = _make(self.sampler).step(x, row.row, entries, FunctionDenoiser(answer), noise)
        return x, (entry, outputs)


def _refusal_reason(inner: Any, output: str) -> str:
    """Return the reason, with a remedy, why :class:`Skip` refuses a sampler; "" if it does not."""
    other = "; give a method with steps along a grid, such as euler, dpmpp_2m or heun"
    if (
        not isinstance(inner, GridSampler)
        or inner.for_maps
        or getattr(inner, "needs_statistics", False)
    ):
        return f"has no steps along a fixed grid by images alone{other}"
    if isinstance(inner.plan(TRIAL)[0], UnguidedRow):
        return f"reads two images of an evaluation{other}"
    if inner.stochastic and output != "data":
        return f"adds noise, which {output} held from before has not; give output='data'"
    return ""


def _levels_called(inner: GridSampler, grid: Grid) -> list[list[float]]:
    calls: list[list[float]] = [[]]

    def record(x: Tensor, sigma: Any) -> Tensor:
        calls[-1].append(float(sigma))
        return torch.zeros_like(x)

    x = torch.zeros(1, 1, device="meta")  # no values, so that nothing waits for a device
    noise: Any = SimpleNamespace(at=lambda *_: lambda *_, **__: x)
    integrate(inner, FunctionDenoiser(record), x, grid, noise, on_step=lambda *_: calls.append([]))
    return calls[:-1]


def _choose_by_change(levels: Sequence[float], always: list[bool], most: int) -> list[bool]:
    """Return True for each call to evaluate: if ``always`` is True, or atan(level) changed enough.

    The change counts from the last evaluation. It must exceed the smallest threshold that leaves at
    most ``most`` evaluations. If ``always`` alone has more, only its calls are evaluated.
    """
    angles = [math.atan(level) for level in levels]

    def choose(threshold: float) -> list[bool]:
        chosen, last = [], 0.0
        for angle, must in zip(angles, always, strict=True):
            chosen.append(must or round(last - angle, DIGITS) > threshold)
            last = angle if chosen[-1] else last
        return chosen

    moves = sorted({0.0, *(round(a - b, DIGITS) for a, b in combinations(angles, 2))})
    least = bisect_left(moves[:-1], True, key=lambda move: sum(choose(move)) <= most)
    return choose(moves[least])
