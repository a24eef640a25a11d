"""Choice of predictors on CIFAR-10, by a rule that was fixed before.

1. Methods, sets, plainly bad methods, columns and models were fixed before any measurement
   (:mod:`.methods`, :mod:`.sets`, :data:`.measuring.COLUMNS`, :data:`.predicting.MODELS`).
2. On CIFAR-10 alone every predictor is ranked by :attr:`TriedPredictor.score`, for both questions.
3. The first predictor for each question is recorded in :data:`CHOICES`.
4. These two predict the other sets, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .correlation import mean_over_budgets
from .measuring import Depth, Measured
from .predicting import Predictor, Question, all_predictors
from .sets import CHOOSING

COVERS = 0.9
"""Share of a question's points for which a predictor must have a value."""


@dataclass(frozen=True)
class TriedPredictor:
    """Predictor with its correlations on CIFAR-10.

    Attributes:
        predictor: the predictor.
        question: question, which selects the methods.
        points: number of points for which the predictor has a value.
        spearman: rank correlation within budgets, over all methods.
        without: rank correlation without plainly bad methods.
    """

    predictor: Predictor
    question: Question
    points: int
    spearman: float
    without: float

    @property
    def score(self) -> float:
        """Mean of the two correlations, by which predictors are ranked."""
        return float(np.mean([self.spearman, self.without]))


def tried_predictors(measured: Mapping[str, Measured], question: Question) -> list[TriedPredictor]:
    """Return all predictors with enough values, sorted from the best on CIFAR-10."""
    found = []
    for predictor in all_predictors(list(measured)):
        pairs = predictor.pairs(measured, CHOOSING, question)
        without = predictor.pairs(measured, CHOOSING, question, bad=False)
        found.append(
            TriedPredictor(
                predictor,
                question,
                len(pairs),
                mean_over_budgets(pairs),
                mean_over_budgets(without),
            )
        )
    most = max((one.points for one in found), default=0)
    enough = [one for one in found if one.points >= COVERS * most and np.isfinite(one.score)]
    return sorted(enough, key=lambda one: -one.score)


@dataclass(frozen=True)
class Choice:
    """Predictor chosen for the other sets, with the sampling depth of its models.

    Attributes:
        predictor: models and column.
        depth: numbers of samples drawn from each model.
    """

    predictor: Predictor
    depth: Depth


CHOICES: Mapping[Question, Choice] = {
    "deterministic": Choice(
        Predictor(("emoji",), "swd"), Depth(samples=128, latents=64, converged=128)
    ),
    "all": Choice(Predictor(("digits",), "swd"), Depth(samples=512, latents=256, converged=1000)),
}
"""Choices by question, made on CIFAR-10 before any other set was predicted."""
