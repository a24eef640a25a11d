"""Row 16: how far around a pixel must the denoiser look? The effective receptive field against the noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...models import Denoiser
from ...models.exact.base import ExactModel
from ...models.locality import receptive_radius, sensitivity
from ...models.mmse import normal_like
from .base import Answer, Effort, Verdict
from .generating import generate, unlabelled
from .intervals import Interval, bootstrap
from .locality_figures import DETAILS, draw, maps

LEVELS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
LOW, HIGH = 0.2, 5.0
"""The levels between which the claim is judged."""
MODELS = {"fashion-mppca": "exact", "fashion": "network"}
WIDER = 1.25
"""A ratio of radii above this is growth."""


@dataclass(frozen=True)
class Locality:
    """The row."""

    number: int = 16
    question: str = "How far must the denoiser look?"
    claim: str = "At low signal the network must average over large areas, and later over small ones."

    def __call__(self, effort: Effort) -> Answer:
        """Sensitivity of the centre pixel at seven levels, of the exact denoiser and of the network."""
        n = effort.samples(64, 16)
        rows = {name: [pixel_rows(effort.model(name), sigma, n) for sigma in LEVELS] for name in MODELS}
        radii = {name: [radius(part) for part in parts] for name, parts in rows.items()}
        table = pd.DataFrame(
            {"σ": LEVELS, **{f"radius, {MODELS[name]} (pixels)": [f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in line]
                             for name, line in radii.items()}}
        )  # fmt: skip
        places = LEVELS.index(LOW), LEVELS.index(HIGH)
        growth = {MODELS[name]: ratio(parts[places[0]], parts[places[1]]) for name, parts in rows.items()}
        pictures = {MODELS[name]: [picture(part) for part in parts] for name, parts in rows.items()}
        named = {MODELS[name]: line for name, line in radii.items()}
        return Answer(draw(LEVELS, named), table, judge(growth, named), DETAILS, (maps(LEVELS, pictures),))


def judge(growth: dict[str, Interval], radii: dict[str, list[Interval]]) -> Verdict:
    """What becomes of the claim.

    Args:
        growth: by denoiser, its radius at the high level over that at the low one; NaN where it looks at the pixel alone.
        radii: by denoiser, at all levels; where several differ in their intervals the sentence says so.
    """
    numbers = "; ".join(
        f"{name}: from {radii[name][LEVELS.index(LOW)].value:.1f} pixels at σ = {LOW:g} to {radii[name][LEVELS.index(HIGH)].value:.1f} at "
        f"σ = {HIGH:g}, a factor of {one.value:.1f} [{one.low:.1f}, {one.high:.1f}]"
        for name, one in growth.items()
    )
    grow = [name for name, one in growth.items() if one.low > WIDER]
    flat = [name for name, one in growth.items() if not one.high > WIDER]
    if len(grow) == len(growth):
        return Verdict("supports", f"The field of the centre pixel grows with the noise. {numbers}.")
    if len(flat) == len(growth):
        return Verdict("refutes", f"The field of the centre pixel does not grow with the noise. {numbers}.")
    if grow:
        return Verdict("refines", f"The field grows with the noise for {' and '.join(grow)} only. {numbers}.")
    return Verdict("inconclusive", f"These samples do not tell. {numbers}.")


def pixel_rows(model: Denoiser, sigma: float, n: int) -> Tensor:
    """dd_i / dx for the centre pixel i at n noisy states, ``(n, C, H, W)``."""
    x0 = model.sample(n, 0) if isinstance(model, ExactModel) else generate(model, "dpmpp_2m", 16, n)
    labels = unlabelled(model, n)
    return torch.cat(
        [sensitivity(model, part, sigma, labels=None if labels is None else labels[: len(part)])
         for part in (x0 + sigma * normal_like(x0, 0)).split(32)]
    )  # fmt: skip


def radius(rows: Tensor) -> Interval:
    """Receptive radius with its interval over the states."""
    return bootstrap(lambda chosen: field(rows, chosen), len(rows), draws=200)


def ratio(low: Tensor, high: Tensor) -> Interval:
    """Radius at the high level over that at the low one, of the same states; NaN if the low one is 0."""
    return bootstrap(lambda chosen: divided(field(high, chosen), field(low, chosen)), len(low), draws=200)


def field(rows: Tensor, chosen: Sequence[int] | np.ndarray) -> float:
    """Receptive radius over the chosen states; below 1e-6 pixels it is 0, which rounding leaves of a denoiser that sees one pixel."""
    found = float(receptive_radius(rows[torch.as_tensor(chosen)]))
    return found if found > 1e-6 else 0.0


def divided(a: float, b: float) -> float:
    """The quotient; NaN if b is 0."""
    return a / b if b else float("nan")


def picture(rows: Tensor) -> np.ndarray:
    """Mean sensitivity over states and channels, ``(H, W)``, its largest size being 1."""
    mean = rows.double().mean((0, 1)).numpy()
    return mean / np.abs(mean).max()


ROW = Locality()
