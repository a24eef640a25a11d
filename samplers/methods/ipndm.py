"""iPNDM: Adams-Bashforth in sigma with the coefficients of equal steps, on steps of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..families.linear import LinearRow
from ..families.multistep import Multistep
from ..registry import register_family
from ..types import Source

EQUAL_STEPS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


@dataclass(frozen=True, kw_only=True)
class IPNDM(Multistep):
    """x <- x + (nxt - cur) sum_j w_j eps_{i-j}, eps = (x - d) / sigma, w the classical
    Adams-Bashforth weights.

    On levels that are uniform in sigma its order is the number of points. On other levels the
    weights miss the first moment of the history by a term proportional to the difference of
    neighbouring steps. On a smooth schedule, whose steps become equal as it is refined, that leaves
    second order, and the method is yet among the best below 15 evaluations. Where they do not, as
    with steps that alternate in length or are random, it is of first order.
    """

    source: ClassVar[Source] = Source(
        "zhang2023deis", "iPNDM; authors' code, method ipndm", "https://arxiv.org/abs/2204.13902v4",
        deviations=("declared at its order on smooth schedules, 2; it is 1 where steps stay unequal",),
    )  # fmt: skip
    through_zero: bool = False

    def row(self, levels: Sequence[float], nxt: float) -> LinearRow:
        """eps_j = memo_j / sigma_j."""
        cur = levels[0]
        b = tuple(
            (nxt - cur) * w / level
            for w, level in zip(EQUAL_STEPS[len(levels) - 1], levels, strict=True)
        )
        return LinearRow(cur, a=1.0, b=b, p=1.0, q=-1.0)


register_family(IPNDM, "ipndm_1", points=1, order=1, same_as="euler")
register_family(IPNDM, "ipndm_2", points=2, order=2)
register_family(IPNDM, "ipndm_3", points=3, order=2)
register_family(IPNDM, "ipndm", points=4, order=2)
