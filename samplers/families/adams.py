"""Adams-Bashforth methods after a change of variables.

Split dx/dsigma = (x - d) / sigma, with d the denoised image, into a linear part, which is solved
exactly, and a slowly varying rest m. Its values at evaluations are kept as memos for later steps.
With u a function of the level,

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
    """Change of variables of the probability-flow ODE; define :meth:`variable` and :meth:`moments`.

    A memo is the tensor that an evaluation leaves for later steps: the denoised image d, or scale
    (x - c d). c and scale are functions of the level. By default the memo is eps = (x - d) / sigma,
    which is dx/dsigma.
    """

    def memo_coefficients(self, sigma: float) -> tuple[float, float] | None:
        """Return (c, scale) at ``sigma``, where the memo is scale (x - c d); None if it is d."""
        return 1.0, 1 / sigma

    def decay(self, cur: float, nxt: float) -> float:  # noqa: ARG002
        """Return the weight of the state in a step, from the exact solution of the linear part."""
        return 1.0

    @abstractmethod
    def variable(self, sigma: float) -> float:
        """Return u at ``sigma``: the variable in which the memo is taken as a polynomial."""

    @abstractmethod
    def moments(self, cur: float, nxt: float, count: int) -> list[float]:
        """Return the integrals of kernel (u - u(cur))^k / k! over the step, k = 0 … ``count`` - 1.

        The kernel is the weight of the memo in the exact solution x(nxt).
        """


def adams_row(form: Form, levels: Sequence[float], nxt: float) -> LinearRow:
    """Return the coefficients of a step to ``nxt`` from memos at ``levels``, newest first.

    The row keeps x - c d, or d, as its memo: the weights include the scale (:class:`Form`).
    """
    cur = levels[0]
    weights = memo_weights(form, levels, cur, form.moments(cur, nxt, len(levels)))
    memos = [form.memo_coefficients(level) for level in levels]
    if memos[0] is None:
        return LinearRow(cur, form.decay(cur, nxt), tuple(weights))
    scaled = tuple(w * memo[1] for w, memo in zip(weights, memos, strict=True) if memo)
    return LinearRow(cur, form.decay(cur, nxt), scaled, p=1.0, q=-memos[0][0])


def memo_weights(
    form: Form, levels: Sequence[float], cur: float, moments: Sequence[float]
) -> list[float]:
    """Return weights w_j with sum_j w_j m_j = L[p], with m_j the memo at ``levels[j]``.

    p is the polynomial through the memos, in u = ``form.variable``. L is a linear functional, such
    as an integral over the step. ``moments[k]`` is its value L[(u - u(cur))^k / k!].
    """
    origin = form.variable(cur)
    return monomial_weights([form.variable(level) - origin for level in levels], moments)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforth(Multistep, Form):
    """Base class of Adams-Bashforth samplers; define :meth:`variable` and :meth:`moments`."""

    startup: Startup = "ramp"

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """Return the coefficients of a step to ``nxt`` from memos at ``levels``, newest first."""
        return adams_row(self, levels, nxt)


@dataclass(frozen=True, kw_only=True)
class AdamsBashforthToZero(AdamsBashforth):
    """Base class of Adams-Bashforth samplers with ``through_zero``: a step to 0 by formula."""

    through_zero: bool = False
