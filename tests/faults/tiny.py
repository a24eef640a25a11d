"""The smallest run that has everything: two cells of two shards, scored, tabled and reported."""

import pandas as pd
from quiet_runs import quiet_run
from started import left_behind, shards

from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.report.build import write_report

SUITE = {
    "name": "tiny",
    "models": ["gmm-2d"],
    "samplers": ["euler", "ddpm"],
    "steps": [2],
    "samples": 600,
    "batch_size": 128,
    "reference_samples": 8,
    "converged_samples": 64,
    "timing": {"enabled": False},
}


def run(out, *, report=True, executor=None, **changes):
    """Run it in this process, as the command does; the table."""
    table = quiet_run(check_suite({**SUITE, **changes}, "test"), out, executor=executor)
    if report:
        write_report(out, out / "report.html")
    return table.frame


def ends_as_the_serial_one(out, table, what=""):
    """Run it again: the table is the serial one, what was finished is kept, nothing is left."""
    kept = shards(out)
    pd.testing.assert_frame_equal(run(out), table, check_exact=True)
    assert kept.items() <= shards(out).items(), what
    assert not left_behind(out), what
