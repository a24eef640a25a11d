"""Boards of a frozen suite: submissions, their scores and ranks, and the site."""

from __future__ import annotations

from .scoring import Problem, Score, evaluations_to_targets, score, virtual_best
from .submission import Curve, Submission, read_submission

__all__ = [
    "Curve",
    "Problem",
    "Score",
    "Submission",
    "evaluations_to_targets",
    "read_submission",
    "score",
    "virtual_best",
]
