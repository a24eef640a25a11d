"""Row 8: is it like solving a differential equation numerically? Error against evaluations and
seconds, and measured orders.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..figures.solver import DETAILS, draw
from ..measuring.row import Answer, Row, Verdict
from ..measuring.solver import SolverCurve, measure
from ..statistics.intervals import Interval
from .wording import INTERVALS, between

WITHIN = 0.25
"""An order is confirmed within this."""


def answer(lines: list[SolverCurve]) -> Answer:
    """Errors against evaluations and seconds, with the orders that they show."""
    steps = lines[0].steps
    table = pd.DataFrame(
        {
            "method": [line.name for line in lines],
            "order": [line.order for line in lines],
            "measured order": [between(line.slope) for line in lines],
            **{
                f"error at {count} steps": [f"{line.errors[place]:.1e}" for line in lines]
                for place, count in enumerate(steps)
            },
            "evaluations for 10⁻³": [number(needed(line, 1e-3)) for line in lines],
        }
    )
    return Answer(
        draw(lines), table, judge([(line.name, line.order, line.slope) for line in lines]), DETAILS
    )


def judge(orders: Sequence[tuple[str, int, Interval]]) -> Verdict:
    """What becomes of the claim.

    Args:
        orders: of each method its name, its declared order, and the measured one.
    """
    off = {name: abs(slope.value - order) for name, order, slope in orders}
    right = [name for name, distance in off.items() if distance <= WITHIN]
    measured = ", ".join(
        f"<code>{name}</code> {between(slope)} of {order}" for name, order, slope in orders
    )
    numbers = (
        f"Measured orders: {measured}.",
        f"The worst is off by {max(off.values()):.2f}; up to {WITHIN} counts as right.",
        INTERVALS,
    )
    if len(right) == len(orders):
        return Verdict(
            "supports",
            "With more steps the error of every method shrinks as fast as the theory predicts.",
            numbers,
        )
    if not right:
        return Verdict(
            "refutes",
            "With more steps the error of no method shrinks as fast as the theory predicts.",
            numbers,
        )
    sentence = (
        f"With more steps the error of {len(right)} of {len(orders)} methods shrinks as fast as the "
        "theory predicts."
    )
    return Verdict("refines", sentence, numbers)


def needed(line: SolverCurve, error: float) -> float:
    """Evaluations at which the line crosses an error, between grids on a straight line of the
    logarithms; NaN if it does not.
    """
    falling = np.minimum.accumulate(line.errors)
    if not falling[-1] <= error <= falling[0]:
        return float("nan")
    return float(np.exp(np.interp(-np.log(error), -np.log(falling), np.log(line.evaluations))))


def number(evaluations: float) -> str:
    """A number of evaluations; a dash for NaN."""
    return "–" if math.isnan(evaluations) else f"{evaluations:.0f}"


ROW = Row(
    number=8,
    question="Is it like solving a differential equation?",
    claim="Sampling is the numerical solution of a differential equation: the error "
    "falls with the steps at the order of the method.",
    measure=measure,
    answer=answer,
)
