"""What a command costs before it does anything, and what it takes to look at a finished run: CPU time of whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

REFERENCE = Path(__file__).parents[2] / "results" / "reference" / "full-exact"
COMMANDS = {"--help": 0.4, "--version": 0.4, "run --help": 0.4, f"show {REFERENCE}": 1.5}
"""Seconds of CPU that each may take; the tables say what it took."""


def cpu_of(args: list[str]) -> float:
    """CPU seconds, user and system, of a process that runs the command line."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "samplerbench.benchmarks", *args], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.split("/")[0])
def test_command(benchmark: BenchmarkFixture, command: str) -> None:
    benchmark.group = "command line"
    spent: list[float] = []
    benchmark.pedantic(lambda: spent.append(cpu_of(command.split())), rounds=5, warmup_rounds=1)
    benchmark.extra_info["cpu_seconds"] = min(spent)
    assert min(spent) < COMMANDS[command]
