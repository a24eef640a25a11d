"""Runs in this process on the CPU, without a word."""

from pathlib import Path

from rich.console import Console

from samplerbench.benchmarks.running import runner
from samplerbench.benchmarks.running.setup import set_up


def quiet_setup(suite, out, **how):
    """What a run of a suite works with."""
    return set_up(suite, Path(out), device="cpu", console=Console(quiet=True), **how)


def quiet_run(suite, out, *, retry=False, **how):
    """The table of a run."""
    return runner.run(quiet_setup(suite, out, **how), retry=retry)
