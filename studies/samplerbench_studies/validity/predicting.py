"""Predictors of published rankings: a column of one model, or its mean ranks over several models.

There are two questions, "deterministic" and "all", since columns exist for different methods.
``rmse`` and ``rmse_median``, distances to the exact endpoint of the same latent, exist for
deterministic samplers only. Columns that compare distributions exist for all samplers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from samplerbench.samplers import make

from .correlation import Pair, ranks_in_unit_range
from .measuring import COLUMNS, Measured, Place
from .methods import Method
from .sets import CHOOSING, is_plainly_bad, points_by_budget, points_of_set

Question = Literal["deterministic", "all"]
QUESTIONS: tuple[Question, ...] = ("deterministic", "all")

MODELS = (
    "fashion",
    "emoji",
    "fashion-latent",
    "digits",
    "gmm-64d",
    "fashion-mppca",
    "wavelet",
    "gaussian",
)
"""Models that are tried: networks on images, latents and small images, and exact problems."""

TOGETHER = (("fashion", "emoji"), ("fashion", "emoji", "digits", "fashion-latent"))
"""Groups of models whose mean ranks are tried too: networks on images, and all networks."""


@dataclass(frozen=True)
class Predictor:
    """Predictor of how methods rank: a column of one model, or the mean of its ranks over several.

    Attributes:
        models: one model, or several whose ranks within a budget are averaged.
        column: column of their tables.
    """

    models: tuple[str, ...]
    column: str

    @property
    def name(self) -> str:
        """Names of models and column."""
        return f"{self.column} on {' and '.join(self.models)}"

    def pairs(
        self, measured: Mapping[str, Measured], name: str, question: Question, *, bad: bool = True
    ) -> list[Pair]:
        """Return the predicted values of a set's methods, paired with the published numbers.

        Args:
            measured: measured columns by model.
            name: name of the set.
            question: "deterministic" excludes samplers that draw noise, "all" includes them.
            bad: True to include plainly bad methods.
        """
        found = []
        for budget, here in points_by_budget(name).items():
            kept = [
                point
                for point in here
                if (bad or not is_plainly_bad(name, point))
                and not (question == "deterministic" and is_stochastic(point.method))
                and all(
                    self.column in columns_at_budget(measured[m], point.method, budget)
                    for m in self.models
                )
            ]
            values = [
                [measured[m][point.method, budget][self.column] for point in kept]
                for m in self.models
            ]
            ours: Sequence[float] = values[0]
            if len(values) > 1 and kept:
                ours = np.mean([ranks_in_unit_range(one) for one in values], axis=0).tolist()
            found += [
                Pair(point.method.name, budget, x, point.fid)
                for point, x in zip(kept, ours, strict=True)
            ]
        return found


def columns_at_budget(measured: Measured, method: Method, budget: int) -> Mapping[str, float]:
    """Return the columns of a method at a budget; empty if it was not measured."""
    return measured.get((method, budget), {})


def is_stochastic(method: Method) -> bool:
    """Return True if a method draws noise after the latent."""
    return make(method.sampler).stochastic


def all_predictors(models: Sequence[str]) -> list[Predictor]:
    """Return all predictors that can be made from some models."""
    groups = [(model,) for model in models]
    groups += [group for group in TOGETHER if set(group) <= set(models)]
    return [Predictor(group, column) for group in groups for column in COLUMNS]


def ceiling_pairs(name: str, question: Question, *, bad: bool = True) -> list[Pair]:
    """Return a set's FIDs paired with CIFAR-10's published FIDs, the ceiling for any predictor."""
    known: dict[Place, float] = {(p.method, p.budget): p.fid for p in points_of_set(CHOOSING)}
    return [
        Pair(p.method.name, budget, known[p.method, budget], p.fid)
        for budget, here in points_by_budget(name).items()
        for p in here
        if (p.method, budget) in known
        and (bad or not is_plainly_bad(name, p))
        and not (question == "deterministic" and is_stochastic(p.method))
    ]
