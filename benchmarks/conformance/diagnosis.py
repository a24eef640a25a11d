"""Likely causes of failed checks, as sentences: one for each known pattern of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import mean
from typing import Any

from ...samplers import GridSampler, Sampler
from .check import Check
from .order import MARGIN, UNEVEN
from .problems import GRIDS, AnisotropicGaussian, ThreeModes

ChecksByName = Mapping[str, Check]
AGREE = 0.35
"""Largest difference between measured orders that count as the same order."""


def diagnose(sampler: Sampler, checks: Iterable[Check]) -> list[str]:
    """Return likely causes of failures or slow convergence, one sentence per matching pattern."""
    by_name = {check.name: check for check in checks}
    return [sentence for rule in RULES if (sentence := rule(sampler, by_name))]


def _diagnose_step_ratio(sampler: Sampler, checks: ChecksByName) -> str:
    """Return the likely cause if orders are right on equal steps and wrong on unequal steps, else ""."""
    slopes, low = _slopes_by_pair(checks), _pairs_below_order(sampler, checks)
    even, karras = ({key for key in slopes if key[1] == grid} for grid in GRIDS)
    wrong_on_karras = low and low <= karras and even and (ThreeModes.name, "karras") in low
    if wrong_on_karras and not low & even and len(slopes) > 2:
        right, wrong = (_range_in_words(slopes[key] for key in keys) for keys in (even, low))
        return (
            f"right on uniform_lambda (order {right}), wrong on karras ({wrong}): the weights ignore "
            "the ratio of neighbouring steps, or use it wrongly"
        )
    uneven, order = checks.get(UNEVEN), sampler.order
    if low or not uneven or not uneven.data or order is None:
        return ""
    slope = uneven.data["slope"]
    if not slope < order - 2 * MARGIN:
        return ""
    return (
        f"of order {_range_in_words(slopes.values())} on smooth schedules and of order {slope:.2f} where steps "
        "alternate in length: the weights ignore the ratio of neighbouring steps, which smooth "
        "schedules forgive"
    )


def _diagnose_nonlinearity(sampler: Sampler, checks: ChecksByName) -> str:
    """Return the likely cause if orders are right on the Gaussian and wrong on the mixture, else ""."""
    slopes, low = _slopes_by_pair(checks), _pairs_below_order(sampler, checks)
    linear, curved = (
        {key for key in slopes if key[0] == problem.name}
        for problem in (AnisotropicGaussian, ThreeModes)
    )
    if not (len(slopes) > 2 and low and low == curved):
        return ""
    right, wrong = (_range_in_words(slopes[key] for key in keys) for keys in (linear, low))
    return (
        f"right where the denoiser is linear in x (order {right}), wrong where it is not ({wrong}): "
        "errors cancel on a Gaussian, and the order that counts is the other one"
    )


def _diagnose_wrong_order(sampler: Sampler, checks: ChecksByName) -> str:
    """Return the likely cause if all measured orders agree on an order not declared, else ""."""
    slopes = _slopes_by_pair(checks)
    check = checks.get("order")
    if check is None or check.passed or not slopes or sampler.order is None:
        return ""
    values = list(slopes.values())
    least, most = min(values), max(values)
    if most < 0.5:
        return (
            "the error does not fall with the number of steps: not even to first order is a step one "
            "of dx/dlam = d - x"
        )
    if not most - least <= AGREE:  # also if a slope is NaN
        return ""
    whole = round(mean(values))
    if whole > sampler.order:
        return f"of order {whole} everywhere: declare order = {whole}"
    if whole < sampler.order:
        return (
            f"of order {whole} everywhere: a weight is wrong in the terms of order {whole + 1}, "
            f"or order = {whole} is the truth" + _diagnose_history(sampler, checks)
        )
    return ""


def _diagnose_history(sampler: Sampler, checks: ChecksByName) -> str:
    """Return a clause that blames the history entries if only single steps are right, else ""."""
    local = checks.get("local order")
    right_alone = local is not None and local.passed and local.asserted
    if not (right_alone and getattr(sampler, "history", 0)):
        return ""
    return (
        "; one step after exact states has the order that it should, so look at what is "
        "handed on: the memo, and how old memos are weighed"
    )


def _diagnose_start(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause if only runs with a sampler's own first steps are wrong, else ""."""
    order, shipped = checks.get("order"), checks.get("order as shipped")
    if order is None or shipped is None or not order.passed or shipped.passed:
        return ""
    return (
        "right from exact start values, wrong after its own start: the first steps, "
        "which have fewer memos, are wrong "
        "(a first step of Euler's method would leave order 2)"
    )


def _diagnose_end_at_zero(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause if only grids that end at 0 fail, else ""."""
    failed = _faults_of_check(checks, "finite")
    point, order = checks.get("to zero"), checks.get("order")
    only_zero = bool(failed) and all(entry["to_zero"] for entry in failed)
    no_datum = point is not None and not point.passed and order is not None and order.passed
    if only_zero or no_datum:
        return (
            "right to sigma_min, wrong to 0: log(cur / nxt) is infinite in the last "
            "step, which is one evaluation, x <- d"
        )
    return ""


def _diagnose_short_grids(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause if only float32 runs or grids of one or two steps fail, else ""."""
    failed = _faults_of_check(checks, "finite")
    if not failed or all(entry["to_zero"] for entry in failed):
        return ""
    if {entry["dtype"] for entry in failed} == {"float32"}:
        return (
            "right in float64, wrong in float32: a tensor is made without the dtype of "
            "the state, or a number leaves the range of float32"
        )
    if max(entry["steps"] for entry in failed) < 3:
        return (
            "wrong only on the shortest grids: a step reads the one before it, which "
            "the first does not have"
        )
    return ""


def _diagnose_row_sums(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause if the weights of some steps do not sum to 1, else "".

    A cause is known if all wrong steps read history entries, or if all are steps to 0.
    """
    wrong = _faults_of_check(checks, "algebra")
    if not wrong:
        return ""
    if all(entry["memos"] > 0 for entry in wrong):
        return (
            "rows without memos of earlier steps sum to 1 and those with them do not: "
            "the weights of differences between memos must cancel"
        )
    if all(entry["last"] and entry["to_zero"] for entry in wrong):
        return "only the step to 0 has weights that do not sum to 1; there it is a = 0 and b = (1,)"
    return ""


def _diagnose_moments(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause of a wrong mean, or of a wrong variance with a right mean, else ""."""
    moments = checks.get("moments")
    if moments is None or not moments.data or moments.passed:
        return ""
    ratios = [entry["variance"] for entry in moments.data.values()]
    off = max(entry["mean_error"][-1] for entry in moments.data.values())
    if off > 0.05:
        return "the mean is wrong: the part of the step without noise is, whatever the noise"
    if max(ratios) < 1 or min(ratios) > 1:
        share, amount = mean(ratios), "little" if mean(ratios) < 1 else "much"
        return (
            f"the mean is right and the samples have {share:.2f} of the variance that they should: "
            f"too {amount} noise is added for what a step takes away (c, or s_noise)"
        )
    return ""


def _diagnose_undeclared_noise(sampler: Sampler, checks: ChecksByName) -> str:  # noqa: ARG001
    """Return the likely cause if a sampler draws noise and declares itself not stochastic, else ""."""
    runs = checks.get("runs")
    if runs is not None and "stochastic = False asked for noise" in runs.detail:
        return "it draws noise: declare stochastic = True"
    return ""


RULES: tuple[Callable[[Any, ChecksByName], str], ...] = (
    _diagnose_undeclared_noise,
    _diagnose_step_ratio,
    _diagnose_nonlinearity,
    _diagnose_wrong_order,
    _diagnose_start,
    _diagnose_end_at_zero,
    _diagnose_short_grids,
    _diagnose_row_sums,
    _diagnose_moments,
)


def _faults_of_check(checks: ChecksByName, name: str) -> list[dict[str, Any]]:
    """Return the faults that a failed check recorded; an empty list if it passed or did not run."""
    check = checks.get(name)
    if check is None or check.passed:
        return []
    return check.data.get("wrong" if name == "algebra" else "failed", [])


def _slopes_by_pair(checks: ChecksByName) -> dict[tuple[str, str], float]:
    """Return the measured orders by (problem, grid); empty if none were measured."""
    table = checks["order"].data if "order" in checks else {}
    return {tuple(key.split("/")): entry["slope"] for key, entry in table.items()}  # type: ignore[misc]


def _pairs_below_order(sampler: Sampler, checks: ChecksByName) -> set[tuple[str, str]]:
    """Return the (problem, grid) pairs whose measured order is below the declared one.

    The set is empty without a declared order, and for samplers other than a ``GridSampler``.
    """
    if sampler.order is None or not isinstance(sampler, GridSampler):
        return set()
    return {
        key for key, slope in _slopes_by_pair(checks).items() if not slope > sampler.order - MARGIN
    }


def _range_in_words(slopes: Iterable[float]) -> str:
    values = [f"{slope:.1f}" for slope in sorted(slopes)]
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"
