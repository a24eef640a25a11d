"""Commands ``compare`` and ``gate``: differences between runs, samplers, or a run and papers."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...results.text import csv_lines
from .common.console import out, print_json, say, say_next
from .common.options import Json, argument, flag, option, option_default, parse_share

if TYPE_CHECKING:
    from ...results.comparison.compare import Comparison
    from ...results.comparison.gate import GateReport
    from ..tuning.fair_schedules import Fair

MetricOption = Annotated[
    list[str] | None, option("--metric COLUMN", "Column to compare by (repeatable), or all.")
]


def compare(
    runs: list[Path] = argument(
        "One or two run directories or tables. The first of two is the baseline."
    ),
    baseline: str | None = option_default(
        "--baseline SAMPLER", "Compare all samplers of the run with this one."
    ),
    metric: MetricOption = None,
    margin: str = option_default(
        "--margin SHARE", "Equivalence margin, relative to the baseline.", default="1%"
    ),
    best_schedule: bool = flag("--best-schedule", "Take each sampler at its best schedule."),
    author_schedule: bool = flag(
        "--author-schedule", "Take each sampler at the schedule of its paper."
    ),
    tuned: bool = flag("--tuned", "Take each sampler at its tuned schedule."),
    published: bool = flag("--published", "Compare the run with what papers report for its model."),
    published_model: str | None = option_default(
        "--published-model NAME",
        "Name of the model in the published table (default: the suite's, or the model's own).",
    ),
    csv: Path | None = option_default("--csv FILE", "Also write the table to this CSV file."),
    as_json: Json = False,
) -> None:
    """Compare two runs, samplers of one run, or a run with papers.

    Each line has an interval and a verdict.
    """
    if published or published_model is not None:
        others = (baseline, metric, best_schedule, author_schedule, tuned, csv)
        if len(runs) != 1 or any(others):
            raise ValueError("--published takes one run, and of the options --margin and --json")
        return _print_published(runs[0], published_model, parse_share(margin, "--margin"), as_json)
    choices: dict[Fair, bool] = {"best": best_schedule, "author": author_schedule, "tuned": tuned}
    fair: list[Fair] = [name for name, wanted in choices.items() if wanted]
    comparisons = _requested_comparisons(
        runs, baseline, metric or [], parse_share(margin, "--margin"), fair
    )
    # several comparisons are of a run each, which their lines do not name
    names = [{"run": str(run)} for run in runs] if len(comparisons) > 1 else [{}]
    named = list(zip(names, comparisons, strict=True))
    if csv is not None:
        import pandas as pd

        from ...results.run_directory.files import write_text

        frame = pd.concat([comparison.frame.assign(**run) for run, comparison in named])
        write_text(csv, csv_lines(frame.columns, frame.itertuples(index=False, name=None)))
    if as_json:
        lines = [(run, line) for run, comparison in named for line in comparison.lines]
        return print_json([{"name": line.sampler, **run, **asdict(line)} for run, line in lines])
    from ...results.terminal.comparison import print_comparison

    for run, comparison in named:
        if run:
            say(f"Run: {run['run']}")
        print_comparison(comparison, out)
    from ...results.run_directory.layout import INTERIM

    for run in runs:
        if (run / INTERIM).is_file():
            say(
                f"{run} was sampled until decided. Its own verdicts, which allow for that, are printed "
                "by the same run command; these verdicts do not allow for it."
            )
    return _say_next_view(runs[-1])


def gate(
    baseline: Path = argument("Baseline run."),
    candidate: Path = argument("Run to check."),
    quality_margin: str = option_default(
        "--quality-margin SHARE", "Largest tolerated loss of quality.", default="1%"
    ),
    time_margin: str = option_default(
        "--time-margin SHARE", "Largest tolerated rise of the median time.", default="5%"
    ),
    no_time: bool = flag("--no-time", "Do not compare times."),
    metric: MetricOption = None,
    as_json: Json = False,
) -> None:
    """Fail if a run is worse or slower than a baseline run.

    Exit code 1 if a metric or a time is worse by more than its margin.
    """
    from ...results.comparison.gate import gate as check

    quality = parse_share(quality_margin, "--quality-margin")
    time = None if no_time else parse_share(time_margin, "--time-margin")
    report = check(
        baseline, candidate, quality_margin=quality, time_margin=time, metrics=metric or ("all",)
    )
    if as_json:
        checks = [{"name": item.row, **asdict(item)} for item in report.checks]
        print_json({"name": "gate", "passed": report.passed, "checks": checks})
    else:
        _print_gate(report)
        say_next(["compare", baseline, candidate])
    if not report.passed:
        raise typer.Exit(1)


def _requested_comparisons(
    runs: list[Path], baseline: str | None, metrics: list[str], margin: float, fair: list[Fair]
) -> list[Comparison]:
    """Return the comparisons that the options of ``compare`` request.

    ``fair`` lists the options that choose a schedule for each sampler: "best", "author" or "tuned".
    Raises a ValueError for options that contradict each other.
    """
    from ...results.comparison.compare import compare as cells
    from ...results.comparison.compare import compare_with

    if fair:
        if len(fair) > 1 or baseline is None or len(runs) != 1:
            raise ValueError(
                "give one run, --baseline SAMPLER, and one of "
                "--best-schedule, --author-schedule and --tuned"
            )
        from ..tuning.fair_schedules import compare_fairly

        return [compare_fairly(runs[0], baseline, metrics, margin, fair[0])]
    if baseline is not None:
        return [compare_with(run, baseline, metrics=metrics, margin=margin) for run in runs]
    if len(runs) != 2:
        raise ValueError(
            "give two runs to compare, or --baseline SAMPLER to compare "
            f"within one; you gave {len(runs)}"
        )
    return [cells(*runs, metrics=metrics, margin=margin)]


def _print_published(run: Path, model: str | None, margin: float, as_json: bool) -> None:
    from ...results.published.reproduction import reproductions

    results = reproductions(run, model=model, margin=margin)
    if as_json:
        return print_json([result.flat for result in results])
    from ...results.terminal.comparison import print_reproductions

    print_reproductions(results, out)
    return _say_next_view(run)


def _say_next_view(run: Path) -> None:
    if run.is_dir():
        say_next(["show", run], ["report", run])


def _print_gate(report: GateReport) -> None:
    for check in report.checks_with_outcome("regression"):
        say(f"regression: {check.row}: {check.what} {check.detail}")
    counts = Counter(check.outcome for check in report.checks)
    unsure = Counter(check.what for check in report.checks_with_outcome("inconclusive"))
    where = f" ({', '.join(f'{n} {name}' for name, n in unsure.items())})" if unsure else ""
    summary = (
        f"{counts['passed']} passed, {counts['regression']} regressions, "
        f"{counts['inconclusive']} inconclusive{where}"
    )
    say(f"{'passed' if report.passed else 'FAILED'}: {len(report.checks)} checks, {summary}")
    alike = defaultdict(list)  # equal but for numbers
    for check in report.checks_with_outcome("inconclusive"):
        alike[re.sub(r"[\d.]+", "", f"{check.what} {check.detail}")].append(check)
    if most := max(alike.values(), key=len, default=None):
        share = f"{len(most)} of {counts['inconclusive']}"
        say(f"inconclusive, {share} as here: {most[0].row}: {most[0].what} {most[0].detail}")
