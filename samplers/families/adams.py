"""Adams-Bashforth methods after a change of variables.

Write dx/dsigma = (x - d) / sigma as a linear part, which is solved exactly, and a rest, the memo m,
that should vary little. Then

    x(nxt) = decay x(cur) + integral over the step of kernel m du,

and the polynomial in u through the last k values of m gives a method of order k on any grid. The
choice of m, u and the linear part makes the family (:class:`Form`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..numerics import monomial_weights
from .linear import LinearRow
from .multistep import Multistep, Startup


class Form(Protocol):
    """The probability-flow ODE in one family's variables: write :meth:`variable` and :meth:`moments`.

    The memo is the denoised image d, or scale (x - c d) with c and scale functions of the level.
    Unless the other two are overridden, it is eps and nothing is solved exactly: dx/dsigma = eps.
    """

    def remembered(self, sigma: float) -> tuple[float, float] | None:
        """Return (c, scale) of the memo scale (x - c d) at ``sigma``; None for the memo d."""
        return 1.0, 1 / sigma

    def decay(self, cur: float, nxt: float) -> float:  # noqa: ARG002
        """Return the factor of the state over the step in the exact solution of the linear part."""
        return 1.0

    @abstractmethod
    def variable(self, sigma: float) -> float:
        """Return the u in which the memo is a polynomial."""

    @abstractmethod
    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return integrals over the step of kernel (u - u(cur))^k / k!, k = 0 … count - 1."""


def adams_row(form: Form, levels: Sequence[float], nxt: float) -> LinearRow:
    """Return the step to ``nxt`` from memos at ``levels``, newest first.

    The scale of a memo moves into its weight, so that the memo is x - c d or d.
    """
    cur = levels[0]
    weights = memo_weights(form, levels, cur, form.moments(cur, nxt, len(levels)))
    memos = [form.remembered(level) for level in levels]
    if memos[0] is None:
        return LinearRow(cur, form.decay(cur, nxt), tuple(weights))
    scaled = tuple(w * memo[1] for w, memo in zip(weights, memos, strict=True) if memo)
    return LinearRow(cur, form.decay(cur, nxt), scaled, p=1.0, q=-memos[0][0])


def memo_weights(
    form: Form, levels: Sequence[float], cur: float, moments: Sequence[float]
) -> list[float]:
    """Return weights of memos at ``levels`` for a functional with these moments about u(cur)."""
    origin = form.variable(cur)
    return monomial_weights([form.variable(level) - origin for level in levels], moments)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforth(Multistep, Form):
    """Base class of Adams-Bashforth samplers: write :meth:`variable` and :meth:`moments`."""

    startup: Startup = "ramp"

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return the row that integrates the polynomial through the memos over the step."""
        return adams_row(self, levels, nxt)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforthToZero(AdamsBashforth):
    """An Adams-Bashforth method that is finite at sigma = 0: it has the option ``through_zero``."""

    through_zero: bool = False
