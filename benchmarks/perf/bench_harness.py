"""Benchmarks of the harness: noise, plans of suites, and the result table."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from samplerbench.benchmarks.planning.planner import load_models, plan
from samplerbench.benchmarks.scoring.feature_references import load_references
from samplerbench.benchmarks.suites.files import load_suite
from samplerbench.results.result_table import ResultTable
from samplerbench.samplers import SampleNoise, karras

EVENT, BATCH = (3, 32, 32), 64
TABLE = Path(__file__).parents[2] / "results" / "reference" / "full-exact" / "table.csv"


@pytest.fixture
def noise() -> SampleNoise:
    return SampleNoise(0, torch.arange(BATCH), EVENT)


def test_latents(benchmark: BenchmarkFixture, noise: SampleNoise) -> None:
    benchmark.group = f"noise, {BATCH} x 3 x 32 x 32"
    benchmark(noise.initial)


def test_noise_of_a_step(benchmark: BenchmarkFixture, noise: SampleNoise) -> None:
    benchmark.group = f"noise, {BATCH} x 3 x 32 x 32"
    benchmark(lambda: noise.at(3, 2.0, 1.0)())


def test_randn(benchmark: BenchmarkFixture) -> None:
    """Time torch's own generator, whose numbers depend on the batch size."""
    benchmark.group = f"noise, {BATCH} x 3 x 32 x 32"
    generator = torch.Generator().manual_seed(0)
    benchmark(lambda: torch.randn(BATCH, *EVENT, generator=generator))


def test_schedule(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "plan"
    benchmark(karras, 50, 0.002, 80.0)


@pytest.mark.parametrize("suite", ["quick", "full"])
def test_plan_of_exact_problems(benchmark: BenchmarkFixture, suite: str) -> None:
    """Time the plan of a suite on two exact problems, with the keys of its cells."""
    benchmark.group = "plan"
    chosen = load_suite(suite).replaced(models=("gmm-2d", "gmm-64d"))
    models = load_models(chosen)
    references = load_references(models)

    def planned() -> list[str]:
        return [cell.key for cell in plan(chosen, models, references)]

    benchmark.extra_info["cells"] = len(planned())
    benchmark.pedantic(planned, rounds=3, warmup_rounds=0)


def test_read_table(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "table"
    benchmark.extra_info["rows"] = len(ResultTable.from_csv(TABLE))
    benchmark.pedantic(ResultTable.from_csv, args=(TABLE,), rounds=5, warmup_rounds=1)


def test_table_of_records(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "table"
    records = ResultTable.from_csv(TABLE).frame.to_dict("records")
    benchmark.pedantic(ResultTable.of, args=(records,), rounds=5, warmup_rounds=1)  # type: ignore[arg-type]


def test_write_table(benchmark: BenchmarkFixture) -> None:
    benchmark.group = "table"
    table = ResultTable.from_csv(TABLE)
    benchmark.pedantic(table.csv, rounds=5, warmup_rounds=1)
