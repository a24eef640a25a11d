"""Board of submissions: the site, with marks for submissions that a rerun verified."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ...results.board.scoring import Problem
from ...results.board.submission import Curve, Submission, checksum_of, submissions_in
from ...samplers.spec import format_spec
from .constants import NETWORKS, PUBLIC, VERSION
from .definition import digest
from .instances import draw_part

if TYPE_CHECKING:
    from ...results.board.site import BuiltSite

BASELINE = format_spec({"name": "dpmpp_2m"}) + " on uniform_lambda"
"""Solver whose evaluations are the board's unit: DPM-Solver++(2M) at even steps in log-SNR."""
AGREEMENT = 0.02
"""Largest relative difference of two measurements of one solver on two machines."""


def board(
    folder: Path | str,
    out: Path | str,
    *,
    reruns: Path | str | None = None,
    part: str = PUBLIC,
    beacon: str = "",
) -> BuiltSite:
    """Write the site of a folder's submissions: a page, a page for each solver, and the files.

    Args:
        folder: folder with the files of submissions.
        out: folder of the site.
        reruns: folder with the same solvers measured again by the keeper of the board. A submission
            that agrees with its rerun is marked as verified.
        part: part of the suite.
        beacon: value from which the part is drawn; "" for the part "public".

    Returns:
        The site, with a sentence for each file that is not used.

    Raises:
        ValueError: the part is invalid, a folder is missing, or no submission has the baseline's
            errors on exact problems.
    """
    from ...results.board.site import build_site

    drawn = draw_part(part, beacon)
    for place in (folder, reruns):
        if place is not None and not Path(place).is_dir():
            raise ValueError(f"there is no folder {place}")
    return build_site(
        Path(folder),
        Path(out),
        suite=VERSION,
        digest=digest(),
        part=drawn.name,
        beacon=drawn.beacon,
        problems=[instance.problem for instance in drawn.instances],
        networks=[Problem(name, name) for name in NETWORKS],
        baseline=BASELINE,
        verified=frozenset() if reruns is None else _verified_checksums(Path(folder), Path(reruns)),
    )


def _verified_checksums(folder: Path, reruns: Path) -> frozenset[str]:
    """Return the checksums of the files that agree with a rerun of the same solver."""
    known = {
        _place(again): again for _, again in submissions_in(reruns) if isinstance(again, Submission)
    }
    return frozenset(
        checksum_of(path)
        for path, submission in submissions_in(folder)
        if isinstance(submission, Submission)
        and (again := known.get(_place(submission))) is not None
        and agree(submission, again)
    )


def _place(submission: Submission) -> tuple[str, ...]:
    solver = submission.solver
    return (submission.digest, submission.part, submission.beacon, solver.name, solver.fingerprint)


def agree(submission: Submission, again: Submission) -> bool:
    """Return True if a rerun measured the same evaluations and, within 2 %, the same errors.

    Only curves that both have are compared, and there must be at least one.
    """
    other = {(curve.problem, curve.moved): curve for curve in again.curves}
    pairs = [
        (curve, other[curve.problem, curve.moved])
        for curve in submission.curves
        if (curve.problem, curve.moved) in other
    ]
    return bool(pairs) and all(_agree(*pair) for pair in pairs)


def _agree(one: Curve, other: Curve) -> bool:
    if one.nfe != other.nfe or one.search != other.search:
        return False
    # errors near rounding differ between machines; no target is that small
    pairs = zip(one.error + one.distance, other.error + other.distance, strict=True)
    return all(
        a == b
        or (a is not None and b is not None and math.isclose(a, b, rel_tol=AGREEMENT, abs_tol=1e-8))
        for a, b in pairs
    )
