"""Small runs of real suites, and their quality columns to the last bit."""

from quiet_runs import quiet_run

from samplerbench.benchmarks.suites.suite import check_suite
from samplerbench.results.quantities import columns

SUITE = {
    "name": "small",
    "models": ["gmm-2d"],
    "samplers": ["euler"],
    "steps": [5],
    "samples": 128,
    "batch_size": 64,
    "reference_samples": 16,
    "converged_samples": 64,
    "timing": {"enabled": False},
}

FOREIGN = (
    "suite",
    "model",
    "params",
    "origin",
    "made_by",
    "cell",
    "estimator",
    "schedule",
    "start",
    "end",
    "noise",
    "device",
    "dtype",
)
"""Columns of text that say what a row is, and where it lies, rather than what was measured."""


def suite(**changes):
    return check_suite({**SUITE, **changes}, "test")


def run(out, **changes):
    """The table of a run."""
    return quiet_run(suite(**changes), out).frame


def numbers(frame, *, but=()):
    """What was measured, row by row, to the last bit."""
    names = [
        column.name
        for column in columns()
        if column.name in frame and column.name not in (*FOREIGN, *but)
    ]
    return frame[names].to_csv(index=False, float_format="%.17g").splitlines()


def row(frame, **equal):
    """The only row with these values."""
    for name, value in equal.items():
        frame = frame[frame[name] == value]
    (found,) = frame.to_dict("records")
    return found
