"""A first step without an evaluation of its own, done again with the first evaluation that there is.

Far above the data the denoised image hardly depends on level or state: it is close to the mean of the data, whatever that is. So the
first evaluation is made at the second level s1, at a state that an analytic first step provides, and its d serves the first step too,

    x1 = (s1 / s0) x0 + (1 - s1 / s0) d,

and stands for the denoised image at s0 in the memo of that step. What the analytic step supposes of the data, a mean of zero and a variance
of one, is then only where one evaluation is made, and no longer in the solution.

Everything here is linear in the two memos that the plan already keeps, so the correction is one of coefficients: with m0 = P x0 the memo
of the analytic step, x1' = A x0 the state that it provides and m1 = p x1' + q d the memo of the evaluation,

    x0 = m0 / P,    d = (m1 - p A m0 / P) / q.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .base import LinearRow


class Mix(NamedTuple):
    """u m1 + v m0, a combination of the first two memos."""

    u: float
    v: float

    def __rmul__(self, factor: float) -> Mix:  # type: ignore[override]
        """Both weights times ``factor``."""
        return Mix(factor * self.u, factor * self.v)

    def __add__(self, other: Mix) -> Mix:  # type: ignore[override]
        """The sum of two combinations."""
        return Mix(self.u + other.u, self.v + other.v)


def deferred(rows: Sequence[LinearRow]) -> list[LinearRow]:
    """The plan with a corrected first step.

    Args:
        rows: of a linear multistep method, the first with a ``gain``, the second without. Rows up to one further than the method's own
            history read the first memo.
    """
    if len(rows) < 2:
        return list(rows)
    first, second = rows[:2]
    assert first.gain is not None
    memo = first.p + first.q * first.gain
    x0, provided = Mix(0.0, 1 / memo), Mix(0.0, (first.a + first.b[0] * memo) / memo)
    d = (1 / second.q) * (Mix(1.0, 0.0) + (-second.p) * provided)
    ratio = second.sigma / first.sigma
    x1 = ratio * x0 + (1 - ratio) * d
    m0, m1 = first.p * x0 + first.q * d, second.p * x1 + second.q * d
    shift = x1 + (-1.0) * provided
    return [first, *(_corrected(row, i, m1, m0, row.a * shift if i == 1 else Mix(0.0, 0.0)) for i, row in enumerate(rows[1:], 1))]


def _corrected(row: LinearRow, i: int, m1: Mix, m0: Mix, shift: Mix) -> LinearRow:
    """Row ``i``, whose memos ``i - 1`` and ``i`` back stand for ``m1`` and ``m0``, and whose state is off by ``shift``."""
    if len(row.b) < i:
        return row
    b1, b0 = row.b[i - 1], row.b[i] if len(row.b) > i else 0.0
    change = b1 * m1 + b0 * m0 + shift
    return row._replace(b=(*row.b[: i - 1], change.u, change.v))
