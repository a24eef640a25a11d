"""Benchmarks of CPU time of whole processes: help, version, and views of a finished run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

BARE = {"--help": 0.4, "--version": 0.4, "run --help": 0.4}
FINISHED = {"rerun": 4.0, "show": 1.5}
"""Largest number of CPU seconds that each command may take on an idle machine."""

SUITE = """
models = ["gmm-2d", "gaussian"]
samplers = [
  "euler", "ddim", "dpmpp_2m", "dpmpp_3m", "ipndm", "deis_tab_2", "deis_tab_3", "euler_ancestral", "ddpm", "dpm_solver_2m", "res_2m",
  "dpmpp_2m_sde", "er_sde_2", "euler_maruyama",
]
nfe = [3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16]
samples = 64
reference_samples = 64
converged_samples = 200
"""
CELLS = 308


def measure_cpu_seconds(args: list[str]) -> float:
    """Run a command line, and return the CPU seconds of its process and of its children."""
    before = os.times()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "samplerbench", *args], check=True, **quiet)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def check(benchmark: BenchmarkFixture, args: list[str], most: float) -> None:
    """Run a command a few times, and check that the least CPU seconds are below ``most``."""
    benchmark.group = "command line"
    spent: list[float] = []
    benchmark.pedantic(lambda: spent.append(measure_cpu_seconds(args)), rounds=5, warmup_rounds=1)
    benchmark.extra_info["cpu_seconds"] = min(spent)
    assert min(spent) < most


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Make a run, and return the arguments of commands that read its folder, by name."""
    folder = tmp_path_factory.mktemp("finished")
    suite, run = folder / "many.toml", folder / "run"
    suite.write_text(SUITE, encoding="utf-8")
    rerun = ["run", str(suite), "--out", str(run), "--no-timing"]
    measure_cpu_seconds(rerun)
    assert len(list((run / "parts").iterdir())) == CELLS
    return {"rerun": rerun, "show": ["show", str(run)]}


@pytest.mark.parametrize("command", BARE)
def test_command(benchmark: BenchmarkFixture, command: str) -> None:
    check(benchmark, command.split(), BARE[command])


@pytest.mark.parametrize("command", FINISHED)
def test_finished_run(
    benchmark: BenchmarkFixture, finished: dict[str, list[str]], command: str
) -> None:
    check(benchmark, finished[command], FINISHED[command])
