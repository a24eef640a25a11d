"""Boards of a frozen suite: submissions, their scores and ranks, and the site."""

from __future__ import annotations

from .scoring import evaluations_to_targets, score
from .submission import Submission, read_submission

__all__ = ["Submission", "evaluations_to_targets", "read_submission", "score"]
