"""Solvers of a board: the submissions that count, with their scores and ranks."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from .scoring import Problem, Score, ranks, score, score_submission
from .submission import Curve, Submission, Track, submissions_in

PRODUCTIONS = (1e3, 1e5, math.inf)
"""Numbers of samples that share the evaluations of a search. Readers choose one of them."""
USUAL = 1
"""Index of the production in figures, sentences, Markdown, and the table as it opens."""
EARLY = 10
"""Number of evaluations within which targets count for the first sentences of the page."""
AGREEMENT = 0.02
"""Largest relative difference of two measurements of one solver on two machines."""

RESULTS = ("verified", "verified in part", "self-reported")
"""A rerun agreed with all curves of a submission, with some (such as all but networks), or with none."""

Column = Literal["area", "early", "networks"]
"""Score of errors on exact problems, their share reached within :data:`EARLY`, score on networks."""


@dataclass(frozen=True, eq=False)
class Entry:
    """Solver on a board: submission, file, stem of page names, scores by :data:`PRODUCTIONS`.

    ``results`` is one of :data:`RESULTS`.
    """

    submission: Submission
    path: Path
    stem: str
    results: str
    scores: list[dict[Column, Score]]


@dataclass(frozen=True, eq=False)
class Board:
    """Board of one part of a suite: its facts, and the solvers, sorted by track and area."""

    suite: str
    digest: str
    part: str
    beacon: str
    problems: Sequence[Problem]
    networks: Sequence[Problem]
    entries: list[Entry] = field(default_factory=list)

    def admit(self, folder: Path, reruns: Path | None = None) -> list[tuple[str, str]]:
        """Add the submissions of a folder; return name and reason of each file that is not used.

        A submission that agrees with its rerun in the folder ``reruns`` is verified: in part if that lacks curves.
        """
        refused, files = [], []
        rerun = dict[tuple[str, ...], Submission]()
        for _, found in submissions_in(reruns) if reruns else ():
            if isinstance(found, Submission):
                rerun[_identity(found)] = found
        for path, found in submissions_in(folder):
            if isinstance(found, str):
                refused.append((path.name, found))
            else:
                files.append((path, found, _results_of(found, rerun.get(_identity(found)))))
        # verified ones first, so that no other takes their names
        for path, found, results in sorted(files, key=lambda file: RESULTS.index(file[2])):
            if reason := self._reason_against(found):
                refused.append((path.name, f"{found.solver.name} is not used: {reason}"))
                continue
            scores = [self._scores_of(found, production) for production in PRODUCTIONS]
            stem = stem_of(found.solver.name)
            self.entries.append(Entry(found, path, stem, results, scores))
        self.entries.sort(key=_sort_key)
        return sorted(refused)

    def _reason_against(self, submission: Submission) -> str:
        for item in ("suite", "digest", "part", "beacon"):
            its, own = getattr(submission, item), getattr(self, item)
            if its != own:
                return (
                    f"its {item} is {its or 'missing'}, and the one of the board is {own or 'none'}"
                )
        stems = [entry.stem for entry in self.entries]
        is_taken = stem_of(submission.solver.name) in stems
        return "another file has a solver of this name" if is_taken else ""

    def _scores_of(self, submission: Submission, production: float) -> dict[Column, Score]:
        found: dict[Column, Score] = {}
        if area := score_submission(submission, self.problems, "error", production):
            found["area"] = area
            found["early"] = score(area.evaluations, self.problems, within=EARLY)
        measured = {curve.problem for curve in submission.curves if curve.distance}
        if not measured.isdisjoint(network.name for network in self.networks) and (
            networks := score_submission(submission, self.networks, "distance", production)
        ):
            found["networks"] = networks
        return found

    def track_scores(self, track: Track, column: Column, index: int = USUAL) -> dict[str, Score]:
        """Return a track's scores ``column`` by stem; PRODUCTIONS[index] samples share a search."""
        return {
            entry.stem: entry.scores[index][column]
            for entry in self.entries
            if entry.submission.track == track and column in entry.scores[index]
        }

    @cached_property
    def ranks(self) -> list[dict[str, int]]:
        """Rank of each solver in its track, by stem; a mapping for each of :data:`PRODUCTIONS`."""
        found: list[dict[str, int]] = [{} for _ in PRODUCTIONS]
        for index, track in product(range(len(found)), get_args(Track)):
            found[index] |= ranks(self.track_scores(track, "area", index))
        return found

    def virtual_best_score(self, column: Column) -> Score:
        """Return the score of the virtual best: at each target, the best of all solvers."""
        usual = [entry.scores[USUAL] for entry in self.entries]
        evaluations = [scores[column].evaluations for scores in usual if column in scores]
        problems = self.networks if column == "networks" else self.problems
        return score(np.min(evaluations, axis=0), problems)


def stem_of(name: str) -> str:
    """Return the stem of a solver's files: small letters, digits and hyphens.

    A stem that differs from the name ends with an underscore and a checksum.

    >>> stem_of("heun"), stem_of("../Heun")
    ('heun', 'heun_a73aed1c13')
    """
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower())[:48].strip("-")
    if stem and stem == name:
        return stem
    return f"{stem}_{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _sort_key(entry: Entry) -> tuple[int, float, int, str]:
    # of equal solvers, the shorter name is first: ours before the same in another library
    area = entry.scores[USUAL].get("area")
    track = get_args(Track).index(entry.submission.track)
    return track, -area.area if area else math.inf, len(entry.stem), entry.stem


def _identity(submission: Submission) -> tuple[str, ...]:
    solver = submission.solver
    return (submission.digest, submission.part, submission.beacon, solver.name, solver.fingerprint)


def _results_of(submission: Submission, again: Submission | None) -> str:
    if again is None or not agree(submission, again):
        return RESULTS[2]
    return RESULTS[not submission.curves_by_problem.keys() <= again.curves_by_problem.keys()]


def agree(submission: Submission, again: Submission) -> bool:
    """Return True if a rerun measured equal evaluations and, to 2 %, equal errors and distances.

    Only curves that both have are compared, and there must be at least one.
    """
    ours, theirs = submission.curves_by_problem, again.curves_by_problem
    both = ours.keys() & theirs.keys()
    return bool(both) and all(_agree(ours[key], theirs[key]) for key in both)


def _agree(one: Curve, other: Curve) -> bool:
    if one.nfe != other.nfe or one.search != other.search:
        return False
    ours, theirs = one.error + one.distance, other.error + other.distance
    # errors near rounding differ between machines; no target is that small
    return len(ours) == len(theirs) and all(
        a == b
        or (a is not None and b is not None and math.isclose(a, b, rel_tol=AGREEMENT, abs_tol=1e-8))
        for a, b in zip(ours, theirs, strict=True)
    )
