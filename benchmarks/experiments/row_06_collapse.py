"""Row 6: do big steps make a few outputs from any input? Variance loss, mode loss and memorisation, told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..metrics.memorisation import CONFIDENCE, LEVEL, binomial_interval, distance_ratio, duplicate_share
from ..metrics.moments import FloatArray, as_rows
from ..training import training_set
from .base import Answer, Effort, Verdict
from .collapse_figures import DETAILS, draw
from .generating import generate, unlabelled
from .intervals import Interval
from .spread import modes_kept, total_variance, variance_kept

COUNTS = (1, 2, 4, 8, 16, 32)
BIG = 4
"""Up to so many steps of a whole run count as big ones."""
KEPT = 0.9
"""A share of the variance or of the modes counts as lost below this."""


@dataclass(frozen=True)
class Collapse:
    """The row."""

    number: int = 6
    question: str = "Do big steps make a few outputs from any input?"
    claim: str = (
        "With big steps the model collapses: it makes a few outputs, whatever it starts from, and these are memorised training images."
    )

    def __call__(self, effort: Effort) -> Answer:
        """Sample four models with ever more steps."""
        samples = {"gmm-2d": 2048, "digits-cloud": 2048, "digits": 2048, "fashion": 512}
        variance, modes, copies, repeats = {}, {}, {}, {}
        for name, full in samples.items():
            model, n = effort.model(name), effort.samples(full, 96)
            runs = [generate(model, "euler", steps, n, labels=unlabelled(model, n)) for steps in COUNTS]
            rows = [as_rows(x.double().numpy()) for x in runs]
            variance[name] = [variance_kept(x, total_variance(model)) for x in rows]
            repeats[name] = [1 - duplicate_share(np.round(x, 6)) for x in rows]
            visited = [model.mode_of(x) for x in runs]
            if name in ("gmm-2d", "fashion") and visited[0] is not None:
                modes[name] = [modes_kept(mode.numpy(), model) for mode in visited if mode is not None]
            if known := training_set(model):
                copies[name] = [copied(x, known.examples, known.threshold) for x in rows]
        table = pd.DataFrame(
            {
                "steps": COUNTS,
                **{f"variance kept, {name}": shares(line) for name, line in variance.items()},
                **{f"modes kept, {name}": shares(line) for name, line in modes.items()},
                **{f"copies, {name}": shares(line) for name, line in copies.items()},
                "distinct outputs, digits-cloud": [f"{share:.1%}" for share in repeats["digits-cloud"]],
            }
        )
        few = [line.value for steps, line in zip(COUNTS, copies["digits"], strict=True) if steps <= BIG]
        most = largest(few, effort.samples(samples["digits"], 96))
        verdict = judge(variance["gmm-2d"][0], modes.get("gmm-2d", [Interval(1, 1, 1)])[0], most, LEVEL)
        return Answer(draw(COUNTS, variance, modes, copies), table, verdict, DETAILS)


def judge(variance: Interval, modes: Interval, copies: Interval, fresh: float) -> Verdict:
    """What becomes of the claim.

    Args:
        variance: share of the data's variance that one step keeps.
        modes: share of the data's effective number of modes that it keeps.
        copies: largest share of near-copies of training examples among the outputs of few steps, from :func:`largest`.
        fresh: that share of data that nobody has seen.
    """
    lost, merged, copied = variance.high < KEPT, modes.high < KEPT, copies.low > fresh
    numbers = (
        f"One step keeps {percent(variance)} of the variance and {percent(modes)} of the modes; of the outputs of at most {BIG} steps "
        f"{percent(copies)} are near-copies of training images, where unseen data have {fresh:.0%}. "
        "The last is the largest share of those numbers of steps, and its interval holds for all of them at once."
    )
    if (lost or merged) and copied:
        return Verdict("supports", f"Collapse and memorisation go together here. {numbers}")
    if lost or merged:
        return Verdict("refines", f"Big steps collapse but do not memorise: the few outputs are averages, not training images. {numbers}")
    if copied:
        return Verdict("refines", f"The model memorises, but big steps lose nothing. {numbers}")
    return Verdict("refutes", f"Nothing collapses, and nothing is memorised. {numbers}")


def copied(x: FloatArray, examples: FloatArray, threshold: float) -> Interval:
    """Share of samples whose two nearest training examples are as unequally far as unseen data's are once in a hundred."""
    hits = int((distance_ratio(x, examples) < threshold).sum())
    return Interval(hits / len(x), *binomial_interval(hits, len(x)))


def largest(shares: Sequence[float], n: int) -> Interval:
    """The largest of several shares of ``n`` samples, with an interval that holds although it was picked.

    Each has an interval of level 1 - 0.05 / K for K shares (Bonferroni), so all of them hold together with probability 0.95; at 0.95 each,
    the best of three would pass its test by chance nearly three times as often as it says.
    """
    hits = round(max(shares) * n)
    return Interval(hits / n, *binomial_interval(hits, n, 1 - (1 - CONFIDENCE) / len(shares)))


def percent(one: Interval) -> str:
    """An interval of a share in words."""
    return f"{one.value:.1%} (95 % interval {one.low:.1%} to {one.high:.1%})"


def shares(line: list[Interval]) -> list[str]:
    """Shares with half their intervals."""
    return [f"{one.value:.1%} ± {(one.high - one.low) / 2:.1%}" for one in line]


ROW = Collapse()
