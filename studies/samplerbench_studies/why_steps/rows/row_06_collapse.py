"""Row 6: do big steps make a few outputs from any input? Loss of variance and of modes; and
memorisation, which is another matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from samplerbench.benchmarks.metrics import binomial_interval

from ..figures.collapse import DETAILS, draw
from ..measuring.collapse import UNSEEN, CollapseResult, measure
from ..measuring.row import Answer, Row, Verdict
from ..statistics.intervals import Interval
from .wording import INTERVALS, brackets, percent

CONFIDENCE = 0.95
"""Of the interval of a share."""
BIG = 4
"""Up to so many steps of a whole run count as big ones."""
KEPT = 0.9
"""A share of the variance or of the modes counts as lost below this."""


def answer(found: CollapseResult) -> Answer:
    """What is lost, what is missed and what is copied, against steps."""
    few = [
        line.value
        for steps, line in zip(found.counts, found.copies["digits"], strict=True)
        if steps <= BIG
    ]
    modes = found.modes.get("gmm-2d", [Interval(1, 1, 1)])
    verdict = judge(
        found.variance["gmm-2d"][0], modes[0], largest(few, found.samples["digits"]), UNSEEN
    )
    return Answer(
        draw(found.counts, found.variance, found.modes, found.copies),
        _table(found),
        verdict,
        DETAILS,
        keys=2,
    )


def _table(found: CollapseResult) -> pd.DataFrame:
    shares = {
        "variance kept, %": found.variance,
        "modes kept, %": found.modes,
        "near-copies, %": found.copies,
    }
    return pd.DataFrame(
        {
            "model": name,
            "steps": steps,
            **{
                what: brackets(lines[name][place] if name in lines else None, 100)
                for what, lines in shares.items()
            },
            "distinct outputs, %": f"{100 * found.distinct[name][place]:.1f}",
        }
        for name in found.samples
        for place, steps in enumerate(found.counts)
    )


def judge(variance: Interval, modes: Interval, copies: Interval, fresh: float) -> Verdict:
    """Judge the claim, which says nothing of copies: these say what the outputs are.

    Args:
        variance: share of the data's variance that one step keeps.
        modes: share of the data's effective number of modes that it keeps.
        copies: largest share of near-copies of training examples among the outputs of few steps,
            from :func:`largest`.
        fresh: that share of data that nobody has seen.
    """
    lost, merged, copied = variance.high < KEPT, modes.high < KEPT, copies.low > fresh
    numbers = (
        f"One step on <code>gmm-2d</code> keeps {percent(variance)} of the variance and "
        f"{percent(modes)} of the modes.",
        f"Of the outputs of the network <code>digits</code> after at most {BIG} steps "
        f"{percent(copies)} are near-copies of "
        "training images, "
        f"of unseen images {fresh:.0%}.",
        f"{INTERVALS} The last is of the largest share among those numbers of steps, and "
        "holds for all.",
    )
    if lost or merged:
        images = "copies of training images" if copied else "averages, not training images"
        return Verdict(
            "supports", f"With big steps the outputs become alike: they are {images}.", numbers
        )
    if min(variance.value, modes.value) < KEPT:
        return Verdict(
            "inconclusive",
            "These samples are too few to say whether big steps make fewer outputs.",
            numbers,
        )
    return Verdict("refutes", "Big steps make as many different outputs as there are.", numbers)


def largest(shares: Sequence[float], n: int) -> Interval:
    """The largest of several shares of ``n`` samples, with an interval that holds although it was
    picked.

    Each has an interval of level 1 - 0.05 / K for K shares (Bonferroni), so all of them hold
    together with probability 0.95; at 0.95 each, the best of three would pass its test by chance
    nearly three times as often as it says.
    """
    hits = round(max(shares) * n)
    return Interval(hits / n, *binomial_interval(hits, n, 1 - (1 - CONFIDENCE) / len(shares)))


ROW = Row(
    number=6,
    question="Do big steps make a few outputs from any input?",
    claim="With big steps the model collapses: it makes a few outputs, whatever it starts from.",
    measure=measure,
    answer=answer,
)
