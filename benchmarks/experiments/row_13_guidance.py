"""Row 13: what does guidance do? When the class is decided, and what it costs in diversity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from .base import Answer, Effort, Verdict
from .generating import BATCH, exact_model
from .guidance_figures import DETAILS, SCALES, Run, draw
from .guiding import ahead, convinced, decision, diversity, fidelity, follow, middle, undecided
from .intervals import Interval

STEPS = {"fashion-mppca": 32, "fashion": 12}
SAMPLES = {"fashion-mppca": 480, "fashion": 240}


@dataclass(frozen=True)
class Guidance:
    """The row."""

    number: int = 13
    question: str = "What does guidance by a text or a class do?"
    claim: str = "Text is a twist: it tilts the probabilities, so that the network is convinced early that there is a dog."

    def __call__(self, effort: Effort) -> Answer:
        """An exact model and a network at three guidance scales, from the same latents."""
        exact = exact_model(effort, "fashion-mppca")
        found: dict[str, dict[float, Run]] = {}
        for name in STEPS:
            model = effort.model(name)
            found[name] = {scale: follow(model, scale, effort.samples(SAMPLES[name], BATCH), STEPS[name]) for scale in SCALES}
        known = {scale: convinced(exact, run) for scale, run in found["fashion-mppca"].items()}
        decided = {scale: decision(probability, found["fashion-mppca"][scale]) for scale, (probability, _) in known.items()}
        table = pd.DataFrame(
            [
                {
                    "model": name, "guidance": f"{scale:g}", "in its class": f"{fidelity(run).value:.1%}",
                    "variance inside classes, of guidance 1": f"{diversity(run, runs[SCALES[0]]).value:.0%}",
                    "class decided at σ": written(middle(decided[scale])) if name == "fashion-mppca" else "",
                }
                for name, runs in found.items() for scale, run in runs.items()
            ]
        )  # fmt: skip
        runs = found["fashion-mppca"]
        earlier = ahead(decided[SCALES[0]], decided[SCALES[-1]])
        dropped = undecided(decided[SCALES[0]], decided[SCALES[-1]])
        verdict = judge(earlier, dropped, {s: middle(d) for s, d in decided.items()}, diversity(runs[SCALES[-1]], runs[SCALES[0]]))
        points = {name: {s: (fidelity(run), diversity(run, runs[SCALES[0]])) for s, run in runs.items()} for name, runs in found.items()}
        return Answer(draw(runs[SCALES[0]].levels, known, points), table, verdict, DETAILS)


def judge(earlier: Interval, dropped: float, decided: Mapping[float, Interval], variance: Interval) -> Verdict:
    """What becomes of the claim.

    Args:
        earlier: factor by which the strongest guidance raises the noise level at which the class is decided; NaN if it never is.
        dropped: share of the latents that say nothing about this factor, being undecided with or without guidance.
        decided: that level, by guidance scale.
        variance: inside classes under the strongest guidance, as a share of that under none.
    """
    if not math.isfinite(earlier.value):
        return Verdict("refutes", "The state never tells the class, with guidance or without: there is nothing to be convinced of.")
    levels = ", ".join(f"σ = {one.value:.2g} [{one.low:.2g}, {one.high:.2g}] at guidance {scale:g}" for scale, one in decided.items())
    numbers = (
        f"The class is decided at {levels}. From the same latents it is a factor of {earlier.value:.2f} [{earlier.low:.2f}, "
        f"{earlier.high:.2f}], without the {dropped:.1%} that stay undecided in either run. Inside a class, {variance.value:.0%} "
        f"[{variance.low:.0%}, {variance.high:.0%}] of the variance is left at the strongest."
    )
    if earlier.low > 1 and variance.high < 1:
        return Verdict("supports", f"Guidance decides earlier, and pays with diversity. {numbers}")
    if earlier.low > 1:
        return Verdict("refines", f"Guidance decides earlier, and loses no diversity here. {numbers}")
    if earlier.high < 1 + 1e-9:
        return Verdict("refutes", f"Guidance does not decide earlier. {numbers}")
    return Verdict("inconclusive", f"These samples do not tell. {numbers}")


def written(one: Interval) -> str:
    """A level with its interval."""
    return f"{one.value:.2g} [{one.low:.2g}, {one.high:.2g}]"


ROW = Guidance()
