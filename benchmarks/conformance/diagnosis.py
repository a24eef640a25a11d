"""Likely causes of failed checks, as sentences: one for each known pattern of failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...samplers import GridSampler, Sampler
from .check import Check
from .order import MARGIN, OWN_START, UNEVEN, order_with_options, range_in_words
from .problems import GRIDS, ThreeModes

AGREE = 0.35
"""Largest difference between measured orders that count as the same order."""


def diagnose(sampler: Sampler, checks: Iterable[Check]) -> list[str]:
    """Return likely causes of failures or slow convergence, one sentence per matching pattern."""
    found = Findings(sampler, checks)
    return [sentence for explain in PATTERNS for sentence in explain(found)]


class Findings:
    """Checks of a sampler by name, and its measured orders.

    Attributes:
        slopes: measured orders by (problem, grid); empty if none were measured.
        low: pairs (problem, grid) with an order that is NaN, or too low by MARGIN or more; empty if
            the sampler declares no order, or is no ``GridSampler``.
    """

    def __init__(self, sampler: Sampler, checks: Iterable[Check]) -> None:
        self.sampler, self.checks = sampler, {check.name: check for check in checks}
        table = self.checks["order"].data if "order" in self.checks else {}
        self.slopes = {tuple(key.split("/")): entry["slope"] for key, entry in table.items()}
        order = order_with_options(sampler) if isinstance(sampler, GridSampler) else None
        self.low: set[tuple[str, ...]] = set()
        if order is not None:
            self.low = {pair for pair, slope in self.slopes.items() if not slope > order - MARGIN}

    def passed(self, name: str) -> bool | None:
        """Return True if a check passed, False if it failed, None if it did not run."""
        return self.checks[name].passed if name in self.checks else None

    def faults(self, name: str) -> list[dict[str, Any]]:
        """Return the faults that a failed check recorded; [] if it passed or did not run."""
        if self.passed(name) is not False:
            return []
        return self.checks[name].data.get("wrong" if name == "algebra" else "failed", [])


def _explain_step_ratio(found: Findings) -> Iterator[str]:
    """Yield a cause if orders are right on equal steps and wrong on unequal steps."""
    slopes, low = found.slopes, found.low
    even, karras = ({key for key in slopes if key[1] == grid} for grid in GRIDS)
    if low <= karras and (ThreeModes.name, "karras") in low and len(slopes) > 2:
        right, wrong = (range_in_words((slopes[key] for key in keys), 1) for keys in (even, low))
        yield (
            f"right on uniform_lambda (order {right}), wrong on karras ({wrong}): the weights ignore "
            "the ratio of neighbouring steps, or use it wrongly"
        )
    if low or UNEVEN not in found.checks or found.sampler.order is None:
        return
    slope = found.checks[UNEVEN].data.get("slope", math.nan)
    if slope < min(found.sampler.order, *slopes.values()) - 2 * MARGIN:
        yield (
            f"of order {range_in_words(slopes.values(), 1)} on smooth schedules and of order "
            f"{slope:.2f} where steps alternate in length: the weights ignore the ratio of "
            "neighbouring steps, which smooth schedules forgive"
        )


def _explain_nonlinearity(found: Findings) -> Iterator[str]:
    """Yield a cause if orders are right on the Gaussian and wrong on the mixture."""
    slopes, low = found.slopes, found.low
    curved = {key for key in slopes if key[0] == ThreeModes.name}
    if len(slopes) > 2 and low and low == curved:
        linear = slopes.keys() - curved
        right, wrong = (range_in_words((slopes[key] for key in keys), 1) for keys in (linear, low))
        yield (
            f"right where the denoiser is linear in x (order {right}), wrong where it is not "
            f"({wrong}): errors cancel on a Gaussian, and the order that counts is the other one"
        )


def _explain_wrong_order(found: Findings) -> Iterator[str]:
    """Yield a cause if measured orders are near 0, or agree on an order that is not declared."""
    slopes, order = np.array([*found.slopes.values()]), found.sampler.order
    if not len(slopes) or found.passed("order") or order is None:
        return
    if slopes.max() < 0.5:  # False if a slope is NaN
        yield (
            "the error does not fall with the number of steps: a step does not solve dx/dlam = d - x "
            "even to first order"
        )
    elif np.ptp(slopes) <= AGREE:
        whole = round(slopes.mean())
        if whole > order:
            yield f"of order {whole} everywhere: declare order = {whole}"
        elif whole < order:
            cause = (
                f"of order {whole} everywhere: a weight is wrong in the terms of order {whole + 1}, "
                f"or order = {whole} is the truth"
            )
            local = found.checks.get("local order")
            if local and local.passed and local.asserted and getattr(found.sampler, "history", 0):
                cause += (
                    "; one step after exact states has the order that it should, so look at what is "
                    "handed on: the history entry, and how old ones are weighed"
                )
            yield cause


def _explain_start(found: Findings) -> Iterator[str]:
    """Yield a cause if only runs with a sampler's own first steps are wrong."""
    if found.passed("order") and found.passed(OWN_START) is False:
        yield (
            "right from exact start values, wrong after its own start: the first steps, which have "
            "fewer entries, are wrong (a first step of Euler's method would leave order 2)"
        )


def _explain_part_of_runs(found: Findings) -> Iterator[str]:
    """Yield a cause if only grids to 0, only float32, or only grids of one or two steps fail."""
    failed = found.faults("finite")
    only_zero = bool(failed) and all(entry["to_zero"] for entry in failed)
    if only_zero or (found.passed("order") and found.passed("to zero") is False):
        yield (
            "right to sigma_min, wrong to 0: log(cur / nxt) is infinite in the last step, which is "
            "one evaluation, x <- d"
        )
    if only_zero or not failed:
        return
    if {entry["dtype"] for entry in failed} == {"float32"}:
        yield (
            "right in float64, wrong in float32: a tensor is made without the dtype of the state, or "
            "a number leaves the range of float32"
        )
    elif max(entry["steps"] for entry in failed) < 3:
        yield (
            "wrong only on the shortest grids: a step reads the one before it, which the first does "
            "not have"
        )


def _explain_row_sums(found: Findings) -> Iterator[str]:
    """Yield a cause if only rows with history entries, or only steps to 0, fail to sum to 1."""
    wrong = found.faults("algebra")
    if not wrong:
        return
    if all(entry["entries"] > 0 for entry in wrong):
        yield (
            "rows without entries of earlier steps sum to 1 and those with them do not: the weights of "
            "differences between entries must cancel"
        )
    elif all(entry["last"] and entry["to_zero"] for entry in wrong):
        yield "only the step to 0 has weights that do not sum to 1; there it is a = 0 and b = (1,)"


def _explain_moments(found: Findings) -> Iterator[str]:
    if found.passed("moments") is not False or not found.checks["moments"].data:
        return
    entries = found.checks["moments"].data.values()
    ratios = np.array([entry["variance"] for entry in entries])
    if max(entry["mean_error"][-1] for entry in entries) > 0.05:
        yield "the mean is wrong: the part of the step without noise is, whatever the noise"
    elif ratios.max() < 1 or ratios.min() > 1:
        share = ratios.mean()
        amount = "little" if share < 1 else "much"
        yield (
            f"the mean is right and the samples have {share:.2f} of the variance that they should: "
            f"too {amount} noise is added for what a step takes away (c, or s_noise)"
        )


def _explain_undeclared_noise(found: Findings) -> Iterator[str]:
    """Yield a cause if a sampler draws noise and declares itself not stochastic."""
    runs = found.checks.get("runs")
    if runs and "stochastic = False asked for noise" in runs.detail:
        yield "it draws noise: declare stochastic = True"


PATTERNS: tuple[Callable[[Findings], Iterator[str]], ...] = (
    _explain_undeclared_noise,
    _explain_step_ratio,
    _explain_nonlinearity,
    _explain_wrong_order,
    _explain_start,
    _explain_part_of_runs,
    _explain_row_sums,
    _explain_moments,
)
