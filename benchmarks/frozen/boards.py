"""Board of submissions: the site, with marks for submissions that a rerun verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...results.board.scoring import Problem
from ...samplers.spec import format_spec
from .constants import NETWORKS, PUBLIC, VERSION
from .definition import digest
from .instances import draw_part

if TYPE_CHECKING:
    from ...results.board.site import BuiltSite

BASELINE = format_spec({"name": "dpmpp_2m"}) + " on uniform_lambda"
"""Solver whose evaluations are the board's unit: DPM-Solver++(2M) at even steps in log-SNR."""


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
        ValueError: the part is invalid, a folder is missing, copies would go into ``folder``, or no
            submission has the baseline's errors on exact problems.
    """
    from ...results.board.entries import Board
    from ...results.board.site import build_site

    drawn = draw_part(part, beacon)
    for place in (folder, reruns):
        if place is not None and not Path(place).is_dir():
            raise ValueError(f"there is no folder {place}; give a folder of submissions")
    networks = [Problem(name, name) for name in NETWORKS]
    empty = Board(VERSION, digest(), drawn.name, drawn.beacon, drawn.instances, networks)
    again = None if reruns is None else Path(reruns)
    return build_site(empty, Path(folder), Path(out), baseline=BASELINE, reruns=again)
