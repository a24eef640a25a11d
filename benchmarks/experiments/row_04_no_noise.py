"""Row 4: does the reverse process need noise beyond the first draw, and does the trade-off remain without it?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch

from ...models.exact.base import ExactModel
from ..batch import latents
from ..metrics.endpoint import endpoint_error
from ..metrics.frechet import FrechetEstimate, paired_difference
from .base import Answer, Effort, Verdict
from .generating import Yardstick, exact_model, generate, unlabelled
from .intervals import Interval
from .no_noise_figures import DETAILS, QUIET, draw
from .spread import total_variance

COUNTS, FAST = (1, 2, 5, 10, 20, 50, 100, 200), (1, 2, 5, 10, 20, 50)
FINE, FAST_FINE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), (1, 2, 5, 10, 20, 50, 100, 200)
SAMPLERS = ("euler", "dpmpp_2m", "ddpm", "er_sde_2")
"""Two without noise and two with, of orders one and two each."""
SLIGHT = 0.05
"""A difference in distance below this share of the variance of the data's features is none."""


@dataclass(frozen=True)
class NoNoise:
    """The row."""

    number: int = 4
    question: str = "Does sampling need noise beyond the first draw?"
    claim: str = "The reverse process can be followed without adding noise after the first draw, and big steps cost quality all the same."

    def __call__(self, effort: Effort) -> Answer:
        """Quality with and without noise at equal evaluations, and distances to the exact end of each path without."""
        counts, fine = (FAST, FAST_FINE) if effort.fast else (COUNTS, FINE)
        images, points = effort.model("fashion-mppca"), exact_model(effort, "gmm-64d")
        n, measure = effort.samples(576, 192), Yardstick(images)
        labels = unlabelled(images, n)
        quality = {name: [measure(generate(images, name, steps, n, labels=labels)) for steps in counts] for name in SAMPLERS}
        errors = {name: ends(points, name, fine, effort.samples(384, 96)) for name in QUIET}
        trade = Interval.normal(*paired_difference(quality["euler"][0], quality["euler"][-1]))
        noise = [gap(quality, place) for place in range(len(counts))]
        table = pd.DataFrame(
            {
                "evaluations": counts,
                **{f"distance to data, {name}{measure.mark}": [written(one) for one in line] for name, line in quality.items()},
                "euler less ddpm": [f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]" for one in noise],
            }
        )
        curves = {name: [Interval.normal(one.value, one.se) for one in line] for name, line in quality.items()}
        verdict = judge(dict(zip(counts, noise, strict=True)), trade, measure.variance)
        return Answer(draw(counts, curves, fine, errors), table, verdict, DETAILS + measure.note)


def judge(noise: Mapping[int, Interval], trade: Interval, scale: float) -> Verdict:
    """What becomes of the claim.

    Args:
        noise: by number of steps, the distance to the data without noise less that with it, at equal evaluations.
        trade: distance after one step less that after the most, without noise.
        scale: total variance of the data's features.
    """
    most, slight = max(noise), SLIGHT * scale
    last = noise[most]
    helps = [steps for steps, one in noise.items() if one.high < 0]
    hurts = [steps for steps, one in noise.items() if one.low > 0]
    numbers = (
        f"At {most} steps leaving out the noise changes the distance to the data by {last}; one step is farther than {most} by {trade}."
    )
    numbers += f" Euler’s method without noise is surely nearer at {_list(helps)} steps and surely farther at {_list(hurts)}."
    if last.low > slight:
        return Verdict("refutes", f"Noise is needed here. {numbers}")
    if last.high > slight:
        return Verdict("inconclusive", f"These samples do not tell. {numbers}")
    if trade.low <= slight:
        return Verdict("refines", f"No noise is needed, but there is no trade-off either. {numbers}")
    return Verdict("supports", f"No noise is needed, and the trade-off remains. {numbers}")


def gap(quality: Mapping[str, list[FrechetEstimate]], place: int) -> Interval:
    """How much farther from the data Euler's method without noise is than with it, paired by latents."""
    return Interval.normal(*paired_difference(quality["euler"][place], quality["ddpm"][place]))


def ends(model: ExactModel, name: str, counts: tuple[int, ...], n: int) -> list[float]:
    """Median distance to the exact end of each path, in standard deviations of the data."""
    with torch.no_grad():
        truth = model.endpoint(latents(model, torch.arange(n), 0, model.dtype)[0]).numpy()
    spread = (total_variance(model) / model.dim) ** 0.5
    return [endpoint_error(generate(model, name, steps, n).numpy(), truth).rmse_median / spread for steps in counts]


def written(one: FrechetEstimate) -> str:
    """A distance with its interval."""
    return f"{one.value:.3g} ± {1.96 * one.se:.2g}"


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps)) or "no number"


ROW = NoNoise()
