"""Cost of the harness on many tiny cells of ``gmm-2d``: to run, to run again, and to report.

::

    python -m samplerbench.benchmarks.perf.tiny_cells FOLDER --cells 10000
    python -m samplerbench.benchmarks.perf.tiny_cells FOLDER --cells 500 -- --jobs 2

``FOLDER`` must not exist yet. Words after ``--`` go to ``samplerbench run``. The printed table has the
wall time and the processor time of whole processes with their children. Its lines are the first run,
the same run again, which finds nothing to do, and ``samplerbench report``.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

SAMPLERS = ("euler", "ddpm", "dpmpp_2m", "ipndm_2", "zab_2")
MOST_STEPS = 20
EACH = len(SAMPLERS) * MOST_STEPS  # cells of one schedule


class Cost(NamedTuple):
    """Wall time and processor time of a command, in seconds."""

    wall: float
    processor: float


def suite_toml(cells: int) -> str:
    """Return the TOML text of a suite of tiny cells: cheap samplers, few samples, no pictures or times.

    ``cells`` is the number of cells, rounded down to a multiple of 100, but 100 at least.
    """
    schedules = ", ".join(
        f'{{ name = "karras", rho = {3 + k / 10:g} }}' for k in range(max(1, cells // EACH))
    )
    names = ", ".join(f'"{name}"' for name in SAMPLERS)
    return f"""\
name = "tiny-cells"
description = "Cells that cost nothing, to see what the harness costs"
models = ["gmm-2d"]
samplers = [{names}]
schedules = [{schedules}]
steps = {list(range(1, MOST_STEPS + 1))}
samples = 16
batch_size = 16
reference_samples = 8
converged_samples = 16
keep = 0
metrics = ["frechet", "rmse"]
timing = {{ enabled = false }}
"""


def measure_cost(command: Sequence[str]) -> Cost:
    """Run ``samplerbench`` and return its cost; raises a RuntimeError if the command fails."""
    before, begin = os.times(), time.perf_counter()
    call = [sys.executable, "-m", "samplerbench", *command]
    done = subprocess.run(call, capture_output=True, text=True)
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return Cost(wall, sum(after[2:4]) - sum(before[2:4]))  # of children that ended


def main() -> None:
    """Run the suite twice, write the report, and print the costs."""
    parser = argparse.ArgumentParser(description="Measures what the harness costs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=10_000)
    words = [*sys.argv[1:], "--"]
    end = words.index("--")
    options = parser.parse_args(words[:end])
    options.folder.mkdir(parents=True)
    file, out = options.folder / "tiny.toml", options.folder / "run"
    file.write_text(suite_toml(options.cells), encoding="utf-8")
    command = ["run", str(file), "--out", str(out), *words[end + 1 : -1]]
    costs = {
        "run": measure_cost(command),
        "run again": measure_cost(command),
        "report": measure_cost(["report", str(out)]),
    }
    print(f"{options.cells} cells{' ' * 8}wall      processor")
    for name, cost in costs.items():
        print(f"{name:<12}  {cost.wall:9.2f} s  {cost.processor:9.2f} s")
    per_cell = (1e3 * seconds / options.cells for seconds in costs["run"])
    print("run, a cell   {:9.2f} ms {:9.2f} ms".format(*per_cell))
    print(f"page          {(out / 'report.html').stat().st_size / 1e6:9.2f} MB")


if __name__ == "__main__":
    main()
