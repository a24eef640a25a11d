"""A deferred first step: taken without an evaluation, and corrected when the first evaluation is
there.

Far above the data the denoised image hardly depends on level or state: it is close to the mean of
the data. So the first evaluation is made at the second level s1, at a state that an analytic first
step provides, and its d serves the first step too,

    x1 = (s1 / s0) x0 + (1 - s1 / s0) d,

and stands for the denoised image at s0 in the memo of that step. The analytic step supposes data of
mean zero and variance one. That then decides where one evaluation is made, and is no longer in the
solution.

Everything here is linear in the two memos that the plan already keeps, so the correction is one of
coefficients: with m0 = P x0 the memo of the analytic step, x1' = A x0 the state that it provides
and m1 = p x1' + q d the memo of the evaluation,

    x0 = m0 / P,    d = (m1 - p A m0 / P) / q.

A combination u m1 + v m0 is written as the complex number u + v i, whose sums and real multiples
are what is needed of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from .linear import LinearRow

M1, M0 = 1 + 0j, 1j
"""The two memos, as combinations of themselves."""


def deferred(rows: Sequence[LinearRow]) -> list[LinearRow]:
    """The plan with a corrected first step.

    Args:
        rows: of a linear multistep method, the first with a ``gain``, the second without. Rows up
            to one further than the method's own history read the first memo.

    Raises:
        ValueError: the first row has no gain.
    """
    if len(rows) < 2:
        return list(rows)
    first, second = rows[:2]
    if first.gain is None:
        raise ValueError("only an analytic first step can be deferred: plan with analytic_first")
    memo = first.p + first.q * first.gain
    x0, provided = M0 / memo, (first.a + first.b[0] * memo) * M0 / memo
    d = (M1 - second.p * provided) / second.q
    ratio = second.sigma / first.sigma
    x1 = ratio * x0 + (1 - ratio) * d
    m0, m1 = first.p * x0 + first.q * d, second.p * x1 + second.q * d
    shifts = [x1 - provided, *[0j] * len(rows)]  # only the second row starts at the provided state
    return [
        first,
        *(
            _corrected(row, i, m1, m0, row.a * shift)
            for i, (row, shift) in enumerate(zip(rows[1:], shifts, strict=False), 1)
        ),
    ]


def _corrected(row: LinearRow, i: int, m1: complex, m0: complex, shift: complex) -> LinearRow:
    """Row ``i``, whose memos ``i - 1`` and ``i`` back stand for ``m1`` and ``m0``, and whose
    state is off by ``shift``.
    """
    if len(row.b) < i:
        return row
    b1, b0 = row.b[i - 1], row.b[i] if len(row.b) > i else 0.0
    change = b1 * m1 + b0 * m0 + shift
    return row._replace(b=(*row.b[: i - 1], change.real, change.imag))
