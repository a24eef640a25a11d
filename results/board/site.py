"""Static site of a board: a page of ranks, a page for each solver, a Markdown table and BibTeX.

Submissions come from strangers, so their texts are escaped. Each page's content security policy
forbids the network, and allows only the script and the style whose checksums the policy states.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment
from markupsafe import Markup

from ..report import template_environment
from ..run_directory.files import LARGEST_JSON, read_regular, write_bytes, write_text
from ..text import Interval, format_number
from . import drawing
from .drawing import Line, svg_items
from .entries import EARLY, PRODUCTIONS, USUAL, Board, Column, Entry, stem_of
from .scoring import ranks
from .submission import Track

FEW = 3
"""Number of solvers in a track's picture, besides the baseline and the virtual best."""
TARGETS: dict[Column, dict[str, int]] = {
    "area": {"1e-2": 4, "1e-3": 8, "1e-4": 12},
    "networks": {"8 × floor": 6, "1 × floor": 9},
}
"""Targets that a solver's page lists, by title, as indices of :func:`.scoring.targets_of`."""
TRACKS: dict[Track, str] = {
    "plain": "a formula that does not look at the model",
    "self-tuning": "looks at the model; these evaluations count",
    "open": "anything else; authors state its cost",
}
MOST_FAILURES = 40
"""Number of problems with failures that a solver's page lists."""
BIBTEX = """@misc{{{board.suite}-{board.part},
  title = {{{{Leaderboard of diffusion samplers {board.suite}, part {board.part}}}}},
  author = {{{{The samplerbench authors}}}},
  year = {{2026}},
  note = {{Digest of the suite: {board.digest}}},
}}
"""

Cell = tuple[str, float | str]
"""Cell of the table: its text, and the number to sort it by ("" for none)."""
NONE: Cell = ("–", "")


@dataclass(frozen=True)
class BuiltSite:
    """Site: its first page, number of solvers, and name and reason of each file that is not used."""

    index: Path
    count: int
    refused: list[tuple[str, str]]


def build_site(
    board: Board, folder: Path, out: Path, *, baseline: str, reruns: Path | None = None
) -> BuiltSite:
    """Write the site of a folder's submissions: pages, copies of the files, board.md, board.bib.

    The submissions are added to ``board``. Each solver is compared with ``baseline``. ``reruns`` has
    submissions that verify others (:func:`.entries.agree`). Pages of an earlier build stay in ``out``.

    Raises:
        ValueError: the baseline has no submission with errors on exact problems, or ``out`` would put
            copies of the submissions into ``folder``.
    """
    if (out / "submissions").resolve() == folder.resolve():
        raise ValueError(f"{out} would put copies into {folder}; choose another folder to write to")
    refused = board.admit(folder, reruns)
    base = next((entry for entry in board.entries if entry.stem == stem_of(baseline)), None)
    if base is None or "area" not in base.scores[USUAL]:
        seen = f" ({refused[0][1]})" if refused else ""
        raise ValueError(
            f"{folder} has no errors of the baseline {baseline}{seen}; add its submission"
        )
    facts: dict[str, Any] = {"board": board, "baseline": base}
    rows = [(entry, _cells_of(board, base, entry)) for entry in board.entries]
    panels = _panels_of(board, base)
    write_text(out / "index.html", _page("index.html", panels=panels, rows=rows, **facts))
    for entry, cells in rows:
        parts = facts | {"entry": entry, "cells": cells} | _parts_of(board, base, entry)
        write_text(out / "solvers" / f"{entry.stem}.html", _page("solver.html", **parts))
        content = read_regular(entry.path, LARGEST_JSON)
        write_bytes(out / "submissions" / f"{entry.stem}.json", content)
    write_text(out / "board.md", _markdown(rows))
    write_text(out / "board.bib", BIBTEX.format(board=board))
    return BuiltSite(out / "index.html", len(rows), refused)


def _panels_of(board: Board, baseline: Entry) -> list[tuple[Track, dict[str, Any], dict[str, Any]]]:
    """Return name, best two solvers (:func:`_answer_of`) and picture of each track with scores."""
    lines: dict[Track, list[Line]] = {}
    for track in get_args(Track):
        if measured := board.track_scores(track, "area"):
            few = [entry for entry in board.entries if entry.stem in measured]
            lines[track] = _lines_of(board, baseline, few, "area", "solvers/")
    highest = max(line.score.reached_share() for some in lines.values() for line in some)
    return [(t, _answer_of(board, t), svg_items(some, highest)) for t, some in lines.items()]


def _answer_of(board: Board, track: Track) -> dict[str, Any]:
    """Return a track's best two solvers at EARLY evaluations, and how certain their order is."""
    found = board.track_scores(track, "early")
    names = {entry.stem: entry.submission.solver.name for entry in board.entries}
    order = sorted(found, key=lambda stem: -found[stem].area)
    second = order[min(1, len(order) - 1)]
    first, ends = found[order[0]], found[order[0]].interval
    return {
        "solvers": [(stem, names[stem], found[stem].area) for stem in order[:2]],
        "ends": None if math.isnan(ends.low) else (ends.low, ends.high),
        "chance": first.chance_behind(found[second]),
        "level": list(ranks(found).values()).count(1) - 1,
    }


def _lines_of(
    board: Board, baseline: Entry, entries: Sequence[Entry], column: Column, home: str = ""
) -> list[Line]:
    """Return curves of the first few, baseline and virtual best; pages are in folder ``home``."""
    few = [entry for entry in entries if entry is not baseline][:FEW]
    kinds = [*zip(few, ("first", "second", "third"), strict=False), (baseline, "baseline")]
    names = [entry.submission.solver.name for entry, _ in kinds]
    short = [name.partition(" on ")[0] for name in names]  # without the schedule, if that will do
    lines = [
        Line(brief if short.count(brief) == 1 else name, kind, score, f"{home}{entry.stem}.html")
        for (entry, kind), name, brief in zip(kinds, names, short, strict=True)
        if (score := entry.scores[USUAL].get(column))
    ]
    return [*lines, Line("virtual best", "best", board.virtual_best_score(column))]


def _cells_of(board: Board, baseline: Entry, entry: Entry) -> list[list[Cell]]:
    """Return a solver's columns of the table, each with a cell for each of :data:`PRODUCTIONS`.

    They are rank, area, relative evaluations, share reached early, and area on networks.
    """
    lines: list[list[Cell]] = []
    for place, scores in enumerate(entry.scores):
        rank, line = board.ranks[place].get(entry.stem), [NONE] * 5
        if rank is not None:
            area, early = scores["area"], scores["early"].area
            relative = area.relative_to(baseline.scores[place]["area"])
            line[:2] = (str(rank), rank), _interval_cell(area.interval, 3)
            line[2:4] = _interval_cell(relative, 2), (percent(early), round(early, 4))
        if "networks" in scores:
            line[4] = _interval_cell(scores["networks"].interval, 3)
        lines.append(line)
    return [list(column) for column in zip(*lines, strict=True)]


def _interval_cell(found: Interval, digits: int) -> Cell:
    """Return ``value [low, high]``, or only the value if the ends are equal or NaN."""
    value, low, high = (f"{number:.{digits}f}" for number in found)
    words = f"{value} [{low}, {high}]" if found.high > found.low else value
    return words, round(found.value, 4)


def percent(share: float) -> str:
    r"""Return a share in per cent.

    >>> percent(0.314), percent(0.001), percent(0.0)
    ('31\xa0%', 'less than 1\xa0%', '0\xa0%')
    """
    return "less than 1\xa0%" if 0 < share < 0.005 else f"{100 * share:.0f}\xa0%"


def _parts_of(board: Board, baseline: Entry, entry: Entry) -> dict[str, Any]:
    """Return a solver's picture, tables of evaluations to targets, and number of equals in rank."""
    scores, rank = entry.scores[USUAL], board.ranks[USUAL].get(entry.stem)
    track = board.track_scores(entry.submission.track, "area")
    tables: dict[Column, list[tuple[str, list[str]]]] = {}
    for column, titles in TARGETS.items():
        if column not in scores:
            continue
        lines = scores[column].evaluations[:, list(titles.values())].tolist()
        words = [[format_number(n) if n < math.inf else "–" for n in line] for line in lines]
        problems = board.problems if column == "area" else board.networks
        tables[column] = [(p.name, line) for p, line in zip(problems, words, strict=True)]
    lines = _lines_of(board, baseline, [entry], next(iter(tables))) if tables else []
    return {
        "picture": lines and svg_items(lines, max(line.score.reached_share() for line in lines)),
        "tables": tables,
        "of": len(track),
        "level": sum(board.ranks[USUAL][stem] == rank for stem in track) - 1,
    }


def _page(name: str, **contents: Any) -> str:
    """Return a page as HTML. Its policy has the checksums of its script and style."""
    environment = _template_environment()
    inline, sums = {}, {}
    for kind in ("js", "css"):
        words = environment.get_template(f"board.{kind}").render()
        inline[kind] = Markup(words)  # needs no escaping: a file of this package
        sums[kind] = base64.b64encode(hashlib.sha256(words.encode()).digest()).decode()
    return environment.get_template(name).render(inline=inline, sums=sums, **contents)


@cache
def _template_environment() -> Environment:
    """Return the templates' environment. It escapes texts and drops control characters."""
    environment = template_environment(Path(__file__).parent / "templates")
    constants = {"early": EARLY, "usual": USUAL, "productions": PRODUCTIONS, "targets": TARGETS}
    constants |= {"about": TRACKS, "few": FEW, "most": MOST_FAILURES, "sizes": drawing}
    environment.globals.update(constants)
    environment.filters.update(percent=percent, short=format_number, claim=_claim)
    environment.filters["many"] = _production_in_words
    environment.tests["address"] = re.compile(r"https://[^\s<>\"'`]+").fullmatch
    return environment


def _claim(entry: Entry, name: str) -> str | int:
    """Return the text of a claim ``name``, or of "track" or "results"; "–" without a claim."""
    if name in ("track", "results"):
        return entry.results if name == "results" else entry.submission.track
    value = getattr(entry.submission.claims, name)
    return "–" if value in ("", None) else value


def _production_in_words(production: float) -> str:
    return f"{production:,.0f}" if production < math.inf else "infinitely many"


def _markdown(rows: Sequence[tuple[Entry, list[list[Cell]]]]) -> str:
    """Return the ranks as a Markdown table. Names are code, in which Markdown reads no markup."""
    heads = ("rank", "solver", "track", "area [95 %]", "evaluations / baseline's [95 %]")
    heads += (f"reached within {EARLY}", "area on networks [95 %]", "results")
    lines = [heads, ("---",) * len(heads)]
    for entry, cells in rows:
        rank, *scores = (column[USUAL][0] for column in cells)
        name = f"`{entry.submission.solver.name}`"
        lines.append((rank, name, entry.submission.track, *scores, _claim(entry, "results")))
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), ""])
