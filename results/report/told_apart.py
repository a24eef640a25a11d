"""Whether the report calls one row lower than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..bounds import bounds
from ..entries import entry_of
from ..estimates import QUANTITIES, difference
from ..pairing import Pair
from ..record import Record
from ..verdict import LEVEL, Evidence, holm
from .metrics import Measure


def told_apart(pairs: Sequence[tuple[Record, Record]], measure: Measure, homes: Mapping[str, Path]) -> list[bool]:
    """Whether the first row of each pair is really lower than the second.

    From shared latents by the paired difference, corrected over the pairs by Holm; where influence values are missing, by 95 % intervals
    that do not overlap, which errs on the side of caution.
    """
    entries = {id(row): entry_of(row, homes) for pair in pairs for row in pair}  # one each: a row may be in many pairs
    gaps = [_paired(Pair(entries[id(low)], entries[id(high)]), measure) for low, high in pairs]
    adjusted = iter(holm([gap.p_difference for gap in gaps if gap is not None]))
    return [_apart(*pair, measure) if gap is None else next(adjusted) <= LEVEL for pair, gap in zip(pairs, gaps, strict=True)]


def _paired(pair: Pair, measure: Measure) -> Evidence | None:
    """The paired difference of two rows; None if it is not known."""
    quantity = next((quantity for quantity in QUANTITIES if quantity.name == measure.name), None)
    if quantity is None or not pair.same_latents:
        return None
    first, second = (entry.estimate(quantity) for entry in pair)
    gap = difference(first, second, same_latents=True) if first and second else None
    return Evidence(gap.value, gap.se, 0.0) if gap and gap.paired and gap.se is not None else None


def _apart(low: Record, high: Record, measure: Measure) -> bool:
    """Whether two 95 % intervals do not overlap."""
    first, second = (bounds(row, measure.name) for row in (low, high))
    return first is not None and second is not None and first[1] < second[0]
