"""Answers to what a checkpoint leaves open: which of them fits, and whether it is right."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .check import Check
from .judging import LARGE, Candidate, error_of, is_better, obeys


def cost_of(of: Candidate, *, own: bool) -> float:
    """Return what the best candidate has least of: the error on clean samples, or, on samples of each
    candidate's own, the largest defect.
    """
    if own:
        worst = float(abs(of.fit.defect).max())
        return worst if math.isfinite(worst) else math.inf
    return error_of(of.fit)


def check_answers(best: Candidate, others: Sequence[Candidate], *, own: bool) -> Check:
    """Check that the best answer is better than every other, and right."""
    name = "open questions"
    alike = [o.settings for o in others if _fits_alike(best, o, own=own)]
    say = f"say which behind the path, as in PATH?{best.settings}"
    if best.model.kind != "map" and not (obeys(best.fit, LARGE) if own else best.passes):
        return Check(
            name,
            None if own else False,
            f"none of the {len(others) + 1} answers is right ({best.settings} is the nearest); {say}, with "
            "what differs from it",
        )
    if alike:
        return Check(
            name,
            None if own else False,
            f"{best.settings} and {' and '.join(alike)} fit alike; {say}"
            + (", or give --images, which tell more than the model's own samples" if own else ""),
        )
    if own:
        return Check(
            name,
            None,
            f"{best.settings} fits the model's own samples, and {_list_settings(others)} not; {say}, or give "
            "--images",
        )
    return Check(name, True, f"{best.settings} fits, and {_list_settings(others)} not")


def _fits_alike(best: Candidate, other: Candidate, *, own: bool) -> bool:
    if own:
        return best.model.kind == "map" or obeys(other.fit)
    return not is_better(best, other)


def _list_settings(others: Sequence[Candidate]) -> str:
    return ", ".join(o.settings for o in others)
