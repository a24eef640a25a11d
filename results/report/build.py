"""The report of runs: one HTML page, and its table as CSV, Parquet, Markdown and LaTeX."""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup, escape

from ..comparison.best_rows import best_curve_budgets, select_visible_rows
from ..comparison.compare import compare, comparison_notes
from ..comparison.findings import BASELINE, TableFindings, findings_of
from ..comparison.significance import SIGNS
from ..printed_values import (
    BELOW_NOTE,
    is_below_zero,
    shown_number,
    value_plus_minus,
    value_with_bounds,
)
from ..quantities import quantities
from ..result_table import ResultTable, load
from ..run_directory.files import write_text
from ..run_directory.layout import FULL
from ..run_directory.reading import read_run_record
from ..sentences import DOMINATED, are_all_alike, markdown_summary
from ..table import description
from ..table.curves import add_curves_and_slots, comparable_parts, label_of_curve
from ..table.latex import latex_tables
from ..table.reading import run_names
from ..text import format_number, interval_text, name_hint
from ..values import is_empty, number, rows_as_dicts, text
from . import provenance, template_environment
from .listing import MARKS, listing_of
from .model_section import model_section
from .pictures import grids_of, trajectory_strips_of
from .plots import curve_styles, family_css
from .timing import throughput_of, times_by_batch_size


def title_of(frame: pd.DataFrame, runs: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the title of a page. ``runs`` are pairs of a run's name and its ``run.json``.

    Items are ``heading``, ``facts`` (phrases), and ``runs`` (name and day of each, if several).
    """
    suites = description.names_in_words(description.distinct_texts(frame["suite"]) or [""])
    days = [
        (name, _day_in_words((record.get("provenance") or {}).get("started")))
        for name, record in runs
    ]
    heading = description.heading_of(frame)
    facts = [description.samples_in_words(frame), suites and f"suite {suites}"]
    if len(days) == 1:
        facts.append(days.pop()[1])
    else:
        heading = f"{description.number_in_words(len(runs))} runs: {heading}"
    return {"heading": heading, "facts": list(filter(None, facts)), "runs": days}


def _day_in_words(started: object) -> str:
    """Return the day of an ISO time, as in "3 May 2026"; "" for another text."""
    try:
        day = datetime.fromisoformat(str(started))
    except ValueError:
        return ""
    return f"{day.day} {day:%B %Y}"


def comparisons_of(sources: Sequence[Path]) -> list[dict[str, Any]]:
    """Return comparisons of each further run with the first, by all metrics.

    Items are ``baseline`` and ``candidate`` (names of runs), ``lines``, ``counts`` of verdicts, and
    ``notes``. If two runs cannot be compared, ``lines`` is empty, and the note is the reason.
    """
    (baseline, first), *further = _names_and_paths(sources)
    comparisons = []
    for candidate, path in further:
        sides: dict[str, Any] = {"baseline": baseline, "candidate": candidate, "lines": ()}
        try:
            found = compare(first, path, metrics=("all",))
        except ValueError as error:
            sides["notes"] = [str(error)]
        else:
            counts = Counter(line.verdict for line in found.lines).most_common()
            sides |= {"lines": found.lines, "counts": counts, "notes": comparison_notes(found)}
        comparisons.append(sides)
    return comparisons


LONGEST_WHOLE = 20
"""Largest number of letters of a hyphenated name that is kept on one line."""


def write_report(
    dirs: Path | str | Sequence[Path | str], out: Path | str, *, baseline: str = BASELINE
) -> Path:
    """Write ``report.html``, ``table.csv``, ``table.parquet``, ``table.md`` and ``table.tex``.

    ``table.tex`` is written only if ``fid_proxy``, ``typical_error``, ``psnr_conv`` or ``lpips_conv``
    was measured. The page needs no other file, and its policy forbids network access.

    Args:
        dirs: run directories (finished or not) or tables.
        out: folder to write to, or path of the page (``*.html``), whose folder gets the tables.
        baseline: sampler or curve that other rows are compared with.

    Returns:
        Path of the page.

    Raises:
        ValueError: a path in ``dirs`` is neither a run directory nor a table, or ``out`` cannot be
            written, or no row is of a ``baseline`` other than the default.
    """
    sources = [Path(dirs)] if isinstance(dirs, Path | str) else [Path(path) for path in dirs]
    page = Path(out) if Path(out).suffix == ".html" else Path(out) / "report.html"
    first = sources[0]
    is_own = len(sources) == 1 and (first / "parts").is_dir() and page == first / "report.html"
    table = load(sources)
    _check_baseline(baseline, table)
    part = ResultTable(select_visible_rows(table.frame, baseline))
    unseen, homes = len(table) - len(part), _path_by_run_name(sources)
    findings = findings_of(part.frame, homes, baseline, unseen=unseen)
    csv = table.csv()
    html = render_page(part, sources, part.csv() if unseen else csv, findings, baseline, unseen)
    try:
        write_text(page.with_name("table.csv"), csv)
        table.to_parquet(page.with_name("table.parquet"))
        write_text(page.with_name("table.md"), markdown_summary(part, findings))
        for metric in ("fid_proxy", "typical_error", "psnr_conv", "lpips_conv"):
            if not all(map(is_empty, part.ok.frame[metric])):
                bold = best_curve_budgets(part.frame, metric, homes, unseen=unseen)
                write_text(page.with_name("table.tex"), latex_tables(part.frame, metric, bold=bold))
                break
        else:
            page.with_name("table.tex").unlink(missing_ok=True)  # of an earlier report
        # is_current later compares this digest with the digest of the files then
        if is_own:
            html += provenance.digest_comment(html, first, baseline)
        write_text(page, html)
    except OSError as error:
        remedy = "free some space, or " * (error.errno in FULL)
        raise ValueError(
            f"cannot write the report to {page} ({error.strerror}); {remedy}choose another folder"
        ) from error
    return page


def render_page(
    table: ResultTable,
    sources: Sequence[Path],
    csv: str,
    findings: TableFindings,
    baseline: str = BASELINE,
    unseen: int = 0,
) -> str:
    """Return the report's page as HTML.

    It shows the rows of ``table``, their text ``csv`` and their ``findings``. ``unseen`` is the
    number of further rows, which are not shown.
    """
    frame, homes = table.frame, _path_by_run_name(sources)
    rows = rows_as_dicts(add_curves_and_slots(frame))
    styles = curve_styles(
        ((text(row, "curve"), text(row, "sampler")) for row in rows),
        {text(row, "sampler"): text(row, "origin") for row in rows if row.get("origin")},
    )
    parts = comparable_parts(frame)
    grids, strips = grids_of(parts, homes), trajectory_strips_of(parts, homes)
    sections = [
        model_section(title, rows, findings.by_title[title], styles, grid, strip, homes)
        for (title, rows), grid, strip in zip(parts, grids, strips, strict=True)
    ]
    records = [(name, read_run_record(path)) for name, path in _names_and_paths(sources)]
    runs = [
        {
            "name": name,
            "command": provenance.command_of(record),
            "sections": provenance.sections_of(record),
        }
        for name, record in records
    ]
    samplers = frame["sampler"].dropna()
    template = _template_environment().get_template("report.html")
    return template.render(
        title=title_of(frame, records),
        baseline=label_of_curve(baseline),
        unseen=unseen,
        counts=frame["status"].value_counts().to_dict(),
        problems=sections,
        plots=[problem["plot"] for problem in sections],
        family_css=Markup(family_css()),  # needs no escaping: constants of this package
        comparisons=comparisons_of(sources) if len(sources) > 1 else [],
        listing=listing_of(frame, findings.lines),
        has_below_zero=any(
            is_below_zero(quantity.name, number(row, quantity.name))
            for quantity in quantities()
            for row in rows
        ),
        marks=MARKS,
        signs=SIGNS,
        sizes=times_by_batch_size(sources),
        sweeps=throughput_of(sources),
        runs=runs,
        differences=provenance.differing_entries(run["sections"] for run in runs),
        citations=provenance.citations_of((record for _, record in records), samplers),
        csv=csv,
        plotly=packed_plotly(),
    )


def _check_baseline(name: str, table: ResultTable) -> None:
    """Raise a ValueError if no row is of the baseline ``name``, unless it is the default one."""
    if name == BASELINE:
        return
    frame = add_curves_and_slots(table.frame)
    names = {str(value) for column in ("sampler", "curve") for value in frame[column].dropna()}
    if name not in names:
        samplers = sorted(table.frame["sampler"].dropna().unique())
        raise ValueError(f"no row is of the baseline {name!r}; {name_hint(name, samplers)}")


@cache
def packed_plotly() -> Markup:
    """Return Plotly's script, gzipped, as base64 text of two fifths of the script's size."""
    from plotly.offline import get_plotlyjs  # slow to import, and needed only here

    # level 4 takes 0.06 s, and level 9, which saves 4 % of the size, 0.15 s
    packed = gzip.compress(get_plotlyjs().encode(), 4, mtime=0)
    return Markup(base64.b64encode(packed).decode())  # its letters need no escapes


@cache
def _template_environment() -> Environment:
    environment = template_environment()
    environment.globals.update(
        number=number,
        short=format_number,
        interval=interval_text,
        shown=shown_number,
        below_note=BELOW_NOTE,
        dominated=DOMINATED,
    )
    environment.filters.update(
        brief=description.brief_model_name,
        whole=_with_unbroken_names,
        is_alike_by=are_all_alike,
        timed=lambda found: [row for row in found if number(row.row, "ms_per_sample") is not None],
        label=label_of_curve,
        with_bounds=value_with_bounds,
        plus_minus=value_plus_minus,
    )
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(
        map(escape, str(name).split("_"))
    )
    return environment


def _with_unbroken_names(words: str) -> Markup:
    """Return a text as HTML in which hyphenated names up to :data:`LONGEST_WHOLE` do not wrap."""
    return Markup(" ").join(
        Markup('<span class="whole">{}</span>').format(word)
        if "-" in word and len(word) <= LONGEST_WHOLE
        else escape(word)
        for word in words.split(" ")
    )


def _path_by_run_name(sources: Sequence[Path]) -> dict[str, Path]:
    """Return the path of each run by its name in the table. The only run has the name ""."""
    return {"": sources[0]} if len(sources) == 1 else dict(_names_and_paths(sources))


def _names_and_paths(sources: Sequence[Path]) -> list[tuple[str, Path]]:
    return list(zip(run_names(sources), sources, strict=True))
