"""``calibrate``: coverage of the intervals of the metrics."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from samplerbench.benchmarks.cli.common import JobsOption, error_console, say, workers
from samplerbench.benchmarks.running.executors import Failure

Part = Literal["endpoints", "features", "both"]
CALIBRATION_LOG = Path("results") / "runs" / "calibration"

EXAMPLES = ("calibrate --quick",)


def calibrate(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the tables.")] = CALIBRATION_LOG,
    log: Annotated[
        Path,
        typer.Option("--log", help="Folder of finished replicates, which are reused."),
    ] = CALIBRATION_LOG,
    replicates: Annotated[
        int | None,
        typer.Option(
            "--replicates",
            min=10,
            max=1_000_000,
            help="Replicates per cell (500, or 40 with --quick).",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Take a few seconds, to see the form of the tables.")
    ] = False,
    part: Annotated[Part, typer.Option("--part", help="Endpoints, features, or both.")] = "both",
    jobs: JobsOption = 1,
) -> None:
    """Measure coverage, bias and power of the intervals.

    Features have known true distances. Distances to endpoints have flips and heavy tails.
    """
    from ..calibration import Calibration
    from ..calibration.endpoints import calibrate_endpoints, write_endpoints
    from ..calibration.table import write_calibration
    from ..calibration.verdict import findings_as_sentences

    def progress(line: str) -> None:
        error_console.print(line, markup=False)

    for place in (folder, log):
        place.mkdir(parents=True, exist_ok=True)  # an error now, not after hours of replicates
    replicates = replicates or (40 if quick else 500)
    if part != "features":
        found = calibrate_endpoints(log, replicates=replicates, quick=quick, progress=progress)
        say(f"Table: {write_endpoints(found, folder)}")
    if part == "endpoints":
        return
    make = Calibration.quick if quick else Calibration
    with closing(workers(jobs)) as executor:
        run = make(
            log,
            replicates=replicates,
            executor=executor,
            progress=progress,
        )
        try:
            rows = run()
        except Failure as failure:
            say(f"{failure.status}: {failure.reason}; the same command goes on from what is kept.")
            raise typer.Exit(1) from None
    for sentence in findings_as_sentences(rows):
        say(sentence)
    say(f"Table: {write_calibration(rows, folder)}")
